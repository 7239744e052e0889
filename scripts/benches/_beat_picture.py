"""A picture of one item: what was heard, what was believed, what was announced, and what was true."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from k1edge.audio.files import FileSource
from k1edge.beat.tracker import make_tracker
from k1edge.config import BeatSettings
from k1edge.dsp.features import FeatureExtractor
from k1edge.frames import HOPS_PER_S

mpl.use("Agg")
from matplotlib import pyplot as plt

SHOWN_S = 30.0
TEMPI_BPM = 60, 80, 100, 120, 160, 200
ABOVE = {"loc": "lower right", "bbox_to_anchor": (1, 1), "fontsize": 8, "frameon": False, "borderaxespad": 0.1}
"""A legend over its panel, where it hides nothing."""
POSTERIOR_EVERY = 5


def draw(audio: Path, truth_s: np.ndarray, out: Path) -> None:
    """Writes the first SHOWN_S of a file as a picture."""
    source = FileSource(audio)
    features, tracker = FeatureExtractor(source.fmt), make_tracker(BeatSettings(), source.fmt)
    heard, states, posterior = [], [], []
    for hop, block in enumerate(source):
        if hop >= SHOWN_S * HOPS_PER_S:
            break
        states.append(tracker.process(block, features.process(block)))
        heard.append((*tracker.heard.activation, tracker.heard.onset))
        if hop % POSTERIOR_EVERY == 0:
            posterior.append(tracker.tempo_posterior())
    figure, rows = plt.subplots(3, 1, figsize=(16, 9), sharex=True, height_ratios=(2, 3, 2), layout="constrained")
    _activation(rows[0], np.array(heard), tracker.latency_hops)
    _posterior(rows[1], np.array(posterior), tracker.tempi_bpm, states)
    _beats(rows[2], states, truth_s, source.fmt)
    rows[0].set_title(f"{audio.parent.name}/{audio.stem}", loc="left")
    rows[2].set_xlabel("s")
    figure.savefig(out, dpi=110)


def _activation(axes, heard: np.ndarray, latency_hops: float) -> None:
    time_s = (np.arange(len(heard)) + 1 - latency_hops) / HOPS_PER_S
    for column, (name, colour) in enumerate((("beat", "C0"), ("downbeat", "C3"), ("music", "0.7"))):
        axes.plot(time_s, heard[:, column], colour, lw=0.9, label=name)
    axes.plot(time_s, heard[:, 3] / 3, "C2", lw=0.5, alpha=0.6, label="onset z / 3")
    axes.set(ylabel="heard", ylim=(-0.3, 1.05))
    axes.legend(ncols=4, **ABOVE)


def _posterior(axes, posterior: np.ndarray, tempi_bpm: np.ndarray, states: list) -> None:
    time_s = np.arange(len(posterior)) * POSTERIOR_EVERY / HOPS_PER_S
    axes.pcolormesh(time_s, tempi_bpm, np.log10(posterior.T + 1e-4), cmap="magma", shading="nearest")
    axes.plot(np.arange(len(states)) / HOPS_PER_S, [s.tempo_bpm or np.nan for s in states], "c", lw=1, label="followed")
    axes.set(ylabel="bpm (posterior, log)", yscale="log")
    axes.set_yticks(TEMPI_BPM, TEMPI_BPM)
    axes.minorticks_off()
    sure = axes.twinx()
    sure.plot(np.arange(len(states)) / HOPS_PER_S, [s.confidence for s in states], "w", lw=0.7)
    sure.set(ylabel="confidence (white)", ylim=(0, 1))
    axes.legend(**ABOVE)


def _beats(axes, states: list, truth_s: np.ndarray, fmt) -> None:
    events = [(fmt.seconds(s.end), s.announced) for s in states if s.announced]
    axes.vlines(truth_s[truth_s <= SHOWN_S], 0, 1, "0.6", lw=2.5, label="true")
    for name, colour, downbeat in (("beat", "C0", False), ("downbeat", "C3", True)):
        axes.vlines([fmt.seconds(e.due) for _, e in events if e.downbeat is downbeat], 0.9, 2, colour, lw=1.5, label=name)
    axes.plot([at for at, _ in events], [2.2] * len(events), "k|", ms=5, label="announced at")
    axes.set(yticks=(0.5, 1.45), yticklabels=("true", "due"), ylim=(0, 2.5), xlim=(0, SHOWN_S))
    axes.legend(ncols=4, **ABOVE)
