"""Why a value is not what was asked for, in words for who wrote it.

Consumes one of pydantic's errors, emits what follows the name of the value in a sentence: "limit: must be at most 200".
"""

from __future__ import annotations

from pydantic_core import ErrorDetails

_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "literal_error": "must be {expected}",
    "list_type": "must be a list",
    "tuple_type": 'must be a list, as ["a", "b"] is',
    "too_short": "must have {min_length} or more items, not {actual_length}",
    "too_long": "must have at most {max_length} items, not {actual_length}",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "json_invalid": "is not JSON: {error}",
}
"""Of the kinds of fault that our messages and maps can have; what our own validators say is in our words already."""


def why(fault: ErrorDetails) -> str:
    """The words for it."""
    if fault["type"] not in _WORDS:
        return fault["msg"].removeprefix("Value error, ")
    facts = {name: f"{fact:.15g}" if isinstance(fact, float) else fact for name, fact in fault.get("ctx", {}).items()}
    return _WORDS[fault["type"]].format(**facts)
