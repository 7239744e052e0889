"""Strangers' bytes into the two doors of the edge, TOML and MQTT: each is taken or refused by name, and soon; nothing else."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from k1edge.config import ConfigError, loads
from k1edge.config.mqtt import Place
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError, Stamp
from k1edge.k1.simulator import VirtualK1
from tests.k1.hostile import strangers, topics

LONGEST_S = 2.0
"""For one input, on a busy machine: more is a door that can be held shut."""
FILE = Path(__file__).resolve().parents[2].joinpath("config", "k1edge.toml").read_bytes()
TOML_TOKENS = (
    b"[", b"]", b"[[", b"]]", b"=", b'"', b"'", b'"""', b"\\u0000", b"\\ud800", b"nan", b"inf", b"-inf", b"1e999", b"9" * 400,
    b"\xff", b"\x00", b"\r", b"\n", b"#", b"{}", b"{a={", b"[[k1.devices]]\n", b"[mqtt]\n",
    b"1979-05-27T07:32:00Z", b"0x" + b"f" * 80,
    b"true", b".", b"..", b"a" * 5000, b"[" * 2000, "\u202e\u00e9".encode(), b"\xef\xbb\xbf", b'url = "mqtts://u:p@h:99999"\n',
)  # fmt: skip


def mutated(draw: random.Random, text: bytes, tokens: tuple[bytes, ...]) -> bytes:
    """A few changes: bytes, tokens, lines swapped, doubled, cut."""
    for _ in range(draw.randint(1, 6)):
        at, until = sorted((draw.randrange(len(text) + 1), draw.randrange(len(text) + 1)))
        kind = draw.randrange(6)
        if kind == 0:
            text = text[:at] + draw.choice(tokens) + text[at:]
        elif kind == 1:
            text = text[:at] + bytes([draw.randrange(256)]) + text[at + 1 :]
        elif kind == 2:
            text = text[:at] + text[min(until, at + draw.randrange(60)) :]
        elif kind == 3:
            text = text[:at] + text[at : at + draw.randrange(200)] * draw.randint(1, 4) + text[at:]
        elif kind == 4:
            lines = text.split(b"\n")
            draw.shuffle(lines)
            text = b"\n".join(lines[: draw.randint(1, len(lines))])
        else:
            text = text.replace(draw.choice((b"= ", b'"', b"\n", b"true", b"0", b"[")), draw.choice(tokens), draw.randint(1, 3))
    return text


def toml_door() -> Callable[[random.Random], str]:
    """A configuration as it is read at the start, or comes over MQTT."""
    place = Place(Path("/etc/k1edge"), {})

    def door(draw: random.Random) -> str:
        text = mutated(draw, FILE if draw.random() < 0.8 else draw.randbytes(draw.randrange(400)), TOML_TOKENS)
        door.last = text
        try:
            loads(text, "fuzz", place, {})
        except ConfigError as error:
            assert error.faults and all(str(fault) for fault in error.faults), "refused without a word"
            return "refused"
        return "taken"

    return door


def mqtt_door() -> Callable[[random.Random], str]:
    """A message on any topic, to the decoder and to a K1."""
    known, k1 = topics(), VirtualK1("club", "k1-1")

    def door(draw: random.Random) -> str:
        topic, payload = strangers(draw.getrandbits(32), 1)[0]
        if draw.random() < 0.5:
            topic, payload = draw.choice(known), mutated(draw, payload[:4096] or b"{}", TOML_TOKENS)
        door.last = topic.encode("utf-8", "replace") + b" " + payload
        k1.hear(topic, payload, 0.0, Stamp(0, True))
        try:
            contract.decode(topic, payload)
        except ContractError as error:
            assert error.code and error.reason, "refused without a word"
            return "refused"
        return "taken"

    return door


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="in all, shared by the two (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    args = parser.parse_args()
    print(f"seed {args.seed}")
    for name, door in (("TOML", toml_door()), ("MQTT", mqtt_door())):
        draw, counted, slowest_s = random.Random(args.seed), Counter(), 0.0
        until_s = time.monotonic() + args.seconds / 2
        while time.monotonic() < until_s:
            began_s = time.thread_time()
            try:
                counted[door(draw)] += 1
            except Exception:
                print(f"{name}: after {counted.total()} inputs, this one: {door.last.hex()}")
                raise
            slowest_s = max(slowest_s, time.thread_time() - began_s)
            if slowest_s > LONGEST_S:
                print(f"{name}: {slowest_s:.1f} s for {door.last.hex()[:2000]}")
                return 1
        said = ", ".join(f"{count:,} {what}" for what, count in sorted(counted.items()))
        print(f"{name}: {counted.total():,} inputs, {said}, no crash; the slowest took {slowest_s * 1000:.0f} ms of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
