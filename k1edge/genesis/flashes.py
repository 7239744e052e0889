"""How often the light turns within a second, of changes of which some may go either way.

Pure. Three flashes a second, the most that may be (WCAG 2.3.1, ITU-R BT.1702), are six runs of changes in one direction.
"""

from __future__ import annotations

WINDOW_MS = 1000.0

Change = tuple[float, int]
"""(time in ms, +1 brighter, -1 darker, 0 either)."""


def runs_per_window(changes: list[Change]) -> int:
    """The most runs of one direction that any WINDOW_MS has a part of, of changes sorted by time, whichever way those that may
    go either way have gone."""
    turns = _turns(changes)
    freed = _freed(changes, turns)
    most = runs = end = 0
    for first, (at, _) in enumerate(changes):
        while end < len(changes) and changes[end][0] < at + WINDOW_MS:
            runs += turns[end]
            end += 1
        most = max(most, runs + (not turns[first]) + (freed[first] < end))
        if end == len(changes):
            break  # later windows hold a part of this one
        runs -= turns[first]
    return most


def _turns(changes: list[Change]) -> list[bool]:
    """Whether each begins a run. One that may go either way is worst where it goes back; it begins one in any case where there
    is nothing to go back from."""
    turns, direction = [], 0
    for _, way in changes:
        goes = way or -direction
        turns.append(goes != direction or not goes)
        direction = goes
    return turns


def _freed(changes: list[Change], turns: list[bool]) -> list[int]:
    """For each, which later one begins a run only in windows that begin here; beyond the last = none does. A window that begins
    with one that may go either way has nothing to go back from, so that the next of a known way is another run."""
    none = after = len(changes)
    freed = [none] * none
    for place in range(none - 1, -1, -1):
        if changes[place][1]:
            after = none if turns[place] else place
        else:
            freed[place] = after
    return freed
