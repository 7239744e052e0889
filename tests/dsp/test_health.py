"""The line's own troubles, apart from the music on it."""

import numpy as np
import pytest

from k1edge.audio.synth import SynthSource, hum, noise
from k1edge.dsp.features import GATE_DBFS, FeatureExtractor
from k1edge.dsp.health import PATIENCE, REMEDIES, LineHealth
from k1edge.frames import Alarm, AudioBlock, Channel, StreamFormat
from tests.music import demo_song


def alarms(samples, rate_hz=44_100, gate_dbfs=GATE_DBFS):
    """After each hop, what stands."""
    source = SynthSource(samples.astype(np.float32), rate_hz)
    health, features, seen = LineHealth(source.fmt), FeatureExtractor(source.fmt, gate_dbfs), []
    for block in source:
        health.process(block, features.process(block).silent)
        seen.append({alarm.code for alarm in health.alarms})
    return seen


@pytest.fixture(scope="module")
def song():
    return demo_song().samples[: 44_100 * 60]


def test_a_healthy_line_has_no_alarm(song):
    assert not set().union(*alarms(song))


def test_an_overdriven_input_is_clipping_and_stops_when_it_is_turned_down(song):
    seen = alarms(np.r_[np.clip(song[44_100 * 20 : 44_100 * 30] * 8, -1, 1), song[44_100 * 20 : 44_100 * 30]])
    assert "CLIPPING" in seen[900]
    assert not seen[-1]


def test_one_loud_note_is_no_alarm(song):
    loud = song[44_100 * 20 : 44_100 * 30].copy()
    loud[44_100 * 3 : 44_100 * 4] = np.clip(loud[44_100 * 3 : 44_100 * 4] * 8, -1, 1)
    assert not set().union(*alarms(loud))


def test_music_forty_decibels_down_is_low(song):
    assert alarms(song * 0.01)[-1] == {"LEVEL_LOW"}


@pytest.mark.parametrize("level_dbfs", [-65.0, -52.0])
def test_hiss_in_a_pause_is_not_low_music(level_dbfs):
    assert alarms(noise(40.0, level_dbfs).samples)[-1] == set()


def test_hum_in_a_pause_is_hum_and_not_low_music():
    assert alarms(hum(40.0, -52.0, 50.0).samples + noise(40.0, -85.0).samples)[-1] == {"MAINS_HUM"}


def test_hum_is_told_before_a_level_that_is_low_with_it():
    assert list(REMEDIES).index("MAINS_HUM") < list(REMEDIES).index("LEVEL_LOW")


def test_music_that_wanders_about_the_gate_is_low_from_half_a_minute_on(song):
    level_dbfs = 20 * np.log10(np.sqrt(np.mean(np.square(song))))
    seen = alarms(song * 10 ** ((-60.0 - level_dbfs) / 20))
    assert seen[2_990] == set()
    assert all(each == {"LEVEL_LOW"} for each in seen[3_000:])


def test_a_crackle_now_and_then_is_not_low_music():
    crackles = noise(60.0, -75.0).samples.copy()
    for at in range(0, len(crackles), 44_100):
        crackles[at : at + 882] *= 100
    assert not set().union(*alarms(crackles))


def test_music_that_was_turned_up_is_low_for_a_minute_yet_and_one_loud_second_mends_nothing(song):
    quiet, loud = np.resize(song * 0.01, 44_100 * 35), np.resize(song, 44_100 * 65)
    seen = alarms(np.r_[quiet, loud])
    assert [seen[hop] for hop in (3_400, 9_000, -1)] == [{"LEVEL_LOW"}, {"LEVEL_LOW"}, set()]
    seen = alarms(np.r_[quiet, loud[44_100 * 20 : 44_100 * 21], quiet, quiet])
    assert all(each == {"LEVEL_LOW"} for each in seen[3_400:])


def test_an_offset_is_named(song):
    assert "DC_OFFSET" in alarms(song[: 44_100 * 10] * 0.5 + 0.05)[-1]


def test_an_idle_line_with_an_offset_is_not_low():
    assert alarms(noise(35.0, -65.0).samples + 0.005)[-1] == set()


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_mains_hum_is_named_on_a_line_without_music(mains_hz):
    assert "MAINS_HUM" in alarms(hum(10.0, -40.0, mains_hz).samples + noise(10.0, -65.0).samples)[-1]


def test_a_bass_note_near_the_mains_is_not_hum(song):
    t = np.arange(44_100 * 12) / 44_100
    notes = 0.2 * np.sin(2 * np.pi * np.where(t % 2 < 1, 55.0, 65.4) * t)
    assert not set().union(*alarms(notes + song[: len(t)]))


def test_a_dead_cable_is_no_signal_and_hiss_is_not():
    assert "NO_SIGNAL" in alarms(np.zeros(44_100 * 12))[-1]
    assert "NO_SIGNAL" in alarms(np.full(44_100 * 12, 3 / 32768))[-1], "a converter that rests beside 0"
    assert "NO_SIGNAL" not in alarms(noise(12.0, -80.0).samples)[-1]


def card_alarms(seconds, level_dbfs=-20.0):
    """After each second of hiss in which the card told (channels, lost samples, ppm)."""
    health, seen = LineHealth(StreamFormat(44_100)), []
    hiss = noise(1.0, level_dbfs).samples.astype(np.float32).reshape(100, 441)
    for second, told in enumerate(seconds):
        health.beside(*told)
        for hop in range(100):
            health.process(AudioBlock(hiss[hop], (second * 100 + hop) * 441, 0), silent=False)
        seen.append({alarm.code for alarm in health.alarms})
    return seen


def test_a_dead_channel_is_named_after_twenty_seconds_and_a_quiet_pair_is_not():
    assert card_alarms([((Channel(0.5), Channel(0.0002)), 0, 0.0)] * 25)[-1] == {"CHANNEL_DEAD"}
    for peaks in ((0.5, 0.02), (0.002, 0.0), ()):
        assert not set().union(*card_alarms([(tuple(map(Channel, peaks)), 0, 0.0)] * 25))


@pytest.mark.parametrize("level_dbfs", [-50.0, -np.inf])
def test_channels_that_are_opposite_are_told_before_what_else_is_wrong_with_their_mix(level_dbfs):
    seen = card_alarms([((Channel(0.5), Channel(0.5)), 0, 0.0)] * 35, level_dbfs)
    assert "CHANNELS_CANCEL" not in seen[8]
    assert seen[10] == {"CHANNELS_CANCEL"}
    assert next(iter(REMEDIES)) == "CHANNELS_CANCEL"


def test_channels_that_are_not_opposite_do_not_cancel():
    for peaks in ((0.5, 0.5), (0.3, 0.05), (0.002, 0.002)):
        assert not set().union(*card_alarms([(tuple(map(Channel, peaks)), 0, 0.0)] * 15))


def test_a_channel_that_is_overdriven_beside_one_that_is_not_is_clipping():
    assert card_alarms([((Channel(1.0, 400), Channel(0.1)), 0, 0.0)] * 4)[-1] == {"CLIPPING"}


def test_lost_samples_are_an_alarm_until_a_minute_without():
    seen = card_alarms([((), 0, 0.0)] * 2 + [((), 4410, 0.0)] * 70)
    assert [seen[second] for second in (1, 2, 40, -1)] == [set(), {"SAMPLES_LOST"}, {"SAMPLES_LOST"}, set()]


def test_what_this_process_has_skipped_is_not_the_cards_fault():
    seen = card_alarms([((), 0, 0.0, 0)] * 2 + [((), 0, 0.0, 28_800)] * 70)
    assert [seen[second] for second in (1, 2, 40, -1)] == [set(), {"HELD_UP"}, {"HELD_UP"}, set()]


def test_what_another_stream_has_lost_is_no_alarm_of_this_one():
    assert not set().union(*card_alarms([((), 4410, 0.0)] * 4))


def test_what_was_wrong_before_stands_until_it_is_found_mended():
    before = tuple(Alarm(code, *REMEDIES[code]) for code in ("NO_SIGNAL", "SAMPLES_LOST"))
    health, seen = LineHealth(StreamFormat(44_100), alarms=before), []
    for block in SynthSource(noise(61.0, -20.0).samples.astype(np.float32), 44_100):
        health.process(block, silent=False)
        seen.append(health.alarms)
    assert [seen[hop] for hop in (0, 899, 999, 5999)] == [before, before, before[1:], ()]


def test_a_card_whose_clock_is_far_off_is_named():
    assert card_alarms([((), 0, -900.0)] * 600)[-1] == {"CARD_CLOCK"}
    assert card_alarms([((), 0, 120.0)] * 600)[-1] == set()


def test_a_clock_of_ours_that_is_put_right_is_not_the_cards_fault():
    assert not set().union(*card_alarms([((), 0, -900.0)] * 360 + [((), 0, 0.0)]))


def test_every_alarm_says_what_to_do():
    assert set(PATIENCE) == set(REMEDIES)
    assert all(reason and remedy for reason, remedy in REMEDIES.values())
