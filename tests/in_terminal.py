"""A program of k1edge in a terminal of its own, which is read as fast as it writes; left with Ctrl-C."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from types import TracebackType
from typing import Self

from tests.brokers import PATIENCE_S, Mosquitto
from tests.k1.fake_edge import SITE


class InTerminal:
    """`screen` holds all that the program has written so far."""

    def __init__(self, columns: int, lines: int, program: str, broker: Mosquitto, *options: str) -> None:
        self.screen = b""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        command = [sys.executable, "-m", "k1edge", program, "--url", broker.url, "--site", SITE, *options]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environ)
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        os.close(self._ours)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := os.read(self._ours, 65536):
                self.screen += chunk
