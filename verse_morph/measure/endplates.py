"""Tilt, concavity and nodes of the endplates, their corners, and the angle between them.

Tilts are relative to the world's axial plane. A sagittal tilt is positive when the plate's front edge is higher, a
coronal one when its right edge is: the upper tilt of an upper vertebra minus the lower tilt of a lower one is then
the signed angle between them, positive for lordosis and for a curve convex to the patient's right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.measure.body import endplate_extents, mid_section, per_vertebra, require_endplate, require_frame
from verse_morph.measure.measurement import measurement
from verse_morph.space import FloatArray
from verse_morph.spine import Vertebra

COBB = "Cobb 1948; rim plane by Tukey's biweight"
CONCAVITY = "Sun et al. (endplate concavity); reference plane is the rim plane"
NODE = "Schmorl's node as a local pit over 3 mm; limits of area defined in this dictionary"
NEIGHBOURHOOD_MM = 1.5
# The deepest place is the centroid of what lies below this share of the largest depth; how deep a plate must be for it.
DEEPEST_SHARE, FLAT_MM = 0.7, 0.7
NODE_MM, NODE_AREA_MM2, NODE_SHARE = 3.0, 10.0, 0.15
# How far a corner may stand out from the waist.
LIP_MM, LIP_SHARE = 2.5, 0.08


def _tilt(vertebra: Vertebra, upper: bool, axis: int) -> float:
    """Angle between the rim plane and the world's axial plane, in the plane of one world axis and the superior axis,
    degrees.
    """
    normal = require_endplate(vertebra, upper).rim.normal * (1 if upper else -1)
    return float(np.degrees(np.arctan2(-normal[axis], normal[2])))


@measurement(unit="deg", length_power=0, frame="world", source=COBB)
def endplate_superior_tilt_sagittal(vertebra: Vertebra) -> float:
    """Sagittal tilt of the upper rim plane against the world's axial plane, positive when its front edge is higher."""
    return _tilt(vertebra, True, 1)


@measurement(unit="deg", length_power=0, frame="world", mirror="flip", source=COBB)
def endplate_superior_tilt_coronal(vertebra: Vertebra) -> float:
    """Coronal tilt of the upper rim plane against the world's axial plane, positive when its right edge is higher."""
    return _tilt(vertebra, True, 0)


@measurement(unit="deg", length_power=0, frame="world", source=COBB)
def endplate_inferior_tilt_sagittal(vertebra: Vertebra) -> float:
    """Sagittal tilt of the lower rim plane against the world's axial plane, positive when its front edge is higher."""
    return _tilt(vertebra, False, 1)


@measurement(unit="deg", length_power=0, frame="world", mirror="flip", source=COBB)
def endplate_inferior_tilt_coronal(vertebra: Vertebra) -> float:
    """Coronal tilt of the lower rim plane against the world's axial plane, positive when its right edge is higher."""
    return _tilt(vertebra, False, 0)


@dataclass(frozen=True)
class Deepest:
    """The deepest place of an endplate.

    Parameters
    ----------
    depth_mm : float
        Largest local mean distance below the rim plane.
    x_mm, y_mm : float
        Where it is in the vertebra's frame: centroid of what lies deeper than
        70 % of that, weighted by how much deeper.
    """

    depth_mm: float
    x_mm: float
    y_mm: float


@per_vertebra
def deepest(vertebra: Vertebra, upper: bool) -> Deepest:
    """Largest local mean distance of the endplate surface below its rim plane, inside the rim, and its place.

    Raises
    ------
    NotMeasurable
        Without that endplate.
    """
    from scipy.spatial import cKDTree

    plate = require_endplate(vertebra, upper)
    # The outer quarter is the rim itself; where pedicles meet the body its columns end on them.
    points = plate.points_mm[plate.edge_mm > 0.25 * plate.edge_mm.max()]
    below = (plate.rim.point_mm - points) @ plate.rim.normal
    near = cKDTree(points).query_ball_point(points, NEIGHBOURHOOD_MM)
    local = np.array([below[index].mean() for index in near])
    deep = np.maximum(local - DEEPEST_SHARE * local.max(), 0.0) if local.max() > 0 else np.ones_like(local)
    x, y, _ = require_frame(vertebra).to_local(np.average(points, axis=0, weights=deep))
    return Deepest(float(local.max()), float(x), float(y))


@measurement(unit="mm", length_power=1, source=CONCAVITY)
def endplate_superior_concavity(vertebra: Vertebra) -> float:
    """Largest depth of the upper endplate below its rim plane, averaged over 1.5 mm around the place.

    Misleads at Schmorl nodes, whose depth it then gives, and is biased upwards by about the scatter of the outline
    where a plate is flat.
    """
    return deepest(vertebra, True).depth_mm


@measurement(unit="mm", length_power=1, source=CONCAVITY)
def endplate_inferior_concavity(vertebra: Vertebra) -> float:
    """Largest depth of the lower endplate inside its rim plane, averaged over 1.5 mm around the place.

    Misleads at Schmorl nodes, whose depth it then gives, and is biased upwards by about the scatter of the outline
    where a plate is flat.
    """
    return deepest(vertebra, False).depth_mm


def _deepest_shares(vertebra: Vertebra, upper: bool) -> tuple[float, float]:
    """Place of the deepest point, per cent: of the mid-height depth from the front, of the width to the right of the
    middle.
    """
    place, section = deepest(vertebra, upper), mid_section(vertebra)
    if place.depth_mm < FLAT_MM:
        raise NotMeasurable(f"{vertebra.level}: the endplate is flat, less than {FLAT_MM:g} mm deep")
    depth = 100 * (section.depth.high - place.y_mm) / section.depth.length
    return depth, 100 * (place.x_mm - section.width.middle) / section.width.length


@measurement(unit="pct", length_power=0, counts=False, source=CONCAVITY)
def endplate_superior_deepest_depth(vertebra: Vertebra) -> float:
    """Where the upper endplate is deepest, from the front of the body, as a share of its mid-height depth.

    Empty where the plate is less than 0.7 mm deep. Misleads in shallow plates, whose deepest place is ill defined.
    """
    return _deepest_shares(vertebra, True)[0]


@measurement(unit="pct", length_power=0, counts=False, mirror="flip", source=CONCAVITY)
def endplate_superior_deepest_width(vertebra: Vertebra) -> float:
    """Where the upper endplate is deepest, to the right of the body's middle, as a share of its mid-height width.

    Empty where the plate is less than 0.7 mm deep.
    """
    return _deepest_shares(vertebra, True)[1]


@measurement(unit="pct", length_power=0, counts=False, source=CONCAVITY)
def endplate_inferior_deepest_depth(vertebra: Vertebra) -> float:
    """Where the lower endplate is deepest, from the front of the body, as a share of its mid-height depth.

    Empty where the plate is less than 0.7 mm deep. Misleads in shallow plates, whose deepest place is ill defined.
    """
    return _deepest_shares(vertebra, False)[0]


@measurement(unit="pct", length_power=0, counts=False, mirror="flip", source=CONCAVITY)
def endplate_inferior_deepest_width(vertebra: Vertebra) -> float:
    """Where the lower endplate is deepest, to the right of the body's middle, as a share of its mid-height width.

    Empty where the plate is less than 0.7 mm deep.
    """
    return _deepest_shares(vertebra, False)[1]


# --- nodes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A candidate for a Schmorl node: its largest depth (mm) and its area (mm2) below the endplate's own curved
    surface.
    """

    depth_mm: float
    area_mm2: float


@per_vertebra
def nodes(vertebra: Vertebra, upper: bool) -> tuple[Node, ...]:
    """Pits of an endplate: connected places more than 3 mm below its own surface, of at least 10 mm2 and at most 15 %
    of its area.

    Parameters
    ----------
    vertebra : Vertebra
    upper : bool

    Raises
    ------
    NotMeasurable
        Without that endplate.

    Notes
    -----
    The endplate's own surface is a quadric fitted by Tukey's biweight, to which a small pit contributes nothing; wide
    concavities, as of a biconcave fracture, belong to it.
    """
    from scipy.ndimage import label

    from verse_morph.shape.endplates import tukey_plane

    plate, frame = require_endplate(vertebra, upper), require_frame(vertebra)
    x, y, z = frame.to_local(plate.points_mm).T
    scaled = (x - x.mean()) / np.ptp(x), (y - y.mean()) / np.ptp(y)
    design = np.column_stack([np.ones_like(x), *scaled, scaled[0] ** 2, scaled[0] * scaled[1], scaled[1] ** 2])
    pit = (design @ tukey_plane(design, z)[0] - z) * (1 if upper else -1)
    steps = np.diff(np.unique(x.round(4)))
    step = float(steps[steps > 0.1].min())
    at = np.round((np.column_stack([x, y]) - [x.min(), y.min()]) / step).astype(int)
    image = np.zeros(at.max(axis=0) + 1)
    image[tuple(at.T)] = pit
    found, count = label(image > NODE_MM)
    areas = [float((found == i).sum()) * step**2 for i in range(1, count + 1)]
    return tuple(
        Node(float(image[found == i].max()), area)
        for i, area in enumerate(areas, start=1)
        if NODE_AREA_MM2 <= area <= NODE_SHARE * len(x) * step**2
    )


@measurement(unit="count", length_power=None, counts=False, source=NODE)
def endplate_superior_schmorl_count(vertebra: Vertebra) -> float:
    """Number of candidates for Schmorl nodes in the upper endplate: pits over 3 mm below its own curved surface, of 10
    mm2 to 15 % of its area.

    Candidates, not findings: a rim defect or a gap in the outline looks alike.
    """
    return float(len(nodes(vertebra, True)))


@measurement(unit="count", length_power=None, counts=False, source=NODE)
def endplate_inferior_schmorl_count(vertebra: Vertebra) -> float:
    """Number of candidates for Schmorl nodes in the lower endplate: pits over 3 mm below its own curved surface, of 10
    mm2 to 15 % of its area.

    Candidates, not findings: a rim defect or a gap in the outline looks alike.
    """
    return float(len(nodes(vertebra, False)))


def _deepest_node(vertebra: Vertebra, upper: bool) -> float:
    found = nodes(vertebra, upper)
    if not found:
        raise NotMeasurable(f"{vertebra.level}: no candidate for a Schmorl node")
    return max(node.depth_mm for node in found)


@measurement(unit="mm", length_power=1, counts=False, source=NODE)
def endplate_superior_schmorl_depth(vertebra: Vertebra) -> float:
    """Depth of the deepest candidate for a Schmorl node in the upper endplate, below the endplate's own curved surface.

    Empty where there is none.
    """
    return _deepest_node(vertebra, True)


@measurement(unit="mm", length_power=1, counts=False, source=NODE)
def endplate_inferior_schmorl_depth(vertebra: Vertebra) -> float:
    """Depth of the deepest candidate for a Schmorl node in the lower endplate, below the endplate's own curved surface.

    Empty where there is none.
    """
    return _deepest_node(vertebra, False)


# --- the angle between both endplates, and their corners --------------------------------------------------------------


def _wedge(vertebra: Vertebra, axis: int) -> float:
    """Angle between both rim planes in the plane of one axis of the frame and its superior axis, degrees, + where the
    body is higher on the positive side.
    """
    axes = require_frame(vertebra).axes
    upper, lower = (axes @ require_endplate(vertebra, side).rim.normal * (1 if side else -1) for side in (True, False))
    return float(np.degrees(np.arctan2(-upper[axis], upper[2]) - np.arctan2(-lower[axis], lower[2])))


@measurement(unit="deg", length_power=0, source=COBB)
def body_wedge_sagittal(vertebra: Vertebra) -> float:
    """Sagittal angle between the body's two rim planes, positive (lordotic) where the body is higher in front."""
    return _wedge(vertebra, 1)


@measurement(unit="deg", length_power=0, mirror="flip", source=COBB)
def body_wedge_coronal(vertebra: Vertebra) -> float:
    """Coronal angle between the body's two rim planes, positive (convex to the right) where the right side is
    higher.
    """
    return _wedge(vertebra, 0)


def corners(vertebra: Vertebra) -> dict[str, FloatArray]:
    """Mid-sagittal corners of the body: where its rim planes meet its front and back, without osteophytes.

    Parameters
    ----------
    vertebra : Vertebra

    Returns
    -------
    dict of str to array (3,)
        World RAS mm of ``superior_anterior``, ``superior_posterior``, ``inferior_anterior``, ``inferior_posterior``.

    Raises
    ------
    NotMeasurable
        Without a body or both endplates.

    Notes
    -----
    A corner stands out from the waist by at most 2.5 mm or 8 % of the depth, whichever is more: what reaches further is
    taken for an osteophyte.
    """
    frame, section = require_frame(vertebra), mid_section(vertebra)
    reach = max(LIP_MM, LIP_SHARE * section.depth.length)
    out = {}
    for name, upper in (("superior", True), ("inferior", False)):
        plane = require_endplate(vertebra, upper).rim
        depth = endplate_extents(vertebra, upper)[1]
        origin, normal = frame.to_local(plane.point_mm), frame.axes @ plane.normal
        slope = float(np.hypot(1, normal[1] / normal[2]))
        for end, along, limit in (
            ("anterior", depth.high, section.depth.high + reach),
            ("posterior", depth.low, section.depth.low - reach),
        ):
            y = origin[1] + along / slope
            y = min(y, limit) if end == "anterior" else max(y, limit)
            out[f"{name}_{end}"] = frame.to_world(_on_plane(origin, normal, section.width.middle, y))
    return out


def _on_plane(point: NDArray, normal: NDArray, x: float, y: float) -> NDArray:
    """Point of a plane over (x, y)."""
    return np.array([x, y, point[2] - ((x - point[0]) * normal[0] + (y - point[1]) * normal[1]) / normal[2]])
