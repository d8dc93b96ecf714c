"""The last lumbar-type vertebra: labelled, or fused with the sacrum and found in the CT below the last label."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.errors import NotMeasurable
from verse_morph.measure.body import MidSection, mid_section
from verse_morph.space import FloatArray
from verse_morph.spine import Flag, Frame, Vertebra
from verse_morph.variants.neighbourhood import Neighbourhood, Surroundings

# How far below the last label a disc is looked for: its own, and that of a further vertebra.
FIRST_DISC_MM = (2.0, 18.0)
SECOND_DISC_MM = (26.0, 58.0)
TILTS_DEG = np.arange(-15.0, 46.0, 5.0)
# The middle of a disc, in which endplates are looked for.
PATCH_X = np.arange(-12.0, 12.1, 3.0)
PATCH_Y = np.arange(-9.0, 9.1, 3.0)
PROFILE_MM = np.arange(-7.0, 7.1, 1.0)
# A second disc shows at least this share of the first one's contrast, in this share of its area.
LEAST_CONTRAST = 0.4
LEAST_AREA = 0.7
# View below the last label that a further vertebra would fill.
ROOM_MM = 34.0
# The sacrum begins no farther below the last vertebra than this, or a vertebra is missing between them.
SACRUM_GAP_MM = 25.0


@dataclass(frozen=True, eq=False)
class LastLumbar:
    """What is known of the lower end of the lumbar spine.

    Parameters
    ----------
    level : Level or None
        Last labelled lumbar level.
    complete : bool
        Nothing below it could be a free vertebra out of view.
    unlabelled : int or None
        Vertebrae below the last label: 0, 1, or unknown.
    why : str
        Why something of it is unknown.
    frame : Frame or None
        Axes of the last lumbar-type vertebra, labelled or not.
    half_width_mm : float or None
        Half the width of its body.
    disc_mm : array (3,) or None
        Middle of the disc below it, where a CT shows it, world RAS mm.
    contrast : float or None
        Contrast of a disc below the next body, as a share of that of the disc below the last label.
    """

    level: Level | None
    complete: bool = False
    unlabelled: int | None = None
    why: str = ""
    frame: Frame | None = None
    half_width_mm: float | None = None
    disc_mm: FloatArray | None = None
    contrast: float | None = None


def find_last_lumbar(around: Surroundings) -> LastLumbar:
    """The lower end of the lumbar spine.

    Parameters
    ----------
    around : Surroundings

    Notes
    -----
    Misleads when a residual disc between S1 and S2 is as broad as a lumbar one: then S1 is taken for a further
    vertebra. That is the question of lumbarisation itself, which only the whole spine can decide.
    """
    lumbar = [v for v in around.spine if v.level.region == "lumbar"]
    if not lumbar:
        return LastLumbar(None, why="no lumbar vertebra in the mask")
    last = lumbar[-1]
    if Flag.BODY_CUT in last.flags or last.frame is None:
        why = last.why.get("frame", f"the image border cuts {last.level}")
        return LastLumbar(last.level, why=f"{last.level}: {why}")
    try:
        section = mid_section(last)
    except NotMeasurable as error:
        return LastLumbar(last.level, why=str(error), frame=last.frame)
    last, width = replace(last, frame=_straightened(last, last.frame, section)), section.width.length
    if around.has_sacrum:
        return _above_sacrum(around, last, width / 2)
    room = _room_mm(around, last)
    if around.hu is not None and room >= SECOND_DISC_MM[0] + 8:
        return _by_discs(around, last, width / 2, room)
    why = "neither a CT nor a sacrum shows what lies below the last label"
    if around.hu is not None:
        why = f"only {room:.0f} mm of the image lie below {last.level}"
    return LastLumbar(last.level, room >= ROOM_MM, None, why, last.frame, width / 2)


def _straightened(last: Vertebra, frame: Frame, section: MidSection) -> Frame:
    """Axes through the middle of the body's width, looking away from the canal.

    The side of a broad transverse process that the outline of the body takes in pulls the centroid 5 mm over and turns
    the axes by 8 degrees: then the joints of the other side are taken for its process.
    """
    middle = frame.to_world(np.array([section.width.middle, section.depth.middle, section.z]))
    front = frame.anterior if last.canal is None else middle - last.canal.centre_mm
    front = front - (front @ frame.superior) * frame.superior
    front = front / np.linalg.norm(front)
    origin = frame.to_world(np.array([section.width.middle, 0.0, 0.0]))
    return Frame(origin, np.cross(front, frame.superior), front, frame.superior)


def _above_sacrum(around: Surroundings, last: Vertebra, half_width: float) -> LastLumbar:
    assert last.frame is not None
    low, high = last.frame.origin_mm - 60.0, last.frame.origin_mm + 60.0
    near = around.box(low, high, finest_mm=0.9)
    local = last.frame.to_local(near.grid.to_world(np.argwhere(near.named == 1)))
    under = local[(np.abs(local[:, 0]) < 0.6 * half_width) & (local[:, 2] < 0) & (np.abs(local[:, 1]) < 25)]
    bottom = _bottom(last)
    if not len(under) or bottom - under[:, 2].max() > SACRUM_GAP_MM:
        why = f"the sacrum of the mask does not follow {last.level}: a vertebra may be missing between them"
        return LastLumbar(last.level, False, None, why, last.frame, half_width)
    middle = last.frame.to_world(np.array([0.0, 0.0, 0.5 * (bottom + float(under[:, 2].max()))]))
    return LastLumbar(last.level, True, 0, "", last.frame, half_width, middle)


def _bottom(last: Vertebra) -> float:
    """Lower end of the body along its own axis, mm."""
    assert last.frame is not None
    assert last.body is not None
    local = last.frame.to_local(last.grid.to_world(np.argwhere(last.body)))
    middle = (np.abs(local[:, 0]) < 8) & (np.abs(local[:, 1]) < 8)
    return float(local[middle, 2].min()) - 0.5 * float(last.grid.spacing_mm.max())


def _room_mm(around: Surroundings, last: Vertebra) -> float:
    """How far the image goes on below a body, straight down in the world."""
    assert last.frame is not None
    start = last.frame.to_world(np.array([0.0, 0.0, _bottom(last)]))
    down = start + np.arange(0.0, 120.0)[:, None] * np.array([0.0, 0.0, -1.0])
    inside = around.grid.contains(down)
    return float(len(inside) if inside.all() else inside.argmin())


# --- discs in the CT --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Disc:
    contrast: float
    area: float
    centre_mm: FloatArray
    down: FloatArray
    distance_mm: float


def _by_discs(around: Surroundings, last: Vertebra, half_width: float, room: float) -> LastLumbar:
    """Look for the disc below the last label and for another one below the next body."""
    frame = last.frame
    assert frame is not None
    start = frame.to_world(np.array([0.0, 0.0, _bottom(last)]))
    near = around.box(start - 85.0, start + 60.0, finest_mm=0.9)
    reach = min(SECOND_DISC_MM[1], room - 4.0)
    first = _best_disc(near, frame, start, FIRST_DISC_MM)
    second = _best_disc(near, frame, start, (SECOND_DISC_MM[0], reach))
    if first is None or first.contrast < 40:
        why = f"no disc to be seen below {last.level}"
        return LastLumbar(last.level, True, None, why, frame, half_width)
    if second is None or reach < 40:
        why = f"only {room:.0f} mm of the image lie below {last.level}"
        if reach >= 40:
            why = f"the image ends beside the place where a further disc below {last.level} would lie"
        return LastLumbar(last.level, room >= ROOM_MM, None, why, frame, half_width, first.centre_mm)
    share = second.contrast / first.contrast
    if share < LEAST_CONTRAST or second.area < LEAST_AREA:
        return LastLumbar(last.level, True, 0, "", frame, half_width, first.centre_mm, share)
    up = -(first.down + second.down)
    up /= np.linalg.norm(up)
    right = frame.right - (frame.right @ up) * up
    right /= np.linalg.norm(right)
    own = Frame(0.5 * (first.centre_mm + second.centre_mm), right, np.cross(up, right), up)
    return LastLumbar(last.level, True, 1, "", own, half_width, second.centre_mm, share)


def _best_disc(near: Neighbourhood, frame: Frame, start: FloatArray, between_mm: tuple[float, float]) -> _Disc | None:
    """The darkest sheet between two bright ones, at any plausible distance and tilt."""
    from scipy.ndimage import map_coordinates

    hu = near.raw_hu if near.raw_hu is not None else near.hu
    assert hu is not None
    hu = hu.astype(np.float32)
    best: _Disc | None = None
    px, py, pz = np.meshgrid(PATCH_X, PATCH_Y, PROFILE_MM, indexing="ij")
    for tilt in np.radians(TILTS_DEG):
        down = _turned(frame, tilt)
        front = np.cross(down, frame.right)
        travel = _turned(frame, tilt / 2)
        patch = px[..., None] * frame.right + py[..., None] * front + pz[..., None] * down
        for distance in np.arange(between_mm[0], between_mm[1] + 0.1, 1.0):
            centre = start + distance * travel
            index = near.grid.to_index(centre + patch)
            values = map_coordinates(hu, index.reshape(-1, 3).T, order=1, cval=np.nan).reshape(px.shape)
            found = _contrast(values)
            if found is not None and (best is None or found[0] > best.contrast):
                best = _Disc(found[0], found[1], centre, down, float(distance))
    return best


def _turned(frame: Frame, tilt: float) -> FloatArray:
    """The way down, leaning backwards by an angle."""
    return np.asarray(-np.cos(tilt) * frame.superior - np.sin(tilt) * frame.anterior, dtype=np.float64)


def _contrast(values: NDArray) -> tuple[float, float] | None:
    """Endplates minus disc in HU over the patch, and the share of the patch that shows it."""
    if np.isnan(values).any():
        return None
    profile = values.mean(axis=(0, 1))
    middle = len(profile) // 2
    dip = float(profile[middle - 1 : middle + 2].mean())
    ridge = min(float(profile[: middle - 1].max()), float(profile[middle + 2 :].max()))
    columns = values[:, :, middle - 1 : middle + 2].mean(axis=2)
    above, below = values[:, :, : middle - 1].max(axis=2), values[:, :, middle + 2 :].max(axis=2)
    shows = np.minimum(above, below) - columns > 0.5 * (ridge - dip)
    return ridge - dip, float(shows.mean())
