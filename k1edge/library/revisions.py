"""New versions out of old ones: beats put right by hand, another version made current, two compared.

Consumes a `Library`; raises `LibraryError`, and `MapError` when the new beats make no valid map. Who did it is written down.
"""

from __future__ import annotations

from typing import Any

from k1edge.genesis.revision import difference, edited, with_beats
from k1edge.library.database import transaction
from k1edge.library.errors import Code, LibraryError
from k1edge.library.store import Library


def promote(library: Library, track_id: str, n: int, by: str) -> None:
    """Makes a version the current one."""
    song = library.read(track_id, n)
    with transaction(library.db):
        library.make_current(track_id, n, song)
        library.audit(by, "version.promote", track_id, f"v{n}")


def diff(library: Library, track_id: str, old: int, new: int) -> dict[str, Any]:
    """What changed between two versions, in numbers."""
    return difference(library.read(track_id, old), library.read(track_id, new))


def override(
    library: Library,
    track_id: str,
    *,
    by: str,
    note: str,
    beats_ms: list[float] | None = None,
    ops: list[dict[str, Any]] | None = None,
) -> int:
    """All beats anew, or operations on them (see `genesis.revision.edited`): a new current version; returns its number."""
    if (beats_ms is None) == (ops is None):
        raise LibraryError(Code.INVALID_REQUEST, "give either all beats or a list of operations")
    song = library.read(track_id)
    beats = edited(song.layers.rhythm.beat_grid_ms, ops) if beats_ms is None else beats_ms
    revised = with_beats(song, beats, {"by": by, "at_ms": library.now_ms(), "note": note})
    with transaction(library.db):
        n = library.add_version(track_id, revised, "override")
        library.audit(by, "beats.override", track_id, note)
    return n
