"""A belt's fruit grades again from its crops bit for bit, and what was changed, lost or swapped is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grading.errors import EvidenceError
from grading.evidence import regrade_kept
from grading.line.belt import Passed
from grading.line.doubts import Doubt
from grading.line.record import belt_record, is_belt_record, model_of, regrade_belt
from grading.line.weights import Unweighed
from grading.profile import CameraProfile
from ledger.canonical import canonical
from ledger.kernel.files import FileStore, parse_ni
from tests.simulators.belts import SETUP, seen, weighed

Json = dict[str, Any]


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    """A store that holds what records name."""
    store = FileStore(tmp_path)
    for data in (SETUP.profile.data, SETUP.standard.data, SETUP.tariff.data, model_of(SETUP)):
        store.put(data)
    return store


def kept(files: FileStore, fruit: Passed) -> str:
    for view in fruit.views:
        files.put(view.crop)
    return files.put(belt_record(fruit, SETUP, run="run-1"))


def altered(files: FileStore, name: str, change: Callable[[Json], None]) -> str:
    """The record with a change, kept under its own name."""
    told = json.loads(files.get(name))
    change(told)
    return files.put(canonical(told))


def test_every_fruit_grades_again_from_its_crops(files: FileStore) -> None:
    tiers = set()
    for fruit in seen():
        record = kept(files, fruit)
        assert is_belt_record(files.get(record))
        assert regrade_kept(files, record) == fruit.verdict
        tiers.add(fruit.verdict.tier)
    assert len(tiers) > 1


def test_the_record_names_everything_it_rests_on(files: FileStore) -> None:
    fruit = seen()[0]
    told = json.loads(files.get(kept(files, fruit)))
    names = [told["profile"], told["model"], told["standard"]["file"], told["tariff"]["file"]]
    assert all(files.has(name) for name in [*names, *(view["crop"] for view in told["views"])])
    assert len(told["views"]) == len(fruit.views) >= 4


def test_weighed_fruit_grade_again_with_the_scales_grams_and_what_the_pictures_say_stands_beside(
    files: FileStore,
) -> None:
    fruit = seen()[2]
    assert fruit.measures is not None
    for mass_g, why, whose in ((360, None, "scale"), (900, None, "camera"), (None, Unweighed.MISSING, "camera")):
        each = weighed(fruit, mass_g, why)
        record = kept(files, each)
        told = json.loads(files.get(record))
        assert (told["massFrom"], told["weighing"]) == (whose, {"massG": mass_g, "why": why or ""})
        assert told["measures"]["massG"] == fruit.measures.mass_g
        assert each.mass_g == (360 if whose == "scale" else fruit.measures.mass_g)
        assert regrade_kept(files, record) == each.verdict
        assert (Doubt.SCALE_DIFFERS in each.reasons) == each.verdict.is_doubtful == (mass_g == 900)
    heavier = altered(files, kept(files, weighed(fruit, 360)), lambda told: told["weighing"].update(massG=250))
    with pytest.raises(EvidenceError, match=r"verdict.*come out otherwise"):
        regrade_kept(files, heavier)


def test_a_record_of_an_edition_that_was_never_released_is_named(files: FileStore) -> None:
    record = altered(files, kept(files, seen()[0]), lambda told: told.update(format="guoyuan-belt-record/1"))
    with pytest.raises(EvidenceError, match="the record is no guoyuan-belt-record/2"):
        regrade_kept(files, record)


def test_one_flipped_bit_in_a_crop_is_found(files: FileStore, tmp_path: Path) -> None:
    record = kept(files, seen()[0])
    crop = json.loads(files.get(record))["views"][2]["crop"]
    path = tmp_path / parse_ni(crop).hex()[:2] / parse_ni(crop).hex()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(EvidenceError, match="was altered on disk"):
        regrade_kept(files, record)
    # A store that does not look at what it gives is found out as well.
    with pytest.raises(EvidenceError, match="a view's picture is not the file the record names"):
        regrade_belt(files.get(record), lambda name: bytes(data) if name == crop else files.get(name))


@pytest.mark.parametrize("what", ["crop", "profile", "model", "standard", "tariff"])
def test_a_missing_file_is_named(files: FileStore, what: str) -> None:
    record = kept(files, seen()[0])
    told = json.loads(files.get(record))
    named = {"crop": told["views"][0]["crop"], "standard": told["standard"]["file"], "tariff": told["tariff"]["file"]}
    name = named.get(what) or told[what]
    files.erase(name)
    with pytest.raises(EvidenceError, match="is not kept here"):
        regrade_kept(files, record)


def test_another_camera_profile_gives_another_fruit_and_is_refused(files: FileStore) -> None:
    other = CameraProfile.plain(nm_per_px=SETUP.profile.nm_per_px + 9000, camera_height_um=680_000, name="other")
    name = files.put(other.data)
    record = altered(files, kept(files, seen()[0]), lambda told: told.update(profile=name))
    with pytest.raises(EvidenceError, match=r"measures.*view 1's side.*come out otherwise"):
        regrade_kept(files, record)


def test_a_view_left_out_is_seen(files: FileStore) -> None:
    record = altered(files, kept(files, seen()[0]), lambda told: told["views"].pop())
    with pytest.raises(EvidenceError, match="come out otherwise"):
        regrade_kept(files, record)


def mend(told: Json) -> None:
    told["views"][1]["side"]["measures"]["massG"] += 1


def improve(told: Json) -> None:
    told["verdict"]["priceFen"] += 100


def move(told: Json) -> None:
    told["views"][0]["middle"] = [1, 1]


def darken(told: Json) -> None:
    told["views"][0]["ground"] = [10, 180, 180]


@pytest.mark.parametrize(
    ("change", "named"),
    [(mend, "view 2's side"), (improve, "verdict"), (move, "view 1's side"), (darken, "view 1's side")],
)
def test_what_differs_is_named(files: FileStore, change: Callable[[Json], None], named: str) -> None:
    record = altered(files, kept(files, seen()[0]), change)
    with pytest.raises(EvidenceError, match=f"{named}.*come out otherwise"):
        regrade_kept(files, record)


def test_another_detector_is_refused(files: FileStore) -> None:
    model = files.put(canonical({**json.loads(model_of(SETUP)), "version": "v0"}))
    record = altered(files, kept(files, seen()[0]), lambda told: told.update(model=model))
    with pytest.raises(EvidenceError, match="made by another detector"):
        regrade_kept(files, record)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("noted", None),
        ("noted", ["no-such-doubt"]),
        ("direction", "sideways"),
        ("frame", [640]),
        ("profile", "ni:///nothing"),
        ("leastViews", "many"),
        ("views", "all"),
        ("views", [{"crop": 7}]),
        ("standard", None),
        ("atUs", "now"),
    ],
)
def test_records_that_make_no_sense_are_evidence_of_nothing(files: FileStore, field: str, value: object) -> None:
    record = altered(files, kept(files, seen()[0]), lambda told: told.update({field: value}))
    with pytest.raises(EvidenceError):
        regrade_kept(files, record)


def test_a_record_that_is_not_canonical_is_refused(files: FileStore) -> None:
    told = json.loads(files.get(kept(files, seen()[0])))
    with pytest.raises(EvidenceError, match="canonical form"):
        regrade_belt(json.dumps(told).encode(), files.get)
