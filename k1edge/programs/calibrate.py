"""`k1edge calibrate`: how late the input hears and each K1 shines, measured; signed, with its spread.

Consumes clicks that it plays through an output and hears again on the line, and what the K1s say of beats that it sends them:
when their light was out, on their own clock, which pings have compared with this one. Emits the lines to put into the TOML,
and a file with date and spread in the state folder. Takes half a minute; the service must be stopped, for it holds the card.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from k1edge.audio import AudioError, StuckError
from k1edge.clock import StreamClock
from k1edge.config import AudioSettings, ConfigError, Settings, find, load
from k1edge.programs.lighting import Lighting
from k1edge.programs.options import EXIT_USAGE, fail
from k1edge.system.state import installed_state
from k1edge.whole import write_whole

CLICKS, FEWEST, MOST = 16, 5, 500
FARTHEST_M = 100
RHYTHM_S = (0.55, 0.71, 0.62, 0.83)
"""From click to click: never twice alike in a row, so that no click is taken for its neighbour."""
LEAD_IN_S = 0.5
"""Of silence: a sound server may swallow what comes first."""
EARLY_S, LATE_S = 0.15, 0.35
"""Around the expected moment, where a click is looked for: less than half of any interval."""
CLEAR = 8.0
"""A click's match over the median of its window; less is noise."""
BEGIN_NS = 5_000_000_000
"""An output that has not begun to play by then never will."""
SCATTER_MS = 20.0
"""Clicks come as late as each other, within 1 ms over a cable; music that is taken for them, within some 300."""
FILE = "calibration.json"


class Measured(NamedTuple):
    """One latency."""

    latency_ms: float
    """Median; positive = later than it should be."""
    spread_ms: float
    """From the tenth to the ninetieth of a hundred."""
    count: int

    @classmethod
    def of(cls, values_ms: list[float]) -> Measured:
        low, median, high = np.percentile(values_ms, (10, 50, 90))
        return cls(round(float(median), 1), round(float(high - low), 1), len(values_ms))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  k1edge calibrate                              a cable from the output to the line input, the service stopped
  k1edge calibrate --only line --metres 1.5     a loudspeaker and a microphone in place of the cable

exit code: 0 measured, 1 something was not, 2 wrong usage, 66 no sound, 78 the configuration has faults"""
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration (default: as `k1edge run`)")
    parser.add_argument("--output", default="", metavar="NAME", help="where to play the clicks (default: the default output)")
    parser.add_argument("--metres", type=float, default=0.0, metavar="M",
                        help="metres of air between loudspeaker and microphone; 0 = a cable from the output to the line input")
    parser.add_argument("--clicks", type=int, default=CLICKS, metavar="N",
                        help="how many clicks, and beats for each K1 (default: %(default)s)")
    parser.add_argument("--only", choices=("line", "k1s"), help="measure one of the two")
    parser.add_argument("--json", action="store_true", help="the figures as JSON, for scripts")


def main(args: argparse.Namespace) -> int:
    for option, value, least, most in (("metres", args.metres, 0, FARTHEST_M), ("clicks", args.clicks, FEWEST, MOST)):
        if not least <= value <= most:
            return fail("calibrate", f"--{option} {value:g} is outside {least}..{most}", EXIT_USAGE)
    try:
        settings = load(find(args.config))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return os.EX_CONFIG
    found: dict[str, Any] = {"date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "k1s": {}}
    complaints: list[str] = []
    if args.only != "k1s":
        try:
            device, heard_ms = line_latencies(settings.audio, args.clicks, args.output, args.metres)
        except AudioError as error:
            first = error.__context__ if isinstance(error, StuckError) else error  # a card that has gone may not let go
            return fail("calibrate", first if isinstance(first, AudioError) else error, os.EX_NOINPUT)
        if complaint := _doubt(heard_ms, args.clicks):
            complaints.append(f"{device}: {complaint}")
        else:
            found["line"] = {"device": device, **Measured.of(heard_ms)._asdict()}
    if args.only != "line":
        _light(settings, args.clicks, found, complaints)
    print(json.dumps(found, indent=2) if args.json else "\n".join(_told(found, settings)))
    if "line" in found or found["k1s"]:
        complaints += _kept(found)
    for complaint in complaints:
        print(f"k1edge calibrate: {complaint}", file=sys.stderr)
    return int(bool(complaints))


def line_latencies(audio: AudioSettings, clicks: int, output: str, metres: float) -> tuple[str, list[float]]:
    """The device, and for each click that was heard how late it was beyond what the stream's clock knows. Raises AudioError."""
    from k1edge.audio.linein import LineIn
    from k1edge.audio.lineout import Emission

    with closing(LineIn(audio)) as line:
        times_s = click_times_s(clicks)
        with closing(Emission(sound_of(times_s, line.fmt.rate_hz), line.fmt.rate_hz, output)) as emission:
            samples, clock = _recorded(line, float(times_s[-1]) + LATE_S + 0.5, emission)
    if emission.began_ns is None or emission.underflows:
        raise AudioError(output or "output", "did not play evenly", "end other programs, and try again")
    air_ms = metres / 343.0 * 1000
    first = clock.index(emission.began_ns)
    expected = [first + round(at_s * line.fmt.rate_hz) for at_s in times_s]
    return line.device.name, [late - air_ms for late in lateness_ms(samples, expected, line.fmt.rate_hz)]


def click_times_s(count: int) -> np.ndarray:
    """When each click begins."""
    return LEAD_IN_S + np.concatenate(([0.0], np.cumsum(np.resize(RHYTHM_S, count - 1))))


def click(rate_hz: int) -> np.ndarray:
    """5 ms that resemble nothing else: a sweep from 1 to 6 kHz under a window."""
    t = np.arange(round(0.005 * rate_hz)) / rate_hz
    return (0.7 * np.sin(2 * np.pi * (1_000 * t + 500_000 * t**2)) * np.hanning(len(t))).astype(np.float32)


def sound_of(times_s: np.ndarray, rate_hz: int) -> np.ndarray:
    """Clicks in silence."""
    one = click(rate_hz)
    out = np.zeros(round((times_s[-1] + 1.0) * rate_hz), np.float32)
    for at in np.round(times_s * rate_hz).astype(int):
        out[at : at + len(one)] += one
    return out


def lateness_ms(samples: np.ndarray, expected: list[int], rate_hz: int) -> Iterator[float]:
    """How much later than expected each click is in the recording; those that are not there, or not clear, are left out."""
    one = click(rate_hz)
    for at in expected:
        begin, end = at - round(EARLY_S * rate_hz), at + round(LATE_S * rate_hz)
        if begin < 0 or end + len(one) > len(samples):
            continue
        match = np.abs(np.correlate(samples[begin : end + len(one) - 1], one, "valid"))
        best = int(np.argmax(match))
        if match[best] > CLEAR * np.median(match) + 1e-6:
            yield (begin + best - at) * 1000 / rate_hz


def _doubt(heard_ms: list[float], clicks: int) -> str:
    """Why that is no measurement, and what to do; '' where it is one."""
    if len(heard_ms) < FEWEST:
        return f"{len(heard_ms)} of {clicks} clicks were heard: lead the output to the line input, and turn both up"
    if (spread_ms := Measured.of(heard_ms).spread_ms) > SCATTER_MS:
        return (f"what was heard is scattered over {spread_ms:g} ms: something else plays on the line; stop it, and lead the "
                "output to the line input")
    return ""


def _recorded(line: Any, seconds: float, emission: Any) -> tuple[np.ndarray, StreamClock]:
    """What was heard until so long after the emission began, by sample index, and its clock. Raises AudioError."""
    clock, pieces, until_ns = StreamClock(line.fmt), [], None
    give_up_ns = time.monotonic_ns() + BEGIN_NS
    for block in line:
        if block is not None:
            clock.observe(block.end, block.arrived_ns)
            pieces.append(block)
        if until_ns is None and emission.began_ns is not None:
            until_ns = emission.began_ns + round(seconds * 1e9)
        if until_ns is not None and time.monotonic_ns() > until_ns:
            break
        if emission.underflows or (until_ns is None and time.monotonic_ns() > give_up_ns):
            break
    samples = np.zeros(pieces[-1].end if pieces else 0, np.float32)
    for block in pieces:
        samples[block.start : block.end] = block.samples
    return samples, clock


def _light(settings: Settings, beats: int, found: dict[str, Any], complaints: list[str]) -> None:
    """Every K1 of the site, at once."""
    if settings.mqtt.embedded:
        complaints.append("no broker is configured, so no K1 can be asked; set [mqtt] url, or --only line")
        return
    with Lighting(settings) as lighting:
        if fault := lighting.fault():
            complaints.append(fault)
            return
        for device, measured in lighting.measure(beats).items():
            if len(measured.late_ms) >= FEWEST:
                trip = {"round_trip_ms": round(measured.round_trip_ms, 1)}
                found["k1s"][device] = Measured.of(measured.late_ms)._asdict() | trip
            else:
                complaints.append(f"{device} confirmed {len(measured.late_ms)} of {beats} beats: {measured.problem}")


def _told(found: dict[str, Any], settings: Settings) -> Iterator[str]:
    """The keys for the TOML, in the place of its own, each with what it rests upon."""
    def because(what: dict[str, Any]) -> str:
        return f"{what['count']} heard within {what['spread_ms']:g} ms, {found['date'][:10]}"

    if line := found.get("line"):
        yield f"[audio]\ninput_latency_ms = {line['latency_ms']:g}    # {because(line)} on {line['device']}"
    lights = found["k1s"]
    trips = {device: f"{because(light)}, {light['round_trip_ms']:g} ms there and back" for device, light in lights.items()}
    measured = {device: light["latency_ms"] for device, light in lights.items()}
    if measured and settings.k1.devices == "auto":
        each = ", ".join(f"{device} = {late_ms:g}" for device, late_ms in (settings.k1.auto_latency_ms | measured).items())
        yield "\n".join(["[k1]", *(f"# {device}: {why}" for device, why in trips.items()), f"auto_latency_ms = {{ {each} }}"])
        return
    for device, why in trips.items():
        yield f'[[k1.devices]]\nid = "{device}"\nlatency_ms = {measured[device]:g}    # {why}'


def _kept(found: dict[str, Any]) -> list[str]:
    """Writes the file; what went wrong. What was measured before and not now stays."""
    path = installed_state() / FILE
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):
        before = {}
    known = {**before.get("k1s", {}), **{name: {**each, "date": found["date"]} for name, each in found["k1s"].items()}}
    line = {**found["line"], "date": found["date"]} if "line" in found else before.get("line")
    try:
        write_whole(path, json.dumps({"line": line, "k1s": known}, indent=2).encode() + b"\n")
    except OSError as error:
        return [f"{path} cannot be written: {error.strerror}"]
    return []
