"""SIGKILL at random moments of a daemon that promotes configurations, answers requests and analyses songs: nothing that was
acknowledged is lost, no state is ever damaged, and it comes back each time.
"""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path

import numpy as np
import soundfile
from _venue import EDGE, RATE_HZ, Kept, Witness, awaited, music

from k1edge.audio.synth import four_on_the_floor
from k1edge.daemon.startup import SAFE_MODE
from k1edge.k1.contract import Publication
from k1edge.k1.link import Identity, Link
from k1edge.system.generations import Generations, _read
from tests.brokers import Mosquitto
from tests.end_to_end.daemon import write_config
from tests.sound import PCM, WireLine, as_pcm16

LONGEST_S = 8.0
"""From a start to its end: the configuration proves itself after one, the library opens after three."""
BACK_S = 60.0
SONGS = 3


class Asker:
    """Pins and unpins a track, and remembers what was acknowledged."""

    def __init__(self, settings: object) -> None:
        self._link = Link(settings, Identity("asker", [f"{EDGE}/response/track.pin"]))
        self._link.start()
        self._asked: dict[str, bool] = {}
        self._number = 0
        self.acknowledged = 0
        self.may_be: set[bool] = {False}
        """What the pin may be now: the last acknowledged, or any asked for since."""

    def ask(self, track: str) -> None:
        import json

        for received in self._link.receive():
            body = json.loads(received.payload)
            wish = self._asked.pop(body["id"], None)
            if wish is not None and body["result"] == "ok":
                self.acknowledged += 1
                self.may_be = {wish}
        if not self._asked:
            self._number += 1
            wish = self._number % 2 == 1
            self._asked[f"pin-{self._number}"] = wish
            self.may_be = self.may_be | {wish}
            text = json.dumps({"id": f"pin-{self._number}", "caller": "asker", "args": {"track": track, "pinned": wish}})
            self._link.send(Publication(f"{EDGE}/request/track.pin", text.encode(), 1))

    def forget(self) -> None:
        """The daemon is gone: what was asked may have been done, or not."""
        self._asked.clear()

    def close(self) -> None:
        self._link.close()


def run(root: Path, library: Path, kills: int, seed: int) -> int:
    """Prints what came of it; how much is wrong."""
    folder, draw, bad = root / "kills", random.Random(seed), 0
    folder.mkdir()
    line = WireLine(folder / "wire", library)
    line.plug(as_pcm16(music()))
    state = folder / "state"
    inbox = state / "k1edge" / "music" / "inbox"
    inbox.mkdir(parents=True)
    _songs(inbox)
    with Mosquitto(folder) as broker:
        witness, asker = Witness(broker.port), Asker(broker.settings())
        config = _configure(folder, broker.url, 0)
        edge = Kept(config, line.env | {"XDG_STATE_HOME": str(state)})
        done = awaited(
            lambda: next((t for _, t, b, _ in list(witness.heard) if "/track/" in t and b.get("status") == "ready"), None), 300
        )
        if done is None:
            print(edge.said()[-2000:])
        track = str(done).rpartition("/")[2]
        edge.rest_s, back_s, safe, damaged = 0.0, [], 0, []
        for number in range(1, kills + 1):
            until_s = time.monotonic() + draw.uniform(0.05, LONGEST_S)
            while time.monotonic() < until_s:
                asker.ask(track)
                time.sleep(0.02)
            if draw.random() < 0.5:
                _configure(folder, broker.url, number)
            edge.kill()
            began_s = time.monotonic()
            asker.forget()
            came_back = awaited(
                lambda since=began_s: (
                    witness.when(since, f"{EDGE}/status", state="ready")
                    or witness.when(since, f"{EDGE}/status", state="degraded")
                ),
                BACK_S,
            )
            bad += came_back is None
            back_s.append(came_back or float("inf"))
            safe += witness.last(f"{EDGE}/status").get("code") == SAFE_MODE
            damaged += _damage(state, config, track, asker)
        missing, twice = witness.durable()
        edge.close()
        asker.close()
        witness.close()
    bad += len(damaged) + missing
    p50, p99 = np.percentile(back_s, (50, 99))
    print(
        f"{kills} SIGKILLs at random moments, 0.05-{LONGEST_S:g} s after a start: "
        f"{sum(s < BACK_S for s in back_s)} times back, after {p50:.2f} s (P50), {p99:.2f} s (P99)"
    )
    print(
        f"  {asker.acknowledged} requests acknowledged, after each kill the state is as acknowledged: {not damaged}; "
        f"events lost {missing}, twice {twice}; {safe} starts in safe mode, each told; damaged: {damaged or 'nothing'}"
    )
    return bad


def _songs(inbox: Path) -> None:
    for n in range(SONGS):
        soundfile.write(inbox / f"song {n}.flac", four_on_the_floor(100.0 + 10 * n, 12.0, RATE_HZ).samples, RATE_HZ)


def _configure(folder: Path, url: str, number: int) -> Path:
    fade_s = 1.0 + number % 20
    return write_config(
        folder,
        f'[audio]\ndevice = "{PCM}"\nrate_hz = {RATE_HZ}\n[genesis]\nfade_s = {fade_s}\n'
        f'[system]\ngate_s = 1.0\n[mqtt]\nurl = "{url}"\n',
    )


def _damage(state: Path, config: Path, track: str, asker: Asker) -> list[str]:
    """What is wrong with what is on the disk now."""
    found = []
    store = Generations(state / "k1edge", config)
    found += [f"{path.name} is damaged" for path in store.folder.glob("generation-*.toml") if _read(path) is None]
    for path in (state / "k1edge" / "library").glob("*.db"):
        with sqlite3.connect(path) as db:
            verdict = db.execute("PRAGMA quick_check").fetchone()[0]
            found += [f"{path.name}: {verdict}"] if verdict != "ok" else []
            pinned = db.execute("SELECT pinned FROM tracks WHERE id = ?", (track,)).fetchone()
            if pinned is None:
                found.append("the track is gone")
            elif bool(pinned[0]) not in asker.may_be:
                found.append(f"pinned is {bool(pinned[0])}, which was not acknowledged")
    return found
