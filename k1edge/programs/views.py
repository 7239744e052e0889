"""The light of a virtual K1 as this terminal can show it: a plate, a line a beat, or nothing.

A plate is painted beside the K1, which goes on while it is: the newest frame, once the one before has been written.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from contextlib import nullcontext
from typing import Protocol

import numpy as np

from k1edge.device_facts import PALETTES
from k1edge.errand import GOODBYE_S, Errand
from k1edge.k1 import terminal
from k1edge.k1.simulator import Light, VirtualK1
from k1edge.k1.terminal import Depth, Screen

VIEW_HZ = 25
PLATE_LINES = 16
FADE = 0.96
"""Light kept per line of the plate, upwards."""


class View(Protocol):
    """Something that shows or keeps frames."""

    rate_hz: float

    def draw(self, light: Light, pixels: np.ndarray, k1: VirtualK1) -> None:
        """One frame."""

    def tell(self, trouble: str) -> None:
        """Why there is no broker; '' once there is one."""


def view_for(choice: str) -> LiveView | nullcontext[View | None]:
    """The best this terminal can do, as a context."""
    if choice == "off":
        return nullcontext()
    colours = Depth.LINES if choice == "lines" else terminal.depth(sys.stdout)
    return nullcontext(LineView()) if colours is Depth.LINES else LiveView(colours)


class LiveView:
    """The plate in the terminal: the strip at its foot, its light rising and fading."""

    rate_hz = VIEW_HZ

    def __init__(self, colours: Depth) -> None:
        self._colours = colours
        self._screen = Screen(sys.stdout)
        self._trouble = ""
        self._past: deque[np.ndarray] = deque(maxlen=2 * PLATE_LINES)
        self._fading = (FADE ** np.arange(2 * PLATE_LINES - 1, -1, -1))[:, None, None]
        self._newest: tuple[Light, np.ndarray, VirtualK1] | None = None
        self._news, self._over = threading.Event(), False
        self._painting: Errand | None = None
        self._fault: Exception | None = None

    def __enter__(self) -> LiveView:
        self._painting = Errand(self._paint_on)  # first: where no thread is granted, the terminal is left as it was
        self._screen.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True
        self._news.set()
        self._painting.wait(GOODBYE_S)
        self._screen.__exit__(None, None, None)

    def draw(self, light: Light, pixels: np.ndarray, k1: VirtualK1) -> None:
        """This frame next. Raises what the one before could not be written for."""
        if self._fault is not None:
            raise self._fault
        self._newest = light, pixels, k1
        self._news.set()

    def _paint_on(self) -> None:
        """Frame after frame, for half of the time at most: the rest is the K1's."""
        while self._news.wait() and not self._over:
            self._news.clear()
            began_s = time.monotonic()
            try:
                self.paint(*self._newest)
            except Exception as fault:
                self._fault = fault
                return
            time.sleep(time.monotonic() - began_s)

    def paint(self, light: Light, pixels: np.ndarray, k1: VirtualK1) -> None:
        """One frame of the terminal, written before this returns."""
        size = self._screen.size
        strip = terminal.fit(pixels, size.columns - 2)
        if self._past and self._past[-1].shape != strip.shape:
            self._past.clear()  # resized
        self._past.append(strip)
        rows = 2 * max(1, min(size.lines - 4, PLATE_LINES))
        plate = np.zeros((rows, *strip.shape), np.float32)
        past = list(self._past)[-rows:]
        plate[rows - len(past) :] = np.array(past) * self._fading[-len(past) :]
        plate[-2:] = strip
        margin = " " * ((size.columns - len(strip)) // 2)
        lines = [margin + line for line in terminal.picture(plate.astype(np.uint8), self._colours)]
        head, foot = ((margin + words)[: size.columns] for words in (_headline(light, k1), _footline(k1, self._trouble)))
        self._screen.show([head, *lines, "", foot])

    def tell(self, trouble: str) -> None:
        """At the foot of the screen."""
        self._trouble = trouble


class LineView:
    """One line a beat, for a stream that is no terminal."""

    rate_hz = 200.0

    def __init__(self) -> None:
        self._told = 0
        self._led: bool | None = None

    def draw(self, light: Light, pixels: np.ndarray, k1: VirtualK1) -> None:
        """Tell of a beat that was shown, and of who leads."""
        if light.led != self._led:
            self._led = light.led
            print("the edge leads" if light.led else "on its own microphone", flush=True)
        if k1.counters.shown > self._told:
            self._told = k1.counters.shown
            flash = light.flashes[0] if light.flashes else k1.flashes[-1]
            error_ms = flash.shown_ms - (flash.due_ms - k1.latency_ms)
            print(f"beat {flash.number}{' |' if flash.downbeat else ''} {light.bpm:.1f} bpm {light.scene.pattern} "
                  f"brightness {pixels.max() / 255:.2f} {error_ms:+.1f} ms", flush=True)

    def tell(self, trouble: str) -> None:
        """A line for each new trouble."""
        if trouble:
            print(f"broker: {trouble}", flush=True)


def _headline(light: Light, k1: VirtualK1) -> str:
    """What matters most is first, where a narrow terminal has it."""
    beat = "●" if light.led and light.flashes and light.now_ms - light.flashes[0].shown_ms < 120 else "○"
    tempo = f"{light.bpm:5.1f}" if light.led and light.bpm else "  -- "
    lead = ["the edge leads", *filter(None, [k1.segment])] if light.led else ["on its own microphone"]
    return "  ".join([k1.device, f"{beat} {tempo} bpm", *lead, f"{light.scene.pattern} in {PALETTES[light.scene.palette_id]}"])


def _footline(k1: VirtualK1, trouble: str) -> str:
    counted = k1.counters
    refused = f", {counted.rejected} commands refused" if counted.rejected else ""
    told = f"broker: {trouble}" if trouble else f"{counted.shown} beats shown, {counted.late} too late{refused}"
    return f"Ctrl-C ends  {told}"
