"""Proof files as the product hands them out: which private fields they open for whom, and which files go with them."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlmodel import Session

from api.errors import NotSignedInError, RoleNotAllowedError
from api.progress import anchored_head
from api.runtime import Runtime
from contracts.outbox import latest_final
from ledger.bundle import MayReveal, prove
from ledger.kernel.actors import Actor, Role
from ledger.proof import ProofBundle

_SEE_ALL: Final = frozenset({Role.MANAGER, Role.AUDITOR})


def may_reveal(actor: Actor | None, event: Mapping[str, Any], name: str, *, public: Collection[str]) -> bool:
    """Return whether a private field may be opened for somebody: declared public, or theirs to show.

    Managers and auditors may open all; anyone else what they recorded, and what is said of what they hold.
    """
    if name in public:
        return True
    if actor is None:
        return False
    ilmd = event.get("ilmd")
    holder = ilmd.get("gy:holder") if isinstance(ilmd, Mapping) else None
    return actor.role in _SEE_ALL or actor.party in (event.get("gy:recorder"), holder)


def proof_for(
    rt: Runtime,
    session: Session,
    identifier: str,
    *,
    actor: Actor | None,
    reveal: Collection[str] | None,
    evidence: Collection[str],
) -> ProofBundle:
    """Return a proof file with the private fields asked for; with None, those that are declared public.

    Raises NotSignedInError or RoleNotAllowedError for a field that stands in this history and is not this
    visitor's to see.
    """
    public = rt.settings.public_field_names
    wanted = public if reveal is None else frozenset(reveal)
    if actor is None and not wanted <= public:
        raise NotSignedInError
    opened: set[str] = set()
    refused: set[str] = set()

    def allowed(event: Mapping[str, Any], name: str) -> bool:
        is_allowed = may_reveal(actor, event, name, public=public)
        (opened if is_allowed else refused).add(name)
        return is_allowed

    made = written_proof(rt, session, identifier, reveal=wanted, allowed=allowed, evidence=evidence)
    if actor is not None and refused - opened:
        raise RoleNotAllowedError(actor.role, allowed=sorted(role.value for role in _SEE_ALL))
    return made


def written_proof(
    rt: Runtime,
    session: Session,
    identifier: str,
    *,
    reveal: Collection[str],
    evidence: Collection[str],
    allowed: MayReveal | None = None,
) -> ProofBundle:
    """Return a proof file under our key and our newest final anchor. `evidence` that is not kept is left away."""
    anchor = latest_final(session, origin=rt.settings.log_origin)
    return prove(
        session,
        identifier,
        key=rt.signer.key,
        anchor=anchored_head(anchor) if anchor else None,
        reveal=reveal,
        may_reveal=allowed,
        evidence=[name for name in evidence if rt.files.has(name)],
    )
