"""What patients bring along in and around their vertebrae: sclerosis, cement, screws and rods."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from verse_morph.phantom.fields import FloatVolume, occupancy, smooth_field
from verse_morph.phantom.guide import Guide, Landmark
from verse_morph.phantom.tissues import TissueParameters

FloatArray = NDArray[np.float64]
Box = tuple[slice, slice, slice]

# Titanium saturates most scanners; what is stored is clipped, what is blurred is not.
METAL_HU, CEMENT_HU = 8000.0, 1900.0
SHAFT_MM, HEAD_MM, ROD_MM = 2.9, 6.0, 2.75


def paint_findings(
    hu: FloatVolume,
    structures: NDArray[np.uint8],
    spacing_mm: FloatArray,
    guide: Guide,
    tissue: TissueParameters,
    rng: np.random.Generator,
) -> tuple[FloatArray, ...]:
    """Paint the findings of a patient into ``hu``, in place.

    Returns
    -------
    tuple of array (2, 3)
        Two end points of every piece of metal, mm along the array axes: streaks start there.
    """
    marks = {mark.label: mark for mark in guide.landmarks}
    for focus in tissue.sclerosis:
        if focus.label in marks:
            mark = marks[focus.label]
            box, axes = _around(mark.body_mm, 32.0, hu.shape, spacing_mm)
            sign = 1.0 if focus.superior else -1.0
            below = np.float32(0.85 * mark.radius_mm) - sign * (axes[2] - np.float32(mark.body_mm[2]))
            added = np.float32(focus.added_hu) * np.exp(-np.maximum(below, 0) / np.float32(focus.reach_mm))
            patchy = np.clip(0.7 + 0.5 * smooth_field(hu[box].shape, 6.0 / spacing_mm, rng), 0, 1)
            mine = (structures[box] == focus.label) & (axes[1] > mark.canal_mm[1] + 6)
            hu[box] += mine * np.minimum(added * patchy, np.maximum(np.float32(1000) - hu[box], 0))
    for label in tissue.cement:
        if label in marks:
            _cement(hu, structures, spacing_mm, marks[label], rng)
    return _instrumentation(hu, structures, spacing_mm, [marks[v] for v in tissue.screws if v in marks])


def _around(
    middle: FloatArray, reach_mm: float, shape: tuple[int, ...], spacing: FloatArray
) -> tuple[Box, tuple[NDArray, ...]]:
    """A box about a point, and open grids of its voxels' millimetres."""
    low = np.clip(np.floor((middle - reach_mm) / spacing), 0, shape).astype(int)
    high = np.clip(np.ceil((middle + reach_mm) / spacing) + 1, 0, shape).astype(int)
    axes = np.ix_(
        *[np.arange(a, b, dtype=np.float32) * np.float32(s) for a, b, s in zip(low, high, spacing, strict=True)]
    )
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return (box[0], box[1], box[2]), axes


def _cement(
    hu: FloatVolume, structures: NDArray[np.uint8], spacing: FloatArray, mark: Landmark, rng: np.random.Generator
) -> None:
    box, axes = _around(mark.body_mm, 26.0, hu.shape, spacing)
    size = mark.radius_mm * np.array([1.0, 0.75, 0.65])
    away = sum(((a - np.float32(m)) / np.float32(s)) ** 2 for a, m, s in zip(axes, mark.body_mm, size, strict=True))
    cloud = 1 - np.sqrt(away) + 0.28 * smooth_field(hu[box].shape, 4.0 / spacing, rng)
    share = np.clip(cloud * 4, 0, 1) * (structures[box] == mark.label)
    hu[box] += share * (np.float32(CEMENT_HU) - hu[box])


def _instrumentation(
    hu: FloatVolume, structures: NDArray[np.uint8], spacing: FloatArray, marks: list[Landmark]
) -> tuple[FloatArray, ...]:
    """Pedicle screws of both sides and the rods that join their heads."""
    heads: dict[int, list[FloatArray]] = {-1: [], 1: []}
    metal = []
    for mark in marks:
        for side in (-1, 1):
            pedicle = _pedicle(structures, spacing, mark, side)
            if pedicle is None:
                continue
            aim = mark.body_mm + mark.radius_mm * np.array([side * 0.65, 0.25, 0.0])
            way = (aim - pedicle) / np.linalg.norm(aim - pedicle)
            head, tip = pedicle - 19 * way, aim + 4 * way
            _rod(hu, spacing, head, tip, SHAFT_MM)
            _rod(hu, spacing, head - 5 * way, head + 3 * way, HEAD_MM)
            heads[side].append(head - 4 * way)
            metal.append(np.stack([head, tip]))
    for joined in heads.values():
        for first, second in itertools.pairwise(joined):
            beyond = 5 * (second - first) / np.linalg.norm(second - first)
            _rod(hu, spacing, first - beyond, second + beyond, ROD_MM)
    return tuple(metal)


def _pedicle(structures: NDArray[np.uint8], spacing: FloatArray, mark: Landmark, side: int) -> FloatArray | None:
    """Middle of one pedicle: the vertebra's bone beside the front of the canal, in the upper part of the body."""
    canal = mark.canal_mm + np.array([0.0, 4.0, 0.0])
    box, axes = _around(canal, 24.0, structures.shape, spacing)
    x, y, z = axes
    mine = structures[box] == mark.label
    here = mine & (np.abs(y - canal[1]) < 2.5) & (side * (x - canal[0]) > 4) & (side * (x - canal[0]) < 23)
    here = here & (z > mark.body_mm[2] - 4)
    if np.count_nonzero(here) * spacing.prod() < 60:
        return None
    start = np.array([part.start for part in box])
    return (np.argwhere(here).mean(axis=0) + start) * spacing


def _rod(hu: FloatVolume, spacing: FloatArray, first: FloatArray, second: FloatArray, radius: float) -> None:
    middle, half = (first + second) / 2, np.linalg.norm(second - first) / 2
    box, axes = _around(middle, float(half) + radius + 2, hu.shape, spacing)
    way = (second - first) / np.linalg.norm(second - first)
    offset = [a - np.float32(m) for a, m in zip(axes, middle, strict=True)]
    along = np.clip(sum(np.float32(w) * o for w, o in zip(way, offset, strict=True)), -half, half).astype(np.float32)
    away = np.sqrt(sum((o - np.float32(w) * along) ** 2 for w, o in zip(way, offset, strict=True)))
    share = occupancy(np.float32(radius) - away, float(np.cbrt(spacing.prod())))
    hu[box] += share * (np.float32(METAL_HU) - hu[box])
