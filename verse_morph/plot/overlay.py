"""The sheet to look at before believing a table: outlines, rim planes and height lines drawn over the scan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.measure.heights import height_lines
from verse_morph.measure.uncertainty import SUFFIX, WHAT_IT_IS, spoken
from verse_morph.plot.sheets import Sheet, cut, sheet
from verse_morph.spine import Endplate, Flag, Spine, Vertebra
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BONE_WINDOW_HU = (-450.0, 1050.0)
INCHES_PER_MM = 0.045
HEIGHT_INCHES = (6.0, 26.0)
# Above the legend, which is as wide as the picture of a short spine.
FOOTER_INCHES = 0.33
COLOURS = {
    "body": "#ffd23f",
    "posterior": "#3fc1ff",
    "rim": "#ff5d5d",
    "anterior": "#7dff8a",
    "middle": "#ffffff",
    "posterior_height": "#ff9ff3",
    "left": "#7dff8a",
    "right": "#ff9ff3",
}
FOOTER = "verse_morph · research use, not diagnosis"
# Orientation letters at the left and right edge of the picture, by its horizontal world axis.
EDGES = {1: ("A", "P"), 0: ("R", "L")}


def figure_sheet(
    spine: Spine, labels: LabelMap, scan: Scan | None = None, vertebrae: pd.DataFrame | None = None
) -> Figure:
    """A sagittal and a coronal cut along the spine, with everything that the heights rest on drawn in.

    Parameters
    ----------
    spine : Spine
    labels : LabelMap
        The mask the spine was built from: says how far the image reaches, and is shown where there is no CT.
    scan : Scan, optional
        The CT on the mask's grid.
    vertebrae : DataFrame, optional
        The vertebra table of this spine: says whose fracture grade was not assessed, and gives each height its ± where
        it has ``<column>_sd`` (see :func:`verse_morph.measure.uncertainty.with_spread`).

    Returns
    -------
    matplotlib.figure.Figure
        Belongs to no window; use ``savefig``.

    Notes
    -----
    The cuts are curved: in the sagittal one each row is taken at the spine's own left-right position. Lines are drawn
    as projected on the picture, and the number beside a line is its length in space: on a strongly tilted vertebra,
    such as L5 in the coronal cut, the drawn line is shorter.
    """
    from matplotlib.figure import Figure

    if len(spine) == 0:
        raise NotMeasurable(f"{spine.name}: no vertebra to draw")
    rows = rows_by_level(vertebrae)
    sheets = [sheet(spine, labels.grid, across) for across in (1, 0)]
    widths = [float(np.ptp(s.horizontal_mm)) for s in sheets]
    high = float(np.clip(np.ptp(sheets[0].vertical_mm) * INCHES_PER_MM, *HEIGHT_INCHES))
    scale = high / float(np.ptp(sheets[0].vertical_mm))
    made = Figure(figsize=(sum(widths) * scale + 0.6, high + 1.1), facecolor="black")
    top, bottom = 1 - 0.55 / (high + 1.1), 0.5 / (high + 1.1)
    room = made.add_gridspec(1, 2, width_ratios=widths, wspace=0.03, left=0.01, right=0.99, top=top, bottom=bottom)
    for place, (on, title) in enumerate(zip(sheets, ("sagittal", "coronal"), strict=True)):
        axes = made.add_subplot(room[place])
        draw_image(axes, on, labels, scan)
        for vertebra in spine:
            _draw_vertebra(axes, on, vertebra, rows.get(str(vertebra.level)))
        dress(axes, on, f"{title}, along the spine")
    made.suptitle(spine.name, color="white", fontsize=11, y=0.995)
    made.text(0.01, FOOTER_INCHES / (high + 1.1), footer(vertebrae), color="white", fontsize=7)
    _legend(made)
    return made


def rows_by_level(vertebrae: pd.DataFrame | None) -> Mapping[str, pd.Series]:
    """The rows of a vertebra table by their level; none without a table."""
    return {} if vertebrae is None else {str(row["level"]): row for _, row in vertebrae.iterrows()}


def footer(*tables: pd.DataFrame | None) -> str:
    """What stands below a picture: what it is for, and what ± means where a table holds any."""
    spread = any(f"{name}{SUFFIX}" in table for table in tables if table is not None for name in table)
    return f"{FOOTER} · {WHAT_IT_IS}" if spread else FOOTER


def name_of(vertebra: Vertebra, row: pd.Series | None) -> str:
    """A vertebra's level, with what keeps it from being taken for a normal one: cut, not measured, or its fracture
    grade not assessed.
    """
    if Flag.BODY_CUT in vertebra.flags:
        return f"{vertebra.level}\n(cut)"
    if vertebra.frame is None:
        return f"{vertebra.level}\n(not\nmeasured)"
    unknown = row is not None and not np.isfinite(row["genant_grade"])
    return f"{vertebra.level}\n(grade not\nassessed)" if unknown else str(vertebra.level)


def name_size(name: str) -> float:
    """Font size of a name: small where it says more than the level, as there is little room in front of a body."""
    return 6.5 if "\n" in name else 9.0


def draw_image(axes: Axes, on: Sheet, labels: LabelMap, scan: Scan | None) -> None:
    """The CT on a sheet, or the mask where there is none; anterior and the patient's right on the reader's left."""
    if scan is not None:
        shown, (low, high) = cut(scan.hu, labels.grid, on), BONE_WINDOW_HU
    else:
        shown, (low, high) = cut(labels.labels > 0, labels.grid, on, order=0), (0.0, 2.5)
    half = (on.horizontal_mm[1] - on.horizontal_mm[0]) / 2
    extent = (
        on.horizontal_mm[0] - half,
        on.horizontal_mm[-1] + half,
        on.vertical_mm[0] - half,
        on.vertical_mm[-1] + half,
    )
    axes.set_facecolor("#202028")
    axes.imshow(shown, cmap="gray", vmin=low, vmax=high, origin="lower", extent=extent, interpolation="bilinear")
    # Both as on a light box: anterior, and the patient's right, on the reader's left.
    axes.set_xlim(extent[1], extent[0])
    axes.set_ylim(extent[2], extent[3])
    axes.set_aspect("equal")


def _draw_vertebra(axes: Axes, on: Sheet, vertebra: Vertebra, row: pd.Series | None) -> None:
    inside = cut(vertebra.mask, vertebra.grid, on, outside=0.0)
    if vertebra.body is not None:
        body = cut(vertebra.body, vertebra.grid, on, outside=0.0)
        outline(axes, on, np.clip(inside - body, 0, 1), COLOURS["posterior"])
        outline(axes, on, body, COLOURS["body"])
    else:
        outline(axes, on, inside, COLOURS["posterior"])
    for endplate in (vertebra.superior, vertebra.inferior):
        if endplate is not None:
            draw_rim(axes, on, endplate)
    _draw_heights(axes, on, vertebra, row)
    _name(axes, on, vertebra, row)


def outline(axes: Axes, on: Sheet, values: NDArray[np.float32], colour: str) -> None:
    """The border of a mask that was cut by the sheet."""
    if not values.max() > 0.5 > values.min():
        return
    # Matplotlib keeps several copies of all it contours: one pixel beyond the mask is enough.
    rows, columns = (slice(max(0, int(at.min()) - 1), int(at.max()) + 2) for at in np.nonzero(values > 0))
    x, y = on.horizontal_mm[columns], on.vertical_mm[rows]
    axes.contour(x, y, values[rows, columns], levels=[0.5], colors=[colour], linewidths=0.8)


def draw_rim(axes: Axes, on: Sheet, endplate: Endplate) -> None:
    """Where the rim plane meets the sheet, over the endplate's width."""
    point, normal = endplate.rim.point_mm, endplate.rim.normal
    if abs(normal[2]) < 0.2:  # nearly upright: the sheet has no single height to draw it at
        return
    ends = np.percentile(endplate.points_mm[:, on.across], (1, 99))
    depth = on.depth_at(point[2]) - point[1 - on.across]
    heights = point[2] - (normal[on.across] * (ends - point[on.across]) + normal[1 - on.across] * depth) / normal[2]
    axes.plot(ends, heights, color=COLOURS["rim"], linewidth=0.9)


def _draw_heights(axes: Axes, on: Sheet, vertebra: Vertebra, row: pd.Series | None) -> None:
    for name, line in height_lines(vertebra).items():
        sagittal = name in ("anterior", "middle", "posterior")
        if sagittal != (on.across == 1):
            continue
        colour = COLOURS["posterior_height" if name == "posterior" else name]
        axes.plot(line[:, on.across], line[:, 2], color=colour, linewidth=1.1)
        centre = line.mean(axis=0)
        said = f"{np.linalg.norm(line[1] - line[0]):.1f}" if row is None else spoken(row, f"height_{name}_mm")
        axes.text(
            centre[on.across],
            centre[2],
            said,
            color=colour,
            fontsize=6.5,
            ha="center",
            va="center",
            bbox={"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 0.6},
        )


def _name(axes: Axes, on: Sheet, vertebra: Vertebra, row: pd.Series | None) -> None:
    voxels = vertebra.grid.to_world(np.argwhere(vertebra.body if vertebra.body is not None else vertebra.mask))
    # Beside the body: in front of it, or at the patient's right (both on the reader's left).
    at = float(np.percentile(voxels[:, on.across], 99.5)) + 5
    edge = float(on.horizontal_mm[-1]) - 3
    height = float(np.mean(voxels[:, 2]))
    name = name_of(vertebra, row)
    axes.text(
        min(at, edge),
        height,
        name,
        color="white",
        fontsize=name_size(name),
        ha="right",
        va="center",
        weight="bold",
    )


def dress(axes: Axes, on: Sheet, title: str) -> None:
    """Title, sides and scale bar of a picture."""
    axes.set_title(title, color="white", fontsize=9, pad=3)
    axes.set_xticks([])
    axes.set_yticks([])
    style: dict[str, Any] = {"color": "#ffff99", "fontsize": 10, "weight": "bold", "transform": axes.transAxes}
    left, right = EDGES[on.across]
    axes.text(0.012, 0.5, left, ha="left", va="center", **style)
    axes.text(0.988, 0.5, right, ha="right", va="center", **style)
    axes.text(0.5, 0.99, "S", ha="center", va="top", **style)
    axes.text(0.5, 0.01, "I", ha="center", va="bottom", **style)
    length = 50.0 if np.ptp(on.vertical_mm) > 120 else 20.0
    start, low = float(on.horizontal_mm[0]) + 5, float(on.vertical_mm[0]) + 5
    axes.plot([start, start + length], [low, low], color="white", linewidth=2)
    axes.text(start + length / 2, low + 1.5, f"{length:.0f} mm", color="white", fontsize=7, ha="center", va="bottom")


def _legend(made: Figure) -> None:
    from matplotlib.lines import Line2D

    names = {
        "body": "body",
        "posterior": "posterior part",
        "rim": "rim plane",
        "anterior": "anterior / left height",
        "middle": "middle height",
        "posterior_height": "posterior / right height",
    }
    handles = [Line2D([], [], color=COLOURS[key], label=text) for key, text in names.items()]
    made.legend(
        handles=handles, loc="lower right", ncols=6, fontsize=7, facecolor="black", labelcolor="white", edgecolor="none"
    )
