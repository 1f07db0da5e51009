"""A browser, and a sample orchard whose sites it opens."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from api.app import create_app
from api.migrations.tables import metadata
from api.runtime import Runtime
from ledger.kernel.settings import Settings
from tests.api.orchard import Orchard
from tests.browsing import chromium, served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def orchard(tmp_path: Path) -> Iterator[Orchard]:
    rt = Runtime.open(Settings(home=tmp_path / "home", public_url="http://127.0.0.1", mqtt_port=0))
    metadata.create_all(rt.db.engine)
    yield Orchard(rt)
    rt.close()


@pytest.fixture
def site(orchard: Orchard) -> Iterator[str]:
    with served(create_app(runtime=orchard.rt)) as address:
        yield address
