"""An edge reduced to its voice: beats at a steady tempo, macros and a scene for one K1, over a real link."""

from __future__ import annotations

import time
from collections.abc import Iterator

from k1edge.config.mqtt import MqttSettings
from k1edge.k1 import contract
from k1edge.k1.link import Identity, Link

SITE, DEVICE = "test-site", "k1-a"


class FakeEdge:
    """Sends what a daemon would; `beats` holds when each beat was due, monotonic ms."""

    def __init__(self, settings: MqttSettings, **identity: object) -> None:
        self.scribe = contract.Scribe(SITE, "edge-a")
        filters = (f"{contract.ROOT}/{SITE}/device/+/+",)
        self.link = Link(settings, Identity("edge-a", filters, **identity))
        self.beats: dict[int, float] = {}
        self.link.start()

    def command(self, model: type[contract.Message], **fields: object) -> None:
        self.link.send(self.scribe.write_to(DEVICE, model, now(), **fields))

    def scene(self, pattern: str, **fields: object) -> None:
        scene = {"palette_id": 30, "parameters": {}, "transition": "fade", "transition_ms": 1, "expires_at_ms": 4e12}
        self.command(contract.SceneCommand, pattern=pattern, **scene | fields)

    def play(self, count: int, bpm: float = 120.0, lead_ms: float = 150.0) -> None:
        """`count` beats, each announced `lead_ms` before it is due, with macros in between; in real time."""
        first_ms = time.monotonic() * 1000 + lead_ms
        for number in range(1, count + 1):
            due_ms = first_ms + (number - 1) * 60_000 / bpm
            while (left_ms := due_ms - lead_ms - time.monotonic() * 1000) > 0:
                self.command(contract.MacroCommand, energy=0.6, bass_weight=0.5, percussiveness=0.5)
                time.sleep(min(left_ms, 50) / 1000)
            self.beats[number] = due_ms
            due_in_ms = due_ms - time.monotonic() * 1000
            self.command(
                contract.BeatCommand, number=number, bpm=bpm, due_in_ms=due_in_ms, downbeat=number % 4 == 1,
                due_at_ms=time.time() * 1000 + due_in_ms, beat_in_bar=(number - 1) % 4, strength=0.9, confidence=0.9,
            )

    def heard(self) -> Iterator[contract.Message]:
        for topic, payload, _ in self.link.receive():
            if payload and "/cmd/" not in topic:
                yield contract.decode(topic, payload)


def now() -> contract.Stamp:
    return contract.Stamp(int(time.time() * 1000), True)
