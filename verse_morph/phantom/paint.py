"""Simulated CT painted onto label maps: strongly randomised patches to train on.

The idea is domain randomisation (Billot et al. 2023, SynthSeg): a network that has seen every contrast, resolution and
shape, realistic or not, takes a real scan for one more of them. Array axes run to the right, to the front and upwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from verse_morph.phantom.fields import (
    FloatVolume,
    apply_axes,
    coloured_noise,
    gauss_matrix,
    occupancy,
    slice_matrices,
    smooth_field,
    spline_matrix,
)
from verse_morph.phantom.labelmap import MapOptions, from_labelmap
from verse_morph.phantom.warp import Deformation, DeformationRange, draw_deformation, other_side, signed_depth

__all__ = ["DeformationRange", "MapOptions", "PatchOptions", "from_labelmap", "paint_patch", "paint_points"]

AIR_HU, METAL_HU = -1024.0, 3071.0


@dataclass(frozen=True)
class PatchOptions:
    """How far painted training patches stray from the label map they come from.

    Parameters
    ----------
    shape : 3 int
        Of the patch that is made.
    spacing_mm : float
        Of the patch that is made, the same along all axes.
    deformation : DeformationRange
    noise_sd_hu : 2 floats
        Smallest and largest noise, drawn evenly on a logarithmic scale.
    thickness_mm : float
        Largest slice thickness; half of the patches have thin slices.
    extra_bone, foreign, cut : float
        Probability of unlabelled bone near the labelled one, of metal or cement, of a border of the field of view.
    overgrowth : float
        Probability of spurs: new bone on the surface of labelled bone, labelled as that, as osteophytes and worn facets
        have. It may close a joint.
    fused : tuple of (int, int)
        Labels that are part of another one's bone (S1 of the sacrum) and become it: no cortex runs between them.
    """

    shape: tuple[int, int, int] = (96, 96, 96)
    spacing_mm: float = 1.0
    deformation: DeformationRange = field(default_factory=DeformationRange)
    noise_sd_hu: tuple[float, float] = (8.0, 250.0)
    thickness_mm: float = 5.0
    extra_bone: float = 0.7
    foreign: float = 0.08
    cut: float = 0.25
    overgrowth: float = 0.0
    fused: tuple[tuple[int, int], ...] = ((29, 26),)


def paint_patch(
    labels_patch: NDArray,
    spacing: float | tuple[float, float, float],
    rng: np.random.Generator,
    options: PatchOptions | None = None,
    centre: tuple[float, float, float] | None = None,
) -> tuple[FloatVolume, NDArray[np.uint8]]:
    """A randomised CT patch and its labels, made from a label map or a patch of one.

    Parameters
    ----------
    labels_patch : array (i, j, k) of integers below 255
        Axes to the right, front and top; every label is bone. A whole map is as good as a patch (fastest as
        C-ordered uint8): only what the result shows is read. What lies beyond its border is out of view.
    spacing : float or 3 floats
        Voxel size of ``labels_patch``, mm.
    rng : Generator
    options : PatchOptions, optional
    centre : 3 floats, optional
        Voxel of ``labels_patch`` that comes to lie in the middle of the result; its own middle by default.

    Returns
    -------
    ct : array of float32
        HU between -1024 and 3071, of ``options.shape`` at ``options.spacing_mm``.
    labels : array of uint8
        The labels after the same deformation, 0 outside the field of view. Bone that was added is labelled 0.

    Notes
    -----
    Made to be varied, not to be measured: HU statistics and shapes go beyond anatomy on purpose.
    """
    nothing = np.zeros((0, 3))
    ct, labels, _ = paint_points(labels_patch, spacing, rng, nothing, options, centre)
    return ct, labels


def paint_points(
    labels_patch: NDArray,
    spacing: float | tuple[float, float, float],
    rng: np.random.Generator,
    points: NDArray,
    options: PatchOptions | None = None,
    centre: tuple[float, float, float] | None = None,
) -> tuple[FloatVolume, NDArray[np.uint8], NDArray[np.float64]]:
    """As :func:`paint_patch`, and where points of the label map come to lie.

    Parameters
    ----------
    points : array (N, 3)
        Voxels of ``labels_patch``.

    Returns
    -------
    ct, labels
        See :func:`paint_patch`.
    moved : array (N, 3)
        Voxels of the result; they may lie outside it.
    """
    options = options or PatchOptions()
    middle = np.array([(n - 1) / 2 for n in labels_patch.shape] if centre is None else centre)
    sizes = np.broadcast_to(np.asarray(spacing, dtype=float), 3)
    deformation = draw_deformation(options.shape, (options.spacing_mm,) * 3, rng, options.deformation)
    labels, depth, seen = _deformed(labels_patch, sizes, middle, deformation, options)
    # No draw where there is none to decide: samples of callers without spurs stay what they were.
    if options.overgrowth and rng.random() < options.overgrowth:
        labels, depth = _overgrown(labels, depth, options.spacing_mm, rng)
    hu = _soft_tissue(depth, rng)
    hu = _bone(hu, depth, labels, rng)
    if rng.random() < options.extra_bone:
        hu = _unlabelled_bone(hu, depth, options.spacing_mm, rng)
    if rng.random() < options.foreign:
        hu = _foreign_material(hu, depth, rng)
    hu = _acquired(hu, rng, options)
    hu, labels = _cut(hu, labels, rng, options)
    moved = deformation.moved(points, sizes, middle)
    return np.where(seen, hu, np.float32(AIR_HU)), np.where(seen, labels, np.uint8(0)), moved


# --- shape --------------------------------------------------------------------------------------------------------


def _deformed(
    labels: NDArray, spacing: NDArray, centre: NDArray, deformation: Deformation, options: PatchOptions
) -> tuple[NDArray[np.uint8], FloatVolume, NDArray[np.bool_]]:
    """Labels after a random deformation, the signed depth below their surfaces in mm, and what is in view."""
    from scipy.ndimage import maximum_filter

    own = (options.spacing_mm,) * 3
    places = deformation.places(spacing, centre)
    # Beyond the border the map goes on as it ends: a cut vertebra must not get a cortical lid.
    warped, seen = deformation.sample(np.ascontiguousarray(labels, dtype=np.uint8), places, other_side())
    warped = _joined(options.fused)[warped]
    depth = signed_depth(warped, own)
    # Nearest neighbours leave stairs of the source's voxel size; a smoothed distance does not.
    sigma = max(0.5, 0.5 * float(spacing.max()) / options.spacing_mm)
    depth = apply_axes(depth, [gauss_matrix(n, sigma) for n in options.shape])
    out = np.where(depth > 0, np.where(warped > 0, warped, maximum_filter(warped, 3)), 0).astype(np.uint8)
    return out, depth, seen


def _overgrown(
    labels: NDArray[np.uint8], depth: FloatVolume, spacing: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], FloatVolume]:
    """Labels and depths with a few knobbly spurs of a few millimetres on the bone's surface."""
    from scipy.ndimage import distance_transform_edt

    surface = np.flatnonzero((depth > -1) & (depth < 1))
    if not len(surface):
        return labels, depth
    spurs = np.zeros_like(depth)
    for place in rng.choice(surface, rng.integers(1, 7)):
        sigma, height = rng.uniform(2.5, 7.0) / spacing, rng.uniform(1.5, 6.0)
        profile = [
            np.exp(-0.5 * ((np.arange(n) - c) / sigma) ** 2)
            for n, c in zip(depth.shape, np.unravel_index(place, depth.shape), strict=True)
        ]
        spur = height * profile[0][:, None, None] * profile[1][:, None] * profile[2]
        spurs = np.maximum(spurs, spur.astype(np.float32))
    rough = np.clip(1 + np.float32(0.5) * smooth_field(depth.shape, rng.uniform(3, 8), rng), 0, 2)
    grown = depth + spurs * rough
    nearest = distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return np.where(grown > 0, labels[tuple(nearest)], np.uint8(0)), grown


def _joined(fused: tuple[tuple[int, int], ...]) -> NDArray[np.uint8]:
    table = np.arange(256, dtype=np.uint8)
    for part, whole in fused:
        table[part] = whole
    return table


# --- tissue -------------------------------------------------------------------------------------------------------


def _soft_tissue(depth: FloatVolume, rng: np.random.Generator) -> FloatVolume:
    """Everything that is not bone: regions of random HU, muscle around the bone, discs, gas, vessels."""
    shape = depth.shape
    muscle, fat = rng.uniform(20, 90), rng.uniform(-130, -50)
    palette = [muscle, fat, rng.uniform(0, 70), rng.uniform(30, 130)]
    if rng.random() < 0.4:
        palette.append(rng.uniform(-950, -700))
    hu = _regions(smooth_field(shape, rng.uniform(8, 40), rng), rng.permutation(palette), rng)
    reach = rng.uniform(1, 18)
    near = np.clip((depth + np.float32(reach)) / 3 + smooth_field(shape, 12, rng), 0, 1)
    hu += near * (np.float32(muscle) - hu)
    small = smooth_field(shape, rng.uniform(4, 10), rng)
    hu += np.clip((small - np.float32(rng.uniform(0.8, 2))) * 4, 0, 1) * (np.float32(fat) - hu)
    if rng.random() < 0.4:
        vessel = np.float32(rng.uniform(100, 400))
        far = occupancy(-depth - np.float32(rng.uniform(2, 6)), 1.0)
        hu += far * np.clip((-small - np.float32(rng.uniform(1.2, 2))) * 4, 0, 1) * (vessel - hu)
    return _discs(hu, depth, rng)


def _regions(field: FloatVolume, values: NDArray, rng: np.random.Generator) -> FloatVolume:
    """Piecewise constant HU between random thresholds of a field, with short ramps."""
    edges = np.sort(rng.uniform(-1.2, 1.2, len(values) - 1))
    ramp = 0.03
    knots = np.sort(np.concatenate([edges - ramp, edges + ramp]))
    levels = np.repeat(values, 2)[1:-1]
    return np.interp(field, knots, levels).astype(np.float32)


def _discs(hu: FloatVolume, depth: FloatVolume, rng: np.random.Generator) -> FloatVolume:
    """What has bone close above and below is disc, or ligament: denser than muscle, rarely gas."""
    reach = int(rng.integers(4, 9))
    between = np.full_like(depth, -1.0)
    between[:, :, reach:-reach] = np.minimum(depth[:, :, 2 * reach :], depth[:, :, : -2 * reach])
    inside = occupancy(between - 1, 2.0)
    disc = rng.uniform(40, 130) if rng.random() < 0.93 else rng.uniform(-600, -100)
    return hu + inside * (np.float32(disc) - hu)


def _bone(hu: FloatVolume, depth: FloatVolume, labels: NDArray[np.uint8], rng: np.random.Generator) -> FloatVolume:
    """Trabecular bone of random density and texture in a cortical shell of uneven thickness."""
    shape = depth.shape
    base = rng.uniform(-50, 400) if rng.random() < 0.5 else rng.normal(150, 60)
    per_label = rng.normal(base, rng.uniform(5, 40), 256).astype(np.float32)
    texture = coloured_noise(shape, rng.uniform((0.4, 0.4, 0.5), (1.0, 1.0, 2.0)), rng)
    uneven = smooth_field(shape, rng.uniform(6, 16), rng)
    trabecular = per_label[labels] + np.float32(rng.uniform(5, 70)) * texture
    trabecular += np.float32(rng.uniform(0, 40)) * uneven
    if rng.random() < 0.3:  # sclerosis, lysis, healed fracture
        focus = np.clip((uneven - np.float32(rng.uniform(0.8, 2))) * 3, 0, 1)
        trabecular += focus * np.float32(rng.uniform(-150, 500))
    cortical = np.float32(max(rng.uniform(300, 1200), base + 120))
    cortex = cortical * (1 + np.float32(rng.uniform(0, 0.2)) * smooth_field(shape, 10, rng))
    thickness = np.float32(rng.uniform(0.4, 2.2)) * (1 + np.float32(rng.uniform(0, 0.4)) * uneven)
    thickness *= 1 + np.float32(rng.uniform(-0.4, 0.8)) * np.abs(np.gradient(depth, axis=2))
    # Hand-drawn outlines run a little inside or outside the bone's edge.
    edge = depth + np.float32(rng.uniform(-0.5, 0.5))
    outer, inner = occupancy(edge, 1.0), occupancy(edge - np.maximum(thickness, 0.2), 1.0)
    bone = cortex + inner * (trabecular - cortex)
    return hu + outer * (bone - hu)


def _unlabelled_bone(hu: FloatVolume, depth: FloatVolume, spacing: float, rng: np.random.Generator) -> FloatVolume:
    """Bone that carries no label: a further vertebra of the same shape, and rods like ribs and processes.

    All of it stays a joint gap away from labelled bone and follows its surface, as ribs and facets do.
    """
    gap = np.float32(rng.uniform(0.3, 2.5))
    extra = np.full_like(depth, -60.0)
    if rng.random() < 0.45:
        shift = int(np.clip(rng.uniform(14, 42) / spacing, 1, depth.shape[2] - 1)) * rng.choice((-1, 1))
        # The first slice repeats where nothing is known, as if the column went on.
        extra = np.take(depth, np.clip(np.arange(depth.shape[2]) + shift, 0, depth.shape[2] - 1), axis=2)
    for _ in range(rng.integers(1, 4)):
        extra = np.maximum(extra, _rod(depth, spacing, rng))
    extra = np.minimum(extra, -depth - gap)
    cortex, trabecular = np.float32(rng.uniform(250, 1100)), np.float32(rng.uniform(0, 350))
    shell = np.float32(rng.uniform(0.5, 2.0))
    bone = cortex + occupancy(extra - shell, 1.0) * (trabecular - cortex)
    return hu + occupancy(extra, 1.0) * (bone - hu)


def _rod(depth: FloatVolume, spacing: float, rng: np.random.Generator) -> FloatVolume:
    """Signed depth in mm below the surface of a random rod that begins at the surface of labelled bone."""
    start = np.array([rng.integers(0, n) for n in depth.shape], dtype=float)
    for _ in range(12):
        index = tuple(rng.integers(0, n) for n in depth.shape)
        if -8 < depth[index] < 0:
            start = np.array(index, dtype=float)
            break
    way = rng.normal(0, 1, 3) * (1.0, 1.0, 0.6)
    way /= np.linalg.norm(way)
    length = rng.uniform(0, 60) / spacing
    axes = np.ix_(*[np.arange(n, dtype=np.float32) - np.float32(s) for n, s in zip(depth.shape, start, strict=True)])
    along = np.clip(sum(np.float32(w) * a for w, a in zip(way, axes, strict=True)), 0, np.float32(length))
    away = sum((a - np.float32(w) * along) ** 2 for w, a in zip(way, axes, strict=True))
    return np.float32(rng.uniform(3, 8)) - np.sqrt(away) * np.float32(spacing)


def _foreign_material(hu: FloatVolume, depth: FloatVolume, rng: np.random.Generator) -> FloatVolume:
    """Cement clouds or screws inside the bone, with streaks around metal."""
    if rng.random() < 0.4:
        cloud = np.clip((smooth_field(depth.shape, rng.uniform(5, 9), rng) - np.float32(1.0)) * 3, 0, 1)
        return hu + cloud * occupancy(depth - 1, 1.0) * (np.float32(rng.uniform(900, 2500)) - hu)
    metal = np.zeros_like(hu)
    for _ in range(rng.integers(1, 4)):
        metal = np.maximum(metal, occupancy(_rod(depth, 1.0, rng) / 2.2, 1.0))
    return hu + metal * (np.float32(METAL_HU) - hu) + _patch_streaks(metal, rng)


def _patch_streaks(metal: FloatVolume, rng: np.random.Generator) -> FloatVolume:
    """Bright and dark rays from the middle of the metal, axial slice by axial slice."""
    heavy = metal.sum(axis=(0, 1))
    middle = [
        np.average(np.arange(n), weights=metal.sum(axis=(1 - a, 2)) + 1e-6) for a, n in enumerate(metal.shape[:2])
    ]
    x, y = np.ix_(*[np.arange(n) - m for n, m in zip(metal.shape[:2], middle, strict=True)])
    angle, distance = np.arctan2(y, x), np.hypot(x, y)
    rays = sum(rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 24))
    pattern = (rays / 5 * rng.uniform(80, 500) * np.exp(-distance / rng.uniform(15, 60))).astype(np.float32)
    strength = np.clip(heavy / (np.percentile(heavy, 90) + 1e-6), 0, 1).astype(np.float32)
    return pattern[:, :, None] * strength


# --- acquisition --------------------------------------------------------------------------------------------------


def _acquired(hu: FloatVolume, rng: np.random.Generator, options: PatchOptions) -> FloatVolume:
    """Blur, sharpening, slices, correlated noise and an imperfect HU scale; clipped to the CT's range."""
    across = rng.choice(3, p=(0.3, 0.1, 0.6))  # sagittal, coronal or axial slices
    spacing = options.spacing_mm
    thickness = spacing if rng.random() < 0.5 else rng.uniform(spacing, options.thickness_mm)
    sigma = rng.uniform(0.25, 0.9) / spacing
    in_plane = [None if axis == across else gauss_matrix(n, sigma) for axis, n in enumerate(hu.shape)]
    blurred = apply_axes(hu, in_plane)
    if rng.random() < 0.5:  # an edge-enhancing kernel overshoots
        wide = [None if axis == across else gauss_matrix(n, sigma + 1.2 / spacing) for axis, n in enumerate(hu.shape)]
        blurred += np.float32(rng.uniform(0.1, 0.9)) * (blurred - apply_axes(blurred, wide))
    down, up = slice_matrices(hu.shape[across], max(thickness / spacing, 1.0), rng.random())
    blurred = apply_axes(blurred, [down if axis == across else None for axis in range(3)])
    blurred += _patch_noise(blurred.shape, across, rng, options)
    blurred = apply_axes(blurred, [up if axis == across else None for axis in range(3)])
    scaled = blurred * np.float32(rng.normal(1, 0.04)) + np.float32(rng.normal(0, 12))
    return np.clip(scaled, AIR_HU, METAL_HU)


def _patch_noise(shape: tuple[int, ...], across: int, rng: np.random.Generator, options: PatchOptions) -> FloatVolume:
    """Correlated noise of the slices, with streaks along left-right, unevenly strong."""
    low, high = np.log(options.noise_sd_hu)
    sd = np.float32(np.exp(rng.uniform(low, high)))
    grain = rng.uniform(0.0, 1.2)
    noise = coloured_noise(shape, [0.0 if axis == across else grain for axis in range(3)], rng)
    if rng.random() < 0.3:
        rows = rng.standard_normal((spline_matrix(shape[0], 24).shape[1], *shape[1:]), dtype=np.float32)
        noise += np.float32(rng.uniform(0.2, 1.0)) * apply_axes(rows, [spline_matrix(shape[0], 24), None, None])
    return noise * sd * (1 + np.float32(0.25) * np.clip(smooth_field(shape, 30, rng), -2, 2))


def _cut(
    hu: FloatVolume, labels: NDArray[np.uint8], rng: np.random.Generator, options: PatchOptions
) -> tuple[FloatVolume, NDArray[np.uint8]]:
    """Empty space beyond a border of the field of view, at most a third of the patch away."""
    if rng.random() >= options.cut:
        return hu, labels
    axis, upper = int(rng.integers(3)), bool(rng.random() < 0.5)
    size = int(hu.shape[axis] * rng.uniform(0.03, 0.33))
    gone = slice(hu.shape[axis] - size, None) if upper else slice(0, size)
    box = tuple(gone if a == axis else slice(None) for a in range(3))
    hu[box], labels[box] = AIR_HU, 0
    return hu, labels
