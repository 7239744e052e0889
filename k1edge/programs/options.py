"""What the programs share: how they fail, where the broker is, who asks, and when to stop.

Consumes the command line and signals; emits `MqttSettings`, or a ValueError that says what is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr, ValidationError

from k1edge.config import ConfigError, MqttSettings, Settings, find, load, tables
from k1edge.config.settings import slug

DEFAULT_URL = "mqtt://127.0.0.1:1883"
EXIT_FAILED, EXIT_USAGE = 1, 2
ANOTHER_WAY = "--url, --username, --password-file and --ca-file say which broker, and as whom"
"""What to do about a broker that cannot be reached, or lets nobody in."""


def fail(program: str, why: object, code: int) -> int:
    """Says on standard error why a program ends; returns its exit code."""
    print(f"k1edge {program}: {why}", file=sys.stderr)
    return code


def add_broker_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say where the broker is, which site is meant and who asks."""
    parser.add_argument("--url", default=DEFAULT_URL, help="the broker: mqtt://host:port or mqtts://... (%(default)s)")
    parser.add_argument("--site", default=this_machine().site, metavar="NAME", help="site (default: %(default)s)")
    parser.add_argument("--username", default="", metavar="NAME", help="as the broker knows you: operator/ann, for instance")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="a file that holds the password and nothing else")
    parser.add_argument("--ca-file", default="", metavar="FILE",
                        help="certificate authority of the broker, if it is one of your own")


def this_machine() -> Settings:
    """Its configuration but for the broker, whose password not everyone may read. Of one with faults, as its daemon does, the
    names that have none; defaults for the rest."""
    path = find()
    try:
        return load(path, instead={"mqtt": {}})
    except ConfigError as error:
        at_fault = {fault.key for fault in error.faults}
    with contextlib.suppress(ConfigError):
        found = tables(path)
        return load(None, instead={key: found[key] for key in ("site", "edge") if key in found and key not in at_fault})
    return Settings()


def visitor(name: str) -> str:
    """A client id for who only looks in: two of a name push each other off the broker, and a process id is no name for all."""
    return f"{name}-{os.urandom(6).hex()}"


def add_seconds(parser: argparse.ArgumentParser) -> None:
    """How long to go on for."""
    parser.add_argument("--seconds", type=some_seconds, metavar="S", help="stop after this long (default: when interrupted)")


def some_seconds(text: str) -> float:
    """A length of time, s. Raises ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def check_name(kind: str, name: str) -> None:
    """Raises ValueError unless the name can be a level of a topic."""
    if slug(name) != name:
        raise ValueError(f'the {kind} "{name}" may only hold a-z, 0-9 and -; try "{slug(name)}"')


def broker_settings(args: argparse.Namespace) -> MqttSettings:
    """The broker of the command line. Raises ValueError with what is wrong."""
    if not args.url:
        raise ValueError(f"--url is empty: say where the broker is, {DEFAULT_URL} for example")
    try:
        password = args.password_file.read_text().strip() if args.password_file else None
        return MqttSettings(
            url=args.url, username=args.username, password=password and SecretStr(password), ca_file=args.ca_file,
            allow_insecure=password is None,  # a password is not sent where anyone on the way could read it
        )
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(f"{fault['loc'][0] if fault['loc'] else 'broker'}: {fault['msg']}") from None
    except OSError as error:
        raise ValueError(f"{args.password_file}: {error.strerror}") from None


def until(truth: Callable[[], bool], limit_s: float, every_s: float) -> bool:
    """Waits until it is true; False when it does not become so in time."""
    until_s = time.monotonic() + limit_s
    while not truth():
        if time.monotonic() > until_s:
            return False
        time.sleep(every_s)
    return True


def when_ended(tell: Callable[..., object]) -> None:
    """Has `tell` called in place of an end by Ctrl-C, `kill`, or a terminal that is closed, which `nohup` outlives."""
    hung_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    for number in (signal.SIGINT, signal.SIGTERM, *hung_up):
        signal.signal(number, tell)


class Stop:
    """True once interrupted, terminated, left by its terminal or out of time."""

    def __init__(self, seconds: float | None) -> None:
        self._until_s = time.monotonic() + (seconds if seconds is not None else float("inf"))
        self._told = False
        when_ended(self._tell)

    def __call__(self) -> bool:
        return self._told or time.monotonic() >= self._until_s

    def _tell(self, *_: object) -> None:
        self._told = True
