"""Trains the network that hears where in the bar each beat is (see beatwise.py)."""

from __future__ import annotations

from bar_crops import N_PLACES, crop
from beatwise import Model, parse, train

from k1edge.beat.downbeats import LAG
from k1edge.beat.sounds import N_INPUTS

if __name__ == "__main__":
    train(parse(__doc__), crop, lambda: Model(N_INPUTS, N_PLACES), LAG)
