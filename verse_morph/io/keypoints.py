"""Tables of vertebra key points (VID layout: one row per point, LPS millimetres), read as RAS points per scan."""

from __future__ import annotations

from collections.abc import Mapping
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
    if "level" in table:
        unknown = set(table.loc[table["keypoint"] == "body", "level"]) - {level.value for level in Level}
        if unknown:
            raise InputError(f"{path} names levels {sorted(map(str, unknown))}; known are C1-C7, T1-T13, L1-L6")
    columns = {name: table[name].to_numpy() for name in table.columns}
    return {
        str(scan): _one_scan(columns, np.asarray(rows)) for scan, rows in sorted(table.groupby("scan").indices.items())
    }


def _one_scan(columns: Mapping[str, np.ndarray], rows: np.ndarray) -> Keypoints:
    kind = columns["keypoint"][rows]
    position = lps_to_ras(np.column_stack([columns[name][rows] for name in _POSITION]))
    bodies = rows[kind == "body"]
    scores = np.zeros((0, 3))
    levels: tuple[Level, ...] = ()
    if _SCORES[0] in columns:
        scores = np.column_stack([columns[name][bodies] for name in _SCORES]).astype(float)
    if "level" in columns:
        levels = tuple(Level(name) for name in columns["level"][bodies])
    source = str(columns["source_file"][rows[0]]) if "source_file" in columns else ""
    body, left, right = (position[kind == which] for which in ("body", "left", "right"))
    return Keypoints(body, left, right, scores, levels, source)
