"""`make test` in parts: every file once, parts alike in length, a failure or Ctrl-C in one is that of all."""

import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import parts
from tests.waiting import until

NAMES = st.lists(st.text("abc", min_size=1, max_size=4), unique=True, max_size=30).map(sorted)


@given(NAMES, st.dictionaries(st.text("abc", min_size=1, max_size=4), st.floats(0, 500)), st.integers(1, 4))
def test_every_file_is_in_one_part_in_its_order(files: list[str], seconds: dict[str, float], count: int) -> None:
    dealt = parts.deal(files, seconds, count)
    assert len(dealt) == count
    assert sorted(name for part in dealt for name in part) == files
    assert all(earlier < later for part in dealt for earlier, later in pairwise(part))


@given(NAMES, st.data(), st.integers(1, 4))
def test_parts_differ_by_no_more_than_the_longest_file(files: list[str], data: st.DataObject, count: int) -> None:
    seconds = {name: data.draw(st.floats(0, 500)) for name in files}
    sums = [sum(seconds[name] for name in part) for part in parts.deal(files, seconds, count)]
    assert max(sums) - min(sums) <= max(seconds.values(), default=0) + 1e-6


def test_a_new_file_counts_as_one_of_middling_length() -> None:
    dealt = parts.deal(["long", "new", "short"], {"long": 10, "short": 9}, 2)
    assert dealt == [["long"], ["new", "short"]]


def test_no_file_that_pytest_would_collect_is_left_out() -> None:
    assert {str(Path(__file__).relative_to(parts.ROOT)), "tests/ledger/epcis/test_contexts.py"} <= set(
        parts.files_of_tests()
    )


def fake(*texts: str) -> list[list[str]]:
    """Commands of these programs."""
    return [[sys.executable, "-c", text] for text in texts]


def test_a_failing_part_gives_its_code_and_its_failures_are_told_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = "print('===== test session starts =====\\ntests/a.py ..F\\n===== FAILURES =====\\nassert 1 == 2')\n"
    failing = f"{session}print('FAILED tests/a.py::test_it - assert 1 == 2\\n1 failed')\nraise SystemExit(1)"
    assert parts.run(fake("print('2 passed')", failing), tmp_path) == 1
    said = capsys.readouterr().out
    assert said.endswith("\nFAILED tests/a.py::test_it - assert 1 == 2\npart 1: 2 passed\npart 2: 1 failed\n")
    assert "2| tests/a.py ..F\n" in said
    # The other part may say something between the progress and the report, never within the report.
    assert "2| ===== FAILURES =====\n2| assert 1 == 2\n2| FAILED tests/a.py" in said
    assert (tmp_path / "2" / "log").read_text().endswith("1 failed\n")


def test_all_is_well_only_where_every_part_is(tmp_path: Path) -> None:
    assert parts.run(fake("", ""), tmp_path) == 0
    assert parts.run(fake("raise SystemExit(3)", ""), tmp_path) == 3


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_every_part_and_what_it_started(tmp_path: Path, how: signal.Signals) -> None:
    """Each part starts a process below it, and leaves a mark when it is told to stop."""
    stands = """
import pathlib, subprocess, sys, time
mark = pathlib.Path(sys.argv[1])
below = subprocess.Popen(["sleep", "600"])
try:
    mark.with_suffix(".new").write_text(str(below.pid))
    mark.with_suffix(".new").rename(mark.with_suffix(".up"))
    time.sleep(600)
except KeyboardInterrupt:
    mark.with_suffix(".stopped").touch()
"""
    runs = f"""
import sys
from pathlib import Path
from tests import parts
commands = [[sys.executable, "-c", {stands!r}, str(Path({str(tmp_path)!r}) / name)] for name in "ab"]
sys.exit(parts.run(commands, Path({str(tmp_path)!r})))
"""
    process = subprocess.Popen([sys.executable, "-c", runs], cwd=parts.ROOT)
    until(lambda: all((tmp_path / f"{name}.up").exists() for name in "ab"))
    process.send_signal(how)
    assert process.wait(timeout=30) == 130
    assert all((tmp_path / f"{name}.stopped").exists() for name in "ab")
    below = [Path("/proc") / (tmp_path / f"{name}.up").read_text() / "cmdline" for name in "ab"]
    until(lambda: not any(path.exists() and path.read_bytes() for path in below))


def test_seconds_of_a_file_are_those_of_all_its_tests(tmp_path: Path) -> None:
    case = '<testcase classname="{}" name="test_it" time="{}" />'
    one = [("tests.test_a", 1.5), ("tests.orders.test_b.TestBurst", 2), ("tests.test_a", 0.25), ("", 9)]
    for name, rows in (("one", one), ("two", [("tests.web.test_d", 3)])):
        cases = "".join(case.format(*row) for row in rows)
        (tmp_path / f"{name}.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert dict(parts.measured([tmp_path / "one.xml", tmp_path / "two.xml"])) == {
        "tests/test_a.py": 1.75,
        "tests/orders/test_b.py": 2.0,
        "tests/web/test_d.py": 3.0,
    }


def test_each_part_has_servers_a_cache_and_times_of_its_own() -> None:
    first, second = (parts.command_for(Path(folder), ["tests/test_parts.py"]) for folder in ("one", "two"))
    ours = [word for word in first if "one" in Path(word.rpartition("=")[2]).parts]
    assert ours == ["one/services", "cache_dir=one/cache", "--junitxml=one/times.xml"]
    assert [word.replace("one/", "two/") for word in first] == second
