"""The detectors a person can choose from, by name, and the one that a kept description tells of."""

from collections.abc import Callable, Iterator
from typing import Final

from grading.detect import ClassicalDetector, Detector
from grading.errors import EvidenceError, ModelFileError
from ledger.canonical import canonical

AUTOMATIC: Final = "automatic"
CLASSICAL: Final = "classical"
LEARNED: Final = "learned"
BOTH: Final = "both"
DETECTORS: Final = (CLASSICAL, LEARNED, BOTH, AUTOMATIC)


def detector_named(name: str, *, runtime: str = "") -> Detector:
    """Return a detector of DETECTORS, its network run by one of `runtimes.RUNTIMES` (empty: onnxruntime).

    Raises ModelFileError where it needs weights or a runtime that are not there.
    """
    if name == CLASSICAL:
        return ClassicalDetector()
    # The classical detector, which most stations run, starts without the inference runtime.
    from grading.agree import CrossCheckedDetector
    from grading.automatic import AutomaticDetector
    from grading.learned import LearnedDetector, shipped
    from grading.runtimes import RUNTIMES

    is_usual = runtime in {"", RUNTIMES[0]}
    learned = LearnedDetector(shipped() if is_usual else shipped(runtime=runtime))
    if name == AUTOMATIC:
        return AutomaticDetector(learned)
    return learned if name == LEARNED else CrossCheckedDetector(learned)


def detector_described(is_meant: Callable[[bytes], bool]) -> Detector:
    """Return the detector whose canonical description is meant. Raises EvidenceError where none of ours is."""
    for detector in _known():
        if is_meant(canonical(dict(detector.description))):
            return detector
    raise EvidenceError("the record was made by another detector than this one")


def _known() -> Iterator[Detector]:
    yield detector_named(CLASSICAL)
    from grading.runtimes import RUNTIMES

    for runtime in ("", *RUNTIMES[1:]):
        for name in DETECTORS[1:]:
            try:
                yield detector_named(name, runtime=runtime)
            except ModelFileError:
                break
