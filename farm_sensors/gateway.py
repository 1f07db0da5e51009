"""The farm's end: packs are signed, kept in a file, and sent until the other side has taken them.

A pack leaves the file only when its receipt came, and a receipt is given only after the other side
committed. A kill at any point loses nothing; what is sent twice is taken once, because the very same
bytes are sent again.
"""

import base64
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import httpx

from farm_sensors.errors import InvalidDeviceError, TransportError
from farm_sensors.keys import DeviceKey
from farm_sensors.packs import Reading, pack_bytes
from farm_sensors.quantities import QUANTITIES

READINGS_PER_PACK: Final = 300
DELIVERED_AT_ONCE: Final = 100
RETRY_CODES: Final = frozenset({"unknown_device", "bad_signature", "reading_from_future"})
"""Refusals that may pass by themselves: the device is enrolled later, a clock catches up."""


class Outcome(StrEnum):
    """What became of a pack on the other side."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class SignedPack:
    """One pack as it is sent, again and again if need be."""

    sequence: int
    body: bytes
    signature: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the body: what a receipt names."""
        return sha256(self.body).digest()


@dataclass(frozen=True, slots=True)
class Receipt:
    """The other side's word on one pack. `code` says why, where it was refused."""

    digest: bytes
    outcome: Outcome
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Flushed:
    """What one `flush` achieved."""

    delivered: int
    refused: int
    left: int


class Transport(Protocol):
    """A way to the other side."""

    def deliver(self, device_id: str, packs: Sequence[SignedPack]) -> Iterator[Receipt]:
        """Send the packs and yield receipts as they come. Raises TransportError when it is no use now."""
        ...


class HttpTransport:
    """POST /api/v1/readings, one pack per request."""

    def __init__(self, url: str, *, client: httpx.Client | None = None, timeout_s: float = 10) -> None:
        self._url = url.rstrip("/") + "/api/v1/readings"
        self._client = client or httpx.Client(timeout=timeout_s)

    def deliver(self, device_id: str, packs: Sequence[SignedPack]) -> Iterator[Receipt]:
        """Send the packs in order. Raises TransportError at the first that gets no clear answer."""
        for pack in packs:
            yield self._post(device_id, pack)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _post(self, device_id: str, pack: SignedPack) -> Receipt:
        headers = {
            "Content-Type": "application/senml+json",
            "Guoyuan-Device": device_id,
            "Guoyuan-Signature": base64.b64encode(pack.signature).decode(),
        }
        try:
            response = self._client.post(self._url, content=pack.body, headers=headers)
        except httpx.HTTPError as error:
            raise TransportError(f"{self._url}: {type(error).__name__} {error}") from error
        if response.is_success:
            return Receipt(pack.digest, Outcome.ACCEPTED)
        code = _problem_code(response)
        # Anything but a word about this very pack means: not now (a proxy, an overload, a sign-in page).
        if response.is_client_error and response.status_code not in (408, 429) and code is not None:
            return Receipt(pack.digest, Outcome.REFUSED, code)
        raise TransportError(f"{self._url} answered {response.status_code}")


class Gateway:
    """One device's store and forward. Use it as a context manager, or `close` it."""

    def __init__(self, store: Path, device_id: str, key: DeviceKey, transport: Transport) -> None:
        self._device_id, self._key, self._transport = device_id, key, transport
        store.parent.mkdir(parents=True, exist_ok=True)
        self._store = sqlite3.connect(store, isolation_level=None)
        self._store.execute("PRAGMA journal_mode=WAL")
        self._store.execute("PRAGMA synchronous=FULL")
        with closing(self._store.cursor()) as cursor:
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS pack (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL,"
                " signature BLOB NOT NULL, refused TEXT)"
            )
            cursor.execute("CREATE TABLE IF NOT EXISTS counter (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER)")
            # A lost file starts over: beginning at the clock's milliseconds keeps its numbers above the old ones.
            cursor.execute("INSERT OR IGNORE INTO counter VALUES (1, ?)", (time.time_ns() // 1_000_000,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, readings: Iterable[Reading]) -> int:
        """Sign readings into packs and keep them; return how many packs. Safe against a kill once it returns.

        Values are in the kept unit of their quantity. Raises InvalidDeviceError for an unknown quantity.
        """
        every = list(readings)
        for reading in every:
            if reading.quantity not in QUANTITIES:
                raise InvalidDeviceError(self._device_id, f"has no quantity {reading.quantity!r}")
        groups = [every[i : i + READINGS_PER_PACK] for i in range(0, len(every), READINGS_PER_PACK)]
        self._store.execute("BEGIN IMMEDIATE")
        try:
            for group in groups:
                self._keep(group)
        except BaseException:
            self._store.execute("ROLLBACK")
            raise
        self._store.execute("COMMIT")
        return len(groups)

    def flush(self) -> Flushed:
        """Send what is kept, oldest first, and forget what was taken.

        Raises TransportError when the other side cannot be reached; what it had taken until then is
        forgotten all the same. A refusal that cannot pass by itself is set aside for a person.
        """
        delivered = refused = 0
        after = 0
        while packs := self._waiting(after):
            after = packs[-1].sequence
            by_digest = {pack.digest: pack for pack in packs}
            for receipt in self._transport.deliver(self._device_id, packs):
                pack = by_digest.get(receipt.digest)
                if pack is None:
                    continue
                if receipt.outcome is not Outcome.REFUSED:
                    self._store.execute("DELETE FROM pack WHERE sequence = ?", (pack.sequence,))
                    delivered += 1
                elif receipt.code not in RETRY_CODES:
                    self._store.execute(
                        "UPDATE pack SET refused = ? WHERE sequence = ?", (receipt.code or "refused", pack.sequence)
                    )
                    refused += 1
        return Flushed(delivered, refused, self.waiting())

    def waiting(self) -> int:
        """Return how many packs are still to be delivered."""
        return int(self._store.execute("SELECT count(*) FROM pack WHERE refused IS NULL").fetchone()[0])

    def refused(self) -> list[tuple[int, str]]:
        """Return number and reason of the packs set aside."""
        rows = self._store.execute("SELECT sequence, refused FROM pack WHERE refused IS NOT NULL ORDER BY sequence")
        return [(int(sequence), str(code)) for sequence, code in rows]

    def close(self) -> None:
        """Close the file. Nothing is lost."""
        self._store.close()

    def _keep(self, readings: Sequence[Reading]) -> None:
        (sequence,) = self._store.execute("UPDATE counter SET last = last + 1 RETURNING last").fetchone()
        body = pack_bytes(self._device_id, sequence, readings)
        signature = self._key.sign(body)
        self._store.execute("INSERT INTO pack VALUES (?, ?, ?, NULL)", (sequence, body, signature))

    def _waiting(self, after: int) -> list[SignedPack]:
        rows = self._store.execute(
            "SELECT sequence, body, signature FROM pack WHERE refused IS NULL AND sequence > ?"
            " ORDER BY sequence LIMIT ?",
            (after, DELIVERED_AT_ONCE),
        )
        return [SignedPack(*row) for row in rows]


def _problem_code(response: httpx.Response) -> str | None:
    try:
        code = response.json()["code"]
    except (ValueError, KeyError, TypeError):
        return None
    return code if isinstance(code, str) else None
