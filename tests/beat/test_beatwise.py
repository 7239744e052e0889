"""A network that takes one step a beat: its state is the caller's, its weights are the package's."""

import pickle

import numpy as np
import pytest

from k1edge.beat.beatwise import BeatwiseNetwork
from k1edge.beat.downbeats import WEIGHTS
from k1edge.beat.sounds import N_INPUTS

INPUTS = np.random.default_rng(3).normal(0, 1, (9, N_INPUTS)).astype(np.float32)


@pytest.fixture
def network():
    return BeatwiseNetwork(WEIGHTS)


def said(network, state, inputs):
    return np.array([network.process(row, state) for row in inputs])


def test_silence_is_the_same_whatever_was_heard_before(network):
    said(network, network.silence(), INPUTS)
    assert (said(network, network.silence(), INPUTS) == said(BeatwiseNetwork(WEIGHTS), network.silence(), INPUTS)).all()


def test_one_network_follows_two_rows_of_beats_as_two_would(network):
    one, two = network.silence(), network.silence()
    turns = [(network.process(a, one), network.process(b, two)) for a, b in zip(INPUTS, INPUTS[::-1], strict=True)]
    assert (np.array([a for a, _ in turns]) == said(BeatwiseNetwork(WEIGHTS), network.silence(), INPUTS)).all()
    assert (np.array([b for _, b in turns]) == said(BeatwiseNetwork(WEIGHTS), network.silence(), INPUTS[::-1])).all()


def test_a_network_is_put_away_without_its_weights(network):
    packed = pickle.dumps(network)
    assert len(packed) < 200
    again = pickle.loads(packed)
    assert (said(again, again.silence(), INPUTS) == said(network, network.silence(), INPUTS)).all()


def test_what_another_network_left_is_refused(network):
    name, shape = network.__getstate__()
    with pytest.raises(ValueError, match="another network for downbeats"):
        network.__setstate__((name, (shape[0] + 1, shape[1])))
