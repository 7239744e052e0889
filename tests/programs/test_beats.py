"""`k1edge beats FILE`, run as a person runs it."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from k1edge.audio import synth
from tests.beat.streams import RATE_HZ, play
from tests.brokers import PATIENCE_S
from tests.in_terminal import told

HEADER = ["announced_s", "due_s", "number", "beat_in_bar", "bpm", "confidence"]


@pytest.mark.parametrize("engine", ["bar_pointer", "aubio"])
def test_every_announcement_is_a_line(tmp_path, engine):
    sound = synth.four_on_the_floor(126, 14)
    path = tmp_path / "dance.wav"
    soundfile.write(path, sound.samples, sound.rate_hz, subtype="FLOAT")
    command = [sys.executable, "-m", "k1edge", "beats", path, "--engine", engine]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S)
    assert done.returncode == 0, done.stderr
    head, *rows = (line.split("\t") for line in done.stdout.splitlines())
    assert head == HEADER
    announced, due, number, in_bar, bpm, confidence = np.array(rows, float).T
    assert len(rows) > 8
    assert (due - announced >= 0.099).all() and (np.diff(announced) >= 0).all() and (np.diff(number) >= 0).all()
    assert ((bpm > 54) & (bpm < 216)).all() and ((confidence >= 0) & (confidence <= 1)).all() and (in_bar >= 0).all()
    heard = [state for state in play(sound.samples, engine=engine).states if state.announced]
    assert rows == [[f"{state.end / RATE_HZ:.3f}", f"{event.due / RATE_HZ:.4f}", str(event.number), str(event.in_bar),
                     f"{state.tempo_bpm:.2f}", f"{event.confidence:.3f}"] for state in heard for event in [state.announced]]


def test_a_lead_out_of_range_is_refused(capsys):
    code, _, said = told(capsys, "beats", "any.wav", "--lead-ms", "20")
    assert code == 2 and "100..400" in said
