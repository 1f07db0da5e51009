"""The detectors a person can choose from, by name, and the one that a kept description tells of."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from grading.detect import ClassicalDetector, Detector
from grading.errors import EvidenceError, ModelFileError
from ledger.canonical import canonical

AUTOMATIC: Final = "automatic"
CLASSICAL: Final = "classical"
LEARNED: Final = "learned"
BOTH: Final = "both"
DETECTORS: Final = (CLASSICAL, LEARNED, BOTH, AUTOMATIC)


def detector_named(
    name: str, *, runtime: str = "", looks_again: bool = True, card_file: Path | None = None
) -> Detector:
    """Return a detector of DETECTORS, its network run by one of `runtimes.RUNTIMES` (empty: onnxruntime).

    The network is the one of `card_file`, or the one that comes with the product.
    With any but the classical one the network for defects looks at marks again, unless `looks_again` is False; it is
    always run by onnxruntime. Raises ModelFileError where weights or a runtime are not there.
    """
    if name == CLASSICAL:
        return ClassicalDetector()
    # The classical detector, which most stations run, starts without the inference runtime.
    from grading.agree import CrossCheckedDetector
    from grading.automatic import AutomaticDetector
    from grading.defects import shipped_model
    from grading.learned import LearnedDetector, load_model, shipped
    from grading.runtimes import RUNTIMES

    runtime = runtime or RUNTIMES[0]
    model = shipped(runtime=runtime) if card_file is None else load_model(card_file, runtime=runtime)
    learned = LearnedDetector(model, defects=shipped_model() if looks_again else None)
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
    from grading.automatic import AutomaticDetector
    from grading.runtimes import RUNTIMES

    for runtime in ("", *RUNTIMES[1:]):
        # Older records were made before any network looked at marks.
        for name, looks_again in ((name, again) for again in (True, False) for name in DETECTORS[1:]):
            try:
                detector = detector_named(name, runtime=runtime, looks_again=looks_again)
            except ModelFileError:
                break
            yield detector
            if isinstance(detector, AutomaticDetector):
                yield AutomaticDetector(detector.learned, edition=1)
