"""What the edge refuses, and the one table from error type to HTTP status.

AccessError
├── NotSignedInError         nobody, or somebody whose session ended, asks for what has an owner
├── RoleNotAllowedError      the account's role may not do this
├── CrossOriginError         a signed-in browser was sent here by another site
├── SignInRefusedError       the code or link is unknown, used or expired
├── TooManyAttemptsError     too many failed sign-ins from here, or for this code
├── BodyTooLargeError        the request body is larger than this address takes
├── BusyError                too many large bodies at once; try again in a moment
├── UnsupportedMediaError    the body is of a type this address does not read
├── NotHereError             nothing is kept at this address
├── UnknownPersonError       no account has this reference
├── UnknownChannelError      no sale channel has this name
├── ChannelExistsError       a sale channel of this name has a secret already
└── SetupFileError           a set-up file says something that cannot be
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from ledger import errors as ledger_errors
from ledger.kernel.clock import TimeError
from ledger.kernel.errors import IdentifierError, OriginError, QuantityError, SettingsError
from ledger.kernel.files import MissingFileError


class AccessError(OriginError):
    """The edge refuses before any trade is asked."""

    code = "access"


class NotSignedInError(AccessError):
    """The request carries no session, or one that has ended."""

    code = "not_signed_in"

    def __init__(self, reason: str = "sign in, or send a bearer token") -> None:
        super().__init__(reason)


class RoleNotAllowedError(AccessError):
    """The account is known, but its role may not do this."""

    code = "role_not_allowed"

    def __init__(self, role: str, *, allowed: Sequence[str]) -> None:
        super().__init__(f"this needs the role {' or '.join(allowed)}; you are signed in as {role}")
        self.role, self.allowed = role, list(allowed)


class CrossOriginError(AccessError):
    """A write that another site's page sent with our cookie."""

    code = "cross_origin"

    def __init__(self, origin: str) -> None:
        super().__init__(f"a write from {origin} may not use this site's sign-in")
        self.origin = origin


class SignInRefusedError(AccessError):
    """The code or link does not open an account. Does not say which part was wrong."""

    code = "sign_in_refused"

    def __init__(self) -> None:
        super().__init__("this code or link is not valid, was used already, or has expired; ask for a new one")


class TooManyAttemptsError(AccessError):
    """Signing in failed too often. `retry_after_s` says how long to wait."""

    code = "too_many_attempts"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many failed sign-ins; wait {retry_after_s} s and try again")
        self.retry_after_s = retry_after_s


class BodyTooLargeError(AccessError):
    """The body is larger than this address takes."""

    code = "body_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than the {limit_bytes} bytes this address takes")
        self.limit_bytes = limit_bytes


class BusyError(AccessError):
    """Too many large bodies are being received at once."""

    code = "busy"

    def __init__(self) -> None:
        super().__init__("too many large uploads at once; nothing was kept, send it again in a moment")
        self.retry_after_s = 1


class UnsupportedMediaError(AccessError):
    """The body is of a type this address does not read."""

    code = "unsupported_media"

    def __init__(self, media_type: str, *, accepted: Sequence[str]) -> None:
        super().__init__(f"a body of type {media_type or '(none)'} is not read here; send {' or '.join(accepted)}")
        self.media_type, self.accepted = media_type, list(accepted)


class NotHereError(AccessError):
    """Nothing is kept at this address."""

    code = "not_here"


class UnknownPersonError(AccessError):
    """No account has this reference."""

    code = "unknown_person"

    def __init__(self, ref: str) -> None:
        super().__init__(f"nobody here has the reference {ref!r}")
        self.ref = ref


class UnknownChannelError(AccessError):
    """No sale channel has this name."""

    code = "unknown_channel"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no sale channel {name!r}; add it with: guoyuan channels add {name}")
        self.name = name


class ChannelExistsError(AccessError):
    """The channel has a secret already; replacing it silently would cut the platform off."""

    code = "channel_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"the sale channel {name!r} exists; use --replace to give it a new secret")
        self.name = name


class SetupFileError(AccessError):
    """A set-up file cannot be used. Each problem names its path."""

    code = "setup_file"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


S = HTTPStatus

STATUS: Final[Mapping[type[OriginError], HTTPStatus]] = {
    OriginError: S.CONFLICT,
    SettingsError: S.INTERNAL_SERVER_ERROR,
    IdentifierError: S.UNPROCESSABLE_ENTITY,
    QuantityError: S.UNPROCESSABLE_ENTITY,
    TimeError: S.UNPROCESSABLE_ENTITY,
    MissingFileError: S.NOT_FOUND,
    # the edge
    AccessError: S.FORBIDDEN,
    NotSignedInError: S.UNAUTHORIZED,
    RoleNotAllowedError: S.FORBIDDEN,
    CrossOriginError: S.FORBIDDEN,
    SignInRefusedError: S.UNAUTHORIZED,
    TooManyAttemptsError: S.TOO_MANY_REQUESTS,
    BodyTooLargeError: S.REQUEST_ENTITY_TOO_LARGE,
    BusyError: S.SERVICE_UNAVAILABLE,
    UnsupportedMediaError: S.UNSUPPORTED_MEDIA_TYPE,
    NotHereError: S.NOT_FOUND,
    UnknownPersonError: S.NOT_FOUND,
    UnknownChannelError: S.NOT_FOUND,
    ChannelExistsError: S.CONFLICT,
    SetupFileError: S.UNPROCESSABLE_ENTITY,
    # the log
    ledger_errors.LedgerError: S.CONFLICT,
    ledger_errors.EventError: S.UNPROCESSABLE_ENTITY,
    ledger_errors.ConflictingEventError: S.CONFLICT,
    ledger_errors.EntryTooLargeError: S.UNPROCESSABLE_ENTITY,
    ledger_errors.FutureEventError: S.UNPROCESSABLE_ENTITY,
    ledger_errors.UnknownIdentifierError: S.NOT_FOUND,
    ledger_errors.NotPublishedError: S.CONFLICT,
    ledger_errors.LogInconsistentError: S.SERVICE_UNAVAILABLE,
    ledger_errors.VerificationError: S.UNPROCESSABLE_ENTITY,
}
"""Unreadable input is 422; a rule of the trade that says no is 409, 403 or 404."""


def status_of(kind: type[OriginError]) -> HTTPStatus:
    """Return the status of an error type, or of its nearest ancestor that has one."""
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)
