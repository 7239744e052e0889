"""Where each key stands in a TOML text.

**Consumes** the text of a valid TOML document. **Emits** `{key path: line}`, a path being the keys (str) and, within
arrays, the positions (int, from 0) that lead to a value; lines count from 1. One pass, run only when there is a fault
to report: `tomllib` gives no positions, and as it has accepted the text before, a small scanner is enough.
"""

from __future__ import annotations

import re
import tomllib

KeyPath = tuple[str | int, ...]

_SPACE = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY_PART = re.compile(r"""[ \t]*("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*""")
_STRING = re.compile(r'''"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*\'''', re.DOTALL)
_BARE = re.compile(r"[^,\]}\n#]*")


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line of every table, key and array element of a TOML text that `tomllib` accepts."""
    scan = _Scan(text.replace("\r\n", "\n"))
    scan.document()
    return scan.lines


def nearest_line(lines: dict[KeyPath, int], path: KeyPath) -> int | None:
    """The line of a key, or of the closest table around it that stands in the text."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


class _Scan:
    """A cursor over the text, and the lines found so far."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._counted_to, self._line = 0, 1
        self._array_lengths: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        while self._next():
            if self._next() == "[":
                table = self._header()
            else:
                self._value(self._key(table))

    def _next(self) -> str:
        """The next character that is neither blank nor comment; '' at the end."""
        self._skip(_SPACE)
        return self._text[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if found := pattern.match(self._text, self._at):
            self._at = found.end()

    def _note(self, path: KeyPath) -> None:
        """The cursor never moves back, so newlines are counted from where the last count ended."""
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        self.lines.setdefault(path, self._line)

    def _dotted(self) -> list[str]:
        """The parts of a key; leaves the cursor behind it."""
        parts: list[str] = []
        while found := _KEY_PART.match(self._text, self._at):
            quoted = found[1][0] in "\"'"
            parts.append(next(iter(tomllib.loads(f"{found[1]}=0"))) if quoted else found[1])
            self._at = found.end()
            if not self._text.startswith(".", self._at):
                break
            self._at += 1
        return parts

    def _header(self) -> KeyPath:
        """`[table]` or `[[array of tables]]`: the path that its keys stand under. A header is one line, so that its
        path can be noted after it."""
        width = 2 if self._text.startswith("[[", self._at) else 1
        self._at += width
        *parents, name = self._dotted()
        self._at += width
        path: KeyPath = ()
        for parent in parents:
            self._note((*path, parent))
            path = self._latest((*path, parent))
        path = (*path, name)
        if width == 2:
            self._note(path)
            self._array_lengths[path] = self._array_lengths.get(path, 0) + 1
            path = self._latest(path)
        self._note(path)
        return path

    def _latest(self, path: KeyPath) -> KeyPath:
        """The path itself, or that of its latest element where it is an array of tables."""
        return (*path, self._array_lengths[path] - 1) if path in self._array_lengths else path

    def _key(self, table: KeyPath) -> KeyPath:
        """`key =`, noted with every table that a dotted key opens."""
        self._skip(_SPACE)
        path = table
        for part in self._dotted():
            path = (*path, part)
            self._note(path)
        self._at += len("=")
        return path

    def _value(self, path: KeyPath) -> None:
        """Moves past a value and notes what stands inside it. Its nesting is kept in a list, not on the stack, which a
        deep document would exhaust."""
        inside: list[tuple[KeyPath, int | None]] = []
        while True:
            here = self._next()
            if here in ("[", "{"):
                inside.append((path, 0 if here == "[" else None))
                self._at += 1
            else:
                self._skip(_STRING if here in ("'", '"') else _BARE)
            while inside and self._next() in (",", "]", "}"):
                if self._next() != ",":
                    inside.pop()
                self._at += 1
            if not inside:
                return
            path, position = inside[-1]
            if position is None:
                path = self._key(path)
            else:
                inside[-1] = (path, position + 1)
                path = (*path, position)
                self._note(path)
