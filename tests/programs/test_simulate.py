"""`k1edge simulate` as it is used: a process on a real broker, commanded by an edge."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
from PIL import Image

from k1edge.__main__ import main
from k1edge.k1 import contract
from tests.brokers import PATIENCE_S, eventually
from tests.in_terminal import InTerminal
from tests.in_terminal import told as run
from tests.k1.fake_edge import DEVICE, SITE, FakeEdge

BEAT = re.compile(r"beat (\d+)(?: \|)? ([\d.]+) bpm (\w+) brightness ([\d.]+) ([+-][\d.]+) ms")


def simulate(url, *options, **process):
    command = [sys.executable, "-m", "k1edge", "simulate", "--url", url, "--site", SITE, "--device", DEVICE, *options]
    return subprocess.Popen(command, **process)


@pytest.fixture
def edge(mosquitto):
    edge = FakeEdge(mosquitto.settings())
    eventually(lambda: edge.link.connected)
    yield edge
    edge.link.close()


def there(mosquitto, edge):
    """A virtual K1 that has reported to the edge, without a view; all its statuses."""
    process, log = simulate(mosquitto.url, "--view", "off"), []
    eventually(lambda: "ready" in statuses(edge, log), "the K1 reports")
    return process, log


def statuses(edge, log):
    log.extend(message for message in edge.heard() if isinstance(message, contract.DeviceStatus))
    return [message.state for message in log]


def test_a_virtual_k1_follows_an_edge_and_paints_what_it_saw(mosquitto, edge, tmp_path):
    png, gif = tmp_path / "k1.png", tmp_path / "k1.gif"
    process = simulate(mosquitto.url, "--view", "lines", "--png", str(png), "--gif", str(gif), stdout=subprocess.PIPE,
                       text=True)  # fmt: skip
    log = []
    eventually(lambda: "ready" in statuses(edge, log), "the K1 reports")
    edge.scene("bloom")
    edge.play(6)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    beats = [match.groups() for match in map(BEAT.match, output.splitlines()) if match]
    numbers = [int(number) for number, *_ in beats]
    assert process.returncode == 0
    assert "the edge leads" in output
    assert numbers == sorted(set(numbers)) and len(numbers) >= 4
    assert {pattern for _, _, pattern, *_ in beats} == {"bloom"}
    assert all(float(brightness) > 0.5 for *_, brightness, _ in beats)
    eventually(lambda: statuses(edge, log)[-1] == "lost", "it says that it leaves")
    with Image.open(png) as picture:
        assert picture.size[0] == 160 * 4 + 20
        assert picture.size[1] > 100
    with Image.open(gif) as picture:
        assert picture.n_frames > 25


@pytest.mark.parametrize(("site", "device"), [("elsewhere", DEVICE), ("test", f"site-{DEVICE}")])
def test_k1s_of_one_name_at_two_sites_or_of_names_that_read_alike_leave_each_other_at_the_broker(mosquitto, edge, site, device):
    both = [simulate(mosquitto.url, "--view", "off", *more) for more in ((), ("--site", site, "--device", device))]
    for topic in (f"{SITE}/device/{DEVICE}/cmd/+", f"{site}/device/{device}/cmd/+"):
        eventually(lambda topic=topic: topic in mosquitto.log, "it has subscribed")
    for process in both:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
    assert "already connected" not in mosquitto.log


def test_pings_are_answered_and_beats_acknowledged_over_the_broker(mosquitto, edge):
    process, _ = there(mosquitto, edge)
    edge.command(contract.PingCommand, id="p1", sent_ms=1e6)
    edge.scene("pulse", id="s1")
    said = {}

    def answered(name, number):
        said.update({(type(message).__name__, message.id): message for message in edge.heard() if hasattr(message, "id")})
        return (name, number) in said

    eventually(lambda: answered("Pong", "p1") and answered("Ack", "s1"))
    edge.scene("nothing-such", id="s2")
    eventually(lambda: answered("Ack", "s2"))
    assert said["Ack", "s1"].result == "ok"
    assert said["Ack", "s2"].code == "INVALID_REQUEST"
    assert said["Pong", "p1"].sent_ms == 1e6
    process.terminate()
    assert process.wait(PATIENCE_S) == 0


def test_what_nohup_began_outlives_its_terminal(mosquitto, edge):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    process, _ = there(mosquitto, edge)
    signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    edge.command(contract.PingCommand, id="p1", sent_ms=1e6)
    eventually(lambda: any(isinstance(message, contract.Pong) for message in edge.heard()), "it answers")
    process.terminate()
    assert process.wait(PATIENCE_S) == 0


def test_the_will_tells_that_a_k1_was_unplugged(mosquitto, edge):
    process, log = there(mosquitto, edge)
    process.kill()
    eventually(lambda: statuses(edge, log)[-1] == "lost")
    process.wait(PATIENCE_S)


def test_in_a_terminal_the_light_is_drawn_and_the_screen_given_back(mosquitto, edge):
    with InTerminal(100, 16, "simulate", "--url", mosquitto.url, "--site", SITE, "--device", DEVICE) as program:
        heard = []
        eventually(lambda: "ready" in statuses(edge, heard))
        edge.scene("pulse")
        edge.play(4)
    assert program.process.returncode == 0
    screen = program.screen
    assert screen.startswith(b"\x1b[?1049h") and b"\x1b[?1049l" in screen
    assert screen.count(b"\x1b[38;2;") > 100
    assert b"pulse in Black Magenta Red" in screen
    assert b"the edge leads" in screen


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--url", "http://broker"), "mqtt://"),
        (("--url", "mqtt://u:secret@127.0.0.1"), "password"),
        (("--site", "My Club"), 'try "my-club"'),
        (("--device", "k1/+"), 'try "k1"'),
        (("--password-file", "/nowhere"), "/nowhere"),
        (("--latency-ms", "nan"), "outside -500..500"),
    ],
)
def test_a_wrong_option_is_told(capsys, options, told):
    code, _, errors = run(capsys, "simulate", *options)
    assert code == 2
    assert told in errors
    assert "secret" not in errors


def test_a_password_is_not_sent_in_the_clear_beyond_this_machine(tmp_path, capsys):
    (tmp_path / "password").write_text("secret")
    code, _, errors = run(capsys, "simulate", "--url", "mqtt://broker.example", "--username", "u",
                          "--password-file", str(tmp_path / "password"))  # fmt: skip
    assert code == 2
    assert "without encryption" in errors


@pytest.mark.parametrize("name", ["no-such-folder/k1.png", "."])
@pytest.mark.parametrize("song", [(), ("--file", "demo")], ids=["live", "a song"])
def test_a_picture_that_cannot_be_written_is_told_at_once(tmp_path, capsys, name, song):
    assert main(["simulate", "--png", str(tmp_path / name), *song]) == 73
    assert str(tmp_path / name) in capsys.readouterr().err


def test_pictures_without_pillow_say_how_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert main(["simulate", "--gif", str(tmp_path / "k1.gif")]) == 73
    assert "pip install pillow" in capsys.readouterr().err


def test_a_broker_that_is_not_there_is_told_and_nothing_is_drawn(tmp_path):
    process = simulate("mqtt://127.0.0.1:1", "--seconds", "2", "--png", str(tmp_path / "k1.png"), stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True)  # fmt: skip
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "broker: Connection refused" in output
    assert "mqtt://127.0.0.1:1: Connection refused; --url" in errors
    assert not list(tmp_path.iterdir())
