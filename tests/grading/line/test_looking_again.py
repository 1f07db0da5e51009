"""The network for defects looks again at the marks that decide a belt fruit's class, and at no others."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.defects import KINDS, DefectModel, shipped_model
from grading.errors import EvidenceError, ModelFileError
from grading.evidence import regrade_kept
from grading.learned import Card, Model
from grading.line.asking import Ask, in_a_thread
from grading.line.belt import Line, LineSetup, Looked, Passed
from grading.line.doubts import Doubt
from grading.line.fusing import Judged, Judging, Side, judge, next_look
from grading.line.record import belt_record, model_of, regrade_belt
from grading.measure import Mark, Measures
from grading.profile import CameraProfile
from grading.rendering import Belt, Rendered
from grading.second_look import Answer, shows_ends, without_marks
from grading.standard import load_standard, load_tariff
from ledger.canonical import canonical
from ledger.kernel.files import FileStore

APPLE, TARIFF = load_standard("apple"), load_tariff()
BY = Judging(APPLE, TARIFF, 4, across_is_y=True, is_turned=True, near="lower", looks_again=True)
EXTENT = (90, 90)
BELT = Belt(seed=5, kind="apple", lanes=2, fruit_per_s=12, speed_mm_s=500, fps=15, touching=0.0, fruit=6)


def marked(*marks: Mark) -> Measures:
    """What a view of an apple of 75 mm measures."""
    area, found = 4400, sum(mark.area_mm2 for mark in marks)
    return Measures(
        length_um=75_000,
        width_um=74_000,
        equivalent_diameter_um=74_500,
        area_mm2=area,
        lab_l_centi=6000,
        lab_a_centi=1000,
        lab_b_centi=4000,
        blemish_mm2=found,
        blemish_permille=round(1000 * found / area),
        volume_mm3=210_000,
        mass_g=170,
        height_corrected_permille=950,
        equatorial_um=75_000,
        roundness_permille=980,
        mass_low_g=150,
        mass_high_g=190,
        bands=tuple((name, 1000 if place == 0 else 0) for place, (name, *_) in enumerate(_bands())),
        marks=marks,
    )


def _bands() -> Sequence[tuple[str]]:
    return [(band.name,) for band in APPLE.bands]


def mark(across: int, area: int) -> Mark:
    return Mark("mark", (30, across - 3, 6, 6), area, 7000)


def is_hollow(each: Mark) -> bool:
    """The network of these tests takes every second place across the belt for a stem."""
    return each.box[1] % 2 == 0


def answered(side: Side, network: tuple[Mark, ...]) -> Side:
    left = tuple(each for each in side.measures.marks if not is_hollow(each))
    total = sum(each.area_mm2 for each in left)
    share = min(side.measures.blemish_permille, round(1000 * total / side.measures.area_mm2))
    by_network = replace(marked(*network), bands=side.measures.bands)
    return replace(
        side,
        again=Answer(replace(side.measures, marks=left, blemish_mm2=total, blemish_permille=share), by_network),
    )


def looked(sides: list[Side], network: Sequence[tuple[Mark, ...]]) -> list[Side]:
    """The views after the network was asked for as long as there is something to ask."""
    sides = list(sides)
    for _ in range(len(sides) + 1):
        at = next_look(sides, BY)
        if at is None:
            return sides
        assert sides[at].again is None, "nobody is asked twice"
        sides[at] = answered(sides[at], network[at])
    raise AssertionError("asked for ever")


def ranks(judged: Judged) -> tuple[int, int]:
    classes = [each.id for each in APPLE.content.classes]
    verdict = judged.verdict
    quality = classes.index(verdict.quality) if verdict.quality in classes else len(classes)
    return quality, TARIFF.rank(verdict.nominal_tier)


MARKS = st.lists(st.builds(mark, st.integers(4, 86), st.integers(1, 200)), max_size=4).map(tuple)
VIEWS = st.lists(st.tuples(MARKS, MARKS), min_size=4, max_size=6)


@settings(max_examples=120, deadline=None)
@given(VIEWS)
def test_asking_about_what_decides_gives_what_asking_about_everything_would(
    views: list[tuple[tuple[Mark, ...], tuple[Mark, ...]]],
) -> None:
    sides, network = [Side(marked(*seen), EXTENT, 1000) for seen, _ in views], [said for _, said in views]
    told = judge(looked(sides, network), (), BY)
    everything = judge([answered(*each) for each in zip(sides, network, strict=True)], (), BY)
    assert Doubt.MARKS_UNCHECKED not in told.reasons
    if Doubt.MARKS not in told.reasons:
        assert ranks(told) == ranks(everything)
    colour, bare = judge(sides, (), BY), judge([replace(s, measures=without_marks(s.measures)) for s in sides], (), BY)
    assert all(best <= mine <= worst for best, mine, worst in zip(*map(ranks, (bare, told, colour)), strict=True))


@settings(max_examples=120, deadline=None)
@given(VIEWS, st.integers(0, 5), st.integers(4, 86), st.integers(1, 300))
def test_one_mark_more_never_makes_an_apple_better(
    views: list[tuple[tuple[Mark, ...], tuple[Mark, ...]]], where: int, across: int, area: int
) -> None:
    """Whatever is asked because of it. The network's own marks raise doubts and decide no class."""
    sides, network = [Side(marked(*seen), EXTENT, 1000) for seen, _ in views], [seen for seen, _ in views]
    where %= len(sides)
    more = list(sides)
    more[where] = Side(marked(*sides[where].measures.marks, mark(across, area)), EXTENT, 1000)
    agreeing = [side.measures.marks for side in more]
    better, worse = judge(looked(sides, network), (), BY), judge(looked(more, agreeing), (), BY)
    if not {Doubt.MARKS} & {*better.reasons, *worse.reasons}:
        assert all(a <= b for a, b in zip(ranks(better), ranks(worse), strict=True))


def test_only_views_whose_marks_decide_are_asked_about_the_most_marked_first() -> None:
    def wanted(*areas: int) -> int | None:
        return next_look([Side(marked(*[mark(45, area)] if area else []), EXTENT, 1000) for area in areas], BY)

    assert wanted(0, 0, 0, 0, 0) is None
    assert wanted(0, 8, 0, 6, 0) is None, "Extra allows as much"
    assert wanted(0, 80, 0, 120, 0) == 3
    tiny = replace(marked(mark(45, 200)), length_um=20_000, width_um=20_000, equatorial_um=20_000, mass_g=8)
    small = [Side(tiny, EXTENT, 1000)] * 5
    assert next_look(small, BY) is None, "it is too small, marked or not"


def test_what_is_not_answered_keeps_colours_marks_and_goes_to_a_person_by_name() -> None:
    """The control is a line that asks nobody: it gives the class away without a word."""
    hollows = [Side(marked(mark(45, 120)), EXTENT, 1000)] * 5
    late = judge([answered(hollows[0], ()), *hollows[1:]], (), BY)
    assert late.reasons == (Doubt.MARKS_UNCHECKED,)
    assert late.verdict.is_doubtful
    alone = judge(hollows, (), replace(BY, looks_again=False))
    assert (alone.reasons, alone.verdict.tier) == ((), late.verdict.nominal_tier)
    assert TARIFF.rank(alone.verdict.tier) > 0


def test_a_hollow_in_every_view_costs_an_apple_nothing_once_it_is_looked_at() -> None:
    hollow = mark(45, 120)
    assert is_hollow(hollow)
    sides = [Side(marked(hollow), EXTENT, 1000)] * 5
    told = judge(looked(sides, [()] * 5), (), BY)
    assert (told.reasons, told.verdict.tier) == ((), TARIFF.tiers[0])


def test_very_different_marks_go_to_a_person_and_nothing_more_is_asked() -> None:
    spot = mark(46, 200)
    sides = [Side(marked(spot), EXTENT, 1000)] * 5
    told = looked(sides, [()] * 5)
    assert sum(each.again is not None for each in told) == 5, "as long as the other views' marks may yet be agreed on"
    assert judge(told, (), BY).reasons == (Doubt.MARKS,)
    alone = [Side(marked(spot), EXTENT, 1000), *[Side(marked(), EXTENT, 1000)] * 4]
    assert judge(looked(alone, [()] * 5), (), BY).reasons == (Doubt.MARKS,)
    assert judge(looked(alone, [(spot,), *[()] * 4]), (), BY).reasons == ()


def test_only_fruit_that_show_their_ends_are_asked_about() -> None:
    assert [shows_ends(load_standard(crop)) for crop in ("apple", "tomato", "citrus", "mango")] == [
        True,
        True,
        True,
        False,
    ]


# --- on a drawn belt -----------------------------------------------------------------------------


def setup(model: DefectModel | None) -> LineSetup:
    told = BELT.profile()
    camera = CameraProfile.plain(nm_per_px=told.nm_per_px, camera_height_um=told.camera_height_um)
    return LineSetup(APPLE, TARIFF, camera, defects=model)


@cache
def frames() -> tuple[Rendered, ...]:
    return tuple(BELT.shots())


def run(by: LineSetup, ask: Ask | None = None) -> list[Passed]:
    line = Line(by, ask=ask)
    return [fruit for shot in frames() for fruit in line.feed(shot)] + line.flush()


@cache
def at_once() -> tuple[Passed, ...]:
    return tuple(run(setup(shipped_model())))


def asked_about(fruit: Passed) -> int:
    return sum(view.side is not None and view.side.again is not None for view in fruit.views)


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[Passed, LineSetup], str]:
    """Puts a fruit and all that its record names into `tmp_path`, and returns the record's name."""
    files = FileStore(tmp_path)

    def put(fruit: Passed, by: LineSetup) -> str:
        for data in (by.profile.data, by.standard.data, by.tariff.data, model_of(by)):
            files.put(data)
        for view in fruit.views:
            files.put(view.crop)
        return files.put(belt_record(fruit, by, run="run-1"))

    return put


def test_marks_of_drawn_apples_are_looked_at_again_and_grade_again_bit_for_bit(
    kept: Callable[[Passed, LineSetup], str], tmp_path: Path
) -> None:
    by, colour = setup(shipped_model()), run(setup(None))
    assert any(asked_about(fruit) for fruit in at_once())
    for fruit, before in zip(at_once(), colour, strict=True):
        assert fruit.measures is not None
        assert before.measures is not None
        assert fruit.measures.blemish_mm2 <= before.measures.blemish_mm2
        assert Doubt.MARKS_UNCHECKED not in fruit.reasons
        assert (fruit.looked_again is Looked.NOT_ASKED) == (asked_about(fruit) == 0)
        assert (fruit.looked_again is Looked.DISPUTED) == (Doubt.MARKS in fruit.reasons)
        assert regrade_kept(FileStore(tmp_path), kept(fruit, by)) == fruit.verdict
    assert sum(fruit.measures.blemish_mm2 for fruit in at_once() if fruit.measures) < sum(
        fruit.measures.blemish_mm2 for fruit in colour if fruit.measures
    )


def test_a_look_that_was_changed_dropped_or_made_by_another_network_is_named(
    kept: Callable[[Passed, LineSetup], str], tmp_path: Path
) -> None:
    files = FileStore(tmp_path)
    fruit = next(fruit for fruit in at_once() if asked_about(fruit))
    record = kept(fruit, setup(shipped_model()))
    told = json.loads(files.get(record))
    at = next(index for index, view in enumerate(told["views"]) if view["side"]["again"])

    def altered(**sides: object) -> str:
        other = json.loads(files.get(record))
        other["views"][at]["side"].update(sides)
        return files.put(canonical(other))

    with pytest.raises(EvidenceError, match=r"come out otherwise"):
        regrade_kept(files, altered(again=None))
    again = told["views"][at]["side"]["again"]
    with pytest.raises(EvidenceError, match=rf"view {at + 1}'s side.*come out otherwise"):
        regrade_kept(files, altered(again={**again, "left": again["byNetwork"] | {"blemishMm2": 7}}))
    other = _model(lambda: None)
    with pytest.raises(EvidenceError, match="another network for defects"):
        regrade_belt(files.get(record), files.get, defects=lambda: other)


def test_the_belt_does_not_wait_for_a_network_that_hangs_and_says_which_fruit_it_did_not_see(
    kept: Callable[[Passed, LineSetup], str], tmp_path: Path
) -> None:
    release = threading.Event()
    by = setup(_model(lambda: bool(release.wait())))
    try:
        fruit = run(by, in_a_thread(_of(by)))
    finally:
        release.set()
    colour = run(setup(None))
    unchecked = [each for each in fruit if Doubt.MARKS_UNCHECKED in each.reasons]
    assert unchecked
    assert {each.looked_again for each in fruit} <= {Looked.TOO_LATE, Looked.NOT_ASKED}
    assert not any(asked_about(each) for each in fruit)
    for each, before in zip(fruit, colour, strict=True):
        assert each.measures == before.measures, "colour's marks stand"
        assert each.verdict.nominal_tier == before.verdict.nominal_tier
        assert each.verdict.is_doubtful or each.verdict == before.verdict
    # That it was not answered in time is graded again as it was.
    files = FileStore(tmp_path)
    record = kept(unchecked[0], by)
    assert regrade_belt(files.get(record), files.get, defects=lambda: _of(by)) == unchecked[0].verdict


def test_a_network_that_cannot_be_run_has_answered_nothing() -> None:
    def fail() -> None:
        raise ModelFileError(Path("weights.onnx"), "cannot be run")

    fruit = run(setup(_model(fail)))
    assert any(Doubt.MARKS_UNCHECKED in each.reasons for each in fruit)
    assert not any(asked_about(each) for each in fruit)


def _of(by: LineSetup) -> DefectModel:
    assert by.defects is not None
    return by.defects


def _model(before: Callable[[], object]) -> DefectModel:
    """The shipped network under another name, and something that happens before it answers."""
    shipped = shipped_model().model
    told = {name: getattr(shipped.card, name) for name in Card.__struct_fields__} | {"sha256": "00" * 32}

    def answer(image: object) -> list:  # type: ignore[type-arg]
        before()
        return shipped.answer(image)  # type: ignore[arg-type]

    assert shipped.card.classes == KINDS
    return DefectModel(Model(Card(**told), answer, shipped.path))
