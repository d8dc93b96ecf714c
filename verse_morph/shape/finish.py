"""Last look at each vertebra: what the border and the neighbours do to it, and why a part is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.shape.canal import measure_canal
from verse_morph.shape.crop import hu_on
from verse_morph.shape.cut import CONTACT_MM2, border_contact_mm2, touches_border
from verse_morph.shape.draft import Draft
from verse_morph.shape.mesh import surface
from verse_morph.spine import Canal, Flag, Vertebra
from verse_morph.volume import Scan

BODY_FRACTION = (0.33, 0.76)
OVERLAP_FLAG, OVERLAP_STOP = 0.15, 0.5
VISIBLE_BODY = 0.9
# Beyond this many times the highest of the two bodies above and the two below, of which two at least must be known.
HIGHER, NEAR, FEWEST_NEAR = 1.25, 2, 2


def check_bodies(drafts: list[Draft]) -> list[Draft]:
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
            if (
                whole
                and draft.ring is not None
                and draft.level > Level.C2
                and not BODY_FRACTION[0] <= fraction <= BODY_FRACTION[1]
            ):
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

    if draft.body is None or draft.frame is None:
        return 0.0
    touching = binary_dilation(draft.body) & draft.crop.others
    if not touching.any():
        return 0.0
    local = draft.frame.to_local(draft.crop.grid.to_world(np.argwhere(touching)))
    body = draft.frame.to_local(draft.crop.grid.to_world(np.argwhere(draft.body)))
    cell = 1.5 * float(draft.crop.grid.spacing_mm.max())
    sides = [local[local[:, 2] > 0], local[local[:, 2] <= 0]]
    area = len(np.unique(np.round(body[:, :2] / cell), axis=0))
    return max(len(np.unique(np.round(side[:, :2] / cell), axis=0)) for side in sides) / area


def flag_higher(vertebrae: list[Vertebra]) -> list[Vertebra]:
    """The vertebrae, those much higher than the bodies near them flagged: heights change slowly along a spine."""
    heights = [_rim_distance(v) for v in vertebrae]
    out = []
    for i, (vertebra, own) in enumerate(zip(vertebrae, heights, strict=True)):
        beside = heights[max(i - NEAR, 0) : i] + heights[i + 1 : i + 1 + NEAR]
        known = [height for height in beside if height is not None]
        if own is not None and len(known) >= FEWEST_NEAR and own > HIGHER * max(known):
            vertebra = replace(vertebra, flags=vertebra.flags | {Flag.HIGHER_THAN_NEIGHBOURS})
        out.append(vertebra)
    return out


def _rim_distance(vertebra: Vertebra) -> float | None:
    """Distance of the rim planes along the vertebra's own axis, mm."""
    if vertebra.superior is None or vertebra.inferior is None or vertebra.frame is None:
        return None
    return float((vertebra.superior.rim.point_mm - vertebra.inferior.rim.point_mm) @ vertebra.frame.superior)


def _reasons(draft: Draft) -> dict[str, str]:
    """Why a part would be missing, for every part that can be."""
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
        dens = draft.level is Level.C2
        why["superior"] = "C2 has a dens and no superior endplate" if dens else "endplate too small to fit"
        why["inferior"] = "endplate too small to fit"
    if Flag.BODY_ONLY_MASK in draft.flags and not draft.cut:
        why |= {"whole": "the mask holds the body only", "canal": "the mask holds the body only"}
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


def finish(draft: Draft, scan: Scan | None, drafts: list[Draft]) -> Vertebra:
    """The finished vertebra: canal measured, surface made, every missing part with its reason.

    Parameters
    ----------
    draft : Draft
    scan : Scan or None
        CT on the mask's grid.
    drafts : list of Draft
        All vertebrae, to expect a cut body's volume from.
    """
    whole = draft.body is not None and not draft.cut
    canal: Canal | None = None
    if whole and draft.ring is not None and not draft.ring.fallback and draft.frame is not None:
        canal = measure_canal(draft.field_mm, draft.crop, draft.frame, draft.ring)
    why = _reasons(draft)
    parts = {"body": whole, "frame": whole, "superior": whole and draft.superior, "inferior": whole and draft.inferior}
    found = {name for name, part in parts.items() if part} | ({"canal"} if canal and canal.width_mm else set())
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
        why={part: reason for part, reason in why.items() if part not in found},
    )
