"""The flight recorder: what is kept, how it is written, and what is read of it."""

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.config import Settings
from k1edge.daemon import recorder
from k1edge.daemon.blackbox import BlackBox
from k1edge.daemon.recorder import MOST_NOTED, STRETCHES, Recorder, as_features, decision_row, feature_row, read, save
from k1edge.live import checkpoint
from k1edge.pipeline import Pipeline
from tests.music import FMT, announcement, frame


@pytest.fixture
def box():
    """Keeps six seconds."""
    return Recorder(minutes=0.1)


@pytest.fixture
def flight(box):
    """A recording of one hop."""
    box.begin(lambda memory: b"state")
    box.add(frame(100))
    return box


def test_only_the_last_minutes_are_kept_and_never_less(box):
    hops = 0
    for hop in range(1, 5000):
        if box.wants_checkpoint:
            box.begin(lambda memory: b"state")
        box.add(frame(hop))
        kept = sum(s.used for s in box._stretches)
        hops = max(hops, kept)
        assert kept >= min(hop, 600 - 600 // STRETCHES)
    assert hops <= 600 + 600 // STRETCHES


def hear(box, hops, name=b"state"):
    """A new stream, for so long."""
    box.begin(lambda memory: name)
    for hop in range(hops):
        if box.wants_checkpoint:
            box.begin(lambda memory: name)
        box.add(frame(hop))


def kept(box):
    return sum(stretch.used for stretch in box._stretches)


def test_streams_that_break_off_at_once_do_not_cost_the_minutes_before_them(box):
    hear(box, 600)
    for _ in range(14):
        hear(box, 10)
        assert kept(box) >= 600


def test_what_was_heard_longer_ago_than_is_kept_goes_however_short_the_streams_since(box):
    hear(box, 600, b"yesterday")
    for _ in range(130):
        hear(box, 10, b"today")
    assert {stretch.checkpoint for stretch in box._stretches} == {b"today"}


def test_a_row_is_the_frame_it_was():
    original = frame(3, announced=announcement(4, 0.5))
    box = Recorder(minutes=0.01)
    box.begin(lambda memory: b"")
    box.add(original)
    again = as_features(box._stretches[0].features[0])
    for one, other in zip(feature_row(again), feature_row(original.features), strict=True):
        assert (one == other).all() if hasattr(one, "all") else one == other
    assert decision_row(original)[4:7] == (4, 24_000, 1)


def test_what_is_done_without_end_takes_no_more_memory_than_so_many_stretches(box):
    note = bytes(10_000)
    for hop in range(3000):
        if box.wants_checkpoint:
            box.begin(lambda memory: b"state")
        box.note(note)
        box.add(frame(hop))
        assert sum(len(each) for s in box._stretches for each in s.acts.values()) <= (STRETCHES + 1) * (MOST_NOTED + len(note))


def test_what_is_done_after_a_recording_was_asked_for_is_not_in_it(box, tmp_path):
    box.begin(lambda memory: b"state")
    for hop in range(3):
        box.note(b"done %d" % hop)
        box.add(frame(hop))
        if hop == 1:
            contents = box.contents()
    (stretch,) = read(save(contents, tmp_path, "flight"))
    assert (stretch.used, stretch.acts) == (2, {0: b"done 0", 1: b"done 1"})


def test_only_the_newest_recordings_stay_on_the_card(flight, tmp_path):
    for number in range(6):
        save(flight.contents(), tmp_path, f"flight-{number}")
    assert len(list(tmp_path.glob("*.k1rec"))) == 3
    assert not list(tmp_path.glob(".*"))


def test_a_recording_that_was_asked_for_stays_where_older_ones_are_of_a_later_day(flight, tmp_path):
    tomorrow_s = time.time() + 86_400
    for number in range(3):
        os.utime(save(flight.contents(), tmp_path, f"ahead-{number}"), (tomorrow_s + number,) * 2)
    assert save(flight.contents(), tmp_path, "asked").exists()
    assert {each.name for each in tmp_path.iterdir()} == {"ahead-1.k1rec", "ahead-2.k1rec", "asked.k1rec"}


def test_two_recordings_of_one_second_are_two(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    now = time.gmtime()
    monkeypatch.setattr(time, "gmtime", lambda: now)
    box = BlackBox(Settings(), "boot")
    names = {box.save(wait=True), box.save(wait=True)}
    assert len(names) == 2 and names == {str(each) for each in (tmp_path / "recordings").iterdir()}


def test_a_recording_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    def contents():
        yield recorder.MAGIC
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        save(contents(), tmp_path, "flight")
    assert not list(tmp_path.iterdir())


def test_a_recording_for_which_there_is_no_room_is_refused_and_not_promised(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    box = BlackBox(Settings(), "boot")
    pipeline = Pipeline(Settings(), FMT)
    box.before(pipeline)
    box.after(frame(100))
    size = Path(box.save(wait=True)).stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size))
    assert box.save(wait=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size - 1000))
    with pytest.raises(OSError, match="No space"):
        box.save()
    assert len(list((tmp_path / "recordings").iterdir())) == 2


def test_what_a_life_that_was_cut_short_has_begun_to_write_goes_with_the_next(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    (tmp_path / "recordings").mkdir()
    for name in ("whole.k1rec", ".half.k1rec.77.tmp"):
        (tmp_path / "recordings" / name).write_bytes(recorder.MAGIC)
    BlackBox(Settings(), "boot")
    assert [each.name for each in (tmp_path / "recordings").iterdir()] == ["whole.k1rec"]


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail_in_another_way(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "some.k1rec"
    path.write_bytes(recorder.MAGIC + data)
    with contextlib.suppress(ValueError):
        read(path)


def circling(box, fill, times):
    """Stretches of one hop each, whose checkpoints are all `fill`."""
    for _ in range(times):
        box.begin(lambda memory: checkpoint.dumps(fill, memory))
        box.add(frame(100))


def test_a_recording_is_what_it_was_when_it_was_asked_for_however_slowly_it_is_written():
    box = Recorder(minutes=0.001)
    circling(box, "before", STRETCHES + 2)
    asked, again = box.contents(), box.contents()
    at_once = b"".join(again)
    circling(box, "after!", 3 * STRETCHES)
    assert b"".join(asked) == at_once
    assert b"before" not in b"".join(box.contents())


def test_in_steady_running_checkpoints_are_written_where_older_ones_were():
    box = Recorder(minutes=0.001)
    circling(box, "state", STRETCHES + 1)
    memories = {id(stretch.checkpoint.obj) for stretch in box._stretches}
    circling(box, "state", 3 * STRETCHES)
    assert {id(stretch.checkpoint.obj) for stretch in box._stretches} == memories
