"""The annotated excerpts: `<set>/<id>.ogg|.wav|.flac` with `<id>.beats` beside (`time_s TAB beat_in_bar`; empty: no beat)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared/bench/beats/data"
SPLIT = ROOT / "scripts/bench_split.tsv"


@dataclass(slots=True)
class Item:
    """One excerpt and its truth."""

    name: str
    """`<set>/<id>`"""
    path: Path
    truth_s: np.ndarray
    in_bar: np.ndarray

    @property
    def group(self) -> str:
        """Its set."""
        return self.name.split("/")[0]


def items(data: Path, split: str | None = None, groups: Collection[str] = ()) -> list[Item]:
    """The excerpts below `data`: of these sets, or of all; of one half (`tune` or `report`), or of both."""
    halves = dict(line.split() for line in SPLIT.read_text().splitlines() if line and not line.startswith("#"))
    found = []
    for truth in sorted(data.rglob("*.beats")):
        name = str(truth.relative_to(data).with_suffix(""))
        audio = next((p for p in map(truth.with_suffix, (".ogg", ".wav", ".flac")) if p.exists()), None)
        if audio is None or (split and halves.get(name) != split) or (groups and name.split("/")[0] not in groups):
            continue
        rows = np.array([line.split() for line in truth.read_text().splitlines() if line.strip()], float).reshape(-1, 2)
        found.append(Item(name, audio, rows[:, 0], rows[:, 1].astype(int)))
    return found
