"""One sheet per scan, for print: endplate planes, heights and angles, height loss, and the trabecular region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.measure.discs import disc_lines, discs_of
from verse_morph.measure.fracture import NOT_A_DIAGNOSIS
from verse_morph.measure.heights import height_lines
from verse_morph.measure.roi import trabecular_roi
from verse_morph.measure.uncertainty import spoken, spread_of
from verse_morph.plot.overlay import draw_image, draw_rim, dress, footer, name_of, outline, rows_by_level
from verse_morph.plot.sheets import Sheet, cut, middles_mm, sheet
from verse_morph.spine import Endplate, Spine, Vertebra
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that stay apart for colour-blind readers and on a grey print (Okabe and Ito).
RIM, BODY, DISC, CURVE, REGION = "#ffb000", "#56b4e9", "#3ce8a8", "#f0e442", "#ff7f50"
GRADE_COLOURS = {0: "#9a9a9a", 1: "#f0c040", 2: "#e07b20", 3: "#b01010"}
PLACES = ("anterior", "middle", "posterior")
INCHES_PER_MM = 0.024
HEIGHT_INCHES = (6.5, 13.0)
BARS_INCHES = 4.2
# Title above the pictures, and the named angles below them.
FRAME_INCHES = 2.0
# Names nearer than this to the one above are left out: slivers at the border.
NAMES_APART_MM = 7.0
# What is shown behind and in front of the bodies' middles, mm; right and left of them.
SHOWN_MM = {1: (-60.0, 45.0), 0: (-55.0, 55.0)}
BEYOND_RIM_MM = 18.0
TITLE: dict[str, Any] = {"fontsize": 10, "pad": 4}
STARRED = "* cut, not measured, or fracture grade not assessed"
# Bars of a vertebra whose fracture grade was not assessed: neither the grey of grade 0 nor any other grade's colour.
NOT_ASSESSED: dict[str, Any] = {"color": "white", "hatch": "//////"}


def report_sheet(
    spine: Spine,
    labels: LabelMap,
    vertebrae: pd.DataFrame,
    discs: pd.DataFrame,
    curves: pd.DataFrame,
    scan: Scan | None = None,
) -> Figure:
    """Everything that was measured on one scan, on one page for print.

    Parameters
    ----------
    spine : Spine
    labels : LabelMap
        The mask the spine was built from.
    vertebrae, discs, curves : DataFrame
        The tables of this spine: every number on the page is theirs, with ± where they have ``<column>_sd`` (see
        :func:`verse_morph.measure.uncertainty.with_spread`).
    scan : Scan, optional
        The CT on the mask's grid; with it the trabecular regions are shown.

    Raises
    ------
    NotMeasurable
        The spine has no vertebra.
    """
    from matplotlib.figure import Figure

    if len(spine) == 0:
        raise NotMeasurable(f"{spine.name}: no vertebra to draw")
    across = (1, 0, 1) if scan is not None else (1, 0)
    sheets = [_trimmed(sheet(spine, labels.grid, axis), spine) for axis in across]
    length = float(np.ptp(sheets[0].vertical_mm))
    high = float(np.clip(length * INCHES_PER_MM, *HEIGHT_INCHES))
    widths = [float(np.ptp(on.horizontal_mm)) * high / length for on in sheets]
    wide = sum(widths) + BARS_INCHES + 0.6
    made = Figure(figsize=(wide, high + FRAME_INCHES), facecolor="white")
    room = made.add_gridspec(
        1,
        len(sheets) + 1,
        width_ratios=[*widths, BARS_INCHES],
        wspace=0.1,
        left=0.01,
        right=0.985,
        top=1 - 0.75 / (high + FRAME_INCHES),
        bottom=1.25 / (high + FRAME_INCHES),
    )
    axes = [made.add_subplot(room[i]) for i in range(len(sheets) + 1)]
    rows = rows_by_level(vertebrae)
    for picture, on in zip(axes, sheets, strict=False):
        draw_image(picture, on, labels, scan)
        dress(picture, on, "")
        _names(picture, on, spine, rows)
    _sagittal(axes[0], sheets[0], spine, rows, discs, curves)
    _coronal(axes[1], sheets[1], spine, curves)
    if scan is not None:
        _regions(axes[2], sheets[2], spine, rows)
    _bars(axes[-1], vertebrae)
    made.suptitle(spine.name, fontsize=13, weight="bold", x=0.01, ha="left", y=0.995)
    made.text(0.01, 0.012, f"{footer(vertebrae, discs, curves)}\n{STARRED}", fontsize=9)
    return made


def _trimmed(on: Sheet, spine: Spine) -> Sheet:
    """The sheet without what lies far from the bodies."""
    low, high = SHOWN_MM[on.across]
    x, bodies = on.horizontal_mm, middles_mm(spine)[:, on.across]
    return replace(on, horizontal_mm=x[(x >= bodies.min() + low) & (x <= bodies.max() + high)])


def _label(axes: Axes, at: NDArray, text: str, colour: str, size: float = 7.0) -> None:
    style = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 0.5}
    axes.text(at[0], at[1], text, color=colour, fontsize=size, ha="center", va="center", bbox=style, clip_on=True)


def _names(axes: Axes, on: Sheet, spine: Spine, rows: Mapping[str, pd.Series]) -> None:
    edge = float(on.horizontal_mm[-1]) - 9
    taken: list[float] = []
    for vertebra in sorted(spine, key=lambda v: v.frame is None):
        middle = vertebra.centre_mm
        if middle is None:
            middle = vertebra.grid.to_world(np.argwhere(vertebra.mask).mean(axis=0))
        height = float(middle[2])
        if any(abs(height - other) < NAMES_APART_MM for other in taken):
            continue
        taken.append(height)
        noted = name_of(vertebra, rows.get(str(vertebra.level))) != str(vertebra.level)
        name = f"{vertebra.level}*" if noted else str(vertebra.level)
        axes.text(edge, height, name, color="white", fontsize=9, weight="bold", va="center", clip_on=True)


# --- sagittal ---------------------------------------------------------------------------------------------------------


def _sagittal(
    axes: Axes, on: Sheet, spine: Spine, rows: Mapping[str, pd.Series], discs: pd.DataFrame, curves: pd.DataFrame
) -> None:
    axes.set_title("endplate planes, heights of bodies (blue) and discs (green), mm", **TITLE)
    for vertebra in spine:
        for plate in (vertebra.superior, vertebra.inferior):
            if plate is not None:
                draw_rim(axes, on, plate)
        for name, line in height_lines(vertebra).items():
            if name in PLACES:
                _line(axes, line, BODY, rows[str(vertebra.level)] if name == "middle" else None)
    if spine.sacrum_superior is not None:
        draw_rim(axes, on, spine.sacrum_superior)
    named = {row["lower_level"]: row for _, row in discs[discs["height_middle_mm"].notna()].iterrows()}
    for disc in discs_of(spine):
        for name, line in disc_lines(disc).items():
            if name in PLACES:
                _line(axes, line, DISC, named.get(str(disc.lower_level)) if name == "middle" else None)
    found = curves[(curves["plane"] == "sagittal") & curves["angle_deg"].notna()]
    said = [
        f"{_words(row['name'], row['upper_level'], row['lower_level'])} {_angle(row)}" for _, row in found.iterrows()
    ]
    axes.set_xlabel("\n".join([*said, "+ lordotic; lying patient"]) if said else "no named angle in view", fontsize=8.5)


def _line(axes: Axes, line: NDArray, colour: str, row: pd.Series | None) -> None:
    """A height as a line, with the number of its row where there is one."""
    axes.plot(line[:, 1], line[:, 2], color=colour, linewidth=1.2)
    if row is not None and np.isfinite(row["height_middle_mm"]):
        _label(axes, line.mean(axis=0)[1:], spoken(row, "height_middle_mm"), colour)


def _angle(row: pd.Series) -> str:
    sign = "+" if row["angle_deg"] >= 0 else ""
    return f"{sign}{spoken(row, 'angle_deg')}°"


def _words(name: str, upper: str, lower: str) -> str:
    return f"{name.split('_')[0]} {upper}-{lower}"


# --- coronal ----------------------------------------------------------------------------------------------------------


def _coronal(axes: Axes, on: Sheet, spine: Spine, curves: pd.DataFrame) -> None:
    axes.set_title("largest coronal curve", **TITLE)
    centres = np.array([v.centre_mm for v in spine if v.centre_mm is not None])
    if len(centres):
        axes.plot(centres[:, 0], centres[:, 2], color=BODY, marker="o", markersize=2.5, linewidth=1.0)
    found = curves[(curves["name"] == "coronal_curve") & curves["angle_deg"].notna()]
    if found.empty:
        axes.set_xlabel("no coronal curve: fewer than three whole vertebrae", fontsize=8.5)
        return
    best = found.iloc[0]
    ends = {str(v.level): v for v in spine}
    for level, upper in ((best["upper_level"], True), (best["lower_level"], False)):
        _end_plane(axes, on, ends[level], upper)
    apex = ends.get(str(best["apex_level"]))
    if apex is not None and apex.centre_mm is not None:
        axes.plot(apex.centre_mm[0], apex.centre_mm[2], marker="o", markersize=8, fillstyle="none", color=CURVE)
    small = " (below 10°)" if abs(best["angle_deg"]) < 10 else ""
    text = f"{best['upper_level']}-{best['lower_level']} {_angle(best)}{small}, apex {best['apex_level']}"
    axes.set_xlabel(f"{text}\n+ convex to the right; lying patient", fontsize=8.5)


def _end_plane(axes: Axes, on: Sheet, vertebra: Vertebra, upper: bool) -> None:
    """The end vertebra's rim plane in the coronal picture, drawn beyond the body."""
    plate: Endplate | None = vertebra.superior if upper else vertebra.inferior
    if plate is None:
        return
    point, normal = plate.rim.point_mm, plate.rim.normal
    half = np.ptp(plate.points_mm[:, 0]) / 2 + BEYOND_RIM_MM
    x = point[0] + np.array([-half, half])
    z = point[2] - normal[0] / normal[2] * (x - point[0])
    axes.plot(x, z, color=CURVE, linewidth=1.6)


# --- trabecular region ------------------------------------------------------------------------------------------------


def _regions(axes: Axes, on: Sheet, spine: Spine, rows: Mapping[str, pd.Series]) -> None:
    axes.set_title("trabecular region, mean HU", **TITLE)
    for vertebra in spine:
        try:
            region = trabecular_roi(vertebra).mask
        except NotMeasurable:
            continue
        outline(axes, on, cut(region, vertebra.grid, on, outside=0.0), REGION)
        row = rows[str(vertebra.level)]
        if np.isfinite(row["trabecular_hu_mean"]) and vertebra.centre_mm is not None:
            _label(axes, vertebra.centre_mm[1:], spoken(row, "trabecular_hu_mean", 0), REGION, 8.0)
    axes.set_xlabel("HU as scanned, not bone mineral density", fontsize=8.5)


# --- height loss ------------------------------------------------------------------------------------------------------


def _bars(axes: Axes, vertebrae: pd.DataFrame) -> None:
    """Heights as bars, their ± as whiskers, expected heights as ticks, the grade beside them."""
    for i, (_, row) in enumerate(vertebrae.iterrows()):
        grade = row["genant_grade"]
        known = bool(np.isfinite(grade))
        look = {"color": GRADE_COLOURS[int(grade)]} if known else NOT_ASSESSED
        for k, place in enumerate(PLACES):
            y = i + 0.26 * (k - 1)
            column = f"height_{place}_mm"
            if np.isfinite(row[column]):
                axes.barh(y, row[column], height=0.22, edgecolor="black", linewidth=0.4, **look)
            if np.isfinite(row[column]) and np.isfinite(spread_of(row, column)):
                axes.errorbar(row[column], y, xerr=spread_of(row, column), color="black", linewidth=0.8, capsize=1.5)
            expected = row[f"height_expected_{place}_mm"]
            if np.isfinite(expected):
                axes.plot([expected, expected], [y - 0.13, y + 0.13], color="black", linewidth=1.8)
        kind = f" {row['genant_type']}" if known and grade else ""
        said = f"grade {int(grade)}{kind}" if known else "not assessed"
        axes.text(1.0, i, said, transform=axes.get_yaxis_transform(), fontsize=8, va="center", ha="right")
    axes.set_yticks(range(len(vertebrae)), vertebrae["level"], fontsize=9)
    axes.set_ylim(len(vertebrae) - 0.5, -0.5)
    shown = vertebrae[[f"height_{place}_mm" for place in PLACES]].to_numpy(float)
    axes.set_xlim(0, 1.45 * (np.nanmax(shown) if np.isfinite(shown).any() else 1.0))
    axes.set_xlabel("height, mm: anterior, middle, posterior from above\nblack tick: expected height", fontsize=8.5)
    axes.set_title(f"Genant grades: {NOT_A_DIAGNOSIS}", **TITLE)
    axes.spines[["top", "right"]].set_visible(False)
