"""Cut a label map into one small box per vertebra; nothing after this touches the full volume again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.shape.field import Crop
from verse_morph.space import Grid, canonical
from verse_morph.volume import LabelMap, Scan

MARGIN_MM = 5.0
# A separate piece smaller than this share of the label is a speck of the annotation, not anatomy.
SPECK_FRACTION = 0.05
FINEST_MM = 0.4


def crop_levels(labels: LabelMap) -> dict[Level, Crop]:
    """One crop per level present, head to foot.

    Parameters
    ----------
    labels : LabelMap

    Returns
    -------
    dict of Level to Crop
        Crops reach 5 mm beyond the label or end at the border of the image.
    """
    array, grid = canonical(labels.labels, labels.grid)
    crops: dict[Level, Crop] = {}
    boxes = _boxes(array)
    vertebrae = np.isin(np.arange(len(boxes) + 1), list(labels.scheme.levels))
    for value, tight in enumerate(boxes, start=1):
        level = labels.scheme.levels.get(value)
        if tight is not None and level is not None:
            crops[level] = _crop(array, grid, (value,), tight, vertebrae)
    return dict(sorted(crops.items()))


def crop_values(labels: LabelMap, values: Sequence[int]) -> Crop | None:
    """The crop of labels taken as one, such as S1 and the rest of the sacrum; None where the map holds none of them.

    Parameters
    ----------
    labels : LabelMap
    values : sequence of int
    """
    if not set(values) & set(labels.values()):
        return None
    array, grid = canonical(labels.labels, labels.grid)
    boxes = _boxes(array)
    parts = [box for value in values if value <= len(boxes) and (box := boxes[value - 1]) is not None]
    tight = tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*parts, strict=True))
    return _crop(array, grid, values, tight, np.zeros(len(boxes) + 1, bool))


def _boxes(array: NDArray) -> list[tuple[slice, ...] | None]:
    """Box of each label; the search walks in C order, and files lie in Fortran order."""
    from scipy.ndimage import find_objects

    if abs(array.strides[0]) >= abs(array.strides[-1]):
        return list(find_objects(array))
    return [None if box is None else box[::-1] for box in find_objects(array.T)]


def hu_on(grid: Grid, scan: Scan) -> NDArray:
    """CT values at the voxel centres of a crop (nearest voxel: crops coincide with the scan's grid unless it is finer
    than 0.4 mm).
    """
    step = [np.linalg.norm(grid.affine[:3, axis]) for axis in range(3)]
    array, whole = canonical(scan.hu, scan.grid)
    start = whole.to_index(grid.to_world(np.zeros(3)))
    stride = np.round(np.array(step) / whole.spacing_mm).astype(int)
    axes = [
        np.clip(np.round(s + k * np.arange(n)).astype(int), 0, m - 1)
        for s, k, n, m in zip(start, stride, grid.shape, whole.shape, strict=True)
    ]
    return array[np.ix_(*axes)]


def crop_box(tight: tuple[slice, ...], grid: Grid, margin_mm: float) -> tuple[slice, ...]:
    """A box grown by a margin and clipped to the grid."""
    margin = np.ceil(margin_mm / grid.spacing_mm).astype(int)
    return tuple(
        slice(max(0, s.start - m), min(n, s.stop + m)) for s, m, n in zip(tight, margin, grid.shape, strict=True)
    )


def _crop(
    array: NDArray, grid: Grid, values: Sequence[int], tight: tuple[slice, ...], vertebrae: NDArray[np.bool_]
) -> Crop:
    box = crop_box(tight, grid, MARGIN_MM)
    labels = array[box]
    own = np.isin(labels, values)
    mask, removed, pieces = _drop_specks(np.ascontiguousarray(own))
    others = vertebrae[labels] & ~own
    border = np.array([[s.start == 0, s.stop == n] for s, n in zip(box, grid.shape, strict=True)])
    volume = int(mask.sum()) * grid.voxel_volume_mm3
    mask, others, coarse = _halve(mask, others, grid.crop(box))
    return Crop(mask, coarse, border, volume, others, removed, pieces)


def _halve(mask: NDArray[np.bool_], others: NDArray[np.bool_], grid: Grid) -> tuple[NDArray, NDArray, Grid]:
    """Merge pairs of voxels along axes finer than 0.4 mm: far below the accuracy of any outline, and eight times the
    work.
    """
    for axis in range(3):
        while grid.spacing_mm[axis] < FINEST_MM and grid.shape[axis] > 8:
            merged = _merge_pairs(mask, axis)
            if not merged.any():
                break  # a label of a voxel or two
            mask, others = merged, _merge_pairs(others, axis)
            affine = np.array(grid.affine)
            affine[:3, 3] += 0.5 * affine[:3, axis]
            affine[:3, axis] *= 2
            grid = Grid(mask.shape, affine)
    return mask, others, grid


def _merge_pairs(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    if mask.shape[axis] % 2:
        mask = np.concatenate([mask, np.take(mask, [-1], axis=axis)], axis=axis)
    first, second = (mask[(slice(None),) * axis + (slice(start, None, 2),)] for start in (0, 1))
    # A half-filled pair goes to alternating sides, so that merging neither grows nor shrinks the label on average.
    checker = np.indices(first.shape).sum(axis=0) % 2 == 0
    return (first & second) | ((first ^ second) & checker)


def _drop_specks(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int, int]:
    import cc3d

    pieces, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    if count == 1:
        return mask, 0, 1
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    keep = sizes >= SPECK_FRACTION * sizes.sum()
    keep[sizes.argmax()] = True
    return keep[pieces], int(sizes[~keep].sum()), int(keep.sum())
