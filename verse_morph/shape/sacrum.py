"""The first sacral endplate: looked for below the last lumbar vertebra, in the label of S1 or of the whole sacrum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.shape.crop import crop_values
from verse_morph.shape.endplates import MINIMUM_COLUMNS, Columns, endplate, tukey_plane
from verse_morph.shape.field import Crop, sample, smooth_field
from verse_morph.shape.split import local_frame, local_grid
from verse_morph.spine import Endplate, Frame, Vertebra
from verse_morph.volume import LabelMap

STEP_MM = 1.25
# How far above and below a first guess the endplate is looked for, and the last lumbar endplate's distance from it
# beyond which a level may be missing between them.
REACH_MM = 25.0
FARTHEST_MM = 30.0
# Strip about the mid-plane, as a share of half the width, in which neither wings nor joint processes disturb.
MIDDLE_SHARE = 0.4
# What ends farther than this from the plane through the middle strip is wing, process or roof.
NEAR_PLANE_MM = 4.0
# Below the promontory the sacrum's front recedes: what hangs over the bone this far down is an osteophyte.
WAIST_MM = 4.0
ROUNDS = 3


def sacral_endplate(labels: LabelMap, above: Vertebra) -> tuple[Endplate | None, str]:
    """The first sacral endplate, and a note where it is missing or taken from the whole sacrum.

    Parameters
    ----------
    labels : LabelMap
        S1, the sacrum or both; masks with both leave bone that belongs to S1 to either.
    above : Vertebra
        The last vertebra above it.

    Returns
    -------
    endplate : Endplate or None
        None where neither S1 nor the sacrum is labelled; nothing stands in for it.
    note : str

    Notes
    -----
    Columns run along the normal of the plane through the endplate's middle strip, which is found in three rounds
    starting from the last lumbar endplate. The wings may be flush with the endplate, so its width is that of the last
    lumbar endplate at most.
    """
    s1 = [value for value, level in labels.scheme.levels.items() if level is Level.S1]
    crop = crop_values(labels, s1 + [value for value, name in labels.scheme.others.items() if name == "sacrum"])
    if crop is None:
        return None, ""
    if above.level.region != "lumbar" or above.inferior is None or above.frame is None:
        return None, f"S1: no whole lumbar endplate above it to look from ({above.level} is the last)"
    field_mm = smooth_field(crop.mask, crop.grid)
    half_width, half_depth = _half_extents(above.inferior, above.frame)
    frame: Frame | None = local_frame(above.inferior.rim.point_mm, -above.inferior.rim.normal, above.frame.anterior)
    for _ in range(ROUNDS):
        frame = _nearer(field_mm, crop, frame, half_width, half_depth) if frame is not None else None
    if frame is None:
        return None, f"S1: no endplate of it found within {FARTHEST_MM:.0f} mm below {above.level}"
    cols = _columns(field_mm, crop, frame, half_width, half_depth)
    found = endplate(cols, frame, True, Level.S1)
    if found is None:
        return None, "S1: its endplate is too small to fit"
    distance = float(np.linalg.norm(found.rim.point_mm - above.inferior.rim.point_mm))
    if distance > FARTHEST_MM:
        return None, f"S1: {distance:.0f} mm below {above.level}, a level may be missing between them"
    if _meets_border(found, crop):
        return None, "S1: the image border cuts its endplate"
    return found, "" if set(s1) & set(labels.values()) else "S1: its endplate is the upper end of the sacrum's label"


def _half_extents(plate: Endplate, frame: Frame) -> tuple[float, float]:
    """Half the width and depth of an endplate, mm."""
    local = frame.to_local(plate.points_mm)[:, :2]
    width, depth = (np.ptp(local, axis=0) / 2 + float(plate.edge_mm.min())).tolist()
    return width, depth


def _tops(field_mm: NDArray, crop: Crop, frame: Frame, x: NDArray, y: NDArray) -> NDArray:
    """Height along the frame's axis at which lines from above first meet bone; NaN where they miss it."""
    z = np.arange(REACH_MM, -REACH_MM, -0.5)
    values = sample(field_mm, crop.grid, local_grid(frame, x, y, z))
    inside = values > 0
    first = np.maximum(inside.argmax(axis=2), 1)
    before, after = (np.take_along_axis(values, i[..., None], axis=2)[..., 0] for i in (first - 1, first))
    share = np.divide(before, before - after, out=np.zeros_like(before), where=before != after)
    return np.where(inside.any(axis=2) & ~inside[..., 0], z[first - 1] - 0.5 * np.clip(share, 0, 1), np.nan)


def _nearer(field_mm: NDArray, crop: Crop, frame: Frame, half_width: float, half_depth: float) -> Frame | None:
    """A frame on the endplate, from the plane through what a middle strip of columns meets."""
    x = np.arange(-MIDDLE_SHARE * half_width, MIDDLE_SHARE * half_width, STEP_MM)
    y = np.arange(-half_depth, half_depth, STEP_MM)
    tops = _tops(field_mm, crop, frame, x, y)
    use = np.isfinite(tops)
    if use.sum() < 2 * MINIMUM_COLUMNS:
        return None
    where = np.argwhere(use)
    across, along = x[where[:, 0]], y[where[:, 1]]
    fit, _ = tukey_plane(np.column_stack([np.ones(len(where)), across, along]), tops[use])
    near = np.abs(tops[use] - fit @ np.stack([np.ones(len(where)), across, along])) < NEAR_PLANE_MM
    if near.sum() < 2 * MINIMUM_COLUMNS:
        return None
    middle_y = float(along[near].min() + along[near].max()) / 2
    point = frame.to_world(np.array([0.0, middle_y, fit @ np.array([1.0, 0.0, middle_y])]))
    return local_frame(point, np.array([-fit[1], -fit[2], 1.0]) @ frame.axes, frame.anterior)


def _columns(field_mm: NDArray, crop: Crop, frame: Frame, half_width: float, half_depth: float) -> Columns:
    """Columns over the endplate, without those that end away from its plane."""
    x = np.arange(-half_width, half_width + STEP_MM / 2, STEP_MM)
    y = np.arange(-1.5 * half_depth, 1.5 * half_depth, STEP_MM)
    tops = _tops(field_mm, crop, frame, x, y)
    tops[~(np.abs(tops) < NEAR_PLANE_MM)] = np.nan
    waist = sample(field_mm, crop.grid, local_grid(frame, x, y, np.array([-WAIST_MM])))[..., 0] > 0
    return Columns(x, y, tops, np.full_like(tops, np.nan), waist)


def _meets_border(plate: Endplate, crop: Crop) -> bool:
    """Whether an endplate comes within a voxel of the image's border."""
    index = crop.grid.to_index(plate.points_mm)
    reach = plate.edge_mm.min() / crop.grid.spacing_mm + 1.0
    near = np.stack([index - reach < 0, index + reach > np.array(crop.grid.shape) - 1], axis=-1).any(axis=0)
    return bool((near & crop.border).any())
