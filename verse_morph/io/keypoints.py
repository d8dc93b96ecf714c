"""Tables of vertebra key points (VID layout: one row per point, LPS millimetres), read as RAS points per scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.space import FloatArray, lps_to_ras

_POSITION = ["x_lps_mm", "y_lps_mm", "z_lps_mm"]
_SCORES = ["score_cervical", "score_thoracic", "score_lumbar"]


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Key points of one scan.

    Parameters
    ----------
    bodies_mm, left_mm, right_mm : array (n, 3)
        Body centres and pedicles of the patient's left and right, RAS mm.
    scores : array (n, 3)
        Cervical, thoracic and lumbar score of each body; empty in a table of true points.
    levels : tuple of Level
        Level of each body; empty in a table of detections.
    source : str
        Where the scan comes from, as the table says; empty where it does not.
    """

    bodies_mm: FloatArray
    left_mm: FloatArray
    right_mm: FloatArray
    scores: FloatArray
    levels: tuple[Level, ...] = ()
    source: str = ""


def read_keypoints(path: Path) -> dict[str, Keypoints]:
    """Key points of every scan in a CSV file, by scan name in alphabetical order.

    Raises
    ------
    InputError
        When a column is missing, a level is unknown or a position is not a finite number.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a table of key points: {error}") from error
    needed = ["scan", "keypoint", *_POSITION, *(["level"] if "level" in table else _SCORES)]
    missing = [name for name in needed if name not in table]
    if missing:
        raise InputError(f"{path} lacks the columns {', '.join(missing)}; found {', '.join(table.columns)}")
    if not np.isfinite(table[_POSITION].to_numpy(dtype=float)).all():
        raise InputError(f"{path} holds positions that are not finite numbers")
    return {str(scan): _one_scan(rows, path) for scan, rows in table.groupby("scan")}


def _one_scan(rows, path: Path) -> Keypoints:  # noqa: ANN001
    points = {kind: lps_to_ras(rows.loc[rows["keypoint"] == kind, _POSITION]) for kind in ("body", "left", "right")}
    bodies = rows[rows["keypoint"] == "body"]
    scores = bodies[_SCORES].to_numpy(dtype=float) if _SCORES[0] in rows else np.zeros((0, 3))
    try:
        levels = tuple(Level(name) for name in bodies["level"]) if "level" in rows else ()
    except ValueError as error:
        raise InputError(f"{path}: {error}; levels are C1-C7, T1-T13, L1-L6") from error
    source = str(rows["source_file"].iloc[0]) if "source_file" in rows else ""
    return Keypoints(points["body"], points["left"], points["right"], scores, levels, source)
