"""The row of vertebrae in a cloud of detections, from head to foot, before any level is named.

A false point on the pelvis or the skull, or a second point on the same vertebra, does not lie in the row;
a vertebra of which only the pedicles were found is added to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from verse_morph.segment.detections import Detections, level_log_of
from verse_morph.space import FloatArray, frozen

SCORE_FLOOR = 0.005
PEDICLE_OFFSET_MM = np.array([14.0, -20.0, 3.0])  # right pedicle seen from the body centre; the left one is mirrored
PEDICLE_REACH_MM = 20.0
STEP_MM = (8.0, 80.0)  # shortest and longest step between two found neighbours
STEEPEST = 0.5  # a step goes downwards by at least this part of its length
# Shorter steps are implausible: bodies of small necks lie 12 mm apart.
SHORT_MM = 11.0


@dataclass(frozen=True, eq=False)
class Row:
    """Vertebra candidates in head-to-foot order.

    Parameters
    ----------
    points_mm : array (n, 3)
        Body centres, RAS mm.
    scores : array (n, 3)
        Region scores; zeros where the body itself was not detected.
    left_mm, right_mm : array (n, 3)
        Pedicles, RAS mm; NaN where none was found.
    from_pedicles : array (n,) of bool
        True where the body centre is inferred from the pedicles alone.
    level_log : array (n, 27)
        Evidence from elsewhere about each point's level, see :class:`~verse_morph.segment.detections.Detections`;
        zeros for inferred points and where it is not given.
    """

    points_mm: FloatArray
    scores: FloatArray
    left_mm: FloatArray
    right_mm: FloatArray
    from_pedicles: np.ndarray
    level_log: FloatArray | None = None

    def __post_init__(self) -> None:
        for name in ("points_mm", "scores", "left_mm", "right_mm", "from_pedicles"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        object.__setattr__(self, "level_log", level_log_of(self.level_log, len(self)))

    def __len__(self) -> int:
        return len(self.points_mm)


def spine_row(found: Detections) -> Row:
    """The most plausible row of vertebrae among the detections, found by dynamic programming."""
    order = np.lexsort((*found.scores.T, *found.bodies_mm.T[:2], -found.bodies_mm[:, 2]))
    points, scores = found.bodies_mm[order], found.scores[order]
    certain = scores.max(axis=1, initial=0.0) if found.confidence is None else found.confidence[order]
    left, _ = assign_pedicles(points, found.left_mm, -1)
    right, _ = assign_pedicles(points, found.right_mm, +1)
    keep = _best_path(points, certain, np.isfinite(left[:, 0]), np.isfinite(right[:, 0]))
    points, scores = points[keep], scores[keep]
    left, spare_left = assign_pedicles(points, found.left_mm, -1)
    right, spare_right = assign_pedicles(points, found.right_mm, +1)
    level_log = level_log_of(found.level_log, len(found))[order][keep]
    row = Row(points, scores, left, right, np.zeros(len(points), dtype=bool), level_log)
    return _with_pedicle_only(row, spare_left, spare_right)


def assign_pedicles(points_mm: FloatArray, pedicles_mm: FloatArray, side: int) -> tuple[FloatArray, FloatArray]:
    """The pedicle of each body (n, 3; NaN where none) and the pedicles left over; side is -1 left, +1 right."""
    out = np.full((len(points_mm), 3), np.nan)
    if not len(points_mm) or not len(pedicles_mm):
        return out, pedicles_mm
    expected = points_mm + PEDICLE_OFFSET_MM * [side, 1, 1]
    distance = np.linalg.norm(expected[:, None] - pedicles_mm[None], axis=2)
    rows, columns = linear_sum_assignment(np.minimum(distance, PEDICLE_REACH_MM))
    good = distance[rows, columns] < PEDICLE_REACH_MM
    out[rows[good]] = pedicles_mm[columns[good]]
    return out, np.delete(pedicles_mm, columns[good], axis=0)


def _best_path(points: FloatArray, certain: FloatArray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Indices of the row's points: the path of largest total evidence, heads first."""
    n = len(points)
    best = np.clip(certain, SCORE_FLOOR, 1 - SCORE_FLOOR)
    value = 0.5 * np.log(best / (1 - best)) + 1.2 * (left.astype(float) + right) - 0.6
    total, back = value.copy(), np.full(n, -1)
    for j in range(n):
        for i in range(j):
            step = total[i] + value[j] - _step_cost(points[i], points[j])
            if step > total[j]:
                total[j], back[j] = step, i
    path = []
    j = int(total.argmax()) if n and total.max() > 0 else -1
    while j >= 0:
        path.append(j)
        j = int(back[j])
    return np.array(path[::-1], dtype=int)


def _step_cost(upper: FloatArray, lower: FloatArray) -> float:
    """Implausibility of two points as neighbours in the row."""
    step = lower - upper
    length = float(np.linalg.norm(step))
    if not STEP_MM[0] <= length <= STEP_MM[1] or -step[2] < STEEPEST * length:
        return np.inf
    sideways = abs(step[0]) / length
    return max(0.0, SHORT_MM - length) + max(0.0, length - 42) / 8 + 8 * sideways**2


def _with_pedicle_only(row: Row, left: FloatArray, right: FloatArray) -> Row:
    """The row with vertebrae added, at its ends or in its gaps, of which only pedicles were detected."""
    if len(row) < 2 or not (len(left) or len(right)):
        return row
    candidates = _bodies_from_pedicles(row, left, right)
    for point, sides in candidates:
        place = _place_in_row(row.points_mm, point)
        if place is not None:
            row = _insert(row, place, point, sides)
    return row


def _bodies_from_pedicles(row: Row, left: FloatArray, right: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
    """Body centres inferred from spare pedicles with the offset seen at the nearest vertebra; pairs come first."""
    out = []
    paired: set[int] = set()
    for a in left:
        apart = np.linalg.norm(right - a, axis=1) if len(right) else np.zeros(0)
        fits = (apart > 12) & (apart < 65) & (np.abs(right[:, 2] - a[2]) < 12) if len(right) else apart.astype(bool)
        if fits.any():
            j = int(np.where(fits, apart, np.inf).argmin())
            paired.add(j)
            out.append((0.5 * (a + right[j]), np.array([a, right[j]])))
    single = [(a, np.array([a, [np.nan] * 3])) for a in left if not any(np.array_equal(s[1][0], a) for s in out)]
    single += [(b, np.array([[np.nan] * 3, b])) for j, b in enumerate(right) if j not in paired]
    return [(_body_of(row, sides), sides) for _, sides in out + single]


def _body_of(row: Row, sides: FloatArray) -> FloatArray:
    """The body centre that belongs to one or two pedicles."""
    seen = np.stack([row.left_mm, row.right_mm], axis=1) - row.points_mm[:, None]
    centre = np.nanmean(sides, axis=0)
    offsets = []
    for side in range(2):
        if np.isfinite(sides[side, 0]):
            known = np.flatnonzero(np.isfinite(seen[:, side, 0]))
            if len(known):
                nearest = known[np.linalg.norm(row.points_mm[known] - centre, axis=1).argsort()[:2]]
                offsets.append(sides[side] - seen[nearest, side].mean(axis=0))
            else:
                offsets.append(sides[side] - PEDICLE_OFFSET_MM * [2 * side - 1, 1, 1])
    return np.mean(offsets, axis=0)


def _place_in_row(points: FloatArray, point: FloatArray) -> int | None:
    """Index before which an inferred point belongs, or None where it does not continue the row."""
    gaps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    place = int((points[:, 2] > point[2]).sum())
    if place in (0, len(points)):
        end, inner, gap = (points[0], points[1], gaps[0]) if place == 0 else (points[-1], points[-2], gaps[-1])
        gap = min(gap, 1.3 * float(np.median(gaps)))
        predicted = end + (end - inner) / np.linalg.norm(end - inner) * gap
        return place if np.linalg.norm(point - predicted) < 0.5 * gap else None
    upper, lower = points[place - 1], points[place]
    along = np.clip((point - upper) @ (lower - upper) / gaps[place - 1] ** 2, 0, 1)
    aside = np.linalg.norm(point - upper - along * (lower - upper))
    room = gaps[place - 1] > 1.5 * float(np.median(gaps[max(0, place - 4) : place + 3]))
    return place if room and 0.2 < along < 0.8 and aside < 15 else None


def _insert(row: Row, place: int, point: FloatArray, sides: FloatArray) -> Row:
    return Row(
        np.insert(row.points_mm, place, point, axis=0),
        np.insert(row.scores, place, 0.0, axis=0),
        np.insert(row.left_mm, place, sides[0], axis=0),
        np.insert(row.right_mm, place, sides[1], axis=0),
        np.insert(row.from_pedicles, place, True),
        np.insert(level_log_of(row.level_log, len(row)), place, 0.0, axis=0),
    )
