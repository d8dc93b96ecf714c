"""Where the vertebral body ends: the canal, its front wall, and the body in front of it.

The chain is: thickest part of the label -> spine tangent -> opening enclosed by the ring (the canal) -> front wall of
the canal -> the label in front of it -> without the roots of the lateral processes. Every step works in a small grid
aligned with the vertebra.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.shape.field import Crop, sample
from verse_morph.spine import Frame

STEP_MM = 1.0
# Half-extent of the local search grid: right, behind and in front of the core, along the axis (mm).
REACH_RIGHT, REACH_BEHIND, REACH_FRONT, REACH_AXIS = 32.0, 55.0, 6.0, 24.0
# Openings that can be a spinal canal: area (mm2) and largest distance of their middle from the mid-plane (mm). A
# foramen of a cervical
# transverse process is smaller and further out.
CANAL_AREA_MM2 = (60.0, 900.0)
CANAL_OFFSET_MM = 12.0
WALL_BAND_MM = 5.0
# Bodies fill 0.55 to 0.8 of the box around them, whole vertebrae 0.15 to 0.3.
BODY_BOX_FILL = 0.45
WALL_SLOPE_MAX = 0.25
# How far the rims' back lips may reach behind the line along the middle of the wall.
BACK_LIP_MM = 3.0
DENS_NECK_RATIO = 1.5
# Share of the body's depth, from the back, in which pedicles may leave it.
PEDICLE_DEPTH_SHARE = 0.4
# Share of the body's half-width, about the mid-plane, in which no pedicle leaves it.
CENTRAL_SHARE = 0.5
# How far a rim may stand out from the opened body, as a share of the body's width.
RIM_FLARE = 0.07


@dataclass(frozen=True, eq=False)
class Ring:
    """The canal as enclosed by one vertebra, in the local grid it was found in."""

    centre_mm: NDArray
    half_depth_mm: float
    fallback: bool


def core(crop: Crop, distance: NDArray, anterior: NDArray) -> NDArray:
    """Middle of the thickest part of the label's front half, world mm: a first guess of the body centre.

    Parameters
    ----------
    crop : Crop
    distance : array (i, j, k)
        Signed distance to the label's surface, mm.
    anterior : array (3,)
        Roughly the patient's front.
    """
    import cc3d

    index = np.argwhere(crop.mask)
    forward = crop.grid.to_world(index) @ anterior
    front = np.zeros(crop.mask.shape, bool)
    # A flat label has no front half: all of it counts.
    front[tuple(index[forward >= forward.mean() - 1e-6].T)] = True
    depth = np.where(front, distance, -1.0)
    thick, count = cc3d.connected_components(depth > 0.75 * depth.max(), connectivity=26, return_N=True)
    largest = 1 + int(np.argmax(np.bincount(thick.ravel(), minlength=count + 1)[1:]))
    return crop.grid.to_world(np.argwhere(thick == largest)).mean(axis=0)


def local_frame(origin: NDArray, superior: NDArray, anterior: NDArray) -> Frame:
    """Frame with a given superior axis and the anterior axis made perpendicular to it."""
    up = superior / np.linalg.norm(superior)
    front = anterior - (anterior @ up) * up
    front = front / np.linalg.norm(front)
    return Frame(origin, np.cross(front, up), front, up)


def local_grid(frame: Frame, x: NDArray, y: NDArray, z: NDArray) -> NDArray:
    """World points (x, y, z, 3) of a regular grid in a vertebra's frame."""
    return frame.to_world(np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1))


def find_ring(field_mm: NDArray, crop: Crop, frame: Frame) -> Ring | None:
    """The opening that a vertebra encloses, seen along the frame's superior axis.

    Looking along the canal, the ring is closed even where laminae slope so that no single cross-section is.
    """
    from scipy.ndimage import binary_closing, binary_fill_holes, label

    x = np.arange(-REACH_RIGHT, REACH_RIGHT + 0.1, STEP_MM)
    y = np.arange(-REACH_BEHIND, REACH_FRONT + 0.1, STEP_MM)
    z = np.arange(-REACH_AXIS, REACH_AXIS + 0.1, 1.5 * STEP_MM)
    shadow = (sample(field_mm, crop.grid, local_grid(frame, x, y, z)) > 0).any(axis=2)
    for closing in (0, 2, 4):
        closed = binary_closing(np.pad(shadow, 6), iterations=closing)[6:-6, 6:-6] if closing else shadow
        holes, count = label(binary_fill_holes(closed) & ~closed)
        best: tuple[float, NDArray] | None = None
        for number in range(1, count + 1):
            where = np.argwhere(holes == number)
            area = len(where) * STEP_MM**2
            middle = np.array([x[0], y[0]]) + STEP_MM * where.mean(axis=0)
            plausible = CANAL_AREA_MM2[0] <= area <= CANAL_AREA_MM2[1] and abs(middle[0]) < CANAL_OFFSET_MM
            if plausible and middle[1] < -3 and (best is None or area > best[0]):
                best = (area, where)
        if best is not None:
            where = best[1]
            middle = np.array([x[0], y[0]]) + STEP_MM * where.mean(axis=0)
            half_depth = 0.5 * STEP_MM * (np.ptp(where[:, 1]) + 1)
            return Ring(frame.to_world(np.array([middle[0], middle[1], 0.0])), half_depth, closing > 2)
    return None


def is_body_only(crop: Crop, frame: Frame) -> bool:
    """Whether a label holds a vertebral body without its arch: it fills the box around it as no whole vertebra does."""
    local = frame.to_local(crop.grid.to_world(np.argwhere(crop.mask)))
    box = np.ptp(np.percentile(local, [1, 99], axis=0), axis=0)
    if box.min() <= 2.0 * crop.grid.spacing_mm.max():
        return False  # two or three layers of voxels fill any box
    filled = len(local) * crop.grid.voxel_volume_mm3 / float(np.prod(box))
    return filled > BODY_BOX_FILL


def front_wall(field_mm: NDArray, crop: Crop, frame: Frame, ring: Ring) -> tuple[float, float]:
    """Front wall of the canal as a line ``y = a + b z`` in the frame's mid-plane.

    From the middle of the canal, rays run forward until they meet bone; Theil-Sen over the heights at which they do
    within reach.
    """
    canal = frame.to_local(ring.centre_mm)
    reach = ring.half_depth_mm + 8.0
    x = canal[0] + np.arange(-WALL_BAND_MM, WALL_BAND_MM + 0.1, 1.0)
    y = canal[1] + np.arange(0.0, reach, 0.5)
    z = np.arange(-REACH_AXIS, REACH_AXIS + 0.1, 1.0)
    inside = sample(field_mm, crop.grid, local_grid(frame, x, y, z)) > 0
    hit = inside.any(axis=1) & ~inside[:, 0, :]
    first = np.where(hit, y[inside.argmax(axis=1)], np.nan)
    enough = hit.sum(axis=0) >= 4
    if enough.sum() < 4:
        return float(canal[1] + ring.half_depth_mm), 0.0
    wall = np.nanmedian(first[:, enough], axis=0)
    near = np.abs(wall - np.median(wall)) < 6.0
    heights = z[enough][near]
    if np.ptp(heights) < 6.0:
        return float(np.median(wall[near])), 0.0
    slope = float(np.clip(theil_sen(heights, wall[near]), -WALL_SLOPE_MAX, WALL_SLOPE_MAX))
    return float(np.median(wall[near] - slope * heights)), slope


def theil_sen(x: NDArray, y: NDArray) -> float:
    """Median slope over all pairs of points (scipy's needs a second to import)."""
    first, second = np.triu_indices(len(x), 1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))


def body_mask(
    crop: Crop, frame: Frame, wall: tuple[float, float], half_width_mm: float | None = None
) -> NDArray[np.bool_]:
    """The label in front of the canal's front wall, without the roots of lateral processes.

    Parameters
    ----------
    crop : Crop
    frame : Frame
    wall : tuple of 2 float
        Front wall of the canal, ``y = a + b z`` in the frame.
    half_width_mm : float, optional
        Largest distance from the mid-plane that can still be body, from the neighbours' widths.

    An opening whose radius follows the body's own thickness finds the body's footprint; inside that footprint the
    label is kept whole, so the rims that an opening would round stay sharp.
    """
    import cc3d

    at = np.argwhere(crop.mask)
    local = frame.to_local(crop.grid.to_world(at))
    behind_wall = wall[0] + wall[1] * local[:, 2] - local[:, 1]
    in_front = behind_wall <= 0
    # Between the pedicles nothing but the back lips of the rims reaches behind the wall.
    low, high = np.percentile(local[in_front, 2], [20, 80]) if in_front.any() else (0.0, 0.0)
    ends = (local[:, 2] < low) | (local[:, 2] > high)
    in_front |= ends & (np.abs(local[:, 0]) < WALL_BAND_MM) & (behind_wall < BACK_LIP_MM)
    if half_width_mm is not None:
        in_front &= np.abs(local[:, 0]) <= half_width_mm
    at, local = at[in_front], local[in_front]
    cut = np.zeros_like(crop.mask)
    cut[tuple(at.T)] = True
    opened = _opened(cut, crop)[tuple(at.T)]
    if not opened.any():
        return np.zeros_like(cut)
    body = np.zeros_like(cut)
    body[tuple(at[_inside_footprint(local, opened, wall[0])].T)] = True
    pieces = cc3d.connected_components(body, connectivity=6)
    return pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:])) if body.any() else body


def _opened(cut: NDArray[np.bool_], crop: Crop) -> NDArray[np.bool_]:
    """Opening of the largest part, its radius following the part's own thickness; right within the part's box."""
    import cc3d
    import edt
    from scipy.ndimage import find_objects

    spacing = tuple(float(s) for s in crop.grid.spacing_mm)
    # The voxel beyond the part that is nearest to a voxel of it lies at most one layer outside its box.
    tight = find_objects(cut.astype(np.uint8))[0]
    box = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in tight)
    depth = edt.edt(np.ascontiguousarray(cut[box]), anisotropy=spacing, black_border=False)
    radius = max(2.0, 0.4 * float(depth.max()))
    seeds, count = cc3d.connected_components(depth > radius, connectivity=26, return_N=True)
    opened = np.zeros_like(cut)
    if count:
        seed = seeds == 1 + int(np.argmax(np.bincount(seeds.ravel())[1:]))
        opened[box] = edt.edt(~seed, anisotropy=spacing, black_border=False) <= radius + 1.0
    return opened


def _inside_footprint(local: NDArray, opened: NDArray[np.bool_], wall_y: float) -> NDArray[np.bool_]:
    """Which points (N, 3) lie in the opened body's shadow along the superior axis.

    Towards the back the shadow is that of the lowest third and of the middle only, where no pedicle leaves the body.
    """
    from scipy.ndimage import binary_closing, binary_dilation, binary_fill_holes

    body = local[opened]
    lowest = body[:, :2].min(axis=0) - 8.0
    cells = np.round((local[:, :2] - lowest) / STEP_MM).astype(int)
    shape = cells[opened].max(axis=0) + 9
    front = wall_y + PEDICLE_DEPTH_SHARE * (np.percentile(body[:, 1], 99) - wall_y)
    between = CENTRAL_SHARE * np.percentile(np.abs(body[:, 0]), 99)
    low = np.percentile(body[:, 2], 30)
    pedicle_free = opened & ((local[:, 1] > front) | (local[:, 2] < low) | (np.abs(local[:, 0]) < between))
    shadow = np.zeros(tuple(shape), bool)
    shadow[tuple(cells[pedicle_free].T)] = True
    shadow = binary_dilation(binary_fill_holes(binary_closing(shadow, iterations=2)))
    # An opening rounds the rims off; towards the endplates, where no pedicle is, they may stand out a little further.
    flare = binary_dilation(shadow, iterations=max(1, round(RIM_FLARE * 2 * between / CENTRAL_SHARE / STEP_MM)))
    high = np.percentile(body[:, 2], 70)
    rim = (local[:, 2] < low) | ((local[:, 2] > high) & (local[:, 1] > front))
    fits = ((cells >= 0) & (cells < shape)).all(axis=1)
    at = tuple(np.clip(cells, 0, shape - 1).T)
    return fits & (shadow[at] | (flare[at] & rim))


def without_dens(crop: Crop, frame: Frame, body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The body of C2: what lies below the dens, which begins where the cross-section has come down to near that of
    the dens neck.
    """
    at = np.argwhere(body)
    height = frame.to_local(crop.grid.to_world(at))[:, 2]
    step = max(STEP_MM, float(crop.grid.spacing_mm.max()))
    counts, edges = np.histogram(height, np.arange(height.min(), height.max() + step, step))
    widest = int(counts.argmax())
    # The tip of the dens is thinner still: look only below its last quarter.
    last = widest + max(2, int(0.75 * (len(counts) - widest)))
    above = counts[widest:last]
    neck = edges[widest + int((above <= DENS_NECK_RATIO * above.min()).argmax())]
    low = height < neck
    kept = np.zeros_like(body)
    kept[tuple(at[low].T)] = True
    return kept
