"""What a host does: names a broadcast and its tiers, puts a tier or a fruit on air, shares the overlay."""

import base64
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlmodel import Session, select

from api.errors import NotHereError
from api.models import OnAir, Site
from grading.models import Fruit
from ledger.kernel.actors import Actor, Role
from ledger.kernel.errors import IdentifierError
from ledger.kernel.files import ni_uri, parse_ni
from ledger.kernel.ids import CANONICAL_HOST, Numbering, PlaceId
from ledger.kernel.settings import Settings
from orders import listings
from orders.errors import InvalidInputError, NotFoundError
from orders.models import Broadcast, Listing, Plot

_STUDIO_REFERENCE: Final = 20


def own_broadcast(session: Session, name: str, actor: Actor) -> Broadcast:
    """Return a broadcast by its ref, its GDTI or the value of its GDTI.

    Raises NotFoundError, also for a host who asks for another's.
    """
    show = listings.broadcast(session, f"{CANONICAL_HOST}/253/{name}" if name[:13].isdigit() else name)
    if actor.role is Role.HOST and show.host != actor.party:
        raise NotFoundError("broadcast", name)
    return show


def broadcasts_of(session: Session, actor: Actor) -> Sequence[Broadcast]:
    """Return the newest broadcasts the actor may see, newest first."""
    return listings.broadcasts(session, host=actor.party if actor.role is Role.HOST else None, limit=20)


def current_broadcast(session: Session, actor: Actor) -> Broadcast | None:
    """Return the actor's newest open broadcast, or the newest of all, or None."""
    mine = broadcasts_of(session, actor)
    return next((show for show in mine if show.closed_at is None), mine[0] if mine else None)


def studio_of(session: Session, actor: Actor, place: str | None, numbering: Numbering) -> PlaceId:
    """Return the place a broadcast comes from: named by ref or id, the host's own, or the studio.

    Raises NotFoundError.
    """
    if place is None:
        return actor.site or numbering.place(_STUDIO_REFERENCE)
    row = session.exec(select(Site).where((Site.ref == place) | (Site.place == place))).one_or_none()
    if row is None:
        raise NotFoundError("place", place)
    return PlaceId(row.place)


def plot_ids(session: Session, names: Sequence[str]) -> list[str]:
    """Return the ids of plots named by ref or id. Raises NotFoundError or InvalidInputError (a ref of two plots)."""
    found = []
    for position, name in enumerate(names):
        ids = session.exec(select(Plot.id).where((Plot.ref == name) | (Plot.id == name))).all()
        if not ids:
            raise NotFoundError("plot", name)
        if len(ids) > 1:
            raise InvalidInputError(f"plots[{position}]", f"{name!r} names {len(ids)} plots; give the id of one")
        found.append(ids[0])
    return found


def listing_of(session: Session, show: Broadcast, tier: str) -> Listing:
    """Return what a broadcast lists as a tier. Raises NotFoundError."""
    found = next((row for row in listings.listings(session, show.id) if row.tier == tier), None)
    if found is None:
        raise NotFoundError("listing", f"{show.ref} {tier}")
    return found


# --- on air ---------------------------------------------------------------------------------------


def put_on_air(session: Session, show: Broadcast, *, kind: str, value: str, now: datetime) -> OnAir:
    """Show a `tier` or a `photograph` (its hash in hex) in the overlay; an empty value takes it off.

    Raises NotFoundError.
    """
    row = session.get(OnAir, show.id) or OnAir(broadcast=show.id, changed_at=now)
    if kind == "tier":
        row.tier = listing_of(session, show, value).tier if value else None
    else:
        row.photograph = fruit_photograph(session, value) if value else None
    row.changed_at = now
    session.add(row)
    session.flush()
    return row


def on_air_photograph(session: Session, show: Broadcast) -> str:
    """Return the `ni:` name of the picture on air. Raises NotFoundError while there is none."""
    row = session.get(OnAir, show.id)
    if row is None or row.photograph is None:
        raise NotFoundError("photograph", "on air")
    return row.photograph


def overlay_token(settings: Settings, show: Broadcast) -> str:
    """Return the token of a broadcast's overlay: good for looking at it, and for nothing else."""
    secret = settings.secret.get_secret_value().encode()
    mac = hmac.digest(secret, b"overlay\0" + show.id.encode(), "sha256")
    return f"{show.ref}.{base64.urlsafe_b64encode(mac[:18]).decode()}"


def overlay_broadcast(session: Session, settings: Settings, token: str) -> Broadcast:
    """Return the broadcast an overlay token is for. Raises NotHereError, whatever is wrong with it."""
    try:
        show = listings.broadcast(session, token.rpartition(".")[0])
    except NotFoundError as error:
        raise NotHereError("/overlay") from error
    if not hmac.compare_digest(overlay_token(settings, show).encode(), token.encode()):
        raise NotHereError("/overlay")
    return show


def fruit_photograph(session: Session, name: str) -> str:
    """Return the `ni:` name of a graded fruit's picture, given its hash in hex. Raises NotFoundError."""
    try:
        wanted = ni_uri(bytes.fromhex(name))
    except ValueError as error:
        raise NotFoundError("photograph", name) from error
    if session.exec(select(Fruit.id).where(Fruit.crop == wanted).limit(1)).first() is None:
        raise NotFoundError("photograph", name)
    return wanted


def crop_name(ni: str) -> str:
    """Return the hash in an `ni:` name as hex, for an address; empty where it is none."""
    try:
        return parse_ni(ni).hex()
    except IdentifierError:
        return ""
