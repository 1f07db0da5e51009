"""Kept evidence grades again to the same verdict, and altered evidence does not."""

import dataclasses
import json

import pytest

from grading.errors import EvidenceError
from grading.evidence import fruit_record, keep_fruit, keep_setup, regrade, regrade_kept
from grading.look import look, recorded
from ledger.canonical import canonical
from ledger.kernel.files import FileStore
from tests.grading.conftest import setup, target, tray

RUN = "https://id.gs1.org/253/9521002003062GR260418-0001"


@pytest.fixture(scope="module")
def evidence() -> tuple[bytes, bytes]:
    """A fruit record and its photograph."""
    given = setup()
    seen = look(tray(7), given)
    crop = "ni:///sha-256;" + "A" * 43
    return fruit_record(seen, seen.fruit[2], crop=crop, number=3, run=RUN, setup=given), tray(7)


def again(record: bytes, frame: bytes) -> object:
    given = setup()
    return regrade(record, frame, standard=given.standard.data, tariff=given.tariff.data)


def test_a_record_grades_again_to_the_same_verdict(evidence: tuple[bytes, bytes]) -> None:
    verdict = again(*evidence)
    assert verdict.tier == json.loads(evidence[0])["verdict"]["tier"]


@pytest.mark.parametrize("edition", [1, 2])
def test_a_record_of_an_older_edition_still_grades_again(edition: int) -> None:
    given = dataclasses.replace(setup(), focal_px=1700, edition=edition)
    seen = look(tray(7), given)
    crop = "ni:///sha-256;" + "A" * 43
    old = fruit_record(seen, seen.fruit[2], crop=crop, number=3, run=RUN, setup=given)
    told = json.loads(old)
    assert told["format"] == f"guoyuan-fruit-record/{edition}"
    assert set(told["measures"]).isdisjoint({"massLowG", "equatorialUm"}) == (edition == 1)
    assert ("marks" in told) == (edition == 2)
    assert again(old, tray(7)) == seen.fruit[2].verdict
    newer = look(tray(7), setup().focused(1700)).fruit[2].measures
    assert newer.length_um < recorded(told).length_um, "the newest edition knows how far from the middle a fruit lies"


def test_a_record_holds_every_measure_that_a_verdict_rests_on(evidence: tuple[bytes, bytes]) -> None:
    seen = look(tray(7), setup())
    assert recorded(json.loads(evidence[0])) == seen.fruit[2].measures


def test_a_record_is_canonical_and_holds_whole_numbers_only(evidence: tuple[bytes, bytes]) -> None:
    record = evidence[0]
    assert canonical(json.loads(record)) == record
    assert all(isinstance(value, int) for value in json.loads(record)["measures"].values())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("measures", "blemishMm2"), 0),
        (("measures", "massG"), 999),
        (("verdict", "tier"), "A+"),
        (("verdict", "priceFen"), 1),
        (("scale", "nmPerPixel"), 1),
        (("scale", "referenceUm"), 50_000),
        (("scale", "reference"), "ruler"),
        (("box",), [0, 0, 10, 10]),
        (("model",), "ni:///sha-256;" + "B" * 43),
        (("frame",), "ni:///sha-256;" + "B" * 43),
        (("standard", "file"), "ni:///sha-256;" + "B" * 43),
        (("tariff", "file"), "ni:///sha-256;" + "B" * 43),
        (("scorePermille",), 1),
        (("format",), "guoyuan-fruit-record/9"),
        (("stage",), "unripe"),
        (("marks",), [["scab", 0, 0, 9, 9, 20, 5000]]),
        (("bands", "red"), 999),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_a_record_with_one_value_changed_is_refused(
    evidence: tuple[bytes, bytes], path: tuple[str, ...], value: object
) -> None:
    told = json.loads(evidence[0])
    inner = told
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(EvidenceError):
        again(canonical(told), evidence[1])


def test_a_missing_field_is_refused_by_name(evidence: tuple[bytes, bytes]) -> None:
    told = json.loads(evidence[0])
    del told["scale"]
    with pytest.raises(EvidenceError, match="scale"):
        again(canonical(told), evidence[1])


@pytest.mark.parametrize("record", [b"", b"[]", b"{", b'{"format": 1}', b"\xff"])
def test_what_is_no_record_is_refused(record: bytes) -> None:
    with pytest.raises(EvidenceError):
        again(record, tray(7))


def test_another_photograph_is_refused(evidence: tuple[bytes, bytes]) -> None:
    with pytest.raises(EvidenceError, match="photograph"):
        again(evidence[0], target())


def test_kept_evidence_is_enough_to_grade_again(files: FileStore) -> None:
    given = setup()
    seen = look(tray(7), given)
    keep_setup(files, given)
    files.put(tray(7))
    kept = keep_fruit(files, seen, seen.fruit[0], number=1, run=RUN, setup=given)
    assert regrade_kept(files, kept.record) == seen.fruit[0].verdict
    assert files.get(kept.crop).startswith(b"\xff\xd8")
    files.erase(json.loads(files.get(kept.record))["frame"])
    with pytest.raises(EvidenceError, match="not kept"):
        regrade_kept(files, kept.record)
