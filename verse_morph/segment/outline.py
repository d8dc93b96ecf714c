"""The outline stage: one patch per vertebra, with a heatmap on the one that is meant, to its probability."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from verse_morph.anatomy import Level, missing_between
from verse_morph.segment.compute import Compute, running
from verse_morph.segment.intensity import to_input
from verse_morph.segment.patches import SPACING_MM, heatmap, patch_grid
from verse_morph.segment.resample import Reduced, reduced, sample
from verse_morph.segment.thickest import thickest_part
from verse_morph.segment.weights import to_device
from verse_morph.space import FloatArray, Grid, frozen
from verse_morph.spine import usual_steps_mm
from verse_morph.volume import Scan

Report = Callable[[str, int, int], None]

# Probabilities are stored as 0 to 255; from here on a voxel is inside.
HALF = 128
# A body this far from its point was outlined off the patch's middle: outline it again from its own middle.
FAR_MM = 6.0
# A body this many usual steps from its neighbour is the next but one: a point between two vertebrae drew the wrong one.
JUMPED = 1.35
SMALLEST_VOXELS = 500
FEWEST_STEPS = 2


@dataclass(frozen=True, eq=False)
class Outlined:
    """One vertebra as the network sees it.

    Parameters
    ----------
    level : Level
    point_mm : array (3,)
        Where the heatmap pointed, world RAS mm.
    grid : Grid
        Of the patch, along the world's axes.
    probability : array (i, j, k) of uint8
        0 to 255 for probabilities from 0 to 1.
    moved_mm : float
        How far the point was moved for a second pass; 0 where one pass was enough.
    """

    level: Level
    point_mm: FloatArray
    grid: Grid
    probability: NDArray[np.uint8]
    moved_mm: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "point_mm", frozen(self.point_mm, np.float64))
        object.__setattr__(self, "probability", frozen(self.probability))

    @property
    def volume_mm3(self) -> float:
        """Volume of what is inside with at least one half, mm3."""
        return float((self.probability >= HALF).sum()) * self.grid.voxel_volume_mm3

    @property
    def certainty(self) -> float:
        """Mean probability of what is inside; 0 where nothing is."""
        inside = self.probability[self.probability >= HALF]
        return float(inside.mean()) / 255 if len(inside) else 0.0


def outline(
    scan: Scan | Reduced,
    points_mm: Mapping[Level, FloatArray],
    model: nn.Module,
    compute: Compute,
    report: Report | None = None,
    recentre: bool = True,
) -> tuple[Outlined, ...]:
    """Probability of every vertebra in a patch about its point.

    Parameters
    ----------
    scan : Scan or Reduced
        The CT, or what :func:`~verse_morph.segment.resample.reduced` made of it for the patches' spacing.
    points_mm : Mapping[Level, array (3,)]
        About the middle of each body (C1: of its ring), world RAS mm.
    model : torch.nn.Module
        Two channels in (:func:`~verse_morph.segment.intensity.to_input`, heatmap), one logit out.
    compute : Compute
    report : callable, optional
        Called with a stage's name, the number done and the number of all.
    recentre : bool
        Whether a vertebra whose body turns out to lie more than 6 mm from its point is outlined a second time from
        there, unless that place belongs to another point.

    Returns
    -------
    tuple of Outlined
        Head to foot.

    Notes
    -----
    Patches are outlined one by one: on a CPU a larger batch is no faster, and one patch needs the least memory.
    """
    source = reduced(scan, SPACING_MM) if isinstance(scan, Scan) else scan
    model = to_device(model.eval(), compute.device)
    found = []
    levels = sorted(points_mm)
    with running(compute), torch.inference_mode():
        for k, level in enumerate(levels):
            if report is not None:
                report("outlining", k, len(levels))
            first = _outlined(source, level, np.asarray(points_mm[level], dtype=float), model, compute)
            found.append(_second_pass(source, first, points_mm, model, compute) if recentre else first)
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Core:
    """The thickest part of a vertebra, its body: middle, world RAS mm, and largest depth below the surface, mm."""

    centre_mm: FloatArray
    depth_mm: float


def core(outlined: Outlined) -> Core | None:
    """The thickest part of what was outlined; None where too little was.

    Notes
    -----
    C1 has no body: its thickest part is one of its lateral masses.
    """
    inside = outlined.probability >= HALF
    if inside.sum() < SMALLEST_VOXELS:
        return None
    middle, depth = thickest_part(inside, outlined.grid.spacing_mm)
    return Core(outlined.grid.to_world(middle), depth)


def steps_mm(points_mm: Mapping[Level, FloatArray]) -> dict[tuple[Level, Level], float]:
    """Distance of neighbours in a row of vertebrae, head to foot, mm a level: over one that was not found, half of it.

    Parameters
    ----------
    points_mm : Mapping[Level, array (3,)]
    """
    return {
        (a, b): float(np.linalg.norm(points_mm[b] - points_mm[a])) / (1 + len(missing_between(a, b)))
        for a, b in pairwise(sorted(points_mm))
    }


def patch_logits(
    source: Reduced, point_mm: FloatArray, model: nn.Module, compute: Compute
) -> tuple[Grid, torch.Tensor]:
    """The patch about a point and what a network that is asked for what the heatmap points at answers there.

    Parameters
    ----------
    source : Reduced
    point_mm : array (3,)
        World RAS mm.
    model : torch.nn.Module
        Two channels in (CT, heatmap), one logit out.
    compute : Compute
    """
    grid = patch_grid(point_mm)
    channels = np.stack([to_input(sample(source, grid)), heatmap(grid.shape, grid.to_index(point_mm))])
    given = torch.from_numpy(channels)[None].to(compute.device, memory_format=torch.channels_last_3d)
    return grid, model(given)[0, 0].float()


def _outlined(source: Reduced, level: Level, point_mm: FloatArray, model: nn.Module, compute: Compute) -> Outlined:
    grid, logits = patch_logits(source, point_mm, model, compute)
    stored = (255 * torch.sigmoid(logits)).round().to(torch.uint8).cpu().numpy()
    return Outlined(level, point_mm, grid, stored)


def _second_pass(
    source: Reduced, first: Outlined, points_mm: Mapping[Level, FloatArray], model: nn.Module, compute: Compute
) -> Outlined:
    body = None if first.level is Level.C1 else core(first)
    if body is None:
        return first
    centre = _no_jump(first.level, body.centre_mm, points_mm)
    moved = float(np.linalg.norm(centre - first.point_mm))
    others = [np.linalg.norm(centre - point) for level, point in points_mm.items() if level is not first.level]
    if moved <= FAR_MM or min(others, default=np.inf) < moved:
        return first
    second = _outlined(source, first.level, centre, model, compute)
    return replace(second, moved_mm=moved) if second.volume_mm3 >= 0.5 * first.volume_mm3 else first


def _no_jump(level: Level, centre_mm: FloatArray, points_mm: Mapping[Level, FloatArray]) -> FloatArray:
    """The body's middle, or, where it lies beyond the next place in the row, that place."""
    order = sorted(points_mm)
    here = order.index(level)
    others = steps_mm({each: points_mm[each] for each in order if each is not level})
    steps = [step for pair, step in others.items() if not missing_between(*pair)]
    # Within the row both neighbours hold a vertebra in its place; too short a row has no usual step.
    if here not in (0, len(order) - 1) or len(steps) < FEWEST_STEPS:
        return centre_mm
    neighbour = order[1] if here == 0 else order[-2]
    # At this end: in a long row steps of a chest are much shorter than the last lumbar one.
    usual = usual_steps_mm(steps)[0 if here == 0 else -1]
    apart = centre_mm - points_mm[neighbour]
    length = float(np.linalg.norm(apart))
    if missing_between(*sorted((level, neighbour))) or length <= JUMPED * usual:
        return centre_mm
    return np.asarray(points_mm[neighbour] + apart * usual / length)
