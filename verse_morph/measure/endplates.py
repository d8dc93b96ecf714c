"""Tilt and concavity of the endplates.

Tilts are relative to the world's axial plane. A sagittal tilt is positive when the plate's front edge is higher, a
coronal one when its right edge is: the upper tilt of an upper vertebra minus the lower tilt of a lower one is then
the signed angle between them, positive for lordosis and for a curve convex to the patient's right.
"""

from __future__ import annotations

import numpy as np

from verse_morph.measure.body import require_endplate
from verse_morph.measure.measurement import measurement
from verse_morph.spine import Vertebra

COBB = "Cobb 1948; rim plane by Tukey's biweight"
CONCAVITY = "Sun et al. (endplate concavity); reference plane is the rim plane"
NEIGHBOURHOOD_MM = 1.5


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


def _concavity(vertebra: Vertebra, upper: bool) -> float:
    """Largest local mean distance of the endplate surface below its rim plane, inside the rim, mm."""
    from scipy.spatial import cKDTree

    plate = require_endplate(vertebra, upper)
    # The outer quarter is the rim itself; where pedicles meet the body its columns end on them.
    points = plate.points_mm[plate.edge_mm > 0.25 * plate.edge_mm.max()]
    below = (plate.rim.point_mm - points) @ plate.rim.normal
    near = cKDTree(points).query_ball_point(points, NEIGHBOURHOOD_MM)
    return float(max(below[index].mean() for index in near))


@measurement(unit="mm", length_power=1, source=CONCAVITY)
def endplate_superior_concavity(vertebra: Vertebra) -> float:
    """Largest depth of the upper endplate below its rim plane, averaged over 1.5 mm around the place.

    Misleads at Schmorl nodes, whose depth it then gives, and is biased upwards by about the scatter of the outline
    where a plate is flat.
    """
    return _concavity(vertebra, True)


@measurement(unit="mm", length_power=1, source=CONCAVITY)
def endplate_inferior_concavity(vertebra: Vertebra) -> float:
    """Largest depth of the lower endplate inside its rim plane, averaged over 1.5 mm around the place.

    Misleads at Schmorl nodes, whose depth it then gives, and is biased upwards by about the scatter of the outline
    where a plate is flat.
    """
    return _concavity(vertebra, False)
