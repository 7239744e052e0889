"""What is common to the networks that take one step a beat: pieces as the beat network hears them, the model, its training.

Consumes folders of items (render.py); what the beat network says of them is heard first. Emits after every epoch OUT.npz
(float16; stack.py makes of several what `k1edge.beat.ear` loads). Repeats for the same seed and items.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from bar_crops import Piece
from dataset import Cached, load
from torch import nn
from torch.nn import functional

from k1edge.beat.network import BEAT, DOWNBEAT, BeatNetwork, load_weights

FEATURES, HIDDEN, DROPOUT = 48, 48, 0.2
Crop = Callable[[np.random.Generator, Piece, int], tuple[np.ndarray, np.ndarray]]
"""Draws (beats, inputs), and (beats,) the class of each, -1 where there is none."""


def heard(item: Cached) -> Piece:
    """An item as the beat network hears it."""
    network = BeatNetwork(_weights)
    said = np.array([network.process(bands)[[BEAT, DOWNBEAT]] for bands in item.bands.astype(np.float32)])
    return Piece(np.hstack([item.bands, said.astype(np.float16)]), item.beats)


class Model(nn.Module):
    """(batch, beats, inputs) -> (batch, beats, classes) logits."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.front = nn.Linear(inputs, FEATURES)
        self.gru = nn.GRU(FEATURES, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, classes)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.dropout(torch.relu(self.front(self.dropout(x))))
        return self.head(self.dropout(self.gru(x)[0]))


def loss_of(logits: torch.Tensor, truth: torch.Tensor, lag: int = 0) -> torch.Tensor:
    """Nats a beat, over those whose class is known; what is said at a beat is about the one `lag` before."""
    said, truth = logits[:, lag:], truth[:, : truth.shape[1] - lag]
    return functional.cross_entropy(said.reshape(-1, said.shape[-1]), truth.reshape(-1), ignore_index=-1)


def export(model: Model, path: Path) -> None:
    """The names that `k1edge.beat.ear` reads."""
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    names = {"into": "weight_ih_l0", "again": "weight_hh_l0", "into_bias": "bias_ih_l0", "again_bias": "bias_hh_l0"}
    arrays = {f"gru.{ours}": state[f"gru.{theirs}"] for ours, theirs in names.items()}
    arrays |= {f"{layer}{ending}": state[f"{layer}.{part}"] for layer in ("front", "head")
               for ending, part in (("", "weight"), ("_bias", "bias"))}  # fmt: skip
    np.savez_compressed(path, **{name: array.astype(np.float16) for name, array in arrays.items()})


def parse(description: str) -> argparse.Namespace:
    """What every one of these trainings is told."""
    parser = argparse.ArgumentParser(description=description)
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


def train(options: argparse.Namespace, crop: Crop, model: Callable[[], Model], lag: int = 0) -> None:
    """Trains one net on crops of the pieces."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    with Pool(options.jobs, _hear_with, (options.weights,)) as pool:

        def pieces(folder: Path) -> list[Piece]:
            return pool.map(heard, [i for i in load(folder) if len(i.beats) > 8 and (i.beats[:, 1] >= 0).all()], 8)

        items, held_out = [piece for folder in options.items for piece in pieces(folder)], pieces(options.held_out)
    net = model()
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=1e-3)
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
            loss = loss_of(net(x), y, lag)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        net.eval()
        with torch.no_grad():
            said = np.mean([loss_of(net(x), y, lag).item() for x, y in unheard])
        net.train()
        print(f"epoch {epoch + 1} loss {np.mean(losses):.4f} held out {said:.4f} {time.time() - began:.0f} s", flush=True)
        export(net, options.out.with_suffix(".npz"))


_weights: dict[str, np.ndarray] | None = None


def _hear_with(path: Path | None) -> None:
    global _weights
    _weights = load_weights(path) if path else None
