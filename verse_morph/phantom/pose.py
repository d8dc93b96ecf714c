"""Where each vertebra lies: a chain of body points with given distances and turning angles, and a frame at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.phantom.parameters import Point, VertebraParameters
from verse_morph.phantom.primitives import Placement
from verse_morph.space import FloatArray


@dataclass(frozen=True, eq=False)
class Chain:
    """Angles of the links between neighbouring body points.

    Parameters
    ----------
    levels : tuple of N Level
    distances_mm : array (N - 1,)
        Length of the link below each level but the last.
    sagittal_deg, coronal_deg : array (N - 1,)
        Direction of each link, looking upwards: + = leaning forward, + = leaning to the right.
    turn_deg : array (N,)
        Axial rotation of each vertebra, + = front to the left.
    last_bend_deg : float
        Sagittal angle by which the line turns at the last level, on to the sacrum, + = lordotic.
    """

    levels: tuple[Level, ...]
    distances_mm: FloatArray
    sagittal_deg: FloatArray
    coronal_deg: FloatArray
    turn_deg: FloatArray
    last_bend_deg: float


def frame_at(sagittal_deg: float, coronal_deg: float, turn_deg: float) -> FloatArray:
    """Rotation (3, 3) whose columns are right, anterior and superior axis of a vertebra."""
    up = np.array([np.tan(np.radians(coronal_deg)), np.tan(np.radians(sagittal_deg)), 1.0])
    up /= np.linalg.norm(up)
    right = np.array([1.0, 0, 0]) - up[0] * up
    right /= np.linalg.norm(right)
    front = np.cross(up, right)
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    return np.stack([c * right + s * front, c * front - s * right, up], axis=1)


def tilts(link_deg: FloatArray, last_bend_deg: float = 0.0) -> FloatArray:
    """Tilt of each vertebra (N,) from those of the links (N - 1,): the mean of the links above and below.

    Below the last vertebra the line goes on, turned by ``last_bend_deg``.
    """
    padded = np.concatenate([link_deg[:1], link_deg, link_deg[-1:] + last_bend_deg])
    return (padded[:-1] + padded[1:]) / 2


def link_vectors(chain: Chain) -> FloatArray:
    """Links (N - 1, 3) as vectors that point down, mm."""
    up = np.stack(
        [
            np.tan(np.radians(chain.coronal_deg)),
            np.tan(np.radians(chain.sagittal_deg)),
            np.ones_like(chain.sagittal_deg),
        ],
        axis=1,
    )
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    return -up * chain.distances_mm[:, None]


def place(chain: Chain, shapes: Sequence[VertebraParameters], origin: int) -> tuple[VertebraParameters, ...]:
    """Shapes with their place in the world; the body of number ``origin`` lies in the world's origin."""
    points = np.concatenate([np.zeros((1, 3)), np.cumsum(link_vectors(chain), axis=0)])
    points -= points[origin]
    sagittal, coronal = tilts(chain.sagittal_deg, chain.last_bend_deg), tilts(chain.coronal_deg)
    out = []
    for shape, point, a, b, turn in zip(shapes, points, sagittal, coronal, chain.turn_deg, strict=True):
        rotation = frame_at(a, b, turn)
        centre = point - rotation @ np.array(shape.body_point)
        out.append(replace(shape, centre_mm=as_point(centre), rotation=as_rows(rotation)))
    return tuple(out)


def as_point(vector: FloatArray) -> Point:
    """A plain tuple, for JSON."""
    x, y, z = (float(v) for v in vector)
    return (x, y, z)


def as_rows(matrix: FloatArray) -> tuple[Point, Point, Point]:
    """A 3 x 3 matrix as plain tuples."""
    a, b, c = (as_point(row) for row in matrix)
    return (a, b, c)


def rim_tilts(shape: VertebraParameters) -> dict[str, float]:
    """Sagittal and coronal tilt of both rim planes against the world's axial plane, degrees (see
    :mod:`verse_morph.phantom.truth`).
    """
    gx = shape.right_minus_left / shape.width_middle / 2
    gy = (shape.height_front - shape.height_back) / shape.depth_middle / 2
    rotation = np.array(shape.rotation)
    out = {}
    for name, sign in (("superior", 1.0), ("inferior", -1.0)):
        n = rotation @ np.array([-sign * gx, -sign * gy, 1.0])
        out[f"{name}_sagittal"] = float(np.degrees(np.arctan2(-n[1], n[2])))
        out[f"{name}_coronal"] = float(np.degrees(np.arctan2(-n[0], n[2])))
    return out


def moved(placement: Placement, offset_own_mm: FloatArray) -> FloatArray:
    """World position of a point of something placed."""
    return placement.to_world(offset_own_mm)
