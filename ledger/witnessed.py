"""Our log and its witnesses: what to ask each, what to make of its answer, and who vouches for a checkpoint.

Asking over a network is the caller's. A cosignature is checked before it is kept, and nothing a witness
says or does not say holds a checkpoint up.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from sqlmodel import Session, col, func, select

from ledger import merkle, tree
from ledger.cosign import WitnessKey, cosignatures
from ledger.errors import LogInconsistentError, PolicyError, VerificationError
from ledger.kernel.errors import SettingsError
from ledger.log import AHEAD_ALLOWED, latest_checkpoint
from ledger.models import Checkpoint, Cosignature, WitnessState
from ledger.policy import Policy
from ledger.witness import Submission

MOST_WAIT: Final = timedelta(minutes=5)
"""A witness that fails is asked again after 2, 4, 8, ... seconds, and at least this often."""

_LOOK_BACK: Final = 8
"""Among how many of the newest cosigned checkpoints the best vouched one is looked for."""

_log = logging.getLogger(__name__)


class Watcher(NamedTuple):
    """A witness we ask, and the submission prefix it answers at."""

    key: WitnessKey
    url: str


def watchers(text: str) -> tuple[Watcher, ...]:
    """Return the witnesses that a setting names: `vkey url, vkey url`, or a policy file with their URLs.

    Raises SettingsError.
    """
    if not text.strip():
        return ()
    try:
        if "+" in text:
            pairs = [part.split() for part in text.split(",")]
            found = [Watcher(WitnessKey.parse(key), url) for key, url in pairs]
        else:
            policy = Policy.parse(Path(text).read_bytes())
            found = [Watcher(witness.key, witness.url or "") for witness in policy.witnesses.values()]
    except (VerificationError, PolicyError, ValueError, OSError) as error:
        raise SettingsError(f"GUOYUAN_WITNESSES: {error}") from error
    for watcher in found:
        if urlsplit(watcher.url).scheme not in {"http", "https"}:
            raise SettingsError(f"GUOYUAN_WITNESSES: {watcher.key.name} has no http or https address")
    if len({watcher.key for watcher in found}) < len(found):
        raise SettingsError("GUOYUAN_WITNESSES: a key stands there twice")
    return tuple(found)


# --- asking ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Question:
    """A submission to one witness. `is_second` follows its telling us the size it remembers."""

    key: WitnessKey
    old_size: int
    size: int
    body: bytes
    is_second: bool = False


class Cosigned(NamedTuple):
    """It answered with signature lines, unchecked."""

    lines: str


class Remembers(NamedTuple):
    """It remembers a head of another size than the one we took it to have, or of another root."""

    size: int


class Doubts(NamedTuple):
    """It says that our proof does not lead from what it remembers to our checkpoint."""

    reason: str


class Failed(NamedTuple):
    """It could not be reached, was too slow, or said something else."""

    reason: str


Answer: TypeAlias = Cosigned | Remembers | Doubts | Failed


def question(session: Session, key: WitnessKey, *, now: datetime) -> Question | None:
    """Return what to ask a witness now, or None: it has signed the newest checkpoint, or failed a moment ago."""
    newest, state = latest_checkpoint(session), session.get(WitnessState, key.text())
    if newest is None or session.get(Cosignature, (newest.size, key.text())) is not None:
        return None
    if state is not None and state.ask_after is not None and now < state.ask_after:
        return None
    return _question(session, key, newest, min(state.size if state else 0, newest.size))


def take(session: Session, asked: Question, answer: Answer, *, now: datetime) -> Question | None:
    """Keep what a witness answered; return what to ask it at once, where it told us what it remembers."""
    state = session.get(WitnessState, asked.key.text()) or WitnessState(key=asked.key.text())
    session.add(state)
    if isinstance(answer, Cosigned):
        _keep(session, state, asked, answer.lines, now=now)
        return None
    if isinstance(answer, Remembers):
        return _remembered(session, state, asked, answer.size, now=now)
    if isinstance(answer, Doubts):
        # Our proof was checked against our own heads before it was sent.
        _alarm(state, asked, f"it holds another head of {asked.old_size} entries than ours: {answer.reason}", now=now)
        return None
    _fail(state, asked, answer.reason, now=now)
    return None


def _question(
    session: Session, key: WitnessKey, newest: Checkpoint, old_size: int, *, is_second: bool = False
) -> Question:
    """Return the submission from the size a witness remembers, proved to ourselves first."""
    path = tree.consistency(session, old_size, newest.size)
    before = session.get(Checkpoint, old_size)
    root = before.root if before else merkle.EMPTY_ROOT if old_size == 0 else tree.root(session, old_size)
    try:
        merkle.verify_consistency(old_size, newest.size, root, newest.root, path)
    except VerificationError as error:
        raise LogInconsistentError(f"no witness is asked: {error}") from error
    body = Submission(old_size, tuple(path), newest.note).encode()
    return Question(key, old_size, newest.size, body, is_second)


def _keep(session: Session, state: WitnessState, asked: Question, lines: str, *, now: datetime) -> None:
    try:
        given = cosignatures(Submission.parse(asked.body).note + lines, [asked.key])
    except VerificationError as error:
        _fail(state, asked, f"its answer is no cosignature: {error}", now=now)
        return
    if not given:
        _fail(state, asked, "its answer carries no cosignature of its own", now=now)
        return
    cosigned_at = datetime.fromtimestamp(given[0].time_s, UTC)
    if cosigned_at > now + AHEAD_ALLOWED:
        _fail(state, asked, f"its clock says {cosigned_at:%Y-%m-%d %H:%M:%S}Z", now=now)
        return
    session.merge(Cosignature(size=asked.size, key=state.key, line=given[0].line, cosigned_at=cosigned_at))
    state.size, state.cosigned_at = asked.size, cosigned_at
    state.error, state.failures, state.ask_after, state.alarm = None, 0, None, None


def _remembered(session: Session, state: WitnessState, asked: Question, size: int, *, now: datetime) -> Question | None:
    newest = latest_checkpoint(session)
    if newest is None or size > newest.size:
        _alarm(state, asked, f"it holds a head of {size} entries; we never signed one so large", now=now)
    elif size == asked.old_size == asked.size:
        _alarm(state, asked, f"it holds another head of {size} entries than ours", now=now)
    elif size and session.get(Checkpoint, size) is None:
        _alarm(state, asked, f"it holds a head of {size} entries; we never signed one of that size", now=now)
    elif asked.is_second or size == asked.old_size:
        _fail(state, asked, f"it said twice that it holds {size} entries", now=now)
    else:
        state.size = size
        return _question(session, asked.key, newest, size, is_second=True)
    return None


def _alarm(state: WitnessState, asked: Question, what: str, *, now: datetime) -> None:
    if state.alarm != what:
        _log.error("ALARM: the witness %s: %s. Our key signed a fork, or it lies.", asked.key.name, what)
        state.alarm, state.alarmed_at = what, now
    _fail(state, asked, what, now=now)


def _fail(state: WitnessState, asked: Question, reason: str, *, now: datetime) -> None:
    if state.error != reason:
        _log.warning("the witness %s did not cosign %d entries: %s", asked.key.name, asked.size, reason)
    state.error, state.failed_at, state.failures = reason[:500], now, state.failures + 1
    state.ask_after = now + min(timedelta(seconds=2 ** min(state.failures, 10)), MOST_WAIT)


# --- what is known --------------------------------------------------------------------------------


def vouched_note(session: Session, checkpoint: Checkpoint) -> str:
    """Return a checkpoint's signed note with every cosignature there is of it."""
    lines = session.exec(select(Cosignature.line).where(Cosignature.size == checkpoint.size).order_by(Cosignature.key))
    return checkpoint.note + "".join(lines)


def vouched_checkpoint(session: Session, *, at_least: int) -> Checkpoint | None:
    """Return the checkpoint of at least this size to hand out: of the newest cosigned ones the one most witnesses
    signed, else the newest of all, else None.
    """
    counted = (
        select(Cosignature.size, func.count().label("witnesses"))
        .where(Cosignature.size >= at_least)
        .group_by(col(Cosignature.size))
        .order_by(col(Cosignature.size).desc())
        .limit(_LOOK_BACK)
        .subquery()
    )
    best = select(counted.c.size).order_by(counted.c.witnesses.desc(), counted.c.size.desc()).limit(1)
    size = session.exec(best).one_or_none()
    if size is not None:
        return session.get(Checkpoint, size)
    newest = latest_checkpoint(session)
    return newest if newest and newest.size >= at_least else None


def states(session: Session, keys: Sequence[WitnessKey]) -> list[tuple[WitnessKey, WitnessState]]:
    """Return how far each of these witnesses has followed us; one never asked stands at 0."""
    return [(key, session.get(WitnessState, key.text()) or WitnessState(key=key.text())) for key in keys]
