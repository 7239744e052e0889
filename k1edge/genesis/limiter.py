"""No flash above 3 Hz and no flash of saturated red: the last look at every command before it leaves for one K1.

Consumes the commands for one device with the time they are sent, emits the commands to send in their place: the same,
a tamer copy, none yet, or also a scene that was held back. What others have set on the device it is told (`saw`). Counts what
it stopped. One per device.

A flash is a pair of opposing changes of at least a tenth of full luminance (WCAG 2.3.1, ITU-R BT.1702). How a pattern
turns commands into light is not known, so the worst is assumed: every beat is a full flash that has died PULSE_MS
later; every macro moves the whole field by as much as the macro moves, times the brightness and the sensitivity; a change of
brightness moves it once; a new pattern or palette moves it either way, and so does any other parameter that jumps or goes back
by a tenth of its range. All these changes are put on one line of time, where changes in the same direction that follow each
other are one; within any second there may be six, which is three flashes (`flashes.py` counts).

Beats above the limit lose their tick and keep tempo and phase; a scene waits. What would cost a beat that is to come at this
tempo stays where it is, if it is a macro, or waits for a second, if it is a step of brightness (either may rise before a beat
and fall as one dies for nothing). A palette with saturated red, or one that warmth makes so, glows but never flashes: in such
a scene there are no ticks, and after one change of luminance the opposite one waits for a second, as the palette does to come
back. Saturation is kept where no hue is a saturated red.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

from k1edge.device_facts import DEFAULTS, PARAMETERS
from k1edge.frames import MACROS
from k1edge.genesis.flashes import WINDOW_MS, Change, runs_per_window
from k1edge.genesis.red import MAX_SATURATION, may_be_red

CHANGES = 6
"""Three pairs in any second: 3 Hz."""
RED_CHANGES = 1
STEP = 0.1
"""Share of full luminance from which a change counts."""
PULSE_MS = 200.0
MEMORY_MS = 1500.0
UNREAD = ("", -1)
"""The look of a scene that cannot be read: it may be red."""
RESERVE = 2
"""Changes kept free while a scene waits, so that it waits for a second at most; a step of brightness lets beats go first for as
long."""

NOTHING = ("", -2)
"""The look before there was one."""


class _Seen(NamedTuple):
    """What a K1 shows with a scene."""

    look: tuple[str, int]
    red: bool
    """It may show a saturated red."""
    stands: dict[str, float]
    """Every parameter."""

    @property
    def brightness(self) -> float:
        return self.stands["brightness"]

    def light(self, level: float) -> float:
        """What a macro of this level makes of the field."""
        return min(level * max(self.stands["audio_sensitivity"], 1.0), 1.0) * self.brightness


def _share(name: str, value: float) -> float:
    """Of the parameter's range."""
    limits = PARAMETERS[name]
    return (value - limits.low) / (limits.high - limits.low)


class _Wish(NamedTuple):
    """A scene that is to go out."""

    scene: Any
    seen: _Seen
    turns: bool
    """It moves the light, one cannot say which way."""
    paler: bool
    """It has lost saturation."""
    since_ms: float


class _Swing:
    """One quantity that may move the light: its extremes since its last counted change."""

    def __init__(self, value: float = 0.0) -> None:
        self._low = self._high = self._value = value
        self._went = 0

    def way(self, value: float) -> int:
        """+1 or -1 if going to `value` is a change of STEP or more, else 0."""
        if value >= self._low + STEP - 1e-9:
            return 1
        return -1 if value <= self._high - STEP + 1e-9 else 0

    def go(self, value: float) -> None:
        """The light has gone to `value`."""
        way = self.way(value)
        self._low = value if way else min(self._low, value)
        self._high = value if way else max(self._high, value)
        self._value, self._went = value, way or self._went

    def turns(self, value: float) -> bool:
        """Whether going to `value` is a change by a jump, or back; a sweep in smaller steps is one change."""
        way = self.way(value)
        return way != 0 and (way != self._went or abs(value - self._value) >= STEP - 1e-9)


class Limiter:
    """Commands of one K1 in, safe commands out."""

    def __init__(self) -> None:
        self.stopped: Counter[str] = Counter()
        """How often what was changed or held back: beat, macro, scene, saturation."""
        self._beats: dict[int, float] = {}
        self._last_due, self._last_number, self._period_ms = float("-inf"), 0, 0.0
        self._changes: list[Change] = []
        self._swings = {name: _Swing() for name in MACROS}
        self._levels = dict.fromkeys(MACROS, 0.0)
        self._scene_swing = _Swing()
        self._turns = {name: _Swing(_share(name, value)) for name, value in DEFAULTS.items() if name != "brightness"}
        self._shown = _Seen(NOTHING, False, DEFAULTS)
        self._red_until_ms = float("-inf")
        """When what may be red was shown last."""
        self._held: _Wish | None = None

    def process(self, command: Any, at_ms: float) -> tuple[Any, ...]:
        """What to send for a `cmd/...` message at `at_ms` (on the edge's clock, which never goes back), in this order."""
        self._forget(at_ms)
        if command.LEAF == "cmd/scene":
            waits, self._held = self._held, self._wish(command, at_ms)
            released = self._release(at_ms)
            if not released and (waits is None or waits.seen.look != self._held.seen.look):
                self.stopped["scene"] += 1
            return released
        released = self._release(at_ms)
        if command.LEAF == "cmd/beat":
            command = self._beat(command, at_ms)
        elif command.LEAF == "cmd/macro":
            command = self._macro(command, at_ms)
        return (*released, command)

    def call_off(self) -> bool:
        """The scene that waits is wanted no more; whether one did."""
        waited, self._held = self._held is not None, None
        return waited

    def saw(self, scene: Any | None, at_ms: float) -> None:
        """Somebody else has set a scene on the K1; None = one that cannot be read. What waited is older."""
        self._forget(at_ms)
        self._held = None
        unread = _Seen(UNREAD, True, self._shown.stands | {"brightness": 1.0})
        self._show(unread if scene is None else self._seen(scene), [(at_ms, 0)], at_ms)

    def _seen(self, scene: Any) -> _Seen:
        """A scene on this K1, which keeps what is left out; of brightness, the most is assumed, and of two palettes a red."""
        stands = self._shown.stands | {"brightness": 1.0}
        for name, value in scene.parameters.items():
            if name in PARAMETERS:
                stands[name] = min(max(float(value), PARAMETERS[name].low), PARAMETERS[name].high)
        red = "palette_id" in scene.parameters or may_be_red(scene.palette_id, stands["warmth"], stands["saturation"])
        return _Seen((scene.pattern, scene.palette_id), red, stands)

    def _wish(self, scene: Any, at_ms: float) -> _Wish:
        """The scene as it may go out, when it may."""
        seen = self._seen(scene)
        paler = seen.stands["saturation"] > MAX_SATURATION
        if paler:
            scene = scene.model_copy(update={"parameters": {**scene.parameters, "saturation": MAX_SATURATION}})
            seen = self._seen(scene)
        turns = seen[:2] != self._shown[:2] or any(
            swing.turns(_share(name, seen.stands[name])) for name, swing in self._turns.items()
        )
        return _Wish(scene, seen, turns, paler, at_ms if self._held is None else self._held.since_ms)

    def _forget(self, at_ms: float) -> None:
        since = at_ms - MEMORY_MS
        self._beats = {number: due for number, due in self._beats.items() if due > since}
        self._changes = [change for change in self._changes if change[0] > since]

    @property
    def _red(self) -> bool:
        """A red palette is shown, or waits for the beats to end."""
        return self._shown.red or (self._held is not None and self._held.seen.red)

    def _yields(self, wish: _Wish, at_ms: float) -> bool:
        """Whether beats to come go first: for a second, before a change within the look that stands; not before a new look."""
        return wish.seen.look == self._shown.look and at_ms < wish.since_ms + WINDOW_MS

    def _allowance(self, at_ms: float) -> int:
        waits = self._held is not None and not self._yields(self._held, at_ms)
        return (RED_CHANGES if self._red else CHANGES) - (RESERVE if waits else 0)

    def _runs(self, more: list[Change], beats: list[float]) -> int:
        """Runs in the worst second, with these changes and exactly these beats on the line of time."""
        line = self._changes + more
        for due, following in pairwise([*sorted(beats), float("inf")]):
            line += [(due, 1), (min(due + PULSE_MS, (due + following) / 2), -1)]
        return runs_per_window(sorted(line))

    def _beat(self, command: Any, at_ms: float) -> Any:
        if not command.tick:
            return command
        number, due = command.number, at_ms + max(command.due_in_ms, 0.0)
        every = min(max(number - self._last_number, 1), 2)  # of a fast tempo every other beat flashes
        self._last_due, self._last_number, self._period_ms = due, number, every * 60_000 / command.bpm
        # A correction replaces the beat while that is still to come; afterwards it is one more flash.
        if self._beats.get(number, at_ms + 1) <= at_ms:
            number = min(0, *self._beats) - 1
        others = [t for n, t in self._beats.items() if n != number]
        if self._red or self._runs([], [*others, due]) > self._allowance(at_ms):
            self.stopped["beat"] += 1
            return command.model_copy(update={"tick": False, "strength": 0.0})
        self._beats[number] = due
        return command

    def _macro(self, command: Any, at_ms: float) -> Any:
        kept: dict[str, float] = {}
        beats, room = list(self._beats.values()), self._allowance(at_ms)
        to_come, most = beats, 0
        for name, swing in self._swings.items():
            level = getattr(command, name)
            light = self._shown.light(level)
            if way := swing.way(light):
                change = [(at_ms, way)]
                if not most:
                    # A macro may do what adds nothing to the flashes there are and will be; more only while there is room.
                    to_come = self._foreseen(at_ms)
                    most = max(self._runs([], to_come), room)
                if self._runs(change, beats) > room or self._runs(change, to_come) > most:
                    kept[name] = self._levels[name]
                    continue
                self._changes += change
            swing.go(light)
            self._levels[name] = level
        if not kept:
            return command
        self.stopped["macro"] += 1
        return command.model_copy(update=kept)

    def _foreseen(self, at_ms: float) -> list[float]:
        """When beats are due, with those of the next second if they go on coming, and the one that ends the last of these;
        without those that could not flash."""
        beats = list(self._beats.values())
        if self._red or at_ms > self._last_due + 2 * self._period_ms:
            return beats
        to_come = int((at_ms + WINDOW_MS + PULSE_MS - self._last_due) / self._period_ms)
        for due in (self._last_due + n * self._period_ms for n in range(1, to_come + 1)):
            if self._runs([], [*beats, due]) <= CHANGES:
                beats.append(due)
        return beats

    def _release(self, at_ms: float) -> tuple[Any, ...]:
        """The scene that waits, if it may go now."""
        wish = self._held
        if wish is None:
            return ()
        changes = [(at_ms, 0)] if wish.turns else self._brighter_or_darker(wish.seen, at_ms)
        if changes and not self._fits(wish, changes, at_ms):
            return ()
        if wish.paler:
            self.stopped["saturation"] += 1
        self._held = None
        self._show(wish.seen, changes, at_ms)
        return (wish.scene,)

    def _show(self, seen: _Seen, changes: list[Change], at_ms: float) -> None:
        """What the K1 shows from now on, and what this has changed."""
        if self._shown.red:
            self._red_until_ms = at_ms
        self._shown = seen
        self._changes += changes
        self._scene_swing.go(seen.brightness)
        for name, swing in self._turns.items():
            swing.go(_share(name, seen.stands[name]))
        for name, swing in self._swings.items():
            swing.go(seen.light(self._levels[name]))

    def _brighter_or_darker(self, seen: _Seen, at_ms: float) -> list[Change]:
        ways = {self._scene_swing.way(seen.brightness)}
        ways |= {swing.way(seen.light(self._levels[name])) for name, swing in self._swings.items()}
        return [(at_ms, way) for way in ways if way]

    def _fits(self, wish: _Wish, changes: list[Change], at_ms: float) -> bool:
        beats, red = list(self._beats.values()), self._shown.red
        if wish.seen.red and any(due + PULSE_MS > at_ms for due in beats):
            return False
        if wish.seen.red and not red and at_ms < self._red_until_ms + WINDOW_MS:
            return False
        room = RED_CHANGES if red else CHANGES
        if self._runs(changes, beats) > room:
            return False
        return not self._yields(wish, at_ms) or self._runs(changes, self._foreseen(at_ms)) <= room
