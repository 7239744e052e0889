"""The hole finder against simulated deliveries: jitter, bursts, starvation, drift, and holes of known size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.audio.holes import SETTLE_AFTER_OVERFLOW, HoleFinder
from k1edge.frames import HOP_NS


def deliveries(due_ns, delays_ns):
    """Arrivals of hops that are complete at `due_ns`, each held up by a delay, and never out of order."""
    return np.maximum.accumulate(due_ns + delays_ns)


def found(arrivals_ns, overflows=()):
    finder = HoleFinder()
    return np.array([finder.observe(int(ns), number in overflows) for number, ns in enumerate(arrivals_ns)])


def due_ns(hops, ppm=0.0):
    return np.arange(1, hops + 1) * HOP_NS * (1 + ppm * 1e-6)


def exponential_jitter(hops, mean_ms, seed=0):
    return np.random.default_rng(seed).exponential(mean_ms * 1e6, hops)


@pytest.mark.parametrize("mean_ms", [0.1, 3, 15, 40])
def test_jitter_is_never_a_hole(mean_ms):
    assert not found(deliveries(due_ns(30_000), exponential_jitter(30_000, mean_ms))).any()


@pytest.mark.parametrize("ppm", [-300, 300])
def test_an_hour_of_drift_is_never_a_hole(ppm):
    hops = 360_000
    assert not found(deliveries(due_ns(hops, ppm), exponential_jitter(hops, 3))).any()


def test_a_process_held_up_for_seconds_is_not_a_hole():
    delays_ns = exponential_jitter(3_000, 2)
    delays_ns[1_000:1_400] += np.arange(400, 0, -1) * HOP_NS
    assert not found(deliveries(due_ns(3_000), delays_ns)).any()


def test_a_machine_that_gasps_for_time_is_not_a_hole():
    random = np.random.default_rng(1)
    delays_ns = exponential_jitter(6_000, 1)
    delays_ns[2_000:3_000] = random.uniform(0, 60e6, 1_000)
    assert not found(deliveries(due_ns(6_000), delays_ns)).any()


@given(bursts=st.lists(st.tuples(st.integers(0, 2_900), st.integers(0, 80)), max_size=30), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_delays_that_are_caught_up_are_never_holes(bursts, seed):
    delays_ns = exponential_jitter(3_000, 1, seed)
    for at, hops in bursts:
        delays_ns[at] += hops * HOP_NS
    assert not found(deliveries(due_ns(3_000), delays_ns)).any()


@pytest.mark.parametrize("missing", [1, 2, 7, 60])
@pytest.mark.parametrize("jitter_ms", [0.2, 5])
def test_a_silent_hole_is_found_once_and_to_the_hop(missing, jitter_ms):
    due = due_ns(3_000)
    due[1_500:] += (missing + 0.1) * HOP_NS
    jumps = found(deliveries(due, exponential_jitter(3_000, jitter_ms)))
    assert jumps.sum() == missing
    (at,) = np.flatnonzero(jumps)
    assert 1_500 < at <= 1_500 + 200


def test_holes_add_up():
    due = due_ns(20_000)
    for at in range(1_000, 20_000, 1_000):
        due[at:] += 3.02 * HOP_NS
    assert abs(found(deliveries(due, exponential_jitter(20_000, 2))).sum() - 3.02 * 19) <= 1


@pytest.mark.parametrize("at", [30, 120, 1_234])
def test_after_a_reported_overflow_the_hole_is_measured_at_once(at):
    due = due_ns(2_000)
    due[at:] += 26 * HOP_NS
    jumps = found(deliveries(due, exponential_jitter(2_000, 0.5)), overflows={at})
    assert np.flatnonzero(jumps).tolist() == [at + SETTLE_AFTER_OVERFLOW - 1]
    assert jumps.sum() in (25, 26)


def test_an_overflow_that_lost_less_than_a_hop_moves_nothing():
    due = due_ns(2_000)
    due[900:] += 0.4 * HOP_NS
    assert not found(due, overflows={900}).any()


def test_buffering_that_settles_in_the_first_two_seconds_is_not_a_hole():
    due = due_ns(2_000)
    due[120:] += 4 * HOP_NS
    assert not found(due).any()
