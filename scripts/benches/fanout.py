"""A thousand subscribers on what the real daemon publishes, over mosquitto: publish-to-receive latency and loss."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from _venue import EDGE

from tests.brokers import Mosquitto, eventually
from tests.end_to_end.daemon import DaemonProcess, Ear, write_config

LOAD = Path(__file__).resolve().parents[3] / "shared/bench/mqtt/fanout.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--leaves", nargs="*", default=["telemetry", "frame"], help="topics below the edge, one run each")
    parser.add_argument("--load", type=Path, default=LOAD, help="the fan-out load generator (default: %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        with Mosquitto(folder, "max_connections -1", "max_queued_messages 10000") as broker:
            config = write_config(folder, f'[mqtt]\nurl = "{broker.url}"\n[telemetry]\nrate_hz = 10.0\n')
            with DaemonProcess("--config", str(config), "--source", "demo") as daemon:
                with Ear(broker.settings()) as ear:
                    eventually(lambda: len(ear.said("/frame")) > 50, "the daemon publishes", 120)
                for leaf in args.leaves:
                    print(f"{leaf}, {args.subscribers} subscribers:", flush=True)
                    subprocess.run(
                        [sys.executable, args.load, "--broker", f"127.0.0.1:{broker.port}", "--subscribe-only",
                         "--subscribers", str(args.subscribers), "--seconds", str(args.seconds), "--seq-field", "seq",
                         "--topic", f"{EDGE}/{leaf}", "--ts-field", "ts_ms", "--ts-unit", "ms"],
                        check=True,
                    )  # fmt: skip
                daemon.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
