"""The trabecular region of a vertebral body: where bone density is read, and the mask that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.measure.body import endplate_extents, per_vertebra, require_endplate, require_frame
from verse_morph.space import Grid, canonical, paint, restore
from verse_morph.spine import Spine, Vertebra
from verse_morph.volume import LabelMap

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

MARGIN_MM = 3.0
# Along the slice axis a slice more than across, less this: 3 mm become slice thickness + 2 mm.
SLICE_MARGIN_OFFSET_MM = 1.0
# Axes whose voxels are within this factor of the coarsest may each be the slice axis.
SAME_SPACING = 1.05
LEAST_CM3 = {"cervical": 0.3, "thoracic": 1.0, "lumbar": 1.0}
# The basivertebral vein: half width, and the thirds of depth (from the back) and height that it may lie in.
VEIN_HALF_WIDTH_MM = 4.0
# Denser than any trabecular bone: sclerosis, cement, metal. Judged on values averaged over about a cubic millimetre,
# because single voxels of a noisy scan exceed it anywhere.
DENSE_HU, DENSE_SIGMA_MM = 600.0, 1.0
METAL_HU = 2000.0
# What lies this near to something dense is brightened by it.
DENSE_REACH_MM = 2.0
# The same value in more than this share of the region: padding, a thresholded image, anything but a CT.
CONSTANT_SHARE = 0.3
# How far a distance between voxel centres may be from that to the surface, and a little.
UNSURE_VOXELS = 0.75


@dataclass(frozen=True, eq=False)
class Roi:
    """The trabecular region of one body.

    Parameters
    ----------
    mask : array (i, j, k) of bool
        On the vertebra's own grid.
    volume_cm3 : float
    dense_pct : float
        Share of the eroded body that was left out as denser than trabecular bone, percent.
    metal : bool
        Whether metal lies within the vertebra's crop: streaks then reach the region.
    """

    mask: NDArray[np.bool_]
    volume_cm3: float
    dense_pct: float
    metal: bool


@per_vertebra
def trabecular_roi(vertebra: Vertebra, margin_mm: float = MARGIN_MM) -> Roi:
    """Body eroded by a margin, without the basivertebral region, metal, cement and sclerosis.

    Parameters
    ----------
    vertebra : Vertebra
    margin_mm : float
        Depth below the body's surface; along the slice axis at least slice thickness + margin - 1 mm.

    Raises
    ------
    NotMeasurable
        No whole body, no CT, something that is no CT, or less than 1 cm3 (0.3 cm3 in the neck) left.

    Notes
    -----
    In the neck the region is no wider than the lower endplate less the margin on both sides: beside it a mask runs on
    into the roots of the transverse processes and, in C2, into the masses below the upper joints.

    The slice axis is that of the coarsest voxels and the slice thickness their size: slices thicker than their
    distance take in more of the cortex than this margin knows of.
    """
    hu = require_hu(vertebra)
    deep = eroded_body(vertebra, margin_mm) & ~vein_region(vertebra)
    if vertebra.level.region == "cervical":
        deep &= _above_lower_endplate(vertebra, margin_mm)
    dense, metal = _dense(vertebra)
    mask = deep & ~dense
    volume = float(mask.sum()) * vertebra.grid.voxel_volume_mm3 / 1000
    least = LEAST_CM3[vertebra.level.region]
    if volume < least:
        left = f"{volume:.2f} cm3 of trabecular bone left {margin_mm:g} mm below the surface"
        raise NotMeasurable(f"{vertebra.level}: {left}, less than {least:g} cm3")
    values, counts = np.unique(hu[mask], return_counts=True)
    if counts.max() > CONSTANT_SHARE * mask.sum():
        share = 100 * counts.max() / mask.sum()
        raise NotMeasurable(
            f"{vertebra.level}: {share:.0f} % of the region hold the value {values[counts.argmax()]:g}: this is no CT"
        )
    return Roi(mask, volume, 100 * float((deep & dense).sum()) / float(deep.sum()), metal)


def require_hu(vertebra: Vertebra) -> NDArray:
    """CT values on the vertebra's grid, or NotMeasurable with the reason that no density can be read."""
    if vertebra.body is None:
        raise vertebra.missing("body")
    if "endplates" in vertebra.why:
        raise vertebra.missing("endplates")
    if vertebra.hu is None:
        raise NotMeasurable(f"{vertebra.level}: no CT was given")
    return vertebra.hu


def slice_axes(grid: Grid) -> tuple[int, ...]:
    """Array axes along which slices may be stacked: that of the coarsest voxels, all where they are cubes."""
    spacing = grid.spacing_mm
    return tuple(int(axis) for axis in np.flatnonzero(spacing * SAME_SPACING >= spacing.max()))


def eroded_body(vertebra: Vertebra, margin_mm: float) -> NDArray[np.bool_]:
    """Voxels of the body at least a margin below its surface and, along the slice axis, slice thickness + margin - 1
    mm.
    """
    from scipy.ndimage import minimum_filter1d

    if vertebra.body is None or vertebra.body_field_mm is None:
        raise vertebra.missing("body")
    spacing = vertebra.grid.spacing_mm
    deep = vertebra.body & (_depth_near(vertebra, vertebra.body_field_mm, margin_mm) >= margin_mm)
    for axis in slice_axes(vertebra.grid):
        along = max(margin_mm, spacing[axis] + margin_mm - SLICE_MARGIN_OFFSET_MM)
        # A voxel's centre lies half a voxel behind its face.
        layers = int(np.ceil(along / spacing[axis] - 0.5 - 1e-6))
        deep = deep & minimum_filter1d(vertebra.body, 2 * layers + 1, axis=axis, mode="constant", cval=0)
    return np.asarray(deep, dtype=bool)


def _above_lower_endplate(vertebra: Vertebra, margin_mm: float) -> NDArray[np.bool_]:
    """Voxels of the body above its lower endplate, a margin within the endplate's left and right ends."""
    width, _ = endplate_extents(vertebra, upper=False)
    frame, plate = require_frame(vertebra), require_endplate(vertebra, upper=False)
    if vertebra.body is None:
        raise vertebra.missing("body")
    at = np.argwhere(vertebra.body)
    across = (vertebra.grid.to_world(at) - plate.rim.point_mm) @ frame.right
    out = np.zeros(vertebra.mask.shape, bool)
    out[tuple(at[(across >= width.low + margin_mm) & (across <= width.high - margin_mm)].T)] = True
    return out


def _depth_near(vertebra: Vertebra, field_mm: NDArray, depth_mm: float) -> NDArray[np.float32]:
    """The body's field with true distances to its zero surface wherever it is within a voxel of a depth.

    A distance field of voxels counts to the nearest centre outside. Near the surface half a voxel makes up for that;
    the deeper a voxel lies, the more centres compete to be the nearest, and the more it reads too shallow: by 0.3
    voxels at three voxels' depth.
    """
    spacing = vertebra.grid.spacing_mm
    unsure = np.abs(field_mm - depth_mm) <= UNSURE_VOXELS * float(spacing.max())
    surface = _surface(vertebra)
    if not unsure.any() or not surface.n:
        return field_mm
    out = field_mm.copy()
    out[unsure] = surface.query(np.argwhere(unsure) * spacing)[0] * np.sign(field_mm[unsure])
    return out


@per_vertebra
def _surface(vertebra: Vertebra) -> cKDTree:
    """Points of the body's surface, mm from the crop's first voxel."""
    from scipy.ndimage import find_objects
    from scipy.spatial import cKDTree

    if vertebra.body is None or vertebra.body_field_mm is None:
        raise vertebra.missing("body")
    (tight,) = find_objects(vertebra.body.astype(np.uint8))
    box = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in tight)
    points = _crossings(vertebra.body_field_mm[box]) + [s.start for s in box]
    return cKDTree(points * vertebra.grid.spacing_mm)


def _crossings(field_mm: NDArray) -> NDArray[np.float64]:
    """Where the field crosses zero on the lines between neighbouring voxels, in voxels (N, 3)."""
    found = []
    for axis in range(3):
        low, high = (np.take(field_mm, np.arange(a, field_mm.shape[axis] + a - 1), axis) for a in (0, 1))
        at = np.argwhere((low > 0) != (high > 0))
        here, there = (values[tuple(at.T)].astype(np.float64) for values in (low, high))
        point = at.astype(np.float64)
        point[:, axis] += here / (here - there)
        found.append(point)
    return np.concatenate(found)


def vein_region(vertebra: Vertebra) -> NDArray[np.bool_]:
    """The basivertebral prism: within 4 mm of the mid-plane, posterior third of the depth, middle third of the
    height.
    """
    frame = require_frame(vertebra)
    if vertebra.body is None:
        raise vertebra.missing("body")
    out = np.zeros(vertebra.mask.shape, bool)
    at = np.argwhere(vertebra.body)
    local = frame.to_local(vertebra.grid.to_world(at))
    middle = np.abs(local[:, 0]) <= VEIN_HALF_WIDTH_MM
    if not middle.any():
        return out
    low, high = _third(local[middle, 2])
    middle &= (local[:, 2] >= low) & (local[:, 2] <= high)
    if not middle.any():
        return out
    back, _ = _third(local[middle, 1])
    out[tuple(at[middle & (local[:, 1] <= back)].T)] = True
    return out


def _third(values: NDArray) -> tuple[float, float]:
    """Where the first and the last third of a range begin and end; single outlying voxels do not count."""
    low, high = np.percentile(values, [2, 98])
    return float(low + (high - low) / 3), float(high - (high - low) / 3)


@per_vertebra
def _dense(vertebra: Vertebra) -> tuple[NDArray[np.bool_], bool]:
    """Voxels in or beside something denser than trabecular bone, and whether metal is among it.

    Only what lies below the cortex counts as sclerosis or cement; metal counts wherever it lies.
    """
    import edt
    from scipy.ndimage import gaussian_filter

    spacing = vertebra.grid.spacing_mm
    values = np.clip(require_hu(vertebra), -1024, 3071).astype(np.float32)
    smooth = gaussian_filter(values, DENSE_SIGMA_MM / spacing, mode="nearest", truncate=3.0)
    inner = eroded_body(vertebra, MARGIN_MM - SLICE_MARGIN_OFFSET_MM)
    metal = smooth > METAL_HU
    dense = (inner & (smooth > DENSE_HU)) | metal
    if not dense.any():
        return dense, False
    away = edt.edt(~dense, anisotropy=tuple(float(s) for s in spacing), black_border=False)
    return away <= DENSE_REACH_MM, bool(metal.any())


def roi_mask(spine: Spine, labels: LabelMap) -> LabelMap:
    """The trabecular regions of all vertebrae on the mask's own grid, each with its vertebra's value.

    Parameters
    ----------
    spine : Spine
    labels : LabelMap
        The mask the spine was built from.

    Notes
    -----
    Vertebrae without a region are left out. Where the mask is finer than 0.4 mm the region was found on halved voxels
    and covers pairs of them.
    """
    turned, grid = canonical(labels.labels, labels.grid)
    array = np.zeros(turned.shape, turned.dtype)
    for vertebra in spine:
        try:
            roi = trabecular_roi(vertebra)
        except NotMeasurable:
            continue
        paint(array, grid, roi.mask, vertebra.grid, vertebra.label)
    return LabelMap(restore(array, labels.grid), labels.grid, labels.scheme, labels.name, labels.notes)
