"""A TCP proxy of our own between an edge and its broker, which holds, delays, cuts and refuses on command."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time

POLL_S = 0.01
CHUNK = 65_536


class FaultProxy:
    """`url` leads to `port` through `mode`: run, hold (half-open: nothing passes, nothing closes), slow, or refuse."""

    def __init__(self, port: int) -> None:
        self._to, self.mode, self.delay_s = port, "run", 0.0
        self._pairs: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Ends every connection at once."""
        pairs, self._pairs = self._pairs, []
        for each in pairs:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        self.mode = "refuse"
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self.mode == "refuse":
                    raise ConnectionRefusedError
                far = socket.create_connection(("127.0.0.1", self._to), 2)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs += [near, far]
            self._pump(near, far)
            self._pump(far, near)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        waiting: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

        def read() -> None:
            data = b"-"
            while data:
                while self.mode == "hold":
                    time.sleep(POLL_S)
                try:
                    data = source.recv(CHUNK)
                except OSError:
                    data = b""
                waiting.put((time.monotonic() + (self.delay_s if self.mode == "slow" else 0.0), data))

        def write() -> None:
            while True:
                due_s, data = waiting.get()
                time.sleep(max(0.0, due_s - time.monotonic()))
                while self.mode == "hold":
                    time.sleep(POLL_S)
                try:
                    if not data:
                        raise OSError
                    sink.sendall(data)
                except OSError:
                    with contextlib.suppress(OSError):
                        sink.shutdown(socket.SHUT_RDWR)
                    return

        for each in (read, write):
            threading.Thread(target=each, daemon=True).start()
