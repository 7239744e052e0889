import builtins

import numpy as np
import pytest

from k1edge.audio import AudioError
from k1edge.audio.files import FileSource

av = pytest.importorskip("av", reason="the extra m4a is not installed")

RATE_HZ = 44_100
CLICKS_S = (0.5, 1.0, 1.75)


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """Two seconds of stereo with three bursts, as AAC."""
    path = tmp_path_factory.mktemp("m4a") / "song.m4a"
    samples = np.zeros((2, 2 * RATE_HZ), np.float32)
    for at_s in CLICKS_S:
        samples[:, round(at_s * RATE_HZ) :][:, :2000] = np.random.default_rng(1).uniform(-0.5, 0.5, 2000)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=RATE_HZ, layout="stereo")
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = RATE_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return path


def test_an_m4a_file_has_its_sound_where_it_was_put(song):
    source = FileSource(song)
    assert source.fmt.rate_hz == RATE_HZ and source.duration_s == pytest.approx(2.0, abs=0.1)
    level = np.array([np.abs(block.samples).max() for block in source])
    loud = np.flatnonzero((level[1:] > 0.1) & (level[:-1] <= 0.1)) + 1
    assert loud / 100 == pytest.approx(CLICKS_S, abs=0.021)
    assert [np.abs(block.samples).max() for block in source] == pytest.approx(level.tolist())


def test_a_torn_m4a_file_is_an_audio_error(song, tmp_path):
    torn = tmp_path / "torn.m4a"
    torn.write_bytes(song.read_bytes()[:200])
    with pytest.raises(AudioError, match=r"cannot be read as audio \(Invalid data found when processing input\)"):
        list(FileSource(torn))


def test_without_the_decoder_it_is_said_what_to_install(song, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "av":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(AudioError, match=r"pip install 'k1edge\[m4a\]'"):
        FileSource(song)
