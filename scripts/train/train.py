"""Trains the beat network on cached items and writes the weights that the package ships.

Consumes folders of items (render.py); emits after every epoch OUT.pt and OUT.npz (float16, what `k1edge.beat.network` loads),
both of the weights' running average. Some replicas train on crops of their own and take the mean of their weights every
SYNC_EVERY steps (local SGD: Stich, ICLR 2019). Repeats for the same seed, items and number of replicas.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from dataset import OVERLAID, batches, load
from model import Model, State, export, loss_of, start_from
from torch import distributed
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from k1edge.beat.network import FRAMES_PER_S

WARM_UP = FRAMES_PER_S
"""The first second of a crop is heard but not judged."""
CARRIED = 0.7
"""Share of crops that begin in the state another piece has left: in a venue songs follow each other, and a network that only
ever began in silence takes half a minute to let go of the song before (measured: 8.6 s to lock anew, 2.0 s from silence)."""
SYNC_EVERY = 10
AVERAGE_OVER = 12
"""Synchronisations over which the weights are averaged (exponentially)."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=Path, nargs="+", required=True, help="folders of cached items")
    parser.add_argument("--held-out", type=Path, required=True, help="folder of items never trained on, for the printed loss")
    parser.add_argument("--out", type=Path, required=True, help="path without suffix")
    parser.add_argument("--start", type=Path, help="a .pt or the .npz of a package to go on from")
    parser.add_argument("--hidden", type=int, default=96)
    parser.add_argument("--both-ways", action="store_true", help="the network for whole tracks: layers run backwards, too")
    parser.add_argument("--batch", type=int, default=16, help="crops a replica")
    parser.add_argument("--seconds", type=float, default=12.0, help="of a crop")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100, help="in an epoch, a multiple of 10")
    parser.add_argument("--rate", type=float, default=3e-3, help="peak learning rate; a cosine down to a fiftieth of it")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--here", type=int, nargs=2, metavar=("FIRST", "COUNT"), help="which of them run here; default all")
    parser.add_argument("--port", type=int, default=29_500, help="on which the replicas meet")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def held_out_loss(model: Model, items: list, shape: tuple[int, int]) -> tuple[float, float]:
    """Mean loss over the same crops each time: from silence, and after the crop before."""
    model.eval()
    silent, after, state = [], [], None
    with torch.no_grad():
        for x, y in batches(items, np.random.default_rng(0), shape, 4):
            heard, truth = torch.from_numpy(x), torch.from_numpy(y)
            silent.append(loss_of(model(heard), truth, WARM_UP).item())
            logits, state = model.hear(heard, state)
            after.append(loss_of(logits, truth, WARM_UP).item())
    model.train()
    return float(np.mean(silent)), float(np.mean(after[1:]))


def carried(state: State) -> State:
    """What the next crops begin in: some in this state, some in silence."""
    kept = (torch.rand(state[0].shape[1], 1) < CARRIED).float()
    return state[0].detach() * kept, state[1].detach() * kept


def synchronise(model: Model, replicas: int) -> None:
    """All replicas go on from the mean of their weights."""
    for parameter in model.parameters():
        distributed.all_reduce(parameter.data)
        parameter.data /= replicas


class Training:
    """One replica's model, its running average and its optimiser."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.manual_seed(options.seed)
        self.options, self.model = options, Model(options.hidden, both_ways=options.both_ways)
        if options.start:
            start_from(self.model, options.start)
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / AVERAGE_OVER))
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=options.rate, weight_decay=1e-3)
        total = options.epochs * options.steps
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, options.rate, total, pct_start=0.08, final_div_factor=50
        )

    def epoch(self, items: list, rng: np.random.Generator, shape: tuple[int, int]) -> float:
        """Mean training loss."""
        losses, state = [], None
        for step, (x, y) in enumerate(batches(items, rng, shape, self.options.steps, OVERLAID), 1):
            logits, left = self.model.hear(torch.from_numpy(x), state)
            state = None if self.options.both_ways else carried(left)
            loss = loss_of(logits, torch.from_numpy(y), WARM_UP)
            self.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimiser.step()
            self.schedule.step()
            losses.append(loss.item())
            if step % SYNC_EVERY == 0:
                synchronise(self.model, self.options.replicas)
                self.average.update_parameters(self.model)
        return float(np.mean(losses))


def fit(local_rank: int, options: argparse.Namespace) -> None:
    """The whole training of one replica; replica 0 judges and writes."""
    torch.set_num_threads(1)
    rank = options.here[0] + local_rank
    meeting = f"tcp://127.0.0.1:{options.port}"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=options.replicas)
    training, rng = Training(options), np.random.default_rng([options.seed, rank])
    torch.manual_seed(options.seed + rank)  # of the dropout
    held_out, shape = load(options.held_out), (options.batch, int(options.seconds * FRAMES_PER_S))
    for epoch in range(options.epochs):
        began = time.time()
        items = [item for folder in options.items for item in load(folder)]  # read anew: rendering may go on meanwhile
        loss = training.epoch(items, rng, shape)
        if rank == 0:
            average = training.average.module
            silent, after = held_out_loss(average, held_out, shape)
            losses = f"loss {loss:.4f} held out {silent:.4f}, after another piece {after:.4f}"
            print(f"epoch {epoch + 1} items {len(items)} {losses} {time.time() - began:.0f} s", flush=True)
            torch.save({"average": average.state_dict(), "hidden": options.hidden}, options.out.with_suffix(".pt"))
            export(average, options.out.with_suffix(".npz"))
    distributed.destroy_process_group()


if __name__ == "__main__":
    chosen = parse()
    chosen.here = chosen.here or (0, chosen.replicas)
    torch.multiprocessing.spawn(fit, (chosen,), chosen.here[1])
