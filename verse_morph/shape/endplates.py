"""The two endplates: columns along the vertebra's axis, their ends, and robust planes through them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.shape.field import sample
from verse_morph.shape.split import local_grid
from verse_morph.space import Grid
from verse_morph.spine import Endplate, Frame, Plane

COLUMNS_ACROSS = 40
TUKEY_C = 4.685
MINIMUM_COLUMNS = 12
OSTEOPHYTE_MM = 2.0
FLANK_SLOPE = 1.0
# The uncinate processes stand up at both sides of a cervical upper endplate and bevel the lower endplate above them;
# planes are fitted between them.
UNCINATE_FREE_HALF_WIDTH = 0.3
# Where a cervical endplate is less deep than this share of its largest depth, it is the root of a transverse process or
# of C2's lateral masses.
PLATE_DEPTH_SHARE = 0.5
# C2 bears its lateral masses on both sides of its body: what ends farther than this from the surface under the middle
# strip is theirs.
MIDDLE_STRIP_MM = 4.0
MASSES_MM = 2.0
# A back corner: beyond this share of the half-width, within this share of the depth from the back.
PEDICLE_CORNER = (0.5, 0.35)


@dataclass(frozen=True, eq=False)
class Columns:
    """Ends of the body along the frame's superior axis, on a regular (x, y) grid in the frame; NaN where a column
    misses the body.
    """

    x: NDArray
    y: NDArray
    top: NDArray
    bottom: NDArray
    waist: NDArray[np.bool_]

    @property
    def step_mm(self) -> float:
        """Distance between columns."""
        return float(self.x[1] - self.x[0])


def columns(body_field: NDArray, grid: Grid, frame: Frame, body: NDArray[np.bool_]) -> Columns:
    """Upper and lower end of the body for each column parallel to the superior axis.

    Parameters
    ----------
    body_field : array (i, j, k)
        Smoothed signed distance to the body's surface, mm.
    grid : Grid
        Grid of the crop.
    frame : Frame
    body : array (i, j, k) of bool
    """
    local = frame.to_local(grid.to_world(np.argwhere(body)))
    low, high = local.min(axis=0) - 2.0, local.max(axis=0) + 2.0
    step = float(np.clip((high[0] - low[0]) / COLUMNS_ACROSS, 0.4, 1.25))
    x, y = np.arange(low[0], high[0], step), np.arange(low[1], high[1], step)
    z = np.arange(low[2], high[2], 0.5)
    values = sample(body_field, grid, local_grid(frame, x, y, z))
    top = _last_crossing(values, z)
    bottom = -_last_crossing(values[..., ::-1], -z[::-1])
    # A lip that overhangs the waist gives a column one end only: the other end would be the lip's own back.
    if np.isfinite(top).any():
        top[~(top > 0.3 * np.nanmedian(top))] = np.nan
    if np.isfinite(bottom).any():
        bottom[~(bottom < 0.3 * np.nanmedian(bottom))] = np.nan
    waist = np.asarray((values[..., np.abs(z) < 1.0] > 0).any(axis=2))
    return Columns(x, y, top, bottom, waist)


def _last_crossing(values: NDArray, z: NDArray) -> NDArray:
    """Position along the last axis where the values leave the positive range for the last time."""
    inside = values > 0
    last = values.shape[2] - 1 - inside[..., ::-1].argmax(axis=2)
    found = inside.any(axis=2) & (last < values.shape[2] - 1)
    last = np.minimum(last, values.shape[2] - 2)
    here = np.take_along_axis(values, last[..., None], axis=2)[..., 0].astype(float)
    after = np.take_along_axis(values, last[..., None] + 1, axis=2)[..., 0].astype(float)
    share = np.divide(here, here - after, out=np.zeros_like(here), where=here > after)
    return np.where(found, z[last] + np.clip(share, 0, 1) * (z[1] - z[0]), np.nan)


def endplate(cols: Columns, frame: Frame, upper: bool, level: Level) -> Endplate | None:
    """Rim and whole plane of one endplate, or None where too little of it is there to fit.

    Parameters
    ----------
    cols : Columns
    frame : Frame
    upper : bool
        Superior or inferior endplate.
    level : Level
        Cervical endplates are fitted between the uncinate processes.

    Notes
    -----
    Planes are fitted by iteratively reweighted least squares with Tukey's biweight (c = 4.685), so a Schmorl node or
    a spur does not tilt them.
    """
    heights = cols.top if upper else cols.bottom
    if level is Level.C2:
        heights = _without_masses(cols, heights)
    uncinate = level.region == "cervical" or (upper and level is Level.T1)
    footprint, depth = _footprint(cols, heights, PLATE_DEPTH_SHARE if uncinate else 0.0)
    if footprint.sum() < 2 * MINIMUM_COLUMNS:
        return None
    margin = min(2.0, depth.max() / 8)
    whole = footprint & (depth > margin)
    rim = whole & (depth <= max(depth.max() / 4, margin + cols.step_mm))
    if upper:
        free = ~_pedicle_roots(cols, footprint)
        rim, whole = rim & free, whole & free
    side_slope: float | None = None
    if uncinate:
        across = cols.x[footprint.any(axis=1)]
        half_width = UNCINATE_FREE_HALF_WIDTH * np.ptp(across)
        if level is Level.C2:  # none there, and often little plate is left between its masses
            half_width = max(half_width, MIDDLE_STRIP_MM)
        between = (np.abs(cols.x - across.mean()) < half_width)[:, None]
        rim, whole = rim & between, whole & between
        # What is left of the rim is its front and back; across, the whole plate tells the slope better.
        side_slope = float(_plane(cols, heights, whole)[0][1]) if whole.sum() >= MINIMUM_COLUMNS else None
    if rim.sum() < MINIMUM_COLUMNS:
        return None
    middle = np.argwhere(footprint).mean(axis=0)
    at = (cols.x[0] + cols.step_mm * middle[0], cols.y[0] + cols.step_mm * middle[1])
    rim_fit, scatter = _plane(cols, heights, rim, side_slope)
    whole_fit, _ = _plane(cols, heights, whole)
    where = np.argwhere(whole)
    points = np.column_stack([cols.x[where[:, 0]], cols.y[where[:, 1]], heights[whole]])
    planes = [_world_plane(fit, at, frame, upper) for fit in (rim_fit, whole_fit)]
    return Endplate(frame.to_world(points), depth[whole], planes[0], planes[1], scatter)


def _without_masses(cols: Columns, heights: NDArray) -> NDArray:
    """Ends of the columns under the body of C2; NaN under its lateral masses."""
    strip = np.isfinite(heights) & (np.abs(cols.x) <= MIDDLE_STRIP_MM)[:, None]
    if strip.sum() < MINIMUM_COLUMNS:
        return heights
    y = np.broadcast_to(cols.y, heights.shape)
    fit, _ = tukey_plane(np.column_stack([np.ones(strip.sum()), y[strip]]), heights[strip])
    return np.where(np.abs(heights - fit[0] - fit[1] * y) <= MASSES_MM, heights, np.nan)


def _footprint(cols: Columns, heights: NDArray, depth_share: float) -> tuple[NDArray[np.bool_], NDArray]:
    """Columns that end on this endplate without osteophytes, nor where it is less deep than a share of its largest
    depth; and their distance to the footprint's edge.
    """
    import cc3d
    import edt

    outside = edt.edt(np.ascontiguousarray(~cols.waist)) * cols.step_mm
    footprint = np.isfinite(heights) & (outside <= OSTEOPHYTE_MM) & (_steepness(cols, heights) < FLANK_SLOPE)
    pieces = cc3d.connected_components(footprint, connectivity=4)
    if pieces.max() > 1:
        footprint = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    deep = footprint.sum(axis=1)
    footprint &= (deep >= depth_share * deep.max())[:, None]
    return footprint, edt.edt(np.ascontiguousarray(footprint), black_border=True) * cols.step_mm


def _pedicle_roots(cols: Columns, footprint: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Columns in the two back corners, where the pedicles leave the upper half of the body and hide its rim."""
    across, along = cols.x[footprint.any(axis=1)], cols.y[footprint.any(axis=0)]
    back = cols.y < along.min() + PEDICLE_CORNER[1] * np.ptp(along)
    side = np.abs(cols.x - (across.min() + across.max()) / 2) > PEDICLE_CORNER[0] * np.ptp(across) / 2
    return side[:, None] & back[None, :]


def _steepness(cols: Columns, heights: NDArray) -> NDArray:
    """Slope of the surface over 3 mm; a column that ends on the body's flank instead of its endplate is steep."""
    reach = max(1, round(1.5 / cols.step_mm))
    padded = np.pad(heights, reach, constant_values=np.nan)
    inner = slice(reach, -reach)
    slopes = []
    for axis in (0, 1):
        ahead = np.roll(padded, -reach, axis)[inner, inner] - heights
        behind = heights - np.roll(padded, reach, axis)[inner, inner]
        slopes.append(np.fmin(np.abs(ahead), np.abs(behind)) / (reach * cols.step_mm))
    return np.nan_to_num(np.hypot(*slopes), nan=0.0)


def _plane(
    cols: Columns, heights: NDArray, use: NDArray[np.bool_], side_slope: float | None = None
) -> tuple[NDArray, float]:
    """Plane coefficients through the chosen columns, and their scatter; the slope across may be given."""
    where = np.argwhere(use)
    x, y, z = cols.x[where[:, 0]], cols.y[where[:, 1]], heights[use]
    if side_slope is None:
        return tukey_plane(np.column_stack([np.ones_like(x), x, y]), z)
    rest, scatter = tukey_plane(np.column_stack([np.ones_like(x), y]), z - side_slope * x)
    return np.array([rest[0], side_slope, rest[1]]), scatter


def _world_plane(fit: NDArray, at: tuple[float, float], frame: Frame, upper: bool) -> Plane:
    point = np.array([*at, fit @ np.array([1.0, *at])])
    normal = np.array([-fit[1], -fit[2], 1.0]) * (1 if upper else -1)
    return Plane(frame.to_world(point), normal @ frame.axes)


def tukey_plane(design: NDArray, z: NDArray, iterations: int = 12) -> tuple[NDArray, float]:
    """Coefficients of ``z = design @ coefficients`` by Tukey's biweight, and the robust scatter of the residuals
    (1.4826 MAD).
    """
    weights = np.ones_like(z)
    scatter = 0.0
    coefficients = np.zeros(design.shape[1])
    for _ in range(iterations):
        root = np.sqrt(weights)
        coefficients = np.linalg.lstsq(design * root[:, None], z * root, rcond=None)[0]
        residual = z - design @ coefficients
        scatter = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
        # A perfect plane has no scatter; a floor keeps the weights defined.
        scaled = residual / (TUKEY_C * max(scatter, 0.05))
        weights = np.where(np.abs(scaled) < 1, (1 - scaled**2) ** 2, 0.0)
        if (weights > 0).sum() < 10:
            weights = np.ones_like(z)
    return coefficients, scatter
