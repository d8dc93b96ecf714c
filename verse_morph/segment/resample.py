"""A scan on another grid: averaged by whole factors in its own axes first, then interpolated linearly, slab by slab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from verse_morph.segment.intensity import AIR_HU
from verse_morph.space import FloatArray, Grid, frozen
from verse_morph.volume import Scan

# Nothing of full resolution is held in floating point beyond slabs of about this many voxels.
SLAB_VOXELS = 4_000_000
# A spacing this close to a whole part of the wanted one counts as that part (0.4999 mm for 1 mm).
FACTOR_TOLERANCE = 0.02


@dataclass(frozen=True, eq=False)
class Reduced:
    """A scan thinned out by averaging whole blocks of voxels.

    Parameters
    ----------
    values : array (i, j, k)
        Means of blocks, in the axis order and the number type of the scan; the scan's own array where nothing was
        averaged.
    grid : Grid
        The grid of the blocks' middles.
    """

    values: NDArray
    grid: Grid

    def __post_init__(self) -> None:
        if self.values.shape != self.grid.shape:
            raise ValueError(f"array {self.values.shape} does not fit grid {self.grid.shape}")
        object.__setattr__(self, "values", frozen(self.values))


def reduced(scan: Scan, finest_mm: float) -> Reduced:
    """The scan averaged along each of its own axes as far as no voxel grows beyond ``finest_mm``.

    Parameters
    ----------
    scan : Scan
        In any orientation.
    finest_mm : float
        The spacing at which the result will be sampled.

    Notes
    -----
    Where a side is no multiple of the factor, its last block averages the voxels that are left.
    """
    factors = tuple(max(1, int(finest_mm / s + FACTOR_TOLERANCE)) for s in scan.grid.spacing_mm)
    if factors == (1, 1, 1):
        return Reduced(scan.hu, scan.grid)
    i, j, k = (-(-n // f) for n, f in zip(scan.grid.shape, factors, strict=True))
    shape = (i, j, k)
    affine = np.array(scan.grid.affine)
    affine[:3, 3] = scan.grid.to_world((np.array(factors) - 1) / 2)
    affine[:3, :3] *= factors
    out = np.empty(shape, dtype=scan.hu.dtype, order="F")
    thick = max(1, SLAB_VOXELS // (scan.grid.shape[0] * scan.grid.shape[1] * factors[2]))
    for start in range(0, shape[2], thick):
        stop = min(start + thick, shape[2])
        mean = _block_means(scan.hu[:, :, start * factors[2] : stop * factors[2]], factors)
        out[:, :, start:stop] = np.rint(mean) if out.dtype.kind in "iu" else mean
    return Reduced(out, Grid(shape, affine))


def sample(source: Reduced, grid: Grid, outside: float = AIR_HU) -> NDArray[np.float32]:
    """Values of a thinned-out scan at the voxels of any grid, interpolated linearly.

    Parameters
    ----------
    source : Reduced
    grid : Grid
        Where the values are wanted.
    outside : float
        The value beyond the faces of the source's outermost voxels.

    Returns
    -------
    array (i, j, k) of float32
        On ``grid``. In the outermost half voxel of the source the nearest value.
    """
    step = np.linalg.inv(source.grid.affine) @ grid.affine
    out = np.full(grid.shape, outside, dtype=np.float32)
    thick = max(1, SLAB_VOXELS // (grid.shape[1] * grid.shape[2]))
    for start in range(0, grid.shape[0], thick):
        stop = min(start + thick, grid.shape[0])
        box = _needed(source.grid.shape, step, (start, 0, 0), (stop, grid.shape[1], grid.shape[2]))
        if box is not None:
            out[start:stop] = _sampled(source, box, step, (start, stop, *grid.shape[1:]), outside)
    return out


def nearest(values: NDArray, grid: Grid, points_mm: FloatArray) -> FloatArray:
    """Values (n,) of the voxels in which points (n, 3) lie, world RAS mm; 0 outside the grid."""
    index = np.rint(grid.to_index(points_mm)).astype(int)
    within = ((index >= 0) & (index < grid.shape)).all(axis=-1)
    out = np.zeros(len(index))
    out[within] = values[tuple(index[within].T)]
    return out


def covering_grid(
    grid: Grid, spacing_mm: float, margin_mm: float = 0.0, divisor: int = 1, box_mm: FloatArray | None = None
) -> Grid:
    """The smallest grid along the world's axes that covers a scan, or a box in it.

    Parameters
    ----------
    grid : Grid
        The scan's.
    spacing_mm : float
        Of the grid that is wanted, in all directions.
    margin_mm : float
        Added on all sides.
    divisor : int
        Every side has a multiple of this number of voxels; what is added for it is shared by both ends.
    box_mm : array (2, 3), optional
        Lower and upper corner of what is to be covered, RAS mm; the whole scan, its voxels' faces included, by default.
    """
    low, high = world_box(grid) if box_mm is None else np.asarray(box_mm, dtype=np.float64)
    size = high - low + 2 * margin_mm
    blocks = np.maximum(1, np.ceil(size / (spacing_mm * divisor) - 1e-6)).astype(int)
    i, j, k = (int(n) for n in blocks * divisor)
    shape = (i, j, k)
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = (low + high) / 2 - spacing_mm * (np.array(shape) - 1) / 2
    return Grid(shape, affine)


def world_box(grid: Grid) -> FloatArray:
    """Lower and upper corner (2, 3), RAS mm, of the upright box that holds a grid's voxels with their faces."""
    edges = [(-0.5, n - 0.5) for n in grid.shape]
    corners = grid.to_world(np.array(np.meshgrid(*edges)).reshape(3, -1).T)
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def _tensor(values: NDArray) -> torch.Tensor:
    """A float copy (1, i, j, k) that keeps the order of axes in memory."""
    # Most files lie in Fortran order; the transposed view is copied in one sweep.
    copied = np.array(values.T, dtype=np.float32, order="C").T
    return torch.from_numpy(copied)[None]


def _block_means(values: NDArray, factors: Sequence[int]) -> NDArray[np.float32]:
    """Means of blocks; sums along the slowest axis come first, which leaves the least for the scattered ones."""
    for axis in (2, 1, 0):
        factor, n = factors[axis], values.shape[axis]
        if factor == 1:
            continue
        shape = list(values.shape)
        shape[axis] = -(-n // factor)
        total = np.zeros(shape, dtype=np.float32, order="F")
        for offset in range(min(factor, n)):
            every = tuple(slice(offset, None, factor) if a == axis else slice(None) for a in range(3))
            part = values[every]
            total[tuple(slice(0, m) for m in part.shape)] += part
        counts = np.minimum(factor, n - factor * np.arange(shape[axis])).astype(np.float32)
        total /= counts.reshape([-1 if a == axis else 1 for a in range(3)])
        values = total
    return values


def _needed(
    shape: tuple[int, int, int], step: FloatArray, first: Sequence[int], last: Sequence[int]
) -> tuple[slice, ...] | None:
    """The source voxels that the target voxels from ``first`` to before ``last`` lie between; None where none."""
    ends = [(a, b - 1) for a, b in zip(first, last, strict=True)]
    corners = np.array(np.meshgrid(*ends)).reshape(3, -1).T @ step[:3, :3].T + step[:3, 3]
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, shape)
    if (corners.max(axis=0) < -0.5).any() or (corners.min(axis=0) > np.array(shape) - 0.5).any():
        return None
    return tuple(slice(int(min(a, n - 1)), int(max(b, 1))) for a, b, n in zip(low, high, shape, strict=True))


def _sampled(
    source: Reduced, box: tuple[slice, ...], step: FloatArray, target: tuple[int, int, int, int], outside: float
) -> NDArray[np.float32]:
    """One slab of the target: rows ``target[0]`` to ``target[1]`` of its first axis."""
    block = _tensor(source.values[box])
    size = np.array(block.shape[1:], dtype=float)
    start = np.array([s.start for s in box], dtype=float)
    lines = (np.arange(target[0], target[1]), np.arange(target[2]), np.arange(target[3]))
    inside = torch.ones(tuple(len(line) for line in lines), dtype=torch.bool)
    places = []
    for axis, part in enumerate(_index_parts(lines, step)):
        index = part[0] + part[1] + part[2]
        inside &= (index >= -0.5) & (index <= source.grid.shape[axis] - 0.5)
        places.append((index - start[axis] + 0.5) * (2 / size[axis]) - 1)
    # grid_sample counts axes from the last to the first.
    where = torch.stack(places[::-1], dim=-1).to(torch.float32)[None]
    values = functional.grid_sample(block[None], where, mode="bilinear", padding_mode="border", align_corners=False)[
        0, 0
    ]
    return torch.where(inside, values, torch.tensor(outside, dtype=torch.float32)).numpy()


def _index_parts(lines: Sequence[NDArray], step: FloatArray) -> Iterator[list[torch.Tensor]]:
    """For each source axis, the shares of the three target axes in the index there, shaped to be added."""
    for axis in range(3):
        shares = [torch.from_numpy(step[axis, k] * lines[k]) for k in range(3)]
        shares[0] = shares[0] + step[axis, 3]
        yield [share.reshape([-1 if a == k else 1 for a in range(3)]) for k, share in enumerate(shares)]
