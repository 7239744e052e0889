"""`k1edge run` as an installer and the world meet it."""

import json
import os
import signal
import socket
import time
from pathlib import Path
from statistics import median

import pytest
import soundfile

from k1edge.__main__ import main
from k1edge.audio.synth import four_on_the_floor
from k1edge.config import MqttSettings
from k1edge.k1 import contract
from k1edge.k1.contract import Publication, Scribe, Stamp
from k1edge.system.priority import CAPTURE, LINK, LOOP
from tests.brokers import PATIENCE_S, Mosquitto, eventually, free_port
from tests.end_to_end.daemon import DaemonProcess, Ear, write_config
from tests.sound import PCM, as_pcm16

EDGE = "k1/v1/hall/edge/pi"
SYSTEMD_KILLS_S = 5
"""The unit's TimeoutStopSec."""


@pytest.fixture
def run(tmp_path, mosquitto):
    """Starts the daemon on the test's broker: `run("--source", ..., toml=...)`."""
    config = write_config(tmp_path, f'[mqtt]\nurl = "{mosquitto.url}"\n')

    def start(*args, toml="", **kwargs):
        config.write_text(config.read_text() + toml)
        return DaemonProcess("--config", str(config), *args, **kwargs)

    return start


def a_k1(ear, device="porch"):
    """A K1 reports itself ready."""
    ear.send(Scribe("hall", device).write(contract.DeviceStatus, Stamp(0, False), state="ready"))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_releases_the_k1s_says_stopping_and_exits_with_0(run, ear, song, how, hangs_up):
    a_k1(ear)
    began_s = time.monotonic()
    with run("--source", str(song)) as daemon:
        ear.await_said("/porch/cmd/macro")
        started_s = time.monotonic() - began_s
        took_s = daemon.stop(how)
        assert daemon.process.returncode == 0
        assert took_s < max(SYSTEMD_KILLS_S, started_s), "or no slower than it begins, on a machine that is slow"
        assert ear.await_said("/porch/cmd/sync", action="stop")
        assert ear.await_said(f"{EDGE}/status", state="stopping")
        assert ear.await_said(f"{EDGE}/event/score")["data"]["hours"] >= 0
        assert not [b for b in ear.said(f"{EDGE}/status") if b["state"] == "lost"], "a clean end has no will"
        assert "releasing the K1s" in daemon.stderr, "the log knows of the end"
        assert "Traceback" not in daemon.stderr


@pytest.mark.parametrize("after_s", [0.02, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.2])
def test_sigterm_during_start_up_ends_cleanly(run, song, after_s):
    with run("--source", str(song)) as daemon:
        time.sleep(after_s)
        daemon.stop()
        assert daemon.process.returncode in (0, -signal.SIGTERM)
        assert "Traceback" not in daemon.stderr


LEAVES = ("info", "state/audio", "state/section", "state/scene", "tempo-map", "frame", "telemetry", "config/reported")


@pytest.fixture(scope="module")
def told(tmp_path_factory, song):
    """The ear that heard all of a daemon that led a K1 for a dozen beats, each of its topics among it."""
    folder = tmp_path_factory.mktemp("told")
    with Mosquitto(folder) as broker, Ear(broker.settings()) as ear:
        a_k1(ear)
        config = write_config(folder, f'[mqtt]\nurl = "{broker.url}"\n')
        with DaemonProcess("--config", str(config), "--source", str(song)) as daemon:
            ear.await_times(f"{EDGE}/beat", 13)
            ear.await_said(f"{EDGE}/status", state="ready")
            ear.await_said(f"{EDGE}/state/tempo", lock=True)
            for leaf in (*(f"{EDGE}/{leaf}" for leaf in LEAVES), "/porch/cmd/beat", "/porch/cmd/scene"):
                ear.await_said(leaf)
            daemon.stop()
    return ear


def test_the_world_is_told_what_is_heard(told):
    assert median(beat["due_in_ms"] for beat in told.said(f"{EDGE}/beat")) > 90
    for received in told.heard:
        contract.decode(received.topic, received.payload)


def test_a_beat_in_the_tempo_map_comes_when_the_music_has_it(told):
    by_number = {b["number"]: b["due_at_ms"] for b in told.said(f"{EDGE}/beat")}
    last = told.said(f"{EDGE}/tempo-map")[-1]
    for number in sorted(by_number)[-4:]:
        assert last["anchor_ms"] + (number - last["number"]) * last["period_ms"] == pytest.approx(by_number[number], abs=25)


def test_a_killed_daemon_leaves_its_will(run, ear, song):
    with run("--source", str(song)) as daemon:
        ear.await_said(f"{EDGE}/status", state="ready")
        daemon.process.kill()
        ear.await_said(f"{EDGE}/status", state="lost")


def test_a_broker_that_dies_and_returns_finds_everything_again(run, mosquitto, song):
    with run("--source", str(song)) as daemon:
        with Ear(mosquitto.settings()) as ear:
            ear.await_said(f"{EDGE}/status", state="ready")
            ear.await_said(f"{EDGE}/tempo-map")
        mosquitto.kill()
        time.sleep(0.5)
        assert daemon.process.poll() is None
        mosquitto.start()
        with Ear(mosquitto.settings()) as ear:
            ear.await_said(f"{EDGE}/status", state="ready")
            for leaf in ("info", "state/tempo", "tempo-map", "beat"):
                ear.await_said(f"{EDGE}/{leaf}")
        daemon.stop()
        assert daemon.process.returncode == 0
        assert "Traceback" not in daemon.stderr


def test_systemd_is_told_ready_without_a_broker_and_fed_by_progress(tmp_path, song):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(address)
        notify.settimeout(PATIENCE_S)
        config = write_config(tmp_path, f'[mqtt]\nurl = "mqtt://127.0.0.1:{free_port()}"\n')
        env = os.environ | {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}
        with DaemonProcess("--config", str(config), "--source", str(song), env=env) as daemon:
            told = []
            while not (any("READY=1" in t for t in told) and sum("WATCHDOG=1" in t for t in told) >= 2):
                told.append(notify.recv(4096).decode())
            assert any("STATUS=" in t and "no broker" in t for t in told)
            daemon.process.send_signal(signal.SIGTERM)
            while not any("STOPPING=1" in t for t in told):
                told.append(notify.recv(4096).decode())


def test_without_a_sound_card_it_says_what_to_do_and_keeps_trying(run, ear, wire_line):
    with run(env=wire_line.env) as daemon:
        status = ear.await_said(f"{EDGE}/status", state="degraded")
        assert status["code"] == "AUDIO_ABSENT"
        assert ear.await_said(f"{EDGE}/state/audio")["remedy"]
        eventually(lambda: "connect" in daemon.stderr, "the remedy is on stderr")
        assert daemon.process.poll() is None
        daemon.stop()
        assert daemon.process.returncode == 0


def real_time_priorities(pid):
    """Of the threads of a process, those that have one."""
    found = []
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        fields = stat.read_text().rpartition(")")[2].split()  # from the third on: proc(5)
        found += [int(fields[37])] if int(fields[38]) == os.SCHED_FIFO else []
    return sorted(found)


def test_capture_goes_before_the_loop_and_the_loop_before_the_link_where_that_is_granted(run, wire_line):
    wire_line.plug(as_pcm16(four_on_the_floor(125.0, 8.0).samples))
    with run(toml=f'[audio]\ndevice = "{PCM}"\n', env=wire_line.env) as daemon:
        eventually(lambda: "listening to" in daemon.stderr, "the line is open")
        granted = "real-time priority" in daemon.stderr
        eventually(
            lambda: real_time_priorities(daemon.process.pid) == [LINK, LOOP, CAPTURE] * granted, "the threads have their order"
        )
        daemon.stop()


def test_a_file_that_ends_ends_the_daemon_and_one_that_is_missing_is_named(run, ear, tmp_path):
    short = tmp_path / "short.wav"
    sound = four_on_the_floor(120.0, 1.0)
    soundfile.write(short, sound.samples, sound.rate_hz)
    with run("--source", str(short)) as daemon:
        assert daemon.process.wait(PATIENCE_S) == 0
    with run("--source", str(tmp_path / "missing.wav")) as daemon:
        assert daemon.process.wait(PATIENCE_S) == 66
    assert "missing.wav" in daemon.stderr
    assert "Traceback" not in daemon.stderr


def test_a_broken_configuration_is_explained(tmp_path):
    config = write_config(tmp_path, "[mqtt]\nurll = 'x'\n")
    with DaemonProcess("--config", str(config)) as daemon:
        assert daemon.process.wait(PATIENCE_S) == 78
    assert f"{config}:4: mqtt.urll" in daemon.stderr
    assert "Traceback" not in daemon.stderr


def ask(ear, verb, **body):
    body = {"id": os.urandom(4).hex(), "caller": "test"} | body
    ear.send(Publication(f"{EDGE}/request/{verb}", json.dumps(body).encode(), 1))
    return ear.await_said(f"{EDGE}/response/{verb}", id=body["id"])


def test_a_manual_scene_is_shown_answered_and_given_back(run, ear, song):
    a_k1(ear)
    with run("--source", str(song)) as daemon:
        ear.await_said(f"{EDGE}/status", state="ready")
        answer = ask(ear, "scene.apply", args={"pattern": "perlin", "palette": "Rivendell", "lease_s": 2.0})
        assert answer["result"] == "ok"
        ear.await_said("/porch/cmd/scene", pattern="perlin")
        ear.await_said(f"{EDGE}/state/override", active=True)
        ear.await_said(f"{EDGE}/state/override", active=False)
        eventually(lambda: ear.said("/porch/cmd/scene")[-1]["pattern"] != "perlin", "the choreography is back")
        daemon.stop()


def test_a_scene_from_someone_else_holds_the_edge_off(run, ear, song):
    a_k1(ear)
    with run("--source", str(song)) as daemon:
        ear.await_said("/porch/cmd/scene")
        ear.send(Publication("k1/v1/hall/device/porch/cmd/scene", b'{"pattern":"lava","palette_id":1}', 1))
        override = ear.await_said(f"{EDGE}/state/override", active=True)
        assert override["scope"] == "device porch"
        daemon.stop()


def test_a_correction_by_hand_reaches_the_tempo(run, ear, song):
    with run("--source", str(song)) as daemon:
        before = ear.await_said(f"{EDGE}/state/tempo", lock=True)["bpm"]
        assert ask(ear, "tempo.halve")["result"] == "ok"
        eventually(lambda: ear.said(f"{EDGE}/state/tempo")[-1]["bpm"] == pytest.approx(before / 2, rel=0.05), "half")
        daemon.stop()


def test_hostile_messages_are_counted_and_the_hops_go_on(run, ear, song):
    topics = [f"{EDGE}/request/scene.apply", f"{EDGE}/request/nonsense", "k1/v1/hall/device/porch/status",
              "k1/v1/hall/device/porch/pong", "k1/v1/hall/device/porch/cmd/scene"]
    payloads = [b"", b"\xff\xfe", b"[" * 100_000, b'{"id":' + b"9" * 5000 + b"}", b'{"id":"x","args":NaN}', b"1" * 1_000_000,
                b"null", b'"text"', b'{"state":"' + b"a" * 4000 + b'"}', b'{"sent_ms":1e999}']
    with run("--source", str(song)) as daemon:
        ear.await_times(f"{EDGE}/telemetry", 2)
        _, quiet, *_ = ear.said(f"{EDGE}/telemetry")
        for i in range(1000):
            ear.send(Publication(topics[i % len(topics)], payloads[(i // len(topics)) % len(payloads)], i % 2))
            time.sleep(0.002)
        ask(ear, "scene.hold")
        ear.await_times(f"{EDGE}/telemetry", len(ear.said(f"{EDGE}/telemetry")) + 2)
        first, *_, last = ear.said(f"{EDGE}/telemetry")
        assert last["rejected_messages"] > 50
        assert last["requests_rejected"] > 50
        # Single late hops are the machine's as much as the messages'; the median hop, and that all are made, are ours.
        assert last["hop_load_pct_p50"] < 3 * quiet["hop_load_pct_p50"]

        def kept_up():
            now = ear.said(f"{EDGE}/telemetry")[-1]
            return now["hops"] - first["hops"] >= 0.9 * (now["ts_ms"] - first["ts_ms"]) / 10

        eventually(kept_up, "all hops are made")
        daemon.stop()
        assert daemon.process.returncode == 0
        assert "Traceback" not in daemon.stderr


def test_edges_of_one_name_at_two_sites_leave_each_other_at_the_broker(run, ear, song, mosquitto):
    with run("--source", str(song)), run("--source", str(song), "--site", "bar"):
        for site in ("hall", "bar"):
            ear.await_said(f"k1/v1/{site}/edge/pi/beat")
        assert "already connected" not in mosquitto.log


def test_edges_whose_names_read_alike_leave_each_other_at_the_broker(run, ear, song, mosquitto, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(f'site = "hall"\nedge = "bar-pi"\n[mqtt]\nurl = "{mosquitto.url}"\n')
    with run("--source", str(song), "--site", "hall-bar"), DaemonProcess("--config", str(other), "--source", str(song)):
        for node in ("hall-bar/edge/pi", "hall/edge/bar-pi"):
            ear.await_said(f"k1/v1/{node}/beat")
        assert "already connected" not in mosquitto.log


def test_with_no_broker_configured_it_brings_its_own(tmp_path, song):
    config = write_config(tmp_path, "")
    with DaemonProcess("--config", str(config), "--source", str(song)) as daemon:
        eventually(lambda: "MQTT 5 on mqtt://" in daemon.stderr, "the address is told")
        url = daemon.stderr.partition("MQTT 5 on ")[2].split(",")[0]
        with Ear(MqttSettings(url=url)) as ear:
            ear.await_said(f"{EDGE}/beat")
        daemon.stop()
        assert daemon.process.returncode == 0


def test_who_says_that_it_was_wrong_has_a_recording_that_replays_identically(run, ear, song, tmp_path, capsys):
    with run("--source", str(song), env=os.environ | {"XDG_STATE_HOME": str(tmp_path)}) as daemon:
        eventually(lambda: len(ear.said(f"{EDGE}/beat")) > 3, "a few beats")
        answer = ask(ear, "recorder.save")
        assert answer["result"] == "ok"
        eventually(Path(answer["data"]["file"]).exists, "the file is complete")
        daemon.stop()
    assert main(["replay", answer["data"]["file"]]) == 0
    assert "identical" in capsys.readouterr().err
