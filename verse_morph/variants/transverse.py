"""The transverse processes of the last lumbar-type vertebra: height, width, and distance to the bone below."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.space import FloatArray
from verse_morph.spine import Frame, Vertebra
from verse_morph.variants.contact import Contact, contact_of
from verse_morph.variants.last_lumbar import LastLumbar
from verse_morph.variants.neighbourhood import SACRUM, Neighbourhood, Surroundings
from verse_morph.variants.rules import Rules

# The process is measured from this far beside the body, in slices this thick, mm.
FREE_MM = 5.0
BESIDE_JOINT_MM = 1.5
SLICE_MM = 2.0
# What lies nearer to the midline than the body's edge plus this belongs to the facet joints.
BELOW_MM = 0.0
# Bone about the mask's own surface, see ribs.
PEEL_MM = 1.2
# A surface in the CT: half way between soft tissue and a thin cortex.
SURFACE_HU = 250.0
SMALLEST_BONE_MM3 = 800.0
# Areas from which a cleft or a bridge is no accident of noise.
JOINT_MM2, BRIDGE_MM2 = 130.0, 150.0
# Where there is no CT: surfaces of process and sacrum that touch over this area are one bone, for all that the mask
# tells.
TOUCH_MM2 = 200.0
SIDES = ("left", "right")


@dataclass(frozen=True)
class Process:
    """One transverse process.

    Parameters
    ----------
    side : str
    height_mm : float or None
        Largest craniocaudal extent along the frame's superior axis in a slice 5 mm or more beside the body
        and beside the joint processes.
    width_mm : float or None
        How far the tip reaches beyond the body's edge.
    gap_mm : float or None
        Smallest distance from the process (beyond 5 mm from the body's edge) to the bone below; the cleft's width at
        a joint; 0 at a bridge.
    contact : str
        ``free``, ``near``, ``articulation``, ``fusion`` or ``not_assessable``.
    evidence : Contact or None
        What the CT shows between process and wing.
    touching_mm2, close_mm2 : float or None
        Area over which process and the bone below touch, and over which they are as near as in an articulation.
    why_shape, why_gap, why_contact : str
        Why height and width, the gap, or the contact are missing.
    """

    side: str
    height_mm: float | None = None
    width_mm: float | None = None
    gap_mm: float | None = None
    contact: str = "not_assessable"
    evidence: Contact | None = None
    touching_mm2: float | None = None
    close_mm2: float | None = None
    why_shape: str = ""
    why_gap: str = ""
    why_contact: str = ""


def measure_processes(around: Surroundings, last: LastLumbar, rules: Rules) -> tuple[Process, Process]:
    """Left and right process of the last lumbar-type vertebra.

    Parameters
    ----------
    around : Surroundings
    last : LastLumbar
    rules : Rules

    Notes
    -----
    Of a vertebra below the last label there is no outline: its processes have a contact but no height, width or gap.
    """
    if last.unlabelled is None or last.frame is None or last.half_width_mm is None:
        why = last.why
        if last.level is not None and not why.startswith(str(last.level)):
            why = f"{why}: {last.level} may not be the last lumbar-type vertebra"
        nothing = Process("left", why_shape=why, why_gap=why, why_contact=why)
        return nothing, replace(nothing, side="right")
    centre = last.disc_mm if last.disc_mm is not None else last.frame.origin_mm
    near = around.box(centre - 80.0, centre + 80.0, finest_mm=0.6)
    soft = _soft_hu(around, last)
    left, right = (_process(near, around, last, side, soft, rules) for side in SIDES)
    return left, right


def _soft_hu(around: Surroundings, last: LastLumbar) -> float:
    """Half way between muscle and the spongy bone of the last labelled body: what is darker is no bone."""
    assert last.level is not None
    vertebra = around.spine[last.level]
    if vertebra.hu is None or vertebra.body_field_mm is None:
        return 100.0
    inner = vertebra.hu[vertebra.body_field_mm > 4.0]
    return float(np.clip(0.5 * (40.0 + np.median(inner)), 60.0, 130.0)) if inner.size else 100.0


def _process(
    near: Neighbourhood, around: Surroundings, last: LastLumbar, side: str, soft_hu: float, rules: Rules
) -> Process:
    assert last.frame is not None
    assert last.half_width_mm is not None
    assert last.level is not None
    out = Process(side)
    if last.unlabelled:
        why = "the vertebra is not labelled: no outline of its processes"
        out = replace(out, why_shape=why, why_gap=why)
    else:
        out = _with_shape(out, around, last)
    if near.hu is not None and last.disc_mm is not None:
        seen = contact_of(near, last.frame, last.disc_mm, last.half_width_mm, side, soft_hu)
        out = replace(out, evidence=seen)
    if not last.unlabelled:
        out = _with_gap(out, near, around, last, rules.articulation_mm)
    return _judged(out, last, rules)


# --- shape ------------------------------------------------------------------------------------------------------------


def _with_shape(process: Process, around: Surroundings, last: LastLumbar) -> Process:
    try:
        height, width = process_shape(around, last, process.side)
    except NotMeasurable as error:
        return replace(process, why_shape=str(error))
    return replace(process, height_mm=height, width_mm=width)


def process_shape(around: Surroundings, last: LastLumbar, side: str) -> tuple[float, float]:
    """Craniocaudal height of a transverse process, and how far it reaches beyond the body's edge, mm.

    Raises
    ------
    NotMeasurable
        The border of the image cuts the process, or the mask has none.
    """
    assert last.level is not None
    assert last.frame is not None
    assert last.half_width_mm is not None
    vertebra = around.spine[last.level]
    points = _surface(vertebra)
    local = last.frame.to_local(points)
    outwards = local[:, 0] * (1 if side == "right" else -1)
    start = process_start_mm(vertebra, last.frame, last.half_width_mm, side)
    free = outwards > start
    if not free.any():
        raise NotMeasurable(f"{vertebra.level}: the mask has no transverse process on the {side}")
    if _at_border(around, points[free]):
        raise NotMeasurable(f"{vertebra.level}: the image border cuts the {side} transverse process")
    tip = float(outwards.max())
    heights = []
    for x in np.arange(start, tip - SLICE_MM / 2, 1.0):
        here = local[np.abs(outwards - x - SLICE_MM / 2) <= SLICE_MM / 2, 2]
        if len(here):
            heights.append(float(np.ptp(here)))
    if not heights:
        raise NotMeasurable(f"{vertebra.level}: the {side} transverse process ends beside the body")
    return max(heights), tip - last.half_width_mm


def process_start_mm(vertebra: Vertebra, frame: Frame, half_width_mm: float, side: str) -> float:
    """Where the free part of a transverse process begins: 5 mm beside the body, and beside the joint process above.

    Bone beside and above the upper endplate can only be the superior articular process.
    """
    if vertebra.body is None:
        return half_width_mm + FREE_MM
    local = frame.to_local(vertebra.grid.to_world(np.argwhere(vertebra.mask)))
    top = frame.to_local(vertebra.grid.to_world(np.argwhere(vertebra.body)))[:, 2].max()
    above = local[local[:, 2] > top + 1.0, 0] * (1 if side == "right" else -1)
    joint = float(above.max()) + BESIDE_JOINT_MM if above.size else 0.0
    return max(half_width_mm + FREE_MM, joint)


def _surface(vertebra: Vertebra) -> FloatArray:
    """Points of a vertebra's surface: its mesh, or the corners of its voxels where the border of the image opens it."""
    if vertebra.mesh is not None:
        return vertebra.mesh.vertices_mm
    from scipy.ndimage import binary_erosion

    edge = np.argwhere(vertebra.mask & ~binary_erosion(vertebra.mask, border_value=1))
    corners = np.array(np.meshgrid(*[(-0.5, 0.5)] * 3)).reshape(3, -1).T
    return vertebra.grid.to_world((edge[:, None, :] + corners).reshape(-1, 3))


def _at_border(around: Surroundings, points: FloatArray) -> bool:
    index = around.grid.to_index(points)
    return bool((index < 0.51).any() or (index > np.array(around.grid.shape) - 1.51).any())


# --- distance to the bone below ---------------------------------------------------------------------------------------


def _with_gap(
    process: Process, near: Neighbourhood, around: Surroundings, last: LastLumbar, close_mm: float
) -> Process:
    assert last.frame is not None
    assert last.half_width_mm is not None
    assert last.level is not None
    sign = 1 if process.side == "right" else -1
    own = near.levels == last.level.rank + 1
    bone = _below(near, own)
    if bone is None:
        return replace(process, why_gap="neither a CT nor a sacrum shows the bone below")
    start = process_start_mm(around.spine[last.level], last.frame, last.half_width_mm, process.side)
    mine = _beside(near, own, last.frame, sign, start)
    other = _beside(near, bone, last.frame, sign, last.half_width_mm + BELOW_MM)
    if not len(mine) or not len(other):
        return replace(process, why_gap="no process or no bone below it in view on this side")
    if _at_border(around, mine):
        return replace(process, why_gap="the image border cuts the process")
    from scipy.spatial import cKDTree

    away, nearest = cKDTree(other).query(mine)
    # From surface to surface: half a voxel on both sides along the way.
    way = np.abs((mine - other[nearest]) @ (near.grid.affine[:3, :3] / near.grid.spacing_mm))
    step = (way * near.grid.spacing_mm).sum(axis=1) / np.maximum(away, 1e-6)
    free = np.maximum(away - step, 0.0)
    voxel = float(np.sort(near.grid.spacing_mm)[:2].prod())
    touching = float((free <= max(0.5, 0.4 * near.grid.spacing_mm.max())).sum()) * voxel
    close = float((free <= close_mm).sum()) * voxel
    return replace(process, gap_mm=float(free.min()), touching_mm2=touching, close_mm2=close)


def _below(near: Neighbourhood, own: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The bone outside the labelled vertebrae: the mask's sacrum, or large pieces in the CT."""
    if (near.named == SACRUM).any():
        return near.named == SACRUM
    if near.hu is None:
        return None
    import cc3d
    import edt

    away = edt.edt(near.levels == 0, anisotropy=tuple(near.grid.spacing_mm), black_border=False)
    bone = (near.hu > SURFACE_HU) & (away > PEEL_MM)
    pieces = cc3d.connected_components(bone, connectivity=26)
    sizes = np.bincount(pieces.ravel()) * near.grid.voxel_volume_mm3
    sizes[0] = 0
    return (sizes >= SMALLEST_BONE_MM3)[pieces]


def _beside(near: Neighbourhood, mask: NDArray[np.bool_], frame: Frame, sign: int, from_mm: float) -> FloatArray:
    """Surface voxels of a mask farther to one side than ``from_mm``, world RAS mm."""
    from scipy.ndimage import binary_erosion

    edge = np.argwhere(mask & ~binary_erosion(mask))
    points = near.grid.to_world(edge)
    return points[frame.to_local(points)[:, 0] * sign > from_mm]


# --- judgement --------------------------------------------------------------------------------------------------------


def _judged(process: Process, last: LastLumbar, rules: Rules) -> Process:
    seen = process.evidence
    if seen is not None:
        if seen.bridge_mm2 >= BRIDGE_MM2 and seen.bridge_mm2 > seen.joint_mm2:
            return replace(process, contact="fusion", gap_mm=0.0, why_gap="")
        if seen.joint_mm2 >= JOINT_MM2:
            return replace(process, contact="articulation", gap_mm=seen.cleft_mm, why_gap="")
        if process.gap_mm is not None:
            near = process.gap_mm < rules.near_mm
            return replace(process, contact="near" if near else "free")
        return replace(process, contact="free")
    if process.gap_mm is None or process.touching_mm2 is None or process.close_mm2 is None:
        return replace(process, why_contact=process.why_gap or "the image does not show the bone below")
    if process.touching_mm2 >= TOUCH_MM2:
        return replace(process, contact="fusion")
    if process.close_mm2 >= JOINT_MM2:
        return replace(process, contact="articulation")
    return replace(process, contact="near" if process.gap_mm < rules.near_mm else "free")
