"""From frames to the commands of one to sixteen K1s."""

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k1edge.config import DeviceSettings, K1Settings
from k1edge.config.settings import MAX_DEVICES
from k1edge.device_facts import PALETTES
from k1edge.frames import Section
from k1edge.k1 import contract
from k1edge.k1.contract import STALE_MS, Scribe
from k1edge.k1.contract.device import COMMANDS
from k1edge.k1.outbox import Outbox
from k1edge.live.driver import Driver
from k1edge.live.follower import SHORT_AGAIN, SILENT_PINGS
from tests.music import BRIGHT, DARK, EPOCH_MS, announcement, at, frame, timeline

PORCH = contract.topic(contract.SceneCommand, "hall", "porch")


RED = replace(BRIGHT, palette=PALETTES.index("Fire"))
"""A look in which no beat flashes: it waits until one is over."""


def pong(sent_ms, there_ms):
    """Of a K1 whose clock said `there_ms` when it answered."""
    return contract.Pong(sent_ms=sent_ms, received_ms=there_ms, answered_ms=there_ms)


def driver_of(*devices, **settings):
    listed = devices or (DeviceSettings(id="porch"),)
    return Driver(K1Settings(devices=listed, **settings), Scribe("hall", "pi"))


@pytest.fixture
def driver():
    """Of one listed K1, the porch."""
    return driver_of()


def auto_driver():
    return Driver(K1Settings(devices="auto"), Scribe("hall", "pi"))


@pytest.fixture
def auto():
    """A driver of whichever K1 reports."""
    return auto_driver()


def run(driver, hop, look=BRIGHT, **music):
    sent = driver.process(frame(hop, look=look or BRIGHT, **music), look, timeline(), at(hop))
    return [(p.topic.removeprefix("k1/v1/hall/device/"), json.loads(p.payload)) for p in sent]


def messages(sent, leaf):
    return {topic.partition("/")[0]: body for topic, body in sent if topic.endswith("/" + leaf)}


def test_a_k1_is_told_to_follow_before_anything_else():
    sent = run(driver_of(), 1)
    assert sent[0][0] == "porch/cmd/sync"
    assert sent[0][1]["action"] == "start"


def test_an_announced_beat_reaches_every_k1_earlier_by_its_latency():
    driver = driver_of(DeviceSettings(id="fast", latency_ms=-20), DeviceSettings(id="slow", latency_ms=60))
    beats = messages(run(driver, 50, announced=announcement(7, due_s=0.65, in_bar=3)), "cmd/beat")
    assert beats["fast"]["due_in_ms"] == pytest.approx(170.0)
    assert beats["slow"]["due_in_ms"] == pytest.approx(90.0)
    assert beats["slow"]["due_at_ms"] == EPOCH_MS + 500 + 90
    assert beats["fast"]["number"] == beats["slow"]["number"] == 7
    assert beats["fast"]["beat_in_bar"] == 2, "a K1 counts from zero"


def test_beats_too_fast_to_flash_keep_tempo_and_phase_and_every_other_one_its_flash(driver):
    heard = [announcement(n, due_s=0.32 * n + 0.15, in_bar=n % 4 + 1) for n in range(1, 13)]
    told = [messages(run(driver, 32 * each.number, announced=each, bpm=190.0), "cmd/beat")["porch"] for each in heard]
    assert [beat["tick"] for beat in told] == [beat["beat_in_bar"] in (0, 2) for beat in told]
    assert {beat["strength"] for beat in told if not beat["tick"]} == {0.0}
    assert {beat["bpm"] for beat in told} == {190.0}


def test_no_beat_but_the_first_is_in_the_place_of_the_downbeat():
    driver, places = driver_of(), []
    for n in range(1, 6):
        beats = messages(run(driver, 50 * n, announced=announcement(n, n / 2 + 0.15, in_bar=n)), "cmd/beat")
        places.append(beats["porch"]["beat_in_bar"])
    assert places == [0, 1, 2, 3, 3]


@given(bpm=st.floats(0, 1000), in_bar=st.integers(0, 31), phase=st.floats(0, 0.99999))
def test_every_beat_command_is_within_the_contract(bpm, in_bar, phase):
    driver = driver_of()
    heard = frame(50, announced=announcement(1, 0.6, in_bar), bpm=bpm)
    for p in driver.process(heard, BRIGHT, timeline(), at(50)):
        contract.decode(p.topic, p.payload)


@pytest.mark.parametrize(("asked_hz", "sent"), [(10, 10), (15, 14), (20, 20), (30, 25)])
def test_macros_are_sent_at_their_rate_and_never_faster(asked_hz, sent):
    driver = driver_of(macro_rate_hz=asked_hz)
    macros = [body for hop in range(1, 101) for topic, body in run(driver, hop) if topic.endswith("cmd/macro")]
    assert len(macros) == sent
    assert macros[0]["energy"] == 0.5


def test_a_scene_is_sent_once_and_again_only_when_it_changes(driver):
    scenes = [messages(run(driver, hop), "cmd/scene") for hop in range(1, 200)]
    assert sum(map(len, scenes)) == 1
    assert messages(run(driver, 200, look=DARK), "cmd/scene")["porch"]["pattern"] == "twilight"


def test_what_a_scene_has_set_does_not_outlive_it_on_a_k1_that_keeps_what_is_left_out(driver):
    warm, plain = replace(BRIGHT, parameters=(("warmth", 0.9),)), replace(BRIGHT, parameters=(("brightness", 0.5),))
    scenes = [messages(run(driver, hop, look), "cmd/scene")["porch"]["parameters"] for hop, look in ((1, warm), (200, plain))]
    assert scenes == [{"warmth": 0.9}, {"warmth": 0.0, "brightness": 0.5}]


def test_what_a_life_before_has_set_on_a_k1_does_not_outlive_it_either():
    warm = replace(BRIGHT, parameters=(("warmth", 0.9), ("speed", 0.9)))
    (kept,) = [p for p in driver_of().process(frame(1), warm, timeline(), at(1)) if p.topic == PORCH]
    driver, slow = driver_of(), replace(BRIGHT, parameters=(("speed", 0.2),))
    driver.recall(kept.topic, kept.payload)
    told = [messages(run(driver, hop, look), "cmd/scene")["porch"]["parameters"] for hop, look in ((1, slow), (200, DARK))]
    assert told[0] == {"warmth": 0.0, "speed": 0.2}
    assert "warmth" not in told[1], "what somebody then sets on the K1 itself is theirs"


def test_what_a_life_before_has_set_is_taken_back_from_a_k1_that_only_comes_later(auto):
    auto.recall(PORCH, json.dumps({"sender": "pi", "pattern": "pulse", "palette_id": 2, "parameters": {"warmth": 0.9},
                                     "expires_at_ms": EPOCH_MS}).encode())
    auto.k1s.heard("porch", ready=True)
    assert messages(run(auto, 1), "cmd/scene")["porch"]["parameters"]["warmth"] == 0.0


@pytest.mark.parametrize("sender", ["ann", ""])
def test_what_others_have_set_on_a_k1_is_not_taken_back(driver, sender):
    driver.recall(PORCH, json.dumps({"sender": sender, "parameters": {"warmth": 0.9}}).encode())
    assert "warmth" not in messages(run(driver, 1), "cmd/scene")["porch"]["parameters"]


def test_scenes_never_come_faster_than_the_devices_window_and_the_newest_wins(driver):
    sent = [(hop, body["pattern"]) for hop in range(1, 100) for body in
            messages(run(driver, hop, look=(BRIGHT, DARK)[hop % 2 if hop < 90 else 0]), "cmd/scene").values()]
    hops = [hop for hop, _ in sent]
    assert all(later - earlier >= 30 for earlier, later in itertools.pairwise(hops))
    run_on = [run(driver, hop, look=BRIGHT) for hop in range(100, 140)]
    last = [body for sent in run_on for body in messages(sent, "cmd/scene").values()]
    assert driver.shown == BRIGHT
    assert not last or last[-1]["pattern"] == "pulse"


def test_hands_off_means_no_scene_and_hands_on_sends_it_again(driver):
    run(driver, 1)
    assert not any(messages(run(driver, hop, look=None), "cmd/scene") for hop in range(2, 100))
    assert messages(run(driver, 100), "cmd/scene")


def test_a_scene_that_waits_for_the_limiter_is_called_off_when_somebody_takes_the_light(driver):
    run(driver, 1)
    run(driver, 50, announced=announcement(1, due_s=0.65))
    assert not messages(run(driver, 60, look=RED), "cmd/scene")
    assert not any(messages(run(driver, hop, look=None), "cmd/scene") for hop in range(61, 200))
    assert messages(run(driver, 200, look=RED), "cmd/scene")


def test_a_k1_that_appears_while_the_scene_is_held_shows_what_the_others_show(auto):
    auto.k1s.heard("bar", ready=True)
    run(auto, 1)
    assert run(auto, 3, look=None) == []
    auto.k1s.heard("porch", ready=True)
    scenes = [messages(run(auto, hop, look=None), "cmd/scene") for hop in (51, 53, 1001)]
    assert [list(each) for each in scenes] == [["porch"], [], []]
    assert scenes[0]["porch"]["pattern"] == "pulse"


def test_what_the_limiter_never_let_through_is_not_what_is_shown(driver):
    driver.k1s.heard("porch", ready=True)
    run(driver, 1)
    run(driver, 50, announced=announcement(1, due_s=0.65))
    run(driver, 60, look=RED)
    run(driver, 61, look=None)
    assert driver.shown == BRIGHT
    driver.k1s.heard("porch", ready=True, boot_id="another")
    assert messages(run(driver, 200, look=None), "cmd/scene")["porch"]["palette_id"] == BRIGHT.palette


def test_a_scene_that_is_offered_again_while_it_waits_is_counted_once(driver):
    driver.k1s.heard("porch", ready=True)
    run(driver, 1)
    run(driver, 50, announced=announcement(1, due_s=0.65))
    driver.k1s.heard("porch", ready=True, boot_id="another")
    for hop in range(51, 70):
        assert not messages(run(driver, hop, look=RED), "cmd/scene")
    assert driver.k1s.stopped["scene"] == 1


def porch_gone_while_a_scene_waits():
    """The driver of two K1s whose limiters both hold a red scene back; one of them has just gone."""
    driver = auto_driver()
    for name in ("bar", "porch"):
        driver.k1s.heard(name, ready=True)
    run(driver, 1)
    run(driver, 50, announced=announcement(1, due_s=0.65))
    run(driver, 60, look=RED)
    driver.k1s.heard("porch", ready=False)
    return driver


def test_a_k1_that_comes_back_shows_what_is_wanted_now_and_not_what_waited_when_it_left():
    driver = porch_gone_while_a_scene_waits()
    run(driver, 200, look=DARK)
    driver.k1s.heard("porch", ready=True)
    scenes = [body["pattern"] for hop in (400, 401, 440) for topic, body in run(driver, hop, look=DARK)
              if topic == "porch/cmd/scene"]
    assert scenes == ["twilight"]


def test_a_scene_that_waits_for_a_k1_that_has_gone_is_not_why_the_others_show_no_more():
    driver = porch_gone_while_a_scene_waits()
    assert any(messages(run(driver, hop, look=RED), "cmd/scene") for hop in range(200, 206))
    run(driver, 206, look=None)
    assert driver.shown == RED


def test_a_k1_that_comes_back_keeps_the_scene_that_somebody_has_set_on_it(driver):
    driver.k1s.heard("porch", ready=True)
    run(driver, 1)
    driver.is_foreign(PORCH, b'{"pattern":"lava"}', at(1))
    driver.k1s.heard("porch", ready=True, boot_id="another")
    assert not messages(run(driver, 51, look=None), "cmd/scene")


def test_a_scene_of_our_own_is_not_foreign_however_late_it_comes_back_and_any_other_is(driver):
    ours = [p.payload for hop in range(1, 2_000, 40) for p in
            driver.process(frame(hop), BRIGHT if hop % 80 == 1 else DARK, timeline(), at(hop)) if p.topic.endswith("scene")]
    assert len(ours) > 40
    assert not any(driver.is_foreign(PORCH, scene, at(2_000)) for scene in ours)
    assert driver.is_foreign(PORCH, b'{"pattern":"lava"}', at(2_000))
    assert driver.is_foreign(PORCH, b'{"pattern":"lava","sender":"ann"}', at(2_000))
    assert driver.is_foreign(PORCH, b"\xff", at(2_000))
    assert not driver.is_foreign(PORCH, b"", at(2_000)), "clearing the topic is nobody's wish"
    assert not driver.is_foreign(contract.topic(contract.SceneCommand, "hall", "elsewhere"), b'{"pattern":"lava"}', at(2_000))


@pytest.mark.parametrize(("palette", "flashes"), [("Blue Magenta White", True), ("Lava", False)])
def test_a_beat_flashes_in_a_scene_that_somebody_else_has_set_unless_that_is_red(driver, palette, flashes):
    run(driver, 1)
    theirs = Scribe("hall", "ann").write_to("porch", contract.SceneCommand, at(200), sender="ann", pattern="pulse",
                                            palette_id=PALETTES.index(palette), expires_at_ms=EPOCH_MS + 100_000)
    assert driver.is_foreign(theirs.topic, theirs.payload, at(200))
    beats = messages(run(driver, 400, look=None, announced=announcement(7, due_s=4.15)), "cmd/beat")
    assert beats["porch"]["tick"] is flashes


def test_a_standing_scene_is_renewed_while_somebody_holds_it_and_not_over_a_foreign_one(driver):
    run(driver, 1)
    held = [messages(run(driver, hop, look=None), "cmd/scene") for hop in (60_000, 121_000, 122_000, 242_000)]
    assert [len(each) for each in held] == [0, 1, 0, 1]
    driver.is_foreign(PORCH, b'{"pattern":"lava"}', at(300_000))
    assert not messages(run(driver, 363_000, look=None), "cmd/scene")


def test_a_standing_scene_is_renewed_before_it_expires(driver):
    first = messages(run(driver, 1), "cmd/scene")["porch"]
    again = [messages(run(driver, hop), "cmd/scene") for hop in (60_000, 119_000, 121_000)]
    assert [len(each) for each in again] == [0, 0, 1]
    assert again[2]["porch"]["ts_ms"] < first["expires_at_ms"]


def test_a_wall_clock_that_steps_back_by_years_shuts_no_scene_out(driver):
    run(driver, 1)
    long_ago = at(200)._replace(ts_ms=0)
    sent = driver.process(frame(200, look=DARK), DARK, timeline(), long_ago)
    assert [p for p in sent if p.topic.endswith("cmd/scene")]
    list(driver.clock_stepped(0.0, at(300)))
    again = list(driver.process(frame(300, look=DARK), DARK, timeline(), at(300)))
    assert [p for p in again if p.topic.endswith("cmd/scene")], "its expiry was told by the old clock"


def test_macros_can_be_fewer_while_the_box_is_hot(driver):
    driver.macro_at_least = 10
    assert sum("porch" in messages(run(driver, hop), "cmd/macro") for hop in range(1, 101)) == 10


def test_a_parameter_beyond_the_range_is_clamped_and_counted(driver):
    loud = BRIGHT.__class__("x", "pulse", 1, (("brightness", 4.0), ("nonsense", 1.0)))
    scene = messages(run(driver, 1, look=loud), "cmd/scene")["porch"]
    assert scene["parameters"] == {"brightness": 1.0}
    assert driver.clamped == 2


def test_no_palette_gets_past_the_limiter_among_the_parameters(driver):
    fire = BRIGHT.__class__("x", "pulse", 1, (("palette_id", float(PALETTES.index("Fire"))),))
    assert messages(run(driver, 1, look=fire), "cmd/scene")["porch"]["parameters"] == {}


def test_a_new_section_is_told_once(driver):
    run(driver, 1)
    drop = Section("drop", 480, 0.8, True, 300)
    segments = [messages(run(driver, hop, section=drop), "cmd/segment") for hop in range(2, 50)]
    told = [each["porch"] for each in segments if each]
    assert len(told) == 1
    assert told[0]["label"] == "drop"
    assert told[0]["index"] == 300 % 256
    assert told[0]["start_at_ms"] == EPOCH_MS + 10


def test_auto_drives_whoever_reports_and_stops_with_whoever_is_lost():
    driver = Driver(K1Settings(devices="auto", auto_latency_ms={"bar": 30.0}), Scribe("hall", "pi"))
    assert run(driver, 1) == []
    driver.k1s.heard("bar", ready=True)
    sent = run(driver, 60, announced=announcement(1, 0.75))
    assert messages(sent, "cmd/sync")["bar"]["action"] == "start"
    assert messages(sent, "cmd/beat")["bar"]["due_in_ms"] == pytest.approx(120.0)
    driver.k1s.heard("bar", ready=False)
    assert run(driver, 62, announced=announcement(2, 1.25)) == []


def fill(driver, count=MAX_DEVICES):
    """So many K1s are there."""
    for i in range(count):
        driver.k1s.heard(f"k1-{i}", ready=True, boot_id=f"b{i}")


def fall_silent(driver, name):
    """One that has answered answers no more."""
    driver.k1s.ponged(name, pong(EPOCH_MS, EPOCH_MS), EPOCH_MS)
    pinged(driver, SILENT_PINGS + 1)


@pytest.mark.parametrize("leaves", ["told", "silent"])
def test_a_seventeenth_k1_has_the_place_of_the_first_that_leaves(auto, leaves):
    fill(auto, MAX_DEVICES + 2)
    assert auto.k1s.waiting == 2
    if leaves == "told":
        auto.k1s.heard("k1-3", ready=False)
    else:
        fall_silent(auto, "k1-3")
    assert (len(auto.k1s.devices), auto.k1s.ready, auto.k1s.waiting) == (MAX_DEVICES, MAX_DEVICES, 1)
    sent = run(auto, 1)
    assert messages(sent, "cmd/sync")["k1-16"]["action"] == "start"
    assert "k1-3" not in auto.k1s.devices


def test_one_that_lost_its_place_in_silence_and_answers_again_waits_for_another(auto):
    fill(auto, MAX_DEVICES + 1)
    fall_silent(auto, "k1-3")
    assert "k1-3" not in auto.k1s.devices
    for _ in range(2):
        auto.k1s.ponged("k1-3", pong(EPOCH_MS, EPOCH_MS), EPOCH_MS)
    assert auto.k1s.waiting == 1
    auto.k1s.heard("k1-5", ready=False)
    assert auto.k1s.devices["k1-3"].ready


@pytest.mark.parametrize(("hours", "synced"), [(1, True), (24, True), (0.5, True), (-5, True), (24, False)])
def test_a_k1_to_which_scenes_have_expired_is_known_by_its_clock(auto, hours, synced):
    auto.k1s.heard("porch", ready=True)
    there_ms = round(EPOCH_MS + hours * 3_600_000)
    times = {"ts_ms": there_ms, "sent_ms": EPOCH_MS, "received_ms": there_ms, "answered_ms": there_ms}
    answered = contract.Pong(clock_synced=synced, **times)
    auto.k1s.ponged("porch", answered, EPOCH_MS + 20.0)
    assert auto.ahead == ["porch"] * (synced and hours >= 1)
    list(auto.clock_stepped(hours * 3600, at(1)))
    assert not auto.ahead, "it was ours that was wrong"
    auto.k1s.ponged("porch", answered, EPOCH_MS + 20.0)
    auto.k1s.heard("porch", ready=False)
    assert not auto.ahead


def test_however_many_k1s_come_and_go_nothing_of_them_stays_here_or_at_the_broker():
    scribe, outbox = Scribe("hall", "pi"), Outbox(100)
    driver = Driver(K1Settings(devices="auto"), scribe)
    for n in range(10 * MAX_DEVICES):
        driver.k1s.heard(f"k1-{n}", ready=True)
        for publication in driver.process(frame(5 * n), BRIGHT, timeline(), at(5 * n)):
            outbox.put(publication, 0.0, online=True)
        driver.k1s.heard(f"k1-{n}", ready=False)
    outbox.reconnected("")
    kept = [outbox.take(0.0).publication for _ in range(len(outbox))]
    assert len([p for p in kept if p.payload and p.retain]) <= MAX_DEVICES
    assert len(scribe._seq) <= MAX_DEVICES * len(COMMANDS)


def test_a_k1_that_comes_back_in_the_hop_in_which_it_lost_its_place_keeps_its_scene(auto):
    fill(auto)
    run(auto, 1)
    auto.k1s.heard("k1-3", ready=False)
    auto.k1s.heard("k1-4", ready=False)
    for name in ("new", "k1-3"):
        auto.k1s.heard(name, ready=True)
    told = [p.payload for p in auto.process(frame(50), BRIGHT, timeline(), at(50)) if p.topic.endswith("k1-3/cmd/scene")]
    assert [bool(payload) for payload in told] == [False, True]


def test_what_was_stopped_on_a_k1_stays_counted_when_another_has_its_place(auto):
    fill(auto)
    run(auto, 1, look=BRIGHT.__class__("x", "pulse", 1, (("saturation", 1.0),)))
    assert auto.k1s.stopped == {"saturation": MAX_DEVICES}
    auto.k1s.heard("k1-3", ready=False)
    auto.k1s.heard("new", ready=True)
    assert auto.k1s.stopped == {"saturation": MAX_DEVICES}


def test_a_k1_that_comes_back_is_told_everything_again(driver):
    run(driver, 1)
    driver.k1s.heard("porch", ready=True)
    sent = run(driver, 50)
    assert {topic.partition("/cmd/")[2] for topic, _ in sent} >= {"sync", "segment", "scene"}


@pytest.mark.parametrize("boot_id", ["", "b7"])
def test_a_k1_that_only_says_again_that_it_is_ready_has_not_begun_anew(driver, boot_id):
    driver.k1s.heard("porch", ready=True, boot_id=boot_id)
    answer_pings(driver, 10.0, 10.0)
    assert run(driver, 1)
    driver.k1s.heard("porch", ready=True, boot_id=boot_id)
    assert [topic.partition("/cmd/")[2] for topic, _ in run(driver, 3)] == ["sync", "segment"], "which it may have missed"
    assert driver.k1s.round_trip_ms_max == pytest.approx(10.0)


def test_a_k1_with_another_boot_id_has_begun_anew(driver):
    driver.k1s.heard("porch", ready=True, boot_id="b7")
    run(driver, 1)
    driver.k1s.heard("porch", ready=True, boot_id="b8")
    assert {topic.partition("/cmd/")[2] for topic, _ in run(driver, 50)} >= {"sync", "segment", "scene"}


def test_a_section_is_counted_down():
    driver, drop = driver_of(), Section("drop", 480, 0.8, False, 1)
    told = [messages(run(driver, hop, section=drop, bars_left=16 - hop // 20, bars_left_probability=0.98), "cmd/segment")
            for hop in range(1, 81)]  # fmt: skip
    assert [(each["porch"]["index"], each["porch"]["bars_left"], each["porch"]["bars_left_probability"])
            for each in told if each] == [(1, left, 0.98) for left in (16, 15, 14, 13, 12)]  # fmt: skip


def test_one_that_begins_anew_is_told_the_section_and_the_others_know_it():
    driver = driver_of(DeviceSettings(id="bar"), DeviceSettings(id="porch"))
    run(driver, 1)
    driver.k1s.heard("porch", ready=True)
    assert list(messages(run(driver, 3), "cmd/segment")) == ["porch"]
    assert list(messages(run(driver, 5, section=Section("drop", 480, 0.8, True, 300)), "cmd/segment")) == ["bar", "porch"]


def test_release_gives_every_k1_back_and_the_next_frame_takes_it_again():
    driver = driver_of(DeviceSettings(id="a"), DeviceSettings(id="b"), DeviceSettings(id="c", enabled=False))
    run(driver, 1)
    released = [(p.topic, json.loads(p.payload)["action"]) for p in driver.release(at(2))]
    assert released == [(f"k1/v1/hall/device/{d}/cmd/sync", "stop") for d in "ab"]
    assert messages(run(driver, 3), "cmd/sync")["a"]["action"] == "start"


def test_nothing_reaches_a_k1_past_the_limiter(driver):
    ticks = [body["tick"] for hop in range(1, 500) for topic, body in
             run(driver, hop, announced=announcement(hop, (hop + 15) / 100) if hop % 20 == 0 else None)
             if topic.endswith("cmd/beat")]
    assert 8 <= sum(ticks) <= 15, "five beats a second for five seconds: three a second may flash"
    assert driver.k1s.stopped["beat"] == len(ticks) - sum(ticks)


def answer_pings(driver, *trips_ms):
    for sent_ms, trip_ms in enumerate(trips_ms):
        driver.k1s.ponged("porch", pong(sent_ms, sent_ms + trip_ms / 2), sent_ms + trip_ms)


def test_the_way_to_a_k1_is_that_of_the_last_pings(driver):
    driver.k1s.heard("porch", ready=True)
    assert driver.k1s.devices["porch"].way_ms == 0.0
    answer_pings(driver, 10.0, 500.0, 400.0)
    assert driver.k1s.devices["porch"].way_ms == pytest.approx(200.0)


def test_a_congestion_while_a_k1_comes_is_no_slow_way(auto):
    auto.k1s.heard("porch", ready=True)
    for hop in (1, 50):
        assert messages(run(auto, hop), "cmd/ping")
        answer_pings(auto, 900.0)
    assert not auto.k1s.is_late(150.0, 1.0)


def macros_of(driver, hops):
    return [hop for hop in range(hops) if messages(run(driver, hop), "cmd/macro")]


def test_a_k1_at_the_end_of_a_long_way_gets_half_of_the_macros_until_its_way_has_been_short_for_minutes(driver):
    driver.k1s.heard("porch", ready=True)
    answer_pings(driver, 20.0, 20.0)
    assert len(macros_of(driver, 100)) == 20
    pinged(driver, 1)
    answer_pings(driver, 900.0, 900.0)
    assert len(macros_of(driver, 100)) == 10
    answer_pings(driver, *[20.0] * (SHORT_AGAIN - 1))
    assert len(macros_of(driver, 100)) == 10, "all of them at once would only fill its way again"
    answer_pings(driver, 20.0)
    assert len(macros_of(driver, 100)) == 20


def test_the_edge_spares_itself_only_where_every_k1_that_is_there_has_a_long_way():
    driver = driver_of(DeviceSettings(id="porch"), DeviceSettings(id="bar"))
    assert not driver.k1s.spared
    for device in ("porch", "bar"):
        driver.k1s.heard(device, ready=True)
    answer_pings(driver, 900.0, 900.0)
    assert not driver.k1s.spared, "the porch alone"
    driver.k1s.heard("bar", ready=False)
    assert driver.k1s.spared


def test_a_k1_that_is_spared_never_waits_so_long_that_one_late_macro_would_release_it():
    for rate_hz in range(10, 31):
        driver = driver_of(macro_rate_hz=rate_hz)
        driver.k1s.heard("porch", ready=True)
        answer_pings(driver, 900.0, 900.0)
        told = macros_of(driver, 100)
        assert max(later - earlier for earlier, later in itertools.pairwise(told)) * 10 <= STALE_MS / 2, rate_hz


@pytest.mark.parametrize(("latency_ms", "share", "late"), [
    (0.0, 1.0, False), (29.0, 1.0, False), (31.0, 1.0, True), (0.0, 0.7, True), (-30.0, 0.7, False),
])  # fmt: skip
def test_beats_of_a_k1_with_a_latency_have_less_time_for_the_way(latency_ms, share, late):
    driver = driver_of(DeviceSettings(id="porch", latency_ms=latency_ms))
    driver.k1s.heard("porch", ready=True)
    answer_pings(driver, 240.0, 240.0)
    assert driver.k1s.is_late(150.0, share) is late
    driver.k1s.heard("porch", ready=False)
    assert not driver.k1s.is_late(150.0, share)


@pytest.mark.parametrize("sent_ms", [0.0, 1_000_000.0, 1_030_000.0])
def test_an_answer_to_no_ping_of_ours_says_nothing_of_the_way(driver, sent_ms):
    driver.k1s.ponged("porch", pong(sent_ms, 1_020_000.0), heard_ms=1_020_000.0)
    assert driver.k1s.round_trip_ms_max is None
    (ping,) = driver.ping(at(1))
    assert "offset_ms" not in json.loads(ping.payload)


def auto_with_porch(*trips_ms):
    driver = auto_driver()
    driver.k1s.heard("porch", ready=True, boot_id="b7")
    answer_pings(driver, *trips_ms)
    return driver


def pinged(driver, times):
    return [p.topic for hop in range(times) for p in driver.ping(at(hop * 500))]


def test_a_k1_that_answers_no_more_is_gone_though_nobody_has_told_its_will():
    driver = auto_with_porch(400.0, 400.0)
    pinged(driver, SILENT_PINGS)
    assert (driver.k1s.ready, driver.k1s.is_late(150.0, 1.0)) == (1, True)
    pinged(driver, 1)
    assert (driver.k1s.ready, driver.k1s.is_late(150.0, 1.0), driver.k1s.round_trip_ms_max) == (0, False, None)
    assert run(driver, 1, announced=announcement(1, due_s=0.15)) == []


def test_a_ready_that_the_broker_has_kept_brings_no_k1_back_that_answers_no_more():
    driver = auto_with_porch(10.0, 10.0)
    pinged(driver, SILENT_PINGS + 1)
    driver.k1s.heard("porch", ready=True, boot_id="b7")
    pinged(driver, SILENT_PINGS + 1)
    assert driver.k1s.ready == 0


def test_a_k1_that_has_been_silent_and_answers_again_is_told_everything():
    driver = auto_with_porch(10.0, 10.0)
    run(driver, 1)
    assert len(pinged(driver, SILENT_PINGS + 3)) == SILENT_PINGS + 3, "it is asked on"
    answer_pings(driver, 10.0)
    assert driver.k1s.ready == 1
    assert {topic.partition("/cmd/")[2] for topic, _ in run(driver, 50)} >= {"sync", "segment", "scene"}


def test_a_k1_that_answers_now_and_then_or_never_did_is_there():
    never, at_times = auto_with_porch(), auto_with_porch(10.0)
    pinged(never, 10 * SILENT_PINGS)
    for _ in range(3):
        pinged(at_times, SILENT_PINGS)
        answer_pings(at_times, 10.0)
    assert (never.k1s.ready, at_times.k1s.ready) == (1, 1)


def told_early(driver, hop, offset_ms, trip_ms=10.0):
    """Whether the answer to a ping has porch told of its clock in the next hop: the offset then told, else None."""
    sent_ms = EPOCH_MS + 10 * hop
    driver.k1s.ponged("porch", pong(sent_ms, sent_ms + trip_ms / 2 + offset_ms), sent_ms + trip_ms)
    ping = messages(run(driver, hop + 1), "cmd/ping")
    return ping["porch"]["offset_ms"] if ping else None


def test_a_k1_that_comes_is_asked_for_its_clock_and_told_of_it_at_once(auto):
    for boot_id in ("b1", "b2"):
        auto.k1s.heard("porch", ready=True, boot_id=boot_id)
        assert "offset_ms" not in messages(run(auto, 1), "cmd/ping")["porch"]
        assert told_early(auto, 3, 7000.0) == pytest.approx(7000.0)
        assert told_early(auto, 5, 7001.0) is None, "that is no news"


def test_a_k1_whose_clock_is_put_right_is_told_at_once():
    driver = auto_with_porch(10.0)
    run(driver, 1)
    pinged(driver, 1)
    assert told_early(driver, 3, 300.0) == pytest.approx(300.0)


def test_a_k1_whose_clock_jumps_at_each_answer_is_not_flooded():
    driver = auto_with_porch(10.0)
    run(driver, 1)
    pinged(driver, 1)
    told = [told_early(driver, hop, 1000.0 * hop) for hop in range(3, 50, 2)]
    assert sum(offset_ms is not None for offset_ms in told) == 2


def test_a_step_of_the_wall_clock_is_told_to_each_k1_at_once(driver):
    driver.k1s.heard("porch", ready=True)
    driver.k1s.ponged("porch", pong(1000.0, 8005.0), 1010.0)
    assert driver.k1s.devices["porch"].offset_ms == pytest.approx(7000.0)
    (ping,) = driver.clock_stepped(0.6, at(1))
    assert json.loads(ping.payload)["offset_ms"] == pytest.approx(6400.0)


def test_answers_of_before_the_clock_was_put_right_are_forgotten(driver):
    for trip_ms, offset_ms in ((2, 300), (30, 290), (20, 500), (16, 505)):
        driver.k1s.ponged("porch", pong(1000, 1000 + trip_ms // 2 + offset_ms), heard_ms=1000.0 + trip_ms)
    porch = driver.k1s.devices["porch"]
    assert (porch.round_trip_ms, porch.offset_ms) == pytest.approx((16, 505))
    assert len(porch.pongs) == 2


def test_nothing_is_known_of_the_clock_of_a_k1_that_has_gone_or_has_begun_anew(driver):
    for ready in (True, False):
        driver.k1s.ponged("porch", pong(1000.0, 8005.0), 1010.0)
        assert driver.k1s.round_trip_ms_max == pytest.approx(10.0)
        driver.k1s.heard("porch", ready=ready, boot_id="another")
        assert (driver.k1s.round_trip_ms_max, driver.k1s.devices["porch"].way_ms) == (None, 0.0)
        (ping,) = driver.ping(at(3))
        assert "offset_ms" not in json.loads(ping.payload)


def test_the_quickest_ping_tells_the_clock(driver):
    for there_ms, back_ms in ((40, 10), (5, 5), (30, 60)):
        driver.k1s.ponged("porch", pong(1000, 1000 + there_ms + 300), heard_ms=1000.0 + there_ms + back_ms)
    assert driver.k1s.devices["porch"].offset_ms == pytest.approx(300)
    assert driver.k1s.round_trip_ms_max == pytest.approx(10)
    (ping,) = driver.ping(at(3))
    assert json.loads(ping.payload)["offset_ms"] == pytest.approx(300)
    driver.k1s.ponged("stranger", pong(1000, 1300), 1.0)
