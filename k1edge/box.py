"""How the box itself fares: its heat, its supply, its disk, its memory; and what the edge does without while it is too hot.

Consumes a `Reading` every few seconds with its time (s); emits the alarms that stand and the rung of the ladder. Pure. A Pi
slows itself down from 80 degC and stumbles at 85: the ladder sheds what is not light before the processor sheds hops.
"""

from __future__ import annotations

from typing import NamedTuple

from k1edge.frames import HOPS_PER_S, Alarm


class Reading(NamedTuple):
    """What the machine tells; None or 0 where it does not."""

    temp_c: float | None = None
    throttled: int = 0
    """The Pi firmware's bits."""
    free_mb: float | None = None
    """Where the state is kept."""
    read_only: bool = False
    memory_share: float | None = None
    """Of what the unit may use."""
    free_files: int | None = None
    """That can still be made there."""


class Rung(NamedTuple):
    """One step down: from which temperature, and what is left."""

    from_c: float
    frame_every: int
    """Hops from one live frame to the next, at least; 0 = none."""
    macro_every: int
    analyses: bool
    """Songs are analysed, and those heard on the line are caught for it."""
    sheds: str


RUNGS = (
    Rung(float("-inf"), 1, 1, True, ""),
    Rung(75.0, 1, 1, False, "songs are neither caught nor analysed"),
    Rung(80.0, HOPS_PER_S // 5, HOPS_PER_S // 10, False, "no analyses, five frames and ten macros a second"),
    Rung(84.0, 0, HOPS_PER_S // 10, False, "no analyses, no frames, ten macros a second: beats and scenes only"),
)
"""Analyses first: one takes a whole core for a minute. The beats, and all that makes the light, stay to the end."""
CLIMB_S, CALM_S = 5.0, 60.0
"""So long above a rung's temperature, it is taken; so long HYSTERESIS_C below it, it is left again."""
HYSTERESIS_C = 5.0
UNDER_VOLTAGE, SLOWED = 0b0001, 0b1110
"""Bits of `get_throttled`: the supply is too weak; the clock is capped, throttled or soft-limited now."""
SLOWED_RUNG = 2
DISK_FULL_MB, DISK_FULL_FILES = 20.0, 200
LIMITS = {"DISK_FULL": (DISK_FULL_MB, 40.0), "DISK_NO_INODES": (DISK_FULL_FILES, 400), "MEMORY_HIGH": (0.85, 0.75)}
"""From where it is an alarm, and to where it stays one: MB and files that are free, share of the memory that is used."""

REMEDIES = {
    "DISK_READ_ONLY": ("the state folder is read-only", "a card that failed turns read-only: replace it"),
    "DISK_FULL": ("less than 20 MB are free for state", "delete old recordings in it, or `journalctl --vacuum-size=50M`"),
    "DISK_NO_INODES": ("hardly another file can be created for state, although there is room: the inodes are used up",
                       "delete many small files: `df -i` names the disk, `du --inodes -xd3 / | sort -n` the folders"),
    "MEMORY_HIGH": ("memory is nearly used up", "the service is restarted at its limit; report it with `journalctl -u k1edge`"),
    "UNDER_VOLTAGE": ("the power supply is too weak", "use the supply made for this Pi, and a short cable"),
}
COOL = "give it air, a heat sink or a fan"


class Box:
    """One machine, watched."""

    def __init__(self) -> None:
        self.rung = 0
        """Index into RUNGS."""
        self._towards, self._since_s = 0, 0.0
        """Where the heat asks to go, and since when: 1 up, -1 down, 0 nowhere."""
        self._standing: set[str] = set()

    @property
    def mode(self) -> Rung:
        return RUNGS[self.rung]

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """Those that stand, the worst first."""
        standing = tuple(Alarm(code, *words) for code, words in REMEDIES.items() if code in self._standing)
        return standing + ((Alarm("HOT", f"too hot: {self.mode.sheds}", COOL),) if self.rung else ())

    def process(self, reading: Reading, now_s: float) -> None:
        """One reading."""
        self._step(_wanted(reading, 0.0), _wanted(reading, HYSTERESIS_C), now_s)
        free_mb, files, share = reading.free_mb, reading.free_files, reading.memory_share
        limit = {code: last if code in self._standing else first for code, (first, last) in LIMITS.items()}
        verdicts = {
            "DISK_READ_ONLY": reading.read_only,
            "DISK_FULL": free_mb is not None and free_mb < limit["DISK_FULL"],
            "DISK_NO_INODES": files is not None and files < limit["DISK_NO_INODES"],
            "MEMORY_HIGH": share is not None and share > limit["MEMORY_HIGH"],
            "UNDER_VOLTAGE": bool(reading.throttled & UNDER_VOLTAGE),
        }
        self._standing = {code for code, found in verdicts.items() if found}

    def _step(self, wanted: int, cautious: int, now_s: float) -> None:
        """Up to what the heat asks for, down by one rung at a time."""
        towards = 1 if wanted > self.rung else -1 if cautious < self.rung else 0
        if towards != self._towards:
            self._towards, self._since_s = towards, now_s
        if towards > 0 and now_s - self._since_s >= CLIMB_S:
            self.rung, self._towards = wanted, 0
        elif towards < 0 and now_s - self._since_s >= CALM_S:
            self.rung, self._since_s = self.rung - 1, now_s


def _wanted(reading: Reading, margin_c: float) -> int:
    """The rung for this heat, as if it were `margin_c` hotter; 0 where nobody tells."""
    heat_c = float("-inf") if reading.temp_c is None else reading.temp_c + margin_c
    by_heat = max(i for i, rung in enumerate(RUNGS) if heat_c >= rung.from_c)
    return max(by_heat, SLOWED_RUNG) if reading.throttled & SLOWED else by_heat
