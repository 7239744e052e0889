import pytest

from k1edge.frames import BeatEvent, BeatState, Macros, Section, StreamFormat
from k1edge.genesis.document import seal
from k1edge.genesis.playback import AHEAD_S, MapPlayer
from k1edge.genesis.structure import Form
from tests.genesis.songs import song_v4

FMT = StreamFormat(48_000)
LEAD_MS = 150.0


def song(beats: int = 64):
    document = song_v4(beats, 500.0)
    document["layers"]["annotations"]["sections"] = [
        {"label": "intro", "start_ms": 0.0, "end_ms": 16_500.0},
        {"label": "drop", "start_ms": 16_500.0, "end_ms": 32_800.0},
    ]
    document["layers"]["annotations"]["drops"] = [{"at_ms": 16_500.0, "confidence": 0.9}]
    return seal(document)


def live(hop: int, event: BeatEvent | None = None) -> BeatState:
    return BeatState(hop * FMT.hop, 99.0, 0.3, 0.4, True, (), event, 0)


def form(label: str = "verse") -> Form:
    return Form(Section(label, 0, 0.5, True), (), Macros(energy=0.7))


def play(player: MapPlayer, hops: range, offset_ms: float | None = None) -> list[BeatEvent]:
    """Live beats every 500 ms, `offset_ms` beside the map's."""
    events, number = [], 0
    for hop in hops:
        event = None
        if offset_ms is not None and hop % 50 == 0:
            number += 1
            event = BeatEvent(number, FMT.index(hop / 100 + offset_ms / 1000), 0, False, 1.0, 0.5)
        state = player.beat(live(hop, event))
        if state.announced:
            events.append((state.end, state.announced))
    return events


def test_every_beat_of_the_map_is_announced_once_and_ahead():
    events = play(MapPlayer(song(), FMT, LEAD_MS), range(3200))
    assert [event.number for _, event in events] == list(range(1, 65))
    assert [event.due for _, event in events] == [FMT.index(0.5 * n) for n in range(1, 65)]
    assert all(140 <= 1000 * FMT.seconds(event.due - end) <= LEAD_MS for end, event in events)
    assert [event.in_bar for _, event in events[:5]] == [1, 2, 3, 4, 1]
    assert events[0][1].downbeat and not events[1][1].downbeat


def test_tempo_and_phase_are_those_of_the_map():
    state = MapPlayer(song(), FMT, LEAD_MS).beat(live(1025))
    assert (state.tempo_bpm, state.lock) == (pytest.approx(120.0), True)
    assert state.phase == pytest.approx(0.5)


def test_a_drop_is_told_before_it_comes_and_the_bars_to_it_are_counted():
    player, told = MapPlayer(song(), FMT, LEAD_MS), []
    left = {}
    for hop in range(1800):
        player.beat(live(hop))
        found = player.form(form(), hop * FMT.hop)
        told += [(hop / 100, moment) for moment in found.moments]
        left[hop] = found.bars_left
        assert found.section.label == ("intro" if hop < 1650 else "drop")
        assert found.macros.energy == 0.7
    ((at_s, drop),) = told
    assert drop.kind == "drop" and FMT.seconds(drop.due) == 16.5
    assert at_s == pytest.approx(16.5 - AHEAD_S, abs=0.02)
    assert left[100] == 7 and left[1400] == 1 and left[1700] == 0


def test_a_section_is_one_object_as_long_as_it_lasts():
    player = MapPlayer(song(), FMT, LEAD_MS)
    sections = {id(player.form(form(), hop * FMT.hop).section) for hop in range(100, 1000)}
    assert len(sections) == 1


def test_silence_is_believed_to_the_ear():
    assert MapPlayer(song(), FMT, LEAD_MS).form(form("silence"), 48_000).section.label == "silence"


@pytest.mark.parametrize("offset_ms", [0.0, 40.0, -60.0])
def test_a_small_drift_is_told_and_nothing_else(offset_ms):
    player = MapPlayer(song(), FMT, LEAD_MS)
    play(player, range(2500), offset_ms)
    assert player.leads and player.drift_ms == pytest.approx(offset_ms, abs=1)


def test_a_large_drift_for_five_seconds_hands_the_light_back_to_the_live_engine():
    player = MapPlayer(song(), FMT, LEAD_MS)
    events = play(player, range(2500), 140.0)
    assert player.rolled_back and not player.leads
    numbers = [event.number for _, event in events]
    assert numbers == list(range(1, len(numbers) + 1))
    dues = [event.due for _, event in events]
    assert dues[-1] % 24_000 == FMT.index(0.14)
    assert player.form(form(), 48_000).section.label == "verse"


def test_after_the_last_beat_the_live_engine_leads_again():
    player = MapPlayer(song(8), FMT, LEAD_MS)
    play(player, range(700))
    assert not player.leads and not player.rolled_back


def test_a_map_without_sections_leaves_the_form_alone():
    document = song_v4(8)
    del document["layers"]["annotations"]
    player = MapPlayer(seal(document), FMT, LEAD_MS)
    untouched = form()
    assert player.form(untouched, 48_000) is untouched
