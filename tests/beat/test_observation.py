"""What a hop says, as weights: bounded, monotonic, and about the right thing."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from k1edge.beat.bar_pointer import metre_table
from k1edge.beat.network import N_TEMPI, TEMPO_RANGE_BPM
from k1edge.beat.observation import (
    BEAT_WEIGHT,
    HALF_LIMITS,
    HALF_WEIGHT,
    LLR_LIMITS,
    TEMPO_FLOOR,
    TEMPO_WEIGHT,
    Activation,
    TempoEvidence,
    bar_evidence,
    evidence,
    half_evidence,
)

probabilities = st.floats(0, 1)


@given(probabilities, probabilities, probabilities)
def test_one_step_never_decides(beat, downbeat, music):
    heard = Activation(beat, downbeat, music)
    assert BEAT_WEIGHT * LLR_LIMITS[0] <= evidence(heard)[0] <= BEAT_WEIGHT * LLR_LIMITS[1]
    assert HALF_WEIGHT * HALF_LIMITS[0] <= half_evidence(heard) <= HALF_WEIGHT * HALF_LIMITS[1]
    assert np.isfinite(bar_evidence(heard, 0.0)).all()


@given(probabilities, probabilities)
def test_a_likelier_beat_is_never_weaker_evidence(one, other):
    weak, strong = (Activation(p, 0.1, 0.9) for p in sorted((one, other)))
    assert evidence(weak)[0] <= evidence(strong)[0]
    assert half_evidence(weak) <= half_evidence(strong)


def test_a_downbeat_speaks_for_the_first_place_of_every_bar():
    per_bar, position, _ = metre_table()
    weights = bar_evidence(Activation(0.9, 0.75, 1.0), 0.0)
    for metre in (2, 3, 4):
        inside = weights[per_bar == metre]
        assert position[per_bar == metre][inside.argmax()] == 0


def test_without_a_beat_nothing_is_said_of_the_bar():
    assert np.ptp(bar_evidence(Activation(0.0, 0.0, 0.5), 0.0)) == 0.0


def test_the_tempo_the_network_means_is_weighed_highest():
    low, high = np.log(TEMPO_RANGE_BPM)
    tempi_bpm = np.geomspace(215, 55, 64)
    for bpm in (62.0, 104.0, 190.0):
        said = np.full(N_TEMPI, 0.2 / N_TEMPI)
        said[int((np.log(bpm) - low) / (high - low) * N_TEMPI)] += 0.8
        weights = TempoEvidence(tempi_bpm).process(said)
        assert weights[np.abs(np.log2(tempi_bpm / bpm)).argmin()] >= weights.max() - 1e-3
        assert weights.min() >= TEMPO_WEIGHT * np.log(TEMPO_FLOOR) - 1e-6
