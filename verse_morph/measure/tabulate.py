"""From a spine and a catalogue to a tidy table: the only place where a missing number becomes NaN with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from verse_morph.errors import NotMeasurable
from verse_morph.measure.catalogue import CATALOGUE, DISC_CATALOGUE
from verse_morph.measure.curves import curves_of
from verse_morph.measure.discs import discs_of, flags_of
from verse_morph.measure.measurement import Measurement, Value
from verse_morph.spine import Flag, Spine
from verse_morph.tables import Column, Status, why_column

if TYPE_CHECKING:
    import pandas as pd

# Flags of discs and curves, which no vertebra carries.
_NOT_OF_VERTEBRAE = (Flag.LAST_LEVEL_SUBSTITUTED, Flag.LEVELS_MISSING, Flag.BELOW_10_DEG, Flag.BODIES_TOUCH)
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
        definition="What to know before using the row, joined by `;`: "
        + ", ".join(f"`{flag}`" for flag in Flag if flag not in _NOT_OF_VERTEBRAE)
        + ".",
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
    rows = []
    for vertebra in spine:
        named = {"scan": spine.name, "level": str(vertebra.level), "label": vertebra.label}
        subjects = {"vertebra": (vertebra,), "spine": (vertebra, spine)}
        rows.append(_row(named, vertebra.flags, catalogue, subjects))
    return _table(rows, _WORDS, catalogue)


def _row(
    named: Mapping[str, object],
    flags: Iterable[Flag],
    catalogue: tuple[Measurement, ...],
    subjects: Mapping[str, tuple[Any, ...]],
) -> dict[str, Any]:
    values, reasons = entries(catalogue, subjects)
    words = {"status": str(status_of(catalogue, reasons)), "flags": ";".join(sorted(str(flag) for flag in flags))}
    return {**named, **words, **values, **reasons}


def _table(
    rows: Sequence[Mapping[str, Any]], words: tuple[Column, ...], catalogue: tuple[Measurement, ...]
) -> pd.DataFrame:
    import pandas as pd

    names = [column.name for column in words] + [m.name for m in catalogue] + [why_column(m.name) for m in catalogue]
    return pd.DataFrame(rows, columns=names)


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


# --- discs ------------------------------------------------------------------------------------------------------------

_DISC_WORDS = (
    _WORDS[0],
    Column("upper_level", definition="Level above the disc; rows run from head to foot, from C2 on."),
    Column("lower_level", definition="Level below the disc: the next one in this spine's own count, at last S1."),
    Column(
        "status",
        definition="`measured`: every column has a value; `partial`: some are missing; `not_measurable`: all are.",
    ),
    Column(
        "flags",
        definition="What to know before using the row, joined by `;`: those flags of both vertebrae that matter for "
        "their endplates, and `bodies_touch` where a height is missing because no gap is seen there.",
    ),
)


def measure_discs(spine: Spine, catalogue: tuple[Measurement, ...] = DISC_CATALOGUE) -> pd.DataFrame:
    """One row per disc, one column per measurement, and for each missing number its reason.

    Parameters
    ----------
    spine : Spine
    catalogue : tuple of Measurement
        What to measure, in column order; default is everything.

    Returns
    -------
    DataFrame
        Columns ``scan, upper_level, lower_level, status, flags``, the measurements, then ``<column>_why``. A level that
        the mask lacks between two others has its two discs as rows that are not measurable.
    """
    rows = []
    for disc in discs_of(spine):
        named = {"scan": spine.name, "upper_level": str(disc.upper_level), "lower_level": str(disc.lower_level)}
        rows.append(_row(named, flags_of(disc), catalogue, {"disc": (disc,)}))
    return _table(rows, _DISC_WORDS, catalogue)


def disc_dictionary(catalogue: tuple[Measurement, ...] = DISC_CATALOGUE) -> tuple[Column, ...]:
    """Description of every column of the disc table, in order (the ``_why`` columns follow from it)."""
    return _DISC_WORDS + tuple(entry.column for entry in catalogue)


# --- curves -----------------------------------------------------------------------------------------------------------

_RIMS = "Cobb 1948; rim planes by Tukey's biweight"
_CURVE_COLUMNS = (
    _WORDS[0],
    Column(
        "name",
        definition="Which angle: the named sagittal ones, each with a row whether measured or not, then "
        "`coronal_curve` for the largest coronal curve, however small, and for every other one of at least 10 degrees.",
    ),
    Column("upper_level", definition="Upper end vertebra: its upper endplate, for `lordosis_C2_C7` its lower one."),
    Column(
        "lower_level",
        definition="Lower end vertebra: its lower endplate, for S1 its upper one; the last level that this spine "
        "really has (T11, T12, T13; L4, L5, L6), whatever the name says.",
    ),
    Column(
        "angle_deg",
        unit="deg",
        frame="world",
        length_power=0,
        mirror="flip",
        definition="Angle between the rim planes of both ends as projected on the world's plane named in `plane`: "
        "positive when lordotic, or convex to the patient's right (mirroring flips coronal rows only).",
        source=_RIMS,
    ),
    Column(
        "plane",
        definition="Plane of projection: `sagittal` or `coronal`. The patient lies: the 10 degrees that define a "
        "scoliosis are for standing films.",
    ),
    Column(
        "flags",
        definition="What to know before using the row, joined by `;`: `last_level_substituted` (the lower end is not "
        "the level that the name says), `levels_missing` (the mask skips a level inside a coronal curve), "
        "`below_10_deg` (a coronal curve too small to be called one), and those flags of both ends that matter for "
        "their endplates.",
    ),
    Column(
        "angle_own_deg",
        unit="deg",
        frame="body",
        length_power=0,
        mirror="flip",
        definition="The same angle as projected on the spine's own sagittal or coronal plane: that of the mean axes of "
        "all whole vertebrae in view, so it does not change when the patient lies turned.",
        source=_RIMS,
    ),
    Column(
        "angle_3d_deg",
        unit="deg",
        frame="body",
        length_power=0,
        definition="Angle between the rim planes of both ends in space; it has no sign.",
        source=_RIMS,
    ),
    Column("apex_level", definition="Of a coronal curve: the vertebra whose body lies farthest to the convex side."),
    Column(
        "apex_offset_mm",
        unit="mm",
        frame="world",
        length_power=1,
        mirror="flip",
        definition="Of a coronal curve: distance of the apical body to the right of the line between the end "
        "vertebrae's bodies, in the world's coronal plane.",
        source="coronal plane, as for the angle",
    ),
    Column(
        "angle_deg_why",
        definition="Why there is no angle (all three columns); empty where there is one.",
    ),
)


def measure_curves(spine: Spine) -> pd.DataFrame:
    """One row per named sagittal angle, measured or not, and one per coronal curve.

    Parameters
    ----------
    spine : Spine

    Returns
    -------
    DataFrame
        Columns as in :func:`curve_dictionary`.
    """
    import pandas as pd

    rows = [
        {
            "scan": spine.name,
            "name": curve.name,
            "upper_level": "" if curve.upper_level is None else str(curve.upper_level),
            "lower_level": "" if curve.lower_level is None else str(curve.lower_level),
            "angle_deg": curve.angle_deg,
            "plane": curve.plane,
            "flags": ";".join(sorted(str(flag) for flag in curve.flags)),
            "angle_own_deg": curve.angle_own_deg,
            "angle_3d_deg": curve.angle_3d_deg,
            "apex_level": curve.apex,
            "apex_offset_mm": curve.apex_offset_mm,
            "angle_deg_why": curve.why,
        }
        for curve in curves_of(spine)
    ]
    return pd.DataFrame(rows, columns=[column.name for column in _CURVE_COLUMNS])


def curve_dictionary() -> tuple[Column, ...]:
    """Description of every column of the curve table, in order."""
    return _CURVE_COLUMNS


def data_dictionaries() -> dict[str, tuple[Column, ...]]:
    """Description of every column of every table, by the name of its file."""
    return {"vertebrae.csv": data_dictionary(), "discs.csv": disc_dictionary(), "curves.csv": curve_dictionary()}
