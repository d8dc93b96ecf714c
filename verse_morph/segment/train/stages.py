"""What differs between the three stages in training: network, samples, loss, score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from verse_morph.errors import InputError
from verse_morph.segment.networks import Shape, UNetShape
from verse_morph.segment.train.losses import hard_dice, overlap_loss
from verse_morph.segment.train.outline_samples import OutlineSamples
from verse_morph.segment.train.sources import Source

Samples = Callable[[int], dict[str, NDArray[np.float32]]]
Batch = dict[str, Tensor]


class _MakeSamples(Protocol):
    def __call__(self, sources: Sequence[Source], seed: int, /) -> Samples: ...


@dataclass(frozen=True)
class Stage:
    """One stage of the cascade as the training loop sees it.

    Parameters
    ----------
    name : str
    shape : Shape
        Size of the network.
    samples : callable
        Sources and a seed to a function from a number to a sample.
    loss : callable
        Network and batch to a loss.
    score : callable
        Network and batch to named results, the first of which is to be large.
    batch, rate : int, float
        Defaults.
    """

    name: str
    shape: Shape
    samples: _MakeSamples
    loss: Callable[[nn.Module, Batch], Tensor]
    score: Callable[[nn.Module, Batch], dict[str, float]]
    batch: int
    rate: float


def stage_named(name: str) -> Stage:
    """A stage by name.

    Raises
    ------
    InputError
        There is none of this name.
    """
    stages = {stage.name: stage for stage in (_outline(),)}
    if name not in stages:
        raise InputError(f"no stage {name!r}; there are {', '.join(stages)}")
    return stages[name]


def _outline() -> Stage:
    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return overlap_loss(model(batch["image"]), batch["target"], batch["weight"])

    def score(model: nn.Module, batch: Batch) -> dict[str, float]:
        logits, target = model(batch["image"]), batch["target"]
        behind = (batch["weight"] > 1).float()
        far = torch.full_like(logits, -9.0)
        posterior = hard_dice(torch.where(behind > 0, logits, far), target * behind)
        return {"dice": float(hard_dice(logits, target).mean()), "dice_posterior": float(posterior.mean())}

    return Stage("outline", UNetShape(2, 1), OutlineSamples, loss, score, batch=4, rate=1.5e-3)
