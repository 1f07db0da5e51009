"""Whether a document is valid EPCIS 2.0, and if not, everything that is wrong with it."""

from enum import StrEnum

from ledger.epcis.reading import Document, Problem


class Profile(StrEnum):
    """How strictly documents are taken: docs/conformance.md says what each takes."""

    STRICT = "strict"
    """Exactly what the official JSON schema takes, its formats asserted."""
    LENIENT = "lenient"
    """Also the known deviations of real documents, each of which can be normalised without guessing."""


def problems(document: Document, profile: Profile = Profile.STRICT) -> tuple[Problem, ...]:
    """Return all that is wrong with a document, at most 100 problems; empty means valid."""
    raise NotImplementedError
