"""The health gate: whether a changed configuration has done well for long enough, or must be given back.

Consumes `Vitals` with an explicit time (s), once a second or more often; emits a `Verdict`. Pure. What a configuration did
not change cannot be its fault: a card that is unplugged or a broker that is down delays the verdict or does not matter, but
only a part that the configuration touched can condemn it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from k1edge.config import Settings

TOO_LATE_PCT = 50.0
"""Deadlines missed: an engine that is late every other hop cannot keep up; a busy moment alone does not look like this."""
ENGINE_TABLES = ("audio", "beat", "genesis", "recorder")
"""What decides how much there is to compute."""
BROKER_KEYS = ("site", "edge", "mqtt")
"""What decides whether the broker lets us in, and lets us speak: an access list knows the site and the edge."""


class Vitals(NamedTuple):
    """How the daemon fares at one moment."""

    audio: bool
    """Blocks of sound are coming."""
    hops: int = 0
    """Processed since the start."""
    misses: int = 0
    """Of them, later than their deadline."""
    broker: bool = False
    """It is reached, and takes what we say."""
    why: str = ""
    """What the link says while it does not."""


class Verdict(Enum):
    """What the gate says."""

    WAITING = "waiting"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Judged:
    """Which parts must do well, and which of them condemn the configuration when they do not."""

    required: frozenset[str] = frozenset()
    suspect: frozenset[str] = frozenset()


def judged(changed: Settings, proven: Settings | None, reached: bool) -> Judged:
    """What to look at when one configuration follows another; `reached`: the proven one's broker was reached.

    With nothing to go back to, there is nothing to judge: whatever survives is the best there is.
    """
    if proven is None:
        return Judged()
    differs = {name for name in Settings.model_fields if getattr(changed, name) != getattr(proven, name)}
    suspect = {"audio"} & differs
    if differs.intersection(ENGINE_TABLES):
        suspect |= {"engine"}
    broker = {"broker"} if reached and differs.intersection(BROKER_KEYS) else set()
    return Judged(frozenset({"audio", "engine"} | broker), frozenset(suspect | broker))


@dataclass(slots=True)
class HealthGate:
    """Passes after `gate_s` in a row of health, fails after `gate_s` in a row of trouble that can be its fault."""

    parts: Judged
    gate_s: float
    reason: str = ""
    """What is in the way."""
    _well_since_s: float | None = None
    _ill_since_s: dict[str, float] = field(default_factory=dict)
    _hops: int = 0
    _misses: int = 0

    def process(self, vitals: Vitals, now_s: float) -> Verdict:
        """The verdict at this moment. Call it until it is no longer WAITING."""
        trouble = {part: words for part, words in self._trouble(vitals).items() if part in self.parts.required}
        self.reason = "; ".join(trouble.values())
        if not trouble:
            self._ill_since_s.clear()
            if self._well_since_s is None:
                self._well_since_s = now_s
            return Verdict.PASSED if now_s - self._well_since_s >= self.gate_s else Verdict.WAITING
        self._well_since_s = None
        self._ill_since_s = {part: self._ill_since_s.get(part, now_s) for part in trouble if part in self.parts.suspect}
        ill_for_s = now_s - min(self._ill_since_s.values(), default=now_s)
        return Verdict.FAILED if ill_for_s >= self.gate_s else Verdict.WAITING

    def _trouble(self, vitals: Vitals) -> dict[str, str]:
        hops, misses = vitals.hops - self._hops, vitals.misses - self._misses
        self._hops, self._misses = vitals.hops, vitals.misses
        trouble = {}
        if not vitals.audio:
            trouble["audio"] = "no sound came"
        elif not hops or misses * 100 > TOO_LATE_PCT * hops:
            trouble["engine"] = f"the engine did not keep up: {misses} of {hops} hops late"
        if not vitals.broker:
            trouble["broker"] = "the broker was not reached" + (f": {vitals.why}" if vitals.why else "")
        return trouble
