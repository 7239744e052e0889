"""What is wrong with a configuration, in words that an installer can act on.

**Consumes** pydantic's errors, the JSON Schema of the settings and the raw tables. **Emits** `Fault`s: which file, line
and key, what is wrong, what to do. What is allowed is read from the schema, so that no range is written down twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from k1edge.config.source import KeyPath
from k1edge.config.strict import REFUSED, did_you_mean

BELONGS_ELSEWHERE = {
    "pass": "write the password into a file of its own, and name that in `password_file`",
    "palette_id": "choose the palette with `palette` of the look itself",
    "host": 'write host and port as one address: url = "mqtt://host:1883"',
    "port": 'write host and port as one address: url = "mqtt://host:1883"',
}
"""Keys that people try, and what to write instead."""
NO_KEY = "password"
"""Of the settings, and never of the file."""

_KINDS = ((int, "a number of more than 19 digits"), (list, "a list"), (dict, "a table"))
_SCHEMA_KINDS = {"boolean": "true or false, without quotes", "string": "text in quotes", "object": "a table"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to mend."""

    file: str
    line: int | None
    """From 1; None where no line can be named."""
    key: str
    """Dotted path of the key, '' where the file as a whole is meant."""
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.key, self.problem) if part) + f" - {self.remedy}"


class ConfigError(Exception):
    """The configuration cannot be used; `faults` lists all that is wrong with it."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults

    @property
    def told(self) -> tuple[str, ...]:
        """Each fault in words."""
        return tuple(map(str, self.faults))

    @property
    def in_short(self) -> str:
        """How many faults, and the first."""
        count = len(self.faults)
        return f"{count} fault{'s' * (count > 1)}: {self.faults[0]}"


def dotted(path: KeyPath) -> str:
    """`k1.devices[0].id`"""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_bare(part)}" for part in path).removeprefix(".")


def _bare(key: str) -> str:
    """A key as it is written in TOML."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else shown(key)


def given_path(location: Iterable[str | int], given: Any) -> KeyPath:
    """Where pydantic's location lies in the tables as given, which know nothing of the branches of a union."""
    path: list[str | int] = []
    for part in location:
        if isinstance(given, list) and isinstance(part, int):
            given = given[part]
        elif isinstance(given, dict) and isinstance(part, str):
            given = given.get(part)
        else:
            continue
        path.append(part)
    return tuple(path)


def explain(error: ErrorDetails, path: KeyPath, schema: dict[str, Any]) -> tuple[str, str]:
    """The problem and the remedy of one of pydantic's errors; `schema` is that of the whole configuration."""
    if error["type"] == "extra_forbidden":
        return _unknown(path, schema)
    allowed = _allowed(_at(schema, path))
    if error["type"] == "missing":
        return "is missing", f"add it: {allowed}"
    if error["type"] == REFUSED:
        return error["ctx"]["problem"], error["ctx"]["remedy"] or f"give {allowed}"
    return _unfit(error["input"], _at(schema, path)), f"give {allowed}"


def _unknown(path: KeyPath, schema: dict[str, Any]) -> tuple[str, str]:
    """Of a key that has its place one table further in, that table is told."""
    *table, key = path
    known = [name for name in _at(schema, table).get("properties", ()) if name != NO_KEY]
    within = [f"`{name}`" for name in known if key in _at(schema, (*table, name)).get("properties", ())]
    if within:
        hint, remedy = "", f"write it in {' or '.join(within)}"
    else:
        hint = did_you_mean(str(key), known)
        remedy = ("rename it" if hint else "remove it") + f"; known here: {', '.join(known)}"
    return f"unknown key{hint}", BELONGS_ELSEWHERE.get(key, remedy)


def _unfit(value: Any, schema: dict[str, Any]) -> str:
    """Why a value is not what the schema wants."""
    if isinstance(value, str) and isinstance(schema.get("enum", [0])[0], str):
        return f"{shown(value)} is not known{did_you_mean(value, schema['enum'])}"
    if isinstance(value, float) and schema.get("type") == "integer":
        return f"{shown(value)} is not a whole number"
    if isinstance(value, int | float) and not isinstance(value, bool) and "minimum" in schema:
        return f"{shown(value)} is out of range"
    quoted_number = isinstance(value, str) and re.fullmatch(r"[+-]?\d+\.?\d*", value)
    return f"{shown(value)} is {'text, because of the quotes' if quoted_number else 'not possible'}"


def shown(value: Any) -> str:
    """A value as it may be printed: short, and on one line."""
    if isinstance(value, str):
        return json.dumps(value if len(value) <= 60 else value[:57] + "...", ensure_ascii=False)
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float) or (isinstance(value, int) and value.bit_length() < 64):
        return repr(value)
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "a date or time")


def _at(schema: dict[str, Any], path: Iterable[str | int]) -> dict[str, Any]:
    """The part of the schema that a path leads to; {} where it leads nowhere."""
    node = _resolved(schema, schema)
    for part in path:
        branches = [_resolved(branch, schema) for branch in node.get("oneOf", [node])]
        node = next(filter(None, (_step(branch, part) for branch in branches)), {})
        node = _resolved(node, schema)
    return node


def _step(node: dict[str, Any], part: str | int) -> dict[str, Any]:
    if isinstance(part, int):
        return node.get("items", {})
    return node.get("properties", {}).get(part) or node.get("additionalProperties") or {}


def _resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Follows a reference, if the node is one; what stands beside it is kept."""
    name = node.get("$ref", "").rpartition("/")[2]
    return node | schema["$defs"][name] if name else node


def _allowed(schema: dict[str, Any]) -> str:
    """What a key takes, in words."""
    if schema.get("type") != "object" and "description" in schema:
        return schema["description"]
    if "enum" in schema:
        return "one of " + ", ".join(map(shown, schema["enum"]))
    if schema.get("type") in ("integer", "number"):
        kind = "a whole number" if schema["type"] == "integer" else "a number"
        return f"{kind} from {schema['minimum']:g} to {schema['maximum']:g}"
    return _SCHEMA_KINDS.get(schema.get("type", ""), "another value")
