"""What an edge tells the world."""

import json
from dataclasses import replace

import pytest

from k1edge.config import TelemetrySettings
from k1edge.frames import Moment, Section
from k1edge.k1 import contract
from k1edge.k1.contract import Message, Scribe
from k1edge.live.publisher import Publisher
from tests.music import EPOCH_MS, FMT, INTRO, announcement, at, frame, timeline


@pytest.fixture(autouse=True)
def every_field_is_in_the_contract(monkeypatch):
    """A field that the model does not know would silently not be sent."""
    construct = Message.model_construct.__func__

    def checked(cls, **fields):
        assert set(fields) <= set(cls.model_fields), f"{cls.__name__} has no {set(fields) - set(cls.model_fields)}"
        return construct(cls, **fields)

    monkeypatch.setattr(Message, "model_construct", classmethod(checked))


@pytest.fixture
def publisher():
    return Publisher(TelemetrySettings(frame_rate_hz=20), Scribe("hall", "pi"), "boot")


def run(publisher, hop, **music):
    told = list(publisher.process(frame(hop, **music), timeline(), at(hop)))
    for p in told:
        contract.decode(p.topic, p.payload)
    return [(p.topic.removeprefix("k1/v1/hall/edge/pi/"), json.loads(p.payload)) for p in told]


def of(told, topic):
    return [body for where, body in told if where == topic]


def through(publisher, hops, **music):
    return [each for hop in hops for each in run(publisher, hop, **music)]


def test_a_beat_is_told_when_it_is_announced_with_the_time_left(publisher):
    (beat,) = of(run(publisher, 50, announced=announcement(3, 0.65)), "beat")
    assert beat["due_in_ms"] == pytest.approx(150.0)
    assert beat["due_at_ms"] == EPOCH_MS + 650
    assert beat["beat_in_bar"] == 1
    assert beat["downbeat"]
    assert publisher.last_number == 3


def test_how_many_bars_of_a_section_are_left_is_told_as_they_pass(publisher):
    told = through(publisher, range(1, 101), bars_left=3, bars_left_probability=0.72)
    told += through(publisher, range(101, 201), bars_left=2, bars_left_probability=0.72)
    states = [(each["bars_left"], each["bars_left_probability"]) for each in of(told, "state/section")]
    assert states == [(3, 0.72), (2, 0.72)]


def test_what_was_told_of_the_beat_is_taken_back_with_the_sound_and_told_again_with_it(publisher):
    assert of(through(publisher, range(1, 101)), "state/tempo")[-1]["lock"]
    taken = {p.topic.partition("/pi/")[2]: json.loads(p.payload) for p in publisher.lost(at(101))}
    assert (taken["state/tempo"]["lock"], taken["state/tempo"]["bpm"]) == (False, 0.0)
    assert taken["state/section"]["label"] == "unknown"
    again = through(publisher, range(102, 202))
    assert of(again, "state/tempo")[0]["lock"]
    assert of(again, "state/section")[0]["label"] == "intro"


def test_what_another_process_told_of_the_beat_is_taken_back_where_there_is_no_sound(publisher):
    assert len(list(publisher.lost(at(1)))) == 2
    assert list(publisher.lost(at(2))) == [], "once"


@pytest.mark.parametrize(("asked_hz", "told"), [(10, 10), (15, 14), (20, 20), (30, 25)])
def test_features_are_told_at_their_rate_and_never_faster(asked_hz, told):
    publisher = Publisher(TelemetrySettings(frame_rate_hz=asked_hz), Scribe("hall", "pi"), "boot")
    frames = of(through(publisher, range(1, 101)), "frame")
    assert len(frames) == told
    assert frames[0]["energy"] == 0.5
    assert len(frames[0]["bands"]) == 8


@pytest.mark.parametrize(("at_least", "frames"), [(20, 5), (0, 0)])
def test_frames_can_be_fewer_or_none_while_the_box_is_hot_and_states_go_on(publisher, at_least, frames):
    publisher.frame_at_least = at_least
    told = through(publisher, range(1, 101))
    assert len(of(told, "frame")) == frames
    assert of(told, "state/tempo")


def test_a_state_is_told_when_it_changes_and_at_most_twice_a_second(publisher):
    steady = of(through(publisher, range(1, 400)), "state/tempo")
    assert len(steady) == 1
    wild = of([each for hop in range(400, 800) for each in run(publisher, hop, bpm=60 + hop % 97)], "state/tempo")
    assert 4 <= len(wild) <= 9


def test_a_state_that_is_final_now_or_has_another_bar_is_told(publisher):
    through(publisher, range(1, 100))
    first = frame(100)
    beat, section = replace(first.beat, beats_per_bar=3), replace(first.section, provisional=False)
    told = [p for hop in range(100, 200) for p in
            publisher.process(replace(first, beat=beat, section=section), timeline(), at(hop))]
    states = {p.topic.partition("/state/")[2]: json.loads(p.payload) for p in told if "/state/" in p.topic}
    assert (states["tempo"]["beats_per_bar"], states["section"]["provisional"]) == (3, False)


def test_the_tempo_map_alone_lets_a_subscriber_compute_every_beat(publisher):
    beats = [(n, 0.5 * n) for n in range(1, 60)]
    told = [each for n, due_s in beats
            for each in run(publisher, round(due_s * 100) - 15, announced=announcement(n, due_s, (n - 1) % 4 + 1))]
    maps = of(told, "tempo-map")
    assert len(maps) <= 5, "told again only now and then while it holds"
    for n, due_s in beats:
        tempo_map = [m for m in maps if m["number"] <= n][-1]
        computed_ms = tempo_map["anchor_ms"] + (n - tempo_map["number"]) * tempo_map["period_ms"]
        assert computed_ms == pytest.approx(EPOCH_MS + due_s * 1000, abs=1.0)


def test_the_tempo_map_is_told_anew_when_it_would_mislead(publisher):
    run(publisher, 35, announced=announcement(1, 0.5, 1))
    assert not of(run(publisher, 85, announced=announcement(2, 1.0, 2)), "tempo-map")
    assert of(run(publisher, 140, announced=announcement(3, 1.55, 3)), "tempo-map")


def test_the_tempo_map_is_told_anew_when_the_bar_begins_elsewhere(publisher):
    run(publisher, 35, announced=announcement(1, 0.5, 1))
    (told,) = of(run(publisher, 85, announced=announcement(2, 1.0, 1)), "tempo-map")
    assert (told["number"], told["beat_in_bar"]) == (2, 1)
    assert not of(run(publisher, 135, announced=announcement(3, 1.5, 2)), "tempo-map")


def test_the_tempo_map_is_told_anew_when_the_wall_clock_has_stepped(publisher):
    run(publisher, 35, announced=announcement(1, 0.5))
    publisher.clock_stepped()
    assert of(run(publisher, 85, announced=announcement(2, 1.0)), "tempo-map")


def test_a_tempo_map_is_valid_until_the_lock_is_gone_and_is_told_anew_with_it(publisher):
    (led,) = of(run(publisher, 35, announced=announcement(1, 0.5, 1)), "tempo-map")
    (ended,) = of(through(publisher, range(36, 80), lock=False), "tempo-map")
    assert (ended["valid_until_ms"], ended["confidence"]) == (EPOCH_MS + 360, 0.0)
    assert (ended["number"], ended["anchor_ms"]) == (led["number"], led["anchor_ms"]), "it says which one has ended"
    (again,) = of(run(publisher, 85, announced=announcement(2, 1.0, 2)), "tempo-map")
    assert again["valid_until_ms"] > EPOCH_MS + 10_000


def test_a_lock_that_flickers_is_told_no_more_often_than_there_are_beats(publisher):
    beats = {hop: announcement(hop // 50, hop / 100 + 0.15) for hop in (50, 100)}
    told = [each for hop in range(1, 101) for each in run(publisher, hop, announced=beats.get(hop), lock=hop % 2 > 0)]
    assert len(of(told, "tempo-map")) <= 4


@pytest.mark.parametrize("stepped", [False, True], ids=["", "clock stepped"])
def test_a_tempo_map_is_valid_no_longer_when_the_sound_is(publisher, stepped):
    run(publisher, 35, announced=announcement(1, 0.5, 1))
    if stepped:
        publisher.clock_stepped()  # the map of before is out there none the less
    (ended,) = [json.loads(p.payload) for p in publisher.lost(at(60)) if p.topic.endswith("tempo-map")]
    assert ended["valid_until_ms"] == EPOCH_MS + 600
    assert not [p for p in publisher.lost(at(61)) if p.topic.endswith("tempo-map")], "once"


def test_when_a_section_began_is_told_anew_when_the_wall_clock_has_stepped(publisher):
    assert of(through(publisher, range(1, 100)), "state/section")
    assert not of(through(publisher, range(100, 200)), "state/section")
    publisher.clock_stepped()
    assert len(of(through(publisher, range(200, 300)), "state/section")) == 1


def test_an_unknown_tempo_has_no_map(publisher):
    assert not of(run(publisher, 35, announced=announcement(1, 0.5), bpm=0.0), "tempo-map")


def test_a_section_is_an_event_once_and_a_state_that_stays(publisher):
    run(publisher, 1)
    drop = Section("drop", 480, 0.7, True, 2)
    told = through(publisher, range(2, 200), section=drop)
    (event,) = of(told, "event/section")
    assert event["data"] == {"index": 2.0, "label": "drop", "provisional": True}
    assert of(told, "state/section")[-1]["label"] == "drop"


def test_silence_is_an_event_of_its_own(publisher):
    run(publisher, 1)
    assert of(run(publisher, 2, section=Section("silence", 480, 1.0, False, 2)), "event/silence")


def test_a_drop_announced_ahead_says_how_far(publisher):
    (event,) = of(run(publisher, 50, moments=(Moment("drop", FMT.index(1.0), 0.8),)), "event/drop")
    assert event["due_in_ms"] == pytest.approx(500.0)
    assert event["confidence"] == 0.8


def test_a_change_of_section_is_not_told_twice(publisher):
    told = run(publisher, 1, moments=(Moment("change", 480, 0.8),), section=INTRO)
    assert len([where for where, _ in told if where.startswith("event/")]) == 1


def test_the_lead_is_that_of_announcements_and_not_of_their_corrections(publisher):
    assert publisher.lead_ms is None
    for hop, number, due_s in ((50, 3, 0.65), (55, 3, 0.66), (100, 4, 1.15), (150, 5, 1.67)):
        run(publisher, hop, announced=announcement(number, due_s))
    assert publisher.lead_ms == pytest.approx(150.0)
