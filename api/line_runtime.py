# ruff: noqa: RUF001  # Chinese has its own punctuation
"""A running line: camera, light, belt, journal, gates and deliveries, each in its own thread, and one state to show.

A fruit goes one way: seen to have passed, graded, kept on this station's disk, and only then sent to its lane. What
must not be graded is not graded: without an open batch, in bad light, after the calibration's end, with the gates or
the encoder lost, with a full disk, in an emergency. Fruit that pass meanwhile get no lane, which is the reject lane,
and are not counted; they can be laid on the belt again.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from api import line_alarms as alarms
from api.line_alarms import Alarm, Level
from api.line_delivery import Delivery, OfflineError, RefusedError
from api.line_errors import (
    BatchOpenError,
    DecidedError,
    HouseRefusedError,
    NoBatchError,
    OfflineSecondError,
    OtherBatchError,
    RefusedLotError,
    StoppedLineError,
    TierError,
    UndecidedError,
    UnknownCrateError,
    UnknownLotError,
    WeighingError,
)
from api.line_grading import Belt, Grading
from api.line_journal import Journal
from api.line_keeping import PATIENCE_S, Graded, Keeper
from api.line_shown import batch_shown, passed_shown, queued_shown
from api.line_tables import LineFruit
from grading.errors import SecondPersonError
from grading.line.belt import Drawn, Looked, Passed
from grading.line.light import Watch
from grading.line.picture import annotated
from grading.line.sources import Shot, Source, SourceState
from grading.line.wiring import Wiring
from grading.station import JUDGEMENT_REASONS
from ledger.kernel.clock import Clock, SteadyClock, format_time
from ledger.kernel.errors import IdentifierError
from ledger.kernel.ids import parse_digital_link
from ledger.kernel.settings import Settings

_log = logging.getLogger(__name__)

DISK_STOP_BYTES: Final = 256 * 1024**2
_RATE_S: Final = 60.0
_STATE_S: Final = 0.25
_LAST_WEIGHTS_S: Final = 5.0
"""How long the end of a lot waits for fruit to reach the scale."""
_LOST_SHOWN: Final = 12
_EMERGENCY_NOTE: Final = "emergency"


class LineRuntime:
    """One line, from the camera to the gates. Threads share it; `api.line_app` shows it."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        name: str,
        house: str,
        journal: Journal,
        delivery: Delivery,
        source: Source,
        wiring: Wiring,
        grading: Grading,
        is_sample: bool = False,
        steady: SteadyClock | None = None,
        stamps: Callable[[], float] = time.monotonic,
        disk_stop_bytes: int = DISK_STOP_BYTES,
    ) -> None:
        self.settings = settings
        self._clock, self._steady, self._stamps = clock, steady, stamps
        self._name, self._house = name, house
        self._journal, self._delivery = journal, delivery
        self._source, self._wiring, self._grading = source, wiring, grading
        self._rules, self._profile_file = grading.rules, sha256(grading.rules.profile).hexdigest()
        self._is_sample, self._disk_stop_bytes = is_sample, disk_stop_bytes
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._belt_lock = threading.RLock()
        self._belt: Belt | None = None
        self._watch = Watch(grading.profile.light)
        self._latest: tuple[Shot, Sequence[Drawn]] | None = None
        self._drawn: tuple[int, bytes] | None = None
        self._seen_at: deque[float] = deque(maxlen=60)
        self._passed_at: deque[float] = deque()
        self._looked: Counter[Looked] = Counter()
        self._keeper = Keeper(
            journal=journal, wiring=wiring, grading=grading, stopping=self._stopping, on_kept=delivery.wake
        )
        self._left_open = journal.uncommanded() if wiring.has_gates else 0
        self._blind, self._doubts_encoder = 0, False
        self._since: dict[str, datetime] = {}
        self._source_since = (SourceState.WAITING, clock.now())
        self._offline_since: float | None = None
        self._surprise: str | None = None
        self._failed: str | None = None
        self._state: tuple[float, dict[str, Any]] | None = None
        self._state_lock = threading.Lock()
        if reason := journal.note(_EMERGENCY_NOTE):
            wiring.outputs.emergency(str(reason))

    # --- running ---

    def start(self) -> None:
        """Begin: camera, journal, deliveries."""
        for name, work in (
            ("keep", self._keeper.run),
            ("belt", self._watch_belt),
            ("deliver", lambda: self._delivery.run(self._stopping)),
        ):
            thread = threading.Thread(target=self._told, args=(name, work), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _told(self, name: str, work: Callable[[], None]) -> None:
        """Do a thread's work; one that breaks off stops the grading by an alarm, never in silence."""
        try:
            work()
        except Exception as error:  # noqa: BLE001  # whatever it is, a person is told
            _log.exception("the line's thread %s broke off", name)
            self._failed = f"{name}: {str(error) or type(error).__name__}"

    def stop(self) -> None:
        """End cleanly: what the belt showed is kept. The open batch stays open. Twice is fine."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._source.close()
        self._delivery.wake()
        for thread in self._threads[1:]:
            thread.join(PATIENCE_S)
        with self._belt_lock:
            self._empty_belt()
        for thread in self._threads[:1]:
            thread.join(PATIENCE_S)
        self._wiring.close()

    # --- the console ---

    def open_batch(self, scanned: str) -> None:
        """Open a batch for a lot's or a crate's code. Raises LineError."""
        known = self._delivery.lot(_canonical(scanned) or scanned.strip())
        lot = known["lot"] if known else _lot_named(scanned)
        if lot is None:
            raise UnknownCrateError(scanned.strip())
        if known is None and self._delivery.is_online:
            raise UnknownLotError(lot)
        if known is not None and known["state"] in {"held", "recalled", "consumed"}:
            raise RefusedLotError(lot, known["state"])
        if self._journal.has_closed(lot):
            raise RefusedLotError(lot, "closed")
        standing = self._journal.open_batch
        if standing is not None and standing.lot != lot:
            raise BatchOpenError(standing.lot)
        if (stop := self._first_stop()) is not None and stop.kind in {"calibration", "disk", "program"}:
            raise StoppedLineError(stop.kind, stop.text.en, stop.text.zh)
        self._journal.begin(
            lot,
            self._rules,
            variety=known["variety"] if known else "",
            received_g=known["received_g"] if known else None,
            now=self._clock.now(),
        )
        self._changed()

    def close_batch(
        self, weighed_g: Mapping[str, int] | None, *, leaves_doubtful: bool = False, opened_at: str | None = None
    ) -> None:
        """Close the open batch, with what is still under the camera. Raises LineError.

        With `leaves_doubtful`, fruit that wait for a person are delivered as they are: the house holds the batch until
        somebody there has decided about them. `opened_at` is the opening of the batch that is meant, for who may have
        looked away meanwhile.
        """
        with self._belt_lock:
            batch = self._journal.open_batch
            if batch is None:
                raise NoBatchError
            self._demand(opened_at)
            self._empty_belt()
            if not self._keeper.wait(weights_s=_LAST_WEIGHTS_S):
                raise StoppedLineError("disk", self._keeper.disk_trouble or "the disk is slow", "磁盘写入失败")
            waiting = self._journal.doubtful()
            if waiting and not leaves_doubtful:
                raise UndecidedError(waiting)
            if waiting and weighed_g is not None:
                raise WeighingError(
                    "fruit that wait for a person are in no tier yet: close without weights",
                    "待定的果还没有分档，请不填称重直接结束",
                )
            if weighed_g is not None:
                present = {tier for tier, (fruit, *_) in self._journal.tally.by_tier.items() if fruit}
                _check_weights(weighed_g, present, batch.received_g)
            self._journal.end(weighed_g, now=self._clock.now())
            self._belt = None
            self._left_open = self._blind = 0
        self._changed()

    def judge(
        self,
        number: int,
        tier: str,
        reason: str,
        second_code: str | None,
        *,
        opened_at: str | None = None,
        was: str | None = None,
    ) -> None:
        """Decide about a fruit of the open batch. Raises LineError, SecondPersonError.

        `opened_at` and `was` are the batch's opening and the fruit's tier as whoever decides saw them: two panels may
        be looked at. The same decision twice is one.
        """
        tariff = self._grading.tariff
        self._demand(opened_at)
        row = self._journal.fruit(number)
        if was not in {None, row.tier}:
            if (row.tier, row.judged_reason) == (tier, reason):
                return
            raise DecidedError(number, row.tier)
        if tier not in tariff.tiers:
            raise TierError(tier, tuple(tariff.tiers))
        if reason not in JUDGEMENT_REASONS:
            raise TierError(reason, JUDGEMENT_REASONS)
        is_better = tariff.rank(tier) < tariff.rank(row.nominal_tier)
        if is_better:
            self._ask_second(row, tier, reason, second_code)
        self._journal.judge(
            number, tier, reason, tariff.price_fen(tier, row.mass_g), now=self._clock.now(), delivered=is_better
        )
        self._changed()

    def emergency(self, reason: str) -> None:
        """Send everything to the reject lane and stop grading, over restarts too. Twice is once."""
        self._wiring.outputs.emergency(reason)
        self._journal.remember(_EMERGENCY_NOTE, reason)
        self._changed()

    def clear_emergency(self) -> None:
        """Let the line run again. Twice is once."""
        self._journal.remember(_EMERGENCY_NOTE, None)
        self._wiring.outputs.clear()
        self._changed()

    def file(self, digest: bytes) -> bytes | None:
        """Return a crop or record by its SHA-256, or None."""
        return self._journal.file(digest)

    def picture(self) -> tuple[int, bytes] | None:
        """Return the latest annotated picture with its number; drawn once for all who look."""
        latest = self._latest
        if latest is None:
            return None
        shot, drawn = latest
        if self._drawn is None or self._drawn[0] != shot.number:
            self._drawn = shot.number, annotated(shot.pixels, drawn, is_sample=self._is_sample)
        return self._drawn

    def state(self) -> dict[str, Any]:
        """Return everything the console shows; looked up once for all who ask within a quarter of a second."""
        with self._state_lock:
            if self._state is None or self._stamps() - self._state[0] > _STATE_S:
                self._state = self._stamps(), self._look_up()
            return self._state[1]

    def _look_up(self) -> dict[str, Any]:
        now = self._clock.now()
        standing_alarms = self._all_alarms(now)
        self._since = {each.id: self._since.get(each.id, now) for each in standing_alarms}
        standing = self._delivery.standing()
        return {
            "as_of": format_time(now),
            "line": self._name,
            "house": self._house,
            "is_sample": self._is_sample,
            "source": self._source_state(now),
            "batch": self._batch_state(),
            "queue": [queued_shown(row) for row in self._journal.queue()],
            "last": [passed_shown(row) for row in self._journal.last()],
            "calibration": {
                "state": alarms.calibration_state(self._grading.profile, now),
                "valid_until": format_time(self._grading.profile.valid_until),
                "name": self._grading.profile.name,
            },
            "alarms": [
                {
                    "id": each.id,
                    "kind": each.kind,
                    "level": each.level.value,
                    "since": format_time(self._since[each.id]),
                    "text": {"zh": each.text.zh, "en": each.text.en},
                }
                for each in standing_alarms
            ],
            "delivery": {
                "state": standing.state,
                "waiting": standing.waiting,
                "delivered_at": None if standing.delivered_at is None else format_time(standing.delivered_at),
                "error": None if standing.error is None else ": ".join(standing.error),
            },
            "outputs": [
                {"name": wire.name, "state": wire.state.value, "detail": wire.detail} for wire in self._wiring.states()
            ],
            "marks": {each.value: self._looked[each] for each in Looked} if self._grading.looks_again else None,
            "tiers": list(self._grading.tariff.tiers),
            "reasons": list(JUDGEMENT_REASONS),
        }

    # --- the belt ---

    def _watch_belt(self) -> None:
        for shot in self._source.shots():
            if self._stopping.is_set():
                return
            self._seen_at.append(self._stamps())
            try:
                self._watch.check(shot)
                with self._belt_lock:
                    self._look(shot)
            except Exception as error:  # noqa: BLE001  # logged below, once for each row of them
                # Whatever a frame does to us must not end the line; it is told, and the next one is tried.
                if self._surprise is None:
                    _log.exception("a picture could not be graded")
                self._surprise = str(error) or type(error).__name__
        with self._belt_lock:
            self._empty_belt()

    def _look(self, shot: Shot) -> None:
        batch = self._journal.open_batch
        if batch is None and self._steady is not None and self._steady.set():
            self._wiring.outputs.forget("clock_set")  # what is still on its way is aimed at a moment of the old time
        if batch is None or self._first_stop() is not None:
            self._empty_belt()
            self._belt = None if batch is None else self._belt
            self._latest = shot, ()
            return
        if self._belt is None:
            self._belt = self._grading.belt(self._journal.tally.last_number + 1)
        passed = self._belt.feed(shot)
        self._blind = self._belt.blind
        self._doubts_encoder = shot.belt_um is not None and not self._belt.is_encoder_trusted
        self._surprise = None
        self._hand_on(passed, shot)
        self._latest = shot, self._belt.overlay()  # last: who has seen this picture finds its fruit handed on

    def _empty_belt(self) -> None:
        """Let what is under the camera pass; the same belt goes on with the next number."""
        if self._belt is not None and self._latest is not None:
            self._hand_on(self._belt.flush(), self._latest[0])

    def _hand_on(self, passed: Sequence[Passed], shot: Shot) -> None:
        batch = self._journal.open_batch
        if batch is None or not passed:
            return
        times = [shot.taken_at + timedelta(seconds=fruit.at_s - shot.at_s) for fruit in passed]
        self._keeper.add([Graded(fruit, batch.run, at) for fruit, at in zip(passed, times, strict=True)])
        for fruit in passed:
            self._passed_at.append(self._stamps())
            self._looked[fruit.looked_again] += 1

    def _changed(self) -> None:
        """Let the next who asks see what a person just did; a look that began before it is waited for."""
        with self._state_lock:
            self._state = None
        self._delivery.wake()

    # --- people ---

    def _demand(self, opened_at: str | None) -> None:
        """Raise OtherBatchError where the open batch is not the one that was opened then."""
        batch = self._journal.open_batch
        if batch is not None and opened_at not in {None, format_time(batch.opened_at)}:
            raise OtherBatchError(batch.lot)

    def _ask_second(self, row: LineFruit, tier: str, reason: str, second_code: str | None) -> None:
        if not self._delivery.is_online:
            raise OfflineSecondError(row.nominal_tier, tier)
        if not second_code:
            raise SecondPersonError(from_tier=row.nominal_tier, to_tier=tier)
        try:
            self._delivery.judge_with_second(row, tier, reason, second_code)
        except OfflineError as error:
            raise OfflineSecondError(row.nominal_tier, tier) from error
        except RefusedError as refusal:
            raise HouseRefusedError(refusal.code, str(refusal)) from refusal

    # --- what stands ---

    def _first_stop(self) -> Alarm | None:
        """Return why nothing may be graded now, or None. Asked for every picture: it touches no database."""
        return next((each for each in self._own_alarms(self._clock.now()) if each.level is Level.STOP), None)

    def _own_alarms(self, now: datetime) -> list[Alarm]:
        return [
            *alarms.emergency(self._wiring.outputs.emergency_reason),
            *alarms.program(self._failed),
            *alarms.rules(self._begun_otherwise()),
            *alarms.calibration(self._grading.profile, now),
            *alarms.camera(is_lost=self._source.state is SourceState.LOST, trouble=self._source.trouble),
            *alarms.light(self._watch.troubles, self._surprise),
            *alarms.wires(self._wiring.states(), self._journal.tally.lost),
            *alarms.scale(self._keeper.weights),
            *alarms.belt(blind=self._blind, doubts_encoder=self._doubts_encoder),
            *alarms.disk(self._journal.free_bytes(), self._disk_stop_bytes, self._keeper.disk_trouble),
        ]

    def _begun_otherwise(self) -> str | None:
        """Return by what the open batch was begun otherwise than fruit would be graded now; None where by nothing."""
        batch, rules = self._journal.open_batch, self._rules
        if batch is None:
            return None
        both = {
            "standard": (batch.standard_file, rules.standard_file),
            "price book": (batch.tariff_file, rules.tariff_file),
            "camera profile": (batch.profile_file, self._profile_file),
            "Brix": (batch.brix_tenths, rules.brix_tenths),
        }
        return next((name for name, (then, now) in both.items() if then != now), None)

    def _all_alarms(self, now: datetime) -> list[Alarm]:
        standing = self._delivery.standing()
        if standing.state != "offline":
            self._offline_since = None
        elif self._offline_since is None:
            self._offline_since = self._stamps()
        offline_s = 0.0 if self._offline_since is None else self._stamps() - self._offline_since
        refused = [gap for batch in self._journal.undelivered() for gap in self._journal.gaps(batch.id).items()]
        return [
            *self._own_alarms(now),
            *alarms.delivery(standing, offline_s, refused),
            *alarms.restarted(self._left_open),
        ]

    def _batch_state(self) -> dict[str, Any] | None:
        batch = self._journal.open_batch
        if batch is None:
            return None
        now = self._stamps()
        while self._passed_at and now - self._passed_at[0] > _RATE_S:
            self._passed_at.popleft()
        lanes = self._wiring.lanes.lane_of if self._wiring.has_gates else None
        tally = self._journal.tally
        return batch_shown(
            batch,
            tally,
            self._grading.tariff.tiers,
            lanes=lanes,
            rate_per_min=len(self._passed_at),
            lost=self._journal.lost(batch.id, most=_LOST_SHOWN) if tally.lost else [],
        )

    def _source_state(self, now: datetime) -> dict[str, Any]:
        state = self._source.state
        if state is not self._source_since[0]:
            self._source_since = state, now
        stamps = list(self._seen_at)
        is_moving = len(stamps) > 1 and self._stamps() - stamps[-1] < 2.0
        fps = (len(stamps) - 1) / max(stamps[-1] - stamps[0], 1e-3) if is_moving else 0.0
        return {
            "name": self._source.name,
            "state": state.value,
            "fps": round(fps, 1),
            "since": format_time(self._source_since[1]),
            "dropped": self._source.dropped,
            "skipped": sum(self._source.skipped.values()),
        }


def _canonical(scanned: str) -> str | None:
    try:
        return parse_digital_link(scanned.strip()).canonical()
    except IdentifierError:
        return None


def _lot_named(scanned: str) -> str | None:
    """Return the lot that a code names by itself, or None: crates name their lot to the house alone."""
    try:
        link = parse_digital_link(scanned.strip())
    except IdentifierError:
        return None
    return link.canonical() if {"01", "10"} <= set(link.values) and "21" not in link.values else None


def _check_weights(weighed_g: Mapping[str, int], present: set[str], received_g: int | None) -> None:
    if set(weighed_g) != present:
        listed = ", ".join(sorted(present))
        raise WeighingError(f"the fruit are in {listed}: weigh each of these", f"果在 {listed}，请逐档称重")
    if received_g is None:
        raise WeighingError(
            "the house has not told what it received; close without weights",
            "服务器还没有告知收货重量，请不填称重直接结束",
        )
    left_g = received_g - sum(weighed_g.values())
    if not 0 <= left_g <= received_g // 100:
        raise WeighingError(
            f"the tiers weigh {left_g} g less than the {received_g} g received; at most 1 % may be missing",
            f"各档合计比收货 {received_g} g 少 {left_g} g，最多允许少 1%",
        )
