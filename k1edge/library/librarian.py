"""The library's own process: `python -m k1edge.library.librarian SETTINGS`.

Consumes questions from the socket on its standard input, one JSON object a datagram (`{"ask": 7, "verb": ..., "args": ...,
"caller": ...}`); emits answers (`{"answer": 7, "result": "ok", "data": ...}`) and, unasked, news of jobs and tracks. It holds
the index and the queue, starts the analyses, watches the inbox and prunes; so neither the disk nor a large map ever stands
between two hops of the live light. It ends when the other side does, or, saying why, when it cannot write; a chore for
which the disk has no room is tried again.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sqlite3
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from k1edge.genesis.codec import Document
from k1edge.library import upkeep
from k1edge.library.admission import INBOX
from k1edge.library.door import DATAGRAM_BYTES
from k1edge.library.errors import Code, LibraryError
from k1edge.library.files import is_full
from k1edge.library.inbox import Inbox
from k1edge.library.jobs import Jobs
from k1edge.library.rules import Rules
from k1edge.library.verbs import Verbs
from k1edge.library.worker import BEGUN, Limits

NICE = 10
STEP_S = 0.1
INBOX_S, LEARN_S, UPKEEP_S = 2.0, 2.0, 20.0
AGAIN_S = 5.0
"""Until a chore for which there was no room is tried again."""
MEANWHILE = 16
"""Questions answered between two looks at the queue."""
TOLD_A_STEP = 8
"""Jobs and tracks from before: a library of thousands is told within a minute, and keeps nobody waiting."""


class Librarian:
    """Answers, and keeps house between two questions."""

    def __init__(self, wire: socket.socket, settings: Document) -> None:
        self._wire, self._settings = wire, settings
        root, music = Path(settings["root"]), Path(settings["music"])
        limits = Limits(settings["time_limit_s"], settings["memory_mb"])
        heard = Path(settings["heard"])
        # A draft in memory does not wear out a card, either.
        work = None if heard.is_relative_to(music) else heard.with_name("work")
        rules = Rules(music, settings["command"], settings["max_file_mb"] * 1_000_000, limits, heard=heard, work=work)
        self._library = upkeep.open_library(root, settings["limit_mb"] * 1_000_000)
        self._jobs = Jobs(self._library, rules, self._tell_job)
        folders = dict.fromkeys((music / INBOX, heard))
        self._inboxes = [Inbox(self._library, self._jobs, folder, self._tell_refused) for folder in folders]
        self._verbs = Verbs(self._library, self._jobs)
        before = {self._tell_past: self._jobs.ended(), self._tell_track: self._library.ids()}
        self._untold = ((tell, name) for tell, names in before.items() for name in names)
        self._told: dict[str, int] = {}
        """What was told last of each track, hashed."""
        self._chores = {self._jobs.step: 0.0, self._tell_before: 0.0, self._look: INBOX_S,
                        self._verbs.memory.learn: LEARN_S, self._tidy: UPKEEP_S}
        self._due_s = dict.fromkeys(self._chores, 0.0)
        self._undone: set[Callable[[], None]] = set()
        """What the disk has no room for."""

    def run(self) -> None:
        """Until the other side is gone."""
        try:
            self._tell({"ready": True})
            while self._listen():
                self._keep_house()
        finally:
            self._jobs.close()
            self._library.close()

    def _listen(self) -> bool:
        """Answers what has been asked; False when nobody can ask any more."""
        for _ in range(MEANWHILE):
            ready, _, _ = select.select([self._wire], [], [], STEP_S)
            if not ready:
                return True
            question = self._wire.recv(DATAGRAM_BYTES)
            if not question:
                return False
            asked = json.loads(question)
            if "rest" in asked:
                self._jobs.rest(asked["rest"])
            else:
                self._tell(self._answer(asked))
        return True

    def _answer(self, question: Document) -> Document:
        outcome: Document = {"answer": question["ask"]}
        try:
            data = self._verbs.answer(question["verb"], question["args"], question.get("caller", ""))
            outcome |= {"result": "ok", "data": data}
        except LibraryError as refused:
            outcome |= {"result": "rejected", "code": refused.code, "reason": refused.reason[:512]}
            if refused.code in (Code.ARTIFACT_DAMAGED, Code.ARTIFACT_NOT_FOUND):
                self._tell_track(question["args"]["track"])
        except (OSError, sqlite3.OperationalError) as fault:
            outcome |= {"result": "failed", "code": Code.INTERNAL_ERROR, "reason": _explained(fault, self._settings)[:512]}
        data = outcome.get("data") or {}
        self._tell_track(data.get("track", data.get("track_id")))
        return outcome

    def _keep_house(self) -> None:
        """Every chore that is due; one that a full disk stands in the way of is tried again, and keeps from no other."""
        now_s = time.monotonic()
        for chore in [chore for chore, due_s in self._due_s.items() if now_s >= due_s]:
            self._due_s[chore] = now_s + self._chores[chore]
            try:
                chore()
            except (OSError, sqlite3.OperationalError) as fault:
                if not is_full(fault):
                    raise
                self._due_s[chore] = now_s + AGAIN_S
                if not self._undone:
                    reason = _explained(fault, self._settings)
                    self._tell_refused({"file": self._settings["root"], "code": Code.INTERNAL_ERROR, "reason": reason})
                self._undone.add(chore)
            else:
                self._undone.discard(chore)

    def _look(self) -> None:
        for inbox in self._inboxes:
            inbox.look()

    def _tidy(self) -> None:
        gone = [*upkeep.sweep(self._library), *upkeep.prune(self._library)]
        for track in gone:
            self._tell_track(track.partition(" ")[0])  # of some only an old version went
        if gone:
            self._due_s[self._tidy] = 0.0  # there may be more, and somebody who asks meanwhile

    def _tell_job(self, job: Document) -> None:
        self._tell({"job": job})
        if job["state"] in ("completed", "failed") or job["stage"] == BEGUN:
            self._tell_track(job["track_id"])

    def _tell_before(self) -> None:
        """What ended, what there is, and what went last: the broker may be another, or have lost what it was told before a
        power cut; and the life before this one may not have told an end."""
        for tell, name in islice(self._untold, TOLD_A_STEP):
            tell(name)

    def _tell_past(self, job: str) -> None:
        with contextlib.suppress(LibraryError):  # its track may have been purged since the start
            if (ended := self._jobs.get(job))["state"] in ("completed", "failed"):
                self._tell({"past": ended})

    def _tell_track(self, track: Any) -> None:
        """What a broker is to keep of it; where that is what it was, nothing."""
        if not isinstance(track, str):
            return
        try:
            known = self._library.get(track)
        except LibraryError:
            self._told.pop(track, None)
            self._tell({"gone": track})
            return
        mark = hash(json.dumps(known))
        if self._told.get(track) != mark:
            self._told[track] = mark
            self._tell({"track": known})

    def _tell_refused(self, refused: Document) -> None:
        self._tell({"refused": refused})

    def _tell(self, news: Document) -> None:
        try:
            self._wire.sendall(json.dumps(news, ensure_ascii=False, separators=(",", ":")).encode())
        except ConnectionError:
            raise SystemExit(0) from None


def main() -> int:
    """Serves the socket that was inherited as standard input; 1 when its folder or the index cannot be used."""
    os.nice(NICE)
    with socket.socket(fileno=os.dup(0)) as wire:
        settings = json.loads(sys.argv[1])
        try:
            Librarian(wire, settings).run()
        except (OSError, sqlite3.OperationalError, LibraryError) as fault:
            with contextlib.suppress(OSError):
                wire.sendall(json.dumps({"ending": _explained(fault, settings)}, ensure_ascii=False).encode())
            return 1
    return 0


def _explained(fault: OSError | sqlite3.OperationalError | LibraryError, settings: Document) -> str:
    """What cannot be used, why, and what to do."""
    if isinstance(fault, LibraryError):
        return fault.reason
    # Only what opens a file knows its name, not what reads or writes it.
    where = getattr(fault, "filename", None) or settings["root"]
    said = f"{where}: {getattr(fault, 'strerror', None) or fault}"
    return f"{said}; the library must be able to write to {settings['root']}"


if __name__ == "__main__":
    sys.exit(main())
