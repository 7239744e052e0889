"""Trains the network that hears whether beats are those that a listener would tap (see beatwise.py)."""

from __future__ import annotations

from beatwise import Model, parse, train
from level_crops import CLASSES, crop

from k1edge.beat.levels import N_LEVEL_INPUTS

if __name__ == "__main__":
    train(parse(__doc__), crop, lambda: Model(N_LEVEL_INPUTS, len(CLASSES)))
