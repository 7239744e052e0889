"""Which stored map leads the light, or is to lead it: `run --map`, the verb `deploy`, and songs that were heard before.

Consumes scores, streams and the moment; emits `deploy/<id>` as it waits, leads and ends, and an event when it is given up. One
map at a time: a new one takes the place of the last, and where that leads, not before its own song begins, if that is told.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from k1edge.clock import Timeline
from k1edge.frames import StreamFormat
from k1edge.genesis.playback import MapPlayer
from k1edge.genesis.score import Score, read_score
from k1edge.k1 import contract
from k1edge.k1.contract import Publication, Scribe, Stamp
from k1edge.live.desk import RefusedError
from k1edge.live.hands import Situation
from k1edge.pipeline import Pipeline

BY_HAND = "0" * 16
"""Stands for the track of a map that was given as a file."""
LATEST_START_S = 86_400.0
"""A song that is to begin later was told by a clock that is wrong, or in another unit."""


@dataclass(slots=True)
class _Order:
    """What was asked for."""

    id: str
    track: str
    version: int
    score: Score
    devices: dict[str, str]
    player: MapPlayer
    start_at_ms: float | None = None
    told: str = ""


class Deployment:
    """The map of one edge."""

    def __init__(self, scribe: Scribe, lead_ms: float, score: Score | None = None, *, by_ear: bool = False) -> None:
        """`score`: of the first stream, from its first sample; `by_ear`: from where it is heard to begin."""
        self._scribe, self._lead_ms = scribe, lead_ms
        self._first, self._first_start = score, None if by_ear else 0
        self._order: _Order | None = None
        self._next: _Order | None = None
        """Of the song after the one that is led through."""
        self._shown: list[str] = []
        """What a broker keeps."""

    def player(self, fmt: StreamFormat) -> MapPlayer | None:
        """For a stream that begins: what waits goes on to wait; what led was of the stream before."""
        if self._first is not None:
            first, self._first = self._first, None
            player = MapPlayer(first, fmt, self._lead_ms, self._first_start)
            self._order = _Order(_new_id(), BY_HAND, 0, first, {}, player)
            return player
        order = self._next or self._order
        if order is None or order.player.state != "waiting":
            return None
        order.player = MapPlayer(order.score, fmt, self._lead_ms, None)
        return order.player

    def ask(self, asked: dict[str, Any], now: Situation, ready: dict[str, bool]) -> dict[str, Any]:
        """Lets a map lead, or no more; returns what the caller is told. Raises `RefusedError`.

        `asked`: verb, track, version, score and, where it is known, start_at_ms; `ready`: each K1, and whether it is there.
        """
        pipeline, timeline = now.pipeline, now.timeline
        if asked["verb"] == "deploy.stop":
            waited = self._next is not None and self._next.player.stop()
            if self._order is None:
                return {"stopped": waited}
            return {"stopped": (self._order.player.stop() if pipeline is None else pipeline.act("stop")) or waited}
        if pipeline is None or timeline is None:
            raise RefusedError("NOT_READY", "no audio is being followed; nothing to lead")
        score, at_ms = read_score(asked["score"]), asked.get("start_at_ms")
        start = None if at_ms is None else timeline.index(_meant(at_ms, score, now.stamp))
        order = self._order_of(asked, MapPlayer(score, pipeline.fmt, self._lead_ms, start), score, ready)
        order.start_at_ms = at_ms
        leading = self._order is not None and self._order.player is pipeline.player and pipeline.player.state == "leading"
        if leading and at_ms is not None and at_ms > now.stamp.ts_ms:
            self._next = order
        else:
            pipeline.act("deploy", order.player)
            self._order, self._next = order, None
        return {"deployment": order.id, "devices": order.devices, "start_at_ms": at_ms}

    @property
    def standing(self) -> str | None:
        """The track whose map leads; '' where that is of none, or one is to lead; None where nothing stands."""
        if not (self._first or self._order or self._next):
            return None
        leads = self._order is not None and self._order.player.state == "leading" and self._order.track != BY_HAND
        return self._order.track if leads else ""

    def recall(self, found: dict[str, Any], pipeline: Pipeline, ready: dict[str, bool]) -> MapPlayer:
        """Lets the map of the song that plays lead from where it is. `found`: track, version, score, start_s, speed."""
        score = read_score(found["score"])
        player = MapPlayer(score, pipeline.fmt, self._lead_ms, pipeline.fmt.index(found["start_s"]), speed=found["speed"])
        pipeline.act("deploy", player)
        self._order = self._order_of(found, player, score, ready)
        return player

    def _order_of(self, asked: dict[str, Any], player: MapPlayer, score: Score, ready: dict[str, bool]) -> _Order:
        devices = {device: "ok" if there else "absent" for device, there in ready.items()}
        return _Order(_new_id(), asked["track"], asked["version"], score, devices, player)

    def process(self, pipeline: Pipeline | None, timeline: Timeline, stamp: Stamp) -> Iterator[Publication]:
        """Tells of every change of state. Without a stream nothing leads; what waits goes on to wait."""
        self._go_on(pipeline, stamp)
        for order in filter(None, (self._order, self._next)):
            yield from self._follow(order, pipeline, timeline, stamp)

    def _go_on(self, pipeline: Pipeline | None, stamp: Stamp) -> None:
        """With the next song, when it begins or the one before has ended."""
        order = self._next
        if order is None or (self._order is not None and stamp.ts_ms < order.start_at_ms):
            return
        self._order, self._next = order, None
        if pipeline is not None:
            pipeline.act("deploy", order.player)

    def _follow(self, order: _Order, pipeline: Pipeline | None, timeline: Timeline, stamp: Stamp) -> Iterator[Publication]:
        player = order.player
        is_due = order is self._order and player.state == "waiting" and order.start_at_ms is not None
        if pipeline is not None and is_due:
            # The clocks know it better each time.
            start = timeline.index(order.start_at_ms)
            if start != player.start:
                pipeline.act("begin_at", start)
        is_heard = pipeline is not None and player is pipeline.player
        state = "over" if player.state == "leading" and not is_heard else player.state
        if state == order.told:
            return
        order.told = state
        started = {} if player.start is None else {"start_at_ms": timeline.utc_ms(player.start)}
        standing = {each.id for each in (self._order, self._next) if each is not None}
        yield from map(self._cleared, (each for each in self._shown if each not in standing))
        self._shown = [each for each in self._shown if each in standing - {order.id}] + [order.id]
        yield self._scribe.write(
            contract.Deployment, stamp, id=order.id, track=order.track, version=order.version, state=state,
            devices=order.devices, drift_ms=player.drift_ms, **started,
        )  # fmt: skip
        if state == "rolled_back":
            yield self._given_up(order, player.drift_ms, stamp)
        if state not in ("waiting", "leading"):
            self._order, self._next = (None if each is order else each for each in (self._order, self._next))

    def found(self, deployment: str) -> Iterator[Publication]:
        """What a broker has kept may be of a life that told no end of it: none but what was told here last stands."""
        if deployment not in self._shown:
            yield self._cleared(deployment)

    def farewell(self) -> Iterator[Publication]:
        """What was told last is no longer so."""
        yield from map(self._cleared, self._shown)

    def _cleared(self, deployment: str) -> Publication:
        return self._scribe.cleared(contract.Deployment, deployment)

    def _given_up(self, order: _Order, drift_ms: float | None, stamp: Stamp) -> Publication:
        return self._scribe.write(
            contract.Event, stamp, kind="auto_rollback", severity="warning", code="MAP_DRIFT",
            reason=f"{order.player.given_up}: live again",
            data={"track": order.track, "deployment": order.id} | ({} if drift_ms is None else {"drift_ms": drift_ms}),
        )  # fmt: skip


def _meant(start_at_ms: float, score: Score, now: Stamp) -> float:
    """The start that was asked for. Raises RefusedError where the song would be over by now, or begin far too late."""
    off_s = (start_at_ms - now.ts_ms) / 1000
    if off_s > LATEST_START_S or off_s + score.beats_ms[-1] / 1000 < 0:
        raise RefusedError("INVALID_REQUEST", f"start_at_ms is {off_s:+.0f} s from now by the clock of this edge; leave it out")
    return start_at_ms


def _new_id() -> str:
    return f"deploy-{secrets.token_hex(4)}"
