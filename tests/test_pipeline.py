"""One pipeline, whatever brings the audio."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfilt

from k1edge.audio.files import FileSource
from k1edge.audio.synth import SynthSource, clicks, four_on_the_floor, noise
from k1edge.config import Settings
from k1edge.frames import AudioBlock, BeatEvent, BeatState, StreamFormat
from k1edge.genesis.playback import MapPlayer
from k1edge.genesis.score import Score
from k1edge.pipeline import MOST_ACTS, Pipeline
from tests.music import Tracker, demo_song


@pytest.fixture(scope="module")
def song():
    return four_on_the_floor(126.0, 12.0, 48_000)


@pytest.fixture(scope="module")
def cheers():
    """cheers(seconds): many voices at once, which hold no pitch and have no beat."""
    voices = butter(2, [300, 3500], "band", fs=44_100, output="sos")
    return lambda seconds: 0.5 * sosfilt(voices, noise(seconds, -14.0, seed=5).samples).astype(np.float32)


def run(source, settings=None, **handed_over):
    pipeline = Pipeline(settings or Settings(), source.fmt, **handed_over)
    return [pipeline.process(block) for block in source]


def as_bytes(frames):
    return [pickle.dumps(frame) for frame in frames]


def test_paced_file_fast_file_and_late_line_give_identical_frames(song, tmp_path):
    path = tmp_path / "song.wav"
    soundfile.write(path, song.samples[: 48_000 * 6], 48_000, subtype="FLOAT")
    samples = soundfile.read(path, dtype="float32")[0]
    fast = as_bytes(run(FileSource(path)))
    assert len(fast) == 600
    assert as_bytes(run(FileSource(path, paced=True))) == fast
    late = [replace(block, arrived_ns=10**12 + 10**6 * (block.end % 7)) for block in SynthSource(samples, 48_000)]
    assert as_bytes(map(Pipeline(Settings(), StreamFormat(48_000)).process, late)) == fast


def test_a_beat_is_followed_from_samples_to_look(song):
    frames = run(SynthSource(song.samples, 48_000))
    announced = [f.beat.announced for f in frames if f.beat.announced is not None]
    due_s = np.array([e.due for e in announced]) / 48_000
    later = due_s[due_s > 7]
    errors = np.abs(later[:, None] - song.truth.beats_s[None, :]).min(axis=1)
    assert len(later) >= 8
    assert np.mean(errors < 0.035) > 0.9
    assert frames[-1].look.name != "silence"


def test_silence_gives_no_beat_no_energy_and_a_dark_look():
    source = SynthSource(np.zeros(48_000 * 8, np.float32), 48_000)
    frames = run(source)
    assert not any(f.beat.announced for f in frames)
    assert frames[-1].section.label == "silence"
    assert dict(frames[-1].look.parameters)["brightness"] == 0.0
    assert frames[-1].macros.energy == 0.0


def test_the_crowd_after_a_song_is_not_danced_to(cheers):
    fade = np.interp(np.arange(30 * 44_100), [28 * 44_100, 30 * 44_100], [1, 0]).astype(np.float32)
    frames = run(SynthSource(np.concatenate([fade * demo_song().samples[: len(fade)], cheers(25)]), 44_100))
    assert frames[2_700].beat.lock
    assert frames[-1].wire == "noise"
    assert not any(frame.beat.lock for frame in frames[-1_000:])


def test_clapping_and_cheers_are_not_danced_to_though_a_beat_is_heard_in_them(cheers):
    rng = np.random.default_rng(3)
    struck = np.zeros(30 * 44_100)
    for pace_s in rng.uniform(0.2, 0.31, 80):
        at_s = rng.uniform() + np.cumsum(rng.normal(pace_s, 0.06 * pace_s, 90))
        struck[(at_s * 44_100).astype(int)] += rng.exponential()
    clapped = np.convolve(struck, noise(0.05, seed=9).samples * np.exp(-np.arange(2_205) / 300))[: len(struck)]
    samples = 0.1 * clapped / clapped.std() + 0.1 * (voices := cheers(30)) / voices.std()
    frames = run(SynthSource(samples.astype(np.float32), 44_100))
    assert not any(frame.wire == "music" or frame.beat.lock or frame.beat.announced for frame in frames[1_000:])


def test_sticks_that_keep_time_are_danced_to():
    frames = run(SynthSource(clicks(120.0, 16.0).samples, 44_100))
    assert all(frame.wire == "music" and frame.beat.lock for frame in frames[-500:])


def test_nobody_is_told_of_beats_of_a_needle_in_the_groove(song):
    groove = np.zeros(20 * 48_000, np.float32)
    for at in np.arange(1.0, 19.0, 1.8) * 48_000:
        groove[int(at) : int(at) + 1_500] = noise(0.1, -20.0).samples[:1_500]
    frames = run(SynthSource(np.concatenate([song.samples, groove]), 48_000))
    assert not any(frame.beat.announced or frame.beat.lock for frame in frames[-1_500:])


def test_the_beats_of_a_map_are_no_music_to_the_wire_and_it_rests_in_noise(song):
    beats_ms = (1000 * song.truth.beats_s[0] + 60_000 / 126.0 * np.arange(70)).tolist()
    score = Score(beats_ms, beats_ms[::4], [1.0] * 70, [(0.0, "verse")], [])
    source = SynthSource(np.concatenate([song.samples, np.resize(noise(5.0, -30.0).samples, 15 * 48_000)]), 48_000)
    frames = run(source, player=MapPlayer(score, source.fmt, 150.0))
    assert any(frame.beat.announced for frame in frames[1_000:1_200])
    assert not any(frame.wire == "music" or frame.beat.announced for frame in frames[-150:])


def test_the_beats_are_told_again_with_the_first_of_the_music_after_a_pause(song):
    samples = np.concatenate([song.samples, np.zeros(4 * 48_000, np.float32), song.samples])
    frames = run(SynthSource(samples, 48_000))
    assert any(frame.beat.announced for frame in frames[1_650 : 1_650 + 150])


def test_beat_numbers_go_on_when_a_pipeline_takes_over(song):
    source = SynthSource(song.samples, 48_000)
    numbers = [f.beat.announced.number for f in run(source, beats_before=41) if f.beat.announced]
    assert numbers[0] == 42


@pytest.mark.parametrize("maps", [1, 2])
def test_the_beats_of_a_map_that_is_deployed_while_its_song_plays_are_numbered_on(song, maps):
    source = SynthSource(song.samples, 48_000)
    pipeline, announced = Pipeline(Settings(), source.fmt, beats_before=41), []
    beats_ms = [1000 * at_s - 8.0 for at_s in song.truth.beats_s]
    for hop, block in enumerate(source):
        if hop in (800, 950)[:maps]:
            pipeline.act("deploy", MapPlayer(Score(beats_ms, [], [1.0] * len(beats_ms), [], []), source.fmt, 150.0, 0))
        if hop == 1050:
            pipeline.act("stop")
        event = pipeline.process(block).beat.announced
        announced += [] if event is None else [event]
    due = {event.number: event.due for event in announced}
    assert list(due) == list(range(42, 42 + len(due)))
    assert sum(event.confidence == 0.98 for event in announced) >= 4 and announced[-1].confidence != 0.98
    assert np.diff(list(due.values())) == pytest.approx(48_000 * 60 / 126, rel=0.1)


def test_the_sections_of_a_stream_are_counted_on_when_a_map_comes_and_goes(song):
    source = SynthSource(song.samples, 48_000)
    pipeline, told = Pipeline(Settings(), source.fmt), []
    beats_ms, sections = [1000 * at_s for at_s in song.truth.beats_s], [(0.0, "intro"), (7000.0, "verse"), (9000.0, "drop")]
    for hop, block in enumerate(source):
        if hop == 800:
            pipeline.act("deploy", MapPlayer(Score(beats_ms, [], [1.0] * len(beats_ms), sections, []), source.fmt, 150.0, 0))
        if hop == 1000:
            pipeline.act("stop")
        section = pipeline.process(block).section
        if not told or section is not told[-1]:
            told.append(section)
    *_, before, verse, drop, after = told
    assert (verse.label, drop.label, after.label) == ("verse", "drop", before.label)
    assert [section.index - before.index for section in (verse, drop, after)] == [1, 2, 3]


def test_lost_audio_neither_stops_nor_doubles_the_beat(song):
    fmt = StreamFormat(48_000)
    pipeline = Pipeline(Settings(), fmt)
    due = {}
    for start in range(0, len(song.samples) - fmt.hop, fmt.hop):
        if 8.0 < start / 48_000 < 8.4:
            continue
        frame = pipeline.process(AudioBlock(song.samples[start : start + fmt.hop], start, 0))
        if frame.beat.announced:
            due[frame.beat.announced.number] = frame.beat.announced.due / 48_000
    after = np.array([d for d in due.values() if d > 8.6])
    errors = np.abs(after[:, None] - song.truth.beats_s[None, :]).min(axis=1)
    assert len(after) >= 5
    assert (errors < 0.07).all()
    assert (np.diff(sorted(due.values())) > 0.2).all()


def test_no_hop_loads_a_module():
    """A library that is loaded at its first use makes that hop late."""
    script = """
import sys
from k1edge.audio.synth import SynthSource, four_on_the_floor
from k1edge.config import Settings
from k1edge.pipeline import MOST_ACTS, Pipeline
source = SynthSource(four_on_the_floor(126.0, 20.0, 48_000).samples, 48_000)
pipeline = Pipeline(Settings(), source.fmt)
before = set(sys.modules)
frames = [pipeline.process(block) for block in source]
assert any(frame.beat.lock for frame in frames)
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_what_is_done_is_noted_until_the_next_hop():
    source = SynthSource(np.zeros(48_000, np.float32), 48_000)
    pipeline = Pipeline(Settings(), source.fmt)
    assert pipeline.act("tap", 480) and not pipeline.act("stop")
    assert pipeline.acts == (("tap", 480), ("stop",))
    pipeline.process(next(iter(source)))
    assert pipeline.acts == ()


def test_what_is_done_where_no_hop_comes_is_not_kept_for_ever():
    pipeline = Pipeline(Settings(), StreamFormat(48_000))
    for index in range(2 * MOST_ACTS):
        pipeline.act("tap", index)
    assert len(pipeline.acts) == MOST_ACTS


def test_nothing_else_is_done_to_a_pipeline():
    with pytest.raises(ValueError, match="process"):
        Pipeline(Settings(), StreamFormat(48_000)).act("process")


def corrected(player, verb, *args, acts=True):
    """Whether it was done, and what the tracker was asked for."""
    pipeline = Pipeline(Settings(), StreamFormat(48_000), player=player)
    pipeline.tracker = Tracker(acts)
    return pipeline.act(verb, *args), pipeline.tracker.asked


def stored_map(leads=True):
    """Beats every half a second; it leads, or waits for its song."""
    beats_ms = [500.0 * n for n in range(64)]
    player = MapPlayer(Score(beats_ms, [], [1.0] * 64, [], []), StreamFormat(48_000), 150.0, 0 if leads else None)
    player.beat(BeatState(48_000, 120.0, 0.0, 0.9, True))
    return player


@pytest.fixture
def player():
    """A map that leads."""
    return stored_map()


@pytest.mark.parametrize("correction", [("double",), ("halve",), ("tap", 480), ("this_is_one", 480)], ids=lambda each: each[0])
def test_who_corrects_a_map_that_leads_has_the_live_engine_back_at_once(player, correction):
    assert corrected(player, *correction) == (True, [correction])
    assert player.state == "stopped"


def test_a_nudge_moves_the_map_and_what_it_is_compared_with(player):
    assert corrected(player, "nudge", 25.0) == (True, [("nudge", 25.0)])
    assert player.leads and player.beat(BeatState(48_480, 120.0, 0.0, 0.9, True)).phase == pytest.approx(1 - 0.015 / 0.5)


@pytest.mark.parametrize(("verb", "live_bpm", "asked"), [
    ("double", 240.0, []),
    ("double", 120.0, [("double",)]),
    ("halve", 60.0, []),
    ("halve", 240.0, [("halve",)]),
])  # fmt: skip
def test_a_level_that_the_live_engine_counts_beside_a_map_is_taken_as_it_is(player, verb, live_bpm, asked):
    for number in range(1, 17):
        due = round(48_000 * number * 60 / live_bpm)
        player.beat(BeatState(due, live_bpm, 0.0, 0.9, True, (), BeatEvent(number, due, 0, False, 1.0, 0.9)))
    assert corrected(player, verb) == (True, asked)
    assert player.state == "stopped"


def test_a_map_goes_on_where_the_live_engine_has_no_beat_to_go_on_with(player):
    player.beat(BeatState(48_480, 120.0, 0.0, 0.1, False))
    assert corrected(player, "tap", 480) == (True, [("tap", 480)])
    assert player.leads


@pytest.mark.parametrize("correction", [("double",), ("this_is_one", 480)], ids=lambda each: each[0])
def test_a_correction_stops_no_map_that_waits_nor_one_that_it_cannot_replace(correction):
    waiting, leading = stored_map(leads=False), stored_map()
    corrected(waiting, *correction)
    corrected(leading, *correction, acts=False)
    assert (waiting.state, leading.state) == ("waiting", "leading")
    corrected(leading, "release")
    assert leading.state == "leading"
