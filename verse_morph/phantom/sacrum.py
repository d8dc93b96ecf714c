"""Sacrum and coccyx: five fused bodies on a curve, wings, canal, foramina, and the joint processes for the last
vertebra.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from verse_morph.phantom.body import BodyPart
from verse_morph.phantom.case import COCCYX, SACRUM
from verse_morph.phantom.implicit import Bar, Blob, Bone, Step
from verse_morph.phantom.parameters import SpineParameters, VertebraParameters
from verse_morph.phantom.vertebra import Joint, articular_process, mirrored, vector
from verse_morph.space import FloatArray

# Height of the first sacral body, mm; own coordinates have their origin in its middle.
S1_HEIGHT = 22.0
SEGMENTS = 5


def sacral_shape(parameters: SpineParameters) -> VertebraParameters:
    """S1 seen as a vertebra: its endplate, and what the last disc and the last facet joints need of it."""
    s, last = parameters.sacrum, parameters.vertebrae[-1]
    centre = np.array(s.centre_mm) - np.array(s.rotation)[:, 2] * S1_HEIGHT / 2
    return replace(
        last,
        width_superior=s.width,
        width_middle=0.94 * s.width,
        width_inferior=0.84 * s.width,
        depth_superior=s.depth,
        depth_middle=0.86 * s.depth,
        depth_inferior=0.68 * s.depth,
        height_front=S1_HEIGHT,
        height_back=S1_HEIGHT,
        right_minus_left=0.0,
        concavity_superior=0.6,
        concavity_inferior=0.0,
        canal_width=30.0,
        canal_depth=15.0,
        centre_mm=(float(centre[0]), float(centre[1]), float(centre[2])),
        rotation=s.rotation,
    )


def spine_of_sacrum(parameters: SpineParameters) -> FloatArray:
    """Middles of the borders of the five bodies (6, 3), then of four coccygeal ones (4, 3), own coordinates."""
    s = parameters.sacrum
    lengths = [S1_HEIGHT] + [(s.length - S1_HEIGHT) / (SEGMENTS - 1)] * (SEGMENTS - 1) + [11.0, 9.0, 8.0, 6.0]
    # Direction of each body, from straight down to forward; S1 leans back a little.
    angles = np.radians(
        [-8, 2, 0.30 * s.curve_deg, 0.75 * s.curve_deg, 1.15 * s.curve_deg]
        + [1.4 * s.curve_deg + 9 * k for k in range(4)]
    )
    points = [vector(0, 0, S1_HEIGHT / 2)]
    for length, angle in zip(lengths, angles, strict=True):
        points.append(points[-1] + length * vector(0, np.sin(angle), -np.cos(angle)))
    return np.array(points)


def sacrum_bones(parameters: SpineParameters, joints: tuple[Joint, Joint], extra: tuple[Step, ...] = ()) -> list[Bone]:
    """Sacrum and coccyx.

    Parameters
    ----------
    parameters : SpineParameters
    joints : (right, left) Joint
        The lumbosacral facet joints in own coordinates.
    extra : tuple of Step
        Parts of a transitional vertebra's articulation.
    """
    shape, line = sacral_shape(parameters), spine_of_sacrum(parameters)
    s = parameters.sacrum
    width, depth = 0.84 * s.width / 2, 0.68 * s.depth / 2
    steps = []
    for k in range(1, SEGMENTS):
        a, b = 1 - 0.17 * k, 1 - 0.17 * (k + 1)
        thin, thinner = 1 - 0.16 * (k - 1), 1 - 0.16 * k
        half = ((width * a * 1.1, depth * thin), (width * b * 1.1, depth * thinner))
        steps.append(Step(Bar(line[k], line[k + 1], *half, vector(1, 0, 0), 0.75, 0.1), 3.0))
    for side in (1, -1):
        steps += _wing(parameters, line, side)
    steps += _roof(line)
    steps += _cuts(line, depth)
    steps.append(Step(BodyPart(shape), 3.0))
    for side, joint in zip((1, -1), joints, strict=True):
        start = vector(side * (abs(joint.centre[0]) - 1.0), joint.centre[1] + 4.0, 2.0)
        steps += articular_process(start, joint, -1, (5.5, 7.0), 5.0)
    sacrum = Bone(SACRUM, shape.placement, (*steps, *extra))
    tail = [
        Step(Bar(line[k], line[k + 1], (size, 0.5 * size), (0.75 * size, 0.4 * size), vector(1, 0, 0), 0.9, 0.0), 1.5)
        for k, size in zip(range(SEGMENTS, SEGMENTS + 4), (9.0, 6.5, 5.0, 4.0), strict=True)
    ]
    gap = (line[SEGMENTS] - line[SEGMENTS - 1]) / np.linalg.norm(line[SEGMENTS] - line[SEGMENTS - 1]) * 1.5
    tail = [Step(replace(step.part, start=step.part.start + gap, end=step.part.end + gap), 1.5) for step in tail]  # type: ignore[type-var, attr-defined]
    return [sacrum, Bone(COCCYX, shape.placement, tuple(tail))]


def _wing(parameters: SpineParameters, line: FloatArray, side: int) -> list[Step]:
    """Wing of one side: the broad upper part down to S2 and the lateral mass that narrows to S5."""
    span = parameters.sacrum.half_span
    inner = parameters.sacrum.width / 2 - 6
    top = (vector(inner, -3, 1), vector(span - 12, -13, -5))
    middle = (vector(inner, line[2][1] - 6, -12), vector(span - 10, line[2][1] - 18, line[2][2] + 6))
    edge = (vector(span - 13, line[1][1] - 15, line[1][2] + 4), vector(0.62 * span, line[3][1] - 13, line[3][2] + 4))
    tail = (edge[1], vector(0.30 * span, line[5][1] - 5, line[5][2] + 6))
    bars = [
        (top, (9.0, 12.0), (9.0, 14.0)),
        (middle, (9.0, 13.0), (10.0, 15.0)),
        (edge, (10.0, 10.0), (8.0, 8.0)),
        (
            (vector(0.2 * span, line[2][1] - 8, line[2][2] - 3), vector(0.78 * span, line[2][1] - 15, line[2][2])),
            (8.0, 13.0),
            (9.0, 12.0),
        ),
        (tail, (8.0, 7.0), (4.5, 5.0)),
        ((vector(0.15 * span, line[3][1] - 6, line[3][2]), edge[1]), (6.5, 14.0), (6.5, 12.0)),
    ]
    return [
        Step(Bar(mirrored(a, side), mirrored(b, side), h0, h1, vector(0, 1, 0), 0.9), 6.0) for (a, b), h0, h1 in bars
    ]


def _roof(line: FloatArray) -> list[Step]:
    """Back wall of the sacral canal and the median crest."""
    behind = [vector(0, y, 0) for y in (-30.0, -27.0, -22.0, -15.0, -10.0)]
    points = [line[k] * np.array([0, 1, 1]) + behind[k] for k in range(SEGMENTS)]
    points[0] = points[0] + vector(0, 0, -12)
    steps = []
    for k in range(SEGMENTS - 1):
        half = (17.0 - 2.6 * k, 4.0 - 0.3 * k)
        steps.append(
            Step(Bar(points[k], points[k + 1], half, (half[0] - 2.6, half[1] - 0.3), vector(1, 0, 0), 0.9), 3.0)
        )
    for k in range(3):
        steps.append(Step(Blob(points[k] + vector(0, -6.0, -6.0), (3.0, 6.5 - 1.2 * k, 8.0)), 3.0))
    return steps


def _cuts(line: FloatArray, depth: float) -> list[Step]:
    """The canal, and four pairs of foramina from front to back."""
    middles = [line[k] + vector(0, -depth - 7.5 + 1.3 * k, 0) for k in range(SEGMENTS)]
    middles[0] = middles[0] + vector(0, -3.0, 8.0)
    steps = []
    for k in range(SEGMENTS - 1):
        halves = ((13.0 - 2.4 * k, 6.5 - 1.2 * k), (10.6 - 2.4 * k, 5.3 - 1.2 * k))
        steps.append(Step(Bar(middles[k], middles[k + 1], *halves, vector(1, 0, 0), 0.95, 0.3), 1.0, cut=True))
    for k in range(1, SEGMENTS):
        for side in (1, -1):
            x = side * (19.5 - 2.6 * (k - 1))
            at = line[k] * np.array([0, 1, 1]) + vector(x, 0, 0)
            front, back = at + vector(side * 3.0, 16, -2), at + vector(0, -32, 0)
            radius = 4.6 - 0.5 * (k - 1)
            steps.append(
                Step(Bar(front, back, (radius, radius), (0.7 * radius, 0.7 * radius), vector(1, 0, 0)), 2.0, cut=True)
            )
    return steps
