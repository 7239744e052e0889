"""The box gets hot, full and weak: what is said, and what is shed in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k1edge.box import CALM_S, CLIMB_S, HYSTERESIS_C, RUNGS, SLOWED, UNDER_VOLTAGE, Box, Reading


@pytest.fixture
def box():
    return Box()


def heated(box, temp_c, seconds, since_s=0.0, throttled=0):
    """Readings every five seconds; returns when the last one was."""
    for second in range(0, seconds + 1, 5):
        box.process(Reading(temp_c=temp_c, throttled=throttled), since_s + second)
    return since_s + seconds


def codes(box):
    return {alarm.code for alarm in box.alarms}


@pytest.mark.parametrize(("temp_c", "rung"), [(None, 0), (20.0, 0), (74.9, 0), (75.0, 1), (80.0, 2), (84.0, 3), (110.0, 3)])
def test_each_temperature_has_its_rung(box, temp_c, rung):
    heated(box, temp_c, 10)
    assert box.rung == rung
    assert codes(box) == ({"HOT"} if rung else set())


def test_a_single_hot_reading_sheds_nothing(box):
    box.process(Reading(temp_c=90.0), 0.0)
    box.process(Reading(temp_c=60.0), CLIMB_S)
    box.process(Reading(temp_c=90.0), 2 * CLIMB_S)
    assert box.rung == 0


def test_it_comes_back_a_rung_a_minute_and_only_when_it_is_well_cooler(box):
    now_s = heated(box, 84.0, 10)
    now_s = heated(box, 84.0 - HYSTERESIS_C + 0.1, 600, now_s)
    assert box.rung == 3, "no flapping about the limit"
    rungs = []
    for _ in range(4):
        now_s = heated(box, 50.0, round(CALM_S), now_s)
        rungs.append(box.rung)
    assert rungs == [2, 1, 0, 0]


def test_a_pi_that_slows_itself_down_sheds_frames_whatever_its_temperature(box):
    heated(box, None, 10, throttled=SLOWED & 0b0100)
    assert box.rung == 2
    assert box.mode.frame_every > 0


def test_every_rung_sheds_more_than_the_one_above_and_never_the_light():
    assert [rung.from_c for rung in RUNGS] == sorted(rung.from_c for rung in RUNGS)
    assert [rung.analyses for rung in RUNGS] == [True, False, False, False]
    assert [rung.frame_every or 1000 for rung in RUNGS] == [1, 1, 20, 1000]
    assert all(rung.macro_every <= 10 for rung in RUNGS), "a K1 that hears no macro for 250 ms goes back to its microphone"
    assert all(rung.sheds for rung in RUNGS[1:])


@given(st.lists(st.one_of(st.none(), st.floats(-40, 150)), max_size=200), st.integers(0, 15))
def test_whatever_the_sensor_says_the_ladder_stays_on_its_rungs_and_goes_down_one_at_a_time(temperatures, throttled):
    box, before = Box(), 0
    for i, temp_c in enumerate(temperatures):
        box.process(Reading(temp_c=temp_c, throttled=throttled), 5.0 * i)
        assert 0 <= box.rung < len(RUNGS)
        assert box.rung >= before - 1
        before = box.rung


@pytest.mark.parametrize(
    ("reading", "code"),
    [
        (Reading(free_mb=5.0), "DISK_FULL"),
        (Reading(read_only=True), "DISK_READ_ONLY"),
        (Reading(free_files=3), "DISK_NO_INODES"),
        (Reading(memory_share=0.9), "MEMORY_HIGH"),
        (Reading(throttled=UNDER_VOLTAGE), "UNDER_VOLTAGE"),
    ],
)
def test_each_trouble_of_the_box_is_named_and_ends(box, reading, code):
    box.process(reading, 0.0)
    assert codes(box) == {code}
    assert all(alarm.reason and alarm.remedy for alarm in box.alarms)
    box.process(Reading(free_mb=5_000.0, memory_share=0.2, free_files=50_000), 5.0)
    assert not box.alarms


def test_a_disk_about_its_limit_does_not_flap():
    box, seen = Box(), []
    for i, free_mb in enumerate((19.0, 21.0, 30.0, 39.0, 41.0, 21.0)):
        box.process(Reading(free_mb=free_mb), 5.0 * i)
        seen.append(bool(box.alarms))
    assert seen == [True, True, True, True, False, False]
