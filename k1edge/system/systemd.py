"""systemd: readiness, status line, watchdog and journal. Elsewhere, nothing but lines on standard error.

**Consumes** the daemon's news. **Emits** datagrams on `$NOTIFY_SOCKET` (sd_notify's protocol) and journal entries with
fields of their own. Never raises, and never waits: news that systemd does not take at once is dropped, and so is a log that
nobody takes for long.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from queue import SimpleQueue
from typing import TextIO

from k1edge.errand import Errand

PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""Python's levels as syslog's, which the journal understands as a `<n>` prefix too."""

FIELD_PREFIX = "K1_"

RECORDS_WAITING = 1000
"""For who reads the log; a reader that has stopped for longer misses what comes then."""

START_LIMIT_S = 90
"""What the unit allows a start to take."""

LAST_WORDS_S = 0.5
"""How long the end waits for who reads the log."""

Writing = Callable[[logging.LogRecord, str], Callable[[], object]]
"""(a record, its text) -> what is to be done about it, with all that it says made out by now."""


class Notifier:
    """What systemd is told about this process; does nothing where there is no `$NOTIFY_SOCKET`."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        if self._socket:
            self._socket.setblocking(False)
        self.watchdog_s = _watchdog_s(environ)
        """systemd's patience; 0.0 where it does not watch. A sign of life is due twice as often."""

    def ready(self, status: str) -> None:
        """Configuration, audio and loop are alive."""
        watched = f"WATCHDOG_USEC={self.watchdog_s * 1e6:.0f}\n" if self.watchdog_s else ""  # for it may be another now
        self._tell(f"READY=1\n{watched}STATUS={_one_line(status)}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._tell(f"STATUS={_one_line(status)}")

    def alive(self) -> None:
        """To be called on progress only, never by a timer."""
        self._tell("WATCHDOG=1")

    def starting_anew(self, why: str) -> None:
        """This process becomes another program, which gives no sign of life until it is ready."""
        patience = f"WATCHDOG_USEC={START_LIMIT_S * 1_000_000}\n" if self.watchdog_s else ""
        self._tell(f"{patience}STATUS={_one_line(f'starting anew {why}')}")

    def stopping(self, status: str) -> None:
        """The end has begun."""
        self._tell(f"STOPPING=1\nSTATUS={_one_line(status)}")

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    def _tell(self, news: str) -> None:
        if self._socket:
            with contextlib.suppress(OSError):  # light must not depend on whether systemd listens
                self._socket.sendto(news.encode(), self._address)


def _watchdog_s(environ: Mapping[str, str]) -> float:
    """`$WATCHDOG_USEC`, if it is meant for this process."""
    meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    microseconds = environ.get("WATCHDOG_USEC", "0")
    return int(microseconds) / 1e6 if meant and microseconds.isdecimal() else 0.0


def _one_line(text: str) -> str:
    """A line feed would begin another assignment."""
    return " ".join(text.split())


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Fields of a log entry, for `logger.info("...", extra=fields(device=...))`; in the journal `K1_DEVICE`."""
    return {"k1_fields": values}


def start_logging(level: str, environ: Mapping[str, str] = os.environ) -> None:
    """Sends everything logged at `level` or above to the journal, or to standard error where there is none."""
    root = logging.getLogger()
    to_journal = _is_journal(sys.stderr, environ)
    root.handlers = [_Aside((to_journal and _journal()) or _lines(sys.stderr, to_journal))]
    root.setLevel(level.upper())


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a stream leads to the journal: `$JOURNAL_STREAM` names its device and inode, and is inherited by
    programs whose stream leads elsewhere."""
    try:
        file = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{file.st_dev}:{file.st_ino}"


def _journal() -> Writing | None:
    """The journal with its fields, where systemd-python is installed."""
    try:
        from systemd import journal
    except ImportError:
        return None
    return _entries(journal.send)


class _Aside(logging.Handler):
    """Has every record written beside whoever logs it, who would wait for ever for a terminal that Ctrl-S has stopped.

    What does not fit, or cannot be written, is counted, and told when there is room again: nowhere else, which may be as stuck.
    """

    def __init__(self, writing: Writing) -> None:
        super().__init__()
        self._writing = writing
        self._waiting: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._lost = 0
        Errand(self._write)

    def emit(self, record: logging.LogRecord) -> None:
        if self._waiting.qsize() >= RECORDS_WAITING:
            self._lost += 1
            return
        lost, self._lost = self._lost, 0
        if lost:
            self._waiting.put(partial(self._tell_lost, lost))
        try:
            self._waiting.put(self._writing(record, self.format(record)))
        except Exception:
            self._lost += 1

    def flush(self) -> None:
        """Waits a moment for what is still to be written."""
        written = threading.Event()
        self._waiting.put(written.set)
        written.wait(LAST_WORDS_S)

    def _tell_lost(self, count: int) -> None:
        record = _told_lost(count)
        try:
            self._writing(record, self.format(record))()
        except Exception:
            self._lost += count

    def _write(self) -> None:
        while True:
            write = self._waiting.get()
            try:
                write()
            except Exception:
                self._lost += 1


def _told_lost(count: int) -> logging.LogRecord:
    text = "%d of the log's records before this one could not be written"
    return logging.makeLogRecord({"name": __name__, "levelno": logging.WARNING, "msg": text, "args": (count,)})


def _entries(send: Callable[..., None]) -> Writing:
    """One journal entry per record, its fields beside the message. `send` is systemd-python's."""

    def writing(record: logging.LogRecord, text: str) -> Callable[[], object]:
        own = {FIELD_PREFIX + name.upper(): str(value) for name, value in _fields(record).items()}
        return partial(
            send, text, PRIORITY=_priority(record), LOGGER=record.name, CODE_FILE=record.pathname,
            CODE_LINE=record.lineno, CODE_FUNC=record.funcName, SYSLOG_IDENTIFIER="k1edge", **own,
        )  # fmt: skip

    return writing


def _lines(stream: TextIO, prefixed: bool) -> Writing:
    """One line per record: `<6>message key=value` for the journal to parse, without the prefix on a terminal."""
    stream = _unlocked(stream)

    def writing(record: logging.LogRecord, text: str) -> Callable[[], object]:
        text += "".join(f" {name}={value}" for name, value in _fields(record).items())
        if prefixed:  # the journal makes an entry of each line, so each needs its priority
            text = "\n".join(f"<{_priority(record)}>{line}" for line in text.splitlines())
        return partial(stream.write, text + "\n")

    return writing


def _unlocked(stream: TextIO) -> TextIO:
    """The same file without a buffer: its lock, held by a write that has stopped, would abort the end of the program. And by
    a number of its own: the stream's leads nowhere while the sound library is hushed."""
    try:
        file = io.FileIO(os.dup(stream.fileno()), "w", closefd=False)
    except io.UnsupportedOperation:
        return stream  # a caller's own
    return io.TextIOWrapper(file, stream.encoding, stream.errors, write_through=True)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return getattr(record, "k1_fields", {})


def _priority(record: logging.LogRecord) -> int:
    return PRIORITIES.get(record.levelno // 10 * 10, 6)
