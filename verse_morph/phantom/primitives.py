"""Plain solids, rigid placement and set operations: what a phantom is put together from.

A solid answers which points lie inside it. Coordinates of a solid are its own, millimetres, x right, y anterior,
z superior; a :class:`Placement` puts it in the world (RAS mm).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verse_morph.space import FloatArray, frozen

BoolArray = NDArray[np.bool_]


class Solid(Protocol):
    """Anything that tells inside from outside and knows its bounding box."""

    def inside(self, points_mm: FloatArray) -> BoolArray:
        """Whether each of the points (N, 3) lies in the solid."""
        ...

    def bounds_mm(self) -> FloatArray:
        """Lowest and highest corner (2, 3) of a box that holds the solid."""
        ...


# --- where a solid lies -------------------------------------------------------------------------------------------


def rotation(right_deg: float = 0.0, anterior_deg: float = 0.0, superior_deg: float = 0.0) -> FloatArray:
    """Rotation matrix (3, 3): about the right axis first, then the anterior, then the superior one, right-handed.

    Positive ``right_deg`` lifts the anterior edge, positive ``anterior_deg`` lowers the right edge, positive
    ``superior_deg`` turns the front to the patient's left.
    """
    out = np.eye(3)
    for axis, degrees in enumerate((right_deg, anterior_deg, superior_deg)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
        out = turn @ out
    return out


@dataclass(frozen=True, eq=False)
class Placement:
    """A rigid motion: point in the world = ``rotation @ own point + offset_mm``.

    Parameters
    ----------
    rotation : array (3, 3)
        Orthonormal, determinant +1.
    offset_mm : array (3,)
        World position of the solid's own origin, RAS mm.
    """

    rotation: FloatArray = field(default_factory=lambda: np.eye(3))
    offset_mm: FloatArray = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self) -> None:
        matrix = np.array(self.rotation, dtype=np.float64)
        if matrix.shape != (3, 3) or not np.allclose(matrix @ matrix.T, np.eye(3)) or np.linalg.det(matrix) < 0:
            raise ValueError("a placement needs a 3 x 3 rotation matrix (orthonormal, determinant +1)")
        object.__setattr__(self, "rotation", frozen(matrix))
        object.__setattr__(self, "offset_mm", frozen(np.array(self.offset_mm, dtype=np.float64).reshape(3)))

    def to_world(self, points_mm: ArrayLike) -> FloatArray:
        """World points of a solid's own points (..., 3)."""
        return np.asarray(points_mm, dtype=np.float64) @ self.rotation.T + self.offset_mm

    def to_own(self, points_mm: ArrayLike) -> FloatArray:
        """A solid's own points of world points (..., 3)."""
        return (np.asarray(points_mm, dtype=np.float64) - self.offset_mm) @ self.rotation


def corners(bounds_mm: FloatArray) -> FloatArray:
    """The eight corners (8, 3) of a box given by its lowest and highest one (2, 3)."""
    low, high = bounds_mm
    return np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T


@dataclass(frozen=True, eq=False)
class Placed:
    """A solid moved rigidly."""

    solid: Solid
    placement: Placement

    def inside(self, points_mm: FloatArray) -> BoolArray:
        """Whether each of the points (N, 3) lies in the solid."""
        return self.solid.inside(self.placement.to_own(points_mm))

    def bounds_mm(self) -> FloatArray:
        """Corners (2, 3) of the moved box's own bounding box (loose for a turned solid)."""
        moved = self.placement.to_world(corners(self.solid.bounds_mm()))
        return np.stack([moved.min(axis=0), moved.max(axis=0)])


@dataclass(frozen=True, eq=False)
class Union:
    """Everything that lies in at least one of the parts."""

    parts: tuple[Solid, ...]

    def inside(self, points_mm: FloatArray) -> BoolArray:
        """Whether each of the points (N, 3) lies in the solid."""
        out = np.zeros(len(points_mm), dtype=bool)
        for part in self.parts:
            low, high = part.bounds_mm()
            near = ~out
            for axis in range(3):
                near &= (points_mm[:, axis] >= low[axis]) & (points_mm[:, axis] <= high[axis])
            near = np.flatnonzero(near)
            out[near] = part.inside(points_mm[near])
        return out

    def bounds_mm(self) -> FloatArray:
        """Corners (2, 3) of the box around all parts."""
        bounds = np.stack([part.bounds_mm() for part in self.parts])
        return np.stack([bounds[:, 0].min(axis=0), bounds[:, 1].max(axis=0)])


@dataclass(frozen=True, eq=False)
class Difference:
    """What remains of one solid when another is taken away."""

    solid: Solid
    removed: Solid

    def inside(self, points_mm: FloatArray) -> BoolArray:
        """Whether each of the points (N, 3) lies in the solid."""
        return self.solid.inside(points_mm) & ~self.removed.inside(points_mm)

    def bounds_mm(self) -> FloatArray:
        """Corners (2, 3) of the box around the solid before anything was taken away."""
        return self.solid.bounds_mm()


# --- plain solids -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Box:
    """A box centred on the origin; sizes along x, y, z in mm."""

    width: float
    depth: float
    height: float

    def inside(self, points_mm: FloatArray) -> BoolArray:
        """Whether each of the points (N, 3) lies in the solid."""
        return np.asarray((np.abs(points_mm) <= np.array([self.width, self.depth, self.height]) / 2).all(axis=1))

    def bounds_mm(self) -> FloatArray:
        """Corners (2, 3) of the box."""
        half = np.array([self.width, self.depth, self.height]) / 2
        return np.stack([-half, half])

    @property
    def volume_mm3(self) -> float:
        """Volume, closed form."""
        return self.width * self.depth * self.height

    @property
    def area_mm2(self) -> float:
        """Surface area, closed form."""
        return 2 * (self.width * self.depth + self.depth * self.height + self.height * self.width)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid centred on the origin; a, b, c are its semi-axes along x, y, z in mm."""

    a: float
    b: float
    c: float

    def inside(self, points_mm: FloatArray) -> BoolArray:
        """Whether each of the points (N, 3) lies in the solid."""
        return ((points_mm / np.array([self.a, self.b, self.c])) ** 2).sum(axis=1) <= 1

    def bounds_mm(self) -> FloatArray:
        """Corners (2, 3) of the box around the ellipsoid."""
        half = np.array([self.a, self.b, self.c])
        return np.stack([-half, half])

    @property
    def volume_mm3(self) -> float:
        """Volume, closed form."""
        return 4 / 3 * np.pi * self.a * self.b * self.c

    @property
    def area_mm2(self) -> float:
        """Surface area by Carlson's symmetric integral: ``4 pi R_G(a²b², a²c², b²c²)`` (DLMF 19.33.1)."""
        from scipy.special import elliprg

        ab, ac, bc = (self.a * self.b) ** 2, (self.a * self.c) ** 2, (self.b * self.c) ** 2
        return float(4 * np.pi * elliprg(ab, ac, bc))


@dataclass(frozen=True)
class Capsule:
    """All points within a radius of a straight segment, mm."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float

    def inside(self, points_mm: FloatArray) -> BoolArray:
        """Whether each of the points (N, 3) lies in the solid."""
        start = np.array(self.start)
        along = np.array(self.end) - start
        part = np.clip((points_mm - start) @ along / (along @ along), 0, 1)
        distance = np.linalg.norm(points_mm - start - part[:, None] * along, axis=1)
        return np.asarray(distance <= self.radius)

    def bounds_mm(self) -> FloatArray:
        """Corners (2, 3) of the box around the capsule."""
        ends = np.array([self.start, self.end])
        return np.stack([ends.min(axis=0) - self.radius, ends.max(axis=0) + self.radius])


@dataclass(frozen=True)
class Tube:
    """An elliptic cylinder with its axis along z, between two heights; the opening of a canal when taken away."""

    width: float
    depth: float
    centre_y: float
    low: float
    high: float

    def inside(self, points_mm: FloatArray) -> BoolArray:
        """Whether each of the points (N, 3) lies in the solid."""
        x, y, z = points_mm.T
        radius = (2 * x / self.width) ** 2 + (2 * (y - self.centre_y) / self.depth) ** 2
        return (radius <= 1) & (z >= self.low) & (z <= self.high)

    def bounds_mm(self) -> FloatArray:
        """Corners (2, 3) of the box around the tube."""
        x, y = self.width / 2, self.depth / 2
        return np.array([[-x, self.centre_y - y, self.low], [x, self.centre_y + y, self.high]])
