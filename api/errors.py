"""What the edge refuses, and the one table from error type to HTTP status.

AccessError
├── NotSignedInError         nobody, or somebody whose session ended, asks for what has an owner
├── RoleNotAllowedError      the account's role may not do this
├── CrossOriginError         a signed-in browser was sent here by another site
├── SignInRefusedError       the code or link is unknown, used or expired
├── TooManyAttemptsError     too many failed sign-ins from here, or for this code
├── BodyTooLargeError        the request body is larger than this address takes
├── BusyError                too many large bodies at once; try again in a moment
├── SlowBodyError            the body came too slowly
├── NotAcceptableError       the answer is asked for in a form that is not written here
├── AddressTooLongError      the address is longer than this door reads
├── UnsupportedMediaError    the body is of a type this address does not read
├── NotHereError             nothing is kept at this address
├── UnknownPersonError       no account has this reference
├── UnknownChannelError      no sale channel has this name
├── ChannelExistsError       a sale channel of this name has a secret already
├── ChannelNameError         a name for a sale channel that cannot stand in an address
└── SetupFileError           a set-up file says something that cannot be
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from api import line_errors
from api.i18n import MissingMessageError
from contracts import errors as chain_errors
from farm_sensors import errors as sensor_errors
from grading import errors as grading_errors
from ledger import errors as ledger_errors
from ledger.kernel.clock import TimeError
from ledger.kernel.errors import IdentifierError, OriginError, QuantityError, SettingsError
from ledger.kernel.files import MissingFileError
from orders import errors as order_errors


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


class SlowBodyError(AccessError):
    """The body came too slowly: whoever dribbles would hold a place for ever."""

    code = "slow_body"

    def __init__(self) -> None:
        super().__init__("the body came too slowly; nothing was kept, send it again over a better line")


class NotAcceptableError(AccessError):
    """The answer is asked for in a form that is not written here."""

    code = "not_acceptable"

    def __init__(self, header: str, value: str, reason: str) -> None:
        super().__init__(f"{header}: {value[:80]}: {reason}")
        self.header, self.value = header, value[:80]


class AddressTooLongError(AccessError):
    """The address is longer than this door reads."""

    code = "address_too_long"

    def __init__(self, limit_characters: int) -> None:
        super().__init__(f"the query of this address is longer than {limit_characters} characters; ask in parts")
        self.limit_characters = limit_characters


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


class ChannelNameError(AccessError):
    """A name that cannot stand in an address."""

    code = "channel_name"


class SetupFileError(AccessError):
    """A set-up file cannot be used. Each problem names its path."""

    code = "setup_file"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


S = HTTPStatus

_LEDGER: Final[Mapping[type[OriginError], HTTPStatus]] = {
    ledger_errors.LedgerError: S.CONFLICT,
    ledger_errors.EventError: S.UNPROCESSABLE_ENTITY,
    ledger_errors.UnknownContextError: S.UNPROCESSABLE_ENTITY,
    ledger_errors.DocumentError: S.UNPROCESSABLE_ENTITY,
    ledger_errors.ConflictingEventError: S.CONFLICT,
    ledger_errors.BorrowedWordsError: S.FORBIDDEN,
    ledger_errors.TooManyEventsError: S.REQUEST_ENTITY_TOO_LARGE,
    ledger_errors.UnknownCaptureError: S.NOT_FOUND,
    ledger_errors.QueryParameterError: S.BAD_REQUEST,
    ledger_errors.QueryTooLargeError: S.REQUEST_ENTITY_TOO_LARGE,
    ledger_errors.QueryTooComplexError: S.REQUEST_ENTITY_TOO_LARGE,
    ledger_errors.EntryTooLargeError: S.UNPROCESSABLE_ENTITY,
    ledger_errors.FutureEventError: S.UNPROCESSABLE_ENTITY,
    ledger_errors.UnknownIdentifierError: S.NOT_FOUND,
    ledger_errors.NotPublishedError: S.CONFLICT,
    ledger_errors.LogInconsistentError: S.SERVICE_UNAVAILABLE,
    ledger_errors.PolicyError: S.UNPROCESSABLE_ENTITY,
    ledger_errors.WitnessRefusalError: S.CONFLICT,
    ledger_errors.MalformedRequestError: S.BAD_REQUEST,
    ledger_errors.UnwatchedLogError: S.NOT_FOUND,
    ledger_errors.UnsignedCheckpointError: S.FORBIDDEN,
    ledger_errors.OtherSizeError: S.CONFLICT,
    ledger_errors.ForkedLogError: S.UNPROCESSABLE_ENTITY,
    ledger_errors.VerificationError: S.UNPROCESSABLE_ENTITY,
}
_SENSORS: Final[Mapping[type[OriginError], HTTPStatus]] = {
    sensor_errors.SensorError: S.CONFLICT,
    sensor_errors.UnknownDeviceError: S.UNAUTHORIZED,
    sensor_errors.AlreadyEnrolledError: S.CONFLICT,
    sensor_errors.NotAttachableError: S.CONFLICT,
    sensor_errors.InvalidDeviceError: S.UNPROCESSABLE_ENTITY,
    sensor_errors.PackError: S.UNPROCESSABLE_ENTITY,
    sensor_errors.BadSignatureError: S.UNAUTHORIZED,
    sensor_errors.PackTooLargeError: S.REQUEST_ENTITY_TOO_LARGE,
    sensor_errors.MalformedPackError: S.UNPROCESSABLE_ENTITY,
    sensor_errors.UnknownQuantityError: S.UNPROCESSABLE_ENTITY,
    sensor_errors.WrongUnitError: S.UNPROCESSABLE_ENTITY,
    sensor_errors.ReadingFromFutureError: S.UNPROCESSABLE_ENTITY,
    sensor_errors.NoSeriesError: S.CONFLICT,
    sensor_errors.UnreadableFileError: S.UNPROCESSABLE_ENTITY,
    sensor_errors.KeyFileError: S.UNPROCESSABLE_ENTITY,
    sensor_errors.TransportError: S.SERVICE_UNAVAILABLE,
}
_ORDERS: Final[Mapping[type[OriginError], HTTPStatus]] = {
    order_errors.OrderError: S.CONFLICT,
    order_errors.MessageError: S.BAD_REQUEST,
    order_errors.ForgedMessageError: S.UNAUTHORIZED,
    order_errors.StaleMessageError: S.UNAUTHORIZED,
    order_errors.MalformedMessageError: S.UNPROCESSABLE_ENTITY,
    order_errors.NotFoundError: S.NOT_FOUND,
    order_errors.InvalidInputError: S.UNPROCESSABLE_ENTITY,
    order_errors.ListingError: S.CONFLICT,
    order_errors.BroadcastClosedError: S.CONFLICT,
    order_errors.DuplicateListingError: S.CONFLICT,
    order_errors.BelowHeldError: S.CONFLICT,
    order_errors.PickError: S.CONFLICT,
    order_errors.NotYourPlotError: S.FORBIDDEN,
    order_errors.YieldCapError: S.CONFLICT,
    order_errors.TooEarlyError: S.CONFLICT,
    order_errors.CrateInUseError: S.CONFLICT,
    order_errors.LotStateError: S.CONFLICT,
    order_errors.SamePartyError: S.FORBIDDEN,
    order_errors.QuotaError: S.CONFLICT,
    order_errors.PackError: S.CONFLICT,
    order_errors.LoadError: S.CONFLICT,
}
_GRADING: Final[Mapping[type[OriginError], HTTPStatus]] = {
    grading_errors.GradingError: S.CONFLICT,
    grading_errors.CannotGradeError: S.UNPROCESSABLE_ENTITY,
    grading_errors.UnreadableFileError: S.UNPROCESSABLE_ENTITY,
    grading_errors.BrokenImageError: S.UNPROCESSABLE_ENTITY,
    grading_errors.ImageTooLargeError: S.REQUEST_ENTITY_TOO_LARGE,
    grading_errors.ImageTooSmallError: S.UNPROCESSABLE_ENTITY,
    grading_errors.NoScaleError: S.UNPROCESSABLE_ENTITY,
    grading_errors.TiltedScaleError: S.UNPROCESSABLE_ENTITY,
    grading_errors.ScaleMovedError: S.UNPROCESSABLE_ENTITY,
    grading_errors.NoFruitError: S.UNPROCESSABLE_ENTITY,
    grading_errors.UsedPhotographError: S.CONFLICT,
    grading_errors.ModelFileError: S.INTERNAL_SERVER_ERROR,
    grading_errors.DatasetError: S.UNPROCESSABLE_ENTITY,
    grading_errors.TrainingError: S.CONFLICT,
    grading_errors.RenderingError: S.UNPROCESSABLE_ENTITY,
    grading_errors.StandardError: S.INTERNAL_SERVER_ERROR,
    grading_errors.UnknownCropError: S.UNPROCESSABLE_ENTITY,
    grading_errors.SourceError: S.UNPROCESSABLE_ENTITY,
    grading_errors.CameraLostError: S.SERVICE_UNAVAILABLE,
    grading_errors.SkippedError: S.UNPROCESSABLE_ENTITY,
    grading_errors.ProfileError: S.UNPROCESSABLE_ENTITY,
    grading_errors.BoardError: S.UNPROCESSABLE_ENTITY,
    grading_errors.ColourCardError: S.UNPROCESSABLE_ENTITY,
    grading_errors.CalibrationFailedError: S.UNPROCESSABLE_ENTITY,
    grading_errors.CalibrationMissingError: S.CONFLICT,
    grading_errors.CalibrationExpiredError: S.CONFLICT,
    grading_errors.UnknownLotError: S.NOT_FOUND,
    grading_errors.HeldLotError: S.CONFLICT,
    grading_errors.GradedLotError: S.CONFLICT,
    grading_errors.UnknownBatchError: S.NOT_FOUND,
    grading_errors.ClosedBatchError: S.CONFLICT,
    grading_errors.EmptyBatchError: S.CONFLICT,
    grading_errors.DoubtfulLeftError: S.CONFLICT,
    grading_errors.UnknownFruitError: S.NOT_FOUND,
    grading_errors.JudgementError: S.UNPROCESSABLE_ENTITY,
    grading_errors.SecondPersonError: S.FORBIDDEN,
    grading_errors.UnbalancedError: S.CONFLICT,
    grading_errors.OtherStandardError: S.CONFLICT,
    grading_errors.OtherRunError: S.CONFLICT,
    grading_errors.FruitRefusedError: S.UNPROCESSABLE_ENTITY,
    grading_errors.FruitGapError: S.CONFLICT,
    grading_errors.ClockAheadError: S.CONFLICT,
    grading_errors.LateFruitError: S.CONFLICT,
    grading_errors.StillRunningError: S.CONFLICT,
    grading_errors.ComparisonError: S.UNPROCESSABLE_ENTITY,
    grading_errors.UnknownEvidenceError: S.NOT_FOUND,
    grading_errors.EvidenceError: S.CONFLICT,
    grading_errors.WiringError: S.CONFLICT,
    grading_errors.ScaleFrameError: S.UNPROCESSABLE_ENTITY,
}
_CHAIN: Final[Mapping[type[OriginError], HTTPStatus]] = {
    chain_errors.ChainError: S.BAD_GATEWAY,
    chain_errors.ChainUnreachableError: S.SERVICE_UNAVAILABLE,
    chain_errors.ChainFileError: S.INTERNAL_SERVER_ERROR,
    chain_errors.ReadOnlyChainError: S.CONFLICT,
    chain_errors.PublisherKeyError: S.INTERNAL_SERVER_ERROR,
    chain_errors.SignerError: S.BAD_GATEWAY,
    chain_errors.SignerUnreachableError: S.SERVICE_UNAVAILABLE,
    chain_errors.SignerRefusedError: S.BAD_GATEWAY,
    chain_errors.WrongSignatureError: S.BAD_GATEWAY,
    chain_errors.NotDeployedError: S.SERVICE_UNAVAILABLE,
    chain_errors.ChainMismatchError: S.BAD_GATEWAY,
    chain_errors.ForkedHeadError: S.BAD_GATEWAY,
    chain_errors.CallRefusedError: S.BAD_GATEWAY,
    chain_errors.ChainMovingError: S.SERVICE_UNAVAILABLE,
    chain_errors.MoveRefusedError: S.CONFLICT,
    chain_errors.RotationError: S.CONFLICT,
    chain_errors.FeeCapError: S.SERVICE_UNAVAILABLE,
    chain_errors.TransactionRefusedError: S.BAD_GATEWAY,
    chain_errors.NonceSpentError: S.BAD_GATEWAY,
    chain_errors.UnderpricedError: S.BAD_GATEWAY,
    chain_errors.InsufficientFundsError: S.BAD_GATEWAY,
}

_LINE: Final[Mapping[type[OriginError], HTTPStatus]] = {
    line_errors.LineError: S.CONFLICT,
    line_errors.NoBatchError: S.CONFLICT,
    line_errors.BatchOpenError: S.CONFLICT,
    line_errors.OtherBatchError: S.CONFLICT,
    line_errors.DecidedError: S.CONFLICT,
    line_errors.UnknownCrateError: S.NOT_FOUND,
    line_errors.UnknownLotError: S.NOT_FOUND,
    line_errors.RefusedLotError: S.CONFLICT,
    line_errors.StoppedLineError: S.CONFLICT,
    line_errors.UndecidedError: S.CONFLICT,
    line_errors.UnknownNumberError: S.NOT_FOUND,
    line_errors.TierError: S.UNPROCESSABLE_ENTITY,
    line_errors.WeighingError: S.CONFLICT,
    line_errors.HouseRefusedError: S.FORBIDDEN,
    line_errors.OfflineSecondError: S.CONFLICT,
    line_errors.StateFolderError: S.CONFLICT,
    line_errors.OtherStandardError: S.CONFLICT,
    line_errors.ServerError: S.BAD_GATEWAY,
}

STATUS: Final[Mapping[type[OriginError], HTTPStatus]] = {
    OriginError: S.CONFLICT,
    SettingsError: S.INTERNAL_SERVER_ERROR,
    IdentifierError: S.UNPROCESSABLE_ENTITY,
    QuantityError: S.UNPROCESSABLE_ENTITY,
    TimeError: S.UNPROCESSABLE_ENTITY,
    MissingFileError: S.NOT_FOUND,
    MissingMessageError: S.INTERNAL_SERVER_ERROR,
    AccessError: S.FORBIDDEN,
    NotSignedInError: S.UNAUTHORIZED,
    RoleNotAllowedError: S.FORBIDDEN,
    CrossOriginError: S.FORBIDDEN,
    SignInRefusedError: S.UNAUTHORIZED,
    TooManyAttemptsError: S.TOO_MANY_REQUESTS,
    BodyTooLargeError: S.REQUEST_ENTITY_TOO_LARGE,
    BusyError: S.SERVICE_UNAVAILABLE,
    SlowBodyError: S.REQUEST_TIMEOUT,
    NotAcceptableError: S.NOT_ACCEPTABLE,
    AddressTooLongError: S.REQUEST_URI_TOO_LONG,
    UnsupportedMediaError: S.UNSUPPORTED_MEDIA_TYPE,
    NotHereError: S.NOT_FOUND,
    UnknownPersonError: S.NOT_FOUND,
    UnknownChannelError: S.NOT_FOUND,
    ChannelExistsError: S.CONFLICT,
    ChannelNameError: S.UNPROCESSABLE_ENTITY,
    SetupFileError: S.UNPROCESSABLE_ENTITY,
    **_LEDGER,
    **_SENSORS,
    **_ORDERS,
    **_GRADING,
    **_CHAIN,
    **_LINE,
}
"""Unreadable input is 422; a rule of the trade that says no is 409, 403 or 404."""


def status_of(kind: type[OriginError]) -> HTTPStatus:
    """Return the status of an error type, or of its nearest ancestor that has one."""
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)
