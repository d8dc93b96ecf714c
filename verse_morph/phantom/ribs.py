"""Ribs: a head beside the body, a neck, a tubercle before the transverse process, and a shaft round the thorax."""

from __future__ import annotations

import itertools

import numpy as np

from verse_morph.phantom.case import CERVICAL_RIB, rib_label
from verse_morph.phantom.implicit import Bar, Blob, Bone, Step
from verse_morph.phantom.parameters import RibParameters, SpineParameters, VertebraParameters
from verse_morph.phantom.primitives import Placement
from verse_morph.phantom.vertebra import vector
from verse_morph.space import FloatArray

# Per rib 1 to 13: half width of the thorax, its depth from the rib angle to the front, and how far the full arc drops,
# mm, for a thorax 252 mm wide and 178 mm deep.
HALF_WIDTHS = (50, 76, 92, 102, 110, 115, 119, 122, 123, 121, 117, 108, 100)
DEPTHS = (62, 100, 130, 150, 163, 172, 176, 176, 174, 172, 172, 172, 172)
DROPS = (62, 84, 104, 120, 132, 142, 150, 156, 162, 168, 190, 220, 220)
# Angle of the arc at the front end, from the back; the shaft is cut at its length before.
FRONT_DEG = 165.0
SEGMENT_MM = 11.0
JOINT_MM = 1.3


def rib_bones(parameters: SpineParameters) -> list[Bone]:
    """All ribs of the patient, in the world."""
    return [rib_bone(parameters, rib) for rib in parameters.ribs]


def rib_bone(parameters: SpineParameters, rib: RibParameters) -> Bone:
    """One rib; ``length_mm`` is the length of its axis from the middle of the head to the tip."""
    shape = parameters[rib.level]
    line = axis_of(parameters, rib)
    label = CERVICAL_RIB[rib.side] if rib.number == 0 else rib_label(rib.side, rib.number)
    centre = np.array(shape.centre_mm) + np.array(shape.rotation)[:, 1] * (
        DEPTHS[min(rib.number, 13) - 1] / 2 - shape.transverse_back
    )
    steps = []
    for i, (a, b) in enumerate(itertools.pairwise(line)):
        radial = (a + b) / 2 - centre
        radial[2] *= 0.2
        share = np.clip(np.array([i, i + 1]) * SEGMENT_MM / 45.0, 0, 1)
        half = [(rib.thickness_mm / 2, (0.66 + 0.34 * s) * rib.height_mm / 2) for s in share]
        steps.append(Step(Bar(a, b, half[0], half[1], radial, 0.95, 0.75), 1.5))
    head = np.array([0.55, 0.5, 0.5]) * min(rib.height_mm, 10.0)
    steps.append(Step(Blob(line[0], (float(head[0]), float(head[1]), float(head[2]))), 2.5))
    return Bone(label, Placement(), tuple(steps))


def axis_of(parameters: SpineParameters, rib: RibParameters) -> FloatArray:
    """Points (N, 3) of a rib's axis in the world, head first, evenly spaced, of the rib's length."""
    from scipy.interpolate import CubicSpline

    points = _control(parameters, rib)
    chord = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    spline = CubicSpline(chord, points)
    fine = spline(np.linspace(0, chord[-1], 600))
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    length = min(rib.length_mm, along[-1])
    count = max(int(np.ceil(length / SEGMENT_MM)), 2)
    at = np.linspace(0, length, count + 1)
    return np.stack([np.interp(at, along, fine[:, axis]) for axis in range(3)], axis=1)


def _control(parameters: SpineParameters, rib: RibParameters) -> FloatArray:
    """Points that a rib's axis passes: head, tubercle, then the arc of the thorax."""
    shape = parameters[rib.level]
    side = 1.0 if rib.side == "right" else -1.0
    if rib.number == 0 or shape.level.startswith("L"):
        return _straight(shape, rib, side)
    wide, deep = parameters.thorax_width_mm / 252.0, parameters.thorax_depth_mm / 178.0
    row = min(rib.number, 13) - 1
    own = np.array([side, 1.0, 1.0])
    floating = row >= 10
    radius = 0.55 * min(rib.height_mm, 10.0)
    head = vector(
        shape.width_superior / 2 + radius - 1.2 + (1.5 if floating else 0),
        -0.30 * shape.depth_middle,
        0.25 * shape.rim_height if floating or row == 0 else shape.rim_height / 2,
    )
    tubercle = vector(
        shape.transverse_half_span - 1.0,
        -shape.transverse_back + 4.8 + rib.thickness_mm / 2 + JOINT_MM,
        shape.transverse_up - 1.5,
    )
    if floating:
        tubercle = tubercle + vector(3.0, 0.0, -9.0)
    start = [shape.placement.to_world(head * own), shape.placement.to_world(tubercle * own)]
    # The arc stands upright in the world: the thorax does not tilt with each vertebra.
    back = start[1] + vector(side * 6.0, -5.0, 0)
    middle_x = shape.centre_mm[0]
    half = max(HALF_WIDTHS[row] * wide, abs(back[0] - middle_x) + 8)
    depth = DEPTHS[row] * deep
    first = np.degrees(np.arcsin(np.clip(abs(back[0] - middle_x) / half, 0, 0.95)))
    centre_y = back[1] + depth / 2 * np.cos(np.radians(first))
    arc = []
    for angle in np.linspace(max(first + 14, 30), FRONT_DEG, 9):
        share = ((angle - first) / (FRONT_DEG - first)) ** (0.7 if floating else 0.85)
        t = np.radians(angle)
        arc.append(
            vector(
                middle_x + side * half * np.sin(t) ** 0.85,
                centre_y - depth / 2 * np.cos(t),
                back[2] - DROPS[row] * share,
            )
        )
    return np.array([*start, *arc])


def _straight(shape: VertebraParameters, rib: RibParameters, side: float) -> FloatArray:
    """Axis of a cervical rib (forward and down) or of a rib on a lumbar vertebra (sideways, back and down)."""
    own = np.array([side, 1.0, 1.0])
    if rib.number == 0:
        tip = vector(shape.transverse_half_span + 3.5, -shape.transverse_back + 6.0, shape.transverse_up - 2.0)
        points = [
            vector(shape.width_middle / 2 + 6.0, -1.0, -4.0),
            tip,
            tip + vector(12, 8, -14),
            tip + vector(18, 26, -32),
        ]
    else:
        # A lumbar rib takes the place of the transverse process and stands before its joint.
        root = vector(shape.pedicle_separation / 2 + 11.0, -shape.transverse_back + 8.0, shape.transverse_up + 0.5)
        points = [root, root + vector(25, -8, -4), root + vector(70, -16, -26), root + vector(120, -10, -60)]
    return np.array([shape.placement.to_world(point * own) for point in points])
