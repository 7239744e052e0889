"""Pictures in a terminal: exact where it has the colours, honest where it has not."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k1edge.k1.terminal import Depth, Screen, bar, depth, fit, picture

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, Depth.TRUE),
        ({"TERM": "xterm-direct"}, Depth.TRUE),
        ({"TERM": "xterm-256color"}, Depth.INDEXED),
        ({"TERM": "vt100"}, Depth.MONO),
        ({"TERM": "xterm-256color", "COLORTERM": "24bit", "NO_COLOR": "1"}, Depth.MONO),
        ({"TERM": "dumb"}, Depth.LINES),
        ({}, Depth.LINES),
    ],
)
def test_the_depth_is_what_the_terminal_says_of_itself(environ, expected):
    assert depth(Terminal(), environ) is expected


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", Depth.TRUE), ("ascii", Depth.MONO), ("latin-1", Depth.MONO)])
def test_a_terminal_that_lacks_the_half_block_has_no_picture_of_them(encoding, expected):
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    stream.isatty = lambda: True
    assert depth(stream, {"TERM": "xterm", "COLORTERM": "truecolor"}) is expected


def test_a_pipe_gets_lines():
    assert depth(io.StringIO(), {"TERM": "xterm-256color"}) is Depth.LINES


@given(st.integers(-3, 400))
def test_a_strip_fits_any_width_and_stays_symmetric(columns):
    half = np.arange(240, dtype=np.uint8).reshape(80, 3)
    strip = np.concatenate([half[::-1], half])
    fitted = fit(strip, columns)
    assert fitted.shape == (max(1, min(columns, 160)), 3)
    assert np.abs(fitted.astype(int) - fitted[::-1]).max() <= 4 + 600 // len(fitted)
    assert abs(fitted.astype(float).mean() - strip.mean()) < 4 + 60 / len(fitted)


@given(st.integers(1, 12), st.integers(1, 30), st.sampled_from([Depth.TRUE, Depth.INDEXED, Depth.MONO]), st.integers(0, 99))
def test_every_line_is_as_wide_as_the_picture(lines, columns, colours, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (2 * lines, columns, 3), np.uint8)
    drawn = picture(pixels, colours)
    assert [len(ESCAPES.sub("", line)) for line in drawn] == [columns] * lines


def test_true_colours_are_written_as_they_are_and_only_when_they_change():
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, :] = (10, 20, 30)
    (line,) = picture(pixels, Depth.TRUE)
    assert line == "\x1b[38;2;10;20;30m\x1b[48;2;0;0;0m▀▀▀\x1b[0m"


def test_256_colours_come_from_the_cube():
    pixels = np.zeros((2, 1, 3), np.uint8)
    pixels[0] = (255, 0, 0)
    assert picture(pixels, Depth.INDEXED) == ["\x1b[38;5;196m\x1b[48;5;16m▀\x1b[0m"]


def test_without_colours_brighter_is_denser():
    pixels = np.repeat(np.linspace(0, 255, 10).astype(np.uint8)[None, :, None], 2, axis=0).repeat(3, axis=2)
    assert picture(pixels, Depth.MONO) == [" .:-=+*#%@"]


@given(st.floats(allow_nan=False), st.integers(1, 60))
def test_a_bar_keeps_its_width_whatever_it_shows(share, columns):
    assert len(bar(share, columns)) == columns


def test_a_bar_shows_eighths():
    assert bar(0.5, 4) == "██  "
    assert bar(3 / 32, 4) == "▍   "
    assert bar(1.0, 4) == "████"


def test_a_screen_is_given_back_even_after_an_error():
    stream = Terminal()
    with pytest.raises(RuntimeError), Screen(stream) as screen:
        screen.show(["light"] * 200)
        raise RuntimeError
    assert stream.getvalue().startswith("\x1b[?1049h\x1b[?25l")
    assert stream.getvalue().endswith("\x1b[?25h\x1b[?1049l")
    assert stream.getvalue().count("light") == screen.size.lines
