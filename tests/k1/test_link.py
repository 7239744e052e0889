"""The link against real brokers: both protocols, passwords, certificates, a broker that dies, hangs, or was never there."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import publish, subscribe
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import SecretStr

from k1edge.config.mqtt import MqttSettings
from k1edge.k1.contract import Publication
from k1edge.k1.link import BACKOFF_MAX_S, BACKOFF_MIN_S, INBOX_LIMIT, RECEIVE_LIMIT, Identity, Link, backoff_s
from k1edge.k1.outbox import LIVE_LIMIT
from k1edge.k1.session import Session
from k1edge.k1.tcp import SEGMENT_BYTES, UNSENT_BYTES
from k1edge.system.broker import EmbeddedBroker
from tests.brokers import PATIENCE_S, Mosquitto, acl, certificates, credentials, eventually, free_port, tls_lines
from tests.failing import raising

QUICK_S = 0.05
STATUS = Publication("k1/v1/s/edge/a/status", b'{"state":"ready"}', qos=1, retain=True)
WILL = Publication(STATUS.topic, b'{"state":"lost"}', qos=1, retain=True)


@contextlib.contextmanager
def linked(settings, client_id="edge-a", backoff=lambda _attempt: QUICK_S, **identity):
    link = Link(settings, Identity(client_id, **identity), backoff)
    link.start()
    try:
        yield link
    finally:
        link.close()


@contextlib.contextmanager
def connected(settings, client_id="edge-a", **more):
    """A link that has reached its broker."""
    with linked(settings, client_id, **more) as link:
        eventually(lambda: link.connected, f"{client_id} is connected")
        yield link


@contextlib.contextmanager
def listening(settings, *filters, client_id="listener"):
    """A link that has subscribed, with the list that fills as it hears."""
    heard = []
    with connected(settings, client_id, subscriptions=filters, payload_limit=4096) as link:
        link.send(Publication("k1/listening", client_id.encode(), qos=1))
        eventually(lambda: link.counters.sent == 1 and link.queued == 0, "what was asked before, to subscribe, is done")
        yield lambda: heard.extend(link.receive()) or heard


def event(number):
    return Publication("k1/v1/s/edge/a/event/drop", str(number).encode(), qos=1)


def numbers(heard):
    return [int(message.payload) for message in heard if "/event/" in message.topic]


@pytest.mark.parametrize(("protocol", "spoken"), [("auto", "5"), ("5", "5"), ("3.1.1", "3.1.1")])
def test_messages_arrive_in_either_protocol(mosquitto, protocol, spoken):
    with listening(mosquitto.settings(), "k1/v1/#") as heard, connected(mosquitto.settings(protocol=protocol)) as link:
        assert link.protocol == spoken
        link.send(Publication("k1/v1/s/edge/a/beat", b"1"))
        link.send(event(2))
        link.send(STATUS)
        eventually(lambda: len(heard()) >= 3)
        assert {message.payload for message in heard()} == {b"1", b"2", STATUS.payload}
        assert link.counters.sent == 3


@pytest.mark.parametrize(
    "answer",
    [b"", b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00"],
    ids=["hangs up", "refuses as 3.1.1 would", "refuses as 5 would"],
)
def test_a_broker_that_only_speaks_the_older_protocol_is_found_at_once(answer):
    with scripted_broker(answer) as url, connected(MqttSettings(url=url)) as link:
        assert link.protocol == "3.1.1"
        assert link.counters.failures == 1


def test_no_more_goes_unconfirmed_than_the_broker_has_granted():
    five_at_a_time = b"\x20\x06\x00\x00\x03\x21\x00\x05"
    with scripted_broker(five_at_a_time) as url, connected(MqttSettings(url=url)) as link:
        for number in range(30):
            link.send(event(number))
        for live in (1, 2):
            link.send(Publication("k1/v1/s/edge/a/beat", b"1"))
            eventually(lambda live=live: link.counters.sent >= 5 + live, "what is live waits for nothing")
        assert (link.counters.sent, link.queued) == (7, 30)


@pytest.mark.parametrize("answer", [b"", b"\x20\x03\x00\x84\x00"])
def test_a_version_that_was_demanded_is_not_given_up(answer):
    with scripted_broker(answer) as url, linked(MqttSettings(url=url, protocol="5")) as link:
        eventually(lambda: link.counters.failures >= 3)
        assert link.protocol == "5"
        assert not link.connected
        assert "before it was accepted" in link.last_reason or "Unsupported protocol version" in link.last_reason


def test_a_broker_of_either_version_is_found_again_when_it_is_replaced(mosquitto):
    settings = mosquitto.settings()
    mosquitto.kill()
    with linked(settings) as link:
        eventually(lambda: link.counters.failures >= 2)
        assert link.protocol == "5"
        mosquitto.start()
        eventually(lambda: link.connected)
        assert link.protocol == "5"


def test_a_broker_that_was_slow_once_is_spoken_to_in_the_newer_protocol(mosquitto, monkeypatch):
    def backoff(_attempt):
        monkeypatch.setattr("k1edge.k1.session.CONNECT_TIMEOUT_S", PATIENCE_S)
        mosquitto.resume()
        return 0.0

    monkeypatch.setattr("k1edge.k1.session.CONNECT_TIMEOUT_S", 0.1)
    mosquitto.pause()
    with connected(mosquitto.settings(), backoff=backoff) as link:
        assert (link.protocol, link.counters.failures) == ("5", 1)


def test_a_broker_that_never_answers_the_newer_protocol_is_found_too(monkeypatch):
    opened = Session.open

    def open_(session):
        monkeypatch.setattr("k1edge.k1.session.CONNECT_TIMEOUT_S", 0.1 if session._five else PATIENCE_S)
        opened(session)

    monkeypatch.setattr(Session, "open", open_)
    with scripted_broker(None) as url, connected(MqttSettings(url=url)) as link:
        assert (link.protocol, link.counters.failures) == ("3.1.1", 2)


def test_the_older_protocol_is_spoken_no_longer_than_to_the_broker_that_needs_it(mosquitto):
    mosquitto.kill()
    with contextlib.ExitStack() as stack:
        with scripted_broker(b"", port=mosquitto.port) as url:
            link = stack.enter_context(linked(MqttSettings(url=url)))
            eventually(lambda: link.connected)
            assert link.protocol == "3.1.1"
        mosquitto.start()
        eventually(lambda: link.counters.connects == 2)
        assert link.protocol == "5"


def test_a_message_whose_topic_is_no_text_costs_itself_and_not_the_connection():
    kept_for_ever, readable = b"\x31\x08\x00\x04k1/\xff\x00x", b"\x30\x08\x00\x04k1/a\x00y"
    with scripted_broker(b"\x20\x03\x00\x00\x00" + kept_for_ever + readable) as url, linked(MqttSettings(url=url)) as link:
        heard = []
        eventually(lambda: heard.extend(link.receive()) or heard)
        assert [(message.topic, message.payload) for message in heard] == [("k1/a", b"y")]
        assert (link.connected, link.counters.failures) == (True, 0)


@pytest.mark.parametrize("nonsense", [b"\xf0\x02\x00\x00", b"\x20\x02\x00", b"\x20\x01\x00", b"\x30\x03\x00\xff\x00"])
def test_a_broker_that_talks_nonsense_is_left_and_tried_again(nonsense):
    with scripted_broker(nonsense, hang_up=True) as url, linked(MqttSettings(url=url, protocol="5")) as link:
        eventually(lambda: link.counters.failures >= 3)
        assert not link.connected


def test_whatever_a_session_dies_of_the_link_goes_on(mosquitto, monkeypatch):
    exchange, dead = Session.exchange, []

    def stumble(session, *args):
        if session.connected and not dead:
            dead.append(session)
            raise TypeError("an answer nobody has foreseen")
        exchange(session, *args)

    monkeypatch.setattr(Session, "exchange", stumble)
    with linked(mosquitto.settings()) as link:
        eventually(lambda: link.counters.connects == 2)
        assert link.parting == "the broker's words cannot be read (TypeError: an answer nobody has foreseen)"


def test_a_link_whose_thread_has_died_says_so(monkeypatch):
    monkeypatch.setattr("k1edge.k1.link.Session", raising(MemoryError()))
    monkeypatch.setattr(threading, "excepthook", lambda fault: None)
    link = Link(MqttSettings(url="mqtt://127.0.0.1:1"), Identity("edge-a"))
    assert not link.died
    link.start()
    eventually(lambda: link.died)
    link.close()
    assert not link.died


@pytest.mark.parametrize(
    ("code", "reason"),
    [(b"\x8b", "connection lost: Server shutting down"), (b"\x8e", "connection lost: another client is edge-a")],
)
def test_why_a_broker_sent_us_away_is_kept(code, reason):
    accepted_then_sent_away = b"\x20\x03\x00\x00\x00\xe0\x02" + code + b"\x00"
    with scripted_broker(accepted_then_sent_away) as url, linked(MqttSettings(url=url)) as link:
        eventually(lambda: link.counters.connects >= 1 and link.last_reason == reason)


def test_the_properties_of_mqtt_5_go_and_come(mosquitto):
    asked = Properties(PacketTypes.PUBLISH)
    asked.ResponseTopic, asked.CorrelationData = "k1/answers", b"\x01\x02"
    with connected(mosquitto.settings()) as link, listening(mosquitto.settings(), "k1/v1/#") as heard:
        publish.multiple([{"topic": "k1/v1/x", "properties": asked}], port=mosquitto.port, protocol=MQTTProtocolVersion.MQTTv5)
        eventually(heard)
        arrival = heard()[0].arrival
        assert (arrival.response_topic, arrival.correlation) == ("k1/answers", b"\x01\x02")
        link.send(Publication("k1/v1/x", b"1", correlation=b"\x03", expiry_s=9.0))
        eventually(lambda: len(heard()) == 2)
        assert heard()[1].arrival.correlation == b"\x03"
        assert 0 <= time.monotonic_ns() - arrival.heard_ns < 60e9
        link.send(Publication("k1/v1/x", b"2", qos=1, retain=True, expiry_s=9.0))
        kept = subscribe.simple("k1/v1/x", port=mosquitto.port, protocol=MQTTProtocolVersion.MQTTv5)
        assert kept.properties.ContentType == "application/json"
        assert kept.properties.MessageExpiryInterval <= 9


@pytest.mark.parametrize(("protocol", "lost"), [("5", 0), ("3.1.1", 1)])
def test_a_broker_that_hangs_up_over_a_question_is_not_asked_again(protocol, lost):
    # The embedded broker over `$SYS`; with MQTT 5 it is known by what it grants.
    with EmbeddedBroker() as broker:
        settings = MqttSettings(url=broker.url if protocol == "5" else broker.url_311, protocol=protocol)
        curious = {"subscriptions": ("k1/v1/#",), "curiosities": ("$SYS/broker/clients/connected",)}
        with linked(settings, "edge-a", **curious) as link:
            eventually(lambda: link.counters.connects == lost + 1 and link.connected)
            heard = []
            for number in range(20):
                link.send(event(number))
            eventually(lambda: heard.extend(link.receive()) or len(heard) == 20)
            assert link.counters.failures == lost


def test_a_message_larger_than_the_broker_takes_is_not_sent_and_costs_no_connection(tmp_path):
    with Mosquitto(tmp_path, "max_packet_size 20000") as broker, connected(broker.settings(), subscriptions=("k1/#",)) as link:
        assert link.largest_bytes == 20_000
        heard = []
        for size in (60_000, 19_000):
            link.send(Publication("k1/v1/s/edge/a/response/track.get", b"x" * size, qos=1))
        eventually(lambda: heard.extend(link.receive()) or heard)
        assert (link.counters.failures, link.counters.refused, link.queued) == (0, 1, 0)
        assert "20000 bytes" in link.last_reason and "track.get" in link.last_reason


def test_what_a_broker_tells_of_itself_is_heard_where_it_tells(mosquitto):
    topic = "$SYS/broker/clients/connected"
    with linked(mosquitto.settings(), curiosities=(topic,)) as link:
        heard = []
        eventually(lambda: heard.extend(link.receive()) or topic in [message.topic for message in heard])


def test_a_retained_message_expires_at_the_broker(mosquitto):
    with connected(mosquitto.settings()) as link:
        link.send(Publication("k1/v1/tonight", b"{}", qos=1, retain=True, expiry_s=3600.0))
        link.send(Publication("k1/v1/last-night", b"{}", qos=1, retain=True, expiry_s=1.0))
        eventually(lambda: link.queued == 0)
    time.sleep(2.1)
    with listening(mosquitto.settings(), "k1/#") as heard:
        eventually(lambda: "k1/listening" in [message.topic for message in heard()])
        retained = [message.topic for message in heard() if message.arrival.retained]
    assert retained == ["k1/v1/tonight"]


def test_nothing_is_lost_that_matters_when_the_broker_is_killed(mosquitto):
    with connected(mosquitto.settings()) as link:
        link.send(STATUS)
        eventually(lambda: link.queued == 0)
        mosquitto.kill()
        eventually(lambda: not link.connected)
        for number in range(5):
            link.send(event(number))
            link.send(Publication("k1/v1/s/edge/a/beat", b"live"))
        assert link.dropped_live == 5
        assert link.last_reason
        mosquitto.start()
        with listening(mosquitto.settings(), "k1/v1/#") as heard:
            eventually(lambda: link.connected and link.queued == 0)
            eventually(lambda: any(message.topic == STATUS.topic for message in heard()), "the status is back")
        assert link.counters.reconnects >= 1
        assert link.last_reason == ""
        assert link.dropped_durable == 0


def test_durable_messages_arrive_once_and_in_order_after_an_outage(mosquitto):
    listener_ready = threading.Event()

    def backoff(_attempt):
        listener_ready.wait(PATIENCE_S)
        return 0.0

    with connected(mosquitto.settings(), backoff=backoff) as link:
        mosquitto.kill()
        eventually(lambda: not link.connected)
        for number in range(50):
            link.send(event(number))
        mosquitto.start()
        with listening(mosquitto.settings(), "k1/v1/#", "k1/listening") as heard:
            eventually(heard, "the listener hears itself")
            listener_ready.set()
            eventually(lambda: len(numbers(heard())) >= 50)
            assert numbers(heard()) == list(range(50))


def test_the_oldest_durable_messages_go_when_too_many_wait():
    with linked(MqttSettings(url=f"mqtt://127.0.0.1:{free_port()}", outbox_limit=10)) as link:
        for number in range(30):
            link.send(event(number))
        eventually(lambda: link.queued == 10)
        assert link.dropped_durable == 20


def test_sending_never_waits_for_a_broker_that_hangs(mosquitto):
    with connected(mosquitto.settings()) as link:
        mosquitto.pause()
        for _ in range(4000):
            link.send(Publication("k1/v1/s/edge/a/frame", b"x" * 4000, expiry_s=1.0))
        assert link.queued <= link._settings.outbox_limit + LIVE_LIMIT
        eventually(lambda: link.dropped_live > 0, "what the broker does not take is dropped")
        mosquitto.resume()


def test_no_segment_is_larger_than_every_path_carries_either_way():
    with socket.create_server(("127.0.0.1", 0)) as server, linked(MqttSettings(url=address_of(server))) as link:
        there, _ = server.accept()
        with there:
            eventually(lambda: link._session._client.socket())
            for end in (there, link._session._client.socket()):
                assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= SEGMENT_BYTES


def test_each_address_of_a_broker_is_tried(mosquitto, monkeypatch):
    ask, dead = socket.getaddrinfo, free_port()
    here = mosquitto.settings()
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **more: ask(host, dead, **more) + ask(host, port, **more))
    with connected(here) as link:
        assert link.counters.failures == 0


def test_what_the_network_does_not_take_waits_where_it_can_expire():
    with scripted_broker(b"\x20\x03\x00\x00\x00", room_bytes=4096) as url, connected(MqttSettings(url=url)) as link:
        for _ in range(LIVE_LIMIT):
            link.send(Publication("k1/v1/s/edge/a/frame", b"x" * 400))
        eventually(lambda: link.counters.sent + len(link._outbox) == LIVE_LIMIT, "all is either in the socket or in the outbox")
        assert link.counters.sent * 400 < UNSENT_BYTES


def test_a_broker_that_takes_nothing_any_more_is_given_up_and_the_reason_told(monkeypatch):
    monkeypatch.setattr("k1edge.k1.tcp.SILENT_S", 0.1)
    with (
        scripted_broker(b"\x20\x03\x00\x00\x00", room_bytes=4096) as url,
        connected(MqttSettings(url=url), backoff=lambda _attempt: PATIENCE_S) as link,
    ):
        for _ in range(LIVE_LIMIT):
            link.send(Publication("k1/v1/s/edge/a/frame", b"x" * 4000))
        eventually(lambda: link.counters.failures == 1, patience_s=link._settings.keepalive_s)
        assert link.last_reason == "Connection timed out"


@pytest.fixture
def plug(monkeypatch, tmp_path):
    """The network of this machine: without a route, until one is plugged in; with a cable, once there is one."""
    routes, carrier = tmp_path / "route", tmp_path / "eth0" / "operstate"
    carrier.parent.mkdir()
    carrier.write_text("down")
    routes.write_text("Iface Destination Gateway Flags RefCnt Use Metric Mask\n")
    monkeypatch.setattr("k1edge.k1.tcp.ROUTES", ((routes, (0, 1, 2, 7)),))
    monkeypatch.setattr("k1edge.k1.tcp.INTERFACES", tmp_path)
    return {"route": lambda: routes.write_text("eth0 00000000 010200C0 0003 0 0 0 00000000\n"),
            "cable": lambda: carrier.write_text("up")}


@pytest.mark.parametrize("kind", ["route", "cable"])
def test_a_network_that_is_back_is_used_at_once_and_failures_before_it_do_not_count(plug, kind):
    failures = []

    def backoff(attempt):
        failures.append(attempt)
        return 0.0 if len(failures) < 4 else 3600.0

    server = socket.create_server(("127.0.0.1", 0))
    url = address_of(server)
    server.close()
    with linked(MqttSettings(url=url), backoff=backoff) as link:
        eventually(lambda: len(failures) == 4)
        plug[kind]()
        eventually(lambda: len(failures) == 5)
        assert (failures[3] > 1, failures[4]) == (True, 1)
        assert not link.connected


def test_the_will_is_published_when_the_process_vanishes_and_is_kept_for_who_comes_later(mosquitto):
    with listening(mosquitto.settings(), "k1/v1/#") as heard:
        victim = Link(mosquitto.settings(), Identity("edge-a", will=WILL), backoff=lambda _attempt: 3600.0)
        victim.start()
        victim.send(STATUS)
        eventually(heard)
        victim._session._client.socket().shutdown(socket.SHUT_RDWR)
        eventually(lambda: any(message.payload == WILL.payload for message in heard()), "the will")
        victim.close()
    with listening(mosquitto.settings(), "k1/v1/#", client_id="later") as heard:
        eventually(heard, "what the broker has kept")
        assert [(message.payload, message.arrival.retained) for message in heard()] == [(WILL.payload, True)]


def test_leaving_in_order_says_farewell_and_leaves_no_will(mosquitto):
    stopping = Publication(STATUS.topic, b'{"state":"stopping"}', qos=1, retain=True)
    with listening(mosquitto.settings(), "k1/v1/#") as heard:
        link = Link(mosquitto.settings(), Identity("edge-a", will=WILL))
        link.start()
        eventually(lambda: link.connected)
        link.close([stopping], PATIENCE_S)
        assert link.queued == 0
        eventually(heard)
        with connected(mosquitto.settings(), "witness") as witness:
            witness.send(event(1))
            eventually(lambda: numbers(heard()) == [1])
        assert [json.loads(message.payload) for message in heard()] == [{"state": "stopping"}, 1]


def test_leaving_without_a_broker_is_quick():
    link = Link(MqttSettings(url=f"mqtt://127.0.0.1:{free_port()}"), Identity("edge-a"))
    link.start()
    eventually(lambda: link.last_reason)
    began_s = time.monotonic()
    link.close([STATUS], PATIENCE_S)
    assert time.monotonic() - began_s < PATIENCE_S / 2
    assert not link._thread.is_alive()
    assert "refused" in link.last_reason.lower()


@pytest.mark.parametrize(("password", "welcome"), [("right", True), ("wrong", False)])
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_wrong_password_is_told_and_tried_again(tmp_path, password, welcome, protocol):
    lines = credentials(tmp_path, pi="right")
    with Mosquitto(tmp_path, *lines) as broker:
        settings = broker.settings(username="pi", password=SecretStr(password), protocol=protocol)
        with linked(settings) as link:
            if welcome:
                eventually(lambda: link.connected)
            else:
                eventually(lambda: link.counters.failures >= 2)
                assert "Not authorized" in link.last_reason
                assert not link.connected


def test_what_the_access_list_forbids_is_counted_and_named(tmp_path):
    lines = (*credentials(tmp_path, pi="p"), *acl(tmp_path, "user pi", "topic write k1/v1/s/edge/pi/#"))
    with Mosquitto(tmp_path, *lines) as broker:
        settings = broker.settings(username="pi", password=SecretStr("p"))
        with connected(settings) as link:
            link.send(Publication("k1/v1/s/edge/other/event/drop", b"x", qos=1))
            eventually(lambda: link.counters.refused == 1)
            eventually(lambda: "Not authorized" in link.last_reason)
            assert "edge/other" in link.last_reason
            assert link.connected
            assert link.heard, "one topic of others is not our own word"


def test_an_edge_whose_status_is_forbidden_is_not_heard_until_something_of_it_is_taken(tmp_path):
    rules = ("topic write k1/v1/s/device/+/cmd/+", f"topic write {STATUS.topic.removesuffix('status')}state/#")
    lines = (*credentials(tmp_path, pi="p"), *acl(tmp_path, "user pi", *rules))
    with Mosquitto(tmp_path, *lines) as broker:
        settings = broker.settings(username="pi", password=SecretStr("p"))
        with linked(settings, will=WILL) as link:
            link.send(STATUS)
            eventually(lambda: link.counters.refused == 1)
            link.send(Publication("k1/v1/s/device/porch/cmd/scene", b"which is not ours", qos=1))
            link.send(event(1))
            eventually(lambda: link.counters.refused == 2)
            assert link.connected
            assert not link.heard
            assert STATUS.topic in link.last_reason
            link.send(Publication(f"{STATUS.topic.removesuffix('status')}state/audio", b"x", qos=1))
            eventually(lambda: link.heard)


def test_what_is_said_after_a_topic_was_forgotten_is_sent():
    link = Link(MqttSettings(url="mqtt://127.0.0.1:1"), Identity("edge"))
    link.send(Publication("scene", b"old", 1, True))
    link.forget("scene")
    link.send(Publication("scene", b"new", 1, True))
    link._collect()
    assert link._outbox.take(0.0).publication.payload == b"new"
    assert link._outbox.take(0.0) is None


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("certificates"))


def test_tls_with_an_authority_of_our_own(tmp_path, files):
    with Mosquitto(tmp_path, *tls_lines(files), tls=True) as broker:
        settings = broker.settings(ca_file=str(files["ca.crt"]))
        with connected(settings) as link, listening(settings, "k1/v1/#") as heard:
            for number in range(100):
                link.send(event(number))
            eventually(lambda: numbers(heard()) == list(range(100)))


def test_a_broker_whose_certificate_nobody_vouches_for_is_not_trusted(tmp_path, files):
    with Mosquitto(tmp_path, *tls_lines(files), tls=True) as broker, linked(broker.settings()) as link:
        eventually(lambda: link.counters.failures >= 2)
        assert "certificate verify failed" in link.last_reason
        assert not link.connected


def test_a_broker_whose_certificate_is_for_another_name_is_not_trusted(tmp_path, files):
    with Mosquitto(tmp_path, *tls_lines(files), tls=True) as broker:
        elsewhere = MqttSettings(url=f"mqtts://127.0.0.1:{broker.port}", ca_file=str(files["ca.crt"]))
        with linked(elsewhere) as link:
            eventually(lambda: link.counters.failures >= 2)
            assert "certificate verify failed" in link.last_reason and "127.0.0.1" in link.last_reason
            assert not link.connected


@pytest.mark.parametrize("shown", [True, False])
def test_a_broker_can_demand_a_client_certificate(tmp_path, files, shown):
    lines = (*tls_lines(files), "require_certificate true")
    own = {"client_cert": str(files["client.crt"]), "client_key": str(files["client.key"])} if shown else {}
    with (
        Mosquitto(tmp_path, *lines, tls=True) as broker,
        linked(broker.settings(ca_file=str(files["ca.crt"]), **own)) as link,
    ):
        if shown:
            eventually(lambda: link.connected)
        else:
            eventually(lambda: link.counters.failures >= 2)
            assert not link.connected


def test_a_second_client_of_the_same_name_is_noticed(mosquitto):
    late = {"backoff": lambda _attempt: 3600.0}
    with connected(mosquitto.settings(), "twin", **late) as first, connected(mosquitto.settings(), "twin") as second:
        eventually(lambda: not first.connected)
        eventually(lambda: first.last_reason.startswith("connection lost"))
        assert second.connected


def test_a_twin_that_comes_again_and_again_is_guessed_where_the_broker_gives_no_reason(mosquitto):
    older = mosquitto.settings(protocol="3.1.1")
    with linked(older, "twin", backoff=lambda _attempt: 0.05) as first, linked(older, "twin", backoff=lambda _attempt: 0.05):
        eventually(lambda: "is another client twin?" in first.parting)


def test_a_flood_is_dropped_and_counted_and_costs_a_bounded_share_of_each_hop(tmp_path):
    flood = INBOX_LIMIT + 500
    # Else mosquitto drops what a victim on a busy machine has not taken yet, and less than the flood arrives.
    with (
        Mosquitto(tmp_path, "max_queued_messages 0") as broker,
        connected(broker.settings(), "victim", subscriptions=("k1/flood",)) as victim,
    ):
        with linked(broker.settings(outbox_limit=10_000), "attacker") as attacker:
            for _ in range(flood):
                attacker.send(Publication("k1/flood", b"!" * 100, qos=1))
            eventually(lambda: victim.counters.received >= flood, "the flood has arrived")
        assert victim.counters.dropped_inbox == victim.counters.received - INBOX_LIMIT
        assert victim.counters.dropped_topic == "k1/flood"
        assert len(list(victim.receive())) == RECEIVE_LIMIT
        assert victim.connected


def test_a_huge_payload_arrives_cut_so_that_the_contract_refuses_it(mosquitto):
    with connected(mosquitto.settings(), "victim", subscriptions=("k1/flood",), payload_limit=1000) as victim:
        with linked(mosquitto.settings(), "attacker") as attacker:
            attacker.send(Publication("k1/flood", b"!" * 2**20, qos=1))
            received = []
            eventually(lambda: received.extend(victim.receive()) or received)
        assert len(received[0].payload) == 1001


@given(st.integers(0, 10_000))
def test_the_back_off_stays_within_its_limits(attempt):
    assert BACKOFF_MIN_S <= backoff_s(attempt) <= BACKOFF_MAX_S


def test_the_back_off_is_jittered_over_its_whole_range():
    late = [backoff_s(20) for _ in range(400)]
    assert min(late) < 5.0
    assert max(late) > 26.0
    assert max(backoff_s(1) for _ in range(100)) <= 2.0


def address_of(server):
    return f"mqtt://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def scripted_broker(answer, hang_up=False, port=0, room_bytes=0):
    """Answers MQTT 5 with these bytes (None: never); hangs up if they are empty or `hang_up`; accepts 3.1.1, and is silent.
    Reads no more, so that it takes little more than `room_bytes`, if they are given."""
    server = socket.create_server(("127.0.0.1", port))
    if room_bytes:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room_bytes)
    kept = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                older = client.recv(1024)[8:9] == b"\x04"
                client.sendall(b"\x20\x02\x00\x00" if older else answer or b"")
                if (answer != b"" and not hang_up) or older:
                    kept.append(client)
                else:
                    client.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield address_of(server)
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for client in kept:
            client.close()
