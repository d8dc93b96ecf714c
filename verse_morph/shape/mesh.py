"""Closed, outward-oriented, volume-true surfaces from a voxel mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verse_morph.space import Grid
from verse_morph.spine import Mesh

# Gaussian smoothing in voxels of the finest axis; spheres, ellipsoids and thin rods in the tests say what it costs.
SIGMA_VOXELS = 1.5
VOLUME_TOLERANCE, VOLUME_STEPS = 0.005, 5
# Relative change of the enclosed volume per unit of level, to begin with.
FIRST_SLOPE = -0.5


def surface(mask: NDArray[np.bool_], grid: Grid) -> Mesh:
    """Smooth closed surface of a mask, enclosing the same volume as its voxels.

    Parameters
    ----------
    mask : array (i, j, k) of bool
        Any mask with at least one voxel; where it touches the array's border the surface is closed flat there.
    grid : Grid
        Grid of the mask.

    Returns
    -------
    Mesh
        World RAS mm.

    Notes
    -----
    The occupancy is blurred and cut at the level whose enclosed volume equals the voxel volume. Details thinner than
    about two voxels lose volume to the blur and the thick parts gain it: a rod of 2.5 mm radius at 1 mm voxels loses
    1.7 % of its volume.
    """
    from scipy.ndimage import gaussian_filter

    spacing = grid.spacing_mm
    blur_mm = SIGMA_VOXELS * min(float(spacing.min()), 1.0)
    pad = 1 + int(np.ceil(3 * blur_mm / spacing.min()))
    occupancy = gaussian_filter(np.pad(mask, pad).astype(np.float32), blur_mm / spacing, truncate=3.0)
    voxels = int(mask.sum())
    level = _rank_level(occupancy, voxels)
    vertices, faces = _contour(occupancy, level)
    # Ranks tie where faces run along the voxel axes; then a few secant steps on the true volume find the level.
    error, slope = enclosed(vertices, faces) / voxels - 1, FIRST_SLOPE
    for _ in range(VOLUME_STEPS):
        if abs(error) <= VOLUME_TOLERANCE or slope >= 0:
            break
        before = (level, error)
        level = float(np.clip(level - error / slope, 0.7 * level, 0.5 * (level + float(occupancy.max()))))
        vertices, faces = _contour(occupancy, level)
        error = enclosed(vertices, faces) / voxels - 1
        slope = (error - before[1]) / (level - before[0]) if level != before[0] else 0.0
    return Mesh(grid.to_world(vertices - pad), faces if np.linalg.det(grid.affine[:3, :3]) > 0 else faces[:, ::-1])


def enclosed(vertices: NDArray, faces: NDArray) -> float:
    """Volume inside a closed surface, in the cube of the vertices' unit; negative where faces look inwards."""
    triangles = vertices[faces]
    return float(np.einsum("ij,ij->", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2])) / 6)


def _contour(occupancy: NDArray[np.float32], level: float) -> tuple[NDArray, NDArray[np.int64]]:
    """Closed surface at a level in voxel coordinates, faces looking outwards."""
    from skimage.measure import marching_cubes

    vertices, faces, _, _ = marching_cubes(occupancy, level, gradient_direction="ascent")
    faces = faces.astype(np.int64)
    return vertices, faces if enclosed(vertices, faces) > 0 else faces[:, ::-1]


def _rank_level(occupancy: NDArray[np.float32], voxels: int) -> float:
    """Level above which lie as many voxels as the mask has, half way between neighbours in rank."""
    # Nothing of a label thinner than a voxel or two stays above the usual lowest level.
    highest = float(occupancy.max())
    inside = occupancy[occupancy > min(0.02, 0.1 * highest)]
    ranked = np.partition(inside, (len(inside) - voxels - 1, len(inside) - voxels))
    return float(np.clip(0.5 * (ranked[-voxels] + ranked[-voxels - 1]), min(0.15, 0.5 * highest), 0.85))
