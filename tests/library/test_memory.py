"""Songs that are remembered by the sketches of their maps."""

import numpy as np
import pytest

from k1edge.genesis.recall import at_speed
from k1edge.library.memory import LEARNED_AT_ONCE, NAME, Memory
from k1edge.library.store import TrackFacts
from k1edge.library.upkeep import UNDO_S, sweep
from tests.genesis.songs import playing, song_of

SONG = playing(60.0, seed=1)


def thousandths(levels: np.ndarray) -> list[list[int]]:
    return (1000 * levels).astype(int).tolist()


def stored(library, song, digit="a") -> str:
    track = library.register(TrackFacts(digit * 64, f"{digit}.flac"))["id"]
    library.add_version(track, song, "import")
    return track


@pytest.fixture
def memory(library):
    """Of one song at 120 BPM."""
    stored(library, song_of(SONG))
    memory = Memory(library)
    memory.learn()
    return memory


def asked(memory, at_s, stream_s=100.0, bpm=120.0, levels=SONG) -> dict:
    """Ten seconds of a song from `at_s` on, heard from `stream_s` of a stream on."""
    return memory.find(thousandths(levels[round(50 * at_s) :][:500]), stream_s, bpm)


def test_a_song_is_told_when_two_questions_agree_on_its_beginning(memory):
    assert asked(memory, 20.0, 100.0) == {}
    found = asked(memory, 23.0, 103.0)
    assert found["track"] == "a" * 16
    assert found["start_s"] == pytest.approx(80.0, abs=0.02)
    assert found["likeness"] > 0.95


def test_a_song_that_has_jumped_is_not_told_until_two_agree_again(memory):
    asked(memory, 20.0, 100.0)
    assert asked(memory, 33.0, 103.0) == {}
    assert asked(memory, 36.0, 106.0)["start_s"] == pytest.approx(70.0, abs=0.02)


def test_another_song_and_a_loop_are_not_told(memory, library):
    for n in range(3):
        assert asked(memory, 3.0 * n, 3.0 * n, levels=playing(30.0, seed=9)) == {}
    stored(library, song_of(np.tile(playing(8.0, seed=5), (6, 1))), "b")
    memory.learn()
    for n in range(3):
        assert asked(memory, 3.0 * n, 3.0 * n, levels=np.tile(playing(8.0, seed=5), (6, 1))) == {}


@pytest.mark.parametrize(
    ("bpm", "known"), [(120.9, True), (60.0, True), (180.0, True), (129.0, True), (137.0, False), (97.0, False)]
)
def test_only_songs_of_about_the_tempo_that_is_heard_at_any_level_are_looked_at(memory, bpm, known):
    asked(memory, 20.0, 100.0, bpm)
    assert bool(asked(memory, 23.0, 103.0, bpm)) is known, "of a tempo that varies, too"


@pytest.mark.parametrize("speed", [0.94, 1.04, 1.08])
def test_a_song_is_known_at_the_speed_at_which_a_dj_plays_it(memory, speed):
    played = at_speed(SONG, 1 / speed)
    asked(memory, 20.0, 100.0, 120.0 * speed, played)
    found = asked(memory, 23.0, 103.0, 120.0 * speed, played)
    assert found["speed"] == pytest.approx(speed)
    assert found["start_s"] == pytest.approx(80.0, abs=0.03)
    led = {"start_s": found["start_s"], "speed": found["speed"]}
    check = memory.check(thousandths(played[1300:1800]), 106.0, found["track"], **led)
    assert check["still"] > 0.9
    assert check["ahead_s"] == pytest.approx(0.0, abs=0.012)


def test_of_a_song_that_was_caught_twice_the_map_that_was_put_right_is_taken(memory, library):
    twin = stored(library, song_of(SONG), "b")
    library.db.execute("UPDATE tracks SET override = '{\"by\": \"ann\", \"at_ms\": 1, \"note\": \"\"}' WHERE id = ?", (twin,))
    memory.learn()
    asked(memory, 20.0, 100.0)
    assert asked(memory, 23.0, 103.0)["track"] == twin


def test_what_has_gone_is_forgotten_and_its_sketch_with_it(memory, library, clock, steady):
    track = "a" * 16
    assert (library.root / "maps" / track / NAME).exists()
    library.db.execute("UPDATE tracks SET deleted_ms = ? WHERE id = ?", (library.now_ms(), track))
    library.hidden_s[track] = steady()
    steady.now_s += UNDO_S + 1
    clock.now_s += UNDO_S + 1
    sweep(library)
    memory.learn()
    assert not (library.root / "maps" / track).exists()
    asked(memory, 20.0, 100.0)
    assert asked(memory, 23.0, 103.0) == {}


def test_sketches_are_read_where_they_are_and_made_anew_where_they_are_damaged(memory, library, monkeypatch):
    sketch = library.root / "maps" / ("a" * 16) / NAME
    whole = sketch.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(library, "document", lambda _: pytest.fail("the map was read"))
        Memory(library).learn()
    sketch.write_bytes(whole[:50])
    Memory(library).learn()
    assert sketch.read_bytes() == whole


def test_a_sketch_that_cannot_be_kept_is_remembered_all_the_same(library, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("k1edge.library.memory.write_whole", full)
    stored(library, song_of(SONG))
    memory = Memory(library)
    memory.learn()
    asked(memory, 20.0, 100.0)
    assert asked(memory, 23.0, 103.0)["track"] == "a" * 16


def test_many_songs_are_learned_a_few_at_a_time(library):
    for digit in "abcdef":
        stored(library, song_of(playing(12.0, seed=ord(digit))), digit)
    memory = Memory(library)
    memory.learn()
    assert len(list(library.root.rglob(NAME))) == LEARNED_AT_ONCE
    memory.learn()
    assert len(list(library.root.rglob(NAME))) == 6


def test_of_a_map_that_is_damaged_or_coarse_nothing_is_remembered(library):
    stored(library, song_of(SONG, every=50), "c")
    library.path(stored(library, song_of(SONG), "d"), 1).write_bytes(b"{}")
    memory = Memory(library)
    memory.learn()
    assert not list(library.root.rglob(NAME))
    asked(memory, 20.0, 100.0)
    assert asked(memory, 23.0, 103.0) == {}


def test_whether_a_song_still_plays_is_told_by_the_place_that_it_has_come_to(memory):
    def check(at_s, began_s=100.0, track="a" * 16, levels=SONG):
        return memory.check(thousandths(levels[round(50 * at_s) :][:500]), began_s, track, start_s=80.0, speed=1.0)

    assert check(20.0)["still"] > 0.95
    assert check(20.2)["ahead_s"] == pytest.approx(0.2, abs=0.012)
    assert check(19.9)["ahead_s"] == pytest.approx(-0.1, abs=0.012)
    assert check(20.0, began_s=103.0)["still"] < 0.3, "elsewhere in it"
    assert check(0.0, levels=playing(20.0, seed=9))["still"] < 0.3
    assert check(20.0, began_s=500.0) == check(20.0, track="b" * 16) == {"still": 0.0, "ahead_s": 0.0}
