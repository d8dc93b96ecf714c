"""Candidates for vertebrae in both views' heatmaps and what each says about the level; S1 is one of the levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.segment.numbering import LEVELS
from verse_morph.segment.views import SPACING_MM, Views
from verse_morph.space import FloatArray, Grid, frozen

RANKS = len(LEVELS)
# A peak in the sagittal heatmaps of all levels together is a candidate from here on; it is a vertebra or not with even
# odds where the mean of both views reaches LEAST_PEAK.
SEARCHED_PEAK, LEAST_PEAK = 0.15, 0.3
PEAK_REACH_MM = 8.0
# Odds of a peak to be a vertebra grow e-fold with every such step above the least one.
PEAK_STEP = 0.07
FLOOR = 0.02  # no level is ever ruled out by heatmaps alone
# A candidate that naming takes for C1 or S1 with this share is that end of the column, beyond which there is no
# vertebra; NOT_END is what is left, in logarithms, of the evidence that another candidate is the same.
NAMED_END, NOT_END = 0.5, -12.0


@dataclass(frozen=True, eq=False)
class Candidates:
    """What may be a vertebra, or the first sacral body.

    Parameters
    ----------
    bodies_mm : array (n, 3)
        World RAS mm.
    level_log : array (n, 27)
        Log of the product of both views' shares of each level, S1 the last.
    confidence : array (n,)
        From the height of the peak in both views, 0 to 1.
    """

    bodies_mm: FloatArray
    level_log: FloatArray
    confidence: FloatArray

    def __post_init__(self) -> None:
        for name in ("bodies_mm", "level_log", "confidence"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.bodies_mm)

    def only(self, kept: NDArray[np.bool_]) -> Candidates:
        """Those of them that are marked (n,)."""
        return Candidates(self.bodies_mm[kept], self.level_log[kept], self.confidence[kept])


def level_shares(level_log: FloatArray) -> FloatArray:
    """Evidence (n, 27) as each level's share of a candidate."""
    from scipy.special import softmax

    return np.asarray(softmax(level_log, axis=1))


def sacral(level_log: FloatArray) -> NDArray[np.bool_]:
    """Which candidates (n,) naming takes for the first sacral body, from their evidence (n, 27)."""
    return np.asarray(level_shares(level_log)[:, Level.S1.rank] > NAMED_END)


def with_one_of_each_end(seen: Candidates) -> Candidates:
    """The candidates, of which one at most is C1, and the highest, and one at most S1, and the lowest.

    Notes
    -----
    The decoder lets a row end in two points of the sacrum, as key-point detectors find them; a speck of skull above C1
    pushes the whole neck down by one. The naming network is taught one C1 and one S1: where it saw that, an L6 must not
    pass for another sacral body.
    """
    return _with_one(Level.C1, _with_one(Level.S1, seen))


def _with_one(level: Level, seen: Candidates) -> Candidates:
    share = level_shares(seen.level_log)[:, level.rank]
    marked = share > NAMED_END
    if not marked.any():
        return seen
    end = int(np.where(marked, seen.confidence * share, -1.0).argmax())
    level_log = seen.level_log.copy()
    level_log[np.arange(len(seen)) != end, level.rank] = NOT_END
    above = seen.bodies_mm[:, 2] - seen.bodies_mm[end, 2]
    return Candidates(seen.bodies_mm, level_log, seen.confidence).only(above >= 0 if level is Level.S1 else above <= 0)


def find_candidates(
    sagittal: NDArray[np.float32], coronal: NDArray[np.float32], views: Views, line: FloatArray, grid: Grid
) -> Candidates:
    """The vertebrae that may be there: peaks of the sagittal view with what lies beside them in the coronal one.

    Parameters
    ----------
    sagittal, coronal : array (28, rows, WIDTH)
        Heatmaps of all levels; the last is background.
    views : Views
    line : array (k, 2)
        The column's place in x and y at every height of ``grid``, voxels.
    grid : Grid
        The views and heatmaps are projections of it.
    """
    rows = grid.shape[2]
    any_level = 1 - sagittal[-1, :rows]
    reach = round(PEAK_REACH_MM / SPACING_MM)
    bodies, logs, heights = [], [], []
    for row, column in _peaks(any_level, reach):
        z, y = _centroid(any_level, row, column, 2)
        share = _share(sagittal[:-1, :rows], row, column)
        x, other, height = _across(coronal[:, :rows], share, z, line[row, 0] - views.first[0])
        bodies.append([x + views.first[0], y + views.first[1], z])
        logs.append(np.log(FLOOR + share) + np.log(FLOOR + other))
        heights.append(np.sqrt(any_level[row, column] * height))
    points = grid.to_world(np.array(bodies).reshape(-1, 3))
    confidence = 1 / (1 + np.exp(-(np.array(heights) - LEAST_PEAK) / PEAK_STEP))
    return Candidates(points, np.array(logs).reshape(-1, RANKS), confidence)


def _peaks(values: NDArray[np.float32], reach: int) -> list[tuple[int, int]]:
    """Row and column of the local maxima of a map."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    smooth = gaussian_filter(values, 1.0)
    highest = smooth == maximum_filter(smooth, size=(2 * reach + 1, 4 * reach + 1))
    return [(int(r), int(c)) for r, c in np.argwhere(highest & (smooth >= SEARCHED_PEAK))]


def _centroid(values: NDArray[np.float32], row: int, column: int, reach: int) -> tuple[float, float]:
    """Weighted middle of the values about a peak, above the lowest of them."""
    top, left = max(row - reach, 0), max(column - reach, 0)
    part = values[top : row + reach + 1, left : column + reach + 1]
    weight = part - part.min() + 1e-6
    r, c = np.indices(part.shape)
    return float(top + (weight * r).sum() / weight.sum()), float(left + (weight * c).sum() / weight.sum())


def _share(maps: NDArray[np.float32], row: int, column: int) -> FloatArray:
    """Share (27,) of each level about a place."""
    box = (slice(None), slice(max(row - 1, 0), row + 2), slice(max(column - 1, 0), column + 2))
    total = maps[box].sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(total / max(float(total.sum()), 1e-9))


def _across(
    coronal: NDArray[np.float32], share: FloatArray, z: float, expected: float
) -> tuple[float, FloatArray, float]:
    """Column, level shares and height of the coronal peak at a height; the column's course where there is none."""
    row = round(z)
    band = 1 - coronal[-1, max(row - 1, 0) : row + 2].mean(axis=0)
    near = np.exp(-0.5 * ((np.arange(len(band)) - expected) * SPACING_MM / 25.0) ** 2)
    column = int((band * near).argmax())
    height = float(band[column])
    other = _share(coronal[:-1], row, column)
    if height < LEAST_PEAK / 3:
        return expected, np.full(RANKS, 1 / RANKS), height
    low = max(column - 3, 0)
    part = band[low : column + 4]
    weight = part - part.min() + 1e-6
    return float(low + (weight * np.arange(len(part))).sum() / weight.sum()), other, height
