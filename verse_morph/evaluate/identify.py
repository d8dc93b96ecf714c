"""Identification: is the true vertebra nearest to a predicted point the one it is named after?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from verse_morph.anatomy import VERSE, Level
from verse_morph.evaluate.rules import Mode, Rules

OUTCOMES = ("hit", "misplaced", "missed", "false_positive")


@dataclass(frozen=True)
class Identification:
    """What became of one level.

    Parameters
    ----------
    outcome : str
        ``hit``; ``misplaced``: predicted, but too far or nearer to another level; ``missed``: true, not predicted;
        ``false_positive``: predicted, not true.
    distance_mm : float or None
        From the predicted to the true point of the same level; None where only one of them exists.
    nearest : Level or None
        The true level nearest to the predicted point among those that compete; None where none does.
    """

    outcome: str
    distance_mm: float | None
    nearest: Level | None


def identify(
    predicted_mm: Mapping[Level, ArrayLike], true_mm: Mapping[Level, ArrayLike], mode: Mode, rules: Rules | None = None
) -> dict[Level, Identification]:
    """Hit, misplaced, missed or false positive for every level that either side has.

    Parameters
    ----------
    predicted_mm, true_mm : Mapping[Level, array (3,)]
        One point per vertebra, millimetres in one common frame.
    mode : Mode
    rules : Rules, optional

    Returns
    -------
    dict of Level to Identification
        Head to foot.

    Raises
    ------
    ValueError
        A point is not three finite numbers, or is one of S1, which is no vertebra.

    Notes
    -----
    The challenge mode can reward leaving out: a prediction shifted by half a vertebra gains hits when the true
    neighbours that would have been nearer are not predicted. Of equally near true points the one with the lower VerSe
    label counts as nearest, in both modes, as in the published code.

    References
    ----------
    Evaluation code of the VerSe challenge (github.com/anjany/verse), behaviour re-implemented.
    """
    rules = rules or Rules()
    predicted = {level: _point(level, point) for level, point in predicted_mm.items()}
    true = {level: _point(level, point) for level, point in true_mm.items()}
    competing = [lv for lv in true if mode is Mode.STRICT or lv in predicted]
    competing.sort(key=VERSE.value_of)
    places = np.array([true[level] for level in competing]).reshape(-1, 3)
    return {level: _judge(level, predicted, true, (competing, places), rules) for level in sorted({*predicted, *true})}


def _judge(
    level: Level,
    predicted: Mapping[Level, np.ndarray],
    true: Mapping[Level, np.ndarray],
    competitors: tuple[list[Level], np.ndarray],
    rules: Rules,
) -> Identification:
    if level not in predicted:
        return Identification("missed", None, None)
    competing, places = competitors
    distances = np.sqrt(np.square(places - predicted[level]).sum(axis=1))
    nearest = competing[int(distances.argmin())] if competing else None
    if level not in true:
        return Identification("false_positive", None, nearest)
    own = float(distances[competing.index(level)])
    hit = nearest is level and own <= rules.limit_mm
    return Identification("hit" if hit else "misplaced", own, nearest)


def _point(level: Level, point: ArrayLike) -> np.ndarray:
    if level is Level.S1:
        raise ValueError("S1 is an endplate, not a vertebra; leave it out")
    array = np.asarray(point, dtype=np.float64)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise ValueError(f"the point of {level} must be three finite numbers, got {point!r}")
    return array
