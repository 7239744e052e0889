"""How strictly the tables of the configuration are read, and how one of their validators says no."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

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


def by_name(model: type[BaseModel], defaults: dict[str, dict[str, Any]]) -> Any:
    """The type of a table of tables, one for each name of the defaults, in each of which what is given stands over them."""
    def over_defaults(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        given = {name: defaults.get(name, {}) | each if isinstance(each, dict) else each for name, each in value.items()}
        return defaults | given

    table = TypedDict(f"{model.__name__}ByName", dict.fromkeys(defaults, model))
    table.__pydantic_config__ = STRICT
    return Annotated[table, BeforeValidator(over_defaults)]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` or nothing. Letter case does not count."""
    by_folded = {name.casefold(): name for name in known}
    close = get_close_matches(word[:100].casefold(), by_folded, n=1, cutoff=0.6)
    return f", did you mean {by_folded[close[0]]!r}?" if close else ""
