"""The live pipeline over a whole file, as fast as it goes.

Consumes blocks, emits the `Recording` of all it heard. Nothing here is different from a live stream: same stages, same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from k1edge.analysis.recording import Recorder, Recording
from k1edge.config import Settings
from k1edge.frames import HOPS_PER_S, AudioBlock, StreamFormat
from k1edge.pipeline import Pipeline

TELL_EVERY = 10 * HOPS_PER_S


def listen(
    blocks: Iterable[AudioBlock], fmt: StreamFormat, settings: Settings, heard_s: Callable[[float], None] = lambda s: None
) -> Recording:
    """`heard_s` is told every 10 s of audio how far it is."""
    # Only this engine tells what it hears.
    beat = settings.beat.model_copy(update={"engine": "bar_pointer"})
    pipeline = Pipeline(settings.model_copy(update={"beat": beat}), fmt)
    recorder = Recorder(fmt, pipeline.tracker.latency_hops / HOPS_PER_S)
    for block in blocks:
        frame = pipeline.process(block)
        recorder.add(frame, pipeline.tracker.heard)
        if len(recorder) % TELL_EVERY == 0:
            heard_s(len(recorder) / HOPS_PER_S)
    return recorder.finish()
