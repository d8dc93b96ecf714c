"""The Cobb construction between two levels: the angle as `measure` defines it, and the lines to draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verse_morph.errors import NotMeasurable
from verse_morph.space import FloatArray
from verse_morph.view.scene import Bone, Scene

REACH_MM = 50.0
# Two lines that are nearly parallel meet too far away to be drawn.
LEAST_DRAWN_DEG = 4.0
AWAY = {"sagittal": np.array([0.0, 1.0, 0.0]), "coronal": np.array([1.0, 0.0, 0.0])}
PLANES = tuple(AWAY)


@dataclass(frozen=True, eq=False)
class Construction:
    """The angle between the upper endplate of one level and the lower endplate of another.

    Parameters
    ----------
    angle_deg : float
        In the world's plane; signs as in ``curves.csv``.
    lines_mm : list of array (N, 3)
        Along both rim planes, and their perpendiculars up to where they meet.
    words : str
    """

    angle_deg: float
    lines_mm: list[FloatArray]
    words: str


def construction(scene: Scene, upper: str, lower: str, plane: str) -> Construction:
    """The Cobb construction between two levels of a scene.

    Parameters
    ----------
    scene : Scene
    upper, lower : str
        Levels; the upper one's upper and the lower one's lower rim plane count.
    plane : str
        ``sagittal`` or ``coronal``.

    Raises
    ------
    NotMeasurable
        A level has no rim plane, or the levels are not in this order.
    """
    from verse_morph.measure.curves import turn_deg, up_normal

    first, last = scene[upper], scene[lower]
    if not first.level < last.level:
        raise NotMeasurable(f"{upper} is not above {lower}")
    for bone, name in ((first, "superior"), (last, "inferior")):
        if name not in bone.planes:
            raise NotMeasurable(f"{bone.level}: no {name} rim plane")
    above = up_normal(first.planes["superior"], upper=True)
    below = up_normal(last.planes["inferior"], upper=False)
    angle = turn_deg(above, below, np.eye(3), plane)
    return Construction(angle, _lines(first, last, plane, angle), _words(upper, lower, plane, angle))


def _words(upper: str, lower: str, plane: str, angle: float) -> str:
    if plane == "sagittal":
        sense = "lordotic" if angle > 0 else "kyphotic"
    else:
        sense = "convex to the patient's right" if angle > 0 else "convex to the patient's left"
    return f"{upper} to {lower}, {plane}: {angle:+.1f}° ({sense}; lying, not standing)"


def _lines(first: Bone, last: Bone, plane: str, angle: float) -> list[FloatArray]:
    """Lines run towards the side on which the planes close: their perpendiculars then meet near the spine."""
    away = AWAY[plane] * (-1.0 if angle > 0 else 1.0)
    ends, lines, directions = [], [], []
    for bone, name in ((first, "superior"), (last, "inferior")):
        rim = bone.planes[name]
        middle = bone.plates[name].mean(axis=0)
        along = away - (away @ rim.normal) * rim.normal
        along /= np.linalg.norm(along)
        lines.append(np.array([middle - along * REACH_MM * 0.5, middle + along * REACH_MM]))
        ends.append(lines[-1][1])
        # Down from the upper plane, up from the lower one: both into the spine's span.
        directions.append(-rim.normal)
    if abs(angle) < LEAST_DRAWN_DEG:
        return lines
    meeting = _meeting(ends, directions, int(np.argmax(np.abs(away))))
    return lines if meeting is None else [*lines, np.array([ends[0], meeting, ends[1]])]


def _meeting(ends: list[FloatArray], directions: list[FloatArray], axis: int) -> FloatArray | None:
    shown = [axis, 2]
    matrix = np.stack([directions[0][shown], -directions[1][shown]], axis=1)
    if abs(np.linalg.det(matrix)) < 1e-6:
        return None
    steps = np.linalg.solve(matrix, (ends[1] - ends[0])[shown])
    points = [end + step * direction for end, step, direction in zip(ends, steps, directions, strict=True)]
    return np.asarray(np.mean(points, axis=0))
