"""Castellvi types: the transverse process of the last lumbar-type vertebra reaches the wing of the sacrum."""

from __future__ import annotations

import numpy as np

from verse_morph.phantom.implicit import Bar, Step
from verse_morph.phantom.parameters import SpineParameters
from verse_morph.phantom.sacrum import sacral_shape
from verse_morph.phantom.vertebra import marks, mirrored, vector

# Gap of a pseudo-articulation, mm.
GAP_MM = 1.6
# Height of an enlarged process without contact (type 1), mm; the definition asks for at least 19.
TYPE_1_HEIGHT_MM = 22.0


def contacts(castellvi: str, side: str) -> dict[int, str]:
    """What happens on the right (+1) and left (-1) side: ``high`` process, ``joint`` or ``fusion``.

    >>> contacts("2a", "left")
    {-1: 'joint'}
    """
    here = 1 if side == "right" else -1
    if castellvi == "4":
        return {here: "fusion", -here: "joint"}
    kind = {"0": "", "1": "high", "2": "joint", "3": "fusion"}[castellvi[0]]
    if not kind:
        return {}
    return {here: kind} if castellvi.endswith("a") else {1: kind, -1: kind}


def transitional_steps(parameters: SpineParameters) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Parts to add to the last vertebra and to the sacrum, each in its own coordinates."""
    variants = parameters.options.variants
    last, sacral = parameters.vertebrae[-1], sacral_shape(parameters)
    above: list[Step] = []
    below: list[Step] = []
    m = marks(last)
    for side, kind in contacts(variants.castellvi, variants.castellvi_side).items():
        root = vector(last.width_middle / 2 - 2, m.back_wall + 3, m.pedicle[2] - 2)
        tip = vector(last.transverse_half_span - 2, -last.transverse_back + 3, last.transverse_up - 6)
        if kind == "high":
            half = TYPE_1_HEIGHT_MM / 2
            above.append(
                Step(Bar(mirrored(root, side), mirrored(tip, side), (6.5, half), (4.5, half), vector(0, 1, 0)), 4.0)
            )
            continue
        # Where the process meets the wing: above the wing's upper surface, in the sacrum's coordinates.
        meeting = sacral.placement.to_world(mirrored(vector(parameters.sacrum.half_span - 17.0, -10.0, 15.0), side))
        upward = np.array(sacral.rotation) @ vector(side * 0.15, 0, 1.0)
        upward /= np.linalg.norm(upward)
        gap = GAP_MM if kind == "joint" else 0.0
        planes = [(meeting + upward * gap / 2, upward), (meeting - upward * gap / 2, -upward)]
        for shape, steps, (point, normal), far in ((last, above, planes[0], -9.0), (sacral, below, planes[1], 9.0)):
            place = shape.placement
            end = place.to_own(meeting + upward * far)
            start = mirrored(root, side) if shape is last else place.to_own(meeting - upward * 18.0)
            keep = (place.to_own(point), place.rotation.T @ normal) if kind == "joint" else None
            halves = ((7.5, 11.0), (10.0, 12.0)) if shape is last else ((10.0, 14.0), (10.0, 12.0))
            steps.append(Step(Bar(start, end, *halves, vector(0, 1, 0), 0.9, 0.5, keep), 4.0))
    return tuple(above), tuple(below)
