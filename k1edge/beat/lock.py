"""How sure the tracker is, whether it may speak, and whether it flies blind.

Consumes every hop's activation and, each time it is read, the posterior's mass on the followed beat; holds `confidence`,
`locked` and `coasting`. Lock is entered at a higher confidence than it is left (hysteresis). In silence the confidence fades
and the tempo is kept. In a breakdown, music without any beat, the tracker coasts on its grid, for a long time but not for ever.
"""

from __future__ import annotations

import math

from k1edge.beat.bar_pointer import STEP_HOPS
from k1edge.beat.belief import Belief
from k1edge.beat.observation import Activation, logit
from k1edge.frames import HOPS_PER_S

LOCK_AT, UNLOCK_AT = 0.60, 0.12
"""Of the mass on the followed beat, not of the confidence: what is calibrated changes with the weights of the network."""
NONE_AT_UNLOCK = 0.90
HELD_HOPS = 70
"""Lock is left after a beat, and no fewer hops than these, of less than UNLOCK_AT or of more than NONE_AT_UNLOCK: where every
second pulse is followed, the one between takes what the next gives back; and drums that stop are missed before it is known
whether this is a breakdown."""
RESTS_UP_TO = 150
"""Hops of silence that are part of the music; in longer ones the confidence fades."""
QUIET_FADE_S = 2.0
QUIET_RETURN = 0.2
"""Share of the way back per hop of sound."""
STARVED_BELOW, STARVED_FADE_S = 0.30, 2.0
"""No activation has come near a beat for some seconds: there is nothing to follow, but nothing against the grid either."""
MUSIC_S = 2.0
"""Over which the network's opinion that there is music with a beat is averaged; at once at the first sound."""
MUSIC_TO_LOCK, MUSIC_TO_STAY = 0.55, 0.25
"""Speech and clatter may have a rhythm for a moment; whether it is music takes longer to hear."""
MUSIC_AT_LEAST = 0.5
SUSTAINED = (0.006, 0.045)
"""Mean novelty of held chords (0.01-0.04); mains hum has less, which half a second tells, speech and noise more, which takes
MUSIC_S (measured on training items). Without music or held chords there is no breakdown, only an end."""
HUM_KEEP = 1 - 1 / (0.5 * HOPS_PER_S)
BREAKDOWN = 4 * HOPS_PER_S
"""Hops: what was coasted over for so long was music, whatever the network has heard in it."""
COAST_BEATS = 256
"""64 bars: 16 are too few for DJ sets (measured by others)."""
COAST_FADE_S = 40.0
LEAST_MASS = 0.0025
"""Its log-odds are -6."""
CALIBRATION = (0.06, 0.063, 2.065, -0.901, -0.588)
"""Log-odds that a beat is right within 70 ms: constant, log-odds of its mass in the posterior, what the network heard at the
last beats and half way between them, and how much it doubts the tempo. Logistic regression (scripts/bench beats --calibrate) on
beats of music that the network which heard them was not trained on: the tune half of the excerpts, and 178 minutes of modules
and projects (MODEL_CARD.md). Never above .93: nobody can be surer of a song that he does not know."""


class Lock:
    """Confidence and lock of one stream."""

    def __init__(self) -> None:
        self.confidence, self.locked, self.coasting = 0.0, False, False
        self.quiet_hops = 0
        self._loudness, self._peak = 1.0, 0.0
        self._music, self._novelty, self._novelty_now, self._heard_hops = 0.0, 0.0, 0.0, 0
        self._beats_left = self._coasted_hops = 0
        self._weak_hops = 0
        """Since there was last enough to stay locked."""
        self.signs = (1.0, -6.0, 0.5, 0.5, 0.0)
        """What the confidence was computed from, as CALIBRATION."""

    def hear(self, silent: bool, heard: Activation, novelty: float = 0.0) -> None:
        """Every hop; `novelty`: the mean over the bands of `FeatureFrame.novelty`."""
        self.quiet_hops = self.quiet_hops + 1 if silent else 0
        self._weak_hops += 1
        if self.quiet_hops > RESTS_UP_TO:
            self._loudness *= math.exp(-1 / (QUIET_FADE_S * HOPS_PER_S))
        else:
            self._loudness += (1 - self._loudness) * QUIET_RETURN
        self._peak = max(heard.beat, self._peak * math.exp(-1 / (STARVED_FADE_S * HOPS_PER_S)))
        self._heard_hops = self._heard_hops + 1 if self.quiet_hops < RESTS_UP_TO else 0
        gain = 1 / max(min(self._heard_hops, MUSIC_S * HOPS_PER_S), 1)
        self._music += (heard.music - self._music) * gain
        self._novelty += (novelty - self._novelty) * gain
        self._novelty_now = novelty + (self._novelty_now - novelty) * HUM_KEEP
        least = self._novelty if self.coasting else self._novelty_now  # chords that swell pause for a moment
        chords = least > SUSTAINED[0] and self._novelty < SUSTAINED[1]
        breakdown = self._music > MUSIC_AT_LEAST or chords
        self.coasting = self.locked and not silent and self._peak < STARVED_BELOW and breakdown and self._beats_left > 0
        self._coasted_hops = self._coasted_hops + 1 if self.coasting else 0
        if self.coasting:
            self._weak_hops = 0
            self.confidence *= math.exp(-1 / (COAST_FADE_S * HOPS_PER_S))
        if self._coasted_hops > BREAKDOWN:
            self._music = max(self._music, MUSIC_AT_LEAST)

    def judge(self, belief: Belief | None, on: float, between: float, doubt: float = 0.0) -> None:
        """Each time the posterior was read; `on`, `between`: what was heard at the last beats and half way between.

        `doubt`: of the network about the followed tempo, a log-ratio.
        """
        if self.coasting:
            return
        if belief is None:
            self.confidence, self.locked = 0.0, False
            return
        self.signs = (1.0, logit(belief.mass, LEAST_MASS, 1 - LEAST_MASS), on, between, doubt)
        odds = math.exp(sum(weight * sign for weight, sign in zip(CALIBRATION, self.signs, strict=True)))
        self.confidence = odds / (1 + odds) * self._loudness * min(self._music / MUSIC_TO_LOCK, 1.0)
        mass = belief.mass * self._loudness
        if mass > UNLOCK_AT and belief.none < NONE_AT_UNLOCK:
            self._weak_hops = 0
        if self.locked:
            there = self._weak_hops <= max(belief.period * STEP_HOPS, HELD_HOPS)
            self.locked = there and self._music > MUSIC_TO_STAY
        else:
            self.locked = mass > LOCK_AT and self._music > MUSIC_TO_LOCK

    def announced(self) -> None:
        """One more beat was announced; after COAST_BEATS of them that were not heard it is over."""
        self._beats_left = self._beats_left - 1 if self.coasting else COAST_BEATS
        if self._beats_left == 0:
            self.give_up()

    def give_up(self) -> None:
        """What is coasted over is no breakdown; a beat that is heard stays locked."""
        if self.coasting:
            self.coasting = self.locked = False
