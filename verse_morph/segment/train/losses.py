"""What the networks are taught to make small."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Weight of "a vertebra of any level" in the naming loss; how far about a vertebra (rows, columns) its absence counts as
# much, samples: along the column as far as the next body, or S1, which looks like one, costs next to nothing.
THERE, REACH = 4.0, (33, 17)


def overlap_loss(logits: Tensor, target: Tensor, weight: Tensor | None = None, least: float = 1.0) -> Tensor:
    """2 x weighted binary cross-entropy + soft Dice loss, the mean over samples and channels.

    Parameters
    ----------
    logits, target, weight : Tensor (b, c, ...)
    least : float
        Voxels added to numerator and denominator of Dice. Where a structure is absent, what is claimed all the same
        costs by the voxel only up to about so many; beyond that Dice no longer cares.
    """
    logits = logits.float()  # sums over a volume need more than half precision
    cross = functional.binary_cross_entropy_with_logits(logits, target, weight)
    axes = tuple(range(2, logits.ndim))
    share = torch.sigmoid(logits)
    both, either = (share * target).sum(axes), share.sum(axes) + target.sum(axes)
    # An absent structure costs nothing where nothing is claimed.
    dice = (2 * both + least) / (either + least)
    return 2 * cross + (1 - dice).mean()


def hard_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Dice coefficient (b, c) of the thresholded answer; 1 where both are empty."""
    axes = tuple(range(2, logits.ndim))
    said = (logits > 0).float()
    both, either = (said * target).sum(axes), said.sum(axes) + target.sum(axes)
    return torch.where(either > 0, 2 * both / either.clamp(min=1), torch.ones_like(either))


def heatmap_loss(logits: Tensor, target: Tensor, known: Tensor, rare: float = 0.05) -> Tensor:
    """The Btrfly Net's loss on one view: l2 and weighted cross-entropy of the heatmaps, and one for any level at all.

    Parameters
    ----------
    logits : Tensor (b, c, h, w)
        The last channel is background.
    target : Tensor (b, c, h, w)
        Gaussians of height 1; the last channel is one minus their maximum.
    known : Tensor (b, 1, h, w)
        0 where the truth is not known, else 1.
    rare : float
        Weight of the background, which fills most of the view.
    """
    logits = logits.float()
    share = target / target.sum(dim=1, keepdim=True).clamp(min=1e-6)
    foreground = 1 - target[:, -1:]
    weight = known * (rare + foreground)
    cross = -(share * functional.log_softmax(logits, dim=1)).sum(dim=1, keepdim=True)
    squares = ((torch.softmax(logits, dim=1) - share) ** 2).sum(dim=1, keepdim=True)
    # That there is a vertebra is easier to learn than which one: asked for on its own, peaks come apart early.
    anything = torch.logsumexp(logits[:, :-1], dim=1, keepdim=True) - logits[:, -1:]
    there = functional.binary_cross_entropy_with_logits(anything, foreground, reduction="none")
    # Discs, a few samples between vertebrae, must count as much as the vertebrae, or peaks run together.
    column = functional.max_pool2d(foreground, REACH, stride=1, padding=(REACH[0] // 2, REACH[1] // 2))
    near = known * (rare + column)
    total = weight.sum().clamp(min=1)
    return (weight * (cross + squares)).sum() / total + THERE * (near * there).sum() / near.sum().clamp(min=1)
