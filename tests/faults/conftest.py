"""One anvil and one forking process for the whole suite, a world for each scenario, and the count at the end."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.contracts.simulators import Anvil
from tests.faults.worlds import AnvilSite, Tally, World, Zygote

_TALLY = pytest.StashKey[Tally]()
KINDS = ("kill, embedded chain", "kill, node", "door", "lie", "reorganisation", "price", "twins", "halt")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLY] = Tally()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tally = config.stash[_TALLY]
    if not tally.held:
        return
    terminalreporter.section("fault suite")
    for kind, count in tally.held.items():
        terminalreporter.write_line(f"{kind:<24}{count:>5} runs, each with exactly one anchor per head")
    terminalreporter.write_line(f"{'all':<24}{tally.held.total():>5}")
    for name, outcome in tally.controls.items():
        terminalreporter.write_line(f"control without the outbox, {name}: {outcome}")


@pytest.fixture(scope="session")
def tally(request: pytest.FixtureRequest) -> Tally:
    return request.config.stash[_TALLY]


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: these tests kill processes, not disks."""
    shm = Path("/dev/shm")  # noqa: S108  # only for speed
    with TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    started = Zygote()
    yield started
    started.close()


@pytest.fixture(scope="session")
def site(memory: Path) -> Iterator[AnvilSite]:
    folder = memory / "site"
    folder.mkdir()
    anvil = Anvil("--slots-in-an-epoch", "32")
    yield AnvilSite.build(anvil, folder)
    anvil.stop()


@pytest.fixture
def new_world(site: AnvilSite, memory: Path, zygote: Zygote, now: datetime) -> Iterator[Callable[[], World]]:
    """Makes an installation of its own for each scenario of a test."""
    made: list[tuple[World, TemporaryDirectory[str]]] = []

    def make() -> World:
        while made:
            _leave(*made.pop())
        folder = TemporaryDirectory(dir=memory)
        made.append((World(site, Path(folder.name), now=now, zygote=zygote), folder))
        return made[-1][0]

    yield make
    for one in made:
        _leave(*one)


def _leave(world: World, folder: "TemporaryDirectory[str]") -> None:
    world.close()
    folder.cleanup()
