"""The bench measures what it says: its figures on announcements whose score is known."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("_beat_metrics", ROOT / "scripts/benches/_beat_metrics.py")
metrics = sys.modules["_beat_metrics"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(metrics)

TRUTH = np.arange(0.5, 60, 0.5)
IN_BAR = np.arange(len(TRUTH)) % 4 + 1


def said(due_s, lead_s=0.15, in_bar=None, number=None):
    bars = in_bar if in_bar is not None else np.zeros(len(due_s), int)
    numbers = number if number is not None else range(1, len(due_s) + 1)
    return [metrics.Announced(t - lead_s, t, n, int(b), 0.9) for t, n, b in zip(due_s, numbers, bars, strict=True)]


def figures(lines):
    return metrics.figures(TRUTH, IN_BAR, metrics.Run(lines, 60.0, 0.6, locks=1))


def test_a_perfect_tracker_has_perfect_figures():
    got = figures(said(TRUTH, in_bar=IN_BAR))
    assert [got[k] for k in ("f70", "f35", "cmlt", "amlt", "down_f", "light_f")] == [1.0] * 6
    assert got["lock_s"] == 0 and got["switches"] == 0 and got["corrections"] == 0
    assert got["cpu_ms_per_s"] == pytest.approx(10)


def test_the_light_shows_late_announcements_late():
    late = figures(said(TRUTH, lead_s=-0.02))
    assert late["f70"] == 1.0 and late["light_f"] == 0.0


def test_half_the_tempo_is_right_at_another_level_only():
    half = figures(said(TRUTH[::2]))
    assert half["f70"] == pytest.approx(2 / 3, abs=0.01)
    assert half["cmlt"] == 0.0 and half["amlt"] == 1.0


def test_a_correction_replaces_its_beat_and_counts_as_a_line():
    wrong = said(TRUTH + 0.1, lead_s=0.20)
    right = said(TRUTH, lead_s=0.05)
    both = figures(sorted(wrong + right, key=lambda line: line.heard_s))
    assert both["f70"] == 1.0
    assert both["f70_lines"] < 0.7
    assert both["corrections"] == 1.0


def test_a_correction_after_the_beat_is_too_late():
    lines = said(TRUTH + 0.1) + [metrics.Announced(t + 0.2, t, n) for n, t in enumerate(TRUTH, 1)]
    assert figures(sorted(lines, key=lambda line: line.heard_s))["f70"] == 0.0


def test_lock_is_four_right_beats_in_a_row():
    assert figures(said(TRUTH[10:]))["lock_s"] == pytest.approx(5.0)
    broken = np.sort(np.r_[TRUTH, TRUTH[:20:3] + 0.25])
    assert figures(said(broken))["lock_s"] > 8
    assert figures(said(TRUTH + 0.2))["lock_s"] == float("inf")


def test_switches_count_held_levels_only():
    doubled = np.arange(20.5, 40, 0.25)
    assert figures(said(np.r_[TRUTH[TRUTH < 20.4], doubled, TRUTH[TRUTH >= 40]]))["switches"] == 2
    assert figures(said(np.delete(TRUTH, 30)))["switches"] == 0


def test_phantoms_are_counted_where_there_is_no_beat():
    run = metrics.Run(said(np.arange(1, 11.0)), 30.0, 0.1)
    assert metrics.figures(np.empty(0), np.empty(0), run)["phantom_per_min"] == 20
    assert [hit for _, hit in metrics.judged(np.empty(0), run)] == [False] * 10


def test_agreement_with_the_reference_definitions():
    """Greedy cases where a beat could match two true ones: mir_eval's matching decides, one to one."""
    got = figures(said(np.sort(np.r_[TRUTH + 0.03, TRUTH - 0.03])))
    assert got["f70"] == pytest.approx(2 / 3, abs=0.01)
