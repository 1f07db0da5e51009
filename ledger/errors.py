"""What the ledger refuses.

LedgerError
├── EventError               a document that is not the EPCIS event it claims to be
│   └── UnknownContextError  a JSON-LD context that is not on our list
├── DocumentError            bytes that are not the EPCIS document they claim to be: all its problems
├── ConflictingEventError    an eventID already recorded with other bytes
├── BorrowedWordsError       an event from outside speaks in our own words, or declares one of our events wrong
├── TooManyEventsError       a document holds more events than one capture takes
├── UnknownCaptureError      no capture job has this id
├── QueryParameterError      a query parameter that is not known here, or does not say what it must
├── QueryTooLargeError       more events match than the query, or this repository, allows
├── QueryTooComplexError     the query would have to look at too many entries
├── EntryTooLargeError       more than 65,535 bytes
├── FutureEventError         an event more than five minutes ahead of the log's clock
├── UnknownIdentifierError   nothing in the log names this identifier
├── NotPublishedError        the entry has no signed checkpoint over it yet
├── LogInconsistentError     the log no longer extends what was signed: nothing more is signed
├── PolicyError              a policy file that does not say what it demands
├── WitnessRefusalError      a witness does not cosign (C2SP tlog-witness)
│   ├── MalformedRequestError    the request is not of its form, or its old size is beyond the checkpoint
│   ├── UnwatchedLogError        the checkpoint is of no log that this witness watches
│   ├── UnsignedCheckpointError  the log's key did not sign it
│   ├── OtherSizeError           the old size is not the one remembered, or its root is not
│   └── ForkedLogError           the checkpoint does not extend the one remembered
└── VerificationError        a proof, checkpoint or signature that does not hold, hostile input included
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.kernel.errors import OriginError


class LedgerError(OriginError):
    """The ledger refuses."""

    code = "ledger"


class EventError(LedgerError):
    """A document that is not the EPCIS event it claims to be. `path` says where."""

    code = "event_invalid"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a document: where, as `$.epcisBody.eventList[3].bizStep`, and why."""

    path: str
    reason: str


class DocumentError(LedgerError):
    """Bytes that are not the EPCIS document they claim to be. `problems` says where and why, at least once."""

    code = "document_invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        first, more = problems[0], len(problems) - 1
        super().__init__(f"{first.path}: {first.reason}" + (f" (and {more} more)" if more else ""))
        self.problems = tuple(problems)


class UnknownContextError(EventError):
    """A JSON-LD context that is not on our list. It is named, and never fetched."""

    code = "context_unknown"

    def __init__(self, path: str, context: object) -> None:
        super().__init__(path, f"{_shortened(repr(context))} is not a context known here, and none is fetched")
        self.context = context


class ConflictingEventError(LedgerError):
    """The eventID is recorded already, with other bytes and no error declaration."""

    code = "event_conflict"

    def __init__(self, event_id: str) -> None:
        super().__init__(
            f"{event_id} is already recorded with different content; declare an error instead of changing it"
        )
        self.event_id = event_id


class BorrowedWordsError(LedgerError):
    """An event from outside speaks in our own words (`gy:`), or declares one of our own events wrong.

    Taken in, it would pass for our sentence: followers would act on it, and histories would show it as ours.
    """

    code = "words_borrowed"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


class TooManyEventsError(LedgerError):
    """A document holds more events than one capture takes."""

    code = "too_many_events"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"the document holds {count} events; one capture takes at most {limit}: send it in parts")
        self.count, self.limit = count, limit


class UnknownCaptureError(LedgerError):
    """No capture job has this id, or it is somebody else's."""

    code = "unknown_capture"

    def __init__(self, capture_id: str) -> None:
        super().__init__(f"there is no capture job {capture_id[:80]!r}")
        self.capture_id = capture_id


class QueryParameterError(LedgerError):
    """A query parameter that is not known here, or whose value is not what it must be."""

    code = "query_parameter"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


class QueryTooLargeError(LedgerError):
    """More events match than the query allows."""

    code = "query_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} events match")
        self.limit = limit


class QueryTooComplexError(LedgerError):
    """The query would have to look at more entries than one request may."""

    code = "query_too_complex"

    def __init__(self, limit: int) -> None:
        super().__init__(f"this would look at more than {limit} entries; name an identifier, a time or an eventID")
        self.limit = limit


class EntryTooLargeError(LedgerError):
    """An entry is at most 65,535 bytes, so that it fits a C2SP entry bundle."""

    code = "entry_too_large"

    def __init__(self, size: int) -> None:
        super().__init__(f"the event is {size} bytes; an entry holds at most 65535")
        self.size = size


class FutureEventError(LedgerError):
    """The event claims a time more than five minutes ahead."""

    code = "event_in_future"

    def __init__(self, event_time: str, now: str) -> None:
        super().__init__(f"eventTime {event_time} is in the future (now {now})")
        self.event_time, self.now = event_time, now


class UnknownIdentifierError(LedgerError):
    """Nothing in the log names this identifier."""

    code = "unknown_identifier"

    def __init__(self, identifier: str) -> None:
        super().__init__(f"nothing in the log names {identifier}")
        self.identifier = identifier


class NotPublishedError(LedgerError):
    """The entry is recorded, but no signed checkpoint covers it yet."""

    code = "not_published"


class LogInconsistentError(LedgerError):
    """The stored log does not extend the last signed checkpoint. Nothing more will be signed."""

    code = "log_inconsistent"


class PolicyError(LedgerError):
    """A policy file that does not say what it demands. `line` counts from 1; 0 stands for the whole file."""

    code = "policy_invalid"

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"policy, line {line}: {reason}" if line else f"policy: {reason}")
        self.line, self.reason = line, reason


class WitnessRefusalError(LedgerError):
    """A witness does not cosign."""

    code = "witness_refuses"


class MalformedRequestError(WitnessRefusalError):
    """The request is not of the form that C2SP tlog-witness gives it."""

    code = "witness_request"


class UnwatchedLogError(WitnessRefusalError):
    """The checkpoint is of no log that this witness watches."""

    code = "witness_unwatched"

    def __init__(self, origin: str) -> None:
        super().__init__(f"this witness does not watch the log {origin[:200]!r}")
        self.origin = origin


class UnsignedCheckpointError(WitnessRefusalError):
    """No key of that log signed the checkpoint, or a signature of one does not hold."""

    code = "witness_unsigned"


class OtherSizeError(WitnessRefusalError):
    """The witness remembers another size, or another root at this size. `size` is the one it remembers."""

    code = "witness_other_size"

    def __init__(self, size: int, reason: str) -> None:
        super().__init__(reason)
        self.size = size


class ForkedLogError(WitnessRefusalError):
    """The checkpoint is not proved to extend the one remembered."""

    code = "witness_forked"


class VerificationError(LedgerError):
    """A proof does not hold. The only exception a verifier raises, whatever it is fed."""

    code = "does_not_verify"


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
