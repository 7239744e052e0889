"""A change of configuration meets the real daemon: tried, proven, given back; and nothing makes the venue dark."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from k1edge.daemon.configuration import local_file
from k1edge.k1.contract import Publication
from k1edge.system.generations import Generations, digest
from k1edge.system.state import state_folder
from tests.brokers import eventually, free_port
from tests.end_to_end.daemon import DaemonProcess, write_config

EDGE = "k1/v1/hall/edge/pi"


class Box:
    """A machine with a broker, a song, a configuration file and a state folder, on which the daemon is started."""

    def __init__(self, folder, broker, song):
        self._folder, self._song = folder, song
        self.base = f'[system]\ngate_s = 1.0\n[mqtt]\nurl = "{broker.url}"\n'
        self.env = os.environ | {"XDG_STATE_HOME": str(folder / "state")}
        self.write("")

    def write(self, more, base=None):
        self.file = write_config(self._folder, (self.base if base is None else base) + more)

    @property
    def hash(self):
        return digest(self.file.read_bytes())

    def start(self, **env):
        return DaemonProcess("--config", str(self.file), "--source", str(self._song), env=self.env | env)

    def prove(self):
        """The file as it stands is a generation, as if it had run here before."""
        Generations(state_folder(self.env), self.file).promote(local_file(self.file), "2026-11-22T12:00:00Z", reached=True)


@pytest.fixture
def box(tmp_path, mosquitto, song):
    return Box(tmp_path, mosquitto, song)


class Systemd:
    """The other end of the notification socket."""

    def __init__(self, folder):
        self.address = str(folder / "notify")
        self._heard = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while news := self._socket.recv(4096).decode():
            self._heard += news.splitlines()

    def told(self, news):
        """How often."""
        return self._heard.count(news)

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.address)


@pytest.fixture
def systemd(tmp_path):
    listening = Systemd(tmp_path)
    yield listening
    listening.close()


def test_a_typo_does_not_make_the_venue_dark(box, ear):
    box.prove()
    box.write("[beat]\nlead_ms = 20\nledms = 3\n")
    assert subprocess.run([sys.executable, "-m", "k1edge", "check", str(box.file)], check=False).returncode == 78
    with box.start() as daemon:
        status = ear.await_said(f"{EDGE}/status", state="degraded")
        assert (status["code"], "2 faults" in status["reason"]) == ("CONFIG_INVALID", True)
        reported = ear.await_said(f"{EDGE}/config/reported", origin="last-known-good")
        assert len(reported["faults"]) == 2
        assert reported["refused"] == box.hash
        assert ear.await_said(f"{EDGE}/event/config", code="CONFIG_INVALID")["severity"] == "alarm"
        ear.await_said(f"{EDGE}/beat")
        daemon.stop()
        assert "lead_ms" in daemon.stderr


def test_under_systemd_even_the_first_file_may_be_broken(box, ear, tmp_path):
    box.write("[beat]\nlead_ms = 20\n")
    with box.start(NOTIFY_SOCKET=str(tmp_path / "nobody")) as daemon:
        assert ear.await_said(f"{EDGE}/status", state="degraded")["code"] == "CONFIG_INVALID"
        assert ear.await_said(f"{EDGE}/config/reported")["origin"] == "defaults"
        daemon.stop()


def test_a_configuration_over_mqtt_is_tried_and_trusted_by_the_same_process(box, ear):
    box.write("accept_config = true\n")
    with box.start() as daemon:
        ear.await_said(f"{EDGE}/config/reported", hash=box.hash, on_trial=False, generation=1)
        toml = "[telemetry]\nrate_hz = 2.0\n[system]\ngate_s = 1.0\n" + 2_000 * "# explained at length\n"
        body = {"id": "1", "caller": "test", "parent": box.hash, "toml": toml}
        ear.send(Publication(f"{EDGE}/config/desired", json.dumps(body).encode(), 1))
        trial = ear.await_said(f"{EDGE}/config/reported", hash=digest(toml.encode()), on_trial=True)
        assert trial["origin"] == "remote"
        ear.await_said(f"{EDGE}/config/reported", hash=digest(toml.encode()), on_trial=False, generation=2)
        ear.await_said(f"{EDGE}/beat")
        assert daemon.process.poll() is None
        assert not [each for each in ear.said(f"{EDGE}/status") if each["state"] == "lost"], "it left and came in order"
        daemon.stop()
        assert daemon.process.returncode == 0


def test_a_change_that_loses_the_broker_is_given_back_and_systemd_sees_one_service_that_never_stopped(box, ear, systemd):
    box.prove()
    box.write("", base=f'[system]\ngate_s = 1.0\n[mqtt]\nurl = "mqtt://127.0.0.1:{free_port()}"\n')
    with box.start(NOTIFY_SOCKET=systemd.address) as daemon:
        reported = ear.await_said(f"{EDGE}/config/reported", code="CONFIG_ROLLED_BACK")
        assert (reported["origin"], reported["refused"]) == ("last-known-good", box.hash)
        assert "broker" in ear.await_said(f"{EDGE}/event/config", code="CONFIG_ROLLED_BACK")["reason"]
        ear.await_said(f"{EDGE}/status", state="degraded", code="CONFIG_ROLLED_BACK")
        eventually(lambda: systemd.told("READY=1") == 2, "it is ready again")
        assert not systemd.told("STOPPING=1")
        daemon.stop()
        assert daemon.process.returncode == 0


def test_a_daemon_that_dies_twice_in_a_row_comes_back_in_safe_mode(box, ear):
    box.write("[looks.drop]\npattern = \"hype\"\n", base=box.base.replace("1.0", "600.0"))
    for _ in range(2):
        with box.start() as daemon:
            ear.await_said(f"{EDGE}/status", state="ready")
            daemon.stop(signal.SIGKILL)
        ear.heard.clear()
    with box.start() as daemon:
        assert ear.await_said(f"{EDGE}/status", state="degraded")["code"] == "SAFE_MODE"
        assert ear.await_said(f"{EDGE}/config/reported")["origin"] == "defaults"
        request = {"id": "1", "caller": "test", "args": {"pattern": "perlin"}}
        ear.send(Publication(f"{EDGE}/request/scene.apply", json.dumps(request).encode(), 1))
        assert ear.await_said(f"{EDGE}/response/scene.apply", id="1")["code"] == "NOT_READY"
        daemon.stop()


def test_a_rollback_by_hand_is_in_force_after_a_restart(box, ear):
    box.prove()
    first = box.hash
    box.write("[telemetry]\nrate_hz = 2.0\n")
    box.prove()
    command = [sys.executable, "-m", "k1edge", "config", "rollback", "--config", str(box.file)]
    assert subprocess.run(command, env=box.env, check=False, capture_output=True).returncode == 0
    with box.start() as daemon:
        assert ear.await_said(f"{EDGE}/config/reported", on_trial=False, generation=3)["hash"] == first
        daemon.stop()


def test_a_state_that_cannot_be_written_is_said_and_the_light_goes_on(box, ear, tmp_path):
    (tmp_path / "state").write_text("a file where a folder should be")
    with box.start() as daemon:
        assert ear.await_said(f"{EDGE}/event/config")["code"] == "STATE_UNWRITABLE"
        assert ear.await_said(f"{EDGE}/config/reported")["code"] == "STATE_UNWRITABLE"
        ear.await_said(f"{EDGE}/beat")
        daemon.stop()
        assert daemon.process.returncode == 0
        assert "cannot be written" in daemon.stderr
        assert "Traceback" not in daemon.stderr
