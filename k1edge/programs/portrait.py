"""A song as the light of a virtual K1: what `k1edge simulate --file` performs and draws, faster than it sounds.

Consumes any source of blocks; the commands the driver would send go to a virtual K1 without a broker between, in the song's own
time. Emits its frames with the sections, beats and drops that made them, and a picture: time to the right, the strip upwards.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from k1edge.audio import AudioError, Source
from k1edge.audio.demo import demo_song
from k1edge.audio.files import FileSource
from k1edge.audio.synth import SynthSource
from k1edge.clock import StreamClock, Timeline, WallClock
from k1edge.config import BUILT_IN, ConfigError, DeviceSettings, Settings, find, load
from k1edge.frames import HOPS_PER_S, GenesisFrame
from k1edge.k1.contract import Scribe, Stamp
from k1edge.k1.picture import save_gif
from k1edge.k1.render import frame as pixels_of
from k1edge.k1.simulator import VirtualK1
from k1edge.live.driver import Driver
from k1edge.pipeline import Pipeline
from k1edge.programs.options import fail
from k1edge.programs.pictures import section_colour

SITE, EDGE, DEVICE = "studio", "edge", "k1"
FRAMES_PER_S = 50
EPOCH_MS = 1_700_000_000_000
MOST_WIDTH = 2400
PX_PER_S = 20
LED_PX = 2
BEAT_LIT_S = 0.1
BAND_PX, RULER_PX, MARGIN_PX = 32, 36, 8
LABEL_PX, TIME_PX = 18, 15
"""Text that can still be read where a page shows the picture at half its size."""
INK, FAINT, PAPER = (235, 235, 240), (120, 120, 130), (14, 14, 18)


@dataclass(slots=True)
class Performance:
    """What was shown, and why."""

    frames: list[np.ndarray] = field(default_factory=list)
    """Each (160, 3) uint8, FRAMES_PER_S a second."""
    sections: list[tuple[float, str]] = field(default_factory=list)
    """(start in s, label), in order."""
    beats: dict[int, tuple[float, bool]] = field(default_factory=dict)
    """Number -> (due in s, downbeat)."""
    drops: list[float] = field(default_factory=list)


def portray(song: str, config: Path | None, png: Path | None, gif: Path | None) -> int:
    """The pictures wanted of a file, or of `demo`; 0, or 66 when it cannot be heard, 73 unwritten, 78 by a configuration with
    faults."""
    path = find(config)
    try:
        settings = load(path, instead={"mqtt": {}})  # there is no broker, and not everyone may read its password
    except ConfigError as error:
        print(error, file=sys.stderr)
        return os.EX_CONFIG
    print(f"configuration: {path or BUILT_IN}", file=sys.stderr)
    try:
        shown = perform(_source(song), settings)
        if png:
            draw(shown, png)
        if gif:
            save_gif(gif, np.array(shown.frames), FRAMES_PER_S, partial(_captioned, shown))
    except AudioError as error:
        return fail("simulate", error, os.EX_NOINPUT)
    except (OSError, ValueError) as error:
        return fail("simulate", error, os.EX_CANTCREAT)
    print(f"{len(shown.beats)} beats, {len(shown.sections)} sections, {len(shown.drops)} drops", file=sys.stderr)
    return 0


def _source(song: str) -> Source:
    if song != "demo":
        return FileSource(song)
    sound = demo_song()
    return SynthSource(sound.samples, sound.rate_hz)


def perform(source: Source, settings: Settings) -> Performance:
    """The whole of a source. Raises AudioError."""
    fmt = source.fmt
    pipeline = Pipeline(settings, fmt)
    driver = Driver(settings.k1.model_copy(update={"devices": (DeviceSettings(id=DEVICE),)}), Scribe(SITE, EDGE))
    k1 = VirtualK1(SITE, DEVICE)
    clock = StreamClock(fmt)
    timeline = Timeline(clock, WallClock(EPOCH_MS * 1_000_000, 0, True))
    shown = Performance()
    for number, block in enumerate(source, 1):
        now_ns = number * 1_000_000_000 // HOPS_PER_S
        clock.observe(block.end, now_ns)
        frame = pipeline.process(block)
        stamp = Stamp(EPOCH_MS + now_ns // 1_000_000, True, now_ns)
        for publication in driver.process(frame, frame.look, timeline, stamp):
            k1.hear(publication.topic, publication.payload, now_ns / 1e6, stamp)
        light = k1.show(now_ns / 1e6)
        if number % (HOPS_PER_S // FRAMES_PER_S) == 0:
            shown.frames.append(pixels_of(light))
        _note(shown, frame, fmt.rate_hz)
    return shown


def _note(shown: Performance, frame: GenesisFrame, rate_hz: int) -> None:
    section, event = frame.section, frame.beat.announced
    if not shown.sections or shown.sections[-1] != (section.since / rate_hz, section.label):
        shown.sections.append((section.since / rate_hz, section.label))
    if event is not None:
        shown.beats[event.number] = (event.due / rate_hz, event.downbeat)
    shown.drops += [moment.due / rate_hz for moment in frame.moments if moment.kind == "drop"]


def draw(shown: Performance, path: Path) -> None:
    """Writes the picture. Raises ValueError when nothing was shown, or OSError."""
    if not shown.frames:
        raise ValueError("the song is empty: nothing to draw")
    seconds = len(shown.frames) / FRAMES_PER_S
    px_per_s = min(PX_PER_S, MOST_WIDTH / seconds)
    strip = _strip(np.array(shown.frames), round(seconds * px_per_s))
    height, width = strip.shape[:2]
    top = MARGIN_PX + BAND_PX
    picture = Image.new("RGB", (width + 2 * MARGIN_PX, top + height + RULER_PX + MARGIN_PX), PAPER)
    picture.paste(Image.fromarray(strip), (MARGIN_PX, top))
    pen = ImageDraw.Draw(picture)

    def x(at_s: float) -> int:
        return MARGIN_PX + min(width, max(0, round(at_s * px_per_s)))

    _sections(pen, shown, seconds, x)
    _ruler(pen, shown, (top + height, seconds), x)
    picture.save(path, "PNG", optimize=True)


def _strip(frames: np.ndarray, width: int) -> np.ndarray:
    """(N, 160, 3) -> (160 * LED_PX, width, 3): each column the brightest of its frames, so that no beat is lost."""
    edges = np.linspace(0, len(frames), max(width, 1) + 1).astype(int)
    columns = [frames[a : max(b, a + 1)].max(axis=0) for a, b in pairwise(edges)]
    return np.repeat(np.stack(columns, axis=1), LED_PX, axis=0)


def _captioned(shown: Performance, image: Image.Image, at_s: float) -> Image.Image:
    """An image of the moving picture, below the section that plays and a line that is lit on each beat, thick on a downbeat."""
    picture = Image.new("RGB", (image.width, BAND_PX + image.height), PAPER)
    picture.paste(image, (0, BAND_PX))
    pen = ImageDraw.Draw(picture)
    label = next((label for start_s, label in reversed(shown.sections) if start_s <= at_s), "")
    pen.rectangle((0, 0, image.width, BAND_PX - 5), fill=section_colour(label))
    pen.text((MARGIN_PX, 3), label, fill=INK, font=ImageFont.load_default(LABEL_PX))
    lit = [downbeat for due_s, downbeat in shown.beats.values() if due_s <= at_s < due_s + BEAT_LIT_S]
    if lit:
        pen.rectangle((0, BAND_PX - 5, image.width, BAND_PX - (1 if any(lit) else 3)), fill=INK)
    return picture


def _sections(pen: ImageDraw.ImageDraw, shown: Performance, seconds: float, x) -> None:
    font = ImageFont.load_default(LABEL_PX)
    ends = [start for start, _ in shown.sections[1:]] + [seconds]
    for (start, label), end in zip(shown.sections, ends, strict=True):
        right = x(end) - 2  # a gap between two
        if right < x(start):
            continue
        pen.rectangle((x(start), MARGIN_PX, right, MARGIN_PX + BAND_PX - 5), fill=section_colour(label))
        if x(end) - x(start) > pen.textlength(label, font) + 6:
            pen.text((x(start) + 5, MARGIN_PX + 3), label, fill=INK, font=font)


def _ruler(pen: ImageDraw.ImageDraw, shown: Performance, place: tuple[int, float], x) -> None:
    """Beats as ticks, downbeats longer, drops as a triangle, and the seconds."""
    y, seconds = place
    font = ImageFont.load_default(TIME_PX)
    for due_s, downbeat in shown.beats.values():
        pen.line((x(due_s), y + 2, x(due_s), y + (9 if downbeat else 5)), fill=INK if downbeat else FAINT)
    for at_s in shown.drops:
        pen.polygon([(x(at_s) - 5, y - 1), (x(at_s) + 5, y - 1), (x(at_s), y - 10)], fill=(255, 90, 90))
    step = next(each for each in (5, 10, 30, 60, 300, 3600) if each == 3600 or x(each) - x(0) > 60)
    for at_s in range(0, int(seconds) + 1, step):
        told = f"{at_s // 60}:{at_s % 60:02d}"
        if x(at_s) + 2 + pen.textlength(told, font) <= x(seconds):
            pen.text((x(at_s) + 2, y + 12), told, fill=FAINT, font=font)
