"""The smooth line through the bodies' centres: how it bends, and how far it strays from the plumb line.

The line is a cubic smoothing spline over arc length through the centres of whole bodies, one for each stretch without a
missing level. It says nothing at the ends of a stretch: a spline's bend there is the method's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level, missing_between
from verse_morph.errors import NotMeasurable
from verse_morph.measure.body import per_subject, require_frame
from verse_morph.measure.measurement import measurement
from verse_morph.space import FloatArray
from verse_morph.spine import Flag, Spine, Vertebra

LINE = "cubic smoothing spline through the body centroids; Frenet's formulas"
ROTATION = "axial rotation against the sagittal plane, after Aaro and Dahlborn 1981; body frame in place of landmarks"
PLUMB = "horizontal distance between body centroids, supine, inside the field of view"
LEAST_BODIES = 5
# Weight of the smoothing, in units of the cube of the mean step: a line that is scaled smooths alike.
SMOOTHING = 0.02
# The plane in which a line bends, and so its torsion, is not defined where it hardly bends.
LEAST_CURVATURE_PER_M = 1.0


@dataclass(frozen=True, eq=False)
class LinePoint:
    """What the centre line does at one body: its direction, curvature and torsion there.

    Parameters
    ----------
    tangent : array (3,)
        Unit direction, upwards.
    curvature_per_m, torsion_per_m : float
        Torsion is NaN where the line hardly bends.
    """

    tangent: FloatArray
    curvature_per_m: float
    torsion_per_m: float


@per_subject
def centre_line(spine: Spine) -> Mapping[Level, LinePoint]:
    """Direction, curvature and torsion at each body that has two whole neighbours above and below, or at least one on
    either side of a stretch of five.

    Parameters
    ----------
    spine : Spine
    """
    found: dict[Level, LinePoint] = {}
    for stretch in _stretches(spine):
        if len(stretch) >= LEAST_BODIES:
            found |= _along(stretch)
    return found


def _stretches(spine: Spine) -> list[list[Vertebra]]:
    """Runs of whole bodies without a missing level, head to foot."""
    runs: list[list[Vertebra]] = [[]]
    for vertebra in spine:
        if vertebra.centre_mm is None or Flag.BODY_CUT in vertebra.flags:
            runs.append([])
            continue
        if runs[-1] and missing_between(runs[-1][-1].level, vertebra.level):
            runs.append([])
        runs[-1].append(vertebra)
    return [run for run in runs if run]


def _along(stretch: list[Vertebra]) -> dict[Level, LinePoint]:
    from scipy.interpolate import make_smoothing_spline

    points = np.array([v.centre_mm for v in reversed(stretch)])
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    weight = SMOOTHING * float(steps.mean()) ** 3
    splines = [make_smoothing_spline(arc, points[:, axis], lam=weight) for axis in range(3)]
    first, second, third = (np.stack([s.derivative(n)(arc) for s in splines], axis=1) for n in (1, 2, 3))
    # The third derivative of a cubic jumps at its knots: the mean of both sides is meant.
    before = np.stack([s.derivative(3)(arc - 1e-6 * steps.mean()) for s in splines], axis=1)
    third = 0.5 * (third + before)
    out = {}
    for i, vertebra in list(enumerate(reversed(stretch)))[1:-1]:
        out[vertebra.level] = _frenet(first[i], second[i], third[i])
    return out


def _frenet(first: NDArray, second: NDArray, third: NDArray) -> LinePoint:
    binormal = np.cross(first, second)
    curvature = 1000 * float(np.linalg.norm(binormal) / np.linalg.norm(first) ** 3)
    torsion = np.nan
    if curvature >= LEAST_CURVATURE_PER_M:
        torsion = 1000 * float(binormal @ third / (binormal @ binormal))
    return LinePoint(np.asarray(first / np.linalg.norm(first)), curvature, torsion)


def _at(vertebra: Vertebra, spine: Spine) -> LinePoint:
    point = centre_line(spine).get(vertebra.level)
    if point is None:
        if vertebra.centre_mm is None or Flag.BODY_CUT in vertebra.flags:
            raise vertebra.missing("centre")
        raise NotMeasurable(
            f"{vertebra.level}: at the end of its row, or in a row of fewer than {LEAST_BODIES} whole bodies"
        )
    return point


@measurement(unit="per_m", length_power=-1, of="spine", counts=False, source=LINE)
def centre_line_curvature(vertebra: Vertebra, spine: Spine) -> float:
    """Curvature of the smooth line through the body centres at this body, one over the radius in metres.

    Misleads beside a fractured body, whose centre moves backwards.
    """
    return _at(vertebra, spine).curvature_per_m


@measurement(unit="per_m", length_power=-1, of="spine", mirror="flip", counts=False, source=LINE)
def centre_line_torsion(vertebra: Vertebra, spine: Spine) -> float:
    """Torsion of the smooth line through the body centres at this body: turn of its plane of bending per metre of
    height, positive as a right-handed screw.

    Misleads wherever bending is weak: a small shift of a centre then turns the plane by much.
    """
    torsion = _at(vertebra, spine).torsion_per_m
    if np.isnan(torsion):
        raise NotMeasurable(f"{vertebra.level}: the line is nearly straight here, its plane of bending is not defined")
    return torsion


# --- rotation ---------------------------------------------------------------------------------------------------------


@measurement(unit="deg", length_power=0, frame="world", mirror="flip", of="spine", counts=False, source=ROTATION)
def axial_rotation(vertebra: Vertebra, spine: Spine) -> float:
    """Turn of the vertebra about its own superior axis out of the world's sagittal plane, positive when its front faces
    to the patient's right.

    Misleads when the patient lies turned: then every vertebra shows it.
    """
    frame = require_frame(vertebra)
    ahead = np.array([0.0, 1.0, 0.0])
    return float(np.degrees(np.arctan2(-(ahead @ frame.right), ahead @ frame.anterior)))


@measurement(unit="deg", length_power=0, mirror="flip", of="spine", counts=False, source=ROTATION)
def axial_rotation_on_next(vertebra: Vertebra, spine: Spine) -> float:
    """Turn of the vertebra about its own superior axis against the next one below, positive when its front faces
    farther to the right.
    """
    frame = require_frame(vertebra)
    levels = spine.levels()
    below = levels.index(vertebra.level) + 1
    if below == len(levels):
        raise NotMeasurable(f"{vertebra.level}: no vertebra below in the mask")
    if missing_between(vertebra.level, levels[below]):
        raise NotMeasurable(f"{vertebra.level}: the vertebra below is not in the mask")
    ahead = require_frame(spine[levels[below]]).anterior
    return float(np.degrees(np.arctan2(-(ahead @ frame.right), ahead @ frame.anterior)))


# --- balance inside the view ------------------------------------------------------------------------------------------


def _offset(vertebra: Vertebra, spine: Spine, axis: int) -> float:
    if vertebra.centre_mm is None or Flag.BODY_CUT in vertebra.flags:
        raise vertebra.missing("centre")
    lowest = [v for v in spine if v.centre_mm is not None and Flag.BODY_CUT not in v.flags][-1]
    if lowest is vertebra:
        raise NotMeasurable(f"{vertebra.level}: the lowest whole body in view, from which offsets are counted")
    return float(vertebra.centre_mm[axis] - lowest.centre_mm[axis])  # type: ignore[index]


@measurement(unit="mm", length_power=1, frame="world", of="spine", counts=False, source=PLUMB)
def offset_front_of_lowest(vertebra: Vertebra, spine: Spine) -> float:
    """Horizontal distance of the body centroid in front of that of the lowest whole body in view, world RAS.

    Misleads when taken for a sagittal vertical axis: the patient lies, and the lowest body in view need not be S1.
    """
    return _offset(vertebra, spine, 1)


@measurement(unit="mm", length_power=1, frame="world", mirror="flip", of="spine", counts=False, source=PLUMB)
def offset_right_of_lowest(vertebra: Vertebra, spine: Spine) -> float:
    """Horizontal distance of the body centroid to the right of that of the lowest whole body in view, world RAS.

    Misleads when taken for coronal balance: the patient lies, and the lowest body in view need not be S1.
    """
    return _offset(vertebra, spine, 0)
