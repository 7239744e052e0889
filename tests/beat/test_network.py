import tracemalloc
from importlib import resources

import numpy as np
import pytest

from k1edge.audio.synth import SynthSource
from k1edge.beat import network as network_module
from k1edge.beat.network import (
    BEAT,
    CONTEXT,
    DELAY_S,
    DOWNBEAT,
    HOPS_A_FRAME,
    MUSIC,
    N_TEMPI,
    TEMPO_RANGE_BPM,
    WEIGHTS,
    BeatNetwork,
    load_weights,
    side_by_side,
)
from k1edge.dsp.features import N_BANDS, FeatureExtractor
from k1edge.frames import HOPS_PER_S, StreamFormat
from k1edge.live import checkpoint
from tests.beat.equations import gru, probabilities

RATE_HZ = 48_000


def logits(weights, bands):
    """(frames, 3 + N_TEMPI) by the equations."""
    frames = np.concatenate([np.zeros((CONTEXT - 1, N_BANDS)), bands[::HOPS_A_FRAME]])
    x = np.array([frames[i : i + CONTEXT].ravel() for i in range(len(frames) - CONTEXT + 1)])
    x = np.maximum(x @ weights["front"].T.astype(float) + weights["front_bias"], 0)
    for layer in ("gru1", "gru2"):
        x = gru(weights, layer, x)
    return x @ weights["head"].T.astype(float) + weights["head_bias"]


def listen(network, bands):
    """(frames, 3 + N_TEMPI), as `logits`."""
    return np.array([[*network.process(hop), *network.tempi] for hop in bands])[::HOPS_A_FRAME]


def packaged_nets():
    """The package's nets, each by itself."""
    together = load_weights()
    return [{name: w[i] for name, w in together.items()} for i in range(len(together["front"]))]


def other_weights(seed):
    """A network of the same shape that says something else."""
    rng = np.random.default_rng(seed)
    return {name: (w * rng.normal(1.0, 0.3, w.shape)).astype(np.float32) for name, w in packaged_nets()[0].items()}


def hear(audio, rate_hz=RATE_HZ):
    """(hops, 3): the network behind the real features."""
    extractor, network = FeatureExtractor(StreamFormat(rate_hz)), BeatNetwork()
    return np.array([network.process(extractor.process(block).bands).copy() for block in SynthSource(audio, rate_hz)])


def drums(seconds, bpm, rate_hz=RATE_HZ, seed=0):
    """Kick on 1 and 3, snare on 2 and 4, hats on eighths; beat 0 at 0.1 s. -> audio, beats in s."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(0.2 * rate_hz)) / rate_hz
    kick = np.sin(2 * np.pi * (50 * t + 4 * (1 - np.exp(-t * 40)))) * np.exp(-t * 14)
    snare = (rng.standard_normal(len(t)) + np.sin(2 * np.pi * 190 * t)) * 0.4 * np.exp(-t * 18)
    hat = np.diff(rng.standard_normal(len(t) + 1)) * 0.12 * np.exp(-t * 60)
    audio = np.zeros(int(seconds * rate_hz) + len(t))
    beats_s = np.arange(0.1, seconds, 60 / bpm)
    for i, beat_s in enumerate(beats_s):
        for sound, at_s in ((kick if i % 2 == 0 else snare, beat_s), (hat, beat_s), (hat, beat_s + 30 / bpm)):
            place = audio[round(at_s * rate_hz) :][: len(t)]
            place += sound[: len(place)]
    return 0.5 * audio / np.abs(audio).max(), beats_s


def test_the_weights_of_all_networks_fit_in_500_kb():
    sizes = {f.name: len(f.read_bytes()) for f in resources.files("k1edge.beat").iterdir() if f.name.endswith(".npz")}
    assert WEIGHTS in sizes
    assert sum(sizes.values()) <= 500_000


def test_streaming_equals_the_equations():
    bands = np.random.default_rng(1).uniform(0, 4, (400, N_BANDS)).astype(np.float32)
    said = np.mean([logits(net, bands) for net in packaged_nets()], axis=0)
    assert np.abs(listen(BeatNetwork(), bands) - probabilities(said)).max() < 1e-4


def test_nets_side_by_side_speak_with_the_mean_of_their_logits():
    bands = np.random.default_rng(5).uniform(0, 4, (200, N_BANDS)).astype(np.float32)
    nets = [packaged_nets()[0], other_weights(1), other_weights(2)]
    said = [logits(net, bands) for net in nets]
    together = listen(BeatNetwork(side_by_side(nets)), bands)
    assert np.abs(together - probabilities(np.mean(said, axis=0))).max() < 1e-4
    assert min(np.abs(together - probabilities(alone)).max() for alone in said) > 0.05


def test_a_net_beside_its_like_says_what_it_says_alone():
    bands = np.random.default_rng(6).uniform(0, 4, (100, N_BANDS)).astype(np.float32)
    net = packaged_nets()[0]
    twice = BeatNetwork(side_by_side([net] * 2))
    assert np.allclose(listen(twice, bands), listen(BeatNetwork(net), bands), atol=1e-5)


def test_output_changes_on_every_second_hop_only():
    bands = np.random.default_rng(2).uniform(0, 4, (60, N_BANDS)).astype(np.float32)
    network = BeatNetwork()
    heard = np.array([network.process(hop).copy() for hop in bands])
    assert (heard[0::2] == heard[1::2]).all()
    assert np.ptp(heard[0::2], axis=0).min() > 0


def test_networks_do_not_share_state():
    bands = np.random.default_rng(3).uniform(0, 4, (80, N_BANDS)).astype(np.float32)
    alone, one, other = BeatNetwork(), BeatNetwork(), BeatNetwork()
    expected = [alone.process(hop).copy() for hop in bands]
    for hop, said in zip(bands, expected, strict=True):
        assert (one.process(hop) == said).all()
        other.process(hop[::-1])


@pytest.mark.parametrize("ours", [True, False])
def test_a_copy_goes_on_where_the_network_was_and_takes_no_weights_along_that_the_package_has(ours):
    draw = np.random.default_rng(5)
    network = BeatNetwork(None if ours else load_weights())
    for bands in draw.random((37, N_BANDS), np.float32):
        network.process(bands)
    written = bytes(checkpoint.dumps(network))
    assert (len(written) < 20_000) == ours
    copy = checkpoint.loads(written)
    for bands in draw.random((9, N_BANDS), np.float32):
        assert np.array_equal(copy.process(bands), network.process(bands))
        assert np.array_equal(copy.tempi, network.tempi)


def test_a_copy_of_another_version_s_network_is_refused(monkeypatch):
    written = bytes(checkpoint.dumps(BeatNetwork()))
    monkeypatch.setattr(network_module, "fingerprint", lambda: 7)
    with pytest.raises(checkpoint.CheckpointError, match="another beat network"):
        checkpoint.loads(written)


def test_output_is_read_only():
    network = BeatNetwork()
    with pytest.raises(ValueError, match="read-only"):
        network.process(np.zeros(N_BANDS, np.float32))[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        network.tempi[0] = 1.0


def test_nothing_is_allocated_per_hop():
    network, bands = BeatNetwork(), np.ones(N_BANDS, np.float32)
    for _ in range(10):
        network.process(bands)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(2000):
        network.process(bands)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 2000


@pytest.mark.parametrize("bpm", [88, 120, 150])
def test_a_plain_beat_is_heard_where_it_is(bpm):
    audio, beats_s = drums(20, bpm)
    heard = hear(audio)
    ends_s = (np.arange(len(heard)) + 1) / HOPS_PER_S - DELAY_S
    late = beats_s[(beats_s > 8) & (beats_s < 19)]
    at_beats = [heard[np.abs(ends_s - beat_s) < 0.035, BEAT].max() for beat_s in late]
    between = [heard[np.abs(ends_s - beat_s - 15 / bpm) < 0.02, BEAT].max() for beat_s in late]
    assert np.median(at_beats) > 0.6 > 0.2 > np.median(between)
    assert np.median(heard[-500:, MUSIC]) > 0.8


@pytest.mark.parametrize("bpm", [75, 100, 140])
def test_the_tempo_of_a_plain_beat_is_among_the_likeliest(bpm):
    network, extractor, said = BeatNetwork(), FeatureExtractor(StreamFormat(RATE_HZ)), np.zeros(N_TEMPI)
    for n, block in enumerate(SynthSource(drums(12, bpm)[0], RATE_HZ)):
        network.process(extractor.process(block).bands)
        said += network.tempi if n > 600 else 0.0
    low, high = np.log(TEMPO_RANGE_BPM)
    classes_bpm = np.exp(low + (np.arange(N_TEMPI) + 0.5) / N_TEMPI * (high - low))
    near = np.abs(np.log(classes_bpm / bpm)) < 0.12
    assert said[near].sum() > 0.3 * said.sum()


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_the_sample_rate_does_not_matter(rate_hz):
    audio, _ = drums(12, 120, 96_000)
    t = np.arange(int(12 * rate_hz)) / rate_hz
    heard = hear(np.interp(t, np.arange(len(audio)) / 96_000, audio), rate_hz)
    assert np.median(heard[-400:, MUSIC]) > 0.8
    assert np.percentile(heard[-400:, BEAT], 96) > 0.6


def test_a_downbeat_is_seldom_more_likely_than_a_beat():
    heard = hear(drums(15, 120)[0])
    assert (heard[:, DOWNBEAT] <= heard[:, BEAT] + 0.1).mean() > 0.97


@pytest.mark.parametrize("kind", ["silence", "hiss", "pink", "hum"])
def test_no_music_is_heard_in(kind):
    rng, n = np.random.default_rng(4), 12 * RATE_HZ
    white = rng.standard_normal(n)
    pink = np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.maximum(np.arange(n // 2 + 1), 20)), n)
    hum = sum(np.sin(2 * np.pi * 50 * k * np.arange(n) / RATE_HZ) / k for k in (1, 2, 3, 5))
    audio = {"silence": 0 * white, "hiss": 1e-4 * white, "pink": 0.1 * pink / pink.std(), "hum": 0.1 * hum}[kind]
    heard = hear(audio)
    assert np.median(heard[-600:, MUSIC]) < 0.2
