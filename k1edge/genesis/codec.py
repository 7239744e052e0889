"""Genesis Maps as text: read, written, hashed, and thinned to a size.

Consumes and emits plain JSON objects (dict, list, str, float, int, bool, None). `map_sha256` is the SHA-256 of the
canonical JSON (keys sorted, no spaces, UTF-8, whole numbers without a fraction) in which that key is blank.
"""

from __future__ import annotations

import hashlib
import json
import math
from codecs import BOM_UTF8
from typing import Any

from pydantic_core import from_json

from k1edge.genesis.faults import MapError, MapFault

MAX_BYTES = 2_000_000
"""Between the 0.5 MB a minute of the v3 engine and the 10 MB called practical on a device: 4 minutes at 20 ms fit."""
MAX_INTEGER = 2**53
"""Beyond it a number changes its value in readers that hold all numbers as doubles."""
BANDS = ("bass", "mids", "highs")

Document = dict[str, Any]


def read_json(text: bytes) -> Any:
    """JSON text, as Windows writes it too, as plain objects; raises `MapError` (a number that is not finite is not JSON)."""
    try:
        return from_json(text.removeprefix(BOM_UTF8), allow_inf_nan=False)
    except ValueError as fault:
        raise MapError([MapFault("$", f"is not JSON: {fault}")]) from None


def write_json(document: Document, *, sort_keys: bool = False) -> bytes:
    """Compact UTF-8 JSON, keys in the order they have, or sorted."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys).encode()


def _whole(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= MAX_INTEGER else value
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return value


def map_sha256(document: Document) -> str:
    """64 hex digits over the canonical JSON of a v4.0.0 document, its own `map_sha256` counted as blank."""
    metadata = document["metadata"]
    blank = document | {"metadata": metadata | {"hashes": metadata["hashes"] | {"map_sha256": ""}}}
    return hashlib.sha256(write_json(_whole(blank), sort_keys=True)).hexdigest()


def strongest(points: list[Document], stride: int) -> list[Document]:
    """One point of each `stride`: the strongest, where it stands, so that hits stay on time and as high."""
    groups = (points[start : start + stride] for start in range(0, len(points), stride))
    return [max(group, key=lambda point: point["intensity"]) for group in groups]


def _thinned(document: Document, stride: int) -> Document:
    layers = document["layers"]
    bands = {name: strongest(layers["frequency"][name], stride) for name in BANDS}
    thinned = {"frequency": layers["frequency"] | bands}
    match layers.get("dynamics"):
        case {"rms_curve": {"at_ms": list(at_ms), "level": list(level)} as curve} as dynamics:
            # No denser than the bands, which most of the time it is not.
            each = math.ceil(len(at_ms) / max(map(len, bands.values()))) or 1
            thinned["dynamics"] = dynamics | {"rms_curve": curve | {"at_ms": at_ms[::each], "level": level[::each]}}
    return document | {"layers": layers | thinned}


def fit(document: Document, max_bytes: int) -> Document:
    """The v4.0.0 document with its envelopes and its curve of loudness thinned until its text takes at most `max_bytes`.

    Raises `MapError` when it is too large even with one point a band.
    """
    longest = max(len(document["layers"]["frequency"][name]) for name in BANDS)
    stride, thinned = 1, document
    while (size := len(write_json(thinned))) > max_bytes:
        if stride >= longest:
            raise MapError([MapFault("$", f"takes {size} bytes without its envelopes; the limit is {max_bytes}")])
        stride = min(max(stride + 1, math.floor(stride * size / max_bytes)), longest)
        thinned = _thinned(document, stride)
    return thinned
