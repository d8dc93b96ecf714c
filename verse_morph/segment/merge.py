"""Patches to one label map on the scan's own grid: the largest probability wins, islands go, what is cut is flagged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from verse_morph.anatomy import VERSE, Level
from verse_morph.segment.flags import LEFT_OUT, MaskFlag
from verse_morph.segment.outline import HALF, Core, Outlined, core
from verse_morph.segment.resample import Reduced, sample
from verse_morph.space import FloatArray, Grid
from verse_morph.volume import LabelMap

# Pieces with less than this part of the largest one's voxels are islands.
ISLAND = 0.05
# Voxels longer than this along an axis get the mean probability over their length, sampled this far apart.
STEP_MM = 1.25
# What a whole vertebra has at least; a vertebra cut by the border may show less of itself.
SMALLEST_CM3: Mapping[str, float] = MappingProxyType({"cervical": 1.0, "thoracic": 2.0, "lumbar": 4.0, "sacral": 4.0})
SMALLEST_CUT_CM3 = 0.5
# Where nobody pointed at a vertebra it must have an adult's size: from less than half of the smallest to at least one
# and a half times the largest of 151 whole vertebrae of phantoms, whose sizes follow those of real scans.
ADULT_CM3: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"cervical": (3.0, 40.0), "thoracic": (6.0, 75.0), "lumbar": (15.0, 140.0), "sacral": (4.0, 400.0)}
)
SMALLEST_OF_NEIGHBOURS = 0.25
CONTACT_MM2 = 10.0

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Merged:
    """A label map and what is to be known about each vertebra in it.

    Parameters
    ----------
    labels : LabelMap
        Scheme VerSe, uint8, on the scan's grid.
    volumes_cm3 : Mapping[Level, float]
        Of every vertebra in the map, head to foot; empty where there is none.
    flags : Mapping[Level, frozenset of MaskFlag]
        Also of vertebrae that were left out, with the reason.
    """

    labels: LabelMap
    volumes_cm3: Mapping[Level, float]
    flags: Mapping[Level, frozenset[MaskFlag]]


def merge(outlined: Sequence[Outlined], grid: Grid, name: str = "scan", found: bool = False) -> Merged:
    """One label map of all outlined vertebrae.

    Parameters
    ----------
    outlined : sequence of Outlined
    grid : Grid
        The scan's.
    name : str
        The scan's key.
    found : bool
        Whether a program pointed at the vertebrae. Then what has no adult's size is left out; where a person pointed,
        nearly anything is kept.

    Notes
    -----
    Probabilities, not masks, are brought to the scan's voxels: linearly, and averaged over voxels that are longer than
    the patches', so that borders show no steps of the patches' grid. Where two vertebrae claim a voxel the larger
    probability wins. Beside the labels only one probability per voxel is held, within the box of the spine.
    """
    ordered = sorted((without_islands(each) for each in outlined), key=lambda each: each.level)
    boxes = {each.level: box for each in ordered if (box := _box(each, grid)) is not None}
    labels = np.zeros(grid.shape, dtype=np.uint8, order="F")
    flags: dict[Level, set[MaskFlag]] = {each.level: set() for each in ordered}
    if boxes:
        _compete([each for each in ordered if each.level in boxes], boxes, labels, grid)
    for level, box in boxes.items():
        flags[level] |= _tidied(labels[box], VERSE.value_of(level))
    volumes = _volumes(labels, boxes, grid)
    for each in ordered:
        level = each.level
        value = VERSE.value_of(level)
        cut = _cut(labels, boxes[level], value, grid, core(each)) if volumes.get(level) else None
        if cut is not None:
            flags[level].add(cut)
        if each.moved_mm:
            flags[level].add(MaskFlag.POINT_MOVED)
        wrong = _no_vertebra(each, volumes, cut is not None, found)
        if wrong is not None:
            flags[level].add(wrong)
            if level in boxes:
                part = labels[boxes[level]]
                part[part == value] = 0
    said = {level: frozenset(words) for level, words in flags.items()}
    kept = {level: volumes[level] for level in sorted(volumes) if not LEFT_OUT.keys() & said[level]}
    return Merged(LabelMap(labels, grid, VERSE, name), MappingProxyType(kept), MappingProxyType(said))


def without_islands(outlined: Outlined) -> Outlined:
    """The same with the probability of pieces far smaller than the largest one set to 0."""
    inside = outlined.probability >= HALF
    keep = large_pieces(inside)
    if keep is inside:
        return outlined
    return replace(outlined, probability=np.where(inside & ~keep, np.uint8(0), outlined.probability))


def large_pieces(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without islands; the same object where there are none."""
    import cc3d

    pieces, count = cc3d.connected_components(np.asfortranarray(mask), connectivity=26, return_N=True)
    if count <= 1:
        return mask
    sizes = np.bincount(pieces.ravel(order="K"))
    sizes[0] = 0
    keep = sizes >= ISLAND * sizes.max()
    keep[0] = False
    return mask if keep.sum() == count else keep[pieces]


def on_voxels(outlined: Outlined, grid: Grid) -> NDArray[np.uint8]:
    """Mean probability (0 to 255) over each voxel of a grid; array of the grid's shape.

    Parameters
    ----------
    outlined : Outlined
    grid : Grid
        Part of the scan's grid.
    """
    parts = tuple(int(max(1, np.ceil(s / STEP_MM))) for s in grid.spacing_mm)
    affine = np.array(grid.affine)
    affine[:3, :3] /= parts
    affine[:3, 3] = grid.to_world((1 / np.array(parts) - 1) / 2)
    i, j, k = (n * p for n, p in zip(grid.shape, parts, strict=True))
    fine = Grid((i, j, k), affine)
    values = torch.from_numpy(sample(Reduced(outlined.probability, outlined.grid), fine, outside=0.0))
    if parts != (1, 1, 1):
        values = functional.avg_pool3d(values[None, None], parts)[0, 0]
    return np.asarray(values.round().to(torch.uint8).numpy())


def _box(outlined: Outlined, grid: Grid) -> Box | None:
    """The part of the scan's grid in which a vertebra can have voxels."""
    inside = outlined.probability >= HALF
    if not inside.any():
        return None
    ends = []
    for axis in range(3):
        line = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        ends.append((line[0] - 1, line[-1] + 1))
    corners = grid.to_index(outlined.grid.to_world(np.array(np.meshgrid(*ends)).reshape(3, -1).T))
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, grid.shape)
    if (high <= low).any():
        return None
    first, second, third = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return first, second, third


def _compete(outlined: Sequence[Outlined], boxes: Mapping[Level, Box], labels: NDArray[np.uint8], grid: Grid) -> None:
    """Give every voxel of ``labels`` to the vertebra with the largest probability of at least one half."""
    start = np.min([[s.start for s in box] for box in boxes.values()], axis=0)
    stop = np.max([[s.stop for s in box] for box in boxes.values()], axis=0)
    best = np.full(tuple(stop - start), HALF - 1, dtype=np.uint8, order="F")
    for each in outlined:
        box = boxes[each.level]
        probability = on_voxels(each, grid.crop(box))
        rival = best[tuple(slice(s.start - a, s.stop - a) for s, a in zip(box, start, strict=True))]
        wins = probability > rival
        labels[box][wins] = VERSE.value_of(each.level)
        rival[wins] = probability[wins]


def _tidied(labels: NDArray[np.uint8], value: int) -> set[MaskFlag]:
    """Remove the islands of one label that the competition left, and say what was found."""
    mask = labels == value
    keep = large_pieces(mask)
    if keep is mask:
        return set()
    labels[mask & ~keep] = 0
    return {MaskFlag.SPECKS_REMOVED}


def _volumes(labels: NDArray[np.uint8], boxes: Mapping[Level, Box], grid: Grid) -> dict[Level, float]:
    """Volume of each level, cm3."""
    voxel = grid.voxel_volume_mm3 / 1000
    return {level: float((labels[box] == VERSE.value_of(level)).sum()) * voxel for level, box in boxes.items()}


def _no_vertebra(each: Outlined, volumes: Mapping[Level, float], cut: bool, found: bool) -> MaskFlag | None:
    """Why what was outlined cannot be a vertebra; None where it can."""
    if _too_small(each.level, volumes, cut):
        return MaskFlag.TOO_SMALL
    if not found:
        return None
    least, most = ADULT_CM3[each.level.region]
    if volumes[each.level] > most:
        return MaskFlag.TOO_LARGE
    return MaskFlag.TOO_SMALL if volumes[each.level] < least and not cut else None


def _too_small(level: Level, volumes: Mapping[Level, float], cut: bool) -> bool:
    volume = volumes.get(level, 0.0)
    if cut:
        return volume < SMALLEST_CUT_CM3
    near = sorted((other for other in volumes if other is not level), key=lambda other: abs(other.rank - level.rank))
    usual = float(np.median([volumes[other] for other in near[:2]])) if near else 0.0
    return volume < max(SMALLEST_CM3[level.region], SMALLEST_OF_NEIGHBOURS * usual)


def _cut(labels: NDArray[np.uint8], box: Box, value: int, grid: Grid, body: Core | None) -> MaskFlag | None:
    """Whether a vertebra touches the border of the image, and whether it does so near its body."""
    mask = labels[box] == value
    touching, near = False, 0.0
    spacing = grid.spacing_mm
    for axis, part in enumerate(box):
        for index, at_border in ((0, part.start == 0), (-1, part.stop == grid.shape[axis])):
            face = np.take(mask, index, axis=axis)
            if not at_border or not face.any():
                continue
            touching = True
            places = np.insert(np.argwhere(face), axis, 0 if index == 0 else mask.shape[axis] - 1, axis=1)
            world = grid.to_world(places + [s.start for s in box])
            near = max(near, float(_near(world, body).sum() * np.prod(np.delete(spacing, axis))))
    if not touching:
        return None
    return MaskFlag.BODY_CUT if near > CONTACT_MM2 else MaskFlag.PROCESSES_CUT


def _near(points_mm: FloatArray, body: Core | None) -> NDArray[np.bool_]:
    """Which points lie beside or in front of the body's middle, no further to the side than the body reaches."""
    if body is None:
        return np.ones(len(points_mm), dtype=bool)
    apart = points_mm - body.centre_mm
    return np.asarray((np.abs(apart[:, 0]) < 1.5 * body.depth_mm) & (apart[:, 1] > -0.9 * body.depth_mm))
