"""Scenes change rarely, musically, and for a drop."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from k1edge.config import RulesSettings
from k1edge.frames import StreamFormat
from k1edge.genesis.scenes import DROPS_GO_ON_S, MINUTE_S, SceneBudget

FMT = StreamFormat(48_000)
MIN_GAP_S, COOL_DOWN_S = 8.0, 20.0
LABELS = st.sampled_from(["verse", "chorus", "build", "drop", "breakdown"])


def _spent(wishes, **rules):
    budget, at, changes = SceneBudget(FMT, RulesSettings(**rules)), 0.0, []
    for wait_s, label in wishes:
        at += wait_s
        budget.hear(FMT.index(at), label)
        if budget.allows(FMT.index(at), label):
            budget.spend(FMT.index(at), label)
            changes.append((at, label))
    return changes


@given(st.lists(st.tuples(st.floats(0.01, 30.0), LABELS), max_size=200))
def test_changes_are_rare_and_a_cool_down_is_broken_once_and_for_a_drop_whatever_is_wished(wishes):
    changes = _spent(wishes)
    times = [at for at, _ in changes]
    assert all(b - a >= MIN_GAP_S - 0.001 for a, b in pairwise(times))
    assert all(c - a >= MINUTE_S - 0.001 for a, c in zip(times, times[2:], strict=False))
    assert all(b - a >= COOL_DOWN_S - 0.001 or label == "drop" for (a, _), (b, label) in pairwise(changes))
    broken = [b - a < COOL_DOWN_S - 0.001 for a, b in pairwise(times)]
    assert not any(a and b for a, b in pairwise(broken))


def test_a_drop_that_ends_the_first_light_early_has_broken_a_cool_down_too():
    budget = SceneBudget(FMT, RulesSettings())
    budget.spend(0, "intro", first=True)
    at = FMT.index(MIN_GAP_S + 1)
    assert not budget.allows(at, "verse")
    assert budget.allows(at, "drop")
    budget.spend(at, "drop")
    assert not budget.allows(2 * at, "drop")


def test_a_cool_down_that_is_longer_than_a_minute_is_broken_once_too():
    drops = [(100, "verse"), (35, "drop"), (35, "drop"), (99, "drop"), (2, "chorus"), (100, "verse")]
    assert _spent(drops, cool_down_s=100) == [(100.0, "verse"), (135.0, "drop"), (269.0, "drop"), (371.0, "verse")]


def test_a_drop_breaks_the_cool_down_of_the_breakdown_before_it():
    assert _spent([(100, "breakdown"), (12, "verse"), (1, "drop")]) == [(100.0, "breakdown"), (113.0, "drop")]


def test_a_build_leaves_the_change_that_its_drop_will_need():
    assert _spent([(100, "breakdown"), (30, "build"), (15, "drop")]) == [(100.0, "breakdown"), (145.0, "drop")]


def test_where_there_are_drops_whatever_else_comes_leaves_one_change_of_the_minute_to_the_next():
    song = [(100, "drop"), (90, "intro"), (22, "verse"), (15, "drop")]
    assert [label for _, label in _spent(song)] == ["drop", "intro", "drop"]


def test_a_drop_that_came_too_late_for_its_scene_leaves_one_to_the_next():
    song = [(100, "intro"), (22, "verse"), (15, "drop"), (25, "breakdown"), (22, "chorus"), (20, "drop")]
    assert [label for _, label in _spent(song)] == ["intro", "verse", "chorus", "drop"]


def test_where_no_drop_has_been_for_long_nothing_is_kept_for_one():
    song = [(DROPS_GO_ON_S, "intro"), (22, "verse")]
    assert [label for _, label in _spent(song)] == ["intro", "verse"]
    assert [label for _, label in _spent([(100, "drop"), *song])] == ["drop", "intro", "verse"]


def test_where_a_minute_has_one_change_drops_do_not_keep_it_for_themselves():
    song = [(100, "drop"), (90, "intro"), (90, "verse")]
    assert [label for _, label in _spent(song, changes_per_minute=1)] == ["drop", "intro", "verse"]


def test_where_a_minute_has_one_change_a_build_leaves_it_to_its_drop():
    assert [label for _, label in _spent([(100, "build"), (15, "drop")], changes_per_minute=1)] == ["drop"]


def test_what_is_said_between_two_songs_takes_no_change_from_the_next_and_none_is_kept_from_it():
    evening = [(100, "drop"), (50, "speech"), (25, "intro")]
    assert [label for _, label in _spent(evening)] == ["drop", "speech", "intro"]
