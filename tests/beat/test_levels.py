"""Levels are heard by several rows of beats at once: which of them a listener would tap, and when that is said."""

import pickle

import numpy as np
import pytest

from k1edge.audio.synth import SynthSource
from k1edge.beat import levels
from k1edge.beat.beatwise import BeatwiseNetwork
from k1edge.beat.levels import AS_THEY_ARE, HYPOTHESES, LEAST_S, MARGIN, SUREST, UNSURE_BEATS, LevelEar, Levels
from k1edge.beat.observation import logit
from k1edge.beat.rows import BeatRows
from k1edge.beat.sounds import N_COLUMNS
from k1edge.beat.tracker import make_tracker
from k1edge.config import BeatSettings
from k1edge.dsp.features import FeatureExtractor
from tests.beat.heard_beats import PERIOD, SOUNDS, hear_beats
from tests.beat.streams import RATE_HZ, Player, hat, kick, kit_at, snare


def no_view(_bpm):
    return 0.0


class Ear:
    """In place of an ear: likes beats of so many hops, and of them those that begin with these of SOUNDS."""

    likes, sounding, sure = PERIOD, range(0, 16, 2), 2.5

    def __init__(self, _network):
        self.sounds, self.beats = levels.LevelSounds(), 0

    def process(self, rows):
        self.sounds.process(rows)
        self.beats += 1
        if self.beats <= UNSURE_BEATS:
            return None
        first = int(np.abs(SOUNDS - rows[0, : SOUNDS.shape[1]]).sum(axis=1).argmin())
        return self.sure if abs(len(rows) - self.likes) < 3 and first in self.sounding else -2.5


@pytest.fixture
def ears(monkeypatch):
    own = type("Ear", (Ear,), {})
    monkeypatch.setattr(levels, "LevelEar", own)
    return own


def heard(beats, period=PERIOD, first=1, cycle=16):
    rows, found = BeatRows(), Levels(55.0, 215.0)
    hear_beats(rows, [SOUNDS[n % cycle] for n in range(beats)], found.hear, first=first, period=period)
    return rows, found


def band(bpm, seconds, snare_on=(1, 3)):
    """Kick, snare and hats of eighths; beats from half a second on."""
    beats = np.arange(0.5, seconds - 0.5, 60 / bpm)
    kicks = beats[[n % 4 not in snare_on for n in range(len(beats))]]
    snares = beats[[n % 4 in snare_on for n in range(len(beats))]]
    hats = np.sort(np.r_[beats, beats + 30 / bpm])
    return beats, kit_at(seconds, (kick(), kicks, 0.8), (snare(), snares, 0.6), (hat(), hats, 0.25))


def told(samples, beats_s):
    """What is said at the end of a band that is heard by these beats."""
    source = SynthSource(samples, RATE_HZ)
    features, tracker = FeatureExtractor(source.fmt), make_tracker(BeatSettings(), source.fmt)
    rows, found, waiting = BeatRows(), Levels(55.0, 215.0), list(enumerate(beats_s, 1))
    for n, block in enumerate(source, 1):
        frame = features.process(block)
        while waiting and waiting[0][1] * 100 - 15 <= n:
            number, due_s = waiting.pop(0)
            rows.expect(number, due_s * 100, 100 * (beats_s[1] - beats_s[0]))
        begun = rows.hear(n, frame.bands, tracker._ears.process(frame).activation[:2])
        if begun is not None:
            found.hear(begun, rows)
    return found


@pytest.mark.parametrize("bpm", [88, 104, 120])
def test_a_band_is_tapped_at_its_kick_and_snare(bpm):
    beats, samples = band(bpm, 24)
    assert told(samples, beats).verdict(no_view) == AS_THEY_ARE


@pytest.mark.parametrize(("skip", "taps"), [(0, "odd"), (1, "even")])
def test_who_taps_a_band_twice_as_fast_is_told_which_half_to_leave_out(skip, taps):
    beats, samples = band(92, 26)
    eighths = np.interp(np.arange(2 * len(beats) - 1) / 2, np.arange(len(beats)), beats)
    assert told(samples, eighths[skip:]).verdict(no_view) == taps


def test_beats_that_sound_right_are_left_as_they_are(ears):
    ears.likes = PERIOD
    _, found = heard(60)
    # Every second beat begins with a sound that is not liked, which is no worse at any other level.
    assert found.verdict(no_view) == AS_THEY_ARE


@pytest.mark.parametrize(("first", "taps"), [(1, "odd"), (2, "even")])
def test_every_second_beat_is_tapped_where_it_sounds_better(ears, first, taps):
    ears.likes = 2 * PERIOD
    _, found = heard(60, first=first)
    assert found.verdict(no_view) == taps


def test_between_the_beats_is_tapped_too_where_it_sounds_better(ears):
    ears.likes, ears.sounding = 40, range(16)
    _, found = heard(40, period=80)
    assert found.verdict(no_view) == "twice"


@pytest.mark.parametrize(("sounding", "taps"), [({0, 1}, "thirds from 2"), ({0, 2}, "thirds"), ({1, 2}, "thirds from 1")])
def test_every_third_half_of_a_beat_is_tapped_where_it_sounds_better(ears, sounding, taps):
    # Half 2 n is the beat n, and the first beat is number 1: a row from half 2 on begins in the beats 0 and 1 of each three.
    ears.likes, ears.sounding = 1.5 * PERIOD, sounding
    _, found = heard(60, cycle=3)
    assert found.verdict(no_view) == taps


def test_a_row_waits_for_its_next_beat():
    assert [HYPOTHESES["odd"].wait(half) for half in (2, 3, 4, 5, 6)] == [0, 3, 2, 1, 0]
    assert [HYPOTHESES["thirds from 1"].wait(half) for half in (1, 2, 3, 4)] == [0, 2, 1, 0]
    assert HYPOTHESES["twice"].wait(7) == 0 and HYPOTHESES[AS_THEY_ARE].wait(8) == 0


def test_nothing_is_said_before_all_have_been_heard_for_long_enough(ears):
    ears.likes = 2 * PERIOD
    until = next(n for n in range(8, 80, 2) if heard(n)[1].verdict(no_view) != AS_THEY_ARE)
    assert until * PERIOD / 100 > LEAST_S + 2 * UNSURE_BEATS * PERIOD / 100 - 1


def test_what_is_hardly_better_is_no_reason_to_change(ears):
    ears.likes, ears.sure = 2 * PERIOD, -2.5 + MARGIN - 0.1
    _, found = heard(80)
    assert found.verdict(no_view) == AS_THEY_ARE


def test_what_else_is_known_of_the_tempo_counts(ears):
    ears.likes = 2 * PERIOD
    _, found = heard(60)
    assert found.verdict(lambda bpm: -6.0 if bpm < 80 else 0.0) == AS_THEY_ARE


@pytest.mark.parametrize("period", [29, 105])
def test_no_level_beyond_the_range_of_tempi_is_asked_about(ears, period):
    ears.likes = 2 * period if period > 50 else period // 2
    _, found = heard(60, period=period)
    assert found.verdict(no_view) == AS_THEY_ARE


def test_a_level_that_was_taken_goes_on_as_what_was_heard_of_it(ears):
    ears.likes, ears.sure = 2 * PERIOD, 1.5
    rows, found = heard(60)
    score = found._rows["odd"].score
    found.take("odd")
    assert found.verdict(no_view) == AS_THEY_ARE
    hear_beats(rows, [SOUNDS[2 * n % 16] for n in range(4)], found.hear, first=61, start=60 * PERIOD, period=2 * PERIOD)
    assert found.verdict(no_view) == AS_THEY_ARE
    assert found._rows[AS_THEY_ARE].score == pytest.approx(score)


def test_of_beats_that_are_sure_to_be_right_no_others_are_heard(ears):
    ears.likes, ears.sounding = PERIOD, range(16)
    _, found = heard(60)
    assert set(found._rows) == {AS_THEY_ARE}


def test_others_are_heard_as_soon_as_beats_are_no_longer_sure_to_be_right(ears):
    ears.likes, ears.sounding = PERIOD, range(16)
    rows, found = heard(60)
    ears.likes = 2 * PERIOD
    hear_beats(rows, [SOUNDS[n % 16] for n in range(60)], found.hear, first=61, start=60 * PERIOD)
    assert found.verdict(no_view) in ("even", "odd")


def test_beats_of_another_tempo_begin_anew(ears):
    ears.likes = 2 * PERIOD
    rows, found = heard(60)
    hear_beats(rows, [SOUNDS[n % 16] for n in range(6)], found.hear, first=61, start=60 * PERIOD, period=30)
    assert found.verdict(no_view) == AS_THEY_ARE
    assert found._rows[AS_THEY_ARE].ear.beats < 6


def test_of_no_beats_nothing_is_said():
    assert Levels(55.0, 215.0).verdict(no_view) == AS_THEY_ARE


def test_no_beat_decides_and_what_is_put_away_goes_on_as_if_it_had_not_been():
    ear, rng = LevelEar(BeatwiseNetwork(levels.WEIGHTS)), np.random.default_rng(4)
    rows = rng.uniform(0, 4, (40, 40, N_COLUMNS)).astype(np.float32)
    before = [ear.process(beat) for beat in rows[:20]]
    assert before[:UNSURE_BEATS] == [None] * UNSURE_BEATS
    assert all(abs(said) <= logit(SUREST) + 1e-9 for said in before[UNSURE_BEATS:])
    again = pickle.loads(pickle.dumps(ear))
    assert [again.process(beat) for beat in rows[20:]] == [ear.process(beat) for beat in rows[20:]]


class Told:
    """In place of levels: says one thing, and keeps what was taken."""

    def __init__(self, says):
        self.says, self.taken, self.asked = says, [], 0

    def hear(self, begun, rows):
        pass

    def verdict(self, view):
        self.asked += 1
        assert view(100.0) <= 0.0
        return self.says

    def take(self, name):
        self.taken.append(name)
        self.says = AS_THEY_ARE


def on_grid(lines):
    """Number of each beat, and whether it is an odd one of the kicks that are 0.4 s apart."""
    return [(event.number, round((event.due / RATE_HZ - 0.5) / 0.4) % 2) for _, event in lines]


@pytest.mark.parametrize("says", ["even", "odd"])
def test_the_tracker_goes_on_with_the_beats_it_was_told(says):
    player, samples = Player(), kit_at(24, (kick(), np.arange(0.5, 23, 0.4), 0.8))
    player.play(samples[: 12 * RATE_HZ])
    told = {number % 2: odd for number, odd in on_grid(player.heard.lines)}[says == "odd"]
    player.tracker._levels = levels_told = Told(says)
    heard = player.play(samples[12 * RATE_HZ :])
    assert levels_told.taken == [says] and heard.at(16).tempo_bpm == pytest.approx(75, rel=0.02)
    assert {odd for _, odd in on_grid([line for line in heard.lines if 14 < line[0] < 20])} == {told}


@pytest.mark.parametrize("says", ["thirds", "thirds from 1", "thirds from 2"])
def test_the_tracker_goes_on_with_the_third_halves_it_was_told(says):
    player = Player()
    eighths = np.arange(0.5, 11.5, 0.2)
    _, told = player.play(kit_at(12, (kick(), eighths[::2], 0.8), (hat(), eighths, 0.3))).lines[-1]
    player.tracker._levels = levels_told = Told(says)
    eighths = np.arange(0.1, 8, 0.2)  # from second 12 on
    first = round((told.due / RATE_HZ - 12.1) / 0.2) + HYPOTHESES[says].wait(2 * told.number)
    kicks = eighths[first % 3 :: 3]
    heard = player.play(kit_at(8, (kick(), kicks, 0.8), (hat(), eighths, 0.3)))
    assert levels_told.taken == [says]
    found = heard.due_between(13, 19)
    assert len(found) == 10 and max(np.abs(12 + kicks - due).min() for due in found) < 0.05


def test_what_was_counted_at_a_level_is_forgotten_when_a_person_leaves_it():
    player, (_, samples) = Player(), band(120, 12)
    assert player.play(samples).lines[-1][1].in_bar
    player.tracker.halve()
    assert player.tracker._bars.shown == (0, 0)


def tapped_along(samples, taps, every_s):
    """A player whom somebody taps so many beats from second 12.5 on, and the bar shown before the first and after each."""
    player = Player()
    player.play(samples[: 12 * RATE_HZ])
    shown = [player.tracker._bars.shown]
    for tap_s in 12.5 + every_s * np.arange(taps):
        player.play(samples[player.at : round((tap_s + 0.05) * RATE_HZ)])
        player.tracker.tap(round(tap_s * RATE_HZ))
        shown.append(player.tracker._bars.shown)
    return player, shown


def test_what_was_counted_at_a_level_is_forgotten_when_a_person_taps_another():
    _, samples = band(120, 18)
    player, shown = tapped_along(samples, taps=3, every_s=1.0)
    assert [bar == (0, 0) for bar in shown] == [False, False, False, True]
    assert player.play(samples[player.at : player.at + RATE_HZ // 5]).states[-1].tempo_bpm == pytest.approx(60, rel=0.03)


def test_taps_at_the_tempo_that_is_followed_leave_the_count_as_it_is():
    _, shown = tapped_along(band(120, 18)[1], taps=5, every_s=0.5)
    assert (0, 0) not in shown


def test_who_taps_along_has_said_which_level_it_is():
    _, samples = band(120, 20)
    player, _ = tapped_along(samples, taps=4, every_s=0.5)
    player.tracker._levels = told = Told("even")
    assert player.play(samples[player.at :]).states[-1].tempo_bpm == pytest.approx(120, rel=0.02)
    assert not told.asked


def test_what_was_counted_at_a_level_is_forgotten_when_the_ear_leaves_it():
    player, (_, samples) = Player(), band(120, 14)
    player.play(samples[: 12 * RATE_HZ])
    player.tracker._levels = Told("even")
    before = len(player.heard.lines)
    events = [event for _, event in player.play(samples[12 * RATE_HZ :]).lines]
    assert events[before - 1].in_bar and not events[before].in_bar


def test_a_person_who_holds_a_level_is_not_argued_with():
    player, samples = Player(), kit_at(30, (kick(), np.arange(0.5, 29, 0.4), 0.8))
    player.play(samples[: 12 * RATE_HZ])
    player.tracker.halve()
    player.tracker._levels = told = Told("twice")
    player.play(samples[12 * RATE_HZ :])
    assert not told.asked
