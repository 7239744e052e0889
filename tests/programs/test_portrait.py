"""A song as a picture."""

import sys
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from PIL import Image

from k1edge.__main__ import main
from k1edge.audio.synth import SynthSource, four_on_the_floor
from k1edge.config import Settings
from k1edge.k1.palettes import GAMMA, LUMINANCE
from k1edge.k1.picture import save_gif
from k1edge.programs.pictures import SECTION_COLOURS
from k1edge.programs.portrait import (
    BAND_PX,
    FRAMES_PER_S,
    MARGIN_PX,
    RULER_PX,
    Performance,
    _captioned,
    draw,
    perform,
)
from tests.music import demo_song


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


def test_the_form_of_the_demo_song_can_be_seen():
    sound = demo_song()
    shown = perform(SynthSource(sound.samples, sound.rate_hz), Settings())
    light = ((np.array(shown.frames, np.float32) / 255) ** GAMMA @ LUMINANCE).mean(axis=1)
    edges = [*(round(span.start_s * FRAMES_PER_S) for span in sound.truth.sections), len(light)]
    intro, build, drop, breakdown, rise, again, outro = (light[a:b] for a, b in pairwise(edges))
    bar = round(4 * 60 / sound.truth.bpm * FRAMES_PER_S)
    for before, hit in ((build, drop), (rise, again)):
        assert before[-2 * bar :].mean() > 1.2 * before[: 2 * bar].mean(), "it rises"
        assert hit[: 2 * bar].mean() > 1.2 * before[-2 * bar :].mean(), "and is let go"
    assert breakdown[2 * bar :].mean() < 0.5 * drop.mean()
    assert outro[-bar:].mean() < 0.5 * again.mean()
    assert min(drop.mean(), again.mean()) > 2 * intro.mean()


def test_a_file_becomes_a_picture_and_a_film(song, tmp_path, capsys):
    wav, png, gif = tmp_path / "song.wav", tmp_path / "strip.png", tmp_path / "strip.gif"
    soundfile.write(wav, song.samples[: song.rate_hz * 4], song.rate_hz)
    assert main(["simulate", "--file", str(wav), "--png", str(png), "--gif", str(gif)]) == 0
    assert "sections" in capsys.readouterr().err
    with Image.open(png) as picture:
        assert picture.width > picture.height / 5
    with Image.open(gif) as film:
        assert film.n_frames > 50


def test_a_film_names_the_section_that_plays_and_blinks_on_each_beat(song, tmp_path):
    wav, gif = tmp_path / "song.wav", tmp_path / "strip.gif"
    soundfile.write(wav, song.samples, song.rate_hz)
    assert main(["simulate", "--file", str(wav), "--gif", str(gif)]) == 0
    with Image.open(gif) as film:
        heads = []
        for number in range(film.n_frames // 2, film.n_frames):
            film.seek(number)
            heads.append(np.asarray(film.convert("RGB"), int)[:BAND_PX])
    lit = np.array([head[BAND_PX - 4, ::40].min() > 150 for head in heads])
    assert 8 <= np.count_nonzero(np.diff(lit.astype(int)) == 1) <= 14, "120 bpm for six seconds"
    tint = np.median(heads[-1][1, 200:400], axis=0)
    assert min(np.abs(tint - colour).max() for colour in SECTION_COLOURS.values()) < 30
    assert np.ptp(heads[-1][4:18, MARGIN_PX:60, 0]) > 80, "its name"


def test_the_name_of_a_section_can_be_read_whatever_the_light_is(tmp_path):
    strip = np.add.outer(np.arange(160), [0, 60, 120]).astype(np.uint8)
    frames = np.stack([np.roll(strip, 3 * number, axis=0) // 4 for number in range(FRAMES_PER_S)])
    shown = Performance(list(frames), [(0.0, "build")])
    save_gif(tmp_path / "film.gif", frames, FRAMES_PER_S, partial(_captioned, shown))
    with Image.open(tmp_path / "film.gif") as film:
        film.seek(film.n_frames - 1)
        head = np.asarray(film.convert("RGB"), int)[: BAND_PX - 6, : 3 * BAND_PX]
    assert head.min(axis=2).max() > 200, "as bright as INK"
    assert np.abs(head[1, -1] - SECTION_COLOURS["build"]).max() < 20


def test_no_time_is_cut_off_at_the_end_of_a_picture(tmp_path):
    for seconds in (5.0, 5.5, 9.0):
        dark = [np.zeros((160, 3), np.uint8)] * int(seconds * FRAMES_PER_S)
        draw(Performance(dark, [(0.0, "intro")]), tmp_path / "strip.png")
        with Image.open(tmp_path / "strip.png") as picture:
            ruler = np.asarray(picture.convert("RGB"), int)[-RULER_PX:]
        assert np.ptp(ruler[:, -MARGIN_PX:], axis=(0, 1)).max() == 0, seconds


@pytest.fixture
def wav(song, tmp_path):
    path = tmp_path / "song.wav"
    soundfile.write(path, song.samples[: song.rate_hz * 4], song.rate_hz)
    return path


def strip(wav, *more):
    """The pixels of its picture, between the names of the sections and the ruler."""
    png = wav.with_suffix(".png")
    assert main(["simulate", "--file", str(wav), "--png", str(png), *more]) == 0
    with Image.open(png) as picture:
        return np.asarray(picture.convert("RGB"))[40:-40, 10:-10]


def test_a_picture_is_lit_by_the_configuration_and_says_by_which(wav, tmp_path, monkeypatch, capsys):
    config = tmp_path / "red.toml"
    config.write_text('[mqtt]\npassword_file = "not for everyone"\n[looks.silence]\npattern = "lava"\npalette = "Fire"\n'
                      "parameters = { brightness = 0.8 }\n")  # fmt: skip
    monkeypatch.setattr("k1edge.config.file.SYSTEM_FILE", tmp_path / "none")
    by_default = strip(wav)
    assert "built-in defaults" in capsys.readouterr().err
    given = strip(wav, "--config", str(config))
    assert str(config) in capsys.readouterr().err
    monkeypatch.setenv("K1EDGE_CONFIG", str(config))
    assert (strip(wav) == given).all()
    before_music = given[:, 20:40]
    assert before_music[..., 0].mean() > 2 * before_music[..., 2].mean(), "Fire"
    assert before_music.mean() > 2 * by_default[:, 20:40].mean(), "silence is dark"


def test_a_picture_is_not_drawn_by_a_configuration_with_faults(wav, tmp_path, capsys):
    config = tmp_path / "bad.toml"
    config.write_text('[looks.drop]\npattern = "puls"\n')
    assert main(["simulate", "--file", str(wav), "--png", str(tmp_path / "x.png"), "--config", str(config)]) == 78
    assert f"{config}:2: looks.drop.pattern" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_a_k1_on_a_broker_is_lit_by_no_configuration_of_ours(capsys):
    assert main(["simulate", "--config", "some.toml"]) == 2
    assert "lights a --file" in capsys.readouterr().err


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
    monkeypatch.delitem(sys.modules, "k1edge.programs.portrait", raising=False)
    assert main(["simulate", "--file", "demo", *wanted]) == code
    assert told in capsys.readouterr().err
