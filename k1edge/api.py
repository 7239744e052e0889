"""The beats of a file or an array, for other programs.

    from k1edge import BeatDetector
    found = BeatDetector().detect_beats("song.flac")     # or an array: BeatDetector(sr=44100).detect_beats(samples)

The live engine hears the audio, and the whole-track decoder then looks back over all it heard. `k1edge.Pipeline` is the live
engine itself, block by block.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import numpy as np

from k1edge.analysis import beats
from k1edge.analysis.levels import onsets_ms
from k1edge.analysis.listening import listen
from k1edge.analysis.recording import Recording
from k1edge.audio import RATES_HZ
from k1edge.audio.blocks import blocks
from k1edge.audio.files import FileSource, resampled
from k1edge.config import Settings
from k1edge.frames import HOPS_PER_S, AudioBlock, StreamFormat
from k1edge.genesis.revision import tempo_bpm


class Beats(TypedDict):
    """What `detect_beats` returns; times in s from the start of the audio."""

    beats: np.ndarray
    """(n,) float64."""
    tempo: float
    """bpm; 0.0 without beats."""
    onsets: np.ndarray
    """(m,) float64."""
    frames: np.ndarray
    """(n,) int: the beats in frames of `hop_length` samples at `sr`."""
    sr: int
    downbeats: np.ndarray
    """(k,) float64, some of the beats."""
    confidence: float
    """0..1: how clearly beats were heard where they were put; 0.0 without beats."""


class BeatDetector:
    """Whole-track beat detection. `sr` is the rate of arrays that are passed, and with `hop_length` defines `frames`."""

    def __init__(self, sr: float = 22_050, hop_length: float = 512) -> None:
        if sr <= 0 or hop_length <= 0 or sr % 1 or hop_length % 1:
            raise ValueError(f"sr and hop_length must be positive whole numbers, not {sr} and {hop_length}")
        self.sr, self.hop_length = int(sr), int(hop_length)

    def detect_beats(self, audio_path: str | Path | np.ndarray, units: str = "time", filter_beats: bool = True) -> Beats:
        """Beats of a sound file, or of (n,) or (n, channels) samples -1..1 at `sr`.

        `audio_path` has its name for programs written for older detectors, for which `units` and `filter_beats` are accepted,
        too; beats are in s, and need no filter. An array of 44.1 or 48 kHz float32 mono is not copied. Raises
        `k1edge.audio.AudioError` for a bad file, `ValueError` for a bad array.
        """
        settings = Settings()
        recording = listen(*self._source(audio_path), settings)
        grid = beats.found(recording, settings.beat)
        times_s = grid.times_s
        return Beats(
            beats=times_s,
            tempo=tempo_bpm((times_s * 1000).tolist()) if len(times_s) > 1 else 0.0,
            onsets=np.array(onsets_ms(recording)) / 1000 if len(recording) else np.zeros(0),
            frames=np.round(times_s * self.sr / self.hop_length).astype(int),
            sr=self.sr,
            downbeats=times_s[grid.in_bar == 1],
            confidence=_confidence(recording, times_s),
        )

    def _source(self, audio: str | Path | np.ndarray) -> tuple[Iterable[AudioBlock], StreamFormat]:
        if not isinstance(audio, np.ndarray):
            source = FileSource(audio)
            return source, source.fmt
        samples = _mono(audio)
        fmt = StreamFormat(self.sr if self.sr in RATES_HZ else RATES_HZ[0])
        chunks = iter([samples])
        return blocks(chunks if fmt.rate_hz == self.sr else resampled(chunks, self.sr, fmt.rate_hz), fmt, False), fmt


def _mono(audio: np.ndarray) -> np.ndarray:
    if audio.ndim not in (1, 2) or not np.issubdtype(audio.dtype, np.floating):
        raise ValueError(f"samples must be floats of shape (n,) or (n, channels), not {audio.dtype} {audio.shape}")
    mono = (audio if audio.ndim == 1 else audio.mean(axis=1)).astype(np.float32, copy=False)
    if not np.isfinite(mono).all():
        raise ValueError("samples must be finite, and of at least one channel")
    return mono


def _confidence(recording: Recording, beats_s: np.ndarray) -> float:
    if not len(beats_s):
        return 0.0
    late = recording.latency_s * HOPS_PER_S
    at = np.clip(np.round(beats_s * HOPS_PER_S + late).astype(int)[:, None] + np.arange(-3, 4), 0, len(recording) - 1)
    return float(recording["heard"][:, 0][at].max(axis=1).mean())
