import pytest

from k1edge.frames import BeatEvent, BeatState, Macros, Section, StreamFormat
from k1edge.genesis.structure import Form
from k1edge.genesis.tally import Tally

FMT = StreamFormat(48_000)
LIVE, MAP, ANOTHER = None, object(), object()


def beat(tally, source, number, at_s, late_ms=0.0):
    """Number and time, s, under which a beat is told; None where it is not."""
    event = BeatEvent(number, FMT.index(at_s + late_ms / 1000), 0, False, 1.0, 0.9)
    told = tally.beat(BeatState(FMT.index(at_s - 0.15), 120.0, 0.0, 0.9, True, (), event), source).announced
    return told and (told.number, round(FMT.seconds(told.due), 3))


def test_whoever_finds_a_beat_its_number_is_the_next():
    tally = Tally(FMT, 7)
    found = [(LIVE, 1), (LIVE, 2), (MAP, 1), (MAP, 2), (ANOTHER, 1), (LIVE, 7), (LIVE, 8), (MAP, 3)]
    told = [beat(tally, source, number, at / 2) for at, (source, number) in enumerate(found)]
    assert told == [(8 + at, at / 2) for at in range(8)]


def test_a_live_beat_is_put_right_under_its_number_until_a_map_has_gone_on():
    tally = Tally(FMT)
    assert beat(tally, LIVE, 1, 1.0) == (1, 1.0)
    assert beat(tally, LIVE, 1, 1.0, 40.0) == (1, 1.04)
    assert beat(tally, MAP, 1, 1.5) == (2, 1.5)


@pytest.mark.parametrize("late_ms", [-150.0, -60.0, -8.0, 8.0, 60.0, 150.0])
@pytest.mark.parametrize(("first", "following"), [(LIVE, MAP), (MAP, LIVE), (MAP, ANOTHER)])
def test_no_beat_is_told_by_two(first, following, late_ms):
    tally = Tally(FMT)
    assert beat(tally, first, 4, 1.0) == (4 if first is LIVE else 1, 1.0)
    assert beat(tally, following, 9, 1.0, late_ms) is None
    assert beat(tally, following, 10, 1.5, late_ms) == (5 if first is LIVE else 2, 1.5 + late_ms / 1000)


def section(tally, source, found):
    return tally.form(Form(found, (), Macros()), source).section


def test_no_index_is_told_for_two_sections():
    tally, live = Tally(FMT), [Section("verse", 0, 0.5, True, n) for n in range(4)]
    stored = [Section("chorus", 0, 0.9, False, n) for n in range(3)]
    found = [(LIVE, live[0]), (LIVE, live[1]), (MAP, stored[1]), (MAP, stored[2]), (LIVE, live[1]), (LIVE, live[3]),
             (ANOTHER, stored[0]), (LIVE, live[3])]  # fmt: skip
    assert [section(tally, *each).index for each in found] == [0, 1, 2, 3, 4, 6, 7, 8]


def test_a_stream_whose_map_leads_from_the_beginning_begins_with_its_first_section():
    first = Section("intro", 0, 0.9, False, 0)
    assert section(Tally(FMT), MAP, first) is first


def test_a_section_that_is_counted_on_is_one_object_and_keeps_its_index_when_its_label_is_put_right():
    tally, verse = Tally(FMT), Section("verse", 0, 0.5, True, 0)
    section(tally, LIVE, verse)
    section(tally, MAP, Section("chorus", 0, 0.9, False, 0))
    told = section(tally, LIVE, verse)
    assert section(tally, LIVE, verse) is told
    assert section(tally, LIVE, Section("drop", 0, 0.9, False, 0)) == Section("drop", 0, 0.9, False, told.index)
