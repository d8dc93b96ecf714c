"""The cohort explorer: the tables of many scans as one plot, one list and thumbnails that choose each other.

Nothing is measured and no statistic is made: what is marked as an outlier is only what is worth opening.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.errors import InputError, VerseMorphError
from verse_morph.io.results import MARK
from verse_morph.view import needs
from verse_morph.view.colours import MISSING, REGIONS, WORDS, choices, title_of
from verse_morph.view.numbers import spoken_number
from verse_morph.view.picture import ASSETS
from verse_morph.view.results import Opened, open_results

if TYPE_CHECKING:
    import pandas as pd

    from verse_morph.view.plain import PlainViewer
    from verse_morph.view.slices import SliceViewer
    from verse_morph.view.spine import SpineViewer

# Robust distance from the level's median from which a value is worth a look (Iglewicz and Hoaglin 1993).
FAR = 3.5
FEWEST = 5
MOST_THUMBNAILS = 12
COLOUR_BY = ("region", "scan", "status")


@dataclass(frozen=True, eq=False)
class Cohort:
    """Results of many scans.

    Parameters
    ----------
    folder : Path
    table : DataFrame
        All ``vertebrae.csv`` below each other, numbered from 0.
    folders : Mapping of str to Path
        Results folder by scan.
    skipped : tuple of str
        Folders that hold no finished or no readable results, with the reason.
    """

    folder: Path
    table: pd.DataFrame
    folders: Mapping[str, Path]
    skipped: tuple[str, ...]

    def open(self, scan: str) -> Opened:
        """The results of one scan, to be looked at."""
        if scan not in self.folders:
            raise InputError(f"no scan {scan!r} in {self.folder}; there are {', '.join(self.folders)}")
        return open_results(self.folders[scan])

    def pictures(self, scan: str) -> list[Path]:
        """Figures that were drawn with a scan's results."""
        return sorted(self.folders[scan].glob("figures/*.png"))


def read_cohort(folder: Path | str) -> Cohort:
    """Read the results of many scans.

    Parameters
    ----------
    folder : Path or str
        What was given to ``measure -o`` or ``run -o`` for all of them.

    Raises
    ------
    InputError
        There is no such folder, or no finished results in it.
    """
    import pandas as pd

    from verse_morph.io import read_table

    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"no such folder: {place}")
    tables, skipped = [], []
    folders: dict[str, Path] = {}
    for mark in sorted(place.rglob(MARK)):
        try:
            table = read_table(mark.parent / "vertebrae.csv")
        except VerseMorphError as error:
            skipped.append(f"{mark.parent.name}: {error}")
            continue
        for scan in table["scan"].astype(str).unique():
            if scan in folders:
                raise InputError(f"{mark.parent} and {folders[scan]} both hold results of {scan}; keep one of them")
            folders[scan] = mark.parent
        tables.append(table)
    if not tables:
        raise InputError(f"{place} holds no finished results (no {MARK}); give the folder that measure or run wrote")
    # A column that is empty in one scan must not lose its type in all.
    joined = pd.concat([table.dropna(axis=1, how="all") for table in tables], ignore_index=True)
    order = [name for name in tables[0].columns if name in joined]
    return Cohort(place, joined[order + [n for n in joined if n not in order]], folders, tuple(skipped))


def outliers(values: NDArray, levels: NDArray) -> NDArray[np.bool_]:
    """Which values lie far from the median of their own level.

    Parameters
    ----------
    values : array (N,)
        NaN where there is none.
    levels : array (N,)
        Names of levels; a level with fewer than 5 values marks nothing.

    Notes
    -----
    By the modified z-score, 0.6745 (x - median) / MAD, above 3.5 (Iglewicz and Hoaglin 1993). For choosing what to look
    at; an outlier is not an error, and an error need not be an outlier.
    """
    found = np.zeros(len(values), dtype=bool)
    for level in set(levels.tolist()):
        here = (levels == level) & np.isfinite(values)
        if here.sum() < FEWEST:
            continue
        away = values[here] - np.median(values[here])
        spread = np.median(np.abs(away))
        if spread > 0:
            found[here] = 0.6745 * np.abs(away) / spread > FAR
    return found


class CohortExplorer:
    """A results folder of many scans: plot, list and thumbnails, linked.

    Parameters
    ----------
    cohort : Cohort, Path or str

    Raises
    ------
    InputError
        See :func:`read_cohort`.
    ViewerUnavailable
        A package of the viewers is missing or of another major version.
    """

    def __init__(self, cohort: Cohort | Path | str) -> None:
        needs.require(needs.WIDGETS)
        self.cohort = cohort if isinstance(cohort, Cohort) else read_cohort(cohort)
        self.table = self.cohort.table
        self.levels = self.table["level"].astype(str).to_numpy()
        self.chosen: list[int] = []
        self.opened: Any = None
        self.plot = _plot_class()()
        self.plot.on_msg(lambda _widget, content, _buffers: self.choose(content.get("choose", [])))
        self.controls = self._made()
        self.widget = self._arranged()
        self._observe()
        self._draw()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, object]:
        return needs.mime_bundle(self.widget, **kwargs)

    def choose(self, rows: list[int]) -> None:
        """Choose rows of the table by their numbers; plot, list and thumbnails follow."""
        self.chosen = [row for row in rows if 0 <= row < len(self.table)]
        self.plot.chosen = self.chosen
        options = [(self._words(row), row) for row in self.chosen]
        self.controls["rows"].options = options
        self.controls["rows"].value = self.chosen[0] if self.chosen else None
        self.controls["pictures"].value = self._thumbnails()
        self._say(f"{len(self.chosen)} of {len(self.table)} vertebrae chosen")

    def choose_outliers(self) -> None:
        """Choose what lies far from the median of its level in the column on the upright axis."""
        marked = outliers(self._column(self.controls["y"].value), self.levels) & self._shown()
        self.choose([int(row) for row in np.flatnonzero(marked)])
        if not self.chosen:
            self._say(f"no vertebra lies that far from the median of its level ({FEWEST} scans of a level are needed)")

    def open(self, kind: str = "view") -> Any:
        """Open the scan of the row that is marked in the list: ``view`` in 3D, ``slices`` in the slice viewer."""
        row = self.controls["rows"].value
        if row is None:
            raise InputError("choose a vertebra first: on the plot, or with the button for outliers")
        scan = str(self.table["scan"].iloc[row])
        self._say(f"opening {scan} ...")
        opened = self.cohort.open(scan)
        viewer: SpineViewer | PlainViewer | SliceViewer
        if kind == "view":
            viewer = opened.view()
            if self.levels[row] in opened.scene.levels():
                viewer.select(self.levels[row])
        else:
            viewer = slices = opened.slices()
            if slices.spine is not None:
                slices.go_to_level(self.levels[row])
        self.opened = viewer
        self.controls["place"].children = (viewer.widget,)
        self._say(f"{scan}, {self.levels[row]}. {' '.join(opened.notes)}")
        return viewer

    # --- pictures and words -------------------------------------------------------------------------------------------

    def _mark(self, row: int | None) -> None:
        """Ring the row of the list on the plot, and say all of it where the list cuts it off."""
        self.plot.marked = -1 if row is None else row
        self.controls["row"].value = "" if row is None else f"<div>{escape(self._words(row))}</div>"

    def _column(self, name: str) -> NDArray:
        import pandas as pd

        if name == "level":
            order = _order(self.levels)
            return np.array([float(order.index(level)) for level in self.levels])
        return pd.to_numeric(self.table[name], errors="coerce").to_numpy(dtype=float)

    def _shown(self) -> NDArray[np.bool_]:
        wanted = self.controls["region"].value
        return np.array([wanted == "all" or Level(level).region == wanted for level in self.levels])

    def _draw(self) -> None:
        c, plot = self.controls, self.plot
        x, y = self._column(c["x"].value), self._column(c["y"].value)
        seen = np.isfinite(x) & np.isfinite(y) & self._shown()
        scale_x, scale_y = (
            _scale(values[seen], name, _order(self.levels)) for values, name in ((x, c["x"].value), (y, c["y"].value))
        )
        groups = self._groups(c["colour"].value)
        known = list(dict.fromkeys(groups[seen].tolist()))
        colours = [REGIONS.get(group, WORDS[k % len(WORDS)]) for k, group in enumerate(known)]
        plot.dots = [
            {
                "row": int(row),
                "at": [scale_x.share(x[row]), scale_y.share(y[row])],
                "colour": colours[known.index(groups[row])],
                "shape": known.index(groups[row]),
            }
            for row in np.flatnonzero(seen)
        ]
        plot.ticks_x, plot.ticks_y = scale_x.ticks, scale_y.ticks
        plot.title_x, plot.title_y = (title_of(c[axis].value) for axis in ("x", "y"))
        lacking = int((~seen & self._shown()).sum())
        plot.spoken = f"{plot.title_y} against {plot.title_x}, {int(seen.sum())} vertebrae"
        c["key"].value = _key(known, colours) + (
            f" · {lacking} vertebrae without both values are not drawn" if lacking else ""
        )

    def _groups(self, name: str) -> NDArray:
        if name == "region":
            return np.array([Level(level).region for level in self.levels])
        return self.table[name].astype(str).to_numpy()

    def _words(self, row: int) -> str:
        names = [n for n in dict.fromkeys((self.controls["y"].value, self.controls["x"].value)) if n != "level"]
        found = [float(self._column(name)[row]) for name in names]
        said_values = [spoken_number(value) if np.isfinite(value) else "not measured" for value in found]
        values = ", ".join(f"{title_of(name)} {value}" for name, value in zip(names, said_values, strict=True))
        flags = str(self.table["flags"].iloc[row]) if "flags" in self.table else ""
        said = "" if flags in ("", "nan") else f" · {flags.replace(';', ', ').replace('_', ' ')}"
        return f"{self.table['scan'].iloc[row]} {self.levels[row]}: {values}{said}"

    def _thumbnails(self) -> str:
        scans = list(dict.fromkeys(str(self.table["scan"].iloc[row]) for row in self.chosen))
        made = []
        for scan in scans[:MOST_THUMBNAILS]:
            files = self.cohort.pictures(scan)
            inside = _thumbnail(files[0], scan) if files else "<i>no figure: measure with --figures</i>"
            caption = f"<figcaption>{escape(scan)}</figcaption>"
            made.append(f'<figure style="display:inline-block;margin:4px">{inside}{caption}</figure>')
        more = f"<p>and {len(scans) - MOST_THUMBNAILS} more</p>" if len(scans) > MOST_THUMBNAILS else ""
        return "".join(made) + more

    def _say(self, words: str, wrong: bool = False) -> None:
        self.controls["said"].value = f'<div role="status">{"⚠ " if wrong else ""}{escape(words)}</div>'

    # --- widgets ------------------------------------------------------------------------------------------------------

    def _made(self) -> dict[str, Any]:
        import ipywidgets as w

        numbers = [name for name in choices(self.table) if name in self.table and np.isfinite(self._column(name)).any()]
        if not numbers:
            raise InputError(f"the tables in {self.cohort.folder} hold no number to draw")
        first = next((name for name in ("height_anterior_mm", "body_volume_cm3") if name in numbers), numbers[0])
        options = [(title_of(name), name) for name in numbers]
        regions = sorted({Level(level).region for level in self.levels}, key=["cervical", "thoracic", "lumbar"].index)
        return {
            "x": w.Dropdown(options=[("level (strip plot)", "level"), *options], value="level", description="across"),
            "y": w.Dropdown(options=options, value=first, description="upright"),
            "colour": w.Dropdown(
                options=[n for n in COLOUR_BY if n == "region" or n in self.table], description="colour"
            ),
            "region": w.Dropdown(options=["all", *regions], description="region"),
            "outliers": w.Button(description="choose outliers", tooltip="far from the median of their level"),
            "rows": w.Select(options=[], rows=14, layout=w.Layout(width="auto")),
            "row": w.HTML(),
            "view": w.Button(description="open in 3D"),
            "slices": w.Button(description="open slices"),
            "key": w.HTML(),
            "pictures": w.HTML(),
            "said": w.HTML(),
            "place": w.VBox(),
        }

    def _arranged(self) -> Any:
        import ipywidgets as w

        c = self.controls
        wrap = w.Layout(flex_flow="row wrap", align_items="flex-start")
        skipped = "".join(f"<li>{escape(reason)}</li>" for reason in self.cohort.skipped)
        head = (
            f"<b>{escape(self.cohort.folder.name)}</b>: {len(self.cohort.folders)} scans, {len(self.table)} vertebrae"
        )
        # As wide as the window leaves: names of scans and their flags are long.
        side = w.VBox(
            [w.HTML("<b>chosen</b>"), c["rows"], c["row"], w.HBox([c["view"], c["slices"], c["outliers"]]), c["said"]],
            layout=w.Layout(flex="1 1 430px", min_width="300px"),
        )
        hint = (
            "Click a point, or draw a box around several; arrow keys step through them. An outlier is what lies far "
            "from the median of its level: worth opening, not wrong by itself. Research use, not diagnosis."
        )
        made = w.VBox(
            [
                w.HTML(head + (f"<ul>{skipped}</ul>" if skipped else "")),
                w.Box([c["y"], c["x"], c["colour"], c["region"]], layout=wrap),
                w.Box([w.VBox([self.plot, c["key"]]), side], layout=wrap),
                c["pictures"],
                w.HTML(f"<small>{hint}</small>"),
                c["place"],
            ]
        )
        made.add_class("vm-cohort")
        return made

    def _observe(self) -> None:
        c = self.controls
        c["rows"].observe(lambda change: self._mark(change.new), "value")
        for name in ("x", "y", "colour", "region"):
            c[name].observe(lambda _: self._draw(), "value")
        for name, act in (
            ("outliers", self.choose_outliers),
            ("view", self.open),
            ("slices", lambda: self.open("slices")),
        ):
            c[name].on_click(self._pressed(act))

    def _pressed(self, act: Callable[[], object]) -> Callable[[object], None]:
        def press(_button: object) -> None:
            try:
                act()
            except VerseMorphError as error:
                self._say(str(error), wrong=True)

        return press


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    ticks: list[list[Any]]

    def share(self, value: float) -> float:
        return (float(value) - self.low) / (self.high - self.low)


def _order(levels: NDArray) -> list[str]:
    """Names of all levels, head to foot; T13 only where somebody has one, so that T12 and L1 are neighbours."""
    return [str(level) for level in Level if level is not Level.T13 or "T13" in levels]


def _scale(values: NDArray, name: str, order: list[str]) -> _Scale:
    """Ends a little beyond the values, and round ticks; levels get their names."""
    from matplotlib.ticker import MaxNLocator

    if not len(values):
        return _Scale(0.0, 1.0, [])
    margin = 0.05 * float(np.ptp(values)) or 1.0
    low, high = float(values.min()) - margin, float(values.max()) + margin
    if name == "level":
        marks = [(float(place), order[int(place)]) for place in np.unique(values)]
        every = -(-len(marks) // 14)
        marks = marks[::every]
    else:
        marks = [(float(tick), f"{tick:g}") for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high]
    return _Scale(low, high, [[(tick - low) / (high - low), text] for tick, text in marks])


@cache
def _plot_class() -> type:
    """The plot's class, made when the first one is: importing this module loads no widgets."""
    import anywidget
    import traitlets as t

    class Scatter(anywidget.AnyWidget):
        """Points that can be chosen."""

        _esm = (ASSETS / "scatter.js").read_text(encoding="utf-8")
        dots: Any = t.List([]).tag(sync=True)
        chosen: Any = t.List([]).tag(sync=True)
        marked = t.Int(-1).tag(sync=True)
        ticks_x: Any = t.List([]).tag(sync=True)
        ticks_y: Any = t.List([]).tag(sync=True)
        title_x = t.Unicode("").tag(sync=True)
        title_y = t.Unicode("").tag(sync=True)
        spoken = t.Unicode("").tag(sync=True)

    return Scatter


def _key(groups: list[str], colours: list[str]) -> str:
    shapes = "●■▲"
    shown = groups[:12]
    words = " ".join(
        f'<span style="color:{colours[k]}" aria-hidden="true">{shapes[k % 3]}</span> {escape(group)}'
        for k, group in enumerate(shown)
    )
    return words + (f' <span style="color:{MISSING}">and {len(groups) - 12} more</span>' if len(groups) > 12 else "")


def _thumbnail(file: Path, scan: str) -> str:
    import io

    from PIL import Image

    picture = Image.open(file).convert("RGB")
    picture.thumbnail((170, 220))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=70)
    data = base64.b64encode(out.getvalue()).decode()
    return f'<img alt="Figure of {escape(scan, quote=True)}" src="data:image/jpeg;base64,{data}">'
