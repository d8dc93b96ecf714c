"""Distances between the surfaces of two masks.

A mask's surface runs through the faces of its voxels. As in the surface Dice of Nikolov et al. (2021) it is cut into
elements, one for every eight voxels around a corner that are not all alike, weighted by the area of their
marching-cubes patch: a long face of a thick slice counts for its area, not as one point. Unlike there, an element lies
at the centroid of its patch, not at the corner: corners form a layer up to a voxel thick around an oblique surface, and
the nearest point of a layer is too near (a sphere of 20 mm moved by 2 mm in 1 mm voxels has a mean distance of 1 mm and
half its surface within 1 mm; corners give 0.74 mm and 0.78, centroids 1.00 mm and 0.51).
A surface at the border of the image is a surface.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.space import FloatArray

# Headers hold voxel sizes as float32 (1.0000005 for 1): a surface at exactly the tolerance must not fall beyond it.
ROUNDING_MM = 1e-4
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
        Empty for an empty mask.
    """
    padded = np.pad(mask, 1).view(np.uint8)
    code = np.zeros(tuple(n + 1 for n in mask.shape), dtype=np.uint8)
    for bit, (i, j, k) in enumerate(_CORNERS):
        a, b, c = code.shape
        code |= padded[i : i + a, j : j + b, k : k + c] << bit
    index = np.argwhere((code != 0) & (code != 255))
    codes = code[tuple(index.T)]
    areas, centroids = _patches(steps_mm)
    # The first voxel of the padded array is the one before the crop's first.
    start = (np.zeros(3, dtype=np.intp) if offset is None else offset) - 1
    return Surface((index + start + centroids[codes]) @ np.asarray(steps_mm).T, areas[codes])


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
    Distances run from element to element and surfaces are stepped: on spheres the Hausdorff distance is right to about
    one voxel, its 95th percentile to half of one, the average distance to 4 % or a tenth of a voxel, whichever is more.
    With slices much thicker than the pixels the thickness is the limit. Programs that use voxel corners or the centres
    of border voxels give other values; see docs/evaluation.md before comparing.

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


def _patches(steps_mm: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Area (256,) in mm2 and centroid (256, 3) in voxels of the patch of each way to fill eight neighbouring voxels."""
    triangles, codes = _unit_patches()
    corners = triangles @ np.asarray(steps_mm, dtype=np.float64).T
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    parts = np.linalg.norm(normals, axis=1) / 2
    areas, moments = np.zeros(256), np.zeros((256, 3))
    np.add.at(areas, codes, parts)
    np.add.at(moments, codes, parts[:, None] * triangles.mean(axis=1))
    return areas, moments / np.maximum(areas, np.finfo(float).tiny)[:, None]


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
