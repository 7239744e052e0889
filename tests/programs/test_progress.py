"""How far an analysis is, on a terminal that is smaller than what there is to say."""

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import termios
from pathlib import Path
from types import SimpleNamespace

import pytest

from k1edge.programs.progress import ProgressBars


def under_way(name):
    return SimpleNamespace(path=Path(name), state="processing", worker=SimpleNamespace(progress=0.5, stage="listening"))


class Terminal(io.StringIO):
    """Keeps what it is given; its size is that of a real one."""

    def __init__(self, handle, columns, lines):
        super().__init__()
        self.fileno = lambda: handle
        fcntl.ioctl(handle, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@pytest.fixture
def drawn():
    """What is drawn on a terminal of so many columns and lines, twice."""
    handles = pty.openpty()

    def draw(columns, lines, songs):
        bars = ProgressBars(terminal := Terminal(handles[1], columns, lines))
        bars.update(songs)
        bars._next_s = 0.0
        bars.update(songs)
        return terminal.getvalue()

    yield draw
    for handle in handles:
        os.close(handle)


def test_lines_that_are_wider_than_the_terminal_are_cut_off_by_it_and_none_is_left_over(drawn):
    screen = drawn(20, 24, [under_way("曲 " * 30), under_way("b.wav")])
    pictures = re.findall(r"\x1b\[\?7l(.*?)\x1b\[\?7h", screen, re.DOTALL)
    assert [picture.count("\n") for picture in pictures] == [3, 3]
    assert re.sub(r"\x1b\[\?7l.*?\x1b\[\?7h", "", screen, flags=re.DOTALL) == "\x1b[3A\x1b[0J", "all of it can be drawn over"


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_of_a_long_name_no_more_is_told_than_leaves_room_for_how_far_it_is(drawn, columns):
    (line, everything) = drawn(columns, 24, [under_way("long name " * 9), under_way("b.wav")]).split("\n")[:2]
    assert " 50%" in line.removeprefix("\x1b[?7l")[:columns]
    assert line.removeprefix("\x1b[?7l").index("█") == everything.index("█")


@pytest.mark.parametrize(("lines", "shown"), [(4, 3), (2, 1), (0, 23)])
def test_there_are_never_more_lines_than_the_terminal_has(drawn, lines, shown):
    screen = drawn(80, lines, [under_way(f"{number}.wav") for number in range(40)])
    assert screen.count("\n") == 2 * shown
    assert f"\x1b[{shown}A" in screen
    assert screen.count("0 of 40") == 2, "how far all of them are is never left out"


def test_a_batch_outlives_the_terminal_that_it_is_drawn_on():
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        bars, songs = ProgressBars(terminal), [under_way("a.wav"), under_way("b.wav")]
        bars.update(songs)
        os.close(ours)
        bars._next_s = 0.0
        bars.update(songs)
        bars.end([])
        with contextlib.suppress(OSError):  # what it still holds
            terminal.close()


def test_a_terminal_that_does_not_know_its_size_is_a_usual_one(drawn):
    songs = [under_way("the name of a long song.wav"), under_way("b.wav")]
    assert drawn(0, 0, songs).split("\n")[0] == drawn(80, 24, songs).split("\n")[0]
