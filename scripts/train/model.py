"""The network for training, in torch; the arithmetic at run time is k1edge/beat/network.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from k1edge.beat.network import CONTEXT, N_TEMPI
from k1edge.dsp.features import N_BANDS

BEAT_WEIGHT, DOWNBEAT_WEIGHT = 4.0, 6.0
"""How much more a missed (down)beat frame costs than a false one: they are few."""
TEMPO_WEIGHT = 0.12


State = tuple[torch.Tensor, torch.Tensor]
"""(1, batch, hidden) of each recurrent layer."""


class Model(nn.Module):
    """(batch, frames, N_BANDS) -> (.., 3 + N_TEMPI) logits: beat, downbeat, music, tempo.

    `both_ways`: each layer also runs backwards, for whole tracks (k1edge/analysis/hindsight.py).
    """

    def __init__(self, hidden: int, local: int = 64, *, both_ways: bool = False) -> None:
        super().__init__()
        ways = 1 + both_ways
        self.front = nn.Linear(CONTEXT * N_BANDS, local)
        self.gru1 = nn.GRU(local, hidden, batch_first=True, bidirectional=both_ways)
        self.gru2 = nn.GRU(ways * hidden, hidden, batch_first=True, bidirectional=both_ways)
        self.head = nn.Linear(ways * hidden, 3 + N_TEMPI)
        self.dropout = nn.Dropout(0.1)

    def forward(self, bands: torch.Tensor) -> torch.Tensor:
        return self.hear(bands)[0]

    def hear(self, bands: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        """Logits, and the state of both layers at the end; `state`: that at the beginning, None is silence."""
        padded = functional.pad(bands, (0, 0, CONTEXT - 1, 0))
        recent = torch.cat([padded[:, i : i + bands.shape[1]] for i in range(CONTEXT)], dim=-1)
        x = torch.relu(self.front(recent))
        first, second = state or (None, None)
        x, first = self.gru1(self.dropout(x), first)
        x, second = self.gru2(self.dropout(x), second)
        return self.head(self.dropout(x)), (first, second)


def loss_of(logits: torch.Tensor, target: torch.Tensor, warm_up: int) -> torch.Tensor:
    """Mean over the frames after `warm_up`, where the state has had time to settle."""
    logits, target = logits[:, warm_up:], target[:, warm_up:]
    beat, down, music = target[..., 0], target[..., 1], target[..., 2]
    cost = functional.binary_cross_entropy_with_logits(logits[..., 0], beat, weight=1 + (BEAT_WEIGHT - 1) * beat)
    known = (down >= 0).float()
    cost = cost + 1.5 * functional.binary_cross_entropy_with_logits(
        logits[..., 1], down.clamp(min=0), weight=known * (1 + (DOWNBEAT_WEIGHT - 1) * down)
    )
    cost = cost + 0.25 * functional.binary_cross_entropy_with_logits(logits[..., 2], music)
    tempo = functional.cross_entropy(logits[..., 3:].reshape(-1, N_TEMPI), target[..., 3].reshape(-1).long(), ignore_index=-1)
    return cost + TEMPO_WEIGHT * torch.nan_to_num(tempo)


def _names(model: Model) -> dict[str, str]:
    """The names that `BeatNetwork` and `Hindsight` read -> those of `Model`."""
    names = {"front": "front.weight", "front_bias": "front.bias", "head": "head.weight", "head_bias": "head.bias"}
    parts = {"into": "weight_ih_l0", "again": "weight_hh_l0", "into_bias": "bias_ih_l0", "again_bias": "bias_hh_l0"}
    for layer in ("gru1", "gru2"):
        for way, ending in (("", ""), ("back.", "_reverse"))[: 1 + model.gru1.bidirectional]:
            names |= {f"{layer}.{way}{ours}": f"{layer}.{theirs}{ending}" for ours, theirs in parts.items()}
    return names


def weights_of(model: Model) -> dict[str, np.ndarray]:
    """Under the names that the package reads."""
    state = model.state_dict()
    return {ours: state[theirs].numpy() for ours, theirs in _names(model).items()}


def start_from(model: Model, path: Path) -> None:
    """Goes on from a checkpoint (.pt), or from shipped weights (.npz); outputs that these lack stay as drawn."""
    if path.suffix == ".pt":
        model.load_state_dict(torch.load(path)["average"])
        return
    state = model.state_dict()
    with np.load(path) as stored:
        for ours, theirs in _names(model).items():
            array = stored[ours][0] if stored["front"].ndim > 2 else stored[ours]  # of several nets, the first
            weights = torch.from_numpy(array.astype(np.float32))
            state[theirs][: len(weights)] = weights
    model.load_state_dict(state)


def export(model: Model, path: Path) -> None:
    """Weights as float16 .npz."""
    np.savez_compressed(path, **{name: array.astype(np.float16) for name, array in weights_of(model).items()})
