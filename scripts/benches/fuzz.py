"""Strangers' bytes into the two doors of the edge, TOML and MQTT: each is taken or refused by name, and soon; nothing else."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

from k1edge.config import ConfigError, loads
from k1edge.config.mqtt import Place
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError, Stamp
from k1edge.k1.simulator import VirtualK1
from tests.k1.hostile import strangers, topics

LONGEST_S = 2.0
"""For one input, on a busy machine: more is a door that can be held shut."""
K1, TOPICS = VirtualK1("club", "k1-1"), topics()
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


def file(draw: random.Random) -> bytes:
    """A configuration as it is read at the start, or comes over MQTT."""
    return mutated(draw, FILE if draw.random() < 0.8 else draw.randbytes(draw.randrange(400)), TOML_TOKENS)


def read(text: bytes) -> tuple[str, ...]:
    """The words with which it is refused, each to say something; none when it is taken."""
    try:
        loads(text, "fuzz", Place(Path("/etc/k1edge"), {}), {})
    except ConfigError as error:
        return str(error), *error.told
    return ()


def message(draw: random.Random) -> tuple[str, bytes]:
    """A message on any topic."""
    topic, payload = strangers(draw.getrandbits(32), 1)[0]
    if draw.random() < 0.5:
        return draw.choice(TOPICS), mutated(draw, payload[:4096] or b"{}", TOML_TOKENS)
    return topic, payload


def hear(sent: tuple[str, bytes]) -> tuple[str, ...]:
    """The same, by the decoder; and a K1 hears it."""
    K1.hear(*sent, 0.0, Stamp(0, True))
    try:
        contract.decode(*sent)
    except ContractError as error:
        return error.code, error.reason
    return ()


DOORS = {"TOML": (file, read), "MQTT": (message, hear)}
"""What strangers bring, and who takes it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="in all, shared by the two (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    args = parser.parse_args()
    print(f"seed {args.seed}")
    for name, (bring, take) in DOORS.items():
        draw, counted, slowest_s = random.Random(args.seed), Counter(), 0.0
        until_s = time.monotonic() + args.seconds / 2
        while time.monotonic() < until_s:
            given = bring(draw)
            began_s = time.thread_time()
            try:
                refusal = take(given)
                assert all(refusal), "refused without a word"
            except Exception:
                print(f"{name}: after {counted.total()} inputs, this one: {given!r}")
                raise
            counted["refused" if refusal else "taken"] += 1
            slowest_s = max(slowest_s, time.thread_time() - began_s)
            if slowest_s > LONGEST_S:
                print(f"{name}: {slowest_s:.1f} s for {str(given)[:2000]}")
                return 1
        said = ", ".join(f"{count:,} {what}" for what, count in sorted(counted.items()))
        print(f"{name}: {counted.total():,} inputs, {said}, no crash; the slowest took {slowest_s * 1000:.0f} ms of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
