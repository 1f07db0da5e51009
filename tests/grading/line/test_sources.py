"""Cameras are read from servers that really run, are killed in the middle, and lie."""

import base64
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.deploy.services import free_port
from grading.camera import Pixels, decode
from grading.errors import CameraLostError, SkippedError, SourceError
from grading.line import live, mjpeg
from grading.line.seeing import Camera
from grading.line.sources import Shot, Source, SourceSettings, SourceState, open_source
from tests.simulators.cameras import MjpegServer, RtspServer, Server, bars, jpeg

QUICK = SourceSettings(silence_s=1.0)
"""For a camera that is to be lost."""
PATIENT = SourceSettings(silence_s=60, queue=64)
"""For one that is not, however busy this machine is."""
T0 = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


class Standing:
    """A clock that stands."""

    def now(self) -> datetime:
        return T0


class Walking:
    """An encoder: a millimetre each time it is asked."""

    def __init__(self) -> None:
        self.asked = itertools.count(0, 1000)

    def belt_um(self) -> int | None:
        return next(self.asked)


def eventually(is_so: Callable[[], bool], seconds: float = 120) -> bool:
    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        time.sleep(0.01)
    return is_so()


def taken(source: Source, count: int) -> list[Shot]:
    return list(itertools.islice(source.shots(), count))


def written(path: Path, frames: int = 12, *, size: tuple[int, int] = (320, 240), fps: float = 30) -> Path:
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, size)
    for number in range(frames):
        video.write(bars(*size)(number))
    video.release()
    return path


def number_of(pixels: Pixels, width: int = 320) -> int:
    """The number that `bars` drew."""
    return int(np.argmax(pixels[pixels.shape[0] // 2, :, 0] > 140)) // 4


# --- files -----------------------------------------------------------------------------------------


def test_a_video_gives_every_frame_in_its_own_time(tmp_path: Path) -> None:
    source = open_source(f"video:{written(tmp_path / 'belt.avi')}", encoder=Walking(), clock=Standing())
    assert source.state is SourceState.WAITING
    shots = list(source.shots())
    assert [number_of(each.pixels) for each in shots] == list(range(12))
    assert [each.number for each in shots] == list(range(12))
    assert [each.belt_um for each in shots] == list(range(0, 12_000, 1000))
    assert [round(30 * each.at_s) for each in shots] == list(range(12))
    assert shots[3].taken_at == T0 + timedelta(seconds=shots[3].at_s)
    assert source.state is SourceState.ENDED


def test_a_video_as_fast_as_it_can_is_the_same_video_as_one_in_its_own_pace(tmp_path: Path) -> None:
    path = written(tmp_path / "belt.avi", 6)
    fast = [(each.number, each.at_s, each.pixels.tobytes()) for each in open_source(str(path)).shots()]
    began = time.monotonic()
    paced = [(each.number, each.at_s, each.pixels.tobytes()) for each in open_source(f"video:{path}?paced=1").shots()]
    assert paced == fast
    assert time.monotonic() - began >= 5 / 30


def test_a_looping_video_goes_on_in_time_and_number(tmp_path: Path) -> None:
    source = open_source(f"video:{written(tmp_path / 'belt.avi', 4)}?loop=1")
    shots = taken(source, 10)
    assert [each.number for each in shots] == list(range(10))
    assert all(a.at_s < b.at_s for a, b in itertools.pairwise(shots))
    source.close()
    assert source.state is SourceState.ENDED


def test_closing_wakes_a_video_that_waits_for_its_time(tmp_path: Path) -> None:
    source = open_source(str(written(tmp_path / "slow.avi", 3, fps=0.01)), settings=SourceSettings(paced=True))
    got: list[Shot] = []
    reader = threading.Thread(target=lambda: got.extend(source.shots()))
    reader.start()
    assert eventually(lambda: len(got) == 1)
    source.close()
    reader.join(60)
    assert not reader.is_alive()


def test_a_folder_gives_its_pictures_and_names_those_that_are_none(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(bars()(number)))
    (tmp_path / "1.jpg").write_bytes(jpeg(bars()(1))[:900])
    (tmp_path / "2.jpg").write_bytes(jpeg(bars(640, 480)(2)))
    (tmp_path / "notes.txt").write_text("no picture")
    source = open_source(f"folder:{tmp_path}")
    shots = list(source.shots())
    assert [each.number for each in shots] == [0, 3]
    assert source.skipped == {"image_broken": 1, "size_changed": 1}
    assert "640 x 480 where 320 x 240 came before" in source.trouble


def test_a_folder_of_nothing_usable_ends_even_where_it_is_to_be_played_for_ever(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"no picture")
    source = open_source(f"folder:{tmp_path}?loop=1")
    assert list(source.shots()) == []
    assert source.state is SourceState.ENDED
    assert source.skipped == {"image_broken": 3}


def test_a_recording_that_is_taken_away_ends_with_the_reason(tmp_path: Path) -> None:
    path = written(tmp_path / "belt.avi", 4)
    source = open_source(f"video:{path}?loop=1")
    shots = source.shots()
    assert len(list(itertools.islice(shots, 4))) == 4
    path.unlink()
    assert list(shots) == []
    assert source.state is SourceState.ENDED
    assert "is no video that can be read" in source.trouble


def test_a_bomb_in_a_folder_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_bytes(jpeg(bars()(0)))
    ok, bomb = cv2.imencode(".png", np.zeros((8000, 8000), np.uint8))
    assert ok
    (tmp_path / "1.png").write_bytes(bomb.tobytes())
    source = open_source(f"folder:{tmp_path}")
    assert len(list(source.shots())) == 1
    assert source.skipped == {"image_too_large": 1}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is none of usb:N"),
        ("nothing.mp4", "is none of usb:N"),
        ("video:nothing.mp4", "is not there"),
        ("folder:nowhere", "is no folder"),
        ("rtsp://", "is no address"),
        ("http://[", "is no address"),
        ("http://host:0/", "is no address"),
        ("http://host/a b", "is no address"),
        ("usb:0?zoom=3", "zoom is none of the settings"),
        ("usb:0?fps=fast", "fps must be a number"),
        ("usb:0?loop=maybe", "loop must be 0 or 1"),
    ],
)
def test_a_text_that_names_no_source_is_refused(text: str, why: str) -> None:
    with pytest.raises(SourceError, match=why):
        open_source(text)


def test_a_file_that_is_no_video_and_one_that_is_too_large_are_refused(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_text("no video")
    with pytest.raises(SourceError, match="no video that can be read"):
        open_source(str(tmp_path / "no.mp4"))
    large = written(tmp_path / "large.avi", 2, size=(640, 480))
    with pytest.raises(SourceError, match="640 x 480; at most 200000 pixels"):
        open_source(str(large), settings=SourceSettings(most_pixels=200_000))
    with pytest.raises(SourceError, match="holds no pictures"):
        open_source(f"folder:{tmp_path}")


def test_a_password_is_never_part_of_a_name() -> None:
    source = open_source("rtsp://admin:secret@127.0.0.1:9/stream?channel=1", settings=QUICK)
    assert source.name == "rtsp://127.0.0.1:9/stream?channel=1"
    assert eventually(lambda: source.state is SourceState.LOST)
    assert "secret" not in source.trouble
    source.close()
    with pytest.raises(SourceError) as refused:
        open_source("http://admin:secret@/a b")
    assert "secret" not in str(refused.value)


# --- cameras on the network ------------------------------------------------------------------------


@pytest.fixture(params=[MjpegServer, RtspServer])
def server(request: pytest.FixtureRequest) -> Iterator[MjpegServer | RtspServer]:
    """A camera that runs."""
    with request.param() as running:
        yield running


def test_a_camera_gives_shots_in_order_with_its_belt(server: MjpegServer | RtspServer) -> None:
    source = open_source(server.url, encoder=Walking(), settings=PATIENT, clock=Standing())
    shots = taken(source, 8)
    assert source.state is SourceState.RUNNING
    assert shots[0].pixels.shape == (240, 320, 3)
    assert all(a.number < b.number and a.at_s <= b.at_s for a, b in itertools.pairwise(shots))
    assert all(number_of(a.pixels) < number_of(b.pixels) for a, b in itertools.pairwise(shots))
    assert all(each.belt_um == 1000 * each.number for each in shots)
    source.close()
    assert source.state is SourceState.ENDED
    assert list(source.shots()) == []


def test_a_camera_whose_plug_is_pulled_is_lost_and_comes_back(server: MjpegServer | RtspServer) -> None:
    source = open_source(server.url, settings=QUICK)
    before = taken(source, 3)[-1]
    server.kill()
    assert eventually(lambda: source.state is SourceState.LOST)
    assert source.trouble
    server.start()
    assert eventually(lambda: source.state is SourceState.RUNNING)
    after = taken(source, 6)[-1]
    assert after.number > before.number
    assert after.at_s > before.at_s
    source.close()


def test_a_camera_that_is_not_there_yet_is_lost_until_it_is(server: MjpegServer | RtspServer) -> None:
    server.kill()
    source = open_source(server.url, settings=QUICK)
    assert eventually(lambda: source.state is SourceState.LOST)
    server.start()
    assert len(taken(source, 2)) == 2
    source.close()


def test_a_slow_line_leaves_old_shots_out_and_never_falls_behind(server: MjpegServer | RtspServer) -> None:
    source = open_source(server.url, settings=SourceSettings(queue=2, silence_s=60))
    shots = source.shots()
    first = next(shots)
    assert eventually(lambda: source.dropped >= 10)
    second, third = next(shots), next(shots)
    assert second.number - first.number > 8
    assert third.number > second.number
    # Every shot was yielded, was left out, or waits: nothing is lost without being counted.
    assert third.number - first.number - 2 <= source.dropped
    source.close()


def test_a_queue_without_a_bound_would_fall_behind() -> None:
    """The control: with room for everything the next shot is an old one."""
    with MjpegServer() as server:
        source = open_source(server.url, settings=SourceSettings(queue=10_000, silence_s=60))
        shots = source.shots()
        first = next(shots)
        time.sleep(0.4)
        assert next(shots).number == first.number + 1
        assert source.dropped == 0
        source.close()


def test_closing_wakes_whoever_waits_for_a_shot(server: MjpegServer | RtspServer) -> None:
    server.kill()
    source = open_source(server.url, settings=QUICK)
    reader = threading.Thread(target=lambda: list(source.shots()))
    reader.start()
    source.close()
    source.close()
    reader.join(60)
    assert not reader.is_alive()


def test_a_stream_that_changes_its_size_is_named_and_left_out(server: MjpegServer | RtspServer) -> None:
    small, large = bars(), bars(640, 480)
    server.frames = lambda number: large(number) if number % 40 >= 30 else small(number)
    source = open_source(server.url, settings=PATIENT)
    shots = source.shots()
    assert eventually(lambda: next(shots).pixels.shape == (240, 320, 3) and "size_changed" in source.skipped)
    assert "640 x 480 where 320 x 240 came before" in source.trouble
    source.close()


def test_an_rtsp_stream_that_falls_silent_is_lost() -> None:
    with RtspServer() as server:
        source = open_source(server.url, settings=QUICK)
        taken(source, 2)
        server.is_silent = True
        assert eventually(lambda: source.state is SourceState.LOST)
        server.is_silent = False
        assert eventually(lambda: source.state is SourceState.RUNNING)
        source.close()


def test_an_rtsp_stream_larger_than_allowed_is_refused() -> None:
    with RtspServer() as server:
        source = open_source(server.url, settings=SourceSettings(silence_s=1, most_pixels=70_000))
        assert eventually(lambda: "320 x 240; at most 70000 pixels" in source.trouble)
        assert source.state is SourceState.LOST
        source.close()


def test_rtsp_is_asked_for_over_tcp() -> None:
    with RtspServer() as server:
        source = open_source(server.url, settings=PATIENT)
        taken(source, 1)
        source.close()
        setup = next(each for each in server.asked if each.startswith(b"SETUP"))
    assert b"RTP/AVP/TCP" in setup


def test_broken_pictures_in_a_stream_are_named_and_left_out() -> None:
    with MjpegServer() as server:
        huge = cv2.imencode(".jpg", np.zeros((4000, 4000), np.uint8))[1].tobytes()
        bad = {3: b"\xff\xd8 no picture", 5: jpeg(bars()(5))[:700], 7: huge, 9: jpeg(bars(64, 64)(0))}
        server.parts = bad.get
        source = open_source(server.url, settings=PATIENT)
        shots = taken(source, 12)
        assert not {3, 5, 7, 9} & {number_of(each.pixels) for each in shots}
        assert source.skipped == {"image_broken": 2, "image_too_large": 1, "image_too_small": 1}
        assert source.state is SourceState.RUNNING
        source.close()


def test_a_stream_of_nothing_but_broken_pictures_is_lost() -> None:
    with MjpegServer() as server:
        server.parts = lambda _: b"no picture"
        source = open_source(server.url, settings=SourceSettings(silence_s=0.3))
        assert eventually(lambda: source.state is SourceState.LOST)
        # Until the next try, that is, whose own broken picture is then what it tells.
        assert eventually(lambda: "no picture that can be used" in source.trouble)
        source.close()


def test_parts_without_a_length_are_read_up_to_the_next_boundary() -> None:
    with MjpegServer(has_length=False) as server:
        source = open_source(server.url, settings=PATIENT)
        assert len(taken(source, 5)) == 5
        assert source.skipped == {}
        source.close()


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_a_camera_with_a_password_gets_it(scheme: str) -> None:
    with MjpegServer() as server:
        basic = base64.b64encode(b"admin:se cret").decode()
        server.needs = f"Basic {basic}" if scheme == "basic" else 'Digest username="admin"'
        if scheme == "digest":
            server.asks_for = 'Digest realm="camera", nonce="abc", qop="auth", algorithm=MD5'
        source = open_source(server.url.replace("//", "//admin:se%20cret@"), settings=PATIENT)
        assert len(taken(source, 2)) == 2
        source.close()


def test_a_wrong_password_is_named() -> None:
    with MjpegServer() as server:
        server.needs = "Basic nobody"
        source = open_source(server.url.replace("//", "//admin:wrong@"), settings=QUICK)
        assert eventually(lambda: "401" in source.trouble)
        source.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


def for_ever(first: bytes, then: bytes) -> Iterator[bytes]:
    yield first
    while True:
        yield then
        time.sleep(0.0005)


HOSTILE: dict[str, tuple[Callable[[], Iterator[bytes]], str]] = {
    "endless part": (
        lambda: for_ever(HEAD + b"--frame\r\nContent-Type: image/jpeg\r\n\r\n", b"x" * 400_000),
        "a picture is longer than",
    ),
    "part that says it is endless": (
        lambda: iter([HEAD + b"--frame\r\nContent-Length: 99999999999999\r\n\r\n"]),
        "a picture of 99999999999999 bytes",
    ),
    "part of a negative length": (
        lambda: iter([HEAD + b"--frame\r\nContent-Length: -1\r\n\r\n"]),
        "a picture of -1 bytes",
    ),
    "endless preamble": (lambda: for_ever(HEAD, b"y" * 9000), "before the first picture is longer"),
    "endless header of a part": (lambda: for_ever(HEAD + b"--frame\r\nX: ", b"z" * 9000), "header is longer than"),
    "headers without end": (lambda: for_ever(HEAD + b"--frame\r\n", b"X: y\r\n" * 500), "header is longer than"),
    "huge answer header": (
        lambda: for_ever(b"HTTP/1.1 200 OK\r\n", b"X-Padding: " + b"p" * 60_000 + b"\r\n"),
        "does not answer",
    ),
    "no boundary": (
        lambda: iter([b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n"]),
        "names no boundary",
    ),
    "a page": (
        lambda: iter([b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"]),
        "sends text/html",
    ),
    "sent elsewhere": (
        lambda: iter([b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"]),
        "answers 302",
    ),
    "no HTTP": (lambda: iter([b"SSH-2.0-dropbear\r\n"]), "does not answer"),
    "silence": (lambda: for_ever(HEAD, b""), "broke off"),
    "the end": (lambda: iter([HEAD + b"--frame--\r\n"]), "ended its answer"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_camera_is_lost_by_name_and_the_next_stream_is_read(name: str) -> None:
    chunks, why = HOSTILE[name]
    with MjpegServer() as server:
        server.answers = [chunks()]
        source = open_source(server.url, settings=SourceSettings(silence_s=1.5 if name == "silence" else 60))
        # It is lost for a moment only: the next stream is a good one.
        assert eventually(lambda: why in source.trouble)
        assert len(taken(source, 2)) == 2
        source.close()


def test_a_part_that_dribbles_is_given_up() -> None:
    def dribble() -> Iterator[bytes]:
        yield b"--frame\r\nContent-Length: 1000\r\n\r\n"
        while True:
            time.sleep(0.02)
            yield b"d"

    with pytest.raises(CameraLostError, match="takes longer than"):
        next(mjpeg.parts(dribble(), b"frame", 0.2))


def test_a_small_picture_is_not_held_back_until_more_come() -> None:
    first_was_seen, told = threading.Event(), list[bool]()

    def wait_for_the_first(number: int) -> None:
        if number == 1:
            told.append(first_was_seen.wait(60))

    with MjpegServer() as server:
        server.parts = wait_for_the_first
        source = open_source(server.url, settings=SourceSettings(silence_s=120))
        first = taken(source, 1)
        first_was_seen.set()
        second = taken(source, 1)
        assert [each.number for each in first + second] == [0, 1]
        assert told == [True]
        source.close()


def test_a_jpeg_that_announces_a_gigantic_picture_is_not_unpacked() -> None:
    data = bytearray(jpeg(bars()(1)))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(SkippedError) as refused:
        mjpeg.decoded(bytes(data), most_pixels=12_000_000)
    assert refused.value.kind == "image_too_large"


@given(st.binary(max_size=200), st.integers(0, 4000), st.integers(0, 255))
@settings(max_examples=80, deadline=None)
def test_any_bytes_are_a_picture_or_skipped_by_name(data: bytes, at: int, byte: int) -> None:
    damaged = bytearray(jpeg(bars()(1)))
    damaged[at % len(damaged)] = byte
    for each in (data, b"\xff\xd8" + data, bytes(damaged)):
        with suppress(SkippedError):
            assert mjpeg.decoded(each, most_pixels=12_000_000).ndim == 3


def test_a_picture_decoded_for_the_line_is_the_picture() -> None:
    data = jpeg(bars(640, 480)(7), 95)
    assert mjpeg.decoded(data, most_pixels=10**6).tobytes() == decode(data).pixels.tobytes()


def test_parts_come_out_whole_however_they_are_cut() -> None:
    bodies = [b"first", b"\r\nsec--frame-ond", b"", b"--fram"]
    whole = b"preamble\r\n"
    for body in bodies:
        whole += b"--frame\r\nContent-Length: %d\r\n\r\n" % len(body) + body + b"\r\n"
    whole += b"--frame--"
    for size in (1, 2, 3, 7, 1000):
        chunks = (whole[at : at + size] for at in range(0, len(whole), size))
        assert list(mjpeg.parts(chunks, b"frame", 60)) == bodies


# --- devices, and threads --------------------------------------------------------------------------


def test_a_usb_camera_that_is_not_there_is_lost() -> None:
    source = open_source("usb:63", settings=QUICK)
    assert source.name == "usb:63"
    assert eventually(lambda: source.state is SourceState.LOST)
    assert "no camera at usb:63" in source.trouble
    source.close()


class Device:
    """No camera can be plugged in here: a video stands in for the device, and what it is told is looked at."""

    path = ""
    can_fix = True
    told: dict[float | str, object] = {}  # noqa: RUF012  # one device at a time

    def __init__(self, device: int | str, *_: int) -> None:
        self.video = OPENER(self.path)
        self.told["opened"] = device

    def set(self, prop: int, value: float) -> bool:
        self.told[prop] = value
        return self.can_fix

    def __getattr__(self, name: str) -> object:
        return getattr(self.video, name)


OPENER = cv2.VideoCapture


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Device]:
    monkeypatch.setattr(Device, "path", str(written(tmp_path / "belt.avi")))
    monkeypatch.setattr(Device, "told", {})
    monkeypatch.setattr(live.cv2, "VideoCapture", Device)
    return Device


def test_a_usb_camera_is_set_before_it_is_read(device: type[Device]) -> None:
    source = open_source("usb:2?width=320&height=240&fps=60&exposure=80", settings=SourceSettings(queue=64))
    assert [number_of(each.pixels) for each in taken(source, 12)] == list(range(12))
    assert device.told == {
        "opened": 2,
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
        cv2.CAP_PROP_FRAME_WIDTH: 320,
        cv2.CAP_PROP_FRAME_HEIGHT: 240,
        cv2.CAP_PROP_FPS: 60,
        cv2.CAP_PROP_AUTO_EXPOSURE: 1,
        cv2.CAP_PROP_EXPOSURE: 80,
    }
    assert source.skipped == {}
    source.close()


def test_a_usb_camera_that_makes_other_pictures_is_not_read(device: type[Device]) -> None:
    source = open_source("usb:/dev/video2?width=1280&height=720", settings=QUICK)
    assert eventually(lambda: source.state is SourceState.LOST)
    assert "makes pictures of 320 x 240, not of 1280 x 720" in source.trouble
    assert device.told["opened"] == "/dev/video2"
    source.close()


def test_a_driver_that_does_not_fix_the_exposure_is_named(
    device: type[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "can_fix", False)
    source = open_source("usb:2?fps=60&exposure=80", settings=SourceSettings(queue=64))
    assert len(taken(source, 3)) == 3
    assert set(source.skipped) == {"rate_not_set", "exposure_not_fixed"}  # once each time it is opened
    source.close()


class Failing(Server):
    """A camera whose driver fails by an exception nobody thought of, and an encoder that does too."""

    def read(self) -> Pixels:
        raise RuntimeError("driver gone mad")

    def close(self) -> None:
        """Nothing to let go."""


def test_a_driver_that_fails_is_a_lost_camera_not_a_dead_line() -> None:
    cameras: list[Camera] = [Failing()]

    class Good:
        def read(self) -> Pixels:
            time.sleep(0.005)
            return bars()(0)

        def close(self) -> None:
            """Nothing to let go."""

    class Broken:
        def belt_um(self) -> int | None:
            raise OSError("encoder gone")

    source = live.LiveSource("x", lambda: cameras.pop() if cameras else Good(), PATIENT, Broken(), Standing())
    shot = taken(source, 1)[0]
    assert shot.belt_um is None
    assert "driver gone mad" in source.trouble
    source.close()


def test_a_driver_that_hangs_is_a_lost_camera_and_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_HANG_S", 0.2)
    let_go = threading.Event()

    class Hung:
        def read(self) -> Pixels:
            let_go.wait(300)
            raise CameraLostError("at last")

        def close(self) -> None:
            """Nothing to let go."""

    source = live.LiveSource("x", Hung, SourceSettings(silence_s=0.3), None, Standing())
    assert eventually(lambda: source.state is SourceState.LOST)
    assert "has not answered" in source.trouble
    source.close()
    assert source.state is SourceState.ENDED
    assert not let_go.is_set(), "nobody waited for the driver"
    let_go.set()


def test_a_head_that_dribbles_makes_the_camera_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte is in time, so no time-out of a socket ends it."""
    monkeypatch.setattr(live, "_HANG_S", 0.2)
    with MjpegServer() as server:
        server.answers = [for_ever(b"HTTP/1.1 200 OK\r\nX: ", b"y")]
        source = open_source(server.url, settings=SourceSettings(silence_s=0.4))
        assert eventually(lambda: source.state is SourceState.LOST)
        source.close()


def test_a_camera_that_fails_is_asked_again_after_a_growing_pause() -> None:
    asked: list[float] = []

    def opened() -> Camera:
        asked.append(time.monotonic())
        raise CameraLostError("not there")

    source = live.LiveSource("x", opened, QUICK, None, Standing())
    assert eventually(lambda: len(asked) == 3)
    source.close()
    # A pause is never shorter than it should be; on a busy machine the first may be longer than the second.
    assert asked[1] - asked[0] >= 2 * live.LiveSource._FIRST_PAUSE_S
    assert asked[2] - asked[1] >= 4 * live.LiveSource._FIRST_PAUSE_S


def test_a_lost_address_costs_no_socket() -> None:
    """Each try lets its connection go: a camera that is off all night does not eat the machine's files."""
    port = free_port()
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    for _ in range(20):
        with pytest.raises(CameraLostError):
            mjpeg.HttpCamera(f"http://127.0.0.1:{port}/", QUICK)
    after = len(list(Path("/proc/self/fd").iterdir())) if before else 0
    assert after <= before + 2
