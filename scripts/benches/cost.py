"""CPU ms per audio second and memory: each stage alone, then the whole daemon; and how soon it is READY."""

from __future__ import annotations

import argparse
import itertools
import os
import socket
import sys
import tempfile
import time
from pathlib import Path

import soundfile

from k1edge.audio.demo import demo_song
from k1edge.audio.synth import SynthSource
from k1edge.beat.tracker import make_tracker
from k1edge.clock import StreamClock, Timeline, WallClock
from k1edge.config import Settings
from k1edge.dsp.features import FeatureExtractor
from k1edge.frames import HOPS_PER_S, GenesisFrame
from k1edge.genesis.choreography import Choreography
from k1edge.genesis.structure import Structure
from k1edge.k1.contract import Scribe, Stamp
from k1edge.live.driver import Driver
from k1edge.live.publisher import Publisher
from tests.brokers import Mosquitto
from tests.end_to_end.daemon import DaemonProcess, write_config

AIM_MS, AIM_RSS_MB, AIM_READY_S = 40, 110, 1.5
PACED_S = 20.0


class Meter:
    """Adds up what a call costs, and remembers the dearest."""

    def __init__(self, call):
        self._call, self.spent_ns, self.worst_ns = call, 0, 0

    def __call__(self, *args):
        began_ns = time.thread_time_ns()
        result = self._call(*args)
        if hasattr(result, "__next__"):
            result = list(result)
        took_ns = time.thread_time_ns() - began_ns
        self.spent_ns += took_ns
        self.worst_ns = max(self.worst_ns, took_ns)
        return result


def stages(sound, seconds: float, *, paced: bool) -> list[tuple[str, Meter]]:
    """What each stage cost over the first `seconds`, one hop after the other, or each when it is due."""
    settings = Settings(k1={"devices": [{"id": "a"}]})
    source = SynthSource(sound.samples, sound.rate_hz)
    scribe = Scribe("bench", "bench")
    driver, publisher = Driver(settings.k1, scribe), Publisher(settings.telemetry, scribe, "bench")
    clock = StreamClock(source.fmt)
    timeline = Timeline(clock, WallClock(0, 0, True))
    features = Meter(FeatureExtractor(source.fmt).process)
    beat = Meter(make_tracker(settings.beat, source.fmt).process)
    structure = Meter(Structure(settings.genesis, source.fmt).process)
    choreography = Meter(Choreography(settings.looks, source.fmt, settings.genesis).process)
    drive, publish = Meter(driver.process), Meter(publisher.process)
    began_s = time.monotonic()
    for hops, block in enumerate(itertools.islice(source, round(seconds * HOPS_PER_S))):
        if paced:
            time.sleep(max(0.0, began_s + hops / HOPS_PER_S - time.monotonic()))
        now_ns = block.end * 1_000_000_000 // source.fmt.rate_hz
        stamp = Stamp(now_ns // 1_000_000, True, now_ns)
        clock.observe(block.end, now_ns)
        heard = features(block)
        state = beat(block, heard)
        form = structure(heard, state)
        look = choreography(form, state)
        frame = GenesisFrame(heard, state, form.macros, form.section, form.moments, look)
        drive(frame, look, timeline, stamp)
        publish(frame, timeline, stamp)
    return [("features", features), ("beat", beat), ("structure", structure), ("choreography", choreography),
            ("one K1 driven", drive), ("published", publish)]


def print_stages(sound) -> None:
    """One line a stage. With a pause after each hop, whatever else the machine does empties the caches in between."""
    at_once = stages(sound, sound.duration_s, paced=False)
    due = stages(sound, PACED_S, paced=True)
    print(f"  {'':<16} one hop after the other            each hop when it is due")
    for (name, meter), (_, slow) in zip(at_once, due, strict=True):
        print(f"  {name:<16} {meter.spent_ns / 1e6 / sound.duration_s:7.2f} ms/s   worst hop {meter.worst_ns / 1e6:5.2f} ms"
              f"   {slow.spent_ns / 1e6 / PACED_S:7.2f} ms/s   worst hop {slow.worst_ns / 1e6:5.2f} ms")
    print(f"  {'all of them':<16} {sum(m.spent_ns for _, m in at_once) / 1e6 / sound.duration_s:7.2f} ms/s"
          f"                      {sum(m.spent_ns for _, m in due) / 1e6 / PACED_S:7.2f} ms/s")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def whole_daemon(folder: Path, sound, seconds: float) -> None:
    song, address = folder / "song.wav", folder / "notify"
    soundfile.write(song, sound.samples, sound.rate_hz)
    with Mosquitto(folder) as broker, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(address))
        notify.settimeout(30)
        config = write_config(folder, f'[mqtt]\nurl = "{broker.url}"\n[[k1.devices]]\nid = "a"\n')
        began_s = time.monotonic()
        with DaemonProcess("--config", str(config), "--source", str(song),
                           env=os.environ | {"NOTIFY_SOCKET": str(address)}) as daemon:
            while "READY=1" not in notify.recv(4096).decode():
                pass
            print(f"  READY after      {time.monotonic() - began_s:7.2f} s      (aim: {AIM_READY_S})")
            time.sleep(5)
            pid = daemon.process.pid
            before_s, at_s = cpu_s(pid), time.monotonic()
            time.sleep(seconds)
            spent_ms = (cpu_s(pid) - before_s) * 1000 / (time.monotonic() - at_s)
            print(f"  CPU              {spent_ms:7.2f} ms/s   (aim: {AIM_MS})")
            print(f"  RSS              {rss_mb(pid):7.1f} MB     (aim: {AIM_RSS_MB})")
            daemon.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="to watch the daemon for (default: %(default)s)")
    args = parser.parse_args()
    sound = demo_song()
    print(f"stages, over {sound.duration_s:.0f} s of the demo song:")
    print_stages(sound)
    print("the daemon, at the pace of real time:")
    with tempfile.TemporaryDirectory() as folder:
        whole_daemon(Path(folder), sound, args.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
