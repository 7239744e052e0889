"""Sample index, monotonic and wall time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k1edge.clock import StreamClock, WallClock
from k1edge.frames import StreamFormat

FMT = StreamFormat(48_000)
HOP_NS = 10_000_000


@pytest.fixture
def clock():
    return StreamClock(FMT)


def feed(clock, hops, *, start_ns=5_000_000_000, late_ns=lambda i: 0, ppm=0.0):
    for i in range(1, hops + 1):
        true_ns = start_ns + round(i * HOP_NS * (1 + ppm * 1e-6))
        clock.observe(i * FMT.hop, true_ns + late_ns(i))


def test_an_undelayed_stream_is_mapped_exactly(clock):
    feed(clock, 100)
    assert clock.monotonic_ns(0) == 5_000_000_000
    assert clock.monotonic_ns(48_000) == 6_000_000_000
    assert clock.monotonic_ns(96_000) == 7_000_000_000, "the future counts on at the nominal rate"


@given(st.lists(st.integers(0, 40_000_000), min_size=200, max_size=400))
def test_jitter_never_moves_the_time_line_once_a_prompt_hop_was_seen(delays):
    clock = StreamClock(FMT)
    delays[0] = 0
    feed(clock, len(delays), late_ns=lambda i: delays[i - 1])
    assert clock.monotonic_ns(0) == 5_000_000_000


def test_lateness_is_reported_per_hop(clock):
    assert clock.observe(480, 1_000_000_000) == 0
    assert clock.observe(960, 1_013_000_000) == 3_000_000


@pytest.mark.parametrize("ppm", [-200, -50, 50, 200])
def test_a_card_that_counts_at_its_own_rate_is_followed_within_two_milliseconds(clock, ppm):
    hops = 60 * 60 * 100 // 4
    feed(clock, hops, ppm=ppm, late_ns=lambda i: (i * 7919) % 4_000_000 if i % 10 else 0)
    true_ns = 5_000_000_000 + round(hops * HOP_NS * (1 + ppm * 1e-6))
    assert abs(clock.monotonic_ns(hops * FMT.hop) - true_ns) < 2_200_000
    assert clock.drift_ppm == pytest.approx(ppm, abs=5)


def test_drift_is_not_guessed_from_seconds(clock):
    feed(clock, 1000, ppm=100)
    assert clock.drift_ppm == 0.0


def test_input_latency_is_taken_off():
    clock = StreamClock(FMT, input_latency_ms=30.0)
    feed(clock, 10)
    assert clock.monotonic_ns(0) == 5_000_000_000 - 30_000_000


def test_wall_time_follows_a_stepped_clock():
    wall = WallClock(wall_ns=0, monotonic_ns=0, synced=False)
    assert wall.utc_ms(2_000_000) == 2
    assert wall.update(wall_ns=1_795_000_000_000_000_000, monotonic_ns=1_000_000, synced=True) == pytest.approx(1_795_000_000)
    assert wall.utc_ms(1_000_000) == 1_795_000_000_000
    assert wall.synced
