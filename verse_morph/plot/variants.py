"""Figures of variants: shares with intervals by group, strength of associations, measurements by group.

They draw the rows that :mod:`verse_morph.stats` computed and compute nothing themselves. Colours are those of
seaborn's colour-blind palette. The warning that belongs to the rows stands under every figure.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verse_morph.io.files import replacing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from verse_morph.stats.measurements import Measured

PALETTE = "colorblind"
GREY = "#6b6b6b"
PANELS_ACROSS = 3
STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "svg.fonttype": "path",
    "svg.hashsalt": "verse_morph",
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Seaborn's white style with the sizes of our figures, for a block."""
    import matplotlib as mpl
    import seaborn as sns

    with mpl.rc_context(), sns.axes_style("ticks"):
        mpl.rcParams.update(STYLE)  # type: ignore[arg-type]
        yield


def shares_figure(rows: pd.DataFrame, title: str = "") -> Figure:
    """One panel per variant or grade, one bar per group, with Wilson intervals and ``positive/n`` on every bar.

    Parameters
    ----------
    rows : DataFrame
        Of :func:`verse_morph.stats.prevalence.prevalence` or ``grade_shares``.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Belongs to no window; see :func:`save_figure`.
    """
    with figure_style():
        names = list(dict.fromkeys(rows["variant"]))
        figure, panels = _grid(len(names), bars=rows.groupby("variant").size().max() if len(rows) else 1)
        colours = _colours(list(dict.fromkeys(rows["group"])))
        top = _upper_limit(rows)
        for axes, name in zip(panels, names, strict=False):
            part = rows[rows["variant"] == name]
            _share_bars(axes, part, colours, top)
            axes.set_title(str(part["label"].iloc[0]), loc="left")
        for i, axes in enumerate(panels):
            if i % PANELS_ACROSS:
                axes.set_yticklabels([])
        _label_lowest(panels, len(names), "share, % (95 % Wilson interval)")
        _finish(figure, title, _warnings(rows))
    return figure


def _grid(number: int, bars: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    lines = max(1, -(-number // PANELS_ACROSS))
    across = min(PANELS_ACROSS, max(number, 1))
    figure = Figure(figsize=(3.0 * across + 0.9, (0.32 * bars + 0.55) * lines + 0.9), layout="constrained")
    panels = list(figure.subplots(lines, across, squeeze=False).ravel())
    for axes in panels[number:]:
        axes.set_axis_off()
    return figure, panels[:number]


def _colours(groups: Sequence[str]) -> dict[str, Any]:
    import seaborn as sns

    palette = sns.color_palette(PALETTE, 10)
    made = {group: palette[i % 10] for i, group in enumerate(g for g in groups if g not in ("all", "unknown"))}
    return made | {"all": "#404040", "unknown": "#b5b5b5"}


def _upper_limit(rows: pd.DataFrame) -> float:
    highest = rows["wilson_high_pct"].max() if len(rows) else 0.0
    # Room for the counts beside the bars.
    return min(100.0, float(highest)) * 1.28 if highest > 0 else 100.0


def _share_bars(axes: Axes, part: pd.DataFrame, colours: dict[str, Any], top: float) -> None:
    groups = list(part["group"])
    for y, row in enumerate(part.to_dict("records")):
        if row["n"] == 0:
            axes.text(0.01 * top, y, "not assessed", va="center", color=GREY, fontsize=8, style="italic")
            continue
        share, low, high = row["share_pct"], row["wilson_low_pct"], row["wilson_high_pct"]
        axes.barh(y, share, height=0.7, color=colours[row["group"]], edgecolor="none")
        axes.errorbar(share, y, xerr=[[share - low], [high - share]], color="#202020", capsize=2, linewidth=1)
        axes.text(high + 0.015 * top, y, f"{row['positive']}/{row['n']}", va="center", fontsize=8)
    axes.set_yticks(range(len(groups)), groups)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlim(0, top)
    _despine(axes)


def _despine(axes: Axes) -> None:
    import seaborn as sns

    sns.despine(ax=axes)


def _label_lowest(panels: Sequence[Axes], number: int, words: str) -> None:
    for axes in panels[max(0, number - PANELS_ACROSS) :]:
        axes.set_xlabel(words, fontsize=8)


def _finish(figure: Figure, title: str, footer: str) -> None:
    if title:
        figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    if footer:
        width = int(figure.get_figwidth() * 16)
        figure.supxlabel("\n".join(textwrap.wrap(footer, width)), fontsize=7.5, color="#a03000", x=0.01, ha="left")


def _warnings(rows: pd.DataFrame) -> str:
    return " ".join(dict.fromkeys(str(text) for text in rows.get("warning", ()) if isinstance(text, str) and text))


def beside_paper_figure(rows: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """Shares of several cohorts, variant by variant, as points with Wilson intervals.

    Parameters
    ----------
    rows : DataFrame
        Of :func:`verse_morph.stats.paper.side_by_side`.
    labels : Mapping[str, str]
        Words for each variant.
    """
    from matplotlib.figure import Figure

    with figure_style():
        names, cohorts = list(dict.fromkeys(rows["variant"])), list(dict.fromkeys(rows["cohort"]))
        step = 0.75 / len(cohorts)
        figure = Figure(figsize=(7.5, 0.22 * len(names) * len(cohorts) + 1.6), layout="constrained")
        axes = figure.subplots()
        colours = _colours(cohorts)
        for i, cohort in enumerate(cohorts):
            shown = rows[(rows["cohort"] == cohort) & (rows["n"] > 0)]
            y = [names.index(name) + step * (i - (len(cohorts) - 1) / 2) for name in shown["variant"]]
            error = [shown["share_pct"] - shown["wilson_low_pct"], shown["wilson_high_pct"] - shown["share_pct"]]
            style: dict[str, Any] = {"fmt": "osD^v"[i % 5], "color": colours[cohort], "capsize": 2, "markersize": 4}
            axes.errorbar(shown["share_pct"], y, xerr=error, label=cohort, linewidth=1, **style)
            for at, positive, n, high in zip(y, shown["positive"], shown["n"], shown["wilson_high_pct"], strict=True):
                axes.text(high + 1, at, f"{positive}/{n}", va="center", fontsize=7, color=colours[cohort])
        axes.set_yticks(range(len(names)), [labels.get(name, name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(left=0, right=axes.get_xlim()[1] + 4)
        axes.set_xlabel("share of series, % (95 % Wilson interval)")
        axes.legend(frameon=False, fontsize=8, loc="lower right")
        _despine(axes)
        _finish(figure, "", _warnings(rows))
    return figure


def effects_figure(
    tests: pd.DataFrame, xlabel: str, footer: str = "", labels: Mapping[str, str] | None = None
) -> Figure:
    """Effects of tests as points with their 95 % intervals, n and p beside them; tests without an effect say why.

    Parameters
    ----------
    tests : DataFrame
        Rows of :data:`verse_morph.stats.rows.TEST_COLUMNS`, with ``p_holm`` where adjusted.
    xlabel : str
    footer : str
    labels : Mapping[str, str], optional
        Words for outcomes.
    """
    from matplotlib.figure import Figure

    with figure_style():
        figure = Figure(figsize=(7.5, 0.3 * max(len(tests), 1) + 1.2), layout="constrained")
        axes = figure.subplots()
        for y, row in enumerate(tests.to_dict("records")):
            beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 8}
            if row["effect"] != row["effect"]:
                axes.text(0.02, y, row["why"], color=GREY, style="italic", **beside)
                continue
            error = [[row["effect"] - row["effect_low"]], [row["effect_high"] - row["effect"]]]
            error = error if row["effect_low"] == row["effect_low"] else [[0.0], [0.0]]
            axes.errorbar(row["effect"], y, xerr=error, fmt="o", color="#0173b2", capsize=2, markersize=5)
            holm = row.get("p_holm")
            adjusted = f", Holm {holm:.2g}" if holm is not None and holm == holm else ""
            interval = "" if row["effect_low"] == row["effect_low"] else ", no interval"
            axes.text(1.02, y, f"n {row['n']}, p {row['p']:.2g}{adjusted}{interval}", **beside)
        axes.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_yticks(range(len(tests)), [_effect_name(row, labels or {}) for row in tests.to_dict("records")])
        axes.set_ylim(max(len(tests), 1) - 0.5, -0.5)
        axes.set_xlabel(xlabel)
        _despine(axes)
        _finish(figure, "", footer)
    return figure


def _effect_name(row: Mapping[Any, Any], labels: Mapping[str, str]) -> str:
    outcome = str(row["outcome"])
    return str(row["contrast"]) if row["contrast"] else labels.get(outcome, outcome.replace("_", " "))


def measurement_figure(data: Measured, label: str, footer: str = "") -> Figure:
    """Values of a measurement by level and group: boxes (median, quartiles), every subject as a dot, n of subjects.

    Parameters
    ----------
    data : Measured
        Of :func:`verse_morph.stats.measurements.gather`.
    label : str
        Of the axis, with unit.
    footer : str
    """
    import seaborn as sns
    from matplotlib.figure import Figure

    with figure_style():
        frame, groups = data.frame, list(data.groups)
        levels = sorted(set(frame["level"]))
        figure = Figure(figsize=(max(4.0, 0.42 * len(levels) * max(len(groups), 1) + 1.8), 3.6), layout="constrained")
        axes = figure.subplots()
        if frame.empty:
            axes.text(0.5, 0.5, "not enough subjects in any group", ha="center", color=GREY)
            axes.set_axis_off()
            return figure
        n = frame.groupby("group")["subject"].nunique()
        named = {group: f"{group} (n = {n[group]})" for group in groups}
        shown = frame.assign(group=frame["group"].map(named))
        order: dict[str, Any] = {"x": "level", "y": "value", "hue": "group", "order": levels}
        order |= {"hue_order": list(named.values()), "palette": [_colours(groups)[g] for g in groups], "ax": axes}
        with warnings.catch_warnings():
            # seaborn 0.13 still hands matplotlib 3.11 an option that it calls deprecated.
            warnings.filterwarnings("ignore", message="vert: bool was deprecated")
            sns.boxplot(shown, fliersize=0, linewidth=0.8, gap=0.12, saturation=0.9, **order)
        dark = order | {"palette": ["#202020"] * len(groups)}
        with _same_jitter():
            sns.stripplot(shown, dodge=True, size=1.8, alpha=0.55, linewidth=0, legend=False, **dark)
        axes.set(xlabel="level" if levels != ["scan"] else "", ylabel=label)
        axes.legend(frameon=False, fontsize=8, title=None, loc="upper left", bbox_to_anchor=(1, 1))
        _despine(axes)
        _finish(figure, "", footer)
    return figure


@contextmanager
def _same_jitter() -> Iterator[None]:
    """Seaborn draws its jitter from numpy's global generator: the same figure each time, and the state given back."""
    import numpy as np

    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)


def svg_text(figure: Figure) -> str:
    """A figure as SVG text, the same for the same figure."""
    buffer = io.StringIO()
    with figure_style():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def save_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure as ``.svg`` or ``.png`` (200 dots per inch), whole or not at all.

    Raises
    ------
    OutputError
        The folder is missing or cannot be written to.
    """
    with figure_style(), replacing(path) as temporary:
        metadata = {"Date": None} if temporary.suffix == ".svg" else None
        figure.savefig(temporary, dpi=200, metadata=metadata)
