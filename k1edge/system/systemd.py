"""systemd: readiness, status line, watchdog and journal. Elsewhere, nothing but lines on standard error.

**Consumes** the daemon's news. **Emits** datagrams on `$NOTIFY_SOCKET` (sd_notify's protocol) and journal entries with
fields of their own. Never raises, and never waits: news that systemd does not take at once is dropped.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""Python's levels as syslog's, which the journal understands as a `<n>` prefix too."""

FIELD_PREFIX = "K1_"


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
        self._tell(f"READY=1\nSTATUS={_one_line(status)}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._tell(f"STATUS={_one_line(status)}")

    def alive(self) -> None:
        """To be called on progress only, never by a timer."""
        self._tell("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        """The end has begun."""
        self._tell(f"STOPPING=1\nSTATUS={_one_line(status)}")

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    def _tell(self, news: str) -> None:
        if self._socket:
            try:
                self._socket.sendto(news.encode(), self._address)
            except OSError:
                # Light must not depend on whether systemd listens.
                return


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
    root.handlers = [(to_journal and _journal()) or _LineHandler(sys.stderr, to_journal)]
    root.setLevel(level.upper())


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a stream leads to the journal: `$JOURNAL_STREAM` names its device and inode, and is inherited by
    programs whose stream leads elsewhere."""
    try:
        file = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{file.st_dev}:{file.st_ino}"


def _journal() -> logging.Handler | None:
    """The journal with its fields, where systemd-python is installed."""
    try:
        from systemd import journal
    except ImportError:
        return None
    return _JournalHandler(journal.send)


class _JournalHandler(logging.Handler):
    """One journal entry per record, its fields beside the message. `send` is systemd-python's."""

    def __init__(self, send: Callable[..., None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        own = {FIELD_PREFIX + name.upper(): str(value) for name, value in _fields(record).items()}
        try:
            self._send(
                self.format(record), PRIORITY=_priority(record), LOGGER=record.name, CODE_FILE=record.pathname,
                CODE_LINE=record.lineno, CODE_FUNC=record.funcName, SYSLOG_IDENTIFIER="k1edge", **own,
            )  # fmt: skip
        except OSError:
            self.handleError(record)


class _LineHandler(logging.StreamHandler):
    """One line per record: `<6>message key=value` for the journal to parse, without the prefix on a terminal."""

    def __init__(self, stream: TextIO, prefixed: bool) -> None:
        super().__init__(stream)
        self._prefixed = prefixed

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record) + "".join(f" {name}={value}" for name, value in _fields(record).items())
        if not self._prefixed:
            return text
        # The journal makes an entry of each line, so each needs its priority.
        return "\n".join(f"<{_priority(record)}>{line}" for line in text.splitlines())


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return getattr(record, "k1_fields", {})


def _priority(record: logging.LogRecord) -> int:
    return PRIORITIES.get(record.levelno // 10 * 10, 6)
