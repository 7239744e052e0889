"""One K1 as the edge knows it: whether it is there, what it has been told, and how far its clock is from ours.

Consumes what the K1 says of itself; emits nothing. No I/O and no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from k1edge.genesis.limiter import Limiter
from k1edge.k1 import contract

SAME_CLOCK_MS = 5.0
"""Two clocks may part by so much within a minute, rounding included, and be the same two."""
SILENT_PINGS = 12
"""A minute: a K1 that used to answer and does not for so long is gone. A power cut takes its will with the broker."""
LAPSES, MINUTE_MS = 3, 60_000.0
"""One lapse in a minute is any network's; at so many it can be seen that the light is not on the music."""
PONG_LIFE_MS = 10_000.0
"""An answer to an older ping is to none of ours: firmware that does not give back `sent_ms`, or a clock that was put right."""
LONG_WAY_MS = 100.0
"""Half a round trip that hardly any network takes unless something queues up in it."""
SHORT_AGAIN = 60
"""Answers in turn, five minutes: a K1 that is told more at once would have its queue again in seconds."""
EARLY_PINGS = 2
"""Extra pings from one turn to the next: one asks a K1 that has come for its clock, one tells it what came of it."""


@dataclass(slots=True)
class Follower:
    """One K1."""

    id: str
    latency_ms: float
    listed: bool
    """Named in the configuration: driven whether or not it has reported."""
    ready: bool = False
    boot_id: str = ""
    led: bool = False
    """Has been told to follow, and the section, since it last said that it is ready."""
    offset_ms: float | None = None
    """Its clock minus ours, from the quickest of the last pings."""
    round_trip_ms: float | None = None
    ahead_ms: float = 0.0
    """Its wall clock minus ours when it last answered; 0 where it does not say that it is set."""
    told_ms: float | None = None
    """What it has been told last of how far its clock is off."""
    hurry: bool = False
    """Is to be asked before its turn: it has just come, or its clock is not what it has been told."""
    early: int = 0
    """Pings since its last turn, or since it came."""
    pongs: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=12))
    """(round trip, offset), ms."""
    trips_ms: deque[float] = field(default_factory=lambda: deque(maxlen=2))
    """Of the last pings in turn: early ones may meet the same congestion."""
    short: int = SHORT_AGAIN
    """Answers in turn since its way was last a long one."""
    answers: bool = False
    """Has answered a ping since it began; a broker keeps the `ready` of one that is gone."""
    unanswered: int = 0
    """Pings since it last answered, or came."""
    follows: bool = False
    """Has said that the edge leads it."""
    late: int | None = None
    """Beats that came too late to it, as it counts them."""
    lapses_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LAPSES))
    """When it told that beats or macros of ours had not come in time."""
    limiter: Limiter = field(default_factory=Limiter)
    told: bool = False
    """Has had a scene of ours since it last appeared."""
    ours: bool = True
    """Nobody else has set a scene on it since our last."""

    @property
    def driven(self) -> bool:
        """Whether it is sent anything but pings."""
        return self.ready or self.listed

    @property
    def silent(self) -> bool:
        """Said to be ready, and answers no longer."""
        return self.ready and self.answers and self.unanswered >= SILENT_PINGS

    @property
    def way_ms(self) -> float:
        """Just now: half of the quicker of the last two round trips in turn; 0 before there are two."""
        return min(self.trips_ms) / 2 if len(self.trips_ms) == 2 else 0.0

    @property
    def spared(self) -> bool:
        """Whether it is told less, since its way was long a while ago: more than a way carries comes ever later."""
        return self.short < SHORT_AGAIN

    def lapses(self, now_ms: float) -> bool:
        """Whether its light is often without us: from the third time within a minute until there was none for a minute."""
        times = self.lapses_ms
        return self.ready and len(times) == LAPSES and times[-1] - times[0] <= MINUTE_MS and now_ms - times[-1] <= MINUTE_MS

    def stated(self, state: contract.DeviceState, now_ms: float) -> None:
        """It told how it fares: a lapse, when it is led and was left to its own microphone, or beats came too late."""
        left = self.follows and state.source == "own"
        late = self.late is not None and state.beats_late > self.late
        self.follows, self.late = state.source == "edge", state.beats_late
        if self.led and (left or late):
            self.lapses_ms.append(now_ms)

    def heard(self, ready: bool, boot_id: str) -> None:
        """It reported itself ready, or lost; one that says again what it has said has not begun anew."""
        if ready and self.ready and boot_id == self.boot_id:
            self.led = False  # it may have missed what no broker keeps
            return
        self.answers = self.answers and boot_id == self.boot_id
        self.ready, self.boot_id, self.led, self.told = ready, boot_id, False, False
        self.round_trip_ms, self.offset_ms, self.told_ms, self.unanswered = None, None, None, 0
        self.hurry, self.early = ready, 0
        self.follows, self.late = False, None
        self.pongs.clear()  # its clock may have begun anew with it
        self.trips_ms.clear()
        self.limiter.call_off()  # what waits would be old when it is back

    def ponged(self, pong: contract.Pong, heard_ms: float) -> None:
        """It answered; the quickest answer of the last minute says most about its clock. Each is off by half its round trip at
        most: those that differ from the newest by more are forgotten, since a clock was set in between."""
        if not self.ready:
            self.heard(ready=True, boot_id=self.boot_id)
        self.answers, self.unanswered = True, 0
        self.ahead_ms = pong.ts_ms - heard_ms if pong.clock_synced else 0.0
        offset_ms, round_trip_ms = contract.clock_offset_ms(pong, heard_ms)
        if 0 <= round_trip_ms <= PONG_LIFE_MS and heard_ms - pong.sent_ms <= PONG_LIFE_MS:
            still = [(trip_ms, told_ms) for trip_ms, told_ms in self.pongs
                     if abs(told_ms - offset_ms) <= (trip_ms + round_trip_ms) / 2 + SAME_CLOCK_MS]
            self.pongs.clear()
            self.pongs.extend([*still, (round_trip_ms, offset_ms)])
            if not self.early:
                self.trips_ms.append(round_trip_ms)
                self.short = 0 if self.way_ms > LONG_WAY_MS else self.short + 1
            self.round_trip_ms, self.offset_ms = min(self.pongs)
            is_news = self.told_ms is None or abs(self.offset_ms - self.told_ms) > SAME_CLOCK_MS
            self.hurry = is_news and self.early < EARLY_PINGS

    def clock_stepped(self, step_ms: float) -> None:
        """Our wall clock is another, and so is what its own is off by."""
        moved = [(trip_ms, offset_ms - step_ms) for trip_ms, offset_ms in self.pongs]
        self.pongs.clear()
        self.pongs.extend(moved)
        self.offset_ms = None if self.offset_ms is None else self.offset_ms - step_ms
        self.ahead_ms -= step_ms
