"""What grading refuses.

GradingError
├── CannotGradeError          this photograph cannot be graded; nothing was counted
│   ├── UnreadableFileError   there is no such file, or it cannot be opened
│   ├── BrokenImageError      not a JPEG, PNG or WebP picture, or one that ends too early
│   ├── ImageTooLargeError    more bytes or pixels than a camera here makes
│   ├── ImageTooSmallError    too few pixels to measure a fruit in
│   ├── NoScaleError          no marker or coin of known size can be measured in it
│   ├── TiltedScaleError      the marker lies tilted: its sides disagree too much
│   ├── ScaleMovedError       the marker says another scale than the calibration: the camera moved
│   ├── NoFruitError          no fruit stands out from the ground
│   └── UsedPhotographError   the same photograph was already counted in another batch
├── ModelFileError            a trained model whose weights are not those its card describes
├── DatasetError              training photographs or labels that cannot be used
├── TrainingError             a training that cannot be started, or came to nothing
├── StandardError             a standard or tariff file that cannot be used, or does not exist
├── UnknownCropError          no standard here is for this crop
├── CalibrationFailedError    the reference reads wrong by more than is allowed
├── CalibrationMissingError   the line has never been calibrated
├── CalibrationExpiredError   the line's calibration is too old
├── UnknownLotError           the log has no receipt for this lot
├── HeldLotError              the lot is held or recalled and may not be graded
├── GradedLotError            the lot was graded before
├── UnknownBatchError         no batch has this reference
├── ClosedBatchError          the batch is closed: its fruit are counted and recorded
├── EmptyBatchError           the batch has no fruit to record
├── DoubtfulLeftError         fruit still wait for a person
├── UnknownFruitError         no fruit has this number
├── JudgementError            the judgement is not one this fruit can have
├── SecondPersonError         a better tier than the camera's needs a second person
├── UnbalancedError           the tiers' scale readings do not add up to what was received
├── ComparisonError           an inspector's table that cannot be read, with the line
├── UnknownEvidenceError      no lot, batch or record of this name was graded here
└── EvidenceError             a fruit record that does not match its photograph or its standard
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ledger.kernel.clock import format_time
from ledger.kernel.errors import OriginError


class GradingError(OriginError):
    """Grading refuses."""

    code = "grading"


class CannotGradeError(GradingError):
    """This photograph cannot be graded. Nothing of it was counted."""

    code = "cannot_grade"


class UnreadableFileError(CannotGradeError):
    """There is no such file, or it cannot be opened."""

    code = "file_unreadable"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"the file cannot be read: {reason}")
        self.path, self.reason = path, reason


class BrokenImageError(CannotGradeError):
    """The bytes are not a whole picture of a kind we read."""

    code = "image_broken"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the photograph cannot be read: {reason}")
        self.reason = reason


class ImageTooLargeError(CannotGradeError):
    """The photograph is larger than any camera here makes, so it is not even decoded."""

    code = "image_too_large"

    def __init__(self, what: str, *, found: int, limit: int) -> None:
        super().__init__(f"the photograph has {found} {what}; at most {limit} are read")
        self.what, self.found, self.limit = what, found, limit


class ImageTooSmallError(CannotGradeError):
    """The photograph has too few pixels to measure a fruit in."""

    code = "image_too_small"

    def __init__(self, *, width: int, height: int, least: int) -> None:
        super().__init__(f"the photograph is {width} x {height} pixels; at least {least} on each side are needed")
        self.width, self.height, self.least = width, height, least


class NoScaleError(CannotGradeError):
    """Nothing of known size can be measured in the photograph."""

    code = "no_scale"

    def __init__(self, wanted: str) -> None:
        super().__init__(f"no scale: {wanted} was not found in the photograph")
        self.wanted = wanted


class TiltedScaleError(CannotGradeError):
    """The marker's opposite sides disagree: it or the camera is tilted."""

    code = "scale_tilted"

    def __init__(self, *, spread_permille: int, allowed_permille: int) -> None:
        super().__init__(
            f"the marker lies tilted: its sides differ by {spread_permille / 10:.1f} %, "
            f"at most {allowed_permille / 10:.1f} % is allowed"
        )
        self.spread_permille, self.allowed_permille = spread_permille, allowed_permille


class ScaleMovedError(CannotGradeError):
    """The photograph's marker and the line's calibration disagree."""

    code = "scale_moved"

    def __init__(self, *, found_nm: int, calibrated_nm: int) -> None:
        super().__init__(
            f"the marker says {found_nm / 1e6:.4f} mm per pixel, the calibration {calibrated_nm / 1e6:.4f}: "
            "the camera has moved; calibrate again"
        )
        self.found_nm, self.calibrated_nm = found_nm, calibrated_nm


class ModelFileError(GradingError):
    """A model file cannot be used: missing, damaged, or not the one its card describes."""

    code = "model_file"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path.name} {reason}")
        self.path, self.reason = path, reason


class DatasetError(GradingError):
    """Labelled photographs cannot be used: the file at fault is named, and the line."""

    code = "dataset"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path.name} {reason}")
        self.path, self.reason = path, reason


class TrainingError(GradingError):
    """A network cannot be trained or taken out: what it needs is not installed, or it left no weights."""

    code = "training"


class NoFruitError(CannotGradeError):
    """No whole fruit stands out from the ground."""

    code = "no_fruit"

    def __init__(self, cut: int = 0) -> None:
        edge = f"; {cut} at the edge of the picture cannot be measured" if cut else ""
        super().__init__(f"no whole fruit was found in the photograph{edge}")
        self.cut = cut


class UsedPhotographError(CannotGradeError):
    """The very same photograph was counted in another batch."""

    code = "photograph_used"

    def __init__(self, frame: str, batch: str) -> None:
        super().__init__(f"photograph {frame} was already counted in batch {batch}")
        self.frame, self.batch = frame, batch


class StandardError(GradingError):
    """A standard or tariff that does not exist, or whose file cannot be used."""

    code = "standard"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


class UnknownCropError(GradingError):
    """No standard that comes with this installation is for this crop."""

    code = "crop_unknown"

    def __init__(self, crop: str, known: Sequence[str]) -> None:
        super().__init__(f"no standard for crop {crop!r}; there are standards for {', '.join(known)}")
        self.crop, self.known = crop, list(known)


class CalibrationFailedError(GradingError):
    """The reference reads wrong by more than is allowed."""

    code = "calibration_failed"

    def __init__(self, *, reference_um: int, measured_um: int, allowed_um: int) -> None:
        super().__init__(
            f"the reference of {reference_um / 1000:.2f} mm reads {measured_um / 1000:.2f} mm; "
            f"at most {allowed_um / 1000:.2f} mm off is allowed"
        )
        self.reference_um, self.measured_um, self.allowed_um = reference_um, measured_um, allowed_um


class CalibrationMissingError(GradingError):
    """The line has never been calibrated."""

    code = "calibration_missing"

    def __init__(self, line: str) -> None:
        super().__init__(f"{line} has no calibration; photograph the reference first")
        self.line = line


class CalibrationExpiredError(GradingError):
    """The line's calibration is too old to grade by."""

    code = "calibration_expired"

    def __init__(self, line: str, valid_until: datetime) -> None:
        super().__init__(f"the calibration of {line} was valid until {format_time(valid_until)}; calibrate again")
        self.line, self.valid_until = line, valid_until


class UnknownLotError(GradingError):
    """The log holds no receipt for this lot."""

    code = "lot_unknown"

    def __init__(self, lot: str) -> None:
        super().__init__(f"lot {lot} has not been received here")
        self.lot = lot


class HeldLotError(GradingError):
    """The lot is held or recalled."""

    code = "lot_held"

    def __init__(self, lot: str, reason: str) -> None:
        super().__init__(f"lot {lot} is held: {reason}")
        self.lot, self.reason = lot, reason


class GradedLotError(GradingError):
    """The lot was graded before."""

    code = "lot_graded"

    def __init__(self, lot: str, event_id: str) -> None:
        super().__init__(f"lot {lot} was already graded by {event_id}")
        self.lot, self.event_id = lot, event_id


class UnknownBatchError(GradingError):
    """No batch has this reference."""

    code = "batch_unknown"

    def __init__(self, reference: str) -> None:
        super().__init__(f"no batch {reference}")
        self.reference = reference


class ClosedBatchError(GradingError):
    """The batch is closed."""

    code = "batch_closed"

    def __init__(self, reference: str) -> None:
        super().__init__(f"batch {reference} is closed; its fruit are recorded")
        self.reference = reference


class EmptyBatchError(GradingError):
    """The batch has no fruit."""

    code = "batch_empty"

    def __init__(self, reference: str) -> None:
        super().__init__(f"batch {reference} has no fruit; photograph some first")
        self.reference = reference


class DoubtfulLeftError(GradingError):
    """Fruit still wait for a person; the camera never guesses for them."""

    code = "doubtful_left"

    def __init__(self, reference: str, numbers: Sequence[int]) -> None:
        listed = ", ".join(map(str, numbers[:10])) + (" ..." if len(numbers) > 10 else "")
        super().__init__(f"batch {reference}: {len(numbers)} doubtful fruit wait for a person ({listed})")
        self.reference, self.numbers = reference, tuple(numbers)


class UnknownFruitError(GradingError):
    """No fruit has this number."""

    code = "fruit_unknown"

    def __init__(self, fruit: int) -> None:
        super().__init__(f"no fruit {fruit}")
        self.fruit = fruit


class JudgementError(GradingError):
    """The judgement is not one this fruit can have."""

    code = "judgement"


class SecondPersonError(GradingError):
    """A better tier than the camera's needs a second person."""

    code = "second_person"

    def __init__(self, *, from_tier: str, to_tier: str) -> None:
        super().__init__(f"{from_tier} to {to_tier} is better than the camera's tier: a second person must agree")
        self.from_tier, self.to_tier = from_tier, to_tier


class UnbalancedError(GradingError):
    """The tiers' scale readings do not add up to what was received."""

    code = "unbalanced"

    def __init__(self, *, received_g: int, weighed_g: int, allowed_g: int) -> None:
        super().__init__(
            f"received {received_g} g, the tiers weigh {weighed_g} g: a difference of {received_g - weighed_g} g "
            f"where 0 to {allowed_g} g is allowed"
        )
        self.received_g, self.weighed_g, self.allowed_g = received_g, weighed_g, allowed_g


class ComparisonError(GradingError):
    """An inspector's table cannot be compared; the line is named, 0 stands for the file."""

    code = "comparison"

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.line, self.reason = line, reason


class UnknownEvidenceError(GradingError):
    """No lot, batch or record of this name was graded here."""

    code = "evidence_unknown"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is no lot or batch graded here, and no ni:///sha-256 name of a record")
        self.name = name


class EvidenceError(GradingError):
    """A fruit record that does not match its photograph, its standard or itself."""

    code = "evidence"
