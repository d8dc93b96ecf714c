"""Cuts that follow the spine: a sagittal one through the bodies' middles, and a coronal one.

A sheet is a ruled surface: at each height z it keeps the spine's own left-right (or front-back) position. The picture's
axes are the world's y and z in the sagittal sheet, x and z in the coronal one, so any point is drawn where it belongs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verse_morph.space import FloatArray, Grid
from verse_morph.spine import Spine

SAGITTAL_WIDTH_MM = (-95.0, 65.0)  # behind and in front of the bodies
CORONAL_WIDTH_MM = (-75.0, 75.0)
BEYOND_ENDS_MM = 30.0


@dataclass(frozen=True, eq=False)
class Sheet:
    """A curved cut through a volume.

    Parameters
    ----------
    across : int
        World axis of the picture's horizontal: 1 (anterior) for the sagittal, 0 (right) for the coronal sheet.
    horizontal_mm, vertical_mm : array (W,), (H,)
        World coordinates of the picture's columns and rows.
    depth_mm : array (H,)
        World coordinate of each row along the axis that the picture does not show.
    """

    across: int
    horizontal_mm: FloatArray
    vertical_mm: FloatArray
    depth_mm: FloatArray

    def points_mm(self) -> FloatArray:
        """World point (H, W, 3) of every pixel."""
        points = np.empty((len(self.vertical_mm), len(self.horizontal_mm), 3))
        points[..., self.across] = self.horizontal_mm
        points[..., 1 - self.across] = self.depth_mm[:, np.newaxis]
        points[..., 2] = self.vertical_mm[:, np.newaxis]
        return points

    def depth_at(self, height_mm: float) -> float:
        """Depth of the sheet at a world height, mm."""
        return float(np.interp(height_mm, self.vertical_mm, self.depth_mm))


def middles_mm(spine: Spine) -> FloatArray:
    """One world point (N, 3) per vertebra, ascending in z: the body's middle, or the mask's where no body was found."""
    points = []
    for vertebra in spine:
        if vertebra.frame is not None:
            points.append(vertebra.frame.origin_mm)
        else:
            points.append(vertebra.grid.to_world(np.argwhere(vertebra.mask).mean(axis=0)))
    # A mask's middle lies behind its body: it is used only where there is nothing else.
    bodies = [p for p, v in zip(points, spine, strict=True) if v.frame is not None] or points
    found = np.array(bodies)
    return found[np.argsort(found[:, 2])]


def sheet(spine: Spine, grid: Grid, across: int, step_mm: float = 0.5) -> Sheet:
    """The sagittal (``across=1``) or coronal (``across=0``) sheet of a spine, no larger than the image.

    Parameters
    ----------
    spine : Spine
        At least one vertebra.
    grid : Grid
        Grid of the image that will be shown.
    across : int
        World axis of the picture's horizontal.
    step_mm : float
        Pixel size.
    """
    middles = middles_mm(spine)
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape])).reshape(3, -1).T
    low, high = grid.to_world(corners).min(axis=0), grid.to_world(corners).max(axis=0)
    before, after = SAGITTAL_WIDTH_MM if across == 1 else CORONAL_WIDTH_MM
    left = max(low[across], middles[:, across].min() + before)
    right = min(high[across], middles[:, across].max() + after)
    bottom = max(low[2], middles[0, 2] - BEYOND_ENDS_MM)
    top = min(high[2], middles[-1, 2] + BEYOND_ENDS_MM)
    vertical = np.arange(bottom + step_mm / 2, top, step_mm)
    return Sheet(
        across,
        np.arange(left + step_mm / 2, right, step_mm),
        vertical,
        np.interp(vertical, middles[:, 2], middles[:, 1 - across]),
    )


def cut(volume: NDArray, grid: Grid, on: Sheet, order: int = 1, outside: float = np.nan) -> NDArray[np.float32]:
    """Values (H, W) of a volume on a sheet; pixels outside the volume get ``outside``.

    Parameters
    ----------
    volume : array (i, j, k)
    grid : Grid
        Grid of the volume.
    on : Sheet
    order : int
        0 for the nearest voxel (labels), 1 for linear interpolation.
    """
    from scipy.ndimage import map_coordinates

    made = np.full((len(on.vertical_mm), len(on.horizontal_mm)), np.float32(outside))
    rows, columns = _meeting(grid, on)
    near = replace(
        on,
        horizontal_mm=on.horizontal_mm[columns],
        vertical_mm=on.vertical_mm[rows],
        depth_mm=on.depth_mm[rows],
    )
    index = np.moveaxis(grid.to_index(near.points_mm()), -1, 0)
    values = map_coordinates(volume, index, order=order, mode="nearest", output=np.float32)
    inside = ((index >= -0.5) & (index <= np.array(volume.shape).reshape(3, 1, 1) - 0.5)).all(axis=0)
    made[rows, columns] = np.where(inside, values, np.float32(outside))
    return made


def _meeting(grid: Grid, on: Sheet) -> tuple[slice, slice]:
    """Rows and columns of a sheet that may lie in a volume: one vertebra's box meets few of them."""
    corners = grid.to_world(np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape])).reshape(3, -1).T)
    low, high = corners.min(axis=0), corners.max(axis=0)
    rows, columns = (
        slice(int(np.searchsorted(line, low[axis])), int(np.searchsorted(line, high[axis], side="right")))
        for line, axis in ((on.vertical_mm, 2), (on.horizontal_mm, on.across))
    )
    return rows, columns
