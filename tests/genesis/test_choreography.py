"""From form to look."""

from itertools import accumulate, groupby, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.config import Settings
from k1edge.config.looks import DEFAULT_LOOKS
from k1edge.device_facts import PALETTES, PARAMETERS, PATTERNS
from k1edge.frames import SECTION_LABELS, BeatState, Macros, Section, StreamFormat
from k1edge.genesis.choreography import GRACE_S, STEP_MS, UNMUSICAL, Choreography, mood_name
from k1edge.genesis.grid import Beat
from k1edge.genesis.mood import Mood
from k1edge.genesis.presets import MOODS, PRESETS, palette_of
from k1edge.genesis.red import may_be_red
from k1edge.genesis.structure import Form
from k1edge.genesis.wire import Wire
from k1edge.k1.palettes import LUMINANCE, colours

HOP, RATE_HZ, BEAT = 441, 44_100, 22_050
FMT = StreamFormat(RATE_HZ)
STILL = Macros()
SPEECH, UNHEARD = ({"wire": Wire(state, 1.0, 0)} for state in ("speech", "silence"))


def _beat(end):
    """The beat due within the hop that ends at `end`, of a steady 120 BPM from sample 0."""
    number = end // BEAT
    return Beat(number, number * BEAT, number % 4 + 1, number // 4, BEAT, True) if end % BEAT < HOP else None


def _show(parts, start=0, looks=None, per_bar=4, **rules):
    """[(label, seconds, ...Form fields)] -> [(end, look)], every time the look changes; what has one label is one section."""
    config = Settings(rules=rules, looks=looks or {})
    stage, shown, end = Choreography(config.looks, FMT, config.genesis, config.rules), [], start
    section = None
    for index, (label, seconds, *more) in enumerate(parts):
        if section is None or label != section.label:
            section = Section(label, end, 1.0, provisional=label != "outro", index=index)
        fields = {"section": section, "wire": Wire("music", 1.0, 0), "mood": Mood(valence=0.5, arousal=0.8)}
        fields |= more[0] if more else {}
        for _ in range(int(seconds * 100)):
            end += HOP
            form = Form(moments=(), macros=STILL, beat=_beat(end), **({"bars": (end - section.since) / BEAT / 4} | fields))
            look = stage.process(form, BeatState(end, 120.0, 0.0, 1.0, True, beats_per_bar=per_bar))
            if not shown or look is not shown[-1][1]:
                shown.append((end, look))
    return shown


def _value(look, name="brightness"):
    return dict(look.parameters)[name]


def _scenes(shown):
    return [(end, look.name) for (_, before), (end, look) in pairwise(shown) if look.name != before.name]


def test_a_section_gets_its_look_on_a_bar_line():
    shown = _show([("silence", 1), ("verse", 5)])
    ((end, name),) = _scenes(shown)
    assert name == "verse"
    assert shown[-1][1].pattern == Settings().looks["verse"].pattern
    assert end % (4 * BEAT) < HOP


def test_a_drop_is_shown_when_it_is_called_and_not_a_bar_later():
    called_s = 40 + 0.25
    shown = _show([("verse", called_s), ("drop", 5)])
    assert _scenes(shown)[-1] == (FMT.index(called_s) + HOP, "drop")


def test_a_drop_is_a_bar_line_whatever_was_counted():
    called_s = 41.5 + 0.25
    shown = _show([("verse", 41.5), ("drop", 5)])
    assert _scenes(shown)[-1] == (FMT.index(41.5) + HOP, "drop")
    assert _scenes(_show([("verse", called_s), ("chorus", 5)]))[-1][0] >= FMT.index(42.0)


def test_a_drop_whose_scene_came_too_late_is_no_reason_to_miss_the_next():
    song = [("bridge", 22), ("intro", 24), ("verse", 14), ("drop", 20), ("breakdown", 22), ("chorus", 20), ("drop", 1)]
    assert [name for _, name in _scenes(_show(song))] == ["bridge", "intro", "verse", "chorus", "drop"]


def test_the_first_light_leaves_a_minute_its_changes_and_stays_for_as_long_as_any():
    song = [("intro", 5), ("verse", 25), ("drop", 10), ("breakdown", 15)]
    scenes = _scenes(_show(song))
    assert [name for _, name in scenes] == ["intro", "verse", "drop"]
    assert 20 <= (scenes[1][0] - scenes[0][0]) / RATE_HZ < 22.1
    lit = _scenes(_show(song, looks={"silence": {"parameters": {"brightness": 0.2}}}))
    assert [name for _, name in lit] == ["intro", "verse"], "from one light to another"


def test_a_voice_and_a_silence_do_not_wait_for_a_fade_to_end():
    song = [("verse", 30), ("drop", 12), ("outro", 1)]
    for label, wire in (("silence", "silence"), ("outro", "speech")):
        shown = _show([*song, (label, 1, {"wire": Wire(wire, 1.0, 0)})])
        fading = next(end for end, look in shown if end > 42 * RATE_HZ and look.transition_ms == 4000)
        dark = next(end for end, look in shown if end > 43 * RATE_HZ and look.transition_ms == STEP_MS)
        assert (dark - fading) / RATE_HZ < 1.1


def test_silence_goes_dark_softly():
    shown = _show([("verse", 10), ("silence", 6)])
    steps = [(end / RATE_HZ - 10, _value(look)) for end, look in shown if end > 10 * RATE_HZ]
    assert steps[-1][1] == 0.0
    assert 2.4 <= steps[-1][0] <= 3.6
    levels = [level for _, level in steps]
    assert levels == sorted(levels, reverse=True)
    assert len(levels) >= 5


@pytest.mark.parametrize("lit", [0.1, 0.3])
def test_a_silence_that_is_lit_is_never_darker_than_that_while_its_scene_must_wait(lit):
    shown = _show([("verse", 10), ("silence", 40)], looks={"silence": {"parameters": {"brightness": lit}}})
    silence = [(look.name, _value(look)) for end, look in shown if end > 10 * RATE_HZ]
    waits, told = ([level for name, level in silence if name == wanted] for wanted in ("verse", "silence"))
    assert waits[-1] == pytest.approx(lit, abs=0.002)
    assert min(waits) == waits[-1]
    assert set(told) == {lit}


def test_silence_is_no_scene_change():
    assert [name for _, name in _scenes(_show([("verse", 10), ("silence", 30), ("verse", 5)]))] == ["verse"]


@pytest.mark.parametrize("label", ["outro", "breakdown"])
def test_light_that_has_faded_or_sunk_does_not_rise_when_silence_comes(label):
    shown = _show([("verse", 25), (label, 20), ("silence", 4)])
    last = [_value(look) for end, look in shown if end <= 45 * RATE_HZ][-1]
    steps = [_value(look) for end, look in shown if end > 45 * RATE_HZ]
    assert last < Settings().looks[label].parameters["brightness"]
    assert [last, *steps] == sorted([last, *steps], reverse=True)
    assert steps[-1] == 0.0


def test_light_returns_with_the_music_at_once():
    shown = _show([("verse", 10), ("silence", 6), ("verse", 1.5)])
    assert shown[-1][1].name == "verse"
    assert _value(shown[-1][1]) == pytest.approx(Settings().looks["verse"].parameters["brightness"], abs=0.002)


def test_what_sounds_after_a_silence_is_not_lit_before_it_is_known():
    shown = _show([("verse", 29), ("silence", 6, UNHEARD), ("intro", 1.5, UNHEARD), ("intro", 1)])
    since, known = 35 * RATE_HZ, FMT.index(36.5)
    assert not any(_value(look) for end, look in shown if since < end <= known)
    assert _value(shown[-1][1]) == pytest.approx(Settings().looks["verse"].parameters["brightness"], abs=0.002)


def test_a_pause_within_a_song_leaves_the_light_where_it_is_until_the_music_is_known_again():
    shown = _show([("verse", 29), ("silence", 1, UNHEARD), ("intro", 1.5, UNHEARD)])
    assert not [look for end, look in shown if end > 30 * RATE_HZ]
    assert _value(shown[-1][1]) > Settings().looks["verse"].parameters["brightness"] / 2


def test_the_light_does_not_rise_when_a_speaker_stops():
    shown = _show([("verse", 25), ("verse", 4, SPEECH), ("verse", 1, UNHEARD), ("silence", 6, UNHEARD)])
    levels = [_value(look) for end, look in shown if end > 25 * RATE_HZ]
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] == 0.0


def test_an_announcement_ducks_and_nothing_moves_in_it():
    shown = _show([("verse", 10), ("unknown", 5, SPEECH), ("verse", 3)])
    during = [look for end, look in shown if 12 * RATE_HZ < end <= 15 * RATE_HZ]
    full = Settings().looks["verse"].parameters["brightness"]
    assert _value([look for end, look in shown if end <= 12 * RATE_HZ][-1]) == pytest.approx(full / 2, abs=0.01)
    assert not during
    assert _value(shown[-1][1]) == pytest.approx(full, abs=0.01)


@pytest.mark.parametrize("state", ["speech", "noise"])
def test_what_is_on_a_wire_without_music_chooses_among_three_looks(state):
    not_music = {"wire": Wire(state, 1.0, 0)}
    shown = _show([("verse", 25), ("unknown", 10, not_music), ("silence", 6)])
    looks, wanted = [look for _, look in shown if look.name == state], Settings().looks[state]
    assert {(look.pattern, look.palette) for look in looks} == {(wanted.pattern, wanted.palette)}
    assert max(map(_value, looks)) == pytest.approx(wanted.parameters["brightness"])
    assert _value(looks[-1]) == 0.0


def test_what_is_said_over_music_changes_no_scene_however_the_form_goes_on():
    assert _scenes(_show([("verse", 25), ("chorus", 10, SPEECH), ("drop", 10, SPEECH)])) == _scenes(_show([("verse", 25)]))


def test_nothing_is_shown_before_it_is_known_what_the_wire_holds():
    known = {"wire": Wire("noise", 1.0, 0)}
    assert [name for _, name in _scenes(_show([("unknown", 1, UNHEARD), ("unknown", 5, known)]))] == ["noise"]


def test_a_build_ramps_up_and_never_down_even_where_its_scene_may_not_change():
    shown = [look for end, look in _show([("verse", 30), ("build", 16)]) if end > 30 * RATE_HZ]
    for name in ("brightness", "speed", "color_range"):
        values = [_value(look, name) for look in shown[1:]]
        assert values == sorted(values)
        assert values[-1] > values[0] + 0.15


@pytest.mark.parametrize(("label", "names"), [("build", ("brightness", "speed", "color_range")), ("outro", ("brightness",))])
def test_where_the_end_is_put_off_what_moves_towards_it_does_not_go_back(label, names):
    end_put_off = [(label, 2, {"bars_left": left}) for left in (8, 3, 1, 8, 4, 12, 2)]
    shown = [look for end, look in _show([("verse", 29), *end_put_off]) if end > 30 * RATE_HZ]
    for name in names:
        values = [_value(look, name) for look in shown if name in dict(look.parameters)]
        assert values == sorted(values, reverse=label == "outro")
        assert len(set(values)) > 2


def test_what_a_section_is_like_is_shown_at_once_even_where_its_scene_must_wait():
    song = [("verse", 40), ("drop", 30), ("breakdown", 10), ("build", 10), ("drop", 10)]
    shown = _show(song)
    looks = Settings().looks
    begins = dict(zip(("drop", "breakdown", "build", "again"), (40, 70, 80, 90), strict=True))
    at = {name: next(look for end, look in shown if end > begin * RATE_HZ) for name, begin in begins.items()}
    assert {look.name for look in at.values()} == {"drop"}, "the minute has had its changes"
    assert _value(at["again"]) == _value(at["drop"]) == 1.0
    for name in ("breakdown", "build"):
        assert _value(at[name]) == looks[name].parameters["brightness"]
        assert (at[name].transition, at[name].transition_ms) == ("fade", looks[name].transition_ms)
        assert (at[name].pattern, at[name].palette) == (at["drop"].pattern, at["drop"].palette)
    assert all(_value(at["breakdown"], each) == looks["breakdown"].parameters[each] for each in ("speed", "softness"))
    assert _value(at["build"], "softness") == _value(at["breakdown"], "softness"), "more light comes alone"
    later = next(look for end, look in shown if end > 81.5 * RATE_HZ)
    assert _value(later, "softness") == looks["build"].parameters["softness"]
    rising = [_value(look) for end, look in shown if 80 * RATE_HZ < end < 90 * RATE_HZ]
    assert rising == sorted(rising)
    assert _value(at["build"]) + 0.2 < rising[-1] < 0.8


@pytest.mark.parametrize("idle", ["speech", "noise"])
def test_music_that_begins_in_an_idle_scene_has_its_light_at_once_and_gives_it_back(idle):
    looks, calm = Settings().looks, {"wire": Wire(idle, 1.0, 0)}
    shown = _show([("verse", 40), ("unknown", 6, calm), ("chorus", 4), ("unknown", 2, calm)])
    assert [name for _, name in _scenes(shown)] == ["verse", idle], "the scene waits"
    light = {at_s: next(_value(look) for end, look in reversed(shown) if end <= at_s * RATE_HZ) for at_s in (46, 47, 52)}
    of_idle, of_chorus = (looks[label].parameters["brightness"] for label in (idle, "chorus"))
    assert light == {46: of_idle, 47: of_chorus, 52: of_idle}


def test_a_section_whose_scene_comes_with_the_next_bar_line_is_not_shown_in_two_steps():
    shown = _show([("verse", 30.5), ("chorus", 10)])
    chorus = [(end, look) for end, look in shown if end > 30.5 * RATE_HZ]
    assert chorus[0][1].name == "chorus"
    assert 31.9 * RATE_HZ < chorus[0][0] < 32.1 * RATE_HZ


def test_music_that_begins_anew_has_not_the_light_of_the_drop_before_it():
    shown = _show([("verse", 22), ("chorus", 22), ("drop", 5), ("silence", 5), ("unknown", 5, SPEECH), ("unknown", 3)])
    assert shown[-1][1].name == "drop", "the minute has had its changes"
    assert _value(shown[-1][1]) == pytest.approx(Settings().looks["unknown"].parameters["brightness"])


def test_an_outro_is_shown_when_it_is_sure_or_has_lasted():
    doubtful = {"section": Section("outro", 30 * RATE_HZ, 0.6, provisional=True, index=1), "bars": 0.5}
    assert _show([("verse", 30), ("verse", 2, doubtful), ("verse", 2)]) == _show([("verse", 34)])
    assert _scenes(_show([("verse", 30), ("verse", 2, doubtful), ("outro", 3)]))[-1][1] == "outro"
    assert _scenes(_show([("verse", 30), ("verse", 3, doubtful | {"bars": 2.0})]))[-1][1] == "outro"
    begins = _show([("silence", 3), ("outro", 3, {"section": Section("outro", 0, 0.6, provisional=True), "bars": 0.5})])
    assert begins[-1][1].name == "outro", "from the dark there is nothing to keep"


def test_what_keeps_the_scene_that_stands_keeps_its_light_too():
    shown = _show([("verse", 30), ("build", 10), ("drop", 1, SPEECH)], changes_per_minute=1)
    assert _value(shown[-1][1]) < 1.0, "somebody speaks: nothing begins"


def test_a_ramp_is_at_its_top_a_bar_before_its_end_so_that_the_drop_need_not_wait():
    bars = [("build", 2, {"bars_left": left}) for left in (4, 3, 2, 1)]
    shown = _show([("verse", 30), ("chorus", 8), ("drop", 12), *bars])
    last = [end for end, look in shown if end > 56.4 * RATE_HZ]
    assert not last
    assert _value(shown[-1][1]) == pytest.approx(0.45 + 0.6 * 0.55)


WAITING = [("verse", 20), ("chorus", 20), ("drop", 10), ("breakdown", 10)]
"""The breakdown is shown in the scene of the drop."""


def test_softness_follows_more_light_where_nothing_moves():
    shown = _show([*WAITING, ("drop", 2)])
    looks = Settings().looks
    assert _value(shown[-2][1]) == _value(shown[-1][1]) == 1.0
    assert _value(shown[-2][1], "softness") == looks["breakdown"].parameters["softness"]
    assert _value(shown[-1][1], "softness") == looks["drop"].parameters["softness"]
    assert shown[-1][0] - shown[-2][0] >= FMT.index(STEP_MS / 1000), "a K1 takes one change in 300 ms"


def test_a_lit_silence_after_a_section_whose_scene_waited_is_as_bright_as_it_is_set():
    lit = {"silence": {"parameters": {"brightness": 0.3}}}
    shown = _show([*WAITING, ("silence", 1.8)], looks=lit, changes_per_minute=1)
    assert shown[-1][1].name != "silence"
    assert _value(shown[-1][1]) == pytest.approx(0.3, abs=0.002)


def test_speech_over_a_section_whose_scene_waits_ducks_the_light_of_that_section():
    shown = _show([*WAITING, ("breakdown", 4, SPEECH)])
    assert shown[-1][1].name == "drop"
    assert _value(shown[-1][1]) <= 0.5 * Settings().looks["breakdown"].parameters["brightness"]


def test_what_has_been_ramped_stays_while_the_next_scene_waits_for_its_bar_line():
    shown = _show([("verse", 30), ("build", 21), ("chorus", 3)])
    before, (end, chorus) = shown[-2][1], shown[-1]
    assert (before.name, chorus.name) == ("build", "chorus")
    assert end > 51.9 * RATE_HZ, "the next bar line"
    assert _value(before) > 0.7


def test_the_scene_of_a_build_comes_only_where_its_drop_can_have_one_too():
    for left, names in ((8, ["build", "drop"]), (3, ["drop"])):
        coming = ("build", 6.5, {"bars_left": left})
        assert [name for _, name in _scenes(_show([("verse", 61), coming, ("drop", 8)]))][1:] == names
    five = [("verse", 61), ("build", 6.5, {"bars_left": 5})]
    assert [_scenes(_show(five, per_bar=metre))[-1][1] for metre in (4, 3)] == ["build", "verse"], "a waltz is there sooner"


def test_a_scene_that_comes_in_the_middle_of_its_build_is_as_bright_as_the_ramp_by_then():
    shown = _show([("verse", 25), ("chorus", 25), ("build", 50)])
    after = next(look for _, look in shown if look.name == "build")
    before = [look for _, look in shown][[look for _, look in shown].index(after) - 1]
    assert _value(after) >= _value(before)
    assert _value(after) > Settings().looks["build"].parameters["brightness"] + 0.1


def test_every_look_says_what_ramps_and_other_looks_set():
    song = [("intro", 29), ("build", 16), ("drop", 10), ("silence", 6)]
    shown = [dict(look.parameters) for _, look in _show(song, looks={"verse": {"parameters": {"warmth": 0.5}}})]
    assert {frozenset(parameters) for parameters in shown} == {frozenset(
        ("brightness", "brightness_floor", "color_range", "saturation", "softness", "speed", "warmth"))}  # fmt: skip
    assert max(parameters["color_range"] for parameters in shown) > 0.3
    assert shown[-1]["color_range"] == shown[-1]["warmth"] == 0.0


def test_a_breakdown_breathes():
    values = [_value(look) for _, look in _show([("verse", 30), ("breakdown", 24)]) if look.name == "breakdown"][4:]
    turns = sum((b - a) * (c - b) < 0 for a, b, c in zip(values, values[1:], values[2:], strict=False))
    assert turns >= 4
    assert min(values) > 0.5 * max(values)


def test_the_same_look_is_the_same_object_while_nothing_changes():
    assert len(_show([("verse", 30)])) <= 4


def test_a_mood_dwells_and_its_palette_waits_for_the_scene():
    bright, dark = Mood(valence=0.5, arousal=0.8), Mood(valence=-0.5, arousal=0.2)
    shown = _show([("verse", 20, {"mood": bright}), ("verse", 60, {"mood": dark}), ("chorus", 10, {"mood": dark})])
    palettes = [(look.name, look.palette) for _, look in shown if look.name != "silence"]
    assert len(dict.fromkeys(palettes)) == 2
    assert palettes[0][1] == palette_of(PRESETS["edm"], "bright excited", "verse")
    assert palettes[-1][1] == palette_of(PRESETS["edm"], "dark calm", "chorus")


def test_a_mood_that_is_over_before_it_has_dwelt_is_not_shown():
    bright, dark = Mood(valence=0.5, arousal=0.8), Mood(valence=-0.5, arousal=0.2)
    song = [("verse", 10, {"mood": bright}), ("verse", 15, {"mood": dark}), ("chorus", 3, {"mood": dark})]
    wanted = {mood_dwell_s: _show(song, mood_dwell_s=mood_dwell_s)[-1][1].palette for mood_dwell_s in (10, 45)}
    assert wanted == {10: palette_of(PRESETS["edm"], "dark calm", "chorus"),
                      45: palette_of(PRESETS["edm"], "bright excited", "chorus")}


def test_the_two_palettes_of_a_mood_take_turns():
    first = palette_of(PRESETS["lounge"], "bright excited", "verse")
    second = palette_of(PRESETS["lounge"], "bright excited", "verse", first)
    shown = _show([("verse", 70), ("bridge", 70), ("verse", 10)], preset="lounge")
    palettes = [palette for palette, _ in groupby(look.palette for _, look in shown if look.name != "silence")]
    assert palettes == [first, second, first]


def test_a_section_that_lasts_does_not_stay_in_one_colour():
    shown = _show([("verse", 300)], preset="lounge")
    palettes = [(end, look.palette) for end, look in shown if look.name == "verse"]
    assert len({palette for _, palette in palettes}) == 2
    assert all(90 <= (b - a) / RATE_HZ < 93 and b % (4 * BEAT) < HOP for (a, _), (b, _) in pairwise(palettes))
    assert len(palettes) == 4
    for steady in ({"mood_palettes": False}, {"looks": {"verse": {"palette": "Departure"}}}):
        assert len({look.palette for _, look in _show([("verse", 300)], **steady) if look.name == "verse"}) == 1


def test_where_drops_go_on_a_colour_stays_so_that_the_next_need_not_wait():
    shown = _show([("verse", 25), ("drop", 20), ("verse", 150), ("drop", 1)])
    assert len({look.palette for end, look in shown if 80 * RATE_HZ < end < 195 * RATE_HZ}) <= 1
    assert shown[-1][1].name == "drop"


def test_a_lounge_is_slower_and_softer_than_a_club():
    looks = {preset: _show([("verse", 10)], preset=preset)[-1][1] for preset in ("edm", "lounge")}
    assert _value(looks["lounge"], "speed") <= 0.5 * _value(looks["edm"], "speed")
    assert _value(looks["lounge"], "softness") > _value(looks["edm"], "softness") + 0.1


def test_a_palette_that_somebody_has_chosen_is_kept_whatever_the_mood():
    dragon = PALETTES.index("Emerald Dragon")
    shown = _show([("verse", 30), ("chorus", 10)], looks={"verse": {"palette": dragon}})
    palettes = {look.name: look.palette for _, look in shown}
    assert palettes["verse"] == dragon
    assert palettes["chorus"] == palette_of(PRESETS["edm"], "bright excited", "chorus")


def test_one_key_dims_every_look():
    for song in ([("verse", 30)], [("verse", 30), ("drop", 9)], [("verse", 30), ("drop", 9), ("breakdown", 9)]):
        full, half = (dict(_show(song, brightness=share)[-1][1].parameters) for share in (1.0, 0.5))
        assert half == full | {"brightness": pytest.approx(0.5 * full["brightness"], abs=0.002)}


def test_a_mood_at_the_edge_stays_what_it_was():
    edge = Mood(valence=0.03, arousal=0.57)
    assert mood_name(edge, "dark calm") == "dark calm"
    assert mood_name(edge, "bright excited") == "bright excited"


@pytest.mark.parametrize("look", DEFAULT_LOOKS)
def test_beats_may_flash_in_every_look_that_nobody_has_changed(look):
    given = Settings().looks[look]
    parameters = {name: PARAMETERS[name].default for name in ("warmth", "saturation")} | given.parameters
    assert not may_be_red(given.palette, parameters["warmth"], parameters["saturation"])


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_hold_real_palettes_that_may_flash(preset):
    for mood in MOODS:
        for label in SECTION_LABELS:
            first = palette_of(PRESETS[preset], mood, label)
            second = palette_of(PRESETS[preset], mood, label, first)
            assert first != second
            for palette in (first, second):
                assert not may_be_red(palette, 0.0, 0.0)
                assert PALETTES[palette] not in ("Rainbow Sherbet", "Colorful")


@pytest.mark.parametrize("preset", PRESETS)
def test_where_the_music_lets_go_a_palette_is_no_darker_than_where_it_rests(preset):
    for pairs in PRESETS[preset].palettes.values():
        resting, letting_go = ([float((colours(PALETTES.index(name)) @ LUMINANCE).mean()) for name in pair] for pair in pairs)
        assert max(resting) <= min(letting_go), pairs


_parts = st.lists(
    st.tuples(
        st.sampled_from(SECTION_LABELS),
        st.one_of(st.floats(0.05, 12), st.floats(12, 40)),
        st.fixed_dictionaries({
            "wire": st.builds(Wire, st.sampled_from(3 * ["music"] + ["speech", "noise", "silence"]), st.just(1.0), st.just(0)),
            "mood": st.builds(Mood, valence=st.floats(-1, 1), arousal=st.floats(0, 1)),
            "bars_left": st.integers(0, 32),
        }),
    ),
    min_size=4, max_size=8,
)  # fmt: skip


@settings(max_examples=60)
@given(_parts, st.sampled_from(sorted(PRESETS)))
def test_the_rules_hold_for_any_form(parts, preset):
    shown = _show(parts, preset=preset)
    scenes = _scenes(shown)
    times = [end for end, _ in scenes]
    assert all(b - a >= 8 * RATE_HZ for a, b in pairwise(times))
    assert all(c - a >= 60 * RATE_HZ for a, c in zip(times[1:], times[3:], strict=False)), "the first is light where none was"
    short = [b - a < 20 * RATE_HZ for a, b in pairwise(times)]
    assert all(name == "drop" for near, (_, name) in zip(short, scenes[1:], strict=True) if near)
    assert not any(a and b for a, b in pairwise(short))
    begins = list(accumulate((int(seconds * 100) * HOP for _, seconds, _ in parts), initial=0))
    for end, name in scenes:
        bar_lines = [end - end % (4 * BEAT)] + [begin for begin in begins if name == "drop" and begin <= end]
        late = end - max(bar_lines)
        assert name in UNMUSICAL or late < (GRACE_S * RATE_HZ + HOP if name == "drop" else 2 * HOP)
    assert all(b - a >= 0.29 * RATE_HZ for a, b in pairwise(e for e, look in shown[1:] if look.transition_ms == STEP_MS))
    for _, look in shown:
        assert look.pattern in PATTERNS
        assert 0 <= look.palette < len(PALETTES)
        assert all(PARAMETERS[name].low <= value <= PARAMETERS[name].high for name, value in look.parameters)
