"""Bringing a CT onto a mask's grid: by index where the lattices agree, by linear interpolation where they do not."""

from __future__ import annotations

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray

from verse_morph.space import FloatArray, Grid
from verse_morph.volume import Scan, require_overlap

# Two lattices whose voxel centres coincide this well (in voxels, over the whole grid) are one lattice.
LATTICE_TOLERANCE = 0.02


def scan_on_grid(scan: Scan, grid: Grid) -> Scan:
    """The CT on another grid, usually its mask's.

    Parameters
    ----------
    scan : Scan
        The CT.
    grid : Grid
        Where it is wanted.

    Returns
    -------
    Scan
        The same object where the grids agree. Exact voxel values where only axis order, direction or extent differ.
        Otherwise values interpolated linearly (float32), with a note. Voxels outside the CT are NaN (then float32),
        with a note.

    Raises
    ------
    GridMismatch
        The two share no space.

    Notes
    -----
    Interpolation lowers noise and thin-walled peaks: standard deviations and cortical values of a resampled CT are not
    those of the original, means of larger regions are.
    """
    if scan.grid.matches(grid):
        return scan
    require_overlap(scan.grid, grid, f"scan {scan.name} and the grid it is wanted on")
    step = np.linalg.inv(scan.grid.affine) @ grid.affine
    exact = _whole_steps(step, grid.shape)
    if exact is None:
        hu = _interpolated(scan.hu, step, grid.shape)
        notes = [f"the CT was resampled linearly from {scan.grid.describe()} to the mask's grid"]
    else:
        hu, notes = _by_index(scan.hu, exact, grid.shape), []
    outside = _count_nan(hu)
    if outside:
        notes.append(f"{100 * outside / hu.size:.1f} % of the mask's grid lies outside the CT and has no HU there")
    return Scan(hu, grid, scan.name, scan.meta, (*scan.notes, *notes))


def _whole_steps(step: FloatArray, shape: tuple[int, int, int]) -> FloatArray | None:
    """The index map rounded to whole voxels, or None where that moves some voxel noticeably."""
    rounded = np.rint(step)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1])).reshape(4, -1)
    if np.abs((step - rounded) @ corners).max() > LATTICE_TOLERANCE:
        return None
    return rounded if abs(round(np.linalg.det(rounded[:3, :3]))) == 1 else None


def _by_index(hu: NDArray, step: FloatArray, shape: tuple[int, int, int]) -> NDArray:
    # Axes that only change place and direction: turn the whole array first, then cut out or pad what is wanted.
    turn = io_orientation(np.linalg.inv(step))
    turned = apply_orientation(hu, turn)
    corner = (np.linalg.inv(step) @ [*_first_corner(step, hu.shape), 1])[:3]
    start = -np.rint(corner).astype(int)
    low = np.maximum(start, 0)
    high = np.minimum(start + shape, turned.shape)
    source = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    if (low == start).all() and (high == start + shape).all():
        return turned[source]
    out = np.full(shape, np.nan, dtype=np.float32, order="F")
    out[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))] = turned[source]
    return out


def _first_corner(step: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Index in the source of the voxel that comes first along every wanted axis."""
    backwards = step[:3, :3].sum(axis=1) < 0
    return np.where(backwards, np.array(shape) - 1.0, 0.0)


def _interpolated(hu: NDArray, step: FloatArray, shape: tuple[int, int, int]) -> NDArray:
    """Linear interpolation slab by slab; outside the CT's voxels NaN, in its outermost half voxel the nearest."""
    from scipy.ndimage import map_coordinates

    out = np.empty(shape, dtype=np.float32, order="F")
    plane = np.stack(np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij"), axis=-1).astype(float)
    in_plane = plane @ step[:3, :2].T + step[:3, 3]
    for k in range(shape[2]):
        index = np.moveaxis(in_plane + k * step[:3, 2], -1, 0)
        values = map_coordinates(hu, index, output=np.float32, order=1, mode="nearest")
        inside = ((index >= -0.5) & (index <= np.array(hu.shape).reshape(3, 1, 1) - 0.5)).all(axis=0)
        out[:, :, k] = np.where(inside, values, np.nan)
    return out


def _count_nan(hu: NDArray) -> int:
    if hu.dtype.kind != "f":
        return 0
    return sum(int(np.isnan(hu[:, :, k]).sum()) for k in range(hu.shape[2]))
