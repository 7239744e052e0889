"""Arrival of a hop in the process to a subscriber's receipt, over loopback mosquitto."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from k1edge.audio.synth import SynthSource, four_on_the_floor
from k1edge.config import Settings
from k1edge.daemon.edge import Edge, subscriptions
from k1edge.daemon.loop import SWITCH_INTERVAL_S
from k1edge.daemon.startup import Start
from k1edge.k1 import contract
from k1edge.k1.link import Identity, Link
from tests.brokers import Mosquitto, eventually


def listen(url: str, pipe) -> None:
    """Another process: notes when each message left its socket."""
    link = Link(Settings().mqtt.model_copy(update={"url": url}), Identity("bench-ear", ["k1/v1/bench/#"]))
    link.start()
    eventually(lambda: link.connected)
    pipe.send("ready")
    heard = []
    while not pipe.poll():
        for received in link.receive():
            if received.topic.endswith(("/frame", "/beat")) and not received.arrival.retained:
                message = contract.decode(received.topic, received.payload)
                index = message.index if isinstance(message, contract.Frame) else None
                heard.append((index, message.ts_ms, received.arrival.heard_ns))
        time.sleep(0.0005)
    pipe.send(heard)
    link.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of music to send (default: %(default)s)")
    args = parser.parse_args()
    sound = four_on_the_floor(124.0, args.seconds, 48_000)
    arrived_ns = {}
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder)) as broker:
        os.environ["STATE_DIRECTORY"] = folder
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        ear = multiprocessing.get_context("spawn").Process(target=listen, args=(broker.url, theirs), daemon=True)
        ear.start()
        ours.recv()
        settings = Settings(site="bench", edge="bench", mqtt={"url": broker.url},
                            telemetry={"frame_rate_hz": 30}, k1={"devices": [{"id": "a"}, {"id": "b"}]})
        link = Link(settings.mqtt, Identity("bench-edge", subscriptions("bench", "bench")))
        link.start()
        eventually(lambda: link.connected)
        edge = Edge(Start(settings), link, contract.Scribe("bench", "bench"), "bench")
        source = SynthSource(sound.samples, sound.rate_hz, paced=True)
        edge.listen(source, "the bench")
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        for block in source:
            arrived_ns[block.end] = block.arrived_ns
            edge.hear(block)
            edge.attend()
        time.sleep(0.2)
        ours.send("stop")
        heard = ours.recv()
        link.close(edge.farewell())
    delays_ms = np.array([(at - arrived_ns[index]) / 1e6 for index, _, at in heard if index])[30:]
    p50, p95, p99 = np.percentile(delays_ms, [50, 95, 99])
    print(f"{len(delays_ms)} messages: P50 {p50:.2f} ms  P95 {p95:.2f} ms  P99 {p99:.2f} ms  max {delays_ms.max():.2f} ms"
          "   (aim: P95 <= 5 ms)")
    figures = edge.telemetry.snapshot()
    print(f"hop load P50 {figures['hop_load_pct_p50']} %  P99 {figures['hop_load_pct_p99']} %  "
          f"deadline misses {figures['deadline_misses']} of {figures['hops']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
