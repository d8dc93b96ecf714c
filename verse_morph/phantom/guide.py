"""Where the spine runs in a label map: body and canal centres, from which soft tissue and implants take their place.

Coordinates here are millimetres along the array axes (index times spacing): right, front, up. An oblique grid turns
patient and soft tissue together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import VERSE

FloatArray = NDArray[np.float64]

# Looking for landmarks on voxels of about this size is accurate enough for soft tissue.
COARSE_MM = 2.0
SACRUM = 26
T13 = 28


def level_number(label: int) -> float:
    """A vertebra's place from the head, C1 = 1 ... T12 = 19, L1 = 20; T13 lies between."""
    return 19.5 if label == T13 else float(label)


# How far the level is extrapolated beyond the first and last landmark.
_BEYOND_MM = 200.0


def _level_step_mm(level: float) -> float:
    """Usual distance of neighbouring body centres, mm."""
    return 17.0 if level < 8 else 24.0 if level < 19 else 34.0


@dataclass(frozen=True, eq=False)
class Landmark:
    """Body and canal of one vertebra.

    Parameters
    ----------
    label : int
    body_mm, canal_mm : array (3,)
        Centres.
    radius_mm : float
        Depth of the body's deepest point below its surface.
    """

    label: int
    body_mm: FloatArray
    canal_mm: FloatArray
    radius_mm: float


@dataclass(frozen=True, eq=False)
class Guide:
    """Body, canal and level as functions of height.

    Parameters
    ----------
    landmarks : tuple of Landmark
        Head to foot; may be empty.
    z_mm : array (N,)
        Ascending heights at which everything below is given.
    body_mm, canal_mm : array (N, 2)
        x and y of the centres.
    level : array (N,)
        See :func:`level_number`, in between and beyond by interpolation.
    """

    landmarks: tuple[Landmark, ...]
    z_mm: FloatArray
    body_mm: FloatArray
    canal_mm: FloatArray
    level: FloatArray

    def at(self, z_mm: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Body (N, 2), canal (N, 2) and level (N,) at heights."""
        body, canal = (
            np.column_stack([np.interp(z_mm, self.z_mm, line[:, i]) for i in (0, 1)])
            for line in (self.body_mm, self.canal_mm)
        )
        return body, canal, np.interp(z_mm, self.z_mm, self.level)


def find_guide(structures: NDArray[np.uint8], depth_mm: NDArray, spacing_mm: FloatArray) -> Guide:
    """Landmarks and their interpolation from a label map.

    Parameters
    ----------
    structures : array (i, j, k)
        VerSe labels for vertebrae; other numbers are not used.
    depth_mm : array (i, j, k)
        Signed depth in bone.
    spacing_mm : array (3,)

    Notes
    -----
    The body is what lies deepest in bone near the vertebra's midline. Good to a few millimetres, which is enough to
    place soft tissue; never a measurement.
    """
    step = np.maximum(1, np.floor(COARSE_MM / spacing_mm)).astype(int)
    thin = tuple(slice(None, None, int(s)) for s in step)
    coarse = spacing_mm * step
    # Not a view: every search below would walk through the whole map.
    small, depth = np.ascontiguousarray(structures[thin]), np.ascontiguousarray(depth_mm[thin], dtype=np.float32)
    found = sorted(_landmarks(small, depth, coarse), key=lambda mark: level_number(mark.label))
    top = float(structures.shape[2] * spacing_mm[2])
    heights = np.arange(0.0, top + COARSE_MM, COARSE_MM)
    return _interpolated(tuple(found), heights, np.array(structures.shape) * spacing_mm)


def _landmarks(small: NDArray[np.uint8], depth: NDArray, spacing: FloatArray) -> Iterator[Landmark]:
    from scipy.ndimage import find_objects

    for label, box in enumerate(find_objects(small), start=1):
        if box is None or label not in VERSE.levels or label == 1:  # C1 has no body
            continue
        start = np.array([part.start for part in box])
        inside = np.where(small[box] == label, depth[box], -1.0)
        if not (inside > 0).any():  # nothing but a shaving of its surface is in view
            continue
        middle = np.argwhere(inside > 0).mean(axis=0)
        x, y, _ = np.ix_(*[np.arange(n) for n in inside.shape])
        central = (np.abs(x - middle[0]) * spacing[0] < 8) & (y > middle[1])
        deep = np.where(central, inside, -1.0)
        radius = float(deep.max())
        if radius < (2.5 if label < 8 else 4.5):  # a sliver at the border, or no body in view
            continue
        body = (np.argwhere(deep > 0.7 * radius).mean(axis=0) + start) * spacing
        canal = _behind(depth, body, spacing)
        if canal is not None:
            yield Landmark(label, body, canal, radius)


def _behind(depth: NDArray, body: FloatArray, spacing: FloatArray) -> FloatArray | None:
    """Canal centre: where the line from the body backwards leaves bone, and about half a canal further."""
    x, y, z = np.minimum(np.rint(body / spacing).astype(int), np.array(depth.shape) - 1)
    line = depth[x, : y + 1, z][::-1]
    free = np.flatnonzero(line < 0)
    if not len(free) or free[0] * spacing[1] > 35:
        return None
    out = body.copy()
    out[1] -= (free[0] - 0.5) * spacing[1] + 8.0
    return out


def _interpolated(found: tuple[Landmark, ...], heights: FloatArray, extent: FloatArray) -> Guide:
    if not found:
        middle = np.tile(extent[:2] / 2, (len(heights), 1))
        # Without any vertebra the middle of the map counts as L1.
        level = 20 - (heights - extent[2] / 2) / 30
        return Guide((), heights, middle, middle - (0, 24), level)
    marks = sorted(found, key=lambda mark: mark.body_mm[2])
    z = np.array([mark.body_mm[2] for mark in marks])
    body = np.array([mark.body_mm[:2] for mark in marks])
    canal = np.array([mark.canal_mm[:2] for mark in marks])
    level = np.array([level_number(mark.label) for mark in marks])
    # Beyond both ends the level goes on at the pace of its region, the position stays.
    above, below = (_BEYOND_MM / _level_step_mm(end) for end in (level[-1], level[0]))
    z_all = np.concatenate([[z[0] - _BEYOND_MM], z, [z[-1] + _BEYOND_MM]])
    level_all = np.concatenate([[level[0] + below], level, [level[-1] - above]])
    ends = [np.concatenate([line[:1], line, line[-1:]]) for line in (body, canal)]
    smooth = [np.column_stack([_smoothed(heights, z_all, line[:, i]) for i in (0, 1)]) for line in ends]
    return Guide(found, heights, smooth[0], smooth[1], np.interp(heights, z_all, level_all))


def _smoothed(at: FloatArray, z: FloatArray, values: FloatArray) -> FloatArray:
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(np.interp(at, z, values), 10.0 / COARSE_MM, mode="nearest")
