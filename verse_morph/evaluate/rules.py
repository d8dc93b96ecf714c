"""The two modes of evaluation, their parameters, and both in words."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Mode(enum.Enum):
    """What becomes of a vertebra that only one side has; the words are in :meth:`Rules.sentence`.

    ``CHALLENGE`` does what the code published with the VerSe challenge does, including that a true vertebra nobody
    predicted is no competitor for the others. ``STRICT`` counts every miss and every false positive.
    """

    CHALLENGE = "challenge"
    STRICT = "strict"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Rules:
    """The parameters of an evaluation.

    Parameters
    ----------
    limit_mm : float
        A predicted point further than this from its own true point is no hit (VerSe: 20 mm, the limit included).
    tolerance_mm : float
        Surface closer than this to the other surface counts as right in the normalised surface Dice.

    Raises
    ------
    ValueError
        A limit or tolerance that is not a positive, finite number.
    """

    limit_mm: float = 20.0
    tolerance_mm: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("limit_mm", self.limit_mm), ("tolerance_mm", self.tolerance_mm)):
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} is a positive number of millimetres, got {value}")

    def sentence(self, mode: Mode) -> str:
        """How a mode treats misses and false positives; this text stands in every table."""
        if mode is Mode.CHALLENGE:
            return (
                "challenge: only levels present in both enter the distance matrix, so a level that was not predicted "
                "is no competitor for its neighbours; a hit is a predicted point whose nearest true point is its own "
                f"level's, within {self.limit_mm:g} mm; the rate divides by all true levels, so a missed level is a "
                "miss; Dice and distances cover levels present in both only; false positives cost nothing"
            )
        return (
            "strict: all true levels are in the distance matrix, predicted or not; a hit is a predicted point whose "
            f"nearest true point is its own level's, within {self.limit_mm:g} mm; a missed level is a miss with Dice 0 "
            "and surface Dice 0, its distances have no value; a false positive has Dice 0, is counted, lowers the "
            "precision and enters the means named with_false_positives"
        )
