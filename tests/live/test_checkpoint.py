"""The state of a pipeline, written and read."""

import os
import pickle

import numpy as np
import pytest

from k1edge.audio.synth import SynthSource, four_on_the_floor
from k1edge.config import Settings
from k1edge.daemon.recorder import decision_row
from k1edge.live import checkpoint
from k1edge.live.checkpoint import CheckpointError
from k1edge.pipeline import Pipeline


def test_a_pipeline_goes_on_from_its_checkpoint_as_if_nothing_had_happened():
    song = four_on_the_floor(126.0, 14.0, 48_000)
    source = SynthSource(song.samples, song.rate_hz)
    pipeline, copy = Pipeline(Settings(), source.fmt), None
    for number, block in enumerate(source):
        if number in (350, 900):
            copy = checkpoint.loads(checkpoint.dumps(pipeline))
        frame = pipeline.process(block)
        if copy is not None:
            assert decision_row(copy.decide(block, frame.features)) == decision_row(frame)


def test_a_view_comes_back_as_a_view_of_the_same_array():
    owner = np.arange(12, dtype=np.float32).reshape(3, 4)
    owner_again, part, flat = checkpoint.loads(checkpoint.dumps((owner, owner[1:, ::2], owner.reshape(-1))))
    flat[6] = 99.0
    assert owner_again[1, 2] == 99.0
    assert part[0, 1] == 99.0


class Villain:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize("data", [
    b"", b"nonsense", pickle.dumps(Villain()), bytes(checkpoint.dumps({"a": 1}))[:-3],
    b"\x80\x04\x8c\x0ck1edge.whole\x8c\tos.system\x93.",
    b"cbuiltins\neval\n.", b"cnumpy.testing._private.utils\nruncstring\n.",
])  # fmt: skip
def test_bytes_that_are_no_checkpoint_are_refused_and_nothing_is_run(data):
    with pytest.raises(CheckpointError):
        checkpoint.loads(data)
