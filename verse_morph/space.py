"""Voxel grids in world space: RAS millimetres, integer index = voxel centre.

This is the only module that knows orientation codes. Everything else works with world coordinates or
with a grid whose axes were put in canonical order here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel.orientations as nio
import numpy as np
from numpy.typing import ArrayLike, NDArray

from verse_morph.errors import GridMismatch

FloatArray = NDArray[np.float64]


def frozen(array: ArrayLike, dtype: type | None = None) -> NDArray:
    """A read-only view of an array (copied only when its type changes)."""
    out = np.asarray(array, dtype=dtype).view()
    out.flags.writeable = False
    return out


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular voxel grid placed in the world.

    Parameters
    ----------
    shape : tuple of 3 int
        Number of voxels along each array axis.
    affine : array (4, 4)
        Voxel index (centre = integer) to RAS millimetres.
    """

    shape: tuple[int, int, int]
    affine: FloatArray

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4):
            raise ValueError(f"an affine is a 4 x 4 matrix, got shape {affine.shape}")
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise ValueError("the affine is singular or not finite")
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "affine", frozen(affine))

    @property
    def spacing_mm(self) -> FloatArray:
        """Voxel size along each array axis, mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel, mm3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def axis_codes(self) -> str:
        """Nearest anatomical direction in which each array axis grows, for example ``PIR``."""
        return "".join(nio.aff2axcodes(self.affine))

    def to_world(self, index: ArrayLike) -> FloatArray:
        """RAS millimetres of voxel indices (..., 3)."""
        return np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, world_mm: ArrayLike) -> FloatArray:
        """Continuous voxel indices of RAS points (..., 3)."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(world_mm, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3]

    def contains(self, world_mm: ArrayLike) -> NDArray[np.bool_]:
        """Whether RAS points (..., 3) lie within the outer faces of the voxels, array (...)."""
        index = self.to_index(world_mm)
        return np.asarray(((index >= -0.5) & (index <= np.array(self.shape) - 0.5)).all(axis=-1))

    def crop(self, box: Sequence[slice]) -> Grid:
        """The grid of ``array[box]``; slices need explicit non-negative starts and stops."""
        start = np.array([s.start for s in box], dtype=float)
        affine = np.array(self.affine)
        affine[:3, 3] = self.to_world(start)
        return Grid(tuple(s.stop - s.start for s in box), affine)

    def matches(self, other: Grid, tolerance_mm: float = 0.01) -> bool:
        """Whether both grids have the same shape and the same corner positions."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        return bool(np.abs(self.to_world(corners) - other.to_world(corners)).max() <= tolerance_mm)

    def describe(self) -> str:
        """One line for messages: shape, spacing, orientation, origin."""
        shape = "x".join(str(n) for n in self.shape)
        spacing = "x".join(f"{s:.3g}" for s in self.spacing_mm)
        origin = ", ".join(f"{v:.1f}" for v in self.affine[:3, 3])
        return f"{shape} voxels of {spacing} mm, axes {self.axis_codes}, origin ({origin})"


def canonical(array: NDArray, grid: Grid) -> tuple[NDArray, Grid]:
    """The same image with its axes permuted and flipped to the order nearest to R, A, S (a view, no resampling)."""
    transform = nio.io_orientation(grid.affine)
    if np.isnan(transform).any():
        raise GridMismatch(f"the axes of {grid.describe()} cannot be told apart")
    turned = nio.apply_orientation(array, transform)
    affine = grid.affine @ nio.inv_ornt_aff(transform, grid.shape)
    return turned, Grid(turned.shape, affine)


def restore(array: NDArray, grid: Grid) -> NDArray:
    """Undo :func:`canonical`: bring an array in nearest-RAS order back to the axis order of ``grid``."""
    transform = nio.io_orientation(grid.affine)
    back = nio.ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), transform)
    return nio.apply_orientation(array, back)


def paint(array: NDArray, grid: Grid, region: NDArray[np.bool_], part: Grid, value: int) -> None:
    """Write a value into an array wherever a region of a smaller grid is true.

    Parameters
    ----------
    array : array (i, j, k)
        Changed in place.
    grid : Grid
        Of the array.
    region : array (i, j, k) of bool
    part : Grid
        Of the region: axes as those of ``grid``, voxels whole numbers of its voxels, beginning inside it. What
        reaches beyond the array's end is left out.
    value : int
    """
    first = np.rint(grid.to_index(part.to_world(np.full(3, -0.5))) + 0.5).astype(int)
    for axis, times in enumerate(np.rint(part.spacing_mm / grid.spacing_mm).astype(int)):
        region = np.repeat(region, times, axis=axis)
    here = array[tuple(slice(a, a + n) for a, n in zip(first, region.shape, strict=True))]
    here[region[tuple(slice(0, n) for n in here.shape)]] = value


def lps_to_ras(points_mm: ArrayLike) -> FloatArray:
    """RAS points of LPS points (..., 3); the same map leads back."""
    return np.asarray(points_mm, dtype=np.float64) * np.array([-1.0, -1.0, 1.0])


def direction_grid(grid: Grid, codes: str | Sequence[str]) -> Grid:
    """The grid an image would have after its axes were turned to ``codes`` (for example ``('P', 'I', 'R')``)."""
    wanted = nio.axcodes2ornt(tuple(codes))
    transform = nio.ornt_transform(nio.io_orientation(grid.affine), wanted)
    shape = np.empty(3, dtype=int)
    shape[transform[:, 0].astype(int)] = grid.shape
    return Grid(tuple(shape), grid.affine @ nio.inv_ornt_aff(transform, grid.shape))
