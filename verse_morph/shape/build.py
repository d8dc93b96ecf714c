"""Build a spine from a label map: two passes over the vertebrae, because each one's axes depend on its neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from verse_morph.anatomy import Level, missing_between
from verse_morph.errors import InputError
from verse_morph.shape.crop import crop_levels
from verse_morph.shape.draft import Draft, Progress, each, first_drafts
from verse_morph.shape.finish import check_bodies, finish, flag_higher
from verse_morph.shape.passes import outline, settle
from verse_morph.shape.sacrum import sacral_endplate
from verse_morph.spine import Flag, Spine, Vertebra, usual_steps_mm
from verse_morph.volume import LabelMap, Scan

# A step of this many usual steps between neighbours has room for another vertebra.
LONG_STEP = 1.6
ASSUMED_NOTE = "T1 is out of view: the numbering assumes twelve thoracic vertebrae"


def build_spine(labels: LabelMap, scan: Scan | None = None, progress: Progress | None = None) -> Spine:
    """Vertebrae with frame, body, endplates, canal and surface, head to foot.

    Parameters
    ----------
    labels : LabelMap
        Whole-vertebra masks.
    scan : Scan, optional
        CT on the same grid; its crops go along with the vertebrae.
    progress : callable, optional
        Called with a stage's name, the number done and the number of all.

    Raises
    ------
    InputError
        No vertebra in the mask, or a scan on another grid.

    Notes
    -----
    The world must be RAS with the patient's front roughly towards +A and head towards +S (tilts up to about 40
    degrees are fine).
    """
    if scan is not None and not scan.grid.matches(labels.grid):
        raise InputError(
            f"the scan lies on another grid than the mask: {scan.grid.describe()}; "
            f"{labels.grid.describe()}; bring it over with scan_on_grid"
        )
    crops = crop_levels(labels)
    crops.pop(Level.S1, None)
    if not crops:
        raise InputError(
            f"no vertebra in this mask under scheme {labels.scheme.name!r}; labels found: {labels.values()}"
        )
    report = progress or (lambda stage, done, total: None)
    drafts = first_drafts(crops, labels, report)
    _require_head_to_foot(drafts)
    drafts = [settle(d) for d in outline(drafts, report, "bodies")]
    drafts = outline(drafts, report, "frames")
    drafts = check_bodies(drafts)
    vertebrae = each(lambda d: finish(d, scan, drafts), drafts, report, "surfaces")
    assumed = numbering_assumed(crops)
    flags = frozenset({Flag.NUMBERING_ASSUMED}) if assumed else frozenset()
    vertebrae = flag_higher([replace(v, flags=v.flags | flags) for v in vertebrae])
    sacrum, sacrum_note = sacral_endplate(labels, vertebrae[-1])
    further = [ASSUMED_NOTE] * assumed + [sacrum_note] * bool(sacrum_note)
    notes = (*labels.notes, *_gap_notes(vertebrae), *further)
    return Spine(tuple(vertebrae), labels.name, sacrum, notes=notes, grid=labels.grid)


def numbering_assumed(levels: Iterable[Level]) -> bool:
    """Whether the numbering rests on the assumption of twelve thoracic vertebrae: no level from C1 to T1 is in view."""
    return not any(level <= Level.T1 for level in levels)


def _require_head_to_foot(drafts: list[Draft]) -> None:
    """Refuse a mask whose levels run from foot to head: it is flipped, or its numbers mean something else."""
    heights = [draft.centre_mm[2] for draft in drafts]
    upwards = sum(lower > upper for upper, lower in pairwise(heights))
    if len(drafts) > 1 and upwards > (len(drafts) - 1) / 2:
        first, last = drafts[0].level, drafts[-1].level
        raise InputError(
            f"{first} to {last} run from foot to head in this mask ({upwards} of {len(drafts) - 1} steps): "
            "the image is flipped or the numbers belong to another scheme; check with `verse-morph info`"
        )


def _gap_notes(vertebrae: list[Vertebra]) -> list[str]:
    """Levels missing between two labelled ones, and steps with room for one more (an unlabelled T12 or T13)."""
    notes, pairs = [], list(pairwise(vertebrae))
    gaps = [missing_between(upper.level, lower.level) for upper, lower in pairs]
    steps = [_step_mm(*pair) / (1 + len(gap)) for pair, gap in zip(pairs, gaps, strict=True)]
    for (upper, lower), gap, step, usual in zip(pairs, gaps, steps, usual_steps_mm(steps), strict=True):
        between = f"between {upper.level} and {lower.level}"
        if gap:
            notes.append(f"not in the mask {between}: {' '.join(str(level) for level in gap)}")
        elif step > LONG_STEP * usual:
            notes.append(f"{step:.0f} mm {between}, {step / usual:.1f} times the usual step: one may be missing")
    return notes


def _step_mm(upper: Vertebra, lower: Vertebra) -> float:
    if upper.centre_mm is None or lower.centre_mm is None:
        return np.nan
    return float(np.linalg.norm(upper.centre_mm - lower.centre_mm))
