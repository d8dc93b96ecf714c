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
# Bone farther than this from the way through the middle belongs to something that touches; how far the way looks for
# the middle, and how much dearer the surface is.
REACH_MM = 7.0
CENTRE_MM, CENTRE_POWER = 2.0, 3
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
    staircase nor the inner side of a bend shortens or lengthens it. Only bone near the way through the middle of the
    bone counts, so that neither a thick head nor what touches the bone pulls the line aside.

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
    points, along, ordered = points[reached], along[reached], voxels[reached]
    volume = float(reached.sum() * grid.voxel_volume_mm3)
    if strength is not None:
        hu = strength[tuple((voxels + low)[reached].T)]
        shown = along <= _tip(along, hu)
        points, along, ordered = points[shown], along[shown], ordered[shown]
    way = _way(costs > 0, tuple(start), tuple(ordered[along.argmax()]), grid.spacing_mm)
    line = _line(points, along, (grid.to_world(way + low), far[tuple(way.T)]), float(grid.spacing_mm.max()))
    length = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
    return Trace(line, length, volume / max(length, 1.0))


def _tip(along: NDArray, hu: NDArray) -> float:
    """Distance along the bone up to which it is at least half as bright as near its end."""
    near_end = along > along.max() - TIP_MM
    half = 0.5 * (np.percentile(hu[near_end], 90) + SOFT_HU)
    return float(along[near_end & (hu >= half)].max())


def _way(mask: NDArray[np.bool_], start: tuple[int, ...], end: tuple[int, ...], spacing: FloatArray) -> NDArray:
    """Voxels (N, 3) from one end to the other, as near to the middle of the bone as its bends allow."""
    from scipy.ndimage import gaussian_filter
    from skimage.graph import MCP_Geometric

    # Not a distance to the surface: the spongy core of a rib is full of holes.
    depth = gaussian_filter(mask.astype(np.float32), CENTRE_MM / spacing)
    costs = np.where(mask, np.maximum(depth, 0.05) ** -CENTRE_POWER, -1.0)
    search = MCP_Geometric(costs, sampling=tuple(spacing))
    search.find_costs([start], [end])
    return np.array(search.traceback(end))


def _line(points: FloatArray, along: NDArray, way: tuple[FloatArray, NDArray], voxel_mm: float) -> FloatArray:
    end = float(along.max())
    head = min(HEAD_MM, end / 2)
    edges = np.arange(head, end + STEP_MM, max(STEP_MM, 1.5 * voxel_mm))
    nodes = [points[along <= head].mean(axis=0)]
    for a, b in pairwise(edges):
        inside = _beside(points, (along >= a) & (along < b), way, (a, b))
        if inside.any() and b <= end:
            nodes.append(points[inside].mean(axis=0))
    # The tip: as far beyond the last middle as distances along the bone still run, in the line's own direction.
    inside = _beside(points, along > end - STEP_MM, way, (end - STEP_MM, np.inf))
    last = points[inside].mean(axis=0)
    rest = end - float(along[inside].mean())
    onwards = last - nodes[-2 if len(nodes) > 1 else -1]
    size = float(np.linalg.norm(onwards))
    if size > 0:
        nodes += [last, last + onwards / size * rest]
    return np.array(nodes)


def _beside(
    points: FloatArray, inside: NDArray[np.bool_], way: tuple[FloatArray, NDArray], step: tuple[float, float]
) -> NDArray[np.bool_]:
    """The points of one step that lie near the way through the middle."""
    here = way[0][(way[1] >= step[0]) & (way[1] < step[1])]
    if not len(here):
        return inside
    out = inside.copy()
    out[inside] = np.linalg.norm(points[inside] - here.mean(axis=0), axis=1) < REACH_MM
    return out if out.any() else inside
