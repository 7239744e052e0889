"""Joins nets of one shape that hear side by side into one file of weights, as `k1edge.beat.network` reads it.

scripts/train/join.py --out k1edge/beat/network.npz ONE.npz TWO.npz
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from k1edge.beat.network import load_weights, side_by_side


def main(arguments: Sequence[str] | None = None) -> None:
    """Each file holds one net."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("nets", type=Path, nargs="+", help=".npz of train.py")
    options = parser.parse_args(arguments)
    joined = side_by_side([load_weights(path) for path in options.nets])
    np.savez_compressed(options.out, **{name: array.astype(np.float16) for name, array in joined.items()})
    print(f"{options.out}: {len(options.nets)} nets, {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
