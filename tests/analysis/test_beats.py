import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from k1edge.analysis import path
from k1edge.analysis.beats import POSITION, decode
from k1edge.analysis.path import Tempi
from k1edge.analysis.witnesses import Evidence
from k1edge.beat.bar_pointer import STEPS_PER_S
from k1edge.beat.network import N_TEMPI, TEMPO_RANGE_BPM
from k1edge.beat.prior import TempoPrior
from k1edge.beat.sounds import N_COLUMNS

RANGE_BPM = (55.0, 215.0)
LATENCY_S = 0.06
HEARD, UNHEARD = 2.0, -0.5


def evidence_of(beat: np.ndarray, none: np.ndarray, onset: np.ndarray, bars: np.ndarray) -> Evidence:
    """Of a track of whose tempo nothing is thought, and of whose sound nothing is known."""
    return Evidence(beat, none, onset, bars, LATENCY_S, np.zeros((len(beat), N_TEMPI), np.float32), np.zeros((0, N_COLUMNS)))


def heard(beats_s: np.ndarray, seconds: float, downbeats_s: np.ndarray | None = None, seed: int | None = None) -> Evidence:
    """What a fair ear would say of beats at these times."""
    steps = int(seconds * STEPS_PER_S)
    beat, none = np.full(steps, UNHEARD, np.float32), np.full(steps, -0.05, np.float32)
    at = np.round((beats_s + LATENCY_S) * STEPS_PER_S).astype(int) - 1
    beat[at[at < steps]] = HEARD
    bars = np.zeros((steps, len(POSITION)), np.float32)
    if downbeats_s is not None:
        is_down = np.isin(np.round(beats_s, 4), np.round(downbeats_s, 4))
        bars[at] = np.where(is_down[:, None], 1.0, -1.0) * np.where(POSITION == 0, 0.5, -0.5)
    if seed is not None:
        beat = beat + np.random.default_rng(seed).normal(0, 0.8, steps).astype(np.float32)
    return evidence_of(beat, none, np.zeros(steps, np.float32), bars)


def grid(bpm: float, seconds: float, start_s: float = 0.3) -> np.ndarray:
    return np.arange(start_s, seconds - 0.2, 60 / bpm)


def found(evidence: Evidence):
    return decode(evidence, TempoPrior(), RANGE_BPM)


def f_measure(truth: np.ndarray, beats: np.ndarray, within_s: float = 0.03) -> float:
    if not len(truth) or not len(beats):
        return 0.0
    hits = (np.abs(truth[:, None] - beats).min(axis=1) <= within_s).sum()
    return 2 * hits / (len(truth) + len(beats))


@pytest.mark.parametrize("bpm", [62.0, 87.3, 120.0, 128.0, 174.0, 205.0])
def test_a_steady_pulse_is_found_from_its_first_beat_to_its_last(bpm):
    truth = grid(bpm, 40.0)
    beats = found(heard(truth, 40.0)).times_s
    assert len(beats) == len(truth)
    assert np.abs(beats - truth).max() < 0.02


def opinion(bpm: float, steps: int) -> np.ndarray:
    """A network that is fairly sure of a tempo."""
    low, high = np.log(TEMPO_RANGE_BPM)
    said = np.full((steps, N_TEMPI), 0.3 / N_TEMPI, np.float32)
    said[:, int((np.log(bpm) - low) / (high - low) * N_TEMPI)] += 0.7
    return said


@pytest.mark.parametrize("bpm", [75.0, 150.0])
def test_the_network_s_view_of_the_tempo_decides_between_levels_that_sound_alike(bpm):
    pulse = heard(grid(150.0, 60.0), 60.0)
    strong = np.round((grid(75.0, 60.0) + LATENCY_S) * STEPS_PER_S).astype(int) - 1
    pulse.beat[:] = np.where(pulse.beat == HEARD, 1.4, UNHEARD)
    pulse.beat[strong] = 1.6
    beats = found(replace(pulse, opinion=opinion(bpm, len(pulse.beat)))).times_s
    assert 60 / np.median(np.diff(beats)) == pytest.approx(bpm, rel=0.03)


def test_the_network_s_view_moves_on_with_the_music():
    tempi = Tempi(TempoPrior(), *RANGE_BPM)
    said = np.concatenate([opinion(90.0, 3000), opinion(140.0, 3000)])
    gains = tempi.opinions(tempi.views_at(np.array([500, 5500]), said))
    for gain, bpm in zip(gains, (90.0, 140.0), strict=True):
        assert 60 * STEPS_PER_S / tempi.periods[gain.argmax()] == pytest.approx(bpm, rel=0.12)
    assert not tempi.opinions(tempi.views_at(np.arange(0, 6000, 7), np.zeros_like(said))).any()


def test_what_is_looked_at_in_pieces_is_what_it_was_at_once(monkeypatch):
    tempi, draw, steps = Tempi(TempoPrior(), *RANGE_BPM), np.random.default_rng(5), 9_000
    said = draw.dirichlet(np.ones(N_TEMPI), steps).astype(np.float32)
    said[2_000:2_500] = 0.0
    onset, some = draw.normal(0, 1, steps).astype(np.float32), np.array([0, 4, 3_999, 4_000, 8_999])

    def everything():
        return np.concatenate(list(tempi.views(said))), np.concatenate(list(tempi.spans(onset))), tempi.views_at(some, said)

    pieces = everything()
    monkeypatch.setattr(path, "PIECE", steps)
    for in_pieces, at_once in zip(pieces, everything(), strict=True):
        np.testing.assert_array_equal(in_pieces, at_once)
    np.testing.assert_array_equal(pieces[2], pieces[0][some])


def test_a_longer_track_needs_little_more_memory(monkeypatch):
    monkeypatch.setattr(path, "OPINION_S", 5.0)
    monkeypatch.setattr(path, "PIECE", 500)

    def most_bytes(minutes: int) -> int:
        seconds = 60.0 * minutes
        evidence = heard(grid(120.0, seconds), seconds)
        evidence = replace(evidence, opinion=opinion(120.0, len(evidence.beat)))
        tracemalloc.start()
        found(evidence)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert most_bytes(3) - most_bytes(1) < 2 * 60 * STEPS_PER_S * 300


def test_a_tempo_that_wanders_is_followed():
    periods = 0.5 * (1 + 0.12 * np.sin(np.arange(120) / 14))
    truth = 0.4 + np.cumsum(periods)
    assert f_measure(truth, found(heard(truth, truth[-1] + 1)).times_s) > 0.98


def test_beats_drowned_in_noise_are_found_by_looking_ahead():
    truth = grid(124.0, 60.0)
    assert f_measure(truth, found(heard(truth, 60.0, seed=3)).times_s, 0.05) > 0.95


def test_a_change_of_song_is_followed_at_once():
    first, second = grid(100.0, 30.0), 30.1 + grid(139.0, 30.0)
    truth = np.concatenate([first, second])
    assert f_measure(truth, found(heard(truth, 61.0)).times_s) > 0.97


def test_no_beat_is_put_where_there_is_none():
    truth = np.concatenate([grid(120.0, 20.0), 40 + grid(120.0, 20.0)])
    evidence = heard(truth, 61.0)
    evidence.none[20 * STEPS_PER_S : 40 * STEPS_PER_S] = 0.5
    beats = found(evidence).times_s
    assert f_measure(truth, beats) > 0.97
    assert not ((beats > 21.5) & (beats < 39.5)).any()


def test_without_any_evidence_there_are_no_beats():
    nothing = np.full(1000, UNHEARD, np.float32)
    none, flat = np.full(1000, 0.2, np.float32), np.zeros(1000, np.float32)
    assert len(found(evidence_of(nothing, none, flat, np.zeros((1000, len(POSITION))))).times_s) == 0


def test_an_empty_track_has_no_beats():
    empty = np.zeros(0, np.float32)
    assert len(found(evidence_of(empty, empty, empty, np.zeros((0, len(POSITION))))).times_s) == 0


@pytest.mark.parametrize("per_bar", [3, 4])
def test_bars_are_counted_in_their_metre(per_bar):
    truth = grid(120.0, 40.0)
    decoded = found(heard(truth, 40.0, truth[1::per_bar]))
    assert set(decoded.per_bar[4:-4].tolist()) == {per_bar}
    assert f_measure(truth[1::per_bar], decoded.times_s[decoded.in_bar == 1]) > 0.95


def test_one_false_downbeat_does_not_turn_the_bars():
    truth = grid(120.0, 40.0)
    downs = truth[::4].copy()
    downs[5] = truth[5 * 4 + 2]
    decoded = found(heard(truth, 40.0, downs))
    assert f_measure(truth[::4], decoded.times_s[decoded.in_bar == 1]) > 0.95


def test_every_beat_is_later_than_the_one_before():
    beats = found(heard(grid(180.0, 30.0), 30.0, seed=1)).times_s
    assert (np.diff(beats) > 0.1).all()


def test_onsets_alone_carry_the_beat():
    truth, seconds = grid(120.0, 40.0), 40.0
    onset = np.full(int(seconds * STEPS_PER_S), -0.4, np.float32)
    onset[np.round((truth + LATENCY_S) * STEPS_PER_S).astype(int) - 1] = 3.0
    flat = np.zeros(len(onset), np.float32)
    beats = found(evidence_of(flat, flat, onset, np.zeros((len(onset), len(POSITION))))).times_s
    assert f_measure(truth, beats) > 0.97
