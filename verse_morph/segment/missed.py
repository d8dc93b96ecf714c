"""Vertebrae that were not named although the row has room for them: between two, above the first, below the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level, missing_between
from verse_morph.segment.counting import room_above_sacrum
from verse_morph.segment.outline import HALF, Outlined, steps_mm
from verse_morph.segment.resample import nearest
from verse_morph.space import FloatArray, Grid
from verse_morph.spine import usual_steps_mm

# Probability of spine that the locating network must give where a vertebra is proposed beyond an end.
SPINE = 0.5
# A step this many times the usual one for each level that it spans has room for what lies between.
ROOM = 0.75
# An added vertebra has between these parts of its smaller and its larger neighbour's volume ...
VOLUME = (0.6, 1.5)
# ... a mean probability inside of at least this ...
CERTAIN = 0.85
# ... and shares at most this part of itself with a vertebra that was named.
SHARED = 0.2


def missed_points(
    points_mm: Mapping[Level, FloatArray],
    spine: NDArray[np.float32],
    grid: Grid,
    sacrum_top_mm: FloatArray | None = None,
    seen_mm: FloatArray | None = None,
) -> dict[Level, FloatArray]:
    """Where vertebrae may have been missed.

    Parameters
    ----------
    points_mm : Mapping[Level, array (3,)]
        Named vertebrae, world RAS mm.
    spine : array (i, j, k)
        Probability of spine from the locating stage.
    grid : Grid
        Of that array.
    sacrum_top_mm : array (3,), optional
        Upper front of the sacrum, world RAS mm, where it is known well: with room above it, an L6 is proposed.
    seen_mm : array (3,), optional
        What naming saw below the last vertebra: there the L6 is looked for, and less room is enough.
    """
    levels = sorted(points_mm)
    if len(levels) < 2:
        return {}
    steps = steps_mm(points_mm)
    usual = usual_steps_mm(list(steps.values()))
    proposed: dict[Level, FloatArray] = {}
    for ((upper, lower), step), near in zip(steps.items(), usual, strict=True):
        gap = missing_between(upper, lower)
        if gap and step > ROOM * near:
            parts = np.arange(1, len(gap) + 1) / (len(gap) + 1)
            proposed |= {v: (1 - t) * points_mm[upper] + t * points_mm[lower] for v, t in zip(gap, parts, strict=True)}
    ends = [
        (levels[0], levels[1], _above(levels[0]), usual[0]),
        (levels[-1], levels[-2], _below(levels[-1]), usual[-1]),
    ]
    for end, inner, level, near in ends:
        last = points_mm[end] - points_mm[inner]
        point = points_mm[end] + last * min(1.0, 1.3 * near / max(float(np.linalg.norm(last)), 1e-6))
        if level is not None and nearest(spine, grid, point[None])[0] >= SPINE:
            proposed[level] = point
    if levels[-1] is Level.L5 and sacrum_top_mm is not None and room_above_sacrum(points_mm, sacrum_top_mm, seen_mm):
        down = sacrum_top_mm - points_mm[Level.L5]
        below = points_mm[Level.L5] + usual[-1] * down / float(np.linalg.norm(down))
        proposed[Level.L6] = below if seen_mm is None else seen_mm
    return proposed


def vertebra_like(proposed: Outlined, named: Sequence[Outlined]) -> bool:
    """Whether what was outlined at a proposed point is a vertebra of its own.

    Parameters
    ----------
    proposed : Outlined
    named : sequence of Outlined
        The vertebrae that were named.
    """
    near = sorted(named, key=lambda each: abs(each.level.rank - proposed.level.rank))[:2]
    volumes = [each.volume_mm3 for each in near]
    if not volumes or not VOLUME[0] * min(volumes) <= proposed.volume_mm3 <= VOLUME[1] * max(volumes):
        return False
    return proposed.certainty >= CERTAIN and all(_shared(proposed, each) <= SHARED for each in near)


def _above(level: Level) -> Level | None:
    order = [each for each in Level if each is not Level.T13]
    rank = order.index(level) if level in order else order.index(Level.L1)
    return order[rank - 1] if rank > 0 else None


def _below(level: Level) -> Level | None:
    """The next level down; below L5 lies the sacrum more often than an L6, which needs room above it to be proposed."""
    if level >= Level.L5:
        return None
    order = [each for each in Level if each is not Level.T13]
    return order[order.index(level) + 1] if level in order else Level.L1


def _shared(first: Outlined, second: Outlined) -> float:
    """Part of the first that is also inside the second."""
    inside = np.argwhere(first.probability >= HALF)
    if not len(inside):
        return 0.0
    claimed = nearest(second.probability, second.grid, first.grid.to_world(inside)) >= HALF
    return float(claimed.sum()) / len(inside)
