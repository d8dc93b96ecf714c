"""A scan seen through: brightest or mean values across a slab about the spine, and where points lie on the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import InputError
from verse_morph.space import FloatArray, Grid
from verse_morph.view.panel import grey
from verse_morph.view.slices import CUTS

PLANES = ("sagittal", "coronal")
# How values across the slab become one, and the HU shown from black to white.
KINDS = MappingProxyType({"mean": (-100.0, 500.0), "brightest": (0.0, 1300.0)})
# Half the thickness of the slab beyond the outermost points, mm: a body's half width, less its processes.
SLAB_MM = 18.0


@dataclass(frozen=True, eq=False)
class Projection:
    """How one projection maps to the world.

    Parameters
    ----------
    plane : str
        ``sagittal`` or ``coronal``.
    grid : Grid
        Of the scan with its axes nearest to R, A, S.
    """

    plane: str
    grid: Grid

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height of the picture."""
        cut = CUTS[self.plane]
        size = self.grid.spacing_mm * self.grid.shape
        return float(size[cut.across]), float(size[cut.up])

    def shares(self, point_mm: Sequence[float]) -> list[float]:
        """Where a point is, as shares of the picture's width and height from its upper left."""
        cut, index = CUTS[self.plane], self.grid.to_index(point_mm)
        return [float(1 - (index[axis] + 0.5) / self.grid.shape[axis]) for axis in (cut.across, cut.up)]

    def moved(self, point_mm: Sequence[float], shares: Sequence[float]) -> FloatArray:
        """The point dragged to a place on the picture; what the picture does not show of it stays."""
        cut, index = CUTS[self.plane], np.array(self.grid.to_index(point_mm), dtype=float)
        for axis, share in zip((cut.across, cut.up), shares, strict=True):
            index[axis] = (1 - share) * self.grid.shape[axis] - 0.5
        return self.grid.to_world(index)

    def nudged(self, point_mm: Sequence[float], right_down: Sequence[float]) -> FloatArray:
        """The point moved by some mm to the right and down on the picture."""
        now, size = self.shares(point_mm), self.size_mm
        return self.moved(point_mm, [now[k] + right_down[k] / size[k] for k in (0, 1)])


def projected(hu: NDArray, on: Projection, points_mm: Sequence[Sequence[float]], kind: str) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) of a projection, one per voxel.

    Parameters
    ----------
    hu : array (i, j, k)
        With its axes nearest to R, A, S.
    on : Projection
    points_mm : sequence of 3 floats
        The slab reaches 18 mm beyond the outermost of these; without any it is the whole scan.
    kind : str
        ``mean`` or ``brightest``.

    Raises
    ------
    InputError
        No such kind.
    """
    if kind not in KINDS:
        raise InputError(f"no projection {kind!r}; there are {', '.join(KINDS)}")
    axis = CUTS[on.plane].fixed
    low, high = 0, hu.shape[axis]
    if len(points_mm):
        index = np.array([on.grid.to_index(point)[axis] for point in points_mm])
        reach = SLAB_MM / on.grid.spacing_mm[axis]
        low = int(np.clip(index.min() - reach, 0, high - 1))
        high = int(np.clip(np.ceil(index.max() + reach), low + 1, high))
    slab = hu[_slab(axis, low, high)]
    flat = slab.max(axis=axis) if kind == "brightest" else slab.mean(axis=axis, dtype=np.float32)
    return grey(flat.T[::-1, ::-1], KINDS[kind])


def _slab(axis: int, low: int, high: int) -> tuple[slice, ...]:
    return tuple(slice(low, high) if k == axis else slice(None) for k in range(3))
