"""The gap between neighbouring bodies: its heights, its mean thickness and its wedge angles.

A disc has axes of its own: *up* bisects the normals of the two facing rim planes, *right* is the mean of both
vertebrae's right axes at right angles to it, *front* follows. Its origin lies half way between the middles of the
facing rim planes. Heights are distances between bone and bone along *up*, where both endplates are: the common depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level, missing_between
from verse_morph.errors import NotMeasurable
from verse_morph.measure.body import per_subject
from verse_morph.measure.measurement import measurement
from verse_morph.measure.rims import END_FLAGS, Rim, perpendicular, rim_of, rim_of_sacrum
from verse_morph.space import FloatArray
from verse_morph.spine import Endplate, Flag, Spine, Vertebra

VOLUMETRIC = "gap volume over endplate area, both over the common footprint"
GAP = "bone-to-bone gap along the mid-disc normal; shares of the common depth as for body heights"
DABBS = "Dabbs and Dabbs 1990"
FARFAN = "Farfan 1973"
COBB = "Cobb 1948; rim plane by Tukey's biweight"
DEPTH_SHARES = {"anterior": 0.1, "middle": 0.5, "posterior": 0.9}
SIDE_SHARES = {"left": -0.3, "right": 0.3}
MIDSAGITTAL_SHARE = 0.10
HALF_BAND_MM = 1.0
# How far a line looks for bone from the middle of the disc: back through what may overlap there, and on.
BEHIND_MM, AHEAD_MM = 10.0, 30.0
# The field that lines look through is smooth over a millimetre.
STEP_MM = 0.5
# Bodies nearer than this share of a voxel touch: a gap that the mask cannot show is no height.
TOUCH_VOXELS = 0.75
# No disc is higher than this share of its depth; a gap that a vertebra is missing from is higher.
TALLEST_SHARE = 0.8
# Endplate points end about 2 mm inside the outline; the common footprint leaves out its outer millimetre, where
# outlines are rounded.
FOOTPRINT_MM = 1.0
SACRUM_NEAR_MM = 4.0
LATTICE_MM = 2.0


class BodiesTouch(NotMeasurable):
    """There is no gap to measure where two bodies meet."""


@dataclass(frozen=True, eq=False)
class Disc:
    """What lies between two neighbouring levels.

    Parameters
    ----------
    upper_level, lower_level : Level
        Neighbours in this spine's own count; the lower one may be S1.
    upper, lower : Vertebra or None
        None where the mask does not hold that level, or the lower one is S1.
    sacrum : Endplate or None
        Upper endplate of S1 where that is the lower level.
    """

    upper_level: Level
    lower_level: Level
    upper: Vertebra | None
    lower: Vertebra | None
    sacrum: Endplate | None = None

    @property
    def name(self) -> str:
        """Both levels: ``L4-L5``."""
        return f"{self.upper_level}-{self.lower_level}"


@dataclass(frozen=True, eq=False)
class Gap:
    """A disc's axes and the part of it where both endplates are, world RAS mm.

    Parameters
    ----------
    origin_mm : array (3,)
    right, front, up : array (3,)
        Unit axes.
    above, below : Rim
        The facing rims.
    depth, width : 2 floats
        Range along *front* and *right*, counted from the origin, in which both endplates are.
    """

    origin_mm: FloatArray
    right: FloatArray
    front: FloatArray
    up: FloatArray
    above: Rim
    below: Rim
    depth: tuple[float, float]
    width: tuple[float, float]

    def points(self, x: NDArray, y: NDArray) -> FloatArray:
        """World points (N, 3) of the mid-disc plane."""
        return np.asarray(self.origin_mm + np.ravel(x)[:, None] * self.right + np.ravel(y)[:, None] * self.front)


def discs_of(spine: Spine) -> tuple[Disc, ...]:
    """Every disc between the first and the last level in view, head to foot, from C2-C3 on.

    Parameters
    ----------
    spine : Spine

    Notes
    -----
    A level that every spine has and this mask lacks leaves two discs that cannot be measured, never one across it. The
    disc above S1 is listed where the mask holds S1.
    """
    known = {vertebra.level: vertebra for vertebra in spine}
    levels = list(spine.levels())
    if spine.sacrum_superior is not None and levels and levels[-1].region == "lumbar":
        levels.append(Level.S1)
    full = levels[:1]
    for upper, lower in pairwise(levels):
        full += [*missing_between(upper, lower), lower]
    pairs = [(upper, lower) for upper, lower in pairwise(full) if upper is not Level.C1]
    return tuple(
        Disc(a, b, known.get(a), known.get(b), spine.sacrum_superior if b is Level.S1 else None) for a, b in pairs
    )


def flags_of(disc: Disc) -> frozenset[Flag]:
    """What to know before using a disc's values: what holds for its two endplates, and whether the bodies touch."""
    flags = frozenset[Flag]().union(*(v.flags & END_FLAGS for v in (disc.upper, disc.lower) if v is not None))
    for place in (*DEPTH_SHARES, *SIDE_SHARES):
        try:
            height_at(disc, place)
        except BodiesTouch:
            return flags | {Flag.BODIES_TOUCH}
        except NotMeasurable:
            continue
    return flags


@per_subject
def facing_rims(disc: Disc) -> tuple[Rim, Rim]:
    """Lower rim of the upper vertebra and upper rim of the lower one.

    Raises
    ------
    NotMeasurable
        A vertebra or a facing endplate is missing.
    """
    if disc.upper is None:
        raise NotMeasurable(f"{disc.name}: {disc.upper_level} is not in the mask")
    above = rim_of(disc.upper, False)
    if disc.sacrum is not None:
        return above, rim_of_sacrum(disc.sacrum, above.right)
    if disc.lower is None:
        raise NotMeasurable(f"{disc.name}: {disc.lower_level} is not in the mask")
    return above, rim_of(disc.lower, True)


@per_subject
def gap_of(disc: Disc) -> Gap:
    """Axes and extent of a disc.

    Raises
    ------
    NotMeasurable
        A vertebra or a facing endplate is missing, or one body has slipped off the other.
    """
    above, below = facing_rims(disc)
    up = above.up + below.up
    up = np.asarray(up / np.linalg.norm(up), dtype=np.float64)
    right = perpendicular(above.right + below.right, up)
    front = np.cross(up, right)
    origin = np.asarray((above.middle_mm + below.middle_mm) / 2, dtype=np.float64)
    ends = {}
    for name, axis, along in (("depth", front, "depth_ends_mm"), ("width", right, "width_ends_mm")):
        reach = np.array([(getattr(rim, along) - origin) @ axis for rim in (above, below)])
        ends[name] = (float(reach[:, 0].max()), float(reach[:, 1].min()))
    if min(high - low for low, high in ends.values()) <= 4 * HALF_BAND_MM:
        raise NotMeasurable(f"{disc.name}: the two bodies do not face each other")
    return Gap(origin, right, front, up, above, below, ends["depth"], ends["width"])


def _first_bone(vertebra: Vertebra, starts_mm: NDArray, direction: NDArray) -> FloatArray:
    """Distance along a direction at which lines first meet the body; NaN where they miss it."""
    along = np.arange(-BEHIND_MM, AHEAD_MM, STEP_MM)
    depth = vertebra.body_depth_at(starts_mm[:, None, :] + along[None, :, None] * direction)
    inside = depth > 0
    first = np.maximum(inside.argmax(axis=1), 1)
    rows = np.arange(len(depth))
    before, after = depth[rows, first - 1], depth[rows, first]
    share = np.divide(before, before - after, out=np.ones_like(before), where=before != after)
    met = along[first - 1] + np.clip(share, 0, 1) * STEP_MM
    return np.where(inside.any(axis=1) & ~inside[:, 0], met, np.nan)


def _sacral_bone(plate: Endplate, starts_mm: NDArray, direction: NDArray) -> FloatArray:
    """Distance along a direction at which lines meet an endplate known by its points: a plane through the nearest."""
    from scipy.spatial import cKDTree

    across = plate.points_mm - (plate.points_mm @ direction)[:, None] * direction
    at = starts_mm - (starts_mm @ direction)[:, None] * direction
    far, near = cKDTree(across).query(at, k=9)
    met = np.empty(len(at))
    for i, index in enumerate(near):
        design = np.column_stack([np.ones(len(index)), across[index] - at[i]])
        met[i] = np.linalg.lstsq(design, plate.points_mm[index] @ direction, rcond=None)[0][0]
    return np.where(far[:, 0] <= SACRUM_NEAR_MM, met - starts_mm @ direction, np.nan)


def _gaps(disc: Disc, x: NDArray, y: NDArray) -> FloatArray:
    """Distance between both bones along *up* at places of the mid-disc plane, mm; NaN where a line misses one."""
    gap = gap_of(disc)
    starts = gap.points(x, y)
    above = _first_bone(disc.upper, starts, gap.up)  # type: ignore[arg-type]  # gap_of has refused discs without
    if disc.sacrum is not None:
        below = _sacral_bone(disc.sacrum, starts, -gap.up)
    else:
        below = _first_bone(disc.lower, starts, -gap.up)  # type: ignore[arg-type]
    return np.asarray(above + below, dtype=np.float64)


def _voxel_mm(disc: Disc, direction: NDArray) -> float:
    """Extent of a voxel along a direction, mm: that of the coarser of the two vertebrae."""
    grids = [v.grid for v in (disc.upper, disc.lower) if v is not None]
    return max(float(np.linalg.norm(np.linalg.inv(g.affine[:3, :3]) @ direction)) ** -1 for g in grids)


@per_subject
def height_at(disc: Disc, place: str) -> tuple[float, float, float]:
    """A height of a disc and where it was taken.

    Parameters
    ----------
    disc : Disc
    place : str
        ``anterior``, ``middle``, ``posterior``, ``left`` or ``right``.

    Returns
    -------
    height_mm, x, y : float
        Median over the band, and its middle along the disc's *right* and *front* axes.

    Raises
    ------
    NotMeasurable
        An endplate is missing, the bodies touch there, or the gap has room for another vertebra.
    """
    gap = gap_of(disc)
    (back, front), (left, right) = gap.depth, gap.width
    x, y = (left + right) / 2, (back + front) / 2
    band_x, band_y = np.linspace(-1, 1, 9) * HALF_BAND_MM, np.linspace(-1, 1, 5) * HALF_BAND_MM
    if place in DEPTH_SHARES:
        y = front - DEPTH_SHARES[place] * (front - back)
        band_x = np.linspace(-1, 1, 9) * MIDSAGITTAL_SHARE * (right - left)
    else:
        x += SIDE_SHARES[place] * (right - left)
    found = _gaps(disc, *np.meshgrid(x + band_x, y + band_y))
    if np.isfinite(found).mean() < 0.5:
        raise NotMeasurable(f"{disc.name}: no bone on both sides at the {place} height")
    height = float(np.nanmedian(found))
    if height < TOUCH_VOXELS * _voxel_mm(disc, gap.up):
        raise BodiesTouch(f"{disc.name}: the bodies touch at the {place} height")
    if height > TALLEST_SHARE * (front - back):
        raise NotMeasurable(f"{disc.name}: the bodies lie {height:.0f} mm apart, a level may be missing between them")
    return height, x, y


@measurement(unit="mm", length_power=1, of="disc", source=GAP)
def height_anterior(disc: Disc) -> float:
    """Gap between the facing endplates along the mid-disc normal at 10 % of their common depth from the front, median
    over the middle fifth of the width.

    Misleads where an osteophyte reaches over the gap.
    """
    return height_at(disc, "anterior")[0]


@measurement(unit="mm", length_power=1, of="disc", source=GAP)
def height_middle(disc: Disc) -> float:
    """Gap between the facing endplates along the mid-disc normal at half their common depth, endplate concavity
    included, median over the middle fifth of the width.

    Misleads at Schmorl nodes and beside collapsed endplates, which make a disc look high.
    """
    return height_at(disc, "middle")[0]


@measurement(unit="mm", length_power=1, of="disc", source=GAP)
def height_posterior(disc: Disc) -> float:
    """Gap between the facing endplates along the mid-disc normal at 90 % of their common depth from the front, median
    over the middle fifth of the width.
    """
    return height_at(disc, "posterior")[0]


@measurement(unit="mm", length_power=1, of="disc", mirror="swap", partner="height_right_mm", source=GAP)
def height_left(disc: Disc) -> float:
    """Gap between the facing endplates along the mid-disc normal at mid-depth, 30 % of the width to the patient's
    left.
    """
    return height_at(disc, "left")[0]


@measurement(unit="mm", length_power=1, of="disc", mirror="swap", partner="height_left_mm", source=GAP)
def height_right(disc: Disc) -> float:
    """Gap between the facing endplates along the mid-disc normal at mid-depth, 30 % of the width to the patient's
    right.
    """
    return height_at(disc, "right")[0]


@measurement(unit="mm", length_power=1, of="disc", source=DABBS)
def height_dabbs(disc: Disc) -> float:
    """Mean of anterior and posterior disc height.

    The original uses the corners of a lateral radiograph; here it is the mean of the heights at 10 and 90 %.
    """
    return (height_at(disc, "anterior")[0] + height_at(disc, "posterior")[0]) / 2


@measurement(unit="pct", length_power=0, of="disc", source=FARFAN)
def farfan_index(disc: Disc) -> float:
    """Sum of anterior and posterior disc height as a share of the sum of the depths of both facing endplates."""
    gap = gap_of(disc)
    heights = height_at(disc, "anterior")[0] + height_at(disc, "posterior")[0]
    return 100 * heights / (gap.above.depth.length + gap.below.depth.length)


@measurement(unit="mm", length_power=1, of="disc", source=VOLUMETRIC)
def height_volumetric(disc: Disc) -> float:
    """Mean thickness of the gap: its volume where both endplates are, without their outer millimetre, divided by the
    area of that common footprint.

    Misleads where bodies touch at an edge: what overlaps there counts as no gap.
    """
    gap = gap_of(disc)
    height_at(disc, "middle")
    x, y = _common_footprint(disc, gap)
    found = _gaps(disc, x, y)
    if len(x) == 0 or np.isfinite(found).mean() < 0.5:
        raise NotMeasurable(f"{disc.name}: the facing endplates have no footprint in common")
    return float(np.clip(found[np.isfinite(found)], 0, None).mean())


def _common_footprint(disc: Disc, gap: Gap) -> tuple[NDArray, NDArray]:
    """Places of the mid-disc plane, on a lattice, that lie over both endplates."""
    from scipy.spatial import cKDTree

    lower = disc.sacrum if disc.sacrum is not None else disc.lower.superior  # type: ignore[union-attr]
    x, y = (a.ravel() for a in np.meshgrid(*(np.arange(*ends, LATTICE_MM) for ends in (gap.width, gap.depth))))
    axes = np.stack([gap.right, gap.front])
    over = np.ones(len(x), dtype=bool)
    for plate in (disc.upper.inferior, lower):  # type: ignore[union-attr]
        points = (plate.points_mm - gap.origin_mm) @ axes.T  # type: ignore[union-attr]
        over &= cKDTree(points).query(np.column_stack([x, y]))[0] <= FOOTPRINT_MM
    return x[over], y[over]


@measurement(unit="deg", length_power=0, of="disc", source=COBB)
def wedge_sagittal(disc: Disc) -> float:
    """Angle between the facing rim planes in the disc's sagittal plane, positive when the disc opens to the front."""
    gap = gap_of(disc)
    return _turn(gap.above.up, gap.below.up, gap.front, gap.up)


@measurement(unit="deg", length_power=0, of="disc", mirror="flip", source=COBB)
def wedge_coronal(disc: Disc) -> float:
    """Angle between the facing rim planes in the disc's coronal plane, positive when the disc opens to the right."""
    gap = gap_of(disc)
    return _turn(gap.above.up, gap.below.up, gap.right, gap.up)


def _turn(above: NDArray, below: NDArray, along: NDArray, up: NDArray) -> float:
    """By how much the upper plane rises more than the lower one along an axis, degrees."""
    tilts = [np.degrees(np.arctan2(-(normal @ along), normal @ up)) for normal in (above, below)]
    return float(tilts[0] - tilts[1])


def disc_lines(disc: Disc) -> Mapping[str, NDArray]:
    """Where each height was measured, for drawing.

    Parameters
    ----------
    disc : Disc

    Returns
    -------
    Mapping of str to array (2, 3)
        Lower and upper end, world RAS mm, of each height that can be measured.
    """
    lines: dict[str, NDArray] = {}
    for place in (*DEPTH_SHARES, *SIDE_SHARES):
        try:
            height, x, y = height_at(disc, place)
        except NotMeasurable:
            continue
        gap = gap_of(disc)
        start = gap.points(np.array([x]), np.array([y]))
        bone = _first_bone(disc.upper, start, gap.up)[0]  # type: ignore[arg-type]
        top = start[0] + (bone if np.isfinite(bone) else height / 2) * gap.up
        lines[place] = np.stack([top - height * gap.up, top])
    return lines
