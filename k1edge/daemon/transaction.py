"""The running configuration on its way from trial to trusted, and a new one on its way in.

Consumes `Vitals` once a second and `ConfigDesired` messages; emits `config/reported` and events, and says when the daemon
must start anew. Whatever touches the disk or takes a while happens on a thread of its own: the beat does not wait for a card.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from typing import Any

from k1edge.config import ConfigError
from k1edge.daemon.configuration import file_now, hash_of, identity, loaded, origin_of
from k1edge.daemon.health import Health
from k1edge.daemon.startup import INVALID, ROLLED_BACK, Start
from k1edge.errand import GOODBYE_S, Errand
from k1edge.k1 import contract
from k1edge.k1.contract import ConfigDesired, Publication, Scribe, Stamp, TokenBucket, printable
from k1edge.live.desk import RefusedError, check_in_time
from k1edge.live.health_gate import HealthGate, Judged, Verdict, Vitals
from k1edge.system.generations import Generation, Refusal, digest
from k1edge.system.systemd import fields

CONFLICT, UNWRITABLE = "CONFIG_CONFLICT", "STATE_UNWRITABLE"
ASKED_PER_S, ASKED_AT_ONCE = 0.2, 3.0
"""Each wish costs a validation and a write: more is not a person at work."""
FAULTS_TOLD = 64

log = logging.getLogger("k1edge")


class Transaction:
    """One run's configuration."""

    def __init__(self, start: Start, scribe: Scribe) -> None:
        self.restart = ""
        """Why the daemon must start anew; '' while it need not."""
        self._start = start
        self._scribe = scribe
        self._degraded = (start.code, start.refusal.reason if start.refusal else "")
        self._life, self._trial = self._new_gates()
        self._asked = TokenBucket(ASKED_PER_S, ASKED_AT_ONCE)
        self._errand: tuple[Future, Callable[[Any, Stamp], Iterator[Publication]]] | None = None
        self._news = bool(start.complaint or start.code or (start.refusal and not start.refusal.told))

    @property
    def health(self) -> Health:
        """What the configuration makes of it."""
        code, reason = self._degraded
        return Health("degraded", code, reason) if code else Health()

    @property
    def hash(self) -> str:
        return self._start.running.hash

    def reported(self, stamp: Stamp) -> Publication:
        """What is running, and what is not although it was asked for."""
        start = self._start
        refusal = start.refusal or Refusal("", UNWRITABLE if start.complaint else "", start.complaint)
        return self._scribe.write(
            contract.ConfigReported, stamp, hash=self.hash, generation=start.generation, origin=start.origin,
            on_trial=start.on_trial, refused=refusal.hash, code=refusal.code, reason=printable(refusal.reason),
            faults=tuple(map(printable, start.faults[:FAULTS_TOLD])),
        )  # fmt: skip

    def process(self, vitals: Vitals, stamp: Stamp) -> Iterator[Publication]:
        """Once a second: what has come of errands, and whether the configuration has proved itself."""
        if self._news:
            self._news = False
            yield from self._first_words(stamp)
        if self._errand is not None:
            yield from self._finished(stamp)
        elif not self.restart:
            self._judge(vitals, stamp.monotonic_ns / 1e9)

    def ask(self, desired: ConfigDesired, stamp: Stamp) -> Iterator[Publication]:
        """Somebody wants another configuration: tried at once, unless it is refused."""
        try:
            self._admit(desired, stamp)
        except RefusedError as refused:
            yield from self._refused(desired, refused, stamp)
            return

        def staged(outcome: Callable[[], Generation], stamp: Stamp) -> Iterator[Publication]:
            try:
                candidate = outcome()
            except RefusedError as refused:
                yield from self._refused(desired, refused, stamp)
                return
            self.restart = f"to try the configuration {candidate.hash} that came over MQTT"
            yield self._event(stamp, "info", "", "accepted: restarting to try it", **_about(desired))

        self._begin(lambda: self._staged(desired), staged)

    def close(self) -> None:
        """Waits a moment for what is being written."""
        if self._errand is not None:
            wait([self._errand[0]], GOODBYE_S)

    def _judge(self, vitals: Vitals, now_s: float) -> None:
        store, start = self._start.store, self._start
        if self._trial is not None:
            verdict = self._trial.process(vitals, now_s)
            if verdict is Verdict.PASSED:
                saved_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                self._begin(lambda: store.promote(start.running, saved_at, vitals.broker), self._promoted)
                self._life = None
                return
            if verdict is Verdict.FAILED:
                refusal = Refusal(self.hash, ROLLED_BACK, self._trial.reason)
                self._begin(lambda: store.refuse(refusal), self._given_up)
                return
        if self._life is not None and self._life.process(vitals, now_s) is Verdict.PASSED:
            self._life = None
            self._begin(lambda: store.survived(surely=bool(start.complaint)), self._done)
        elif self._life is None and vitals.broker and start.running.number and not start.running.reached:
            reached = replace(start.running, reached=True)  # a router may need longer than the proof
            self._begin(lambda: store.keep(reached), self._reached)

    def _begin(self, work: Callable[[], object], then: Callable[[Any, Stamp], Iterator[Publication]]) -> None:
        """An errand: `work` beside the loop, for which no stop waits, then `then` with what asks for its outcome."""
        future: Future[object] = Future()
        self._errand = (future, then)
        try:
            Errand(partial(_do, work, future))
        except OSError as fault:
            future.set_exception(fault)

    def _finished(self, stamp: Stamp) -> Iterator[Publication]:
        future, then = self._errand
        if not future.done():
            return
        self._errand = None
        try:
            yield from then(future.result, stamp)
        except OSError as error:
            yield from self._unwritable(f"{self._start.store.folder} cannot be written: {error.strerror or error}", stamp)

    def _promoted(self, outcome: Callable[[], Generation], stamp: Stamp) -> Iterator[Publication]:
        kept = outcome()
        self._start = replace(self._start, running=kept, parts=None, refusal=None, faults=(), complaint="",
                              next_number=kept.number + 1, origin=origin_of(kept))
        self._trial = None
        yield self.reported(stamp)
        yield self._event(stamp, "info", "", f"proved itself: generation {kept.number}", hash=kept.hash)

    def _reached(self, outcome: Callable[[], None], _stamp: Stamp) -> Iterator[Publication]:
        outcome()
        self._start = replace(self._start, running=replace(self._start.running, reached=True))
        return iter(())

    def _given_up(self, outcome: Callable[[], None], _stamp: Stamp) -> Iterator[Publication]:
        outcome()
        self.restart = f"to give up the configuration {self.hash}: {self._trial.reason}"
        return iter(())

    def _done(self, outcome: Callable[[], None], stamp: Stamp) -> Iterator[Publication]:
        outcome()
        if self._start.complaint:
            self._start = replace(self._start, complaint="")
            yield self.reported(stamp)

    def _unwritable(self, complaint: str, stamp: Stamp) -> Iterator[Publication]:
        """Runs on, and tries again after another `gate_s`: the card may be writable by then."""
        known, self._start = self._start.complaint, replace(self._start, complaint=complaint)
        self._life, self._trial = self._new_gates()
        if complaint != known:
            yield self.reported(stamp)
            yield self._complaint(stamp)

    def _new_gates(self) -> tuple[HealthGate | None, HealthGate | None]:
        """Of the start, and of the configuration if it is on trial."""
        start, gate_s = self._start, self._start.settings.system.gate_s
        life = HealthGate(Judged(), gate_s) if start.store else None
        return life, HealthGate(start.parts, gate_s) if start.on_trial else None

    def _first_words(self, stamp: Stamp) -> Iterator[Publication]:
        refusal = self._start.refusal
        if refusal and not refusal.told:
            yield self._event(stamp, "alarm", refusal.code, refusal.reason, hash=self.hash, refused=refusal.hash)
        if self._start.complaint:
            yield self._complaint(stamp)

    def _complaint(self, stamp: Stamp) -> Publication:
        return self._event(stamp, "alarm", UNWRITABLE, self._start.complaint, hash=self.hash)

    def _admit(self, desired: ConfigDesired, stamp: Stamp) -> None:
        """What can be said at once. Raises RefusedError."""
        if not self._start.accepts:
            raise RefusedError("UNAUTHORIZED", "[mqtt] accept_config = true is not set in the file of this edge")
        check_in_time(desired.expires_at_ms, stamp)
        if self._errand or self.restart or not self._asked.take(stamp.monotonic_ns / 1e9):
            raise RefusedError("RATE_LIMIT_EXCEEDED", "another is being dealt with; wait a little")

    def _staged(self, desired: ConfigDesired) -> Generation:
        """On the thread: checks it as a start would, and keeps it for the next one. Raises RefusedError, OSError."""
        content, local = desired.toml.encode(), self._start.local
        if desired.parent != self.hash:
            raise RefusedError(CONFLICT, f"was edited from {desired.parent}, but {self.hash} is running")
        file = self._start.store.file
        if hash_of(file_now(file)[0]) != local.hash:  # it would be started in place of this one
            raise RefusedError(CONFLICT, f"{file} has changed since the start: restart k1edge to try that first")
        if digest(content) == self.hash:
            raise RefusedError("CONFIG_UNCHANGED", "is what is running already")
        candidate = Generation(content, "remote", local.folder, fixed=identity(local), over=local.hash)
        try:
            loaded(candidate, "config/desired", os.environ, {})
        except ConfigError as error:
            raise RefusedError(INVALID, error.in_short, error.told) from error
        if faults := _changed_identity(candidate, local):
            raise RefusedError(INVALID, faults[0], faults)
        self._start.store.stage(candidate)
        return candidate

    def _refused(self, desired: ConfigDesired, refused: RefusedError, stamp: Stamp) -> Iterator[Publication]:
        refusal = Refusal(digest(desired.toml.encode()), refused.code, str(refused))
        if refusal != self._start.refusal:  # a wish that is repeated does not fill the log
            log.warning("a configuration over MQTT is refused: %s", printable(str(refused)), extra=fields(code=refused.code))
        self._start = replace(self._start, refusal=refusal, faults=refused.faults)
        yield self.reported(stamp)
        yield self._event(stamp, "warning", refused.code, str(refused), **_about(desired))

    def _event(self, stamp: Stamp, severity: str, code: str, reason: str, **data: str) -> Publication:
        return self._scribe.write(contract.Event, stamp, kind="config", severity=severity, code=code,
                                  reason=printable(reason), data=data)


def _changed_identity(candidate: Generation, local: Generation) -> tuple[str, ...]:
    """Faults for keys that only the local file may change."""
    said, ours = identity(replace(candidate, fixed={})), identity(local)
    return tuple(f"config/desired: {key}: is not as in the local file - leave it out; only that file can change it"
                 for key, value in said.items() if value != ours.get(key))


def _do(work: Callable[[], object], future: Future[object]) -> None:
    try:
        future.set_result(work())
    except Exception as fault:  # whatever it is, it is told where the outcome is asked for
        future.set_exception(fault)


def _about(desired: ConfigDesired) -> dict[str, str]:
    return {"id": desired.id, "caller": desired.caller, "hash": digest(desired.toml.encode()), "parent": desired.parent}
