"""A wire that can be bad: a TCP proxy that cuts, delays and repeats what goes through it."""

import contextlib
import socket
import threading
import time


class Wire:
    """Forwards one port to another. Change its faults while it runs."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay_s = 0.0
        self.repeats = False
        """Whether answers come twice."""
        self.is_cut = False
        self.connections = 0
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection, and refuse new ones until `mend`."""
        self.is_cut = True
        self._break()

    def mend(self) -> None:
        self.is_cut = False

    def blink(self) -> None:
        """Break every connection that there is."""
        self._break()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # whoever waits in `accept` takes none after this
        self._listener.close()
        self._break()

    def _break(self) -> None:
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            if self.is_cut:
                here.close()
                continue
            try:
                there = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                here.close()
                continue
            there.settimeout(None)
            self.connections += 1
            with self._lock:
                self._open += [here, there]
            threading.Thread(target=self._forward, args=(here, there, False), daemon=True).start()
            threading.Thread(target=self._forward, args=(there, here, True), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:  # noqa: FBT001
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if self.delay_s:
                    time.sleep(self.delay_s)
                sink.sendall(data * 2 if is_answer and self.repeats else data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
