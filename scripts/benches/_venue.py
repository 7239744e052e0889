"""A venue on one machine for the benches of faults: line, broker, edge under a keeper, a K1 on the wall, a witness of all that
is said. Everything is real but the K1 and the wall socket.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from k1edge.audio.synth import four_on_the_floor
from tests.end_to_end.k1 import K1OnTheWall

EDGE = "k1/v1/hall/edge/pi"
RATE_HZ = 44_100
BPM, LOOP_S = 120.0, 60.0
"""Exactly 120 beats, so that the loop has no seam."""
ON_BEAT_S, IN_A_ROW = 0.070, 4
KEEPER_REST_S = 2.0
"""As the unit has it."""


def music() -> np.ndarray:
    """(n, 2) what is on the line, its beats at multiples of half a second after the first."""
    sound = four_on_the_floor(BPM, LOOP_S, RATE_HZ)
    return np.column_stack((sound.samples, sound.samples))[: round(LOOP_S * RATE_HZ)]


class Witness:
    """Hears all below `k1/`, and is back at the broker before anyone else."""

    def __init__(self, port: int, **login: str) -> None:
        self.heard: list[tuple[float, str, dict, bool]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, f"witness-{os.getpid()}", protocol=MQTTProtocolVersion.MQTTv5)
        if login:
            self._client.username_pw_set(login["user"], login["password"])
        self._client.on_connect = lambda client, *_: client.subscribe("k1/#", 1)
        self._client.on_message = self._hear
        self._client.reconnect_delay_set(0.02, 0.02)
        self._client.connect_async("127.0.0.1", port, 10)
        self._client.loop_start()

    def _hear(self, _client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        with contextlib.suppress(ValueError):
            self.heard.append((time.monotonic(), message.topic, json.loads(message.payload or b"{}"), message.retain))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def when(self, since_s: float, ending: str, *, words: str = "", **expected: object) -> float | None:
        """How long after `since_s` such a message came first, with these words in its reason; None so far."""
        for at_s, topic, body, _ in list(self.heard):
            fits = at_s >= since_s and topic.endswith(ending) and words in body.get("reason", "")
            if fits and all(body.get(key) == value for key, value in expected.items()):
                return at_s - since_s
        return None

    def last(self, ending: str) -> dict:
        return next((body for _, topic, body, _ in reversed(list(self.heard)) if topic.endswith(ending) and body), {})

    def durable(self) -> tuple[int, int]:
        """(missing, twice) of the events since the beginning, by their numbers; a number that falls is a new process."""
        missing = twice = 0
        runs: dict[str, list[set[int]]] = collections.defaultdict(list)
        for _, topic, body, _ in list(self.heard):
            if not topic.startswith(f"{EDGE}/event/"):
                continue
            known = runs[topic]
            if not known or (body["seq"] == 0 and 0 in known[-1]):
                known.append(set())
            twice += body["seq"] in known[-1]
            known[-1].add(body["seq"])
        for known in runs.values():
            missing += sum(max(run) + 1 - len(run) for run in known)
        return missing, twice


class Kept:
    """`k1edge run`, started again whenever it ends, as systemd would."""

    def __init__(self, config: Path, env: Mapping[str, str], *, before: tuple[str, ...] = ()) -> None:
        self._command = [*before, sys.executable, "-m", "k1edge", "run", "--config", str(config)]
        self._env = dict(env) | {"NOTIFY_SOCKET": f"{config.parent}/nobody", "PYTHONUNBUFFERED": "1"}
        self.log = config.parent / "stderr"
        self.starts, self._keeping, self.rest_s = 0, True, KEEPER_REST_S
        self.codes: list[int] = []
        self.process = self._begin()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _begin(self) -> subprocess.Popen:
        self.starts += 1
        with self.log.open("ab") as log:
            return subprocess.Popen(self._command, env=self._env, stdout=subprocess.DEVNULL, stderr=log)

    def _keep(self) -> None:
        while self._keeping:
            code = self.process.wait()
            self.codes.append(code)
            time.sleep(self.rest_s)
            if self._keeping:
                self.process = self._begin()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)

    def close(self) -> None:
        self._keeping, self.rest_s = False, 0.0
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self._thread.join(10)


class Wall:
    """The K1, and when its light was on the beat of the line."""

    def __init__(self, settings: object, starts: Callable[[], list]) -> None:
        self.on = K1OnTheWall(settings, "hall", "porch")
        self._starts = starts

    def back(self, since_s: float) -> float | None:
        """From `since_s` to the first of four flashes in a row on the beat, s; None so far."""
        flashes_s = self.on.flashes_s()
        flashes_s = flashes_s[flashes_s >= since_s]
        starts = self._starts()
        if len(flashes_s) < IN_A_ROW or not starts:
            return None
        period_s = 60 / BPM
        error_s = (flashes_s - starts[-1].began_s - FIRST_BEAT_S + period_s / 2) % period_s - period_s / 2
        right = np.abs(error_s) <= ON_BEAT_S
        for i in range(len(right) - IN_A_ROW + 1):
            if right[i : i + IN_A_ROW].all():
                return float(flashes_s[i] - since_s)
        return None

    def freed(self, since_s: float) -> float:
        """Waits until the K1 is on its own; how long after `since_s` that was."""
        while self.on.k1.led and time.monotonic() - since_s < 20:
            time.sleep(0.002)
        return time.monotonic() - since_s

    def close(self) -> None:
        self.on.__exit__()


FIRST_BEAT_S = float(four_on_the_floor(BPM, 2.0, RATE_HZ).truth.beats_s[0])


def children(pid: int) -> list[int]:
    told = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True, check=False).stdout
    return [int(each) for each in told.split()]


def awaited(truth: Callable[[], object], limit_s: float) -> object:
    """What it says as soon as it is not None or False; None when it never does."""
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        found = truth()
        if found is not None and found is not False:
            return found
        time.sleep(0.01)
    return None
