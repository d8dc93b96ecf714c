"""From Hounsfield units to mg/cm3: a user's own tables, internal calibration, and corrections for contrast medium.

Nothing here is applied by itself: without a named calibration there is no mg/cm3, and no correction is on by default.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import InputError, NotMeasurable
from verse_morph.measure.density import bmd, trabecular_hu_mean
from verse_morph.measure.measurement import Measurement
from verse_morph.spine import Vertebra
from verse_morph.volume import Scan

if TYPE_CHECKING:
    import pandas as pd

TABLE_COLUMNS = ("scanner", "kvp", "kernel", "slope", "intercept", "source")
# What a scan's header or sidecar calls the keys of a table.
META_NAMES = {
    "scanner": ("ManufacturerModelName", "Manufacturer"),
    "kvp": ("KVP",),
    "kernel": ("ConvolutionKernel",),
}
AIR_HU = -1000.0
# Subcutaneous fat lies in this range on any scanner; air outside the patient in that one.
FAT_RANGE_HU, AIR_RANGE_HU = (-160.0, -50.0), (-1100.0, -850.0)
# Reference regions lie this far from their border, and hold at least so much.
REFERENCE_INSET_MM, REFERENCE_LEAST_CM3 = 4.0, 2.0


@dataclass(frozen=True)
class Linear:
    """A straight line ``slope * value + intercept`` with the place it comes from.

    Parameters
    ----------
    slope, intercept : float
    source : str
        Who fitted it, on what.
    """

    slope: float
    intercept: float
    source: str

    def __call__(self, value: float) -> float:
        """The value on the other scale."""
        return self.slope * value + self.intercept


@dataclass(frozen=True)
class Calibration:
    """How one scanner's HU become mg/cm3.

    Parameters
    ----------
    scanner, kvp, kernel : str
        What it holds for; empty means any.
    line : Linear
        mg/cm3 from HU.
    hu_correction : Linear, optional
        HU as they should be from HU as they are, by internal calibration; applied first.
    contrast_correction : Linear, optional
        Unenhanced mg/cm3 from enhanced mg/cm3, for the scan's own phase; applied last. Never set by default.
    """

    scanner: str
    kvp: str
    kernel: str
    line: Linear
    hu_correction: Linear | None = None
    contrast_correction: Linear | None = None

    @property
    def is_example(self) -> bool:
        """Whether its source calls it an example: good to try the program with, no calibration of anything."""
        return self.line.source.upper().startswith("EXAMPLE")

    def bmd_mg_cm3(self, hu: float) -> float:
        """Density of a mean CT value."""
        value = self.line(hu if self.hu_correction is None else self.hu_correction(hu))
        return value if self.contrast_correction is None else self.contrast_correction(value)


def choose_calibration(table: pd.DataFrame, meta: Mapping[str, str]) -> tuple[Calibration, tuple[str, ...]]:
    """The row of a user's table that fits a scan.

    Parameters
    ----------
    table : DataFrame
        Columns ``scanner, kvp, kernel, slope, intercept, source``; an empty key means any.
    meta : Mapping
        What the scan's header or sidecar says.

    Returns
    -------
    calibration : Calibration
    notes : tuple of str
        What was taken on the user's word because the scan does not say it.

    Raises
    ------
    InputError
        Columns are missing, a number is none, no row or more than one fits.

    Notes
    -----
    A row fits where no key contradicts the scan. Of several rows only those count whose every key the scan confirms.
    """
    missing = [name for name in TABLE_COLUMNS if name not in table.columns]
    if missing:
        raise InputError(f"a density table has the columns {', '.join(TABLE_COLUMNS)}; missing: {', '.join(missing)}")
    rows = [_calibration(row) for row in table.to_dict("records")]
    fitting = [row for row in rows if False not in _agreement(row, meta).values()]
    if len(fitting) > 1:
        fitting = [row for row in fitting if None not in _agreement(row, meta).values()]
    known = {key: _known(key, meta) for key in META_NAMES}
    said = ", ".join(f"{key} {' '.join(words) or 'unknown'}" for key, words in known.items())
    if len(fitting) != 1:
        raise InputError(
            f"{len(fitting) or 'no'} rows of the density table fit this scan ({said}); "
            "give a table in which exactly one row does, or a table of one row"
        )
    chosen = fitting[0]
    unsaid = [key for key, agrees in _agreement(chosen, meta).items() if agrees is None]
    notes = [f"mg/cm3 by {chosen.line.slope:g} HU {chosen.line.intercept:+g} ({chosen.line.source})"]
    if chosen.is_example:
        notes.append("the density table is an example: its mg/cm3 are no measurement of this patient")
    if unsaid:
        notes.append(f"the scan does not say its {', '.join(unsaid)}: that the density table fits is the user's word")
    return chosen, tuple(notes)


def _calibration(row: Mapping[Hashable, Any]) -> Calibration:
    try:
        slope, intercept = float(row["slope"]), float(row["intercept"])
    except (TypeError, ValueError):
        slope = intercept = np.nan
    source = _text(row["source"])
    if not np.isfinite([slope, intercept]).all() or slope <= 0 or not source:
        raise InputError(
            f"row {dict(row)} of the density table: slope is a positive number, intercept a number, and source says "
            "where they come from"
        )
    return Calibration(_text(row["scanner"]), _text(row["kvp"]), _text(row["kernel"]), Linear(slope, intercept, source))


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value).strip()


def _known(key: str, meta: Mapping[str, str]) -> list[str]:
    return [meta[name] for name in META_NAMES[key] if meta.get(name)]


def _agreement(row: Calibration, meta: Mapping[str, str]) -> dict[str, bool | None]:
    """For each key of a row whether the scan confirms it; None where the scan does not say."""
    out: dict[str, bool | None] = {}
    for key in META_NAMES:
        wanted, known = getattr(row, key), _known(key, meta)
        if not wanted:
            out[key] = True
        elif not known:
            out[key] = None
        elif key == "kvp":
            out[key] = kvp_of(meta) == _number(wanted)
        else:
            out[key] = any(wanted.casefold() == word.casefold() for word in [*known, " ".join(reversed(known))])
    return out


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def kvp_of(meta: Mapping[str, str]) -> float | None:
    """Tube voltage that a scan's header or sidecar states, or None."""
    return _number(meta.get("KVP", ""))


def with_calibration(catalogue: tuple[Measurement, ...], calibration: Calibration) -> tuple[Measurement, ...]:
    """A catalogue in which ``bmd_mg_cm3`` is computed by a calibration."""

    def calibrated(vertebra: Vertebra) -> float:
        return calibration.bmd_mg_cm3(float(trabecular_hu_mean(vertebra)))

    return tuple(replace(entry, compute=calibrated) if entry.name == bmd.name else entry for entry in catalogue)


# --- internal calibration -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """A tissue of known CT value inside the scan.

    Parameters
    ----------
    name : str
    measured_hu : float
        Mean in its region.
    nominal_hu : float
        What it should measure; the user's choice and responsibility.
    """

    name: str
    measured_hu: float
    nominal_hu: float


def region_reference(scan: Scan, region: NDArray[np.bool_], name: str, nominal_hu: float) -> Reference:
    """A reference from a region that the user drew.

    Raises
    ------
    InputError
        The region has another shape than the scan, or no voxel.
    """
    if region.shape != scan.hu.shape or not region.any():
        raise InputError(f"the region of {name} is empty or has another shape than the scan {scan.hu.shape}")
    return Reference(name, float(np.median(scan.hu[region])), nominal_hu)


def find_reference(scan: Scan, name: str, nominal_hu: float) -> Reference:
    """Air outside the patient (``air``) or fat below the skin (``fat``), found by its value.

    Parameters
    ----------
    scan : Scan
        Must show the skin: a field of view cropped to the spine has neither.
    name : str
        ``air`` or ``fat``.
    nominal_hu : float

    Raises
    ------
    NotMeasurable
        Less than 2 cm3 of it, 4 mm away from anything else; or values that are padding.

    Notes
    -----
    Fat is not the same in everyone: -115 to -90 HU unenhanced. An error of 10 HU in it moves a vertebra of 150 HU by
    about 13 HU.
    """
    import edt

    ranges = {"air": AIR_RANGE_HU, "fat": FAT_RANGE_HU}
    if name not in ranges:
        raise InputError(f"reference {name!r} cannot be found by itself; air and fat can, draw a region for others")
    low, high = ranges[name]
    inside = np.ascontiguousarray((scan.hu > low) & (scan.hu < high))
    if name == "air":
        inside = _joined_to_border(inside)
    else:
        # Noise makes holes in fat: judge a smoothed picture.
        inside = _smooth_between(scan, low, high)
    spacing = tuple(float(s) for s in scan.grid.spacing_mm)
    deep = edt.edt(inside, anisotropy=spacing, black_border=True) > REFERENCE_INSET_MM
    volume = deep.sum() * scan.grid.voxel_volume_mm3 / 1000
    if volume < REFERENCE_LEAST_CM3:
        raise NotMeasurable(f"{volume:.1f} cm3 of {name} found in this scan, {REFERENCE_LEAST_CM3:g} are needed")
    values = scan.hu[deep]
    if np.ptp(np.percentile(values, [5, 95])) == 0:
        raise NotMeasurable(f"the {name} of this scan is the constant {values[0]:g}: padding, not an image")
    return Reference(name, float(values.mean(dtype=np.float64)), nominal_hu)


def _joined_to_border(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    import cc3d

    pieces = cc3d.connected_components(inside, connectivity=6)
    faces = [np.take(pieces, side, axis=axis) for axis in range(3) for side in (0, -1)]
    touching = np.unique(np.concatenate([face.ravel() for face in faces]))
    return np.isin(pieces, touching[touching > 0])


def _smooth_between(scan: Scan, low: float, high: float) -> NDArray[np.bool_]:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(scan.hu.astype(np.float32), 1.5 / scan.grid.spacing_mm, truncate=2.0)
    return np.ascontiguousarray((smooth > low) & (smooth < high))


def internal_calibration(references: Sequence[Reference]) -> Linear:
    """The straight line from a scan's HU to nominal HU through two or more references.

    Parameters
    ----------
    references : sequence of Reference
        Best one far below and one near or above bone; air and fat leave a vertebra to extrapolation.

    Raises
    ------
    InputError
        Fewer than two, or two of the same measured value.

    Notes
    -----
    Corrects scale and offset of the HU (tube voltage, drift, beam filtration in the large), not beam hardening around
    the spine. It makes no mg/cm3: a table for nominal HU is still needed.
    """
    measured = np.array([reference.measured_hu for reference in references])
    nominal = np.array([reference.nominal_hu for reference in references])
    if len(references) < 2 or np.ptp(measured) < 1:
        raise InputError("internal calibration needs two references of different CT value, such as air and fat")
    slope, intercept = np.polyfit(measured, nominal, 1)
    names = ", ".join(f"{r.name} {r.measured_hu:.1f} -> {r.nominal_hu:g} HU" for r in references)
    return Linear(float(slope), float(intercept), f"internal calibration: {names}")
