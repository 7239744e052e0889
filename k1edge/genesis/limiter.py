"""No flash above 3 Hz and no flash of saturated red: the last look at every command before it leaves for one K1.

Consumes the commands for one device with the time they are sent, emits the commands to send in their place: the same,
a tamer copy, none yet, or also a scene that was held back. What others have set on the device it is told (`saw`). Counts what
it stopped. One per device.

A flash is a pair of opposing changes of at least a tenth of full luminance (WCAG 2.3.1, ITU-R BT.1702). How a pattern
turns commands into light is not known, so the worst is assumed: every beat is a full flash that has died PULSE_MS
later; every macro moves the whole field by as much as the macro moves, times the brightness; a change of brightness
moves it once; a new pattern or palette moves it either way. All these changes are put on one line of time, where
changes in the same direction that follow each other are one; within any second there may be six, which is three
flashes.

Beats above the limit lose their tick and keep tempo and phase; a scene waits. What would cost a beat that is to come at this
tempo stays where it is, if it is a macro, or waits for a second, if it is a step of brightness (either may rise before a beat
and fall as one dies for nothing). A palette with saturated red glows but never flashes: in such a scene there are no ticks,
and after one change of luminance the opposite one waits for a second. Saturation is kept where no hue is a saturated red.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from k1edge.device_facts import PALETTES, PARAMETERS
from k1edge.frames import MACROS

WINDOW_MS = 1000.0
CHANGES = 6
"""Three pairs in any second: 3 Hz."""
RED_CHANGES = 1
STEP = 0.1
"""Share of full luminance from which a change counts."""
PULSE_MS = 200.0
MEMORY_MS = 1500.0
MAX_SATURATION = 0.85
"""Red of this saturation is (1, .15, .15): 0.77 of its light is red, and saturated red begins at 0.8."""
RED_PALETTES = frozenset(
    PALETTES.index(name)
    for name in (
        "Sunset Real", "RGI 15", "Analogous 1", "Pink Splash 08", "Pink Splash 07", "Rainbow Sherbet", "IB Jul01", "IB15",
        "Lava", "Fire", "Autumn 19", "Black Magenta Red", "Red Magenta Yellow",
    )
)  # fmt: skip
"""Those with a colour of which 80 % or more is red (the gradients of the FastLED collection, as the firmware carries them)."""
RED_LOOK = ("", min(RED_PALETTES))
"""What may be seen where a scene cannot be read, names two palettes, or has colours beyond MAX_SATURATION."""
RESERVE = 2
"""Changes kept free while a scene waits, so that it waits for a second at most; a step of brightness lets beats go first for as
long."""

Change = tuple[float, int]
"""(time in ms, +1 brighter, -1 darker, 0 either)."""


def runs_per_window(changes: list[Change]) -> int:
    """The most runs of one direction that any WINDOW_MS has a part of, of changes sorted by time."""
    ends: list[float] = []
    direction = most = first = 0
    for at, way in changes:
        if way and way == direction:
            ends[-1] = at
        else:
            direction = way
            ends.append(at)
        while ends[first] <= at - WINDOW_MS:
            first += 1
        most = max(most, len(ends) - first)
    return most


def _look(scene: Any) -> tuple[str, int]:
    return scene.pattern, scene.palette_id


def _brightness(scene: Any) -> float:
    limits = PARAMETERS["brightness"]
    return min(max(float(scene.parameters.get("brightness", limits.default)), limits.low), limits.high)


class _Swing:
    """One quantity that may move the light: its extremes since its last counted change."""

    def __init__(self) -> None:
        self._low = self._high = 0.0

    def way(self, value: float) -> int:
        """+1 or -1 if going to `value` is a change of STEP or more, else 0."""
        if value >= self._low + STEP - 1e-9:
            return 1
        return -1 if value <= self._high - STEP + 1e-9 else 0

    def go(self, value: float) -> None:
        """The light has gone to `value`."""
        counted = self.way(value) != 0
        self._low = value if counted else min(self._low, value)
        self._high = value if counted else max(self._high, value)


class Limiter:
    """Commands of one K1 in, safe commands out."""

    def __init__(self) -> None:
        self.stopped: Counter[str] = Counter()
        """How often what was changed or held back: beat, macro, scene, saturation."""
        self._beats: dict[int, float] = {}
        self._last_due, self._period_ms = float("-inf"), 0.0
        self._changes: list[Change] = []
        self._swings = {name: _Swing() for name in MACROS}
        self._levels = dict.fromkeys(MACROS, 0.0)
        self._scene_swing = _Swing()
        self._brightness = 1.0
        self._look: tuple[str, int] | None = None
        self._held: Any = None
        self._held_since = 0.0

    def process(self, command: Any, at_ms: float) -> tuple[Any, ...]:
        """What to send for a `cmd/...` message at `at_ms` (on the edge's clock, which never goes back), in this order."""
        self._forget(at_ms)
        if command.LEAF == "cmd/scene":
            waits, self._held = self._held, command
            self._held_since = at_ms if waits is None else self._held_since
            released = self._release(at_ms)
            if not released and (waits is None or _look(waits) != _look(command)):
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
        if scene is None:
            self._shows(RED_LOOK, PARAMETERS["brightness"].high, [(at_ms, 0)])
        else:
            known = scene.parameters.get("saturation", 0.0) <= MAX_SATURATION and "palette_id" not in scene.parameters
            self._shows(_look(scene) if known else RED_LOOK, _brightness(scene), [(at_ms, 0)])

    def _forget(self, at_ms: float) -> None:
        since = at_ms - MEMORY_MS
        self._beats = {number: due for number, due in self._beats.items() if due > since}
        self._changes = [change for change in self._changes if change[0] > since]

    @property
    def _red(self) -> bool:
        """A red palette is shown, or waits for the beats to end."""
        wanted = self._held is not None and self._held.palette_id in RED_PALETTES
        return wanted or (self._look is not None and self._look[1] in RED_PALETTES)

    def _yields(self, scene: Any, at_ms: float) -> bool:
        """A step of brightness leaves beats that are to come their room, for a second; a new look does not."""
        return _look(scene) == self._look and at_ms < self._held_since + WINDOW_MS

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
        self._last_due, self._period_ms = due, 60_000 / command.bpm
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
            way = swing.way(level * self._brightness)
            change = [(at_ms, way)] if way else []
            if change and not most:
                # A macro may do what adds nothing to the flashes there are and will be; more only while there is room.
                to_come = self._foreseen(at_ms)
                most = max(self._runs([], to_come), room)
            if change and (self._runs(change, beats) > room or self._runs(change, to_come) > most):
                kept[name] = self._levels[name]
                continue
            self._changes += change
            swing.go(level * self._brightness)
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
        scene = self._held
        if scene is None:
            return ()
        look, brightness = _look(scene), _brightness(scene)
        changes = self._scene_changes(look, brightness, at_ms)
        if changes and not self._scene_fits(scene, changes, at_ms):
            return ()
        self._held = None
        self._shows(look, brightness, changes)
        return (self._paler(scene),)

    def _shows(self, look: tuple[str, int], brightness: float, changes: list[Change]) -> None:
        """What the K1 shows from now on, and what this has changed."""
        self._look, self._brightness = look, brightness
        self._changes += changes
        self._scene_swing.go(brightness)
        for name, swing in self._swings.items():
            swing.go(self._levels[name] * brightness)

    def _scene_changes(self, look: tuple[str, int], brightness: float, at_ms: float) -> list[Change]:
        if look != self._look:
            return [(at_ms, 0)]
        ways = {self._scene_swing.way(brightness)}
        ways |= {swing.way(self._levels[name] * brightness) for name, swing in self._swings.items()}
        return [(at_ms, way) for way in ways if way]

    def _scene_fits(self, scene: Any, changes: list[Change], at_ms: float) -> bool:
        shown_red = self._look is not None and self._look[1] in RED_PALETTES
        becomes_red = scene.palette_id in RED_PALETTES
        if becomes_red and any(due + PULSE_MS > at_ms for due in self._beats.values()):
            return False
        room = RED_CHANGES if shown_red else CHANGES
        if self._runs(changes, list(self._beats.values())) > room:
            return False
        return not self._yields(scene, at_ms) or self._runs(changes, self._foreseen(at_ms)) <= room

    def _paler(self, scene: Any) -> Any:
        if scene.parameters.get("saturation", 0.0) <= MAX_SATURATION:
            return scene
        self.stopped["saturation"] += 1
        return scene.model_copy(update={"parameters": {**scene.parameters, "saturation": MAX_SATURATION}})
