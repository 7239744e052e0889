"""Each channel of a line, apart from the mix."""

import numpy as np
import pytest

from k1edge.audio.channels import Channels
from k1edge.frames import Channel

LEFT = np.sin(2 * np.pi * 200 * np.arange(480) / 48_000)
PAIR = np.full(2, 0.5, np.float32)


def heard(*hops):
    """Channels that have heard so many pairs (left, right)."""
    channels = Channels(PAIR)
    for pair in hops:
        channels.mixed(np.column_stack(pair).astype(np.float32).tobytes())
    return channels


def peaks(channels):
    return [each.peak for each in channels.since()]


def test_an_offset_is_no_sound_and_hides_none():
    assert peaks(heard((0.5 * LEFT, np.full(480, 0.005)))) == pytest.approx([0.5, 0.0], abs=1e-3)
    assert peaks(heard((0.07 * LEFT, 0.07 * LEFT - 0.08))) == pytest.approx([0.07, 0.07], abs=1e-3)


def test_full_scale_on_one_channel_is_counted_where_the_mix_is_far_from_it():
    left, right = heard((np.clip(4 * LEFT, -1, 1), 0.1 * LEFT)).since()
    assert left.clipped > 300 and right.clipped == 0


def test_what_was_told_is_not_told_again():
    channels = heard((np.ones(480), LEFT), (LEFT, 0.5 * LEFT))
    assert len(channels.since()) == 2
    assert channels.since() == (Channel(0.0, 0), Channel(0.0, 0))


def test_a_channel_alone_is_the_mix_and_says_no_more():
    assert Channels(np.array([0, 1], np.float32)).since() == ()
