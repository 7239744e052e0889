"""What waits, in which order, and what is dropped: every publication is sent, waiting or counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k1edge.k1.contract import Publication
from k1edge.k1.outbox import LIVE_LIMIT, RETAINED_LIMIT, RETURNS_LIMIT, Outbox


@pytest.fixture
def outbox():
    return Outbox(10)


def live(number=0, expiry_s=None):
    return Publication(f"live/{number}", b"x", expiry_s=expiry_s)


def durable(number=0, expiry_s=None):
    return Publication(f"event/{number}", b"x", qos=1, expiry_s=expiry_s)


def state(topic, payload=b"x", expiry_s=None):
    return Publication(topic, payload, qos=1, retain=True, expiry_s=expiry_s)


def drain(outbox, now_s=0.0):
    taken = []
    while (waiting := outbox.take(now_s)) is not None:
        taken.append(waiting.publication)
    return taken


def test_live_goes_before_states_before_durable(outbox):
    for publication in (durable(), state("s"), live()):
        outbox.put(publication, 0.0, online=True)
    assert [publication.topic for publication in drain(outbox)] == ["live/0", "s", "event/0"]


def test_live_is_dropped_and_counted_while_offline(outbox):
    outbox.put(live(), 0.0, online=False)
    assert drain(outbox) == []
    assert outbox.dropped_live == 1


def test_of_a_state_only_the_newest_waits(outbox):
    for payload in (b"1", b"2", b"3"):
        outbox.put(state("tempo", payload), 0.0, online=False)
    assert [publication.payload for publication in drain(outbox)] == [b"3"]


def test_too_many_live_messages_cost_the_oldest(outbox):
    for number in range(LIVE_LIMIT + 5):
        outbox.put(live(number), 0.0, online=True)
    taken = drain(outbox)
    assert len(taken) == LIVE_LIMIT
    assert taken[0].topic == "live/5"
    assert outbox.dropped_live == 5


def test_too_many_durable_messages_cost_the_oldest(outbox):
    for number in range(13):
        outbox.put(durable(number), 0.0, online=False)
    assert [publication.topic for publication in drain(outbox)] == [f"event/{number}" for number in range(3, 13)]
    assert outbox.dropped_durable == 3


def test_what_has_expired_is_not_sent(outbox):
    outbox.put(durable(1, expiry_s=5.0), 0.0, online=False)
    outbox.put(durable(2), 0.0, online=False)
    outbox.put(live(3, expiry_s=1.0), 0.0, online=True)
    assert [publication.topic for publication in drain(outbox, now_s=6.0)] == ["event/2"]
    assert outbox.expired == 2


def test_what_has_expired_costs_nothing_that_has_not():
    """A broker is away for minutes; sections of sixteen K1s go on, and are worth five seconds."""
    outbox = Outbox(100)
    outbox.put(durable(), 0.0, online=False)
    for second in range(600):
        for number in range(1, 9):
            outbox.put(durable(number, expiry_s=5.0), float(second), online=False)
    assert len(outbox) <= 100
    assert drain(outbox, 599.0)[0] == durable()
    assert (outbox.dropped_durable, outbox.expired) == (0, 595 * 8)


def test_a_message_over_which_every_connection_ends_is_dropped_and_counted(outbox):
    for number in range(3):
        outbox.put(durable(number), 0.0, online=True)
    lost = []
    for _ in range(RETURNS_LIMIT):
        lost = [outbox.take(0.0), outbox.take(0.0), outbox.take(0.0)]
        outbox.put_back(lost)
    assert [publication.topic for publication in drain(outbox)] == ["event/1", "event/2"]
    assert outbox.dropped_durable == 1


def test_no_message_is_dropped_for_connections_that_end_after_others(outbox):
    for number in range(2 * RETURNS_LIMIT):
        outbox.put(state("s"), 0.0, online=True)
        outbox.put(durable(number), 0.0, online=True)
        outbox.put_back([outbox.take(0.0), outbox.take(0.0), outbox.take(0.0)][:1 + number % 2])
    assert outbox.dropped_durable == 0


def test_every_state_is_sent_again_after_a_reconnection_status_first(outbox):
    for topic in ("tempo", "scene", "status"):
        outbox.put(state(topic), 0.0, online=True)
    drain(outbox)
    outbox.put(state("tempo", b"newer"), 0.0, online=False)
    outbox.reconnected("status")
    again = drain(outbox)
    assert [publication.topic for publication in again] == ["status", "scene", "tempo"]
    assert again[-1].payload == b"newer"


def test_a_state_that_somebody_else_has_replaced_is_not_sent_again(outbox):
    for topic in ("scene", "tempo"):
        outbox.put(state(topic), 0.0, online=True)
    drain(outbox)
    outbox.forget("scene")
    outbox.reconnected("status")
    assert [publication.topic for publication in drain(outbox)] == ["tempo"]


def test_a_state_that_was_cleared_stays_cleared(outbox):
    outbox.put(state("job/1"), 0.0, online=True)
    outbox.put(state("job/1", b""), 0.0, online=False)
    assert [publication.payload for publication in drain(outbox)] == [b""]
    outbox.reconnected("status")
    assert drain(outbox) == []


def test_an_expired_scene_is_not_sent_again(outbox):
    outbox.put(state("scene", expiry_s=60.0), 0.0, online=True)
    drain(outbox)
    outbox.reconnected("status")
    assert drain(outbox, now_s=61.0) == []


def test_remembered_states_are_bounded(outbox):
    for number in range(RETAINED_LIMIT + 3):
        outbox.put(state(f"track/{number}"), 0.0, online=False)
    taken = drain(outbox)
    assert len(taken) == RETAINED_LIMIT
    assert taken[0].topic == "track/3"
    assert outbox.dropped_durable == 3


def test_songs_and_jobs_beyond_number_push_out_no_other_state(monkeypatch):
    limit = 64
    monkeypatch.setattr("k1edge.k1.outbox.RETAINED_LIMIT", limit)
    outbox, own = Outbox(10), ["edge/status", "edge/info", "edge/config/reported", "edge/state/audio"]
    for topic in own:
        outbox.put(state(topic), 0.0, online=True)
    for number in range(limit):
        for topic in (f"edge/job/{number}", f"edge/track/{number}"):
            outbox.put(state(topic), 0.0, online=True)
            drain(outbox)
    outbox.reconnected("edge/status")
    told = [publication.topic for publication in drain(outbox)]
    assert len(told) == limit and told[: len(own)] == own
    assert {told[-2], told[-1]} == {f"edge/job/{limit - 1}", f"edge/track/{limit - 1}"}
    assert outbox.dropped_durable == 0


def test_what_was_not_confirmed_goes_first_in_its_order(outbox):
    sent = []
    for number in range(4):
        outbox.put(durable(number), 0.0, online=True)
    sent = [outbox.take(0.0), outbox.take(0.0)]
    outbox.put_back(sent)
    assert [publication.topic for publication in drain(outbox)] == [f"event/{number}" for number in range(4)]


def test_an_unconfirmed_state_gives_way_to_a_newer_one(outbox):
    outbox.put(state("tempo", b"old"), 0.0, online=True)
    sent = [outbox.take(0.0)]
    outbox.put(state("tempo", b"new"), 0.0, online=False)
    outbox.put_back(sent)
    assert [publication.payload for publication in drain(outbox)] == [b"new"]


def test_durable_messages_can_be_held_back_while_live_ones_go(outbox):
    outbox.put(durable(), 0.0, online=True)
    outbox.put(live(), 0.0, online=True)
    assert outbox.take(0.0, durable=False).publication.topic == "live/0"
    assert outbox.take(0.0, durable=False) is None
    assert len(outbox) == 1


kinds = st.sampled_from((live, durable, lambda number: state(f"s/{number % 3}")))


@given(st.lists(st.tuples(kinds, st.booleans(), st.booleans()), max_size=80), st.integers(1, 10))
def test_nothing_gets_lost_uncounted(steps, limit):
    outbox, taken, replaced = Outbox(limit), 0, 0
    waiting_states = set()
    for number, (kind, online, take) in enumerate(steps):
        publication = kind(number)
        if publication.retain:
            replaced += publication.topic in waiting_states
            waiting_states.add(publication.topic)
        outbox.put(publication, 0.0, online)
        if take and (waiting := outbox.take(0.0)) is not None:
            taken += 1
            waiting_states.discard(waiting.publication.topic)
    counted = outbox.dropped_live + outbox.dropped_durable
    assert taken + counted + replaced + len(outbox) == len(steps)


def test_jobs_that_came_and_went_while_there_was_no_broker_do_not_pile_up(monkeypatch):
    monkeypatch.setattr("k1edge.k1.outbox.RETAINED_LIMIT", 10)
    outbox = Outbox(10)
    outbox.put(state("status"), 0.0, online=False)
    for number in range(1000):
        outbox.put(state(f"job/{number}"), 0.0, online=False)
        outbox.put(state(f"job/{number}", b""), 0.0, online=False)
    waiting = len(outbox)
    assert waiting == 20
    assert outbox.dropped_durable == 1001 - waiting
    outbox.reconnected("status")
    taken = drain(outbox)
    assert taken[0] == state("status")
    assert taken[-1] == state("job/999", b"")


def test_a_song_beyond_the_number_costs_as_little_as_one_below_it(monkeypatch):
    looked_at, outbox = [], Outbox(10)

    def kind(topic):
        looked_at.append(topic)
        return topic.rpartition("/")[0]

    monkeypatch.setattr("k1edge.k1.outbox._kind", kind)
    outbox.put(state("edge/status"), 0.0, online=True)
    for number in range(2 * RETAINED_LIMIT):
        outbox.put(state(f"edge/track/{number}"), 0.0, online=True)
    assert len(looked_at) <= 6 * 2 * RETAINED_LIMIT, "of a library of 20,000 each start tells 16,000 beyond it"


def test_kinds_that_are_no_more_are_not_remembered(outbox):
    for number in range(100):
        outbox.put(state(f"device/k1-{number}/cmd/scene"), 0.0, online=True)
        outbox.put(state(f"device/k1-{number}/cmd/scene", b""), 0.0, online=True)
        outbox.put(state(f"device/k2-{number}/cmd/scene"), 0.0, online=True)
        outbox.forget(f"device/k2-{number}/cmd/scene")
    assert not outbox._kinds
