"""Puts networks that were trained apart into one file: what the package hears with is the mean of their logits.

Consumes weights as train.py writes them, all of one shape; emits one .npz whose arrays have the nets as their first axis, the
matrices in eight bits: half the size, and the loss is the same to .001.

    scripts/train/stack.py ONE.npz TWO.npz --out k1edge/beat/network.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from k1edge.beat.network import SCALE, load_weights, side_by_side

LARGEST = 127


def in_eight_bits(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As `load_weights` reads them: matrices as whole numbers and what 1 stands for in each row, the rest as float16."""
    stored = {}
    for name, array in weights.items():
        if array.ndim < 3:
            stored[name] = array.astype(np.float16)
            continue
        scale = np.maximum(np.abs(array).max(axis=-1) / LARGEST, 1e-6).astype(np.float16)
        whole = np.rint(array / scale.astype(np.float32)[..., None])
        stored[name] = np.clip(whole, -LARGEST, LARGEST).astype(np.int8)
        stored[name + SCALE] = scale
    return stored


def main() -> None:
    """Reads, stacks, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", type=Path, nargs="+", metavar="NPZ")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    stacked = side_by_side([load_weights(path) for path in args.nets])
    np.savez_compressed(args.out, **in_eight_bits(stacked))


if __name__ == "__main__":
    main()
