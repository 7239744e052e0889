"""What a soak counts: memory, descriptors, bytes written, beats."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from mir_eval import beat as mir

warnings.filterwarnings("ignore", module="mir_eval")


class Report:
    """Lines for the terminal and, if one is given, a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def write(self, line: str) -> None:
        line = f"{datetime.now(UTC):%H:%M:%S} {line}"
        print(line, flush=True)
        if self._path:
            with self._path.open("a") as file:
                file.write(line + "\n")


def own_mb(pid: int | str = "self") -> float:
    """Resident and its own: pages of mapped files (libraries, and what is on the simulated line) are left out."""
    told = Path(f"/proc/{pid}/status").read_text()
    return int(told.partition("RssAnon:")[2].split()[0]) * 1024 / 1e6


def growth_mb(warm_mb: list[float]) -> float:
    """From the first sixth to the last, by their medians."""
    sixth = max(1, len(warm_mb) // 6)
    return float(np.median(warm_mb[-sixth:]) - np.median(warm_mb[:sixth]))


def descriptors(pid: int | str = "self") -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def written_mb(pid: int) -> float:
    """To the disk by a process and those it has waited for; what was deleted before it got there does not count."""
    told = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return (int(told["write_bytes"]) - int(told["cancelled_write_bytes"])) / 1e6


def f_measure(truth_s: np.ndarray, heard_s: np.ndarray) -> float:
    """Within 70 ms, after the first five seconds."""
    return float(mir.f_measure(mir.trim_beats(truth_s), mir.trim_beats(np.sort(heard_s))))
