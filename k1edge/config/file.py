"""Finds and reads the configuration's file.

**Consumes** a TOML file of at most 1 MB. **Emits** `Settings`, or `ConfigError` with every fault at once.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from k1edge.config.faults import ConfigError, Fault, dotted, explain, given_path
from k1edge.config.mqtt import DeniedError, Place, read_limited
from k1edge.config.settings import Settings
from k1edge.config.source import KeyPath, key_lines, nearest_line

SYSTEM_FILE = Path("/etc/k1edge/k1edge.toml")
VARIABLE = "K1EDGE_CONFIG"
SIZE_LIMIT_BYTES = 1 << 20
"""A configuration takes a few KB; what is larger is another file, and is not parsed."""

BUILT_IN = "built-in defaults"
COMMAND_LINE = "command line"


def find(given: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The file to load: the given one, else $K1EDGE_CONFIG, else the system's; None = built-in defaults."""
    if given is not None:
        return Path(given)
    if named := environ.get(VARIABLE):
        return Path(named)
    try:
        SYSTEM_FILE.stat()
    except PermissionError:
        pass  # whoever reads it is told
    except OSError:
        return None
    return SYSTEM_FILE


def load(
    path: str | Path | None, environ: Mapping[str, str] = os.environ, instead: Mapping[str, Any] = MappingProxyType({})
) -> Settings:
    """The settings that a file gives; None gives the built-in defaults.

    `instead` are tables and keys of the top level that the command line gives, each in place of the whole of the
    file's. Relative paths in the file are taken from its folder. Raises `ConfigError`.
    """
    if path is None:
        return validated({}, Origin("", BUILT_IN, instead), Place(Path.cwd(), environ))
    path = Path(path)
    return loads(read(path), str(path), Place(path.absolute().parent, environ), instead)


def read(path: Path) -> bytes:
    """What the file holds. Raises `ConfigError`."""
    try:
        return read_limited(path, SIZE_LIMIT_BYTES)
    except ValueError as error:
        remedy = "give the path of a readable TOML file with --config, or none for the built-in defaults"
        remedy = "try it with sudo" if isinstance(error, DeniedError) else remedy
        raise _whole(str(path), None, f"the file {error}", remedy) from None


def tables(path: Path) -> dict[str, Any]:
    """What a file says, whether or not it is right. Raises `ConfigError` where it is no TOML."""
    return _parsed(_text(read(path), str(path)), str(path))


def loads(content: bytes, file: str, place: Place, instead: Mapping[str, Any] = MappingProxyType({})) -> Settings:
    """The settings that the content of a file gives; `file` is what its faults call it. Raises `ConfigError`."""
    text = _text(content, file)
    return validated(_parsed(text, file), Origin(text, file, instead), place)


def _text(content: bytes, file: str) -> str:
    """The text, without the byte order mark that some editors write."""
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"is not UTF-8: byte {error.start} is 0x{content[error.start]:02x}"
        raise _whole(file, line, problem, "save the file again as UTF-8") from None


def _parsed(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _misspelt(text, file, str(error)) from None
    except (ValueError, RecursionError):
        remedy = "shorten the number of thousands of digits, or the brackets nested hundreds deep, that it contains"
        raise _whole(file, None, "is not a configuration", remedy) from None


def _misspelt(text: str, file: str, message: str) -> ConfigError:
    """tomllib's message, and the line that it speaks of."""
    lines = text.replace("\r\n", "\n").split("\n")
    found = re.search(r"line (\d+), column (\d+)", message)
    line, column = (int(found[1]), int(found[2])) if found else (len(lines), len(lines[-1]) + 1)
    problem = f"is not valid TOML at column {column}: {message.partition(' (at ')[0].lower()}"
    remedy = "mend this line: text stands in quotes, a key is followed by = and a value, and no key comes twice"
    return _whole(file, line, problem, remedy)


def _whole(file: str, line: int | None, problem: str, remedy: str) -> ConfigError:
    return ConfigError([Fault(file, line, "", problem, remedy)])


class Origin(NamedTuple):
    """What tables were parsed from, for the places of their faults."""

    text: str
    file: str
    instead: Mapping[str, Any] = MappingProxyType({})


def validated(tables: Mapping[str, Any], origin: Origin, place: Place) -> Settings:
    """The settings that tables give. Raises `ConfigError`."""
    tables = {**tables, **origin.instead}
    try:
        return Settings.model_validate(tables, context=place)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    lines = key_lines(origin.text)
    faults = [_fault(each, given_path(each["loc"], tables), origin, lines) for each in errors]
    raise ConfigError(sorted(faults, key=lambda fault: fault.line or 0))


def _fault(error: ErrorDetails, path: KeyPath, origin: Origin, lines: dict[KeyPath, int]) -> Fault:
    if key := error.get("ctx", {}).get("key"):
        path = (*path[:-1], key)
    problem, remedy = explain(error, path, _schema())
    if path[0] in origin.instead:
        return Fault(COMMAND_LINE, None, dotted(path), problem, remedy)
    return Fault(origin.file, nearest_line(lines, path), dotted(path), problem, remedy)


@cache
def _schema() -> dict[str, Any]:
    return Settings.model_json_schema()
