"""GTINs of ours: one per pack of a variety, tier and nominal mass; one per variety as harvested."""

from sqlmodel import Session, select

from ledger.kernel.ids import Numbering
from ledger.kernel.sequences import next_number
from orders.errors import NotFoundError
from orders.models import Product

PACK, HARVEST = "pack", "harvest"
SHELF_LIFE_DAYS = 14

# Item references behind the company prefix; graded lots take theirs from the grading standard.
_FIRST_PACK = 100
_FIRST_HARVEST = 600
_VARIABLE_MEASURE = 9


def pack_product(
    session: Session, *, crop: str, variety: str, tier: str, nominal_mass_g: int, numbering: Numbering
) -> Product:
    """Return the product of such packs, with a new GTIN the first time."""
    known = _find(session, PACK, variety, tier, nominal_mass_g)
    if known is not None:
        return known
    number = next_number(session, "gtin-pack")
    # The number is locked now: whoever else was first with this product has committed.
    return _find(session, PACK, variety, tier, nominal_mass_g) or _add(
        session,
        Product(
            gtin=numbering.gtin(_FIRST_PACK + number),
            kind=PACK,
            crop=crop,
            variety=variety,
            tier=tier,
            nominal_mass_g=nominal_mass_g,
            shelf_life_days=SHELF_LIFE_DAYS,
        ),
    )


def harvest_product(session: Session, *, crop: str, variety: str, numbering: Numbering) -> Product:
    """Return the product a variety is harvested as (variable measure), with a new GTIN the first time."""
    known = _find(session, HARVEST, variety, "", 0)
    if known is not None:
        return known
    number = next_number(session, "gtin-harvest")
    return _find(session, HARVEST, variety, "", 0) or _add(
        session,
        Product(
            gtin=numbering.gtin(_FIRST_HARVEST + number, indicator=_VARIABLE_MEASURE),
            kind=HARVEST,
            crop=crop,
            variety=variety,
            tier="",
            nominal_mass_g=0,
            shelf_life_days=SHELF_LIFE_DAYS,
        ),
    )


def product(session: Session, gtin: str) -> Product:
    """Return one product. Raises NotFoundError."""
    found = session.get(Product, gtin)
    if found is None:
        raise NotFoundError("product", gtin)
    return found


def _find(session: Session, kind: str, variety: str, tier: str, nominal_mass_g: int) -> Product | None:
    return session.exec(
        select(Product).where(
            Product.kind == kind,
            Product.variety == variety,
            Product.tier == tier,
            Product.nominal_mass_g == nominal_mass_g,
        )
    ).one_or_none()


def _add(session: Session, row: Product) -> Product:
    session.add(row)
    session.flush()
    return row
