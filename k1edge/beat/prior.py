"""What a room believes about tempo before it has heard a beat: a log-Gaussian mixture that corrections can teach.

    p(bpm) = sum_i weight_i * Normal(log2 bpm; log2 bpm_i, octaves_i)

One broad component is the default (a preferred tempo near 2 Hz: van Noorden & Moelants, JNMR 1999); each lesson adds or
strengthens a narrow one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from k1edge.config import BeatSettings

LESSON_OCTAVES = 0.06
"""Width of a taught tempo, about +-4 %: one venue's residents drift no further from their own tempo."""
SAME_LESSON_OCTAVES = 0.05
"""A lesson nearer than this to an earlier one strengthens it in place of adding another."""
LESSON_SHARE = 0.15
MOST_COMPONENTS = 8
BROAD_SHARE = 0.25
"""The first component never falls below this share, so that no tempo is ever ruled out."""


@dataclass(frozen=True, slots=True)
class TempoPrior:
    """`components`: (bpm, standard deviation in octaves, weight); the first is the broad one. Weights sum to 1."""

    components: tuple[tuple[float, float, float], ...] = ((120.0, 0.75, 1.0),)

    def density(self, bpm: np.ndarray) -> np.ndarray:
        """Density per octave at each tempo, same shape as `bpm`."""
        octaves = np.log2(np.asarray(bpm, float))
        return sum(
            weight * np.exp(-0.5 * ((octaves - np.log2(centre)) / width) ** 2) / (width * np.sqrt(2 * np.pi))
            for centre, width, weight in self.components
        )

    def taught(self, bpm: float) -> TempoPrior:
        """A new prior in which `bpm` counts for LESSON_SHARE more; the other components make room."""
        kept = [(c, w, share * (1 - LESSON_SHARE)) for c, w, share in self.components]
        lesson, near = (bpm, LESSON_OCTAVES, LESSON_SHARE), self._nearest_lesson(bpm)
        if near is not None:
            centre, _, share = kept.pop(near)
            moved = 2 ** ((np.log2(centre) * share + np.log2(bpm) * LESSON_SHARE) / (share + LESSON_SHARE))
            lesson = (float(moved), LESSON_OCTAVES, share + LESSON_SHARE)
        return TempoPrior(_normalised([*kept, lesson]))

    def _nearest_lesson(self, bpm: float) -> int | None:
        gaps = [abs(np.log2(centre / bpm)) for centre, _, _ in self.components[1:]]
        if not gaps or min(gaps) > SAME_LESSON_OCTAVES:
            return None
        return 1 + int(np.argmin(gaps))


def room_prior(settings: BeatSettings, lessons: Sequence[tuple[float, float, float]] = ()) -> TempoPrior:
    """What the configuration says, and what the room has taught beside it: components as those of `TempoPrior`."""
    broad = settings.prior_bpm, settings.prior_octaves, 1.0 - sum(weight for *_, weight in lessons)
    return TempoPrior((broad, *lessons))


def _normalised(components: list[tuple[float, float, float]]) -> tuple[tuple[float, float, float], ...]:
    broad, *lessons = components
    lessons = sorted(lessons, key=lambda c: -c[2])[: MOST_COMPONENTS - 1]
    share = max(BROAD_SHARE, 1 - sum(c[2] for c in lessons))
    scale = (1 - share) / sum(c[2] for c in lessons)
    return ((broad[0], broad[1], share), *((c, w, s * scale) for c, w, s in lessons))
