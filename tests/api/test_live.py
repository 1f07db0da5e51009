from collections.abc import Callable

import anyio
import pytest

from api import live


class Page:
    """A page that stays for so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    async def is_disconnected(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def said(look: Callable[[], tuple[str, str]], *, looks: int, **options: object) -> list[str]:
    async def follow() -> list[str]:
        return [text async for text in live.events(Page(looks), "orders", look, every_s=0.001, **options)]

    return anyio.run(follow)


def test_what_stands_is_said_at_once_and_again_only_when_it_changes():
    states = iter(["a", "a", "b", "b", "b"])

    def look() -> tuple[str, str]:
        state = next(states)
        return state, f'{{"state":"{state}"}}'

    assert said(look, looks=5) == [
        "retry: 2000\n\n",
        'id: 1\nevent: orders\ndata: {"state":"a"}\n\n',
        'id: 2\nevent: orders\ndata: {"state":"b"}\n\n',
    ]


def test_a_stream_that_has_lasted_long_enough_ends_so_that_the_page_comes_back():
    assert len(said(lambda: ("a", "1"), looks=1000, lifetime_s=0)) == 2


def test_a_stream_ends_when_the_server_stops():
    assert said(lambda: ("a", "1"), looks=1000, is_stopping=lambda: True) == ["retry: 2000\n\n"]


def test_a_quiet_stream_keeps_the_line_alive(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live, "HEARTBEAT_S", 0)
    assert said(lambda: ("a", "1"), looks=3)[2:] == [": still here\n\n", ": still here\n\n"]


def test_streams_that_look_take_no_more_than_their_own_threads():
    at_once, most = 0, 0

    def look() -> tuple[str, str]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        anyio.from_thread.run(anyio.sleep, 0.005)
        at_once -= 1
        return "a", "1"

    async def many() -> None:
        async def one() -> None:
            async for _ in live.events(Page(3), "orders", look, every_s=0):
                pass

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(one)

    anyio.run(many)
    assert most <= live._THREADS
