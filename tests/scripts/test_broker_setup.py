"""The venue's broker as `scripts/broker-setup` leaves it, under a real mosquitto: all may do what they must, no more."""

import os
import re
import shutil
import socket
import subprocess
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from pydantic import SecretStr

from k1edge.config import MqttSettings
from k1edge.daemon.edge import subscriptions
from k1edge.k1.contract import Publication
from k1edge.k1.link import Identity, Link
from k1edge.k1.simulator import VirtualK1
from tests.brokers import eventually, free_ports
from tests.end_to_end.k1 import K1OnTheWall
from tests.venue import CERTIFIED, SCRIPT, Venue, setup

NODES = ("edge/pi-1", "edge/pi-2", "device/porch", "device/bar", "viewer/wall", "operator/ann", "admin/eve")
SITE = "k1/v1/hall"
_numbers = count()


@pytest.fixture(scope="module")
def venue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("venue")
    ports = free_ports(3)
    for args in (("--ports", ",".join(map(str, ports)), "hall", *NODES), ("--certificate", "hall", CERTIFIED)):
        done = setup(folder, *args)
        assert done.returncode == 0, done.stderr
    with Venue(folder, ports) as running:
        yield running


@pytest.fixture
def come_in(venue):
    """A connected link of one node, subscribed to what is given."""
    with ExitStack() as stack:

        def connect(node, *filters):
            link = Link(venue.of(node), Identity(f"{node}-{next(_numbers)}", filters))
            link.start()
            stack.callback(link.close)
            eventually(lambda: link.connected, f"{node} comes in: {link.last_reason or venue.log[-500:]}")
            return link

        yield connect


def may_write(link: Link, topic: str) -> bool:
    """By trying: an MQTT 5 broker confirms or refuses each message, in order; the second is one that nobody may write."""
    assert link.protocol == "5"
    before, forbidden = link.counters.refused, f"forbidden/{next(_numbers)}"
    link.send(Publication(topic, b"{}", 1))
    link.send(Publication(forbidden, b"{}", 1))
    eventually(lambda: link.last_reason.endswith(f"({forbidden})"), "both are answered")
    return link.counters.refused - before == 1


def test_a_node_writes_below_its_own_level_and_nowhere_else(come_in):
    edge, k1 = come_in("edge/pi-1"), come_in("device/porch")
    for leaf in ("status", "beat", "state/tempo", "event/alarm", "response/scene.apply", "config/reported"):
        assert may_write(edge, f"{SITE}/edge/pi-1/{leaf}"), leaf
        assert not may_write(edge, f"{SITE}/edge/pi-2/{leaf}"), leaf
        assert not may_write(k1, f"{SITE}/edge/pi-1/{leaf}"), leaf
        assert not may_write(k1, f"{SITE}/edge/porch/{leaf}"), "not as an edge of the same name either"
    for leaf in ("status", "state", "pong", "ack"):
        assert may_write(k1, f"{SITE}/device/porch/{leaf}"), leaf
        assert not may_write(k1, f"{SITE}/device/bar/{leaf}"), leaf
        assert not may_write(edge, f"{SITE}/device/porch/{leaf}"), leaf
    assert not may_write(edge, "k1/v1/elsewhere/edge/pi-1/status")


def test_an_edge_commands_the_k1s_and_nobody_else_does(come_in):
    assert may_write(come_in("edge/pi-1"), f"{SITE}/device/porch/cmd/beat")
    for node in ("device/porch", "device/bar", "viewer/wall", "operator/ann", "admin/eve", CERTIFIED):
        assert not may_write(come_in(node), f"{SITE}/device/porch/cmd/beat"), node


def test_only_operators_make_requests_and_only_admins_change_the_configuration(come_in):
    asks = {node: may_write(come_in(node), f"{SITE}/edge/pi-1/request/scene.apply") for node in NODES if node != "edge/pi-1"}
    assert {node for node, may in asks.items() if may} == {"operator/ann", "admin/eve"}
    changes = {node: may_write(come_in(node), f"{SITE}/edge/pi-1/config/desired") for node in NODES if node != "edge/pi-1"}
    assert {node for node, may in changes.items() if may} == {"admin/eve"}


def test_home_assistant_takes_the_description_of_an_edge_back_that_is_deleted_there(come_in):
    operator = come_in("operator/ann")
    assert may_write(operator, "homeassistant/device/k1edge-hall-pi-1/config")
    assert not may_write(operator, "homeassistant/device/kitchen/config"), "that of nobody else"


def test_home_assistant_takes_back_the_description_of_an_edge_that_was_revoked(tmp_path):
    assert setup(tmp_path, "hall", "operator/ann", "edge/pi-1", "edge/pi-2").returncode == 0
    assert setup(tmp_path, "--revoke", "edge/pi-2", "hall").returncode == 0
    (ann,) = re.findall(r"^user operator/ann\n((?:.+\n)+)", (tmp_path / "k1edge" / "acl").read_text(), re.MULTILINE)
    assert re.findall("k1edge-.+/config", ann) == ["k1edge-hall-pi-1/config", "k1edge-hall-pi-2/config"]


def test_a_stolen_viewer_credential_sees_all_and_writes_nothing(come_in):
    viewer = come_in("viewer/wall", f"{SITE}/#")
    for leaf in ("status", "state", "pong", "ack", "cmd/beat", "cmd/scene", "request/scene.apply", "config/desired", "x"):
        for level in (f"{SITE}/edge/pi-1", f"{SITE}/device/porch", f"{SITE}/device/wall", f"{SITE}/viewer/wall", "k1/v1/x"):
            assert not may_write(viewer, f"{level}/{leaf}"), f"{level}/{leaf}"
    assert not may_write(viewer, "homeassistant/device/k1edge-hall-pi-1/config")
    come_in("edge/pi-1").send(Publication(f"{SITE}/edge/pi-1/event/score", b"{}", 1))
    eventually(lambda: any(got.topic.endswith("event/score") for got in viewer.receive()), "it sees")


def test_an_edge_hears_what_it_subscribes_to_and_of_its_neighbour_that_it_is_there(come_in):
    edge = come_in("edge/pi-1", *subscriptions("hall", "pi-1"), f"{SITE}/edge/pi-2/#", "homeassistant/status")
    operator, k1, other = come_in("operator/ann"), come_in("device/porch"), come_in("edge/pi-2")
    for link, topic in ((operator, f"{SITE}/edge/pi-2/request/x"), (other, f"{SITE}/edge/pi-2/event/x"),
                        (edge, f"{SITE}/edge/pi-1/deploy/a"), (other, f"{SITE}/edge/pi-2/deploy/a"),
                        (other, f"{SITE}/edge/pi-2/status"), (other, f"{SITE}/edge/pi-2/telemetry"),
                        (operator, f"{SITE}/edge/pi-1/request/scene.hold"), (k1, f"{SITE}/device/porch/status"),
                        (k1, f"{SITE}/device/porch/pong"), (other, f"{SITE}/device/porch/cmd/scene"),
                        (operator, "homeassistant/status")):  # fmt: skip
        assert may_write(link, topic), topic
    heard = []
    eventually(lambda: heard.extend(got.topic for got in edge.receive()) or "homeassistant/status" in heard, "the last one")
    once = list(dict.fromkeys(heard))  # two filters match the neighbour's status
    assert once == [f"{SITE}/edge/pi-1/deploy/a", f"{SITE}/edge/pi-2/status", f"{SITE}/edge/pi-1/request/scene.hold",
                    f"{SITE}/device/porch/status", f"{SITE}/device/porch/pong", f"{SITE}/device/porch/cmd/scene",
                    "homeassistant/status"]  # fmt: skip


@pytest.mark.parametrize("node", ["device/porch", CERTIFIED])
def test_a_k1_obeys_its_commands_and_tells_of_itself(venue, come_in, node):
    name = node.partition("/")[2]
    edge = come_in("edge/pi-1", f"{SITE}/device/{name}/#")
    with K1OnTheWall(venue.of(node), "hall", name):
        heard = []
        eventually(lambda: heard.extend(edge.receive()) or any(got.topic.endswith("/status") for got in heard), "its status")
        edge.send(Publication(f"{SITE}/device/{name}/cmd/ping", b'{"sent_ms": 1}'))
        eventually(lambda: heard.extend(edge.receive()) or any(got.topic.endswith("/pong") for got in heard), "its pong")


def test_a_k1_does_not_hear_what_is_said_to_another(come_in):
    k1 = come_in("device/porch", f"{SITE}/#")
    edge = come_in("edge/pi-1")
    assert may_write(edge, f"{SITE}/device/bar/cmd/sync")
    assert may_write(edge, f"{SITE}/edge/pi-1/telemetry")
    assert may_write(edge, f"{SITE}/device/porch/cmd/sync")
    heard = []
    eventually(lambda: heard.extend(got.topic for got in k1.receive()) or heard, "its own command")
    assert heard == [VirtualK1("hall", "porch").commands.replace("+", "sync")]


@pytest.mark.parametrize("listener", [0, 1])
def test_an_anonymous_client_cannot_even_connect(venue, listener):
    url = f"{'mqtts' if listener else 'mqtt'}://localhost:{venue.ports[listener]}"
    ca_file = str(venue.folder / "k1edge" / "ca.crt") if listener else ""
    for who in ({}, {"username": "edge/pi-1", "password": SecretStr("guess")}, {"username": "nobody"}):
        link = Link(MqttSettings(url=url, ca_file=ca_file, **who), Identity("stranger"))
        link.start()
        eventually(lambda link=link: link.counters.failures, "refused")
        assert "Not authorized" in link.last_reason
        assert not link.counters.connects
        link.close()


def test_without_a_certificate_of_the_venue_nobody_comes_in_by_certificate(venue):
    settings = venue.of("device/porch").model_copy(update={"url": f"mqtts://localhost:{venue.ports[2]}"})
    link = Link(settings, Identity("stranger"))
    link.start()
    eventually(lambda: link.counters.failures, "refused")
    assert not link.counters.connects
    link.close()


def test_without_tls_only_this_machine_can_knock(venue):
    lines = (venue.folder / "conf.d" / "k1edge.conf").read_text().splitlines()
    listeners = [i for i, line in enumerate(lines) if line.startswith("listener ")]
    blocks = ["\n".join(lines[a:b]) for a, b in zip(listeners, [*listeners[1:], len(lines)], strict=True)]
    assert [re.split(r"\s+", block)[2] for block in blocks if "keyfile" not in block] == ["127.0.0.1"]
    assert [block.count("\ntls_version tlsv1.2\n") for block in blocks] == [0, 1, 1]
    with socket.create_connection(("127.0.0.1", venue.ports[0]), 5):
        pass


def test_a_revoked_node_is_shut_out_whatever_it_holds(tmp_path):
    ports = free_ports(3)
    assert setup(tmp_path, "--ports", ",".join(map(str, ports)), "hall", "viewer/wall", "device/porch").returncode == 0
    assert setup(tmp_path, "--certificate", "hall", CERTIFIED).returncode == 0
    kept = tmp_path / "stolen"
    shutil.copytree(tmp_path / "k1edge" / "credentials", kept)
    assert setup(tmp_path, "--revoke", "device/porch", "--revoke", CERTIFIED, "hall").returncode == 0
    with Venue(tmp_path, ports) as venue:
        shutil.copytree(kept, tmp_path / "k1edge" / "credentials", dirs_exist_ok=True)
        link = Link(venue.of("device/porch"), Identity("thief"))
        link.start()
        eventually(lambda: link.counters.failures, "refused")
        assert "Not authorized" in link.last_reason
        link.close()
        link = Link(venue.of(CERTIFIED), Identity("thief"))
        link.start()
        eventually(lambda: link.connected, "its certificate is still signed")
        assert not may_write(link, f"{SITE}/device/cert/status"), "but it is good for nothing"
        link.close()
    again = setup(tmp_path, "hall", "device/porch")
    assert again.returncode == 1
    assert "revoked" in again.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_changes_nothing_and_a_new_node_adds_only_itself(tmp_path):
    first = ("hall", "edge/pi-1", "device/porch")
    assert setup(tmp_path, "--ports", "2001,2002,2003", *first).returncode == 0
    before = contents(tmp_path)
    assert setup(tmp_path, *first).returncode == 0
    assert contents(tmp_path) == before
    assert setup(tmp_path, "hall", "viewer/wall").returncode == 0
    after = contents(tmp_path)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"k1edge/nodes", "k1edge/passwords", "k1edge/acl"}
    assert after["k1edge/passwords"].startswith(before["k1edge/passwords"])


def test_another_name_of_the_broker_renews_its_certificate_but_not_its_key(tmp_path):
    assert setup(tmp_path, "hall").returncode == 0
    before = contents(tmp_path)
    assert setup(tmp_path, "--host", "lights.example", "--host", "10.0.0.7", "hall").returncode == 0
    after = contents(tmp_path)
    assert {name for name in before if after[name] != before[name]} == {"k1edge/hosts", "k1edge/server.crt"}
    home = tmp_path / "k1edge"
    for check in (["-verify_hostname", "lights.example"], ["-verify_ip", "10.0.0.7"], ["-verify_hostname", "localhost"]):
        done = subprocess.run(["openssl", "verify", "-CAfile", home / "ca.crt", *check, home / "server.crt"],
                              capture_output=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout
    assert setup(tmp_path, "hall").returncode == 0
    assert contents(tmp_path) == after, "the names are remembered"


def test_secrets_are_for_their_owner_alone(tmp_path):
    assert setup(tmp_path, "hall", "edge/pi-1").returncode == 0
    assert setup(tmp_path, "--certificate", "hall", CERTIFIED).returncode == 0
    home = tmp_path / "k1edge"
    secret = [home / "ca.key", *home.glob("credentials/*")]
    assert len(secret) == 4
    assert not [path for path in secret if path.stat().st_mode & 0o077]
    assert not [path for path in (home / "server.key", home / "passwords", home / "acl") if path.stat().st_mode & 0o007]
    assert (home / "credentials" / "edge-pi-1.password").read_text().strip() not in (home / "passwords").read_text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("Hall!",), "'Hall!' is no site"),
        (("hall", "porch"), "'porch' is no node"),
        (("hall", "guest/x"), "roles: edge device viewer operator admin"),
        (("hall", "device/a/b"), "is no node"),
        (("hall", "device/#"), "is no node"),
        (("hall", "device/café"), "is no node"),
        (("--ports", "1,2", "hall"), "--ports needs three different numbers"),
        (("--ports", "1883,8883,99999", "hall"), "--ports needs three different numbers"),
        (("--ports", "0,8883,8884", "hall"), "--ports needs three different numbers"),
        (("--ports", "1883,8883,8883", "hall"), "--ports needs three different numbers"),
        (("--host", "300.1.1.1", "hall"), "300.1.1.1"),
        (("--certifcate", "hall"), "unknown option --certifcate"),
        (("--host",), "--host needs a value"),
        (("--dir", "", "hall"), "--dir needs a value"),
    ],
)
def test_an_argument_that_makes_no_venue_is_refused_and_nothing_is_written(tmp_path, args, words):
    done = setup(tmp_path, *args)
    assert done.returncode == 1
    assert words in done.stderr
    assert not (tmp_path / "conf.d/k1edge.conf").exists()


def test_a_folder_may_be_named_from_where_one_is(tmp_path):
    done = subprocess.run([SCRIPT, "--dir", "venue", "hall"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/venue/k1edge/server.crt" in (tmp_path / "venue/conf.d/k1edge.conf").read_text()


def test_a_folder_belongs_to_one_site(tmp_path):
    assert setup(tmp_path, "hall").returncode == 0
    done = setup(tmp_path, "attic")
    assert done.returncode == 1
    assert "belongs to site hall" in done.stderr


def test_what_the_broker_saves_of_a_full_library_is_little_for_an_sd_card(tmp_path):
    """Debian's mosquitto keeps what is retained, and writes all of it each time."""
    ports, node, songs, full = free_ports(3), "edge/pi-1", 100, 1_300
    assert setup(tmp_path, "--ports", ",".join(map(str, ports)), "hall", node).returncode == 0
    with Venue(tmp_path, ports, persistence=True) as venue:
        link = Link(venue.of(node), Identity(node))
        link.start()
        for song in range(songs):
            link.send(Publication(f"{SITE}/{node}/track/{song:016x}", b"." * 320, 1, True))
        eventually(lambda: link.connected and not link.queued, "all are told")
        link.close()
    saved_bytes = (tmp_path / "mosquitto.db").stat().st_size * full / songs
    (every_s,) = re.findall(r"^autosave_interval (\d+)$", (tmp_path / "conf.d/k1edge.conf").read_text(), re.MULTILINE)
    assert saved_bytes > 320 * full
    assert saved_bytes * 86_400 / int(every_s) < 4e6, "a day; the edge itself writes 45 MB, and 50 is the limit"


def test_a_broker_that_serves_others_is_left_to_them_until_it_is_the_venues(tmp_path):
    """Home Assistant's devices, say, which all come in without a name."""
    house = tmp_path / "conf.d/house.conf"
    house.parent.mkdir()
    house.write_text("listener 1883\nallow_anonymous true\n")
    done = setup(tmp_path, "hall", "device/porch")
    assert done.returncode == 1
    assert f"{house} is there" in done.stderr and "--broker mqtt://127.0.0.1:1883" in done.stderr
    assert contents(tmp_path) == {"conf.d/house.conf": house.read_bytes()}
    house.unlink()
    assert setup(tmp_path, "hall", "device/porch").returncode == 0
    house.write_text("log_type all\n")
    assert setup(tmp_path, "hall", "device/bar").returncode == 0


@pytest.mark.parametrize("before", [("--ports", "2001,2002,2003", "hall"), ()])
def test_a_broker_that_does_not_start_with_it_has_back_what_it_had(tmp_path, monkeypatch, before):
    """It may serve others, with a port or a password file of theirs, and stayed dead."""
    assert not before or setup(tmp_path, *before).returncode == 0
    conf, ports, calls = tmp_path / "conf.d/k1edge.conf", tmp_path / "k1edge/ports", tmp_path / "calls"
    had = [each.read_text() if before else None for each in (conf, ports)]
    broker = tmp_path / "systemctl"
    broker.write_text(f'#!/bin/sh\necho "$1" >>{calls}\n[ "$1" != restart ] || ! grep -qs 3001 {conf}\n')
    broker.chmod(0o755)
    monkeypatch.setenv("K1EDGE_SYSTEMCTL", str(broker))
    done = setup(tmp_path, "--ports", "3001,3002,3003", "hall")
    assert done.returncode == 1
    assert "--broker mqtt://127.0.0.1:1883" in done.stderr
    assert [each.read_text() if each.exists() else None for each in (conf, ports)] == had
    assert not before or conf.stat().st_mode & 0o777 == 0o644, "a reload reads it without root's rights"
    assert calls.read_text().split() == ["is-active", "restart", "reset-failed", "restart"]


def test_rules_of_ones_own_survive(tmp_path):
    assert setup(tmp_path, "hall", "viewer/wall").returncode == 0
    (tmp_path / "k1edge" / "local.acl").write_text("user viewer/wall\ntopic read other/#\n")
    assert setup(tmp_path, "hall", "viewer/door").returncode == 0
    assert (tmp_path / "k1edge" / "acl").read_text().endswith("topic read other/#\n")


def test_no_rule_needs_a_user_name_in_its_pattern_where_mosquitto_2_1_takes_no_slash(tmp_path):
    assert setup(tmp_path, "hall", *NODES).returncode == 0
    assert not re.findall(r"^pattern.*", (tmp_path / "k1edge" / "acl").read_text(), re.MULTILINE)


def test_who_may_not_write_there_is_told_that_root_is_needed(tmp_path):
    tmp_path.chmod(0o555)
    mortal = []
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, 65534)
        mortal = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    command = [*mortal, SCRIPT, "--dir", tmp_path, "hall", "device/bar"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"broker-setup: only root may write {tmp_path}: sudo ")
