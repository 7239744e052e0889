"""The soak at real time: a sound server, the daemon, mosquitto, a K1; looked at from outside every ten seconds."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
from _control import Control, between
from _ear import Ear
from _soak_figures import Report, descriptors, f_measure, growth_mb, own_mb, written_mb
from _venue import EDGE, RATE_HZ, Kept, Witness, children

from tests.brokers import Mosquitto
from tests.end_to_end.daemon import write_config
from tests.end_to_end.k1 import K1OnTheWall
from tests.sound import PCM, PulseLine, WireLine, as_pcm16, build_plugin

LOOK_S, TELL_S, DAY_S = 10.0, 300.0, 86_400.0
HOP_S = 0.01
WARM_UP_S = 900.0
"""Ten minutes fill the flight recorder, and its oldest stretch of two and a half may be kept on top."""
PAUSE_S = 4.0
"""A song ends with silence: then it is caught, and analysed."""


def evening(wav: Path, songs: list[tuple[Path, np.ndarray]]) -> np.ndarray:
    """Writes the songs one after the other; returns their beats, s from its beginning."""
    beats, frames = [], 0
    pause = np.zeros(round(PAUSE_S * RATE_HZ), np.int16)
    with soundfile.SoundFile(wav, "w", RATE_HZ, 1, "PCM_16") as file:
        for song, truth_s in songs:
            beats.append(truth_s + frames / RATE_HZ)
            for part in (soundfile.read(song, dtype="int16")[0], pause):
                file.write(part)
                frames += len(part)
    return np.concatenate(beats)


When = Callable[[np.ndarray], np.ndarray]
"""When what is so many s into the evening was at the plug, s monotonic: to be asked once it has been there."""


@contextlib.contextmanager
def through_server(wav: Path, _root: Path) -> Iterator[tuple[dict[str, str], When]]:
    """Another program plays it into PulseAudio, which the daemon captures from; the environment for that."""
    with PulseLine.running(RATE_HZ) as line, contextlib.closing(Ear(line, wav)) as ear:
        player = line.play(wav)
        try:
            yield {name: line.env[name] for name in ("HOME", "XDG_RUNTIME_DIR")}, ear.when_s
        finally:
            player.kill()
            player.wait()


@contextlib.contextmanager
def through_card(wav: Path, root: Path) -> Iterator[tuple[dict[str, str], When]]:
    """The same from an ALSA card that plays it."""
    line = WireLine(wav.parent / "wire", build_plugin(root))
    line.plug(as_pcm16(soundfile.read(wav, dtype="float32")[0]))
    yield line.env, lambda evening_s: evening_s + line.starts()[0].began_s


WAYS = {"server": through_server, "card": through_card}


def run(root: Path, songs: list[tuple[Path, np.ndarray]], minutes: float, report: Report, way: str = "server") -> None:
    folder = root / "live"
    folder.mkdir()
    with tempfile.TemporaryDirectory(prefix="k1wire", dir="/dev/shm") as wire, \
            tempfile.TemporaryDirectory(prefix="k1run", dir="/dev/shm") as memory:  # as RuntimeDirectory= is
        # In memory: what is on a line does not wait for a disk either.
        wav = Path(wire) / "evening.wav"
        truth_s = evening(wav, songs)
        with Control() as control, Mosquitto(folder) as broker, K1OnTheWall(broker.settings(), "hall", "porch") as wall, \
                WAYS[way](wav, root) as (env, when_s):
            witness = Witness(broker.port)
            sound = f'[audio]\ndevice = "{PCM}"\nrate_hz = {RATE_HZ}\n'
            config = write_config(folder, f'{sound}[mqtt]\nurl = "{broker.url}"\n')
            edge = Kept(config, os.environ | env | {"XDG_STATE_HOME": str(folder / "state"), "RUNTIME_DIRECTORY": memory})
            watch = Live(edge, Late(witness, control), report, folder / "state/k1edge/library/maps")
            try:
                watch.follow(minutes * 60)
            finally:
                told = watch.line()
                shown_s, played_s = wall.flashes_s(), when_s(truth_s)
                edge.close()
                witness.close()
        first_s, length_s = float(when_s(np.zeros(1))[0]), minutes * 60
        played_s, shown_s = played_s - first_s, shown_s - first_s
        sixth = [_f_between(played_s, shown_s, part) for part in ((0, length_s / 6), (length_s * 5 / 6, length_s))]
        report.write(
            f"LIVE through the {way}, END: {told}; light F first sixth {sixth[0]:.3f}, last sixth {sixth[1]:.3f}; restarts "
            f"{edge.starts - 1}; events lost, twice {witness.durable()}"
        )


def _f_between(truth_s: np.ndarray, heard_s: np.ndarray, part: tuple[float, float]) -> float:
    """What is constant in the way of capture is taken out first."""
    truth_s, heard_s = (each[(each >= part[0]) & (each < part[1])] for each in (truth_s, heard_s))
    if not len(truth_s) or not len(heard_s):
        return float("nan")
    nearest = heard_s[np.abs(truth_s[:, None] - heard_s[None, :]).argmin(axis=1)] - truth_s
    return f_measure(truth_s, heard_s - np.median(nearest[np.abs(nearest) < 0.1]))


class Late:
    """Which hops were late, second by second, and in which of those seconds the machine itself was withheld."""

    def __init__(self, witness: Witness, control: Control) -> None:
        self.witness, self._control = witness, control
        self._from_s = self._counted_s = time.monotonic()
        self._misses: int | None = None
        self._hops = self._hops_before = 0
        self._missed: list[tuple[float, float, int]] = []

    def begin(self) -> None:
        """What was before does not count."""
        self.count()
        self._from_s, self._hops_before = self._counted_s, self._hops
        self._missed.clear()

    def count(self) -> None:
        """Takes in the telemetry since the last time."""
        for at_s, topic, told, _ in list(self.witness.heard):
            if at_s <= self._counted_s or not topic.endswith(f"{EDGE}/telemetry"):
                continue
            misses = told["deadline_misses"]
            if self._misses is not None and misses > self._misses:
                self._missed.append((self._counted_s, at_s, misses - self._misses))
            self._misses, self._hops, self._counted_s = misses, told["hops"], at_s

    def forget(self) -> None:
        """All that has been counted but the last minutes, and the events, which are counted at the end."""
        self.count()
        old = self.witness.heard[:-20_000]
        self.witness.heard[: len(old)] = [each for each in old if "/event/" in each[1]]

    def line(self) -> str:
        """How many hops were late."""
        self.count()
        withheld_s = [at_s for at_s in self._control.withheld_s() if at_s >= self._from_s]
        beside = sum(n for from_s, to_s, n in self._missed if between(withheld_s, from_s - HOP_S, to_s))
        all_of_them = sum(n for _, _, n in self._missed)
        share = len({int(at_s) for at_s in withheld_s}) / max(1.0, self._counted_s - self._from_s)
        return (
            f"{all_of_them} of {self._hops - self._hops_before:,} hops late, {all_of_them - beside} of them while the machine "
            f"was to be had (in {share:.1%} of the seconds it was not)"
        )


class Live:
    """The daemon from outside."""

    def __init__(self, edge: Kept, late: Late, report: Report, maps: Path) -> None:
        self._edge, self._late, self._report, self._maps = edge, late, report, maps
        self._memory: list[tuple[float, float]] = []
        self._open_before: int | None = None
        self._began_s = time.monotonic()
        self._warm_mb = self._warm_maps_mb = self._warm_s = 0.0

    def follow(self, seconds: float) -> None:
        told_s = 0.0
        while (passed_s := time.monotonic() - self._began_s) < seconds:
            time.sleep(LOOK_S)
            pid = self._edge.process.pid
            try:
                self._memory.append((passed_s, own_mb(pid)))
            except OSError:
                continue
            if self._open_before is None and passed_s > min(WARM_UP_S, seconds / 4):
                self._open_before, self._warm_mb = descriptors(pid), self._written_mb()
                self._warm_s, self._warm_maps_mb = passed_s, self._maps_mb()
                self._late.begin()
            if passed_s - told_s >= TELL_S:
                told_s = passed_s
                self._report.write(self.line())
            self._late.forget()

    def _written_mb(self) -> float:
        pid = self._edge.process.pid
        return sum(written_mb(each) for each in (pid, *children(pid)))

    def _maps_mb(self) -> float:
        return sum(file.stat().st_size for file in self._maps.rglob("*.json")) / 1e6

    def line(self) -> str:
        passed_s = time.monotonic() - self._began_s
        if self._open_before is None:
            return f"live {passed_s / 60:.0f} min, warming up, own memory {self._memory[-1][1]:.1f} MB"
        warm = [mb for at_s, mb in self._memory if at_s >= self._warm_s]
        told = self._late.witness.last(f"{EDGE}/telemetry")
        wrote_mb, warm_s = self._written_mb() - self._warm_mb, max(1.0, passed_s - self._warm_s)
        maps_mb = self._maps_mb() - self._warm_maps_mb
        return (
            f"live {passed_s / 60:.0f} min: own memory {warm[-1]:.1f} MB, {growth_mb(warm):+.2f} MB since warm; "
            f"descriptors {descriptors(self._edge.process.pid) - self._open_before:+d}; {self._late.line()}, "
            f"lost samples {told.get('audio_lost_samples', 0)}; wrote {wrote_mb:.2f} MB in {warm_s / 60:.0f} min, "
            f"{maps_mb:.2f} of them maps (bounded a day), the rest {(wrote_mb - maps_mb) * DAY_S / warm_s:.0f} MB a day; "
            f"CPU {told.get('cpu_pct', 0):.1f} %"
        )
