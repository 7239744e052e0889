"""One edge: what it hears, whom it drives, what it tells, and what it is asked.

Consumes audio blocks and received messages, hands publications to the link. Everything here happens on the main loop, between
one hop and the next. None of the parts it joins knows the network, but for bulletin and watch, which report on all of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from k1edge.audio import AudioError, Source
from k1edge.clock import StreamClock, Timeline, WallClock
from k1edge.daemon.blackbox import BlackBox
from k1edge.daemon.bulletin import Bulletin, heard
from k1edge.daemon.catcher import SongCatcher
from k1edge.daemon.deployment import Deployment
from k1edge.daemon.lending import VERBS as LENT
from k1edge.daemon.lending import Lending
from k1edge.daemon.metrics import Metrics
from k1edge.daemon.recall import Recall
from k1edge.daemon.sources import Listening
from k1edge.daemon.startup import SAFE_MODE, Start
from k1edge.daemon.telemetry import Telemetry
from k1edge.daemon.transaction import Transaction
from k1edge.daemon.venue import Venue
from k1edge.daemon.watch import Shedding, Watch
from k1edge.frames import LOST_AUDIO_RESTART_S, AudioBlock, GenesisFrame, Look, StreamFormat
from k1edge.genesis.score import Score
from k1edge.interpreter import PYTHON
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError, Publication, Scribe, Stamp, home_assistant
from k1edge.k1.link import Link, Received
from k1edge.library.door import Door, heard_folder
from k1edge.live.desk import Desk, ReplyTo
from k1edge.live.driver import Driver
from k1edge.live.guard import DriftGuard
from k1edge.live.hands import Hands, Situation
from k1edge.live.health_gate import Vitals
from k1edge.live.publisher import Publisher
from k1edge.live.selfscore import HOUR_S, SelfScore
from k1edge.pipeline import Pipeline
from k1edge.system.state import state_folder
from k1edge.system.timesync import is_synchronised

MESSAGES_PER_HOP = 4
"""A flood of requests waits in the link; a hop does not."""
SECOND_NS = 1_000_000_000
PING_EVERY_S = 5
BROKER_CLIENTS = "$SYS/broker/clients/connected"
"""Where mosquitto tells how many clients it has; other brokers are silent."""


def subscriptions(site: str, edge: str) -> list[str]:
    """The topics an edge listens to."""
    of_any = (contract.Status, contract.DeviceStatus, contract.DeviceState, contract.Pong, contract.SceneCommand)
    return [
        contract.topic(contract.Request, site, edge, "+"),
        *(contract.topic(each, site, "+") for each in of_any),
        contract.topic(contract.ConfigDesired, site, edge), contract.topic(contract.Deployment, site, edge, "+"),
        home_assistant.BIRTH_TOPIC,
    ]


class Edge:
    """The parts of one edge, joined."""

    def __init__(
        self, start: Start, link: Link, scribe: Scribe, boot_id: str, *, score: Score | None = None, live: bool = False
    ) -> None:
        """`score`: of the stored map of the first stream, whose song may begin at any time when it is `live`."""
        settings = self._settings = start.settings
        self._link, self._scribe = link, scribe
        self._wall = WallClock(time.time_ns(), time.monotonic_ns(), is_synchronised())
        self.telemetry = Telemetry()
        self._driver = Driver(settings.k1, scribe)
        self._k1s = self._driver.k1s
        self._publisher = Publisher(settings.telemetry, scribe, boot_id)
        self._desk = Desk(scribe, lambda: link.largest_bytes)
        self._hands = Hands(scribe, self._desk, scenes=start.code != SAFE_MODE)
        self._bulletin = Bulletin(settings, scribe, boot_id)
        self._configuration = Transaction(start, scribe)
        self.blackbox = BlackBox(settings, boot_id)
        library = settings.library
        door = Door(library, state_folder(), [*PYTHON, "-m", "k1edge", "analyze"])
        self._deployment = Deployment(scribe, settings.beat.lead_ms, score, by_ear=live)
        self._lending = Lending(door, scribe, self._desk, self) if library.enabled else None
        self._watch = Watch(self._bulletin, link, Shedding(self._publisher, self._driver, self._hands, self._lending), settings)
        catches = library.enabled and library.capture_live and settings.beat.tells
        self._catcher = SongCatcher(heard_folder(library, state_folder()), library.live_mb_a_day) if catches else None
        self._recall, self._score = Recall(asks=library.recall), SelfScore()
        self._metrics = Metrics(settings.telemetry.prometheus_port) if settings.telemetry.prometheus_port else None
        self._venue = Venue(state_folder(), settings.beat)
        self._pipeline: Pipeline | None = None
        self._timeline: Timeline | None = None
        self._guard: DriftGuard | None = None
        self._listening = Listening()
        self._frame: GenesisFrame | None = None
        self._end = self._seconds = self._next_second_ns = self._next_telemetry_ns = 0
        self._send(self._bulletin.status(self._now(), "init"))
        self._link.send(self._configuration.reported(self._now()))
        self._send(self._bulletin.discovery())

    def listen(self, source: Source, name: str) -> None:
        """A source was opened: a new stream begins, with the tempo prior of the last one."""
        self._listening.begin(source, name)
        self._begin_stream(source.fmt)
        self._watch.begin(source.fmt)
        self._send(self._introduction(self._now()))

    def hear(self, block: AudioBlock) -> None:
        """One hop of audio, from samples to messages."""
        began_ns = time.monotonic_ns()
        if block.start - self._end > LOST_AUDIO_RESTART_S * self._pipeline.fmt.rate_hz:
            self._begin_stream(self._pipeline.fmt)
        self._end = block.end
        arrived_ns = block.arrived_ns or began_ns
        late_ns = self._timeline.stream.observe(block.end, arrived_ns)
        self.blackbox.before(self._pipeline)
        frame = self._frame = self._pipeline.process(block)
        now = self._now()
        if not self._guard.off_beat:
            self._send(self._driver.process(frame, self._hands.look(frame.look), self._timeline, now))
        self._send(self._publisher.process(frame, self._timeline, now))
        self.blackbox.after(frame)
        if self._catcher is not None and self._watch.mode.analyses:
            self._catcher.process(frame, self._pipeline)
            self._lending.recall(self._recall.ask(self._catcher.song, frame, self._pipeline, self._deployment.standing))
        elif self._catcher is not None:
            self._catcher.end()  # what plays when the box is cool again is another song
        self._watch.hear(block, frame.features.silent)
        self._guarded(frame)
        self._score.process(frame)
        self.telemetry.hop_done(time.monotonic_ns() - began_ns, late_ns, began_ns - arrived_ns)

    def attend(self) -> None:
        """What is not audio: messages received, leases that end, telemetry that is due."""
        stamp = self._now()
        saving = self.blackbox.save if self.blackbox.is_on else None
        now = Situation(stamp, self._pipeline if self._listening.source is not None else None, self._timeline, saving)
        self._send(self._hands.scene(stamp, self._driver.shown))  # before anything is asked that the K1s have not heard of
        for received in islice(self._link.receive(), MESSAGES_PER_HOP):
            self._send(self._received(received, now))
        self._send(self._hands.process(now))
        self._send(self._deployment.process(now.pipeline, self._timeline, stamp))
        if self._frame is None or self._guard.off_beat:
            self._send(self._driver.scene(self._hands.look(None), stamp))
        if self._lending is not None:
            self._send(self._lending.process(stamp))
        if stamp.monotonic_ns >= self._next_second_ns:
            self._next_second_ns = stamp.monotonic_ns + SECOND_NS
            self._send(self._every_second(stamp))
        if stamp.monotonic_ns >= self._next_telemetry_ns:
            self._next_telemetry_ns = stamp.monotonic_ns + round(SECOND_NS / self._settings.telemetry.rate_hz)
            self.telemetry.beside = self._watch.figures
            figures = self._bulletin.telemetry(stamp, self.telemetry, self._heard(), (self._link, self._driver, self._desk))
            self._link.send(figures)
            if self._metrics is not None:
                self._metrics.take(figures.payload)

    def lose_audio(self, error: AudioError) -> None:
        """No more sound: the K1s go back to their own microphones, and everyone is told why."""
        stamp = self._now()
        if self._listening.source is not None:
            self._listening.end()
            self._send(self._driver.release(stamp))
        self._send(self._publisher.lost(stamp))
        self._frame = None
        self._send(self._bulletin.audio_lost(stamp, error))

    def farewell(self) -> Iterator[Publication]:
        """The last words: every K1 released, the score, what is no longer so taken back, status `stopping`."""
        stamp = self._now()
        yield from self._driver.release(stamp)
        for part in filter(None, (self._configuration, self._metrics, self._catcher, self._venue)):
            part.close()
        yield from self._lending.farewell(stamp) if self._lending is not None else ()
        yield from self._deployment.farewell()
        yield self._bulletin.score(stamp, self._score, sum(self._k1s.stopped.values()))
        yield from self._publisher.lost(stamp)
        yield from self._hands.farewell(stamp, self._driver.shown)
        yield from self._bulletin.farewell(stamp, self._k1s.stopped)

    @property
    def shown(self) -> Look | None:
        """What the K1s were last asked for."""
        return self._driver.shown

    def recalled(self, found: dict[str, Any]) -> None:
        """The library knows the song that plays, or whether it is the one whose map leads."""
        todo = self._recall.concludes(found, self._catcher.song, self._pipeline.player)
        if todo and todo != ("lead",):
            self._pipeline.act(*todo)
        elif todo and self._deployment.standing is None:
            self._recall.leads(self._deployment.recall(found, self._pipeline, self._k1s.presence))

    def deploy(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A stored map is to lead, or to lead no more. Raises `RefusedError`."""
        return self._deployment.ask(asked, Situation(self._now(), self._pipeline, self._timeline), self._k1s.presence)

    @property
    def restart(self) -> str:
        """Why the daemon must start anew; '' while it need not."""
        return "because the link to the broker has died" if self._link.died else self._configuration.restart

    @property
    def headline(self) -> str:
        """The state of things in one line."""
        broker = "broker connected" if self._link.heard else f"no broker ({self._link.last_reason or 'connecting'})"
        if self._frame is None:
            return f"no audio; {broker}"
        beat = self._frame.beat
        tempo = f"{beat.tempo_bpm:.0f} BPM" if beat.lock else "no beat"
        following = f"following {self._listening.input.device}: {tempo}, {self._frame.section.label}"
        return f"{following}; {broker}; {self._k1s.ready} K1 ready"

    def _begin_stream(self, fmt: StreamFormat) -> None:
        if self._catcher is not None:
            self._catcher.begin(fmt)
        prior = self._pipeline.tracker.tempo_prior if self._pipeline else self._venue.prior
        player = self._deployment.player(fmt)
        self._pipeline = Pipeline(self._settings, fmt, prior, beats_before=self._publisher.last_number, player=player)
        self._timeline = Timeline(StreamClock(fmt, self._settings.audio.input_latency_ms), self._wall)
        self._guard = DriftGuard(fmt)
        self._end = 0

    def _guarded(self, frame: GenesisFrame) -> None:
        """Takes the K1s off the beat when the light is not on it."""
        followed = not self._guard.off_beat
        self._guard.process(frame, self._pipeline.leader)
        if followed and self._guard.off_beat:
            stamp = self._now()
            self._send(self._driver.release(stamp))
            self._send(self._bulletin.rolled_back(stamp, list(self._k1s.devices), self._guard))

    def _received(self, received: Received, now: Situation) -> Iterator[Publication]:
        if received.topic == BROKER_CLIENTS:
            self.telemetry.broker_clients = int(clients) if (clients := received.payload[:9]).isdigit() else None
            return
        if received.topic == home_assistant.BIRTH_TOPIC:
            yield from self._bulletin.discovery() if received.payload == home_assistant.BIRTH else ()
            return
        if "/request/" in received.topic and not received.arrival.retained:  # what the broker kept was asked long ago
            reply_to = ReplyTo(received.arrival.response_topic, received.arrival.correlation)
            if self._lending is not None and received.topic.rpartition("/")[2] in LENT:
                yield from self._lending.request(received.topic, received.payload, reply_to, now.stamp)
            else:
                yield from self._hands.request(received.topic, received.payload, reply_to, now)
                self.telemetry.request_done(time.monotonic_ns() - received.arrival.heard_ns)
            return
        try:
            yield from self._heed(received, now)
        except ContractError as error:
            self.telemetry.rejected_messages += 1
            yield from self._bulletin.refused(now.stamp, received.topic, error)

    def _heed(self, received: Received, now: Situation) -> Iterator[Publication]:
        """What a K1 says, what others say to one, a new configuration, what a broker has kept. Raises ContractError."""
        where = contract.address(received.topic)
        if where.model is contract.SceneCommand:
            if received.arrival.retained:
                self._driver.recall(received.topic, received.payload)
            elif self._driver.is_foreign(received.topic, received.payload, now.stamp):
                self._hands.foreign_scene(where.node, now.stamp.monotonic_ns)
                self._link.forget(received.topic)
            return
        if where.model is contract.Deployment and received.arrival.retained:
            yield from self._deployment.found(where.last)
            return
        message = contract.decode(received.topic, received.payload) if received.payload else None
        if isinstance(message, contract.Pong):
            self._k1s.ponged(where.node, message, self._wall.utc_ms(received.arrival.heard_ns))
        elif isinstance(message, contract.DeviceState) and not received.arrival.retained:
            self._k1s.stated(where.node, message, received.arrival.heard_ns / 1e6)
        elif where.model is contract.DeviceStatus:
            self._k1s.heard(where.node, message is not None and message.state == "ready", message.boot_id if message else "")
        elif where.model is contract.Status:
            self._watch.met(where.node, message.state if message else "")
        elif isinstance(message, contract.ConfigDesired) and not received.arrival.retained:
            yield from self._configuration.ask(message, now.stamp)

    def _every_second(self, stamp: Stamp) -> Iterator[Publication]:
        step_s = self._wall.update(time.time_ns(), time.monotonic_ns(), is_synchronised())
        self._seconds += 1
        if self._seconds % HOUR_S == 0:
            yield self._bulletin.score(stamp, self._score, sum(self._k1s.stopped.values()))
        if self._seconds % PING_EVERY_S == 0 and self._link.heard:
            yield from self._driver.ping(stamp)
        sound = self._frame is not None
        vitals = Vitals(sound, self.telemetry.hops, self.telemetry.deadline_misses, self._link.heard, self._link.last_reason)
        yield from self._configuration.process(vitals, stamp)
        if sound:
            self._venue.process(self._pipeline.tracker.tempo_prior, stamp.monotonic_ns / SECOND_NS)
            self._watch.listen(self._listening.source, self._timeline.stream, self._listening.input)
        yield from self._watch.process(stamp, step_s)
        if sound:
            otherwise = self._configuration.health
            yield from self._bulletin.health(stamp, self._guard, otherwise if otherwise.code else self._watch.health)
            yield from self._bulletin.audio(stamp, self._frame, self._listening.input)
        yield from self._bulletin.limits(stamp, self._k1s.stopped)
        yield from self._introduction(stamp)

    def _introduction(self, stamp: Stamp) -> Iterator[Publication]:
        return self._bulletin.introduction(stamp, self._listening.input, self._configuration.hash, tuple(self._k1s.devices))

    def _heard(self) -> dict[str, object]:
        """What is heard, for telemetry; only what was counted without audio."""
        counted = {"beats_announced": self._publisher.beats, "announce_lead_ms_p50": self._publisher.lead_ms,
                   "audio_reopened": max(self._listening.opened - 1, 0)}
        return counted if self._frame is None else counted | heard(self._frame, self._listening.input, self._guard)

    def _now(self) -> Stamp:
        now_ns = time.monotonic_ns()
        return Stamp(self._wall.utc_ms(now_ns), self._wall.synced, now_ns)

    def _send(self, publications: Iterable[Publication]) -> None:
        for publication in publications:
            self._link.send(publication)
