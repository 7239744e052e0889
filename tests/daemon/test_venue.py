"""What a room has taught is there again after a restart, and costs few writes."""

from __future__ import annotations

import json

import pytest

from k1edge.beat.prior import TempoPrior
from k1edge.config import BeatSettings
from k1edge.daemon.venue import NAME, WRITE_EVERY_S, Venue

SETTINGS = BeatSettings(prior_bpm=120.0, prior_octaves=0.75)
BROAD = TempoPrior(((120.0, 0.75, 1.0),))


@pytest.fixture
def written(monkeypatch):
    """Contents of every write, none of which reaches a disk."""
    contents = []
    monkeypatch.setattr("k1edge.daemon.venue._write", lambda path, content: contents.append(content))
    return contents


def test_a_lesson_is_known_after_a_restart(tmp_path):
    venue, taught = Venue(tmp_path, SETTINGS), BROAD.taught(174.0).taught(90.0)
    venue.process(taught, 0.0)
    venue.close()
    again = Venue(tmp_path, SETTINGS).prior
    assert again.density(174.0) == pytest.approx(taught.density(174.0))
    assert again == taught


def test_a_room_that_was_taught_nothing_writes_nothing(tmp_path):
    venue = Venue(tmp_path, SETTINGS)
    for second in range(1000):
        venue.process(venue.prior, float(second))
    venue.close()
    assert not list(tmp_path.iterdir())


def test_many_lessons_in_a_minute_are_few_writes_and_the_last_is_not_lost(tmp_path, written):
    venue, prior = Venue(tmp_path, SETTINGS), BROAD
    for second in range(50):
        prior = prior.taught(100.0 + second)
        venue.process(prior, float(second))
    venue.process(prior, WRITE_EVERY_S)
    venue.close()
    assert len(written) == 2
    assert json.loads(written[-1])["lessons"] == [list(lesson) for lesson in prior.components[1:]]


def test_a_lesson_just_before_the_end_is_kept(tmp_path):
    venue = Venue(tmp_path, SETTINGS)
    venue.process(BROAD.taught(130.0), 0.0)
    last = BROAD.taught(130.0).taught(87.0)
    venue.process(last, 1.0)
    venue.close()
    assert Venue(tmp_path, SETTINGS).prior == last


def test_a_new_configuration_moves_the_broad_part_and_keeps_the_lessons(tmp_path):
    venue = Venue(tmp_path, SETTINGS)
    venue.process(BROAD.taught(174.0), 0.0)
    venue.close()
    moved = Venue(tmp_path, BeatSettings(prior_bpm=90.0, prior_octaves=0.5)).prior
    assert moved.components[0][:2] == (90.0, 0.5)
    assert moved.components[1:] == BROAD.taught(174.0).components[1:]


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"\xff\xfe", b'{"lessons": 3}', b'{"lessons": [[120, 0.1]]}', b'{"lessons": [[120, 0.1, NaN]]}',
    b'{"lessons": [[-120, 0.1, 0.2]]}', b'{"lessons": [[120, 0.1, 1.0]]}', b'{"lessons": [[120, 0.1, "x"]]}',
    b'{"lessons": [[120, 0.1, 1e999]]}', b'{"lessons": null}',
])  # fmt: skip
def test_a_file_that_holds_anything_else_counts_as_none(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    assert Venue(tmp_path, SETTINGS).prior == BROAD


def test_a_folder_that_cannot_be_written_is_lived_without(tmp_path):
    (tmp_path / "state").write_text("not a folder")
    venue = Venue(tmp_path / "state", SETTINGS)
    venue.process(BROAD.taught(174.0), 0.0)
    venue.close()
    assert venue.prior == BROAD.taught(174.0)
