"""All bones of a patient as implicit solids, and the soft parts between them, from the parameters alone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.phantom.body import BodyPart
from verse_morph.phantom.implicit import Bar, Bone, Lattice, Step
from verse_morph.phantom.neck import atlas_bone, axial_joints, axis_bone, skull_base
from verse_morph.phantom.parameters import SpineParameters, VertebraParameters
from verse_morph.phantom.pathology import osteophyte_steps
from verse_morph.phantom.pelvis import pelvis_bones
from verse_morph.phantom.primitives import Placement
from verse_morph.phantom.ribs import rib_bones
from verse_morph.phantom.sacrum import sacral_shape, sacrum_bones
from verse_morph.phantom.transition import transitional_steps
from verse_morph.phantom.vertebra import Joint, vector, vertebra_bone
from verse_morph.space import FloatArray

# Direction from the lower to the upper vertebra's process at a right facet joint, by kind of joint.
_CERVICAL, _THORACIC = vector(0.05, -0.72, 0.70), vector(0.22, -0.94, 0.25)
# Angle between a lumbar joint and the sagittal plane, degrees, below each level.
_LUMBAR_ANGLE = {"T12": 20.0, "T13": 20.0, "L1": 25.0, "L2": 30.0, "L3": 36.0, "L4": 44.0, "L5": 52.0, "L6": 52.0}
_JOINT_SIZE = {"cervical": (5.2, 6.0), "thoracic": (6.5, 5.2), "lumbar": (8.8, 8.0)}


def facet_normal(upper: Level, last_thoracic: bool) -> FloatArray:
    """Direction from the lower to the upper process of the right joint below a level, in the frame between both
    vertebrae.
    """
    if upper.region == "lumbar" or last_thoracic:
        angle = np.radians(_LUMBAR_ANGLE.get(str(upper), 20.0))
        return vector(-np.cos(angle), -np.sin(angle), 0.0)
    normal = _CERVICAL if upper.region == "cervical" else _THORACIC
    return normal / np.linalg.norm(normal)


def between(upper: VertebraParameters, lower: VertebraParameters) -> Placement:
    """Frame in the middle of a disc: mean of both vertebrae's axes, origin halfway between the facing rim planes."""
    above = upper.placement.to_world(vector(0, 0, -upper.rim_height / 2))
    below = lower.placement.to_world(vector(0, 0, lower.rim_height / 2))
    up = np.array(upper.rotation)[:, 2] + np.array(lower.rotation)[:, 2]
    up /= np.linalg.norm(up)
    right = np.array(upper.rotation)[:, 0] + np.array(lower.rotation)[:, 0]
    right -= up * (right @ up)
    right /= np.linalg.norm(right)
    return Placement(np.stack([right, np.cross(up, right), up], axis=1), (above + below) / 2)


def joints_between(upper: VertebraParameters, lower: VertebraParameters, last_thoracic: bool) -> tuple[Joint, Joint]:
    """Right and left facet joint between two vertebrae, in the world."""
    middle = between(upper, lower)
    level = Level(upper.level)
    kind = "lumbar" if last_thoracic else level.region
    wall = -(upper.depth_middle + lower.depth_middle) / 4
    depth = (upper.canal_depth + lower.canal_depth) / 2
    height, width = _JOINT_SIZE[kind]
    joints = []
    for side in (1, -1):
        at = vector(side * upper.facet_x, wall - upper.facet_share * depth, upper.facet_z)
        normal = facet_normal(level, last_thoracic) * np.array([side, 1, 1])
        joints.append(Joint(middle.to_world(at), middle.rotation @ normal, height, width))
    return joints[0], joints[1]


def _own(joints: tuple[Joint, Joint], place: Placement) -> tuple[Joint, Joint]:
    right, left = (
        Joint(place.to_own(j.centre), place.rotation.T @ j.normal, j.half_height, j.half_width) for j in joints
    )
    return right, left


def vertebra_bones(parameters: SpineParameters) -> dict[Level, Bone]:
    """Every vertebra that the patient has, head to foot."""
    last_thoracic = max(level for level in parameters.levels if level.region == "thoracic")
    pathology = parameters.options.pathology
    chain = [*parameters.vertebrae, sacral_shape(parameters)]
    links = [axial_joints(chain[1])]
    links += [joints_between(a, b, Level(a.level) is last_thoracic) for a, b in itertools.pairwise(chain[1:])]
    bones = {}
    for index, shape in enumerate(parameters.vertebrae):
        lower = _own(links[index], shape.placement)
        upper = _own(links[index - 1], shape.placement) if index else None
        if upper is None:
            bones[Level.C1] = atlas_bone(shape, lower)
        elif shape.level == "C2":
            bones[Level.C2] = axis_bone(shape, upper, lower, pathology)
        else:
            extra = osteophyte_steps(shape, pathology)
            if index + 1 == len(parameters.vertebrae):
                extra += transitional_steps(parameters)[0]
            bones[Level(shape.level)] = vertebra_bone(shape, upper, lower, pathology, extra)
    return bones


def bones_of(parameters: SpineParameters) -> list[Bone]:
    """All bones of the patient that were asked for."""
    options = parameters.options
    bones = [
        bone
        for level, bone in vertebra_bones(parameters).items()
        if options.neck or level.region != "cervical" or level is Level.C7
    ]
    last, sacral = parameters.vertebrae[-1], sacral_shape(parameters)
    joints = _own(joints_between(last, sacral, False), sacral.placement)
    bones += sacrum_bones(parameters, joints, transitional_steps(parameters)[1])
    if options.neck:
        bones.append(skull_base(parameters["C1"]))
    if options.ribs:
        bones += rib_bones(parameters)
    if options.pelvis:
        bones += pelvis_bones(parameters)
    return bones


@dataclass(frozen=True, eq=False)
class Disc:
    """The disc between two bodies (or the last body and S1)."""

    upper: VertebraParameters
    lower: VertebraParameters

    @property
    def placement(self) -> Placement:
        """Frame in the disc's middle."""
        return between(self.upper, self.lower)

    def bounds_mm(self) -> FloatArray:
        """Corners (2, 3) of a box around the disc, own coordinates."""
        half = vector(self.upper.width_inferior / 2 + 4, self.upper.depth_inferior / 2 + 6, 16)
        return np.stack([-half, half])

    def depth(self, lattice: Lattice) -> np.ndarray:
        """Depth at the points of a lattice in the world: between the endplates and within both footprints, bulging by 1
        mm.
        """
        box = tuple(slice(0, n) for n in lattice.shape)
        above, below = BodyPart(self.upper), BodyPart(self.lower)
        xu, yu, zu = lattice.seen_from(self.upper.placement).points(box)
        xl, yl, zl = lattice.seen_from(self.lower.placement).points(box)
        flanks = (above.flank(xu, yu, zu) + below.flank(xl, yl, zl)) / 2 + 1.0
        return np.minimum(np.minimum(above.bottom(xu, yu) - zu, zl - below.top(xl, yl)), flanks)


def discs_of(parameters: SpineParameters) -> dict[Level, Disc]:
    """Discs by the level above them; the one below the last vertebra lies on S1, none below C1."""
    chain = [*parameters.vertebrae[1:], sacral_shape(parameters)]
    return {Level(upper.level): Disc(upper, lower) for upper, lower in itertools.pairwise(chain)}


def thecal_sac(parameters: SpineParameters) -> Bone:
    """The sac in the canal as a chain of elliptic rods from C1 to S2, own coordinates = world."""
    from verse_morph.phantom.case import CANAL

    points, halves = [], []
    for shape in [*parameters.vertebrae, sacral_shape(parameters)]:
        points.append(shape.placement.to_world(vector(0, -shape.depth_middle / 2 - shape.canal_depth / 2, 0)))
        halves.append((0.5 * shape.canal_width - 3.0, 0.5 * shape.canal_depth - 2.0))
    steps = [
        Step(Bar(a, b, half_a, half_b, vector(1, 0, 0), 0.95, 0.8), 1.0)
        for a, b, half_a, half_b in zip(points[:-1], points[1:], halves[:-1], halves[1:], strict=True)
    ]
    return Bone(CANAL, Placement(), tuple(steps))
