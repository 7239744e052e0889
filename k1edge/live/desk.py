"""Where requests come in: read, admitted, answered and counted, each once; what they ask for is done elsewhere.

Consumes request publications, emits the request that is to be done, or the response. No I/O and no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from k1edge.k1 import contract
from k1edge.k1.contract import AnswerCache, CallerLimits, ContractError, Publication, Request, Scribe, Stamp, printable

CONTRACT_TOPICS = contract.ROOT.partition("/")[0] + "/"
NO_TOPIC = frozenset("+#\0")
TOPIC_LIMIT = 200
"""Characters: in fewer there are no more levels than brokers take."""
HEAD_BYTES = 1024
"""Of a packet besides what it says: topic, properties, what the caller wants to have back."""
PASSING = ("NOT_READY", "RATE_LIMIT_EXCEEDED")
"""Refusals that are of their moment: who asks again with the same id may have more luck."""


class ReplyTo(NamedTuple):
    """Where an MQTT 5 caller wants the answer, and what is to come back with it."""

    topic: str = ""
    correlation: bytes = b""

    def copies(self, answer: Publication) -> Iterator[Publication]:
        """The answer once more, if it is wanted; never to a topic of the contract, since a reply must not steer a K1, nor to a
        pattern or an overlong topic: brokers pass these on, and hang up on whoever publishes there."""
        is_topic = 0 < len(self.topic) <= TOPIC_LIMIT and not NO_TOPIC.intersection(self.topic)
        if is_topic and not self.topic.startswith(CONTRACT_TOPICS):
            yield replace(answer, topic=self.topic, correlation=self.correlation)


class RefusedError(Exception):
    """A request that cannot be done: a code of the contract, a reason, and each fault where there are several."""

    def __init__(self, code: str, reason: str, faults: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.code, self.faults = code, faults


def check_in_time(expires_at_ms: float | None, stamp: Stamp) -> None:
    """Raises RefusedError EXPIRED for what comes too late."""
    if expires_at_ms is not None and expires_at_ms < stamp.ts_ms:
        raise RefusedError("EXPIRED", f"came {stamp.ts_ms - expires_at_ms:.0f} ms after it expired")


class Desk:
    """The requests of one edge."""

    def __init__(self, scribe: Scribe, largest_bytes: Callable[[], int] = lambda: 1 << 28) -> None:
        """`largest_bytes`: of a packet that the broker takes; no packet can be larger than 256 MB."""
        self._scribe, self._largest_bytes = scribe, largest_bytes
        self._limits = CallerLimits()
        self._answers: AnswerCache[Publication] = AnswerCache()
        self.ok = 0
        self.rejected: Counter[str] = Counter()
        """Requests that were not done, by code."""

    def read(self, topic: str, payload: bytes, stamp: Stamp) -> Request | Publication:
        """The request, or the answer: to what is none, and to what was answered before."""
        try:
            request = contract.decode(topic, payload)
        except ContractError as error:
            verb = topic.rpartition("/")[2]
            said = {"verb": verb if verb in contract.VERBS else "unknown", "id": error.request_id, "caller": error.caller}
            return self._written(stamp, said, {"result": "rejected", "code": error.code, "reason": error.reason})
        return self._answers.get(request.repeats, stamp.monotonic_ns / 1e9) or request

    def admit(self, request: Request, stamp: Stamp) -> None:
        """Raises RefusedError where it comes too late, or too often."""
        check_in_time(request.expires_at_ms, stamp)
        if not self._limits.take(request.caller, stamp.monotonic_ns / 1e9):
            raise RefusedError("RATE_LIMIT_EXCEEDED", "more than 100 requests a minute; wait a little")

    def answer(self, request: Request, stamp: Stamp, outcome: dict[str, Any]) -> Publication:
        """What became of it: `result`, and `code`, `reason` and `data` where there are any."""
        said = {"verb": request.verb, "id": request.id, "caller": request.caller}
        try:
            answer = self._written(stamp, said, outcome)
        except ContractError as error:  # more than a message holds, or the broker takes
            outcome = {"result": "failed", "code": error.code, "reason": error.reason}
            answer = self._written(stamp, said, outcome)
        if outcome.get("code") not in PASSING:
            self._answers.put(request.repeats, answer, stamp.monotonic_ns / 1e9)
        return answer

    def refuse(self, request: Request, stamp: Stamp, refused: RefusedError) -> Publication:
        """It was not begun."""
        return self.answer(request, stamp, {"result": "rejected", "code": refused.code, "reason": str(refused)})

    def _written(self, stamp: Stamp, said: dict[str, str], outcome: dict[str, Any]) -> Publication:
        result, code = outcome["result"], outcome.get("code", "")
        answer = self._scribe.write(contract.Response, stamp, **said, result=result, code=code, data=outcome.get("data", {}),
                                    reason=printable(outcome.get("reason", "")))
        if result == "ok":
            if (most := self._largest_bytes() - HEAD_BYTES) < len(answer.payload):
                fault = f"the answer has {len(answer.payload)} bytes, and the broker takes {most}"
                raise ContractError("TOO_LARGE", f"{fault}: ask for less of it, or give the broker a larger limit")
            self.ok += 1
        else:
            self.rejected[code] += 1
        return answer
