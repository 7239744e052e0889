"""The embedded broker: loopback only, both protocols, and up again when it dies."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from k1edge.config.mqtt import MqttSettings
from k1edge.k1.contract import Publication
from k1edge.k1.link import Identity, Link
from k1edge.system import broker as module
from k1edge.system.broker import BrokerError, EmbeddedBroker, configuration
from tests.brokers import eventually, free_port, listening


@pytest.fixture
def broker():
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def links(broker):
    """One link of each protocol version, both subscribed to everything."""
    newer = link(broker.url, "newer", "5")
    older = link(broker.url_311, "older", "3.1.1")
    for sender, receiver in ((newer, older), (older, newer)):
        eventually(lambda: reaches(sender, receiver), "each hears the other")  # noqa: B023
    yield newer, older
    newer.close()
    older.close()


def reaches(sender, receiver):
    """Whether a subscription is in force: until it is, what is sent is lost."""
    sender.send(Publication("k1/v1/is-anyone-there", b""))
    return any(message.topic == "k1/v1/is-anyone-there" for message in receiver.receive())


def link(url, name, protocol):
    made = Link(MqttSettings(url=url, protocol=protocol), Identity(name, ("k1/v1/#",)), lambda _: 0.05)
    made.start()
    return made


def numbers(receiver, topic, heard):
    heard.extend(int(message.payload) for message in receiver.receive() if message.topic == topic)
    return heard


def test_the_two_versions_hear_each_other(links):
    newer, older = links
    for sender, receiver, qos in ((newer, older, 0), (older, newer, 1)):
        heard, topic = [], f"k1/v1/qos-{qos}"
        for number in range(20):
            sender.send(Publication(topic, str(number).encode(), qos))
        eventually(lambda: numbers(receiver, topic, heard)[-1:] == [19])  # noqa: B023
        assert heard == list(range(20))


def test_a_late_subscriber_gets_what_is_retained(broker, links):
    links[0].send(Publication("k1/v1/status", b"ready", 1, True))
    eventually(lambda: links[0].queued == 0)
    late, heard = link(broker.url, "late", "5"), []
    eventually(lambda: heard.extend(late.receive()) or heard)
    late.close()
    assert (heard[0].payload, heard[0].arrival.retained) == (b"ready", True)


def test_either_port_is_found_with_automatic_protocol(broker):
    for url, spoken in ((broker.url, "5"), (broker.url_311, "3.1.1")):
        found = link(url, "auto", "auto")
        eventually(lambda: found.connected)  # noqa: B023
        assert found.protocol == spoken
        found.close()


def test_it_listens_on_loopback_and_nowhere_else():
    parsed = tomllib.loads(configuration(1883, 1884))
    listeners = [listener for version in ("v4", "v5") for listener in parsed[version].values()]
    assert sorted(listener["listen"] for listener in listeners) == ["127.0.0.1:1883", "127.0.0.1:1884"]
    assert parsed["router"]["max_segment_size"] * parsed["router"]["max_segment_count"] <= 4 * 2**20


def test_a_busy_port_is_named_with_a_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port}.*name a broker of your own"):
            EmbeddedBroker(port).start()


def test_a_given_port_is_used_and_free_again_afterwards():
    port = free_port()
    with EmbeddedBroker(port) as broker:
        assert broker.url == f"mqtt://127.0.0.1:{port}"
        assert listening(port) and listening(broker.port_311)
    assert not listening(port)
    assert not broker.is_running


def test_a_broker_that_was_killed_is_started_again_and_the_links_return(broker, links):
    links[0].send(Publication("k1/v1/status", b"ready", 1, True))
    eventually(lambda: any(message.payload == b"ready" for message in links[1].receive()))
    os.kill(broker.pid, signal.SIGKILL)
    eventually(lambda: not broker.is_running)
    eventually(broker.supervise, "it is started again")
    eventually(lambda: any(message.payload == b"ready" for message in links[1].receive()), "the status is back")
    assert not broker.supervise()


def test_expiry_and_correlation_do_not_kill_it(broker, links):
    newer, older = links
    newer.send(Publication("k1/v1/scene", b"{}", 1, True, expiry_s=60.0, correlation=b"1"))
    eventually(lambda: any(message.topic == "k1/v1/scene" for message in older.receive()))
    assert broker.is_running


def test_a_panic_inside_ends_the_broker_so_that_it_can_be_started_again(broker, links):
    """A stranger's MQTT 5 property on its way to an MQTT 3.1.1 subscriber is what this broker dies of."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "text/plain"
    stranger = Client(CallbackAPIVersion.VERSION2, "stranger", protocol=MQTTProtocolVersion.MQTTv5)
    stranger.connect("127.0.0.1", broker.port)
    stranger.loop_start()
    stranger.publish("k1/v1/x", b"x", properties=properties)
    eventually(lambda: not broker.is_running, "the broker has given up")
    stranger.disconnect()
    stranger.loop_stop()
    eventually(broker.supervise)
    eventually(lambda: all(each.connected for each in links), "both links are back")


@pytest.fixture
def killed(tmp_path, monkeypatch):
    """A broker that has died, with a temporary folder of its own; it may be tried again at once."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "RESTART_GAP_S", 0.0)
    with EmbeddedBroker() as broker:
        os.kill(broker.pid, signal.SIGKILL)
        eventually(lambda: not broker.is_running)
        yield broker


def test_of_two_begun_at_once_one_does_not_take_the_others_broker_for_its_own(broker, monkeypatch):
    monkeypatch.setattr(module, "_refuse_busy", lambda port: None)  # they have looked before either listened
    second = EmbeddedBroker(broker.port, broker.port_311)
    with pytest.raises(BrokerError, match="did not start"):
        second.start()
    assert broker.is_running and not second.is_running


def test_a_port_that_was_taken_meanwhile_is_told_once_with_a_remedy_and_had_again_when_it_is_free(killed, caplog):
    with socket.create_server(("127.0.0.1", killed.port_311)):
        assert [killed.supervise() for _ in range(3)] == [False] * 3
    (told,) = caplog.messages
    assert f"port {killed.port_311}" in told and "name a broker of your own" in told
    assert killed.supervise()
    eventually(lambda: listening(killed.port) and listening(killed.port_311))


def test_a_broker_is_started_again_although_its_temporary_folder_is_gone(killed, tmp_path):
    for folder in tmp_path.iterdir():
        shutil.rmtree(folder)
    assert killed.supervise()
    eventually(lambda: listening(killed.port))


def test_a_broker_waits_for_a_place_for_temporary_files(killed, tmp_path, caplog):
    shutil.rmtree(tmp_path)
    assert not killed.supervise() and not killed.supervise()
    (told,) = caplog.messages
    assert "No such file or directory; it needs" in told and "temporary files" in told
    tmp_path.mkdir()
    assert killed.supervise()


def test_without_a_place_for_temporary_files_a_broker_does_not_start_and_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(BrokerError, match="No such file"):
        EmbeddedBroker().start()


def test_it_ends_with_its_parent_however_that_ends():
    code = "from k1edge.system.broker import EmbeddedBroker as B; b = B(); b.start(); print(b.pid, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    eventually(lambda: not alive(child), "the child is gone")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that nobody has fetched yet is dead.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_to_look_for_a_listener_leaves_no_descriptor_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        own = Path("/proc/self/fd")
        before = len(list(own.iterdir()))
        for _ in range(3):
            assert own / str(server.fileno()) in filter(module._listens, list(own.iterdir()))
        assert len(list(own.iterdir())) == before
