"""Real audio captured through ALSA and PulseAudio: how far a virtual K1's flashes lie from the true beats, over mosquitto."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from _ear import Ear
from _excerpts import DATA, Item, items

from k1edge.audio.demo import demo_song
from tests.brokers import Mosquitto, eventually
from tests.end_to_end.daemon import DaemonProcess
from tests.end_to_end.k1 import K1OnTheWall
from tests.end_to_end.test_light import TOLERANCE_S, listening, on_the_beat
from tests.sound import PulseLine, WireLine, as_pcm16, build_plugin

EXCERPTS = ("loops/sp_safari_120", "lmms/Thomasso-AxeFromThe80s")
RATE_HZ, LEAD_IN_S = 44_100, 0.5


def pieces(excerpts: list[Item]):
    """(name, samples at RATE_HZ, true beats in s)."""
    song = demo_song()
    yield "the demo song", song.samples, song.truth.beats_s
    for item in excerpts:
        samples, rate_hz = soundfile.read(item.path, dtype="float32")
        if rate_hz != RATE_HZ:
            sys.exit(f"{item.name}: {rate_hz} Hz; this bench plays {RATE_HZ} Hz")
        yield item.name, samples, item.truth_s


def through_alsa(folder: Path, library: Path, samples: np.ndarray, beats_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flashes, and when the piece's beats were at the plug: s, monotonic."""
    line = WireLine(folder / "wire", library)
    line.plug(as_pcm16(samples), once=True)
    with Mosquitto(folder) as broker, K1OnTheWall(broker.settings(), "hall", "porch") as wall, \
            DaemonProcess(*listening(folder, broker, RATE_HZ), env=line.env) as daemon:
        eventually(line.starts, "capture runs")
        time.sleep(len(samples) / RATE_HZ + 0.5)
        daemon.stop()
        return wall.flashes_s(), beats_s + line.starts()[-1].began_s


def through_pulse(folder: Path, samples: np.ndarray, beats_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same, with another program playing, on the server's own clock."""
    piece = folder / "piece.wav"
    soundfile.write(piece, np.r_[np.zeros(round(LEAD_IN_S * RATE_HZ), np.float32), samples], RATE_HZ)
    with PulseLine.running(RATE_HZ) as line, Mosquitto(folder) as broker, \
            K1OnTheWall(broker.settings(), "hall", "porch") as wall, \
            DaemonProcess(*listening(folder, broker, RATE_HZ), env=line.env) as daemon:
        eventually(lambda: "listening" in daemon.stderr, "capture runs")
        with contextlib.closing(Ear(line, piece)) as ear:
            line.play(piece).wait()
            daemon.stop()
            return wall.flashes_s(), ear.when_s(LEAD_IN_S + beats_s)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="annotated excerpts, as `scripts/bench beats` reads them")
    parser.add_argument("--excerpts", nargs="*", default=list(EXCERPTS), metavar="SET/ID",
                        help="beside the demo song (default: %(default)s; nothing after it: none)")
    args = parser.parse_args()
    known = {item.name: item for item in items(args.data)}
    if absent := [name for name in args.excerpts if name not in known]:
        parser.error(f"no {', '.join(absent)} in {args.data}: an excerpt is SET/ID, without .ogg")
    print("piece                          through     beats  offset ms  within 35 ms, offset taken out")
    with tempfile.TemporaryDirectory() as root:
        library = build_plugin(Path(root))
        for number, (name, samples, beats_s) in enumerate(pieces([known[name] for name in args.excerpts])):
            for way, capture in (("ALSA", lambda f, s, b: through_alsa(f, library, s, b)), ("PulseAudio", through_pulse)):
                folder = Path(root) / f"{number}-{way}"
                folder.mkdir()
                errors_s = on_the_beat(*capture(folder, samples, beats_s))
                offset_s = np.median(errors_s)
                share = np.mean(np.abs(errors_s - offset_s) <= TOLERANCE_S)
                print(f"{name:<30} {way:<11} {len(errors_s):>5}  {offset_s * 1000:>+8.1f}   {share:7.1%}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
