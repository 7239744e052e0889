"""Who has one of an edge's places, and who waits for one."""

from k1edge.config import DeviceSettings, K1Settings
from k1edge.config.settings import MAX_DEVICES
from k1edge.live.roster import Roster


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
