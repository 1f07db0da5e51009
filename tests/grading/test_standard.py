"""Standards are data that cannot contradict themselves, and say what the published text says."""

import pytest

from grading.errors import StandardError, UnknownCropError
from grading.standard import load_standard, load_tariff, parse_standard, parse_tariff, shipped_standards, standard_for

MANGO = load_standard("mango")


@pytest.mark.parametrize("crop", sorted(shipped_standards()))
def test_every_shipped_standard_cites_its_source_and_can_be_priced(crop: str) -> None:
    standard = shipped_standards()[crop]
    assert standard.content.source
    assert standard.content.not_seen
    for tier in load_tariff().content.tiers[:-1]:
        assert tier.class_ in {quality.id for quality in standard.content.classes}
        assert standard.id in tier.from_


@pytest.mark.parametrize(
    ("grams", "code"),
    [(199, None), (200, "A"), (350, "A"), (351, "B"), (550, "B"), (551, "C"), (800, "C"), (801, "C+")],
)
def test_codex_sizes_mangoes_by_mass(grams: int, code: str | None) -> None:
    assert MANGO.size_code(grams) == code


def test_codex_allows_marks_by_class_and_size() -> None:
    first, second = (quality.limits[0].at_most for quality in MANGO.content.classes[1:])
    assert (first["A"], first["B"], first["C"]) == (300, 400, 500)
    assert (second["A"], second["B"], second["C"]) == (500, 600, 700)


def test_what_the_text_leaves_open_is_marked_as_the_houses_own() -> None:
    assert MANGO.content.classes[0].limits[0].basis == "house"
    assert MANGO.content.classes[1].limits[0].basis == "standard"


def changed(old: str, new: str) -> bytes:
    text = MANGO.data.decode()
    assert old in text
    return text.replace(old, new).encode()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("at_most = { A = 300, B = 400", "at_most = { A = 500, B = 400", "a larger fruit less"),
        ("at_most = { A = 300, B = 400, C = 500", "at_most = { A = 90, B = 100, C = 110", "less than the class above"),
        ("at_most = { A = 300, ", "at_most = { ", "for each of"),
        ("minimum = 200", "minimum = 210", "from the minimum upwards"),
        ('by = "mass_g"', 'by = "colour"', "Invalid enum"),
        ('crop = "mango"', 'crop = "mango"\nsweet = true', "unknown field"),
        ("[solid]", "[solid", "line"),
    ],
)
def test_a_standard_that_contradicts_itself_is_refused(old: str, new: str, says: str) -> None:
    with pytest.raises(StandardError, match=says):
        parse_standard("changed", changed(old, new))


TARIFF = load_tariff()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{ from_g = 250, fen = 690 }", "{ from_g = 250, fen = 390 }", "rise with mass"),
        ("{ from_g = 0, fen = 490 }", "{ from_g = 0, fen = 190 }", "cost less than in B"),
        ('id = "cull"', 'id = "D"', "end with 'cull'"),
        ('tier = "C"', 'tier = "Z"', "which is no tier"),
        ('class = "extra"\n', "", "names the class"),
    ],
)
def test_a_tariff_where_better_costs_less_is_refused(old: str, new: str, says: str) -> None:
    text = TARIFF.data.decode()
    assert old in text
    with pytest.raises(StandardError, match=says):
        parse_tariff("changed", text.replace(old, new, 1).encode())


def test_an_unknown_crop_names_the_known_ones() -> None:
    with pytest.raises(UnknownCropError) as refused:
        standard_for("durian")
    assert refused.value.known == ["apple", "mango", "mango-small"]


@pytest.mark.parametrize("name", ["no-such-standard", "/nowhere/x.toml"])
def test_an_unknown_file_is_refused(name: str) -> None:
    with pytest.raises(StandardError):
        load_standard(name)


def test_a_verdict_names_bytes_so_the_digest_is_of_the_file() -> None:
    assert load_standard("mango-codex-184").digest == MANGO.digest
    assert parse_standard("again", MANGO.data).digest == MANGO.digest
