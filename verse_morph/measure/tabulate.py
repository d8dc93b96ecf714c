"""From a spine and a catalogue to a tidy table: the only place where a missing number becomes NaN with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from verse_morph.errors import NotMeasurable
from verse_morph.measure.catalogue import CATALOGUE
from verse_morph.measure.measurement import Measurement
from verse_morph.spine import Flag, Spine, Vertebra
from verse_morph.tables import Column, Status, why_column

if TYPE_CHECKING:
    import pandas as pd

_WORDS = (
    Column("scan", definition="The scan's key: its file's stem without `_ct`, `_seg-vert_msk`, `_seg` and extension."),
    Column("level", definition="Vertebral level, C1 to L6; rows run from head to foot, T13 between T12 and L1."),
    Column("label", definition="The level's value in the mask."),
    Column(
        "status",
        definition="`measured`: every column has a value; `partial`: some are missing; `not_measurable`: all are.",
    ),
    Column(
        "flags",
        definition="What to know before using the row, joined by `;`: " + ", ".join(f"`{flag}`" for flag in Flag) + ".",
    ),
)


def measure(spine: Spine, catalogue: tuple[Measurement, ...] = CATALOGUE) -> pd.DataFrame:
    """One row per vertebra, one column per measurement, and for each missing number its reason.

    Parameters
    ----------
    spine : Spine
    catalogue : tuple of Measurement
        What to measure, in column order; default is everything.

    Returns
    -------
    DataFrame
        Columns ``scan, level, label, status, flags``, the measurements, then ``<column>_why`` with the reason of each
        NaN (empty otherwise).
    """
    import pandas as pd

    rows = [_row(spine.name, vertebra, catalogue) for vertebra in spine]
    names = [column.name for column in _WORDS] + [m.name for m in catalogue] + [why_column(m.name) for m in catalogue]
    return pd.DataFrame(rows, columns=names)


def _row(scan: str, vertebra: Vertebra, catalogue: tuple[Measurement, ...]) -> dict[str, Any]:
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for entry in catalogue:
        try:
            values[entry.name], reasons[why_column(entry.name)] = entry(vertebra), ""
        except NotMeasurable as reason:
            values[entry.name], reasons[why_column(entry.name)] = np.nan, str(reason)
    missing = int(np.isnan(list(values.values())).sum())
    status = Status.MEASURED if missing == 0 else Status.PARTIAL if missing < len(values) else Status.NOT_MEASURABLE
    words = {
        "scan": scan,
        "level": str(vertebra.level),
        "label": vertebra.label,
        "status": str(status),
        "flags": ";".join(sorted(str(flag) for flag in vertebra.flags)),
    }
    return words | values | reasons


def data_dictionary(catalogue: tuple[Measurement, ...] = CATALOGUE) -> tuple[Column, ...]:
    """Description of every column of the vertebra table, in order (the ``_why`` columns follow from it)."""
    return _WORDS + tuple(entry.column for entry in catalogue)
