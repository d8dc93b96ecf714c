"""One vertebra's crop and its smoothed signed distance to the mask surface, sampled at world points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.space import FloatArray, Grid

# Smoothing of the distance field, as a fraction of the mean voxel size: enough to melt the voxel staircase, too
# little to move a rim.
SMOOTHING_VOXELS = 0.7
COARSEST_MM = 3.0
OUTSIDE_MM = -100.0
FIELD_REACH_MM = 12.0
UNBOUNDED_MM = 1e3


@dataclass(frozen=True, eq=False)
class Crop:
    """A label's own box of the volume, axes in nearest-RAS order.

    Parameters
    ----------
    mask : array (i, j, k) of bool
        The label after specks were removed.
    grid : Grid
        Grid of the crop.
    border : array (3, 2) of bool
        For each axis (right, anterior, superior) whether the crop's low and high side is the border of the whole image.
    volume_mm3 : float
        Volume at the file's own resolution.
    others : array (i, j, k) of bool
        Voxels that belong to other vertebrae.
    removed_voxels, pieces : int
        Voxels dropped as specks, and connected pieces kept.
    """

    mask: NDArray[np.bool_]
    grid: Grid
    border: NDArray[np.bool_]
    volume_mm3: float
    others: NDArray[np.bool_]
    removed_voxels: int = 0
    pieces: int = 1

    def on_border(self, what: NDArray[np.bool_]) -> NDArray[np.float64]:
        """World points (N, 3) of the voxels of a mask that lie on the border of the image."""
        edge = np.zeros(what.shape, bool)
        for axis in range(3):
            for side, index in enumerate((0, -1)):
                if self.border[axis, side]:
                    edge[(slice(None),) * axis + (index,)] = True
        return self.grid.to_world(np.argwhere(what & edge))


def signed_distance(mask: NDArray[np.bool_], spacing_mm: FloatArray) -> NDArray[np.float32]:
    """Signed distance (positive inside) of voxel centres to the faces between inside and outside, mm, unsmoothed.

    Parameters
    ----------
    mask : array (i, j, k) of bool
    spacing_mm : array (3,)

    Notes
    -----
    The distance between a voxel centre and the nearest centre of the other kind is shortened by half the smallest
    voxel size, so it is exact for faces along the finest axis and up to half a coarse voxel too large along the
    others; zero lies at the faces in every case.
    """
    import edt

    spacing = tuple(float(s) for s in spacing_mm)
    solid = np.ascontiguousarray(mask)
    distance = edt.edt(solid, anisotropy=spacing, black_border=False)
    distance -= edt.edt(~solid, anisotropy=spacing, black_border=False)
    half = 0.5 * min(spacing)
    np.subtract(distance, half, out=distance, where=solid)
    np.add(distance, half, out=distance, where=~solid)
    # A label that fills its whole image has no surface: infinitely deep, made finite.
    return np.minimum(distance, UNBOUNDED_MM, out=distance)


def smooth_field(mask: NDArray[np.bool_], grid: Grid, distance: NDArray | None = None) -> NDArray[np.float32]:
    """Signed distance of a mask, lightly smoothed: the surface is where it crosses zero.

    Parameters
    ----------
    mask : array (i, j, k) of bool
    grid : Grid
        Grid of the mask.
    distance : array (i, j, k), optional
        The mask's signed distance where it is already known.

    Notes
    -----
    Interpolating the distance between thick slices follows an oblique surface where interpolating the mask would make
    steps (shape-based interpolation, Raya & Udupa 1990). Smoothing leaves planes in place and shrinks a sphere of
    radius R by sigma**2 / R. Beyond a few voxels around the mask the field is a constant negative value.
    """
    from scipy.ndimage import find_objects, gaussian_filter

    spacing = grid.spacing_mm
    sigma_mm = SMOOTHING_VOXELS * min(float(np.prod(spacing) ** (1 / 3)), COARSEST_MM)
    out = np.full(mask.shape, -FIELD_REACH_MM, np.float32)
    found = find_objects(mask.astype(np.uint8))
    if not found:
        return out
    margin = np.ceil((3 * sigma_mm + 2.0) / spacing).astype(int) + 1
    box = tuple(
        slice(max(0, s.start - m), min(n, s.stop + m)) for s, m, n in zip(found[0], margin, mask.shape, strict=True)
    )
    near = signed_distance(mask[box], spacing) if distance is None else distance[box]
    near = np.clip(near, -FIELD_REACH_MM, None)
    gaussian_filter(near, sigma_mm / spacing, output=out[box], mode="nearest", truncate=3.0)
    return out


def sample(field_mm: NDArray, grid: Grid, points_mm: NDArray, order: int = 1) -> NDArray[np.float32]:
    """Field values at world points (..., 3); far outside the crop the value of a point outside the vertebra."""
    from scipy.ndimage import map_coordinates

    index = grid.to_index(points_mm)
    flat = index.reshape(-1, 3).T
    values = map_coordinates(field_mm, flat, order=order, mode="grid-constant", cval=OUTSIDE_MM, output=np.float32)
    return values.reshape(index.shape[:-1])
