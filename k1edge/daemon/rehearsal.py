"""A scene tried out before anyone sees it: on a virtual K1, to beats of a given tempo, through the limiter of the real ones.

Consumes the arguments of `scene.simulate` and what is shown now; emits how bright the scene is, how much it moves and
flashes, what the limiter holds back, and what would change. A frame of the virtual K1 takes 0.15 ms, so the loop draws a few
between two hops. What it costs a real K1 is not known: it does not tell.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from k1edge.device_facts import DEFAULTS, PALETTES
from k1edge.frames import Look
from k1edge.genesis.flashes import runs_per_window
from k1edge.genesis.limiter import STEP, Limiter
from k1edge.k1 import contract
from k1edge.k1.contract import Scribe, Stamp
from k1edge.k1.contract.parameters import clamp
from k1edge.k1.palettes import GAMMA, LUMINANCE
from k1edge.k1.render import frame
from k1edge.k1.simulator import VirtualK1

FRAMES_PER_S = 50
FRAMES_PER_STEP = 2
MACROS_EVERY = 5
LEAD_MS = 150.0
LOUD = {"energy": 0.8, "vocal_presence": 0.3, "bass_weight": 0.7, "percussiveness": 0.7, "brightness": 0.6}
"""A full chorus: what a scene looks like at its most."""
LIT = 0.02
"""Luminance from which an LED is not dark."""
SITE, DEVICE = "rehearsal", "virtual"


class Rehearsal:
    """One scene, some seconds."""

    def __init__(self, scene: contract.SimulateArguments, shown: Look | None) -> None:
        self._scene, self._shown = scene, shown
        self._k1, self._limiter, self._scribe = VirtualK1(SITE, DEVICE), Limiter(), Scribe(SITE, "edge")
        self._parameters, self._clamped = clamp(scene.parameters)
        self._frames = round(scene.seconds * FRAMES_PER_S)
        self._pixels = np.zeros((self._frames, 3))
        self._luminance, self._lit, self._moved = np.zeros((3, self._frames))
        self._before: np.ndarray | None = None
        self._drawn, self._beats = 0, 0
        self._send(contract.SceneCommand, 0.0, pattern=scene.pattern, palette_id=scene.palette, parameters=self._parameters,
                   transition=scene.transition, transition_ms=0, expires_at_ms=1e12)  # fmt: skip

    def step(self) -> bool:
        """Draws a few frames more; True when all are drawn."""
        for _ in range(min(FRAMES_PER_STEP, self._frames - self._drawn)):
            self._draw(self._drawn * 1000 / FRAMES_PER_S)
        return self._drawn >= self._frames

    def report(self) -> dict[str, Any]:
        """What was seen."""
        mean = self._pixels.mean(axis=0).round().astype(int).tolist()
        return {
            "frames": self._frames,
            "luminance_mean": round(float(self._luminance.mean()), 3),
            "luminance_max": round(float(self._luminance.max()), 3),
            "lit_share": round(float(self._lit.mean()), 3),
            "movement": round(float(self._moved.mean()), 4),
            "flashes_per_s": self._flashes(),
            "colour": "#{:02x}{:02x}{:02x}".format(*mean),
            "clamped": self._clamped,
            "limited": dict(self._limiter.stopped),
            "changes": self._changes(),
            "frame_ms": None,
            "cpu_pct": None,
        }

    def _draw(self, now_ms: float) -> None:
        period_ms = 60_000 / self._scene.bpm
        if self._drawn % MACROS_EVERY == 0:
            self._send(contract.MacroCommand, now_ms, **LOUD)
        while self._beats * period_ms < now_ms + LEAD_MS:
            due_in_ms = self._beats * period_ms - now_ms
            self._send(contract.BeatCommand, now_ms, number=self._beats + 1, bpm=self._scene.bpm, due_in_ms=due_in_ms,
                       due_at_ms=now_ms + due_in_ms, downbeat=self._beats % 4 == 0, beat_in_bar=self._beats % 4,
                       confidence=0.9)  # fmt: skip
            self._beats += 1
        pixels = frame(self._k1.show(now_ms))
        linear = (pixels / 255) ** GAMMA @ LUMINANCE
        self._pixels[self._drawn] = pixels.mean(axis=0)
        self._luminance[self._drawn], self._lit[self._drawn] = linear.mean(), (linear > LIT).mean()
        self._moved[self._drawn] = 0.0 if self._before is None else np.abs(linear - self._before).mean()
        self._before = linear
        self._drawn += 1

    def _send(self, model: type[contract.Message], now_ms: float, **fields: Any) -> None:
        stamp = Stamp(int(now_ms), True, int(now_ms * 1e6))
        for safe in self._limiter.process(model.model_construct(**fields), now_ms):
            sent = self._scribe.post(DEVICE, safe, stamp)
            self._k1.hear(sent.topic, sent.payload, now_ms, stamp)

    def _flashes(self) -> int:
        """Pairs of opposing changes of the whole strip by STEP, in the worst second."""
        changes, low, high = [], self._luminance[0], self._luminance[0]
        for n, value in enumerate(self._luminance):
            way = 1 if value >= low + STEP else -1 if value <= high - STEP else 0
            if way:
                changes.append((n * 1000 / FRAMES_PER_S, way))
            low, high = (value, value) if way else (min(low, value), max(high, value))
        return runs_per_window(changes) // 2 if changes else 0

    def _changes(self) -> list[dict[str, Any]]:
        """Pattern, palette and parameters that are different from what is shown now."""
        now = self._shown
        before = {} if now is None else {"pattern": now.pattern, "palette": PALETTES[now.palette]} | dict(now.parameters)
        after = {"pattern": self._scene.pattern, "palette": PALETTES[self._scene.palette]} | self._parameters
        both = ((name, before.get(name, DEFAULTS.get(name)), after.get(name, DEFAULTS.get(name))) for name in before | after)
        return [{"name": name, "from": old, "to": new} for name, old, new in both if old != new]
