"""What may be queued for analysis, and how that is worked off."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from k1edge.library.admission import MAX_FILE_BYTES, admit
from k1edge.library.worker import Limits

HEARD_SUFFIX = ".k1heard"
"""Of what was heard on the line: the inbox keeps it while it waits for its map."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Of one queue."""

    folder: Path
    """Nothing outside is ever opened."""
    command: list[str]
    """The analysis, to which the song and `--job OUTPUT` are appended."""
    max_file_bytes: int = MAX_FILE_BYTES
    limits: Limits = field(default_factory=Limits)
    heard: Path | None = None
    """Besides: where the edge keeps what it heard on its line."""
    work: Path | None = None
    """Where a map is drafted; None = beside the maps."""

    def admit(self, path: str | Path) -> Path:
        """The real path of a file that may be analysed. Raises `LibraryError`."""
        heard = self.heard and Path(path).is_relative_to(self.heard)
        return admit(path, self.heard if heard else self.folder, self.max_file_bytes)
