"""What the edges of a site say, as coloured lines of any width.

Consumes their messages with the time (s), emits (text, colour) pairs. No I/O and no clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from k1edge.device_facts import PALETTES
from k1edge.frames import MACROS
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError
from k1edge.k1.terminal import bar

KEPT_EVENTS = 8
SHOWN_FAULTS = 3
STALE_S = 5.0
"""Telemetry older than this is marked: an edge sends it at least every 5 s."""
GONE_S = 10.0
"""So long after another one was heard, an edge is shown no longer."""
HEALTH = (
    ("cpu", "cpu_pct", "{:.0f} %"), ("temperature", "temp_c", "{:.0f} °C"), ("memory", "rss_mb", "{:.0f} MB"),
    ("hop load p99", "hop_load_pct_p99", "{:.0f} %"), ("jitter p99", "arrival_jitter_ms_p99", "{:.1f} ms"),
    ("drift", "drift_ms", "{:+.1f} ms"), ("lost samples", "audio_lost_samples", "{}"), ("unsent", "unsent", "{}"),
    ("reconnects", "mqtt_reconnects", "{}"), ("refused", "rejected_messages", "{}"),
)  # fmt: skip
SCORE = (
    ("lock after", "lock_time_s_mean", ".1f"), ("re-locks", "relocks", ".0f"), ("bar moved", "downbeat_moves", ".0f"),
    ("sections/h", "sections_per_hour", ".0f"), ("dark s", "dark_s", ".0f"), ("limited", "limited", ".0f"),
)  # fmt: skip
STEPS = "▁▂▃▄▅▆▇█"
QUIET_DBFS = -72.0
LABEL = 11
GOOD, WARN, BAD, DIM, BOLD = "32", "33", "31", "2", "1"
STATE_COLOURS = {"ready": GOOD, "init": WARN, "degraded": WARN, "stopping": WARN, "lost": BAD}


@dataclass(slots=True)
class EdgeView:
    """The last of everything that one edge has said."""

    edge: str
    devices: dict[str, str]
    """The state of each K1 of the site."""
    last: dict[type[contract.Message], contract.Message] = field(default_factory=dict)
    events: deque[contract.Event] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    score: dict[str, float] = field(default_factory=dict)
    """Of the last hour, as the edge told it."""
    telemetry_s: float = -math.inf

    def take(self, model: type[contract.Message], message: contract.Message | None, now_s: float) -> None:
        """Take a message in, or that there is none any more."""
        if isinstance(message, contract.Event):
            self.events.append(message)
            self.score = message.data if message.kind == "score" else self.score
        elif isinstance(message, contract.Telemetry):
            self.telemetry_s = now_s
        if message is None:
            self.last.pop(model, None)
        else:
            self.last[model] = message

    def lines(self, wide: int, now_s: float) -> Iterator[tuple[str, str]]:
        """(text, colour) of each line about this edge."""
        yield self._status()
        yield from self._troubles()
        yield from self._rhythm(min(wide, 48))
        yield "", ""
        yield from self._levels(min(wide, 48))
        yield "", ""
        yield from self._form()
        yield from self._health(now_s)
        yield from self._score()
        for event in reversed(self.events):
            yield _labelled("event", f"{event.kind}  {event.code}  {event.reason}".rstrip()), _severity(event)

    def _score(self) -> Iterator[tuple[str, str]]:
        """The engine's account of its last hour, once there has been one."""
        if self.score:
            told = [f"{label} {self.score[key]:{form}}" for label, key, form in SCORE if key in self.score]
            bars = [self.score.get(f"confidence_{tenth}", 0.0) for tenth in range(10)]
            told.append("confidence " + "".join(STEPS[min(int(share * 2 * len(STEPS)), len(STEPS) - 1)] for share in bars))
            for first in range(0, len(told), 4):
                yield _labelled("" if first else "score", "   ".join(told[first : first + 4])), DIM

    def _status(self) -> tuple[str, str]:
        status = self.last.get(contract.Status)
        if status is None:
            return f"{self.edge}: nothing heard yet", WARN
        why = "  ".join(part for part in (status.code, status.reason) if part)
        risk = "  (connection not encrypted)" if status.insecure else ""
        return f"{self.edge}  {status.state}  {why}{risk}", STATE_COLOURS[status.state]

    def _troubles(self) -> Iterator[tuple[str, str]]:
        """What stands against the line or the configuration, whatever the status is."""
        status, audio = self.last.get(contract.Status), self.last.get(contract.AudioState)
        if audio is not None and audio.code and (status is None or audio.code != status.code):
            yield _labelled("line", f"{audio.code}  {audio.reason}"), WARN
            yield _labelled("", audio.remedy), WARN
        config = self.last.get(contract.ConfigReported)
        if config is not None and config.code:
            yield _labelled("config", f"{config.code}  {config.reason}".rstrip()), WARN
            for fault in config.faults[:SHOWN_FAULTS]:
                yield _labelled("", fault), WARN

    def _rhythm(self, wide: int) -> Iterator[tuple[str, str]]:
        frame, beat, known = (self.last.get(model) for model in (contract.Frame, contract.Beat, contract.TempoState))
        tempo = frame or known
        if tempo is None:
            yield _labelled("tempo", "--"), DIM
            return
        lock = "locked" if tempo.lock else "searching"
        yield _labelled("tempo", f"{tempo.bpm:5.1f} bpm  {lock}"), GOOD if tempo.lock else WARN
        yield _labelled("confidence", f"{bar(tempo.confidence, wide)} {tempo.confidence:.2f}"), ""
        phase = frame.phase if frame else 0.0
        yield _labelled("phase", bar(phase, wide)), BOLD if phase < 0.15 else ""
        if beat is not None:
            places = max(beat.beat_in_bar, (known and known.beats_per_bar) or 4)
            dots = " ".join("●" if place == beat.beat_in_bar else "○" for place in range(1, places + 1))
            yield _labelled("bar", f"{dots}   beat {beat.number}"), ""

    def _levels(self, wide: int) -> Iterator[tuple[str, str]]:
        frame = self.last.get(contract.Frame)
        if frame is None:
            return
        loud = (frame.level_dbfs - QUIET_DBFS) / -QUIET_DBFS
        hot = frame.level_dbfs > -1.0
        yield _labelled("input", f"{bar(loud, wide)} {frame.level_dbfs:6.1f} dBFS"), BAD if hot else DIM * frame.silent
        for name in MACROS:
            value = getattr(frame, name)
            yield _labelled(name.split("_")[0], f"{bar(value, wide)} {value:.2f}"), ""

    def _form(self) -> Iterator[tuple[str, str]]:
        section, scene = self.last.get(contract.SectionState), self.last.get(contract.SceneState)
        if section is not None:
            sure = "provisional" if section.provisional else f"{section.confidence:.2f}"
            yield _labelled("section", f"{section.label}  ({sure})"), BOLD
        if scene is not None:
            yield _labelled("scene", f"{scene.pattern} in {PALETTES[scene.palette_id]}  ({scene.origin})"), ""
        override = self.last.get(contract.OverrideState)
        if override is not None and override.active:
            yield _labelled("held by", f"{override.owner} ({override.scope})"), WARN
        if self.devices:
            yield _labelled("K1", "  ".join(f"{name} {state}" for name, state in sorted(self.devices.items()))), ""

    def _health(self, now_s: float) -> Iterator[tuple[str, str]]:
        telemetry = self.last.get(contract.Telemetry)
        if telemetry is None:
            return
        old_s = now_s - self.telemetry_s
        if old_s > STALE_S:
            yield _labelled("health", f"last heard {old_s:.0f} s ago"), WARN
        told = [(label, form, getattr(telemetry, key)) for label, key, form in HEALTH]
        facts = [f"{label} {form.format(value)}" for label, form, value in told if value is not None]
        for first in range(0, len(facts), 4):
            yield _labelled("" if first else "health", "   ".join(facts[first : first + 4])), ""


@dataclass(slots=True)
class SiteView:
    """Every edge that is heard, and one of them on the screen."""

    edge: str
    """The one that is shown: the first that lives, for as long as it does."""
    site: str = ""
    edges: dict[str, EdgeView] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    rejected: int = 0

    def take(self, topic: str, payload: bytes, now_s: float) -> contract.Message | None:
        """Take a message in; returns it, or None when it is not one (counted)."""
        try:
            where = contract.address(topic)
            message = contract.decode(topic, payload) if payload else None
        except ContractError:
            self.rejected += 1
            return None
        if where.role == "device":
            if isinstance(message, contract.DeviceStatus):
                self.devices[where.node] = message.state
            return message
        self.edges.setdefault(where.node, EdgeView(where.node, self.devices)).take(where.model, message, now_s)
        liveliest = max(self.edges.values(), key=lambda view: view.telemetry_s)
        shown = self.edges.get(self.edge)
        if shown is None or liveliest.telemetry_s - shown.telemetry_s > GONE_S:
            self.edge = liveliest.edge
        return message

    @property
    def silence(self) -> str:
        """What is to be done where no edge is heard; '' where one is."""
        return "" if self.edges else f"nothing heard yet at site {self.site}: --site and --edge say whom to listen to"

    def lines(self, columns: int, now_s: float) -> Iterator[tuple[str, str]]:
        """(text, colour) of each line of the screen, at most `columns` wide."""
        shown = self.edges.get(self.edge) or EdgeView(self.edge, self.devices)
        others = [f"{view.edge} {status.state}" for view in self.edges.values()
                  if view is not shown and (status := view.last.get(contract.Status))]  # fmt: skip
        told = [(_labelled("also here", "  ".join([*others, "(--edge NAME shows one)"])), DIM)] if others else []
        state, *rest = shown.lines(max(8, columns - LABEL - 12), now_s)
        for text, colour in ((self.silence, WARN) if self.silence else state, *told, *rest):
            yield text[:columns], colour


def _labelled(label: str, text: str) -> str:
    return f"{label:<{LABEL}} {text}"


def _severity(event: contract.Event) -> str:
    return {"info": DIM, "warning": WARN, "alarm": BAD}[event.severity]
