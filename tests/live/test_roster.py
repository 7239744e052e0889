"""Who has one of an edge's places, and who waits for one."""

from k1edge.config import DeviceSettings, K1Settings
from k1edge.config.settings import MAX_DEVICES
from k1edge.k1 import contract
from k1edge.k1.contract import Scribe, Stamp
from k1edge.live.follower import MINUTE_MS
from k1edge.live.roster import Roster

SECOND_MS = 1000.0


def roster_of(count):
    """Of so many K1s, each of which has said that it is there."""
    k1s = Roster(K1Settings(devices="auto"))
    for i in range(count):
        k1s.heard(f"k1-{i}", ready=True)
    return k1s


def test_of_whoever_reports_sixteen_have_a_place_and_no_more():
    assert len(roster_of(40).devices) == MAX_DEVICES


def test_auto_gives_the_place_of_a_lost_k1_to_a_new_one():
    k1s = roster_of(MAX_DEVICES)
    k1s.heard("k1-3", ready=False)
    k1s.heard("new", ready=True)
    assert len(k1s.devices) == MAX_DEVICES
    assert "new" in k1s.devices and "k1-3" not in k1s.devices


def test_one_that_waits_and_goes_waits_no_longer():
    k1s = roster_of(MAX_DEVICES + 1)
    k1s.heard("k1-16", ready=False)
    k1s.heard("k1-3", ready=False)
    assert (k1s.ready, k1s.waiting) == (MAX_DEVICES - 1, 0)
    k1s.heard("k1-3", ready=True)
    assert k1s.devices["k1-3"].ready, "its own place is free"


def test_one_that_a_broker_which_has_gone_told_of_waits_when_it_is_told_again():
    k1s = roster_of(MAX_DEVICES + 1)
    k1s.forget_waiting()
    assert k1s.waiting == 0
    k1s.heard("k1-16", ready=True)
    assert k1s.waiting == 1


def test_one_that_waits_and_says_it_again_keeps_its_turn():
    k1s = roster_of(MAX_DEVICES + 2)
    k1s.heard(f"k1-{MAX_DEVICES}", ready=True)
    k1s.heard("k1-3", ready=False)
    assert f"k1-{MAX_DEVICES}" in k1s.devices


def test_however_many_wait_few_are_remembered():
    assert roster_of(1000).waiting <= MAX_DEVICES


def test_strangers_are_ignored_when_the_k1s_are_listed():
    k1s = Roster(K1Settings(devices=(DeviceSettings(id="porch"),)))
    k1s.heard("stranger", ready=True)
    assert list(k1s.devices) == ["porch"]


class Stage:
    """One K1 that is led, and what it says of itself, a second apart unless told otherwise."""

    def __init__(self):
        self.k1s, self.now_ms = roster_of(1), 0.0
        self.k1 = self.k1s.devices["k1-0"]
        self.k1.led = True

    def says(self, *sources, late=0, every_ms=SECOND_MS):
        for source in sources:
            self.now_ms += every_ms
            said = Scribe("hall", "k1-0").write(contract.DeviceState, Stamp(1, True), source=source, beats_late=late)
            self.k1s.stated("k1-0", contract.decode(said.topic, said.payload), self.now_ms)
        return self.k1s.lapsing(self.now_ms)


def test_a_k1_that_is_left_alone_three_times_in_a_minute_is_told_of_until_it_was_not_for_a_minute():
    stage = Stage()
    assert stage.says("own", "edge", "own", "edge", "own", "edge") == [], "it began alone, and was left twice"
    assert stage.says("own") == ["k1-0"]
    assert stage.says("edge", every_ms=MINUTE_MS) == ["k1-0"]
    assert stage.says("edge", every_ms=1) == []


def test_now_and_then_a_k1_is_left_alone_on_any_network():
    assert Stage().says(*["edge", "own"] * 20, every_ms=MINUTE_MS / 3) == []


def test_beats_that_come_too_late_are_a_lapse_and_a_count_that_begins_anew_is_none():
    stage = Stage()
    stage.says("edge", late=900)
    assert stage.says("edge", late=3) == []
    assert [stage.says("edge", late=late) for late in (4, 5, 8)] == [[], [], ["k1-0"]]


def test_a_k1_that_the_edge_has_released_is_not_left_alone_nor_one_that_has_begun_anew():
    stage = Stage()
    for _ in range(5):
        stage.says("edge")
        stage.k1.led = False
        stage.says("own")
        stage.k1.led = True
    for boot in "abcde":
        stage.says("edge")
        stage.k1s.heard("k1-0", ready=False)
        stage.k1s.heard("k1-0", ready=True, boot_id=boot)
        stage.k1.led = True
        assert stage.says("own") == []


def test_a_stranger_that_tells_how_it_fares_is_no_k1_of_ours():
    k1s = Roster(K1Settings(devices=(DeviceSettings(id="porch"),)))
    k1s.stated("stranger", contract.DeviceState.model_construct(), 0.0)
    assert list(k1s.devices) == ["porch"]
