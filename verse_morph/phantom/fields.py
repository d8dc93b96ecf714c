"""Random fields and separable filters, written as one small matrix per axis: a 96^3 volume takes milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatVolume = NDArray[np.float32]
FWHM_PER_SIGMA = 2.3548
NEGLIGIBLE = 1e-10


def apply_axes(volume: NDArray, matrices: Sequence[NDArray | None]) -> FloatVolume:
    """Multiply every line of a volume along axis n by ``matrices[n]`` (out, in); None leaves an axis alone."""
    out = np.asarray(volume, dtype=np.float32)
    first, second, third = (None if m is None else np.asarray(m, dtype=np.float32) for m in matrices)
    if third is not None:
        out = out @ third.T
    if second is not None:
        out = second @ out
    if first is not None:
        out = (first @ out.reshape(out.shape[0], -1)).reshape(first.shape[0], *out.shape[1:])
    return out


def gauss_matrix(n: int, sigma: float) -> NDArray[np.float32]:
    """Matrix (n, n) of a Gaussian filter, sigma in samples; rows sum to one, so borders keep their level."""
    if sigma < 0.05:
        return np.eye(n, dtype=np.float32)
    apart = np.arange(n)[:, None] - np.arange(n)[None, :]
    weights = np.exp(-0.5 * (apart / sigma) ** 2)
    # What is far below rounding becomes denormal in single precision, with which processors compute 16 times slower.
    weights[weights < NEGLIGIBLE] = 0
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def slice_matrices(n: int, thickness: float, start: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Averaging over slices of a thickness in samples, and linear interpolation back: (slices, n) and (n, slices).

    Parameters
    ----------
    n : int
        Samples along the axis.
    thickness : float
        At least 1; also the distance of the slices.
    start : float
        Share of a slice by which the first one begins before the first sample.
    """
    centres = np.arange(-start * thickness + thickness / 2 - 0.5, n - 0.5 + thickness / 2, thickness)
    samples = np.arange(n)
    overlap = np.clip((thickness + 1) / 2 - np.abs(centres[:, None] - samples), 0, 1)
    kept = overlap.sum(axis=1) > 0
    centres, overlap = centres[kept], overlap[kept]
    down = overlap / overlap.sum(axis=1, keepdims=True)
    return down.astype(np.float32), linear_matrix(centres, samples).astype(np.float32)


def linear_matrix(knots: NDArray, at: NDArray) -> NDArray[np.float64]:
    """Matrix (len(at), len(knots)) of linear interpolation from evenly spaced knots, constant outside."""
    step = knots[1] - knots[0] if len(knots) > 1 else 1.0
    place = np.clip((np.asarray(at) - knots[0]) / step, 0, len(knots) - 1)
    low = np.minimum(place.astype(int), max(len(knots) - 2, 0))
    matrix = np.zeros((len(at), len(knots)))
    rows = np.arange(len(at))
    matrix[rows, low] = 1 - (place - low)
    matrix[rows, np.minimum(low + 1, len(knots) - 1)] += place - low
    return matrix


def between_knots(volume: NDArray, axis: int, step: float, n: int, start: int = 0) -> NDArray:
    """Linear interpolation along one axis at n places, ``step`` knots apart, from the ``start``-th place on."""
    place = np.minimum((start + np.arange(n)) * step, volume.shape[axis] - 1)
    low = np.minimum(place.astype(int), max(volume.shape[axis] - 2, 0))
    share = (place - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(volume.ndim)])
    out = volume.take(low, axis=axis)
    above = volume.take(np.minimum(low + 1, volume.shape[axis] - 1), axis=axis)
    above -= out
    above *= share
    out += above
    return out


def spline_matrix(n: int, distance: float) -> NDArray[np.float32]:
    """Matrix (n, knots) of cubic B-splines whose knots lie ``distance`` samples apart and reach beyond both ends."""
    return spline_weights(np.arange(n), int(np.ceil((n - 1) / distance)) + 3, distance)


def spline_weights(at: NDArray, count: int, distance: float) -> NDArray[np.float32]:
    """Weights (len(at), count) of cubic B-splines at any places, in samples; the second knot lies at 0."""
    u = np.abs(np.asarray(at)[:, None] / distance - np.arange(-1, count - 1)[None, :])
    near = 2 / 3 - u**2 + u**3 / 2
    return np.where(u < 1, near, np.clip(2 - u, 0, None) ** 3 / 6).astype(np.float32)


def smooth_field(
    shape: Sequence[int], distance: float | Sequence[float] | NDArray, rng: np.random.Generator
) -> FloatVolume:
    """A smooth random volume of mean 0 and about unit SD, made of B-splines on coarse knots.

    Parameters
    ----------
    shape : 3 int
    distance : float or 3 floats
        Distance of the knots, samples: structures are about that large.
    """
    steps = np.broadcast_to(np.asarray(distance, dtype=float), 3)
    matrices = [spline_matrix(n, step) for n, step in zip(shape, steps, strict=True)]
    # A cubic B-spline weighs independent knots such that 0.48 of their variance is left per axis.
    knots = rng.standard_normal([m.shape[1] for m in matrices], dtype=np.float32) / np.float32(0.48**1.5)
    return apply_axes(knots, matrices)


def coloured_noise(shape: Sequence[int], sigmas: Sequence[float] | NDArray, rng: np.random.Generator) -> FloatVolume:
    """White noise blurred by Gaussians (sigmas in samples) and brought back to unit SD."""
    matrices = [gauss_matrix(n, s) for n, s in zip(shape, sigmas, strict=True)]
    gain = np.prod([np.sqrt((m[len(m) // 2] ** 2).sum()) for m in matrices])
    white = rng.standard_normal(shape, dtype=np.float32)
    return apply_axes(white, [m if s >= 0.05 else None for m, s in zip(matrices, sigmas, strict=True)]) / np.float32(
        gain
    )


def occupancy(depth_mm: NDArray, voxel_mm: float) -> FloatVolume:
    """Share of a voxel that lies inside a surface at a signed depth (+ inside) of its centre."""
    return np.clip(depth_mm / np.float32(voxel_mm) + np.float32(0.5), 0, 1)
