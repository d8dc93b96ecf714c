"""Width and depth of the spinal canal inside one vertebra's ring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verse_morph.shape.field import Crop, sample
from verse_morph.shape.split import CANAL_AREA_MM2, CANAL_OFFSET_MM, Ring, local_grid
from verse_morph.spine import Canal, Frame

STEP_MM = 0.5
TILTS_DEG = (0.0, -10.0, 10.0, -20.0, 20.0)
MINIMUM_SECTIONS = 3
# The ring deepens downwards as the laminae slope back: the lower quartile is its depth at the pedicles. The smallest
# section
# alone would follow single voxels.
NARROW_PERCENTILE = 25


def measure_canal(field_mm: NDArray, crop: Crop, frame: Frame, ring: Ring) -> Canal:
    """Canal of one vertebra: from the cross-sections in which its own ring is closed.

    Parameters
    ----------
    field_mm : array (i, j, k)
        Smoothed signed distance of the whole vertebra.
    crop : Crop
    frame : Frame
    ring : Ring
        Opening seen along the axis.

    Notes
    -----
    Laminae slope, so sections perpendicular to the superior axis may all be open; then sections tilted by 10 and 20
    degrees about the left-right axis are tried and the least tilted set with three closed sections is used. Bony
    walls only: ligaments and discs narrow the living canal.
    """
    for tilt in TILTS_DEG:
        sections = _closed_sections(field_mm, crop, _tilted(frame, ring, tilt))
        if len(sections) >= MINIMUM_SECTIONS:
            widths, depths, areas = np.array(sections).T
            depth = float(np.percentile(depths, NARROW_PERCENTILE))
            return Canal(ring.centre_mm, float(np.median(widths)), depth, float(np.median(areas)))
    return Canal(ring.centre_mm, None, None, None)


def _tilted(frame: Frame, ring: Ring, degrees: float) -> Frame:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    superior = cosine * frame.superior + sine * frame.anterior
    return Frame(ring.centre_mm, frame.right, np.cross(superior, frame.right), superior)


def _closed_sections(field_mm: NDArray, crop: Crop, frame: Frame) -> list[tuple[float, float, float]]:
    from scipy.ndimage import binary_fill_holes, label

    x = np.arange(-20.0, 20.01, STEP_MM)
    y = np.arange(-22.0, 22.01, STEP_MM)
    z = np.arange(-14.0, 14.01, 1.0)
    values = sample(field_mm, crop.grid, local_grid(frame, x, y, z))
    found = []
    for k in range(len(z)):
        bone = values[..., k] > 0
        holes, _ = label(binary_fill_holes(bone) & ~bone)
        number = holes[len(x) // 2, len(y) // 2]
        if number == 0:
            continue
        where = np.argwhere(holes == number)
        area = len(where) * STEP_MM**2
        middle = x[0] + STEP_MM * where[:, 0].mean()
        if CANAL_AREA_MM2[0] <= area <= CANAL_AREA_MM2[1] and abs(middle) < CANAL_OFFSET_MM:
            found.append((*_extents(values[..., k], holes == number, x, y), area))
    return found


def _extents(values: NDArray, hole: NDArray[np.bool_], x: NDArray, y: NDArray) -> tuple[float, float]:
    """Largest left-right extent and mid-line front-back extent of an opening, sub-voxel."""
    rows = hole.sum(axis=0)
    widths = [_opening(values[:, j], x, hole[:, j]) for j in np.argsort(rows)[-3:]]
    middle = round(np.argwhere(hole)[:, 0].mean())
    depths = [_opening(values[i], y, hole[i]) for i in range(middle - 2, middle + 3)]
    return float(np.median(widths)), float(np.median(depths))


def _opening(values: NDArray, at: NDArray, hole: NDArray[np.bool_]) -> float:
    """Length of the run of an opening between its two zero crossings."""
    index = np.flatnonzero(hole)
    if len(index) == 0:
        return 0.0
    low, high = index[0], index[-1]
    step = at[1] - at[0]
    before = values[low - 1] / (values[low - 1] - values[low]) if low > 0 else 0.0
    after = values[high + 1] / (values[high + 1] - values[high]) if high + 1 < len(at) else 0.0
    return float((high - low) * step + step * ((1 - before) + (1 - after)))
