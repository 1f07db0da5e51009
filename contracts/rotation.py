"""Another key for the log, in two steps: the publisher offers, the successor accepts.

The contract changes hands only when the new key has shown that it can sign. Each step may be repeated and
killed anywhere: it looks at the contract first.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlmodel import Session

from contracts.chain import Chain
from contracts.errors import NonceSpentError, RotationError, UnderpricedError
from contracts.heads import Place
from contracts.keys import PublisherKey
from contracts.outbox import unsettled

_PATIENCE_S: Final = 180.0
_GAS_MARGIN_PERCENT: Final = 125


def offer(chain: Chain, key: PublisherKey, name: bytes, successor: str, *, patience_s: float = _PATIENCE_S) -> None:
    """Offer a log to another key. Offering to somebody else takes an earlier offer back.

    Raises CallRefusedError where this key is not the publisher.
    """
    _do(
        chain,
        key,
        chain.offer_call(name, successor),
        is_done=lambda: (chain.successor(name) or "").lower() == successor.lower(),
        patience_s=patience_s,
        what="the offer",
    )


def accept(chain: Chain, key: PublisherKey, name: bytes, *, patience_s: float = _PATIENCE_S) -> None:
    """Take over a log that was offered to this key. Raises CallRefusedError where it was not."""
    _do(
        chain,
        key,
        chain.accept_call(name),
        is_done=lambda: chain.publisher(name) == key.address,
        patience_s=patience_s,
        what="the acceptance",
    )


def give_play_money(chain: Chain, key: PublisherKey, to: str) -> None:
    """Share the embedded chain's money with a successor that has none; on a public chain somebody pays for it."""
    chain.take_play_money(to)
    if not chain.is_embedded or chain.balance(to) > 0:
        return
    fees = chain.fees()
    payment = {
        "chainId": chain.chain_id,
        "type": 2,
        "nonce": chain.nonce(key.address),
        "to": to,
        "value": chain.balance(key.address) // 2,
        "gas": 21_000,
        "maxFeePerGas": fees.max_wei,
        "maxPriorityFeePerGas": fees.priority_wei,
    }
    chain.send_raw(key.sign(payment).raw)


def require_settled(session: Session, *, origin: str, place: Place) -> None:
    """Raise RotationError while an anchor of this key is not final: a new publisher could not send it again."""
    waiting = unsettled(session, origin=origin, place=place)
    if waiting:
        raise RotationError(
            f"the anchor of {waiting[0].size} leaves is {waiting[0].state}; let the tasks run until it is final"
        )


def change_files(folder: Path, *, retired: str) -> Path:
    """Put the successor's keystore in the place of the publisher's, and keep that one under its address.

    Safe to kill: there is a whole `publisher.key` at every moment. Return where the old one is kept.
    """
    current, after = folder / "publisher.key", folder / "publisher-next.key"
    kept = folder / f"publisher-{retired}.key"
    if current.exists() and not kept.exists():
        kept.hardlink_to(current)
    after.replace(current)
    return kept


def _do(
    chain: Chain, key: PublisherKey, call: str, *, is_done: Callable[[], bool], patience_s: float, what: str
) -> None:
    if is_done():
        return
    gas = chain.preflight(call, sender=key.address) * _GAS_MARGIN_PERCENT // 100
    signed = chain.sign(key, data=call, nonce=chain.nonce(key.address), gas=gas, fees=chain.fees())
    # The same step, sent before this process was killed, may be on its way.
    with contextlib.suppress(NonceSpentError, UnderpricedError):
        chain.send_raw(signed.raw)
    chain.wait(lambda: is_done() or None, patience_s, what)
