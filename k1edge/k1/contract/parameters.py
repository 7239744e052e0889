"""Names and numbers of a K1 checked by hand: what a request or a look asks for, against what a K1 can show.

Consumes names and numbers; emits faults (a request is refused) or clamped values with a count (at run time they are
mended). Addressed by id, never by index: indices move between firmware builds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from k1edge.device_facts import PALETTES, PARAMETERS, ParameterRange

DECIMALS = 4
"""Of a parameter on the wire: finer than an 8-bit LED can show, and 22 of them stay far below 1 KB."""


def known(kind: str, name: str, names: Sequence[str]) -> str:
    """The name, if it is one of these. Raises ValueError with the nearest."""
    if name in names:
        return name
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    raise ValueError(f'no {kind} is called "{name}"' + (f'; did you mean "{near[0]}"?' if near else ""))


def palette_id(palette: int | str) -> int:
    """Id of a palette given by id or by name, in any case. Raises ValueError saying what is wrong."""
    if isinstance(palette, int):
        if isinstance(palette, bool) or not 0 <= palette < len(PALETTES):
            raise ValueError(f"palette id {palette} is outside 0..{len(PALETTES) - 1}")
        return palette
    folded = {name.casefold(): name for name in PALETTES}
    return PALETTES.index(known("palette", folded.get(palette.casefold(), palette), PALETTES))


def clamp(parameters: Mapping[str, float]) -> tuple[dict[str, float], int]:
    """What a K1 will accept, and how many values had to be changed or left out to get there.

    Unknown names are left out, numbers beyond the range are moved to its end, NaN becomes the default.
    """
    mended: dict[str, float] = {}
    changed = 0
    for name, value in parameters.items():
        limits = PARAMETERS.get(name)
        if limits is None:
            changed += 1
            continue
        number = _within(limits, value)
        changed += number != value
        mended[name] = round(number, DECIMALS)
    return mended, changed


def _within(limits: ParameterRange, value: float) -> float:
    if math.isnan(value):
        return limits.default
    inside = min(max(value, limits.low), limits.high)
    return float(round(inside)) if limits.integer else float(inside)
