"""Build a spine from a label map: two passes over the vertebrae, because each one's axes depend on its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level, missing_between
from verse_morph.errors import InputError
from verse_morph.shape.canal import measure_canal
from verse_morph.shape.crop import crop_levels, hu_on
from verse_morph.shape.curve import WORLD_ANTERIOR, smooth_anterior, tangents
from verse_morph.shape.cut import CONTACT_MM2, body_surely_cut, border_contact_mm2, touches_border
from verse_morph.shape.endplates import columns, endplate
from verse_morph.shape.field import Crop, signed_distance, smooth_field
from verse_morph.shape.mesh import surface
from verse_morph.shape.split import Ring, body_mask, core, find_ring, front_wall, local_frame, without_dens
from verse_morph.spine import Canal, Endplate, Flag, Frame, Spine, Vertebra
from verse_morph.volume import LabelMap, Scan

Progress = Callable[[str, int, int], None]

WORKERS = 2
COLLAPSED_ANGLE_DEG = 25.0
THICK_MM = 2.0
BODY_FRACTION = (0.35, 0.72)
OVERLAP_FLAG, OVERLAP_STOP = 0.15, 0.5
WIDE_PROCESS_LEVELS = frozenset({Level.L5, Level.L6})
WIDTH_REFERENCE = frozenset({Level.L2, Level.L3, Level.L4})
WIDTH_LIMIT = 0.6
VISIBLE_BODY = 0.9


@dataclass(frozen=True, eq=False)
class Draft:
    """What is known of a vertebra while the spine is being built."""

    level: Level
    label: int
    crop: Crop
    field_mm: NDArray
    centre_mm: NDArray
    cut: bool
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
    The world must be RAS with the patient's front roughly towards +A and head towards +S (tilts up to about 40 degrees are fine).
    """
    if scan is not None and not scan.grid.matches(labels.grid):
        raise InputError(
            f"the scan lies on another grid than the mask: {scan.grid.describe()}; {labels.grid.describe()}; bring it over with scan_on_grid"
        )
    crops = crop_levels(labels)
    crops.pop(Level.S1, None)
    if not crops:
        raise InputError(
            f"no vertebra in this mask under scheme {labels.scheme.name!r}; labels found: {labels.values()}"
        )
    report = progress or (lambda stage, done, total: None)
    drafts = _drafts(crops, labels, report)
    drafts = _pass(drafts, report, "bodies")
    drafts = _pass(drafts, report, "frames")
    drafts = _check_bodies(drafts)
    vertebrae = _each(lambda d: _finish(d, scan, drafts), drafts, report, "surfaces")
    assumed = numbering_assumed(crops)
    flags = frozenset({Flag.NUMBERING_ASSUMED}) if assumed else frozenset()
    vertebrae = [replace(v, flags=v.flags | flags) for v in vertebrae]
    return Spine(tuple(vertebrae), labels.name, notes=(*labels.notes, *_numbering_notes(list(crops), assumed)))


def numbering_assumed(levels: Iterable[Level]) -> bool:
    """Whether the numbering rests on the assumption of twelve thoracic vertebrae: no level from C1 to T1 is in view."""
    return not any(level <= Level.T1 for level in levels)


def _each(work: Callable, drafts: list, report: Progress, stage: str) -> list:
    """Run a step over all vertebrae on two threads; the numeric libraries release the lock."""
    out = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for done, result in enumerate(pool.map(work, drafts), start=1):
            out.append(result)
            report(stage, done, len(drafts))
    return out


def _drafts(crops: dict[Level, Crop], labels: LabelMap, report: Progress) -> list[Draft]:
    levels = list(crops)
    volumes = np.array([crops[level].volume_mm3 for level in levels])

    def start(i: int) -> Draft:
        level, crop = levels[i], crops[levels[i]]
        distance = signed_distance(crop.mask, crop.grid.spacing_mm)
        middle = core(crop, distance, WORLD_ANTERIOR)
        around = np.concatenate([volumes[max(0, i - 2) : i], volumes[i + 1 : i + 3]])
        typical = float(np.median(around)) if len(around) else 0.0
        provisional = local_frame(middle, np.array([0.0, 0.0, 1.0]), WORLD_ANTERIOR)
        cut = body_surely_cut(crop, distance, provisional, typical)
        flags = {Flag.SPECKS_REMOVED} if crop.removed_voxels else set()
        if crop.pieces > 1:
            flags.add(Flag.SEPARATED_PIECES)
        if crop.grid.spacing_mm.max() > THICK_MM:
            flags.add(Flag.THICK_SLICES)
        field_mm = smooth_field(crop.mask, crop.grid, distance)
        return Draft(level, labels.scheme.value_of(level), crop, field_mm, middle, cut, flags=frozenset(flags))

    return _each(start, list(range(len(levels))), report, "labels")


def _pass(drafts: list[Draft], report: Progress, stage: str) -> list[Draft]:
    """One round: axes from the neighbours, then canal, body and endplates of each vertebra."""
    shaping = np.array([d.bodied for d in drafts])
    superior = tangents(np.array([d.centre_mm for d in drafts]), shaping)
    superior = np.array([_superior(d, up)[0] for d, up in zip(drafts, superior, strict=True)])
    rings = _each(lambda pair: _ring(*pair), list(zip(drafts, superior, strict=True)), report, stage + ": canal")
    own = [None if r is None or r.fallback else d.centre_mm - r.centre_mm for d, r in zip(drafts, rings, strict=True)]
    anterior, outlier = smooth_anterior(own, superior)
    rings = _fill_rings(drafts, rings, anterior)
    frames = [local_frame(d.centre_mm, up, front) for d, up, front in zip(drafts, superior, anterior, strict=True)]
    widths = [_body_width(d) for d in drafts]
    turned = [
        replace(
            d,
            half_width_mm=_half_width(i, drafts, widths),
            frame=f,
            ring=r,
            flags=d.flags - {Flag.DIRECTION_SMOOTHED} | ({Flag.DIRECTION_SMOOTHED} if far else set()),
        )
        for i, (d, f, r, far) in enumerate(zip(drafts, frames, rings, outlier, strict=True))
    ]
    return _each(_shape_body, turned, report, stage)


def _body_width(draft: Draft) -> float | None:
    """Width of the body as its first outline has it, mm."""
    if draft.body is None or draft.frame is None:
        return None
    across = draft.frame.to_local(draft.crop.grid.to_world(np.argwhere(draft.body)))[:, 0]
    return float(np.ptp(np.percentile(across, [0.5, 99.5])))


def _half_width(i: int, drafts: list[Draft], widths: list[float | None]) -> float | None:
    """The broad transverse processes of the last lumbar levels start at the body itself: L2 to L4 tell how wide a body can be."""
    if drafts[i].level not in WIDE_PROCESS_LEVELS:
        return None
    above = [
        w
        for d, w in zip(drafts, widths, strict=True)
        if w is not None and d.level in WIDTH_REFERENCE and d is not drafts[i]
    ]
    return WIDTH_LIMIT * float(np.median(above)) if above else None


def _ring(draft: Draft, superior: NDArray) -> Ring | None:
    """Find the canal twice: the second time looking from the body straight at it."""
    if not draft.bodied:
        return None
    whole = draft.crop.grid.to_world(np.argwhere(draft.crop.mask)).mean(axis=0)
    front = draft.frame.anterior if draft.frame is not None else draft.centre_mm - whole
    ring = find_ring(draft.field_mm, draft.crop, local_frame(draft.centre_mm, superior, front))
    if ring is None or draft.frame is not None:
        return ring
    again = find_ring(
        draft.field_mm, draft.crop, local_frame(draft.centre_mm, superior, draft.centre_mm - ring.centre_mm)
    )
    return again or ring


def _fill_rings(drafts: list[Draft], rings: list[Ring | None], anterior: NDArray) -> list[Ring | None]:
    """Where no closed canal was found, place it as far behind the body as the neighbours' canals are."""
    known = [i for i, r in enumerate(rings) if r is not None and not r.fallback]
    filled: list[Ring | None] = []
    for i, (draft, ring) in enumerate(zip(drafts, rings, strict=True)):
        if (ring is not None and not ring.fallback) or not draft.bodied or not known:
            filled.append(ring)
            continue
        weights = np.exp(-0.5 * ((np.array(known) - i) / 1.5) ** 2)
        weights /= weights.sum()
        distance = weights @ [np.linalg.norm(drafts[j].centre_mm - rings[j].centre_mm) for j in known]  # type: ignore[union-attr]
        depth = weights @ [rings[j].half_depth_mm for j in known]  # type: ignore[union-attr]
        filled.append(Ring(draft.centre_mm - distance * anterior[i], float(depth), True))
    return filled


def _shape_body(draft: Draft) -> Draft:
    if not draft.bodied or draft.ring is None or draft.frame is None:
        return draft
    wall = front_wall(draft.field_mm, draft.crop, draft.frame, draft.ring)
    body = body_mask(draft.crop, draft.frame, wall, draft.half_width_mm)
    if draft.level is Level.C2:
        body = without_dens(draft.crop, draft.frame, body)
    if not body.any():
        return replace(draft, body=None, why=draft.why | {"body": "no body found in front of the canal"})
    body_field = smooth_field(body, draft.crop.grid)
    centre = draft.crop.grid.to_world(np.argwhere(body)).mean(axis=0)
    frame = replace(draft.frame, origin_mm=centre)
    shaped = replace(draft, body=body, body_field_mm=body_field, centre_mm=centre, frame=frame)
    return _fit_endplates(_fit_endplates(shaped))


def _fit_endplates(draft: Draft) -> Draft:
    """Fit both endplates, then turn the frame to their mean normal."""
    frame = draft.frame
    cols = columns(draft.body_field_mm, draft.crop.grid, frame, draft.body)  # type: ignore[arg-type]
    upper = endplate(cols, frame, True, draft.level) if draft.level is not Level.C2 else None  # type: ignore[arg-type]
    lower = endplate(cols, frame, False, draft.level)  # type: ignore[arg-type]
    fitted = replace(draft, superior=upper, inferior=lower)
    up, collapsed = _superior(fitted, frame.superior)  # type: ignore[union-attr]
    flags = draft.flags - {Flag.ENDPLATE_COLLAPSED} | ({Flag.ENDPLATE_COLLAPSED} if collapsed else set())
    turned = local_frame(draft.centre_mm, up, frame.anterior)  # type: ignore[union-attr]
    return replace(fitted, frame=turned, flags=flags)


def _superior(draft: Draft, tangent: NDArray) -> tuple[NDArray, bool]:
    """Superior axis: mean of the two rim normals, or the spine's tangent where an endplate is collapsed or missing."""
    if draft.superior is None or draft.inferior is None:
        return tangent, False
    up, down = draft.superior.rim.normal, -draft.inferior.rim.normal
    if up @ down < np.cos(np.radians(COLLAPSED_ANGLE_DEG)):
        return tangent, True
    mean = up + down
    return mean / np.linalg.norm(mean), False


def _check_bodies(drafts: list[Draft]) -> list[Draft]:
    """Second look at what the border and the neighbours do to each body, now that the bodies are known."""
    checked = []
    for draft in drafts:
        flags, why, cut = set(draft.flags), dict(draft.why), draft.cut
        if draft.body is not None:
            cut = cut or border_contact_mm2(draft.crop, draft.body) > CONTACT_MM2
            share = _overlap(draft)
            if share > OVERLAP_FLAG:
                flags.add(Flag.NEIGHBOUR_OVERLAP)
            if share > OVERLAP_STOP:
                why["endplates"] = (
                    "the body is fused with its neighbour's label, so its endplates are a border between labels"
                )
            fraction = draft.body.sum() / draft.crop.mask.sum()
            whole = not touches_border(draft.crop)
            if whole and draft.level > Level.C2 and not BODY_FRACTION[0] <= fraction <= BODY_FRACTION[1]:
                flags.add(Flag.BODY_FRACTION_UNUSUAL)
        if draft.ring is not None and draft.ring.fallback:
            flags.add(Flag.CANAL_FALLBACK)
        if draft.level is Level.C1:
            flags.add(Flag.NO_BODY)
        if cut:
            flags.add(Flag.BODY_CUT)
        elif touches_border(draft.crop):
            flags.add(Flag.PROCESSES_CUT)
        checked.append(replace(draft, cut=cut, flags=frozenset(flags), why=why))
    return checked


def _overlap(draft: Draft) -> float:
    """Share of an endplate's area that touches another vertebra's label."""
    from scipy.ndimage import binary_dilation

    assert draft.body is not None and draft.frame is not None
    touching = binary_dilation(draft.body) & draft.crop.others
    if not touching.any():
        return 0.0
    local = draft.frame.to_local(draft.crop.grid.to_world(np.argwhere(touching)))
    body = draft.frame.to_local(draft.crop.grid.to_world(np.argwhere(draft.body)))
    cell = 1.5 * float(draft.crop.grid.spacing_mm.max())
    sides = [local[local[:, 2] > 0], local[local[:, 2] <= 0]]
    area = len(np.unique(np.round(body[:, :2] / cell), axis=0))
    return max(len(np.unique(np.round(side[:, :2] / cell), axis=0)) for side in sides) / area


def _reasons(draft: Draft) -> dict[str, str]:
    """Why parts of a vertebra are missing."""
    why = dict(draft.why)
    all_of_it = ("body", "frame", "superior", "inferior", "canal", "centre")
    if draft.level is Level.C1:
        why |= dict.fromkeys(all_of_it, "C1 has no body")
    elif draft.cut:
        why |= dict.fromkeys(all_of_it, "the image border cuts the body")
    elif draft.body is None:
        why |= dict.fromkeys(all_of_it, why.get("body", "no canal found to tell the body from the arch"))
    else:
        why["canal"] = "the bony ring is not closed"
        if draft.superior is None:
            dens = draft.level is Level.C2
            why["superior"] = "C2 has a dens and no superior endplate" if dens else "endplate too small to fit"
        if draft.inferior is None:
            why["inferior"] = "endplate too small to fit"
    if touches_border(draft.crop):
        why["whole"] = "the image border cuts the vertebra"
    return why


def _visible_centre(draft: Draft, expected_mm3: float | None) -> NDArray | None:
    """Body centroid, also of a cut body of which at least 90 % of the expected volume is in view."""
    if draft.body is None:
        return None
    seen = draft.body.sum() * draft.crop.grid.voxel_volume_mm3
    if draft.cut and (expected_mm3 is None or seen < VISIBLE_BODY * expected_mm3):
        return None
    return draft.centre_mm


def _expected_volume(draft: Draft, drafts: list[Draft]) -> float | None:
    """Body volume to expect from the two nearest whole neighbours, mm3."""
    whole = [d for d in drafts if d.body is not None and not d.cut]
    near = sorted(whole, key=lambda d: abs(d.level.rank - draft.level.rank))[:2]
    return float(np.mean([d.body.sum() * d.crop.grid.voxel_volume_mm3 for d in near])) if near else None  # type: ignore[union-attr]


def _finish(draft: Draft, scan: Scan | None, drafts: list[Draft]) -> Vertebra:
    whole = draft.body is not None and not draft.cut
    canal: Canal | None = None
    if whole and draft.ring is not None and not draft.ring.fallback and draft.frame is not None:
        canal = measure_canal(draft.field_mm, draft.crop, draft.frame, draft.ring)
    return Vertebra(
        level=draft.level,
        label=draft.label,
        grid=draft.crop.grid,
        mask=draft.crop.mask,
        volume_mm3=draft.crop.volume_mm3,
        body=draft.body if whole else None,
        body_field_mm=draft.body_field_mm if whole else None,
        centre_mm=_visible_centre(draft, _expected_volume(draft, drafts)),
        frame=draft.frame if whole else None,
        canal=canal,
        superior=draft.superior if whole else None,
        inferior=draft.inferior if whole else None,
        mesh=surface(draft.crop.mask, draft.crop.grid),
        hu=None if scan is None else hu_on(draft.crop.grid, scan),
        flags=draft.flags,
        why=_reasons(draft),
    )


def _numbering_notes(levels: list[Level], assumed: bool) -> list[str]:
    notes = []
    for upper, lower in zip(levels, levels[1:], strict=False):
        gap = missing_between(upper, lower)
        if gap:
            notes.append(f"not in the mask between {upper} and {lower}: {' '.join(str(level) for level in gap)}")
    if assumed:
        notes.append("T1 is out of view: the numbering assumes twelve thoracic vertebrae")
    return notes
