"""Scenes change rarely, musically, and for a drop."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from k1edge.config import RulesSettings
from k1edge.frames import StreamFormat
from k1edge.genesis.scenes import MINUTE_S, SceneBudget

FMT = StreamFormat(48_000)
MIN_GAP_S, COOL_DOWN_S = 8.0, 20.0
LABELS = st.sampled_from(["verse", "chorus", "build", "drop", "breakdown"])


def _spent(wishes):
    budget, at, changes = SceneBudget(FMT, RulesSettings()), 0.0, []
    for wait_s, label in wishes:
        at += wait_s
        if budget.allows(FMT.index(at), label):
            budget.spend(FMT.index(at))
            changes.append((at, label))
    return changes


@given(st.lists(st.tuples(st.floats(0.01, 30.0), LABELS), max_size=200))
def test_changes_are_rare_whatever_is_wished(wishes):
    changes = _spent(wishes)
    times = [at for at, _ in changes]
    assert all(b - a >= MIN_GAP_S - 0.001 for a, b in pairwise(times))
    assert all(c - a >= MINUTE_S - 0.001 for a, c in zip(times, times[2:], strict=False))
    assert all(b - a >= COOL_DOWN_S - 0.001 or label == "drop" for (a, _), (b, label) in pairwise(changes))


@given(st.lists(st.tuples(st.floats(0.01, 30.0), LABELS), max_size=200))
def test_a_cool_down_is_broken_once_only(wishes):
    times = [at for at, _ in _spent(wishes)]
    gaps = [b - a < COOL_DOWN_S - 0.001 for a, b in pairwise(times)]
    assert not any(a and b for a, b in pairwise(gaps))


def test_a_drop_breaks_the_cool_down_of_the_breakdown_before_it():
    assert _spent([(100, "breakdown"), (12, "verse"), (1, "drop")]) == [(100.0, "breakdown"), (113.0, "drop")]


def test_a_build_leaves_the_change_that_its_drop_will_need():
    assert _spent([(100, "breakdown"), (30, "build"), (15, "drop")]) == [(100.0, "breakdown"), (145.0, "drop")]
