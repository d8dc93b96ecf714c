"""New outlines for the vertebrae whose points were changed; every other voxel of the mask stays as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from verse_morph.anatomy import LabelScheme, Level
from verse_morph.errors import GridMismatch, InputError
from verse_morph.space import FloatArray
from verse_morph.view.points import Difference
from verse_morph.volume import LabelMap, Scan

Outliner = Callable[[Scan, Mapping[Level, FloatArray]], LabelMap]


def outlined(scan: Scan, points_mm: Mapping[Level, FloatArray]) -> LabelMap:
    """Outlines of the vertebrae at some points by the package's own network, on the scan's grid.

    Raises
    ------
    InputError
        A point lies outside the scan, or nothing was found there.
    WeightsMissing
        The trained network is not there.
    """
    from verse_morph.segment.cascade import SegmentOptions, segment

    return segment(scan, SegmentOptions(points_mm=points_mm, add_missed=False)).labels


def redone(
    scan: Scan,
    labels: LabelMap,
    what: Difference,
    points_mm: Mapping[Level, FloatArray],
    outliner: Outliner = outlined,
) -> LabelMap:
    """The mask after a correction of points.

    Parameters
    ----------
    scan, labels : Scan, LabelMap
        On one grid.
    what : Difference
        Of the points since the mask was made.
    points_mm : Mapping[Level, array (3,)]
        All points as they are now.
    outliner : callable
        From a scan and points to a label map on its grid.

    Raises
    ------
    GridMismatch
        Scan and mask lie on different grids.
    InputError
        The mask's scheme has no number for a level.

    Notes
    -----
    Vertebrae that were only renamed change their number, not their shape. A voxel of an unchanged vertebra is never
    given to a new outline: where a neighbour's old outline holds part of a new vertebra, change that one's point too.
    """
    if not scan.grid.matches(labels.grid):
        raise GridMismatch(f"scan and mask lie on different grids: {scan.grid.describe()}; {labels.grid.describe()}")
    scheme = labels.scheme
    table = np.arange(256 if labels.labels.dtype == np.uint8 else 65536, dtype=labels.labels.dtype)
    for level in what.gone:
        table[value(scheme, level)] = 0
    for old, new in what.renamed.items():
        table[value(scheme, old)] = value(scheme, new)
    numbers = {level: value(scheme, level) for level in what.outline}
    made = table[labels.labels]
    if numbers:
        fresh = outliner(scan, {level: points_mm[level] for level in what.outline})
        for level, number in numbers.items():
            made[(fresh.labels == fresh.scheme.value_of(level)) & (made == 0)] = number
    return replace(labels, labels=made)


def value(scheme: LabelScheme, level: Level) -> int:
    """Number of a level in a scheme, or :class:`InputError` where it has none."""
    try:
        return scheme.value_of(level)
    except KeyError as error:
        raise InputError(f"the mask's scheme {scheme.name!r} has no number for {level}; use a VerSe mask") from error
