"""Trabecular bone density of the vertebral bodies in Hounsfield units and, where calibrated, in mg/cm3."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.measure.measurement import measurement
from verse_morph.measure.roi import MARGIN_MM, require_hu, trabecular_roi
from verse_morph.spine import Spine, Vertebra

if TYPE_CHECKING:
    import pandas as pd

REGION = "own rule after Pickhardt's L1 region: eroded body without vein, metal, cement and sclerosis"
Row = Mapping[Hashable, Any]
HISTOGRAM_HU = (-200.0, 600.0, 20.0)


def roi_hu(vertebra: Vertebra, margin_mm: float = MARGIN_MM) -> NDArray:
    """CT values (N,) of the trabecular region.

    Raises
    ------
    NotMeasurable
        There is no region, see :func:`verse_morph.measure.roi.trabecular_roi`.
    """
    roi = trabecular_roi(vertebra, margin_mm)
    return require_hu(vertebra)[roi.mask].astype(np.float64)


@measurement(unit="hu", length_power=None, source=REGION, counts=False)
def trabecular_hu_mean(vertebra: Vertebra) -> float:
    """Mean CT value of the trabecular region of the body, at least 3 mm below its surface and slice thickness + 2 mm
    along the slice axis.

    Misleads between scanners, tube voltages and kernels, after contrast medium, in fractured, sclerotic or instrumented
    bodies, and where the mask's outline is wide or narrow: the columns of 2 and 4 mm margin tell.
    """
    return float(roi_hu(vertebra).mean())


@measurement(unit="hu", length_power=None, source=REGION, counts=False)
def trabecular_hu_median(vertebra: Vertebra) -> float:
    """Median CT value of the trabecular region of the body.

    Misleads as the mean does; a median far below the mean tells of dense spots inside the region.
    """
    return float(np.median(roi_hu(vertebra)))


@measurement(unit="hu", length_power=None, source=REGION, counts=False)
def trabecular_hu_sd(vertebra: Vertebra) -> float:
    """Standard deviation of the CT values within the trabecular region of the body.

    Misleads as a measure of texture: most of it is the scan's noise, which dose, kernel and slice thickness decide.
    """
    return float(roi_hu(vertebra).std(ddof=1))


@measurement(unit="cm3", length_power=None, source=REGION, counts=False)
def trabecular_volume(vertebra: Vertebra) -> float:
    """Volume of the trabecular region of the body: how much bone the density was read from.

    Misleads as a size: the margins are fixed millimetres and grow with the slice thickness.
    """
    return trabecular_roi(vertebra).volume_cm3


@measurement(unit="pct", length_power=None, source=REGION, counts=False)
def trabecular_dense(vertebra: Vertebra) -> float:
    """Share of the eroded body left out of the region because it lies in or within 2 mm of bone above 600 HU or metal.

    Above a few percent the body is sclerotic, cemented or instrumented, and the rest is no sound measure of density.
    """
    return trabecular_roi(vertebra).dense_pct


@measurement(unit="hu", length_power=None, source=REGION, counts=False)
def trabecular_hu_margin_2mm(vertebra: Vertebra) -> float:
    """Mean CT value of the trabecular region with a margin of 2 in place of 3 mm: a sensitivity, not a result."""
    return float(roi_hu(vertebra, 2.0).mean())


@measurement(unit="hu", length_power=None, source=REGION, counts=False)
def trabecular_hu_margin_4mm(vertebra: Vertebra) -> float:
    """Mean CT value of the trabecular region with a margin of 4 in place of 3 mm: a sensitivity, not a result."""
    return float(roi_hu(vertebra, 4.0).mean())


@measurement(unit="mg_cm3", length_power=None, source="the user's calibration, named in scan.json", counts=False)
def bmd(vertebra: Vertebra) -> float:
    """Bone mineral density of the trabecular region: slope times mean CT value plus intercept of the user's named
    calibration.

    Misleads when the calibration belongs to another scanner, tube voltage, kernel or time, or the scan to a contrast
    phase that was not corrected.
    """
    roi_hu(vertebra)
    raise NotMeasurable(f"{vertebra.level}: no calibration was given (--bmd-table)")


def histogram(spine: Spine, edges_hu: NDArray | None = None) -> pd.DataFrame:
    """How the CT values of each vertebra's trabecular region are distributed.

    Parameters
    ----------
    spine : Spine
    edges_hu : array (N + 1,), optional
        Ascending borders of the bins; -200 to 600 HU in steps of 20 by default. Values beyond go to the first and last
        bin.

    Returns
    -------
    DataFrame
        ``scan, level, low_hu, high_hu, share``, one row per vertebra with a region and bin; shares of a level sum to 1.
    """
    import pandas as pd

    low, high, step = HISTOGRAM_HU
    edges = np.arange(low, high + step / 2, step) if edges_hu is None else np.asarray(edges_hu, dtype=float)
    rows = []
    for vertebra in spine:
        try:
            values = roi_hu(vertebra)
        except NotMeasurable:
            continue
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        shares = counts / counts.sum()
        rows += [
            (spine.name, str(vertebra.level), a, b, s) for a, b, s in zip(edges[:-1], edges[1:], shares, strict=True)
        ]
    return pd.DataFrame(rows, columns=["scan", "level", "low_hu", "high_hu", "share"])


# --- the scan as a whole ------------------------------------------------------------------------------------------

AVERAGES = {"L1": ("L1",), "L1_L3": ("L1", "L2", "L3"), "L1_L4": ("L1", "L2", "L3", "L4")}
NOT_CLASSIFIED = "not classified"
# More of the eroded body than this left out as dense: sclerosis, cement or metal decides over what remains.
DENSE_PCT = 5.0
LEAST_LEVELS = 2
# American College of Radiology: mean of two lumbar vertebrae by quantitative CT, mg/cm3.
ACR_LOW, ACR_OSTEOPOROSIS = 120.0, 80.0
# L1 at 120 kVp: at most 160 HU finds nine of ten with osteoporosis, above 110 HU are nine of ten without.
L1_SENSITIVE_HU, L1_SPECIFIC_HU = 160.0, 110.0
CONTRASTS = ("unknown", "none", "arterial", "venous", "corrected")


@dataclass(frozen=True)
class Acquisition:
    """What is known of how a scan was made.

    Parameters
    ----------
    kvp : float or None
        Tube voltage.
    contrast : str
        ``unknown``, ``none`` (unenhanced), ``arterial``, ``venous``, or ``corrected`` where mg/cm3 were corrected.
    calibrated : bool
        Whether ``bmd_mg_cm3`` rests on a calibration.
    """

    kvp: float | None = None
    contrast: str = "unknown"
    calibrated: bool = False

    def __post_init__(self) -> None:
        if self.contrast not in CONTRASTS:
            raise ValueError(f"contrast is one of {', '.join(CONTRASTS)}, got {self.contrast!r}")


def lumbar_density(table: pd.DataFrame, acquisition: Acquisition | None = None) -> dict[str, Any]:
    """Density of L1 and the averages of L1 to L3 and L1 to L4 without fractured and dense levels, and what follows.

    Parameters
    ----------
    table : DataFrame
        The vertebra table; its ``genant_grade`` decides over fractures, where it has one.
    acquisition : Acquisition, optional
        By default nothing is known.

    Returns
    -------
    dict
        For ``L1``, ``L1_L3``, ``L1_L4``: ``hu``, ``bmd_mg_cm3`` (None where missing), ``levels`` used, ``skipped`` with
        the reason of each level, ``grade_not_assessed``. ``acr_category`` and ``l1_band`` with their reason.

    Notes
    -----
    A level whose grade was not assessed is averaged and named; it classifies nobody. An ACR category needs calibrated
    mg/cm3, no contrast medium (or a corrected value) and two unfractured lumbar levels; a band of L1 needs 120 kVp and
    no contrast medium. Neither is a diagnosis.
    """
    known = acquisition or Acquisition()
    rows: dict[str, Row] = {str(row["level"]): row for row in table.to_dict("records")}
    out: dict[str, Any] = {name: _average(rows, levels) for name, levels in AVERAGES.items()}
    out["grades"] = "assessed" if "genant_grade" in table.columns else "not assessed"
    out["acquisition"] = {"kvp": known.kvp, "contrast": known.contrast, "calibrated": known.calibrated}
    out["acr_category"] = dict(zip(("word", "why"), _acr(out["L1_L4"], known), strict=True))
    out["l1_band"] = dict(zip(("word", "why"), _l1_band(out["L1"], known), strict=True))
    return out


def _average(rows: dict[str, Row], levels: Sequence[str]) -> dict[str, Any]:
    skipped = {level: why for level in levels if (why := _skip(rows.get(level)))}
    used = [level for level in levels if level not in skipped]
    values = [(rows[level]["trabecular_hu_mean"], rows[level].get("bmd_mg_cm3", np.nan)) for level in used]
    hu, density = np.mean(values, axis=0) if values else (np.nan, np.nan)
    return {
        "hu": _rounded(hu),
        "bmd_mg_cm3": _rounded(density),
        "levels": used,
        "skipped": skipped,
        "grade_not_assessed": [level for level in used if _grade(rows[level]) is None],
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 2) if np.isfinite(value) else None


def _grade(row: Row) -> float | None:
    grade = row.get("genant_grade")
    return None if grade is None or grade == "" or not np.isfinite(float(grade)) else float(grade)


def _skip(row: Row | None) -> str:
    """Why a level stays out of the averages; empty if it does not."""
    if row is None:
        return "not in the mask"
    if not np.isfinite(row["trabecular_hu_mean"]):
        return str(row["trabecular_hu_mean_why"])
    grade = _grade(row)
    if grade is not None and grade >= 1:
        return f"fractured or deformed: height loss of Genant grade {grade:g}"
    dense = row.get("trabecular_dense_pct", 0.0)
    return f"{dense:.0f} % of the body is sclerotic, cemented or metal" if dense > DENSE_PCT else ""


def _acr(average: dict[str, Any], known: Acquisition) -> tuple[str, str]:
    sound = [level for level in average["levels"] if level not in average["grade_not_assessed"]]
    if not known.calibrated or average["bmd_mg_cm3"] is None:
        return NOT_CLASSIFIED, "HU are not calibrated to mg/cm3"
    if known.contrast not in ("none", "corrected"):
        return NOT_CLASSIFIED, f"contrast medium: {known.contrast}"
    if len(sound) < LEAST_LEVELS:
        return NOT_CLASSIFIED, f"{len(sound)} lumbar levels known to be unfractured, {LEAST_LEVELS} are needed"
    if average["grade_not_assessed"]:
        return NOT_CLASSIFIED, f"not assessed for fracture: {' '.join(average['grade_not_assessed'])}"
    value = average["bmd_mg_cm3"]
    word = "osteoporosis" if value < ACR_OSTEOPOROSIS else "low bone mass" if value <= ACR_LOW else "normal"
    return word, f"mean of {' '.join(sound)} by quantitative CT; not a diagnosis"


def _l1_band(average: dict[str, Any], known: Acquisition) -> tuple[str, str]:
    if average["hu"] is None:
        return NOT_CLASSIFIED, average["skipped"]["L1"]
    if known.kvp != 120:
        return NOT_CLASSIFIED, "tube voltage unknown" if known.kvp is None else f"{known.kvp:g} kVp, bands hold at 120"
    if known.contrast != "none":
        return NOT_CLASSIFIED, f"contrast medium: {known.contrast}"
    if average["grade_not_assessed"]:
        return NOT_CLASSIFIED, "L1 was not assessed for fracture"
    hu = average["hu"]
    word = "at most 110 HU" if hu <= L1_SPECIFIC_HU else "110 to 160 HU" if hu <= L1_SENSITIVE_HU else "above 160 HU"
    return word, "bands of 110 and 160 HU of L1 at 120 kVp; not a diagnosis"
