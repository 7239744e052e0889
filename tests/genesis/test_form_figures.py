"""What the engine is to find in songs that are known: drops, builds, boundaries, by the figures of `scripts/bench structure`.

Eight of its arrangements, with the beats of a tracker that is never wrong: what this loses, no better tracker gives back.
"""

import importlib
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from k1edge.audio.arrangement import arrangement
from k1edge.config import GenesisSettings
from k1edge.frames import StreamFormat
from k1edge.genesis.structure import Structure
from k1edge.programs.events import decisions
from tests.genesis.conftest import Metronome, frames_of

BENCHES = str(Path(__file__).parents[2] / "scripts/benches")
sys.path.append(BENCHES)
bench = importlib.import_module("structure")
sys.path.remove(BENCHES)

SEEDS = range(100, 108)
"""26 drops, some of them after a silent bar, some false ones, and sections in half time."""


def decided(seed):
    """How long this song is, what was decided about it, and its truth."""
    song = arrangement(seed)
    fmt, truth = StreamFormat(song.rate_hz), song.truth
    tracker, structure = Metronome(truth.beats_s, truth.downbeats_s, truth.bpm, fmt), Structure(GenesisSettings(), fmt)
    forms = ((frame.end, structure.process(frame, tracker.state(frame.end))) for frame in frames_of(song.samples, fmt))
    return song.duration_s, list(decisions(forms, fmt)), truth


@pytest.fixture(scope="module")
def songs():
    """Each core takes one after the other: half an hour of music is heard."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as cores:
        return [(bench.Heard(seconds, found), truth) for seconds, found, truth in cores.map(decided, SEEDS)]


def test_drops_are_called_on_their_first_beat_and_nothing_else_is_one(songs):
    figures = bench.drops(songs)
    assert figures["true"] > 20
    assert figures["precision"] >= 0.95
    assert figures["recall"] >= 0.95
    assert figures["delay_p95"] <= 0.25


def test_builds_are_known_two_bars_before_their_drop(songs):
    assert bench.builds(songs) >= 0.95


def test_sections_begin_where_they_do_and_are_decided_within_a_bar_or_two(songs):
    assert bench.boundaries(songs, decided=False) >= 0.95
    assert bench.boundaries(songs, decided=True) >= 0.9
