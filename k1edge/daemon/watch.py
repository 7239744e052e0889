"""What an edge keeps an eye on besides the music: its line, box, clock, library and broker, and other edges at its K1s.

Consumes the parts of the edge, a hop or a second at a time; emits alarms when something is wrong, with what to do, and again
when it is over. What the box is too hot for is in `mode`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

from k1edge.audio import Source
from k1edge.box import Box, Rung
from k1edge.clock import StreamClock
from k1edge.config import Settings
from k1edge.config.settings import MAX_DEVICES
from k1edge.daemon.bulletin import Bulletin
from k1edge.daemon.health import Health
from k1edge.daemon.lending import Lending
from k1edge.daemon.sources import Input
from k1edge.dsp.health import LineHealth
from k1edge.frames import HOPS_PER_S, Alarm, AudioBlock, StreamFormat
from k1edge.k1.contract import Publication, Stamp, printable
from k1edge.k1.link import Link
from k1edge.live.driver import Driver
from k1edge.live.hands import Hands
from k1edge.live.publisher import Publisher
from k1edge.system.machine import reading
from k1edge.system.state import state_folder
from k1edge.system.systemd import fields

READING_EVERY_S = 5
STEP_S = 0.1
"""The wall clock has stepped if it moves by more against the monotonic one within a second: steering moves both, ntpd steps by
128 ms or more, and a busy machine reads them a little apart."""
PATIENCE_S = 3.0
"""Without a broker, until it is worth a line in the log: at the start none is connected yet."""
TOLD_FOR_S = 600.0
"""How long `status` says that the broker was away."""

SLOW = Alarm("NETWORK_SLOW", "messages take longer to reach a K1 than beats are sent ahead",
             "better WiFi or a cable, or a larger [beat] lead_ms")
CROWDED = Alarm("TOO_MANY_K1S", f"an edge drives {MAX_DEVICES} K1s, and there are more: the rest use their own microphones",
                "add an edge, and list the K1s of each in its [[k1.devices]]")
TOPIC_SHOWN = 128
CALM_S = 60
"""Without a message lost, until a flood is over."""
SLOW_ENDS = 0.7
"""Of the time that latencies leave of lead_ms: below it, the way is short again."""

SPARED_FRAME_EVERY = HOPS_PER_S // 5
"""Hops from one frame to the next where the way to every K1 is long: it is most likely ours, and frames are the most of it."""
THERE = frozenset({"init", "ready", "degraded"})
"""Of the states of an edge."""
MOST_OTHERS = 8
"""Edges that are remembered, however many a stranger invents: an alarm names three."""

log = logging.getLogger("k1edge")


class Shedding(NamedTuple):
    """Those that can do with less while the box is too hot or the network too narrow, or have told times by a wrong clock."""

    publisher: Publisher
    driver: Driver
    hands: Hands
    lending: Lending | None

    def heed(self, mode: Rung) -> None:
        """Do what is left."""
        spared = SPARED_FRAME_EVERY if self.driver.k1s.spared else mode.frame_every
        self.publisher.frame_at_least = mode.frame_every and max(mode.frame_every, spared)
        self.driver.macro_at_least = mode.macro_every
        if self.lending is not None:
            self.lending.rest(not mode.analyses)


class Watch:
    """One edge, watched."""

    def __init__(self, bulletin: Bulletin, link: Link, shedding: Shedding, settings: Settings) -> None:
        self._bulletin, self._shedding, self._settings = bulletin, shedding, settings
        self._slow = False
        self._lapsing: list[str] = []
        """K1s that nothing reaches at times."""
        self._box = Box()
        self._line: LineHealth | None = None
        self._seconds = 0
        self._drift_ppm = 0.0
        self._link, self._broker = link, BrokerWatch(link)
        self._ahead: list[str] = []
        """K1s whose clock is not ours."""
        self._flood, self._flooded, self._calm_s = "", 0, 0
        """A topic that messages were lost of, how many have been lost of all, and seconds since the last."""
        self._others: set[str] = set()
        """The edges that may drive the same K1s."""

    @property
    def mode(self) -> Rung:
        """What is left of the edge's doings at this temperature."""
        return self._box.mode

    @property
    def figures(self) -> dict[str, float]:
        """For telemetry."""
        jobs = self._shedding.lending.figures if self._shedding.lending else {}
        return {"rung": float(self._box.rung), "card_clock_ppm": round(self._drift_ppm, 1), **jobs}

    @property
    def health(self) -> Health:
        """Of the box, the library and the broker: what keeps the edge from being whole, or did lately."""
        worst = next(iter(self._alarms), None)
        return self._broker.health if worst is None else Health("degraded", worst.code, worst.reason)

    @property
    def _alarms(self) -> tuple[Alarm, ...]:
        own = (self._slow and SLOW, self._lapsing and _gaps(self._lapsing), self._shedding.driver.k1s.waiting and CROWDED,
               self._ahead and _ahead(self._ahead), self._flood and _flood(self._flood),
               self._others and _two_edges(sorted(self._others)))
        library = self._shedding.lending.alarms if self._shedding.lending else ()
        return (*self._box.alarms, *filter(None, own), *library)

    @property
    def _line_alarms(self) -> tuple[Alarm, ...]:
        return self._line.alarms if self._line is not None else ()

    def begin(self, fmt: StreamFormat) -> None:
        """The line is open."""
        self._line = LineHealth(fmt, self._line_alarms)

    def met(self, edge: str, state: str) -> None:
        """The state of an edge of this site; '' when nobody knows it any more. Where K1s are listed they are nobody else's."""
        if state not in THERE:
            self._others.discard(edge)
        elif edge != self._settings.edge and self._settings.k1.devices == "auto" and len(self._others) < MOST_OTHERS:
            self._others.add(edge)

    def hear(self, block: AudioBlock, silent: bool) -> None:
        """One hop, and whether the features call it silent."""
        self._line.process(block, silent)

    def listen(self, source: Source, clock: StreamClock, heard: Input) -> None:
        """Once a second while there is sound: what only the card can tell."""
        channels = getattr(source, "channels", None)  # only a line has any
        self._drift_ppm = clock.drift_ppm
        self._line.beside(channels() if channels else (), heard.lost_samples, self._drift_ppm, heard.skipped_samples)

    def process(self, stamp: Stamp, step_s: float) -> Iterator[Publication]:
        """Once a second, with what the wall clock has stepped by."""
        now_s = stamp.monotonic_ns / 1e9
        if self._seconds % READING_EVERY_S == 0:
            self._box.process(reading(state_folder()), now_s)
            self._shedding.heed(self.mode)
        self._seconds += 1
        if not self._link.heard:
            self._others.clear()  # the next connection tells again who is there
            self._shedding.driver.k1s.forget_waiting()
        ahead_ms = self._settings.beat.lead_ms - self._settings.audio.input_latency_ms
        self._slow = self._shedding.driver.k1s.is_late(ahead_ms, SLOW_ENDS if self._slow else 1.0)
        self._lapsing = self._shedding.driver.k1s.lapsing(stamp.monotonic_ns / 1e6)
        self._ahead = self._shedding.driver.ahead if stamp.clock_synced else []  # else no K1 goes by our clock
        self._count_lost()
        yield from self._bulletin.alarms(stamp, self._line_alarms, self._alarms)
        if abs(step_s) > STEP_S:
            log.warning("the wall clock stepped by %+.1f s; beats do not need it", step_s)
            self._shedding.publisher.clock_stepped()
            self._shedding.hands.clock_stepped()
            yield from self._shedding.driver.clock_stepped(step_s, stamp)
            yield self._bulletin.clock_stepped(stamp, step_s)
        if away := self._broker.process(now_s):
            yield self._bulletin.broker_back(stamp, *away)

    def _count_lost(self) -> None:
        """Of what came faster than it could be read."""
        lost, self._calm_s = self._link.counters.dropped_inbox, self._calm_s + 1
        if lost > self._flooded:
            self._flooded, self._calm_s = lost, 0
            self._flood = self._flood or self._link.counters.dropped_topic
        elif self._calm_s >= CALM_S:
            self._flood = ""


def _ahead(names: list[str]) -> Alarm:
    others = " and others" * (len(names) > 1)  # who they are changes with each that comes and goes
    return Alarm("K1_CLOCK", f"{names[0]}{others}: the clock is said to be set and is far ahead of this one, so that "
                 "scenes are expired when they come", "mend that clock, which tells UTC, or let it say clock_synced = false")


def _gaps(names: list[str]) -> Alarm:
    others = " and others" * (len(names) > 1)
    return Alarm("NETWORK_GAPS", f"{names[0]}{others}: again and again nothing comes for a quarter of a second, or beats come "
                 "too late, so that the light leaves the music", "better WiFi (5 GHz, another channel, a nearer access point) "
                 "or a cable, for this machine too if it has none; until then [beat] lead_ms = 300, say, saves some beats")


def _flood(topic: str) -> Alarm:
    one = printable(topic)[:TOPIC_SHOWN]
    return Alarm("FLOODED", f"messages come faster than they are read, so that some are lost, also requests: {one} for one",
                 "end what sends so many: mosquitto_sub -v -t 'k1/#' shows it")


def _two_edges(names: list[str]) -> Alarm:
    return Alarm("TWO_EDGES", f"{', '.join(names[:3])} of this site may drive the same K1s, which show the beats of both",
                 "list the K1s of each edge in its [[k1.devices]]; clear the status that an edge which is gone has left")


class BrokerWatch:
    """Notices that the broker was away, and why; says so in the log at once, and at the broker when it is back."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._since_s: float | None = None
        self._said = ""
        self._connects = 0
        self._told_until_s = 0.0
        self.health = Health()

    def process(self, now_s: float) -> tuple[float, str] | None:
        """Once a second; how long it was away and why, on its return."""
        if now_s >= self._told_until_s:
            self.health = Health()
        if not self._link.heard:
            self._away(now_s)
            return None
        since_s, connects = self._since_s, self._connects
        self._since_s, self._connects, said, self._said = None, self._link.counters.connects, self._said, ""
        if not connects or self._connects == connects:
            return None  # the first connection, or none was lost
        away_s, why = now_s - (since_s or now_s), said or self._link.parting or "connection lost"
        log.warning("the broker is back after %.0f s: %s", away_s, why, extra=fields(reason=why, away_s=round(away_s)))
        self.health = Health("ready", "BROKER_BACK", f"the broker was away for {away_s:.0f} s: {why}")
        self._told_until_s = now_s + TOLD_FOR_S
        return away_s, why

    def _away(self, now_s: float) -> None:
        self._since_s = now_s if self._since_s is None else self._since_s
        why = self._link.last_reason
        if why and why != self._said and (self._connects or now_s - self._since_s >= PATIENCE_S):
            self._said = why
            log.error("no broker: %s; the analysis goes on, durable messages wait; `k1edge doctor` says what to do", why,
                      extra=fields(reason=why))
