"""Requests for the library: passed on to its process, answered when it answers.

Consumes request publications and what comes through the library's door; emits responses, and jobs, tracks and events as they
change, and an alarm while there is no library. A request that is repeated is answered from the cache, or joins the question
that is still open. Costs the loop no more than reading and writing the messages themselves: a few at a time, between two hops.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Protocol

from k1edge.daemon.telemetry import Telemetry
from k1edge.frames import Alarm, Look
from k1edge.k1 import contract
from k1edge.k1.contract import Publication, Request, Scribe, Stamp, printable
from k1edge.library.door import RECALL
from k1edge.live.desk import Desk, RefusedError, ReplyTo
from k1edge.system.systemd import fields

if TYPE_CHECKING:
    from k1edge.daemon.rehearsal import Rehearsal
    from k1edge.library.door import Door

VERBS = frozenset({*contract.LIBRARY_VERBS, "scene.simulate"})
"""Those that come here."""
EDGE_VERBS = ("deploy", "deploy.stop")
"""What the library prepares, and the edge does."""
OWN = 0
"""The number of the edge's own question; those of others begin with 1."""
REHEARSED = "scene.simulate"
"""What is done here, a little each hop."""
MOST_REHEARSALS = 4
NEWS_PER_HOP = 2
"""An answer of 128 KB takes 2 ms to wrap."""
PATIENCE_NS = 10_000_000_000
"""After it a question is answered with NOT_READY, so that nobody waits for ever."""
JOB_TTL_S = 60.0
"""An ended job's retained message is cleared then; an MQTT 5 broker forgets it by itself, should the edge be gone."""
LOST, AGAIN = "LIBRARY_LOST", "it is started again by itself, at least every half minute; the light needs no library"

log = logging.getLogger("k1edge")


class LightHands(Protocol):
    """What is needed of the edge."""

    def deploy(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Carries out what the library has prepared, and says what to answer. May raise `RefusedError`."""
        ...

    def recalled(self, found: dict[str, Any]) -> None:
        """What the library has found of the edge's own question; {} where nothing."""
        ...

    @property
    def shown(self) -> Look | None: ...
    @property
    def telemetry(self) -> Telemetry: ...


@dataclass(slots=True)
class _Open:
    """A question that the library has not answered yet."""

    request: Request
    asked_ns: int
    reply_to: list[ReplyTo] = field(default_factory=list)


class Lending:
    """The library's side of one edge."""

    def __init__(self, door: Door, scribe: Scribe, desk: Desk, hands: LightHands) -> None:
        """`hands` does what concerns the light."""
        self._door, self._scribe, self._desk, self._hands = door, scribe, desk, hands
        self._rehearsals: deque[tuple[int, Rehearsal]] = deque()
        """By number of the question: one is tried out after the other."""
        self._open: dict[int, _Open] = {}
        self._asked: dict[tuple[str, ...], int] = {}
        self._numbers = count(1)
        self._jobs: dict[str, dict[str, Any]] = {}
        """Those that have not ended, as they were told last."""
        self._ended_jobs: dict[str, int] = {}
        self.figures = {"jobs_completed": 0.0, "jobs_failed": 0.0, "job_s_sum": 0.0}
        """Of the analyses since the start; the seconds are those of the completed."""
        self.alarms: tuple[Alarm, ...] = ()
        """That there is no library, from its loss until it is open again."""

    def request(self, topic: str, payload: bytes, reply_to: ReplyTo, stamp: Stamp) -> Iterator[Publication]:
        """Passes a request on, or answers it at once when it was answered before or cannot be passed on."""
        request = self._desk.read(topic, payload, stamp)
        if isinstance(request, Publication):
            yield from _with_copies(request, [reply_to])
        elif request.repeats in self._asked:
            self._open[self._asked[request.repeats]].reply_to.append(reply_to)
        else:
            yield from self._pass_on(request, reply_to, stamp)

    def process(self, stamp: Stamp) -> Iterator[Publication]:
        """What the library has said since; questions that have been open for too long."""
        for news in islice(self._door.heard(), NEWS_PER_HOP):
            yield from self._told(news, stamp)
        if self._rehearsals and self._rehearsals[0][1].step():
            number, rehearsal = self._rehearsals.popleft()
            yield from self._answered({"answer": number, "result": "ok", "data": rehearsal.report()}, stamp)
        for number, waiting in list(self._open.items()):
            if stamp.monotonic_ns - waiting.asked_ns <= PATIENCE_NS:
                break  # they are in the order they came
            late = {"answer": number, "result": "failed", "code": "NOT_READY", "reason": "the library takes too long"}
            yield from self._answered(late, stamp)
        for job, ended_ns in list(self._ended_jobs.items()):
            if stamp.monotonic_ns - ended_ns <= JOB_TTL_S * 1e9:
                break
            del self._ended_jobs[job]
            yield self._scribe.cleared(contract.Job, job)

    def recall(self, heard: dict[str, Any] | None) -> None:
        """Asks which song it is that is heard, if anything is."""
        if heard is not None:
            self._door.ask(OWN, RECALL, heard, self._scribe.node)

    def rest(self, resting: bool) -> None:
        """No further song is analysed while it rests; questions are answered."""
        self._door.rest(resting)

    def farewell(self, stamp: Stamp) -> Iterator[Publication]:
        """Ends the library's process; what it did not end waits for the next one, and what has ended is told no longer."""
        self._door.close()
        yield from self._waiting(stamp)
        for job in self._ended_jobs:
            yield self._scribe.cleared(contract.Job, job)

    def _waiting(self, stamp: Stamp) -> Iterator[Publication]:
        """Where there is no library, nothing is analysed, and nobody knows when it will be."""
        untold = {"state": "queued", "stage": "waiting", "progress": 0.0, "position": None, "eta_s": None, "log_tail": []}
        for job in [job for job in self._jobs.values() if job["state"] == "processing" or job["eta_s"] is not None]:
            yield from self._job(job | untold, stamp)

    def _pass_on(self, request: Request, reply_to: ReplyTo, stamp: Stamp) -> Iterator[Publication]:
        number = next(self._numbers)
        try:
            self._desk.admit(request, stamp)
            self._begin(number, request)
        except RefusedError as refused:
            yield from _with_copies(self._desk.refuse(request, stamp, refused), [reply_to])
            return
        self._open[number] = _Open(request, stamp.monotonic_ns, [reply_to])
        self._asked[request.repeats] = number

    def _begin(self, number: int, request: Request) -> None:
        """Raises RefusedError."""
        if request.verb != REHEARSED:
            args = request.args.model_dump(mode="json", exclude_unset=True)
            if not self._door.ask(number, request.verb, args, request.caller):
                raise RefusedError("NOT_READY", "the library is not open yet; try again in a moment")
        elif len(self._rehearsals) >= MOST_REHEARSALS:
            raise RefusedError("NOT_READY", "other scenes are being tried out; try again in a moment")
        else:
            from k1edge.daemon.rehearsal import Rehearsal  # and with it all that draws: only where it is asked for

            self._rehearsals.append((number, Rehearsal(request.args, self._hands.shown)))

    def _told(self, news: dict[str, Any], stamp: Stamp) -> Iterator[Publication]:
        match news:
            case {"answer": 0}:
                self._hands.recalled(news.get("data") or {})
            case {"answer": _}:
                yield from self._answered(news, stamp)
            case {"job": job}:
                yield from self._job(job, stamp)
            case {"past": job} if job["id"] in self._jobs:  # of the library's life before, and not told yet
                yield from self._job(job, stamp)
            case {"past": job} if job["id"] not in self._ended_jobs:
                yield self._scribe.cleared(contract.Job, job["id"])
            case {"track": dict(track)}:
                yield self._track(track, stamp)
            case {"gone": str(track)}:
                yield self._scribe.cleared(contract.Track, track)
                for job in [job for job, its in self._jobs.items() if its["track_id"] == track]:
                    del self._jobs[job]
                    yield self._scribe.cleared(contract.Job, job)
            case {"refused": refused}:
                yield self._event(stamp, "job_failed", refused, {"file": printable(refused["file"])})
            case {"lost": str(reason)}:
                self._lost(Alarm(LOST, printable(reason), AGAIN))
                yield from self._waiting(stamp)
            case {"ready": _} if self.alarms:
                self.alarms = ()
                log.info("the library is open again")

    def _lost(self, alarm: Alarm) -> None:
        if alarm not in self.alarms:
            log.error("no library: %s; %s", alarm.reason, alarm.remedy, extra=fields(code=alarm.code, reason=alarm.reason))
        self.alarms = (alarm,)

    def _answered(self, news: dict[str, Any], stamp: Stamp) -> Iterator[Publication]:
        waiting = self._open.pop(news["answer"], None)
        if waiting is None:
            return
        request = waiting.request
        self._asked.pop(request.repeats, None)
        self._hands.telemetry.request_done(stamp.monotonic_ns - waiting.asked_ns, lent=True)
        if request.verb in EDGE_VERBS and news["result"] == "ok":
            news = self._carried_out(request, news)
        yield from _with_copies(self._desk.answer(request, stamp, news), waiting.reply_to)

    def _carried_out(self, request: Request, news: dict[str, Any]) -> dict[str, Any]:
        order = dict(news["data"])
        asked = request.args.model_dump(exclude_unset=True) | order | {"verb": request.verb}
        order.pop("score", None)
        try:
            return news | {"data": order | self._hands.deploy(asked)}
        except RefusedError as refused:
            return {"result": "rejected", "code": refused.code, "reason": str(refused)}

    def _job(self, job: dict[str, Any], stamp: Stamp) -> Iterator[Publication]:
        published = self._scribe.write(
            contract.Job, stamp, id=job["id"], track=job["track_id"], state=job["state"], stage=job["stage"][:64],
            progress=job["progress"], position=job["position"], eta_s=job["eta_s"], priority=job["priority"],
            code=job["code"] or "", reason=printable(job["reason"] or ""),
            log_tail=tuple(printable(line) for line in job["log_tail"][-20:]),
        )  # fmt: skip
        ended = job["state"] in ("completed", "failed")
        yield replace(published, expiry_s=JOB_TTL_S) if ended else published
        self._ended_jobs.pop(job["id"], None)  # it may have been tried again
        if not ended:
            self._jobs[job["id"]] = job
        else:
            self._jobs.pop(job["id"], None)
            self._ended_jobs[job["id"]] = stamp.monotonic_ns
            self.figures[f"jobs_{job['state']}"] += 1
            if job["state"] == "completed" and job["started_ms"]:
                self.figures["job_s_sum"] += max(0.0, job["finished_ms"] - job["started_ms"]) / 1000
            data = {"job": job["id"], "track": job["track_id"], "file": printable(job["file"])}
            yield self._event(stamp, f"job_{job['state']}", job, data)

    def _track(self, track: dict[str, Any], stamp: Stamp) -> Publication:
        override = track["override"] or {}
        detail = {"filename": printable(track["filename"]), "preset": track["preset"][:64], "source": track["source"],
                  "pinned": track["pinned"], "override_by": printable(str(override.get("by", ""))),
                  "override_at_ms": override.get("at_ms", ""),
                  "override_note": printable(str(override.get("note", "")))}  # fmt: skip
        return self._scribe.write(
            contract.Track, stamp, id=track["id"], title=printable(track["title"]), artist=printable(track["artist"]),
            duration_ms=track["duration_ms"] or 0.0, bpm=track["bpm"] or 0.0, status=track["status"],
            version=track["version"] or 0, updated_ms=track["updated_ms"],
            detail={key: value for key, value in detail.items() if value != ""},
        )  # fmt: skip

    def _event(self, stamp: Stamp, kind: str, said: dict[str, Any], data: dict[str, Any]) -> Publication:
        severity = "warning" if said.get("code") else "info"
        return self._scribe.write(contract.Event, stamp, kind=kind, severity=severity, code=said.get("code") or "",
                                  reason=printable(said.get("reason") or ""), data=data)  # fmt: skip


def _with_copies(answer: Publication, reply_to: Iterable[ReplyTo]) -> Iterator[Publication]:
    yield answer
    for each in reply_to:
        yield from each.copies(answer)
