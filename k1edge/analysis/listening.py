"""The live engine's ears and beat tracker over a whole file, as fast as they go.

Consumes blocks, emits the `Recording` of all they heard. Nothing here is different from a live stream: same stages, same order;
what the live engine goes on to make of it, hindsight makes better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from k1edge.analysis.recording import Keeper, Recording
from k1edge.beat.tracker import make_tracker
from k1edge.config import Settings
from k1edge.config.settings import OWN_ENGINE
from k1edge.dsp.features import FeatureExtractor
from k1edge.frames import HOPS_PER_S, AudioBlock, StreamFormat

TELL_EVERY = 10 * HOPS_PER_S


def listen(
    blocks: Iterable[AudioBlock], fmt: StreamFormat, settings: Settings, heard_s: Callable[[float], None] = lambda s: None
) -> Recording:
    """`heard_s` is told every 10 s of audio how far it is."""
    tracker = make_tracker(settings.beat.model_copy(update={"engine": OWN_ENGINE}), fmt)
    extractor = FeatureExtractor(fmt, settings.audio.gate_dbfs)
    keeper = Keeper(fmt, tracker.latency_hops / HOPS_PER_S)
    for block in blocks:
        features = extractor.process(block)
        keeper.add(features, tracker.process(block, features), tracker.heard)
        if len(keeper) % TELL_EVERY == 0:
            heard_s(len(keeper) / HOPS_PER_S)
    return keeper.finish()
