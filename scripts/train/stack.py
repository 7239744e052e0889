"""Puts networks that were trained apart into one file: what the package hears with is the mean of their logits.

Consumes weights as train.py writes them, all of one shape; emits one .npz whose arrays have the nets as their first axis.

    scripts/train/stack.py ONE.npz TWO.npz --out k1edge/beat/network.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from k1edge.beat.network import load_weights, side_by_side


def main() -> None:
    """Reads, stacks, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", type=Path, nargs="+", metavar="NPZ")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    stacked = side_by_side([load_weights(path) for path in args.nets])
    np.savez_compressed(args.out, **{name: array.astype(np.float16) for name, array in stacked.items()})


if __name__ == "__main__":
    main()
