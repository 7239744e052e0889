"""The real daemon as a subprocess, and an ear on the real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from k1edge.config.mqtt import MqttSettings
from k1edge.k1.link import Identity, Link, Received
from tests.brokers import PATIENCE_S, eventually


class DaemonProcess:
    """`k1edge run` with its stderr collected and, unless `env` has one, a state folder of its own; killed at the end
    whatever happened."""

    def __init__(self, *args: str, env: Mapping[str, str] = os.environ) -> None:
        self.lines: list[str] = []
        self._state = tempfile.TemporaryDirectory(prefix="k1state")
        command = [sys.executable, "-m", "k1edge", "run", *args]
        env = {"XDG_STATE_HOME": self._state.name, **env}
        self.process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> DaemonProcess:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE_S)
        self._state.cleanup()

    @property
    def stderr(self) -> str:
        return "".join(self.lines)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> float:
        """Sends a signal, waits for the end, returns how long it took, s."""
        began_s = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return time.monotonic() - began_s

    def _read(self) -> None:
        with self.process.stderr as lines:
            self.lines.extend(lines)


class Ear:
    """Everything said below `k1/`, in order, with the moment it was heard."""

    def __init__(self, settings: MqttSettings, *filters: str) -> None:
        self.heard: list[Received] = []
        self._link = Link(settings, Identity(f"ear-{os.getpid()}-{id(self)}", filters or ["k1/#"]))
        self._link.start()
        eventually(lambda: self._link.connected, "the ear is connected")
        self._listening = True
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Ear:
        return self

    def __exit__(self, *_error: object) -> None:
        self._listening = False
        self._thread.join(PATIENCE_S)
        self._link.close()

    def _listen(self) -> None:
        while self._listening:
            self.heard.extend(self._link.receive())
            time.sleep(0.001)

    def said(self, ending: str) -> list[dict]:
        """The bodies of all messages on topics with this ending, so far."""
        return [json.loads(r.payload) for r in list(self.heard) if r.topic.endswith(ending) and r.payload]

    def await_said(self, ending: str, **expected: object) -> dict:
        """The first such message with these fields; waits for it."""
        found: list[dict] = []

        def happened() -> bool:
            found[:] = [b for b in self.said(ending) if all(b.get(key) == value for key, value in expected.items())]
            return bool(found)

        eventually(happened, f"{ending} with {expected}")
        return found[0]

    def await_times(self, ending: str, times: int) -> None:
        """Waits until so many messages came on topics with this ending."""
        eventually(lambda: len(self.said(ending)) >= times, f"{ending}, {times} times")

    def send(self, publication) -> None:
        self._link.send(publication)


def write_config(folder: Path, text: str) -> Path:
    """A configuration file, named after nothing of this machine."""
    path = folder / "k1edge.toml"
    path.write_text('site = "hall"\nedge = "pi"\n' + text)
    return path
