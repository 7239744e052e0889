import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.analysis import sections
from k1edge.analysis.rows import pulse
from k1edge.genesis.evidence import N_ROW
from k1edge.genesis.sections import LABELS, SectionFilter

SURE = 12.0
"""Logits between the label meant and the others."""
GAUSS_NEWTON_STEPS = 40


@functools.cache
def typical(label: str, stage: int) -> np.ndarray:
    """A small row that the model takes for the label in a stage, far before all else: by Gauss and Newton's steps."""
    model = SectionFilter()
    wanted = np.full(len(model._bias), -SURE / len(model._bias))
    wanted[stage * len(LABELS) + LABELS.index(label)] += SURE
    row = np.zeros(N_ROW)
    for _ in range(GAUSS_NEWTON_STEPS):
        units = model._hidden @ row + model._hidden_bias
        scores = model._matrix @ row + model._out @ np.maximum(units, 0) + model._bias
        slope = model._matrix + (model._out * (units > 0)) @ model._hidden
        slope, off = slope - slope.mean(axis=0), wanted - scores + scores.mean()
        row += 0.5 * np.linalg.lstsq(slope, off, rcond=1e-6)[0]  # a chorus has the drop's weights, but for rounding
    return row


def song(*parts: tuple[str, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, whether heard, and downbeats of sections of so many bars."""
    rows = [typical(label, min(n, 1) if n < 4 else 2) for label, bars in parts for n in range(4 * bars)]
    down = np.arange(len(rows)) % 4 == 0
    return np.array(rows), np.ones(len(rows), bool), down


def test_sections_begin_and_are_called_as_they_sound():
    found = sections.decode(*song(("intro", 8), ("build", 8), ("drop", 8), ("outro", 8)))
    assert [(part.first, part.label) for part in found] == [
        (0, "intro"), (32, "build"), (64, "drop"), (96, "outro"),
    ]  # fmt: skip
    assert all(0.5 < part.confidence <= sections.SUREST for part in found)


def test_a_section_longer_than_the_model_remembers_still_begins_where_it_began():
    found = sections.decode(*song(("intro", 8), ("verse", 70), ("outro", 8)))
    assert (found[0].label, found[-1].label, found[-1].first) == ("intro", "outro", 4 * 78)
    assert found[1].first == 32


def test_what_was_not_heard_says_nothing():
    rows, heard, down = song(("intro", 8))
    found = sections.decode(rows, np.zeros_like(heard), down)
    assert found[0].first == 0 and found[-1].last == len(rows)


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(0, 99))
def test_the_sections_of_any_rows_follow_each_other_without_a_gap(beats, seed):
    draw = np.random.default_rng(seed)
    found = sections.decode(draw.normal(-1, 2, (beats, N_ROW)), draw.random(beats) < 0.9, draw.random(beats) < 0.25)
    edges = [0, *(part.last for part in found)]
    assert [part.first for part in found] == edges[:-1] and edges[-1] == beats


def test_the_pulse_goes_on_where_there_are_no_beats():
    times = np.concatenate([np.arange(4, 8, 0.5), np.arange(12, 16, 0.5)])
    found, is_down = pulse(times, np.ones(len(times), bool), 20.0)
    assert np.diff(found) == pytest.approx(np.full(len(found) - 1, 0.5))
    assert 0 <= found[0] < 0.5 and 19 <= found[-1] < 20
    assert is_down.sum() == len(times)
