"""A configuration that is kept: the settings it stands for, what it is called, and whose it is.

Consumes the local file and `Generation`s; emits `Settings`, or a ConfigError with every fault.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from k1edge.config import ConfigError, Settings, loads, read
from k1edge.config.faults import dotted
from k1edge.config.mqtt import Place
from k1edge.system.generations import Generation

IDENTITY = ("site", "edge", "mqtt")
"""Who the edge is and whom it believes: kept in every fallback, and never taken from a configuration that came over MQTT."""


def loaded(
    generation: Generation, name: str, environ: Mapping[str, str], instead: Mapping[str, Any], *, password: bool = True
) -> Settings:
    """The settings of a generation. Raises ConfigError, its faults calling the configuration `name`."""
    place = Place(Path(generation.folder), environ, password)
    return loads(generation.content, name, place, generation.fixed | dict(instead))


def name_of(generation: Generation, path: Path) -> str:
    """What faults and people call it."""
    if generation.number:
        return f"generation {generation.number}"
    return str(path) if generation.over is None else f"{generation.origin} configuration {generation.hash}"


def local_file(path: Path) -> Generation:
    """The file as it stands. Raises ConfigError."""
    return Generation(read(path), folder=str(path.absolute().parent))


def file_now(path: Path) -> tuple[Generation | None, tuple[str, ...]]:
    """The file as it stands, or why it cannot be read."""
    try:
        return local_file(path), ()
    except ConfigError as error:
        return None, error.told


def hash_of(local: Generation | None) -> str:
    """'' = nothing that could be read."""
    return local.hash if local else ""


def identity(generation: Generation) -> dict[str, Any]:
    """Who a configuration says the edge is, as far as it can be read."""
    try:
        tables = tomllib.loads(generation.content.decode().removeprefix("\ufeff")) | generation.fixed
    except (ValueError, RecursionError):
        tables = generation.fixed
    return {key: tables[key] for key in IDENTITY if key in tables}


def without(who: dict[str, Any], at_fault: set[str]) -> dict[str, Any]:
    """What is left of an identity without these keys, which are dotted."""
    left = {key: value for key, value in who.items() if key not in at_fault}
    if isinstance(mqtt := left.get("mqtt"), dict):
        left["mqtt"] = {key: value for key, value in mqtt.items() if dotted(("mqtt", key)) not in at_fault}
    return left


def origin_of(generation: Generation) -> str:
    """As `config/reported` has it."""
    return "last-known-good" if generation.origin == "rollback" else generation.origin
