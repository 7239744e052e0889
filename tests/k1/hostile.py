"""Payloads that a stranger could send, and the topics he could send them to."""

from __future__ import annotations

import functools
import json
import random

from k1edge.k1 import contract
from k1edge.k1.contract.schema import MESSAGES
from tests.k1.examples import EXAMPLES

SITE, NODE = "club", "pi-1"


def topics() -> list[str]:
    """Every topic that an edge, a K1 or a monitor subscribes to, with one it does not know in each family."""
    known = [contract.topic(model, SITE, NODE, "x" if model.LEAF.endswith("}") else "") for model in MESSAGES]
    strange = ["request/no.such", "request/", "event/a/b", "cmd/", "", "$SYS/x", "../status"]
    return [*known, *(f"k1/v1/{SITE}/edge/{NODE}/{leaf}" for leaf in strange), "k1/v2/a/edge/b/status", "k1", ""]


_BAD_TOKENS = (
    "NaN", "-Infinity", "1e999", "-1e400", "9" * 5000, "0." + "1" * 400, '"\\ud800"', '"\\u0000\\u001b[2J"', "null", "true",
    "[]", "{}", '""', "-0", "1E+0", '"' + "x" * 2000 + '"', "[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300,
    '"\u202eevil"', "tru", "'x'", "0x10", "1_000", "2026-01-01", "[1,]",
)  # fmt: skip
_FIELDS = sorted({name for model in MESSAGES for name in model.model_fields} | {"nobody_knows_this"})
_FIXED = (b"x" * 2**20, b"[" * 2**20, b'{"id":"' + b"a" * 2**20 + b'"}', b"\xff\xfe" * 40, b"", b"{}", b"[]", b"null")
_VALID = [json.dumps(fields, default=str) for fields in EXAMPLES.values()]
_TOPICS = topics()


def strangers(seed: int, count: int) -> list[tuple[str, bytes]]:
    """(topic, payload), each unlike the other; the same for the same seed."""
    rng = random.Random(seed)
    return [(rng.choice(_TOPICS), rng.choice(_KINDS)(rng)) for _ in range(count)]


@functools.cache
def payloads(seed: int, count: int) -> tuple[bytes, ...]:
    """The same without a topic."""
    rng = random.Random(seed)
    return tuple(rng.choice(_KINDS)(rng) for _ in range(count))


def _noise(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(300))


def _text(rng: random.Random) -> bytes:
    return "".join(chr(rng.choice((rng.randrange(128), rng.randrange(0x2100)))) for _ in range(rng.randrange(200))).encode()


def _value(rng: random.Random) -> str:
    kinds = (
        lambda: rng.choice(_BAD_TOKENS),
        lambda: json.dumps(rng.choice((None, True, rng.getrandbits(70), rng.uniform(-1e9, 1e9), rng.gauss(0, 1)))),
        lambda: json.dumps({str(key): rng.random() for key in range(rng.randrange(60))}),
        lambda: json.dumps([rng.random()] * rng.randrange(200)),
    )
    return rng.choice(kinds)()


def _object(rng: random.Random) -> bytes:
    """A message of the right shape with the wrong contents."""
    fields = (f"{json.dumps(rng.choice(_FIELDS))}:{_value(rng)}" for _ in range(rng.randrange(12)))
    return ("{" + ",".join(fields) + "}").encode("utf-8", "surrogatepass")


def _damaged(rng: random.Random) -> bytes:
    """A valid message with a few bytes changed, or cut short."""
    raw = bytearray(rng.choice(_VALID).encode())
    for _ in range(rng.randrange(4)):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw[: rng.randrange(len(raw) + 1)] if rng.random() < 0.3 else raw)


def _spoilt(rng: random.Random) -> bytes:
    """A valid message with one value replaced."""
    fields = json.loads(rng.choice(_VALID))
    key = rng.choice(list(fields))
    rest = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in fields.items() if name != key)
    return f"{{{rest},{json.dumps(key)}:{_value(rng)}}}".encode("utf-8", "surrogatepass")


_KINDS = (_noise, _text, _object, _object, _damaged, _spoilt, _spoilt, lambda rng: rng.choice(_FIXED),
          lambda rng: rng.choice(_BAD_TOKENS).encode("utf-8", "surrogatepass"))  # fmt: skip
