"""A program of k1edge run here, in a terminal of its own that is read as fast as it writes, or for a reader that has left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from k1edge.__main__ import main
from tests.brokers import PATIENCE_S

CTRL_C = b"\x03"
_FOREGROUND = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Takes the terminal as its own, as a shell's child has it: only then are the keys Ctrl-C a signal."""


def told(capsys, *words):
    """Run here: (exit code, stdout, stderr)."""
    try:
        code = main(list(words))
    except SystemExit as end:
        code = end.code
    return code, *capsys.readouterr()


@contextlib.contextmanager
def no_reader() -> Iterator[None]:
    """Standard output is a pipe whose reader (`head`) has left."""
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "w", buffering=1) as pipe, contextlib.redirect_stdout(pipe):
        yield


class InTerminal:
    """`screen` holds all that the program has written so far; it is left with the keys Ctrl-C."""

    def __init__(self, columns: int, lines: int, *command: str, **environ: str) -> None:
        self.screen = b""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        here = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        here |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | environ
        command = [sys.executable, "-c", _FOREGROUND, sys.executable, "-m", "k1edge", *command]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=here,
                                        start_new_session=True)
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.write(self._ours, CTRL_C)
        try:
            self.complaints = self.process.communicate(timeout=PATIENCE_S)[1].decode()
        finally:
            self.process.kill()
            self._reader.join(PATIENCE_S)
            os.close(self._ours)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := os.read(self._ours, 65536):
                self.screen += chunk
