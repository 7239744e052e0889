"""The TCP connection to a broker, made for small messages that must not wait."""

from __future__ import annotations

import socket

SEGMENT_BYTES = 1220
"""What every path carries, since IPv6 demands it. Behind some tunnels larger packets vanish without a word: the first state of
such a size, or some small ones that leave together, held up all that came after, in every session anew."""


def connect(host: str, port: int, timeout_s: float) -> socket.socket:
    """A socket to the first of the host's addresses that accepts, each within `timeout_s`. Raises OSError."""
    failure = OSError("no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)  # agreed on by both, as they connect
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each waits up to 40 ms for the one before
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure
