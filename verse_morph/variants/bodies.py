"""Variants that show in the bodies themselves: half-vertebrae, and how square the last body is."""

from __future__ import annotations

from dataclasses import dataclass

from verse_morph.anatomy import Level
from verse_morph.errors import NotMeasurable
from verse_morph.measure.body import endplate_extents
from verse_morph.measure.heights import body_height
from verse_morph.spine import Spine
from verse_morph.variants.rules import Rules


@dataclass(frozen=True)
class HalfVertebrae:
    """Levels of which one side of the body did not form, levels that were looked at, and why others were not.

    Parameters
    ----------
    levels : tuple of Level
    sides : tuple of str
        The side that is present, for each level.
    looked_at : int
        Number of vertebrae with both heights.
    why : str
        Reasons for the others.
    """

    levels: tuple[Level, ...]
    sides: tuple[str, ...]
    looked_at: int
    why: str


def find_half_vertebrae(spine: Spine, rules: Rules) -> HalfVertebrae:
    """Bodies of which one side is lower than half of the other.

    Notes
    -----
    Misleads beside a one-sided fracture or a strong scoliosis: the shape alone cannot tell them apart.
    """
    levels, sides, reasons, seen = [], [], [], 0
    for vertebra in spine:
        if vertebra.level <= Level.C2:
            continue
        try:
            left, right = body_height(vertebra, "left"), body_height(vertebra, "right")
        except NotMeasurable as error:
            reasons.append(str(error))
            continue
        seen += 1
        if min(left, right) < rules.half_share * max(left, right):
            levels.append(vertebra.level)
            sides.append("left" if left > right else "right")
    return HalfVertebrae(tuple(levels), tuple(sides), seen, "; ".join(reasons))


def squareness(spine: Spine) -> float:
    """Depth of the last lumbar body's upper endplate over that of its lower one: 1 is square, more is wedge-like as S1.

    Raises
    ------
    NotMeasurable
        There is no lumbar vertebra, or its endplates are not to be measured.

    Notes
    -----
    A squared last body is a sign of transition, alone a weak one (O'Driscoll et al. 1996).
    """
    lumbar = [v for v in spine if v.level.region == "lumbar"]
    if not lumbar:
        raise NotMeasurable("no lumbar vertebra in the mask")
    (_, upper), (_, lower) = endplate_extents(lumbar[-1], True), endplate_extents(lumbar[-1], False)
    return upper.length / lower.length
