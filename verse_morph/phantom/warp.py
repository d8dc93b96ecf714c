"""Deforming label maps at random, and the depth of every voxel below the surfaces that result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.phantom.fields import FloatVolume, apply_axes, spline_matrix, spline_weights

FloatArray = NDArray[np.float64]
# Label numbers of full maps that stand for the other side after mirroring.
_SIDED = {30: 31, 32: 33, 90: 91} | {left: left + 20 for left in range(41, 54)}
# Deeper or further is nowhere told apart.
FARTHEST_MM = 60.0
# The displacement is smooth and small against the distance of its knots: this many steps invert it to 0.01 mm.
INVERSION_STEPS = 12


@dataclass(frozen=True)
class DeformationRange:
    """How strongly shapes are changed; each value is the largest one drawn.

    Parameters
    ----------
    rotation_deg, shear : float
        Angle about each axis, shear.
    scale : 2 floats
        Smallest and largest magnification.
    stretch : float
        Share by which each axis may differ from it.
    bend_mm : float
        SD of the smooth displacement is up to 1.5 times this.
    mirror : float
        Probability of left and right being swapped; labels of paired bones are swapped with them.
    lean_deg : float
        Further angle about the left-right axis, as of a bowed neck that is scanned on its own.
    """

    rotation_deg: float = 15.0
    shear: float = 0.08
    scale: tuple[float, float] = (0.8, 1.25)
    stretch: float = 0.1
    bend_mm: float = 2.0
    mirror: float = 0.5
    lean_deg: float = 0.0


@dataclass(frozen=True, eq=False)
class Deformation:
    """One deformation of the space around the middle of a volume.

    Parameters
    ----------
    shape, spacing_mm : 3 int, 3 floats
        Of the volume that is made.
    matrix : array (3, 3)
        From offsets in the new volume to offsets in the source, mm.
    mirrored : bool
    knots : 3 arrays
        Displacement of B-spline knots along each source axis, mm.
    knot_mm : float
        Distance of the knots.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    matrix: FloatArray
    mirrored: bool
    knots: tuple[FloatVolume, FloatVolume, FloatVolume]
    knot_mm: float

    def places(
        self, source_spacing_mm: FloatArray, source_centre: FloatArray, part: slice = slice(None)
    ) -> FloatVolume:
        """Source voxel (3, i, j, k) of every voxel of the slices ``part`` of the new volume."""
        axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(self.shape, self.spacing_mm, strict=True)]
        axes[2] = axes[2][part]
        bases = [spline_matrix(n, self.knot_mm / s) for n, s in zip(self.shape, self.spacing_mm, strict=True)]
        bases[2] = bases[2][part]
        offsets = np.ix_(*axes)
        places = np.empty((3, *(len(axis) for axis in axes)), dtype=np.float32)
        for axis in range(3):
            straight = [(self.matrix[axis, i] * offsets[i]).astype(np.float32) for i in range(3)]
            moved = straight[0] + straight[1] + straight[2] + apply_axes(self.knots[axis], bases)
            places[axis] = moved / np.float32(source_spacing_mm[axis]) + np.float32(source_centre[axis])
        return places

    def moved(self, points: NDArray, source_spacing_mm: FloatArray, source_centre: FloatArray) -> FloatArray:
        """Where source voxels (N, 3) come to lie: voxels of the new volume, by fixed-point iteration."""
        spacing = np.asarray(self.spacing_mm)
        middle = (np.asarray(self.shape) - 1) / 2
        wanted = (np.asarray(points, dtype=float).reshape(-1, 3) - source_centre) * source_spacing_mm
        back = np.linalg.inv(self.matrix)
        offset = wanted @ back.T
        for _ in range(INVERSION_STEPS):
            offset = (wanted - self._displacement(offset / spacing + middle)) @ back.T
        return offset / spacing + middle

    def _displacement(self, at: FloatArray) -> FloatArray:
        """Displacement (N, 3) in mm at places (N, 3) in voxels of the new volume."""
        counts = self.knots[0].shape
        x, y, z = (
            spline_weights(at[:, a], counts[a], self.knot_mm / s).astype(np.float64)
            for a, s in enumerate(self.spacing_mm)
        )
        return np.stack([np.einsum("ni,nj,nk,ijk->n", x, y, z, knots, optimize=True) for knots in self.knots], axis=1)

    def sample(
        self, labels: NDArray[np.uint8], places: FloatVolume, other_side: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Labels at places, going on beyond the border as they end there, and whether a place lies in the source.

        Parameters
        ----------
        labels : array (i, j, k) of uint8
        places : array (3, i, j, k)
        other_side : array (256,) of uint8
            What each label becomes when the deformation mirrors.
        """
        from scipy.ndimage import map_coordinates

        warped = map_coordinates(labels, places, order=0, mode="nearest", prefilter=False)
        seen = np.ones(warped.shape, dtype=bool)
        for place, n in zip(places, labels.shape, strict=True):
            seen &= (place >= -0.5) & (place <= n - 0.5)
        return (other_side[warped] if self.mirrored else warped), seen


def draw_deformation(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    rng: np.random.Generator,
    limits: DeformationRange,
) -> Deformation:
    """A random deformation for a volume."""
    from scipy.spatial.transform import Rotation

    angles = rng.uniform(-1, 1, 3) * limits.rotation_deg
    if limits.lean_deg:
        angles[0] += rng.uniform(-1, 1) * limits.lean_deg
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    low, high = np.log(limits.scale)
    scale = np.exp(rng.uniform(low, high) + rng.uniform(-1, 1, 3) * limits.stretch)
    shear = np.eye(3) + np.triu(rng.uniform(-limits.shear, limits.shear, (3, 3)), 1)
    mirrored = bool(rng.random() < limits.mirror)
    flip = np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0])
    knot_mm = float(rng.uniform(14, 40))
    size = [spline_matrix(n, knot_mm / s).shape[1] for n, s in zip(shape, spacing_mm, strict=True)]
    shifts = [
        rng.standard_normal(size, dtype=np.float32) * np.float32(3 * rng.uniform(0, 1.5) * limits.bend_mm)
        for _ in range(3)
    ]
    matrix = flip @ turn @ shear @ np.diag(1 / scale)
    return Deformation(shape, spacing_mm, matrix, mirrored, (shifts[0], shifts[1], shifts[2]), knot_mm)


def other_side() -> NDArray[np.uint8]:
    """What each label (256,) of this project's full maps becomes when left and right are swapped."""
    table = np.arange(256, dtype=np.uint8)
    for left, right in _SIDED.items():
        table[left], table[right] = right, left
    return table


def signed_depth(labels: NDArray[np.uint8], spacing_mm: tuple[float, float, float]) -> FloatVolume:
    """Distance of voxel centres to the nearest face between different labels, + inside labels, - outside, mm.

    Parameters
    ----------
    labels : array (i, j, k) of uint8
        255 must be free.
    spacing_mm : 3 floats
    """
    import edt

    # Background as a label of its own: one pass for both sides.
    outside = labels == 0
    every = np.where(outside, np.uint8(255), labels)
    distance = edt.edt(np.ascontiguousarray(every), anisotropy=spacing_mm, black_border=False, parallel=1)
    # Distances run between voxel centres; the face lies half a voxel before. Without any face they are infinite.
    distance -= np.float32(0.5 * min(spacing_mm))
    np.clip(distance, 0, FARTHEST_MM, out=distance)
    np.negative(distance, out=distance, where=outside)
    return distance
