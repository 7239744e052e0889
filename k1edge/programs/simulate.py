"""`k1edge simulate`: a virtual K1 on a real broker, shown in the terminal, in lines, or written as a picture.

Consumes a site's commands for one device over MQTT; emits what a K1 would answer, and its light. The loop sleeps until
the next beat is due, so a flash is as exact as the machine's timer.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from k1edge.config.mqtt import MqttSettings
from k1edge.k1 import contract
from k1edge.k1.link import Identity, Link
from k1edge.k1.render import frame
from k1edge.k1.simulator import LED_COUNT, Light, VirtualK1
from k1edge.programs.options import (
    ANOTHER_WAY,
    EXIT_FAILED,
    EXIT_USAGE,
    Stop,
    add_broker_arguments,
    add_seconds,
    broker_settings,
    check_name,
    fail,
)
from k1edge.programs.pictures import picture_fault
from k1edge.programs.views import View, view_for
from k1edge.system.timesync import WRITTEN_S

STEP_S = 0.004
"""Longest sleep: what a command waits at most before it is heard."""
RECORD_HZ = 50
RECORD_LIMIT_S = 120
LATENCY_LIMIT_MS = 500.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  k1edge simulate --site blue-room                 in this terminal, led by the edge of that site
  k1edge simulate --url mqtts://broker.local:8883 --ca-file ca.crt --device k1-bar --username device/k1-bar --password-file FILE
  k1edge simulate --file song.wav --png song.png   what the whole song would look like, without a broker
  k1edge simulate --file demo --config new.toml --png new.png    the looks of a configuration, before it is started

exit code: 0 done, 1 no broker was reached, 2 wrong usage, 66 the song cannot be read, 73 the picture cannot be written, 78 the
configuration has faults"""
    add_broker_arguments(parser)
    parser.add_argument("--device", default="k1-virtual", metavar="NAME", help="id of this K1 (default: %(default)s)")
    parser.add_argument("--latency-ms", type=float, default=0.0, metavar="MS",
                        help="show beats this much earlier, as a slow K1 must")
    add_seconds(parser)
    parser.add_argument("--file", metavar="SONG",
                        help="without a broker: what a K1 would show over a whole song, or `demo`, as --png or --gif")
    parser.add_argument("--config", type=Path, metavar="TOML",
                        help="with --file: the configuration to light it by (default: as `k1edge run`)")
    parser.add_argument("--png", type=Path, metavar="FILE",
                        help="write space and time as a picture, at most the last two minutes")
    parser.add_argument("--gif", type=Path, metavar="FILE", help="write a moving picture; with --file, of its form, too")
    parser.add_argument("--view", choices=("auto", "lines", "off"), default="auto", help="what this terminal shows")


def main(args: argparse.Namespace) -> int:
    if fault := picture_fault(args.png, args.gif):
        return fail("simulate", fault, os.EX_CANTCREAT)
    if args.file and not (args.png or args.gif):
        return fail("simulate", "--file makes pictures; say where with --png or --gif", EXIT_USAGE)
    if args.file:
        from k1edge.programs.portrait import portray  # the engines, which a K1 on a broker does not need

        return portray(args.file, args.config, args.png, args.gif)
    if args.config:
        return fail("simulate", "--config lights a --file; on a broker it is the edge that does", EXIT_USAGE)
    try:
        settings = broker_settings(args)
        check_name("site", args.site)
        check_name("device", args.device)
        if not abs(args.latency_ms) <= LATENCY_LIMIT_MS:
            raise ValueError(f"--latency-ms {args.latency_ms:g} is outside -{LATENCY_LIMIT_MS:g}..{LATENCY_LIMIT_MS:g}")
    except ValueError as error:
        return fail("simulate", error, EXIT_USAGE)
    k1 = VirtualK1(args.site, args.device, args.latency_ms)
    film = Film() if args.png or args.gif else None
    stop = Stop(args.seconds)
    with ExitStack() as stack:
        view = stack.enter_context(view_for(args.view))
        trouble = play(settings, k1, [v for v in (view, film) if v], stop)
    if trouble:
        return fail("simulate", f"{args.url}: {trouble}; {ANOTHER_WAY}", EXIT_FAILED)
    print(f"{k1.counters.shown} beats shown, {k1.counters.late} came too late", file=sys.stderr)
    try:
        if film:
            film.save(args.png, args.gif)
    except (OSError, ValueError) as error:
        return fail("simulate", error, os.EX_CANTCREAT)
    return 0


def play(settings: MqttSettings, k1: VirtualK1, views: Sequence[View], stop: Callable[[], bool]) -> str:
    """Connect, obey and show until `stop`; leaves with the status `lost`, as a K1 whose plug is pulled would.

    Returns why no broker was ever reached, '' if one was.
    """
    lost = k1.status("lost", stamp())
    link = Link(settings, Identity(f"k1-{k1.site}.{k1.device}", (k1.commands,), will=lost))
    link.send(k1.status("ready", stamp()))
    link.start()
    due_s = [0.0] * len(views)
    told = ""
    try:
        while not stop():
            _hear(link, k1)
            if (trouble := "" if link.connected else link.last_reason) != told:
                told = trouble
                for view in views:
                    view.tell(trouble)
            now_s = time.monotonic()
            light = k1.show(now_s * 1000)
            _draw(light, k1, views, due_s)
            for publication in k1.report(now_s * 1000, stamp()):
                link.send(publication)
            time.sleep(min(max(k1.next_due_ms() / 1000 - time.monotonic(), 0.0), STEP_S))
    finally:
        link.close([k1.status("lost", stamp())])
    return "" if link.counters.connects else link.last_reason or "no answer"


def stamp() -> contract.Stamp:
    """Now, on the wall clock."""
    now_ns = time.time_ns()
    return contract.Stamp(now_ns // 1_000_000, now_ns > WRITTEN_S * 1_000_000_000)


class Film:
    """Keeps the last frames for a picture."""

    rate_hz = RECORD_HZ

    def __init__(self) -> None:
        self._frames: deque[np.ndarray] = deque(maxlen=RECORD_HZ * RECORD_LIMIT_S)
        self._beat: deque[bool] = deque(maxlen=RECORD_HZ * RECORD_LIMIT_S)
        self._shown = 0

    def draw(self, light: Light, pixels: np.ndarray, k1: VirtualK1) -> None:
        """Keep one frame."""
        self._frames.append(pixels)
        self._beat.append(k1.counters.shown > self._shown)
        self._shown = k1.counters.shown

    def tell(self, trouble: str) -> None:
        """A picture has no words."""

    def save(self, png: Path | None, gif: Path | None) -> None:
        """Write the pictures that are wanted."""
        from k1edge.k1.picture import save_gif, save_png

        frames = np.array(self._frames, np.uint8).reshape(-1, LED_COUNT, 3)
        if png:
            save_png(png, frames, [index for index, beat in enumerate(self._beat) if beat])
        if gif:
            save_gif(gif, frames, RECORD_HZ)


def _hear(link: Link, k1: VirtualK1) -> None:
    for topic, payload, arrival in link.receive():
        for answer in k1.hear(topic, payload, arrival.heard_ns / 1e6, stamp()):
            link.send(answer)


def _draw(light: Light, k1: VirtualK1, views: Sequence[View], due_s: list[float]) -> None:
    """Let those views draw whose next frame is due; the pixels are made once, and only if one is."""
    now_s = light.now_ms / 1000
    pixels = None
    for index, view in enumerate(views):
        if now_s >= due_s[index]:
            pixels = frame(light) if pixels is None else pixels
            view.draw(light, pixels, k1)
            due_s[index] = max(due_s[index] + 1 / view.rate_hz, now_s)
