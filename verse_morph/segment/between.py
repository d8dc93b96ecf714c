"""Points between two vertebrae: where outlines are unsure, half a step up and down the row is tried as well.

A point on a disc makes the network outline halves of two vertebrae, with less certainty than one. Several points in a
row err alike, so that no single one can be judged: the places of the whole row are chosen together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from torch import nn

from verse_morph.anatomy import Level
from verse_morph.segment.compute import Compute
from verse_morph.segment.outline import Outlined, core, outline, steps_mm
from verse_morph.segment.resample import Reduced
from verse_morph.space import FloatArray
from verse_morph.spine import usual_steps_mm

# Outlines with a mean probability inside of less than this are unsure; one whole vertebra is outlined more surely.
UNSURE = 0.93
# In a row with unsure ones a sure vertebra beside a step this many times the usual one may have slid to its neighbour.
UNEVEN_STEP = 1.4
# Bodies of neighbours in the row lie this many usual steps apart at least, or two outlines claim one vertebra; what a
# step that is longer or shorter than usual by all of itself costs, in certainty.
NEAREST, UNEVEN = 0.5, 0.3
# A row is moved only where that makes its outlines surer by this much in all: a third of what halves of two cost one.
GAIN = 0.02
FEWEST = 3


def off_discs(
    outlined: Sequence[Outlined], source: Reduced, model: nn.Module, compute: Compute
) -> tuple[Outlined, ...]:
    """The outlines of a row of vertebrae, each at the place, of three half a step apart, that suits the row best.

    Parameters
    ----------
    outlined : sequence of Outlined
        Head to foot.
    source : Reduced
    model : torch.nn.Module
    compute : Compute

    Returns
    -------
    tuple of Outlined
        The same levels, at the places with the largest sum of certainties less what uneven steps between bodies cost.
    """
    if len(outlined) < FEWEST or all(_sure(each) for each in outlined):
        return tuple(outlined)
    points = np.array([_middle(each) for each in outlined])
    steps = np.diff(points, axis=0)
    single = list(steps_mm({each.level: point for each, point in zip(outlined, points, strict=True)}).values())
    usual = usual_steps_mm(single)
    # A step over a level that was not found is as long as two: what it measures is a level.
    across = np.linalg.norm(steps, axis=1) ** 2 * usual / single
    ratio = np.pad(np.array(single) / usual, 1, constant_values=1.0)
    doubtful = [
        not _sure(each) or (each.level > Level.C2 and max(ratio[k], ratio[k + 1]) > UNEVEN_STEP)
        for k, each in enumerate(outlined)
    ]
    options = [
        _options(outlined, points, k, source, model, compute) if doubt else [each]
        for k, (each, doubt) in enumerate(zip(outlined, doubtful, strict=True))
    ]
    middles = [np.array([p, *map(_middle, column[1:])]) for p, column in zip(points, options, strict=True)]
    chosen = _best_row(options, middles, steps / across[:, None])
    gained = sum(new.certainty - old.certainty for new, old in zip(chosen, outlined, strict=True))
    return chosen if gained >= GAIN else tuple(outlined)


def _sure(each: Outlined) -> bool:
    # C1 has no body that could lie off its point, and its outlines are never as sure.
    return each.level is Level.C1 or each.certainty >= UNSURE


def _middle(each: Outlined) -> FloatArray:
    body = None if each.level is Level.C1 else core(each)
    return each.point_mm if body is None else body.centre_mm


def _options(
    outlined: Sequence[Outlined], points: FloatArray, k: int, source: Reduced, model: nn.Module, compute: Compute
) -> list[Outlined]:
    """A vertebra as it is, first, and as it would be half a step up and down."""
    each = outlined[k]
    up = (points[max(k - 1, 0)] - points[max(k - 1, 0) + 1]) / 2
    down = (points[min(k + 1, len(points) - 1)] - points[min(k + 1, len(points) - 1) - 1]) / 2
    moved = [outline(source, {each.level: each.point_mm + shift}, model, compute)[0] for shift in (up, down)]
    # Half a step may carry a part of it out of the scan.
    least = 0.25 * each.volume_mm3
    return [each, *(m for m in moved if m.volume_mm3 >= least)]


def _best_row(
    options: Sequence[Sequence[Outlined]], middles: Sequence[FloatArray], down: FloatArray
) -> tuple[Outlined, ...]:
    """One option of each vertebra: the largest sum of certainties, less what uneven steps cost.

    ``middles`` are those of the options' bodies; a usual step measures 1 along each row of ``down`` (n - 1, 3).
    """
    total = [np.array([each.certainty for each in options[0]])]
    back: list[np.ndarray] = []
    for k, (above, below) in enumerate(pairwise(middles)):
        # Too close is ruled out softly: a row that was so from the start must keep an answer.
        step = (below[None] - above[:, None]) @ down[k]
        value = total[-1][:, None] - UNEVEN * (step - 1) ** 2 - (step < NEAREST)
        back.append(value.argmax(axis=0))
        total.append(value.max(axis=0) + [each.certainty for each in options[k + 1]])
    place = int(total[-1].argmax())
    row = [place]
    for came in reversed(back):
        place = int(came[place])
        row.append(place)
    return tuple(column[p] for column, p in zip(options, reversed(row), strict=True))
