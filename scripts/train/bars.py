"""Trains the network that hears where in the bar each beat is, on cached items, and writes the weights that the package ships.

Consumes folders of items (render.py); what the beat network says of them is heard first. Emits after every epoch OUT.npz
(float16; stack.py makes of several what `k1edge.beat.downbeats` loads). Repeats for the same seed and items.
"""

from __future__ import annotations

import argparse
import time
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from bar_crops import N_PLACES, Piece, crop
from dataset import Cached, load
from torch import nn
from torch.nn import functional

from k1edge.beat.downbeats import LAG
from k1edge.beat.network import BEAT, DOWNBEAT, BeatNetwork, load_weights
from k1edge.beat.sounds import N_INPUTS

FEATURES, HIDDEN, DROPOUT = 48, 48, 0.2


def heard(item: Cached) -> Piece:
    """An item as the beat network hears it."""
    network = BeatNetwork(WEIGHTS)
    said = np.array([network.process(bands)[[BEAT, DOWNBEAT]] for bands in item.bands.astype(np.float32)])
    return Piece(np.hstack([item.bands, said.astype(np.float16)]), item.beats)


class Model(nn.Module):
    """(batch, beats, N_INPUTS) -> (batch, beats, N_PLACES) logits: what is said at a beat is about the one LAG before."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Linear(N_INPUTS, FEATURES)
        self.gru = nn.GRU(FEATURES, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, N_PLACES)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.dropout(torch.relu(self.front(self.dropout(x))))
        return self.head(self.dropout(self.gru(x)[0]))


def loss_of(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Nats a beat, over those whose place is known."""
    said, truth = logits[:, LAG:], truth[:, : truth.shape[1] - LAG]
    return functional.cross_entropy(said.reshape(-1, N_PLACES), truth.reshape(-1), ignore_index=-1)


def export(model: Model, path: Path) -> None:
    """The names that `k1edge.beat.downbeats` reads."""
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    names = {"into": "weight_ih_l0", "again": "weight_hh_l0", "into_bias": "bias_ih_l0", "again_bias": "bias_hh_l0"}
    arrays = {f"gru.{ours}": state[f"gru.{theirs}"] for ours, theirs in names.items()}
    arrays |= {f"{layer}{ending}": state[f"{layer}.{part}"] for layer in ("front", "head")
               for ending, part in (("", "weight"), ("_bias", "bias"))}  # fmt: skip
    np.savez_compressed(path, **{name: array.astype(np.float16) for name, array in arrays.items()})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=Path, nargs="+", required=True, help="folders of cached items")
    parser.add_argument("--held-out", type=Path, required=True, help="folder of items never trained on, for the printed loss")
    parser.add_argument("--weights", type=Path, help="the beat network to hear with, in place of the package's")
    parser.add_argument("--out", type=Path, required=True, help="path without suffix")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=120, help="in an epoch")
    parser.add_argument("--batch", type=int, default=64, help="crops")
    parser.add_argument("--beats", type=int, default=64, help="of a crop")
    parser.add_argument("--rate", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    with Pool(options.jobs) as pool:

        def pieces(folder: Path) -> list[Piece]:
            return pool.map(heard, [i for i in load(folder) if len(i.beats) > 8 and (i.beats[:, 1] >= 0).all()], 8)

        items, held_out = [piece for folder in options.items for piece in pieces(folder)], pieces(options.held_out)
    model = Model()
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.rate, options.epochs * options.steps)

    def batch(rng: np.random.Generator, among: list[Piece]) -> tuple[torch.Tensor, torch.Tensor]:
        crops = [crop(rng, among[rng.integers(len(among))], options.beats) for _ in range(options.batch)]
        return torch.from_numpy(np.stack([x for x, _ in crops])), torch.from_numpy(np.stack([y for _, y in crops]))

    alike = np.random.default_rng(0)
    unheard = [batch(alike, held_out) for _ in range(16)]
    for epoch in range(options.epochs):
        began, losses = time.time(), []
        for _ in range(options.steps):
            x, y = batch(rng, items)
            loss = loss_of(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            said = np.mean([loss_of(model(x), y).item() for x, y in unheard])
        model.train()
        print(f"epoch {epoch + 1} loss {np.mean(losses):.4f} held out {said:.4f} {time.time() - began:.0f} s", flush=True)
        export(model, options.out.with_suffix(".npz"))


if __name__ == "__main__":
    chosen = parse()
    WEIGHTS = load_weights(chosen.weights) if chosen.weights else None
    main(chosen)
