import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from api.errors import BodyTooLargeError
from api.limits import DEFAULT_LIMIT, MEGABYTE, BodyLimits, limit_of
from api.problems import RefusedBody


@pytest.fixture
def echo(app: FastAPI) -> TestClient:
    @app.post("/test/bytes")
    async def count(request: Request) -> int:
        return len(await request.body())

    @app.post("/test/json")
    def take(body: dict[str, str]) -> int:
        return len(body)

    return TestClient(app)


def test_a_body_of_the_limit_passes_and_one_byte_more_does_not(echo: TestClient) -> None:
    assert echo.post("/test/bytes", content=b"x" * DEFAULT_LIMIT).json() == DEFAULT_LIMIT
    answer = echo.post("/test/bytes", content=b"x" * (DEFAULT_LIMIT + 1))
    assert answer.status_code == 413
    assert answer.json()["limit_bytes"] == DEFAULT_LIMIT


@pytest.mark.parametrize("path", ["/test/bytes", "/test/json"])
def test_a_body_of_unknown_length_is_cut_off_at_the_limit(echo: TestClient, path: str) -> None:
    sent = 0

    def pieces() -> object:
        nonlocal sent
        for _ in range(64):
            sent += 16384
            yield b"x" * 16384

    answer = echo.post(path, content=pieces(), headers={"Content-Type": "application/json"})  # type: ignore[arg-type]
    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"


def test_photographs_may_be_larger_than_the_rest() -> None:
    assert limit_of("/api/v1/station/batches/B-1/photographs") > 8 * MEGABYTE
    assert limit_of("/api/v1/farmer/picks") == DEFAULT_LIMIT
    assert limit_of("/api/v1/station/batches/B-1/photographs/x") == DEFAULT_LIMIT


async def drive(limits: BodyLimits, path: str, pieces: list[bytes]) -> tuple[list[Message], list[Exception]]:
    """Send a body through the middleware as a server would."""
    sent: list[Message] = []
    waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    raised: list[Exception] = []
    try:
        await limits({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)
    except RefusedBody as error:
        raised.append(error)
    return sent, raised


def test_above_the_common_budget_a_large_body_is_asked_to_come_again() -> None:
    import anyio

    async def reader(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(3):
            await receive()

    async def both() -> list[Exception]:
        limits = BodyLimits(reader, budget=1 * MEGABYTE)
        photographs = "/api/v1/station/batches/B-1/photographs"
        _, raised = await drive(limits, photographs, [b"x" * DEFAULT_LIMIT] * 3)
        assert raised == []
        assert limits._held == 0
        limits._held = 1 * MEGABYTE
        _, raised = await drive(limits, photographs, [b"x" * DEFAULT_LIMIT] * 3)
        _, small = await drive(limits, "/api/v1/farmer/picks", [b"x"] * 3)
        assert small == []
        assert limits._held == 1 * MEGABYTE
        return raised

    (busy,) = anyio.run(both)
    assert isinstance(busy, RefusedBody)
    assert (busy.status_code, busy.refusal.code) == (503, "busy")


def test_a_body_that_dribbles_is_cut_off_and_one_that_flows_is_not() -> None:
    import anyio

    async def run(pause_s: float, pieces: int) -> list[Message]:
        sent: list[Message] = []
        left = pieces

        async def receive() -> Message:
            nonlocal left
            await anyio.sleep(pause_s)
            left -= 1
            return {"type": "http.request", "body": b"x" * 4096, "more_body": left > 0}

        async def send(message: Message) -> None:
            sent.append(message)

        async def reader(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                while (await receive()).get("more_body"):
                    pass
            except RefusedBody as refused:
                await send({"type": "http.response.start", "status": refused.status_code})
                return
            await send({"type": "http.response.start", "status": 200})

        limits = BodyLimits(reader, patience_s=0.05)
        await limits({"type": "http", "method": "POST", "path": "/test/x", "headers": []}, receive, send)
        return sent

    assert anyio.run(run, 30.0, 2)[0]["status"] == 408
    assert anyio.run(run, 0.001, 20)[0]["status"] == 200, "every byte that comes buys time"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Encoding": "identity"}, 200),
        ({"Content-Length": "9" * 5000}, 413),
    ],
)
def test_what_a_body_says_of_itself_is_looked_at_first(echo: TestClient, headers: dict[str, str], status: int) -> None:
    assert echo.post("/test/bytes", content=b"x", headers=headers).status_code == status


def test_a_refused_body_is_an_http_refusal_that_keeps_its_facts() -> None:
    carried = RefusedBody(BodyTooLargeError(7))
    assert carried.status_code == 413
    assert isinstance(carried.refusal, BodyTooLargeError)
