"""How often the light turns within a second, of changes of which some may go either way.

Pure. Three flashes a second, the most that may be (WCAG 2.3.1, ITU-R BT.1702), are six runs of changes in one direction.
"""

from __future__ import annotations

from itertools import islice

WINDOW_MS = 1000.0

Change = tuple[float, int]
"""(time in ms, +1 brighter, -1 darker, 0 either)."""


def runs_per_window(changes: list[Change]) -> int:
    """The most runs of one direction that any WINDOW_MS has a part of, of changes sorted by time, whichever way those that may
    go either way have gone."""
    most = 0
    for first, (at, _) in enumerate(changes):
        most = max(most, _runs_from(changes, first))
        if changes[-1][0] < at + WINDOW_MS:
            break  # later windows hold a part of this one
    return most


def _runs_from(changes: list[Change], first: int) -> int:
    """Those of the window that begins with this change. One that may go either way is worst where it goes back; the first has
    nothing to go back from, so what follows it is another run."""
    direction = runs = 0
    for at, way in islice(changes, first, None):
        if at >= changes[first][0] + WINDOW_MS:
            break
        way = way or -direction
        runs += way != direction or not way
        direction = way
    return runs
