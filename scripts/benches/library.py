"""A thousand clients asking for tracks while the live pipeline runs: time to the answer, and what it costs the hops."""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _venue import EDGE

from k1edge.genesis.document import ENGINE, encode, seal
from k1edge.k1.link import Identity, Link
from k1edge.library.store import Library, TrackFacts
from tests.brokers import Mosquitto, eventually
from tests.end_to_end.daemon import DaemonProcess, Ear, write_config
from tests.genesis.songs import song_v4

REQUIRED_MS, AIM_MS, HOP_LOAD_PCT = 200.0, 40.0, 50.0
SETTLE_S = 5.0
CALLERS = 200


def stock(state: Path, tracks: int) -> list[str]:
    """A library of songs of four minutes."""
    document = song_v4(480, 500.0)
    envelope = [{"time_ms": 20.0 * n, "intensity": round(n % 50 / 50, 3)} for n in range(12_000)]
    document["layers"]["frequency"] = {"bass": envelope, "mids": envelope, "highs": envelope}
    document["metadata"]["analysis_engine"] = ENGINE
    song, library = seal(document), Library(state)
    ids = []
    for n in range(tracks):
        ids.append(library.register(TrackFacts(f"{n:016x}" + "0" * 48, f"song {n}.flac", artist=f"Artist {n % 40}"))["id"])
        library.add_version(ids[-1], song, "import")
    library.close()
    print(f"{tracks} tracks, {len(encode(song)) / 1e6:.1f} MB each")
    return ids


def remaining_length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, digit = divmod(size, 128)
        out.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(out)


def packet(kind: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes([kind]) + remaining_length(len(body)) + body


def text(words: str) -> bytes:
    return len(words.encode()).to_bytes(2, "big") + words.encode()


def connect(port: int, name: str) -> socket.socket:
    """One MQTT 3.1.1 client that stays connected. Not paho's: a thousand of those have more files than `select` takes."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(packet(0x10, text("MQTT"), b"\x04\x02\x00\x00", text(name)))
    assert client.recv(4) == b"\x20\x02\x00\x00"
    return client


def question(name: str, number: int, args: dict) -> bytes:
    """One request; each caller stays well below its 100 a minute."""
    return json.dumps({"id": name, "caller": f"c{number % CALLERS}", "args": args}).encode()


def await_open(client: socket.socket, link: Link) -> None:
    """Until the library answers: it opens some seconds after the light."""
    for attempt in range(60):
        client.sendall(packet(0x30, text(f"{EDGE}/request/storage.usage"), question(f"open{attempt}", attempt, {})))
        until_s = time.monotonic() + 1.0
        while time.monotonic() < until_s:
            if any(json.loads(received.payload)["result"] == "ok" for received in link.receive()):
                return
            time.sleep(0.01)
    raise SystemExit("the library does not answer")


def ask_all(clients: list[socket.socket], ids: list[str], link: Link, args: argparse.Namespace) -> tuple[dict, int]:
    """Asks at a steady rate from every client in turn; milliseconds to each answer by verb, and answers that were refused."""
    draw, sent, took_ms, refused = random.Random(1), {}, {"track.list": [], "track.get": []}, 0
    began, number, total = time.monotonic(), 0, round(args.rate * args.seconds)
    while number < total or (sent and time.monotonic() - began < args.seconds + 5):
        while number < total and time.monotonic() >= began + number / args.rate:
            verb = ("track.list", "track.get")[number % 2]
            listing = {"text": f"artist {draw.randrange(40)}", "limit": 20}
            body = question(f"q{number}", number, listing if verb == "track.list" else {"track": draw.choice(ids)})
            sent[f"q{number}"] = (verb, time.monotonic())
            clients[number % len(clients)].sendall(packet(0x30, text(f"{EDGE}/request/{verb}"), body))
            number += 1
        for received in link.receive():
            answer = json.loads(received.payload)
            verb, at = sent.pop(answer["id"], (None, 0.0))
            if verb:
                took_ms[verb].append(1000 * (time.monotonic() - at))
                refused += answer["result"] != "ok"
        time.sleep(0.0005)
    print(f"{number} asked, {len(sent)} unanswered, {refused} refused")
    return took_ms, len(sent) + refused


def main() -> int:
    """Prints the percentiles; 1 when one is above what is required or an answer is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second of all together (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--tracks", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder, env = Path(root), os.environ | {"XDG_STATE_HOME": root}
        ids = stock(folder / "k1edge" / "library", args.tracks)
        with Mosquitto(folder, "max_connections -1", "max_queued_messages 10000") as broker:
            config = write_config(folder, f'[mqtt]\nurl = "{broker.url}"\n')
            with DaemonProcess("--config", str(config), "--source", "demo", env=env) as daemon, Ear(broker.settings()) as ear:
                clients = [connect(broker.port, f"client-{n}") for n in range(args.clients)]
                link = Link(broker.settings(), Identity("bench", [f"{EDGE}/response/+"], payload_limit=131_072))
                link.start()
                eventually(lambda: link.connected, "the asker is connected")
                await_open(clients[0], link)
                time.sleep(SETTLE_S)
                quiet = ear.said("/telemetry")[-1]["hop_load_pct_p99"]
                before = len(ear.said("/telemetry"))
                took_ms, missing = ask_all(clients, ids, link, args)
                loads = [said["hop_load_pct_p99"] for said in ear.said("/telemetry")[before:]]
                link.close((), 0.5)
                daemon.stop()
                for client in clients:
                    client.close()
    return report(took_ms, missing, quiet, loads)


def report(took_ms: dict[str, list[float]], missing: int, quiet: float, loads: list[float]) -> int:
    """The figures, and whether they are what is required."""
    worst = 0.0
    for verb, values in took_ms.items():
        p50, p95, p99 = np.percentile(values, (50, 95, 99))
        worst = max(worst, p95)
        print(f"{verb:12} P50 {p50:6.1f}  P95 {p95:6.1f}  P99 {p99:6.1f}  max {max(values):6.1f} ms   ({len(values)})")
    print(f"P95 required {REQUIRED_MS:g} ms, aim {AIM_MS:g}")
    print(f"hop load P99: {quiet:.0f} % before, {max(loads):.0f} % at worst meanwhile (limit {HOP_LOAD_PCT:g})")
    return 1 if missing or worst > REQUIRED_MS or max(loads) > HOP_LOAD_PCT else 0


if __name__ == "__main__":
    sys.exit(main())
