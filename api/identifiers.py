"""What people and labels write, as the log names it."""

from ledger.epcis.identifiers import canonical_identifier
from ledger.kernel.errors import IdentifierError
from ledger.kernel.ids import parse_digital_link


def canonical(text: str) -> str:
    """Return the identifier as events carry it.

    A label's link on our own host and an EPC URN become the canonical link; an identifier of another shape
    (an event id, one on a cooperative's own domain) stays as it is. Raises IdentifierError for GS1 digits that
    cannot be.
    """
    given = text.strip()
    if given.startswith("urn:epc:"):
        return canonical_identifier(given)
    if given.startswith(("urn:", "ni:")):
        return given
    try:
        return parse_digital_link(given).canonical()
    except IdentifierError as error:
        if error.reason == "holds no GS1 key" and given.startswith(("https://", "http://")):
            return canonical_identifier(given)
        raise
