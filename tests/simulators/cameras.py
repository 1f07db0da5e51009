"""Cameras on a network: MJPEG over HTTP, and RTSP with RTP/JPEG (RFC 2326, RFC 2435) interleaved over TCP.

Real servers on localhost, each connection a thread. They can be killed in the middle of a stream and started again on
the same port, and made to misbehave.
"""

import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Self

import cv2
import numpy as np

from api.deploy.services import free_port
from grading.camera import Pixels

Frames = Callable[[int], Pixels]
"""The picture with a number."""


def bars(width: int = 320, height: int = 240) -> Frames:
    """Pictures whose number can be read back: a bright column that moves four pixels each time."""

    def frame(number: int) -> Pixels:
        pixels = np.full((height, width, 3), 60, np.uint8)
        left = 4 * number % (width - 16)
        pixels[:, left : left + 16] = 220
        return pixels

    return frame


class Server:
    """A listening socket whose connections can all be cut at once."""

    def __init__(self) -> None:
        self.port = free_port()
        self.asked: list[bytes] = []
        """The first bytes of every connection."""
        self._listening: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._down = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._down = threading.Event()
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind(("127.0.0.1", self.port))
        self._listening.listen()
        self._spawn(self._accept, self._listening, self._down)

    def kill(self) -> None:
        """Stop listening and cut every connection, as a camera does whose plug is pulled."""
        self._down.set()
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)
        self._threads.clear()

    def serve(self, connection: socket.socket, down: threading.Event) -> None:
        """Answer one connection."""
        raise NotImplementedError

    def _spawn(self, run: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=run, args=given, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self, listening: socket.socket, down: threading.Event) -> None:
        while not down.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            self._open.add(connection)
            self._spawn(self._answer, connection, down)

    def _answer(self, connection: socket.socket, down: threading.Event) -> None:
        with connection, suppress(OSError):
            self.serve(connection, down)
        self._open.discard(connection)


def request(connection: socket.socket) -> bytes:
    """Return one request's head; interleaved packets from the client are left out."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise OSError
        if not head and byte == b"$":
            _, length = struct.unpack("!BH", connection.recv(3, socket.MSG_WAITALL))
            connection.recv(length, socket.MSG_WAITALL)
            continue
        head += byte
    return head


class MjpegServer(Server):
    """An HTTP camera. `answers` are sent whole, one per connection, before any stream."""

    def __init__(self, frames: Frames | None = None, *, fps: int = 60, has_length: bool = True) -> None:
        super().__init__()
        self.frames, self.fps, self.has_length = frames or bars(), fps, has_length
        self.parts: Callable[[int], bytes | None] = lambda _: None
        """Bytes to send in place of a picture's JPEG."""
        self.answers: list[Iterator[bytes]] = []
        self.needs = ""
        """The Authorization header without which 401 is answered with `asks_for`."""
        self.asks_for = 'Basic realm="camera"'

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/video.mjpg"

    def serve(self, connection: socket.socket, down: threading.Event) -> None:
        """Answer with a stream that never ends, or with what was asked for."""
        head = request(connection)
        self.asked.append(head)
        if self.needs and f"authorization: {self.needs}".lower() not in head.decode().lower():
            connection.sendall(
                f"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {self.asks_for}\r\nContent-Length: 0\r\n\r\n".encode()
            )
            return
        if self.answers:
            for chunk in self.answers.pop(0):
                if down.is_set():
                    return
                connection.sendall(chunk)
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
        for number in itertools.count():
            if down.is_set():
                return
            data = self.parts(number) or jpeg(self.frames(number))
            length = f"Content-Length: {len(data)}\r\n" if self.has_length else ""
            connection.sendall(f"--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode() + data + b"\r\n")
            down.wait(1 / self.fps)


class RtspServer(Server):
    """An RTSP camera that sends motion JPEG inside its own TCP connection."""

    def __init__(self, frames: Frames | None = None, *, fps: int = 30) -> None:
        super().__init__()
        self.frames, self.fps = frames or bars(), fps
        self.is_silent = False
        """Keep the connection and send nothing any more."""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"rtsp://127.0.0.1:{self.port}/belt"

    def serve(self, connection: socket.socket, down: threading.Event) -> None:
        """Speak RTSP until PLAY, then send pictures."""
        while True:
            head = request(connection)
            self.asked.append(head)
            method = head.split(b" ", 1)[0].decode()
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
            answer, body = [f"CSeq: {fields['CSeq']}"], ""
            if method == "OPTIONS":
                answer.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
            elif method == "DESCRIBE":
                body = (
                    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=belt\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
                    f"m=video 0 RTP/AVP 26\r\na=framerate:{self.fps}\r\na=control:track0\r\n"
                )
                answer += ["Content-Type: application/sdp", f"Content-Base: {self.url}/"]
            elif method == "SETUP":
                if "TCP" not in fields["Transport"]:
                    connection.sendall(f"RTSP/1.0 461 Unsupported Transport\r\nCSeq: {fields['CSeq']}\r\n\r\n".encode())
                    continue
                answer += ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1"]
            else:
                answer.append("Session: 1")
            text = "RTSP/1.0 200 OK\r\n" + "\r\n".join(answer) + f"\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            connection.sendall(text.encode())
            if method == "TEARDOWN":
                return
            if method == "PLAY":
                self._play(connection, down)
                return

    def _play(self, connection: socket.socket, down: threading.Event) -> None:
        sequence = itertools.count()
        began = time.monotonic()
        for number in itertools.count():
            while self.is_silent and not down.is_set():
                down.wait(0.05)
            if down.is_set():
                return
            stamp = 90_000 * number // self.fps
            for payload, is_last in rtp_jpeg(jpeg(self.frames(number))):
                head = struct.pack(
                    "!BBHII", 0x80, 26 | (0x80 if is_last else 0), next(sequence) & 0xFFFF, stamp & 0xFFFFFFFF, 7
                )
                packet = head + payload
                connection.sendall(struct.pack("!cBH", b"$", 0, len(packet)) + packet)
            down.wait(max(0.0, began + (number + 1) / self.fps - time.monotonic()))


def jpeg(pixels: Pixels, quality: int = 85) -> bytes:
    """Return baseline JPEG with 4:2:0 colour, as the RTP payload wants it."""
    ok, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return data.tobytes()


def rtp_jpeg(data: bytes, most: int = 1400) -> Iterator[tuple[bytes, bool]]:
    """Yield the RTP payloads of a JPEG and whether each is the last (RFC 2435, section 3.1)."""
    tables, size, at = b"", (0, 0), 2
    while True:
        marker, length = struct.unpack("!HH", data[at : at + 4])
        segment = data[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xFFDB:
            for start in range(0, len(segment), 65):
                tables += segment[start + 1 : start + 65]
        elif marker == 0xFFC0:
            height, width = struct.unpack("!HH", segment[1:5])
            size = width // 8, height // 8
            assert segment[7] == 0x22, "the payload's type 1 is 4:2:0"
        elif marker == 0xFFDA:
            break
    scan = data[at:].removesuffix(b"\xff\xd9")
    offset = 0
    while offset < len(scan):
        head = struct.pack("!I", offset) + bytes([1, 255, *size])
        if offset == 0:
            head += struct.pack("!BBH", 0, 0, len(tables)) + tables
        piece = scan[offset : offset + most - len(head)]
        offset += len(piece)
        yield head + piece, offset >= len(scan)
