"""Simulated CT: tissue in HU, blurred, sharpened, sliced and made noisy as a scanner would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import InputError
from verse_morph.phantom.fields import FWHM_PER_SIGMA, FloatVolume, between_knots, linear_matrix
from verse_morph.phantom.findings import paint_findings
from verse_morph.phantom.guide import Guide, find_guide
from verse_morph.phantom.soft_tissue import paint_soft_tissue
from verse_morph.phantom.tissues import (
    FIRST_SOFT,
    BonePainter,
    TissueParameters,
    periodic_pattern,
    trabecular_by_label,
)
from verse_morph.space import Grid

LOWEST_HU, HIGHEST_HU = -1024, 3071
THECAL_SAC = 150
# Slices handled at a time: a few MB of working memory.
SLAB = 24
# The coarse grid of soft tissue: as fine as this many voxels allow.
COARSE_VOXELS, FINEST_COARSE_MM = 5e6, 1.4


@dataclass(frozen=True)
class ScannerParameters:
    """How an image is made.

    Parameters
    ----------
    name, manufacturer, model : str
        What the preset is called and what the sidecar says; fictions, see :mod:`verse_morph.phantom.presets`.
    kvp : float
    psf_fwhm_mm : float
        Blur within a slice, before sharpening.
    slice_axis : int
        Axis of the slices in nearest-RAS order: 2 axial, 0 sagittal.
    slice_thickness_mm, slice_distance_mm : float
        0.4 to 10 mm. Thinner than the voxels of the map: the map's own.
    edge_gain, edge_sigma_mm : float
        Overshoot of the kernel: share of the unsharp mask, and its width; 0 for a smooth kernel.
    noise_sd_hu : float
        About the spine, for the slice thickness as given.
    noise_peak_per_mm : float
        Spatial frequency at which the noise is strongest: low = coarse grain (soft kernel), high = fine.
    streak : float
        Share of the noise that runs as streaks along left-right where shoulders or pelvis absorb much.
    hu_scale, hu_offset : float
        Error of the HU scale, as by another tube voltage or drift.
    """

    name: str = "standard"
    manufacturer: str = "verse_morph"
    model: str = "Phantom"
    kvp: float = 120.0
    psf_fwhm_mm: float = 1.1
    slice_axis: int = 2
    slice_thickness_mm: float = 1.0
    slice_distance_mm: float = 1.0
    edge_gain: float = 0.6
    edge_sigma_mm: float = 1.0
    noise_sd_hu: float = 60.0
    noise_peak_per_mm: float = 0.35
    streak: float = 0.5
    hu_scale: float = 1.0
    hu_offset: float = 0.0

    def __post_init__(self) -> None:
        limits = {
            "psf_fwhm_mm": (0.0, 5.0),
            "slice_thickness_mm": (0.4, 10.0),
            "slice_distance_mm": (0.4, 10.0),
            "edge_gain": (0.0, 3.0),
            "noise_sd_hu": (0.0, 500.0),
            "kvp": (70.0, 150.0),
        }
        for field, (low, high) in limits.items():
            if not low <= getattr(self, field) <= high:
                raise InputError(f"{field} is {getattr(self, field):g}; allowed are {low:g} to {high:g}")
        if self.slice_axis not in (0, 1, 2):
            raise InputError(f"slice_axis is {self.slice_axis}; allowed are 0 (sagittal), 1 (coronal), 2 (axial)")


@dataclass(frozen=True, eq=False)
class SimulatedCt:
    """A simulated scan.

    Parameters
    ----------
    hu : array (i, j, k) of int16
        With noise, clipped to -1024 ... 3071.
    grid : Grid
        Coarser than the map's where slices are thicker.
    slices : tuple of slice
        ``structures[slices]`` is the label map on ``grid``.
    noise_free : array of float32 or None
        The same without noise and artefacts, with the true HU scale. Difference to ``tissue_hu`` is the blur bias.
    tissue_hu : array of float32 or None
        On ``grid``, before blur, slices and kernel: what a perfect scanner would show at the voxel.
    """

    hu: NDArray[np.int16]
    grid: Grid
    slices: tuple[slice, slice, slice]
    noise_free: FloatVolume | None = None
    tissue_hu: FloatVolume | None = None


def simulate_ct(
    structures: NDArray[np.uint8],
    bone_depth_mm: NDArray,
    grid: Grid,
    tissue: TissueParameters,
    scanner: ScannerParameters,
    rng: np.random.Generator,
    keep_noise_free: bool = False,
) -> SimulatedCt:
    """A CT of labelled anatomy.

    Parameters
    ----------
    structures : array (i, j, k) of uint8
        Labels in nearest-RAS order: bone below 100, discs from 100 on, 150 the thecal sac.
    bone_depth_mm : array (i, j, k)
        Signed distance to the nearest bone surface, positive inside.
    grid : Grid
    tissue : TissueParameters
    scanner : ScannerParameters
    rng : Generator
        One generator decides over every texture and all noise.
    keep_noise_free : bool
        Also return the noise-free and the unblurred volume (eight bytes more per voxel).
    """
    spacing = grid.spacing_mm
    guide = find_guide(structures, bone_depth_mm, spacing)
    hu = _tissue_hu(structures, bone_depth_mm, spacing, guide, tissue, rng)
    metal = paint_findings(hu, structures, spacing, guide, tissue, rng)
    pick, image_grid = slice_grid(grid, scanner)
    tissue_hu = hu[pick].copy() if keep_noise_free else None
    _slice_profile(hu, spacing, scanner)
    image = np.ascontiguousarray(hu[pick])
    del hu
    _in_plane(image, image_grid.spacing_mm, scanner)
    out = _with_noise(image, image_grid.spacing_mm, scanner, metal, rng)
    return SimulatedCt(out, image_grid, pick, image if keep_noise_free else None, tissue_hu)


def slice_grid(grid: Grid, scanner: ScannerParameters) -> tuple[tuple[slice, slice, slice], Grid]:
    """Which slices of a fine grid a scanner keeps, and the grid of the result."""
    axis = scanner.slice_axis
    step = max(1, round(scanner.slice_distance_mm / float(grid.spacing_mm[axis])))
    first = min(step // 2, grid.shape[axis] - 1)
    pick = tuple(slice(first, None, step) if a == axis else slice(None) for a in range(3))
    affine = np.array(grid.affine)
    affine[:3, 3] = grid.to_world([first if a == axis else 0 for a in range(3)])
    affine[:3, axis] *= step
    shape = [len(range(*part.indices(n))) for part, n in zip(pick, grid.shape, strict=True)]
    return (pick[0], pick[1], pick[2]), Grid((shape[0], shape[1], shape[2]), affine)


# --- tissue -------------------------------------------------------------------------------------------------------


def _slabs(n: int) -> Iterator[slice]:
    for start in range(0, n, SLAB):
        yield slice(start, min(start + SLAB, n))


def _tissue_hu(
    structures: NDArray[np.uint8],
    depth: NDArray,
    spacing: NDArray,
    guide: Guide,
    tissue: TissueParameters,
    rng: np.random.Generator,
) -> FloatVolume:
    """HU without any blur but the voxels' own, slab by slab."""
    shape = structures.shape
    step = max(FINEST_COARSE_MM, float(np.cbrt(np.prod(shape) * spacing.prod() / COARSE_VOXELS)))
    coarse = np.maximum(spacing, step)
    count = np.ceil((np.array(shape) - 1) * spacing / coarse).astype(int) + 1
    at = [
        np.minimum(np.rint(np.arange(n) * c / s), m - 1).astype(int)
        for n, c, s, m in zip(count, coarse, spacing, shape, strict=True)
    ]
    bone = depth[np.ix_(*at)] > 0
    soft = paint_soft_tissue((count[0], count[1], count[2]), coarse, guide, bone, tissue, rng)
    ratio = spacing / coarse
    tiles = [periodic_pattern(rng, spacing, sigma) for sigma in ((0.8, 0.8, 0.95), (3.0, 3.0, 3.5))]
    painter = BonePainter(tissue, guide, spacing, trabecular_by_label(tissue, rng), *tiles)
    hu = np.empty(shape, dtype=np.float32)
    for part in _slabs(shape[2]):
        slab = between_knots(soft, 2, ratio[2], part.stop - part.start, part.start)
        for axis in (1, 0):
            slab = between_knots(slab, axis, ratio[axis], shape[axis])
        _labelled_soft(slab, structures[:, :, part], tissue)
        ring = np.clip(np.arange(part.start - 1, part.stop + 1), 0, shape[2] - 1)
        painter.paint(slab, structures[:, :, part], depth[:, :, ring], part.start)
        hu[:, :, part] = slab
    return hu


def _labelled_soft(slab: FloatVolume, structures: NDArray[np.uint8], tissue: TissueParameters) -> None:
    sac = structures == THECAL_SAC
    disc = (structures >= FIRST_SOFT) & ~sac
    slab[sac], slab[disc] = tissue.sac_hu, tissue.disc_hu


# --- scanner ------------------------------------------------------------------------------------------------------


def _slice_profile(hu: FloatVolume, spacing: NDArray, scanner: ScannerParameters) -> None:
    """Average over the slice thickness, in place: a box with the soft edges of a real slice profile."""
    from scipy.ndimage import correlate1d

    width = scanner.slice_thickness_mm / float(spacing[scanner.slice_axis])
    if width <= 1.01:
        return
    reach = int(np.ceil(width / 2 + 0.5))
    away = np.abs(np.arange(-reach, reach + 1))
    weights = np.clip((width / 2 + 0.5 - away), 0, 1)
    correlate1d(hu, weights / weights.sum(), axis=scanner.slice_axis, output=hu, mode="nearest")


def _in_plane(image: FloatVolume, spacing: NDArray, scanner: ScannerParameters) -> None:
    """Blur and sharpen within the slices, in place."""
    from scipy.ndimage import gaussian_filter1d

    axes = [axis for axis in range(3) if axis != scanner.slice_axis]
    for axis in axes:
        # A voxel already averages over itself: that part of the blur is done.
        variance = (scanner.psf_fwhm_mm / FWHM_PER_SIGMA) ** 2 - float(spacing[axis]) ** 2 / 12
        sigma = np.sqrt(max(variance, 0)) / spacing[axis]
        if sigma > 0.2:
            gaussian_filter1d(image, sigma, axis=axis, output=image, mode="nearest", truncate=3)
    if scanner.edge_gain <= 0:
        return
    for part in _slabs(image.shape[scanner.slice_axis]):
        box = tuple(part if axis == scanner.slice_axis else slice(None) for axis in range(3))
        wide = image[box]
        for axis in axes:
            wide = gaussian_filter1d(wide, scanner.edge_sigma_mm / spacing[axis], axis=axis, mode="nearest", truncate=3)
        image[box] += np.float32(scanner.edge_gain) * (image[box] - wide)


def _with_noise(
    image: FloatVolume,
    spacing: NDArray,
    scanner: ScannerParameters,
    metal: tuple[NDArray, ...],
    rng: np.random.Generator,
) -> NDArray[np.int16]:
    """Noise, streaks, the error of the HU scale, and storage as integers."""
    level_y, level_x = _attenuation(image, spacing)
    out = np.empty(image.shape, dtype=np.int16)
    grain = _NoiseSource(image.shape[:2], spacing, scanner, rng)
    knots = np.arange(0, image.shape[0] + 16, 16.0)
    spread = linear_matrix(knots, np.arange(image.shape[0])).astype(np.float32)
    # Slice by slice in memory: the transform runs within slices.
    for part in _slabs(image.shape[2]):
        noise = grain.slices(part.stop - part.start)
        along_x, along_y = level_y.T[part, None, :], level_x.T[part, :, None]
        if scanner.streak > 0:
            rows = rng.standard_normal((part.stop - part.start, len(knots), image.shape[1]), dtype=np.float32)
            noise += np.float32(scanner.streak) * np.clip(along_x - 0.9, 0, 2) * (spread @ rows)
        noise *= along_x + along_y
        noise *= np.float32(0.5 * scanner.noise_sd_hu)
        noise += np.moveaxis(image[:, :, part], 2, 0)
        if metal:
            noise += np.moveaxis(_metal_streaks(image.shape, spacing, metal, part), 2, 0)
        noise *= np.float32(scanner.hu_scale)
        noise += np.float32(scanner.hu_offset)
        np.clip(noise, LOWEST_HU, HIGHEST_HU, out=noise)
        out[:, :, part] = np.moveaxis(np.rint(noise, out=noise).astype(np.int16), 0, 2)
    return out


def _attenuation(image: FloatVolume, spacing: NDArray) -> tuple[FloatVolume, FloatVolume]:
    """Relative noise by what the rays along x (for each y, z) and along y (for each x, z) have to pass; median 1."""
    thin = image[::2, ::2]
    share = np.clip(thin / np.float32(1000) + 1, 0, 3)
    out = []
    for axis, step in ((0, spacing[0]), (1, spacing[1])):
        # Water attenuates by about 0.02 per mm; half of it, as noise is the root of the variance.
        path = share.sum(axis=axis) * np.float32(0.01 * 2 * step)
        thick = np.exp(0.5 * np.clip(path, 0, 6))
        typical = np.median(thick[thick > 1.2]) if (thick > 1.2).any() else 1.0
        full = np.repeat(thick / np.float32(typical), 2, axis=0)[: image.shape[1 - axis]]
        out.append(np.clip(full, 0.35, 3).astype(np.float32))
    return out[0], out[1]


class _NoiseSource:
    """Noise of axial slices: coloured within the slice by a band-pass, weakly correlated along z."""

    def __init__(
        self, shape: tuple[int, ...], spacing: NDArray, scanner: ScannerParameters, rng: np.random.Generator
    ) -> None:
        fx = np.fft.fftfreq(shape[0], spacing[0])[:, None]
        fy = np.fft.rfftfreq(shape[1], spacing[1])[None, :]
        f = np.hypot(fx, fy)
        peak = scanner.noise_peak_per_mm
        # Filtered back-projection: a ramp towards the kernel's cut-off; some floor keeps low frequencies.
        power = (0.15 + f / peak) * np.exp(-((f / (1.6 * peak)) ** 2))
        double = np.full(fy.shape, 2.0)
        double[0, 0] = 1.0
        mean_power = (power * double).sum() / (shape[0] * shape[1])
        self._shape, self._rng = shape, rng
        # irfft2 divides by the number of pixels; a complex normal number holds variance two.
        self._filter = (np.sqrt(power / mean_power * shape[0] * shape[1] / 2)).astype(np.float32)
        carry = np.exp(-float(spacing[2]) / 0.9)
        self._carry, self._fresh = np.float32(carry), np.float32(np.sqrt(1 - carry**2))
        self._last: NDArray | None = None

    def slices(self, count: int) -> FloatVolume:
        """The next slices (count, i, j), unit SD."""
        from scipy.fft import irfft2

        size = (count, *self._filter.shape)
        spectrum = self._rng.standard_normal((*size, 2), dtype=np.float32).view(np.complex64)[..., 0]
        for k in range(count):
            if self._last is not None:
                spectrum[k] = self._carry * self._last + self._fresh * spectrum[k]
            self._last = spectrum[k].copy()
        spectrum *= self._filter
        return irfft2(spectrum, s=self._shape, axes=(1, 2), overwrite_x=True)


def _metal_streaks(shape: tuple[int, ...], spacing: NDArray, metal: tuple[NDArray, ...], part: slice) -> FloatVolume:
    """Bright and dark rays around metal, and a dark band where two pieces lie on one line; axial slices."""
    z = np.arange(part.start, part.stop) * spacing[2]
    out = np.zeros((*shape[:2], len(z)), dtype=np.float32)
    x, y = np.ix_(
        *[np.arange(n, dtype=np.float32) * np.float32(s) for n, s in zip(shape[:2], spacing[:2], strict=True)]
    )
    for piece in metal:
        low, high = np.sort(piece[:, 2])
        near = np.clip(1 - np.maximum(np.maximum(low - z, z - high), 0) / 4, 0, 1).astype(np.float32)
        if not near.any():
            continue
        middle, way = piece[:, :2].mean(axis=0), piece[1, :2] - piece[0, :2]
        dx, dy = x - np.float32(middle[0]), y - np.float32(middle[1])
        along = np.arctan2(dy, dx) - np.arctan2(way[1], way[0])
        distance = np.hypot(dx, dy)
        # Rays along the screw pass most metal: dark there, bright beside.
        rays = -420 * np.exp(-((np.sin(along) * 5) ** 2)) + 260 * np.exp(-((np.sin(along - 0.28) * 7) ** 2))
        rays = rays + 260 * np.exp(-((np.sin(along + 0.28) * 7) ** 2)) + 60 * np.cos(15 * along)
        pattern = rays * np.exp(-distance / 45) * np.clip(distance / 6, 0, 1)
        out += pattern.astype(np.float32)[:, :, None] * near
    return out
