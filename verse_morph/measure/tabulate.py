"""From a spine and a catalogue to a tidy table: the only place where a missing number becomes NaN with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from verse_morph.errors import NotMeasurable
from verse_morph.measure.catalogue import CATALOGUE
from verse_morph.measure.measurement import Measurement, Value
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
        definition="`measured`: every column that applies to all vertebrae and needs no CT has a value; `partial`: "
        "some are missing; `not_measurable`: all are.",
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

    rows = [_row(spine, vertebra, catalogue) for vertebra in spine]
    names = [column.name for column in _WORDS] + [m.name for m in catalogue] + [why_column(m.name) for m in catalogue]
    return pd.DataFrame(rows, columns=names)


def _row(spine: Spine, vertebra: Vertebra, catalogue: tuple[Measurement, ...]) -> dict[str, Any]:
    subjects = {"vertebra": (vertebra,), "spine": (vertebra, spine)}
    values, reasons = entries(catalogue, subjects)
    words = {
        "scan": spine.name,
        "level": str(vertebra.level),
        "label": vertebra.label,
        "status": str(status_of(catalogue, reasons)),
        "flags": ";".join(sorted(str(flag) for flag in vertebra.flags)),
    }
    return words | values | reasons


def entries(
    catalogue: tuple[Measurement, ...], subjects: Mapping[str, tuple[Any, ...]]
) -> tuple[dict[str, Value], dict[str, str]]:
    """Values of all entries of a catalogue, and the reason of each missing one under its ``_why`` name.

    Parameters
    ----------
    catalogue : tuple of Measurement
    subjects : Mapping
        What a function gets, by its entry's ``of``.
    """
    values: dict[str, Value] = {}
    reasons: dict[str, str] = {}
    for entry in catalogue:
        why = why_column(entry.name)
        try:
            values[entry.name], reasons[why] = entry(*subjects[entry.of]), ""
        except NotMeasurable as reason:
            values[entry.name], reasons[why] = "" if entry.word else np.nan, str(reason)
    return values, reasons


def status_of(catalogue: tuple[Measurement, ...], reasons: Mapping[str, str]) -> Status:
    """How much of a row could be measured, from the reasons of the entries that count."""
    counted = [reasons[why_column(entry.name)] for entry in catalogue if entry.counts]
    missing = sum(bool(reason) for reason in counted)
    return Status.MEASURED if missing == 0 else Status.PARTIAL if missing < len(counted) else Status.NOT_MEASURABLE


def data_dictionary(catalogue: tuple[Measurement, ...] = CATALOGUE) -> tuple[Column, ...]:
    """Description of every column of the vertebra table, in order (the ``_why`` columns follow from it)."""
    return _WORDS + tuple(entry.column for entry in catalogue)
