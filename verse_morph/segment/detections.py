"""What a key-point detector found in one scan: body points with region scores, and pedicle points."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

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

    Raises
    ------
    ValueError
        When a shape is wrong or a value is not finite.
    """

    bodies_mm: FloatArray
    scores: FloatArray
    left_mm: FloatArray = field(default_factory=_no_points)
    right_mm: FloatArray = field(default_factory=_no_points)

    def __post_init__(self) -> None:
        for name in ("bodies_mm", "scores", "left_mm", "right_mm"):
            values = np.array(getattr(self, name), dtype=np.float64).reshape(-1, 3)
            if not np.isfinite(values).all():
                raise ValueError(f"{name} of the detections holds values that are not finite")
            object.__setattr__(self, name, frozen(values))
        if len(self.bodies_mm) != len(self.scores):
            raise ValueError(f"{len(self.bodies_mm)} body points came with {len(self.scores)} rows of scores")

    def __len__(self) -> int:
        return len(self.bodies_mm)
