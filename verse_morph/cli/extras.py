"""What `measure` adds on request: calibrated density, the mask of the density regions, uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verse_morph.cli.console import Report
from verse_morph.cli.job import Job
from verse_morph.errors import InputError
from verse_morph.spine import Spine
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    import pandas as pd

    from verse_morph.measure.calibration import Calibration
    from verse_morph.measure.measurement import Measurement

# Standard deviations of vertebrae, discs and curves.
SPREADS = ("uncertainty.csv", "uncertainty_discs.csv", "uncertainty_curves.csv")


@dataclass(frozen=True)
class Extras:
    """What was asked for beyond the tables.

    Parameters
    ----------
    bmd_table : Path or None
        Table of the user that makes mg/cm3 of HU.
    contrast : str
        The user's word on contrast medium, see :class:`verse_morph.measure.density.Acquisition`.
    roi, uncertainty : bool
        Whether to save the density regions as a mask; whether to say how far every number moves with its outline.
    """

    bmd_table: Path | None = None
    contrast: str = "unknown"
    roi: bool = False
    uncertainty: bool = False

    def require_ct(self, scan: Scan | None) -> None:
        """Refuse what makes no sense without a CT, or a word that is none of the known ones."""
        from verse_morph.measure.density import CONTRASTS

        if self.contrast not in CONTRASTS:
            raise InputError(f"--contrast is one of {', '.join(CONTRASTS)}, got {self.contrast!r}")
        if scan is None and (self.bmd_table is not None or self.roi):
            raise InputError("density needs the CT beside the mask; give --ct")

    def calibration(self, scan: Scan | None) -> tuple[Calibration | None, tuple[str, ...]]:
        """The row of the user's table that fits the scan, and what to know about it."""
        if self.bmd_table is None or scan is None:
            return None, ()
        from verse_morph.io import read_table
        from verse_morph.measure.calibration import choose_calibration

        return choose_calibration(read_table(self.bmd_table), scan.meta)


@dataclass(frozen=True, kw_only=True)
class MeasuringJob(Job):
    """A request whose command measures; see the options of the command."""

    bmd_table: Path | None = None
    contrast: str = "unknown"
    roi: bool = False
    uncertainty: bool = False

    @property
    def extras(self) -> Extras:
        """What was asked for beyond the tables."""
        return Extras(self.bmd_table, self.contrast, self.roi, self.uncertainty)


@dataclass(frozen=True, eq=False)
class Added:
    """What the extras found.

    Parameters
    ----------
    density : Mapping
        For scan.json: lumbar averages and what follows from them, empty without a CT.
    calibration : Mapping or None
        For scan.json: the calibration behind mg/cm3.
    roi : LabelMap or None
    spreads : Mapping of str to DataFrame
        Tables of standard deviations by the name of their file.
    """

    density: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] | None = None
    roi: LabelMap | None = None
    spreads: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def add(
    extras: Extras,
    calibration: Calibration | None,
    images: tuple[LabelMap, Scan | None],
    spine: Spine,
    table: pd.DataFrame,
    report: Report,
) -> Added:
    """Everything asked for, from a measured spine."""
    labels, scan = images
    return Added(
        density={} if scan is None else _density(extras, calibration, scan, table),
        calibration=None if calibration is None else asdict(calibration),
        roi=_roi(spine, labels) if extras.roi else None,
        spreads=_spreads(labels, scan, calibrated_catalogue(calibration), report) if extras.uncertainty else {},
    )


def calibrated_catalogue(calibration: Calibration | None) -> tuple[Measurement, ...]:
    """The catalogue of measurements, with mg/cm3 where a calibration was given."""
    from verse_morph.measure import CATALOGUE
    from verse_morph.measure.calibration import with_calibration

    return CATALOGUE if calibration is None else with_calibration(CATALOGUE, calibration)


def _density(extras: Extras, calibration: Calibration | None, scan: Scan, table: pd.DataFrame) -> dict[str, Any]:
    from verse_morph.measure.calibration import kvp_of
    from verse_morph.measure.density import Acquisition, lumbar_density

    calibrated = calibration is not None and not calibration.is_example
    return lumbar_density(table, Acquisition(kvp_of(scan.meta), extras.contrast, calibrated))


def _roi(spine: Spine, labels: LabelMap) -> LabelMap:
    from verse_morph.measure.roi import roi_mask

    return roi_mask(spine, labels)


def _spreads(
    labels: LabelMap, scan: Scan | None, catalogue: tuple[Measurement, ...], report: Report
) -> dict[str, pd.DataFrame]:
    from verse_morph.measure import measure, measure_curves, measure_discs
    from verse_morph.measure.uncertainty import DRAWS, uncertainties

    tables = (lambda spine: measure(spine, catalogue), measure_discs, measure_curves)
    makers = dict(zip(SPREADS, tables, strict=True))
    return uncertainties(labels, scan, makers, draws=DRAWS, progress=report)


def write_added(added: Added, folder: Path) -> None:
    """Write the mask of the density regions and the tables of standard deviations."""
    from verse_morph.io import write_labels, write_table

    if added.roi is not None:
        write_labels(added.roi, folder / f"{added.roi.name}_seg-roi_msk.nii.gz")
    for name, table in added.spreads.items():
        write_table(table, folder / name)
