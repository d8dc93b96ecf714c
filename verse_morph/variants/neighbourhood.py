"""What lies around the vertebrae: the mask's other structures, and bone that the CT shows outside the mask."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.space import FloatArray, Grid, canonical, paint
from verse_morph.spine import Spine
from verse_morph.volume import LabelMap, Scan

SACRUM = 1
# Ribs are coded 2 * number + 10 on the left and one more on the right; number 0 is a cervical rib.
_FIRST_RIB = 10
_RIB_NAME = re.compile(r"(?:(cervical)_)?rib_(left|right)(?:_(\d+))?")
# Noise of a thin slice hides the surface of bone: smoothed this much before a threshold.
SMOOTH_MM = 0.7
MOST_VOXELS = 40e6


def rib_code(number: int, side: str) -> int:
    """Value of a labelled rib in :attr:`Neighbourhood.named`; 0 is a cervical rib.

    >>> rib_code(12, "right")
    35
    """
    return _FIRST_RIB + 2 * number + (side == "right")


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """A box of the image, in nearest-RAS axis order.

    Parameters
    ----------
    grid : Grid
    levels : array (i, j, k) of uint8
        Rank of the vertebra's level plus one, 0 outside vertebrae.
    named : array (i, j, k) of uint8
        Sacrum and ribs where the mask has them, see :func:`rib_code`.
    hu : array (i, j, k) of float32 or None
        Slightly smoothed CT.
    raw_hu : array or None
        The CT as it is.
    at_border : array (3, 2) of bool
        Which sides of the box are borders of the image.
    """

    grid: Grid
    levels: NDArray[np.uint8]
    named: NDArray[np.uint8]
    hu: NDArray[np.float32] | None
    raw_hu: NDArray | None
    at_border: NDArray[np.bool_]

    @property
    def has_ribs(self) -> bool:
        """Whether the mask labels ribs here."""
        return bool((self.named >= _FIRST_RIB).any())


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The whole image, from which :class:`Neighbourhood` boxes are cut.

    Parameters
    ----------
    spine : Spine
    grid : Grid
        Nearest-RAS axis order.
    values : array (i, j, k)
        Label values, or ranks plus one where only the spine is known.
    levels_of, named_of : array of uint8
        What a label value stands for.
    hu : array (i, j, k) or None
    """

    spine: Spine
    grid: Grid
    values: NDArray
    levels_of: NDArray[np.uint8]
    named_of: NDArray[np.uint8]
    hu: NDArray | None

    @property
    def has_sacrum(self) -> bool:
        """Whether the mask labels a sacrum (its scheme knows one and a voxel has it)."""
        return bool((self.named_of == SACRUM).any())

    @property
    def has_ribs(self) -> bool:
        """Whether the mask labels ribs."""
        return bool((self.named_of >= _FIRST_RIB).any())

    def box(self, low_mm: NDArray, high_mm: NDArray, finest_mm: float = 0.6) -> Neighbourhood:
        """The part of the image inside a box of the world, voxels finer than ``finest_mm`` thinned out.

        Raises
        ------
        InputError
            The box lies outside the image.
        """
        corners = np.stack(np.meshgrid(*np.stack([low_mm, high_mm], axis=1)), axis=-1).reshape(-1, 3)
        index = self.grid.to_index(corners)
        first = np.clip(np.floor(index.min(axis=0)), 0, self.grid.shape).astype(int)
        last = np.clip(np.ceil(index.max(axis=0)) + 1, 0, self.grid.shape).astype(int)
        if (last - first < 2).any():
            raise InputError("the box lies outside the image")
        at_border = np.stack([first == 0, last == np.array(self.grid.shape)], axis=1)
        stride = np.maximum(np.floor(finest_mm / self.grid.spacing_mm + 0.01), 1).astype(int)
        while ((last - first) / stride).prod() > MOST_VOXELS:
            stride += 1
        part = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
        thin = tuple(slice(None, None, int(s)) for s in stride)
        affine = np.array(self.grid.crop(part).affine)
        affine[:3, :3] *= stride
        values = self.values[part][thin]
        grid = Grid(values.shape, affine)
        raw = None if self.hu is None else self.hu[part]
        hu = None if raw is None else _smoothed(raw, self.grid.spacing_mm, grid.spacing_mm)[thin]
        raw = None if raw is None else raw[thin]
        return Neighbourhood(grid, self.levels_of[values], self.named_of[values], hu, raw, at_border)


def surroundings(spine: Spine, scan: Scan | None = None, labels: LabelMap | None = None) -> Surroundings:
    """The image about a spine.

    Parameters
    ----------
    spine : Spine
    scan : Scan, optional
        CT on the spine's grid.
    labels : LabelMap, optional
        The mask that the spine was built from, whose other structures (sacrum, ribs) are used.

    Raises
    ------
    InputError
        The spine has no grid, or scan or mask lie on another one.
    """
    if spine.grid is None:
        raise InputError("this spine does not know the grid of its image; build it with build_spine")
    for what in (scan, labels):
        if what is not None and not what.grid.matches(spine.grid):
            raise InputError(
                f"the spine was built on another grid: {spine.grid.describe()}; "
                f"{what.grid.describe()}; bring the scan over with scan_on_grid"
            )
    if labels is None:
        values, grid = _painted(spine)
        levels_of, named_of = np.arange(256, dtype=np.uint8), np.zeros(256, dtype=np.uint8)
    else:
        values, grid = canonical(labels.labels, labels.grid)
        levels_of, named_of = _tables(labels)
    hu = None if scan is None else canonical(scan.hu, scan.grid)[0]
    return Surroundings(spine, grid, values, levels_of, named_of, hu)


def _tables(labels: LabelMap) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    present = labels.values()
    size = max(present, default=0) + 1
    levels, named = np.zeros(size, dtype=np.uint8), np.zeros(size, dtype=np.uint8)
    for value in present:
        level = labels.scheme.levels.get(value)
        if level is Level.S1:
            named[value] = SACRUM
        elif level is not None:
            levels[value] = level.rank + 1
        else:
            named[value] = _code(labels.scheme.others.get(value, ""))
    return levels, named


def _code(word: str) -> int:
    if word == "sacrum":
        return SACRUM
    match = _RIB_NAME.fullmatch(word)
    if match is None or not (match[1] or match[3]):
        return 0
    return rib_code(0 if match[1] else int(match[3]), match[2])


def _painted(spine: Spine) -> tuple[NDArray[np.uint8], Grid]:
    """The vertebrae's masks on the image's grid, ranks plus one."""
    assert spine.grid is not None
    empty = np.broadcast_to(np.uint8(0), spine.grid.shape)
    _, grid = canonical(empty, spine.grid)
    out = np.zeros(grid.shape, dtype=np.uint8)
    for vertebra in spine:
        paint(out, grid, vertebra.mask, vertebra.grid, vertebra.level.rank + 1)
    return out, grid


def _smoothed(hu: NDArray, spacing: FloatArray, thinned: FloatArray) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    # Where voxels are left out, those that stay stand for their neighbours.
    sigma = [0.0 if s > 2 * SMOOTH_MM else max(SMOOTH_MM, 0.4 * t) / s for s, t in zip(spacing, thinned, strict=True)]
    return gaussian_filter(hu.astype(np.float32), sigma, mode="nearest", truncate=3)
