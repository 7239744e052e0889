"""What is said about the form, from what is believed: sections and moments, with hysteresis.

Consumes the rows of both phases, emits a `Section` and `Moment`s once a beat. Trackers are on the off-beat now and then, and a
drop that is looked for there is missed; so the form is followed in both phases, and the one that sounds like the beat is
believed (`Phase`): kicks and snares fall on beats, basses and hats between them. A section is entered when it is more likely
than not (ENTER_AT) that one began after the present one; its label may be put right later without another being entered. A
drop is called on its first beat or, when that was not convincing, within its first bar, in either phase; a build as soon as
it is one. Where the bass returns and neither phase has a beat, a drop may be called there: trackers slip in builds.

Cost: 160 us a beat with the filters.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from k1edge.frames import Moment, Section
from k1edge.genesis.evidence import BAR, ROW, Row
from k1edge.genesis.sections import BUILD, DROP, LABELS, MAX_AGE, SectionFilter, packaged

ENTER_AT = 0.6
DROP_AT = 0.6
"""Trades late drops for false ones."""
RELABEL_AT = 0.8
SURE_AT = 0.8
NAMED_AT = 0.95
"""So sure a label must be to be final, where a section has begun: without that 15 of 305 final ones were put right afterwards,
with it 4 of 294."""
OTHER_AT = 0.75
"""DROP_AT for what plays half-way between the beats that are believed, or where none was looked for: a build's end is where
trackers slip."""
BESIDE = 0.12
"""Of a beat: as far from one as this, the bass is where none was looked for."""
DROP_GAP_BEATS = 4 * BAR
PHASE_TEMPER = 0.2
"""Neighbouring beats sound alike: each is so much less news."""
PHASE_SLIP = 0.003
"""Chance that the tracker has just slipped by half a beat."""
START_LOG_ODDS, MOST_LOG_ODDS, TURN_LOG_ODDS = 3.0, 6.0, 2.0
MOMENTS = ("build", "drop", "breakdown")


class Phase:
    """Whether the beat is where the tracker says, or half-way between: a two-state filter, fed by every row."""

    def __init__(self) -> None:
        self._weights = packaged("sections.npz")["phase"]
        self._on = START_LOG_ODDS
        """Log-odds that the tracker is right."""
        self.off = False
        """What is believed, with hysteresis."""

    def hear(self, row: Row) -> bool:
        """Whether this row is of the phase that is believed."""
        likely = PHASE_TEMPER * float(self._weights @ row.values[ROW["now"]])
        held = 1 / (1 + math.exp(-self._on))
        held = held * (1 - PHASE_SLIP) + (1 - held) * PHASE_SLIP
        self._on = math.log(held / (1 - held)) + (-likely if row.off_beat else likely)
        self._on = min(max(self._on, -MOST_LOG_ODDS), MOST_LOG_ODDS)
        if abs(self._on) > TURN_LOG_ODDS:
            self.off = self._on < 0
        return row.off_beat == self.off

    def settle(self, off: bool) -> None:
        """A drop began here, which is on the beat."""
        if off != self.off:
            self.off, self._on = off, -START_LOG_ODDS if off else START_LOG_ODDS


class Decision:
    """Rows in, sections and moments out; one per stream."""

    def __init__(self) -> None:
        self.phase = Phase()
        self._filters = (SectionFilter(), SectionFilter())
        self._dues = tuple(deque[int](maxlen=MAX_AGE) for _ in self._filters)
        self._index = 0
        self.section = Section("unknown", 0, 0.0, True)
        self.restart("unknown", 0, 0.0)

    def restart(self, label: str, at: int, confidence: float) -> None:
        """The music has ended, or begins anew: the section is what the caller says, from sample `at`."""
        for model, dues in zip(self._filters, self._dues, strict=True):
            model.restart()
            dues.clear()
        self._age = self._since_drop = 0
        self._index += self.section.label != label
        self.section = Section(label, at, confidence, label == "unknown", self._index)

    def step(self, row: Row) -> tuple[Moment, ...]:
        """What one more row has made happen; `section` is what plays now."""
        self._dues[row.off_beat].append(row.due)
        belief = self._filters[row.off_beat].step(row.values, row.beat.downbeat)
        believed = self.phase.hear(row)
        self._age += believed
        self._since_drop += believed
        drop = float(belief[DROP, :BAR].sum())
        if not believed:
            drop *= 1 - self._just_began()
        if row.beat.scheduled and drop > (DROP_AT if believed else OTHER_AT) and self._since_drop > DROP_GAP_BEATS:
            self.phase.settle(row.off_beat)
            return self._enter(DROP, int(belief[DROP, :BAR].argmax()), drop)
        if not believed:
            return ()
        younger = belief[:, : min(self._age, MAX_AGE - 1)]  # the last age is that of all that is older
        if self.section.label not in LABELS or younger.sum() > ENTER_AT:
            age = int(younger.sum(axis=0).argmax())
            if self._is_present(age):
                self._age = age
                return self._settle(belief.sum(axis=1))
            labels = younger[:, age] / younger[:, age].sum()
            labels[DROP] = 0.0
            return self._enter(int(labels.argmax()), age, float(younger.sum()), float(labels.max()))
        return self._settle(belief.sum(axis=1))

    def _just_began(self) -> float:
        """How surely, in the phase that is believed, something began in the last bar that is no drop."""
        young = self._filters[self.phase.off].belief[:, :BAR]
        return float(young.sum() - young[DROP].sum())

    def returned(self, row: Row) -> tuple[Moment, ...]:
        """The same for the sound since the bass has returned, if no beat was looked for there."""
        model = self._filters[self.phase.off]
        nearest = min((abs(due - row.due) for dues in self._dues for due in reversed(dues)), default=None)
        if nearest is None or nearest < BESIDE * row.beat.period or self._since_drop <= DROP_GAP_BEATS:
            return ()
        belief = model.glance(row.values)
        drop = float(belief[DROP, :BAR].sum())
        if not row.beat.scheduled or drop < OTHER_AT:
            return ()
        model.belief[:] = belief
        self._dues[self.phase.off].append(row.due)
        return self._enter(DROP, 0, drop)

    def countdown(self, per_bar: int) -> tuple[int, float]:
        """(bars of so many beats, probability) to where the section most likely ends; (0, 0.0) when nothing is known."""
        if self.section.label not in LABELS:
            return 0, 0.0
        left, probability = self._filters[0].bars_left(LABELS.index(self.section.label), self._age)
        ends = (self._age // BAR + left) * BAR
        return max(round(ends / per_bar) - self._age // per_bar, 1) if left else 0, probability

    def _is_present(self, age: int) -> bool:
        """What began `age` beats ago is the present section, if one row may be a beat beside the other."""
        return self.section.label in LABELS and abs(age - self._age) <= 1

    def _enter(self, label: int, age: int, confidence: float, named: float = 1.0) -> tuple[Moment, ...]:
        """A section began `age` beats ago; `named`: how sure its label is, given that one did."""
        dues = self._dues[self.phase.off]
        name, at = LABELS[label], dues[-1 - min(age, len(dues) - 1)]
        if label == DROP:
            self._since_drop = age
        self._index += not self._is_present(age)
        self._age = age
        self.section = Section(name, at, confidence, confidence < SURE_AT or named < NAMED_AT, self._index)
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
