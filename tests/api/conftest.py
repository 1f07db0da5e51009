"""An installation in a temporary folder, a browser for it, and people to sign in."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlmodel import SQLModel

from api import accounts
from api.app import create_app
from api.runtime import Runtime
from ledger.kernel.actors import Role
from ledger.kernel.ids import PlaceId
from ledger.kernel.settings import Settings
from tests.databases import KINDS, postgres_url

with warnings.catch_warnings():
    # Starlette asks for the successor of httpx at import; its test client works with httpx all the same.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

SignIn = Callable[..., TestClient]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of an installation that keeps everything under the test's own folder."""
    return Settings(home=tmp_path / "home", public_url="http://testserver", mqtt_port=0)


@pytest.fixture(params=KINDS)
def either(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Settings]:
    """The settings of an installation on each kind of database; nothing is in it yet."""
    if request.param == "sqlite":
        yield settings
        return
    with postgres_url() as url:
        yield settings.model_copy(update={"database_url": url})


@pytest.fixture
def rt(settings: Settings) -> Iterator[Runtime]:
    """An opened installation with every table."""
    opened = Runtime.open(settings)
    SQLModel.metadata.create_all(opened.db.engine)
    yield opened
    opened.close()


@pytest.fixture
def app(rt: Runtime) -> FastAPI:
    """The application over that installation."""
    return create_app(runtime=rt)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A visitor who is not signed in."""
    with TestClient(app, follow_redirects=False) as visitor:
        yield visitor


@pytest.fixture
def signed_in(app: FastAPI, rt: Runtime) -> SignIn:
    """Return a client signed in by bearer token: `signed_in(Role.FARMER, site=..., ref=...)`.

    The client's actor is kept as `client.actor`.
    """

    def sign_in(role: Role, *, site: PlaceId | None = None, ref: str | None = None) -> TestClient:
        now = rt.clock.now()
        with rt.db.write() as session:
            person = accounts.create_person(
                session, rt.numbering, ref=ref or f"{role}-1", role=role, site=site, now=now
            )
            opened = accounts.open_session(session, person, now=now)
        client = TestClient(app, follow_redirects=False, headers={"Authorization": f"Bearer {opened.token}"})
        client.actor = opened.actor  # type: ignore[attr-defined]  # for the test to look at
        return client

    return sign_in
