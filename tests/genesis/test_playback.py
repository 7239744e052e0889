import json
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate, groupby, pairwise

import numpy as np
import pytest

from k1edge.frames import BeatEvent, BeatState, FeatureFrame, Macros, Section, StreamFormat
from k1edge.genesis.document import plain, seal
from k1edge.genesis.playback import AHEAD_S, MapPlayer
from k1edge.genesis.score import plain_score, read_score, score_of
from k1edge.genesis.structure import Form
from k1edge.genesis.wire import Wire
from tests.genesis.songs import song_v4

FMT = StreamFormat(48_000)
LEAD_MS = 150.0
BANDS, NOVELTY, CHROMA = np.zeros(80), np.zeros(4), np.zeros(12)


def song(beats: int = 64):
    document = song_v4(beats, 500.0)
    document["layers"]["annotations"]["sections"] = [
        {"label": "intro", "start_ms": 0.0, "end_ms": 16_500.0},
        {"label": "drop", "start_ms": 16_500.0, "end_ms": 32_800.0},
    ]
    document["layers"]["annotations"]["drops"] = [{"at_ms": 16_500.0, "confidence": 0.9}]
    return seal(document)


def player_of(stored, start: int | None = 0) -> MapPlayer:
    return MapPlayer(score_of(stored), FMT, LEAD_MS, start)


@pytest.fixture
def player() -> MapPlayer:
    """Leads from the beginning of the song."""
    return player_of(song())


def features(hop: int, silent: bool) -> FeatureFrame:
    return FeatureFrame(hop * FMT.hop, BANDS, NOVELTY, -100.0 if silent else -20.0, -90.0, 0.0, CHROMA, silent)


def live(hop: int, event: BeatEvent | None = None, tempo_bpm: float = 99.0, lock: bool = True) -> BeatState:
    return BeatState(hop * FMT.hop, tempo_bpm, 0.3, 0.4, lock, (), event, 0)


def form(label: str = "verse", wire: str = "music") -> Form:
    return Form(Section(label, 0, 0.5, True), (), Macros(energy=0.7), wire=Wire(wire, 1.0, 0))


def heard_at(hop: int, number: int, offset_ms: float = 0.0) -> BeatEvent:
    return BeatEvent(number, FMT.index(hop / 100 + offset_ms / 1000), 0, False, 1.0, 0.5)


def play(player: MapPlayer, hops: range, offset_ms: float | None = None, every: int = 50) -> list[BeatEvent]:
    """Live beats every 500 ms, or every so many hops, `offset_ms` beside the map's."""
    events = []
    for hop in hops:
        event = heard_at(hop, hop // every + 1, offset_ms) if offset_ms is not None and hop % every == 0 else None
        state = player.beat(live(hop, event))
        if state.announced:
            events.append((state.end, state.announced))
    return events


def test_every_beat_of_the_map_is_announced_once_and_ahead():
    events = play(player_of(song()), range(3200))
    assert [event.number for _, event in events] == list(range(1, 65))
    assert [event.due for _, event in events] == [FMT.index(0.5 * n) for n in range(1, 65)]
    assert all(140 <= 1000 * FMT.seconds(event.due - end) <= LEAD_MS for end, event in events)
    assert [event.in_bar for _, event in events[:5]] == [1, 2, 3, 4, 1]
    assert events[0][1].downbeat and not events[1][1].downbeat


@pytest.mark.parametrize("beside_ms", [0.005, 30.0, 150.0])
@pytest.mark.parametrize("number", [0, 20])
def test_two_beats_that_are_nearer_than_any_tempo_are_one(number, beside_ms):
    document = song_v4(64, 500.0)
    rhythm = document["layers"]["rhythm"]
    rhythm["beat_grid_ms"].insert(number + 1, rhythm["beat_grid_ms"][number] + beside_ms)
    rhythm["beat_strength"].insert(number + 1, 0.1)
    player = player_of(seal(document))
    states = [player.beat(live(hop)) for hop in range(3200)]
    assert all(state.tempo_bpm == pytest.approx(120.0) for state in states)
    assert [s.announced.due for s in states if s.announced] == [FMT.index(0.5 * n) for n in range(1, 65)]
    assert 0.1 not in {s.announced.strength for s in states if s.announced}


@pytest.mark.parametrize(
    ("downbeats", "places", "per_bar"),
    [
        ([1], [0, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3], 4),
        ([0, 3, 12], [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1], 3),
        ([0, 4, 9, 13], [1, 2, 3, 4, 1, 2, 3, 4, 5, 1, 2, 3, 4, 1, 2, 3], 4),
        ([0, 14], [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 1, 2], 4),
        ([], [0] * 16, 0),
    ],
)
def test_bars_of_the_usual_length_go_on_where_downbeats_are_missing(downbeats, places, per_bar):
    document = song_v4(16, 500.0)
    document["layers"]["rhythm"]["downbeat_ms"] = [500.0 * (n + 1) for n in downbeats]
    player = player_of(seal(document))
    assert [event.in_bar for _, event in play(player, range(800))] == places
    assert player.beat(live(800)).beats_per_bar == per_bar


def changing(*bars: int):
    """A song whose bars have so many beats, and one beat more; two sections, the second from the sixth bar."""
    lines = list(accumulate(bars, initial=0))
    document = song_v4(lines[-1] + 1, 500.0)
    at_ms = document["layers"]["rhythm"]["beat_grid_ms"]
    document["layers"]["rhythm"]["downbeat_ms"] = [at_ms[n] for n in lines]
    document["layers"]["annotations"]["sections"] = [
        {"label": "verse", "start_ms": at_ms[0], "end_ms": at_ms[lines[5]]},
        {"label": "bridge", "start_ms": at_ms[lines[5]], "end_ms": at_ms[-1]},
    ]
    return seal(document)


def test_a_metre_that_changes_is_told_with_each_beat():
    bars = [2] * 4 + [4] * 4 + [3] * 4 + [2] * 4
    player = player_of(changing(*bars))
    states = [player.beat(live(hop)) for hop in range(2300)]
    told = [(state.announced.in_bar, state.beats_per_bar) for state in states if state.announced]
    assert told == [(n + 1, beats) for beats in bars for n in range(beats)] + [(1, 2)]
    assert [beats for beats, _ in groupby(state.beats_per_bar for state in states)] == [2, 4, 3, 2]


def test_bars_are_counted_in_the_metre_that_they_have():
    bars = [3] * 4 + [4] * 4
    player = player_of(changing(*bars))
    player.beat(live(0))
    for number, beat in enumerate(accumulate(bars, initial=0)):
        found = player.form(form(), FMT.index(0.5 + beat / 2))
        assert (found.bars, found.bars_left) == ((number, 5 - number) if number < 5 else (number - 5, 0))


def test_tempo_and_phase_are_those_of_the_map():
    state = player_of(song()).beat(live(1025))
    assert (state.tempo_bpm, state.lock) == (pytest.approx(120.0), True)
    assert state.phase == pytest.approx(0.5)


@pytest.mark.parametrize("number", [1, 30, 61])
@pytest.mark.parametrize("instead", [[0.0], [], [-250.0, 0.0]], ids=["all", "one missing", "one too many"])
def test_a_steady_song_is_told_steadily_whatever_single_beats_of_its_map_are(number, instead):
    document = song_v4(64, 500.0)
    rhythm = document["layers"]["rhythm"]
    beats = [at_ms + (-8.0, 5.0, 8.0)[n % 3] for n, at_ms in enumerate(rhythm["beat_grid_ms"])]
    beats[number : number + 1] = [beats[number] + beside_ms for beside_ms in instead]
    rhythm |= {"beat_grid_ms": beats, "downbeat_ms": [], "beat_strength": [1.0] * len(beats)}
    player = player_of(seal(document))
    assert all(player.beat(live(hop)).tempo_bpm == pytest.approx(120.0, rel=0.01) for hop in range(3200))


def test_a_drop_is_told_before_it_comes_and_the_bars_to_it_are_counted():
    player, told = player_of(song()), []
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
    assert left[100] == 8 and left[1400] == 1 and left[1700] == 0


def test_a_section_is_one_object_as_long_as_it_lasts():
    player, sections = player_of(song()), set()
    for hop in range(100, 1000):
        player.beat(live(hop))
        sections.add(id(player.form(form(), hop * FMT.hop).section))
    assert len(sections) == 1


@pytest.mark.parametrize(("at_s", "bars", "left"), [(16.51, 0.005, 8), (20.5, 2.0, 6), (21.5, 2.5, 6), (32.0, 7.75, 1)])
def test_bars_are_those_of_the_section_of_the_map(at_s, bars, left):
    stored = plain(song())
    stored["layers"]["annotations"]["sections"].append({"label": "outro", "start_ms": 32_500.0, "end_ms": 32_800.0})
    player = player_of(seal(stored))
    player.beat(live(0))
    found = player.form(replace(form(), bars=17.0), FMT.index(at_s))
    assert found.bars == pytest.approx(bars) and found.bars_left == left


def test_silence_is_believed_to_the_ear():
    assert player_of(song()).form(form("silence"), 48_000).section.label == "silence"


@pytest.mark.parametrize("offset_ms", [0.0, 45.0, -45.0])
def test_a_small_drift_is_told_and_nothing_else(player, offset_ms):
    play(player, range(2500), offset_ms)
    assert player.leads and player.drift_ms == pytest.approx(offset_ms, abs=1)


@pytest.mark.parametrize("offset_ms", [60.0, -60.0, 95.0])
def test_a_start_that_was_given_wrongly_is_put_right_by_small_steps_once_that_is_sure(player, offset_ms):
    events = play(player, range(2500), offset_ms)
    beside_ms = [1000 * ((FMT.seconds(event.due) + 0.25) % 0.5 - 0.25) for _, event in events]
    assert beside_ms[:30] == pytest.approx([0.0] * 30, abs=0.1)
    assert beside_ms[-1] == pytest.approx(offset_ms, abs=1) and player.drift_ms == pytest.approx(0, abs=1)
    assert max(abs(b - a) for a, b in pairwise(beside_ms)) <= 10.1


@pytest.mark.parametrize(("offset_ms", "nudged_at"), [(0.0, 100), (0.0, 1800), (95.0, 2300)])
def test_a_map_that_a_person_has_nudged_stays_where_it_was_put(player, offset_ms, nudged_at):
    play(player, range(nudged_at), offset_ms)
    player.nudge(70.0)
    put = player.start
    play(player, range(nudged_at, 3200), offset_ms)
    assert player.state == "leading" and player.start == put


def test_a_large_drift_for_five_seconds_hands_the_light_back_to_the_live_engine(player):
    events = play(player, range(2500), 140.0)
    assert player.state == "rolled_back" and not player.leads
    numbers = [event.number for _, event in events]
    assert numbers == list(range(1, len(numbers) + 1))
    dues = [event.due for _, event in events]
    assert dues[-1] % 24_000 == FMT.index(0.14)
    assert player.form(form(), 48_000).section.label == "verse"


def test_a_map_of_one_beat_is_compared_like_any_other():
    player = MapPlayer(replace(score_of(song()), beats_ms=[500.0], strengths=[1.0]), FMT, LEAD_MS)
    play(player, range(100), 0.0)
    assert player.leads


def test_after_the_last_beat_the_live_engine_leads_again():
    player = player_of(song(8))
    play(player, range(700))
    assert player.state == "over"


def test_a_map_without_sections_leaves_the_form_alone():
    document = song_v4(8)
    del document["layers"]["annotations"]
    player = player_of(seal(document))
    untouched = form()
    assert player.form(untouched, 48_000) is untouched


def heard(player: MapPlayer, silent: range, hops: range, offset_ms: float, first_number: int = 1) -> list[BeatEvent]:
    """The song begins where the silence ends; the live beats are those of the map, `offset_ms` later."""
    events, number, begins = [], first_number, silent.stop
    for hop in hops:
        event = None
        if hop > begins and (hop - begins) % 50 == 0:
            event = heard_at(hop, number, offset_ms)
            number += 1
        player.hear(features(hop, hop in silent))
        state = player.beat(live(hop, event))
        if state.announced:
            events.append(state.announced)
    return events


def test_a_deployed_map_waits_for_the_song_that_begins_after_a_pause():
    player = player_of(song(), None)
    heard(player, range(500, 600), range(500), 0.0)
    assert (player.state, player.start) == ("waiting", None)
    events = heard(player, range(500, 600), range(500, 900), 0.0)
    assert player.state == "leading"
    assert player.start == pytest.approx(FMT.index(6.0), abs=3 * FMT.hop)
    assert [round(FMT.seconds(event.due), 1) for event in events[:3]] == [6.5, 7.0, 7.5]


def test_a_map_that_begins_by_ear_is_moved_to_the_live_beats_by_small_steps():
    player = player_of(song(), None)
    events = heard(player, range(50), range(2550), 60.0)
    late_ms = [1000 * ((FMT.seconds(event.due) + 0.25) % 0.5 - 0.25) for event in events]
    assert late_ms[0] == pytest.approx(0, abs=31) and late_ms[-1] == pytest.approx(60, abs=5)
    dues = [event.due for event in events]
    assert all(abs(1000 * FMT.seconds(b - a) - 500) <= 10.1 for a, b in pairwise(dues))


def rest(player: MapPlayer, hops: range, wire: str, silent: bool = False) -> list[BeatEvent]:
    """No live beat, and `wire` on the wire."""
    announced = []
    for hop in hops:
        player.hear(features(hop, silent))
        announced.append(player.beat(live(hop, lock=False)).announced)
        player.form(form(wire=wire), hop * FMT.hop)
    return [event for event in announced if event]


@pytest.mark.parametrize("wire", ["speech", "noise", "silence"])
def test_a_map_rests_where_neither_music_nor_a_beat_is_heard_and_goes_on_with_the_music(player, wire):
    events = [event for _, event in play(player, range(1000), 0.0)] + rest(player, range(1000, 1400), wire)
    assert rest(player, range(1400, 1910), wire) == [] and player.form(form(wire=wire), 1910 * FMT.hop).section.label == "verse"
    rest(player, range(1910, 1912), "music")
    after = [event for _, event in play(player, range(1912, 2500), 0.0)]
    assert player.leads and FMT.seconds(after[0].due) == 19.5
    assert [event.number for event in events + after] == list(range(1, len(events + after) + 1))


def test_a_beat_on_a_doubtful_wire_keeps_the_map(player):
    for hop in range(1500):
        player.beat(live(hop))
        player.form(form(wire="noise"), hop * FMT.hop)
    assert player.leads


def test_a_song_that_was_heard_to_begin_is_over_when_nothing_plays():
    player = player_of(song(), None)
    heard(player, range(60), range(1000), 0.0)
    rest(player, range(1000, 1500), "speech")
    assert player.state == "over"


def test_a_click_is_not_the_beginning_of_the_song():
    player = player_of(song(), None)
    heard(player, range(60), range(61), 0.0)
    assert player.leads
    rest(player, range(61, 2000), "silence", True)
    assert (player.state, player.start) == ("waiting", None)
    events = heard(player, range(2000), range(2000, 3000), 0.0, 100)
    assert player.leads and FMT.seconds(events[0].due) == pytest.approx(20.5, abs=0.04)


def test_a_quiet_beginning_is_waited_out():
    player = player_of(song(), None)
    heard(player, range(60), range(61), 0.0)
    rest(player, range(61, 1000), "noise")
    assert player.state == "leading" and not player.leads
    rest(player, range(1000, 1002), "music")
    assert player.leads


def test_another_song_hands_the_light_back_although_its_mean_error_is_small():
    player = player_of(song(128))
    play(player, range(6000), 0.0, every=43)
    assert player.state == "rolled_back"


def test_a_live_engine_that_counts_double_does_not_condemn_the_map(player):
    play(player, range(2500), 0.0, every=25)
    assert player.leads and player.drift_ms == pytest.approx(0, abs=1)


@pytest.mark.parametrize("sides_ms", [[240.0], [-235.0], [247.0, -247.0]])
def test_a_live_engine_on_the_off_beat_does_not_condemn_the_map(player, sides_ms):
    for hop in range(2500):
        number = hop // 50
        player.beat(live(hop, heard_at(hop, number + 1, sides_ms[number % len(sides_ms)]) if hop % 50 == 0 else None))
    assert player.leads


def test_a_map_half_a_beat_beside_the_accents_that_are_heard_is_given_up_where_the_live_beats_are_too():
    player = MapPlayer(replace(score_of(song(128)), accents=[(0.8, -0.4)] * 128), FMT, LEAD_MS)
    for hop in range(5000):
        number, beside = hop // 50, 25 if hop > 1025 else 0  # the needle jumps
        novelty = np.array([1.0, 0.0, 0.0, 0.2]) if hop % 50 == beside + 3 else np.zeros(4)
        player.hear(replace(features(hop, False), novelty=novelty))
        event = heard_at(hop, number + 1) if hop % 50 == beside else None
        player.beat(live(hop, event))
        assert player.leads or hop > 1025
    assert player.state == "rolled_back" and "250 ms off" in player.given_up


def pitched(
    player: MapPlayer, pct: float, seconds: int, *, per_beat: float = 1.0, begins: int = 0, from_hop: int = 0,
    tempo_off: float = 0.0, each: Callable[[], object] = lambda: None,
) -> list[BeatEvent]:
    """The song begins after so many silent hops, so much faster; the live engine counts `per_beat` beats to one of its own."""
    period_s, number, events = 0.5 / (1 + pct / 100) / per_beat, 0, []
    for hop in range(from_hop, from_hop + begins + 100 * seconds):
        event, due_s = None, (from_hop + begins) / 100 + number * period_s
        if hop / 100 >= due_s:
            number += 1
            event = BeatEvent(number, FMT.index(due_s), 0, False, 1.0, 0.5)
        player.hear(features(hop, hop < begins))
        state = player.beat(live(hop, event, 60 / period_s * (1 + tempo_off)))
        events += [state.announced] if player.leads and state.announced else []
        each()
    return events


def off_ms(events: list[BeatEvent], pct: float, begins: int) -> list[float]:
    """How far each is from where the song, so much faster, has one."""
    period_s = 0.5 / (1 + pct / 100)
    return [1000 * ((FMT.seconds(event.due) - begins / 100 + period_s / 2) % period_s - period_s / 2) for event in events]


@pytest.mark.parametrize("start", [None, 0], ids=["heard", "given"])
@pytest.mark.parametrize("per_beat", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("pct", [-8.0, -4.0, -1.5, 1.5, 3.0, 6.0])
def test_a_map_of_a_song_that_a_dj_plays_faster_or_slower_follows_it(pct, per_beat, start):
    player, begins = player_of(song(256), start), 60 if start is None else 0
    events = pitched(player, pct, 60, per_beat=per_beat, begins=begins)
    assert player.leads
    late = [event for event in events if event.due > FMT.index(30)]
    assert max(map(abs, off_ms(late, pct, begins))) < 25
    beats = [round((FMT.seconds(event.due) - begins / 100) * (2 + pct / 50)) for event in late]
    assert [event.in_bar for event in late] == [(beat - 1) % 4 + 1 for beat in beats]
    assert player.beat(live(begins + 6000)).tempo_bpm == pytest.approx(120 * (1 + pct / 100), rel=0.002)


@pytest.mark.parametrize("tempo_off", [-0.005, 0.005])
def test_a_speed_that_was_learned_from_a_tempo_a_little_off_is_put_right_by_the_beats(tempo_off):
    player = player_of(song(256))
    events = pitched(player, 4.0, 90, tempo_off=tempo_off)
    assert max(map(abs, off_ms([event for event in events if event.due > FMT.index(60)], 4.0, 0))) < 10
    assert player.beat(live(9000)).tempo_bpm == pytest.approx(120 * 1.04, rel=0.001)


def test_a_map_that_follows_has_its_sections_and_drops_where_they_sound(player):
    pitched(player, 4.0, 12)
    (drop,) = player.form(form(), 1200 * FMT.hop).moments
    assert drop.kind == "drop" and FMT.seconds(drop.due) == pytest.approx(16.5 / 1.04, abs=0.02)
    section = player.form(form(), 1600 * FMT.hop).section
    assert section.label == "drop" and FMT.seconds(section.since) == pytest.approx(16.5 / 1.04, abs=0.02)


def test_a_map_that_is_deployed_in_mid_song_leaves_out_no_beat_and_no_drop_when_the_speed_is_known():
    document, before = song_v4(400, 500.0), 10_000
    document["layers"]["annotations"]["drops"] = [{"at_ms": 103_000.0, "confidence": 0.9}]
    player, drops, events, number = MapPlayer(score_of(seal(document)), FMT, LEAD_MS, -before * FMT.hop), [], [], 0
    for hop in range(1500):
        event, due_s = None, number * 0.5 / 0.95
        if hop / 100 >= due_s:
            number += 1
            event = BeatEvent(number, FMT.index(due_s), 0, False, 1.0, 0.5)
        state = player.beat(live(hop, event, 114.0))
        events += [FMT.seconds(state.announced.due)] if state.announced else []
        drops += [FMT.seconds(moment.due) for moment in player.form(form(), hop * FMT.hop).moments]
    assert player.leads
    assert max(b - a for a, b in pairwise(sorted(events))) < 1.2
    assert drops[-1] == pytest.approx(103.0 / 0.95 - 100, abs=0.3)


@pytest.mark.parametrize("sound_ms", [2000.0, 3000.0])
def test_a_start_that_is_given_is_where_the_file_begins_although_it_begins_with_silence(sound_ms):
    player = MapPlayer(replace(score_of(song(256)), sound_ms=sound_ms), FMT, LEAD_MS, 0)
    events = pitched(player, 6.0, 40)
    assert player.leads
    assert max(map(abs, off_ms([event for event in events if event.due > FMT.index(15)], 6.0, 0))) < 25


def test_a_speed_is_forgotten_with_the_song_that_it_was_learned_of():
    player = player_of(song(256), None)
    pitched(player, 5.0, 6, begins=60)
    rest(player, range(660, 1500), "silence", True)
    assert player.state == "waiting"
    pitched(player, 0.0, 30, from_hop=1500)
    assert player.leads and player.beat(live(4600)).tempo_bpm == pytest.approx(120.0)


def test_a_map_leads_on_where_the_live_engine_loses_its_lock_while_a_speed_is_learned():
    player = player_of(song(256))
    pitched(player, 4.0, 3)
    for hop in range(300, 1000):
        player.beat(live(hop, lock=False))
    assert player.leads


@pytest.mark.parametrize("pct", [-4.0, 7.0])
def test_a_map_rests_until_the_speed_is_known(pct):
    player, led = player_of(song(256)), []
    pitched(player, pct, 12, each=lambda: led.append(player.leads))
    assert led[-1] and 0.5 < led.count(False) / 100 < 5


@pytest.mark.parametrize("pct", [-14.0, 12.0])
def test_a_song_that_no_dj_plays_so_fast_is_another(pct):
    player = player_of(song(256))
    pitched(player, pct, 30)
    assert player.state == "rolled_back"


def test_a_map_is_given_up_when_a_fader_moves_later():
    player = player_of(song(256))
    pitched(player, 0.0, 30)
    pitched(player, 4.0, 20, from_hop=3000)
    assert player.state == "rolled_back"


def test_another_tempo_of_the_live_engine_for_a_moment_does_not_condemn_the_map():
    player = player_of(song(128))
    for hop in range(6000):
        event = heard_at(hop, hop // 50 + 1, 240.0) if hop % 50 == 0 else None
        player.beat(live(hop, event, 124.0 if hop % 1000 < 300 else 120.0))
    assert player.leads


def test_what_was_compared_before_the_lock_was_lost_does_not_condemn_the_map(player):
    play(player, range(600), 140.0)
    for hop in range(600, 1200):
        player.beat(live(hop, lock=False))
    assert player.leads


def test_a_map_that_is_stopped_leads_no_more_and_says_it_once(player):
    play(player, range(300))
    assert player.stop() and not player.stop()
    assert player.state == "stopped" and player.form(form(), 48_000).section.label == "verse"


def test_a_score_survives_the_way_through_json():
    document = song_v4(16)
    for point in document["layers"]["frequency"]["bass"][:3]:
        point["intensity"] = 0.0
    score = score_of(seal(document))
    assert read_score(json.loads(json.dumps(plain_score(score)))) == score
