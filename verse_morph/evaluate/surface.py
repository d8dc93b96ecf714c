"""Distances between the surfaces of two masks.

A mask's surface runs through the faces of its voxels. It is described by surface elements in the manner of Nikolov et
al. (2021): one element at every voxel corner whose eight surrounding voxels are not all alike, weighted by the area of
the marching-cubes patch of these eight voxels. So a long face of a thick slice counts for its area, not as one point,
and a surface at the border of the image is a surface.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.space import FloatArray

# Rounding of sums of squares must not push a surface at exactly the tolerance beyond it.
ROUNDING_MM = 1e-9
_CORNERS = tuple(itertools.product((0, 1), repeat=3))


@dataclass(frozen=True, eq=False)
class Surface:
    """Surface elements of one structure.

    Parameters
    ----------
    points_mm : array (N, 3)
        Where the elements lie, millimetres.
    areas_mm2 : array (N,)
        Area that each stands for.
    """

    points_mm: FloatArray
    areas_mm2: FloatArray


@dataclass(frozen=True)
class SurfaceDistances:
    """How far two surfaces lie apart; every value is the same with the two exchanged.

    Parameters
    ----------
    hausdorff_mm : float
        Largest distance from any element of one surface to the nearest of the other.
    hausdorff95_mm : float
        The larger of the two one-sided 95th percentiles by area.
    assd_mm : float
        Average symmetric surface distance: area-weighted mean over both surfaces together.
    nsd : float
        Normalised surface Dice: share of both surfaces' area within the tolerance of the other, 0 to 1.
    """

    hausdorff_mm: float
    hausdorff95_mm: float
    assd_mm: float
    nsd: float


def mask_surface(mask: NDArray[np.bool_], steps_mm: FloatArray, offset: NDArray[np.intp] | None = None) -> Surface:
    """The surface elements of a binary mask.

    Parameters
    ----------
    mask : bool array (i, j, k)
        The structure, usually cropped; beyond the array's border is background.
    steps_mm : array (3, 3)
        Columns are the steps of one voxel along each axis in millimetres (diagonal for axis-aligned spacing).
    offset : array (3,) of int, optional
        Index of the crop's first voxel, so that surfaces of several crops share one frame.

    Returns
    -------
    Surface
        Element positions are exact multiples of half voxels times ``steps_mm``; empty for an empty mask.
    """
    padded = np.pad(mask, 1).view(np.uint8)
    code = np.zeros(tuple(n + 1 for n in mask.shape), dtype=np.uint8)
    for bit, (i, j, k) in enumerate(_CORNERS):
        a, b, c = code.shape
        code |= padded[i : i + a, j : j + b, k : k + c] << bit
    # The element between voxels n - 1 and n lies at n - 1/2.
    index = np.argwhere((code != 0) & (code != 255))
    areas = _patch_areas(steps_mm)[code[tuple(index.T)]]
    start = 0 if offset is None else offset
    return Surface((index + start - 0.5) @ np.asarray(steps_mm).T, areas)


def surface_distances(first: Surface, second: Surface, tolerance_mm: float = 1.0) -> SurfaceDistances:
    """Hausdorff, its 95th percentile, average distance and normalised surface Dice of two surfaces.

    Parameters
    ----------
    first, second : Surface
        In one frame, neither empty.
    tolerance_mm : float
        For the normalised surface Dice.

    Raises
    ------
    ValueError
        A surface without elements: a distance to nothing has no value.

    Notes
    -----
    Distances run from element to element, so between surfaces that do not share a grid plane they are too long by up to
    half the distance of neighbouring elements; with slices much thicker than the pixels that is the limit of all four
    values. Programs that use the centres of border voxels (medpy, MONAI) differ by a fraction of a voxel in the mean
    and by up to one voxel in the maximum.

    References
    ----------
    Nikolov S et al. Clinically applicable segmentation of head and neck anatomy for radiotherapy. J Med Internet Res
    2021;23:e26151 (surface elements, normalised surface Dice). Maier-Hein L et al. Metrics reloaded. Nat Methods
    2024;21:195.
    """
    if not len(first.points_mm) or not len(second.points_mm):
        raise ValueError("a surface without elements has no distance; check for empty masks first")
    from scipy.spatial import KDTree

    forth = KDTree(second.points_mm).query(first.points_mm)[0]
    back = KDTree(first.points_mm).query(second.points_mm)[0]
    areas = np.concatenate([first.areas_mm2, second.areas_mm2])
    both = np.concatenate([forth, back])
    total = areas.sum()
    return SurfaceDistances(
        hausdorff_mm=float(both.max()),
        hausdorff95_mm=max(_percentile(forth, first.areas_mm2, 0.95), _percentile(back, second.areas_mm2, 0.95)),
        assd_mm=float((both * areas).sum() / total),
        nsd=float(areas[both <= tolerance_mm + ROUNDING_MM].sum() / total),
    )


def _percentile(values: FloatArray, weights: FloatArray, share: float) -> float:
    """The smallest value at or below which at least ``share`` of the weight lies."""
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(weights[order])
    reached = np.searchsorted(cumulated, share * cumulated[-1] * (1 - 1e-12))
    return float(values[order[min(int(reached), len(values) - 1)]])


def _patch_areas(steps_mm: FloatArray) -> FloatArray:
    """Area of the surface patch for each of the 256 ways to fill the eight voxels around a corner, mm2."""
    triangles, codes = _unit_patches()
    edges = triangles @ np.asarray(steps_mm, dtype=np.float64).T
    normals = np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0])
    areas = np.zeros(256)
    np.add.at(areas, codes, np.linalg.norm(normals, axis=1) / 2)
    return areas


@functools.cache
def _unit_patches() -> tuple[FloatArray, NDArray[np.intp]]:
    """Triangles (N, 3, 3) of all patches in voxel units, and the code that each belongs to."""
    from skimage.measure import marching_cubes

    triangles, codes = [], []
    for code in range(1, 255):
        cell = np.array([code >> bit & 1 for bit in range(8)], dtype=np.float32).reshape(2, 2, 2)
        vertices, faces, _, _ = marching_cubes(cell, 0.5)
        triangles.append(vertices[faces].astype(np.float64))
        codes += [code] * len(faces)
    return np.concatenate(triangles), np.array(codes)
