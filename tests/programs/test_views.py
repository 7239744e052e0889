"""What stands beside the light of a virtual K1 in a terminal."""

from __future__ import annotations

import io
import re
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from k1edge.k1.simulator import VirtualK1
from k1edge.k1.terminal import Depth
from k1edge.programs import views
from k1edge.programs.views import LiveView
from tests.brokers import PATIENCE_S, eventually
from tests.failing import raising

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


BLACK = np.zeros((160, 3), np.uint8)


class Terminal(io.StringIO):
    """It reads while it is told to."""

    def __init__(self):
        super().__init__()
        self.reads, self.frames, self.gone = threading.Event(), 0, False
        self.reads.set()

    def write(self, text):
        assert self.reads.wait(PATIENCE_S)
        if self.gone:
            raise BrokenPipeError
        self.frames += text.startswith("\x1b[H")
        return super().write(text)


@pytest.fixture
def terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(views, "sys", SimpleNamespace(stdout=terminal))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "10")
    return terminal


@pytest.fixture
def k1():
    k1 = VirtualK1("club", "k1-bar", 0.0)
    k1.segment = "breakdown"
    return k1


def screen(k1, monkeypatch, *, columns=80, trouble="", **light):
    """The first and the last line of a screen."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stdout", written)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "10")
    view = LiveView(Depth.MONO)
    view.tell(trouble)
    view.paint(replace(k1.show(0.0), **light), BLACK, k1)
    lines = ESCAPES.sub("", written.getvalue()).split("\n")
    return lines[0].rstrip(), lines[-1].rstrip()


def test_a_k1_that_is_led_before_the_first_beat_has_no_tempo(k1, monkeypatch):
    head, _ = screen(k1, monkeypatch, led=True, bpm=0.0)
    assert head.startswith(" k1-bar  ○   --  bpm  the edge leads  breakdown  ")
    head, _ = screen(k1, monkeypatch, led=True, bpm=98.04)
    assert head.startswith(" k1-bar  ○  98.0 bpm  the edge leads  breakdown  ")


def test_a_k1_on_its_own_microphone_has_no_section(k1, monkeypatch):
    head, _ = screen(k1, monkeypatch, led=False)
    assert "on its own microphone" in head and "breakdown" not in head


@pytest.mark.parametrize("trouble", ["", "Connection refused"])
def test_in_a_narrow_terminal_who_leads_and_how_to_leave_are_not_cut_off(k1, monkeypatch, trouble):
    head, foot = screen(k1, monkeypatch, columns=40, trouble=trouble, led=True)
    assert "the edge leads" in head
    assert foot.startswith(" Ctrl-C ends  ") and (trouble or "0 beats shown") in foot


def test_in_a_wide_terminal_the_words_stand_where_the_light_does(k1, monkeypatch):
    head, foot = screen(k1, monkeypatch, columns=200)
    assert head.startswith(" " * 20 + "k1-bar") and foot.startswith(" " * 20 + "Ctrl-C")


def test_refused_commands_are_told_once_there_are_any(k1, monkeypatch):
    assert "refused" not in screen(k1, monkeypatch)[1]
    k1.counters.rejected = 3
    assert screen(k1, monkeypatch)[1].endswith("3 commands refused")


def test_a_terminal_that_reads_nothing_holds_up_no_k1_and_sees_the_newest_frame_later(terminal, k1):
    with LiveView(Depth.MONO) as view:
        terminal.reads.clear()
        for frame in range(1000):
            view.draw(replace(k1.show(float(frame)), led=True, bpm=60.0 + frame), BLACK, k1)
        terminal.reads.set()
        eventually(lambda: "1059.0 bpm" in terminal.getvalue())
    assert terminal.frames <= 3


def test_a_terminal_that_takes_its_time_leaves_half_of_it_to_the_k1(terminal, k1, monkeypatch):
    clock, slept = iter(range(1000)), []
    monkeypatch.setattr(views, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=slept.append))
    with LiveView(Depth.MONO) as view:
        view.draw(k1.show(0.0), BLACK, k1)
        eventually(lambda: slept)
    assert slept == [1]


def test_a_terminal_that_is_gone_ends_what_is_shown_there(terminal, k1):
    with LiveView(Depth.MONO) as view:
        terminal.gone = True
        with pytest.raises(BrokenPipeError):
            eventually(lambda: view.draw(k1.show(0.0), BLACK, k1))
        terminal.gone = False


def test_where_no_thread_is_granted_the_terminal_is_left_as_it_was(terminal, monkeypatch):
    monkeypatch.setattr(views, "Errand", raising(OSError("no thread")))
    with pytest.raises(OSError, match="no thread"), LiveView(Depth.MONO):
        pass
    assert terminal.getvalue() == ""
