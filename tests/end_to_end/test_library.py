"""The library as its users meet it: a running edge, a drop folder, and questions over MQTT."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from k1edge.audio.demo import demo_song
from k1edge.audio.synth import four_on_the_floor
from k1edge.config import Settings
from k1edge.genesis.document import encode, seal
from k1edge.library.store import Library, TrackFacts
from k1edge.programs.job import file_to_map
from tests.brokers import PATIENCE_S, eventually
from tests.end_to_end.daemon import DaemonProcess, Ear, write_config
from tests.genesis.songs import song_v4
from tests.in_terminal import told

EDGE = ["--site", "hall", "--edge", "pi"]


@pytest.fixture
def quiet(tmp_path):
    """A quarter of an hour of silence: as long as an analysis beside other work may take."""
    path = tmp_path / "quiet.flac"
    soundfile.write(path, np.zeros(900 * 44_100, np.int16), 44_100)
    return path


@pytest.fixture
def ask(mosquitto, capsys):
    """ask(verb, words) -> the answer; `ask.said(verb, words)` -> the exit code and what a person is told."""

    def said(verb: str, *words: str) -> tuple[int, str, str]:
        return told(capsys, "ask", verb, *words, "--url", mosquitto.url, *EDGE, "--wait", "60")

    def ask(verb: str, *words: str) -> dict:
        answer = json.loads(said(verb, *words, "--json")[1])
        assert answer["result"] == "ok", (answer["code"], answer["reason"])
        return answer

    ask.said = said
    return ask


def test_a_song_is_dropped_analysed_found_corrected_and_deleted(tmp_path, mosquitto, quiet, ask):
    state = tmp_path / "state"
    config = write_config(tmp_path, f'[mqtt]\nurl = "{mosquitto.url}"\n')
    inbox = state / "k1edge" / "music" / "inbox"
    inbox.mkdir(parents=True)
    short = four_on_the_floor(125.0, 12.0, 44_100)
    soundfile.write(inbox / "Nächte.wav", short.samples, 44_100)
    env = os.environ | {"XDG_STATE_HOME": str(state)}
    with Ear(mosquitto.settings()) as ear, DaemonProcess("--config", str(config), "--source", str(quiet), env=env) as daemon:
        # An analysis stands back for whatever else this machine does.
        eventually(lambda: ear.said("/event/job_completed"), "the song has its map", 10 * PATIENCE_S)
        done = ear.await_said("/event/job_completed")
        track = done["data"]["track"]
        assert ear.await_said(f"/track/{track}", status="ready")["title"] == "Nächte"
        found = ask("track.list", "text=nach")
        assert (found["result"], found["data"]["total"]) == ("ok", 1)
        layers = ask("track.get", f"track={track}", 'layers=["rhythm"]')["data"]["layers"]
        assert layers["rhythm"]["beat_grid_ms"]
        ops = json.dumps([{"op": "delete", "at_ms": layers["rhythm"]["beat_grid_ms"][3]}])
        assert ask("beats.override", f"track={track}", f"ops={ops}")["data"]["version"] == 2
        command = [sys.executable, "-m", "k1edge", "ask", "version.list", f"track={track}", "--url", mosquitto.url, *EDGE]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S).stdout
        assert "current: 2" in shown and "reason override" in shown
        ask("track.delete", f"track={track}")
        code, _, refused = ask.said("track.get", f"track={track}")
        assert code == 1 and "TRACK_NOT_FOUND" in refused
        daemon.stop()
        assert daemon.process.returncode == 0, daemon.stderr
    assert list(Path(state).rglob("v2/track.genesis.json"))
    shutil.rmtree(state)


def test_a_map_is_deployed_over_mqtt_and_leads_from_the_next_beginning_of_its_song(tmp_path, mosquitto, ask):
    once = np.concatenate([four_on_the_floor(125.0, 12.0, 44_100).samples, np.zeros(2 * 44_100, np.float32)])
    soundfile.write(tmp_path / "again.wav", np.tile(once, 12), 44_100)
    state = tmp_path / "state"
    library = Library(state / "k1edge" / "library")
    track = library.register(TrackFacts("a" * 64, "song.flac"))["id"]
    document = song_v4(24, 480.0)
    library.add_version(track, seal(document), "import")
    library.close()
    config = write_config(tmp_path, f'[mqtt]\nurl = "{mosquitto.url}"\n')
    run = ("--config", str(config), "--source", str(tmp_path / "again.wav"))
    with Ear(mosquitto.settings()) as ear, DaemonProcess(*run, env=os.environ | {"XDG_STATE_HOME": str(state)}) as daemon:
        # Told once the library is open; who asked again and again until then would be refused for that.
        ear.await_said(f"/track/{track}", status="ready")
        answer = ask("deploy", f"track={track}")["data"]
        assert (answer["track"], answer["version"], answer["beats"]) == (track, 1, 24)
        ear.await_said(f"/{answer['deployment']}", state="waiting")
        ear.await_said(f"/{answer['deployment']}", state="leading")
        eventually(lambda: any(beat["confidence"] > 0.97 for beat in ear.said("/beat")), "a beat of the map")
        assert ask("deploy.stop")["data"] == {"stopped": True}
        ear.await_said(f"/{answer['deployment']}", state="stopped")
        seen = ask("scene.simulate", "pattern=pulse", "palette=Rivendell", "seconds=1")["data"]
        assert seen["frames"] == 50 and seen["luminance_max"] > 0
        daemon.stop()
        assert daemon.process.returncode == 0, daemon.stderr


def test_a_song_that_was_heard_before_is_led_by_its_map_from_where_it_has_come_to(tmp_path, mosquitto):
    song, began_s = demo_song(), 30.0
    soundfile.write(tmp_path / "song.wav", song.samples, song.rate_hz)
    library = Library(tmp_path / "state" / "k1edge" / "library")
    track = library.register(TrackFacts("a" * 64, "song.wav"))["id"]
    library.add_version(track, file_to_map(tmp_path / "song.wav", Settings(), lambda stage, share: None), "analysis")
    library.close()
    rest = song.samples[round(began_s * song.rate_hz) :]
    soundfile.write(tmp_path / "line.wav", 0.3 * np.concatenate([np.zeros(song.rate_hz, np.float32), rest]), song.rate_hz)
    config = write_config(tmp_path, f'[mqtt]\nurl = "{mosquitto.url}"\n')
    run = ("--config", str(config), "--source", str(tmp_path / "line.wav"))
    with (Ear(mosquitto.settings()) as ear,
          DaemonProcess(*run, env=os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")}) as daemon):  # fmt: skip
        deployed = []

        def known() -> bool:
            deployed[:] = [json.loads(each.payload) for each in list(ear.heard) if "/deploy/" in each.topic]
            return bool(deployed)

        eventually(known, "the song is known", 4 * PATIENCE_S)
        (leading,) = deployed
        assert (leading["state"], leading["track"]) == ("leading", track)
        eventually(lambda: len([beat for beat in ear.said("/beat") if beat["confidence"] > 0.97]) > 8, "beats of the map")
        daemon.stop()
        assert daemon.process.returncode == 0, daemon.stderr
    led = [beat["due_at_ms"] - leading["start_at_ms"] for beat in ear.said("/beat") if beat["confidence"] > 0.97]
    off_s = np.abs(np.array(led)[:, None] / 1000 - song.truth.beats_s).min(axis=1)
    assert off_s.max() < 0.035, "where it is, to the beat"


def test_a_stored_map_leads_and_its_drop_is_told_before_it_comes(tmp_path, mosquitto, song):
    document = song_v4(100, 480.0)
    document["layers"]["annotations"]["drops"] = [{"at_ms": 11_520.0, "confidence": 0.9}]
    document["layers"]["annotations"]["sections"] = [
        {"label": "intro", "start_ms": 0.0, "end_ms": 11_520.0}, {"label": "drop", "start_ms": 11_520.0, "end_ms": 48_000.0},
    ]  # fmt: skip
    song = shutil.copy(song, tmp_path)
    (tmp_path / "song.wav.genesis.json").write_bytes(encode(seal(document)))
    config = write_config(tmp_path, f'[mqtt]\nurl = "{mosquitto.url}"\n')
    with Ear(mosquitto.settings()) as ear, DaemonProcess("--config", str(config), "--source", song, "--map") as daemon:
        drop = ear.await_said("/event/drop")
        assert drop["due_in_ms"] > 6_000
        beat = ear.await_said("/beat", number=3)
        assert beat["bpm"] == pytest.approx(125.0, abs=0.1) and beat["confidence"] > 0.9
        assert ear.await_said("/state/section", label="intro", bars_left=5)["bars_left_probability"] > 0.9
        daemon.stop()
        assert daemon.process.returncode == 0, daemon.stderr


def test_a_map_that_is_not_there_is_said_with_what_to_do(tmp_path, mosquitto, song):
    config = write_config(tmp_path, f'[mqtt]\nurl = "{mosquitto.url}"\n')
    with DaemonProcess("--config", str(config), "--source", str(song), "--map") as daemon:
        assert daemon.process.wait(PATIENCE_S) == 66
    assert "k1edge analyze" in daemon.stderr
