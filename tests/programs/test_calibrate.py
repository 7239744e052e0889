"""Latencies, closed by sound and by what the K1s say of their light."""

import json
import subprocess
import sys
import time
import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.__main__ import main
from k1edge.audio import AudioError, StuckError
from k1edge.genesis.red import may_be_red
from k1edge.programs import calibrate as calibrate_module
from k1edge.programs.calibrate import Measured, click_times_s, lateness_ms, sound_of
from tests.brokers import PATIENCE_S
from tests.end_to_end.daemon import write_config
from tests.end_to_end.k1 import K1OnTheWall
from tests.sound import in_a_quiet_moment

RATE_HZ = 48_000


def heard(late_ms, noise=0.0, gain=1.0):
    """The clicks as they would be recorded, and where they were expected."""
    times_s = click_times_s(12)
    played = sound_of(times_s, RATE_HZ)
    recording = np.zeros(len(played) + 2 * RATE_HZ, np.float32)
    at = RATE_HZ + round(late_ms * RATE_HZ / 1000)
    recording[at : at + len(played)] = gain * played
    recording += noise * np.random.default_rng(1).standard_normal(len(recording)).astype(np.float32)
    return recording, [RATE_HZ + round(at_s * RATE_HZ) for at_s in times_s]


@settings(max_examples=25)
@given(late_ms=st.floats(-140, 340), gain=st.sampled_from([0.02, 0.3, -1.0]))
def test_a_latency_is_found_to_the_sample_early_or_late_quiet_or_upside_down(late_ms, gain):
    found = list(lateness_ms(*heard(late_ms, gain=gain), RATE_HZ))
    assert len(found) == 12
    np.testing.assert_allclose(found, late_ms, atol=0.03)


def test_clicks_are_found_in_a_noisy_room_and_not_in_noise_alone():
    found = list(lateness_ms(*heard(42.0, noise=0.05), RATE_HZ))
    assert len(found) >= 10
    assert np.median(found) == pytest.approx(42.0, abs=0.1)
    assert len(list(lateness_ms(*heard(42.0, noise=0.05, gain=0.0), RATE_HZ))) <= 1


def test_no_click_can_be_taken_for_its_neighbour():
    from k1edge.programs.calibrate import EARLY_S, LATE_S

    gaps_s = np.diff(click_times_s(30))
    assert gaps_s.min() > EARLY_S + LATE_S
    assert np.abs(np.diff(gaps_s)).min() > 0.01


def test_one_outlier_moves_nothing():
    assert Measured.of([20.0] * 15 + [300.0]) == Measured(20.0, 0.0, 16)


@pytest.mark.parametrize(("heard_ms", "code"), [((-30.0, 320.0), 1), ((40.0, 41.0), 0)], ids=["music", "clicks"])
def test_music_that_is_taken_for_clicks_is_no_latency(monkeypatch, tmp_path, capsys, heard_ms, code):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr(calibrate_module, "line_latencies", lambda *_: ("CODEC", list(np.linspace(*heard_ms, 14))))
    config = write_config(tmp_path, "")
    assert main(["calibrate", "--config", str(config), "--only", "line"]) == code
    told = capsys.readouterr()
    assert ("something else plays on the line" in told.err) == bool(code)
    assert ("input_latency_ms" in told.out) != bool(code)
    assert (tmp_path / "state").exists() != bool(code)


@pytest.mark.parametrize("wrong", ["--metres=nan", "--metres=-3", "--metres=inf", "--clicks=4", "--clicks=-1"])
def test_what_is_no_distance_or_no_number_of_clicks_is_refused(capsys, wrong):
    assert main(["calibrate", "--config", "/nowhere", wrong]) == 2
    assert wrong.partition("=")[0] in capsys.readouterr().err


def calibrate(config, env, *args):
    command = [sys.executable, "-m", "k1edge", "calibrate", "--config", str(config), *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=2 * PATIENCE_S)


def test_capture_latency_is_measured_through_a_sound_server_and_kept_with_date_and_spread(pulse_line, tmp_path):
    config = write_config(tmp_path, '[audio]\ndevice = "k1line"\nrate_hz = 44100\n')
    env = pulse_line.env | {"XDG_STATE_HOME": str(tmp_path / "state")}

    def measure():
        done = calibrate(config, env, "--only", "line", "--json", "--clicks", "10")
        assert done.returncode == 0, done.stderr
        line = json.loads(done.stdout)["line"]
        assert line["count"] >= 8 and line["device"] == "k1line"
        assert -60 < line["latency_ms"] < 150
        kept = json.loads((tmp_path / "state" / "k1edge" / "calibration.json").read_text())
        assert kept["line"]["latency_ms"] == line["latency_ms"] and kept["line"]["date"].startswith("20")

    in_a_quiet_moment(measure)


def test_a_line_that_hears_nothing_says_what_to_do(wire_line, pulse_line, tmp_path):
    # The clicks go to the sound server, the line is another wire.
    wire_line.plug(np.zeros((44_100, 2), np.int16))
    home = tmp_path / "wire" / "home" / ".asoundrc"
    home.write_text(home.read_text() + "pcm.!default { type pulse device linein }\n")
    config = write_config(tmp_path, '[audio]\ndevice = "k1line"\nrate_hz = 44100\n')
    env = pulse_line.env | {"HOME": str(home.parent), "XDG_STATE_HOME": str(tmp_path / "state")}

    def measure():
        done = calibrate(config, env, "--only", "line", "--clicks", "6")
        assert done.returncode == 1, done.stderr
        assert "0 of 6 clicks were heard" in done.stderr and "lead the output to the line input" in done.stderr
        assert not (tmp_path / "state").exists()

    in_a_quiet_moment(measure)


def test_each_k1_s_light_is_measured_late_or_early(mosquitto, tmp_path):
    config = write_config(tmp_path, f'[mqtt]\nurl = "{mosquitto.url}"\n[k1.auto_latency_ms]\nslow = 5.0\naway = 7.5\n')
    env = {"XDG_STATE_HOME": str(tmp_path / "state"), "PATH": "/usr/bin:/bin"}
    state = tmp_path / "state" / "k1edge" / "calibration.json"

    def measure():
        mine = mosquitto.settings()
        with K1OnTheWall(mine, "hall", "slow") as slow, K1OnTheWall(mine, "hall", "quick") as quick:
            slow.k1.lag_ms, quick.k1.lag_ms = 45.0, -20.0
            done = calibrate(config, env, "--only", "k1s", "--clicks", "8")
            assert slow.k1.counters.shown >= 6 and not slow.k1.led, "it is given back"
            scene = slow.k1.show(time.monotonic_ns() / 1e6).scene
            assert scene.pattern == "pulse" and not may_be_red(scene.palette_id, 0.0, 0.0), "its own palette is red"
        assert done.returncode == 0, done.stderr
        kept = json.loads(state.read_text())["k1s"]
        assert kept["slow"]["latency_ms"] - kept["quick"]["latency_ms"] == pytest.approx(65.0, abs=10)
        assert kept["quick"]["latency_ms"] < 0 < kept["slow"]["latency_ms"]
        return done, kept

    done, kept = in_a_quiet_moment(measure)
    to_write = {"away": 7.5} | {name: kept[name]["latency_ms"] for name in ("slow", "quick")}
    assert tomllib.loads(done.stdout) == {"k1": {"auto_latency_ms": to_write}}
    (line,) = (line for line in done.stdout.splitlines() if "away" in line)
    assert line.startswith("auto_latency_ms = {"), "one line in the place of one"


@pytest.mark.parametrize(("gone", "told"), [(AudioError("CODEC", "has delivered nothing", "see its cable"), "see its cable"),
                                          (None, "restart this process")])  # fmt: skip
def test_of_a_card_that_is_gone_and_does_not_let_go_the_first_is_told(monkeypatch, capsys, gone, told):
    def lost(*_):
        try:
            if gone:
                raise gone
        finally:
            raise StuckError("CODEC", "does not respond within 1 s", "restart this process")

    monkeypatch.setattr(calibrate_module, "line_latencies", lost)
    assert main(["calibrate", "--only", "line"]) == 66
    assert capsys.readouterr().err.endswith(f"; {told}\n")


def test_a_running_service_is_asked_to_stop_first(mosquitto, tmp_path):
    from k1edge.k1 import contract
    from k1edge.k1.contract import Scribe, Stamp
    from tests.end_to_end.daemon import Ear

    config = write_config(tmp_path, f'[mqtt]\nurl = "{mosquitto.url}"\n')
    with Ear(mosquitto.settings()) as ear:
        ear.send(Scribe("hall", "pi").write(contract.Status, Stamp(0, True), state="ready"))
        ear.await_said("/edge/pi/status", state="ready")
        done = calibrate(config, {"XDG_STATE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, "--only", "k1s")
    assert done.returncode == 1
    assert "systemctl stop k1edge" in done.stderr


def test_without_a_broker_or_with_a_broken_file_it_says_so(tmp_path):
    env = {"XDG_STATE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    assert "no broker is configured" in calibrate(write_config(tmp_path, ""), env, "--only", "k1s").stderr
    broken = calibrate(write_config(tmp_path, "[audio]\ngain = 1\n"), env)
    assert broken.returncode == 78 and "gain" in broken.stderr
