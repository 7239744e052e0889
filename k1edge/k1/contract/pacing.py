"""How often, how late and how many times: the rules that stand between a request and its execution.

Consumes offers and requests with an explicit time; emits what may pass now. Pure: the caller brings the clock.
Everything is bounded, however many callers and ids a stranger invents.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from k1edge.frames import HOPS_PER_S
from k1edge.k1.contract.device import SCENE_WINDOW_MS

STATE_GAP_HOPS = HOPS_PER_S // 2
REQUESTS_PER_MIN = 100
"""Per caller, as the K1's song analysis service allows."""
REPEATED_WITHIN_S = 30.0
"""A network repeats what it has lost within seconds. What comes later is meant: a button on a wall has one id for its life."""

T = TypeVar("T")


@dataclass(slots=True)
class SceneWindow(Generic[T]):
    """Lets one offer pass per window; of those that come meanwhile only the newest survives."""

    _waiting: T | None = None
    _free_at_ms: float = float("-inf")

    def offer(self, scene: T, now_ms: float) -> T | None:
        """The scene itself when it may go now, else None: it will be `due` later unless a newer one replaces it."""
        self._waiting = scene
        return self.due(now_ms)

    def due(self, now_ms: float) -> T | None:
        """The scene that has waited long enough, once."""
        if self._waiting is None or now_ms < self._free_at_ms:
            return None
        scene, self._waiting = self._waiting, None
        self._free_at_ms = now_ms + SCENE_WINDOW_MS
        return scene


class Gate:
    """Lets a state pass when it has changed, at most twice a second."""

    def __init__(self) -> None:
        self._passed: object = object()  # no state is like it: the broker may still keep what another process has told
        self._at = -STATE_GAP_HOPS

    def passes(self, state: object, hop: int) -> bool:
        if state == self._passed or hop - self._at < STATE_GAP_HOPS:
            return False
        self._passed, self._at = state, hop
        return True


@dataclass(slots=True)
class TokenBucket:
    """`burst` at once, `rate_per_s` in the long run."""

    rate_per_s: float
    burst: float
    _tokens: float = -1.0
    _at_s: float = 0.0

    def take(self, now_s: float) -> bool:
        """Whether one more is allowed now. A clock that steps back gives nothing."""
        if self._tokens < 0:
            self._tokens, self._at_s = self.burst, now_s
        self._tokens = min(self.burst, self._tokens + max(0.0, now_s - self._at_s) * self.rate_per_s)
        self._at_s = max(self._at_s, now_s)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def is_full(self, now_s: float) -> bool:
        """Whether it has its whole burst again, as a new one has."""
        return self._tokens + (now_s - self._at_s) * self.rate_per_s >= self.burst


@dataclass(slots=True)
class CallerLimits:
    """A token bucket for each caller. Callers beyond the limit share one, so that inventing names buys nothing; those who have
    not asked for a while are forgotten, since a screen may have another name each time it is opened."""

    per_min: float = REQUESTS_PER_MIN
    callers: int = 256
    _buckets: dict[str, TokenBucket] = field(default_factory=dict)

    def take(self, caller: str, now_s: float) -> bool:
        """Whether this caller may ask once more."""
        if caller not in self._buckets and len(self._buckets) >= self.callers:
            self._buckets = {name: bucket for name, bucket in self._buckets.items() if not bucket.is_full(now_s)}
        name = caller if caller in self._buckets or len(self._buckets) < self.callers else ""
        return self._buckets.setdefault(name, TokenBucket(self.per_min / 60, self.per_min)).take(now_s)


@dataclass(slots=True)
class AnswerCache(Generic[T]):
    """The last answers: a request that is repeated is answered again, not done again."""

    limit: int = 256
    _answers: OrderedDict[Hashable, tuple[T, float]] = field(default_factory=OrderedDict)

    def get(self, request: Hashable, now_s: float) -> T | None:
        """The answer given before; None when there was none, or it is too long ago."""
        answer, given_s = self._answers.get(request, (None, float("-inf")))
        return answer if now_s - given_s < REPEATED_WITHIN_S else None

    def put(self, request: Hashable, answer: T, now_s: float) -> None:
        """Remember an answer. The oldest goes when there are too many, or when it is given no more: one may have 128 KB."""
        self._answers[request] = answer, now_s
        self._answers.move_to_end(request)
        while len(self._answers) > self.limit or now_s - next(iter(self._answers.values()))[1] >= REPEATED_WITHIN_S:
            self._answers.popitem(last=False)

    def __len__(self) -> int:
        return len(self._answers)
