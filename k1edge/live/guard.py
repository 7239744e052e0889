"""Watches whether the light is still on the beat, and takes it off when it is not.

Consumes `GenesisFrame`s; emits the drift and a verdict. Drift is the signed median, over the last eight beats, of when an onset
was heard minus when the beat had been announced for: positive = the light was early. Amber from 20 ms; red, over 100 ms for
5 s, takes the K1s off the beat until 8 s of stable lock, silence, or another leader: what was heard before it says nothing of
what comes after. Confidence below 0.3 for 10 s of sound is an alarm. Cost: 3 us a hop.

It hears by the bare novelty and not by the tracker, so that it does not share the tracker's mistakes.
"""

from __future__ import annotations

from collections import deque
from statistics import median

import numpy as np

from k1edge.frames import HOPS_PER_S, BeatEvent, GenesisFrame, StreamFormat

BEATS = 8
AMBER_MS, RED_MS = 20.0, 100.0
RED_FOR = 5 * HOPS_PER_S
STABLE_FOR = 8 * HOPS_PER_S
SILENT_FOR = 2 * HOPS_PER_S
DOUBTFUL_BELOW, DOUBTFUL_FOR = 0.3, 10 * HOPS_PER_S
SEARCH = 16
"""Hops to either side of a beat in which its onset is looked for: just under half a period at 185 BPM."""
PROMINENCE = 3.0
"""Of a peak over the window's mean; a beat without such a peak (a rest, a pad) says nothing."""
LATENCY_HOPS = 2.2
"""From a sound to the peak of its novelty: the window's first half; 20 ms on clicks, 20-26 ms on kicks, measured."""
WEIGHTS = np.array([1.0, 0.5, 0.5, 0.2], np.float32)
"""Of the novelty's regions: the kick says where the beat is, an off-beat hat must not."""
MEMORY = 64


class DriftGuard:
    """One per stream."""

    def __init__(self, fmt: StreamFormat) -> None:
        self._hop = fmt.hop
        self._novelty = np.zeros((MEMORY, len(WEIGHTS)), np.float32)
        self._hops = 0
        self._due: deque[BeatEvent] = deque(maxlen=16)
        self._errors_ms: deque[float] = deque(maxlen=BEATS)
        self._red_hops = self._stable_hops = self._doubtful_hops = self._silent_hops = 0
        self._leader: object = None
        self.off_beat = False
        """The K1s were taken off the beat, and the lock has not been stable since for long enough."""
        self.drift_ms: float | None = None
        """None until eight beats were heard."""

    @property
    def level(self) -> str:
        """`ok`, `amber` or `red`."""
        drift_ms = abs(self.drift_ms or 0.0)
        return "red" if drift_ms > RED_MS else "amber" if drift_ms > AMBER_MS else "ok"

    @property
    def is_doubtful(self) -> bool:
        """Sound, and for ten seconds nobody knew its beat."""
        return self._doubtful_hops >= DOUBTFUL_FOR

    def process(self, frame: GenesisFrame, leader: object = None) -> None:
        """One hop; `leader`: the stored map whose beats are announced, None = the live engine's are."""
        if leader is not self._leader:
            self._leader = leader
            self._forget()
        self._novelty[self._hops % MEMORY] = frame.features.novelty
        self._hops += 1
        if frame.beat.announced is not None:
            self._expect(frame.beat.announced)
        if self._due and frame.end >= self._due[0].due + (SEARCH + LATENCY_HOPS) * self._hop:
            self._listen(self._due.popleft(), frame.end)
        self._judge(frame)

    def _expect(self, event: BeatEvent) -> None:
        if self._due and self._due[-1].number == event.number:
            self._due.pop()
        self._due.append(event)

    def _listen(self, event: BeatEvent, end: int) -> None:
        """Finds the onset nearest to a beat that has passed."""
        ago = (end - event.due) / self._hop - LATENCY_HOPS
        newest = self._hops - 1
        window = np.arange(newest - round(ago) - SEARCH, newest - round(ago) + SEARCH + 1)
        if window[0] <= newest - MEMORY or window[-1] > newest:
            return
        heard = self._novelty[window % MEMORY] @ WEIGHTS
        # Of two onsets the nearer one is meant, unless the other is much stronger.
        weighed = heard * (1 - 0.5 * np.abs(np.arange(-SEARCH, SEARCH + 1)) / SEARCH)
        peak = int(np.argmax(weighed))
        if heard[peak] > PROMINENCE * heard.mean() + 1e-6:
            hops = peak - SEARCH + ago - round(ago)
            self._errors_ms.append(hops * 1000 / HOPS_PER_S)
            if len(self._errors_ms) == BEATS:
                self.drift_ms = round(median(self._errors_ms), 1)

    def _judge(self, frame: GenesisFrame) -> None:
        self._silent_hops = self._silent_hops + 1 if frame.features.silent else 0
        if self._silent_hops >= SILENT_FOR:
            self._forget()
        self._red_hops = self._red_hops + 1 if self.level == "red" else 0
        doubtful = not frame.features.silent and frame.beat.confidence < DOUBTFUL_BELOW
        self._doubtful_hops = self._doubtful_hops + 1 if doubtful else 0
        steady = frame.beat.lock and self.level != "red"
        self._stable_hops = self._stable_hops + 1 if steady else 0
        if self._red_hops >= RED_FOR:
            self.off_beat = True
        elif self.off_beat and self._stable_hops >= STABLE_FOR:
            self.off_beat = False

    def _forget(self) -> None:
        self._due.clear()
        self._errors_ms.clear()
        self._red_hops, self.drift_ms, self.off_beat = 0, None, False
