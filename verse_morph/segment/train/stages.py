"""What differs between the stages in training: network, samples, loss, score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from verse_morph.errors import InputError
from verse_morph.segment.networks import BtrflyShape, Shape, UNetShape
from verse_morph.segment.train.losses import hard_dice, heatmap_loss, overlap_loss
from verse_morph.segment.train.outline_samples import OutlineSamples, RibSamples
from verse_morph.segment.train.sources import Source
from verse_morph.segment.train.spine_samples import BACKGROUND, IdentifySamples, LocateSamples, ScanPool
from verse_morph.segment.views import CHANNELS

HIT_SAMPLES = 5  # a peak within 10 mm of the truth is right
CHANNEL_WEIGHTS = (1.0, 4.0, 6.0)  # vertebrae, ribs, sacrum: thin and rare structures count more
RIB_VOXELS = 300  # of 1 mm; less is a speck, or the border of the patch
RIB_WEIGHT = 10.0  # ribs fill a hundredth of a patch
POOL = 3000  # painted scans that a run of the first two stages draws on

Samples = Callable[[int], dict[str, NDArray[np.float32]]]
Batch = dict[str, Tensor]


class _MakeSamples(Protocol):
    def __call__(self, sources: Sequence[Source], seed: int, cache: Path | None, /) -> Samples: ...


@dataclass(frozen=True)
class Stage:
    """One stage of the cascade as the training loop sees it.

    Parameters
    ----------
    name : str
    shape : Shape
        Size of the network.
    samples : callable
        Sources, a seed and a cache folder to a function from a number to a sample.
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
    stages = {stage.name: stage for stage in (_locate(), _identify(), _outline(), _ribs())}
    if name not in stages:
        raise InputError(f"no stage {name!r}; there are {', '.join(stages)}")
    return stages[name]


def _locate() -> Stage:
    def samples(sources: Sequence[Source], seed: int, cache: Path | None) -> Samples:
        return LocateSamples(ScanPool(sources, seed, POOL, cache), seed)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        weight = torch.tensor(CHANNEL_WEIGHTS, device=batch["image"].device).reshape(1, -1, 1, 1, 1)
        return overlap_loss(model(batch["image"]), batch["target"], weight)

    def score(model: nn.Module, batch: Batch) -> dict[str, float]:
        target = (batch["target"] > 0.5).float()
        # Where a structure is out of view, leaving it out is no merit.
        present = target.flatten(2).sum(dim=-1) > 0
        dice = torch.where(present, hard_dice(model(batch["image"]), target), torch.nan).nanmean(dim=0)
        return {f"dice_{name}": float(d) for name, d in zip(("vertebrae", "ribs", "sacrum"), dice, strict=True)}

    return Stage("locate", UNetShape(1, 3, (16, 32, 64, 96)), samples, loss, score, batch=2, rate=2e-3)


def _identify() -> Stage:
    def samples(sources: Sequence[Source], seed: int, cache: Path | None) -> Samples:
        return IdentifySamples(ScanPool(sources, seed, POOL, cache), seed)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        known = torch.ones_like(batch["sagittal"][:, :1])
        views = zip(model(batch["sagittal"], batch["coronal"]), ("sagittal", "coronal"), strict=True)
        return torch.stack([heatmap_loss(logits, batch[f"{view}_target"], known) for logits, view in views]).sum()

    def score(model: nn.Module, batch: Batch) -> dict[str, float]:
        views = zip(model(batch["sagittal"], batch["coronal"]), ("sagittal", "coronal"), strict=True)
        return {f"level_right_{view}": _peaks_right(logits, batch[f"{view}_target"]) for logits, view in views}

    shape = BtrflyShape(CHANNELS, BACKGROUND + 1)
    return Stage("identify", shape, samples, loss, score, batch=4, rate=1.5e-3)


def _peaks_right(logits: Tensor, target: Tensor) -> float:
    """Share of the true levels whose heatmap has its peak where it should; NaN where no level is in view."""
    width = logits.shape[-1]
    said, true = (maps[:, :BACKGROUND].flatten(2) for maps in (torch.softmax(logits, dim=1), target))
    present = true.amax(dim=-1) > 0.9
    if not present.any():
        return float("nan")
    apart = [(maps.argmax(dim=-1) // width, maps.argmax(dim=-1) % width) for maps in (said, true)]
    off = torch.hypot((apart[0][0] - apart[1][0]).float(), (apart[0][1] - apart[1][1]).float())
    return float((off[present] <= HIT_SAMPLES).float().mean())


def _outline() -> Stage:
    def samples(sources: Sequence[Source], seed: int, cache: Path | None) -> Samples:
        return OutlineSamples(sources, seed)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return overlap_loss(model(batch["image"]), batch["target"], batch["weight"])

    def score(model: nn.Module, batch: Batch) -> dict[str, float]:
        logits, target = model(batch["image"]), batch["target"]
        behind = (batch["weight"] > 1).float()
        far = torch.full_like(logits, -9.0)
        posterior = hard_dice(torch.where(behind > 0, logits, far), target * behind)
        return {"dice": float(hard_dice(logits, target).mean()), "dice_posterior": float(posterior.mean())}

    return Stage("outline", UNetShape(2, 1), samples, loss, score, batch=4, rate=1.5e-3)


def _ribs() -> Stage:
    def samples(sources: Sequence[Source], seed: int, cache: Path | None) -> Samples:
        return RibSamples(sources, seed)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        # Half of all patches show no rib of this vertebra, which is what the stage is asked for.
        weight = torch.full_like(batch["target"], RIB_WEIGHT)
        return overlap_loss(model(batch["image"]), batch["target"], weight, least=RIB_VOXELS)

    def score(model: nn.Module, batch: Batch) -> dict[str, float]:
        logits, target = model(batch["image"]), batch["target"]
        present = target.flatten(1).sum(dim=-1) > 0
        dice = hard_dice(logits, target)[present]
        sides = zip(
            own_side_voxels(logits > 0, batch["image"]), own_side_voxels(target > 0, batch["image"]), strict=True
        )
        right = [float(((said > RIB_VOXELS) == (true > RIB_VOXELS)).float().mean()) for said, true in sides]
        return {"sides_right": sum(right) / 2, "dice": float(dice.mean()) if len(dice) else float("nan")}

    return Stage("ribs", UNetShape(2, 1, (16, 32, 64, 96)), samples, loss, score, batch=4, rate=1.5e-3)


def own_side_voxels(inside: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Number of voxels (b,) to the left and to the right of where the heatmap has its peak."""
    middle = image[:, 1].amax(dim=(2, 3)).argmax(dim=1)
    place = torch.arange(inside.shape[2], device=inside.device)
    across = inside.float().sum(dim=(1, 3, 4))
    left = place[None] < middle[:, None]
    return (across * left).sum(dim=1), (across * ~left).sum(dim=1)
