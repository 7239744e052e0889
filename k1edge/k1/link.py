"""The MQTT link: publications out, messages in, over a broker that may come and go.

Consumes publications (`send`), emits what was received (`receive`). Neither ever blocks: sending is an append to a queue
and at most one byte to a socket pair, receiving drains another queue; TCP, TLS and back-off live in the link's own
thread. Live messages are dropped and counted while offline, durable ones wait in a bounded queue, retained states are
sent again after every connection, because a broker that was restarted may have lost them.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from k1edge.config.mqtt import MqttSettings
from k1edge.k1 import tcp
from k1edge.k1.contract import Publication
from k1edge.k1.outbox import Outbox
from k1edge.k1.session import FAILURES, LOST, MQTT_LIMIT_BYTES, Arrival, Identity, LinkCounters, Received, Session

__all__ = ["Arrival", "Identity", "Link", "LinkCounters", "Received", "backoff_s"]

BACKOFF_MIN_S, BACKOFF_MAX_S = 1.0, 30.0
STABLE_S = 10.0
"""A session shorter than this does not reset the back-off: two clients with one id would fight at full speed."""
INBOX_LIMIT = 1000
RECEIVE_LIMIT = 64
"""Messages per `receive`: a flood costs a hop at most this many decodes, the rest waits or is dropped and counted."""
TICK_S = 1.0
AGAIN_AND_AGAIN = 2
"""So many sessions in a row that end without a reason are most likely the work of another client of our name."""
NEVER = float("inf")


def backoff_s(attempt: int) -> float:
    """Seconds to wait after `attempt` failures in a row: full jitter over a range that doubles, within 1..30 s."""
    return random.uniform(BACKOFF_MIN_S, min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** min(attempt, 10)))


class Link:
    """One client of one broker, kept connected for ever in the background."""

    def __init__(
        self, settings: MqttSettings, identity: Identity, backoff: Callable[[int], float] = backoff_s,
        *, entered: Callable[[], object] = lambda: None,
    ) -> None:
        """`entered` is called once by the link's own thread."""
        self.counters = LinkCounters()
        self.last_reason = ""
        """Why the last connection failed or was lost, or what the broker refused; empty while all is well."""
        self.parting = ""
        """Why the last connection failed or was lost, kept when the broker is back."""
        self._settings = settings
        self._identity = identity
        self._backoff, self._entered = backoff, entered
        self._five = settings.protocol != "3.1.1"
        self._mute = False
        """The last broker said nothing, and was given the time to."""
        self._session: Session | None = None
        self._outbox = Outbox(settings.outbox_limit)
        self._posted: deque[Publication | str] = deque()
        """What is to be sent, and topics to forget, in the order in which they came."""
        self._inbox: deque[Received] = deque()
        self._dropped_live = 0
        self._dropped_durable = 0
        self._signalled = False
        self._close_by_s = NEVER
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    def start(self) -> None:
        """Begin to connect in the background; returns at once, broker or not."""
        self._thread.start()

    def send(self, publication: Publication) -> None:
        """Hand over a publication; it is sent, kept or dropped as its kind demands. Never blocks, never fails."""
        live = not (publication.qos or publication.retain)
        full = len(self._posted) >= self._settings.outbox_limit
        if live and (full or not self.connected):
            self._dropped_live += 1
            return
        if full:
            with contextlib.suppress(IndexError):
                self._posted.popleft()
                self._dropped_durable += 1
        self._posted.append(publication)
        self._wake()

    def forget(self, topic: str) -> None:
        """What was sent to this topic holds no longer: it is not sent again after the next connection."""
        self._posted.append(topic)
        self._wake()

    def receive(self) -> Iterator[Received]:
        """What has arrived, oldest first, at most RECEIVE_LIMIT at a time."""
        for _ in range(min(len(self._inbox), RECEIVE_LIMIT)):
            yield self._inbox.popleft()

    def close(self, farewell: Iterable[Publication] = (), timeout_s: float = 1.0) -> None:
        """Send what waits and the farewell, then leave without a will. Gives up after `timeout_s`."""
        for publication in farewell:
            self.send(publication)
        self._close_by_s = time.monotonic() + timeout_s
        self._signalled = False
        self._wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s + 0.2)

    @property
    def connected(self) -> bool:
        """The broker has accepted us, and the connection is not known to be lost."""
        session = self._session
        return session is not None and session.connected

    @property
    def heard(self) -> bool:
        """Connected, and the broker does not refuse our own status: an access list may know us by another name or site."""
        session = self._session
        return session is not None and session.connected and not session.barred

    @property
    def largest_bytes(self) -> int:
        """Of a packet that the broker takes, as far as it says so; without one, what any can be."""
        session = self._session
        return session.largest_bytes if session is not None else MQTT_LIMIT_BYTES

    @property
    def died(self) -> bool:
        """Its thread has ended although nobody closed it (no memory was left, say): nothing will be sent any more."""
        return self._thread.ident is not None and not self._closing and not self._thread.is_alive()

    @property
    def protocol(self) -> str:
        """MQTT version spoken or tried."""
        return "5" if self._five else "3.1.1"

    @property
    def queued(self) -> int:
        """Messages that wait to be sent or confirmed."""
        session = self._session
        return len(self._posted) + len(self._outbox) + (session.in_flight if session else 0)

    @property
    def dropped_live(self) -> int:
        """Live messages not sent: offline, or the broker took nothing for a while."""
        return self._dropped_live + self._outbox.dropped_live

    @property
    def dropped_durable(self) -> int:
        """Durable messages lost: more waited than there is room for, or the broker hung up over them again and again."""
        return self._dropped_durable + self._outbox.dropped_durable

    def _wake(self) -> None:
        if not self._signalled:
            self._signalled = True
            with contextlib.suppress(OSError):
                self._wake_w.send(b"\0")

    # From here on: the link's own thread.

    def _run(self) -> None:
        self._entered()
        attempt = 0
        while not self._closing:
            began_s, network = time.monotonic(), tcp.network()
            session = self._connect_and_serve()
            if self._closing:
                break
            self.counters.failures += 1
            if self._try_older_protocol(session):
                continue
            attempt = 0 if time.monotonic() - began_s > STABLE_S else attempt + 1
            if session.answered and attempt >= AGAIN_AND_AGAIN and self.last_reason == LOST:
                self.last_reason = self.parting = f"{LOST} again and again: is another client {self._identity.client_id}?"
            if self._rest(time.monotonic() + self._backoff(attempt), network):
                attempt = 0
        self._wake_r.close()
        self._wake_w.close()

    @property
    def _closing(self) -> bool:
        return self._close_by_s != NEVER

    def _connect_and_serve(self) -> Session:
        """One session from its beginning to its end; what it did not get confirmed returns to the outbox."""
        session = Session(self._settings, self._identity, self._outbox, self.counters, five=self._five, deliver=self._deliver)
        self._session = session
        try:
            session.open()
            while session.alive and not self._finished(session):
                self._collect()
                session.publish_waiting()
                session.exchange(self._wake_r, TICK_S)
                self.last_reason = session.reason
        except FAILURES as error:
            session.reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        except Exception as error:  # whatever paho stumbles over in a broken broker's bytes ends the session, never the link
            session.reason = f"the broker's words cannot be read ({type(error).__name__}: {error})"
        unconfirmed = session.shut()
        if session.rebuffed:
            self._identity = replace(self._identity, curiosities=())
        self.last_reason = session.reason
        self.parting = session.reason or self.parting
        self._session = None
        self._outbox.disconnected()
        self._outbox.put_back(unconfirmed)
        return session

    def _try_older_protocol(self, session: Session) -> bool:
        """A broker that hung up before it answered, or twice said nothing, may not speak our version: the next attempt uses the
        older one, and the one after that ours again, since the broker may only have been slow, or starting."""
        if self._settings.protocol != "auto":
            return False
        self._mute = session.mute and not self._mute
        unheard = session.opened and not session.answered and not self._mute
        self._five = not (self._five and unheard)
        return not self._five

    def _finished(self, session: Session) -> bool:
        """Closing, and nothing is left to say, or nobody to say it to, or no time."""
        return self._closing and (not session.connected or not self.queued or time.monotonic() > self._close_by_s)

    def _rest(self, until_s: float, network: tcp.Network) -> bool:
        """Wait without a broker, still sorting what is handed over. True: for less long, since this is the network no more."""
        while not self._closing and (left_s := until_s - time.monotonic()) > 0:
            if tcp.network() != network:
                return True
            select.select([self._wake_r], [], [], min(left_s, TICK_S))
            self._collect()
        return False

    def _collect(self) -> None:
        """Sort what was handed over. The flag falls before the queue is read, so no wake-up is missed."""
        with contextlib.suppress(BlockingIOError):
            self._wake_r.recv(4096)
        self._signalled = False
        now_s = time.monotonic()
        for _ in range(len(self._posted)):
            with contextlib.suppress(IndexError):
                posted = self._posted.popleft()
                if isinstance(posted, str):
                    self._outbox.forget(posted)
                else:
                    self._outbox.put(posted, now_s, self.connected)

    def _deliver(self, received: Received) -> None:
        if len(self._inbox) >= INBOX_LIMIT:
            self.counters.dropped_topic = received.topic  # first: who sees the count asks for it
            self.counters.dropped_inbox += 1
        else:
            self._inbox.append(received)
