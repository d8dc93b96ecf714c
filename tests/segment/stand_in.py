"""A scan with balls for vertebrae, and a network without training that outlines what is bright about the heatmap."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from verse_morph.anatomy import Level
from verse_morph.segment.compute import Compute
from verse_morph.segment.patches import SIGMA_MM
from verse_morph.segment.weights import Card
from verse_morph.space import Grid
from verse_morph.volume import Scan

RADIUS_MM = 11.0
STEP_MM = 28.0
BRIGHT_HU, TISSUE_HU, AIR_HU = 400, 0, -1000
CPU = Compute("cpu", half=False, threads=1)
LEVELS = (Level.L1, Level.L2, Level.L3)


class NearAndBright(nn.Module):
    """Positive logits where the CT is brighter than 200 HU, no further than ``reach_mm`` from the heatmap's peak."""

    def __init__(self, reach_mm: float = 14.0, sharpness: float = 10.0) -> None:
        super().__init__()
        self.reach_mm, self.sharpness = reach_mm, sharpness

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        image, heat = x[:, :1], x[:, 1:]
        distance = torch.sqrt(-2 * SIGMA_MM**2 * torch.log(heat.clamp(1e-20, 1)))
        return self.sharpness * torch.minimum(image, (self.reach_mm - distance) / 4)


def centres(n=3, x=4.0, y=-6.0):
    """Centres of balls, head to foot, slightly out of line."""
    return {level: np.array([x + k, y + 2 * k, 30.0 - STEP_MM * k]) for k, level in enumerate(list(Level)[20 : 20 + n])}


def scan_grid(codes="RAS", spacing=(1.0, 1.0, 1.0), size_mm=(70, 70, 130)):
    """A grid about the balls whose axes point to ``codes``; its sides are given in world order."""
    affine = np.eye(4)
    shape = []
    for axis, code in enumerate(codes):
        world = "RAS".index({"L": "R", "P": "A", "I": "S"}.get(code, code))
        n = round(size_mm[world] / spacing[axis])
        sign = 1 if code in "RAS" else -1
        affine[:3, axis] = 0
        affine[world, axis] = sign * spacing[axis]
        affine[world, 3] = -sign * spacing[axis] * (n - 1) / 2
        shape.append(n)
    return Grid(tuple(shape), affine)


def balls(grid, points, radius=RADIUS_MM):
    """Which of the points' balls each voxel's centre lies in, counted from 1; 0 in none."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    world = grid.to_world(index)
    out = np.zeros(grid.shape, np.uint8)
    for k, point in enumerate(points, start=1):
        out[np.linalg.norm(world - point, axis=-1) <= radius] = k
    return out


def ball_scan(grid, points, name="balls"):
    hu = np.where(balls(grid, points) > 0, BRIGHT_HU, TISSUE_HU).astype(np.int16)
    hu[tuple(slice(0, 3) for _ in range(3))] = AIR_HU
    return Scan(hu, grid, name)


def load_stand_in(stage: str, folder: Path | None = None) -> tuple[nn.Module, Card]:
    """In the place of ``load_network``."""
    return NearAndBright(), Card(stage, {}, "0" * 64, "none", "none")
