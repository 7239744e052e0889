import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from k1edge.analysis.hindsight import Hindsight
from k1edge.audio.synth import SynthSource
from k1edge.beat.network import DELAY_S, FRAMES_PER_S, HOPS_A_FRAME, BeatNetwork, load_weights, side_by_side
from k1edge.dsp.features import N_BANDS, FeatureExtractor
from k1edge.frames import HOPS_PER_S, StreamFormat

TRAIN = Path(__file__).parents[2] / "scripts" / "train"


@pytest.fixture(scope="module", autouse=True)
def _training_scripts():
    sys.path.insert(0, str(TRAIN))
    yield
    sys.path.remove(str(TRAIN))


def loudness_steps(rate_hz, seconds=4, seed=0):
    rng = np.random.default_rng(seed)
    n = seconds * rate_hz
    return (rng.standard_normal(n) * np.repeat(rng.uniform(0, 0.3, 10 * seconds), rate_hz // 10)).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [32_000, 44_100, 48_000])
def test_training_hears_what_the_daemon_hears(rate_hz):
    from bands import bands

    audio, extractor = loudness_steps(rate_hz), FeatureExtractor(StreamFormat(rate_hz))
    heard = np.array([extractor.process(block).bands for block in SynthSource(audio, rate_hz)])
    assert np.abs(heard - bands(audio, rate_hz)).max() < 1e-4


def test_bands_that_were_not_altered_are_scaled_as_they_were():
    from bands import bands
    from dataset import COMPRESSION, scaled_anew

    frames = bands(loudness_steps(32_000))[::HOPS_A_FRAME]
    energy = np.expm1(frames) / COMPRESSION
    again = scaled_anew(energy, energy.max(axis=1) > 0.998)
    first_peak = int(np.argmax(energy.max(axis=1) > 0.998))
    assert np.abs(again - frames)[first_peak:].max() < 0.01


def test_weights_in_eight_bits_are_half_a_step_off_at_most(tmp_path):
    from stack import LARGEST, in_eight_bits

    shapes = {"into": (2, 30, 8), "into_bias": (2, 30), "head": (2, 3, 10)}
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(0, rng.uniform(0.1, 9), shape).astype(np.float32) for name, shape in shapes.items()}
    weights["head"][0, 1] = 0.0
    stored = in_eight_bits(weights)
    assert {stored[name].dtype for name in ("into", "head")} == {np.dtype(np.int8)}
    np.savez_compressed(tmp_path / "nets.npz", **stored)
    loaded = load_weights(tmp_path / "nets.npz")
    assert loaded.keys() == weights.keys()
    for name, array in weights.items():
        assert loaded[name].dtype == np.float32
        step = np.abs(array).max(axis=-1, keepdims=True) / LARGEST
        assert (np.abs(loaded[name] - array) <= 0.6 * step).all()


def test_a_network_in_eight_bits_says_nearly_what_it_said(tmp_path):
    from stack import in_eight_bits

    rng = np.random.default_rng(7)
    weights = {name: (array * rng.normal(1.0, 0.3, array.shape)).astype(np.float32) for name, array in load_weights().items()}
    np.savez_compressed(tmp_path / "nets.npz", **in_eight_bits(weights))
    before, after = BeatNetwork(weights), BeatNetwork(load_weights(tmp_path / "nets.npz"))
    bands = rng.uniform(0, 4, (100, N_BANDS)).astype(np.float32)
    off = [np.abs(after.process(hop) - before.process(hop)).max() for hop in bands]
    assert 0 < max(off) < 0.1


def test_targets_lie_one_delay_after_the_beats():
    from dataset import targets

    beats = np.array([[1.0, 1], [1.5, 0], [2.0, 0]])
    found = targets(beats, np.array([[1.0, 2.5]]), 3 * FRAMES_PER_S, start_s=0.0)
    peaks = np.flatnonzero(found[:, 0] == 1.0) / FRAMES_PER_S - DELAY_S
    assert np.abs(peaks - beats[:, 0]).max() <= 0.5 / FRAMES_PER_S
    assert np.flatnonzero(found[:, 1] == 1.0).size == 1
    assert found[int(1.2 * FRAMES_PER_S), 2] == 1 > found[int(2.7 * FRAMES_PER_S), 2] == 0


def test_crops_keep_beats_on_the_onsets_at_any_speed():
    from dataset import Cached, crop

    bands = np.zeros((40 * HOPS_PER_S, N_BANDS), np.float16)
    beats_s = np.arange(0.5, 39.5, 0.5)
    for beat_s in beats_s:
        bands[round(beat_s * HOPS_PER_S) - 1 :][:3] = 3.0  # hop k ends k + 1 hops after the start
    item = Cached(bands, np.stack([beats_s, np.zeros(len(beats_s))], axis=1), np.array([[0.5, 39.5]]), "clicks")
    rng = np.random.default_rng(5)
    for _ in range(20):
        heard, found = crop(rng, [item, item], 12 * FRAMES_PER_S)
        level = heard.mean(axis=1)
        loud = level > (level.min() + level.max()) / 2
        rises = np.flatnonzero(loud[1:] & ~loud[:-1]) + 1
        peaks = np.flatnonzero(found[:, 0] == 1.0) - DELAY_S * FRAMES_PER_S
        if len(rises) > 3:
            assert np.median([np.abs(peaks - rise).min() for rise in rises]) <= 1.0


def test_a_style_is_on_its_grid():
    from compose import compose
    from styles import STYLES

    for name in ("house", "swing", "waltz", "six_eight"):
        piece = compose(np.random.default_rng(1), name, 30.0)
        step_s = np.median(np.diff(piece.grid.beats_s)) / STYLES[name].steps
        kicks = np.array([t for t, role, _ in piece.strokes if role == "kick"])
        places = (kicks[:, None] - piece.grid.beats_s[None, :]) / step_s
        assert np.median(np.abs(places - np.round(places)).min(axis=1)) < 0.3
        assert len(piece.grid.beats_s) % STYLES[name].metre == 0


def test_numpy_and_torch_agree():
    torch = pytest.importorskip("torch", reason="only where networks are trained")
    from model import Model, weights_of

    torch.manual_seed(0)
    model = Model(hidden=32).eval()
    bands = np.random.default_rng(0).uniform(0, 4, (300, N_BANDS)).astype(np.float32)
    network = BeatNetwork(weights_of(model))
    heard = np.array([network.process(hop).copy() for hop in bands])[::HOPS_A_FRAME]
    with torch.no_grad():
        expected = torch.sigmoid(model(torch.from_numpy(bands[None, ::HOPS_A_FRAME]))[0, :, :3]).numpy()
    assert np.abs(heard - expected).max() < 1e-4


def test_numpy_and_torch_agree_on_the_network_for_whole_tracks():
    torch = pytest.importorskip("torch", reason="only where networks are trained")
    from model import Model, weights_of

    torch.manual_seed(0)
    model = Model(hidden=32, both_ways=True).eval()
    bands = np.random.default_rng(0).uniform(0, 4, (300, N_BANDS)).astype(np.float32)
    heard = Hindsight(weights_of(model)).hear(bands)
    with torch.no_grad():
        expected = torch.sigmoid(model(torch.from_numpy(bands[None, ::HOPS_A_FRAME]))[0, :, :3]).numpy()
    assert np.abs(heard[:, :3] - expected).max() < 1e-4


def test_an_overlay_changes_what_is_heard_and_nothing_of_the_truth():
    from dataset import Cached, crop

    draw = np.random.default_rng(1)
    times = np.arange(0.5, 39.5, 0.5)
    music = Cached(
        draw.uniform(0, 3, (4000, N_BANDS)), np.stack([times, times % 2 == 0.5], axis=1), np.array([[0.5, 39.5]]), "m"
    )
    talk = Cached(draw.uniform(0, 3, (4000, N_BANDS)), np.zeros((0, 2)), np.zeros((0, 2)), "speech")
    pairs = [crop(np.random.default_rng(seed), [music, music], 500, over) for seed in range(8) for over in (None, talk)]
    for (plain, truth), (mixed, same) in zip(pairs[::2], pairs[1::2], strict=True):
        assert np.array_equal(truth, same) and not np.array_equal(plain, mixed)


@pytest.mark.parametrize(("bpm", "rows_a_beat"), [(125, 4), (250, 8), (50, 2)])
def test_beats_of_a_module_are_rows_at_a_tempo_that_people_tap(bpm, rows_a_beat):
    from recorded import beats_of_rows

    row_s = 60 / bpm / 4
    rows = np.array([(n * row_s, n % 64, 64, bpm) for n in range(256)])
    beats = beats_of_rows(rows)
    assert np.allclose(np.diff(beats[:, 0]), rows_a_beat * row_s)
    assert np.allclose(np.diff(beats[beats[:, 1] == 1, 0]), 16 * row_s)


def test_a_project_has_its_grid_from_its_head_and_is_judged_by_a_minute_of_it(tmp_path):
    from recorded import RATE_HZ, judge_by, project

    soundfile.write(tmp_path / "song.flac", np.zeros(70 * RATE_HZ, np.float32), RATE_HZ)
    (tmp_path / "song.head").write_text('<head timesig_numerator="3" bpm="90" timesig_denominator="4"/>')
    piece = project(tmp_path / "song.flac")
    assert np.allclose(np.diff(piece.beats[:, 0]), 60 / 90) and list(piece.beats[:4, 1]) == [1, 0, 0, 1]
    judge_by(piece, tmp_path)
    rows = np.array([line.split() for line in (tmp_path / "song.beats").read_text().splitlines()], float)
    assert len(rows) == 90 and rows[0, 0] == pytest.approx(0.0, abs=1e-3) and rows[0, 1] == 1
    assert soundfile.info(tmp_path / "song.wav").duration == 60


def test_a_project_without_a_constant_tempo_is_refused(tmp_path):
    from recorded import project

    (tmp_path / "song.head").write_text('<head timesig_numerator="4" timesig_denominator="4">')
    with pytest.raises(ValueError, match="no constant tempo"):
        project(tmp_path / "song.ogg")


def test_places_are_read_from_the_downbeats_and_go_on_beyond_them():
    from bar_crops import PER_BAR, POSITION, places

    found = places(np.array([0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0], float))
    assert list(PER_BAR[found]) == [4] * 6 + [3] * 5
    assert list(POSITION[found]) == [2, 3, 0, 1, 2, 3, 0, 1, 2, 0, 1]


def test_places_in_bars_that_are_not_followed_are_not_known():
    from bar_crops import places

    assert (places(np.array([1, 0, 0, 0, 0, 0, 0, 1, 0, 0], float))[:7] == -1).all()
    assert (places(np.array([1.0, 0, 0, 0])) == -1).all()


def test_errors_of_a_tracker_leave_each_downbeat_with_its_time():
    from bar_crops import with_errors

    beats = np.stack([0.5 * np.arange(64), np.arange(64) % 4 == 0], axis=1)
    for seed in range(60):
        told = with_errors(np.random.default_rng(seed), beats)
        ones = told[told[:, 1] > 0.5, 0]
        late = (ones - np.round(ones / 2) * 2) % 2
        assert len(told) > 20 and (np.diff(told[:, 0]) > 0).all()
        # On time or, where all beats are between, half a beat late.
        assert (np.minimum(late, 2 - late) < 0.1).all() or (np.abs(late - 0.25) < 0.1).all()


def test_a_crop_tells_of_each_beat_what_the_daemon_would_hear_of_it():
    from bar_crops import N_PLACES, Piece, crop

    rng = np.random.default_rng(2)
    rows = rng.uniform(0, 4, (3_000, N_BANDS + 2)).astype(np.float16)
    beats = np.stack([0.5 * np.arange(58), np.arange(58) % 3 == 0], axis=1)
    x, y = crop(rng, Piece(rows, beats), 32)
    assert x.shape[0] == len(y) == 32 and np.isfinite(x).all() and np.abs(x).max() < 20
    assert (y >= -1).all() and (y < N_PLACES).all()


def test_a_level_crop_tells_in_which_way_its_beats_are_wrong():
    from level_crops import CLASSES, N_LEVEL_INPUTS, UNSURE, Piece, crop

    rng = np.random.default_rng(2)
    rows = rng.uniform(0, 4, (6_000, N_BANDS + 2)).astype(np.float16)
    beats = np.stack([0.5 * np.arange(118), np.arange(118) % 4 == 0], axis=1)
    labels = set()
    for _ in range(80):
        x, y = crop(rng, Piece(rows, beats), 32)
        assert x.shape == (32, N_LEVEL_INPUTS) and np.isfinite(x).all() and np.abs(x).max() < 20
        known = y[y >= 0]
        assert (y[:UNSURE] == -1).all() and len(set(known)) == 1
        labels |= set(known)
    assert len(labels) > len(CLASSES) - 3


@pytest.mark.parametrize(("name", "apart"), [("right", 1), ("double", 1 / 2), ("half", 2), ("triple", 1 / 3),
                                             ("three halves", 2 / 3), ("two thirds", 3 / 2), ("a third", 3)])  # fmt: skip
def test_beats_that_are_wrong_are_wrong_in_the_way_their_name_says(name, apart):
    from level_crops import as_another

    for seed in range(8):
        told = as_another(np.random.default_rng(seed), np.arange(60.0), name)
        assert np.allclose(np.diff(told), apart)
        # Every one of them, or every so many, is a beat, or two thirds of the way there.
        assert np.allclose((told * 6) % 1, 0, atol=1e-9)


def test_beats_that_are_off_are_between():
    from level_crops import as_another

    for seed in range(20):
        told = as_another(np.random.default_rng(seed), np.arange(60.0), "off")
        assert (np.minimum(told % 1, 1 - told % 1) > 0.2).all()


def test_a_piece_that_is_played_faster_keeps_its_beats_at_their_sounds():
    from level_crops import Piece, stretched

    beats = np.stack([0.5 * np.arange(58), np.arange(58) % 4 == 0], axis=1)
    rows = np.zeros((3_000, N_BANDS + 2), np.float16)
    for n in range(58):
        rows[50 * n : 50 * n + 50] = n
    for seed in range(10):
        faster = stretched(np.random.default_rng(seed), Piece(rows, beats))
        middles = (faster.beats[:-1, 0] + faster.beats[1:, 0]) / 2
        assert (faster.rows[(middles * 100).astype(int), 0] == np.arange(57)).all()
        assert 0.8 <= len(rows) / len(faster.rows) <= 1.26


def test_numpy_and_torch_agree_on_a_network_of_one_step_a_beat(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="only where networks are trained")
    from beatwise import Model, export

    from k1edge.beat import beatwise

    torch.manual_seed(0)
    models = [Model(20, 5).eval() for _ in range(2)]
    for n, model in enumerate(models):
        export(model, tmp_path / f"{n}.npz")
    nets = side_by_side([load_weights(tmp_path / f"{n}.npz") for n in range(2)])
    monkeypatch.setattr(beatwise, "_weights", lambda name: nets)
    inputs = np.random.default_rng(0).normal(0, 1, (40, 20)).astype(np.float32)
    network = beatwise.BeatwiseNetwork("both")
    state = network.silence()
    heard = np.array([network.process(row, state) for row in inputs])
    with torch.no_grad():
        expected = (sum(model(torch.from_numpy(inputs[None]))[0] for model in models) / 2).numpy()
    assert np.abs(heard - expected).max() < 5e-3
