import runpy
import typing

import numpy as np
import pytest
import soundfile
import soxr

import k1edge
from k1edge.audio import AudioError
from k1edge.audio.synth import four_on_the_floor, silence

KEYS = {"beats", "tempo", "onsets", "frames", "sr", "downbeats", "confidence"}


@pytest.fixture(scope="module")
def sound():
    return four_on_the_floor(120.0, 20.0, 44_100)


def right_share(truth_s: np.ndarray, beats_s: np.ndarray) -> float:
    return float(np.mean(np.abs(truth_s[:, None] - beats_s).min(axis=1) < 0.04))


def test_a_file_has_its_beats_with_the_keys_of_the_older_detector(tmp_path, sound):
    path = tmp_path / "floor.wav"
    soundfile.write(path, sound.samples, sound.rate_hz)
    found = k1edge.BeatDetector(sr=22_050, hop_length=512).detect_beats(audio_path=str(path), units="time", filter_beats=True)
    assert set(found) == KEYS
    assert found["tempo"] == pytest.approx(120.0, abs=1.0)
    assert right_share(sound.truth.beats_s, found["beats"]) > 0.9
    assert found["sr"] == 22_050
    assert (found["frames"] == np.round(found["beats"] * 22_050 / 512)).all()
    assert set(found["downbeats"]) <= set(found["beats"])
    assert len(found["downbeats"]) == pytest.approx(len(found["beats"]) / 4, abs=1)
    assert 0 < found["confidence"] <= 1
    assert right_share(sound.truth.beats_s, found["onsets"]) > 0.9


def test_an_array_at_any_rate_has_the_same_beats_as_its_file(sound):
    as_it_is = k1edge.BeatDetector(sr=44_100).detect_beats(sound.samples)
    halved = k1edge.BeatDetector(sr=22_050).detect_beats(soxr.resample(sound.samples.astype(np.float64), 44_100, 22_050))
    assert right_share(as_it_is["beats"], halved["beats"]) > 0.9
    assert halved["tempo"] == pytest.approx(as_it_is["tempo"], abs=1.0)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_an_array_of_the_engine_s_own_kind_is_heard_without_a_copy(rate_hz):
    samples = silence(2.0, rate_hz).samples.astype(np.float32)
    heard, fmt = k1edge.BeatDetector(sr=rate_hz)._source(samples)
    assert fmt.rate_hz == rate_hz and all(np.shares_memory(block.samples, samples) for block in heard)


def test_stereo_arrays_are_mixed(sound):
    stereo = np.column_stack([sound.samples, sound.samples])
    found = k1edge.BeatDetector(sr=44_100).detect_beats(stereo)
    assert right_share(sound.truth.beats_s, found["beats"]) > 0.9


@pytest.mark.parametrize("seconds", [0.0, 0.005, 3.0])
def test_silence_has_no_beats_and_no_tempo(seconds):
    found = k1edge.BeatDetector(sr=48_000).detect_beats(silence(seconds, 48_000).samples)
    assert len(found["beats"]) == len(found["downbeats"]) == found["tempo"] == found["confidence"] == 0


@pytest.mark.parametrize(
    "samples",
    [np.zeros((2, 2, 2), np.float32), np.zeros(9, np.int16), np.array([0.0, np.nan], np.float32), np.full(9, 1e39),
     np.zeros((9, 0))],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_bad_array_is_refused(samples):
    with pytest.raises(ValueError, match="samples must be"):
        k1edge.BeatDetector(sr=44_100).detect_beats(samples)


def test_a_bad_file_and_bad_arguments_are_refused(tmp_path):
    with pytest.raises(AudioError):
        k1edge.BeatDetector().detect_beats(tmp_path / "none.wav")
    for rate in (0, 22_050.5, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="positive whole numbers"):
            k1edge.BeatDetector(sr=rate)


def test_a_rate_that_is_a_whole_float_is_taken():
    found = k1edge.BeatDetector(sr=44_100.0, hop_length=512.0).detect_beats(silence(2.0, 44_100).samples)
    assert found["sr"] == 44_100 and isinstance(found["sr"], int)


def test_a_type_checker_sees_what_is_loaded_later(monkeypatch):
    loaded = {name: getattr(k1edge, name) for name in k1edge.__all__}
    monkeypatch.setattr(typing, "TYPE_CHECKING", True)
    assert runpy.run_path(k1edge.__file__).items() >= loaded.items()


def test_what_the_package_does_not_offer_is_an_attribute_error_and_what_it_does_is_loaded():
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        k1edge.Nonsense  # noqa: B018
    assert k1edge.Pipeline.__module__ == "k1edge.pipeline"
