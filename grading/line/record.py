"""What is kept of every fruit that passed a belt, so that anyone can grade it again from its small pictures alone.

    {"format": "guoyuan-belt-record/2", "run": "…", "number": 17,
     "profile": ni, "standard": {id, edition, file: ni}, "tariff": {id, edition, file: ni}, "model": ni,
     "frame": [640, 480], "direction": "right", "isTurned": true, "leastViews": 4, "brixTenths": -1,
     "views": [{"crop": ni, "box": [x, y, w, h], "middle": [x, y], "ground": [L, a, b], "shot": 812, "atUs": …,
                "beltUm": … or null, "side": null or {"measures": {…}, "marks": […], "bands": {…}, "extent": [w, h],
                "scorePermille": 1000, "doubts": […], "again": null or {"left": {"blemishMm2": …, "blemishPermille": …,
                "marks": […]}, "byNetwork": {the same}}}}],
     "noted": […], "measures": {…} or null, "marks": […], "bands": {…}, "stage": "…", "scorePermille": 1000,
     "reasons": […], "weighing": null or {"massG": 345 or null, "why": ""}, "massFrom": "scale" or "camera",
     "atUs": …, "beltUm": … or null, "verdict": {…}}

It is canonical JSON (RFC 8785), named by its SHA-256. `crop` is the JPEG the view was measured in, `box` where in the
corrected frame it was cut, `middle` a point of the fruit in it, `ground` the belt's colour there; from these,
profile, standard and tariff everything below `views` follows. `noted` is what the fruit's way along the belt spoke
against it: tracks and the network's looks at whole frames are not kept, so these words are taken as told. So is
`weighing`, what a scale between camera and gates said of this fruit; `why` says why it told nothing of use. `measures`
are the pictures' alone. The verdict is by the scale's grams where `massFrom` says so.

`again` is what the network for defects made of a view's marks, where it was asked and answered before the fruit passed;
`model` names its weights. Which views it was asked about depends on how quick it was. The record says which, so that
those are looked at again, and what was left unasked decides the verdict again as it did (`marks-unchecked`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

import numpy as np

from grading.defects import DefectModel, shipped_model
from grading.errors import EvidenceError, GradingError
from grading.evidence import decided
from grading.grade import Verdict
from grading.line.belt import LineSetup, Passed, View
from grading.line.doubts import Doubt
from grading.line.fusing import Side, judge
from grading.line.track import Direction
from grading.line.views import Place, measured
from grading.line.weights import Unweighed, Weight
from grading.look import marks_recorded
from grading.look import measured as told_measures
from grading.measure import EDITION, Measures
from grading.profile import parse_profile
from grading.second_look import ask
from grading.standard import parse_standard, parse_tariff
from ledger.canonical import canonical
from ledger.errors import LedgerError
from ledger.kernel.files import ni_uri

FORMAT: Final = "guoyuan-belt-record/2"
_FINDER: Final = {"detector": "belt", "version": "v2", "measuring": EDITION}
"""What measures the crops. It changes when the same crop may give other numbers."""


def model_of(setup: LineSetup) -> bytes:
    """Return the canonical description of what finds and measures fruit on this line: a record names its hash."""
    network = {} if setup.learned is None else dict(setup.learned.description)
    defects = "" if setup.defects is None else setup.defects.model.card.sha256
    every = setup.network_every if network else 0
    return canonical({**_FINDER, "network": network, "networkEvery": every, "defects": defects})


def belt_record(passed: Passed, setup: LineSetup, *, run: str) -> bytes:
    """Return the canonical bytes of one passed fruit's record."""
    return _record(passed, setup, run=run, model=ni_uri(sha256(model_of(setup)).digest()))


def regrade_belt(
    record: bytes, get: Callable[[str], bytes], *, defects: Callable[[], DefectModel] = shipped_model
) -> Verdict:
    """Grade a passed fruit again from the crops its record names, and return the verdict.

    `get` returns a kept file by its `ni:` name, `defects` the network for defects where the record was made with one.
    Raises EvidenceError where a file or network is not the one the record names, where it was measured by another
    edition, or where any measure or the verdict comes out otherwise.
    """
    told = _parsed(record)
    try:
        setup = _setup(told, get, defects)
        views = tuple(_view(view, told, setup, get) for view in told["views"])
        noted = tuple(Doubt(name) for name in told["noted"])
        sides, weight = [view.side for view in views if view.side is not None], weight_of(told)
        judged = judge(sides, noted, setup.judging, weight=weight)
        again = _record(
            Passed(
                number=told["number"],
                views=views,
                measures=judged.measures,
                verdict=judged.verdict,
                score_permille=judged.score_permille,
                belt_um=told["beltUm"],
                at_s=told["atUs"] / 1e6,
                reasons=judged.reasons,
                noted=noted,
                weight=weight,
            ),
            setup,
            run=told["run"],
            model=told["model"],
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise EvidenceError(f"the record is not complete: {error!r}") from error
    except GradingError as error:
        if isinstance(error, EvidenceError):
            raise
        raise EvidenceError(f"the evidence cannot be graded again: {error}") from error
    if again != record:
        raise EvidenceError(f"{', '.join(_differing(_parsed(again), told))} come out otherwise")
    return judged.verdict


def weight_of(told: Mapping[str, Any]) -> Weight | None:
    """Return what a record says that the scale said. Raises KeyError, TypeError, ValueError."""
    weighing = told["weighing"]
    if weighing is None:
        return None
    mass_g, why = weighing["massG"], weighing["why"]
    if (mass_g is None) == (not why) or not (mass_g is None or (type(mass_g) is int and mass_g > 0)):
        raise ValueError("a weighing has grams or a reason why it has none")
    return Weight(mass_g, Unweighed(why) if why else None)


def is_belt_record(record: bytes) -> bool:
    """Whether bytes say that they are a passed fruit's record; whether they are whole is `regrade_belt`'s to say."""
    try:
        told = json.loads(record)
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and str(told.get("format")).startswith(FORMAT.rsplit("/", 1)[0])


def _record(passed: Passed, setup: LineSetup, *, run: str, model: str) -> bytes:
    measures = passed.measures
    stage = None if measures is None else setup.standard.stage(measures)
    return canonical(
        {
            "format": FORMAT,
            "run": run,
            "number": passed.number,
            "profile": ni_uri(sha256(setup.profile.data).digest()),
            "standard": {
                "id": setup.standard.id,
                "edition": setup.standard.edition,
                "file": ni_uri(setup.standard.digest),
            },
            "tariff": {
                "id": setup.tariff.id,
                "edition": setup.tariff.content.edition,
                "file": ni_uri(setup.tariff.digest),
            },
            "model": model,
            "frame": list(passed.views[0].place.frame) if passed.views else [0, 0],
            "direction": str(setup.direction),
            "isTurned": setup.is_turned,
            "leastViews": setup.least_views,
            "brixTenths": -1 if setup.brix_tenths is None else setup.brix_tenths,
            "views": [_told_view(view) for view in passed.views],
            "noted": [str(doubt) for doubt in passed.noted],
            **_told(measures),
            "stage": stage.id if stage else "",
            "scorePermille": passed.score_permille,
            "reasons": [str(doubt) for doubt in passed.reasons],
            **_told_weight(passed),
            "atUs": round(passed.at_s * 1e6),
            "beltUm": passed.belt_um,
            "verdict": decided(passed.verdict),
        }
    )


def _told_view(view: View) -> dict[str, Any]:
    side = view.side
    return {
        "crop": ni_uri(sha256(view.crop).digest()),
        "box": list(view.place.box),
        "middle": list(view.place.middle),
        "ground": list(view.place.ground),
        "shot": view.shot,
        "atUs": round(view.at_s * 1e6),
        "beltUm": view.belt_um,
        "side": None
        if side is None
        else {
            **_told(side.measures),
            "extent": list(side.extent),
            "scorePermille": side.score_permille,
            "doubts": [str(doubt) for doubt in side.doubts],
            "again": None
            if side.again is None
            else {"left": _told_marks(side.again.left), "byNetwork": _told_marks(side.again.by_network)},
        },
    }


def _told_marks(measures: Measures) -> dict[str, Any]:
    return {
        "blemishMm2": measures.blemish_mm2,
        "blemishPermille": measures.blemish_permille,
        "marks": marks_recorded(measures),
    }


def _told_weight(passed: Passed) -> dict[str, Any]:
    weight = passed.weight
    told = None if weight is None else {"massG": weight.mass_g, "why": "" if weight.why is None else str(weight.why)}
    return {"weighing": told, "massFrom": passed.mass_from}


def _told(measures: Measures | None) -> dict[str, Any]:
    if measures is None:
        return {"measures": None, "marks": [], "bands": {}}
    return {
        "measures": told_measures(measures),
        "marks": marks_recorded(measures),
        "bands": dict(measures.bands),
    }


def _setup(told: Mapping[str, Any], get: Callable[[str], bytes], defects: Callable[[], DefectModel]) -> LineSetup:
    model = _parsed_model(_named(get, told["model"], "the description of the detector"))
    if {name: model.get(name) for name in _FINDER} != _FINDER:
        raise EvidenceError("the record was made by another detector than this one")
    network = defects() if model["defects"] else None
    if network is not None and network.model.card.sha256 != model["defects"]:
        raise EvidenceError("the record was made with another network for defects than the one that is here")
    return LineSetup(
        standard=parse_standard(told["standard"]["id"], _named(get, told["standard"]["file"], "the standard")),
        tariff=parse_tariff(told["tariff"]["id"], _named(get, told["tariff"]["file"], "the tariff")),
        profile=parse_profile(_named(get, told["profile"], "the camera profile")),
        brix_tenths=brix if (brix := told["brixTenths"]) >= 0 else None,
        direction=Direction(told["direction"]),
        is_turned=told["isTurned"],
        least_views=told["leastViews"],
        defects=network,
    )


def _view(told: Mapping[str, Any], record: Mapping[str, Any], setup: LineSetup, get: Callable[[str], bytes]) -> View:
    crop = _named(get, told["crop"], "a view's picture")
    (x, y, w, h), (mx, my), (light, a, b) = told["box"], told["middle"], told["ground"]
    width, height = record["frame"]
    place = Place(box=(x, y, w, h), middle=(mx, my), ground=(light, a, b), frame=(width, height))
    seen = measured(crop, place, setup.profile, setup.standard)
    side: Side | None = None if seen is None else seen.side
    if seen is not None and told["side"] is not None and told["side"]["again"] is not None:
        if setup.defects is None:
            raise EvidenceError("the record names no network for defects, but tells what one has said")
        side = replace(seen.side, again=ask(seen.skin.pixels, seen.skin.mask, seen.side.measures, setup.defects))
    return View(crop, place, told["shot"], told["atUs"] / 1e6, told["beltUm"], side, np.empty((0, 2), np.int32))


def _named(get: Callable[[str], bytes], name: str, what: str) -> bytes:
    data = get(name)
    if ni_uri(sha256(data).digest()) != name:
        raise EvidenceError(f"{what} is not the file the record names")
    return data


def _parsed_model(data: bytes) -> dict[str, Any]:
    told = json.loads(data)
    if not isinstance(told, dict):
        raise EvidenceError("the description of the detector is none")
    return told


def _parsed(record: bytes) -> dict[str, Any]:
    try:
        told = json.loads(record)
        is_canonical = canonical(told) == record
    except (ValueError, RecursionError, LedgerError) as error:
        raise EvidenceError("the record is not canonical JSON") from error
    if not is_canonical or not isinstance(told, dict) or told.get("format") != FORMAT:
        raise EvidenceError(f"the record is no {FORMAT} in canonical form")
    return told


def _differing(again: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    """Return which parts differ; of views, which one and what of it."""
    names = sorted(name for name in {*again, *told} if again.get(name) != told.get(name) and name != "views")
    for number, (new, old) in enumerate(zip(again["views"], told["views"], strict=False), 1):
        names += [f"view {number}'s {name}" for name in sorted({*new, *old}) if new.get(name) != old.get(name)]
    return names
