"""The line input behind a sound server into which another program plays."""

import subprocess
import sys
import time

import numpy as np
import soundfile

from k1edge.audio import synth
from tests.brokers import PATIENCE_S
from tests.sound import in_a_quiet_moment

RATE_HZ = 44_100


def onsets_s(samples):
    """Where a silent line begins to sound: first sample above a tenth of full scale after 100 ms of less, s."""
    loud = np.flatnonzero(np.abs(samples) > 0.1)
    first = np.r_[True, np.diff(loud) > RATE_HZ // 10] if len(loud) else []
    return loud[first] / RATE_HZ


def test_clicks_that_another_program_plays_arrive_on_time(pulse_line, capture, tmp_path):
    sound = synth.clicks(120, 3.0)
    soundfile.write(tmp_path / "clicks.wav", sound.samples, RATE_HZ)
    wanted_s = sound.truth.beats_s

    def play_and_listen():
        running = capture(pulse_line, 30, RATE_HZ, "mix").await_sound()
        pulse_line.play(tmp_path / "clicks.wav").wait(PATIENCE_S)
        time.sleep(0.5)
        got = running.stop()
        heard_s = onsets_s(got.samples.ravel())
        assert got.errors == []
        assert len(heard_s) == len(wanted_s)
        np.testing.assert_allclose(heard_s - heard_s[0], wanted_s - wanted_s[0], atol=0.002)
        assert got.counters[0][1:] == [0, 0]

    in_a_quiet_moment(play_and_listen)


def test_a_sound_server_that_dies_is_an_error_and_its_return_is_noticed(pulse_line, capture):
    running = capture(pulse_line, 30, RATE_HZ, "mix").await_sound()
    pulse_line.stop()
    pulse_line.start()
    got = running.await_sound().stop()
    assert got.errors[0][0] == "k1line"
    assert got.counters[0][0] > 0
    assert got.counters[-1][0] > 0
    assert (got.start == 0).sum() >= 2


PLAY_AND_LISTEN = """
import time
from types import SimpleNamespace
from k1edge.audio import synth
from k1edge.audio.linein import LineIn
from k1edge.audio.lineout import Playback
line = LineIn(SimpleNamespace(device="k1line", rate_hz=44100, channel="mix"))
blocks = iter(line)
while next(blocks) is None:
    pass
playback = Playback(synth.clicks(120, 2.5).samples, 44100)
until, loud = time.monotonic() + 3.2, 0
while time.monotonic() < until:
    block = next(blocks)
    loud += block is not None and abs(block.samples).max() > 0.1
playback.close()
line.close()
print(int(loud))
"""


def test_what_is_played_on_the_default_output_is_heard_on_the_line(pulse_line):
    def play_and_listen():
        done = subprocess.run([sys.executable, "-c", PLAY_AND_LISTEN], env=pulse_line.env, capture_output=True, text=True,
                              timeout=PATIENCE_S, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert 4 <= int(done.stdout) <= 12, "four clicks of 10 ms, each in one to three hops"

    in_a_quiet_moment(play_and_listen)


def test_playing_without_an_output_says_so(wire_line):
    wire_line.plug(np.zeros((4410, 2), np.int16))
    program = "import numpy\nfrom k1edge.audio.lineout import Playback\nPlayback(numpy.zeros(4410, 'f'), 44100)"
    done = subprocess.run([sys.executable, "-c", program], env=wire_line.env, capture_output=True, text=True, timeout=60)
    assert "AudioError: output: cannot play" in done.stderr
    assert "leave out --play" in done.stderr
