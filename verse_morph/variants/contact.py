"""Beside the last lumbar disc: is there free space, a joint, or bone between the vertebra and the sacrum's wing?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.space import FloatArray
from verse_morph.spine import Frame
from verse_morph.variants.neighbourhood import Neighbourhood

# The zone beside the disc, mm: from the body's edge outwards, about the disc's middle to front and back, up and down.
OUTWARDS_MM = (2.0, 32.0)
FRONT_MM = (-21.0, 9.0)
UP_MM = (-26.0, 22.0)
# Vertical steps of a column, and across.
STEP_Z, STEP_XY = 0.75, 1.0
# A joint's cleft: bright on both sides within this distance, brighter than the cleft by this much.
RIDGE_MM, RIDGE_HU, PROMINENCE_HU = 4.5, 250.0, 110.0
WIDEST_CLEFT_MM = 3.0
# A column is bridged where it is bone from the process's height to the wing.
BRIDGE_MM = (-12.0, 8.0)
SHORTEST_GAP_MM = 1.5


@dataclass(frozen=True)
class Contact:
    """What the columns of one side show.

    Parameters
    ----------
    joint_mm2 : float
        Area over which a narrow dark cleft lies between two bright surfaces.
    cleft_mm : float or None
        Median width of that cleft at half of its depth.
    bridge_mm2 : float
        Area over which bone runs from the height of the process to the wing.
    """

    joint_mm2: float
    cleft_mm: float | None
    bridge_mm2: float


def contact_of(
    near: Neighbourhood, frame: Frame, disc_mm: FloatArray, half_width_mm: float, side: str, soft_hu: float
) -> Contact | None:
    """Look down the columns beside the disc on one side.

    Parameters
    ----------
    near : Neighbourhood
        With a CT.
    frame : Frame
        Of the vertebra above the disc.
    disc_mm : array (3,)
        Middle of the disc, world RAS mm.
    half_width_mm : float
        Of the body above.
    side : str
    soft_hu : float
        HU below which there is no bone.

    Returns
    -------
    Contact or None
        None where the image does not show the zone.
    """
    columns = _columns(near, frame, disc_mm, half_width_mm, 1 if side == "right" else -1)
    if columns is None:
        return None
    z = np.arange(UP_MM[0], UP_MM[1] + 0.01, STEP_Z)
    cleft, width = _clefts(columns)
    bone = columns > soft_hu
    middle = (z >= BRIDGE_MM[0]) & (z <= BRIDGE_MM[1])
    runs = _longest_run(~bone[..., middle]) * STEP_Z
    bridged = (runs < SHORTEST_GAP_MM) & ~cleft
    area = STEP_XY**2
    return Contact(
        joint_mm2=float(cleft.sum() * area),
        cleft_mm=float(np.median(width[cleft])) if cleft.any() else None,
        bridge_mm2=float(bridged.sum() * area),
    )


def _columns(
    near: Neighbourhood, frame: Frame, disc_mm: FloatArray, half_width: float, sign: int
) -> NDArray[np.float32] | None:
    """HU (x outwards, y forwards, z upwards) beside the disc, averaged over 3 x 3 columns."""
    from scipy.ndimage import map_coordinates, uniform_filter

    x = sign * (half_width + np.arange(*OUTWARDS_MM, STEP_XY))
    y = np.arange(*FRONT_MM, STEP_XY)
    z = np.arange(UP_MM[0], UP_MM[1] + 0.01, STEP_Z)
    px, py, pz = np.meshgrid(x, y, z, indexing="ij")
    middle = frame.to_local(disc_mm)
    points = frame.to_world(np.stack([px, py + middle[1], pz + middle[2]], axis=-1))
    inside = near.grid.contains(points)
    if inside.mean() < 0.9:
        return None
    hu = near.raw_hu if near.raw_hu is not None else near.hu
    assert hu is not None
    index = near.grid.to_index(points).reshape(-1, 3).T
    values = map_coordinates(hu.astype(np.float32), index, order=1, mode="nearest").reshape(px.shape)
    return uniform_filter(values, (3, 3, 1), mode="nearest")


def _clefts(columns: NDArray) -> tuple[NDArray[np.bool_], NDArray]:
    """Which columns cross a narrow dark cleft between two bright surfaces, and how wide it is at half depth, mm."""
    from scipy.ndimage import maximum_filter1d

    reach = round(RIDGE_MM / STEP_Z)
    size, shift = reach, (reach + 1) // 2
    ridge = maximum_filter1d(columns, size, axis=2, mode="constant", cval=-2000)
    pad = np.full((*columns.shape[:2], shift), -2000.0, dtype=columns.dtype)
    below = np.concatenate([pad, ridge[..., :-shift]], axis=2)
    above = np.concatenate([ridge[..., shift:], pad], axis=2)
    bright = np.minimum(below, above)
    depth = np.where(bright >= RIDGE_HU, bright - columns, -1.0)
    at = depth.argmax(axis=2)
    most = np.take_along_axis(depth, at[..., None], axis=2)[..., 0]
    level = np.take_along_axis(bright, at[..., None], axis=2)[..., 0] - 0.5 * most
    dark = columns < level[..., None]
    width = _run_through(dark, at) * STEP_Z
    return (most >= PROMINENCE_HU) & (width <= WIDEST_CLEFT_MM), width


def _run_through(flags: NDArray[np.bool_], at: NDArray) -> NDArray:
    """Length of the run of true values that contains index ``at`` along the last axis."""
    n = flags.shape[-1]
    index = np.arange(n)
    falses = np.where(flags, -1, index)
    before = np.where(index < at[..., None], falses, -1).max(axis=-1)
    after = np.where((index > at[..., None]) & ~flags, index, n).min(axis=-1)
    return after - before - 1


def _longest_run(flags: NDArray[np.bool_]) -> NDArray:
    """Length of the longest run of true values along the last axis."""
    run = np.zeros(flags.shape[:-1], dtype=int)
    best = run.copy()
    for k in range(flags.shape[-1]):
        run = np.where(flags[..., k], run + 1, 0)
        best = np.maximum(best, run)
    return best
