"""From form to look."""

from itertools import pairwise

import pytest

from k1edge.config import Settings
from k1edge.frames import BeatState, Macros, Section
from k1edge.genesis.choreography import STEP_S, Choreography
from k1edge.genesis.grid import Beat
from k1edge.genesis.structure import Form

HOP, RATE_HZ, BEAT = 441, 44_100, 22_050


def _form(label, beat=None, since=0):
    return Form(Section(label, since, 1.0, True), (), Macros(), beat)


def _beats(end, index):
    """The beat due within the hop that ends at `end`, of a steady 120 BPM from sample 0."""
    if end % BEAT >= HOP:
        return None
    number = end // BEAT
    return Beat(number, number * BEAT, number % 4 + 1, number // 4, BEAT, True)


@pytest.fixture
def show(fmt):
    """show([(label, seconds), ...]) -> [(end, look)], every time the look changes."""

    def show(parts):
        settings = Settings()
        stage, shown, end = Choreography(settings.looks, fmt, settings.genesis), [], 0
        for label, seconds in parts:
            for _ in range(int(seconds * 100)):
                end += HOP
                look = stage.process(_form(label, _beats(end, 0)), BeatState(end, 120.0, 0.0, 1.0, True))
                if not shown or look is not shown[-1][1]:
                    shown.append((end, look))
        return shown

    return show


def _brightness(look):
    return dict(look.parameters)["brightness"]


def test_a_section_gets_its_look_on_a_bar_line(show):
    end, look = next((end, look) for end, look in show([("silence", 1), ("verse", 5)]) if look.name == "verse")
    assert look.pattern == Settings().looks["verse"].pattern
    assert end % (4 * BEAT) < HOP


def test_silence_goes_dark_softly(show):
    shown = show([("verse", 10), ("silence", 6)])
    steps = [(end, _brightness(look)) for end, look in shown if end > 10 * RATE_HZ]
    assert steps[-1][1] == 0.0
    assert 0.9 * 3 <= (steps[-1][0] - 10 * RATE_HZ) / RATE_HZ <= 1.2 * 3
    levels = [level for _, level in steps]
    assert levels == sorted(levels, reverse=True)
    assert len(levels) >= 5


def test_steps_are_coalesced(show):
    ends = [end for end, _ in show([("verse", 10), ("silence", 6), ("drop", 20), ("silence", 2), ("drop", 3)])]
    assert all(b - a >= STEP_S * RATE_HZ - HOP for a, b in pairwise(ends))


def test_a_short_silence_returns_to_the_same_scene(show):
    shown = show([("verse", 10), ("silence", 1), ("verse", 2)])
    assert shown[-1][1].name == "verse"
    assert _brightness(shown[-1][1]) == Settings().looks["verse"].parameters["brightness"]


def test_the_same_look_is_the_same_object_while_nothing_changes(show):
    assert len(show([("verse", 30)])) <= 2
