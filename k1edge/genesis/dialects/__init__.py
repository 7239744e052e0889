"""Genesis Maps in every form that was ever written: told apart, read into v4.0.0, and written back.

Consumes plain JSON objects of any dialect; emits `Reading` (the v4.0.0 map, its dialect, what was mended on the way),
or `MapError`. Seconds in the place of ms are recognised and converted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from k1edge.genesis.codec import BANDS, MAX_BYTES, MAX_INTEGER, Document
from k1edge.genesis.dialects import camel, flat, v3
from k1edge.genesis.document import UNKNOWN_SHA256, GenesisMap, is_in_seconds, plain, seal, validate
from k1edge.genesis.faults import MapError, MapFault


class Dialect(StrEnum):
    """The forms a Genesis Map has been written in."""

    V3 = "v3"
    V3_ADVANCED = "v3-advanced"
    V4 = "v4.0.0"
    FLAT = "v4-flat"
    CAMEL = "v4-camel"


@dataclass(frozen=True, slots=True)
class Reading:
    """A map as it was understood."""

    song: GenesisMap
    dialect: Dialect
    notes: tuple[str, ...] = ()
    """What was mended, for a person to read."""


_TO_V4 = {Dialect.V3: v3.to_v4, Dialect.V3_ADVANCED: v3.to_v4, Dialect.FLAT: flat.to_v4, Dialect.CAMEL: camel.to_v4}
_FROM_V4 = {
    Dialect.V3: v3.from_v4_basic,
    Dialect.V3_ADVANCED: v3.from_v4_advanced,
    Dialect.V4: lambda song: song,
    Dialect.FLAT: flat.from_v4,
    Dialect.CAMEL: camel.from_v4,
}

NOTHING = ([], UNKNOWN_SHA256, flat.UNKNOWN_BAND)
"""What stands in a map where something is not known."""


def detect(document: Any) -> Dialect:
    """Which dialect a document is written in; raises `MapError` when none."""
    match document:
        case {"globalMetrics": _}:
            return Dialect.CAMEL
        case {"global_metrics": _, "metadata": {"version": str(version)}} if version.lstrip("v").startswith("3"):
            return Dialect.V3_ADVANCED if v3.is_advanced(document) else Dialect.V3
        case {"global_metrics": _}:
            return Dialect.V4
        case {"beats": _}:
            return Dialect.FLAT
        case dict():
            raise MapError([MapFault("$", "has none of global_metrics, globalMetrics and beats: not a Genesis Map")])
    raise MapError([MapFault("$", "is not a JSON object")])


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= MAX_INTEGER


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(_is_number(item) for item in value)


def _in_ms(document: Document) -> tuple[Document, str | None]:
    """A v4.0.0 document with its times in ms; and what was mended, if its grid was in seconds."""
    match document:
        case {
            "layers": {"rhythm": {"beat_grid_ms": beats} as rhythm} as layers,
            "global_metrics": {"duration_ms": duration_ms} as metrics,
        } if _is_numbers(beats) and is_in_seconds(beats) and _is_number(duration_ms):
            keys = [key for key in ("beat_grid_ms", "downbeat_ms", "onset_times_ms") if _is_numbers(rhythm.get(key))]
            times = {key: [round(time * 1000, 3) for time in rhythm[key]] for key in keys}
            mended = document | {"layers": layers | {"rhythm": rhythm | times}}
            if duration_ms >= 10 * beats[-1]:
                return mended, "the beats were in seconds"
            metrics = metrics | {"duration_ms": duration_ms * 1000}
            return mended | {"global_metrics": metrics}, "the beats and the duration were in seconds"
    return document, None


def _to_v4(document: Document, dialect: Dialect) -> Document:
    try:
        return _TO_V4[dialect](document)
    except ValidationError as errors:
        raise MapError.of(errors) from None


def _thinning(bands: Document, kept: Document) -> str | None:
    before, after = (sum(len(frequency[name]) for name in BANDS) for frequency in (bands, kept))
    return f"of {before} points of its bands {after} are kept: a map takes {MAX_BYTES / 1e6:g} MB" if after < before else None


def read(document: Any) -> Reading:
    """A document of any dialect as a v4.0.0 map; raises `MapError`."""
    dialect = detect(document)
    song, note = _in_ms(document if dialect is Dialect.V4 else _to_v4(document, dialect))
    if dialect is Dialect.V4 and not note:
        return Reading(validate(document), dialect)
    sealed = seal(song)
    notes = (note, _thinning(song["layers"]["frequency"], plain(sealed)["layers"]["frequency"]))
    return Reading(sealed, dialect, tuple(filter(None, notes)))


def convert(song: GenesisMap, dialect: Dialect) -> Document:
    """The map in another dialect, as plain JSON objects."""
    return _FROM_V4[dialect](plain(song))


def _leaves(value: Any, path: str = "$") -> set[str]:
    """Where something is said."""
    if isinstance(value, dict):
        return set().union(*(_leaves(item, f"{path}.{key}") for key, item in value.items()))
    return set() if value in NOTHING else {path}


def losses(song: GenesisMap, dialect: Dialect) -> list[str]:
    """JSON paths that do not survive the way to a dialect and back."""
    back = read(convert(song, dialect)).song
    return sorted(_leaves(plain(song)) - _leaves(plain(back)))
