"""How `--help` stands in a terminal of any width.

Consumes the texts of programs: paragraphs; lines that begin with two blanks, which are commands or what there is to choose
from; behind three blanks, what a line is for. Emits lines that fit, but for commands, which stay whole: they are copied.
"""

from __future__ import annotations

import argparse
import re
import textwrap

LEAST_COMMENT = 24
"""Columns that what a line is for needs beside it; else it goes below."""
BELOW, HANGING = " " * 6, " " * 10


class Layout(argparse.HelpFormatter):
    """As argparse has it, but for paragraphs and examples, and with room for the longest of the programs."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if action.nargs == argparse.PARSER:  # what is chosen from stands two levels further in, which argparse forgets
            longest = max(map(len, action.choices or ()), default=0)
            self._action_max_length = max(self._action_max_length, longest + 2 * self._indent_increment)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled: list[str] = []
        for listed, lines in _runs(text.strip("\n").split("\n")):
            if listed:
                for line in lines:
                    filled += _listed(line, width)
            else:
                filled += textwrap.wrap(" ".join(lines), width) or [""]
        return "\n".join(filled)


def _runs(lines: list[str]) -> list[tuple[bool, list[str]]]:
    """Lines of a paragraph together, with False; what is listed, and what is said before a list, line by line."""
    runs: list[tuple[bool, list[str]]] = []
    for line in lines:
        listed = line.startswith("  ")
        if runs and line and not listed and runs[-1] != (False, [""]) and not runs[-1][0]:
            runs[-1][1].append(line)
        else:
            runs.append((listed, [line]))
    return runs


def _listed(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    command, gap, comment = re.fullmatch(r"(\s+.*?)(?:(\s{3,})(\S.*))?", line).groups("")
    column = len(command + gap)
    if comment and column + LEAST_COMMENT <= width:
        return textwrap.wrap(comment, width, initial_indent=command + gap, subsequent_indent=" " * column)
    below = textwrap.wrap(comment, width, initial_indent=BELOW, subsequent_indent=BELOW)
    if re.match(r"  ([A-Z]+=\S+ )?k1edge ", command):
        return [command, *below]
    hanging = BELOW if command.startswith(BELOW) else HANGING
    return [*textwrap.wrap(command, width, subsequent_indent=hanging), *below]
