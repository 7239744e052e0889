"""The form of the music as it happens: what is on the wire, sections, moments, macros, mood.

Consumes `FeatureFrame` and `BeatState`, emits `Form`, 100 a second. This is where the stages of the engine meet: the ear
separates, the grid counts, the evidence of each beat moves one belief, the decision says what has happened. Nothing is
decided while the wire holds speech, noise or silence; after those the form begins anew.

Cost: about 60 us a hop in the mean; 400 us on the hop that decides a beat.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from k1edge.config import GenesisSettings
from k1edge.frames import HOPS_PER_S, BeatState, FeatureFrame, Macros, Moment, Section, StreamFormat
from k1edge.genesis.decision import Decision
from k1edge.genesis.evidence import Evidence, Row
from k1edge.genesis.grid import BarGrid, Beat
from k1edge.genesis.hearing import Ear, Hearing
from k1edge.genesis.macros import MacroMeter
from k1edge.genesis.mood import Mood, MoodWatch
from k1edge.genesis.returns import Returns
from k1edge.genesis.wire import Wire, WireWatch

NOT_MUSIC = ("speech", "noise")
RESTING = ("silence", "unknown")
PATIENCE_S = 4.0
"""Of speech or hiss before the form is given up: a call over a breakdown does not end the song."""
DUCK_S = 0.8
TAKEN_BACK, MOST_BACK = 10, 100
"""Hops of quiet that a hop of sound takes back, and the most there are to take back once there is silence: the groove at the
end of a record, which clicks at each turn, is silence and stays it; a tenth of a second of sound ends it."""
QUIET_WIRE = Wire("silence", 1.0, 0)
NO_MOOD = Mood()


@dataclass(frozen=True, slots=True)
class Form:
    """What the music is doing after one hop."""

    section: Section
    moments: tuple[Moment, ...]
    macros: Macros
    beat: Beat | None = None
    """The beat that became due within this hop."""
    wire: Wire = QUIET_WIRE
    mood: Mood = NO_MOOD
    bars: float = 0.0
    """Since the section began, counted on the scheduled beats; its place in a phrase of n bars is this modulo n."""
    bars_left: int = 0
    """To where the section most likely ends; 0 = not known."""
    bars_left_probability: float = 0.0
    quiet: bool = False
    """There is silence, but for clicks."""

    @property
    def given_up(self) -> bool:
        """Speech or noise has gone on for so long that it is no part of any music."""
        return self.section.label == "unknown" and self.wire.state in NOT_MUSIC


class Structure:
    """Features and beats in, form out; one per stream."""

    def __init__(self, settings: GenesisSettings, fmt: StreamFormat) -> None:
        self._silence_after = round(settings.silence_after_s * HOPS_PER_S)
        self._ear, self._meter, self._grid = Ear(), MacroMeter(), BarGrid(fmt)
        self._wire, self._mood = WireWatch(), MoodWatch()
        self._fmt = fmt
        self._evidence = self._new_evidence()
        self._decision, self._returns = Decision(), Returns(fmt.hop)
        self._begun = False
        self._duck = 1 - math.exp(-1 / (DUCK_S * HOPS_PER_S))
        self._open = 1.0
        self._quiet_hops = self._strange_hops = 0
        self._first_bar = 0
        self._left = (0, 0.0)

    def process(self, features: FeatureFrame, beat: BeatState, live: BeatState | None = None) -> Form:
        """The form after one hop. `live`: what is heard of the beat, where `beat` is a stored map's."""
        if not self._begun:  # after a hole, weeks into a stream
            self._begun = True
            self._decision.restart("unknown", features.end - self._fmt.hop, 0.0)
        hearing = self._ear.process(features)
        wire = self._wire.process(features, hearing, live or beat, builds=self._decision.section.label == "build")
        macros = self._ducked(self._meter.process(hearing), wire)
        passed = self._grid.process(beat)
        rows = [evidence.process(features, hearing, passed) for evidence in self._evidence]
        returned = self._returned(features, hearing)
        moments: tuple[Moment, ...] = ()
        rests = self._rests(wire, features)
        if rests:
            self._left = (0, 0.0)
        else:
            for row in rows:
                moments += self._decide(row, self._decision.step) if row is not None else ()
            moments += self._decide(returned, self._decision.returned) if returned is not None else ()
        return Form(
            self._decision.section,
            moments,
            macros,
            passed,
            wire,
            self._mood.process(features, macros, beat),
            self._bars(features.end),
            *self._left,
            quiet=rests and self._decision.section.label == "silence",
        )

    def _ducked(self, macros: Macros, wire: Wire) -> Macros:
        """Nothing dances to a voice or to hiss: the macros sink under them within DUCK_S, and come back as softly."""
        self._open += self._duck * ((wire.state not in NOT_MUSIC) - self._open)
        if self._open > 0.999:
            return macros
        share = self._open
        return Macros(macros.energy * share, macros.vocal_presence * share, macros.bass_weight * share,
                      macros.percussiveness * share, macros.brightness * share)

    def _rests(self, wire: Wire, features: FeatureFrame) -> bool:
        """Whether there is no music whose form could be followed; says so in the section."""
        silent = self._is_silent(features.silent)
        strange, resting = wire.state in NOT_MUSIC, self._decision.section.label in RESTING
        self._strange_hops = self._strange_hops + 1 if strange else 0
        if not silent and self._strange_hops <= PATIENCE_S * HOPS_PER_S * (not resting):
            return self._quiet_hops > 0 and resting
        label = "silence" if silent else "unknown"
        if self._decision.section.label != label:
            self._decision.restart(label, features.end, 1.0 if silent else wire.confidence)
            if silent:  # what comes is another song: how loud this one was, and what was gone from it, says nothing of that
                self._evidence = self._new_evidence()
        return True

    def _is_silent(self, quiet: bool) -> bool:
        """Whether it has been quiet for long enough, but for clicks."""
        most = self._silence_after
        if self._decision.section.label == "silence":
            most = min(most, MOST_BACK)
        self._quiet_hops = min(max(self._quiet_hops + (1 if quiet else -TAKEN_BACK), 0), most)
        return self._quiet_hops == most

    def _new_evidence(self) -> tuple[Evidence, Evidence]:
        return Evidence(self._fmt), Evidence(self._fmt, off_beat=True)

    def _bars(self, end: int) -> float:
        last = self._grid.last
        if last is None:
            return 0.0
        beats = last.in_bar - 1 + min((end - last.due) / last.period, 1.0)
        return max(last.bar - self._first_bar + beats / last.per_bar, 0.0)

    def _returned(self, features: FeatureFrame, hearing: Hearing) -> Row | None:
        """What was heard since the bass came back, when enough has been."""
        onset = self._returns.process(hearing, features.end)
        if onset is not None:
            self._evidence[self._decision.phase.off].look_at(onset)
        looked = [evidence.looked(features, hearing) for evidence in self._evidence]
        return next((row for row in looked if row is not None), None)

    def _decide(self, row: Row, decide: Callable[[Row], tuple[Moment, ...]]) -> tuple[Moment, ...]:
        before, beat = self._decision.section, self._grid.last
        moments = decide(row)
        section = self._decision.section
        if section.index != before.index:
            beats = round((beat.due - section.since) / beat.period)
            self._first_bar = beat.bar + (beat.in_bar - 1 - beats + beat.per_bar // 2) // beat.per_bar
        self._left = self._decision.countdown(beat.per_bar)
        return moments
