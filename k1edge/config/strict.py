"""How strictly the tables of the configuration are read, and how one of their validators says no."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import ConfigDict
from pydantic_core import PydanticCustomError

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
"""No unknown key, no "44100" for 44100, no nan; and nothing changes once it is loaded."""

REFUSED = "refused"
"""The type of a validator's own error, which carries its words with it."""


def refusal(problem: str, remedy: str = "", key: str = "") -> PydanticCustomError:
    """An error to raise in a validator.

    Without `remedy` the allowed values of the key are named. `key` is the key to blame, where it is a sibling of the
    one that was being validated.
    """
    return PydanticCustomError(REFUSED, "{problem}", {"problem": problem, "remedy": remedy, "key": key})


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` or nothing. Letter case does not count."""
    by_folded = {name.casefold(): name for name in known}
    close = get_close_matches(word[:100].casefold(), by_folded, n=1, cutoff=0.6)
    return f", did you mean {by_folded[close[0]]!r}?" if close else ""
