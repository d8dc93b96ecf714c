"""Angles between the endplates of distant vertebrae: kyphosis, lordosis, and coronal curves.

Each angle is given three times. ``angle_deg`` is that of a radiograph of the patient as they lie: the difference of the
two rim planes' tilts in the world's sagittal or coronal plane. ``angle_own_deg`` is the same in the spine's own plane,
whose right axis is the mean of its vertebrae's: it does not change when the patient lies turned. ``angle_3d_deg`` is
the angle between the two planes in space, without a sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level, missing_between
from verse_morph.errors import NotMeasurable
from verse_morph.measure.body import per_subject, require_endplate
from verse_morph.measure.rims import END_FLAGS
from verse_morph.space import FloatArray
from verse_morph.spine import Flag, Plane, Spine, Vertebra

# Name, upper and lower end, and whether the upper end is that vertebra's upper endplate.
NAMED = (
    ("lordosis_C2_C7", Level.C2, Level.C7, False),
    ("kyphosis_T4_T12", Level.T4, Level.T12, True),
    ("kyphosis_T5_T12", Level.T5, Level.T12, True),
    ("thoracolumbar_T10_L2", Level.T10, Level.L2, True),
    ("lordosis_L1_L5", Level.L1, Level.L5, True),
    ("lordosis_L1_S1", Level.L1, Level.S1, True),
)
# The last level of a region in spines that have one fewer or one more.
LAST = {Level.T12: (Level.T13, Level.T12, Level.T11), Level.L5: (Level.L6, Level.L5, Level.L4)}
AXES = {"sagittal": 1, "coronal": 0}
# A step of this many times the mean of its neighbours has room for a level that the mask lacks.
LONG_STEP = 1.6
# A curve's ends have at least one vertebra between them.
LEAST_STEPS = 2
LEAST_CURVE_DEG = 10.0


@dataclass(frozen=True)
class Curve:
    """One angle of a spine, or the reason why there is none.

    Parameters
    ----------
    name : str
    upper_level, lower_level : Level or None
        Its end vertebrae; None where a curve was looked for and no vertebrae were there to look at.
    plane : str
        ``sagittal`` or ``coronal``.
    angle_deg, angle_own_deg, angle_3d_deg : float
        NaN where there is none; see the module.
    apex : str
        For coronal curves the vertebra farthest from the line between the end vertebrae's bodies.
    apex_offset_mm : float
        That distance, positive to the patient's right.
    flags : frozenset of Flag
    why : str
        Why there is no angle; empty where there is one.
    """

    name: str
    upper_level: Level | None
    lower_level: Level | None
    plane: str
    angle_deg: float = np.nan
    angle_own_deg: float = np.nan
    angle_3d_deg: float = np.nan
    apex: str = ""
    apex_offset_mm: float = np.nan
    flags: frozenset[Flag] = frozenset()
    why: str = ""


def curves_of(spine: Spine) -> tuple[Curve, ...]:
    """All named sagittal angles, measured or not, then the coronal curves from the largest to the smallest.

    Parameters
    ----------
    spine : Spine
    """
    return (*(_named(spine, *entry) for entry in NAMED), *coronal_curves(spine))


# --- planes and angles ------------------------------------------------------------------------------------------------


def up_normal(plane: Plane, upper: bool) -> FloatArray:
    """Normal of an endplate's plane that points to the head."""
    return np.asarray(plane.normal * (1 if upper else -1), dtype=np.float64)


@per_subject
def own_axes(spine: Spine) -> FloatArray:
    """The spine's own right, anterior and superior axis (rows): the rotation nearest to its vertebrae's frames.

    Raises
    ------
    NotMeasurable
        No vertebra has a frame.
    """
    frames = [vertebra.frame.axes for vertebra in spine if vertebra.frame is not None]
    if not frames:
        raise NotMeasurable("no whole vertebra in view")
    u, _, v = np.linalg.svd(np.sum(frames, axis=0))
    return np.asarray(u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v, dtype=np.float64)


def turn_deg(above: NDArray, below: NDArray, axes: NDArray, plane: str) -> float:
    """Signed angle between two planes' upward normals as projected on a plane of some axes, degrees: by how much more
    the upper one rises to the front (sagittal) or to the right (coronal).
    """
    along, up = axes[AXES[plane]], axes[2]
    tilts = [np.degrees(np.arctan2(-(normal @ along), normal @ up)) for normal in (above, below)]
    return float((tilts[0] - tilts[1] + 180.0) % 360.0 - 180.0)


def _measured(curve: Curve, spine: Spine, above: NDArray, below: NDArray) -> Curve:
    """The curve with its angles between two planes' upward normals."""
    return replace(
        curve,
        angle_deg=turn_deg(above, below, np.eye(3), curve.plane),
        angle_own_deg=turn_deg(above, below, own_axes(spine), curve.plane),
        angle_3d_deg=float(np.degrees(np.arccos(np.clip(above @ below, -1, 1)))),
    )


# --- named angles -----------------------------------------------------------------------------------------------------


def _named(spine: Spine, name: str, upper: Level, lower: Level, top: bool) -> Curve:
    flags: set[Flag] = set()
    try:
        lower_used = _last_of(spine, lower)
        if lower_used is not lower:
            flags.add(Flag.LAST_LEVEL_SUBSTITUTED)
        above = up_normal(require_endplate(_level(spine, upper), top).rim, top)
        if lower is Level.S1:
            if spine.sacrum_superior is None:
                raise NotMeasurable("S1: its endplate is not in the mask")
            below = spine.sacrum_superior.rim.normal
        else:
            below = up_normal(require_endplate(_level(spine, lower_used), False).rim, False)
        ends = [v for v in spine if v.level in (upper, lower_used)]
        flags |= frozenset[Flag]().union(*(v.flags for v in ends)) & END_FLAGS
        curve = Curve(name, upper, lower_used, "sagittal", flags=frozenset(flags))
        return _measured(curve, spine, above, below)
    except NotMeasurable as reason:
        return Curve(name, upper, lower, "sagittal", why=str(reason))


def _level(spine: Spine, level: Level) -> Vertebra:
    if level not in spine.levels():
        raise NotMeasurable(f"{level}: not in the mask")
    return spine[level]


def _last_of(spine: Spine, level: Level) -> Level:
    """The last level of a region in this spine, where a name asks for the usual last one.

    Raises
    ------
    NotMeasurable
        The view or a gap does not tell which level is the last.
    """
    if level not in LAST:
        return level
    levels = spine.levels()
    last = next((candidate for candidate in LAST[level] if candidate in levels), level)
    if last >= level:
        return last
    below = levels[levels.index(last) + 1 :]
    if below:
        if missing_between(last, below[0]) or _long_step(spine, last, below[0]):
            raise NotMeasurable(f"{level}: not in the mask, and {last} is not followed by its neighbour")
        return last
    if spine.sacrum_superior is None and not _seen_below(spine, spine[last]):
        raise NotMeasurable(f"{level}: not in view, and whether {last} is the last cannot be seen")
    return last


def _long_step(spine: Spine, upper: Level, lower: Level) -> bool:
    """Whether the step between two levels has room for one more, judged by the steps above and below it."""
    centres = [v.centre_mm for v in spine]
    first = spine.levels().index(upper)

    def step(i: int) -> float:
        if not 0 <= i < len(centres) - 1 or centres[i] is None or centres[i + 1] is None:
            return np.nan
        return float(np.linalg.norm(np.subtract(centres[i], centres[i + 1])))  # type: ignore[arg-type]

    near = [s for s in (step(first - 1), step(first + 1)) if np.isfinite(s)]
    return bool(near) and step(first) > LONG_STEP * float(np.mean(near))


def _seen_below(spine: Spine, last: Vertebra) -> bool:
    """Whether the image reaches far enough down to show a vertebra below the last one, had it one."""
    if spine.grid is None or last.inferior is None or last.frame is None:
        return False
    depth = 2 * float(np.linalg.norm(last.inferior.rim.point_mm - last.frame.origin_mm))
    expected = last.inferior.rim.point_mm + depth * last.inferior.rim.normal
    index = spine.grid.to_index(expected)
    return bool((index >= -0.5).all() and (index <= np.array(spine.grid.shape) - 0.5).all())


# --- coronal curves ---------------------------------------------------------------------------------------------------


def coronal_curves(spine: Spine) -> tuple[Curve, ...]:
    """The largest coronal curve, however small, and every other one of at least 10 degrees.

    Parameters
    ----------
    spine : Spine

    Notes
    -----
    The largest curve is the pair of endplates, at least two levels apart and below C2, that are tilted most against
    each other in the world's coronal plane. Curves above its upper and below its lower end vertebra are looked for in
    the same way, of the opposite sign, from that end vertebra on. A maximum over many pairs is never zero: see
    ``docs/discs_and_curves_accuracy.md`` for what straight spines give. Scans are supine; the 10 degrees that define a
    scoliosis are for standing films.
    """
    row = [v for v in spine if v.level > Level.C2 and _has_both(v)]
    best = _largest(row, 0)
    if best is None:
        why = "fewer than three whole vertebrae below C2 in view"
        return (Curve("coronal_curve", None, None, "coronal", why=why),)
    found = [best, *_further(row, best)]
    found = found[:1] + sorted(
        (pair for pair in found[1:] if abs(_coronal(row, pair)) >= LEAST_CURVE_DEG),
        key=lambda pair: -abs(_coronal(row, pair)),
    )
    return tuple(_coronal_curve(spine, row, pair) for pair in found)


def _has_both(vertebra: Vertebra) -> bool:
    try:
        return all(require_endplate(vertebra, upper) is not None for upper in (True, False))
    except NotMeasurable:
        return False


Pair = tuple[int, int]


def _coronal(row: Sequence[Vertebra], pair: Pair) -> float:
    above, below = _plates(row, pair)
    return turn_deg(above, below, np.eye(3), "coronal")


def _plates(row: Sequence[Vertebra], pair: Pair) -> tuple[FloatArray, FloatArray]:
    """Upward normals of the upper end's upper and the lower end's lower rim plane."""
    above, below = require_endplate(row[pair[0]], True), require_endplate(row[pair[1]], False)
    return up_normal(above.rim, True), up_normal(below.rim, False)


def _largest(row: Sequence[Vertebra], first: int, last: int | None = None, sign: float = 0.0) -> Pair | None:
    """The pair of ends within a stretch whose angle is largest, of one sign where that is given."""
    end = len(row) if last is None else last + 1
    pairs = [
        (i, j)
        for i in range(first, end)
        for j in range(i + 1, end)
        if row[j].level.rank - row[i].level.rank >= LEAST_STEPS and sign * _coronal(row, (i, j)) >= 0
    ]
    return max(pairs, key=lambda pair: abs(_coronal(row, pair)), default=None)


def _further(row: Sequence[Vertebra], best: Pair) -> list[Pair]:
    """Curves that follow above and below the largest, each of the opposite sign of the one before."""
    found = []
    sign = -np.sign(_coronal(row, best))
    upper, turned = best[0], sign
    while (pair := _largest(row, 0, upper, turned)) is not None:
        found.append(pair)
        upper, turned = pair[0], -turned
    lower, turned = best[1], sign
    while (pair := _largest(row, lower, None, turned)) is not None:
        found.append(pair)
        lower, turned = pair[1], -turned
    return found


def _coronal_curve(spine: Spine, row: Sequence[Vertebra], pair: Pair) -> Curve:
    inside = row[pair[0] : pair[1] + 1]
    curve = Curve("coronal_curve", inside[0].level, inside[-1].level, "coronal")
    curve = _measured(curve, spine, *_plates(row, pair))
    flags = set((inside[0].flags | inside[-1].flags) & END_FLAGS)
    if abs(curve.angle_deg) < LEAST_CURVE_DEG:
        flags.add(Flag.BELOW_10_DEG)
    if _any_missing(inside):
        flags.add(Flag.LEVELS_MISSING)
    offsets = _offsets_right_mm(inside)
    apex = int(np.argmax(np.sign(curve.angle_deg) * offsets))
    return replace(curve, flags=frozenset(flags), apex=str(inside[apex].level), apex_offset_mm=float(offsets[apex]))


def _any_missing(row: Sequence[Vertebra]) -> bool:
    """Whether a row of vertebrae skips a level that every spine has."""
    return any(missing_between(a.level, b.level) for a, b in pairwise(row))


def _offsets_right_mm(row: Sequence[Vertebra]) -> FloatArray:
    """Distance of each body to the right of the line between the first and the last, in the world's coronal plane."""
    points = np.array([v.centre_mm for v in row])[:, [0, 2]]
    line = points[0] - points[-1]
    line = line / np.linalg.norm(line)
    return np.asarray((points - points[-1]) @ np.array([line[1], -line[0]]), dtype=np.float64)
