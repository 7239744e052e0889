"""Carries out what people ask for over MQTT, and keeps the edge's own hands off meanwhile.

Consumes request publications and the moment they came; emits responses, audit events, `state/override` and
`state/scene`. A manual scene wins over the choreography for its lease, then the edge takes over again by itself. No I/O and no
clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from k1edge.clock import Timeline
from k1edge.config.settings import OWN_ENGINE
from k1edge.frames import HOP_NS, Look
from k1edge.k1 import contract
from k1edge.k1.contract import Gate, Publication, Request, Scribe, Stamp
from k1edge.k1.contract.parameters import clamp
from k1edge.k1.contract.requests import MomentArguments, NudgeArguments
from k1edge.live.desk import Desk, RefusedError, ReplyTo
from k1edge.pipeline import Pipeline

FOREIGN_LEASE_S = 8.0
"""How long the edge holds back after someone else has set a scene on a K1 directly."""
NOBODY = "unknown"
"""The owner of a scene that came without a request."""
REQUESTED = "request"
"""The name of a look that was asked for."""
MEANT_WITHIN_MS = 10_000
"""A moment further off was told by a clock that is wrong."""


@dataclass(frozen=True, slots=True)
class Override:
    """Who has a hand on what (`scope`), and until when."""

    owner: str
    scope: str
    until_ns: int
    look: Look | None = None
    """The look asked for; None = whatever is shown now."""
    foreign: bool = False
    """Somebody has set a scene on a K1 without asking here."""

    @property
    def scenes(self) -> bool:
        """Whether the scenes are theirs. Who puts the beat right leaves them to the choreography."""
        return self.scope not in contract.CORRECTED


@dataclass(frozen=True, slots=True)
class Situation:
    """What a request can act on: the stream that is playing, if one is, and the moment."""

    stamp: Stamp
    pipeline: Pipeline | None = None
    timeline: Timeline | None = None
    save_recording: Callable[[], str] | None = None
    """Begins to write the flight recorder's file and returns its name; None = there is no recorder."""


class Hands:
    """Requests and leases of one edge."""

    def __init__(self, scribe: Scribe, desk: Desk, scenes: bool = True) -> None:
        """Without `scenes` nobody chooses one from afar: safe mode."""
        self._scribe, self._desk, self._scenes = scribe, desk, scenes
        self.override: Override | None = None
        self._verbs: dict[str, Callable[[Request, Situation], dict]] = {
            "scene.apply": self._apply,
            "scene.hold": self._hold,
            "override.release": self._release,
            "tempo.double": self._correct,
            "tempo.halve": self._correct,
            "tempo.tap": self._correct,
            "beat.nudge": self._correct,
            "beat.this_is_one": self._correct,
            "recorder.save": self._save,
        }
        self._scene, self._hand = Gate(), Gate()

    def look(self, choreographed: Look | None) -> Look | None:
        """What the K1s are to show: the choreography's look, the one that was asked for, or None = leave them alone."""
        held = self.override
        return choreographed if held is None or not held.scenes else held.look

    def request(self, topic: str, payload: bytes, reply_to: ReplyTo, now: Situation) -> Iterator[Publication]:
        """The answer to one request, and a copy for `reply_to`."""
        request = self._desk.read(topic, payload, now.stamp)
        answer, *audit = [request] if isinstance(request, Publication) else self._done(request, now)
        yield answer
        yield from audit
        yield from reply_to.copies(answer)

    def foreign_scene(self, device: str, now_ns: int) -> None:
        """Someone else has set a scene on a K1: hold back for a while, or for as long as somebody wished anyway."""
        until_ns = now_ns + round(FOREIGN_LEASE_S * 1e9)
        held = self.override
        if held is not None and held.scenes:
            self.override = replace(held, look=None, foreign=True, until_ns=max(held.until_ns, until_ns))
        else:
            self.override = Override(NOBODY, f"device {device}", until_ns, foreign=True)

    def process(self, now: Situation) -> Iterator[Publication]:
        """Ends leases that have run out, and tells who holds what, when that has changed."""
        if self.override is not None and now.stamp.monotonic_ns >= self.override.until_ns:
            self.override = None
        held = self.override
        if self._hand.passes(held, now.stamp.monotonic_ns // HOP_NS):
            fields = {"active": False} if held is None else {
                "active": True, "owner": held.owner, "scope": held.scope,
                "expires_at_ms": _ends_ms(held, now.stamp),
            }  # fmt: skip
            yield self._scribe.write(contract.OverrideState, now.stamp, **fields)

    def scene(self, stamp: Stamp, shown: Look | None) -> Iterator[Publication]:
        """Tells of the look the K1s were last asked for, when it has changed; one that somebody wants, when it is shown."""
        held = self.override if self.override is not None and self.override.scenes else None
        waits = held is not None and held.look not in (None, shown)
        if shown is not None and not waits and self._scene.passes((shown, held), stamp.monotonic_ns // HOP_NS):
            yield self._scribe.write(
                contract.SceneState, stamp, look=shown.name, pattern=shown.pattern, palette_id=shown.palette,
                parameters=dict(shown.parameters), origin=self._origin(shown, held),
                held_until_ms=None if held is None else _ends_ms(held, stamp),
            )  # fmt: skip

    def clock_stepped(self) -> None:
        """The wall clock is another: until when somebody holds what is to be told anew."""
        self._hand, self._scene = Gate(), Gate()

    def farewell(self, stamp: Stamp, shown: Look | None) -> Iterator[Publication]:
        """Nobody holds off an edge that is gone: every lease ends with it."""
        self.override = None
        self._hand, self._scene = Gate(), Gate()  # the last word waits for nothing
        yield from self.process(Situation(stamp))
        yield from self.scene(stamp, shown)

    def _origin(self, shown: Look, held: Override | None) -> str:
        if not self._scenes:
            return "safe"
        if held is not None and held.foreign:
            return "foreign"
        return "request" if shown.name == REQUESTED else "auto"

    def _done(self, request: Request, now: Situation) -> list[Publication]:
        """The answer, and after it what there is to tell of a request that was carried out."""
        try:
            self._desk.admit(request, now.stamp)
            if request.verb not in self._verbs:
                raise RefusedError("NOT_READY", "this edge has no library; set [library] enabled")
            data = self._verbs[request.verb](request, now)
        except RefusedError as refused:
            return [self._desk.refuse(request, now.stamp, refused)]
        return [self._desk.answer(request, now.stamp, {"result": "ok", "data": data}), self._audit(request, now)]

    def _audit(self, request: Request, now: Situation) -> Publication:
        return self._scribe.write(contract.Event, now.stamp, kind="override",
                                  data={"verb": request.verb, "caller": request.caller, "id": request.id})

    def _lease(self, request: Request, now: Situation, scope: str, look: Look | None = None) -> dict:
        lease_s = getattr(request.args, "lease_s", contract.LEASE_S)  # corrections take no length
        self.override = Override(request.caller or "anonymous", scope, now.stamp.monotonic_ns + round(lease_s * 1e9), look)
        return {"expires_at_ms": now.stamp.ts_ms + round(lease_s * 1000)}

    def _apply(self, request: Request, now: Situation) -> dict:
        if not self._scenes:
            raise RefusedError("NOT_READY", "the edge is in safe mode; see config/reported")
        args = request.args
        parameters, clamped = clamp(args.parameters)
        look = Look(REQUESTED, args.pattern, args.palette, tuple(sorted(parameters.items())), args.transition,
                    args.transition_ms)
        return self._lease(request, now, "scene", look) | {"clamped": clamped}

    def _hold(self, request: Request, now: Situation) -> dict:
        return self._lease(request, now, "scene")

    def _release(self, request: Request, now: Situation) -> dict:
        held, self.override = self.override, None
        if now.pipeline is not None and not (held and held.scenes):
            now.pipeline.act("release")  # who gives back a scene does not undo the tempo that somebody put right
        return {"released": held is not None}

    def _save(self, request: Request, now: Situation) -> dict:
        if now.save_recording is None:
            raise RefusedError("NOT_READY", f"no recording: [recorder] minutes is 0, or [beat] engine is not {OWN_ENGINE}")
        try:
            return {"file": now.save_recording()}
        except OSError as error:
            raise RefusedError("INTERNAL_ERROR", f"the recording cannot be saved: {error}") from error

    def _correct(self, request: Request, now: Situation) -> dict:
        if now.pipeline is None:
            raise RefusedError("NOT_READY", "no audio is being followed; nothing to correct")
        scope, _, act = request.verb.partition(".")
        if not now.pipeline.act(act, *_by(request, now)):
            raise RefusedError("NOT_READY", "no beat is followed yet, or the tempo would leave the range of [beat]")
        if self.override is not None and self.override.scenes:
            return {}  # who holds the scenes keeps them, and the name on them
        return self._lease(request, now, scope)


def _ends_ms(held: Override, stamp: Stamp) -> int:
    return stamp.ts_ms + (held.until_ns - stamp.monotonic_ns) // 1_000_000


def _by(request: Request, now: Situation) -> tuple[float, ...]:
    """By how many ms the beat is to be moved, or the sample index of the moment that is meant."""
    if isinstance(request.args, NudgeArguments):
        return (request.args.ms,)
    if not isinstance(request.args, MomentArguments):
        return ()
    at_ms = now.stamp.ts_ms if request.args.at_ms is None else request.args.at_ms
    if abs(at_ms - now.stamp.ts_ms) > MEANT_WITHIN_MS:
        off_s = (at_ms - now.stamp.ts_ms) / 1000
        raise RefusedError("INVALID_REQUEST", f"at_ms is {off_s:+.0f} s from now by the clock of this edge; leave it out")
    return (now.timeline.index(at_ms),)
