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
├── RenderingError            a scene that cannot be drawn
├── StandardError             a standard or tariff file that cannot be used, or does not exist
├── UnknownCropError          no standard here is for this crop
├── SourceError               a text that names no camera, video or folder that can be opened
├── ProfileError              a camera profile that cannot be read or contradicts itself, with the field
├── BoardError                photographs of the board from which no camera can be calibrated, with the kind of reason
├── ColourCardError           a photograph of a colour card, or its table, from which no colour can be calibrated
├── CameraLostError           a live camera does not answer; it is asked again
├── SkippedError              one picture of a source cannot be used
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
├── OtherStandardError        a line graded by another standard or price book than the house does
├── OtherRunError             a batch is filled by another run of a line, by photographs, or by a line
├── FruitRefusedError         fruit that a line delivers are not what their records say, or have none
├── FruitGapError             a line's numbers do not follow one another, and nobody said why
├── ClockAheadError           a line's clock is ahead of ours: its fruit passed in the future
├── LateFruitError            the batch has ended: fruit with later numbers are not its own any more
├── StillRunningError         a line has not said or not delivered its last fruit
├── ComparisonError           an inspector's table that cannot be read, with the line
├── UnknownEvidenceError      no lot, batch or record of this name was graded here
├── WiringError               a line's wiring file that cannot be used; the key at fault is named
├── ScaleFrameError           bytes from a scale that are no weight
└── EvidenceError             a fruit record that does not match its photograph or its standard
"""

from collections.abc import Mapping, Sequence
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


class RenderingError(GradingError):
    """A scene that cannot be drawn: a kind of fruit, mark or trouble that is not known, or no room for it."""

    code = "rendering"


class NoFruitError(CannotGradeError):
    """No whole fruit stands out from the ground."""

    code = "no_fruit"

    def __init__(self, cut: int = 0, cut_boxes: Sequence[tuple[int, int, int, int]] = ()) -> None:
        edge = f"; {cut} at the edge of the picture cannot be measured" if cut else ""
        super().__init__(f"no whole fruit was found in the photograph{edge}")
        self.cut, self.cut_boxes = cut, tuple(cut_boxes)


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


class SourceError(GradingError):
    """The text names no camera, video or folder that can be opened."""

    code = "source"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}")
        self.name, self.reason = name, reason


class CameraLostError(GradingError):
    """The camera does not answer, or broke off; it will be asked again."""

    code = "camera_lost"


class SkippedError(GradingError):
    """One picture of a source cannot be used; the next may be. `kind` is the word it is counted under."""

    code = "shot_skipped"

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class ProfileError(GradingError):
    """A camera profile that cannot be read, was altered, or says what cannot be. `field` is the place."""

    code = "profile"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"camera profile: {field} {reason}")
        self.field, self.reason = field, reason


class BoardError(GradingError):
    """No camera can be calibrated from these photographs. `kind` says why in one word."""

    code = "board"

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class ColourCardError(GradingError):
    """No colour can be calibrated from this photograph or this table. `kind` says why in one word."""

    code = "colour_card"

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


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


class OtherStandardError(GradingError):
    """A line graded by a standard or price book that this house does not grade by."""

    code = "standard_differs"

    def __init__(self, what: str, *, found: str, wanted: str) -> None:
        super().__init__(f"the line graded by the {what} {found}; this house grades by {wanted}")
        self.what, self.found, self.wanted = what, found, wanted


class OtherRunError(GradingError):
    """A batch is filled in one way only: by one run of one line, or by photographs."""

    code = "batch_of_other_run"

    def __init__(self, reference: str, filled_by: str) -> None:
        super().__init__(f"batch {reference} is filled by {filled_by}")
        self.reference, self.filled_by = reference, filled_by


class FruitRefusedError(GradingError):
    """Fruit that a line delivers cannot be counted; nothing of the delivery was. `refused` names each and why.

    `missing` are those whose evidence is not kept here: bring it, and they may count.
    """

    code = "fruit_refused"

    def __init__(self, refused: Mapping[int, str], *, missing: Sequence[int] = ()) -> None:
        listed = "; ".join(f"fruit {number}: {why}" for number, why in list(refused.items())[:5])
        super().__init__(f"{len(refused)} fruit refused: {listed}" + (" ..." if len(refused) > 5 else ""))
        self.refused = [{"number": number, "reason": why} for number, why in refused.items()]
        self.missing = list(missing)

    @property
    def reasons(self) -> dict[int, str]:
        """Why each was refused, by its number."""
        return {int(str(each["number"])): str(each["reason"]) for each in self.refused}


class FruitGapError(GradingError):
    """A line's numbers do not follow one another."""

    code = "fruit_gap"

    def __init__(self, reference: str, *, wanted: int, found: int) -> None:
        super().__init__(f"batch {reference} waits for fruit {wanted}; the delivery goes on with {found}")
        self.reference, self.wanted, self.found = reference, wanted, found


class ClockAheadError(GradingError):
    """Fruit passed in the future: the line's clock, or ours, is wrong. They count when it is right, or later."""

    code = "clock_ahead"

    def __init__(self, number: int, at: datetime, now: datetime) -> None:
        super().__init__(
            f"fruit {number} passed at {format_time(at)}, here it is {format_time(now)}: set the line's clock, or ours"
        )
        self.number, self.at, self.now = number, at, now


class LateFruitError(GradingError):
    """The batch has ended before these fruit."""

    code = "fruit_late"

    def __init__(self, reference: str, *, last: int, found: int) -> None:
        super().__init__(f"batch {reference} ended with fruit {last}; fruit {found} comes too late for it")
        self.reference, self.last, self.found = reference, last, found


class StillRunningError(GradingError):
    """A line has not said which fruit was its last, or not delivered all up to it."""

    code = "batch_running"

    def __init__(self, reference: str, *, arrived: int, expected: int | None) -> None:
        told = "the line has not ended it" if expected is None else f"the line counted {expected}"
        super().__init__(f"batch {reference}: {told}; {arrived} have arrived")
        self.reference, self.arrived, self.expected = reference, arrived, expected


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


class WiringError(GradingError):
    """A line's wiring cannot be used; the key at fault is named."""

    code = "wiring"

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key} {reason}")
        self.key, self.reason = key, reason


class ScaleFrameError(GradingError):
    """Bytes from a scale are no weight: noise, another format, or a broken checksum."""

    code = "scale_frame"

    def __init__(self, frame: bytes, reason: str) -> None:
        super().__init__(f"{frame[:40]!r} {reason}")
        self.frame, self.reason = frame, reason
