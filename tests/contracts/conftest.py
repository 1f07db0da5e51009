"""An embedded chain, an anchorer on it, and anvil where it is installed."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from contracts.anchor import Anchorer
from contracts.chain import Chain
from contracts.keys import PublisherKey
from tests.contracts.simulators import ORIGIN, Anvil, SampleLog


@pytest.fixture(scope="session")
def key() -> PublisherKey:
    return PublisherKey.create()


@pytest.fixture
def sample_log() -> SampleLog:
    return SampleLog()


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one, for tests with hundreds of blocks that ask nothing of a disk."""
    memory = Path("/dev/shm")  # noqa: S108  # only for speed
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture
def chain(tmp_path: Path, key: PublisherKey) -> Iterator[Chain]:
    """A new embedded chain."""
    opened = Chain.embedded(tmp_path / "chain.db", funded=key.address)
    yield opened
    opened.close()


@pytest.fixture
def anchorer(chain: Chain, key: PublisherKey, sample_log: SampleLog) -> Anchorer:
    return Anchorer(chain, key, origin=ORIGIN, tree=sample_log)


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    """An anvil that mines every transaction at once and calls a block final eight later."""
    node = Anvil("--slots-in-an-epoch", "4")
    yield node
    node.stop()


@pytest.fixture
def remote(anvil: Anvil, tmp_path: Path) -> Iterator[Chain]:
    """The chain behind anvil's URL."""
    opened = Chain.connect(anvil.url, deployment=tmp_path / "deployment.json")
    yield opened
    opened.close()
