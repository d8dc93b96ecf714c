"""The two views that the Btrfly Net reads: projections of the spine's surroundings, localised along its course.

A plain maximum-intensity projection shows pelvis, ribs and skull on top of the spine. Here every row (height) is
projected over a band about the spine's own place in it; one channel of the coronal view stays un-localised, since ribs
and iliac crests tell the level. Training and use share this module.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.segment.intensity import AIR_HU, to_input
from verse_morph.space import FloatArray

SPACING_MM = 2.0
WIDTH = 96  # samples across both views
SIGMA_MM = 5.0  # of the heatmaps that the network learns
# Bands about the course of the spine, mm.
SIDEWAYS_MM, MIDLINE_MM, LATERAL_MM = 24.0, 9.0, (12.0, 44.0)
FRONT_MM, BACK_MM = 45.0, 25.0
CHANNELS = 3


@dataclass(frozen=True, eq=False)
class Views:
    """Sagittal and coronal view of one scan.

    Parameters
    ----------
    sagittal, coronal : array (channels, rows, WIDTH) of float32
        Rows run upwards, columns of the sagittal view to the front, of the coronal view to the right.
    first : array (3,)
        Voxel of the volume that the first row and both first columns stand for (x of the coronal, y of the sagittal
        view, z of the rows).
    """

    sagittal: NDArray[np.float32]
    coronal: NDArray[np.float32]
    first: FloatArray


def course(spine: NDArray, smooth: float = 12.0) -> FloatArray | None:
    """Place (rows, 2) of the spine in x and y at every height, from a mask or probability (i, j, k); None if empty.

    Parameters
    ----------
    spine : array (i, j, k)
        Share of vertebral bone in each voxel.
    smooth : float
        SD of the Gaussian along z, voxels.
    """
    from scipy.ndimage import gaussian_filter1d

    weight = spine.sum(axis=(0, 1), dtype=np.float64)
    if weight.sum() <= 0:
        return None
    x = np.arange(spine.shape[0]) @ spine.sum(axis=1, dtype=np.float64)
    y = np.arange(spine.shape[1]) @ spine.sum(axis=0, dtype=np.float64)
    # Beyond the ends the place goes on as it was: a Gaussian of what is there, however little.
    weight = weight + 1e-6 * weight.max() * (weight > 0)
    out = []
    for total in (x, y):
        above = gaussian_filter1d(total, smooth, mode="constant", truncate=30)
        below = gaussian_filter1d(weight, smooth, mode="constant", truncate=30)
        good = below > 1e-8 * below.max()
        out.append(np.interp(np.arange(len(weight)), np.flatnonzero(good), above[good] / below[good]))
    return np.stack(out, axis=1)


def project(hu: NDArray, line: FloatArray, rows: int) -> Views:
    """Both views of a volume.

    Parameters
    ----------
    hu : array (i, j, k)
        HU at SPACING_MM, axes to the right, front and top.
    line : array (k, 2)
        The spine's place in x and y at every height, voxels.
    rows : int
        Height of the views; at least k, and a multiple of what the network needs. Rows beyond k are air.
    """
    n_x, n_y = hu.shape[:2]
    x = np.arange(n_x)[:, None] - line[None, :, 0]
    y = np.arange(n_y)[:, None] - line[None, :, 1]
    middle = np.median(line, axis=0)
    first = np.array([*np.rint(middle - (WIDTH - 1) / 2), 0.0])
    wide, thin = np.abs(x) <= SIDEWAYS_MM / SPACING_MM, np.abs(x) <= MIDLINE_MM / SPACING_MM
    beside = (np.abs(x) >= LATERAL_MM[0] / SPACING_MM) & (np.abs(x) <= LATERAL_MM[1] / SPACING_MM)
    near = (y <= FRONT_MM / SPACING_MM) & (y >= -BACK_MM / SPACING_MM)
    values = to_input(hu)
    sagittal = np.stack([_brightest(values, wide, 0), _mean(values, thin, 0), _mean(values, beside, 0)])
    coronal = np.stack([_brightest(values, near, 1), _mean(values, near, 1), values.max(axis=1)])
    return Views(_framed(sagittal, int(first[1]), rows), _framed(coronal, int(first[0]), rows), first)


def _brightest(values: NDArray[np.float32], inside: NDArray[np.bool_], axis: int) -> NDArray[np.float32]:
    shown = np.where(np.expand_dims(inside, 1 - axis), values, np.float32(to_input(np.array(AIR_HU))))
    return shown.max(axis=axis)


def _mean(values: NDArray[np.float32], inside: NDArray[np.bool_], axis: int) -> NDArray[np.float32]:
    weight = np.expand_dims(inside, 1 - axis).astype(np.float32)
    total = (values * weight).sum(axis=axis)
    count = weight.sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), to_input(np.array(AIR_HU))).astype(np.float32)


def _framed(views: NDArray[np.float32], first: int, rows: int) -> NDArray[np.float32]:
    """Channels (c, width, height) as (c, rows, WIDTH), beginning at column ``first``; air where there is nothing."""
    out = np.full((len(views), rows, WIDTH), to_input(np.array(AIR_HU)), dtype=np.float32)
    low, high = max(first, 0), min(first + WIDTH, views.shape[1])
    if high > low:
        out[:, : views.shape[2], low - first : high - first] = views[:, low:high].transpose(0, 2, 1)
    return out
