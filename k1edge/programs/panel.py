"""What the edges of a site say, as coloured lines of any width.

Consumes their messages with the time (s), emits (text, colour) pairs. No I/O and no clock.
"""

from __future__ import annotations

import math
import textwrap
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from k1edge.device_facts import PALETTES
from k1edge.frames import MACROS
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError
from k1edge.k1.terminal import bar

KEPT_EVENTS = 8
ROUTINE = "limiter", "score"
"""Events that a screen does not tell: there is one each ten seconds, or their figures have a place of their own."""
EVENT_FACTS = "label", "verb", "caller", "file"
"""What `data` says that a person can read."""
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
    ("lock after", "lock_time_s_mean", "{:.1f} s"), ("re-locks", "relocks", "{:.0f}"),
    ("bar moved", "downbeat_moves", "{:.0f}"), ("sections/h", "sections_per_hour", "{:.0f}"),
    ("dark", "dark_s", "{:.0f} s"), ("limited", "limited", "{:.0f}"),
)  # fmt: skip
STEPS = "▁▂▃▄▅▆▇█"
QUIET_DBFS = -72.0
LABEL, NUMBER, CELL, GAP = 14, 13, 22, 2
"""Columns of a label, of a number behind a bar, and of a fact in a table, which ends in a gap."""
MOST_BAR, LEAST_BAR = 48, 8
GOOD, WARN, BAD, DIM, BOLD = "38;5;28", "38;5;130", "1;38;5;160", "2", "1"
"""Their contrast is 4 or more on a black and on a white ground; a terminal's own yellow has 1.7 on white."""
STATE_COLOURS = {"ready": GOOD, "init": WARN, "degraded": WARN, "stopping": WARN, "lost": BAD}


@dataclass(slots=True)
class EdgeView:
    """The last of everything that one edge has said."""

    edge: str
    devices: dict[str, str]
    """The state of each K1 of the site."""
    last: dict[type[contract.Message], contract.Message] = field(default_factory=dict)
    events: deque[tuple[float, contract.Event]] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    """With when each was heard, s."""
    titles: dict[str, str] = field(default_factory=dict)
    """Of its tracks, by their ids."""
    score: dict[str, float] = field(default_factory=dict)
    """Of the last hour, as the edge told it."""
    telemetry_s: float = -math.inf

    def take(self, model: type[contract.Message], message: contract.Message | None, now_s: float) -> None:
        """Take a message in, or that there is none any more."""
        if isinstance(message, contract.Event):
            if message.kind not in ROUTINE:
                self.events.append((now_s, message))
            self.score = message.data if message.kind == "score" else self.score
        elif isinstance(message, contract.Telemetry):
            self.telemetry_s = now_s
        elif isinstance(message, contract.Track):
            self.titles[message.id] = message.title
        if message is None:
            self.last.pop(model, None)
        else:
            self.last[model] = message

    def status(self, columns: int, now_s: float) -> Iterator[tuple[str, str]]:
        """(text, colour) of the lines on how it is."""
        status, old_s = self.last.get(contract.Status), self._silent_s(now_s)
        if status is None:
            told, colour = [self.edge, "nothing heard yet"], WARN
        else:
            told, colour = [self.edge, status.state, status.code, status.reason], STATE_COLOURS[status.state]
            told += ["(connection not encrypted)"] * status.insecure
        if old_s:
            told, colour = [*told, f"(last heard {_age(old_s)} ago)"], BAD if colour == BAD else WARN
        for line in textwrap.wrap("  ".join(filter(None, told)), columns):
            yield line, colour

    def lines(self, columns: int, now_s: float) -> Iterator[tuple[str, str]]:
        """(text, colour) of each line about this edge but its status; faint where it is no longer heard."""
        silent = self._silent_s(now_s) > 0
        wide = min(max(columns - LABEL - NUMBER, LEAST_BAR), MOST_BAR)
        for text, colour in self._all(columns, wide, now_s):
            yield text, DIM if silent else colour

    def _all(self, columns: int, wide: int, now_s: float) -> Iterator[tuple[str, str]]:
        yield from self._troubles(columns)
        yield from self._rhythm(wide)
        yield "", ""
        yield from self._levels(wide)
        yield "", ""
        yield from self._form(columns)
        yield from self._health(columns)
        yield from self._score(columns)
        for heard_s, event in reversed(self.events):
            facts = [str(fact) for fact in map(event.data.get, EVENT_FACTS) if fact not in (None, event.kind)]
            facts += ["(provisional)"] if event.data.get("provisional") else []
            told = "  ".join(filter(None, (event.kind, *facts, event.code, event.reason)))
            yield from _prose(f"{_age(now_s - heard_s)} ago", told, columns, _severity(event))

    def _silent_s(self, now_s: float) -> float:
        """For how long it has said nothing, once that is longer than it may; else 0."""
        old_s = now_s - self.telemetry_s
        return old_s if STALE_S < old_s < math.inf else 0.0

    def _score(self, columns: int) -> Iterator[tuple[str, str]]:
        """The engine's account of its last hour, once there has been one."""
        if self.score:
            told = [f"{label} {form.format(self.score[key])}" for label, key, form in SCORE if key in self.score]
            bars = [self.score.get(f"confidence_{tenth}", 0.0) for tenth in range(10)]
            told.append("confidence " + "".join(STEPS[min(int(share * 2 * len(STEPS)), len(STEPS) - 1)] for share in bars))
            yield from _table("score", told, columns, DIM)

    def _troubles(self, columns: int) -> Iterator[tuple[str, str]]:
        """What stands against the line or the configuration, whatever the status is."""
        status, audio = self.last.get(contract.Status), self.last.get(contract.AudioState)
        if audio is not None and audio.code and (status is None or audio.code != status.code):
            yield from _prose("line", f"{audio.code}  {audio.reason}", columns, WARN)
            yield from _prose("", audio.remedy, columns, WARN)
        config = self.last.get(contract.ConfigReported)
        if config is not None and config.code:
            yield from _prose("config", f"{config.code}  {config.reason}", columns, WARN)
            for fault in config.faults[:SHOWN_FAULTS]:
                yield from _prose("", fault, columns, WARN)

    def _rhythm(self, wide: int) -> Iterator[tuple[str, str]]:
        frame, beat, known = (self.last.get(model) for model in (contract.Frame, contract.Beat, contract.TempoState))
        tempo = frame or known
        if tempo is None:
            yield _labelled("tempo", "--"), DIM
            return
        lock = "locked" if tempo.lock else "searching"
        bpm = f"{tempo.bpm:5.1f}" if tempo.bpm else "  -- "
        yield _labelled("tempo", f"{bpm} bpm  {lock}"), GOOD if tempo.lock else WARN
        yield _labelled("confidence", f"{bar(tempo.confidence, wide)} {tempo.confidence:.2f}"), ""
        phase = frame.phase if frame else 0.0
        yield _labelled("phase", bar(phase, wide)), DIM if not tempo.lock else BOLD if phase < 0.15 else ""
        if beat is not None:
            places = max(beat.beat_in_bar, (known and known.beats_per_bar) or 4)
            dots = " ".join("●" if place == beat.beat_in_bar else "○" for place in range(1, places + 1))
            yield _labelled("bar", f"{dots}   beat {beat.number}"), "" if tempo.lock else DIM

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

    def _form(self, columns: int) -> Iterator[tuple[str, str]]:
        section, scene = self.last.get(contract.SectionState), self.last.get(contract.SceneState)
        if section is not None:
            sure = "provisional" if section.provisional else f"{section.confidence:.2f}"
            yield _labelled("section", f"{section.label}  ({sure})"), BOLD
        if scene is not None:
            yield _labelled("scene", f"{scene.pattern} in {PALETTES[scene.palette_id]}  ({scene.origin})"), ""
        leads = self.last.get(contract.Deployment)
        if leads is not None and leads.state in ("leading", "waiting"):
            yield _labelled("map of", f"{self.titles.get(leads.track) or leads.track}  ({leads.state})"), ""
        override = self.last.get(contract.OverrideState)
        if override is not None and override.active:
            yield _labelled("held by", f"{override.owner} ({override.scope})"), WARN
        if self.devices:
            yield from _table("K1", [f"{name} {state}" for name, state in sorted(self.devices.items())], columns, "")

    def _health(self, columns: int) -> Iterator[tuple[str, str]]:
        telemetry = self.last.get(contract.Telemetry)
        if telemetry is None:
            return
        told = [(label, form, getattr(telemetry, key)) for label, key, form in HEALTH]
        facts = [f"{label} {form.format(value)}" for label, form, value in told if value is not None]
        yield from _table("health", facts, columns, "")


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
        silence = [(line, WARN) for line in textwrap.wrap(self.silence, columns)]
        state = silence or shown.status(columns, now_s)
        for text, colour in (*state, *told, *shown.lines(columns, now_s)):
            yield text[:columns], colour


def _labelled(label: str, text: str) -> str:
    return f"{label:<{LABEL}} {text}"


def _prose(label: str, text: str, columns: int, colour: str) -> Iterator[tuple[str, str]]:
    """As many lines as the words need; the label stands before the first."""
    for number, line in enumerate(textwrap.wrap(text, max(columns - LABEL - 1, LEAST_BAR))):
        yield _labelled("" if number else label, line), colour


def _table(label: str, facts: Iterable[str], columns: int, colour: str) -> Iterator[tuple[str, str]]:
    """Facts in columns, each of which keeps its place whatever the others say."""
    facts = list(facts)
    across = max((columns - LABEL - 1 + GAP) // CELL, 1)
    for first in range(0, len(facts), across):
        line = "".join(f"{fact:<{CELL}}" for fact in facts[first : first + across])
        yield _labelled("" if first else label, line.rstrip()), colour


def _age(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def _severity(event: contract.Event) -> str:
    return {"info": DIM, "warning": WARN, "alarm": BAD}[event.severity]
