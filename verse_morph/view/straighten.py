"""The scan laid straight along the spine: a sagittal and a coronal picture in which no curve hides a vertebra.

Rows run along the smooth line through the bodies' centres, columns along the vertebrae's own front or right. Lengths
along the line are true on the line only: off it, the inside of a curve is stretched and its outside compressed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.space import FloatArray, Grid
from verse_morph.spine import Spine

BEYOND_ENDS_MM = 25.0
WIDTH_MM = {"sagittal": (-70.0, 45.0), "coronal": (-60.0, 60.0)}
STEP_MM = 0.7
# How far a point may lie above or below the line's end to be drawn.
BEYOND_LINE_MM = 1.0


@dataclass(frozen=True, eq=False)
class Straight:
    """The curved plane that is shown straight.

    Parameters
    ----------
    plane : str
        ``sagittal`` or ``coronal``.
    line_mm, tangents, across : array (H, 3)
        Points on the line from the top row down, its direction towards the head, and the picture's horizontal, unit.
    columns_mm : array (W,)
        Offset of each column; the first one is anterior, or the patient's right.
    """

    plane: str
    line_mm: FloatArray
    tangents: FloatArray
    across: FloatArray
    columns_mm: FloatArray

    def points_mm(self) -> FloatArray:
        """World point (H, W, 3) of each pixel."""
        return self.line_mm[:, None] + self.across[:, None] * self.columns_mm[:, None]

    def pixel(self, points_mm: NDArray) -> FloatArray:
        """Column and row (N, 2) of world points; NaN beyond the ends of the line."""
        found = []
        for point in np.atleast_2d(points_mm):
            away = point - self.line_mm
            along = np.abs(np.sum(away * self.tangents, axis=1))
            # Normals of a strongly curved line cross far from it: of several rows the nearest one is meant.
            near = along + 0.1 * np.linalg.norm(away, axis=1)
            row = int(near.argmin())
            step = self.columns_mm[1] - self.columns_mm[0]
            column = (away[row] @ self.across[row] - self.columns_mm[0]) / step
            found.append((column, row) if along[row] < BEYOND_LINE_MM else (np.nan, np.nan))
        return np.array(found)


def straight(spine: Spine, plane: str) -> Straight:
    """The straightened plane of a spine.

    Parameters
    ----------
    spine : Spine
    plane : str
        ``sagittal`` or ``coronal``.

    Raises
    ------
    NotMeasurable
        Fewer than two bodies with axes.
    """
    from scipy.interpolate import PchipInterpolator

    used = [v for v in spine if v.frame is not None]
    if len(used) < 2:
        raise NotMeasurable(f"{spine.name}: laying the spine straight needs two whole bodies")
    centres = np.array([v.frame.origin_mm for v in used if v.frame is not None])
    own = np.array([(v.frame.anterior if plane == "sagittal" else v.frame.right) for v in used if v.frame is not None])
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    knots = np.concatenate([[0.0], np.cumsum(steps)])
    curve = PchipInterpolator(knots, centres, axis=0)
    at = np.arange(-BEYOND_ENDS_MM, knots[-1] + BEYOND_ENDS_MM, STEP_MM)
    inside = np.clip(at, 0, knots[-1])
    # Pchip's own slopes kink at knots: a short running mean keeps rows from crossing.
    down = _smooth(curve.derivative()(inside), round(12 / STEP_MM))
    down /= np.linalg.norm(down, axis=1, keepdims=True)
    line = curve(inside) + (at - inside)[:, None] * down
    across = _smooth(PchipInterpolator(knots, own, axis=0)(inside), round(8 / STEP_MM))
    across -= np.sum(across * down, axis=1, keepdims=True) * down
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    low, high = WIDTH_MM[plane]
    return Straight(plane, line, -down, across, np.arange(high, low, -STEP_MM))


def _smooth(values: NDArray, width: int) -> FloatArray:
    from scipy.ndimage import uniform_filter1d

    return np.asarray(uniform_filter1d(values, max(1, width), axis=0, mode="nearest"))


def sample(volume: NDArray, grid: Grid, on: Straight, order: int = 1) -> NDArray[np.float32]:
    """Values (H, W) of a volume on the straightened plane; NaN outside of it."""
    from scipy.ndimage import map_coordinates

    index = np.moveaxis(grid.to_index(on.points_mm()), -1, 0)
    values = map_coordinates(volume, index, order=order, mode="nearest", output=np.float32)
    limits = np.array(volume.shape).reshape(3, 1, 1) - 0.5
    return np.where(((index >= -0.5) & (index <= limits)).all(axis=0), values, np.float32(np.nan))
