"""The TCP connection to a broker, made for small messages that must not wait: what it takes leaves soon, and a network that has
gone is told of soon, with its name. Left alone TCP takes megabytes, which then cannot expire, and tries for minutes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from pathlib import Path

SEGMENT_BYTES = 1220
"""What every path carries, since IPv6 demands it. Behind some tunnels larger packets vanish without a word: the first state of
such a size, or some small ones that leave together, held up all that came after, in every session anew."""
UNSENT_BYTES = 16_384
"""So much may wait in the socket; from half of it on nothing is added. Without it, that was up to ten seconds of beats on a bad
network, each of which had to arrive before one that was still of use."""
SILENT_S = 5.0
"""What the broker's machine has not taken for so long it will not take: the network is gone, or the broker reads no more. TCP
doubles its wait with each try, so that it is late when the network comes back."""
ROUTES = ((Path("/proc/net/route"), (0, 1, 2, 7)), (Path("/proc/net/ipv6_route"), (0, 1, 4, 9)))
"""Where the kernel tells them, and in which columns: where to, by which interface and gateway. The others count."""
INTERFACES = Path("/sys/class/net")
"""A static address keeps its route without a cable."""

Network = frozenset[tuple[str, ...]]


def connect(host: str, port: int, timeout_s: float) -> socket.socket:
    """A socket to the first of the host's addresses that accepts, each within `timeout_s`. Raises OSError."""
    failure = OSError("no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)  # agreed on by both, as they connect
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each waits up to 40 ms for the one before
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(SILENT_S * 1000))
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure


def is_full(sock: socket.socket) -> bool:
    """Whether what it was given before must leave first. Asked anyway, it would take a large packet beyond its limit."""
    return sock not in select.select([], [sock], [], 0.0)[1]


def check(sock: socket.socket) -> None:
    """Raises OSError when the network is gone. That the broker hangs up is not the network's doing, and is heard otherwise."""
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error not in (0, errno.ECONNRESET):
        raise OSError(error, os.strerror(error))


def network() -> Network:
    """Interfaces with their state, and the ways out of this machine: others once a cable or a WiFi is there again."""
    found = set()
    with contextlib.suppress(OSError):  # one that goes while it is looked at
        found |= {(each.parent.name, each.read_text()) for each in INTERFACES.glob("*/operstate")}
    for file, columns in ROUTES:
        with contextlib.suppress(OSError, IndexError):
            found |= {tuple(words[at] for at in columns) for words in map(str.split, file.read_text().splitlines())}
    return frozenset(found)
