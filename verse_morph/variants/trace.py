"""The middle line of a long bone in a mask, from one end to the other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from verse_morph.space import FloatArray, Grid

# The line starts in the middle of the first part, about the size of a rib's head.
HEAD_MM = 10.0
STEP_MM = 4.0
# The last part of the bone, whose brightness decides where it ends against soft tissue.
TIP_MM, SOFT_HU = 12.0, 50.0


@dataclass(frozen=True, eq=False)
class Trace:
    """A bone's middle line.

    Parameters
    ----------
    points_mm : array (N, 3)
        From the middle of the first 10 mm (the head of a rib) to the tip, world RAS mm.
    length_mm : float
        Along the line.
    section_mm2 : float
        Volume over length: what a bone that merges with others exceeds.
    """

    points_mm: FloatArray
    length_mm: float
    section_mm2: float


def trace(mask: NDArray[np.bool_], grid: Grid, start_mm: NDArray, strength: NDArray | None = None) -> Trace:
    """Middle line of a bone, beginning at its voxel nearest to ``start_mm``.

    Distances along the bone order its voxels; the middles of steps of 4 mm make the line, so that neither the voxels'
    staircase nor the inner side of a bend shortens or lengthens it.

    Parameters
    ----------
    mask : array (i, j, k) of bool
        One connected bone, at least one voxel.
    grid : Grid
    start_mm : array (3,)
        World RAS mm.
    strength : array (i, j, k), optional
        HU: a low threshold keeps a thin bone in one piece but finds it too long; its tip lies where half of its
        brightness is reached.
    """
    from skimage.graph import MCP_Geometric

    voxels = np.argwhere(mask)
    low = voxels.min(axis=0)
    voxels = voxels - low
    shape = voxels.max(axis=0) + 1
    costs = np.full(shape, -1.0)
    costs[tuple(voxels.T)] = 1.0
    points = grid.to_world(voxels + low)
    start = voxels[np.linalg.norm(points - start_mm, axis=1).argmin()]
    far, _ = MCP_Geometric(costs, sampling=tuple(grid.spacing_mm)).find_costs([tuple(start)])
    along = far[tuple(voxels.T)]
    reached = np.isfinite(along)
    points, along = points[reached], along[reached]
    volume = float(reached.sum() * grid.voxel_volume_mm3)
    if strength is not None:
        hu = strength[tuple((voxels + low)[reached].T)]
        shown = along <= _tip(along, hu)
        points, along = points[shown], along[shown]
    line = _line(points, along, float(grid.spacing_mm.max()))
    length = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
    return Trace(line, length, volume / max(length, 1.0))


def _tip(along: NDArray, hu: NDArray) -> float:
    """Distance along the bone up to which it is at least half as bright as near its end."""
    near_end = along > along.max() - TIP_MM
    half = 0.5 * (np.percentile(hu[near_end], 90) + SOFT_HU)
    return float(along[near_end & (hu >= half)].max())


def _line(points: FloatArray, along: NDArray, voxel_mm: float) -> FloatArray:
    end = float(along.max())
    head = min(HEAD_MM, end / 2)
    edges = np.arange(head, end + STEP_MM, max(STEP_MM, 1.5 * voxel_mm))
    nodes = [points[along <= head].mean(axis=0)]
    for a, b in pairwise(edges):
        inside = (along >= a) & (along < b)
        if inside.any() and b <= end:
            nodes.append(points[inside].mean(axis=0))
    # The tip: as far beyond the last middle as distances along the bone still run, in the line's own direction.
    last = points[along > end - STEP_MM].mean(axis=0)
    rest = end - float(along[along > end - STEP_MM].mean())
    way = last - nodes[-1]
    if len(nodes) > 1:
        way = last - nodes[-2]
    size = float(np.linalg.norm(way))
    if size > 0:
        nodes += [last, last + way / size * rest]
    return np.array(nodes)
