"""True numbers of a patient, from the functions that define its surfaces, never from voxels.

Heights, tilts, concavity, discs and slips are solved on the endplate functions; volumes and centroids are quadratures
of the depth functions on a lattice of the vertebra's own (within about 0.2 %). The definitions are those of the
measurements, the code is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import VERSE, Level
from verse_morph.phantom.align import slip_of
from verse_morph.phantom.body import BodyPart
from verse_morph.phantom.case import Truth
from verse_morph.phantom.implicit import CLEFT_MM, Bone, Lattice, Step
from verse_morph.phantom.parameters import Pathology, SpineParameters, VertebraParameters
from verse_morph.phantom.pose import rim_tilts
from verse_morph.phantom.primitives import Placement, corners
from verse_morph.phantom.skeleton import between, sacral_shape, vertebra_bones
from verse_morph.phantom.vertebra import canal_part
from verse_morph.space import FloatArray, Grid

SHARES = {"anterior": 0.1, "middle": 0.5, "posterior": 0.9}
# Rim planes that open wider than this say nothing about the body's axis: the spine's tangent does.
COLLAPSED_DEG = 25.0
SECTION_INSET_MM = 2.0
QUADRATURE_MM = 0.8
Surface = Callable[[NDArray, NDArray], NDArray]


def truth_of(parameters: SpineParameters, grid: Grid | None = None) -> Truth:
    """Every true number of a patient; with a grid, of what lies in it.

    Parameters
    ----------
    parameters : SpineParameters
    grid : Grid, optional
        Rows are given for vertebrae at least partly in it.
    """
    import pandas as pd

    rows = vertebra_rows(parameters, grid)
    seen = [row["level"] for row in rows]
    return Truth(
        pd.DataFrame(rows),
        pd.DataFrame(disc_rows(parameters, seen)),
        pd.DataFrame(curve_rows(parameters, {row["level"] for row in rows if row["body_in_view"] > 0.999})),
        scan_facts(parameters),
    )


# --- the body ---------------------------------------------------------------------------------------------------------


def body_of(shape: VertebraParameters, pathology: Pathology) -> BodyPart:
    """A vertebra's body with its Schmorl nodes."""
    return BodyPart(shape, tuple(node for node in pathology.schmorl_nodes if node.level == shape.level))


def meet(surface: Surface, starts: FloatArray, axis: FloatArray) -> FloatArray:
    """Distance along ``axis`` from points (N, 3) to a surface z = f(x, y), by fixed-point iteration."""
    t = (surface(starts[:, 0], starts[:, 1]) - starts[:, 2]) / axis[2]
    for _ in range(40):
        at = starts + t[:, None] * axis
        more = (surface(at[:, 0], at[:, 1]) - at[:, 2]) / axis[2]
        t = t + more
        if np.abs(more).max() < 1e-7:
            break
    return t


def superior_axis(shape: VertebraParameters, tangent: FloatArray) -> FloatArray:
    """Superior axis in own coordinates: z, the mean of both rim planes' normals, or the spine's tangent where they open
    too wide.
    """
    gx, gy = BodyPart(shape).slopes
    opening = 2 * np.degrees(np.arctan(np.hypot(gx, gy) / 2))
    return tangent if opening > COLLAPSED_DEG else np.array([0.0, 0.0, 1.0])


def heights(body: BodyPart, axis: FloatArray) -> dict[str, float]:
    """Heights at 10, 50 and 90 % of the depth and at 30 % of the width to both sides, mm."""
    width, depth = body.shape.width_middle, body.shape.depth_middle
    out = {}
    for name, share in SHARES.items():
        xs, ys = np.linspace(-0.1, 0.1, 21) * width, depth * (0.5 - share) + np.linspace(-1, 1, 11)
        out[name] = _height(body, axis, xs, ys)
    for name, x in (("left", -0.3 * width), ("right", 0.3 * width)):
        out[name] = _height(body, axis, x + np.linspace(-1, 1, 11), np.linspace(-1, 1, 11))
    return out


def _height(body: BodyPart, axis: FloatArray, xs: NDArray, ys: NDArray) -> float:
    x, y = np.meshgrid(xs, ys)
    starts = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    return float(np.median(meet(body.top, starts, axis) - meet(body.bottom, starts, axis)))


def concavity(body: BodyPart, superior: bool) -> float:
    """Largest distance of an endplate below its rim plane, mm."""
    s = body.shape
    x, y = np.meshgrid(np.linspace(-0.4, 0.4, 161) * s.width_middle, np.linspace(-0.45, 0.45, 161) * s.depth_middle)
    gx, gy = body.slopes
    plane = (s.rim_height + gx * x + gy * y) / 2
    below = plane - body.top(x, y) if superior else body.bottom(x, y) + plane
    return float(below.max() / np.sqrt(1 + (gx * gx + gy * gy) / 4))


def section_under_rim(body: BodyPart, superior: bool) -> tuple[float, float]:
    """Width at mid-depth and depth at mid-width of the section parallel to a rim plane and 2 mm inside it, mm."""
    gx, gy = body.slopes
    up = np.array([-gx / 2, -gy / 2, 1.0]) if superior else np.array([-gx / 2, -gy / 2, -1.0])
    normal = up / np.linalg.norm(up)
    centre = np.array([0.0, 0.0, (1 if superior else -1) * body.shape.rim_height / 2]) - SECTION_INSET_MM * normal
    right = np.array([1.0, 0.0, 0.0]) - normal[0] * normal
    front = np.array([0.0, 1.0, 0.0]) - normal[1] * normal
    low, high = _run(body, centre, front)
    middle = centre + 0.5 * (low + high) * front / np.linalg.norm(front)
    left, far = _run(body, middle, right)
    return far - left, high - low


def _run(body: BodyPart, start: FloatArray, direction: FloatArray) -> tuple[float, float]:
    """Where a line through a point first enters and last leaves the body, mm along it."""
    along = np.arange(-45.0, 45.0, 0.02)
    x, y, z = (start[:, None] + (direction / np.linalg.norm(direction))[:, None] * along).astype(np.float32)
    inside = np.flatnonzero(body.depth(x, y, z) > 0)
    return float(along[inside[0]]), float(along[inside[-1]])


def moments(
    bone: Bone, grid: Grid | None, others: Sequence[Bone] = (), cleft_mm: float = CLEFT_MM
) -> tuple[float, FloatArray, float]:
    """Volume (mm3), centroid (own coordinates) and share inside a grid's box, by quadrature of the depth function.

    What lies deeper in one of the other bones belongs to that one, and a cleft between them to neither.
    """
    low, high = bone.bounds_mm()
    step = QUADRATURE_MM
    counts = np.ceil((high - low) / step).astype(int) + 5
    own = Lattice((int(counts[0]), int(counts[1]), int(counts[2])), low - 2 * step, np.eye(3) * step)
    depth = bone.depth(own, 2 * step)
    share = np.clip(depth / np.float32(step) + np.float32(0.5), 0, 1)
    for other in others:
        seen = Placement(
            other.placement.rotation.T @ bone.placement.rotation, other.placement.to_own(bone.placement.offset_mm)
        )
        moved = seen.to_own(corners(other.bounds_mm()))
        box = own.box(np.stack([moved.min(axis=0), moved.max(axis=0)]), 2.0)
        if box is not None:
            near = Lattice(own.sub(box).shape, seen.to_world(own.sub(box).first), own.steps @ seen.rotation.T)
            # Where two depths cross their difference changes at about twice the step.
            lead = (depth[box] - other.depth(near, 2.0) - np.float32(cleft_mm)) / np.float32(2 * step)
            np.minimum(share[box], np.clip(lead + np.float32(0.5), 0, 1), out=share[box])
    total = float(share.sum(dtype=np.float64))
    axes = [share.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64) for axis in range(3)]
    centre = np.array([(line * np.arange(line.size)).sum() / total for line in axes]) * step + own.first
    inside = 1.0 if grid is None else _share_inside(own, share, bone.placement, grid)
    return total * step**3, centre, inside


def _share_inside(own: Lattice, share: NDArray, placement: Placement, grid: Grid) -> float:
    """Share of a quadrature's weight that lies within the voxels of a grid."""
    last = own.first + (np.array(own.shape) - 1) @ own.steps
    ends = grid.to_index(placement.to_world(corners(np.stack([own.first, last]))))
    if (ends >= -0.5).all() and (ends <= np.array(grid.shape) - 0.5).all():
        return 1.0
    inverse = np.linalg.inv(grid.affine[:3, :3])
    first = grid.to_index(placement.to_world(own.first))
    at = Lattice(own.shape, first, own.steps @ placement.rotation.T @ inverse.T)
    seen = np.ones(own.shape, dtype=bool)
    for index, count in zip(at.points(tuple(slice(0, n) for n in own.shape)), grid.shape, strict=True):
        seen &= (index >= -0.5) & (index <= count - 0.5)
    return float(share[seen].sum(dtype=np.float64) / share.sum(dtype=np.float64))


def canal_size(bone: Bone, shape: VertebraParameters) -> dict[str, float]:
    """Width, midline depth (mm) and area (mm2) of the opening at the height of the pedicles, perpendicular to z."""
    step = 0.2
    part = canal_part(shape)
    low, high = part.bounds_mm()[:, :2] + np.array([[-2.0, -2.0], [2.0, 2.0]])
    count = np.ceil((high - low) / step).astype(int) + 1
    lattice = Lattice((int(count[0]), int(count[1]), 1), np.array([low[0], low[1], shape.pedicle_up]), np.eye(3) * step)
    bony = bone.depth(lattice)[:, :, 0]
    channel = part.depth(*lattice.points((slice(0, count[0]), slice(0, count[1]), slice(0, 1))))[:, :, 0]
    free = np.where(channel > -0.6, np.clip(0.5 - bony / step, 0, 1), 0)
    middle = round(-low[0] / step)
    return {
        "canal_width_mm": float(free.sum(axis=0).max() * step),
        "canal_depth_mm": float(free[middle].sum() * step),
        "canal_area_mm2": float(free.sum() * step * step),
    }


# --- vertebrae --------------------------------------------------------------------------------------------------------


def vertebra_rows(parameters: SpineParameters, grid: Grid | None) -> list[dict[str, Any]]:
    """One row per vertebra that lies at least partly in the grid, head to foot."""
    bones = vertebra_bones(parameters)
    rows = []
    for index, shape in enumerate(parameters.vertebrae):
        bone = bones[Level(shape.level)]
        if grid is not None and _outside(bone, grid):
            continue
        near = list(bones.values())[max(index - 1, 0) : index + 2]
        volume, _, in_view = moments(bone, grid, [other for other in near if other is not bone])
        if in_view > 0:
            rows.append(_row(parameters, index, bone, volume, in_view, grid))
    return rows


def _outside(bone: Bone, grid: Grid) -> bool:
    return Lattice.of(grid).box(bone.world_bounds_mm(), 1.0) is None


def _row(
    parameters: SpineParameters, index: int, bone: Bone, volume: float, in_view: float, grid: Grid | None
) -> dict[str, Any]:
    shape = parameters.vertebrae[index]
    level, pathology = Level(shape.level), parameters.options.pathology
    row: dict[str, Any] = {
        "level": shape.level,
        "label": VERSE.value_of(level),
        "labelled": level not in parameters.fused_levels,
    }
    body = body_of(shape, pathology)
    body_in_view = in_view
    if level is not Level.C1:
        size, centre, body_in_view = moments(Bone(0, shape.placement, (Step(body, 0.0),)), grid)
        row |= dict(
            zip(("body_x_mm", "body_y_mm", "body_z_mm"), map(float, shape.placement.to_world(centre)), strict=True)
        )
        row["body_volume_cm3"] = size / 1000
        row |= _body_values(parameters, index, body)
        row |= canal_size(bone, shape)
    row["vertebra_volume_cm3"] = volume / 1000
    row |= points_of(shape)
    row |= {"in_view": in_view, "body_in_view": body_in_view, "flags": _flags(in_view, body_in_view)}
    return row


def _flags(in_view: float, body_in_view: float) -> str:
    if body_in_view < 0.998:
        return "body_cut"
    return "processes_cut" if in_view < 0.998 else ""


def tangent_at(parameters: SpineParameters, index: int) -> FloatArray:
    """Direction of the line of bodies at a vertebra, upwards, in its own coordinates."""
    centres = [np.array(v.centre_mm) for v in parameters.vertebrae]
    up = centres[max(index - 1, 0)] - centres[min(index + 1, len(centres) - 1)]
    own = np.array(parameters.vertebrae[index].rotation).T @ up
    return np.asarray(own / np.linalg.norm(own), dtype=np.float64)


def _body_values(parameters: SpineParameters, index: int, body: BodyPart) -> dict[str, Any]:
    shape = body.shape
    axis = superior_axis(shape, tangent_at(parameters, index))
    now = heights(body, axis)
    out: dict[str, Any] = {f"height_{name}_mm": value for name, value in now.items()}
    out |= {"body_width_middle_mm": shape.width_middle, "body_depth_middle_mm": shape.depth_middle}
    for side in ("superior", "inferior"):
        width, depth = section_under_rim(body, side == "superior")
        out |= {f"endplate_{side}_width_mm": width, f"endplate_{side}_depth_mm": depth}
        out[f"endplate_{side}_concavity_mm"] = concavity(body, side == "superior")
    tilt = rim_tilts(shape)
    out |= {f"endplate_{name.split('_')[0]}_tilt_{name.split('_')[1]}_deg": value for name, value in tilt.items()}
    for name, column in (("right", 0), ("anterior", 1)):
        out |= {f"frame_{name}_{a}": float(v) for a, v in zip("xyz", np.array(shape.rotation)[:, column], strict=True)}
    up = np.array(shape.rotation) @ axis
    out |= {f"frame_superior_{a}": float(v) for a, v in zip("xyz", up, strict=True)}
    return out | _losses(parameters, shape, now)


def _losses(parameters: SpineParameters, shape: VertebraParameters, now: Mapping[str, float]) -> dict[str, Any]:
    """Heights before the fracture and what was lost, with grade (Genant 1993: 20, 25, 40 %) and type."""
    old = parameters.before.get(shape.level)
    before = now if old is None else heights(BodyPart(old), np.array([0.0, 0.0, 1.0]))
    loss = {name: 100 * (1 - now[name] / before[name]) for name in SHARES}
    out: dict[str, Any] = {f"height_before_{name}_mm": before[name] for name in SHARES}
    out |= {f"height_loss_{name}_pct": loss[name] for name in SHARES}
    most = max(loss.values())
    grade = 0 if most < 20 else 1 if most < 25 else 2 if most <= 40 else 3
    kind = ""
    if grade:
        kind = (
            "crush" if loss["posterior"] >= 20 else "biconcave" if loss["middle"] - loss["anterior"] >= 5 else "wedge"
        )
    return out | {"genant_grade": grade, "genant_type": kind}


def points_of(shape: VertebraParameters) -> dict[str, float]:
    """World position of the body point (where VerSe puts its centroid) and of both pedicle points, mm."""
    places = {
        "point": np.array(shape.body_point),
        "pedicle_left": np.array([-shape.pedicle_separation / 2, -shape.pedicle_back, shape.pedicle_up]),
        "pedicle_right": np.array([shape.pedicle_separation / 2, -shape.pedicle_back, shape.pedicle_up]),
    }
    out: dict[str, float] = {}
    for name, place in places.items():
        world = shape.placement.to_world(place)
        out |= {f"{name}_{a}_mm": float(v) for a, v in zip("xyz", world, strict=True)}
    return out


# --- discs and curves -------------------------------------------------------------------------------------------------


def disc_rows(parameters: SpineParameters, seen: Sequence[str]) -> list[dict[str, Any]]:
    """One row per disc below C2 whose upper vertebra is in view."""
    chain = [*parameters.vertebrae, sacral_shape(parameters)]
    names = [v.level for v in parameters.vertebrae] + ["S1"]
    pathology = parameters.options.pathology
    rows = []
    for i in range(1, len(chain) - 1):
        if names[i] in seen:
            upper, lower = body_of(chain[i], pathology), body_of(chain[i + 1], pathology)
            if names[i + 1] == "S1":
                lower = BodyPart(chain[i + 1])
            rows.append({"upper_level": names[i], "lower_level": names[i + 1], **disc_values(upper, lower)})
    return rows


def disc_values(upper: BodyPart, lower: BodyPart) -> dict[str, Any]:
    """Gap between facing endplates along the mid-disc normal at 10, 50 and 90 % of the common depth, slip, and wedge
    angles.
    """
    place = between(upper.shape, lower.shape)
    fronts = min(upper.shape.depth_inferior, lower.shape.depth_superior) / 2
    out: dict[str, Any] = {}
    for name, share in SHARES.items():
        x, y = np.meshgrid(
            np.linspace(-0.1, 0.1, 11) * upper.shape.width_middle, 2 * fronts * (0.5 - share) + np.linspace(-1, 1, 5)
        )
        starts = place.to_world(np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1))
        normal = place.rotation[:, 2]
        above = meet(upper.bottom, *_own(upper.shape.placement, starts, normal))
        below = meet(lower.top, *_own(lower.shape.placement, starts, normal))
        out[f"height_{name}_mm"] = float(np.median(above - below))
    slip = slip_of(upper.shape, lower.shape)
    percent = 100 * slip / lower.shape.depth_superior
    tilt_above, tilt_below = rim_tilts(upper.shape), rim_tilts(lower.shape)
    for plane in ("sagittal", "coronal"):
        out[f"wedge_{plane}_deg"] = tilt_above[f"inferior_{plane}"] - tilt_below[f"superior_{plane}"]
    return out | {"slip_mm": slip, "slip_pct": percent, "meyerding": meyerding(slip, percent)}


def _own(place: Placement, points: FloatArray, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
    return place.to_own(points), place.rotation.T @ direction


def meyerding(slip_mm: float, percent: float) -> int:
    """Grade of a forward slip: 0 below the greater of 3 mm and 5 %, then one grade per quarter, 5 beyond the whole."""
    if slip_mm < 3 or percent < 5:
        return 0
    return int(min(np.ceil(percent / 25), 5))


def curve_rows(parameters: SpineParameters, seen: set[str]) -> list[dict[str, Any]]:
    """Cobb angles between rim planes, + = lordotic; the coronal curve is the largest between vertebrae at least two
    levels apart.
    """
    tilt = {v.level: rim_tilts(v) for v in parameters.vertebrae}
    sacral = rim_tilts(sacral_shape(parameters))
    thoracic = max(level for level in parameters.levels if level.region == "thoracic")
    lumbar = parameters.levels[-1]
    rows = []
    for name, upper, lower, plate in (
        ("lordosis_C2_C7", "C2", "C7", "inferior"),
        ("kyphosis_T4_T12", "T4", str(thoracic), "superior"),
        ("kyphosis_T5_T12", "T5", str(thoracic), "superior"),
        ("lordosis_L1_L5", "L1", str(lumbar), "superior"),
    ):
        angle = tilt[upper][f"{plate}_sagittal"] - tilt[lower]["inferior_sagittal"]
        flags = "" if name.endswith(f"_{lower}") else "last_level_substituted"
        rows.append(_curve(name, upper, lower, angle, "sagittal", flags, {upper, lower} <= seen))
    angle = tilt["L1"]["superior_sagittal"] - sacral["superior_sagittal"]
    rows.append(_curve("lordosis_L1_S1", "L1", "S1", angle, "sagittal", "", {"L1", str(lumbar)} <= seen))
    names = [v.level for v in parameters.vertebrae if v.level not in ("C1", "C2") and (not seen or v.level in seen)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 2 :]]
    if pairs:
        best = max(pairs, key=lambda p: abs(tilt[p[0]]["superior_coronal"] - tilt[p[1]]["inferior_coronal"]))
        angle = tilt[best[0]]["superior_coronal"] - tilt[best[1]]["inferior_coronal"]
        rows.append(_curve("coronal_curve", *best, angle, "coronal", "", True))
    return rows


def _curve(name: str, upper: str, lower: str, angle: float, plane: str, flags: str, in_view: bool) -> dict[str, Any]:
    return {
        "name": name,
        "upper_level": upper,
        "lower_level": lower,
        "angle_deg": float(angle),
        "plane": plane,
        "flags": flags,
        "in_view": in_view,
    }


def scan_facts(parameters: SpineParameters) -> dict[str, Any]:
    """What holds for the scan as a whole: the patient, counts, variants, ribs."""
    variants = parameters.options.variants
    stumps = sorted(
        (rib.level, rib.side, rib.length_mm) for rib in parameters.ribs if rib.number and rib.length_mm < 38
    )
    return {
        "sex": parameters.sex,
        "age": parameters.age,
        "height_cm": parameters.height_cm,
        "thoracic": variants.thoracic,
        "lumbar_total": variants.lumbar,
        "lumbar_labelled": variants.lumbar - len(parameters.fused_levels),
        "transitional_unlabelled": len(parameters.fused_levels),
        "castellvi": variants.castellvi,
        "castellvi_side": variants.castellvi_side if variants.castellvi in ("2a", "3a", "4") else "",
        "cervical_ribs": sorted(variants.cervical_ribs),
        "stump_ribs": [list(stump) for stump in stumps],
        "rib_lengths_mm": {f"{rib.level}_{rib.side}": rib.length_mm for rib in parameters.ribs},
        "half_vertebra": variants.half_vertebra or "",
        "fractures": [[f.level, f.kind, f.loss_pct] for f in parameters.options.pathology.fractures],
        "laminectomy": list(parameters.options.pathology.laminectomy),
    }
