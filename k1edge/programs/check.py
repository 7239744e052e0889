"""`k1edge check`: the effective configuration, or every fault in it.

**Consumes** a configuration file. **Emits** TOML on standard output that means the same (the password masked), exit
code 0; or the faults on standard error, exit code 78.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from k1edge.config import BUILT_IN, ConfigError, Settings, find, load
from k1edge.device_facts import PALETTES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  k1edge check                     the file that `k1edge run` would use: $K1EDGE_CONFIG, else /etc/k1edge/k1edge.toml
  k1edge check new.toml && sudo cp new.toml /etc/k1edge/k1edge.toml

exit code: 0 no fault, 78 at least one"""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("file", nargs="?", help="the file to check; without it, the one that `k1edge run` would use")
    which.add_argument("--config", metavar="FILE", help="the same, as `k1edge run` spells it")


def main(options: argparse.Namespace) -> int:
    path = find(options.config if options.file is None else options.file)
    try:
        settings = load(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        count = len(error.faults)
        print(f"{count} fault{'s' * (count > 1)} in {path or BUILT_IN}", file=sys.stderr)
        return os.EX_CONFIG
    print(f"# {path or BUILT_IN}: no fault. In effect:\n\n{as_toml(settings)}", end="")
    return 0


def as_toml(settings: Settings) -> str:
    """The settings as a file that `load` reads back to the same, but for the password, which is a comment."""
    tables = settings.model_dump()
    if settings.mqtt.password is not None:
        tables["mqtt"]["password"] = str(settings.mqtt.password)
    for look in tables["looks"].values():
        look["palette"] = PALETTES[look["palette"]]
    return "\n".join(_table("", tables))


def _table(name: str, keys: dict[str, Any]) -> list[str]:
    """The lines of one table: its own keys first, then the tables within it."""
    nested = {key: value for key, value in keys.items() if _is_table(key, value)}
    lines = [_pair(key, value) for key, value in keys.items() if key not in nested and value is not None]
    if lines:
        lines = ([f"[{name}]"] if name else []) + lines + [""]
    for key, value in nested.items():
        path = f"{name}.{key}" if name else key
        if isinstance(value, dict):
            lines += _table(path, value)
        else:
            lines += [line for element in value for line in _element(path, element)]
    return lines


def _is_table(key: str, value: Any) -> bool:
    """Parameters and latencies are short enough for one line."""
    return isinstance(value, tuple) or (isinstance(value, dict) and key not in ("parameters", "auto_latency_ms"))


def _element(name: str, keys: dict[str, Any]) -> list[str]:
    return [f"[[{name}]]", *(_pair(key, value) for key, value in keys.items()), ""]


def _pair(key: str, value: Any) -> str:
    return f"{'# ' * (key == 'password')}{key} = {_value(value)}"


def _value(value: Any) -> str:
    """JSON's scalars are TOML's too, but for the delete character, which TOML wants escaped."""
    if isinstance(value, dict):
        return "{ " + ", ".join(_pair(key, each) for key, each in value.items()) + " }" if value else "{}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
