"""What the edge notices besides the music, and says once."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest

from k1edge.box import Reading
from k1edge.config import Settings
from k1edge.daemon import watch
from k1edge.daemon.bulletin import Bulletin
from k1edge.daemon.health import Health
from k1edge.daemon.sources import Input
from k1edge.daemon.watch import CALM_S, PATIENCE_S, READING_EVERY_S, Shedding, Watch
from k1edge.frames import Alarm, AudioBlock, Channel
from k1edge.k1.contract import Scribe, Stamp
from tests.music import FMT

NS = 1_000_000_000


class FakeLink:
    """A broker that comes and goes as it is told."""

    def __init__(self):
        self.heard, self.last_reason, self.parting = True, "", ""
        self.counters = SimpleNamespace(connects=1, dropped_inbox=0, dropped_topic="")

    def lose(self, reason):
        self.heard, self.last_reason, self.parting = False, reason, reason

    def find(self):
        self.heard, self.last_reason = True, ""
        self.counters.connects += 1


class Stepped:
    def __init__(self):
        self.frame_at_least = self.macro_at_least = 1
        self.k1s, self.spared = self, False
        self.steps, self.resting, self.way_ms, self.waiting = 0, False, 0.0, 0
        self.figures, self.alarms, self.ahead, self.without_us = {"jobs_completed": 2.0}, (), [], []

    def clock_stepped(self, *_step):
        self.steps += 1
        return ()

    def is_late(self, ahead_ms, share):
        return self.way_ms > ahead_ms * share

    def lapsing(self, _now_ms):
        return self.without_us

    def rest(self, resting):
        self.resting = resting

    def forget_waiting(self):
        self.waiting = 0


class Room:
    """A watch with everything about it imagined."""

    def __init__(self, monkeypatch):
        self.link, self.parts = FakeLink(), Shedding(*(Stepped() for _ in range(4)))
        self.machine = Reading(temp_c=50.0, free_mb=1000.0)
        monkeypatch.setattr(watch, "reading", lambda _: self.machine)
        self.watch = Watch(Bulletin(Settings(), Scribe("hall", "pi"), "boot"), self.link, self.parts, Settings())
        self.watch.begin(FMT)
        self._second = 0

    def seconds(self, count, step_s=0.0, synced=True):
        said = []
        for _ in range(count):
            self._second += 1
            stamp = Stamp(self._second * 1000, synced, self._second * NS)
            said += self.watch.process(stamp, step_s)
        return [json.loads(each.payload) for each in said]


@pytest.fixture
def room(monkeypatch):
    return Room(monkeypatch)


def test_nothing_is_said_while_nothing_is_wrong(room):
    assert room.seconds(30) == []
    assert room.watch.health == Health()


def test_heat_is_an_alarm_sheds_in_order_and_ends(room):
    room.machine = Reading(temp_c=81.0)
    (alarm,) = room.seconds(20)
    assert (alarm["code"], alarm["severity"]) == ("HOT", "warning")
    assert "five frames" in alarm["reason"] and "heat sink" in alarm["remedy"]
    assert room.watch.health.state == "degraded" and room.watch.health.code == "HOT"
    assert (room.parts.publisher.frame_at_least, room.parts.driver.macro_at_least, room.parts.lending.resting) == (20, 10, True)
    assert room.watch.figures["rung"] == 2
    room.machine = Reading(temp_c=50.0)
    told = room.seconds(150)
    assert [each["severity"] for each in told] == ["warning", "info"], "a rung up, then it is over"
    assert (room.parts.publisher.frame_at_least, room.parts.lending.resting) == (1, False)
    assert room.watch.health == Health()


def test_a_full_disk_is_told_once(room):
    room.machine = Reading(free_mb=1.0)
    (alarm,) = room.seconds(30)
    assert alarm["code"] == "DISK_FULL"
    assert room.watch.health.code == "DISK_FULL"


def test_a_library_that_is_lost_is_told_once_stands_in_the_status_and_is_over(room):
    room.parts.lending.alarms = (Alarm("LIBRARY_LOST", "ended with -9", "wait"),)
    (alarm,) = room.seconds(90)
    assert (alarm["code"], alarm["reason"], alarm["severity"]) == ("LIBRARY_LOST", "ended with -9", "warning")
    assert room.watch.health == Health("degraded", "LIBRARY_LOST", "ended with -9")
    room.parts.lending.alarms = ()
    (over,) = room.seconds(90)
    assert (over["code"], over["severity"], room.watch.health) == ("LIBRARY_LOST", "info", Health())


def test_a_clock_that_steps_by_years_is_told_and_what_it_makes_wrong_is_told_anew(room):
    (event,) = room.seconds(1, step_s=-3 * 365 * 86400.0)
    assert (event["kind"], event["code"], event["data"]["step_s"]) == ("clock", "CLOCK_STEPPED", -94608000.0)
    assert (room.parts.publisher.steps, room.parts.driver.steps, room.parts.hands.steps) == (1, 1, 1)
    assert room.seconds(5, step_s=0.0004) == []


def test_the_smallest_step_that_ntpd_makes_is_told_to_the_k1s(room):
    assert [event["code"] for event in room.seconds(1, step_s=-0.13)] == ["CLOCK_STEPPED"]
    assert room.parts.driver.steps == 1


def test_a_broker_that_was_away_is_logged_at_once_and_told_with_its_reason_when_it_is_back(room, caplog):
    caplog.set_level(logging.WARNING)
    room.seconds(2)
    room.link.lose("refused by the broker: Not authorized")
    assert room.seconds(12) == []
    assert [each.getMessage() for each in caplog.records if "Not authorized" in each.getMessage()], "in the log"
    assert len(caplog.records) == 1, "once"
    assert "k1edge doctor" in caplog.text, "who knows what to do"
    room.link.find()
    (event,) = room.seconds(1)
    assert (event["kind"], event["code"]) == ("link", "BROKER_BACK")
    assert "Not authorized" in event["reason"] and event["data"]["away_s"] == 12
    assert room.watch.health == Health("ready", "BROKER_BACK",
                                        "the broker was away for 12 s: refused by the broker: Not authorized")
    room.seconds(590)
    assert room.watch.health.code == "BROKER_BACK", "for ten minutes, should nobody look at once"
    room.seconds(11)
    assert room.watch.health == Health()


def test_a_way_longer_than_the_lead_is_told_until_it_is_well_shorter(room):
    told = []
    for way_ms in (20.0, 140.0, 200.0, 140.0, 20.0):
        room.parts.driver.way_ms = way_ms
        told.append([(each["code"], each["severity"]) for each in room.seconds(5)])
    assert told == [[], [], [("NETWORK_SLOW", "warning")], [], [("NETWORK_SLOW", "info")]]


def test_where_the_way_to_all_is_narrow_there_are_five_frames_a_second_and_none_where_heat_leaves_none(room):
    room.seconds(1)
    assert room.parts.publisher.frame_at_least == 1
    room.parts.driver.spared = True
    room.seconds(READING_EVERY_S)
    assert room.parts.publisher.frame_at_least == 20
    room.machine = Reading(temp_c=90.0, free_mb=1000.0)
    room.seconds(60)
    assert room.parts.publisher.frame_at_least == 0


def test_what_the_line_takes_is_gone_from_the_time_for_the_way(room, monkeypatch):
    monkeypatch.setattr(room.watch, "_settings", Settings.model_validate({"audio": {"input_latency_ms": 30.0}}))
    room.parts.driver.way_ms = 140.0
    assert [each["code"] for each in room.seconds(1)] == ["NETWORK_SLOW"]


def test_k1s_that_nothing_reaches_at_times_are_told_until_all_comes_in_time(room):
    told = []
    for names in ([], ["porch"], ["porch"], []):
        room.parts.driver.without_us = names
        told.append([(each["code"], each["severity"], each["reason"][:6]) for each in room.seconds(1)])
    assert told == [[], [("NETWORK_GAPS", "warning", "porch:")], [], [("NETWORK_GAPS", "info", "is ove")]]


def test_k1s_that_have_no_place_are_told_until_they_have_one(room):
    told = []
    for waiting in (0, 1, 2, 0):
        room.parts.driver.waiting = waiting
        told.append([(each["code"], each["severity"]) for each in room.seconds(1)])
    assert told == [[], [("TOO_MANY_K1S", "warning")], [], [("TOO_MANY_K1S", "info")]]


def test_a_k1_whose_clock_has_scenes_expire_is_told_while_it_goes_by_ours(room):
    room.parts.driver.ahead = ["porch"]
    assert room.seconds(1, synced=False) == []
    (alarm,) = room.seconds(1)
    assert (alarm["code"], alarm["severity"], alarm["reason"][:6]) == ("K1_CLOCK", "warning", "porch:")
    assert room.watch.health.state == "degraded"
    room.parts.driver.ahead = ["porch", "window"]
    assert ["and others" in each["reason"] for each in room.seconds(1)] == [True]
    room.parts.driver.ahead = ["porch", "roof", "window"]
    assert room.seconds(1) == [], "one more or less is no news"
    room.parts.driver.ahead = []
    assert [(each["code"], each["severity"]) for each in room.seconds(1)] == [("K1_CLOCK", "info")]


def test_that_messages_are_lost_in_a_flood_is_told_once_with_a_topic_until_it_has_been_calm(room):
    told = []
    for lost in (0, 1, 500, 500, 500):
        room.link.counters.dropped_inbox = lost
        room.link.counters.dropped_topic = f"k1/v1/hall/device/bar/status/{lost}\x1b" + "x" * 600
        told.append(room.seconds(1 if lost < 500 else CALM_S // 2))
    assert [[(each["code"], each["severity"]) for each in some] for some in told] == [
        [], [("FLOODED", "warning")], [], [], [("FLOODED", "info")]]  # fmt: skip
    assert "k1/v1/hall/device/bar/status/1" in told[1][0]["reason"] and len(told[1][0]["reason"]) < 300


def test_another_edge_at_the_same_k1s_is_told_until_it_is_gone(room):
    told = []
    for state in ("init", "ready", "degraded", "stopping", "ready", "lost", "ready", ""):
        room.watch.met("pi-2", state)
        told.append([(each["code"], each["severity"]) for each in room.seconds(1)])
    begins, ends = [("TWO_EDGES", "warning")], [("TWO_EDGES", "info")]
    assert told == [begins, [], [], ends, begins, ends, begins, ends]


def test_two_edges_make_each_other_degraded_and_what_to_do_is_said(room):
    room.watch.met("pi-2", "ready")
    (alarm,) = room.seconds(1)
    assert room.watch.health == Health("degraded", "TWO_EDGES", alarm["reason"])
    assert "pi-2" in alarm["reason"] and "[[k1.devices]]" in alarm["remedy"]


def test_an_edge_is_no_other_to_itself_and_one_whose_k1s_are_listed_has_them_alone(room, monkeypatch):
    room.watch.met(Settings().edge, "ready")
    assert room.seconds(1) == []
    monkeypatch.setattr(room.watch, "_settings", Settings.model_validate({"k1": {"devices": [{"id": "porch"}]}}))
    room.watch.met("pi-2", "ready")
    assert room.seconds(1) == []


def test_what_a_broker_told_of_other_edges_and_of_k1s_that_wait_is_forgotten_when_it_goes(room):
    room.watch.met("pi-2", "ready")
    room.parts.driver.waiting = 1
    room.seconds(1)
    room.link.lose("connection lost")
    assert {(each["code"], each["severity"]) for each in room.seconds(1)} == {("TWO_EDGES", "info"), ("TOO_MANY_K1S", "info")}
    assert room.watch.health == Health()


def test_the_number_of_other_edges_that_are_remembered_is_bounded(room):
    for number in range(1000):
        room.watch.met(f"{'x' * 60}-{number}", "ready")
    (alarm,) = room.seconds(1)
    assert len(alarm["reason"]) <= 512


def test_a_flap_between_two_looks_is_told_too(room):
    room.seconds(2)
    room.link.lose("connection lost")
    room.link.find()
    (event,) = room.seconds(1)
    assert (event["code"], event["reason"]) == ("BROKER_BACK", "connection lost")
    room.seconds(5)


def test_the_first_connection_is_no_news_and_a_broker_that_never_was_there_is(room, caplog):
    caplog.set_level(logging.WARNING)
    room.link.heard, room.link.counters.connects, room.link.last_reason = False, 0, "Connection refused"
    room.seconds(round(PATIENCE_S))
    assert not caplog.records
    room.seconds(2)
    assert "Connection refused" in caplog.text
    room.link.find()
    assert room.seconds(3) == []


def test_what_only_the_card_can_tell_becomes_an_alarm_of_the_line(room):
    card = SimpleNamespace(channels=lambda: (Channel(0.5), Channel(0.0001)))
    clock = SimpleNamespace(drift_ppm=0.0)
    quiet, told, lost = np.full(FMT.hop, 0.1, np.float32), [], 0
    for second in range(25):
        for hop in range(100):
            room.watch.hear(AudioBlock(quiet, (second * 100 + hop) * FMT.hop, 0), silent=True)
        lost += 480 if second == 10 else 0
        room.watch.listen(card, clock, Input("CODEC", 48_000, lost))
        told += room.seconds(1)
    assert {each["code"] for each in told} == {"DC_OFFSET", "SAMPLES_LOST", "CHANNEL_DEAD"}
    assert all(each["remedy"] for each in told)
