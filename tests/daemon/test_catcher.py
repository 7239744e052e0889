import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from k1edge.analysis.beats import found
from k1edge.analysis.recording import Keeper, unpack
from k1edge.audio.blocks import blocks
from k1edge.audio.synth import four_on_the_floor, noise
from k1edge.config import BeatSettings, Settings
from k1edge.daemon.catcher import SongCatcher
from k1edge.frames import StreamFormat
from k1edge.genesis.playback import MapPlayer
from k1edge.genesis.score import Score
from k1edge.library.admission import admit
from k1edge.library.errors import LibraryError
from k1edge.pipeline import Pipeline
from k1edge.programs.job import file_to_map
from tests.brokers import PATIENCE_S

FMT = StreamFormat(44_100)


class Wall:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 21, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def catch(folder: Path, sound: np.ndarray) -> list[Path]:
    """The recordings that are there when this has been heard, in their order."""
    catcher, pipeline = SongCatcher(folder, 40, Wall()), Pipeline(Settings(), FMT)
    catcher.begin(FMT)
    for block in blocks(iter([sound]), FMT, False):
        frame = pipeline.process(block)
        catcher.process(frame, pipeline)
    ended(catcher)
    return sorted(folder.iterdir())


def ended(catcher: SongCatcher) -> None:
    """Closed, and written however long a busy machine takes."""
    catcher.close()
    if catcher._writer is not None:
        assert catcher._writer.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def evening(tmp_path_factory):
    """A song, a pause, a jingle, a pause, half a song: what was caught of it."""
    song = four_on_the_floor(126.0, 50.0, 44_100).samples
    pause = np.zeros(44_100 * 4, np.float32)
    sound = np.concatenate([pause, song, pause, song[: 44_100 * 10], pause, song[: 44_100 * 47]])
    return catch(tmp_path_factory.mktemp("evening") / "inbox", sound)


def test_songs_are_caught_and_jingles_are_not(evening):
    assert [path.name for path in evening] == ["heard-20261122T210001Z.k1heard", "heard-20261122T210002Z.k1heard"]


def test_a_song_that_was_heard_becomes_a_map_without_its_sound(evening):
    path = evening[0]
    assert admit(path, path.parents[1]) == path
    assert path.stat().st_size < 1_200_000
    song = file_to_map(path, Settings(), lambda stage, share: None)
    assert song.global_metrics.bpm == pytest.approx(126.0, rel=0.01)
    assert song.metadata.model_extra["source"] == "live"
    assert 48_000 < song.global_metrics.duration_ms < 56_000


def test_a_recording_survives_being_written_and_damage_is_noticed(evening, tmp_path):
    content = evening[0].read_bytes()
    recording, rate_hz = unpack(content)
    assert rate_hz == FMT.rate_hz and recording.duration_s > 48
    for damaged in (content[:-7], content.replace(b"K1HEARD1", b"K1HEARD0", 1), b"K1HEARD1\n{}\n"):
        with pytest.raises(ValueError, match="damaged"):
            unpack(damaged)
    (tmp_path / "torn.k1heard").write_bytes(content[:-7])
    with pytest.raises(LibraryError, match="INVALID_FILE_FORMAT"):
        file_to_map(tmp_path / "torn.k1heard", Settings(), lambda stage, share: None)


def test_a_full_disk_costs_a_song_and_nothing_else(tmp_path, caplog):
    (tmp_path / "inbox").write_text("in the way")
    catcher = SongCatcher(tmp_path / "inbox", 40)
    catcher.begin(FMT)
    catcher._keeper = type("Full", (), {"__len__": lambda self: 10_000, "beats": 99, "packed": lambda self: [b""]})()
    ended(catcher)
    assert "cannot be kept" in caplog.text


def test_what_waits_is_limited(tmp_path, caplog):
    from k1edge.daemon import catcher

    path = tmp_path / f"new{catcher.HEARD_SUFFIX}"
    with (tmp_path / f"old{catcher.HEARD_SUFFIX}").open("wb") as old:
        old.truncate(catcher.HELD_BYTES + 1)
    catcher._write(path, None)
    assert not path.exists()
    assert "wait for their analysis" in caplog.text


@pytest.fixture
def brief(monkeypatch):
    """Songs may be short, so that they are soon heard."""
    monkeypatch.setattr("k1edge.daemon.catcher.SHORTEST_S", 20.0)
    monkeypatch.setattr("k1edge.daemon.catcher.FEWEST_BEATS", 30)


def test_noise_between_two_songs_is_of_neither(tmp_path, brief):
    song = four_on_the_floor(126.0, 30.0, 44_100).samples
    caught = catch(tmp_path, np.concatenate([song, noise(20, -30.0).samples, song]))
    assert [unpack(path.read_bytes())[0].duration_s for path in caught] == pytest.approx([30, 30], abs=9)


@pytest.mark.parametrize(("led_s", "songs"), [(10.0, 1), (30.0, 0)])
def test_what_a_map_has_led_through_for_the_most_part_is_not_kept_once_more(tmp_path, brief, led_s, songs):
    song = four_on_the_floor(126.0, 40.0, 44_100)
    beats_ms = (1000 * song.truth.beats_s).tolist()
    score = Score(beats_ms, beats_ms[::4], [1.0] * len(beats_ms), [], [])
    catcher = SongCatcher(tmp_path, 40, Wall())
    catcher.begin(FMT)
    pipeline = Pipeline(Settings(), FMT, player=MapPlayer(score, FMT, 150.0))
    for block in blocks(iter([song.samples]), FMT, False):
        if block.start >= FMT.index(led_s):
            pipeline.act("stop")
        catcher.process(pipeline.process(block), pipeline)
    ended(catcher)
    assert len(list(tmp_path.iterdir())) == songs


@pytest.mark.parametrize(("second_bpm", "songs"), [(104.0, 2), (126.0, 1)])
def test_a_song_that_follows_without_a_pause_is_another_where_its_tempo_is(tmp_path, brief, second_bpm, songs):
    sound = np.concatenate([four_on_the_floor(bpm, 40.0, 44_100).samples for bpm in (126.0, second_bpm)])
    caught = [unpack(path.read_bytes())[0] for path in catch(tmp_path, sound)]
    assert len(caught) == songs
    assert sum(recording.duration_s for recording in caught) == pytest.approx(80, abs=0.5)
    for recording in caught if songs == 2 else ():
        assert recording.duration_s == pytest.approx(40, abs=8)
        assert np.ptp(np.diff(found(recording, BeatSettings()).times_s)[12:-12]) < 0.05


def test_a_day_s_maps_are_limited_and_the_next_day_begins_anew(tmp_path, monkeypatch):
    from k1edge.daemon import catcher

    kept, wall = [], Wall()
    monkeypatch.setattr(catcher, "_write", lambda path, *_: kept.append(path.name))
    caught = SongCatcher(tmp_path, 3, wall)  # 333 s of music a day
    caught.begin(FMT)
    for day in (22, 22, 22, 23):
        wall.now = wall.now.replace(day=day)
        caught._keeper = type("Heard", (), {"beats": 400, "finish": lambda self: None, "__len__": lambda self: 15_000})()
        ended(caught)
    assert [name[6:14] for name in kept] == ["20261122", "20261122", "20261123"]


CHUNK = 600


@pytest.fixture
def chunked(monkeypatch):
    """Memory is taken in small pieces."""
    monkeypatch.setattr("k1edge.analysis.recording.CHUNK", CHUNK)


def keeper_of(hops):
    keeper, pipeline = Keeper(FMT, 0.06), Pipeline(Settings(), FMT)
    sound = four_on_the_floor(126.0, hops / 100, 44_100)
    for block in blocks(iter([sound.samples]), FMT, False):
        frame = pipeline.process(block)
        keeper.add(frame.features, frame.beat, pipeline.tracker.heard)
    return keeper


def test_a_recording_is_written_from_the_memory_it_lies_in_and_read_as_it_was(chunked):
    keeper = keeper_of(CHUNK + 700)
    head, *rows = keeper.packed()
    assert all(np.shares_memory(np.asarray(piece), chunk) for piece, chunk in zip(rows, keeper._chunks, strict=True))
    read, rate_hz = unpack(b"".join([head, *rows]))
    assert rate_hz == FMT.rate_hz
    assert read.rows.tobytes() == keeper.finish().rows.tobytes()


def test_a_recording_can_be_read_by_the_k1edge_before_an_update():
    head = json.loads(next(keeper_of(300).packed()).splitlines()[1])
    assert np.array(head["beats"], np.float64).reshape(-1, 3).shape == (0, 3)


@pytest.mark.parametrize("hops", [300, CHUNK, CHUNK + 300])
def test_what_is_cut_off_goes_on_as_a_recording_of_its_own(chunked, hops):
    keeper = keeper_of(CHUNK + 700)
    whole, beats = keeper.finish(), keeper.beats
    rest = keeper.cut(hops)
    parts = [unpack(b"".join(each.packed()))[0] for each in (keeper, rest)]
    assert len(rest) == hops
    assert np.concatenate([part.rows for part in parts]).tobytes() == whole.rows.tobytes()
    assert keeper.beats + rest.beats == beats
    assert rest.beats == pytest.approx(hops / 100 * 126 / 60, abs=1)
