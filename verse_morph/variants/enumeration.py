"""How many thoracic and lumbar vertebrae a scan shows, only where the whole region is in view."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from verse_morph.anatomy import Level, missing_between
from verse_morph.shape import numbering_assumed
from verse_morph.spine import Flag, Spine
from verse_morph.variants.last_lumbar import LastLumbar

# A step of this many usual steps between neighbours has room for another vertebra.
LONG_STEP = 1.6
# Usual distance from the centre of one lumbar body to the next, mm, where a spine shows none.
USUAL_STEP_MM = 36.0


@dataclass(frozen=True)
class Count:
    """A number of vertebrae, or why there is none."""

    value: int | None
    why: str = ""


@dataclass(frozen=True)
class Enumeration:
    """Counts of a scan.

    Parameters
    ----------
    thoracic : Count
        From T1 to L1, both in view.
    lumbar_labelled : Count
        Lumbar levels of the mask, where L1 and everything down to the sacrum are in view.
    transitional_unlabelled : Count
        Vertebrae below the last label that are fused with the sacrum and therefore not labelled: 0 or 1.
    lumbar_total : Count
        The sum of both.
    numbering_assumed : bool
        T1 is out of view: the numbering takes twelve thoracic vertebrae for granted.
    """

    thoracic: Count
    lumbar_labelled: Count
    transitional_unlabelled: Count
    lumbar_total: Count
    numbering_assumed: bool


def enumerate_vertebrae(spine: Spine, last: LastLumbar) -> Enumeration:
    """Counts of thoracic and lumbar vertebrae.

    Parameters
    ----------
    spine : Spine
    last : LastLumbar
        What lies below the last lumbar label.

    Notes
    -----
    Misleads when the mask itself is wrong: levels are the mask's, and only gaps between them are noticed.
    """
    assumed = numbering_assumed(spine.levels()) or any(Flag.NUMBERING_ASSUMED in v.flags for v in spine)
    thoracic = _thoracic(spine, assumed)
    labelled = _lumbar_labelled(spine, last)
    below = Count(last.unlabelled, last.why) if last.unlabelled is not None else Count(None, last.why)
    if labelled.value is None or below.value is None:
        total = Count(None, labelled.why or below.why)
    else:
        total = Count(labelled.value + below.value)
    return Enumeration(thoracic, labelled, below, total, assumed)


def _thoracic(spine: Spine, assumed: bool) -> Count:
    if assumed:
        return Count(None, "T1 is out of view: the numbering assumes twelve thoracic vertebrae")
    why = _end_missing(spine, Level.T1, above=True) or _end_missing(spine, Level.L1, above=False)
    why = why or _gap(spine, Level.T1, Level.L1)
    if why:
        return Count(None, why)
    return Count(sum(v.level.region == "thoracic" for v in spine))


def _lumbar_labelled(spine: Spine, last: LastLumbar) -> Count:
    why = _end_missing(spine, Level.L1, above=True)
    if not why and not last.complete:
        why = last.why
    why = why or _gap(spine, Level.L1, Level.L6)
    if why:
        return Count(None, why)
    return Count(sum(v.level.region == "lumbar" for v in spine))


def _end_missing(spine: Spine, level: Level, above: bool) -> str:
    """Why a region does not end at this level in the image, or an empty string."""
    levels = spine.levels()
    if level not in levels:
        return f"{level} is not in the mask"
    beyond = any(other < level for other in levels) if above else any(other > level for other in levels)
    if not beyond and Flag.BODY_CUT in spine[level].flags:
        return f"the image border cuts {level}"
    return ""


def _gap(spine: Spine, first: Level, last: Level) -> str:
    """Why levels between two may be missing, or an empty string."""
    region = [v for v in spine if first <= v.level <= last]
    for upper, lower in pairwise(region):
        gap = missing_between(upper.level, lower.level)
        if gap:
            return f"not in the mask: {' '.join(str(level) for level in gap)}"
    steps = [(u, w, _step(u.centre_mm, w.centre_mm)) for u, w in pairwise(region)]
    for i, (upper, lower, step) in enumerate(steps):
        near = [s for _, _, s in steps[max(0, i - 3) : i] + steps[i + 1 : i + 4] if np.isfinite(s)]
        usual = float(np.median(near)) if near else USUAL_STEP_MM
        if np.isfinite(step) and step > LONG_STEP * usual:
            return f"{step:.0f} mm between {upper.level} and {lower.level}: a vertebra may be missing from the mask"
    return ""


def _step(upper: np.ndarray | None, lower: np.ndarray | None) -> float:
    return float(np.linalg.norm(upper - lower)) if upper is not None and lower is not None else float("nan")
