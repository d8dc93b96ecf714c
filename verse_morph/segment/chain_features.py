"""Numbers that tell the level of each vertebra in a row: distances, turning, pedicle geometry and region scores.

All lengths are divided by ``LENGTH_MM`` and angles are in radians, so that every feature is of order one.
A quantity that is missing is 0 and has a flag of its own.
"""

from __future__ import annotations

import numpy as np

from verse_morph.segment.row import Row
from verse_morph.space import FloatArray

LENGTH_MM = 30.0
WINDOW = 3  # neighbours on each side that a vertebra's features look at
SCORE_LOGIT = 5.0


def node_features(row: Row) -> FloatArray:
    """Features of each vertebra with its neighbourhood, array (n, F)."""
    local = _local(row)
    n, width = local.shape
    padded = np.zeros((n + 2 * WINDOW, width + 1))
    padded[WINDOW : WINDOW + n, :width] = local
    padded[WINDOW : WINDOW + n, width] = 1.0
    window = np.concatenate([padded[k : k + n] for k in range(2 * WINDOW + 1)], axis=1)
    return np.concatenate([window, _global(row)], axis=1)


def step_features(row: Row) -> FloatArray:
    """Features of each step between neighbours in the row, array (n - 1, G)."""
    step = np.diff(row.points_mm, axis=0)
    gap = np.linalg.norm(step, axis=1)
    if not len(gap):
        return np.zeros((0, 12))
    median = np.array([_typical_gap(gap, k) for k in range(len(gap))])
    above = np.where(np.arange(len(gap)) > 0, np.log(gap / np.roll(gap, 1)), 0.0)
    below = np.where(np.arange(len(gap)) < len(gap) - 1, np.log(gap / np.roll(gap, -1)), 0.0)
    logits = score_logits(row.scores)
    inferred = row.from_pedicles.astype(float)
    return np.column_stack([
        gap / LENGTH_MM, np.log(gap / median), above, below, step[:, 0] / gap,
        logits[:-1].max(axis=1), logits[1:].max(axis=1), logits[1:, 0] - logits[:-1, 0],
        logits[1:, 2] - logits[:-1, 2], inferred[:-1], inferred[1:], np.ones(len(gap)),
    ])  # fmt: skip


def near_gaps(gap: FloatArray, k: int) -> FloatArray:
    """Up to three gaps on either side of the k-th one."""
    return np.delete(gap[max(0, k - 3) : k + 4], min(k, 3))


def _typical_gap(gap: FloatArray, k: int) -> float:
    """Median of the nearest other gaps: the local scale against which a missed neighbour stands out."""
    near = near_gaps(gap, k)
    return float(np.median(near)) if len(near) else float(gap[k])


def likeliest_region(row: Row) -> np.ndarray:
    """0 cervical, 1 thoracic, 2 lumbar, -1 where no score reaches one half; array (n,)."""
    return np.where(row.scores.max(axis=1) > 0.5, row.scores.argmax(axis=1), -1)


def score_logits(scores: FloatArray) -> FloatArray:
    """Log-odds of the region scores, divided by ``SCORE_LOGIT``."""
    clipped = np.clip(scores, 0.005, 0.995)
    return np.asarray(np.log(clipped / (1 - clipped)) / SCORE_LOGIT)


def _local(row: Row) -> FloatArray:
    """Features of one vertebra and of the steps to its neighbours, array (n, width)."""
    sides = [side - row.points_mm for side in (row.left_mm, row.right_mm)]
    found = np.column_stack([np.isfinite(side[:, 0]) for side in sides])
    both = np.asarray(found.all(axis=1))
    across = np.where(both, np.linalg.norm(row.right_mm - row.left_mm, axis=1), 0.0)
    middle = 0.5 * (sides[0] + sides[1])
    offsets = np.where(both[:, None], middle, 0.0)
    single = [np.where(np.isfinite(side), side, 0.0) for side in sides]
    tangent = _tangents(row.points_mm)
    along = np.where(both, np.einsum("ij,ij->i", np.where(both[:, None], middle, 0.0), tangent), 0.0)
    columns = [
        score_logits(row.scores), found.astype(float), across[:, None] / LENGTH_MM, offsets / LENGTH_MM,
        np.linalg.norm(offsets, axis=1)[:, None] / LENGTH_MM, along[:, None] / LENGTH_MM,
        single[0][:, [0, 2]] / LENGTH_MM, single[1][:, [0, 2]] / LENGTH_MM,
        row.from_pedicles.astype(float)[:, None], _step_columns(row.points_mm),
    ]  # fmt: skip
    return np.concatenate(columns, axis=1)


def _tangents(points: FloatArray) -> FloatArray:
    """Unit vectors towards the head."""
    if len(points) < 2:
        return np.tile([0.0, 0.0, 1.0], (len(points), 1))
    slope = -np.gradient(points, axis=0)
    return np.asarray(slope / np.linalg.norm(slope, axis=1, keepdims=True))


def _step_columns(points: FloatArray) -> FloatArray:
    """Length and sagittal slope of the steps up and down, and the turning between them, array (n, 8)."""
    n = len(points)
    out = np.zeros((n, 8))
    if n < 2:
        return out
    step = np.diff(points, axis=0)
    gap = np.linalg.norm(step, axis=1)
    slope = np.arctan2(step[:, 1], -step[:, 2])
    out[1:, 0], out[1:, 1] = gap / LENGTH_MM, slope
    out[:-1, 2], out[:-1, 3] = gap / LENGTH_MM, slope
    out[1:-1, 4] = slope[1:] - slope[:-1]
    out[1:-1, 5] = np.log(gap[1:] / gap[:-1])
    out[1:, 6] = out[:-1, 7] = 1.0
    return out


def _global(row: Row) -> FloatArray:
    """What every vertebra knows of the whole row, array (n, 13)."""
    n = len(row)
    index = np.arange(n)
    region = likeliest_region(row)
    counts = np.array([(region == k).sum() for k in range(3)])
    lumbar, thoracic = np.flatnonzero(region == 2), np.flatnonzero(region == 1)
    first_lumbar = np.clip(index - lumbar.min(), -6, 6) if len(lumbar) and len(thoracic) else np.zeros(n)
    first_thoracic = np.clip(index - thoracic.min(), -6, 6) if counts[0] and len(thoracic) else np.zeros(n)
    whole = np.array([n, *counts, bool(len(lumbar) and len(thoracic)), bool(counts[0] and len(thoracic))], dtype=float)
    whole[:4] /= 10
    own = np.column_stack([
        np.minimum(index, 8) / 8, np.minimum(n - 1 - index, 8) / 8, first_lumbar / 6, first_thoracic / 6,
        index == 0, index == n - 1, index == n - 2,
    ])  # fmt: skip
    return np.concatenate([own, np.tile(whole, (n, 1))], axis=1)
