"""The detectors a person can choose from, by name, and the one that a kept description tells of."""

from collections.abc import Callable, Iterator
from typing import Final

from grading.detect import ClassicalDetector, Detector
from grading.errors import EvidenceError, ModelFileError
from ledger.canonical import canonical

CLASSICAL: Final = "classical"
LEARNED: Final = "learned"
BOTH: Final = "both"
DETECTORS: Final = (CLASSICAL, LEARNED, BOTH)


def detector_named(name: str) -> Detector:
    """Return a detector of DETECTORS. Raises ModelFileError where it needs weights that are not there."""
    if name == CLASSICAL:
        return ClassicalDetector()
    # The classical detector, which most stations run, starts without the inference runtime.
    from grading.agree import CrossCheckedDetector
    from grading.learned import LearnedDetector, shipped

    learned = LearnedDetector(shipped())
    return learned if name == LEARNED else CrossCheckedDetector(learned)


def detector_described(is_meant: Callable[[bytes], bool]) -> Detector:
    """Return the detector whose canonical description is meant. Raises EvidenceError where none of ours is."""
    for detector in _known():
        if is_meant(canonical(dict(detector.description))):
            return detector
    raise EvidenceError("the record was made by another detector than this one")


def _known() -> Iterator[Detector]:
    for name in DETECTORS:
        try:
            yield detector_named(name)
        except ModelFileError:
            return
