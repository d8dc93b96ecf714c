"""Random changes of a sample's two views: what a scan kept in the pool would look like a little otherwise.

A scan costs a second to make, its views some milliseconds to change: a network that sees every scan differently each
time it is drawn learns longer from the same pool before it begins to know the scans by heart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.segment.intensity import AIR_HU, to_input
from verse_morph.space import FloatArray

UNCHANGED = 0.2
# Heights are common to both views, widths are not; more than a fifth makes another level of a vertebra.
STRETCH, WIDEN, TILT, SWAY = (0.85, 1.18), (0.85, 1.18), 0.12, 4.0
SWAY_ROWS = (60.0, 200.0)  # wave length of the sway
# Along the column heights shrink here and grow there, by this share at most, as with a hollow back or lost discs: a
# vertebra must be known by its looks, not by how far above the sacrum it stands.
UNEVEN, UNEVEN_ROWS = 0.22, (80.0, 240.0)
HIDDEN, HIDDEN_ROWS, HIDDEN_COLUMNS = 0.25, (6, 36), (12, 60)
CHANNEL_LOST = 0.08


@dataclass(frozen=True, eq=False)
class Stretch:
    """A change of one view: rows that move along the column, and columns that move with the row.

    Parameters
    ----------
    rows : array (rows,)
        Where every old row comes to lie, rising; the same for both views of a sample.
    width : float
        Factor of the columns about the middle of the view.
    columns : array (rows,)
        What is added to the column of every new row, samples.
    """

    rows: FloatArray
    width: float
    columns: FloatArray

    def points(self, points: FloatArray, middle: float) -> FloatArray:
        """Points (n, 2: column, row) of the old view in the new one."""
        row = np.interp(points[:, 1], np.arange(len(self.rows)), self.rows)
        moved = np.interp(row, np.arange(len(self.columns)), self.columns)
        return np.column_stack([(points[:, 0] - middle) * self.width + middle + moved, row])

    def view(self, view: NDArray[np.float32]) -> NDArray[np.float32]:
        """A view (c, rows, columns); air comes in from outside."""
        from scipy.ndimage import map_coordinates

        rows, columns = view.shape[1:]
        middle = (columns - 1) / 2
        beyond = 2.0 * rows
        old = np.interp(np.arange(rows), self.rows, np.arange(rows), left=-beyond, right=beyond)
        old_row = np.broadcast_to(old[:, None], (rows, columns))
        old_column = (np.arange(columns)[None, :] - middle - self.columns[:, None]) / self.width + middle
        outside = float(to_input(np.array(AIR_HU)))
        return np.stack(
            [map_coordinates(c, [old_row, old_column], order=1, mode="constant", cval=outside) for c in view]
        ).astype(np.float32)


def draw_stretches(rows: int, rng: np.random.Generator) -> tuple[Stretch, Stretch] | None:
    """Changes of the sagittal and the coronal view of a sample; None where it stays as it is.

    Parameters
    ----------
    rows : int
        Height of the views.
    rng : numpy.random.Generator
    """
    if rng.random() < UNCHANGED:
        return None
    scale = rng.uniform(*STRETCH)
    # What grows keeps one end in view, so that a border of the scan is not always a border of the view.
    first = rng.uniform(0, 1) * rows * (1 - scale)
    row = np.arange(rows)
    length = rng.uniform(*UNEVEN_ROWS)
    swell = rng.uniform(0, UNEVEN) * length / (2 * np.pi) * np.sin(2 * np.pi * (row / length + rng.random()))
    moved = row * scale + first + swell
    return _one(moved, rng), _one(moved, rng)


def _one(moved: FloatArray, rng: np.random.Generator) -> Stretch:
    rows = len(moved)
    row = np.arange(rows)
    tilt = rng.uniform(-TILT, TILT) * (row - rows / 2)
    wave = rng.uniform(0, SWAY) * np.sin(2 * np.pi * (row / rng.uniform(*SWAY_ROWS) + rng.random()))
    # A tilt of a tall view would carry its ends out of the frame.
    return Stretch(moved, rng.uniform(*WIDEN), np.clip(tilt, -8, 8) + wave)


def hide(view: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A view with now and then a patch of it, or a whole channel, at one random value: metal, motion, no ribs."""
    out = view.copy()
    if rng.random() < HIDDEN:
        high, wide = int(rng.integers(*HIDDEN_ROWS)), int(rng.integers(*HIDDEN_COLUMNS))
        row = int(rng.integers(0, max(1, out.shape[1] - high)))
        column = int(rng.integers(0, max(1, out.shape[2] - wide)))
        out[:, row : row + high, column : column + wide] = rng.choice(out.ravel())
    for channel in out:
        if rng.random() < CHANNEL_LOST:
            channel[:] = channel.mean()
    return out
