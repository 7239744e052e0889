"""The embedded broker: for a demo, or a run without a configured one. Alone imports iotcore.

Consumes nothing but free ports of 127.0.0.1 (iotcore speaks each protocol version on a port of its own, hence two).
It has no access list, keeps at most 100 retained topics for a subscriber and forgets everything when it stops: a venue
runs mosquitto. It is a child process that ends with ours; about 25 MB. Its defaults (all interfaces, 1 GB of memory per
topic filter) are never used. A thread of it panics when a message with MQTT 5 properties goes to an MQTT 3.1.1 client.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Self

import iotcore

from k1edge.interpreter import PYTHON

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 10.0
POLL_S = 0.02
PANICKED = 70
REMEDY = "stop the program that uses the port, or name a broker of your own as mqtt.url"
LISTENERS = 2
NEEDS = "it needs memory, and room for temporary files ($TMPDIR, or /tmp)"
RESTART_GAP_S = 1.0
"""A broker that dies at once is not started more often than this."""
CONNECTIONS = 64
SEGMENT_BYTES = 2**20
"""Of the broker's log per topic filter; two of them: memory stays flat where the default grows to 1 GB."""
PAYLOAD_LIMIT_BYTES = 262_144

log = logging.getLogger(__name__)


class BrokerError(Exception):
    """The embedded broker cannot run: says why and what to do."""


class EmbeddedBroker:
    """A broker on loopback for as long as the context lasts. `port` speaks MQTT 5, `port_311` the older version."""

    def __init__(self, port: int = 0, port_311: int = 0) -> None:
        self.port, self.port_311 = _two_ports(port, port_311)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._tried_s = 0.0
        self._trouble = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Of the MQTT 5 listener."""
        return f"mqtt://{LOOPBACK}:{self.port}"

    @property
    def url_311(self) -> str:
        """Of the MQTT 3.1.1 listener."""
        return f"mqtt://{LOOPBACK}:{self.port_311}"

    @property
    def is_running(self) -> bool:
        """Whether the child process lives."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int | None:
        """Of the child process, while there is one."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Returns when both listeners accept, in about 0.3 s. Raises BrokerError."""
        self._spawn()
        up = select.select([self._child.stdout], [], [], START_TIMEOUT_S)[0] and self._child.stdout.read(1)
        if not up:
            self.stop()
            raise BrokerError(f"the embedded broker did not start; {REMEDY}")

    def supervise(self) -> bool:
        """Call now and then: starts a broker that has died again, without waiting for it. True when it had to and could."""
        if self.is_running or time.monotonic() - self._tried_s < RESTART_GAP_S:
            return False
        self.stop()
        try:
            self._spawn()
        except BrokerError as error:
            if self._trouble != str(error):
                log.warning("the embedded broker has died, and is started again when it can be: %s", error)
            self._trouble = str(error)
            return False
        log.warning("the embedded broker has died and is started again")
        self._trouble = ""
        return True

    def stop(self) -> None:
        """End the child process and free the ports. Safe to call twice."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child.stdin.close()
            self._child.stdout.close()
            self._child = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _spawn(self) -> None:
        self._tried_s = time.monotonic()
        for port in (self.port, self.port_311):
            _refuse_busy(port)
        try:
            # A folder of its own each time: one in /tmp may be gone after a month.
            self._folder = tempfile.TemporaryDirectory(prefix="k1edge-broker-", ignore_cleanup_errors=True)
            conf = Path(self._folder.name, "broker.toml")
            conf.write_text(configuration(self.port, self.port_311))
            # Its end of our pipe closes when we end, however we end; and Ctrl-C is for us, not for it.
            command = [*PYTHON, "-c", f"from {__name__} import serve; serve()", str(conf)]
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            raise BrokerError(f"the embedded broker cannot be started: {error.strerror}; {NEEDS}") from error


def serve() -> None:
    """The child: a broker until our parent's pipe closes, or until a thread of it panics. Says when it listens.

    A panic leaves locks poisoned and clients waiting for ever, so it ends the process, and `supervise` starts a new one.
    """
    parent = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    errors, stderr = os.pipe()
    os.dup2(stderr, 2)
    for watch in (_exit_with_parent, partial(_exit_on_panic, errors), partial(_say_when_up, parent)):
        threading.Thread(target=watch, daemon=True).start()
    iotcore.IotCoreBroker(config_path=sys.argv[1]).run_forever()


def _exit_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _exit_on_panic(errors: int) -> None:
    with os.fdopen(errors, "rb") as lines:
        for line in lines:
            if b"panicked" in line:
                os._exit(PANICKED)


def _say_when_up(parent: int) -> None:
    # That a port accepts does not say whose it is: of two daemons begun at once, both would have spoken to one broker.
    while sum(map(_listens, Path("/proc/self/fd").iterdir())) < LISTENERS:
        time.sleep(POLL_S)
    os.write(parent, b".")


def _listens(descriptor: Path) -> bool:
    try:
        found = socket.socket(fileno=int(descriptor.name))
        try:
            return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        finally:
            found.detach()  # it stays the broker's
    except OSError:
        return False  # no socket, or closed meanwhile


def configuration(port: int, port_311: int) -> str:
    """The broker's own TOML: two listeners on loopback, bounded memory."""
    router = f"""\
id = 0
[router]
id = 0
max_connections = {CONNECTIONS}
max_outgoing_packet_count = 1000
max_segment_size = {SEGMENT_BYTES}
max_segment_count = 2
"""
    return router + _listener("v5", port) + _listener("v4", port_311)


def _listener(version: str, port: int) -> str:
    return f"""\
[{version}.1]
name = "{version}"
listen = "{LOOPBACK}:{port}"
next_connection_delay_ms = 1
[{version}.1.connections]
connection_timeout_ms = 10000
max_payload_size = {PAYLOAD_LIMIT_BYTES}
max_inflight_count = 100
dynamic_filters = true
"""


def _two_ports(port: int, port_311: int) -> tuple[int, int]:
    """The wanted ports, with free ones for those that are 0; distinct because both are held while they are chosen."""
    with socket.socket() as one, socket.socket() as other:
        one.bind((LOOPBACK, 0))
        other.bind((LOOPBACK, 0))
        return port or one.getsockname()[1], port_311 or other.getsockname()[1]


def _refuse_busy(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise BrokerError(f"the embedded broker cannot listen on port {port}: {error.strerror}; {REMEDY}") from None
