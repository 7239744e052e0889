"""`k1edge demo`: the first thing a user meets."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import soundfile

from k1edge.__main__ import main
from k1edge.audio import AudioError
from k1edge.audio.cards import Device
from k1edge.audio.synth import SynthSource, four_on_the_floor
from k1edge.config import AudioSettings, Settings
from k1edge.daemon.sources import opener
from k1edge.interpreter import PYTHON
from k1edge.programs import demo
from k1edge.programs.options import this_machine
from k1edge.programs.portrait import perform
from tests.brokers import PATIENCE_S, eventually
from tests.in_terminal import InTerminal
from tests.music import demo_song

CARDS = [Device(0, "USB Audio", 2, "CODEC"), Device(3, "HiFiBerry", 2, "sndrpihifiberry"), Device(5, "default", 2)]
BEATS = re.compile(rb"(\d+) beats shown, (\d+) too late")
"""At the foot of the screen."""


def processes_of(mark: str) -> list[str]:
    """Those that inherited this from the environment."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in environ.read_bytes():
                found.append(environ.parent.joinpath("cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_a_virtual_k1_is_led_and_ctrl_c_ends_everything_with_0(tmp_path):
    # What is installed on the machine leads K1s of its own, elsewhere.
    config = tmp_path / "installed.toml"
    config.write_text('[mqtt]\nurl = "mqtt://127.0.0.1:1"\n[[k1.devices]]\nid = "porch"\n')
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    mark = uuid.uuid4().hex
    environ = {"HOME": str(home), "TMPDIR": str(temporary), "K1EDGE_CONFIG": str(config), "K1EDGE_TEST": mark}
    with InTerminal(100, 20, "demo", "--song", **environ) as program:
        eventually(lambda: b"the edge leads" in program.screen, "it is led", 2 * PATIENCE_S)
        # A machine that is busy with other things brings them too late; that they are right: the next test.
        eventually(lambda: any(int(shown) + int(late) >= 4 for shown, late in BEATS.findall(program.screen)), "beats reach it")
    assert program.process.returncode == 0
    assert "listening to the demo song; Ctrl-C ends the demo" in program.complaints
    assert re.search(r"\d+ beats shown, \d+ came too late\n$", program.complaints)
    assert "Traceback" not in program.complaints
    assert program.screen.endswith(b"\x1b[?25h\x1b[?1049l"), "the terminal is given back"
    eventually(lambda: not processes_of(mark), "nothing runs on")
    assert not [*home.iterdir(), *temporary.iterdir()], "nothing is kept"


def test_a_terminal_that_is_closed_leaves_nothing_running(tmp_path, hangs_up):
    mark = uuid.uuid4().hex
    with InTerminal(100, 20, "demo", "--song", TMPDIR=str(tmp_path), K1EDGE_TEST=mark) as program:
        eventually(lambda: any("run" in words.split() for words in processes_of(mark)), "the daemon runs", 2 * PATIENCE_S)
        program.process.send_signal(signal.SIGHUP)
        program.process.wait(PATIENCE_S)
    eventually(lambda: not processes_of(mark), "nothing runs on")
    assert not [*tmp_path.iterdir()], "nothing is kept"


def test_the_demo_song_is_on_the_beat_within_ten_seconds():
    song = demo_song()
    shown = perform(SynthSource(song.samples[: 10 * song.rate_hz], song.rate_hz), Settings())
    due_s = np.array([due for due, _ in shown.beats.values()])[-4:]
    errors_s = np.abs(due_s[:, None] - song.truth.beats_s).min(axis=1)
    assert len(errors_s) == 4
    assert (errors_s < 0.035).all()


@pytest.mark.parametrize(
    ("cards", "device", "source", "told"),
    [
        (CARDS[:1], "", "line", "USB Audio"),
        (CARDS, "hifi", "line", "HiFiBerry"),
        ([], "", "demo", "there is no capture device"),
        (CARDS, "", "demo", "could be any of 'CODEC', 'sndrpihifiberry'; set [audio] device"),
        (CARDS, "absent", "demo", "absent"),
    ],
)
def test_the_sound_card_is_heard_or_it_is_told_why_not(monkeypatch, cards, device, source, told):
    monkeypatch.setattr("k1edge.audio.linein.list_devices", lambda: cards)
    args = argparse.Namespace(file=None, song=False, play=False)
    chosen, name = demo.chosen(args, AudioSettings(device=device))
    assert chosen == source
    assert told in name


def test_the_installed_configuration_says_how_to_listen_unless_it_is_broken(monkeypatch, tmp_path):
    config = tmp_path / "k1edge.toml"
    monkeypatch.setenv("K1EDGE_CONFIG", str(config))
    config.write_text('[audio]\ndevice = "CODEC"\n[mqtt]\nusername = "pi"\npassword_file = "not-for-everyone"\n')
    assert this_machine().audio.device == "CODEC"
    config.write_text('[audio]\ndevise = "CODEC"\n')
    assert this_machine().audio == AudioSettings()


def test_of_a_configuration_with_faults_the_names_are_kept_as_its_daemon_does(monkeypatch, tmp_path):
    config = tmp_path / "k1edge.toml"
    monkeypatch.setenv("K1EDGE_CONFIG", str(config))
    config.write_text('site = "bar"\nedge = "Pi 1"\n[beat]\nlead_ms = -4\n')
    assert (this_machine().site, this_machine().edge) == ("bar", Settings().edge)
    config.write_text('site = "bar\n')
    assert this_machine().site == Settings().site


@pytest.mark.parametrize("origin", ["line", "song.wav"])
def test_what_cannot_be_heard_is_not_played_in_silence(origin, capsys):
    with pytest.raises(AudioError, match="the demo song alone can be heard"):
        opener(origin, AudioSettings(), audible=True)
    assert main(["demo", "--file", origin, "--play"]) == 66
    assert "leave out --play" in capsys.readouterr().err


def test_a_file_that_is_no_sound_is_named(tmp_path, capsys):
    assert main(["demo", "--file", str(tmp_path / "missing.wav")]) == 66
    assert capsys.readouterr().err == f"k1edge demo: {tmp_path / 'missing.wav'}: there is no such file; check the path\n"


def test_a_short_file_is_played_to_its_end(tmp_path):
    path = tmp_path / "Größe ♫.wav"
    soundfile.write(path, np.zeros(44_100), 44_100)
    command = [sys.executable, "-m", "k1edge", "demo", "--file", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False,
                          env=os.environ | {"HOME": str(tmp_path)})
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_what_lies_in_the_working_folder_is_no_module_of_ours(tmp_path):
    """Neither to the broker nor to the daemon."""
    (tmp_path / "types.py").write_text("raise SystemExit('taken for a module')")
    soundfile.write(tmp_path / "song.wav", np.zeros(44_100), 44_100)
    command = [*PYTHON, "-m", "k1edge", "demo", "--file", "song.wav"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False, cwd=tmp_path,
                          env=os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(Path.cwd())})
    assert (done.returncode, "taken" in done.stderr) == (0, False)


@pytest.fixture
def short_song(monkeypatch):
    """In place of the demo song, which takes a second to compose."""
    sound = four_on_the_floor(124.0, 2.0)
    monkeypatch.setattr("k1edge.audio.demo.demo_song", lambda: sound)
    return sound


def test_the_demo_song_can_be_written(tmp_path, capsys, short_song):
    path = tmp_path / "Größe ♫.flac"
    assert main(["demo", "--write", str(path)]) == 0
    assert soundfile.info(path).duration == pytest.approx(short_song.duration_s, abs=0.01)
    assert "124 BPM" in capsys.readouterr().err


UNWRITABLE = [("file/new/a.wav", "Not a directory"), ("a.xyz", "no kind of sound"), ("a", "no kind of sound"),
              ("a.raw", "cannot be made")]  # fmt: skip


@pytest.mark.usefixtures("short_song")
@pytest.mark.parametrize(("name", "told"), UNWRITABLE)
def test_a_song_that_cannot_be_written_says_why(tmp_path, capsys, name, told):
    (tmp_path / "file").touch()
    assert main(["demo", "--write", str(tmp_path / name)]) == 73
    assert told in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
