"""Every fault of a venue, injected into the running daemon: what is said and when, when the light is back, what was lost."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import _faults_box
import _faults_broker
import _faults_line
import _kills
from _fault_table import Table, Venue

from tests.sound import build_plugin

GROUPS = ("audio", "quality", "server", "broker", "boot", "configuration", "box", "clock", "kills")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=GROUPS, default=GROUPS, help="some of the groups")
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs at random moments (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    faketime = _faults_box.faketime() if "clock" in args.only else Path()
    table = Table()
    with tempfile.TemporaryDirectory(prefix="k1faults") as name:
        root = Path(name)
        library = build_plugin(root)

        def make(what: str, **options) -> Venue:
            return Venue(root, library, what, **options)

        runs = {
            "audio": lambda: (_faults_line.absent_at_boot(make, table), _faults_line.audio(make, table)),
            "quality": lambda: _faults_line.quality(make, table),
            "server": lambda: _faults_line.sound_server(make, table, root),
            "broker": lambda: _faults_broker.broker(make, table),
            "boot": lambda: _faults_broker.broker_at_boot(make, table, root),
            "configuration": lambda: _faults_box.configuration(make, table),
            "box": lambda: _faults_box.box(make, table, root),
            "clock": lambda: _faults_box.clock(make, table, root, faketime),
            "kills": lambda: table.add(_kills.run(root, library, args.kills, args.seed)),
        }
        for group in args.only:
            runs[group]()
    if table.missing:
        print(f"{table.missing} rows could not be run here")
    print(
        f"{table.bad} faults were not told, left the venue dark for longer than promised, or lost or doubled something"
        if table.bad
        else "all told, all mended, nothing lost"
    )
    return int(bool(table.bad))


if __name__ == "__main__":
    sys.exit(main())
