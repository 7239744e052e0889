"""When the library is asked which song plays."""

from types import SimpleNamespace

import numpy as np
import pytest

from k1edge.analysis.recording import ROW
from k1edge.daemon.recall import MEASURED_HOPS, PAUSE_HOPS, WINDOW_HOPS, Recall
from k1edge.frames import StreamFormat
from tests.music import frame

FMT = StreamFormat(48_000)


class Song:
    """As much of a song as has been heard."""

    def __init__(self) -> None:
        self.hops = 0

    def __len__(self) -> int:
        return self.hops

    def last(self, hops: int) -> np.ndarray:
        rows = np.zeros(hops, ROW)
        rows["sounding"], rows["level_dbfs"], rows["bands"] = True, -20.0, np.linspace(0.1, 5.0, 40)
        return rows


@pytest.fixture
def recall():
    return Recall()


def asks(recall, song, hops, *, standing=None, player=None, **music) -> list[tuple[int, dict]]:
    """The questions, each with how much of the song had been heard; `player`: of the pipeline."""
    found = []
    for _ in range(hops):
        song.hops += 1
        if question := recall.ask(song, frame(song.hops, **music), SimpleNamespace(fmt=FMT, player=player), standing):
            found.append((song.hops, question))
    return found


def test_it_asks_after_ten_seconds_and_more_and_more_seldom(recall):
    at = [hops for hops, _ in asks(recall, Song(), 6000)]
    pauses = np.diff(at)
    assert at[0] == WINDOW_HOPS
    assert pauses[0] == PAUSE_HOPS
    assert (np.diff(pauses) >= 0).all()
    assert 8 <= len(at) <= 14


def test_a_question_holds_the_last_ten_seconds_and_when_they_began(recall):
    song = Song()
    (_, (hops, question)) = asks(recall, song, WINDOW_HOPS + PAUSE_HOPS)
    assert np.shape(question["levels"]) == (500, 3)
    assert np.max(question["levels"]) == 1000
    assert question["began_s"] == pytest.approx((hops - WINDOW_HOPS) / 100) == 3.0
    assert question["bpm"] == 120.0


def test_nobody_is_asked_about_what_has_no_beat_or_is_no_song(recall):
    assert asks(recall, Song(), 2 * WINDOW_HOPS, lock=False) == []
    assert recall.ask(None, frame(1), SimpleNamespace(fmt=FMT, player=None), None) is None
    assert asks(Recall(asks=False), Song(), 2 * WINDOW_HOPS) == []


def led(recall, song, state="leading"):
    """A song that has been recalled, and how its map fares."""
    asks(recall, song, WINDOW_HOPS)
    assert recall.concludes({"track": "a"}, song, None) == ("lead",)
    player = SimpleNamespace(state=state, alignment=SimpleNamespace(start=-FMT.index(20.0), speed=1.05))
    recall.leads(player)
    return player


@pytest.mark.parametrize(("state", "asked_again"), [("rolled_back", False), ("stopped", False), ("over", True)])
def test_a_song_that_was_recalled_is_asked_about_again_only_when_its_map_is_over(recall, state, asked_again):
    song = Song()
    player = led(recall, song, state)
    again = [hops for hops, _ in asks(recall, song, 2 * WINDOW_HOPS, player=player)]
    assert bool(again) is asked_again
    assert not again or 0 <= again[0] - 2 * WINDOW_HOPS <= MEASURED_HOPS, "ten seconds of what came after it"


def test_while_a_map_leads_it_is_asked_whether_this_is_still_its_song(recall):
    song = Song()
    player = led(recall, song)
    questions = asks(recall, song, 4 * PAUSE_HOPS, standing="a", player=player)
    assert [hops for hops, _ in questions] == [WINDOW_HOPS + n * PAUSE_HOPS for n in (1, 2, 3, 4)]
    assert {(q["track"], q["start_s"], q["speed"]) for _, q in questions} == {("a", -20.0, 1.05)}


def test_another_song_in_its_place_ends_a_map_after_two_doubts_and_is_asked_about_itself(recall):
    song = Song()
    player = led(recall, song)
    said = []
    for likeness in (0.9, 0.3, 0.6, 0.3, 0.2):
        asks(recall, song, PAUSE_HOPS, standing="a", player=player)
        said.append(recall.concludes({"still": likeness, "ahead_s": 0.01}, song, player))
    assert said == [("confirm", 0.01), None, None, None, ("stop",)]
    ((_, question),) = asks(recall, song, WINDOW_HOPS)
    assert "track" not in question
    assert recall.concludes({"still": 0.1, "ahead_s": 0.0}, song, player) is None, "an answer that comes late"


@pytest.mark.parametrize("found", [{}, {"track": "a"}, {"still": 0.0}])
def test_an_answer_about_a_song_that_is_over_is_none(recall, found):
    asks(recall, Song(), WINDOW_HOPS)
    assert recall.concludes(found, Song(), None) is recall.concludes(found, None, None) is None


def test_a_song_that_pauses_and_is_caught_as_two_keeps_its_witness(recall):
    player = led(recall, Song())
    ((_, question),) = asks(recall, Song(), WINDOW_HOPS, standing="a", player=player)
    assert question["track"] == "a"


def test_a_map_that_somebody_has_deployed_is_moved_by_its_sound_and_never_stopped(recall):
    song, theirs = Song(), SimpleNamespace(state="leading", alignment=SimpleNamespace(start=0, speed=1.0))
    led(recall, song)
    said = []
    for likeness in (0.9, 0.1, 0.1, 0.1):
        ((_, question),) = asks(recall, song, 2 * WINDOW_HOPS, standing="b", player=theirs)[-1:]
        assert question["track"] == "b"
        said.append(recall.concludes({"still": likeness, "ahead_s": 0.01}, song, theirs))
    assert said == [("confirm", 0.01), None, None, None]


def test_an_answer_about_what_leads_no_more_is_none(recall):
    song = Song()
    player = led(recall, song)
    asks(recall, song, PAUSE_HOPS, standing="a", player=player)
    assert recall.concludes({"still": 0.9, "ahead_s": 0.01}, song, SimpleNamespace(state="leading")) is None


def test_nobody_is_asked_where_a_map_waits_or_leads_that_is_of_no_track(recall):
    song = Song()
    assert asks(recall, song, WINDOW_HOPS, standing="") == []
    assert asks(recall, song, MEASURED_HOPS), "but as soon as that is over"


def test_the_next_song_is_asked_about_whatever_became_of_the_last(recall):
    player = led(recall, Song(), "rolled_back")
    assert [hops for hops, _ in asks(recall, Song(), WINDOW_HOPS, player=player)] == [WINDOW_HOPS]
