"""Bringing what a line has counted to the house, whenever the house can be reached: each fruit once.

The order is: the batch, the evidence of the next fruit, these fruit, what people decided about them, and at the end
the batch's last number and its closing. Every step may be repeated, so an answer that was lost costs a repetition and
nothing else. What the house refuses stays here, under a name, and is asked again; nothing is dropped in silence.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httpx

from api.bundles import BUNDLE, bundled
from api.line_errors import ServerError
from api.line_journal import Journal
from api.line_tables import DELIVERED, WAITING, LineBatch, LineFruit
from ledger.kernel.clock import Clock, format_time

_log = logging.getLogger(__name__)

FRUIT_AT_ONCE: Final = 60
"""How many fruit one request counts: their evidence together stays below what one body may hold, mostly."""
BUNDLE_BYTES: Final = 3 * 1024 * 1024
TIMEOUT_S: Final = 20.0
CONNECT_S: Final = 5.0
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
HOUSE_EVERY_S: Final = 15.0
REFUSED_AGAIN_S: Final = 60.0
LOOK_EVERY_S: Final = 0.5
DISK_SHORT_BYTES: Final = 2 * 1024**3
"""With less room than this, files that the house has are let go before their batch is closed."""
KEPT_LAST: Final = 50
MOST_GAPS: Final = 3
"""So many fruit of a batch, or one in fifty, are left out where the house refuses them; for more, a person looks."""
MOST_LOST: Final = 10_000
"""Of so many fruit at most the house is told that their lane command came to nothing: the newest."""
_UNDECIDED: Final = "doubtful_left"
"""The house's word for a batch whose doubtful fruit wait for a person."""
_TRY_AGAIN: Final = frozenset({408, 429})
_HOUSE_NOTE, _TOKEN_NOTE = "house", "token"


class OfflineError(Exception):
    """The server cannot be reached, or is not well."""


class SignInNeededError(Exception):
    """The server does not know the session any more."""


class RefusedError(Exception):
    """The server refuses, and says why."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail", status)))
        self.status, self.code, self.problem = status, str(problem.get("code", status)), dict(problem)


@dataclass(frozen=True, slots=True)
class Standing:
    """How deliveries stand; `error` is a code and what it says.

    `state` is `up_to_date`, `waiting`, `offline`, `refused`, or `off` for a line that has no server.
    """

    state: str
    waiting: int
    delivered_at: datetime | None
    error: tuple[str, str] | None


class House:
    """The house's doors, over one connection. Raises OfflineError, SignInNeededError, RefusedError."""

    def __init__(
        self, server: str, *, transport: httpx.BaseTransport | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._http = httpx.Client(
            base_url=server.rstrip("/"),
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S)),
            transport=transport,
            follow_redirects=False,
        )
        self.token: str | None = None

    def close(self) -> None:
        """Let the connection go."""
        self._http.close()

    def sign_in(self, code: str) -> str:
        """Open a session with the station's printed code and return its token."""
        self.token = None
        answer = self._ask("POST", "/api/v1/sessions", json={"code": code})
        if answer["role"] not in {"station", "manager"}:
            raise RefusedError(403, {"code": "role_not_allowed", "detail": f"this code is a {answer['role']}'s"})
        self.token = str(answer["token"])
        return self.token

    def look(self) -> dict[str, Any]:
        """Return what a line must know to work alone."""
        return self._ask("GET", "/api/v1/station/line")

    def open_batch(self, batch: LineBatch) -> dict[str, Any]:
        """Open the batch of a run, or return it."""
        body = {
            "lot": batch.lot,
            "run": batch.run,
            "crop": batch.crop,
            "standard_file": batch.standard_file,
            "tariff_file": batch.tariff_file,
            "profile_file": batch.profile_file,
            "brix_tenths": batch.brix_tenths,
            "opened_at": format_time(batch.opened_at),
        }
        return self._ask("POST", "/api/v1/station/line/batches", json=body)

    def keep(self, files: list[bytes]) -> list[str]:
        """Bring files and return the SHA-256 of what is kept now."""
        answer = self._ask("POST", "/api/v1/station/files", content=bundled(files), headers={"content-type": BUNDLE})
        return list(answer["kept"])

    def count(
        self,
        ref: str,
        run: str,
        fruit: list[LineFruit],
        *,
        gaps: list[int],
        last: int | None = None,
        lost: Sequence[LineFruit] = (),
    ) -> dict[int, int]:
        """Bring fruit, and return the house's id of each by its number."""
        told = [{"number": each.number, "at": format_time(each.at), "record": each.files.split()[0]} for each in fruit]
        astray = [{"number": each.number, "why": json.loads(each.lost or "{}").get("kind", "")} for each in lost]
        body = {"run": run, "fruit": told, "gaps": gaps, "last": last, **({"lost": astray} if astray else {})}
        answer = self._ask("POST", f"/api/v1/station/batches/{ref}/fruit", json=body)
        return {each["number"]: each["id"] for each in answer["fruit"]}

    def judge(self, ref: str, run: str, fruit: list[LineFruit]) -> None:
        """Bring what people at the line decided."""
        told = [
            {
                "number": each.number,
                "tier": each.tier,
                "reason": each.judged_reason,
                "at": format_time(each.judged_at) if each.judged_at else None,
            }
            for each in fruit
        ]
        self._ask("POST", f"/api/v1/station/batches/{ref}/judgements", json={"run": run, "judgements": told})

    def judge_with_second(self, server_id: int, tier: str, reason: str, second_code: str) -> None:
        """Decide about one fruit at once, with a second person's code."""
        body = {"tier": tier, "reason": reason, "second_code": second_code}
        self._ask("POST", f"/api/v1/station/fruits/{server_id}/judgement", json=body)

    def close_batch(self, ref: str, weighed_g: Mapping[str, int] | None) -> None:
        """Close the batch: its fruit become graded lots."""
        self._ask("POST", f"/api/v1/station/batches/{ref}/close", json={"weighed_g": weighed_g})

    def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        headers = {"accept": "application/json", **request.pop("headers", {})}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        try:
            answer = self._http.request(method, path, headers=headers, **request)
        except httpx.HTTPError as error:
            raise OfflineError(str(error) or type(error).__name__) from error
        if answer.status_code >= 500 or answer.status_code in _TRY_AGAIN:
            raise OfflineError(f"the server answers {answer.status_code}")
        try:
            told = answer.json()
        except ValueError as error:
            raise OfflineError(f"the server answers {answer.status_code} and no JSON: is it ours?") from error
        if answer.is_success and isinstance(told, dict):
            return told
        if answer.status_code == 401 and isinstance(told, dict) and told.get("code") == "not_signed_in":
            raise SignInNeededError
        raise RefusedError(answer.status_code, told if isinstance(told, dict) else {})


class Delivery:
    """Delivers a journal to a house. `step` does one thing; `run` does them as they come, in a thread of its own."""

    def __init__(
        self,
        journal: Journal,
        house: House | None,
        *,
        code: str,
        clock: Clock,
        is_rehearsal: bool = False,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal, self._house, self._code, self._clock = journal, house, code, clock
        self._is_rehearsal, self._ticks = is_rehearsal, ticks
        self._token: str | None = journal.note(_TOKEN_NOTE)
        self._known: dict[str, Any] | None = journal.note(_HOUSE_NOTE)
        self._looked_at: float | None = None
        self._tried: dict[int, float] = {}
        self._error: tuple[str, str] | None = None
        self._is_offline = house is not None
        self._delivered_at: datetime | None = None
        self._lock = threading.Lock()
        self._woken = threading.Event()

    @property
    def known(self) -> dict[str, Any] | None:
        """What the house said last, now or before a restart; None where it has never been reached."""
        return self._known

    def lot(self, scanned: str) -> dict[str, Any] | None:
        """Return the lot that a lot's or a crate's code names, or None; the house is asked anew before None is said."""
        if lot_of(self._known, scanned) is None and self.is_online:
            self._looked_at = None
            self.step()
        return lot_of(self._known, scanned)

    @property
    def is_online(self) -> bool:
        """Whether the house answered last."""
        return not self._is_offline and self._house is not None

    def standing(self) -> Standing:
        """Return how deliveries stand."""
        waiting = self._journal.waiting()
        refusals = [json.loads(batch.refused) for batch in self._journal.undelivered() if batch.refused]
        if self._house is None:
            return Standing("off", waiting, self._delivered_at, None)
        if self._is_offline:
            return Standing("offline", waiting, self._delivered_at, self._error)
        if self._error is not None or refusals:
            error = self._error or (refusals[0]["code"], refusals[0]["detail"])
            return Standing("refused", waiting, self._delivered_at, error)
        return Standing("waiting" if waiting else "up_to_date", waiting, self._delivered_at, None)

    def wake(self) -> None:
        """Look for work now."""
        self._woken.set()

    def run(self, stopping: threading.Event) -> None:
        """Deliver until told to stop."""
        pause = FIRST_PAUSE_S
        while not stopping.is_set():
            is_busy = self.step()
            if self._is_offline or self._error is not None:
                # A wrong code is not tried ten times: the house would then listen to nobody from here.
                is_wrong = self._error is not None and self._error[0] == "sign_in_refused"
                stopping.wait(LONGEST_PAUSE_S if is_wrong else pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
                continue
            pause = FIRST_PAUSE_S
            if not is_busy:
                self._woken.wait(LOOK_EVERY_S)
                self._woken.clear()

    def step(self) -> bool:
        """Do the next thing there is to deliver and return whether there may be more; never raises for the network."""
        if self._house is None:
            return False
        with self._lock:
            try:
                more = self._step(self._house)
            except OfflineError as error:
                self._is_offline, self._error = True, ("offline", str(error))
            except SignInNeededError:
                self._forget_token()
                return True
            except RefusedError as refusal:
                self._is_offline, self._error = False, (refusal.code, str(refusal))
            except Exception as error:  # noqa: BLE001  # told below, as an alarm
                # An answer that is not ours, or a disk that is full: tried again, for the line goes on.
                _log.exception("a delivery failed")
                self._is_offline, self._error = False, ("unexpected", f"{type(error).__name__}: {error}")
            else:
                self._is_offline, self._error = False, None
                return more
            return False

    def settle(self) -> None:
        """Deliver until nothing more can be delivered now. Raises ServerError where something is left."""
        while self.step():
            pass
        standing = self.standing()
        if standing.state in {"offline", "refused"}:
            code, text = standing.error or (standing.state, "")
            raise ServerError(f"{code}: {text}", f"{code}：{text}")  # noqa: RUF001  # Chinese has its own colon

    def judge_with_second(self, fruit: LineFruit, tier: str, reason: str, second_code: str) -> None:
        """Decide at once with a second person's code. Raises OfflineError, RefusedError."""
        if self._house is None:
            raise OfflineError("this line has no server")
        with self._lock:
            try:
                self._judge_now(self._house, fruit, tier, reason, second_code=second_code)
            except SignInNeededError:
                self._forget_token()
                self._judge_now(self._house, fruit, tier, reason, second_code=second_code)

    def _judge_now(self, house: House, fruit: LineFruit, tier: str, reason: str, *, second_code: str) -> None:
        if house.token is None:
            self._sign_in(house)
        while (server_id := self._journal.fruit(fruit.number).server_id) is None:
            batch = next((each for each in self._journal.undelivered() if each.id == fruit.batch_id), None)
            if batch is None or not self._of_batch(house, batch):
                raise OfflineError("the fruit has not been delivered yet")
        house.judge_with_second(server_id, tier, reason, second_code)

    # --- steps ---

    def _step(self, house: House) -> bool:
        if house.token is None:
            self._sign_in(house)
        if self._looked_at is None or self._ticks() - self._looked_at >= HOUSE_EVERY_S:
            self._look(house)
        if self._is_rehearsal and not (self._known or {}).get("is_sample"):
            raise RefusedError(
                409, {"code": "rehearsal", "detail": "drawn fruit are delivered to a demonstration only"}
            )
        for batch in self._journal.undelivered():
            tried = self._tried.get(batch.id)
            if tried is not None and self._ticks() - tried < REFUSED_AGAIN_S:
                continue
            try:
                if self._of_batch(house, batch):
                    return True
            except RefusedError as refusal:
                if self._recovers(batch, refusal):
                    return True
                self._tried[batch.id] = self._ticks()
                told = {"code": refusal.code, "detail": str(refusal), "status": refusal.status}
                self._journal.mark_batch(batch.id, refused=json.dumps(told, ensure_ascii=False))
                _log.warning("the house refuses lot %s: %s", batch.lot, refusal)
        return False

    def _sign_in(self, house: House) -> None:
        house.token = self._token
        if house.token is None:
            self._token = house.sign_in(self._code)
            self._journal.remember(_TOKEN_NOTE, self._token)

    def _forget_token(self) -> None:
        self._token = None
        self._journal.remember(_TOKEN_NOTE, None)
        if self._house is not None:
            self._house.token = None

    def _look(self, house: House) -> None:
        known = house.look()
        for batch in self._journal.undelivered():
            lot = lot_of(known, batch.lot)
            if lot is not None and (lot["received_g"], lot["variety"]) != (batch.received_g, batch.variety):
                self._journal.settle(batch.lot, variety=lot["variety"], received_g=lot["received_g"])
        if known | {"as_of": None} != (self._known or {}) | {"as_of": None}:
            self._journal.remember(_HOUSE_NOTE, known)
        self._known, self._looked_at = known, self._ticks()

    def _of_batch(self, house: House, batch: LineBatch) -> bool:
        """Deliver the next part of a batch; return False where nothing of it waits. Raises RefusedError."""
        if batch.server_ref is None:
            if batch.closed_at is not None and self._journal.last_number(batch.id) == 0:
                self._journal.mark_batch(batch.id, delivered_at=self._clock.now())  # nothing ever passed
                return True
            self._open(house, batch)
            return True
        ref = batch.server_ref
        fruit = self._journal.fruit_waiting(batch.id, most=FRUIT_AT_ONCE)
        if fruit:
            for part in _parts(self._journal.files_waiting(fruit)):
                self._journal.mark_files(house.keep(list(part.values())), DELIVERED)
            gaps = [number for number in self._journal.gaps(batch.id) if number < fruit[-1].number]
            self._journal.mark_fruit(batch.id, house.count(ref, batch.run, fruit, gaps=gaps))
            self._done(batch)
            return True
        judged = self._journal.judgements_waiting(batch.id, most=FRUIT_AT_ONCE)
        if judged:
            house.judge(ref, batch.run, judged)
            self._journal.mark_judgements(judged, DELIVERED)
            self._done(batch)
            return True
        if batch.closed_at is None:
            return False
        last = self._journal.last_number(batch.id)
        lost = self._journal.lost(batch.id, most=MOST_LOST)
        house.count(ref, batch.run, [], gaps=list(self._journal.gaps(batch.id)), last=last, lost=lost)
        try:
            house.close_batch(ref, json.loads(batch.weighed_g))
        except RefusedError as refusal:
            if refusal.code != _UNDECIDED:
                raise
            # The line left them to the house, where somebody will decide: nothing is wrong, and it is asked again.
            self._tried[batch.id] = self._ticks()
            return False
        self._journal.mark_batch(batch.id, delivered_at=self._clock.now())
        self._journal.forget_files(batch.id)
        self._done(batch)
        return True

    def _open(self, house: House, batch: LineBatch) -> None:
        profile = self._journal.file(bytes.fromhex(batch.profile_file))
        if profile is not None:
            house.keep([profile])
        answer = house.open_batch(batch)
        self._journal.mark_batch(batch.id, server_ref=answer["ref"])
        self._journal.settle(batch.lot, variety=answer["variety"], received_g=answer["received_g"])

    def _done(self, batch: LineBatch) -> None:
        self._delivered_at = self._clock.now()
        self._tried.pop(batch.id, None)
        if self._journal.free_bytes() < DISK_SHORT_BYTES:
            self._journal.forget_files(batch.id, keep_last=KEPT_LAST)
        if batch.refused is not None:
            self._journal.mark_batch(batch.id)

    def _recovers(self, batch: LineBatch, refusal: RefusedError) -> bool:
        """Do what a refusal asks for, if it asks for something that can be done at once."""
        if refusal.code == "fruit_refused":
            refused = {each["number"]: each["reason"] for each in refusal.problem.get("refused", ())}
            missing = set(refusal.problem.get("missing", ()))
            if missing:  # the house lost what it had: bring it again, at once and then each minute
                waiting = self._journal.fruit_waiting(batch.id, most=FRUIT_AT_ONCE)
                names = {name for each in waiting if each.number in missing for name in each.files.split()}
                self._journal.mark_files(sorted(names), WAITING)
                is_first = batch.id not in self._tried
                self._tried[batch.id] = self._ticks() - REFUSED_AGAIN_S
                return is_first
            gaps = len(self._journal.gaps(batch.id)) + len(refused)
            if gaps > max(MOST_GAPS, self._journal.last_number(batch.id) // 50):
                return False  # so many at once are no bad fruit: something is wrong between us and the house
            self._journal.mark_refused(batch.id, refused)
            return bool(refused)
        if refusal.code == "fruit_gap" and refusal.problem.get("wanted", 0) <= self._journal.last_number(batch.id):
            # The house stands further back than we think: it was restored from a copy.
            before = self._journal.fruit_waiting(batch.id, most=1)
            if before and before[0].number <= refusal.problem["wanted"]:
                return False
            self._journal.again_from(batch.id, refusal.problem["wanted"])
            return True
        return False


def lot_of(known: Mapping[str, Any] | None, scanned: str) -> dict[str, Any] | None:
    """Return the lot that a lot's or a crate's code names among those the house told of, or None."""
    lots = (known or {}).get("lots", ())
    return next((lot for lot in lots if scanned == lot["lot"] or scanned in lot["crates"]), None)


def _parts(files: list[tuple[str, bytes]]) -> Iterator[dict[str, bytes]]:
    """Yield files in groups that one body may hold."""
    part: dict[str, bytes] = {}
    size = 0
    for name, data in files:
        if part and size + len(data) > BUNDLE_BYTES:
            yield part
            part, size = {}, 0
        part[name], size = data, size + len(data) + 4
    if part:
        yield part
