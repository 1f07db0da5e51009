"""What the ledger refuses.

LedgerError
├── EventError               a document that is not the EPCIS event it claims to be
├── ConflictingEventError    an eventID already recorded with other bytes
├── EntryTooLargeError       more than 65,535 bytes
├── FutureEventError         an event more than five minutes ahead of the log's clock
├── UnknownIdentifierError   nothing in the log names this identifier
├── NotPublishedError        the entry has no signed checkpoint over it yet
├── LogInconsistentError     the log no longer extends what was signed: nothing more is signed
├── PolicyError              a policy file that does not say what it demands
└── VerificationError        a proof, checkpoint or signature that does not hold, hostile input included
"""

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


class ConflictingEventError(LedgerError):
    """The eventID is recorded already, with other bytes and no error declaration."""

    code = "event_conflict"

    def __init__(self, event_id: str) -> None:
        super().__init__(
            f"{event_id} is already recorded with different content; declare an error instead of changing it"
        )
        self.event_id = event_id


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


class VerificationError(LedgerError):
    """A proof does not hold. The only exception a verifier raises, whatever it is fed."""

    code = "does_not_verify"
