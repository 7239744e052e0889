"""What the programs that talk to a broker share: where it is, who asks, and when to stop.

Consumes the command line and signals; emits `MqttSettings`, or a ValueError that says what is wrong.
"""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path

from pydantic import SecretStr, ValidationError

from k1edge.config.mqtt import MqttSettings
from k1edge.config.settings import host_slug

DEFAULT_URL = "mqtt://127.0.0.1:1883"
EXIT_USAGE = 2


def add_broker_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say where the broker is and who asks."""
    parser.add_argument("--url", default=DEFAULT_URL, help="the broker: mqtt://host:port or mqtts://... (%(default)s)")
    parser.add_argument("--site", default=host_slug(), help="site (default: %(default)s)")
    parser.add_argument("--username", default="")
    parser.add_argument("--password-file", type=Path, help="a file that holds the password and nothing else")
    parser.add_argument("--ca-file", default="", help="certificate authority of the broker, if it is one of your own")


def broker_settings(args: argparse.Namespace) -> MqttSettings:
    """The broker of the command line. Raises ValueError with what is wrong."""
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


class Stop:
    """True once interrupted, terminated or out of time."""

    def __init__(self, seconds: float | None = None) -> None:
        self._until_s = time.monotonic() + (seconds if seconds is not None else float("inf"))
        self._told = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._tell)

    def __call__(self) -> bool:
        return self._told or time.monotonic() >= self._until_s

    def _tell(self, *_: object) -> None:
        self._told = True
