"""Whether the light is still on the beat."""

from dataclasses import replace

import numpy as np
import pytest

from k1edge.audio.synth import SynthSource, clicks, four_on_the_floor, noise
from k1edge.config import Settings
from k1edge.frames import StreamFormat
from k1edge.live.guard import DriftGuard
from k1edge.pipeline import Pipeline

FMT = StreamFormat(48_000)


def heard(sound):
    """What the pipeline makes of it, hop by hop."""
    pipeline = Pipeline(Settings(), FMT)
    return [pipeline.process(block) for block in SynthSource(sound.samples, sound.rate_hz)]


def watched(frames, shift_ms=lambda seconds: 0.0, leader=lambda seconds: None):
    """The guard after each hop, with every announcement moved by `shift_ms` at its time, by whom `leader` says."""
    guard, seen = DriftGuard(FMT), []
    for hops, frame in enumerate(frames, 1):
        event = frame.beat.announced
        if event is not None:
            moved = event.due + round(shift_ms(hops / 100) * FMT.rate_hz / 1000)
            frame = replace(frame, beat=replace(frame.beat, announced=replace(event, due=moved)))
        guard.process(frame, leader(hops / 100))
        seen.append((guard.drift_ms, guard.level, guard.off_beat, guard.is_doubtful))
    return seen


@pytest.fixture(scope="module")
def song():
    return heard(four_on_the_floor(125.0, 40.0, FMT.rate_hz))


@pytest.fixture(scope="module")
def metronome():
    return heard(clicks(120.0, 50.0, FMT.rate_hz))


@pytest.fixture(scope="module")
def stopped():
    """A metronome, and nothing more after 25 s."""
    sound = clicks(120.0, 37.0, FMT.rate_hz)
    return heard(replace(sound, samples=np.where(np.arange(len(sound.samples)) < 25 * FMT.rate_hz, sound.samples, 0)))


@pytest.mark.parametrize(
    ("drift_ms", "level"),
    [(None, "ok"), (20.0, "ok"), (-20.0, "ok"), (20.1, "amber"), (-20.1, "amber"), (100.0, "amber"), (100.1, "red"),
     (-100.1, "red")],
)  # fmt: skip
def test_more_than_20_ms_is_amber_and_more_than_100_red_to_either_side(drift_ms, level):
    guard = DriftGuard(FMT)
    guard.drift_ms = drift_ms
    assert guard.level == level


def test_drift_is_known_after_eight_beats(metronome):
    known = next(hop for hop, (drift_ms, *_) in enumerate(watched(metronome)) if drift_ms is not None)
    announced = {frame.beat.announced.number: frame.beat.announced.due for frame in metronome[:known] if frame.beat.announced}
    assert sum(due < metronome[known].end for due in announced.values()) == 8


def test_light_on_the_beat_has_no_drift(song):
    drift_ms, level, off_beat, doubtful = watched(song)[-1]
    assert abs(drift_ms) < 20
    assert drift_ms == round(drift_ms, 1), "told as it is, and a hop is 10 ms"
    assert (level, off_beat, doubtful) == ("ok", False, False)


@pytest.mark.parametrize("shift_ms", [-60, -35, 35, 60])
def test_drift_is_signed_and_measured_within_ten_milliseconds(song, shift_ms):
    drift_ms, level, off_beat, _ = watched(song, lambda _: shift_ms)[-1]
    assert drift_ms == pytest.approx(-shift_ms, abs=10), "announced late = heard early"
    assert (level, off_beat) == ("amber", False)


def test_five_red_seconds_take_the_light_off_the_beat_and_eight_stable_ones_bring_it_back(metronome):
    seen = watched(metronome, lambda seconds: 120.0 if 10 < seconds < 22 else 0.0)
    off = np.array([each[2] for each in seen])
    red = np.array([each[1] == "red" for each in seen])
    assert off.argmax() - red.argmax() == 500 - 1
    assert off[1400 + 500 : 2300].all()
    assert not off[-1]
    back = np.flatnonzero(off)[-1] / 100
    assert 22 + 8 <= back < 45


@pytest.mark.parametrize(("given_up_s", "taken_off"), [(16.0, False), (20.0, True)])
def test_a_map_that_is_given_up_leaves_the_light_to_the_live_engine_at_once(metronome, given_up_s, taken_off):
    def is_off(seconds):
        return 10 < seconds < given_up_s

    seen = watched(metronome[:2600], lambda s: 120.0 * is_off(s), lambda s: "a map" if is_off(s) else None)
    off = np.array([each[2] for each in seen])
    until = round(given_up_s * 100)
    assert "red" in {level for _, level, _, _ in seen[:until]}
    assert off[:until].any() == taken_off
    assert not off[until:].any()


def test_noise_is_doubted_not_followed():
    _, _, off_beat, doubtful = watched(heard(noise(14.0, -20.0, rate_hz=FMT.rate_hz)))[-1]
    assert doubtful
    assert not off_beat


@pytest.mark.parametrize(("confidence", "doubted"), [(0.29, True), (0.3, False)])
def test_ten_seconds_below_three_tenths_are_doubted(song, confidence, doubted):
    frames = [replace(frame, beat=replace(frame.beat, confidence=confidence)) for frame in song]
    doubts = np.array([each[3] for each in watched(frames)])
    assert doubts.any() == doubted
    loud = next(hop for hop, frame in enumerate(frames) if not frame.features.silent)
    assert not doubted or doubts.argmax() - loud == 1000 - 1


def test_silence_is_no_reason_for_doubt():
    assert not watched(heard(noise(14.0, -90.0, rate_hz=FMT.rate_hz)))[-1][3]


@pytest.mark.parametrize("red_s", [3.0, 12.0])
def test_what_was_off_the_beat_before_a_silence_does_not_take_the_light_away_in_it(stopped, red_s):
    seen = watched(stopped, lambda seconds: 120.0 if seconds > 25 - red_s else 0.0)
    assert "red" in {level for _, level, _, _ in seen}
    assert any(off for _, _, off, _ in seen) == (red_s > 5)
    assert seen[-1] == (None, "ok", False, False)
