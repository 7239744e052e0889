"""A virtual K1 on a real broker, in this process, whose flashes can be asked for."""

from __future__ import annotations

import threading
import time

import numpy as np

from k1edge.config.mqtt import MqttSettings
from k1edge.k1.contract import Stamp
from k1edge.k1.link import Identity, Link
from k1edge.k1.simulator import VirtualK1
from tests.brokers import PATIENCE_S, eventually

TICK_S = 0.001


class K1OnTheWall:
    """Obeys what comes over MQTT, on the monotonic clock, until it is closed or unplugged."""

    def __init__(self, settings: MqttSettings, site: str, device: str) -> None:
        self.k1 = VirtualK1(site, device)
        will = self.k1.status("lost", Stamp(0, False))
        self._link = Link(settings, Identity(f"k1-{device}", [self.k1.commands], will))
        self._link.start()
        eventually(lambda: self._link.connected, "the K1 is connected")
        self._link.send(self.k1.status("ready", self._now()))
        self._running = True
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def __enter__(self) -> K1OnTheWall:
        return self

    def __exit__(self, *_error: object) -> None:
        self._running = False
        self._thread.join(PATIENCE_S)
        self._link.close()

    def flashes_s(self) -> np.ndarray:
        """When each flash was shown, s on the monotonic clock."""
        return np.array([flash.shown_ms / 1000 for flash in list(self.k1.flashes)])

    def _now(self) -> Stamp:
        return Stamp(time.time_ns() // 1_000_000, True, time.monotonic_ns())

    def _live(self) -> None:
        while self._running:
            now = self._now()
            for received in self._link.receive():
                for answer in self.k1.hear(received.topic, received.payload, received.arrival.heard_ns / 1e6, now):
                    self._link.send(answer)
            self.k1.show(now.monotonic_ns / 1e6)
            for report in self.k1.report(now.monotonic_ns / 1e6, now):
                self._link.send(report)
            time.sleep(TICK_S)
