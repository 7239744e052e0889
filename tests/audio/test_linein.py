"""The line input, heard through PortAudio and ALSA from a line that fails on command."""

import contextlib
import os
import signal
import time

import numpy as np
import pytest

from k1edge.audio.linein import BREATH_S, STALL_S
from tests.audio.conftest import RAMP, RATE_HZ, Stuck
from tests.sound import ATTEMPTS, as_pcm16

HOP = 480


def ramp(seconds=20, rate_hz=RATE_HZ):
    """Frames whose left value tells their position in the file (modulo RAMP) and whose right is its negative."""
    position = np.arange(seconds * rate_hz // RAMP * RAMP) % RAMP
    return np.column_stack((position, -position)).astype(np.int16)


@pytest.fixture
def line(wire_line):
    """On which a ramp is played over and over."""
    wire_line.plug(ramp())
    return wire_line


def undisturbed(captured):
    """The first of some captures during which the machine did not take the process away for longer than the ring; the last,
    if it always does."""
    for _ in range(ATTEMPTS):
        got = captured()
        if not got.overflows:
            break
    return got


def unstuck(captured):
    """The first of some captures that the machine did not hold up in the moment when the card went."""
    for _ in range(ATTEMPTS):
        with contextlib.suppress(Stuck):
            return captured()
    raise Stuck


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_capture_is_bit_exact_in_hops_of_10_ms(line, capture, rate_hz):
    got = undisturbed(lambda: capture(line, 1.0, rate_hz, 2).result())
    heard = np.round(got.samples.ravel() * 32768).astype(int)
    assert got.samples.shape[1] == rate_hz // 100
    assert len(got.samples) > 30
    np.testing.assert_array_equal(heard, -(np.arange(len(heard)) % RAMP))
    np.testing.assert_array_equal(got.start, np.arange(len(got.start)) * rate_hz // 100)
    assert got.counters == [[len(got.start), 0, 0]]
    assert (np.diff(got.arrived_ns) > 0).all()
    assert got.stderr == ""


def test_mono_is_the_mean_of_left_and_right(wire_line, capture):
    frames = np.random.default_rng(0).integers(-32768, 32767, (RATE_HZ, 2)).astype(np.int16)
    wire_line.plug(frames)
    got = undisturbed(lambda: capture(wire_line, 0.6, channel="mix").result())
    wanted = frames.astype(float).mean(axis=1) / 32768
    heard = got.samples.ravel()
    np.testing.assert_allclose(heard, wanted[: len(heard)], atol=1e-7)


def test_a_process_held_up_loses_samples_and_start_jumps_over_them(line, capture):
    running = capture(line).await_sound()
    time.sleep(0.7)
    os.kill(running.pid, signal.SIGSTOP)
    time.sleep(0.3)
    os.kill(running.pid, signal.SIGCONT)
    time.sleep(0.7)
    got = running.stop()
    ((_, overflows, lost),) = got.counters
    assert got.errors == []
    assert overflows >= 1
    assert lost == got.start[-1] + HOP - got.samples.size > 10 * HOP
    assert abs(got.offsets()[-1]) <= 2 * HOP


def test_a_reported_overrun_is_counted(line, capture):
    running = capture(line).await_sound()
    for number in range(3):
        time.sleep(0.3)
        line.fault(f"xrun {number}")
    time.sleep(0.3)
    got = running.stop()
    assert got.errors == []
    assert got.overflows >= 3
    assert abs(got.offsets()[-1]) <= 3 * HOP


def test_a_hole_that_nobody_reports_is_found_by_the_clock(line, capture):

    def with_a_hole():
        running = capture(line).await_sound()
        time.sleep(2.7)
        line.fault("hole 80")
        time.sleep(2.3)
        line.fault("run")
        return running.stop()

    got = undisturbed(with_a_hole)
    ((_, overflows, lost),) = got.counters
    assert got.errors == []
    assert lost >= 6 * HOP
    assert overflows or (lost <= 9 * HOP and abs(got.offsets()[-1]) <= 2 * HOP)


def test_a_short_pause_lets_the_loop_breathe_and_is_no_error(line, capture):

    def with_a_pause():
        running = capture(line).await_sound()
        line.fault("hole 110")
        time.sleep(0.5)
        line.fault("run")
        return running.stop()

    got = undisturbed(with_a_pause)
    assert got.nones >= 1
    assert got.errors == []


@pytest.mark.parametrize("fault", ["stall", "error", "unplug"])
def test_a_lost_card_is_an_error_in_time_and_reopens_when_it_is_back(line, capture, fault):

    def lost_and_back():
        running = capture(line).await_sound()
        line.fault(fault)
        try:
            running.await_loss()
        finally:
            line.fault("run")
        return running.await_sound().stop()

    got = unstuck(lost_and_back)
    device, reason, remedy, quiet = got.errors[0]
    assert device == "k1line"
    assert ("disconnected" if fault == "error" else "delivered nothing") in reason
    assert "reopened" in remedy
    assert quiet < STALL_S / BREATH_S, "as many waits in vain, and the one that was too many"
    assert (got.start == 0).sum() == 2
    # PortAudio itself says three lines when a device reports that it is gone; opening and closing say nothing.
    assert len(got.stderr.splitlines()) == (3 if fault == "error" else 0)


def test_a_card_that_dies_in_an_overrun_leaves_the_library_stuck_and_does_not_hang(line, capture):
    running = capture(line).await_sound()
    line.fault("dying")
    with pytest.raises(Stuck):
        running.await_loss()


def test_an_absent_card_is_named_with_what_is_there(line, capture):
    got = capture(line, 0.3, device="CODEC").result()
    assert got.errors[0][0] == "CODEC"
    assert "is not here; there is 'k1line'" in "; ".join(got.errors[0][1:3])


def test_a_rate_the_card_lacks_is_refused_with_the_one_it_has(wire_line, capture):
    wire_line.plug(ramp(), rate_hz=44_100)
    got = capture(wire_line, 0.3, rate_hz=48_000).result()
    assert got.errors[0][:3] == ["k1line", "does not run at 48000 Hz", "set rate_hz = 44100"]


def test_a_channel_the_card_lacks_is_refused(line, capture):
    got = capture(line, 0.3, channel=3).result()
    assert got.errors[0][1:3] == ["has no channel 3", "set channel to 1..2 or 'mix'"]


def test_a_silent_line_is_no_error(line, capture):
    line.fault("silence")
    got = capture(line, 0.6).result()
    assert got.errors == []
    assert not got.samples.any()


def test_a_file_played_once_is_followed_by_silence(wire_line, capture):
    wire_line.plug(ramp()[:RAMP], once=True)
    got = undisturbed(lambda: capture(wire_line, 1.1).result())
    heard = got.samples.ravel()
    assert heard[RAMP - 1] == np.float32((RAMP - 1) / 32768)
    assert not heard[RAMP:].any()


def test_the_journal_ties_samples_to_the_clock(wire_line, capture):
    wire_line.plug(as_pcm16(np.zeros(RATE_HZ)))
    got = capture(wire_line, 0.7).result()
    start = wire_line.starts()[-1]
    # A hop cannot arrive before its last sample was at the plug, and soon after it the earliest of them does.
    due_ns = start.monotonic_ns + (got.start + HOP - start.position) * 1_000_000_000 // RATE_HZ
    late_ns = got.arrived_ns - due_ns
    assert start.rate_hz == RATE_HZ
    assert -1_000_000 < late_ns.min() < 30_000_000
