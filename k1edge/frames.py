"""Every type that flows through the pipeline.

Conventions: a bare time is a sample index (int) of the stream; every other quantity carries its unit in its name.
Arrays are float32 and read-only for whoever receives them. Nothing here has behaviour beyond derived properties.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

HOPS_PER_S = 100
"""Analysis rate of every stage: one hop is exactly 10 ms, whatever the sample rate."""
HOP_NS = 1_000_000_000 // HOPS_PER_S

LOST_AUDIO_RESTART_S = 1.0
"""A hole in the audio longer than this starts a new pipeline (the tempo prior is handed over)."""

FULL_SCALE = 0.999
"""A sample that could not be any larger."""


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """Sample rate of a stream; fixes the hop."""

    rate_hz: int

    def __post_init__(self) -> None:
        if self.rate_hz <= 0 or self.rate_hz % HOPS_PER_S:
            raise ValueError(f"a rate of {self.rate_hz} Hz has no whole number of samples in 10 ms")

    @property
    def hop(self) -> int:
        """Samples in 10 ms."""
        return self.rate_hz // HOPS_PER_S

    def seconds(self, index: int) -> float:
        """Stream time of a sample index, s."""
        return index / self.rate_hz

    def index(self, seconds: float) -> int:
        """Sample index nearest to a stream time in s."""
        return round(seconds * self.rate_hz)


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """One hop of audio. `start` jumps over lost audio and never repeats."""

    samples: np.ndarray
    """(hop,) float32, mono, -1..1."""
    start: int
    arrived_ns: int
    """CLOCK_MONOTONIC when the hop was complete in this process; 0 for a file that is not paced."""

    @property
    def end(self) -> int:
        """Index one past the last sample: the audio heard when this block has been processed."""
        return self.start + len(self.samples)


class Alarm(NamedTuple):
    """One thing that is wrong with the line, the box or what is around them."""

    code: str
    reason: str
    remedy: str


class Channel(NamedTuple):
    """What one channel of a line was like for a while, which the mix hides."""

    peak: float
    """Half of its widest swing within a hop: an offset is no sound."""
    clipped: int = 0
    """Samples at full scale."""


@dataclass(frozen=True, slots=True)
class FeatureFrame:
    """What one hop sounds like (see `dsp/features.py` for the definitions)."""

    end: int
    bands: np.ndarray
    """(N_BANDS,) log-compressed energy on log-spaced bands, gain-normalised, about 0..7."""
    novelty: np.ndarray
    """(N_NOVELTY,) half-wave rectified onset novelty, low to high, >= 0."""
    level_dbfs: float
    noise_floor_dbfs: float
    centroid_hz: float
    chroma: np.ndarray
    """(12,) from C, sums to 1, or all 0 when nothing is tonal."""
    silent: bool
    """Below the gate: the level is digital silence or within a few dB of the noise floor."""


@dataclass(frozen=True, slots=True)
class BeatEvent:
    """One beat, announced before it is due. A correction repeats the number with another `due`."""

    number: int
    """Strictly increasing from 1; a correction repeats it."""
    due: int
    in_bar: int
    """1-based position in the bar; 0 = not known."""
    downbeat: bool
    strength: float
    """0..1, how strong recent beats at this position of the bar have been."""
    confidence: float
    """0..1, calibrated: the probability that a beat lies within 70 ms of `due`."""


@dataclass(frozen=True, slots=True)
class BeatState:
    """The tracker's belief after one hop."""

    end: int
    tempo_bpm: float
    """0.0 until a first estimate exists; kept (not zeroed) through silence."""
    phase: float
    """[0, 1): 0 at a beat."""
    confidence: float
    lock: bool
    alternatives: tuple[tuple[float, float], ...] = ()
    """Other tempi still believed: (bpm, probability), most probable first."""
    announced: BeatEvent | None = None
    beats_per_bar: int = 0
    """0 = not known."""
    coasting: bool = False
    """The beats go on though none is heard: no evidence that there is music."""


@dataclass(frozen=True, slots=True)
class Macros:
    """The five controls a K1 understands, each 0..1, perceptually scaled."""

    energy: float = 0.0
    vocal_presence: float = 0.0
    bass_weight: float = 0.0
    percussiveness: float = 0.0
    brightness: float = 0.0


MACROS = Macros.__slots__
"""Their names."""

SECTION_LABELS = ("unknown", "intro", "verse", "chorus", "build", "drop", "breakdown", "bridge", "outro", "silence")
"""Canonical lower-case labels: a K1 hashes them, so they never vary."""


@dataclass(frozen=True, slots=True)
class Section:
    """The part of the music's form that is playing."""

    label: str
    since: int
    confidence: float
    provisional: bool
    index: int = 0
    """Counts the sections of this stream, from 0."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happens once: `build`, `drop`, `breakdown` or `change` (of section)."""

    kind: str
    due: int
    """When it happens; later than `GenesisFrame.end` when it was announced ahead."""
    confidence: float


@dataclass(frozen=True, slots=True)
class Look:
    """What a K1 is asked to show: real pattern id, palette id and parameters, from `[looks]`."""

    name: str
    pattern: str
    palette: int
    parameters: tuple[tuple[str, float], ...]
    transition: str = "fade"
    transition_ms: int = 1000


@dataclass(frozen=True, slots=True)
class GenesisFrame:
    """Everything known after one hop."""

    features: FeatureFrame
    beat: BeatState
    macros: Macros
    section: Section
    moments: tuple[Moment, ...]
    look: Look
    wire: str = "silence"
    """What is heard: music, speech, silence or noise."""
    wire_confidence: float = 1.0
    key: str = ""
    """Such as "A minor"; empty while none is clear."""
    valence: float = 0.0
    """-1 dark .. 1 bright."""
    arousal: float = 0.0
    """0 calm .. 1 excited."""
    bars: float = 0.0
    """Since the section began; its place in a phrase of n bars is this modulo n."""
    bars_left: int = 0
    """To where the section most likely ends; 0 = not known."""
    bars_left_probability: float = 0.0

    @property
    def end(self) -> int:
        return self.features.end
