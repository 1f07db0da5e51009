"""Every test, in two parts side by side with servers of their own: most tests wait more than they compute.

    python -m tests.parts                 run both; the exit code is that of the first part that failed
    python -m tests.parts --parts 3       run three
    python -m tests.parts --keep-times    and keep how long each file took, in tests/seconds.json

Files are dealt out by how long they took when that was last kept; a new file counts as one of middling length until
then. A part's progress comes as it comes, its report in one piece when it ends; all it said is in `.run/tests/1/log`.
Ctrl-C stops every part and its servers.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
KEPT: Final = ROOT / "tests" / "seconds.json"
FOLDER: Final = ROOT / ".run" / "tests"
_MODULE: Final = re.compile(r"(?:\w+\.)*?test_\w+")


def files_of_tests() -> list[str]:
    """Return every file of tests, as pytest finds them."""
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))


def deal(files: Sequence[str], seconds: Mapping[str, float], parts: int) -> list[list[str]]:
    """Deal files out into parts that take about as long: the longest first, each to the part with least so far.

    The same files and seconds give the same parts. Each part keeps the order it was given.
    """
    usual = median(known) if (known := [seconds[name] for name in files if name in seconds]) else 1.0
    dealt: list[set[str]] = [set() for _ in range(parts)]
    sums = [0.0] * parts
    for name in sorted(files, key=lambda name: (-seconds.get(name, usual), name)):
        least = sums.index(min(sums))
        dealt[least].add(name)
        sums[least] += seconds.get(name, usual)
    return [[name for name in files if name in part] for part in dealt]


class Part:
    """One process of tests at work, with servers below it."""

    def __init__(self, number: int, command: Sequence[str], folder: Path, out: "Out") -> None:
        self.folder = folder
        self.last_line = "it said nothing"
        self.bad_lines: list[str] = []
        self._name, self._out = f"{number}| ", out
        # A group of its own: Ctrl-C reaches us alone, and we pass it on once.
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", process_group=0,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self) -> int:
        """Return its exit code, once all it said is told."""
        code = self._process.wait()
        self._reader.join()
        return code

    def stop(self, how: signal.Signals) -> None:
        """Signal it and everything below it that stayed in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, how)

    def _read(self) -> None:
        assert self._process.stdout is not None
        headings, held = 0, []
        with self._process.stdout as lines, (self.folder / "log").open("w") as log:
            for line in lines:
                log.write(line)
                log.flush()
                headings += line.startswith("=====")
                if line.startswith(("FAILED ", "ERROR ")):
                    self.bad_lines.append(line)
                # The first heading says that the session starts, the second is where the report begins.
                if headings < 2:
                    self._out.write([self._name + line])
                else:
                    held.append(self._name + line)
                self.last_line = line.strip("= \n") or self.last_line
        self._out.write(held)


class Out:
    """Lines of several parts to one place, never one within another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def write(self, lines: Sequence[str]) -> None:
        """Write lines together."""
        with self._lock:
            sys.stdout.write("".join(lines))
            sys.stdout.flush()


def command_for(folder: Path, files: Sequence[str]) -> list[str]:
    """Return what runs these files with servers, caches and times in a folder of their own."""
    services = [sys.executable, "-m", "api.deploy.services", "--test", "--volatile"]
    pytest = [sys.executable, "-m", "pytest", "-o", f"cache_dir={folder / 'cache'}"]
    return [*services, "--dir", str(folder / "services"), "--", *pytest, f"--junitxml={folder / 'times.xml'}", *files]


def run(commands: Sequence[Sequence[str]], folder: Path = FOLDER) -> int:
    """Run commands side by side and tell what they say. Returns the exit code of the first in order that failed.

    SIGINT and SIGTERM stop them all, and give 130.
    """
    # A handler of our own for SIGINT too: started in the background it would be ignored, here and in every test.
    before = {how: signal.signal(how, _interrupt) for how in (signal.SIGINT, signal.SIGTERM)}
    out, parts = Out(), []
    try:
        for number, command in enumerate(commands, 1):
            place = folder / str(number)
            place.mkdir(parents=True, exist_ok=True)
            parts.append(Part(number, command, place, out))
        codes = [part.wait() for part in parts]
    except KeyboardInterrupt:
        for how in (signal.SIGINT, signal.SIGKILL):
            for part in parts:
                part.stop(how)
            with contextlib.suppress(KeyboardInterrupt):  # a second one: no more patience
                for part in parts:
                    part.wait()
                break
        return 130
    finally:
        for how, handler in before.items():
            signal.signal(how, handler)
    out.write(["\n", *(line for part in parts for line in part.bad_lines)])
    out.write([f"part {number}: {part.last_line}\n" for number, part in enumerate(parts, 1)])
    return next((code for code in codes if code), 0)


def measured(reports: Sequence[Path]) -> Iterator[tuple[str, float]]:
    """Yield each file of junit reports with the seconds that its tests took."""
    sums: dict[str, float] = {}
    for report in reports:
        for case in ET.parse(report).iter("testcase"):  # noqa: S314  # pytest wrote it a moment ago
            # `tests.orders.test_allocation.TestBurst`: what comes behind the file's name is a class in it.
            found = _MODULE.match(case.get("classname", ""))
            if found:
                name = found[0].replace(".", "/") + ".py"
                sums[name] = sums.get(name, 0.0) + float(case.get("time", 0))
    yield from sorted(sums.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Deal out, run, and keep the times if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.parts", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--parts", type=int, default=2)
    parser.add_argument("--keep-times", action="store_true")
    options = parser.parse_args(arguments)
    seconds = json.loads(KEPT.read_text())
    parts = deal(files_of_tests(), seconds, options.parts)
    places = [FOLDER / str(number) for number in range(1, options.parts + 1)]
    code = run([command_for(place, files) for place, files in zip(places, parts, strict=True)])
    if options.keep_times and code in {0, 1}:  # every part came to its end
        times = measured([place / "times.xml" for place in places])
        KEPT.write_text(json.dumps({name: round(took, 1) for name, took in times}, indent=0) + "\n")
    return code


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
