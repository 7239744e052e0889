"""`--help` in terminals of any width."""

from __future__ import annotations

import argparse

import pytest

from k1edge.__main__ import PROGRAMS
from k1edge.programs.layout import Layout
from tests.in_terminal import told

TEXT = """\
examples:
  k1edge run                  as the service does, until it is stopped by somebody
  k1edge run --source a-song-of-a-long-name.wav             a file in place of the line
said in other words

exit code: 0 stopped, or the file has ended; 66 the sound
cannot be read"""


def laid_out(width, text=TEXT):
    parser = argparse.ArgumentParser("k1edge", formatter_class=lambda prog: Layout(prog, width=width), epilog=text)
    return parser.format_help().partition("exit\n\n")[2].rstrip("\n").split("\n")


def test_paragraphs_are_filled_and_what_a_command_is_for_stays_beside_it_or_goes_below():
    assert laid_out(60) == [
        "examples:",
        "  k1edge run                  as the service does, until it",
        "                              is stopped by somebody",
        "  k1edge run --source a-song-of-a-long-name.wav",
        "      a file in place of the line",
        "said in other words",
        "",
        "exit code: 0 stopped, or the file has ended; 66 the sound",
        "cannot be read",
    ]


def test_where_there_is_room_nothing_is_broken():
    assert laid_out(100)[:4] == TEXT.split("\n")[:4]
    assert laid_out(100)[5] == "exit code: 0 stopped, or the file has ended; 66 the sound cannot be read"


@pytest.mark.parametrize("program", ["", *PROGRAMS, "map show", "config rollback"])
def test_nothing_but_a_command_that_can_be_copied_is_wider_than_a_terminal(capsys, monkeypatch, program):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = told(capsys, *program.split(), "--help")
    assert [line for line in out.split("\n") if len(line) > 80 and not line.startswith("  k1edge ")] == []


def test_every_program_has_its_purpose_beside_it(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = told(capsys, "--help")
    for program, purpose in PROGRAMS.items():
        assert f"\n    {program:<9}  {purpose[:40]}" in out
