"""What a K1 can show: refused by name in a configuration, mended with a count at run time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k1edge.device_facts import PARAMETERS, PATTERNS, TRANSITIONS
from k1edge.k1.contract.parameters import clamp, known, palette_id

tables = st.dictionaries(st.sampled_from([*PARAMETERS, "unknown"]), st.floats(), max_size=24)


def acceptable(name, value):
    limits = PARAMETERS.get(name)
    return limits is not None and limits.low <= value <= limits.high and (not limits.integer or value == int(value))


@given(tables)
def test_whatever_is_clamped_is_acceptable(table):
    mended, _ = clamp(table)
    assert all(acceptable(name, value) for name, value in mended.items())


@given(tables)
def test_every_change_is_counted_and_nothing_else(table):
    mended, changed = clamp(table)
    assert changed == sum(name not in mended or abs(mended[name] - value) > 1e-4 or value != value or not acceptable(
        name, value) for name, value in table.items())  # fmt: skip


@given(tables)
def test_clamping_twice_changes_nothing_more(table):
    mended, _ = clamp(table)
    assert clamp(mended) == (mended, 0)


def test_nan_becomes_the_default():
    assert clamp({"dithering": math.nan, "speed": math.nan}) == ({"dithering": 1.0, "speed": 0.5}, 2)


def test_every_default_is_in_its_own_range():
    assert all(acceptable(name, limits.default) for name, limits in PARAMETERS.items())


def test_names_that_do_not_exist_are_told_with_the_nearest():
    with pytest.raises(ValueError, match=r'^no pattern is called "beat_tunel"; did you mean "beat_tunnel"\?$'):
        known("pattern", "beat_tunel", PATTERNS)
    with pytest.raises(ValueError, match=r'^no transition is called "zzz"$'):
        known("transition", "zzz", TRANSITIONS)
    assert known("pattern", "pulse", PATTERNS) == "pulse"


@pytest.mark.parametrize(("palette", "number"), [("Lava", 23), ("lava", 23), (0, 0), (32, 32)])
def test_palettes_go_by_name_or_number(palette, number):
    assert palette_id(palette) == number


@pytest.mark.parametrize("palette", [-1, 33, True, "Larva"])
def test_a_palette_that_is_not_there_is_refused(palette):
    with pytest.raises(ValueError, match="palette"):
        palette_id(palette)
