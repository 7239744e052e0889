"""No command stream makes a K1 flash above 3 Hz, or flash in saturated red."""

from bisect import bisect_left
from itertools import groupby, pairwise, product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.device_facts import PALETTES, PARAMETERS
from k1edge.genesis.flashes import runs_per_window
from k1edge.genesis.limiter import MACROS, PULSE_MS, Limiter
from k1edge.genesis.red import MAX_SATURATION, may_be_red
from k1edge.k1.contract import BeatCommand, MacroCommand, SceneCommand

STREAMS = 10_000
LAVA, OCEAN, EVENING = (PALETTES.index(name) for name in ("Lava", "Ocean Breeze 036", "Magenta Evening"))


class Command(SimpleNamespace):
    """Quick to make: the fields of a contract message, without its validation."""

    def model_copy(self, update):
        return Command(**{**vars(self), **update})


@pytest.fixture
def limiter():
    return Limiter()


def beat(number, due_in_ms, tick=True, bpm=120.0):
    return Command(LEAF="cmd/beat", number=number, due_in_ms=due_in_ms, tick=tick, strength=1.0, bpm=bpm)


def macro(**levels):
    return Command(LEAF="cmd/macro", **(dict.fromkeys(MACROS, 0.0) | levels))


def scene(pattern="pulse", palette=OCEAN, **parameters):
    return Command(LEAF="cmd/scene", pattern=pattern, palette_id=palette, parameters=parameters)


def played(commands):
    """[(at_ms, command sent)] for [(at_ms, command)]."""
    limiter = Limiter()
    return [(at, sent) for at, command in commands for sent in limiter.process(command, at)]


def luminance(sent, weights, gains, shade):
    """(times, levels, red): what a whole field shows that mixes the macros and the beat's pulse by `weights`, whose
    patterns are `gains` bright and which the parameter `color` shades; written from the contract alone, without a look into
    the limiter."""
    dues = {}
    for at, c in sent:
        if c.LEAF == "cmd/beat":
            number = c.number
            while number in dues and dues[number] <= at:
                number += 0.001
            if c.tick:
                dues[number] = at + max(c.due_in_ms, 0.0)
    due = np.array(sorted(dues.values()))
    ends = np.minimum(due + PULSE_MS, np.append((due[1:] + due[:-1]) / 2, np.inf))
    steps = [(at, c) for at, c in sent if c.LEAF != "cmd/beat"]
    times = sorted({at for at, _ in steps} | set(due) | set(ends))
    # An instant in which one pulse ends as another begins is lit.
    pulses = np.any((due[:, None] <= times) & (times < ends[:, None]), axis=0) * weights[0]
    levels, reds, mix, gain, red, step = [], [], 0.0, 1.0, False, 0
    kept, macros = {"color": 0.33, "warmth": 0.0, "saturation": 0.75, "audio_sensitivity": 1.0}, np.zeros(len(MACROS))
    for t, pulse in zip(times, pulses, strict=True):
        while step < len(steps) and steps[step][0] <= t:
            c = steps[step][1]
            if c.LEAF == "cmd/macro":
                macros = np.array([getattr(c, name) for name in MACROS])
            else:
                kept |= c.parameters
                gain = c.parameters.get("brightness", 1.0) * gains[c.pattern] * (1 - shade * kept["color"])
                red = may_be_red(c.palette_id, kept["warmth"], kept["saturation"])
            mix = weights[1:] @ np.minimum(macros * kept["audio_sensitivity"], 1.0)
            step += 1
        levels.append(gain * (pulse + mix))
        reds.append(red)
    return times, levels, reds


def changes(times, levels, step=0.1):
    """Times of opposing changes of luminance by `step` or more."""
    extreme, way, found = levels[0] if levels else 0.0, 0, []
    for t, level in zip(times, levels, strict=True):
        gap = level - extreme
        if gap * way > 0:
            extreme = level
        elif abs(gap) >= step:
            extreme, way = level, 1 if gap > 0 else -1
            found.append(t)
    return found


def most_in_a_second(found):
    found = np.array(found)
    return max((int(np.sum((found >= t) & (found < t + 1000))) for t in found), default=0)


def most_in_red(times, levels, reds):
    """Changes of luminance in red, and to and from it, in the worst second."""
    most = 0
    for first, since in enumerate(times if any(reds) else ()):
        window = range(first, bisect_left(times, since + 1000))
        if not any(reds[first - 1 : window.stop] if first else reds[: window.stop]):
            continue
        seen = sum(reds[at] != reds[at - 1] for at in window if at)
        for red, lit in groupby(window, key=reds.__getitem__):
            lit = slice(at := next(lit), at + 1 + sum(1 for _ in lit))
            seen += len(changes(times[lit], levels[lit])) if red else 0
        most = max(most, seen)
    return most


def worst_in_a_second(line):
    """Runs of one direction, of [(at_ms, way)] sorted by time, whichever way each 0 has gone."""
    most = 0
    for first, (since, _) in enumerate(line):
        window = [(way,) if way else (1, -1) for at, way in line[first:] if at < since + 1000]
        most = max(most, *(sum(1 for _ in groupby(ways)) for ways in product(*window)))
    return most


@settings(max_examples=300)
@given(st.lists(st.tuples(st.floats(0, 2500), st.sampled_from([1, -1, 0])), max_size=9).map(sorted))
def test_what_may_go_either_way_is_counted_as_it_is_worst(line):
    assert runs_per_window(line) == worst_in_a_second(line)


class Read(list):
    """Counts how often its items are read."""

    reads = 0

    def __getitem__(self, at):
        self.reads += 1
        return super().__getitem__(at)

    def __iter__(self):
        for item in super().__iter__():
            self.reads += 1
            yield item


def test_counting_a_second_costs_as_much_as_there_are_changes_in_it():
    """A macro asks ten times, 20 times a second and K1."""
    line = Read((10.0 * n, (1, -1, 0)[n % 3]) for n in range(150))
    assert runs_per_window(line) == 68
    assert line.reads < 6 * len(line)


def test_a_scene_that_comes_with_a_beat_takes_no_beat_with_it():
    beats = [(470 * n, beat(n, 150, bpm=60_000 / 470)) for n in range(12)]
    for scene_ms in range(5 * 470 + 160, 5 * 470 + 340, 20):
        sent = played(sorted([*beats, (scene_ms, scene("bloom"))], key=lambda each: each[0]))
        assert all(command.tick for _, command in sent if command.LEAF == "cmd/beat")


TURNED = {"color": (0.0, 0.5, 1.0), "warmth": (0.0, 0.5), "saturation": (0.5, 1.0), "audio_sensitivity": (1.0, 4.0)}
"""Parameters of random scenes, from what they are chosen."""


def random_stream(rng):
    """Up to four seconds of anything, at any pace."""
    pace_ms = rng.choice([10, 40, 120])
    at, number, stream = 0.0, 0, []
    for _ in range(rng.integers(5, 45)):
        at += float(rng.exponential(pace_ms))
        kind = rng.random()
        if kind < 0.45:
            number += int(rng.random() < 0.8)
            stream.append((at, beat(number, float(rng.uniform(-50, 300)), bpm=float(rng.uniform(30, 300)))))
        elif kind < 0.85:
            extreme = rng.random() < 0.5
            values = rng.integers(0, 2, 5) if extreme else rng.random(5)
            stream.append((at, macro(**dict(zip(MACROS, map(float, values), strict=True)))))
        else:
            palette = int(rng.choice([LAVA, OCEAN, EVENING], p=[0.3, 0.5, 0.2]))
            parameters = {name: float(rng.choice(values)) for name, values in TURNED.items() if rng.random() < 0.2}
            parameters |= {"brightness": float(rng.random())} if rng.random() < 0.8 else {}
            stream.append((at, scene(str(rng.choice(["pulse", "bloom"])), palette, **parameters)))
    # Quiet ticks afterwards let a scene out that had to wait.
    return stream + [(at + 100 * i, beat(-1, 0, tick=False)) for i in range(1, 25)]


def test_no_random_stream_makes_it_flash_above_3_hz_nor_in_red():
    rng = np.random.default_rng(20)
    for _ in range(STREAMS):
        sent = played(random_stream(rng))
        weights = rng.dirichlet(np.ones(6) * 0.3)
        gains = {"pulse": 1.0, "bloom": float(rng.random())}
        times, levels, reds = luminance(sent, weights, gains, shade=float(rng.random()))
        assert most_in_a_second(changes(times, levels)) <= 6
        assert most_in_red(times, levels, reds) <= 1


def test_the_newest_scene_always_arrives_within_two_seconds():
    rng = np.random.default_rng(21)
    for _ in range(500):
        stream = random_stream(rng)
        wished = [c for _, c in stream if c.LEAF == "cmd/scene"]
        arrived = [c for _, c in played(stream) if c.LEAF == "cmd/scene"]
        assert not wished or arrived[-1].pattern == wished[-1].pattern
        assert not wished or arrived[-1].palette_id == wished[-1].palette_id


@pytest.mark.parametrize("numbers", [200, 3, 1])
def test_a_strobe_of_beats_is_cut_to_three_a_second_whatever_their_numbers(numbers):
    sent = played([(i * 50.0, beat(i % numbers, 0.0)) for i in range(200)])
    shown = [at for at, c in sent if c.tick]
    assert len(sent) == 200
    assert 2.5 <= len(shown) / 10 <= 3.0


def test_house_at_128_bpm_is_left_alone():
    period = 60_000 / 128
    stream = [(i * period, beat(i, 150.0)) for i in range(100)]
    limiter = Limiter()
    assert [limiter.process(c, at) for at, c in stream] == [(c,) for _, c in stream]
    assert not limiter.stopped


def dance(bpm, latency_ms, scenes=()):
    """A minute of beats, of macros that dance to them, and of these scenes, as they are sent to a K1 of this latency."""
    period, rng = 60_000 / bpm, np.random.default_rng(22)
    beats = [(n * period - 150.0, beat(n, 150.0 - latency_ms, bpm=bpm)) for n in range(1, int(bpm))]
    levels = [(float(at), np.clip(np.exp(-(at % period) / 120) + rng.normal(0, 0.15, len(MACROS)), 0, 1)) for at in
              np.arange(0, beats[-1][0], 20)]
    macros = [(at, macro(**dict(zip(MACROS, map(float, level), strict=True)))) for at, level in levels]
    return sorted([*beats, *macros, *scenes], key=lambda each: each[0])


def share_shown(sent):
    return np.mean([c.tick for _, c in sent if c.LEAF == "cmd/beat"])


@pytest.mark.parametrize("latency_ms", [0.0, 90.0])
@pytest.mark.parametrize(("bpm", "share"), [(128.0, 0.97), (150.0, 0.97), (168.0, 0.97), (175.0, 0.94)])
def test_macros_that_dance_take_hardly_a_beat_from_fast_music(bpm, share, latency_ms):
    sent = played(dance(bpm, latency_ms))
    assert share_shown(sent) >= share
    assert len({c.energy for _, c in sent if c.LEAF == "cmd/macro"}) > bpm, "and the macros still move"


@pytest.mark.parametrize("bpm", [160.0, 168.0, 174.0])
def test_a_light_that_swells_and_sinks_takes_hardly_a_beat_from_fast_music(bpm):
    steps = [(400.0 * n + 7, scene(brightness=round(0.5 + 0.3 * np.sin(n / 3), 3))) for n in range(140)]
    sent = played(dance(bpm, 0.0, steps))
    assert share_shown(sent) >= 0.97
    assert len([c for _, c in sent if c.LEAF == "cmd/scene"]) > 100, "and the light still moves"


def test_beats_too_fast_to_be_shown_give_macros_no_leave_to_take_more_of_them():
    """Above 180 bpm the limiter takes one of four by itself."""
    assert share_shown(played(dance(182.0, 120.0))) >= 0.7


def test_a_step_of_brightness_lets_beats_go_first_for_a_second_and_hardly_longer():
    asked = [(3000.0 * n + 7, scene(brightness=0.2 + 0.6 * (n % 2))) for n in range(19)]
    arrived = [at for at, c in played(dance(179.5, 0.0, asked)) if c.LEAF == "cmd/scene"]
    waits = [shown - wanted for shown, (wanted, _) in zip(arrived, asked, strict=True)]
    assert max(waits) < 1500


def test_a_correction_is_not_a_second_flash(limiter):
    for number in range(30):
        limiter.process(beat(number, 150.0), number * 400.0)
        limiter.process(beat(number, 100.0), number * 400.0 + 60)
    assert not limiter.stopped


def test_a_beat_in_a_red_palette_keeps_the_tempo_and_loses_the_flash(limiter):
    limiter.process(scene(palette=LAVA), 0.0)
    (sent,) = limiter.process(beat(1, 100.0), 2000.0)
    assert not sent.tick
    assert limiter.stopped["beat"] == 1


def test_a_red_scene_waits_for_the_beat_that_was_announced(limiter):
    limiter.process(scene(palette=OCEAN), 0.0)
    limiter.process(beat(1, 150.0), 2000.0)
    assert limiter.process(scene(palette=LAVA), 2010.0) == ()
    released = limiter.process(beat(2, 100.0), 2600.0)
    assert [c.LEAF for c in released] == ["cmd/scene", "cmd/beat"]
    assert not released[1].tick


def test_a_scene_that_waits_is_counted_once_however_many_commands_pass_meanwhile(limiter):
    limiter.process(scene(palette=OCEAN), 0.0)
    limiter.process(beat(1, 150.0), 2000.0)
    assert limiter.process(scene(palette=LAVA), 2010.0) == ()
    for at in range(2020, 2120, 20):
        assert [c.LEAF for c in limiter.process(macro(), float(at))] == ["cmd/macro"]
    assert limiter.stopped["scene"] == 1


def test_saturation_is_kept_where_no_red_is_saturated(limiter):
    (sent,) = limiter.process(scene(saturation=1.0, brightness=0.5), 0.0)
    assert sent.parameters == {"saturation": MAX_SATURATION, "brightness": 0.5}
    assert limiter.stopped["saturation"] == 1


def test_what_others_have_saturated_is_paler_when_a_scene_leaves_it_out(limiter):
    limiter.saw(scene(saturation=1.0), 0.0)
    (sent,) = limiter.process(scene(), 2000.0)
    assert sent.parameters == {"saturation": MAX_SATURATION}


@pytest.mark.parametrize("name", ["color", "color_range", "background", "brightness_floor", "custom_param_1", "led_offset"])
@pytest.mark.parametrize(("palette", "most"), [(OCEAN, 6), (LAVA, 1)])
def test_a_parameter_that_is_turned_to_and_fro_is_a_flash_as_brightness_is(name, palette, most):
    limits, period = PARAMETERS[name], 60_000 / 170
    stream = [(310.0 * n, scene(palette=palette, **{name: limits.high if n % 2 else limits.low})) for n in range(60)]
    stream += [(period * n, beat(n, 150.0, bpm=170.0)) for n in range(50)]
    sent = played(sorted(stream, key=lambda each: each[0]))
    scenes = [(at, c.parameters[name]) for at, c in sent if c.LEAF == "cmd/scene"]
    turned = [(at, 0) for (_, before), (at, value) in pairwise(scenes) if value != before]
    ticks = [at + 150.0 for at, c in sent if c.LEAF == "cmd/beat" and c.tick]
    lit = [flash for at in ticks for flash in ((at, 1), (at + period / 2, -1))]
    assert worst_in_a_second(sorted(turned + lit)) <= most
    assert turned, "and the last arrives"


@pytest.mark.parametrize(("palette", "warmth", "tick"), [("Magenta Evening", 0.0, True), ("Magenta Evening", 0.2, False),
                                                         ("Fuschia 7", 0.2, True), ("Fuschia 7", 0.5, False),
                                                         ("Rivendell", 0.5, True), ("Rivendell", 1.0, False)])  # fmt: skip
def test_a_warm_scene_flashes_as_long_as_its_colours_are_no_saturated_red(limiter, palette, warmth, tick):
    limiter.process(scene(palette=PALETTES.index(palette), warmth=warmth), 0.0)
    (sent,) = limiter.process(beat(1, 100.0), 2000.0)
    assert sent.tick is tick


def test_a_red_that_was_left_does_not_come_back_within_a_second(limiter):
    limiter.process(scene(palette=LAVA), 0.0)
    assert limiter.process(scene(palette=OCEAN), 2000.0)
    assert limiter.process(scene(palette=LAVA), 2300.0) == ()
    assert limiter.process(macro(), 2990.0) == (macro(),)
    assert [c.LEAF for c in limiter.process(macro(), 3000.0)] == ["cmd/scene", "cmd/macro"]


def test_a_sensitive_k1_makes_more_of_a_macro_than_it_is(limiter):
    limiter.process(scene(audio_sensitivity=4.0), 0.0)
    for n in range(40):
        limiter.process(macro(energy=0.09 * (n % 2)), 2000.0 + 50 * n)
    assert limiter.stopped["macro"]


def test_a_scene_that_does_not_say_how_bright_it_is_is_as_bright_as_a_k1_can_be(limiter):
    for at, dark_or_unsaid in ((0.0, scene(brightness=0.0)), (3000.0, scene())):
        limiter.process(dark_or_unsaid, at)
    for n in range(20):
        limiter.process(macro(energy=float(n % 2)), 4000.0 + 50 * n)
    assert limiter.stopped["macro"]


def test_macros_are_as_tame_in_a_scene_that_somebody_else_has_set(limiter):
    limiter.process(scene(brightness=0.0), 0.0)
    limiter.saw(scene(brightness=1.0), 2000.0)
    for n in range(20):
        limiter.process(macro(energy=float(n % 2)), 4000.0 + 50 * n)
    assert limiter.stopped["macro"]


@pytest.mark.parametrize("seen", [scene(palette=LAVA), scene(saturation=1.0), scene(palette=EVENING, warmth=0.5),
                                  scene(palette_id=24.0), None])  # fmt: skip
def test_no_beat_flashes_in_what_somebody_else_has_set_if_that_may_be_red(limiter, seen):
    limiter.process(scene(), 0.0)
    limiter.saw(seen, 2000.0)
    assert not limiter.process(beat(1, 100.0), 4000.0)[0].tick
    assert limiter.process(scene(saturation=0.75, warmth=0.0), 6000.0)
    assert limiter.process(beat(2, 100.0), 8000.0)[0].tick


def test_a_scene_that_waits_gives_way_to_one_that_somebody_else_has_set(limiter):
    limiter.process(scene(palette=OCEAN), 0.0)
    limiter.process(beat(1, 150.0), 2000.0)
    assert limiter.process(scene(palette=LAVA), 2010.0) == ()
    limiter.saw(scene(), 2100.0)
    assert [c.LEAF for c in limiter.process(beat(2, 100.0), 2600.0)] == ["cmd/beat"]


def test_the_contracts_own_messages_pass_through(limiter):
    number = BeatCommand.model_construct(number=1, bpm=120.0, due_in_ms=150.0, due_at_ms=150.0, confidence=1.0, tick=True)
    level = MacroCommand.model_construct(**dict.fromkeys(MACROS, 0.5))
    look = SceneCommand.model_construct(pattern="bloom", palette_id=LAVA, parameters={"saturation": 1.0})
    assert limiter.process(number, 0.0) == (number,)
    assert limiter.process(level, 10.0) == (level,)
    assert limiter.process(look, 1000.0)[0].parameters == {"saturation": MAX_SATURATION}


@pytest.mark.parametrize("leaf", ["cmd/sync", "cmd/segment", "cmd/ping"])
def test_what_is_not_light_is_left_alone(leaf):
    other = Command(LEAF=leaf)
    assert Limiter().process(other, 0.0) == (other,)
