"""Which look the K1 is asked for, from the form, by the looks and rules of the configuration.

Consumes `Form` and `BeatState`, emits `Look`, 100 a second; the same object as long as nothing changes, so that whoever
sends looks compares by identity. Four things happen, each in its own time:

    scene     pattern and palette of the section: on a bar line (a drop: when its first beat has been heard, which is a bar
              line, whatever was counted), as rarely as `scenes.py` says; a palette that is the default gives way to one of the
              mood's two, chosen when the scene changes, or has stood for long. Without music, those of what the wire holds:
              silence, speech and noise each idle in their own way
    pace      brightness, speed and softness of the section's look, even where its scene must wait: a breakdown rests and a
              drop is the brightest light in whatever pattern stands
    motion    a build ramps, a breakdown breathes, an outro fades: parameters within the scene, one step per STEP_MS
    level     silence fades to its own, speech and noise duck: brightness alone, so that nothing has to be allowed first

Cost: below 10 us a hop.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain

from k1edge.config import GenesisSettings, LookSettings, RulesSettings
from k1edge.config.looks import DEFAULT_LOOKS, IDLE
from k1edge.device_facts import PALETTES, PARAMETERS
from k1edge.frames import BeatState, Look, Section, StreamFormat
from k1edge.genesis.mood import Mood
from k1edge.genesis.presets import PRESETS, palette_of
from k1edge.genesis.scenes import SceneBudget
from k1edge.genesis.structure import Form

STEP_MS = 400
"""A K1 takes a parameter change each 300 ms; a fade of steps this long is still soft, since the device blends."""
GRACE_S = 0.26
RAMPED = ("speed", "color_range", "brightness")
PACED = ("brightness", "speed", "softness")
SAID = (*RAMPED, "softness")
"""What rules and presets move: every look says it, as it does what others set, since a K1 keeps what is left out."""
UNMUSICAL = frozenset((*IDLE, "unknown"))
"""Looks that follow no bar lines and no mood."""
BRIGHT_VALENCE, EXCITED_AROUSAL = 0.0, 0.55
MOOD_MARGIN = 0.08
DOUBT_BARS = 2
"""For which an outro may be another section after all."""
DUCK_S = 0.8
"""In which speech takes the light down, and gives it back."""


def mood_name(mood: Mood, before: str) -> str:
    """The quadrant of a mood; the one before keeps a margin."""
    margins = [MOOD_MARGIN if word in before else -MOOD_MARGIN if before else 0.0 for word in ("bright", "excited")]
    bright = mood.valence > BRIGHT_VALENCE - margins[0]
    excited = mood.arousal > EXCITED_AROUSAL - margins[1]
    return f"{'bright' if bright else 'dark'} {'excited' if excited else 'calm'}"


class Choreography:
    """Form in, look out; one per stream."""

    def __init__(self, looks: dict[str, LookSettings], fmt: StreamFormat, settings: GenesisSettings,
                 rules: RulesSettings | None = None) -> None:
        self._rules = rules or RulesSettings()
        self._looks, self._fmt = looks, fmt
        self._preset = PRESETS[self._rules.preset]
        self._defaults = {name: PARAMETERS[name].default for name in chain(SAID, *(look.parameters for look in looks.values()))}
        self._budget = SceneBudget(fmt, self._rules)
        self._fade_per_step = STEP_MS / max(1000 * settings.fade_s, STEP_MS)
        self._duck_per_step = STEP_MS / (1000 * DUCK_S)
        self._grace = fmt.index(GRACE_S)
        self._dwell = fmt.index(self._rules.mood_dwell_s)
        self._label = self._pace = "silence"
        """The looks whose scene stands, and whose pace."""
        self._mood, self._mood_since = "", 0
        self._palette = looks["silence"].palette
        self._level = 0.0
        self._dark = not looks["silence"].parameters.get("brightness", self._defaults["brightness"])
        """Nothing has been shown yet."""
        self._gone = -1, 0.0
        """(index of the section, share of its ramp or fade that has been gone)."""
        self._moved: dict[str, float] = {}
        """The motion that is shown."""
        self._next_step = self._soonest = 0
        """When the last look has been taken; and when another may be asked for."""
        self._wire = ""
        self._bar_line = -self._grace - 1
        self._shown = self._look({}, "fade", STEP_MS)
        self._drawn: tuple[float, dict[str, float]] | None = (self._level, {})
        """The level and the motion that it was made of; None where a part of it is still to come."""

    def process(self, form: Form, beat: BeatState) -> Look:
        """The look wanted after one hop."""
        end, label = beat.end, self._wanted(form)
        if form.beat is not None and form.beat.downbeat:
            self._bar_line = form.beat.due
        self._feel(form.mood, end)
        self._budget.hear(end, label)
        if form.wire.state != self._wire:
            self._wire, self._next_step = form.wire.state, self._soonest  # silence and voices wait for no fade to end
        has_room = self._is_news(label, form, end) and self._has_room(label, form, beat)
        if has_room and self._on_line(label, form.section, end):
            self._budget.spend(end, label, first=self._dark)
            self._dark = False
            self._label, self._palette = label, self._palette_for(label)
            self._turn(form, end, label, self._looks[label].transition)
        elif label != self._pace and not has_room and self._may_pace(label, form):
            self._take_pace(form, end, label)
        elif end >= self._next_step:
            darkens = form.section.label == "silence" and not self._brightness("silence")
            in_doubt = form.section.label == "outro" != label
            self._move(form, end, stays=has_room or darkens or in_doubt)
        return self._shown

    def _turn(self, form: Form, end: int, label: str, transition: str) -> None:
        """The light goes over to the look of `label`, as far as its scene stands, and to how far its section has come."""
        self._pace = label
        self._level = self._next_level(form)
        self._moved = motion = self._motion(form)
        self._drawn = (self._level, motion)
        self._show(self._look(motion, transition, self._looks[label].transition_ms), end)

    def _take_pace(self, form: Form, end: int, label: str) -> None:
        """Light, speed and softness of the look of `label`, in the scene that stands. More light comes first and alone: it is a
        part of a beat's flash, the last or the next, which the limiter lets through at once."""
        before = self._shown
        self._turn(form, end, label, "fade")
        brightness = dict(self._shown.parameters)["brightness"]
        if brightness > dict(before.parameters)["brightness"]:
            brighter = tuple((name, brightness if name == "brightness" else value) for name, value in before.parameters)
            self._show(replace(self._shown, parameters=brighter), end)
            self._drawn = None

    def _move(self, form: Form, end: int, *, stays: bool) -> None:
        """One step of level and motion, if there is any. What was moved `stays` so while a scene waits for its bar line, or a
        ramp would fall back just before its drop; and on the way to the dark, or an outro would light up as the song ends."""
        self._level = self._next_level(form)
        self._moved = motion = self._moved if stays else self._motion(form)
        if (self._level, motion) != self._drawn:
            self._drawn = (self._level, motion)
            look = self._look(motion, "fade", STEP_MS)
            if look.parameters != self._shown.parameters:
                self._show(look, end)

    def _show(self, look: Look, end: int) -> None:
        self._shown = look
        self._soonest = end + self._fmt.index(STEP_MS / 1000)
        self._next_step = max(end + self._fmt.index(look.transition_ms / 1000), self._soonest)

    def _wanted(self, form: Form) -> str:
        """The look that would fit. Until the wire is known, while someone speaks over music, and where an outro is in doubt, it
        is the present one: most of those are soon another section, and the light sank and rose for nothing."""
        label, state = form.section.label, form.wire.state
        if label == "silence":
            return label
        if label == "outro" and form.section.provisional and form.bars < DOUBT_BARS and self._label not in UNMUSICAL:
            return self._label
        if state in ("speech", "noise"):
            return state if label == "unknown" or self._label in UNMUSICAL else self._label
        return label if state == "music" or not form.section.provisional else self._label

    def _is_news(self, label: str, form: Form, end: int) -> bool:
        """Whether it is another scene than the one that stands; in a section that lasts, another palette makes it one."""
        if label != self._label:
            return True
        lasts = label == form.section.label and form.wire.state == "music" and self._budget.is_stale(end)
        return lasts and self._palette_for(label) != self._palette

    def _has_room(self, label: str, form: Form, beat: BeatState) -> bool:
        """Whether the scene of a section may come; that of a build comes where it leaves its drop one."""
        if label == "silence" and not self._brightness(label):
            return False
        if label == "build" and form.bars_left:
            bar_s = (beat.beats_per_bar or 4) * 60 / max(beat.tempo_bpm, 1.0)
            if form.bars_left * bar_s < self._rules.min_gap_s:
                return False
        return self._budget.allows(beat.end, label)

    def _may_pace(self, label: str, form: Form) -> bool:
        """Whether light and speed may be those of `label` in a scene of another: of a section that plays, in an idle scene
        while there is music; and of that idle scene again, when it is over."""
        if label in IDLE:
            return label == self._label
        return label == form.section.label and (self._label not in UNMUSICAL or form.wire.state == "music")

    def _on_line(self, label: str, section: Section, end: int) -> bool:
        line, grace = self._bar_line, self._fmt.hop
        if label == "drop":
            line, grace = max(line, section.since), self._grace
        return label in UNMUSICAL or end - line <= grace

    def _feel(self, mood: Mood, end: int) -> None:
        if not mood.arousal or (self._mood and end - self._mood_since < self._dwell):
            return
        name = mood_name(mood, self._mood)
        if name != self._mood:
            self._mood, self._mood_since = name, end

    def _palette_for(self, label: str) -> int:
        own = self._looks[label].palette
        chosen = own != PALETTES.index(DEFAULT_LOOKS[label]["palette"])
        if chosen or not self._rules.mood_palettes or not self._mood or label in UNMUSICAL:
            return own
        return palette_of(self._preset, self._mood, label, self._palette)

    def _next_level(self, form: Form) -> float:
        """Share of the look's brightness, one step nearer to where it should be."""
        if form.section.label == "silence":  # its look may have to wait; its brightness does not
            rest, own = self._brightness("silence"), self._brightness(self._pace)
            return max(self._level - self._fade_per_step, rest / own if rest < own else 1.0)
        if form.wire.state == "silence" and self._label != "silence":
            return self._level  # what has come since, if anything has, is not known yet
        ducked = {} if self._label in IDLE else {"speech": self._rules.speech_brightness, "noise": self._rules.noise_brightness}
        aim = ducked.get(form.wire.state, 1.0)
        step = min(max(aim - self._level, -self._duck_per_step), self._duck_per_step)
        return self._level + step

    def _brightness(self, label: str) -> float:
        return self._value(label, "brightness")

    def _value(self, label: str, name: str) -> float:
        return self._looks[label].parameters.get(name, self._defaults[name])

    def _motion(self, form: Form) -> dict[str, float]:
        """What moves while the section lasts, in whatever scene: name -> -1..1, the share of the way to dark or to full."""
        motion = self._rules.motion[form.section.label]
        if motion.kind == "hold":
            return {}
        bars = form.bars
        if motion.kind == "breathe":
            return {"brightness": -motion.amount * (0.5 - 0.5 * math.cos(2 * math.pi * bars / motion.bars))}
        length = int(bars) + form.bars_left if form.bars_left else motion.bars
        if motion.kind == "ramp":
            length -= 1  # at its top a bar early: a K1 takes one change in 300 ms, and the next is the drop's
        section, gone = self._gone
        gone = max(min(bars / max(length, 1), 1.0), gone if section == form.section.index else 0.0)
        self._gone = form.section.index, gone  # where the end is put off, what has been gone is not gone back
        way = motion.amount * gone
        return dict.fromkeys(RAMPED, way) if motion.kind == "ramp" else {"brightness": -way}

    def _look(self, motion: dict[str, float], transition: str, transition_ms: int) -> Look:
        settings = self._looks[self._label]
        paced = {name: self._value(self._pace, name) for name in PACED}
        parameters = {name: float(value) for name, value in (self._defaults | settings.parameters | paced).items()}
        parameters["speed"] = min(parameters["speed"] * self._preset.pace, 1.0)
        parameters["softness"] = min(max(parameters["softness"] + self._preset.softness, 0.0), 1.0)
        for name, way in motion.items():
            value = parameters[name]
            parameters[name] = value + way * (1 - value if way > 0 else value)
        parameters["brightness"] *= self._level * self._rules.brightness
        return Look(
            name=self._label,
            pattern=settings.pattern,
            palette=self._palette,
            parameters=tuple(sorted((name, round(value, 3)) for name, value in parameters.items())),
            transition=transition,
            transition_ms=transition_ms,
        )
