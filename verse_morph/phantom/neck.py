"""The first two cervical vertebrae and a hint of the skull base.

The ring of C1 is built round the dens: its place follows C2, whatever the drawn pose says of the point that stands for
C1.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from verse_morph.anatomy import VERSE, Level
from verse_morph.phantom.case import SKULL
from verse_morph.phantom.implicit import Bar, Blob, Bone, Step
from verse_morph.phantom.parameters import Pathology, VertebraParameters
from verse_morph.phantom.pose import as_point, as_rows
from verse_morph.phantom.vertebra import Joint, mirrored, vector, vertebra_bone
from verse_morph.space import FloatArray

DENS_MM = 16.0
# Angle by which the joint surfaces between C1 and C2 fall to the sides.
SLOPE_DEG = 24.0
LATERAL_X = 18.0


def dens_middle(c2: VertebraParameters) -> FloatArray:
    """Middle of the dens in C2's own coordinates: there lies the middle of C1's ring."""
    return vector(0, -0.5, c2.rim_height / 2 + 0.52 * DENS_MM)


def ring_on_dens(c1: VertebraParameters, c2: VertebraParameters) -> VertebraParameters:
    """C1 placed round the dens of C2; its body point stays where it was drawn."""
    point = c1.placement.to_world(np.array(c1.body_point))
    place = c2.placement
    placed = replace(c1, centre_mm=as_point(place.to_world(dens_middle(c2))), rotation=as_rows(np.array(c2.rotation)))
    return replace(placed, body_point=as_point(placed.placement.to_own(point)))


def axial_joints(c2: VertebraParameters) -> tuple[Joint, Joint]:
    """Right and left joint between C1 and C2, in the world; the normal points up."""
    slope = np.radians(SLOPE_DEG)
    out = []
    for side in (1, -1):
        centre = vector(side * 16.5, -1.5, c2.rim_height / 2 + 1.5)
        normal = vector(side * np.sin(slope), 0, np.cos(slope))
        out.append(Joint(c2.placement.to_world(centre), np.array(c2.rotation) @ normal, 8.0, 8.0))
    return out[0], out[1]


def axis_bone(
    shape: VertebraParameters, upper: tuple[Joint, Joint], lower: tuple[Joint, Joint], pathology: Pathology
) -> Bone:
    """C2: body, dens, upper joint masses and a strong forked spinous process."""
    top = shape.rim_height / 2
    extra = [
        Step(
            Bar(
                vector(0, 0.5, top - 8),
                vector(0, -0.5, top + DENS_MM - 4),
                (5.6, 5.8),
                (4.8, 4.8),
                vector(1, 0, 0),
                1.0,
            ),
            2.5,
        ),
        Step(Blob(vector(0, -0.5, top + DENS_MM - 5), (5.2, 5.4, 5.5)), 2.0),
    ]
    for joint, side in zip(upper, (1, -1), strict=True):
        plane = (joint.centre - joint.normal * 0.9, -joint.normal)
        mass = Blob(joint.centre - joint.normal * 2.0, (9.0, 8.5, 6.0), _mass_axes(side), plane)
        leg = Bar(
            mirrored(vector(7, 0, top - 9), side),
            joint.centre - joint.normal * 4,
            (5.5, 6.0),
            (5.5, 6.5),
            vector(0, 1, 0),
            0.95,
            0.5,
            plane,
        )
        extra += [Step(mass, 2.5), Step(leg, 2.5)]
    return vertebra_bone(shape, None, lower, pathology, tuple(extra))


def _mass_axes(side: int) -> FloatArray:
    slope = np.radians(SLOPE_DEG)
    across = vector(np.cos(slope), 0, -side * np.sin(slope))
    return np.stack([across, vector(0, 1, 0), np.cross(across, vector(0, 1, 0))])


def atlas_bone(shape: VertebraParameters, lower: tuple[Joint, Joint]) -> Bone:
    """C1: lateral masses, front and back arch, transverse processes with their foramina."""
    steps: list[Step] = []
    for joint, side in zip(lower, (1, -1), strict=True):
        plane = (joint.centre + joint.normal * 0.9, joint.normal)
        mass = Bar(
            vector(side * (LATERAL_X + 0.5), 6.0, 0),
            vector(side * (LATERAL_X + 1.0), -7.5, 0),
            (7.0, 8.5),
            (7.0, 8.0),
            vector(1, 0, 0),
            0.85,
            0.6,
            plane,
        )
        steps.append(Step(mass, 2.0))
        tip = vector(side * (shape.transverse_half_span - 4), -7.0, -1.5)
        steps.append(Step(Bar(vector(side * 21, 1.0, -1.0), tip, (2.4, 3.2), (3.4, 4.4), vector(0, 1, 0)), 2.0))
        steps.append(Step(Bar(vector(side * 21, -9.5, -1.0), tip, (2.2, 3.2), (3.4, 4.4), vector(0, 1, 0)), 2.0))
        x = side * 28.0
        steps.append(
            Step(Bar(vector(x, -4.0, -9), vector(x, -4.4, 9), (3.0, 2.9), (3.0, 2.9), vector(1, 0, 0)), 1.0, cut=True)
        )
    steps += _arc(front=True) + _arc(front=False)
    dish = [Step(Blob(vector(side * 17.0, -1.0, 13.5), (7.5, 11.5, 7.0)), 1.0, cut=True) for side in (1, -1)]
    return Bone(VERSE.value_of(Level.C1), shape.placement, (*steps, *dish))


def _arc(front: bool) -> list[Step]:
    """One arch as a chain of rods."""
    if front:
        points = [vector(x, y, 0) for x, y in ((-16, 7.0), (-9, 11.0), (0, 12.0), (9, 11.0), (16, 7.0))]
        half, knob = (2.9, 5.0), Blob(vector(0, 13.6, 0), (3.5, 3.0, 5.0))
    else:
        angles = np.radians(np.linspace(-78, 78, 9))
        points = [vector(19.5 * np.sin(a), -11.0 - 21.0 * np.cos(a), 0.5) for a in angles]
        half, knob = (2.6, 4.0), Blob(vector(0, -33.5, 0), (3.5, 3.0, 4.5))
    steps = []
    for a, b in itertools.pairwise(points):
        normal = vector(-(b - a)[1], (b - a)[0], 0)
        steps.append(Step(Bar(a, b, half, half, normal, 0.95, 0.8), 1.5))
    return [*steps, Step(knob, 2.0)]


def skull_base(c1: VertebraParameters) -> Bone:
    """Condyles, clivus and the bowl of the occipital bone round the foramen magnum: a hint, not a skull."""
    steps = [
        Step(Blob(vector(0, -18.0, 74.0), (68.0, 78.0, 66.0)), 0.0),
        Step(Blob(vector(0, -18.0, 76.0), (62.0, 72.0, 61.0)), 1.0, cut=True),
        Step(
            Bar(vector(0, -8, 100), vector(0, -8, 220), (100, 120), (100, 120), vector(1, 0, 0), 0.1, 0.0),
            1.0,
            cut=True,
        ),
        Step(Bar(vector(0, 16, 13), vector(0, 38, 42), (12, 5), (9, 6), vector(1, 0, 0), 0.9), 4.0),
        Step(Bar(vector(0, 85, 20), vector(0, 30, 34), (90, 26), (90, 30), vector(1, 0, 0), 0.3, 0.0), 2.0, cut=True),
    ]
    for side in (1, -1):
        steps.append(Step(Blob(vector(side * 17.5, -0.5, 13.6), (6.2, 10.5, 6.2)), 4.0))
    hole = Bar(vector(0, -14, -4), vector(0, -14, 30), (15.0, 18.0), (15.0, 18.0), vector(1, 0, 0))
    return Bone(SKULL, c1.placement, (*steps, Step(hole, 2.0, cut=True)))
