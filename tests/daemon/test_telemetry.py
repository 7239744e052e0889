"""The daemon's own figures."""

from k1edge.daemon.telemetry import WINDOW_HOPS, Telemetry
from k1edge.frames import HOP_NS


def test_an_idle_daemon_has_figures_too():
    figures = Telemetry().snapshot()
    assert figures["hops"] == 0
    assert figures["hop_load_pct_p99"] == 0.0
    assert figures["rss_mb"] > 5


def test_load_percentiles_are_of_the_hops_recorded():
    measured = Telemetry()
    for i in range(100):
        measured.hop_done(busy_ns=(i + 1) * HOP_NS // 100, late_ns=i * 1_000_000, waited_ns=i * 10_000)
    figures = measured.snapshot()
    assert figures["hop_load_pct_p50"] == 51.0
    assert figures["hop_load_pct_p99"] == figures["hop_load_pct_max"] == 100.0
    assert figures["audio_lag_ms"] == 0.5
    assert figures["arrival_jitter_ms_p99"] == 99.0
    assert figures["deadline_misses"] == 0


def test_old_hops_are_forgotten_but_misses_are_not():
    measured = Telemetry()
    measured.hop_done(busy_ns=2 * HOP_NS, late_ns=0)
    for _ in range(WINDOW_HOPS):
        measured.hop_done(busy_ns=HOP_NS // 10, late_ns=0)
    figures = measured.snapshot()
    assert figures["hop_load_pct_p99"] == 10.0
    assert figures["deadline_misses"] == 1
    assert figures["hops"] == WINDOW_HOPS + 1
