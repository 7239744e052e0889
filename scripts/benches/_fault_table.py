"""The venue as a bench of faults breaks it, and the table of what came of it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from _fault_proxy import FaultProxy
from _venue import RATE_HZ, Kept, Wall, Witness, awaited, music

from tests.brokers import Mosquitto
from tests.end_to_end.daemon import write_config
from tests.sound import PCM, WireLine, as_pcm16

DETECT_S, LIGHT_S = 60.0, 60.0
FREE_S, REPLUGGED_S = 0.25, 10.0
"""What is promised: the K1s have their own microphones, and after a plug the light is on the beat again."""
HALT_S = 4.0
"""How long most faults last."""


class Venue:
    """Everything running and the light on the beat; `with` it, then break something."""

    def __init__(self, root: Path, library: Path, name: str, **options: Any) -> None:
        """`frames` on the line, a `fault` of it from the start, lines for the `broker`, `more` of the configuration, ..."""
        self.folder = root / name.replace(" ", "-")
        self.folder.mkdir()
        self.line = WireLine(self.folder / "wire", library)
        self.line.plug(options.get("frames", as_pcm16(music())))
        if "fault" in options:
            self.line.fault(options["fault"])
        self.broker = Mosquitto(self.folder, *options.get("broker", ()))
        self.env = self.line.env | {"XDG_STATE_HOME": str(self.folder / "state")} | options.get("env", {})
        self._options = options
        self.wall: Wall | None = None
        self._mark = 0

    def __enter__(self) -> Venue:
        told = self._options
        if told.get("with_broker", True):
            self.broker.start()
        self.proxy = FaultProxy(self.broker.port)
        self.witness = Witness(self.broker.port, **told.get("witness", {}))
        mqtt = f'[mqtt]\nurl = "{told.get("url", self.proxy.url)}"\n{told.get("more", "")}'
        sound = f'[audio]\ndevice = "{PCM}"\nrate_hz = {RATE_HZ}\n'
        self.config = write_config(self.folder, sound + mqtt + "[system]\ngate_s = 2.0\n[recorder]\nminutes = 1.0\n")
        lit = told.get("light", True)
        if lit:
            self.wall = Wall(self.broker.settings(), self.line.starts)
        self.began_s = time.monotonic()
        self.edge = Kept(self.config, self.env, before=told.get("before", ()))
        if lit and self.light(self.began_s) is None:
            print(self.edge.said()[-3000:], file=sys.stderr)
            raise RuntimeError("the light never came on")
        return self

    def __exit__(self, *_error: object) -> None:
        self.edge.close()
        if self.wall:
            self.wall.close()
        self.witness.close()
        self.proxy.close()
        self.broker.stop()

    def begin(self) -> float:
        """Now, when a fault begins; what the log held before does not count."""
        self._mark = len(self.edge.said())
        return time.monotonic()

    def heard(self, since_s: float, code: str, ending: str = "/event/alarm") -> float | None:
        return awaited(lambda: self.witness.when(since_s, ending, code=code), DETECT_S)

    def logged(self, since_s: float, words: str) -> float | None:
        return awaited(lambda: time.monotonic() - since_s if words in self.edge.said()[self._mark :] else None, DETECT_S)

    def light(self, since_s: float) -> float | None:
        return awaited(lambda: self.wall.back(since_s), LIGHT_S)


class Table:
    """One row for each fault, printed as it is known."""

    def __init__(self) -> None:
        self.bad = self.missing = 0
        print(f"{'fault':<34}{'said after':>11}  {'as':<18}{'K1 free':>9}{'light again':>12}  lost, twice", flush=True)

    def left_out(self, fault: str, why: str) -> None:
        """A row that cannot be had here; the closing line counts it."""
        self.missing += 1
        print(f"{fault:<34}{'not run':>11}  {why}", flush=True)

    def add(self, bad: int) -> None:
        """What another has counted."""
        self.bad += bad

    def row(
        self,
        fault: str,
        code: str,
        said_s: float | None,
        light_s: float | None,
        venue: Venue | None = None,
        *,
        free_s: float | None = None,
        within_s: float = LIGHT_S,
        note: str = "",
    ) -> None:
        """`code` "": nothing is the worse for it, so there is nothing to say. `within_s`: the light is to be back."""
        missing, twice = venue.witness.durable() if venue else (0, 0)
        restarts = f"  {venue.edge.starts - 1} restarts" if venue and venue.edge.starts > 1 else ""
        dark = light_s is None or light_s > within_s or (free_s or 0.0) > FREE_S
        self.bad += (bool(code) and said_s is None) or dark or missing + twice > 0
        said = _s(said_s) if code else "-"
        free = "" if free_s is None else f"{free_s * 1000:.0f} ms"
        print(
            f"{fault:<34}{said:>11}  {code:<18}{free:>9}{_s(light_s):>12}  {missing}, {twice}{restarts}  {note}",
            flush=True,
        )


def _s(seconds: float | None) -> str:
    return "NEVER" if seconds is None else f"{seconds:.2f} s"
