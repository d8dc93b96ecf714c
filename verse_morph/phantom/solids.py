"""Vertebrae whose volume, heights, tilts and canal are known in closed form, and a simple spine made of them.

They are the ruler that the measurements are held against, so nothing here uses measurement code. Coordinates of a
vertebra are its own: x right, y anterior, z superior, millimetres, origin in the middle of the body's footprint,
halfway between the endplates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError
from verse_morph.phantom.primitives import (
    BoolArray,
    Box,
    Capsule,
    Difference,
    Ellipsoid,
    Placed,
    Placement,
    Solid,
    Tube,
    Union,
    corners,
    rotation,
)
from verse_morph.space import FloatArray, Grid, direction_grid
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Body",
    "Box",
    "Capsule",
    "Difference",
    "Ellipsoid",
    "Placed",
    "Placement",
    "Sampling",
    "Solid",
    "SolidVertebra",
    "Tube",
    "Union",
    "elliptic_cylinder",
    "numeric_volume_mm3",
    "rotation",
    "simple_ct",
    "solid_case",
    "solid_spine",
    "spine_labelmap",
    "stack",
    "voxelise",
    "wedge",
]

# --- the vertebral body -------------------------------------------------------------------------------------------

# Share of the footprint's half-axes that a concave endplate's dish covers: the rim outside it stays plane.
DISH = 0.7


@dataclass(frozen=True)
class Body:
    """A vertebral body: a straight prism between two endplates that open towards each other symmetrically.

    Both endplates are planes with, if wanted, an elliptic-paraboloid dish in the middle. They tilt by the same amount
    in opposite directions, so the mean of their normals is z and heights run along z by definition.

    Parameters
    ----------
    width, depth : float
        Left-right and front-back extent of the footprint, the same at every height, mm.
    height_front, height_back : float
        Distance of the two rim planes at the foremost and hindmost point of the footprint's midline, mm.
    right_minus_left : float
        Distance of the rim planes at the rightmost minus that at the leftmost point, mm.
    concavity_superior, concavity_inferior : float
        Depth of the dishes along z, mm; 0 for a plane endplate.
    footprint : str
        ``ellipse``, ``box``, or ``d`` (a half ellipse in front of a rectangle, the nearest to anatomy).
    """

    width: float
    depth: float
    height_front: float
    height_back: float
    right_minus_left: float = 0.0
    concavity_superior: float = 0.0
    concavity_inferior: float = 0.0
    footprint: str = "d"

    def __post_init__(self) -> None:
        if self.footprint not in ("ellipse", "box", "d"):
            raise ValueError(f"footprint is 'ellipse', 'box' or 'd', got {self.footprint!r}")
        lowest = min(self.height_front, self.height_back) - abs(self.right_minus_left) / 2
        if min(self.width, self.depth, lowest - self.concavity_superior - self.concavity_inferior) <= 0:
            raise ValueError(f"the endplates of {self} meet; use greater heights or less concavity")

    @property
    def _slopes(self) -> tuple[float, float]:
        """Growth of the rim planes' distance per mm to the right and per mm to the front."""
        return self.right_minus_left / self.width, (self.height_front - self.height_back) / self.depth

    @property
    def rim_height(self) -> float:
        """Distance of the rim planes in the middle of the footprint, mm."""
        return (self.height_front + self.height_back) / 2

    def rim_distance(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Distance along z of the two rim planes at (x, y), mm."""
        gx, gy = self._slopes
        return self.rim_height + gx * x + gy * y

    def _dish(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Profile of a dish: 1 in its middle, 0 at and outside its edge."""
        return np.clip(1 - ((2 * x / self.width) ** 2 + (2 * y / self.depth) ** 2) / DISH**2, 0, None)

    def height(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Height of the column of bone at (x, y) of the footprint, mm."""
        lost = self.concavity_superior + self.concavity_inferior
        return self.rim_distance(x, y) - lost * self._dish(x, y)

    def in_footprint(self, x: FloatArray, y: FloatArray) -> BoolArray:
        """Whether (x, y) lies in the footprint."""
        u, v = 2 * x / self.width, 2 * y / self.depth
        if self.footprint == "box":
            return (np.abs(u) <= 1) & (np.abs(v) <= 1)
        ellipse = u**2 + v**2 <= 1
        if self.footprint == "ellipse":
            return ellipse
        return np.asarray(np.where(v >= 0, ellipse, (np.abs(u) <= 1) & (v >= -1)))

    def _reach(self, share: FloatArray, curved: bool) -> FloatArray:
        """Half chord of a curved or straight side, in half-axes, at a distance from the axis given in half-axes."""
        return np.sqrt(np.clip(1 - share**2, 0, None)) if curved else np.ones_like(share)

    def median_extents_mm(self) -> tuple[float, float, float]:
        """Width, front and back of the footprint by the definition, mm.

        The width is the median over the 2 mm about half depth, the front and the back are medians over the 4 mm about
        the mid-plane: on curved sides a little less than the greatest extent.
        """
        u, y = np.linspace(-2, 2, 401) / (self.width / 2), np.linspace(-1, 1, 401)
        v = 2 * y / self.depth
        curved = self.footprint == "ellipse"
        wide = np.where(v > 0, self._reach(v, self.footprint != "box"), self._reach(v, curved))
        front = np.median(self._reach(u, self.footprint != "box")) * self.depth / 2
        back = -np.median(self._reach(u, curved)) * self.depth / 2
        return float(np.median(wide)) * self.width, float(front), float(back)

    def inside(self, points_mm: FloatArray) -> BoolArray:
        """Whether each of the points (N, 3) lies in the solid."""
        x, y, z = points_mm.T
        half, dish = self.rim_distance(x, y) / 2, self._dish(x, y)
        below, above = z <= half - self.concavity_superior * dish, z >= self.concavity_inferior * dish - half
        return self.in_footprint(x, y) & below & above

    def bounds_mm(self) -> FloatArray:
        """Corners (2, 3) of the box around the body."""
        highest = (max(self.height_front, self.height_back) + abs(self.right_minus_left) / 2) / 2
        half = np.array([self.width / 2, self.depth / 2, highest])
        return np.stack([-half, half])

    def _footprint_moments(self) -> tuple[float, float, float, float]:
        """Area, first moment in y, second moments in x and in y of the footprint about the origin."""
        a, b = self.width / 2, self.depth / 2
        box = (4 * a * b, 0.0, 4 * a**3 * b / 3, 4 * a * b**3 / 3)
        ellipse = (np.pi * a * b, 0.0, np.pi * a**3 * b / 4, np.pi * a * b**3 / 4)
        if self.footprint == "d":
            area, _, in_x, in_y = ((p + q) / 2 for p, q in zip(box, ellipse, strict=True))
            return area, 2 / 3 * a * b**2 - a * b**2, in_x, in_y
        return box if self.footprint == "box" else ellipse

    @property
    def volume_mm3(self) -> float:
        """Volume, closed form (a paraboloid dish takes half its area times its depth)."""
        area, first, _, _ = self._footprint_moments()
        dish_area = np.pi * self.width * self.depth / 4 * DISH**2
        lost = (self.concavity_superior + self.concavity_inferior) * dish_area / 2
        return float(self.rim_height * area + self._slopes[1] * first - lost)

    @property
    def centroid_mm(self) -> FloatArray:
        """Centre of mass (3,) in own coordinates, closed form."""
        gx, gy = self._slopes
        _, first, in_x, in_y = self._footprint_moments()
        dish_area = np.pi * self.width * self.depth / 4 * DISH**2
        both = self.concavity_superior + self.concavity_inferior
        uneven = (self.concavity_inferior - self.concavity_superior) / 2
        moment_z = uneven * dish_area * (self.rim_height / 2 - both / 3)
        return np.array([gx * in_x, self.rim_height * first + gy * in_y, moment_z]) / self.volume_mm3

    def normals(self) -> tuple[FloatArray, FloatArray]:
        """Unit normals of the superior and the inferior rim plane, both pointing up."""
        gx, gy = self._slopes
        upper, lower = np.array([-gx / 2, -gy / 2, 1.0]), np.array([gx / 2, gy / 2, 1.0])
        return upper / np.linalg.norm(upper), lower / np.linalg.norm(lower)

    def heights_mm(self) -> dict[str, float]:
        """The five heights of the definition, mm: the closed-form height, median over the definition's window.

        Anterior, middle, posterior: 10, 50, 90 % of the depth from the front, within 1 mm of it, and within 10 % of
        the width of the centroid's sagittal plane. Left and right: 30 % of the width from that plane, at half depth,
        within 1 mm.
        """
        centre = float(self.centroid_mm[0])
        width, front, back = self.median_extents_mm()
        out = {}
        for name, share in (("anterior", 0.1), ("middle", 0.5), ("posterior", 0.9)):
            out[name] = self._window(centre, 0.1 * width, front - share * (front - back))
        for name, side in (("left", -1), ("right", 1)):
            out[name] = self._window(centre + side * 0.3 * width, 1.0, (front + back) / 2)
        return out

    def _window(self, x: float, half_x: float, y: float) -> float:
        xs, ys = np.meshgrid(np.linspace(x - half_x, x + half_x, 201), np.linspace(y - 1, y + 1, 41))
        return float(np.median(self.height(xs, ys)))


def wedge(width: float, depth: float, height_front: float, height_back: float) -> Body:
    """A box whose endplates tilt in the sagittal plane by equal and opposite angles."""
    return Body(width, depth, height_front, height_back, footprint="box")


def elliptic_cylinder(width: float, depth: float, height: float, concavity: float = 0.0) -> Body:
    """A straight cylinder on an ellipse; with a concavity both endplates are dished."""
    return Body(
        width, depth, height, height, concavity_superior=concavity, concavity_inferior=concavity, footprint="ellipse"
    )


# --- the vertebra -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SolidVertebra:
    """A body with pedicles, a closed arch round an elliptic canal, a spinous and two transverse processes.

    The canal's front touches the body's back on the midline, so the cut at the canal's front wall is the body's own
    back. Default sizes are about those of L3 (Panjabi et al. 1992).

    Parameters
    ----------
    body : Body
    canal_width, canal_depth : float
        Axes of the canal's ellipse, mm.
    pedicle_width, pedicle_height : float
        Left-right and up-down size of the pedicles, mm.
    arch_thickness, lamina_height : float
        Thickness of the ring round the canal, and its up-down size behind the canal's middle, mm.
    spinous_length, spinous_height, spinous_drop_deg : float
        From the ring backwards, mm; the process points down by the angle.
    transverse_length, transverse_height : float
        From the pedicle's outer side, mm; the height is the diameter of the round process.

    Notes
    -----
    With the footprint ``ellipse`` the pedicles bridge the space between the curved back of the body and the plane of
    the canal's front: that bone belongs to the pedicles in the truth, and a measurement that only cuts at the plane
    counts it as body.
    """

    body: Body = Body(46.0, 35.0, 27.0, 26.0)
    canal_width: float = 24.0
    canal_depth: float = 18.0
    pedicle_width: float = 9.0
    pedicle_height: float = 14.0
    arch_thickness: float = 6.0
    lamina_height: float = 19.0
    spinous_length: float = 28.0
    spinous_height: float = 17.0
    spinous_drop_deg: float = 18.0
    transverse_length: float = 22.0
    transverse_height: float = 9.0

    @property
    def canal_y(self) -> float:
        """Position of the canal's axis along y, mm."""
        return -(self.body.depth + self.canal_depth) / 2

    @property
    def _pedicle_z(self) -> float:
        # Pedicles leave the upper half of the body, 2 mm below the posterior rim.
        return self.body.height_back / 2 - 2 - self.pedicle_height / 2

    def solid(self) -> Solid:
        """The whole vertebra as one solid."""
        canal = Tube(self.canal_width, self.canal_depth, self.canal_y, -1e3, 1e3)
        return Union((self.body, Difference(self.posterior(), Union((canal, self.body)))))

    def posterior(self) -> Solid:
        """Everything but the body, before the canal is opened; reaches into the body so that no seam is left."""
        top = self._pedicle_z + self.pedicle_height / 2
        width, depth = self.canal_width + 2 * self.arch_thickness, self.canal_depth + 2 * self.arch_thickness
        front = Tube(width, depth, self.canal_y, top - self.pedicle_height, top)
        ring = Tube(width, depth, self.canal_y, top - self.lamina_height, top)
        ahead = Placed(Box(1e3, 1e3, 1e3), Placement(offset_mm=np.array([0, self.canal_y + 500, 0])))
        laminae = Difference(ring, ahead)
        return Union((front, laminae, *self._pedicles(), self._spinous(), *self._transverse()))

    def _pedicles(self) -> tuple[Solid, ...]:
        x = (self.canal_width + self.pedicle_width) / 2
        # A curved back recedes from the canal's plane: the pedicles follow it to the body's middle.
        front = 0.0 if self.body.footprint == "ellipse" else -self.body.depth / 2 + 1
        box = Box(self.pedicle_width, front - self.canal_y, self.pedicle_height)
        y = (front + self.canal_y) / 2
        return tuple(Placed(box, Placement(offset_mm=np.array([s * x, y, self._pedicle_z]))) for s in (-1, 1))

    def _spinous(self) -> Solid:
        turn = rotation(self.spinous_drop_deg)
        length = self.spinous_length + self.arch_thickness / 2
        start = np.array([0, self.canal_y - (self.canal_depth + self.arch_thickness) / 2, 0])
        start[2] = self._pedicle_z + (self.pedicle_height - self.lamina_height) / 2
        box = Box(0.4 * self.spinous_height, length, self.spinous_height)
        return Placed(box, Placement(turn, start + turn @ np.array([0, -length / 2, 0])))

    def _transverse(self) -> tuple[Solid, ...]:
        radius = self.transverse_height / 2
        x0 = self.canal_width / 2 + self.pedicle_width / 2
        x1 = self.canal_width / 2 + self.pedicle_width + self.transverse_length - radius
        y, z = self.canal_y, self._pedicle_z
        return tuple(Capsule((s * x0, y, z), (s * x1, y - 4, z + 1), radius) for s in (-1, 1))

    def inside(self, points_mm: FloatArray) -> BoolArray:
        """Whether each of the points (N, 3) lies in the solid."""
        return self.solid().inside(points_mm)

    def bounds_mm(self) -> FloatArray:
        """Corners (2, 3) of the box around the vertebra."""
        return self.solid().bounds_mm()

    def truth(self, placement: Placement | None = None) -> dict[str, float]:
        """True values (closed form) under the vertebra table's column names; the whole volume is not among them.

        Tilts are those of the rim planes against the world's axial plane. Sagittal: + when the anterior edge is the
        higher one, so that superior tilt of the upper minus inferior tilt of the lower vertebra is the Cobb angle,
        + = lordotic. Coronal: + when the right edge is the higher one; the same difference is + = convex to the right.
        Width and depth at mid-height are perpendicular to the superior axis, those of an endplate lie in its rim plane.
        """
        placement = placement or Placement()
        body = self.body
        out = dict(zip(("body_x_mm", "body_y_mm", "body_z_mm"), placement.to_world(body.centroid_mm), strict=True))
        out["body_volume_cm3"] = body.volume_mm3 / 1000
        out |= {f"height_{name}_mm": value for name, value in body.heights_mm().items()}
        width, front, back = body.median_extents_mm()
        depth = front - back
        out |= {"body_width_middle_mm": width, "body_depth_middle_mm": depth}
        depths = (body.concavity_superior, body.concavity_inferior)
        for side, normal, dish in zip(("superior", "inferior"), body.normals(), depths, strict=True):
            out[f"endplate_{side}_width_mm"] = float(width * np.hypot(1, normal[0] / normal[2]))
            out[f"endplate_{side}_depth_mm"] = float(depth * np.hypot(1, normal[1] / normal[2]))
            nx, ny, nz = placement.rotation @ normal
            out[f"endplate_{side}_tilt_sagittal_deg"] = float(np.degrees(np.arctan2(-ny, nz)))
            out[f"endplate_{side}_tilt_coronal_deg"] = float(np.degrees(np.arctan2(-nx, nz)))
            out[f"endplate_{side}_concavity_mm"] = float(dish * normal[2])
        out |= {"canal_width_mm": self.canal_width, "canal_depth_mm": self.canal_depth}
        out["canal_area_mm2"] = float(np.pi * self.canal_width * self.canal_depth / 4)
        return {name: float(value) + 0.0 for name, value in out.items()}  # + 0.0 turns -0.0 into 0.0


def numeric_volume_mm3(solid: Solid, step_mm: float = 0.5) -> float:
    """Volume of any solid by counting points of a fine lattice: not closed form, within about 0.1 % at the default.

    The solid is turned against the lattice, so that none of its faces lies on a layer of points.
    """
    turned = Placed(solid, Placement(rotation(11.0, 17.0, 23.0)))
    low, high = turned.bounds_mm()
    xs, ys, zs = (np.arange(a, b + step_mm, step_mm) for a, b in zip(low, high, strict=True))
    x, y = (grid.ravel() for grid in np.meshgrid(xs, ys))
    count = sum(int(turned.inside(np.column_stack([x, y, np.full(x.size, z)])).sum()) for z in zs)
    return count * step_mm**3


# --- from solid to voxels -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sampling:
    """How solids become voxels.

    Parameters
    ----------
    spacing_mm : float or 3 floats
        Voxel size along the grid's right-left, front-back and up-down axis (whatever the storage order), mm.
    axes : str
        Storage order and direction of the array axes, for example ``PIR``.
    margin_mm : float
        Free space around the solids.
    supersample : int
        1: a voxel belongs to the solid when its centre does. n > 1: when more than half of n³ points in it do.
    turn : tuple of 3 float
        Angles of :func:`rotation` by which the grid's axes are turned in the world (an oblique scan), degrees.
    """

    spacing_mm: float | Sequence[float] = 1.0
    axes: str = "RAS"
    margin_mm: float = 6.0
    supersample: int = 1
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def grid(self, solids: Sequence[Solid]) -> Grid:
        """The grid around placed solids; voxel centres lie at multiples of the spacing, wherever the solids are."""
        turn = rotation(*self.turn)
        points = np.concatenate([corners(solid.bounds_mm()) for solid in solids]) @ turn
        spacing = np.broadcast_to(np.asarray(self.spacing_mm, dtype=np.float64), 3)
        first = np.floor((points.min(axis=0) - self.margin_mm) / spacing).astype(int)
        last = np.ceil((points.max(axis=0) + self.margin_mm) / spacing).astype(int)
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = turn * spacing, turn @ (first * spacing)
        shape = last - first + 1
        return direction_grid(Grid(tuple(shape), affine), self.axes)


def voxelise(
    solid: Solid,
    spacing_mm: float | Sequence[float] = 1.0,
    rotation: FloatArray | None = None,
    offset_mm: ArrayLike | None = None,
    margin_mm: float = 6.0,
    axes: str = "RAS",
    supersample: int = 1,
) -> tuple[BoolArray, Grid]:
    """Sample one solid on a grid of its own.

    Parameters
    ----------
    spacing_mm, margin_mm, axes, supersample
        See :class:`Sampling`.
    rotation : array (3, 3), optional
        Turns the solid about its own origin, in the world.
    offset_mm : array (3,), optional
        World position of the solid's own origin; less than a voxel's step moves the solid against the grid.

    Returns
    -------
    mask : array (i, j, k) of bool
    grid : Grid

    Notes
    -----
    A flat face parallel to a grid plane moves to the nearest face of voxels, up to half a voxel off: with the voxel
    centre rule errors of single cases do not average out within a solid. Average over rotations and offsets.
    """
    turn = np.eye(3) if rotation is None else rotation
    placed = Placed(solid, Placement(turn, np.zeros(3) if offset_mm is None else np.asarray(offset_mm)))
    grid = Sampling(spacing_mm, axes, margin_mm, supersample).grid([placed])
    return _sample(placed, grid, tuple(slice(0, n) for n in grid.shape), supersample), grid


def _index_points(box: Sequence[slice]) -> FloatArray:
    ranges = [np.arange(s.start, s.stop, dtype=np.float64) for s in box]
    return np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)


def _sample(solid: Solid, grid: Grid, box: Sequence[slice], supersample: int) -> BoolArray:
    """The solid on ``grid[box]``; only voxels with an unlike neighbour are looked at more closely."""
    from scipy import ndimage

    index = _index_points(box)
    mask = solid.inside(grid.to_world(index)).reshape([s.stop - s.start for s in box])
    if supersample <= 1:
        return mask
    around = np.ones((3, 3, 3), dtype=bool)
    border = ndimage.binary_dilation(mask, around) & ~ndimage.binary_erosion(mask, around)
    where = np.flatnonzero(border)
    step = (np.arange(supersample) + 0.5) / supersample - 0.5
    count = np.zeros(len(where), dtype=np.int32)
    for shift in np.stack(np.meshgrid(step, step, step), axis=-1).reshape(-1, 3):
        count += solid.inside(grid.to_world(index[where] + shift))
    out = mask.copy()
    out.flat[where] = 2 * count > supersample**3
    return out


def spine_labelmap(
    vertebrae: Mapping[Level, tuple[Solid, Placement]], sampling: Sampling | None = None, name: str = "solid-spine"
) -> LabelMap:
    """Several placed solids as one mask with VerSe's labels.

    Raises
    ------
    InputError
        When two solids claim the same voxel.
    """
    sampling = sampling or Sampling()
    placed = {level: Placed(solid, placement) for level, (solid, placement) in vertebrae.items()}
    grid = sampling.grid(list(placed.values()))
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for level, solid in placed.items():
        reach = grid.to_index(corners(solid.bounds_mm()))
        low = np.clip(np.floor(reach.min(axis=0)) - 1, 0, None).astype(int)
        high = np.clip(np.ceil(reach.max(axis=0)) + 2, None, grid.shape).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        mask = _sample(solid, grid, box, sampling.supersample)
        shared = np.unique(labels[box][mask])
        if shared.any():
            other = ", ".join(str(VERSE.levels[int(v)]) for v in shared if v)
            raise InputError(f"{level} overlaps {other}; place the solids further apart")
        labels[box][mask] = VERSE.value_of(level)
    return LabelMap(labels, grid, VERSE, name)


# --- a small lumbar spine -----------------------------------------------------------------------------------------


def stack(
    vertebrae: Mapping[Level, SolidVertebra],
    tilts_deg: Sequence[float],
    discs_mm: Sequence[float],
    origin_mm: ArrayLike = (0.0, 0.0, 0.0),
) -> dict[Level, Placement]:
    """Place vertebrae below each other, head to foot.

    Parameters
    ----------
    tilts_deg : sequence of N float
        Rotation of each vertebra about the right axis, + = anterior edge up.
    discs_mm : sequence of N - 1 float
        Distance between the middles of facing rim planes.
    origin_mm : array (3,)
        World position of the first vertebra's own origin.
    """
    out: dict[Level, Placement] = {}
    foot, above = np.zeros(3), rotation()
    for i, (level, vertebra) in enumerate(vertebrae.items()):
        turn = rotation(tilts_deg[i])
        half = turn[:, 2] * vertebra.body.rim_height / 2
        if i == 0:
            centre = np.asarray(origin_mm, dtype=np.float64)
        else:
            down = -(above[:, 2] + turn[:, 2])
            centre = foot + discs_mm[i - 1] * down / np.linalg.norm(down) - half
        out[level] = Placement(turn, centre)
        foot, above = centre - half, turn
    return out


def solid_spine() -> dict[Level, tuple[SolidVertebra, Placement]]:
    """L1 to L5 on a lordotic arc (sizes after Panjabi et al. 1992), L1 wedge-compressed in front."""
    sizes = {  # width, depth, height at the front and the back, canal width, pedicle width
        Level.L1: (43.0, 34.0, 16.0, 25.0, 23.0, 8.0),
        Level.L2: (44.5, 35.0, 26.5, 26.5, 23.5, 8.5),
        Level.L3: (46.0, 35.0, 27.0, 26.0, 24.0, 9.5),
        Level.L4: (48.0, 35.5, 27.5, 25.0, 25.0, 10.5),
        Level.L5: (49.5, 35.0, 28.5, 23.5, 27.0, 11.0),
    }
    shapes = {}
    for level, (width, depth, front, back, canal, pedicle) in sizes.items():
        body = Body(width, depth, front, back, concavity_superior=1.0, concavity_inferior=1.5)
        shapes[level] = SolidVertebra(body, canal_width=canal, pedicle_width=pedicle)
    # A little off the voxel grid: sides that run exactly through voxel centres would all be rounded the same way.
    tilts, discs = (9.0, 7.0, 2.0, -6.0, -18.0), (8.0, 9.0, 10.5, 11.0)
    places = stack(shapes, tilts, discs, origin_mm=(0.27, 0.0, 0.0))
    return {level: (shapes[level], places[level]) for level in shapes}


def solid_case(seed: int = 0, spacing_mm: float | Sequence[float] = 1.0) -> tuple[LabelMap, Scan, pd.DataFrame]:
    """A five-vertebra lumbar spine: its mask, a simple CT of it, and one row of true values per vertebra.

    Parameters
    ----------
    seed : int
        Seed of the image noise; the anatomy is always the same.
    spacing_mm : float or 3 floats
        Voxel size along right-left, front-back, up-down, mm.

    Returns
    -------
    labels : LabelMap
    scan : Scan
        HU as int16 on the same grid: trabecular bone 150, cortical shell 600, soft tissue 40, fat, air behind the skin.
    truth : DataFrame
        ``level``, ``label`` and the columns of :meth:`SolidVertebra.truth`.
    """
    import pandas as pd

    spine = solid_spine()
    labels = spine_labelmap(spine, Sampling(spacing_mm, axes="PIR", margin_mm=16, supersample=3), name="solid-demo")
    scan = Scan(simple_ct(labels, np.random.default_rng(seed)), labels.grid, labels.name)
    rows = [
        {"level": str(level), "label": VERSE.value_of(level), **vertebra.truth(placement)}
        for level, (vertebra, placement) in spine.items()
    ]
    return labels, scan, pd.DataFrame(rows)


def simple_ct(labels: LabelMap, generator: np.random.Generator) -> NDArray[np.int16]:
    """Hounsfield units for a mask: bone with a cortical shell of 1.5 mm in soft tissue, skin fat and air behind.

    Blurred by a Gaussian of 0.6 mm and with white noise of 20 HU: enough to exercise the path from CT to
    density, not an image of a scanner.
    """
    from scipy import ndimage

    bone, grid = labels.labels > 0, labels.grid
    spacing = grid.spacing_mm
    # The distance is between voxel centres; the surface lies half a voxel nearer.
    depth = ndimage.distance_transform_edt(bone, sampling=spacing) - spacing.min() / 2
    axes = np.ogrid[tuple(slice(0, n) for n in grid.shape)]
    row = grid.affine[1]
    y = row[0] * axes[0] + row[1] * axes[1] + row[2] * axes[2] + row[3]
    back = float(np.broadcast_to(y, bone.shape)[bone].min())
    hu = np.full(bone.shape, 40, dtype=np.float32)
    hu[np.broadcast_to(y < back - 3, hu.shape)] = -90
    hu[np.broadcast_to(y < back - 10, hu.shape)] = -1000
    hu[bone] = np.where(depth[bone] <= 1.5, 600, 150)
    hu = ndimage.gaussian_filter(hu, 0.6 / spacing)
    hu += generator.normal(0, 20, hu.shape).astype(np.float32)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
