"""A song as a picture."""

import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

from k1edge.__main__ import main
from k1edge.audio.synth import SynthSource, four_on_the_floor
from k1edge.config import Settings
from k1edge.portrait import FRAMES_PER_S, perform


@pytest.fixture(scope="module")
def song():
    return four_on_the_floor(120.0, 12.0)


def test_the_performance_shows_the_beats_of_the_song(song):
    shown = perform(SynthSource(song.samples, song.rate_hz), Settings())
    assert len(shown.frames) == 12 * FRAMES_PER_S
    due_s = np.array([due for due, _ in shown.beats.values() if 6 < due < 11.8])
    assert len(due_s) >= 10
    errors = np.abs(due_s[:, None] - song.truth.beats_s[None, :]).min(axis=1)
    assert np.mean(errors < 0.035) > 0.9
    assert np.array(shown.frames[8 * FRAMES_PER_S :]).max() > 100, "there is light"


def test_a_file_becomes_a_picture_and_a_film(song, tmp_path, capsys):
    wav, png, gif = tmp_path / "song.wav", tmp_path / "strip.png", tmp_path / "strip.gif"
    soundfile.write(wav, song.samples[: song.rate_hz * 4], song.rate_hz)
    assert main(["simulate", "--file", str(wav), "--png", str(png), "--gif", str(gif)]) == 0
    assert "sections" in capsys.readouterr().err
    with Image.open(png) as picture:
        assert picture.width > picture.height / 5
    with Image.open(gif) as film:
        assert film.n_frames > 50


def test_what_cannot_be_heard_or_written_is_said_in_words(song, tmp_path, capsys):
    assert main(["simulate", "--file", str(tmp_path / "none.wav"), "--png", str(tmp_path / "x.png")]) == 66
    assert main(["simulate", "--file", "demo"]) == 2
    wav = tmp_path / "song.wav"
    soundfile.write(wav, song.samples[: song.rate_hz], song.rate_hz)
    assert main(["simulate", "--file", str(wav), "--png", str(tmp_path / "no" / "such" / "folder.png")]) == 73
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wanted", "code", "told"), [((), 2, "--png or --gif"), (("--png", "x.png"), 73, "pip install pillow")]
)
def test_without_pillow_a_picture_is_refused_in_words(monkeypatch, capsys, wanted, code, told):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "k1edge.portrait", raising=False)
    assert main(["simulate", "--file", "demo", *wanted]) == code
    assert told in capsys.readouterr().err
