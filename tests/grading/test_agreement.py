"""Agreement with an inspector, on tables whose answers are known."""

import random
import statistics
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.agreement import Compared, agree, class_price_fen, kappa, read_comparison, wilson
from grading.errors import ComparisonError
from grading.standard import load_standard, load_tariff

MANGO = load_standard("mango")
TARIFF = load_tariff()
EXTRA, FIRST, SECOND, NONE = "extra", "class-1", "class-2", "none"


def nobody(_: str) -> None:
    return None


def test_kappa_of_a_table_worked_by_hand() -> None:
    found = kappa([[20, 5], [10, 15]])
    assert found is not None
    # 35 of 50 agree; chance gives (25 x 30 + 25 x 20) / 2500 = 0.5.
    assert found.value == pytest.approx(0.4)
    # Fleiss, Cohen and Everitt on these shares, by hand: A = 0.10972, B = 0.10188, C = 0.01, over 50 x 0.25.
    assert found.high - found.value == pytest.approx(1.959964 * ((0.10972 + 0.10188 - 0.01) / 12.5) ** 0.5)


def test_kappas_interval_is_as_wide_as_resampling_says() -> None:
    table = [[40, 9, 1], [6, 30, 8], [2, 7, 47]]
    found = kappa(table)
    assert found is not None
    cells = [(i, j) for i in range(3) for j in range(3) for _ in range(table[i][j])]
    draw, values = random.Random(4), []  # resampling, no secret
    for _ in range(1500):
        again = [[0] * 3 for _ in range(3)]
        for i, j in draw.choices(cells, k=len(cells)):
            again[i][j] += 1
        resampled = kappa(again)
        assert resampled is not None
        values.append(resampled.value)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * statistics.stdev(values), rel=0.08)


@pytest.mark.parametrize(
    ("table", "value"),
    [([[5, 0], [0, 7]], 1.0), ([[25, 25], [25, 25]], 0.0), ([[0, 10], [10, 0]], -1.0)],
    ids=["all", "chance", "opposite"],
)
def test_kappa_at_its_ends(table: list[list[int]], value: float) -> None:
    found = kappa(table)
    assert found is not None
    assert found.value == pytest.approx(value)
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_kappa_says_nothing_where_there_was_nothing_to_tell_apart() -> None:
    assert kappa([[9, 0], [0, 0]]) is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3), min_size=3, max_size=3))
def test_kappa_does_not_depend_on_who_is_the_inspector_nor_on_the_order_of_classes(table: list[list[int]]) -> None:
    table[0][0] += 1
    one = kappa(table)
    other = kappa([[table[j][i] for j in range(3)] for i in range(3)])
    turned = kappa([[table[2 - i][2 - j] for j in range(3)] for i in range(3)])
    if one is None:
        assert other is None
    else:
        assert other is not None
        assert turned is not None
        assert (one.value, one.low) == pytest.approx((other.value, other.low))
        assert (one.value, one.low) == pytest.approx((turned.value, turned.low))


def test_wilson_of_ten_in_ten_is_not_certain() -> None:
    found = wilson(10, 10)
    assert found.value == 1
    assert found.low == pytest.approx(0.7225, abs=1e-4)
    assert wilson(0, 10).high == pytest.approx(0.2775, abs=1e-4)
    assert wilson(5, 10).low == pytest.approx(0.2366, abs=1e-4)


def test_the_table_counts_the_inspector_down_and_us_across_and_errors_cost_exact_fen() -> None:
    compared = [
        Compared("1", ours=EXTRA, inspector=EXTRA, mass_g=300),
        Compared("2", ours=EXTRA, inspector=FIRST, mass_g=300),
        Compared("3", ours=SECOND, inspector=EXTRA, mass_g=400),
        Compared("4", ours=NONE, inspector=SECOND),
    ]
    found = agree(compared, MANGO, TARIFF)
    assert found.classes == (EXTRA, FIRST, SECOND, NONE)
    assert found.table == ((1, 0, 1, 0), (1, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, 0))
    assert found.share.value == 0.25
    assert found.cost is not None
    assert (found.cost.fruit, found.cost.over_fen, found.cost.under_fen) == (3, 690 - 490, 990 - 390)
    assert found.cost.value_fen == 690 + 490 + 990
    assert class_price_fen(NONE, 500, MANGO, TARIFF) == 0


def test_a_file_is_read_with_either_name_of_a_class_and_kept_fruit_stand_for_themselves(tmp_path: Path) -> None:
    file = tmp_path / "inspected.csv"
    file.write_text("﻿fruit,inspector,ours,mass_g\na,Extra,特级,310\nGR1#2, class ii ,,\nc,none,cull,\n", "utf-8")
    found = list(read_comparison(file, MANGO, {"GR1#2": (FIRST, 255)}.get))
    assert found == [
        Compared("a", EXTRA, EXTRA, 310),
        Compared("GR1#2", FIRST, SECOND, 255),
        Compared("c", NONE, NONE, None),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column fruit or inspector"),
        ("fruit,grade\n", "no column inspector"),
        ("fruit,inspector\n", "no fruit to compare"),
        ("fruit,inspector,ours\na,best,extra\n", "line 2: 'best' is no class"),
        ("fruit,inspector,ours\na,extra,extra\na,extra,extra\n", "line 3: fruit a stands in line 2 too"),
        ("fruit,inspector,ours\n,extra,extra\n", "line 2: the fruit has no name"),
        ("fruit,inspector\na,extra\n", "line 2: no class of ours is given, and a is not kept here"),
        ("fruit,inspector,ours,mass_g\na,extra,extra,-4\n", "line 2: '-4' is no mass"),
        ('fruit,inspector,ours\n"a,extra,extra\n', "line"),
        ("fruit,inspector,ours\na\n", "no class"),
    ],
)
def test_a_file_that_cannot_be_compared_is_refused_with_the_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "inspected.csv"
    file.write_text(text, "utf-8")
    with pytest.raises(ComparisonError, match=says):
        agree(list(read_comparison(file, MANGO, nobody)), MANGO)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "inspected.csv"
    file.write_bytes(b"fruit,inspector\n\xff,extra\n")
    with pytest.raises(ComparisonError, match="UTF-8"):
        list(read_comparison(file, MANGO, nobody))
