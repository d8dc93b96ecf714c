"""Closed, outward-oriented, volume-true surfaces from a voxel mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verse_morph.space import Grid
from verse_morph.spine import Mesh

# Gaussian smoothing in voxels of the finest axis; measured against spheres, ellipsoids and thin rods (see the
# notebook on smoothing).
SIGMA_VOXELS = 1.5


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
    from skimage.measure import marching_cubes

    spacing = grid.spacing_mm
    blur_mm = SIGMA_VOXELS * min(float(spacing.min()), 1.0)
    pad = 1 + int(np.ceil(3 * blur_mm / spacing.min()))
    occupancy = gaussian_filter(np.pad(mask, pad).astype(np.float32), blur_mm / spacing, truncate=3.0)
    level = _volume_level(occupancy, int(mask.sum()))
    vertices, faces, _, _ = marching_cubes(occupancy, level, gradient_direction="ascent")
    world = grid.to_world(vertices - pad)
    return _outward(world, faces.astype(np.int64))


def _volume_level(occupancy: NDArray[np.float32], voxels: int) -> float:
    """Iso-level whose super-level set holds a given number of voxels, sub-voxel by taking the value between
    neighbours in rank.
    """
    # Nothing of a label thinner than a voxel or two stays above the usual lowest level.
    highest = float(occupancy.max())
    inside = occupancy[occupancy > min(0.02, 0.1 * highest)]
    ranked = np.partition(inside, (len(inside) - voxels - 1, len(inside) - voxels))
    return float(np.clip(0.5 * (ranked[-voxels] + ranked[-voxels - 1]), min(0.15, 0.5 * highest), 0.85))


def _outward(vertices: NDArray, faces: NDArray) -> Mesh:
    """Orient faces so that the enclosed volume is positive."""
    triangles = vertices[faces]
    volume = np.einsum("ij,ij->", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2])) / 6
    return Mesh(vertices, faces if volume > 0 else faces[:, ::-1])
