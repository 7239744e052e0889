"""The daemon's side of the library: questions out, answers and news in, never waiting.

Consumes questions, emits what the librarian says, one plain object each. Why a process and not a thread: parsing a map of
2 MB keeps the interpreter for 50 ms, a hop has 10. What the library does costs the loop one datagram each way, 30 us.
A librarian that dies is started again; what had been asked of it is answered with NOT_READY.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k1edge.interpreter import PYTHON
from k1edge.library.admission import INBOX
from k1edge.library.confine import ONE_THREAD

if TYPE_CHECKING:
    from k1edge.config import LibrarySettings

RECALL = "recall"
"""What the edge itself asks, about what it hears; nobody else can."""
BUFFER_BYTES = 1 << 20
DATAGRAM_BYTES = 1 << 18
"""The most that either side says at once."""
AGAIN_S = (1.0, 5.0, 30.0)
"""Between attempts to start a librarian that does not live."""
CALM_S = 3.0
"""After the start of the daemon: the light comes first."""
QUIET_S = 0.05
"""How often one listens while no question is open: in each hop the system call would cost too much."""
GOODBYE_S = 0.7
"""A stop takes less than two seconds; what is cut short is safe on the disk, and resumed."""


def music_folder(settings: LibrarySettings, state: Path) -> Path:
    """Where songs may be analysed from; its `inbox` is watched."""
    return Path(settings.music_dir) if settings.music_dir else state / "music"


def heard_folder(settings: LibrarySettings, state: Path) -> Path:
    """Where what was heard on the line waits for its analysis: in memory, if systemd gives a folder there, for 0.9 MB a minute
    would wear out a card; else in the inbox."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(runtime) / "heard" if runtime else music_folder(settings, state) / INBOX


class Door:
    """One librarian, kept alive."""

    def __init__(self, settings: LibrarySettings, state: Path, command: list[str], delay_s: float = CALM_S) -> None:
        """`command`: the analysis of one song, as `library.worker` takes it. Opens `delay_s` from now."""
        told = settings.model_dump(include={"time_limit_s", "memory_mb", "max_file_mb", "limit_mb"})
        folders = {"root": state / "library", "music": music_folder(settings, state), "heard": heard_folder(settings, state)}
        self._told = json.dumps(told | {"command": command} | folders, default=str)
        self._process: subprocess.Popen | None = None
        self._wire: socket.socket | None = None
        self._asked: set[int] = set()
        self._news: deque[dict[str, Any]] = deque()
        self._failures, self._started_s, self._retry_s = 0, 0.0, time.monotonic() + delay_s
        self._ending = ""
        self._listen_s = 0.0
        self._said = memoryview(bytearray(DATAGRAM_BYTES))
        """Used again for every datagram: to make room for each was dearer than all the rest."""
        self.ready = self._resting = False

    def ask(self, number: int, verb: str, args: dict[str, Any], caller: str) -> bool:
        """Passes a question on; False when there is nobody to take it."""
        if not self.ready:
            return False
        question = json.dumps({"ask": number, "verb": verb, "args": args, "caller": caller})
        try:
            self._wire.send(question.encode())
        except OSError:
            return False
        self._asked.add(number)
        return True

    def rest(self, resting: bool) -> None:
        """No further analysis begins while it rests."""
        if resting != self._resting:
            self._resting = resting
            self._tell_rest()

    def _tell_rest(self) -> None:
        if self.ready:
            with contextlib.suppress(OSError):
                self._wire.send(json.dumps({"rest": self._resting}).encode())

    def heard(self) -> Iterator[dict[str, Any]]:
        """What the librarian has said since; starts it when there is none. What is not taken now is there the next time."""
        while self._news or self._listen():
            yield self._news.popleft()

    def _listen(self) -> bool:
        """Whether there is more news."""
        if self._wire is None:
            self._start()
            return bool(self._news)
        if not self._asked and time.monotonic() < self._listen_s:
            return False
        while not self._news:
            try:
                size = self._wire.recv_into(self._said)
            except BlockingIOError:
                self._listen_s = time.monotonic() + QUIET_S
                return False
            except ConnectionError:
                size = 0
            if size:
                self._take_in(json.loads(bytes(self._said[:size])))
            else:
                self._lost()
        return True

    def _take_in(self, news: dict[str, Any]) -> None:
        if "ending" in news:
            self._ending = news["ending"]
            return
        if "ready" in news:
            self.ready = True
            self._tell_rest()
        self._asked.discard(news.get("answer"))
        self._news.append(news)

    def close(self) -> None:
        """Ends the librarian in order: a running analysis waits for the next start."""
        if self._wire is not None:
            self._hang_up(GOODBYE_S)
            self._process.wait()

    def _hang_up(self, patience_s: float) -> int | None:
        """The status with which the librarian ends; None: it did not in time, and is killed."""
        self._wire.close()
        self._wire, self.ready = None, False
        try:
            return self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return None

    def _start(self) -> None:
        now_s = time.monotonic()
        if now_s < self._retry_s:
            return
        self._started_s, self._retry_s = now_s, now_s + AGAIN_S[min(self._failures, len(AGAIN_S) - 1)]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        ours.setblocking(False)
        command = [*PYTHON, "-m", "k1edge.library.librarian", self._told]
        env = os.environ | ONE_THREAD
        try:
            # Ctrl-C reaches every process of a terminal's group; this one ends when the daemon hangs up.
            self._process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.DEVNULL, env=env, process_group=0)
        except OSError as fault:
            ours.close()
            self._failures += 1
            self._news.append({"lost": f"the librarian cannot be started: {fault.strerror}"})
            return
        finally:
            theirs.close()
        self._wire = ours

    def _lost(self) -> None:
        status = self._hang_up(0.01)
        lived_s = time.monotonic() - self._started_s
        self._failures = self._failures + 1 if lived_s < AGAIN_S[-1] else 1
        again = {"result": "failed", "code": "NOT_READY", "reason": "the library has to start again"}
        self._news.extend({"answer": number} | again for number in sorted(self._asked))
        self._news.append({"lost": self._ending or f"the librarian ended with {status}"})
        self._asked.clear()
        self._ending = ""
