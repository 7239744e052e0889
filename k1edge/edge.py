"""One edge: what it hears, whom it drives, what it tells, and what it is asked.

Consumes audio blocks and received messages, hands publications to the link. Everything here happens on the main loop, between
one hop and the next; the parts it joins know neither each other nor the network.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable
from itertools import islice

from k1edge import __version__, checkpoint, recorder
from k1edge.audio import AudioError
from k1edge.clock import StreamClock, Timeline, WallClock
from k1edge.config import Settings
from k1edge.contract import JSON_SCHEMA, committed
from k1edge.driver import Driver
from k1edge.frames import LOST_AUDIO_RESTART_S, AudioBlock, GenesisFrame, StreamFormat
from k1edge.hands import Hands, ReplyTo, Situation
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError, Publication, Scribe, Stamp
from k1edge.k1.link import Link, Received
from k1edge.pipeline import Pipeline
from k1edge.publisher import Gate, Publisher
from k1edge.recorder import Recorder
from k1edge.selfscore import HOUR_S, SelfScore
from k1edge.sources import Source
from k1edge.system.state import state_folder
from k1edge.system.timesync import is_synchronised
from k1edge.telemetry import Telemetry

MESSAGES_PER_HOP = 4
"""A flood of requests waits in the link; a hop does not."""
SECOND_NS = 1_000_000_000
PING_EVERY_S = 5


def subscriptions(site: str, edge: str) -> list[str]:
    """The topics an edge listens to."""
    return [
        contract.topic(contract.Request, site, edge, "+"),
        contract.topic(contract.DeviceStatus, site, "+"),
        contract.topic(contract.Pong, site, "+"),
        contract.topic(contract.SceneCommand, site, "+"),
    ]


def digest(text: str) -> str:
    """A short name for a text: equal only if the text is."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Edge:
    """The parts of one edge, joined."""

    def __init__(self, settings: Settings, link: Link, scribe: Scribe, boot_id: str, *, origin: str = "defaults") -> None:
        """`origin`: where the settings came from, `file` or `defaults`."""
        self._settings = settings
        self._origin = origin
        self._link = link
        self._scribe = scribe
        self._boot_id = boot_id
        self._began_s = time.monotonic()
        self._wall = WallClock(time.time_ns(), time.monotonic_ns(), is_synchronised())
        self.telemetry = Telemetry()
        self._driver = Driver(settings.k1, scribe)
        self._publisher = Publisher(settings.telemetry, scribe, boot_id)
        self._hands = Hands(scribe)
        self._pipeline: Pipeline | None = None
        self._timeline: Timeline | None = None
        self._source: Source | None = None
        self._device = ""
        self._frame: GenesisFrame | None = None
        minutes = settings.recorder.minutes
        self._recorder = Recorder(minutes) if minutes and settings.beat.engine != "aubio" else None
        """aubio hears samples, which are not recorded, and its state is out of reach: nothing to replay."""
        self._end = 0
        self._next_second_ns = 0
        self._next_telemetry_ns = 0
        self._seconds = 0
        self._audio = Gate()
        self._score = SelfScore()
        self._limited: dict[str, int] = {}
        self._state = ("", "")
        self.report("init")

    def report(self, state: str, code: str = "", reason: str = "") -> None:
        """Publishes the edge's status, when it has changed."""
        if (state, code) != self._state:
            self._state = (state, code)
            self._write(contract.Status, state=state, code=code, reason=reason[:512], boot_id=self._boot_id,
                        insecure=self._insecure)

    def listen(self, source: Source, name: str) -> None:
        """A source was opened: a new stream begins, with the tempo prior of the last one."""
        self._source, self._device = source, name
        self._begin_stream(source.fmt)
        self._introduce()

    def hear(self, block: AudioBlock) -> None:
        """One hop of audio, from samples to messages."""
        began_ns = time.monotonic_ns()
        if block.start - self._end > LOST_AUDIO_RESTART_S * self._pipeline.fmt.rate_hz:
            self._begin_stream(self._pipeline.fmt)
        self._end = block.end
        late_ns = self._timeline.stream.observe(block.end, block.arrived_ns or began_ns)
        if self._recorder is not None and self._recorder.wants_checkpoint:
            self._recorder.begin(checkpoint.dumps(self._pipeline))
        frame = self._frame = self._pipeline.process(block)
        if self._recorder is not None:
            self._recorder.add(frame)
        self._score.process(frame)
        stamp = self._stamp(time.monotonic_ns())
        self._send(self._driver.process(frame, self._hands.look(frame.look), self._timeline, stamp))
        self._send(self._publisher.process(frame, self._driver.shown, self._timeline, stamp))
        self.telemetry.hop_done(time.monotonic_ns() - began_ns, late_ns)

    def attend(self) -> None:
        """What is not audio: messages received, leases that end, telemetry that is due."""
        now_ns = time.monotonic_ns()
        saving = self.save_recording if self._recorder is not None else None
        now = Situation(self._stamp(now_ns), self._pipeline, self._timeline, saving)
        for received in islice(self._link.receive(), MESSAGES_PER_HOP):
            self._received(received, now)
        self._send(self._hands.process(now))
        if now_ns >= self._next_second_ns:
            self._next_second_ns = now_ns + SECOND_NS
            self._every_second(now_ns)
        if now_ns >= self._next_telemetry_ns:
            self._next_telemetry_ns = now_ns + round(SECOND_NS / self._settings.telemetry.rate_hz)
            self._tell_telemetry()

    def lose_audio(self, error: AudioError) -> None:
        """No more sound: the K1s go back to their own microphones, and everyone is told why."""
        self._send(self._driver.release(self._stamp(time.monotonic_ns())))
        self._source = self._frame = None
        self.report("degraded", "AUDIO_LOST", str(error))
        self._write(contract.AudioState, state="absent", device=error.device[:512], code="AUDIO_LOST",
                    reason=error.reason[:512], remedy=error.remedy[:512])
        self._write(contract.Event, kind="alarm", severity="alarm", code="AUDIO_LOST", reason=error.reason[:512],
                    remedy=error.remedy[:512])

    def farewell(self) -> Iterable[Publication]:
        """The last words: every K1 released, status `stopping`."""
        stamp = self._stamp(time.monotonic_ns())
        yield from self._driver.release(stamp)
        yield self._scored(stamp)
        yield self._scribe.write(contract.Status, stamp, state="stopping", boot_id=self._boot_id)

    def save_recording(self, wait: bool = False) -> str:
        """Writes what the flight recorder holds, beside the loop unless `wait`; returns the file or ''. Raises OSError."""
        if self._recorder is None:
            return ""
        folder = state_folder() / "recordings"
        folder.mkdir(parents=True, exist_ok=True)
        name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + f"-{self._boot_id}"
        contents = self._recorder.contents()
        writer = threading.Thread(target=recorder.save, args=(contents, folder, name), name="recorder", daemon=True)
        writer.start()
        if wait:
            writer.join()
        return str(folder / f"{name}.k1rec")

    @property
    def headline(self) -> str:
        """The state of things in one line."""
        broker = "broker connected" if self._link.connected else f"no broker ({self._link.last_reason or 'connecting'})"
        if self._frame is None:
            return f"no audio; {broker}"
        beat = self._frame.beat
        tempo = f"{beat.tempo_bpm:.0f} BPM" if beat.lock else "no beat"
        return f"following {self._device}: {tempo}, {self._frame.section.label}; {broker}; {self._ready_devices} K1 ready"

    @property
    def _ready_devices(self) -> int:
        return sum(device.ready for device in self._driver.devices.values())

    @property
    def _insecure(self) -> bool:
        return self._settings.mqtt.allow_insecure and not self._settings.mqtt.tls

    def _begin_stream(self, fmt: StreamFormat) -> None:
        prior = self._pipeline.tracker.tempo_prior if self._pipeline else None
        self._pipeline = Pipeline(self._settings, fmt, prior, beats_before=self._publisher.last_number)
        self._timeline = Timeline(StreamClock(fmt, self._settings.audio.input_latency_ms), self._wall)
        self._end = 0
        if self._recorder is not None:
            self._recorder.begin(checkpoint.dumps(self._pipeline))

    def _introduce(self) -> None:
        config_hash = digest(self._settings.model_dump_json())
        self._write(contract.ConfigReported, hash=config_hash, generation=1, origin=self._origin)
        self._write(
            contract.Info, version=__version__, contract=contract.VERSION, schema_hash=digest(committed(JSON_SCHEMA)),
            config_hash=config_hash,
            boot_id=self._boot_id, engine=self._settings.beat.engine, audio_device=self._device[:512],
            audio_rate_hz=self._source.fmt.rate_hz, devices=tuple(self._driver.devices), capabilities=tuple(contract.VERBS),
        )  # fmt: skip

    def _received(self, received: Received, now: Situation) -> None:
        if "/request/" in received.topic:
            reply_to = ReplyTo(received.arrival.response_topic, received.arrival.correlation)
            self._send(self._hands.request(received.topic, received.payload, reply_to, now))
            return
        try:
            where = contract.address(received.topic)
            if where.model is contract.SceneCommand:
                if not received.arrival.retained and self._driver.is_foreign(where.node, received.payload):
                    self._hands.foreign_scene(where.node, now.stamp.monotonic_ns)
                return
            message = contract.decode(received.topic, received.payload) if received.payload else None
        except ContractError:
            self.telemetry.rejected_messages += 1
            return
        if isinstance(message, contract.DeviceStatus) or message is None:
            self._driver.heard(where.node, message is not None and message.state == "ready")
        elif isinstance(message, contract.Pong):
            self._driver.ponged(where.node, message, self._wall.utc_ms(received.arrival.heard_ns))

    def _every_second(self, now_ns: int) -> None:
        self._wall.update(time.time_ns(), now_ns, is_synchronised())
        self._seconds += 1
        if self._seconds % HOUR_S == 0:
            self._link.send(self._scored(self._stamp(now_ns)))
        if self._seconds % PING_EVERY_S == 0:
            self._send(self._driver.ping(self._stamp(now_ns)))
        if self._frame is None:
            return
        self.report("ready")
        self._tell_limits()
        features = self._frame.features
        state = "silent" if features.silent else "ok"
        if self._audio.passes((state, round(features.level_dbfs / 6), self._lost_samples), self.telemetry.hops):
            self._write(
                contract.AudioState, state=state, device=self._device[:512], rate_hz=self._pipeline.fmt.rate_hz,
                level_dbfs=round(features.level_dbfs, 1), noise_floor_dbfs=round(features.noise_floor_dbfs, 1),
                lost_samples=self._lost_samples,
            )  # fmt: skip

    def _scored(self, stamp: Stamp) -> Publication:
        figures = self._score.report() | {"limited": sum(self._driver.stopped.values())}
        return self._scribe.write(contract.Event, stamp, kind="score", data={k: float(v) for k, v in figures.items()})

    def _tell_limits(self) -> None:
        stopped = self._driver.stopped
        if stopped != self._limited:
            self._limited = stopped
            self._write(contract.Event, kind="limiter", data={name: float(count) for name, count in stopped.items()})

    @property
    def _lost_samples(self) -> int:
        return getattr(self._source, "lost_samples", 0)  # only a line can lose any

    def _tell_telemetry(self) -> None:
        figures = self.telemetry.snapshot()
        frame, link, counters = self._frame, self._link, self._link.counters
        heard = {} if frame is None else {
            "input_level_dbfs": round(frame.features.level_dbfs, 1), "section": frame.section.label,
            "noise_floor_dbfs": round(frame.features.noise_floor_dbfs, 1), "bpm": round(frame.beat.tempo_bpm, 2),
            "beat_confidence": round(frame.beat.confidence, 3),
        }  # fmt: skip
        self._write(
            contract.Telemetry, uptime_s=round(time.monotonic() - self._began_s, 1),
            audio_lost_samples=self._lost_samples, beats_announced=self._publisher.beats, unsent=link.queued,
            mqtt_connected=link.connected, mqtt_sent=counters.sent, mqtt_received=counters.received,
            mqtt_reconnects=counters.reconnects, mqtt_dropped_live=link.dropped_live,
            mqtt_dropped_durable=link.dropped_durable, mqtt_dropped_inbox=counters.dropped_inbox,
            requests_ok=self._hands.ok, requests_rejected=sum(self._hands.rejected.values()),
            errors=dict(self._hands.rejected), clamped_parameters=self._driver.clamped, devices_ready=self._ready_devices,
            device_round_trip_ms_max=self._driver.round_trip_ms_max, **figures, **heard,
        )  # fmt: skip

    def _stamp(self, now_ns: int) -> Stamp:
        return Stamp(self._wall.utc_ms(now_ns), self._wall.synced, now_ns)

    def _write(self, model: type[contract.Message], **said: object) -> None:
        self._link.send(self._scribe.write(model, self._stamp(time.monotonic_ns()), **said))

    def _send(self, publications: Iterable[Publication]) -> None:
        for publication in publications:
            self._link.send(publication)
