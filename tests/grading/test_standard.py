"""Standards are data that cannot contradict themselves, and say what the published text says."""

import pytest

from grading.errors import StandardError, UnknownCropError
from grading.standard import (
    Standard,
    every_standard,
    load_standard,
    load_tariff,
    parse_standard,
    parse_tariff,
    standard_for,
)

MANGO = load_standard("mango")


@pytest.mark.parametrize("standard", every_standard(), ids=lambda standard: standard.id)
def test_every_shipped_standard_cites_its_source_and_can_be_priced(standard: Standard) -> None:
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
    assert MANGO.basis_of("extra-marks") == ("house", "2.2.1 Extra Class")
    assert MANGO.basis_of("class-1-marks") == ("unverified", "2.2.2 Class I")
    assert MANGO.basis_of("minimum-size")[1] == "3 Provisions concerning sizing"


PUBLISHED = [standard for standard in every_standard() if standard.content.sources]


@pytest.mark.parametrize("standard", PUBLISHED, ids=lambda standard: standard.id)
def test_every_figure_says_whose_it_is_and_in_which_section_of_what(standard: Standard) -> None:
    content = standard.content
    limits = [limit for quality in content.classes for limit in quality.limits]
    assert content.size.section
    assert content.size.source
    assert all(limit.section and (limit.source or limit.basis == "house") for limit in limits)
    assert all(quality.section and quality.source for quality in content.classes)
    assert all(each.section and each.source for each in content.minimum)
    assert all(source.read for source in content.sources), "where it was read, or that it was not"
    assert len(PUBLISHED) == len(every_standard()) - 1, "only the sample house rule cites nobody"


@pytest.mark.parametrize(("mm", "code"), [(52, None), (53, "13"), (59, "11"), (60, "10"), (92, "0"), (140, "0")])
def test_oranges_that_two_sizes_take_get_the_larger(mm: int, code: str | None) -> None:
    assert standard_for("citrus").size_code(mm) == code


def changed(old: str, new: str) -> bytes:
    text = MANGO.data.decode()
    assert old in text
    return text.replace(old, new, 1).encode()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('at_most = { "A" = 300, "B" = 400', 'at_most = { "A" = 500, "B" = 400', "a larger fruit less"),
        (
            'at_most = { "A" = 300, "B" = 400, "C" = 500',
            'at_most = { "A" = 90, "B" = 100, "C" = 110',
            "less than the class above",
        ),
        ('at_most = { "A" = 300, ', "at_most = { ", "for each of"),
        ("minimum = 200", "minimum = 210", "from the minimum upwards"),
        ("from = 551", "from = 560", "sizes 551 to 559 lie in the gap between B and C"),
        ("from = 551", "from = 540", "sizes 540 to 550 are both B and C: they overlap"),
        ("from = 551, to = 800", "from = 551", "size C has no end"),
        ('"C+", from = 801', '"C+", from = 801, to = 2000', "a fruit above 2000 has no size code"),
        ('code = "C", from', 'code = "B", from', "size code B is there twice"),
        ('rule = "class-2-surface"', 'rule = "class-2-marks"', "rule class-2-marks is there twice"),
        ('quantity = "blemish_permille"', 'quantity = "band_permille"', "is none of green, yellow, red"),
        ('bands = ["yellow", "red"]', 'bands = ["blue"]', "names a band that the file does not define"),
        ("hue_from = 100", "hue_from = 200", "hues go upwards"),
        ('source = "codex"', 'source = "hearsay"', "'hearsay' is no source"),
        ('id = "class-1"', 'id = "class-1"\nleast_size = 300', "asks for larger fruit than extra"),
        ('id = "class-1"', 'id = "class-1"\nmost_size = 300', "asks for smaller fruit than extra"),
        ('id = "class-2"', 'id = "class-2"\nmost_size = 300', "asks for smaller fruit than class-1"),
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
    assert refused.value.known == ["apple", "citrus", "citrus-qingjian", "mango", "mango-small", "tomato"]


@pytest.mark.parametrize("name", ["no-such-standard", "/nowhere/x.toml"])
def test_an_unknown_file_is_refused(name: str) -> None:
    with pytest.raises(StandardError):
        load_standard(name)


def test_a_verdict_names_bytes_so_the_digest_is_of_the_file() -> None:
    assert load_standard("mango-codex-184").digest == MANGO.digest
    assert parse_standard("again", MANGO.data).digest == MANGO.digest
