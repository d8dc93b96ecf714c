"""A learnt prior on the spine's shape that the naming network is trained against.

An auto-encoder reconstructs the heatmaps of one view; how badly is their energy. It learns to reconstruct true
heatmaps and to fail at predicted ones, the network learns heatmaps of low energy: levels in order, one of each, at
plausible distances. The idea is of Sekuboyina et al. 2018 (Btrfly Net), after Zhao et al. 2017 (energy-based GANs).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from verse_morph.segment.train.stages import Batch

VIEWS = ("sagittal", "coronal")
# The prior looks at the order and distances of levels; a quarter of the resolution shows both.
POOLED = 4
WIDTHS = (32, 48, 64)
WEIGHT = 0.1
# Energy, as a share of the heatmaps' own power, beyond which predicted heatmaps need not be made worse.
MARGIN = 0.5
RATE = 1e-3


class ShapeEnergy(nn.Module):
    """Auto-encoder of the heatmaps of one view.

    Parameters
    ----------
    levels : int
        Heatmaps without the background.
    widths : 3 int
        Channels of the encoder; its last layers see the whole length of the view.
    """

    def __init__(self, levels: int, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        first, second, deep = widths
        self.encode = nn.Sequential(
            nn.Conv2d(levels, first, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(second, deep, 3, padding=2, dilation=2),
            nn.LeakyReLU(0.1),
            nn.Conv2d(deep, deep, 3, padding=4, dilation=4),
            nn.LeakyReLU(0.1),
        )
        self.middle = nn.Sequential(nn.Conv2d(deep, first, 3, padding=1), nn.LeakyReLU(0.1))
        self.answer = nn.Conv2d(first, levels, 3, padding=1)

    def forward(self, heatmaps: Tensor) -> Tensor:
        """Energy (b,) of heatmaps (b, levels, h, w) of height 0 to 1: squared error as a share of their square."""
        seen = functional.avg_pool2d(heatmaps, POOLED, ceil_mode=True)
        deep = functional.interpolate(self.encode(seen), size=seen.shape[-2:], mode="bilinear", align_corners=False)
        error = (self.answer(self.middle(deep)) - seen).square().sum(dim=(1, 2, 3))
        # One pooled sample in the denominator: an empty view has no energy where nothing is answered.
        return error / (seen.square().sum(dim=(1, 2, 3)) + 1)


class Adversary:
    """The prior of both views, its optimiser, and its two losses.

    Parameters
    ----------
    levels : int
        Heatmaps per view without the background.
    device : str
    weight, margin : float
        How much the energy counts in the network's loss; the energy up to which predicted heatmaps are pushed.
    """

    def __init__(self, levels: int, device: str, weight: float = WEIGHT, margin: float = MARGIN) -> None:
        self.model = nn.ModuleList([ShapeEnergy(levels) for _ in VIEWS]).to(device)
        self.optimiser = torch.optim.Adam(self.model.parameters(), RATE)
        self.weight, self.margin = weight, margin

    def energy(self, stacks: Sequence[Tensor]) -> Tensor:
        """Mean energy of both views' heatmaps, in single precision."""
        with torch.autocast(stacks[0].device.type, enabled=False):
            pairs = zip(self.model, stacks, strict=True)
            return torch.stack([energy(stack.float()).mean() for energy, stack in pairs]).mean()

    def penalty(self, logits: Sequence[Tensor]) -> Tensor:
        """What the network's loss gains: the weighted energy of its heatmaps."""
        return self.weight * self.energy([predicted(view) for view in logits])

    def learn(self, logits: Sequence[Tensor], batch: Batch) -> None:
        """One step of the prior on true heatmaps and the network's."""
        wrong = self.energy([predicted(view.detach()) for view in logits])
        loss = self.energy(true_heatmaps(batch)) + torch.relu(self.margin - wrong)
        # The penalty's way to the network has left gradients here.
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


def predicted(logits: Tensor) -> Tensor:
    """Heatmaps (b, c - 1, h, w) that logits (b, c, h, w) with the background last stand for."""
    return torch.softmax(logits.float(), dim=1)[:, :-1]


def true_heatmaps(batch: Batch) -> list[Tensor]:
    """Heatmaps of both views as the network is taught them: shares, without the background."""
    targets = [batch[f"{view}_target"] for view in VIEWS]
    return [(target / target.sum(dim=1, keepdim=True).clamp(min=1e-6))[:, :-1] for target in targets]
