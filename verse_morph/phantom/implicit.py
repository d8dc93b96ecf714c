"""Implicit solids: functions that give the depth below a surface (positive inside, mm), blended into bones.

A bone is a short list of steps: smooth unions of parts and cuts out of what is there so far. Depths are those of the
defining functions; they are distances near the surface and grow slower or faster than a distance deep inside. Every
part is evaluated only where its own bounding box (plus :data:`REACH_MM`) lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from verse_morph.phantom.primitives import Placement, corners
from verse_morph.space import FloatArray, Grid

Field = NDArray[np.float32]

# How far outside a part its depth is evaluated, and the depth of everything farther away.
REACH_MM = 5.0
FAR_MM = -10.0
# Different bones never touch: between two that meet, this much is left free.
CLEFT_MM = 0.9


class Part(Protocol):
    """A solid given by its depth function in the coordinates of its bone."""

    def depth(self, x: Field, y: Field, z: Field) -> Field:
        """Depth below the surface at points, positive inside, mm."""
        ...

    def bounds_mm(self) -> FloatArray:
        """Lowest and highest corner (2, 3) of a box around the solid."""
        ...


@dataclass(frozen=True, eq=False)
class Bar:
    """A straight rod with a rounded-rectangular section that may taper and be cut by a plane.

    Parameters
    ----------
    start, end : array (3,)
        Ends of the axis, mm; the rod reaches beyond them by its rounding radius times ``overhang``.
    start_half, end_half : 2 floats
        Half thickness across (along ``across``) and half height (perpendicular to it) at both ends, mm.
    across : array (3,)
        Direction of the thickness; its part along the axis is removed.
    roundness : float
        Edge radius as a share of the smaller half size: 1 is a stadium.
    overhang : float
    keep : tuple of (point, normal), optional
        Only the side of the plane that the normal points to is kept.
    """

    start: FloatArray
    end: FloatArray
    start_half: tuple[float, float]
    end_half: tuple[float, float]
    across: FloatArray
    roundness: float = 1.0
    overhang: float = 0.5
    keep: tuple[FloatArray, FloatArray] | None = None

    def _axes(self) -> tuple[float, NDArray]:
        axis = np.asarray(self.end, dtype=np.float64) - self.start
        length = float(np.linalg.norm(axis))
        u = axis / length
        v = np.asarray(self.across, dtype=np.float64) - (self.across @ u) * u
        v /= np.linalg.norm(v)
        return length, np.stack([u, v, np.cross(u, v)]).astype(np.float32)

    def depth(self, x: Field, y: Field, z: Field) -> Field:
        """See :class:`Part`."""
        length, axes = self._axes()
        px, py, pz = (p - np.float32(s) for p, s in zip((x, y, z), self.start, strict=True))
        u, v, w = (a[0] * px + a[1] * py + a[2] * pz for a in axes)
        share = np.clip(u / np.float32(length), 0, 1)
        hv = np.float32(self.start_half[0]) + share * np.float32(self.end_half[0] - self.start_half[0])
        hw = np.float32(self.start_half[1]) + share * np.float32(self.end_half[1] - self.start_half[1])
        r = np.float32(self.roundness) * np.minimum(hv, hw)
        half = np.float32(length / 2)
        qu = np.abs(u - half) - half + r * np.float32(1 - self.overhang)
        qv, qw = np.abs(v) - hv + r, np.abs(w) - hw + r
        outside = np.sqrt(np.square(np.maximum(qu, 0)) + np.square(np.maximum(qv, 0)) + np.square(np.maximum(qw, 0)))
        out = r - outside - np.minimum(np.maximum(np.maximum(qu, qv), qw), 0)
        if self.keep is not None:
            point, normal = (np.asarray(a, dtype=np.float32) for a in self.keep)
            side = (x - point[0]) * normal[0] + (y - point[1]) * normal[1] + (z - point[2]) * normal[2]
            out = smooth_min(out, side, 0.8)
        return out

    def bounds_mm(self) -> FloatArray:
        """See :class:`Part`."""
        ends = np.stack([self.start, self.end])
        size = max(max(self.start_half), max(self.end_half)) * 1.25
        return np.stack([ends.min(axis=0) - size, ends.max(axis=0) + size])


@dataclass(frozen=True, eq=False)
class Blob:
    """An ellipsoid with any orientation; ``axes`` are rows, ``half`` its half-axes in mm."""

    centre: FloatArray
    half: tuple[float, float, float]
    axes: FloatArray = field(default_factory=lambda: np.eye(3))
    keep: tuple[FloatArray, FloatArray] | None = None

    def depth(self, x: Field, y: Field, z: Field) -> Field:
        """See :class:`Part`."""
        px, py, pz = (p - np.float32(c) for p, c in zip((x, y, z), self.centre, strict=True))
        square, slope = np.float32(0), np.float32(0)
        for axis, half in zip(np.asarray(self.axes, dtype=np.float32), self.half, strict=True):
            q = (axis[0] * px + axis[1] * py + axis[2] * pz) / np.float32(half)
            square = square + q * q
            slope = slope + np.square(q / np.float32(half))
        radius = np.sqrt(square)
        # Depth = level of the function over its slope; at the centre the slope is that of the shortest axis.
        out = (1 - radius) * radius / np.maximum(np.sqrt(slope), radius / np.float32(max(self.half)) + 1e-6)
        out = np.where(radius < 0.5, (1 - radius) * np.float32(min(self.half)), out)
        if self.keep is not None:
            point, normal = (np.asarray(a, dtype=np.float32) for a in self.keep)
            side = (x - point[0]) * normal[0] + (y - point[1]) * normal[1] + (z - point[2]) * normal[2]
            out = smooth_min(out, side, 0.8)
        return out

    def bounds_mm(self) -> FloatArray:
        """See :class:`Part`."""
        extent = np.sqrt(np.square(np.asarray(self.axes).T * np.asarray(self.half)).sum(axis=1))
        return np.stack([self.centre - extent, self.centre + extent])


def smooth_min(a: Field, b: Field, k: float) -> Field:
    """Smaller of two depths with the edge between them rounded over about ``k`` mm (polynomial blend)."""
    h = np.maximum(np.float32(k) - np.abs(a - b), 0)
    return np.minimum(a, b) - h * h * np.float32(0.25 / k)


def smooth_max(a: Field, b: Field, k: float) -> Field:
    """Greater of two depths with a fillet of about ``k`` mm."""
    h = np.maximum(np.float32(k) - np.abs(a - b), 0)
    return np.maximum(a, b) + h * h * np.float32(0.25 / k)


@dataclass(frozen=True, eq=False)
class Step:
    """One step of building a bone: add a part (with a fillet of ``blend_mm``) or cut it away."""

    part: Part
    blend_mm: float = 2.0
    cut: bool = False


@dataclass(frozen=True, eq=False)
class Lattice:
    """Points on a regular lattice: ``first + i * steps[0] + j * steps[1] + k * steps[2]``."""

    shape: tuple[int, int, int]
    first: FloatArray
    steps: FloatArray

    @classmethod
    def of(cls, grid: Grid) -> Lattice:
        """Voxel centres of a grid, in the world."""
        return cls(grid.shape, np.array(grid.affine[:3, 3]), np.array(grid.affine[:3, :3].T))

    def box(self, bounds_mm: FloatArray, reach_mm: float) -> tuple[slice, slice, slice] | None:
        """Index box that holds all lattice points inside a box of space, or None when it is empty."""
        wide = np.stack([bounds_mm[0] - reach_mm, bounds_mm[1] + reach_mm])
        index = (corners(wide) - self.first) @ np.linalg.inv(self.steps)
        low = np.clip(np.floor(index.min(axis=0)), 0, self.shape).astype(int)
        high = np.clip(np.ceil(index.max(axis=0)) + 1, 0, self.shape).astype(int)
        if (high <= low).any():
            return None
        i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return i, j, k

    def sub(self, box: Sequence[slice]) -> Lattice:
        """The lattice of one index box."""
        start = np.array([s.start for s in box], dtype=np.float64)
        return Lattice(tuple(s.stop - s.start for s in box), self.first + start @ self.steps, self.steps)

    def seen_from(self, placement: Placement) -> Lattice:
        """The same points in the own coordinates of something placed in this lattice's space."""
        return Lattice(self.shape, placement.to_own(self.first), self.steps @ placement.rotation)

    def points(self, box: Sequence[slice]) -> tuple[Field, Field, Field]:
        """Coordinates x, y, z of the points of an index box, each of the box's shape."""
        i, j, k = (np.arange(s.start, s.stop, dtype=np.float32) for s in box)
        out = []
        for axis in range(3):
            a, b, c = (np.float32(step[axis]) for step in self.steps)
            out.append(
                (np.float32(self.first[axis]) + a * i)[:, None, None] + (b * j)[None, :, None] + (c * k)[None, None, :]
            )
        return tuple(out)  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class Bone:
    """A bone: what it is made of, in its own coordinates, and where it lies in the world."""

    label: int
    placement: Placement
    steps: tuple[Step, ...]

    def bounds_mm(self) -> FloatArray:
        """Corners (2, 3) of a box around all that is added, own coordinates."""
        bounds = np.stack([step.part.bounds_mm() for step in self.steps if not step.cut])
        return np.stack([bounds[:, 0].min(axis=0), bounds[:, 1].max(axis=0)])

    def world_bounds_mm(self) -> FloatArray:
        """Corners (2, 3) of a box around the bone in the world."""
        moved = self.placement.to_world(corners(self.bounds_mm()))
        return np.stack([moved.min(axis=0), moved.max(axis=0)])

    def depth(self, own: Lattice, reach_mm: float = REACH_MM) -> Field:
        """Depth at all points of a lattice in the bone's own coordinates; :data:`FAR_MM` where no part is near."""
        out = np.full(own.shape, FAR_MM, dtype=np.float32)
        for step in self.steps:
            box = own.box(step.part.bounds_mm(), reach_mm)
            if box is None:
                continue
            here = step.part.depth(*own.points(box))
            if step.cut:
                out[box] = smooth_min(out[box], -here, step.blend_mm) if step.blend_mm else np.minimum(out[box], -here)
            elif step.blend_mm:
                out[box] = smooth_max(out[box], here, step.blend_mm)
            else:
                out[box] = np.maximum(out[box], here)
        return out

    def volume_mm3(self, step_mm: float = 0.7) -> float:
        """Volume by quadrature of the depth function on the bone's own lattice, each point with its partial share."""
        low, high = self.bounds_mm()
        total = 0.0
        for own in _slabs(low - 2 * step_mm, high + 2 * step_mm, step_mm):
            depth = self.depth(own, reach_mm=2 * step_mm)
            total += float(np.clip(depth / np.float32(step_mm) + np.float32(0.5), 0, 1).sum(dtype=np.float64))
        return total * step_mm**3


def _slabs(low: FloatArray, high: FloatArray, step_mm: float, thickness: int = 48) -> Iterator[Lattice]:
    """A lattice over a box in slabs, so that no large array is held."""
    counts = np.ceil((high - low) / step_mm).astype(int) + 1
    for start in range(0, counts[2], thickness):
        shape = (int(counts[0]), int(counts[1]), int(min(thickness, counts[2] - start)))
        yield Lattice(shape, low + np.array([0.0, 0.0, start * step_mm]), np.eye(3) * step_mm)
