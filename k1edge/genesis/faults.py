"""What is wrong with a Genesis Map, and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from pydantic import ValidationError

from k1edge.unfit import why


@dataclass(frozen=True, slots=True)
class MapFault:
    """One broken rule."""

    path: str
    """JSON path; `$` is the whole document."""
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class MapError(ValueError):
    """A document that is not a valid Genesis Map, with every fault found (at least one)."""

    def __init__(self, faults: Iterable[MapFault]) -> None:
        self.faults = tuple(faults)
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        super().__init__(f"{self.faults[0]}{more}")

    @classmethod
    def of(cls, errors: ValidationError) -> Self:
        """What a model found."""
        found = errors.errors(include_url=False, include_input=False)
        return cls(MapFault(_json_path(fault["loc"]), why(fault)) for fault in found)


def _json_path(location: tuple[int | str, ...]) -> str:
    """`("layers", "bass", 3)` as `$.layers.bass[3]`."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
