"""All that speaks for a beat in each step of a track, when the whole of it has been heard.

Consumes a `Recording`, emits `Evidence`. Two networks are believed alike, the one that heard the whole track (`hindsight`) and
the live one, whose word is in the recording: the mean of their logits is weighed much as the live bar pointer weighs its own.
Step n is hop STEP_HOPS * n of the recording, a frame of both networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from k1edge.analysis.hindsight import Hindsight
from k1edge.analysis.recording import Recording
from k1edge.beat.bar_pointer import ONSET_SHARE, STEP_HOPS, STEPS_PER_S
from k1edge.beat.network import BEAT, DOWNBEAT, MUSIC
from k1edge.beat.observation import DOWNBEAT_SPREAD, DOWNBEAT_WEIGHT, EXPECTED, KICK_WEIGHT, KICKS, LLR_LIMITS, MUSIC_WEIGHT
from k1edge.beat.sounds import START_HOPS
from k1edge.frames import HOPS_PER_S

LIVE_SHARE = 0.5
"""Of the live network's logit of a beat in the mean of both (tune half)."""
BEAT_SHARE = 0.025
"""By which a probability is divided to become a likelihood ratio of a beat. Lower than the live one, so that a weak pulse is
held; the tempo's opinion chooses among the levels."""
NONE_SHARE = 0.065
"""The same for the likelihood ratio of no pulse: as live."""
BEAT_WEIGHT, NONE_WEIGHT = 0.5, 0.3
"""Below 1 because neighbouring steps hear the same onset; the lower the second, the denser music may be and have a pulse."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows that are made when they are asked for: beats ask for few, and those of an hour are half a gigabyte."""

    count: int
    make: Callable[[slice | np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        return self.make(which)


@dataclass(frozen=True, slots=True)
class Evidence:
    """(steps,) log-likelihood ratios of a beat and of no pulse, and onset strength z."""

    beat: np.ndarray
    none: np.ndarray
    onset: np.ndarray
    bars: np.ndarray | Asked
    """(steps, B) log-weights of the beats of every metre, if a beat is there."""
    latency_s: float
    """How long before the end of its step the sound was."""
    opinion: np.ndarray
    """(steps, N_TEMPI) the network's probabilities of its tempo classes; 0 where nothing sounds."""
    rows: np.ndarray | Asked
    """(hops, N_COLUMNS) as `k1edge.beat.sounds` reads them, without any latency."""

    def rows_at(self, steps: np.ndarray) -> list[int]:
        """(n,) steps of beats, or between -> the rows with which their sounds begin."""
        begin_s = (steps + 1) / STEPS_PER_S - self.latency_s
        return np.clip(np.round(begin_s * HOPS_PER_S).astype(int) + START_HOPS, 0, len(self.rows)).tolist()


def weigh(recording: Recording) -> Evidence:
    """What was heard in each step."""
    rows = recording.rows[::STEP_HOPS]
    sounding = rows["sounding"]
    said = Hindsight().hear(recording["bands"])
    beat = (1 - LIVE_SHARE) * _logit(said[:, BEAT]) + LIVE_SHARE * _logit(rows["heard"][:, BEAT])
    llr = np.clip(beat - _logit(BEAT_SHARE), *LLR_LIMITS)
    pulse = np.clip(beat - _logit(NONE_SHARE), *LLR_LIMITS)
    none = NONE_WEIGHT * np.log1p(ONSET_SHARE * np.expm1(pulse)) - MUSIC_WEIGHT * _logit(said[:, MUSIC])
    # A step ends when its second hop does; what both networks said of it was known at the end of its first.
    latency_s = recording.latency_s + (STEP_HOPS - 1) / HOPS_PER_S
    opinion = said[:, MUSIC + 1 :]
    opinion *= sounding[:, None]
    return Evidence(
        BEAT_WEIGHT * llr * sounding, none * sounding, rows["onset"] * sounding,
        Asked(len(rows), lambda steps: _bars(said[steps], rows["kick"][steps]) * sounding[steps, None]), latency_s, opinion,
        Asked(len(recording), lambda hops: _sounds(recording.rows[hops])),
    )  # fmt: skip


def _sounds(rows: np.ndarray) -> np.ndarray:
    """(hops, N_COLUMNS) of a recording's rows."""
    return np.hstack([rows["bands"], rows["heard"][:, : DOWNBEAT + 1].astype(np.float16)])


def _bars(said: np.ndarray, kick: np.ndarray) -> np.ndarray:
    """(steps, B) as `observation.bar_evidence`, for all steps at once."""
    share = np.clip(said[:, DOWNBEAT] / np.maximum(said[:, BEAT], 1e-3), 0.02, 0.95)
    off = _logit(share)[:, None] - EXPECTED
    return -DOWNBEAT_WEIGHT * said[:, BEAT, None] / (2 * DOWNBEAT_SPREAD**2) * off * off + KICK_WEIGHT * kick[:, None] * KICKS


def _logit(p: np.ndarray | float) -> np.ndarray:
    p = np.clip(p, 1e-3, 1 - 1e-3)
    return np.log(p / (1 - p))
