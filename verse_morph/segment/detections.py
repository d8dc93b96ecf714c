"""What a key-point detector found in one scan: body points with region scores, and pedicle points.

A network or an observer that tells levels apart adds its evidence to each body point.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.space import FloatArray, frozen

REGIONS = ("cervical", "thoracic", "lumbar")


def _no_points() -> FloatArray:
    return np.zeros((0, 3))


@dataclass(frozen=True, eq=False)
class Detections:
    """Unlabelled key points of one scan, in any order.

    Parameters
    ----------
    bodies_mm : array (n, 3)
        Centres of vertebral bodies, RAS mm; may hold false points and duplicates.
    scores : array (n, 3)
        Score from 0 to 1 of each body point for the cervical, thoracic and lumbar region; they need not sum to 1.
    left_mm, right_mm : array (m, 3)
        Pedicles of the patient's left and right side, RAS mm.
    level_log : array (n, 27)
        Log-likelihood of what else was seen at each body point, given each level (columns in the order of
        :class:`~verse_morph.anatomy.Level`, the sacrum last): heatmaps of a labelling network, ribs. Only differences
        within a row count; zeros, the default, say nothing.
    confidence : array (n,), optional
        From 0 to 1, how sure the detector is that each body point is a vertebra; the largest region score
        where it is not given.

    Raises
    ------
    ValueError
        When a shape is wrong, a value is not finite or a confidence is not between 0 and 1.
    """

    bodies_mm: FloatArray
    scores: FloatArray
    left_mm: FloatArray = field(default_factory=_no_points)
    right_mm: FloatArray = field(default_factory=_no_points)
    level_log: FloatArray | None = None
    confidence: FloatArray | None = None

    def __post_init__(self) -> None:
        for name in ("bodies_mm", "scores", "left_mm", "right_mm"):
            values = np.array(getattr(self, name), dtype=np.float64).reshape(-1, 3)
            if not np.isfinite(values).all():
                raise ValueError(f"{name} of the detections holds values that are not finite")
            object.__setattr__(self, name, frozen(values))
        if len(self.bodies_mm) != len(self.scores):
            raise ValueError(f"{len(self.bodies_mm)} body points came with {len(self.scores)} rows of scores")
        object.__setattr__(self, "level_log", level_log_of(self.level_log, len(self)))
        if self.confidence is not None:
            object.__setattr__(self, "confidence", _confidence_of(self.confidence, len(self)))

    def __len__(self) -> int:
        return len(self.bodies_mm)


def level_log_of(values: FloatArray | None, points: int) -> FloatArray:
    """Evidence (n, 27) about the level of each of ``points`` bodies, zeros where there is none.

    Raises
    ------
    ValueError
        When the shape is wrong or a value is not finite.
    """
    shape = (points, len(Level))
    if values is None:
        return frozen(np.zeros(shape))
    out = np.array(values, dtype=np.float64)
    if out.shape != shape:
        raise ValueError(
            f"level_log has the shape {out.shape}; {points} body points and {len(Level)} levels need {shape}"
        )
    if not np.isfinite(out).all():
        raise ValueError("level_log holds values that are not finite; use a large negative number for never")
    return frozen(out)


def _confidence_of(values: FloatArray, points: int) -> FloatArray:
    out = np.array(values, dtype=np.float64)
    if out.shape != (points,):
        raise ValueError(f"confidence has the shape {out.shape}; {points} body points need ({points},)")
    if not ((out >= 0) & (out <= 1)).all():
        raise ValueError("confidence holds values that do not lie between 0 and 1")
    return frozen(out)
