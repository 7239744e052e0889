"""All that speaks for a beat in each step of a track, when the whole of it has been heard.

Consumes a `Recording`, emits `Evidence`: what the live ears said, weighed as the live bar pointer weighs it, and what the live
tracker made of it at the time: the beats it announced and the tempo it believed in count as one more witness each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from k1edge.analysis.recording import Recording
from k1edge.beat.bar_pointer import BEAT_AGE, STEP_HOPS, STEPS_PER_S, ZONE_WEIGHTS, metre_table
from k1edge.beat.network import N_TEMPI, BeatNetwork
from k1edge.beat.observation import Activation, bar_evidence, evidence

BEATS_OF_METRES = len(metre_table()[0])
LIVE_TEMPO_BEATS = 6
"""Over which the live tempo is the median."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """(steps,) log-likelihood ratios of a beat and of no pulse, and onset strength z."""

    beat: np.ndarray
    none: np.ndarray
    onset: np.ndarray
    bars: np.ndarray
    """(steps, B) log-weights of the beats of every metre, if a beat is there."""
    latency_s: float
    """How long before the end of its step the sound was."""
    opinion: np.ndarray | None = None
    """(steps, N_TEMPI) the network's probabilities of its tempo classes; 0 where nothing sounds."""
    announced: np.ndarray | None = None
    """(steps, 2) how sure the live tracker was of a beat, and of a downbeat, in each step."""
    tempo: np.ndarray | None = None
    """(steps, 2) the beat period it believed in, steps, and how sure it was; 0 = not at all."""


def weigh(recording: Recording) -> Evidence:
    """What was heard in each step, weighed as the live tracker weighs it."""
    rows = recording.rows[STEP_HOPS - 1 :: STEP_HOPS]
    weighed, bars = np.zeros((len(rows), 2), np.float32), np.zeros((len(rows), BEATS_OF_METRES), np.float32)
    for n in np.flatnonzero(rows["sounding"]):
        heard = Activation(*rows["heard"][n].tolist())
        weighed[n], bars[n] = evidence(heard), bar_evidence(heard, float(rows["kick"][n]))
    return Evidence(
        *weighed.T, rows["onset"] * rows["sounding"], bars, recording.latency_s, _opinion(recording, rows["sounding"]),
        announced=_announced(recording, len(rows)), tempo=_believed_tempo(recording, len(rows)),
    )  # fmt: skip


def _opinion(recording: Recording, sounding: np.ndarray) -> np.ndarray:
    """(steps, N_TEMPI) what the network thinks of the tempo: it hears the bands again, which costs less than keeping it."""
    network, said = BeatNetwork(), np.zeros((len(sounding), N_TEMPI), np.float32)
    for n, bands in enumerate(recording["bands"]):
        network.process(bands.astype(np.float32))
        if n % STEP_HOPS == STEP_HOPS - 1:
            said[n // STEP_HOPS] = network.tempi
    return said * sounding[:, None]


def _announced(recording: Recording, steps: int) -> np.ndarray:
    """(steps, 2) the live tracker's word, spread over the zone of each beat."""
    said = np.zeros((steps + 2 * len(ZONE_WEIGHTS), 2), np.float32)
    for due_s, sure, in_bar in recording.beats:
        first = round((due_s + recording.latency_s) * STEPS_PER_S) - 1 - BEAT_AGE
        if 0 <= first < steps:
            zone = said[first : first + len(ZONE_WEIGHTS)]
            np.maximum(zone[:, 0], sure * np.array(ZONE_WEIGHTS), out=zone[:, 0])
            zone[:, 1] = np.where(in_bar == 1, zone[:, 0], 0.0)
    return said[:steps]


def _believed_tempo(recording: Recording, steps: int) -> np.ndarray:
    """(steps, 2) median period of the live beats round each step, and the confidence of the next."""
    beats = recording.beats[np.argsort(recording.beats[:, 0])]
    believed = np.zeros((steps, 2), np.float32)
    if len(beats) < LIVE_TEMPO_BEATS:
        return believed
    at = np.clip(np.round((beats[:, 0] + recording.latency_s) * STEPS_PER_S).astype(int), 0, steps)
    periods = np.diff(beats[:, 0]) * STEPS_PER_S
    for n in range(1, len(beats)):
        around = periods[max(n - LIVE_TEMPO_BEATS // 2 - 1, 0) : n + LIVE_TEMPO_BEATS // 2]
        believed[at[n - 1] : at[n]] = np.median(around), beats[n, 1]
    return believed
