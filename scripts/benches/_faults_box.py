"""Faults of the configuration and of the machine itself."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from _fault_table import DETECT_S, HALT_S, Table, Venue
from _venue import awaited, children

from tests.sound import PCM

THERMAL, GROUPS = "/sys/class/thermal", "/sys/fs/cgroup"
COOL_S = 240.0
"""The ladder is left a rung a minute."""


def configuration(make: Callable[..., Venue], table: Table) -> None:
    """A typo, and a change that loses the sound."""
    with make("configuration") as venue:
        good = venue.config.read_text()
        awaited(lambda: venue.witness.when(0.0, "/config/reported", on_trial=False), 30)
        for fault, text, code in (
            ("a file with a fault", good + "[beatt]\n", "CONFIG_INVALID"),
            ("a change that loses the sound", good.replace(PCM, "nowhere"), "CONFIG_ROLLED_BACK"),
        ):
            venue.config.write_text(text)
            began_s = venue.begin()
            venue.edge.rest_s = 0.2
            venue.edge.process.terminate()
            said_s = venue.heard(began_s, code, "/event/config")
            table.row(fault, code, said_s, venue.light(began_s + (said_s or 0.0)), venue)


def box(make: Callable[..., Venue], table: Table, root: Path) -> None:
    """The machine itself."""
    for fault, options, code in (
        ("state on a full file system", "size=256k", "DISK_FULL"),
        ("state read-only from the start", "size=256k,ro", "DISK_READ_ONLY"),
    ):
        with mounted(root / "small", options) as small:
            if "ro" not in options:
                (small / "ballast").write_bytes(bytes(1 << 20)[: 240 * 1024])
            began_s = time.monotonic()
            with make(fault, env={"XDG_STATE_HOME": str(small)}) as venue:
                said_s = venue.heard(began_s, code)
                unwritable = awaited(lambda v=venue: v.witness.when(0.0, "/event/config", code="STATE_UNWRITABLE"), 20)
                table.row(
                    fault, code, said_s, venue.light(time.monotonic()), venue, note="and STATE_UNWRITABLE" if unwritable else ""
                )
    for fault, system, run in (("heat", THERMAL, heat), ("memory nearly used up", GROUPS, crowded)):
        if Path(system).exists():
            run(make, table, root / Path(system).name)
        else:
            table.left_out(fault, f"there is no {system}")
    refusing(make, table, root)
    with make("memory") as venue:
        began_s = time.monotonic()
        pid = venue.edge.process.pid
        size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.prlimit(pid, resource.RLIMIT_AS, (size, size))
        time.sleep(HALT_S)
        table.row("no more memory for the daemon", "", None, venue.light(began_s + HALT_S), venue)
    with make("journal") as venue:
        # A file in place of the journal's socket, taken away: what is written to it is gone.
        os.truncate(venue.edge.log, 0)
        began_s = venue.begin()
        venue.broker.kill()
        time.sleep(1)
        venue.broker.start()
        said_s = venue.logged(began_s, "the broker is back")
        table.row("log taken away, then news", "in the log", said_s, venue.light(began_s + 1), venue)


def faketime() -> Path:
    """What shifts a process's clock. Raises SystemExit where it is not installed."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        raise SystemExit("the clock cannot be shifted without libfaketime: apt-get install it, or leave out the group `clock`")
    return library


def clock(make: Callable[..., Venue], table: Table, root: Path, library: Path) -> None:
    """The wall clock steps by years."""
    stamp = root / "faketime"
    stamp.write_text("+0d")
    wrong = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(stamp), "FAKETIME_NO_CACHE": "1",
             "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}  # fmt: skip
    with make("clock", env=wrong) as venue:
        for fault, text in (
            ("clock three years back", "-1095d"),
            ("clock two years on", "+730d"),
            ("clock right again", "+0d"),
        ):
            began_s = venue.begin()
            stamp.write_text(text)
            said_s = venue.heard(began_s, "CLOCK_STEPPED", "/event/clock")
            table.row(fault, "CLOCK_STEPPED", said_s, venue.light(began_s), venue)


def crowded(make: Callable[..., Venue], table: Table, groups: Path) -> None:
    """The service's limit of memory comes close, and is lifted; `groups`: a folder to stand in for the system's."""
    limit = groups / Path("/proc/self/cgroup").read_text().partition("0::/")[2].splitlines()[0] / "memory.max"
    limit.parent.mkdir(parents=True)
    limit.write_text("max")
    with make("crowded", before=over(groups, GROUPS)) as venue:
        began_s = venue.begin()
        limit.write_text(str(round(venue.witness.last("/telemetry")["rss_mb"] / 0.9 * 1e6)))
        said_s = venue.heard(began_s, "MEMORY_HIGH")
        limit.write_text("max")
        table.row("memory nearly used up", "MEMORY_HIGH", said_s, venue.light(began_s), venue)
        began_s = venue.begin()
        over_s = awaited(lambda: venue.witness.when(began_s, "/event/alarm", code="MEMORY_HIGH", reason="is over"), DETECT_S)
        table.row("memory there again", "is over", over_s, venue.light(began_s), venue)


def over(folder: Path, system: str) -> tuple[str, ...]:
    """What begins a command that sees `folder` in place of a folder of the system; needs root."""
    inside = f'mount --bind {folder} {system} && exec "$@"'
    return "unshare", "-m", "--propagation", "private", "sh", "-c", inside, "sh"


def heat(make: Callable[..., Venue], table: Table, zones: Path) -> None:
    """The processor warms up, and cools; `zones`: a folder to stand in for the system's."""
    zone = zones / "thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("50000")
    with make("heat", before=over(zones, THERMAL)) as venue:
        for temp_c, words in ((76.0, "songs are neither"), (81.0, "five frames"), (86.0, "no frames")):
            began_s = time.monotonic()
            (zone / "temp").write_text(str(round(temp_c * 1000)))
            said_s = awaited(lambda since=began_s, what=words: venue.witness.when(since, "/event/alarm", words=what), DETECT_S)
            time.sleep(2)
            since_s = time.monotonic()
            time.sleep(HALT_S)
            frames = (
                sum(at_s > since_s and topic.endswith("/frame") for at_s, topic, _, _ in list(venue.witness.heard)) / HALT_S
            )
            cpu = venue.witness.last("/telemetry").get("cpu_pct", 0.0)
            table.row(
                f"{temp_c:.0f} degC", "HOT", said_s, venue.light(began_s), venue, note=f"{frames:.1f} frames/s, {cpu:.1f} % CPU"
            )
        (zone / "temp").write_text("50000")
        began_s = time.monotonic()
        cool_s = awaited(lambda: _rung(venue) == 0 and time.monotonic() - began_s, COOL_S)
        table.row("cool again", "rung 0", cool_s, venue.light(time.monotonic()), venue)


def _rung(venue: Venue) -> float | None:
    return venue.witness.last("/telemetry").get("extra", {}).get("rung")


def refusing(make: Callable[..., Venue], table: Table, root: Path) -> None:
    """No process and no thread can be begun, and the library's process dies."""
    library, flag = root / "librefuse.so", root / "refuse"
    source = Path(__file__).with_name("_refuse.c")
    subprocess.run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    with make("forks", env={"LD_PRELOAD": str(library), "REFUSE_WHILE": str(flag)}) as venue:
        awaited(lambda: children(venue.edge.process.pid) or None, 30)
        began_s = time.monotonic()
        flag.touch()
        for child in children(venue.edge.process.pid):
            os.kill(child, signal.SIGKILL)
        said_s = venue.heard(began_s, "LIBRARY_LOST")
        time.sleep(HALT_S)
        flag.unlink()
        again = awaited(lambda: children(venue.edge.process.pid) or None, 120)
        table.row("forks refused, library killed", "LIBRARY_LOST", said_s if again else None, venue.light(began_s), venue)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own; needs root."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "k1edge-bench", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)
