"""A scale on the network: sends its weight over and over to whoever connects, and noise when told."""

import contextlib
import socket
import threading


class TcpScale:
    """Sends `frame` every `every_s` seconds, in pieces that do not fall where frames end."""

    def __init__(self, frame: bytes, *, every_s: float = 0.01, piece: int = 7) -> None:
        self.frame, self.every_s, self.piece = frame, every_s, piece
        self.is_silent = False
        self.connections = 0
        self._closing = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def hang_up(self) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def close(self) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # whoever waits in `accept` takes none after this
        self._listener.close()
        self.hang_up()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._send, args=(connection,), daemon=True).start()

    def _send(self, connection: socket.socket) -> None:
        # Whoever connects hears the rest of a frame first.
        data = self.frame[len(self.frame) // 2 :]
        with contextlib.suppress(OSError):
            while not self._closing.is_set():
                while len(data) >= self.piece:
                    connection.sendall(data[: self.piece])
                    data = data[self.piece :]
                self._closing.wait(self.every_s)
                if not self.is_silent:
                    data += self.frame
