"""Two proof files of one log: can both be true? Pure.

Whoever saved a file, or got one from a friend, holds the operator to it: no two files he hands out may
contradict each other. (Two files that agree may still be of two histories that part elsewhere; a witness and
a chain see those.)
"""

import base64
from collections.abc import Iterator

from ledger.errors import VerificationError
from ledger.proof import Verified


def refuse_contradiction(one: Verified, other: Verified) -> None:
    """Raise VerificationError, naming every contradiction, unless two verified proof files can both be true."""
    found = list(_contradictions(one, other))
    if found:
        raise VerificationError(f"the two files cannot both be true: {'; '.join(found)}")


def _contradictions(one: Verified, other: Verified) -> Iterator[str]:
    if one.key != other.key:
        yield f"one is signed with the log key {one.key.text()}, the other with {other.key.text()}"
    if one.anchor is not None and other.anchor is not None:
        places = [f"{anchor.contract} on chain {anchor.chain_id}" for anchor in (one.anchor, other.anchor)]
        if places[0].lower() != places[1].lower():
            yield f"one is anchored in {places[0]}, the other in {places[1]}"
    heads = _heads(other)
    for size, root in sorted(_heads(one).items()):
        if heads.get(size, root) != root:
            yield f"they have two roots for the tree of {size}"
    theirs = {entry.index: entry.event for entry in other.entries}
    for entry in one.entries:
        if theirs.get(entry.index, entry.event) != entry.event:
            yield f"they have two entries {entry.index}"


def _heads(verified: Verified) -> dict[int, bytes]:
    heads = {verified.head.size: verified.head.root}
    if verified.anchor is not None:
        heads.setdefault(verified.anchor.size, base64.b64decode(verified.anchor.root))
    return heads
