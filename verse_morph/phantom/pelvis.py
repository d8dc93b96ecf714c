"""Hip bones and the upper ends of the femora, placed by a pelvic incidence below the first sacral endplate."""

from __future__ import annotations

import itertools

import numpy as np

from verse_morph.phantom.case import FEMUR, HIP
from verse_morph.phantom.implicit import Bar, Blob, Bone, Step
from verse_morph.phantom.parameters import SpineParameters
from verse_morph.phantom.primitives import Placement
from verse_morph.phantom.vertebra import mirrored, vector
from verse_morph.space import FloatArray

INCIDENCE_DEG = 52.0
PELVIC_TILT_DEG = 13.0
HEAD = vector(88, 25, -108)
HEAD_RADIUS = 23.5


def pelvic_placement(parameters: SpineParameters) -> Placement:
    """Pelvic frame: origin in the first sacral endplate, x right, z up when the pelvis tilts by 13 degrees."""
    sacral = np.array(parameters.sacrum.rotation)
    angle = np.radians(INCIDENCE_DEG - PELVIC_TILT_DEG)
    up = np.cos(angle) * sacral[:, 2] - np.sin(angle) * sacral[:, 1]
    front = np.cross(up, sacral[:, 0])
    return Placement(np.stack([sacral[:, 0], front, up], axis=1), np.array(parameters.sacrum.centre_mm))


def pelvis_bones(parameters: SpineParameters) -> list[Bone]:
    """Both hip bones and femora."""
    place = pelvic_placement(parameters)
    scale = parameters.sacrum.half_span / 60.0
    bones = []
    for name, side in (("right", 1), ("left", -1)):
        bones.append(Bone(HIP[name], place, tuple(_hip(side, scale))))
        bones.append(Bone(FEMUR[name], place, tuple(_femur(side, scale))))
    return bones


def _bar(
    side: int,
    scale: float,
    ends: tuple[FloatArray, FloatArray],
    halves: tuple[tuple[float, float], ...],
    across: FloatArray,
) -> Step:
    start, end = (mirrored(point * scale, side) for point in ends)
    return Step(Bar(start, end, halves[0], halves[1], mirrored(across, side), 0.95), 7.0)


def _hip(side: int, scale: float) -> list[Step]:
    """Iliac wing as a fan of flat rods with a thick crest, ischium, pubis, and the socket."""
    dome = vector(82, 14, -78)
    neck = vector(63, -36, -42)
    crest = [
        vector(121, 62, -22),
        vector(133, 42, 22),
        vector(128, 6, 46),
        vector(98, -42, 38),
        vector(52, -64, 12),
        vector(44, -60, -24),
    ]
    steps = _wing(side, scale, (dome, neck), crest)
    for a, b in itertools.pairwise(crest):
        steps.append(_bar(side, scale, (a, b), ((6.0, 7.0), (6.0, 7.0)), vector(1, 0, 0)))
    sit, front = vector(64, -12, -172), vector(11, 68, -138)
    steps += [
        _bar(side, scale, (vector(80, 2, -112), sit), ((13.0, 17.0), (12.0, 15.0)), vector(1, 0, 0)),
        _bar(side, scale, (sit, vector(26, 44, -164)), ((7.0, 10.0), (5.0, 9.0)), vector(1, 0.4, 0)),
        _bar(side, scale, (vector(26, 44, -164), front), ((5.0, 9.0), (7.0, 12.0)), vector(1, 0.4, 0)),
        _bar(side, scale, (vector(78, 44, -104), front + vector(4, 0, 6)), ((9.0, 9.0), (7.0, 9.0)), vector(0, 0, 1)),
        Step(Blob(mirrored(front * scale, side), (8.0, 9.0, 17.0)), 5.0),
    ]
    head = mirrored(HEAD * scale, side)
    steps.append(Step(Blob(head - mirrored(vector(4, 0, -2), side), (33.0 * scale, 33.0 * scale, 33.0 * scale)), 6.0))
    outward = mirrored(vector(0.75, 0.35, -0.55), side)
    radius = (HEAD_RADIUS + 2.5) * scale
    steps.append(Step(Blob(head, (radius, radius, radius)), 1.0, cut=True))
    mouth = Bar(
        head, head + outward * 50, (radius * 0.98, radius * 0.98), (radius * 1.5, radius * 1.5), vector(0, 0, 1)
    )
    return [*steps, Step(mouth, 2.0, cut=True), _hole(side, scale)]


def _wing(side: int, scale: float, base: tuple[FloatArray, FloatArray], crest: list[FloatArray]) -> list[Step]:
    """The iliac wing: flat rods from the line above the socket to the crest, each in the plane of its stretch of the
    crest.
    """
    edge = np.concatenate([np.linspace(a, b, 3, endpoint=False) for a, b in itertools.pairwise(crest)] + [crest[-1:]])
    steps = []
    for k in range(len(edge)):
        share = np.clip((k - 3) / (len(edge) - 4), 0, 1)
        start = base[0] + share * (base[1] - base[0])
        along = edge[min(k + 1, len(edge) - 1)] - edge[max(k - 1, 0)]
        normal = np.cross(along, edge[k] - start)
        width = float(np.linalg.norm(along)) * 0.5
        steps.append(_bar(side, scale, (start, edge[k]), ((9.0, 15.0), (3.6, width)), normal))
    return steps


def _hole(side: int, scale: float) -> Step:
    """The obturator foramen."""
    at = vector(46, 32, -140) * scale
    axis = vector(0.75, 0.35, -0.3)
    ends = (mirrored(at - axis * 22, side), mirrored(at + axis * 22, side))
    return Step(Bar(*ends, (13.0, 18.0), (13.0, 18.0), mirrored(vector(0.3, -0.9, 0), side)), 3.0, cut=True)


def _femur(side: int, scale: float) -> list[Step]:
    head = HEAD * scale
    base, shaft = vector(132, 10, -142) * scale, vector(126, 14, -215) * scale
    radius = HEAD_RADIUS * scale
    return [
        Step(Blob(mirrored(head, side), (radius, radius, radius)), 0.0),
        Step(Bar(mirrored(head, side), mirrored(base, side), (13.0, 15.0), (16.0, 20.0), vector(0, 1, 0)), 5.0),
        Step(Blob(mirrored(base + vector(8, -6, 12), side), (13.0, 17.0, 20.0)), 5.0),
        Step(Bar(mirrored(base, side), mirrored(shaft, side), (17.0, 19.0), (14.0, 15.0), vector(1, 0, 0)), 6.0),
    ]
