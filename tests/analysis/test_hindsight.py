import numpy as np
import pytest

from k1edge.analysis import hindsight
from k1edge.analysis.hindsight import Hindsight
from k1edge.beat.network import CONTEXT, HOPS_A_FRAME, N_TEMPI, side_by_side
from k1edge.dsp.features import N_BANDS
from tests.beat.equations import gru, logistic, probabilities

UNITS = 5


@pytest.fixture
def weights():
    """A small network of the same shape."""
    rng = np.random.default_rng(1)
    shapes = {"front": (7, CONTEXT * N_BANDS), "front_bias": (7,), "head": (3 + N_TEMPI, 2 * UNITS)}
    shapes["head_bias"] = (3 + N_TEMPI,)
    for layer, inputs in (("gru1", 7), ("gru2", 2 * UNITS)):
        for way in ("", "back."):
            shapes |= {f"{layer}.{way}into": (3 * UNITS, inputs), f"{layer}.{way}again": (3 * UNITS, UNITS)}
            shapes |= {f"{layer}.{way}{part}_bias": (3 * UNITS,) for part in ("into", "again")}
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def heard(hops: int, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 4, (hops, N_BANDS)).astype(np.float16)


def reference(weights, bands):
    frames = bands[::HOPS_A_FRAME].astype(float)
    padded = np.concatenate([np.zeros((CONTEXT - 1, N_BANDS)), frames])
    x = np.array([padded[n : n + CONTEXT].ravel() for n in range(len(frames))])
    x = np.maximum(x @ weights["front"].T + weights["front_bias"], 0)
    for layer in ("gru1", "gru2"):
        x = np.hstack([gru(weights, layer, x), gru(weights, f"{layer}.back", x[::-1])[::-1]])
    return probabilities(x @ weights["head"].T + weights["head_bias"])


@pytest.mark.parametrize("hops", [1, 2, 301])
def test_all_frames_at_once_equal_the_equations(weights, hops):
    bands = heard(hops)
    assert np.abs(Hindsight(weights).hear(bands) - reference(weights, bands)).max() < 1e-5


def test_nets_side_by_side_speak_with_the_mean_of_their_logits(weights):
    bands, other = heard(301), {name: 0.7 * array for name, array in weights.items()}
    both = side_by_side([weights, other])
    logits = [np.log(said / (1 - said)) for said in (reference(net, bands)[:, :3] for net in (weights, other))]
    assert np.abs(Hindsight(both).hear(bands)[:, :3] - logistic(sum(logits) / 2)).max() < 1e-5


def test_a_long_track_in_pieces_sounds_as_it_does_whole(weights, monkeypatch):
    bands = heard(1001)
    whole = Hindsight(weights).hear(bands)
    monkeypatch.setattr(hindsight, "PIECE", 200)
    monkeypatch.setattr(hindsight, "OVERLAP", 100)
    assert np.abs(Hindsight(weights).hear(bands) - whole).max() < 1e-3


def test_what_follows_changes_what_is_heard_before(weights):
    bands = heard(200)
    changed = bands.copy()
    changed[150:] = 0
    before = slice(0, 150 // HOPS_A_FRAME)
    assert np.abs(Hindsight(weights).hear(bands)[before] - Hindsight(weights).hear(changed)[before]).max() > 1e-3


def test_an_empty_track_is_heard_without_complaint(weights):
    assert Hindsight(weights).hear(heard(0)).shape == (0, 3 + N_TEMPI)


def test_the_weights_of_the_package_give_probabilities():
    said = Hindsight().hear(heard(400))
    assert ((said >= 0) & (said <= 1)).all()
    assert np.allclose(said[:, 3:].sum(axis=1), 1, atol=1e-4)
