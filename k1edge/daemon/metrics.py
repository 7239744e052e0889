"""The telemetry for Prometheus, on loopback; alone imports prometheus_client, and only where a port is configured.

Consumes the payload of each telemetry message (`take`: one assignment, which costs the loop nothing); turns the newest into
metrics when it is asked for, in the server's own thread. Base units, as Prometheus has them: seconds, bytes, ratios.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from k1edge.daemon.telemetry import REQUEST_BUCKETS_MS
from k1edge.k1.contract import CODES

if TYPE_CHECKING:
    from prometheus_client.core import Metric

HOST = "127.0.0.1"
PREFIX = "k1edge_"
SILENT_S = 10.0
"""Who connects and asks for nothing for so long is hung up on: a thread waits for each."""
MS, PCT, MB = 1e-3, 1e-2, 1e6

log = logging.getLogger("k1edge")


class Meaning(NamedTuple):
    """What a figure of the telemetry is to Prometheus."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    factor: float = 1.0
    labels: Mapping[str, str] = {}


def _gauge(name: str, text: str, factor: float = 1.0, **labels: str) -> Meaning:
    return Meaning(name, "gauge", text, factor, labels)


def _counter(name: str, text: str, **labels: str) -> Meaning:
    return Meaning(name, "counter", text, 1.0, labels)


LOAD, DROPPED = "Share of a hop's 10 ms that its processing takes", "Messages not sent or not taken"
MEANINGS = {
    "degraded": _gauge("degraded", "1 while its status is: something is wrong, which the status names"),
    "uptime_s": _gauge("uptime_seconds", "Since the daemon began"),
    "drift_ms": _gauge("drift_seconds", "Signed median of heard minus announced, over eight beats", MS),
    "cpu_pct": _gauge("cpu_ratio", "Of one core", PCT),
    "temp_c": _gauge("temperature_celsius", "Of the processor"),
    "rss_mb": _gauge("resident_memory_bytes", "Of the daemon", MB),
    "hops": _counter("hops", "Hops of 10 ms processed"),
    "deadline_misses": _counter("deadline_misses", "Hops that took longer than they last"),
    "hop_load_pct_p50": _gauge("hop_load_ratio", LOAD, PCT, percentile="50"),
    "hop_load_pct_p99": _gauge("hop_load_ratio", LOAD, PCT, percentile="99"),
    "hop_load_pct_max": _gauge("hop_load_ratio", LOAD, PCT, percentile="100"),
    "audio_lag_ms": _gauge("audio_lag_seconds", "How long sound that has arrived waits", MS),
    "arrival_jitter_ms_p99": _gauge("arrival_jitter_seconds", "How late sound arrives, 99 of 100 hops", MS),
    "audio_lost_samples": _counter("audio_lost_samples", "Samples that the card lost"),
    "audio_overflows": _counter("audio_overflows", "Times that the card's ring was full"),
    "audio_reopened": _counter("audio_reopened", "Times that a source was opened again"),
    "input_level_dbfs": _gauge("input_level_dbfs", "Level of the input; absent without audio"),
    "noise_floor_dbfs": _gauge("noise_floor_dbfs", "Noise floor of the input"),
    "beat_confidence": _gauge("beat_confidence", "How sure the beat is, 0..1"),
    "bpm": _gauge("tempo_bpm", "Tempo"),
    "beats_announced": _counter("beats_announced", "Beats announced, corrections counted"),
    "announce_lead_ms_p50": _gauge("announce_lead_seconds", "From an announcement to its beat, median", MS),
    "unsent": _gauge("mqtt_unsent", "Messages that wait to be sent or confirmed"),
    "mqtt_connected": _gauge("mqtt_connected", "1 while the broker is there"),
    "mqtt_sent": _counter("mqtt_sent", "Messages sent"),
    "mqtt_received": _counter("mqtt_received", "Messages received"),
    "mqtt_reconnects": _counter("mqtt_reconnects", "Connections made anew"),
    "mqtt_dropped_live": _counter("mqtt_dropped", DROPPED, kind="live"),
    "mqtt_dropped_durable": _counter("mqtt_dropped", DROPPED, kind="durable"),
    "mqtt_dropped_inbox": _counter("mqtt_dropped", DROPPED, kind="inbox"),
    "requests_ok": _counter("requests_ok", "Requests carried out"),
    "rejected_messages": _counter("rejected_messages", "Messages that break the contract"),
    "clamped_parameters": _counter("clamped_parameters", "Parameters beyond a K1's range"),
    "devices_ready": _gauge("k1_ready", "K1s that are there"),
    "device_round_trip_ms_max": _gauge("k1_round_trip_seconds", "Of the slowest K1", MS),
    "rung": _gauge("ladder_rung", "Steps the edge has gone down because it is too hot; 0 = does everything"),
    "card_clock_ppm": _gauge("card_clock_ppm", "How much slower the card counts than the clock of this machine"),
    "jobs_completed": _counter("jobs", "Analyses that ended", result="completed"),
    "jobs_failed": _counter("jobs", "Analyses that ended", result="failed"),
    "job_s_sum": _counter("job_seconds", "Spent on analyses that were completed"),
    "broker_clients": _gauge("broker_clients", "Clients connected, where the broker tells"),
}
"""By key of the telemetry message, or of its `extra`."""


class Metrics:
    """The newest telemetry, and the server that shows it."""

    def __init__(self, port: int) -> None:
        """Listens on loopback; a port that is taken is logged, and the light goes on without."""
        from prometheus_client import CollectorRegistry, start_http_server

        self._newest = b"{}"
        self._server: Any = None
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, _ = start_http_server(port, HOST, registry)
            self._server.RequestHandlerClass = _impatient(self._server.RequestHandlerClass)
        except OSError as error:
            log.error("no metrics: port %d of %s cannot be used (%s); set [telemetry] prometheus_port to a free one",
                      port, HOST, error.strerror)

    def take(self, telemetry: bytes) -> None:
        """The payload of a telemetry message."""
        self._newest = telemetry

    def close(self) -> None:
        """Frees the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def describe(self) -> Iterator[Metric]:
        """Nothing is known before it was measured."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The newest telemetry as metrics; called by the server."""
        return families(json.loads(self._newest))


def _impatient(handler: type) -> type:
    """The same, with an end to its patience; of that the log need not know."""

    class Impatient(handler):
        timeout = SILENT_S

        def handle(self) -> None:
            with suppress(TimeoutError):
                super().handle()

    return Impatient


def families(told: dict[str, Any]) -> Iterator[Metric]:
    """Telemetry as Prometheus' families; a figure that is not told has no sample."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

    figures = told | told.get("extra", {})
    found: dict[str, Any] = {}
    for key, meaning in MEANINGS.items():
        if key not in figures:
            continue
        kind = CounterMetricFamily if meaning.kind == "counter" else GaugeMetricFamily
        family = found.setdefault(meaning.name, kind(PREFIX + meaning.name, meaning.help, labels=list(meaning.labels)))
        family.add_metric(list(meaning.labels.values()), float(figures[key]) * meaning.factor)
    yield from found.values()
    if "errors" in told:
        rejected = CounterMetricFamily(PREFIX + "requests_rejected", "Requests refused, by code", labels=["code"])
        for code, count in (dict.fromkeys(CODES, 0) | told["errors"]).items():  # a first one counts from 0
            rejected.add_metric([code], count)
        yield rejected
    if "section" in told:
        yield InfoMetricFamily(PREFIX + "section", "The part of the music that is playing", {"section": told["section"]})
    yield from _latencies(told.get("extra", {}))


def _latencies(extra: dict[str, float]) -> Iterator[Metric]:
    from prometheus_client.core import HistogramMetricFamily

    if "requests_timed" not in extra:
        return
    family = HistogramMetricFamily(PREFIX + "request_seconds", "From a request to its answer", labels=["by"])
    for by, prefix in (("light", ""), ("library", "library_")):
        buckets = [(f"{ms * MS:g}", extra[f"{prefix}requests_within_{ms}_ms"]) for ms in REQUEST_BUCKETS_MS]
        buckets.append(("+Inf", extra[prefix + "requests_timed"]))
        family.add_metric([by], buckets, extra[prefix + "request_ms_sum"] * MS)
    yield family
