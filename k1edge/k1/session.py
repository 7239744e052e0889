"""One connection to a broker, from CONNECT to its end. Alone imports paho.

Consumes publications from an outbox, emits received messages to a callable; its owner gives it a thread and calls
`exchange` until `alive` is over. Always a clean session, since a burst of old commands does harm; hence no will delay,
which a clean start would void.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from paho.mqtt import MQTTException
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from k1edge.config.mqtt import MqttSettings
from k1edge.k1 import tcp
from k1edge.k1.contract import Publication
from k1edge.k1.outbox import Outbox, Waiting

CONNECT_TIMEOUT_S = 5.0
"""For TCP, and again for the broker's answer: some brokers never answer a protocol version they do not speak."""
IN_FLIGHT_LIMIT = 20
"""Unconfirmed QoS 1 messages, where the broker grants no fewer: it hangs up over more."""
PACKET_LIMIT_BYTES = 2 * 2**20
"""Told to an MQTT 5 broker, which then keeps anything larger to itself."""
MQTT_LIMIT_BYTES = 2**28
"""No packet can be larger."""
HEADERS_BYTES = 48
"""Of a PUBLISH: its header, and our properties but for the correlation."""
CONTENT_TYPE = "application/json"
RUMQTTD_ALIASES = 4096
"""The topic aliases that only rumqttd grants (it is inside the embedded broker). It dies of a message with MQTT 5
properties that an MQTT 3.1.1 client has subscribed to, so it gets none; the JSON says the same. And it hangs up over `$SYS`."""
LOST = "connection lost"
UNSUPPORTED = "Unsupported protocol version"
UNSPECIFIED = "Unspecified error"
"""What paho says when a socket just closes."""
TAKEN_OVER = "Session taken over"
FAILURES = (OSError, ValueError, MQTTException)
"""What a session raises when the network, the certificates or the broker's answers are bad."""


class Arrival(NamedTuple):
    """What came with a received message."""

    heard_ns: int
    """CLOCK_MONOTONIC when it left the socket."""
    retained: bool = False
    response_topic: str = ""
    correlation: bytes = b""


class Received(NamedTuple):
    """A message as it came."""

    topic: str
    payload: bytes
    arrival: Arrival


@dataclass(slots=True)
class LinkCounters:
    """Since the start, over all sessions; the outbox counts what it drops."""

    sent: int = 0
    received: int = 0
    dropped_inbox: int = 0
    """Received, but nobody drained the inbox in time."""
    dropped_topic: str = ""
    """Of the last of these."""
    refused: int = 0
    """Publications and subscriptions that the broker did not allow."""
    connects: int = 0
    failures: int = 0
    """Connections that were not made, or were lost."""

    @property
    def reconnects(self) -> int:
        return max(0, self.connects - 1)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who connects, what it wants to hear, and what is said when it dies."""

    client_id: str
    subscriptions: Sequence[str] = ()
    will: Publication | None = None
    curiosities: Sequence[str] = ()
    """Topics it would like to hear, and over which some brokers hang up: asked for last, and not again after that."""
    payload_limit: int = 16_384
    """Received payloads are cut one byte past this, so that the contract can refuse them."""


class Session:
    """A paho client with its socket driven from outside, so that nothing queues up where it cannot expire."""

    def __init__(
        self, settings: MqttSettings, identity: Identity, outbox: Outbox, counters: LinkCounters,
        *, five: bool, deliver: Callable[[Received], None],
    ) -> None:
        self.connected = False
        self.opened = False
        """Something listens there."""
        self.answered = False
        """The broker speaks this protocol version: it said yes, or no for another reason."""
        self.mute = False
        """It took the connection and said nothing."""
        self.barred = False
        """It refused our status, and has taken nothing at our own topics since; commands to a K1 it may take."""
        self.reason = ""
        """Why it ended, or what the broker refused."""
        self._settings = settings
        self._identity = identity
        self._outbox = outbox
        self._counters = counters
        self._five = five
        self._deliver = deliver
        self._rumqttd = False
        self._window, self.largest_bytes = IN_FLIGHT_LIMIT, MQTT_LIMIT_BYTES
        self._in_flight: dict[int, Waiting] = {}
        self._asked: dict[int, Sequence[str]] = {}
        """Topics that were asked for and not answered yet, by packet."""
        self._client = self._new_client()
        self._answer_by_s = 0.0

    def open(self) -> None:
        """Connect TCP and TLS, send CONNECT. Blocks for up to CONNECT_TIMEOUT_S each; raises FAILURES."""
        if self._settings.tls:
            files = (self._settings.ca_file, self._settings.client_cert, self._settings.client_key)
            self._client.tls_set(*(name or None for name in files))
        self._client.reconnect()
        self.opened = True
        self._answer_by_s = time.monotonic() + CONNECT_TIMEOUT_S

    @property
    def alive(self) -> bool:
        """Whether to go on calling `exchange`."""
        if self._client.socket() is None:
            return False
        if self.answered or time.monotonic() < self._answer_by_s:
            return True
        self.mute, self.reason = True, "the broker does not answer CONNECT"
        return False

    @property
    def in_flight(self) -> int:
        """QoS 1 messages sent and not yet confirmed."""
        return len(self._in_flight)

    @property
    def rebuffed(self) -> bool:
        """It asked for its curiosities, and got no answer."""
        return any(topics is self._identity.curiosities for topics in self._asked.values())

    def exchange(self, wake: socket.socket, timeout_s: float) -> None:
        """Wait for the socket or the wake-up, then let paho read, write and ping. Raises OSError when the network is gone."""
        sock: Any = self._client.socket()
        if sock is None:
            return
        hidden = sock.pending() if hasattr(sock, "pending") else 0
        wanted = [sock] if self._client.want_write() or tcp.is_full(sock) else []
        ready, writable, _ = select.select([sock, wake], wanted, [], 0.0 if hidden else timeout_s)
        tcp.check(sock)  # paho would not say what it was
        if hidden or sock in ready:
            self._client.loop_read()
        if writable and self._client.socket() is not None:
            self._client.loop_write()
        self._client.loop_misc()

    def publish_waiting(self) -> None:
        """Everything the network takes now; what it does not take stays in the outbox, where it can expire."""
        while self.connected and not self._client.want_write() and not tcp.is_full(self._client.socket()):
            now_s = time.monotonic()
            waiting = self._outbox.take(now_s, durable=len(self._in_flight) < self._window)
            if waiting is None:
                return
            if _packet_bytes(waiting.publication) <= self.largest_bytes:
                self._publish(waiting, now_s)
            else:  # it would end the session, and the next, and the one after
                self._counters.refused += 1
                self.reason = f"the broker takes no more than {self.largest_bytes} bytes ({waiting.publication.topic})"

    def shut(self) -> list[Waiting]:
        """Leave, without the will when still connected. Returns what was never confirmed, oldest first."""
        self._client.on_disconnect = None
        if self.connected:
            self._client.disconnect()
            self._client.loop_write()
        self.connected = False
        if (sock := self._client.socket()) is not None:
            sock.close()
        return list(self._in_flight.values())

    def _publish(self, waiting: Waiting, now_s: float) -> None:
        out = waiting.publication
        expiry_s = None if out.expiry_s is None else max(1, round(waiting.dies_at_s - now_s))
        properties = _properties(expiry_s, out.correlation) if self._five and not self._rumqttd else None
        info = self._client.publish(out.topic, out.payload, out.qos, out.retain, properties)
        self._counters.sent += 1
        if out.qos:
            self._in_flight[info.mid] = waiting

    def _new_client(self) -> Client:
        settings, will = self._settings, self._identity.will
        version = MQTTProtocolVersion.MQTTv5 if self._five else MQTTProtocolVersion.MQTTv311
        clean = None if self._five else True
        client = _Client(CallbackAPIVersion.VERSION2, self._identity.client_id, clean, protocol=version)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        if settings.username:
            client.username_pw_set(settings.username, settings.password and settings.password.get_secret_value())
        if will:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        properties = Properties(PacketTypes.CONNECT) if self._five else None
        if properties:
            properties.MaximumPacketSize = PACKET_LIMIT_BYTES
        client.connect_async(settings.host, settings.port, settings.keepalive_s, properties=properties)
        return client

    def _on_connect(self, _client: Client, _userdata: Any, _flags: Any, reason: ReasonCode, granted: Properties) -> None:
        if reason.is_failure:
            self.answered = reason.getName() != UNSUPPORTED
            self.reason = f"refused by the broker: {reason}"
            return
        self._rumqttd = self._five and getattr(granted, "TopicAliasMaximum", 0) == RUMQTTD_ALIASES
        self._window = min(IN_FLIGHT_LIMIT, getattr(granted, "ReceiveMaximum", IN_FLIGHT_LIMIT))
        self.largest_bytes = getattr(granted, "MaximumPacketSize", MQTT_LIMIT_BYTES)
        self.answered = self.connected = True
        self._counters.connects += 1
        self._ask(self._identity.subscriptions)
        if not self._rumqttd:
            self._ask(self._identity.curiosities)
        will = self._identity.will
        self._outbox.reconnected(will.topic if will else "")

    def _on_disconnect(self, _client: Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if self.connected or not self.reason:
            what = LOST if self.answered else "closed before it was accepted"
            why = f"another client is {self._identity.client_id}" if reason.getName() == TAKEN_OVER else reason
            self.reason = what if reason.getName() == UNSPECIFIED else f"{what}: {why}"
        self.connected = False

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        self._counters.received += 1
        try:
            topic = message.topic
        except UnicodeDecodeError:  # some brokers pass it on, and one that is retained would come with every connection
            return
        properties = message.properties
        arrival = Arrival(
            time.monotonic_ns(),
            message.retain,
            getattr(properties, "ResponseTopic", ""),
            getattr(properties, "CorrelationData", b""),
        )
        payload = bytes(message.payload[: self._identity.payload_limit + 1])
        self._deliver(Received(topic, payload, arrival))

    def _on_publish(self, _client: Client, _userdata: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        waiting = self._in_flight.pop(mid, None)
        if waiting is None:
            return  # of QoS 0: sent, and nobody says whether it was taken
        topic, will = waiting.publication.topic, self._identity.will
        if not reason.is_failure:
            self.barred &= will is None or not topic.startswith(will.topic.removesuffix("status"))
            return
        self._counters.refused += 1
        if not self.barred:  # then the rest is refused for the same reason
            self.reason = f"publishing refused: {reason} ({topic})"
        self.barred |= will is not None and topic == will.topic

    def _ask(self, topics: Sequence[str]) -> None:
        if topics:
            self._asked[self._client.subscribe([(topic, 1) for topic in topics])[1]] = topics

    def _on_subscribe(self, _client: Client, _userdata: Any, mid: int, reasons: list, _properties: Any) -> None:
        topics = self._asked.pop(mid, ())
        for topic, reason in zip(topics, reasons, strict=False):
            if reason.is_failure and topics is not self._identity.curiosities:
                self._counters.refused += 1
                self.reason = f"subscription refused: {reason} ({topic})"


class _Client(Client):
    """Paho's, over a connection of ours."""

    def _create_socket_connection(self) -> socket.socket:
        return tcp.connect(self.host, self.port, self.connect_timeout)


def _packet_bytes(out: Publication) -> int:
    return HEADERS_BYTES + len(out.topic.encode()) + len(out.payload) + len(out.correlation)


@lru_cache(maxsize=64)
def _properties(expiry_s: int | None, correlation: bytes) -> Properties:
    """Nearly all messages have the same few, and paho takes long to make them."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = CONTENT_TYPE
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    if correlation:
        properties.CorrelationData = correlation
    return properties
