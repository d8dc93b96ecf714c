"""An endplate's rim as a place: where it lies on its plane, and where its corners are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.measure.body import Extent, endplate_extents, per_subject, require_endplate, require_frame
from verse_morph.space import FloatArray
from verse_morph.spine import Endplate, Flag, Vertebra

# What of a vertebra's flags matters for its endplates.
END_FLAGS = frozenset(
    {
        Flag.ENDPLATE_COLLAPSED,
        Flag.NEIGHBOUR_OVERLAP,
        Flag.NUMBERING_ASSUMED,
        Flag.NUMBERING_IN_DOUBT,
        Flag.THICK_SLICES,
    }
)
# Half-width of the strip of endplate points from which the sacrum's depth and width are taken, mm.
STRIP_MM = 3.0


@dataclass(frozen=True, eq=False)
class Rim:
    """The outline of an endplate on its rim plane, world RAS mm.

    Parameters
    ----------
    point_mm : array (3,)
        A point of the rim plane from which the extents are counted.
    right, front, up : array (3,)
        Unit axes: *up* is normal to the plane and points to the head.
    width, depth : Extent
        Where the body begins and ends along *right* at mid-depth and along *front* at mid-width.
    """

    point_mm: FloatArray
    right: FloatArray
    front: FloatArray
    up: FloatArray
    width: Extent
    depth: Extent

    def at(self, x: float, y: float) -> FloatArray:
        """World point of the rim plane."""
        return np.asarray(self.point_mm + x * self.right + y * self.front)

    @property
    def middle_mm(self) -> FloatArray:
        """Middle of the outline."""
        return self.at(self.width.middle, self.depth.middle)

    @property
    def depth_ends_mm(self) -> FloatArray:
        """Back and front corner (2, 3) in the middle of the width."""
        return np.stack([self.at(self.width.middle, y) for y in (self.depth.low, self.depth.high)])

    @property
    def width_ends_mm(self) -> FloatArray:
        """Left and right end (2, 3) in the middle of the depth."""
        return np.stack([self.at(x, self.depth.middle) for x in (self.width.low, self.width.high)])


def perpendicular(vector: NDArray, normal: NDArray) -> FloatArray:
    """Unit vector of what a vector has at right angles to a unit normal."""
    rest = vector - (vector @ normal) * normal
    return np.asarray(rest / np.linalg.norm(rest), dtype=np.float64)


@per_subject
def rim_of(vertebra: Vertebra, upper: bool) -> Rim:
    """Rim of a vertebra's upper or lower endplate.

    Raises
    ------
    NotMeasurable
        Without that endplate or a frame.
    """
    plate, frame = require_endplate(vertebra, upper), require_frame(vertebra)
    width, depth = endplate_extents(vertebra, upper)
    up = plate.rim.normal * (1 if upper else -1)
    right = perpendicular(frame.right, up)
    return Rim(plate.rim.point_mm, right, np.cross(up, right), up, width, depth)


def rim_of_sacrum(plate: Endplate, right_mm: NDArray) -> Rim:
    """Rim of the first sacral endplate, whose right axis is that of the vertebra above.

    Raises
    ------
    NotMeasurable
        Too few points along its middle.
    """
    up = plate.rim.normal
    right = perpendicular(right_mm, up)
    front = np.cross(up, right)
    x, y = ((plate.points_mm - plate.rim.point_mm) @ axis for axis in (right, front))
    depth = _extent(y, x, plate.edge_mm)
    width = _extent(x, y - depth.middle, plate.edge_mm)
    return Rim(plate.rim.point_mm, right, front, up, width, depth)


def _extent(along: NDArray, across: NDArray, edge_mm: NDArray) -> Extent:
    """Ends of a strip of points, each moved out by its distance from the footprint's edge."""
    strip = np.flatnonzero(np.abs(across) <= STRIP_MM)
    if len(strip) < 2:
        raise NotMeasurable("S1: too little of its endplate is in view")
    first, last = strip[along[strip].argmin()], strip[along[strip].argmax()]
    return Extent(float(along[first] - edge_mm[first]), float(along[last] + edge_mm[last]))
