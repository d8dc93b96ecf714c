"""Vertebrae C3 to L6: body, pedicles, laminae, processes and joints put together from blended parts.

The facet joints are shared: :class:`Joint` fixes a joint's middle and direction between two vertebrae, and the
processes of both end in front of it, so that neighbours never touch there whatever the pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verse_morph.anatomy import VERSE, Level
from verse_morph.phantom.body import BodyPart
from verse_morph.phantom.implicit import Bar, Blob, Bone, Field, Step
from verse_morph.phantom.parameters import Pathology, VertebraParameters
from verse_morph.space import FloatArray

FACET_GAP_MM = 1.6
ARCH_BLEND_MM = 3.0


def vector(x: float, y: float, z: float) -> FloatArray:
    """A point or direction."""
    return np.array([x, y, z], dtype=np.float64)


def mirrored(point: FloatArray, side: int) -> FloatArray:
    """The point on the right (+1) or left (-1) side."""
    return point * np.array([side, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Joint:
    """A facet joint in one vertebra's own coordinates; the normal points from the lower to the upper vertebra's
    process.
    """

    centre: FloatArray
    normal: FloatArray
    half_height: float
    half_width: float


@dataclass(frozen=True, eq=False)
class CanalPart:
    """The vertebral foramen as a straight channel along z: round, or a rounded triangle (``taper`` > 0)."""

    centre_y: float
    half_width: float
    half_depth: float
    taper: float
    half_length: float = 30.0

    def depth(self, x: Field, y: Field, z: Field) -> Field:
        """See :class:`verse_morph.phantom.implicit.Part`."""
        v = (y - np.float32(self.centre_y)) / np.float32(self.half_depth)
        width = (
            np.float32(self.half_width)
            * (1 + np.float32(self.taper) * np.clip(v, -1, 1))
            / np.float32(1 + 0.3 * self.taper)
        )
        u = x / width
        power = 1.9 if self.taper > 0.4 else 2.25
        level = np.maximum((np.abs(u) ** power + np.abs(v) ** power) ** (1 / power), np.float32(0.05))
        radius = np.sqrt(x * x + np.square(y - np.float32(self.centre_y)))
        out = np.where(level > 0.05, radius * (1 - level) / level, np.float32(min(self.half_width, self.half_depth)))
        return np.minimum(out, np.float32(self.half_length) - np.abs(z))

    def bounds_mm(self) -> FloatArray:
        """See :class:`verse_morph.phantom.implicit.Part`."""
        half = np.array([self.half_width * (1 + self.taper), self.half_depth, self.half_length])
        middle = vector(0, self.centre_y, 0)
        return np.stack([middle - half, middle + half])


def canal_part(shape: VertebraParameters) -> CanalPart:
    """The vertebral foramen of a vertebra; its front is the body's back wall."""
    region = Level(shape.level).region
    taper = {"cervical": 0.35, "thoracic": 0.05, "lumbar": 0.55}[region]
    back = -shape.depth_middle / 2
    # The channel begins a little inside the body, whose back wall closes it.
    depth = shape.canal_depth + 2.0
    return CanalPart(back + 2.0 - depth / 2, shape.canal_width / 2, depth / 2, taper)


@dataclass(frozen=True, eq=False)
class Marks:
    """Landmarks of the right half of the arch in own coordinates, mm."""

    back_wall: float
    canal_back: float
    pedicle: FloatArray
    pedicle_half: float
    junction: FloatArray
    lamina_z: float


def marks(shape: VertebraParameters) -> Marks:
    """Landmarks of the arch."""
    wall = -shape.depth_middle / 2
    x = shape.pedicle_separation / 2
    width = max(shape.pedicle_separation - shape.canal_width, 4.0)
    cervical = Level(shape.level).region == "cervical"
    if cervical:
        width, x = 5.4, shape.canal_width / 2 + 2.7
    junction = vector(
        max(x, shape.facet_x - 1) if cervical else x + 0.5, wall - 0.72 * shape.canal_depth, shape.pedicle_up - 1.0
    )
    lamina_z = (0.35 if cervical else 1.0) * shape.pedicle_up - (0.30 if cervical else 0.46) * shape.lamina_height
    # The annotated point may lie behind the pedicle proper, which ends at the arch.
    y = float(np.clip(-shape.pedicle_back, wall - 0.65 * shape.canal_depth, wall + 2.0))
    return Marks(wall, wall - shape.canal_depth, vector(x, y, shape.pedicle_up), width / 2, junction, lamina_z)


def _pedicle(shape: VertebraParameters, m: Marks, side: int) -> Step:
    angle = np.radians(shape.pedicle_angle)
    inward = vector(-np.sin(angle), np.cos(angle), 0)
    start = m.pedicle + inward * (m.back_wall + 5.0 - m.pedicle[1]) / np.cos(angle)
    start[0] = min(start[0], shape.width_middle / 2 - m.pedicle_half)
    # Its upper edge stays below the upper rim of the body.
    start[2] = min(start[2], shape.rim_height / 2 - 2.0 - shape.pedicle_height / 2)
    end = m.junction + vector(0, 0, 0.5)
    half = (m.pedicle_half, shape.pedicle_height / 2)
    bar = Bar(mirrored(start, side), mirrored(end, side), half, half, vector(1, 0, 0), 0.95)
    return Step(bar, ARCH_BLEND_MM)


def _lamina(shape: VertebraParameters, m: Marks, side: int) -> Step:
    region = Level(shape.level).region
    half = (shape.lamina_thickness / 2, shape.lamina_height / 2)
    start = m.junction + vector(0.5, -1.0, m.lamina_z - m.junction[2] + 1.0)
    if region == "lumbar":
        # The isthmus: the arch is low where the lower vertebra's superior process reaches up beside it.
        start = m.junction + vector(-0.5, -1.5, -0.35 * shape.lamina_height)
    end = vector(0.5, m.canal_back - 0.55 * shape.lamina_thickness, m.lamina_z - 1.0)
    along = end - start
    # The lower edge lies farther back: laminae overlap like shingles.
    across = vector(along[1], -along[0], 0) / np.hypot(along[0], along[1]) + vector(
        0, 0, 0.42 if region == "thoracic" else 0.30
    )
    outer = (half[0], (0.52 if region == "lumbar" else 0.95) * half[1])
    bar = Bar(mirrored(start, side), mirrored(end, side), outer, half, mirrored(across, side), 0.75)
    return Step(bar, ARCH_BLEND_MM)


def _spinous(shape: VertebraParameters, m: Marks) -> list[Step]:
    level = Level(shape.level)
    drop = np.radians(shape.spinous_drop)
    direction = vector(0, -np.cos(drop), -np.sin(drop))
    base = vector(0, m.canal_back - 1.0, m.lamina_z - (2.5 if level.region == "lumbar" else 0.0))
    tip = base + direction * (shape.spinous_length - 2.0)
    t, h = shape.spinous_thickness / 2, shape.spinous_height / 2
    if level.region == "lumbar":
        waist = base + 0.45 * (tip - base) + vector(0, 0, 0.5)
        steps = [
            Step(Bar(base, waist, (1.1 * t, h), (0.8 * t, 0.8 * h), vector(1, 0, 0), 0.7, 0.2), ARCH_BLEND_MM),
            Step(Bar(waist, tip, (0.8 * t, 0.8 * h), (1.1 * t, 0.88 * h), vector(1, 0, 0), 0.8, 0.2), ARCH_BLEND_MM),
        ]
        low = tip + vector(0, 2.0, -0.4 * h)
        return [*steps, Step(Blob(low, (1.35 * t, 4.5, 0.55 * h)), 3.0)]
    if level.region == "thoracic" and shape.spinous_drop > 20:
        root = (1.3 * t, max(h, 0.27 * shape.lamina_height))
        steps = [Step(Bar(base, tip, root, (0.85 * t, 0.62 * h), vector(1, 0, 0), 0.9), 4.0)]
        return [*steps, Step(Blob(tip, (1.15 * t, 3.5, 0.8 * h)), 2.0)]
    steps = [Step(Bar(base, tip, (1.1 * t, h), (t, 0.85 * h), vector(1, 0, 0), 0.85), ARCH_BLEND_MM)]
    if level in (Level.C2, Level.C3, Level.C4, Level.C5, Level.C6):
        fork = 4.5 if level is not Level.C6 else 3.0
        for side in (-1, 1):
            end = tip + vector(side * fork, -3.5, -1.5)
            steps.append(Step(Bar(tip + vector(0, 3, 0), end, (0.9 * t, 0.7 * h), (2.0, 2.4), vector(1, 0, 0)), 2.0))
        return steps
    return [*steps, Step(Blob(tip, (1.5 * t, 3.5, h)), 2.5)]


def _transverse(shape: VertebraParameters, m: Marks, side: int) -> list[Step]:
    region = Level(shape.level).region
    h = shape.transverse_height / 2
    tip = vector(shape.transverse_half_span, -shape.transverse_back, shape.transverse_up)
    if region == "cervical" and shape.level != "C7":
        return _cervical_transverse(shape, m, side)
    if region == "lumbar":
        massive = shape.level in ("L5", "L6")
        root = vector(m.pedicle[0], m.back_wall - (0.25 if massive else 0.5) * shape.canal_depth, m.pedicle[2] - 1.5)
        tip = tip - vector(h * 0.6, 0, 0)
        halves = (
            ((7.0, h), (5.5, 0.75 * h), (4.0, 0.55 * h))
            if massive
            else ((4.2, 0.9 * h), (2.8, 0.75 * h), (2.3, 0.95 * h))
        )
        # The process leaves the arch sideways and bends back and up or down towards its tip.
        bend = root + 0.5 * (tip - root) + vector(0, 2.0, -0.8)
        first = Bar(mirrored(root, side), mirrored(bend, side), halves[0], halves[1], vector(0, 1, 0), 0.95)
        second = Bar(mirrored(bend, side), mirrored(tip, side), halves[1], halves[2], vector(0, 1, 0), 0.95)
        return [Step(first, ARCH_BLEND_MM), Step(second, ARCH_BLEND_MM)]
    root = m.junction + vector(-0.5, 0, -0.5)
    tip = tip - vector(0.7 * h, 0, 0)
    steps = [
        Step(Bar(mirrored(root, side), mirrored(tip, side), (4.8, 1.0 * h), (4.0, 0.85 * h), vector(0, 1, 0)), 4.0)
    ]
    # The back of the arch narrows from the transverse processes to the spinous process like a gable.
    edge = root + 0.35 * (tip - root) + vector(0, -1.0, -2.0)
    foot = vector(3.0, m.canal_back - shape.lamina_thickness, m.lamina_z - 0.42 * shape.lamina_height)
    gable = Bar(mirrored(edge, side), mirrored(foot, side), (2.4, 5.5), (2.0, 4.0), mirrored(vector(0.5, 1, 0.3), side))
    steps.append(Step(gable, 4.0))
    return [*steps, Step(Blob(mirrored(tip, side), (0.9 * h, 4.8, h)), 2.5)]


def _cervical_transverse(shape: VertebraParameters, m: Marks, side: int) -> list[Step]:
    """Front and back bar around the transverse foramen, a tubercle at the end of each, and the foramen."""
    edge, end = shape.width_middle / 2, shape.transverse_half_span
    front = (vector(edge - 2, m.back_wall + 8, -1), vector(end - 3, m.back_wall + 5.0, -2.5))
    back = (vector(m.junction[0], m.back_wall - 4, -0.5), vector(end - 1, m.back_wall - 1.5, -3.0))
    steps = []
    for start, stop in (front, back):
        steps.append(
            Step(Bar(mirrored(start, side), mirrored(stop, side), (2.0, 3.0), (2.0, 2.6), vector(0, 1, 0)), 2.0)
        )
    floor = (front[1] + vector(-1, 0, -0.5), back[1] + vector(-1, 0, 0))
    steps.append(
        Step(Bar(mirrored(floor[0], side), mirrored(floor[1], side), (1.8, 1.8), (1.8, 1.8), vector(1, 0, 0)), 2.0)
    )
    x = (edge + end) / 2 - 1.2
    hole = Bar(
        vector(side * x, m.back_wall + 2.4, -14),
        vector(side * x, m.back_wall + 1.4, 14),
        (3.0, 2.8),
        (3.0, 2.8),
        vector(1, 0, 0),
    )
    return [*steps, Step(hole, 1.0, cut=True)]


def articular_process(
    start: FloatArray, joint: Joint, away: int, root_half: tuple[float, float], thick: float
) -> list[Step]:
    """An articular process: a rod from the arch to the joint and a plate in front of it, both cut by the joint's plane.

    ``away`` is -1 for the process below the joint (superior process of the lower vertebra), +1 for the one above.
    """
    normal = joint.normal * away
    plane = (joint.centre + normal * FACET_GAP_MM / 2, normal)
    side = np.cross(vector(0, 0, 1), joint.normal)
    side /= np.linalg.norm(side)
    axes = np.stack([joint.normal, side, np.cross(joint.normal, side)])
    centre = joint.centre + normal * (FACET_GAP_MM / 2 + 0.35 * thick)
    plate = Blob(centre, (thick, joint.half_width, joint.half_height), axes, plane)
    tip_half = (0.75 * thick, 0.8 * joint.half_width)
    rod = Bar(start, centre + normal * 0.3 * thick, root_half, tip_half, joint.normal, 0.95, 0.5, plane)
    return [Step(rod, 2.5), Step(plate, 2.0)]


def _processes(
    shape: VertebraParameters, m: Marks, upper: tuple[Joint, Joint] | None, lower: tuple[Joint, Joint] | None
) -> list[Step]:
    region = Level(shape.level).region
    thick = {"cervical": 4.5, "thoracic": 3.6, "lumbar": 5.6}[region]
    steps: list[Step] = []
    for index, side in enumerate((1, -1)):
        if upper is not None:
            steps += articular_process(mirrored(m.junction, side), upper[index], -1, (0.9 * thick, 1.1 * thick), thick)
            if region == "lumbar":
                joint = upper[index]
                plane = (joint.centre - joint.normal * FACET_GAP_MM / 2, -joint.normal)
                knob = joint.centre - joint.normal * (1.2 * thick) + vector(0, -2.5, -3.0)
                steps.append(Step(Blob(knob, (3.2, 4.0, 5.0), np.eye(3), plane), 2.5))
        if lower is not None:
            start = m.junction + vector(0, -1.5, m.lamina_z - m.junction[2])
            if region != "cervical":
                start = vector(0.72 * m.junction[0], m.canal_back - 0.15 * shape.lamina_thickness, m.lamina_z - 2.0)
            steps += articular_process(mirrored(start, side), lower[index], 1, (0.8 * thick, 1.1 * thick), thick)
    return steps


def vertebra_bone(
    shape: VertebraParameters,
    upper: tuple[Joint, Joint] | None,
    lower: tuple[Joint, Joint] | None,
    pathology: Pathology,
    extra: tuple[Step, ...] = (),
) -> Bone:
    """The whole vertebra.

    Parameters
    ----------
    shape : VertebraParameters
    upper, lower : (right, left) Joint, optional
        Facet joints with the vertebrae above and below, in this vertebra's own coordinates.
    pathology : Pathology
        What of it belongs to this level is built in.
    extra : tuple of Step
        Further parts (osteophytes, transitional processes).
    """
    m = marks(shape)
    steps: list[Step] = []
    laminectomy = shape.level in pathology.laminectomy
    for side in (1, -1):
        steps.append(_pedicle(shape, m, side))
        if not laminectomy:
            steps.append(_lamina(shape, m, side))
    if not laminectomy:
        steps += _spinous(shape, m)
    steps += _processes(shape, m, upper, lower)
    steps.append(Step(canal_part(shape), 1.0, cut=True))
    nodes = tuple(node for node in pathology.schmorl_nodes if node.level == shape.level)
    steps.append(Step(BodyPart(shape, nodes), 2.0))
    for side in (1, -1):
        steps += _transverse(shape, m, side)
    return Bone(VERSE.value_of(Level(shape.level)), shape.placement, (*steps, *extra))
