"""Coalescing, rate limits and the memory of answers, under any sequence of offers."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from k1edge.k1.contract import SCENE_WINDOW_MS, AnswerCache, CallerLimits, SceneWindow, TokenBucket

gaps_ms = st.lists(st.floats(0, 1000), min_size=1, max_size=60)
polls = st.lists(st.tuples(st.floats(0, 400), st.booleans()), min_size=1, max_size=100)


def run(steps):
    """(passed, offered): (time, scene number) of each; a step offers a new scene or only asks what is due."""
    window, now_ms = SceneWindow(), 0.0
    passed, offered = [], []
    for gap_ms, offer in steps:
        now_ms += gap_ms
        if offer:
            offered.append((now_ms, len(offered)))
            out = window.offer(offered[-1][1], now_ms)
        else:
            out = window.due(now_ms)
        if out is not None:
            passed.append((now_ms, out))
    if (out := window.due(now_ms + SCENE_WINDOW_MS)) is not None:
        passed.append((now_ms + SCENE_WINDOW_MS, out))
    return passed, offered


@given(polls)
def test_scenes_never_pass_faster_than_the_window(steps):
    times_ms = [time_ms for time_ms, _ in run(steps)[0]]
    # As a sum, not a difference, which may be rounded below the window.
    assert all(later >= earlier + SCENE_WINDOW_MS for earlier, later in itertools.pairwise(times_ms))


@given(polls)
def test_the_newest_scene_always_arrives_and_none_overtakes_it(steps):
    passed, offered = run(steps)
    numbers = [number for _, number in passed]
    assert numbers == sorted(set(numbers))
    assert numbers[-1:] == [number for _, number in offered][-1:]


def test_a_first_scene_passes_at_once():
    assert SceneWindow().offer("a", 0.0) == "a"


@given(gaps_ms, st.floats(0.1, 50), st.integers(1, 20))
def test_a_bucket_never_gives_more_than_burst_and_rate_allow(gaps, rate_per_s, burst):
    bucket, now_s, granted = TokenBucket(rate_per_s, burst), 0.0, 0
    for gap in gaps:
        now_s += gap / 1000
        granted += bucket.take(now_s)
        assert granted <= burst + now_s * rate_per_s + 1e-6


@given(st.integers(1, 50))
def test_a_bucket_gives_its_whole_burst_at_once(burst):
    bucket = TokenBucket(1.0, burst)
    assert [bucket.take(5.0) for _ in range(burst + 1)] == [True] * burst + [False]
    assert bucket.take(6.001)


def test_a_clock_that_steps_back_gives_nothing():
    bucket = TokenBucket(1.0, 1)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)
    assert not bucket.take(100.5)
    assert bucket.take(101.1)


def test_one_caller_does_not_use_up_anothers_share():
    limits = CallerLimits(per_min=3)
    assert [limits.take("greedy", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert limits.take("modest", 0.0)


@given(st.integers(1, 8), st.integers(0, 300))
def test_inventing_callers_buys_a_bounded_number_of_requests(callers, invented):
    limits = CallerLimits(per_min=2, callers=callers)
    granted = sum(limits.take(f"caller-{number}", 0.0) for number in range(invented) for _ in range(3))
    assert granted <= 2 * (callers + 1)


def test_a_new_caller_has_a_share_of_its_own_however_many_there_have_been_before():
    limits = CallerLimits(per_min=3, callers=4)
    for minute in range(10):
        for number in range(4):
            assert limits.take(f"screen-{minute}-{number}", minute * 60.0)
    assert [limits.take("late", 600.0) for _ in range(4)] == [True, True, True, False]
    assert limits.take("later", 600.0)


def test_a_caller_who_has_used_up_its_share_is_not_forgotten_before_it_is_whole_again():
    limits = CallerLimits(per_min=3, callers=1)
    assert [limits.take("greedy", 0.0) for _ in range(4)] == [True, True, True, False]
    assert limits.take("other", 59.0)
    assert [limits.take("greedy", 59.0) for _ in range(3)] == [True, True, False]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=200))
def test_the_last_answers_are_kept_and_no_more(puts):
    cache = AnswerCache(limit=8)
    for step, (caller, number) in enumerate(puts):
        cache.put((caller, str(number)), step, 0.0)
    latest = {(caller, str(number)): step for step, (caller, number) in enumerate(puts)}
    kept = sorted(latest.items(), key=lambda item: item[1])[-8:]
    assert len(cache) == len(kept)
    assert all(cache.get(key, 0.0) == step for key, step in kept)


def test_an_answer_is_given_again_for_half_a_minute():
    cache = AnswerCache()
    cache.put("a", "done", 100.0)
    assert (cache.get("a", 129.9), cache.get("a", 130.0), cache.get("b", 100.0)) == ("done", None, None)


def test_answers_that_are_given_no_more_are_not_kept():
    cache = AnswerCache()
    for second in range(200):
        cache.put(("screen", second), "a page of songs", float(second))
    assert len(cache) == 30
    cache.put(("screen", 0), "another day", 86_400.0)
    assert len(cache) == 1
