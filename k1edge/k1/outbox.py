"""What waits to be sent: live messages briefly, states only in their newest form, durable ones in order.

Consumes publications, emits them one by one in the order of their urgency; bounded in every kind, and everything that
is dropped is counted. Pure: the caller brings the time (s, monotonic). Owned by one thread.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple

from k1edge.k1.contract import Publication

LIVE_LIMIT = 256
"""Most of a second of beats, macros and frames for sixteen K1s: more would only be late."""
RETAINED_LIMIT = 4096
"""Topics whose last state is sent again after each connection; beyond it the oldest of the most numerous kind is forgotten. As
many may wait to be cleared."""
RETURNS_LIMIT = 5
"""A message that was the first unconfirmed one of so many connections is taken for the reason why they ended."""
NEVER = float("inf")


class Waiting(NamedTuple):
    """A publication and when it becomes worthless."""

    publication: Publication
    dies_at_s: float
    returns: int = 0
    """Connections that have ended over it."""


@dataclass(slots=True)
class Outbox:
    """The queues of a link."""

    durable_limit: int
    dropped_live: int = 0
    """Not sent because offline, or because the broker took nothing for a while."""
    dropped_durable: int = 0
    """Lost because more waited than there is room for, or because the broker hung up over it again and again."""
    expired: int = 0
    """Waited longer than the message is worth."""
    _live: deque[Waiting] = field(default_factory=deque)
    _states: dict[str, Waiting] = field(default_factory=dict)
    _durable: deque[Waiting] = field(default_factory=deque)
    _truths: dict[str, Waiting] = field(default_factory=dict)
    _kinds: Counter[str] = field(default_factory=Counter)
    """How many of the truths there are of each kind."""

    def put(self, publication: Publication, now_s: float, online: bool) -> None:
        """Take one in. Live messages are dropped at once while offline."""
        waiting = Waiting(publication, now_s + (publication.expiry_s or NEVER))
        if publication.retain:
            self._remember(waiting)
        elif publication.qos:
            self._append(waiting, now_s)
        elif not online:
            self.dropped_live += 1
        else:
            if len(self._live) >= LIVE_LIMIT:
                self._live.popleft()
                self.dropped_live += 1
            self._live.append(waiting)

    def take(self, now_s: float, durable: bool = True) -> Waiting | None:
        """The most urgent that is still worth sending: live, then states, then durable (those only if `durable`)."""
        while (waiting := self._next(durable)) is not None:
            if waiting.dies_at_s > now_s:
                return waiting
            self.expired += 1
        return None

    def put_back(self, unconfirmed: list[Waiting]) -> None:
        """Return what was sent but never confirmed to the head of the queue, in its order; not what no broker takes."""
        durable = [waiting for waiting in unconfirmed if not waiting.publication.retain]
        for waiting in reversed(unconfirmed):
            if waiting.publication.retain:
                self._states.setdefault(waiting.publication.topic, waiting)
        self._durable.extendleft(reversed(durable))
        if durable:
            self._suspect_first()
        self._shrink()

    def reconnected(self, first_topic: str) -> None:
        """A broker may have forgotten everything: every state waits again, `first_topic` at the head; live is stale."""
        self.disconnected()
        ahead = {first_topic: self._truths[first_topic]} if first_topic in self._truths else {}
        self._states = ahead | self._truths | self._states

    def forget(self, topic: str) -> None:
        """Its state is no longer what was said of it."""
        self._drop(topic)
        self._states.pop(topic, None)

    def disconnected(self) -> None:
        """What was live is late by now."""
        self.dropped_live += len(self._live)
        self._live.clear()

    def __len__(self) -> int:
        return len(self._live) + len(self._states) + len(self._durable)

    def _next(self, durable: bool) -> Waiting | None:
        if self._live:
            return self._live.popleft()
        if not durable:
            return None
        if self._states:
            return self._states.pop(next(iter(self._states)))
        return self._durable.popleft() if self._durable else None

    def _remember(self, waiting: Waiting) -> None:
        topic = waiting.publication.topic
        self._states[topic] = waiting
        self._drop(topic)
        if waiting.publication.payload:
            self._truths[topic] = waiting
            self._kinds[_kind(topic)] += 1
        if len(self._truths) > RETAINED_LIMIT:
            oldest = self._oldest_of_many()
            self._drop(oldest)
            self.dropped_durable += self._states.pop(oldest, None) is not None
        if len(self._states) > 2 * RETAINED_LIMIT:  # without a broker for weeks: jobs that are over pile up
            del self._states[next(topic for topic, each in self._states.items() if not each.publication.payload)]
            self.dropped_durable += 1

    def _oldest_of_many(self) -> str:
        """Of songs and jobs there may be any number: `status` and `info`, older than all of them, are not to make room."""
        crowd = max(self._kinds, key=self._kinds.__getitem__)
        return next(topic for topic in self._truths if _kind(topic) == crowd)

    def _drop(self, topic: str) -> None:
        if self._truths.pop(topic, None) is not None:
            self._kinds[kind := _kind(topic)] -= 1
            if not self._kinds[kind]:
                del self._kinds[kind]

    def _suspect_first(self) -> None:
        first = self._durable.popleft()
        if first.returns + 1 < RETURNS_LIMIT:
            self._durable.appendleft(first._replace(returns=first.returns + 1))
        else:
            self.dropped_durable += 1

    def _append(self, waiting: Waiting, now_s: float) -> None:
        if len(self._durable) >= self.durable_limit:  # sixteen K1s are told of every bar: what is worth nothing goes first
            worth = deque(each for each in self._durable if each.dies_at_s > now_s)
            self.expired += len(self._durable) - len(worth)
            self._durable = worth
        self._durable.append(waiting)
        self._shrink()

    def _shrink(self) -> None:
        while len(self._durable) > self.durable_limit:
            self._durable.popleft()
            self.dropped_durable += 1


def _kind(topic: str) -> str:
    return topic.rpartition("/")[0]
