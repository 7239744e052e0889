"""What is said about the form, from what is believed: sections and moments, with hysteresis.

Consumes rows and beats, emits a `Section` and `Moment`s once a beat. A section is entered when it is more likely than not
(ENTER_AT) that one began after the present one; its label may be put right later without another being entered. A drop is
called on its first beat or, when that was not convincing, within its first bar; a build as soon as it is one.

Cost: 80 us a beat with the filter.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from k1edge.frames import Moment, Section
from k1edge.genesis.evidence import BAR, Row
from k1edge.genesis.grid import Beat
from k1edge.genesis.sections import BUILD, DROP, LABELS, MAX_AGE, SectionFilter

ENTER_AT = 0.6
DROP_AT = 0.6
"""Trades late drops for false ones."""
BETWEEN_AT = 0.9
RELABEL_AT = 0.8
SURE_AT = 0.8
DROP_GAP_BEATS = 4 * BAR
MOMENTS = ("build", "drop", "breakdown")


class Decision:
    """Rows and beats in, sections and moments out; one per stream."""

    def __init__(self) -> None:
        self._filter = SectionFilter()
        self._dues: deque[int] = deque(maxlen=MAX_AGE)
        self._index = 0
        self.section = Section("unknown", 0, 0.0, True)
        self.restart("unknown", 0, 0.0)

    def restart(self, label: str, at: int, confidence: float) -> None:
        """The music has ended, or begins anew: the section is what the caller says, from sample `at`."""
        self._filter.restart()
        self._dues.clear()
        self._age = self._since_drop = 0
        self._index += self.section.label != label
        self.section = Section(label, at, confidence, label == "unknown", self._index)

    def step(self, row: np.ndarray, beat: Beat) -> tuple[Moment, ...]:
        """What one more beat has made happen; `section` is what plays now."""
        self._dues.append(beat.due)
        self._age += 1
        self._since_drop += 1
        belief = self._filter.step(row, beat.downbeat)
        drop = belief[DROP, :BAR]
        if beat.scheduled and drop.sum() > DROP_AT and self._since_drop > DROP_GAP_BEATS:
            return self._enter(DROP, int(drop.argmax()), float(drop.sum()))
        younger = belief[:, : min(self._age, MAX_AGE)]
        if self.section.label not in LABELS or younger.sum() > ENTER_AT:
            age = int(younger.sum(axis=0).argmax())
            labels = younger[:, age] / younger[:, age].sum()
            labels[DROP] = 0.0
            return self._enter(int(labels.argmax()), age, float(younger.sum()))
        return self._settle(belief.sum(axis=1))

    def between(self, row: Row) -> tuple[Moment, ...]:
        """Whether a drop has come half-way between two beats: then the tracker is on the off-beat."""
        if self.section.label != "build" or self._since_drop <= DROP_GAP_BEATS:
            return ()
        probability = self._filter.starting(DROP, row.values)
        if probability < BETWEEN_AT:
            return ()
        self._dues.append(row.due)
        self._filter.begin(DROP)
        return self._enter(DROP, 0, probability)

    def countdown(self) -> tuple[int, float]:
        """(bars, probability) to where the section most likely ends; (0, 0.0) when it is not known what it is."""
        if self.section.label not in LABELS:
            return 0, 0.0
        return self._filter.bars_left(LABELS.index(self.section.label), self._age)

    def _enter(self, label: int, age: int, confidence: float) -> tuple[Moment, ...]:
        """A section began `age` beats ago."""
        name, at = LABELS[label], self._dues[-1 - min(age, len(self._dues) - 1)]
        if label == DROP:
            self._since_drop = age
        if abs(age - self._age) > 1 or self.section.label not in LABELS:
            self._index += 1
            self._age = age
        self.section = Section(name, at, confidence, confidence < SURE_AT, self._index)
        return (Moment(name if name in MOMENTS else "change", at, confidence),)

    def _settle(self, labels: np.ndarray) -> tuple[Moment, ...]:
        """The label put right, or no longer provisional."""
        best, section = int(labels.argmax()), self.section
        confidence = float(labels[best])
        if LABELS[best] == section.label:
            if section.provisional and confidence > SURE_AT and self._age >= BAR:
                self.section = Section(section.label, section.since, confidence, False, section.index)
            return ()
        if confidence < RELABEL_AT or best == DROP:
            return ()
        self.section = Section(LABELS[best], section.since, confidence, True, section.index)
        return (Moment("build", section.since, confidence),) if best == BUILD else ()
