"""Measures the daemon itself: load of the hot path, arrivals, requests, and what of the machine it takes.

Consumes one sample per hop (`hop_done`), emits `snapshot()`: a dict with the unit in every key. Recording costs a hop three
array writes; the percentiles are taken when a snapshot is asked for, once a second.
"""

from __future__ import annotations

import time

import numpy as np

from k1edge.frames import HOP_NS, HOPS_PER_S
from k1edge.system.machine import rss_mb, temperature_c

WINDOW_HOPS = 10 * HOPS_PER_S
REQUEST_BUCKETS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""A request waits for a hop to end, at most 10 ms where nothing is wrong; the rest shows how wrong."""


class Latencies:
    """How long requests took."""

    def __init__(self, prefix: str = "") -> None:
        """`prefix`: of the figures' names."""
        self._prefix = prefix
        self._within = [0] * len(REQUEST_BUCKETS_MS)
        self._count, self._sum_ms = 0, 0.0

    def add(self, took_ms: float) -> None:
        """One request."""
        self._count += 1
        self._sum_ms += took_ms
        for i, limit_ms in enumerate(REQUEST_BUCKETS_MS):
            self._within[i] += took_ms <= limit_ms

    def figures(self) -> dict[str, float]:
        """How many in all and within each limit, and the sum of them."""
        told = {"requests_timed": float(self._count), "request_ms_sum": round(self._sum_ms, 3)}
        told |= {f"requests_within_{ms}_ms": float(count) for ms, count in zip(REQUEST_BUCKETS_MS, self._within, strict=True)}
        return {self._prefix + name: value for name, value in told.items()}


class Telemetry:
    """Ring of the last ten seconds of hops, and counters since the start."""

    def __init__(self) -> None:
        self._busy_ns = np.zeros(WINDOW_HOPS, np.int64)
        self._late_ns = np.zeros(WINDOW_HOPS, np.int64)
        self._waited_ns = np.zeros(WINDOW_HOPS, np.int64)
        self.hops = 0
        self.deadline_misses = 0
        self.rejected_messages = 0
        self.broker_clients: int | None = None
        """Connected to the broker, where it tells."""
        self.beside: dict[str, float] = {}
        """Figures of others, told with ours."""
        self._requests, self._lent = Latencies(), Latencies("library_")
        self._cpu = (time.process_time(), time.monotonic())

    def hop_done(self, busy_ns: int, late_ns: int, waited_ns: int = 0) -> None:
        """One hop took `busy_ns` to process, had arrived `late_ns` after the earliest it could have, and then waited."""
        at = self.hops % WINDOW_HOPS
        self._busy_ns[at] = busy_ns
        self._late_ns[at] = late_ns
        self._waited_ns[at] = waited_ns
        self.hops += 1
        if busy_ns > HOP_NS:
            self.deadline_misses += 1

    def request_done(self, took_ns: int, *, lent: bool = False) -> None:
        """A request was answered `took_ns` after it had arrived; `lent`: by the library, after it was asked."""
        (self._lent if lent else self._requests).add(took_ns / 1e6)

    def extra(self) -> dict[str, float]:
        """Figures without a field of their own: how long requests took, cumulative by limit; clients of the broker."""
        told = self.beside | ({} if self.broker_clients is None else {"broker_clients": float(self.broker_clients)})
        return told | self._requests.figures() | self._lent.figures()

    def snapshot(self) -> dict[str, float | int | None]:
        """Figures of the last ten seconds; `None` where the machine does not tell."""
        seen = min(self.hops, WINDOW_HOPS)
        busy, late, waited = self._busy_ns[:seen], self._late_ns[:seen], self._waited_ns[:seen]
        return {
            "hops": self.hops,
            "deadline_misses": self.deadline_misses,
            "hop_load_pct_p50": round(_percentile(busy, 50) / HOP_NS * 100, 2),
            "hop_load_pct_p99": round(_percentile(busy, 99) / HOP_NS * 100, 2),
            "hop_load_pct_max": round(_percentile(busy, 100) / HOP_NS * 100, 2),
            "audio_lag_ms": round(_percentile(waited, 50) / 1e6, 3),
            "arrival_jitter_ms_p99": round(_percentile(late, 99) / 1e6, 3),
            "cpu_pct": round(self._cpu_pct(), 2),
            "rss_mb": rss_mb(),
            "temp_c": temperature_c(),
            "rejected_messages": self.rejected_messages,
        }

    def _cpu_pct(self) -> float:
        cpu_s, wall_s = time.process_time(), time.monotonic()
        spent, passed = cpu_s - self._cpu[0], wall_s - self._cpu[1]
        self._cpu = (cpu_s, wall_s)
        return spent / passed * 100 if passed > 0 else 0.0


def _percentile(values: np.ndarray, percent: int) -> float:
    if not len(values):
        return 0.0
    at = min(len(values) - 1, len(values) * percent // 100)
    return float(np.partition(values, at)[at])
