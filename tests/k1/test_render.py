"""The light itself: from the centre, on the beat, in the palette's colours, through the parameters."""

from __future__ import annotations

import colorsys
import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.device_facts import PALETTES, PARAMETERS, PATTERNS, STATIC_PATTERNS, TRANSITIONS
from k1edge.frames import Macros
from k1edge.genesis.presets import PRESETS
from k1edge.k1.palettes import LUMINANCE, colours
from k1edge.k1.patterns import DRAWINGS, drawing
from k1edge.k1.render import frame
from k1edge.k1.simulator import DEFAULTS, Flash, Light, Scene

MUSIC = Macros(energy=0.6, vocal_presence=0.3, bass_weight=0.6, percussiveness=0.6, brightness=0.5)
ON_BEAT = ("pulse", "bloom", "bloom_mirror", "beat_tunnel", "tunnel_glow", "spectrum", "metronome", "hype", "tempiscope",
           "snapwave", "perlin")  # fmt: skip
BPM = 120.0
PRESET_PALETTES = sorted({
    name for preset in PRESETS.values() for pairs in preset.palettes.values() for pair in pairs for name in pair
})  # fmt: skip


def light(pattern="pulse", age_ms=0.0, *, led=True, mix=1.0, transition="fade", before=None, palette_id=30, number=20,
          now_ms=10_000.0, **parameters):  # fmt: skip
    scene = Scene(pattern, palette_id, DEFAULTS | parameters)
    flashes = tuple(Flash(now_ms - 500 * back, now_ms, number - back, back == 0, 0.9) for back in range(4))
    return Light(now_ms + age_ms, led, scene, before or scene, mix, transition, flashes if led else (), BPM, MUSIC)


def brightness(pixels):
    return float(pixels.astype(float).mean())


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_shines_from_the_centre(pattern):
    pixels = frame(light(pattern, 40.0))
    assert (pixels.shape, pixels.dtype) == ((160, 3), np.uint8)
    assert brightness(pixels) > 3
    assert np.array_equal(pixels[79::-1], pixels[80:])


def test_at_least_fourteen_patterns_have_a_drawing_of_their_own():
    assert len(set(DRAWINGS.values())) >= 14
    assert set(DRAWINGS) <= set(PATTERNS)


def test_a_pattern_that_does_not_exist_is_not_drawn():
    with pytest.raises(KeyError):
        drawing("strobe")


@pytest.mark.parametrize("pattern", ON_BEAT)
def test_the_beat_is_seen(pattern):
    on, off = frame(light(pattern, 0.0)), frame(light(pattern, 420.0))
    centre = slice(70, 90)
    assert on[centre].astype(float).mean() > 1.3 * off[centre].astype(float).mean() or brightness(on) > 1.3 * brightness(off)


@pytest.mark.parametrize("pattern", ON_BEAT)
def test_the_beat_moves_the_picture_more_than_the_music_between_beats(pattern):
    """The jump at a beat is larger than any between beats: nothing else can be taken for a beat."""
    rows = [frame(light(pattern, age_ms)).astype(float) for age_ms in range(0, 480, 20)]
    jumps = [np.abs(later - earlier).mean() for earlier, later in itertools.pairwise(rows)]
    at_beat = np.abs(frame(light(pattern, 0.0)).astype(float) - rows[-1]).mean()
    assert at_beat > np.median(jumps)


@pytest.mark.parametrize("pattern", [pattern for pattern in ON_BEAT if pattern != "hype"])
def test_the_beat_after_years_looks_as_the_first_ones(pattern):
    """Its sparks aside, no pattern counts further than to four."""
    for age_ms in (0.0, 130.0, 350.0):
        first, late = (frame(light(pattern, age_ms, number=number)).astype(int) for number in (20, 100_000_000))
        assert np.abs(first - late).max() <= 1


@pytest.mark.parametrize("pattern", ["bloom", "hype", "perlin", "lava", "twilight", "departure"])
def test_the_light_moves_as_smoothly_after_years_as_on_the_first_day(pattern):
    def leap(now_ms):
        rows = np.array([frame(light(pattern, 700.0 + age_ms, now_ms=now_ms)) for age_ms in range(0, 8000, 20)]).astype(int)
        return np.abs(np.diff(rows, axis=0)).max()

    assert leap(1e11) <= 1.2 * leap(1e4) + 1


@pytest.mark.parametrize("pattern", ["pulse", "bloom", "bloom_mirror", "beat_tunnel", "tunnel_glow", "spectrum", "perlin"])
def test_the_more_energy_the_more_light(pattern):
    between = light(pattern, 200.0)
    still, loud = (brightness(frame(replace(between, macros=replace(MUSIC, energy=energy)))) for energy in (0.2, 0.9))
    assert loud > 1.2 * still


@pytest.mark.parametrize("pattern", STATIC_PATTERNS)
def test_a_light_that_rests_never_jumps(pattern):
    rows = np.array([frame(light(pattern, now_ms=1e4 + age_ms)) for age_ms in range(0, 60_000, 50)]).astype(int)
    assert np.abs(np.diff(rows, axis=0)).max() <= 10


@pytest.mark.parametrize("palette", PRESET_PALETTES)
@pytest.mark.parametrize("pattern", ["bloom", "bloom_mirror"])
def test_a_bloom_is_brightest_at_its_heart(pattern, palette):
    for age_ms in (0.0, 100.0, 400.0):
        half = frame(light(pattern, age_ms, palette_id=PALETTES.index(palette)))[80:].astype(float) @ LUMINANCE
        assert half[:20].mean() > 1.4 * half[-20:].mean()


@pytest.mark.parametrize("pattern", ["pulse", "bloom", "bloom_mirror", "beat_tunnel", "tunnel_glow", "spectrum", "perlin"])
def test_the_softer_the_light_the_less_a_beat_stands_out(pattern):
    hard, soft = (
        [brightness(frame(light(pattern, age_ms, softness=softness))) for age_ms in (0.0, 250.0)] for softness in (0.15, 0.85)
    )
    assert hard[0] / hard[1] > 1.15 * soft[0] / soft[1] > 1.15


def test_a_pulse_runs_from_the_centre_to_the_end():
    def front(age_ms):
        half = frame(light("pulse", age_ms))[80:].astype(float).sum(axis=1)
        outer = half[12:]
        return 12 + int(outer.argmax())

    assert front(100) < front(200) < front(300) < front(400)


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(DRAWINGS)), st.floats(0, 5000), st.floats(0, 1), st.sampled_from(TRANSITIONS),
    st.dictionaries(st.sampled_from(sorted(PARAMETERS)), st.floats(0, 1), max_size=10),
    st.integers(0, 32), st.booleans(),
)  # fmt: skip
def test_any_parameters_and_any_moment_give_a_symmetric_picture(pattern, age_ms, mix, transition, unit, palette_id, led):
    limits = {name: PARAMETERS[name] for name in unit}
    inside = {name: limits[name].low + share * (limits[name].high - limits[name].low) for name, share in unit.items()}
    other = Scene("lava", 23, DEFAULTS)
    pixels = frame(light(pattern, age_ms, led=led, mix=mix, transition=transition, before=other, palette_id=palette_id,
                         **inside))  # fmt: skip
    assert np.array_equal(pixels[79::-1], pixels[80:])


def test_no_brightness_is_dark():
    assert not frame(light(brightness=0.0, brightness_floor=0.0)).any()


def test_brightness_floor_keeps_the_strip_from_going_black():
    dark = frame(light("metronome", 200.0, brightness_floor=0.0))
    lifted = frame(light("metronome", 200.0, brightness_floor=0.3))
    assert lifted.max(axis=1).min() > dark.max(axis=1).min()


def test_without_saturation_everything_is_grey():
    pixels = frame(light(saturation=0.0)).astype(int)
    assert (pixels.max(axis=1) - pixels.min(axis=1)).max() <= 2


def test_warmth_takes_the_blue_away():
    cold, warm = (frame(light(palette_id=32, warmth=warmth)).astype(float).mean(axis=0) for warmth in (0.0, 1.0))
    assert warm[2] / warm[0] < cold[2] / cold[0]


def test_the_idle_look_is_dim_and_slow():
    led, own = light("pulse", 0.0), light("pulse", 0.0, led=False)
    assert brightness(frame(own)) < 0.6 * brightness(frame(led))
    later = light("pulse", 20.0, led=False)
    assert np.abs(frame(own).astype(int) - frame(later)).max() < 12


@pytest.mark.parametrize("transition", TRANSITIONS)
def test_a_transition_leads_from_one_scene_to_the_other(transition):
    other = Scene("lava", 22, DEFAULTS)
    between = [frame(light(mix=mix, transition=transition, before=other)).astype(float) for mix in (0.0, 0.5, 1.0)]
    start = frame(light("lava", palette_id=22)).astype(float)
    assert np.abs(between[0] - start).mean() < 2
    assert np.abs(between[2] - frame(light())).mean() < 2
    assert np.abs(between[1] - between[0]).mean() > 1
    assert np.abs(between[1] - between[2]).mean() > 1


def test_a_wipe_opens_from_the_centre():
    other = Scene("lava", 22, DEFAULTS)
    half = frame(light(mix=0.5, transition="wipe_out", before=other))
    assert np.array_equal(half[75:85], frame(light())[75:85])
    assert np.array_equal(half[:5], frame(light("lava", palette_id=22))[:5])


@pytest.mark.parametrize("palette", range(len(PALETTES)), ids=PALETTES)
def test_no_palette_is_a_rainbow(palette):
    """A rainbow passes every hue; a palette here leaves at least two fifths of the circle alone."""
    table = colours(palette)
    hues = [colorsys.rgb_to_hsv(*rgb)[0] for rgb in table if max(rgb) > 0.05 and max(rgb) - min(rgb) > 0.15 * max(rgb)]
    bins = np.unique((np.array(hues) * 20).astype(int))
    assert len(bins) <= 12
    assert not table.flags.writeable


def test_a_palette_that_does_not_exist_becomes_the_first():
    assert np.array_equal(colours(99), colours(0))
    assert len({colours(number).tobytes() for number in range(len(PALETTES))}) == len(PALETTES)
