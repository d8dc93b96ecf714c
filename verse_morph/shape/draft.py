"""What is known of a vertebra while the spine is being built, and how a step runs over all of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.shape.curve import WORLD_ANTERIOR
from verse_morph.shape.cut import body_may_be_cut, is_sliver
from verse_morph.shape.field import Crop, signed_distance, smooth_field
from verse_morph.shape.split import (
    Ring,
    core,
    local_frame,
)
from verse_morph.spine import Endplate, Flag, Frame
from verse_morph.volume import LabelMap

Progress = Callable[[str, int, int], None]
WORKERS = 2
THICK_MM = 2.0


@dataclass(frozen=True, eq=False)
class Draft:
    """What is known of a vertebra while the spine is being built."""

    level: Level
    label: int
    crop: Crop
    field_mm: NDArray
    centre_mm: NDArray
    cut: bool
    suspect: bool = False
    frame: Frame | None = None
    ring: Ring | None = None
    half_width_mm: float | None = None
    body: NDArray[np.bool_] | None = None
    body_field_mm: NDArray | None = None
    superior: Endplate | None = None
    inferior: Endplate | None = None
    flags: frozenset[Flag] = frozenset()
    why: dict[str, str] = field(default_factory=dict)

    @property
    def bodied(self) -> bool:
        """Whether this vertebra has a whole body in view (C1 never has one)."""
        return not self.cut and self.level is not Level.C1


def each(work: Callable, drafts: list, report: Progress, stage: str) -> list:
    """Run a step over all vertebrae on two threads; the numeric libraries release the lock."""
    out = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for done, result in enumerate(pool.map(work, drafts), start=1):
            out.append(result)
            report(stage, done, len(drafts))
    return out


def first_drafts(crops: dict[Level, Crop], labels: LabelMap, report: Progress) -> list[Draft]:
    """First guess of each vertebra: its thickest part, its surface field, and whether the border may cut its body.

    Parameters
    ----------
    crops : dict of Level to Crop
        Head to foot.
    labels : LabelMap
        Where the label values come from.
    report : callable
        Progress.
    """
    levels = list(crops)
    volumes = np.array([crops[level].volume_mm3 for level in levels])

    def start(i: int) -> Draft:
        level, crop = levels[i], crops[levels[i]]
        distance = signed_distance(crop.mask, crop.grid.spacing_mm)
        middle = core(crop, distance, WORLD_ANTERIOR)
        around = np.concatenate([volumes[max(0, i - 2) : i], volumes[i + 1 : i + 3]])
        typical = float(np.median(around)) if len(around) else 0.0
        provisional = local_frame(middle, np.array([0.0, 0.0, 1.0]), WORLD_ANTERIOR)
        cut = is_sliver(crop, typical)
        suspect = not cut and body_may_be_cut(crop, distance, provisional)
        flags = {Flag.SPECKS_REMOVED} if crop.removed_voxels else set()
        if crop.pieces > 1:
            flags.add(Flag.SEPARATED_PIECES)
        if crop.grid.spacing_mm.max() > THICK_MM:
            flags.add(Flag.THICK_SLICES)
        field_mm = smooth_field(crop.mask, crop.grid, distance)
        return Draft(level, labels.scheme.value_of(level), crop, field_mm, middle, cut, suspect, flags=frozenset(flags))

    return each(start, list(range(len(levels))), report, "labels")
