"""The virtual K1 does what a K1 would, by a clock that the test moves."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k1edge.device_facts import PARAMETERS
from k1edge.k1 import contract
from k1edge.k1.contract import LATE_MS, STALE_MS, Scribe, Stamp
from k1edge.k1.simulator import VirtualK1

SITE, DEVICE = "club", "k1-a"
STAMP = Stamp(1_700_000_000_000, True)
EDGE_MS = 1.7e12
SCENE = {"pattern": "pulse", "palette_id": 30, "parameters": {}, "transition": "fade", "transition_ms": 100,
         "expires_at_ms": EDGE_MS + 3.6e6}  # fmt: skip


class Desk:
    """A K1 and someone who commands it at given moments of the device's clock."""

    def __init__(self, **k1):
        self.k1 = VirtualK1(SITE, DEVICE, **k1)
        self.scribe = Scribe(SITE, "edge-a")

    def tell(self, model, now_ms, **fields):
        command = self.scribe.write_to(DEVICE, model, STAMP, **fields)
        answers = self.k1.hear(command.topic, command.payload, now_ms, STAMP)
        return [contract.decode(answer.topic, answer.payload) for answer in answers]

    def beat(self, now_ms, number=1, due_in_ms=150.0, **fields):
        said = {"bpm": 120.0, "due_at_ms": EDGE_MS + now_ms + due_in_ms, "confidence": 0.9} | fields
        return self.tell(contract.BeatCommand, now_ms, number=number, due_in_ms=due_in_ms, **said)

    def macro(self, now_ms, **fields):
        return self.tell(contract.MacroCommand, now_ms, **fields)

    def run(self, from_ms, to_ms, step_ms=1.0):
        """Show frames; the light of the last."""
        light, now_ms = None, from_ms
        while now_ms <= to_ms:
            light = self.k1.show(now_ms)
            now_ms += step_ms
        return light


@pytest.fixture
def desk():
    return Desk()


def test_it_is_on_its_own_microphone_until_an_edge_speaks(desk):
    assert not desk.k1.show(0.0).led
    desk.macro(10.0, energy=0.5)
    light = desk.k1.show(11.0)
    assert light.led
    assert light.macros.energy == 0.5


def test_a_beat_is_shown_when_it_is_due(desk):
    desk.beat(1000.0, due_in_ms=150.0)
    desk.run(1000.0, 1300.0)
    (flash,) = desk.k1.flashes
    assert flash.due_ms == 1150.0
    assert 1150.0 <= flash.shown_ms <= 1151.0


@pytest.mark.parametrize("latency_ms", [-80.0, 0.0, 40.0, 120.0])
def test_a_beat_is_shown_earlier_by_the_devices_own_latency(latency_ms):
    desk = Desk(latency_ms=latency_ms)
    desk.beat(1000.0, due_in_ms=150.0)
    desk.macro(1200.0)
    desk.run(1000.0, 1400.0)
    assert desk.k1.flashes[0].shown_ms == pytest.approx(1150.0 - latency_ms, abs=1.0)


@pytest.mark.parametrize(("late_ms", "shown"), [(0.0, 1), (49.0, 1), (51.0, 0), (5000.0, 0)])
def test_a_beat_that_comes_more_than_50_ms_late_is_dropped_and_counted(desk, late_ms, shown):
    desk.beat(1000.0, due_in_ms=-late_ms)
    desk.k1.show(1000.0)
    assert (len(desk.k1.flashes), desk.k1.counters.late) == (shown, 1 - shown)


def test_a_beat_that_a_stalled_device_missed_is_dropped_too(desk):
    desk.beat(1000.0, due_in_ms=100.0)
    desk.macro(1180.0)
    desk.k1.show(1190.0)
    assert (len(desk.k1.flashes), desk.k1.counters.late) == (0, 1)


def test_a_correction_moves_the_beat_and_does_not_add_one(desk):
    desk.beat(1000.0, number=5, due_in_ms=200.0)
    desk.beat(1050.0, number=5, due_in_ms=120.0)
    desk.run(1050.0, 1290.0)
    assert [(flash.number, flash.due_ms) for flash in desk.k1.flashes] == [(5, 1170.0)]


def test_a_correction_after_the_beat_was_shown_changes_nothing(desk):
    desk.beat(1000.0, number=5, due_in_ms=10.0)
    desk.run(1000.0, 1020.0)
    desk.beat(1021.0, number=5, due_in_ms=30.0)
    desk.run(1021.0, 1100.0)
    assert len(desk.k1.flashes) == 1


def test_a_message_without_tick_keeps_the_k1_led_and_shows_no_beat(desk):
    desk.beat(1000.0, tick=False, bpm=97.0, due_in_ms=0.0)
    light = desk.k1.show(1001.0)
    assert light.led and light.bpm == 97.0
    assert not desk.k1.flashes


def test_it_goes_stale_after_250_ms_of_silence(desk):
    desk.macro(1000.0)
    assert desk.k1.show(1250.0).led
    assert not desk.k1.show(1251.0).led
    assert desk.k1.counters.releases == 1


def test_a_stale_k1_forgets_what_was_pending(desk):
    desk.beat(1000.0, due_in_ms=600.0)
    desk.run(1000.0, 1700.0)
    assert not desk.k1.flashes


def test_stop_releases_at_once_and_what_was_on_its_way_does_not_count(desk):
    desk.beat(1000.0, due_in_ms=100.0)
    desk.tell(contract.SyncCommand, 1010.0, action="stop")
    assert not desk.k1.show(1010.0).led
    desk.beat(1020.0, number=2)
    desk.macro(1030.0)
    assert not desk.run(1030.0, 1240.0).led
    assert not desk.k1.flashes


def test_after_a_stop_start_leads_again_at_once(desk):
    desk.tell(contract.SyncCommand, 1010.0, action="stop")
    desk.tell(contract.SyncCommand, 1020.0, action="start")
    desk.macro(1030.0)
    assert desk.k1.show(1031.0).led


def test_an_edge_that_speaks_on_after_a_stop_is_followed_again(desk):
    desk.tell(contract.SyncCommand, 1000.0, action="stop")
    desk.macro(1000.0 + STALE_MS + 1)
    assert desk.k1.show(1000.0 + STALE_MS + 2).led


def test_a_scene_is_reached_through_its_transition(desk):
    desk.tell(contract.SceneCommand, 0.0, **SCENE)
    desk.k1.show(0.0)
    desk.tell(contract.SceneCommand, 1000.0, **SCENE | {"pattern": "bloom", "transition": "iris", "transition_ms": 400})
    half = desk.k1.show(1200.0)
    assert (half.before.pattern, half.scene.pattern, half.transition, half.mix) == ("pulse", "bloom", "iris", 0.5)
    assert desk.k1.show(1400.0).mix == 1.0


def test_scenes_that_come_too_fast_are_coalesced_and_the_newest_wins(desk):
    for now_ms, pattern in ((0.0, "pulse"), (50.0, "lava"), (100.0, "hype"), (150.0, "bloom")):
        desk.tell(contract.SceneCommand, now_ms, **SCENE | {"pattern": pattern})
    assert desk.k1.show(299.0).scene.pattern == "pulse"
    assert desk.k1.show(300.0).scene.pattern == "bloom"


def test_what_a_scene_leaves_out_stays_as_it_was(desk):
    desk.tell(contract.SceneCommand, 0.0, **SCENE | {"parameters": {"speed": 0.9, "softness": 0.1}})
    desk.tell(contract.SceneCommand, 500.0, **SCENE | {"parameters": {"speed": 0.2}})
    parameters = desk.k1.show(500.0).scene.parameters
    assert (parameters["speed"], parameters["softness"]) == (0.2, 0.1)


def test_a_light_that_gets_faster_goes_on_from_where_it_is(desk):
    hour_ms = 3.6e6
    for step, speed in enumerate((0.2, 0.5, 0.8)):
        desk.tell(contract.SceneCommand, hour_ms + 500.0 * step, **SCENE | {"parameters": {"speed": speed}})
    steps = [desk.k1.show(hour_ms + 1000.0 + later_ms) for later_ms in (0.0, 1000.0)]
    (before, scene), (_, later) = ((light.before.moved_s(light.now_ms), light.scene.moved_s(light.now_ms)) for light in steps)
    assert scene == pytest.approx(before), "an hour at another speed is somewhere else"
    assert later - scene == pytest.approx(0.4 + 1.2 * 0.8)


def test_parameters_beyond_their_range_are_clamped_and_counted(desk):
    desk.tell(contract.SceneCommand, 0.0, **SCENE | {"parameters": {"speed": 7.0, "brightness_floor": 0.2, "what": 1.0}})
    parameters = desk.k1.show(0.0).scene.parameters
    assert (parameters["speed"], parameters["brightness_floor"], parameters["softness"]) == (1.0, 0.2, 0.25)
    assert set(parameters) == set(PARAMETERS)
    assert desk.k1.counters.clamped == 2


def test_commands_with_an_id_are_acknowledged_and_others_are_not(desk):
    (ack,) = desk.tell(contract.SceneCommand, 0.0, id="s1", **SCENE)
    assert (ack.id, ack.result) == ("s1", "ok")
    assert desk.tell(contract.SceneCommand, 500.0, **SCENE) == []
    assert desk.macro(500.0) == []


def test_a_command_that_cannot_be_obeyed_is_refused_with_a_code(desk):
    (ack,) = desk.tell(contract.SceneCommand, 0.0, id="s1", **SCENE | {"pattern": "strobe"})
    assert (ack.id, ack.result, ack.code) == ("s1", "rejected", "INVALID_REQUEST")
    assert "strobe" in ack.reason
    (ack,) = desk.beat(0.0, id="b1", bpm=500.0)
    assert (ack.result, desk.k1.counters.rejected) == ("rejected", 2)


def test_last_nights_scene_is_not_shown(desk):
    scene = SCENE | {"expires_at_ms": STAMP.ts_ms - 1.0}
    (ack,) = desk.tell(contract.SceneCommand, 0.0, id="s1", **scene)
    assert ack.code == "EXPIRED"
    assert desk.k1.show(1.0).scene.pattern == "twilight"


def test_a_ping_is_answered_with_the_devices_own_clock(desk):
    (pong,) = desk.tell(contract.PingCommand, 5000.25, id="p1", sent_ms=EDGE_MS)
    assert (pong.id, pong.sent_ms, pong.received_ms) == ("p1", EDGE_MS, 5000.25)
    assert contract.clock_offset_ms(pong, EDGE_MS + 4.0) == (5000.25 - EDGE_MS - 2.0, 4.0)


@given(st.floats(0, 140), st.floats(0, 1e8))
def test_with_a_known_offset_a_delay_on_the_way_does_not_move_the_beat(delay_ms, origin_ms):
    desk = Desk()
    offset_ms = origin_ms - EDGE_MS
    desk.tell(contract.PingCommand, origin_ms, sent_ms=EDGE_MS, offset_ms=offset_ms, round_trip_ms=2.0)
    desk.beat(origin_ms + delay_ms, due_in_ms=150.0, due_at_ms=EDGE_MS + 150.0)
    assert desk.k1.next_due_ms() == pytest.approx(origin_ms + 150.0, abs=0.01)


def test_an_offset_that_cannot_be_true_is_not_believed(desk):
    desk.tell(contract.PingCommand, 0.0, sent_ms=EDGE_MS, offset_ms=12345.0)
    desk.beat(0.0, due_in_ms=150.0, due_at_ms=EDGE_MS + 150.0)
    assert desk.k1.next_due_ms() == 150.0


@given(st.floats(1100, 20_000))
def test_a_beat_that_a_broker_has_kept_for_seconds_is_not_shown(delay_ms):
    desk = Desk()
    desk.tell(contract.PingCommand, 0.0, sent_ms=EDGE_MS, offset_ms=-EDGE_MS, round_trip_ms=2.0)
    desk.beat(delay_ms, due_in_ms=150.0, due_at_ms=EDGE_MS + 150.0)
    assert (desk.k1.next_due_ms(), desk.k1.counters.late) == (float("inf"), 1)


@pytest.mark.parametrize("off_ms", [-3.6e6, 5000.0])
def test_a_clock_that_was_set_since_the_last_ping_costs_no_beat(desk, off_ms):
    desk.tell(contract.PingCommand, 0.0, sent_ms=EDGE_MS, offset_ms=off_ms - EDGE_MS, round_trip_ms=2.0)
    desk.beat(0.0, due_in_ms=150.0, due_at_ms=EDGE_MS + 150.0)
    assert desk.k1.next_due_ms() == 150.0


def test_the_state_is_reported_on_change_and_at_most_twice_a_second(desk):
    assert len(desk.k1.report(0.0, STAMP)) == 1
    assert desk.k1.report(600.0, STAMP) == []
    desk.macro(700.0)
    assert len(desk.k1.report(701.0, STAMP)) == 1
    desk.k1.show(1000.0)
    assert desk.k1.report(1001.0, STAMP) == []
    (state,) = desk.k1.report(1250.0, STAMP)
    said = json.loads(state.payload)
    assert state.retain
    assert (said["source"], said["led_count"], said["pattern"]) == ("own", 160, "twilight")


def test_the_will_and_the_birth_are_retained_on_one_topic(desk):
    lost, ready = (desk.k1.status(state, STAMP) for state in ("lost", "ready"))
    assert lost.topic == ready.topic == f"k1/v1/{SITE}/device/{DEVICE}/status"
    assert lost.retain and lost.qos == 1
    assert desk.k1.commands == f"k1/v1/{SITE}/device/{DEVICE}/cmd/+"


def test_messages_that_are_not_commands_are_refused(desk):
    topic = f"k1/v1/{SITE}/device/{DEVICE}/status"
    assert desk.k1.hear(topic, b'{"state":"ready"}', 0.0, STAMP) == []
    assert desk.k1.counters.rejected == 1


def test_a_segment_is_known_by_its_label(desk):
    desk.tell(contract.SegmentCommand, 0.0, index=1, label="drop", start_at_ms=EDGE_MS, confidence=0.8)
    assert desk.k1.segment == "drop"


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(-400, 400), st.integers(1, 5)), max_size=40))
def test_no_beat_is_ever_shown_before_it_is_due_or_much_after(steps):
    desk, now_ms = Desk(), 0.0
    for gap_ms, due_in_ms, number in steps:
        now_ms += gap_ms
        desk.k1.show(now_ms)
        desk.beat(now_ms, number, due_in_ms)
    desk.run(now_ms, now_ms + 600, 7.0)
    for flash in desk.k1.flashes:
        assert -1e-6 <= flash.shown_ms - flash.due_ms <= LATE_MS
