"""The patch in which one vertebra is outlined: its size, its place about the centre, the heatmap that points at it.

Training and use share these definitions. Axes run to the right, to the front and upwards, 1 mm apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verse_morph.space import FloatArray, Grid

SPACING_MM = 1.0
SHAPE = (96, 96, 80)
# A vertebra reaches some 70 mm behind its body's centre but only 20 mm in front of it.
BEHIND_MM = 24.0
BELOW_MM = 4.0
SIGMA_MM = 4.0


def centre_voxel(shape: tuple[int, int, int] = SHAPE) -> FloatArray:
    """Where in the patch the body's centre is expected, voxels."""
    return (np.array(shape) - 1) / 2 + np.array([0.0, BEHIND_MM, BELOW_MM]) / SPACING_MM


def patch_grid(centre_mm: FloatArray) -> Grid:
    """The grid of the patch of a vertebra whose body's centre lies at ``centre_mm``, world RAS."""
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = np.asarray(centre_mm) - SPACING_MM * centre_voxel()
    return Grid(SHAPE, affine)


def heatmap(shape: tuple[int, int, int], at: FloatArray) -> NDArray[np.float32]:
    """A Gaussian of height 1 at a voxel, the channel that tells which vertebra is meant."""
    lines = [np.exp(-0.5 * ((np.arange(n) - c) * SPACING_MM / SIGMA_MM) ** 2) for n, c in zip(shape, at, strict=True)]
    return np.einsum("i,j,k->ijk", *lines).astype(np.float32)
