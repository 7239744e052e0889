"""The camel-case twin of v4.0.0 (`globalMetrics.durationMs`), as its document store kept it: to and from v4.0.0.

Only the keys that v4.0.0 names are renamed; free-form content keeps its own.
"""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from k1edge.genesis.codec import Document
from k1edge.genesis.document import VERSION, GenesisMap, Point

ENVELOPE_KEYS = ("trackId", "version", "schemaVersion", "createdAt")
"""Around the map in that store; kept under `record`."""


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _field_names(model: type[BaseModel]) -> set[str]:
    inner = [inner for field in model.model_fields.values() for inner in _models(field.annotation)]
    return set(model.model_fields).union(*(_field_names(part) for part in inner))


TO_CAMEL = {name: to_camel(name) for name in _field_names(GenesisMap) | set(Point.__annotations__)}
TO_SNAKE = {camel: name for name, camel in TO_CAMEL.items()}


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(key, key): _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return value


def to_v4(document: Document) -> Document:
    """v4.0.0 from the camel-case twin; what is wrong in it is found when the result is validated."""
    record = {key: document[key] for key in ENVELOPE_KEYS if key in document}
    song = _renamed({key: item for key, item in document.items() if key not in ENVELOPE_KEYS}, TO_SNAKE)
    if isinstance(song.get("metadata"), dict):
        song["metadata"].setdefault("version", VERSION)
    return song | ({"record": record} if record else {})


def from_v4(song: Document) -> Document:
    """The camel-case twin, with the record it came in or a first one."""
    metadata = song["metadata"]
    first = {
        "trackId": metadata["hashes"]["audio_sha256"][:16],
        "version": 1,
        "schemaVersion": f"v{VERSION}",
        "createdAt": metadata["timestamp_utc"],
    }
    record = song.get("record")
    envelope = record if isinstance(record, dict) else first
    return envelope | _renamed({key: item for key, item in song.items() if key != "record"}, TO_CAMEL)
