"""One round over the vertebrae: axes from the neighbours, then canal, body and endplates of each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.shape.curve import WORLD_ANTERIOR, smooth_anterior, tangents
from verse_morph.shape.cut import CONTACT_MM2, border_contact_mm2, touches_border
from verse_morph.shape.draft import Draft, Progress, each
from verse_morph.shape.endplates import columns, endplate
from verse_morph.shape.field import smooth_field
from verse_morph.shape.split import (
    Ring,
    body_mask,
    find_ring,
    front_wall,
    is_body_only,
    local_frame,
    without_dens,
)
from verse_morph.spine import Endplate, Flag

COLLAPSED_ANGLE_DEG = 25.0
# Half of the smallest cervical body (C3 of a small woman has about 3 cm3).
SMALLEST_BODY_MM3 = 1500.0
WIDE_PROCESS_LEVELS = frozenset({Level.L5, Level.L6})
WIDTH_REFERENCE = frozenset({Level.L2, Level.L3, Level.L4})
WIDTH_LIMIT = 0.6


def outline(drafts: list[Draft], report: Progress, stage: str) -> list[Draft]:
    """One round: axes from the neighbours, then canal, body and endplates of each vertebra."""
    shaping = np.array([d.bodied and not d.suspect for d in drafts])
    superior = tangents(np.array([d.centre_mm for d in drafts]), shaping)
    superior = np.array([_superior(d.superior, d.inferior, up)[0] for d, up in zip(drafts, superior, strict=True)])
    rings = each(lambda pair: _ring(*pair), list(zip(drafts, superior, strict=True)), report, stage + ": canal")
    own = [
        d.centre_mm - r.centre_mm if r is not None and not r.fallback and not d.suspect else None
        for d, r in zip(drafts, rings, strict=True)
    ]
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
    return each(_shape_body, turned, report, stage)


def settle(draft: Draft) -> Draft:
    """Decide on a suspect once its body is outlined: it is cut if the outline meets the border."""
    if not draft.suspect:
        return draft
    cut = draft.body is None or border_contact_mm2(draft.crop, draft.body) > CONTACT_MM2
    return replace(draft, cut=cut, suspect=False)


def _body_width(draft: Draft) -> float | None:
    """Width of the body as its first outline has it, mm."""
    if draft.body is None or draft.frame is None:
        return None
    across = draft.frame.to_local(draft.crop.grid.to_world(np.argwhere(draft.body)))[:, 0]
    return float(np.ptp(np.percentile(across, [0.5, 99.5])))


def _half_width(i: int, drafts: list[Draft], widths: list[float | None]) -> float | None:
    """The broad transverse processes of the last lumbar levels start at the body itself: L2 to L4 tell how wide a
    body can be.
    """
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
    # Where the label shows no direction at all, the world's front decides.
    forward = draft.centre_mm - whole + 0.01 * WORLD_ANTERIOR
    front = draft.frame.anterior if draft.frame is not None else forward
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
        there = [(drafts[j].centre_mm, r) for j in known if (r := rings[j]) is not None]
        distance = weights @ np.array([np.linalg.norm(centre - r.centre_mm) for centre, r in there])
        depth = weights @ np.array([r.half_depth_mm for _, r in there])
        filled.append(Ring(draft.centre_mm - distance * anterior[i], float(depth), True))
    return filled


def _shape_body(draft: Draft) -> Draft:
    """Outline one body in front of its canal and fit its endplates, twice, each time in the better frame."""
    frame = draft.frame
    if not draft.bodied or frame is None:
        return draft
    if draft.ring is not None:
        wall = front_wall(draft.field_mm, draft.crop, frame, draft.ring)
        body = body_mask(draft.crop, frame, wall, draft.half_width_mm)
    elif is_body_only(draft.crop, frame) and not touches_border(draft.crop):
        body = draft.crop.mask
        draft = replace(draft, flags=draft.flags | {Flag.BODY_ONLY_MASK})
    else:
        return draft
    if draft.level is Level.C2:
        body = without_dens(draft.crop, frame, body)
    volume_mm3 = float(body.sum()) * draft.crop.grid.voxel_volume_mm3
    if volume_mm3 < SMALLEST_BODY_MM3:
        reason = f"only {volume_mm3 / 1000:.1f} cm3 in front of the canal, too little for a vertebral body"
        return replace(draft, body=None, why=draft.why | {"body": reason})
    body_field = smooth_field(body, draft.crop.grid)
    centre = draft.crop.grid.to_world(np.argwhere(body)).mean(axis=0)
    frame, collapsed, upper, lower = replace(frame, origin_mm=centre), False, None, None
    along = frame
    for _ in range(2):
        cols = columns(body_field, draft.crop.grid, along, body)
        upper = endplate(cols, along, True, draft.level) if draft.level is not Level.C2 else None
        lower = endplate(cols, along, False, draft.level)
        up, collapsed = _superior(upper, lower, frame.superior)
        frame = local_frame(centre, up, frame.anterior)
        # The line of bodies ends at C2 and may lean by 20 degrees against its one endplate, whose corners oblique
        # columns would miss.
        one = draft.level is Level.C2 and lower is not None
        along = local_frame(centre, -lower.rim.normal, frame.anterior) if one and lower else frame
    flags = draft.flags - {Flag.ENDPLATE_COLLAPSED} | ({Flag.ENDPLATE_COLLAPSED} if collapsed else set())
    outlined = replace(draft, body=body, body_field_mm=body_field, centre_mm=centre, frame=frame)
    return replace(outlined, superior=upper, inferior=lower, flags=flags)


def _superior(upper: Endplate | None, lower: Endplate | None, tangent: NDArray) -> tuple[NDArray, bool]:
    """Superior axis: mean of the two rim normals, or the spine's tangent where an endplate is collapsed or missing."""
    if upper is None or lower is None:
        return tangent, False
    up, down = upper.rim.normal, -lower.rim.normal
    if up @ down < np.cos(np.radians(COLLAPSED_ANGLE_DEG)):
        return tangent, True
    mean = up + down
    return mean / np.linalg.norm(mean), False
