"""Filters beside a figure and a table, for notebooks: whoever is filtered out leaves both at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verse_morph.io.tables import write_table
from verse_morph.plot.variants import measurement_figure, save_figure, shares_figure, svg_text
from verse_morph.plot.variants_page import figure_html, sentences_html, shares_html
from verse_morph.stats.measurements import compare, gather
from verse_morph.stats.prevalence import enrichment_warning, prevalence
from verse_morph.stats.rows import as_table
from verse_morph.stats.subset import Filters, choices, method_text, subset
from verse_morph.stats.variants import VARIANTS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SHARES = "shares of variants"


class VariantExplorer:
    """Filters by vendor, split, sex, age, grade and level over shares of variants and over measurements.

    Parameters
    ----------
    participants : DataFrame
        As :func:`verse_morph.io.participants.check_participants` gives it.
    by : str
        Column whose groups are compared: ``vendor`` or ``castellvi``.
    variants : sequence of str, optional
        Names of variants; those recorded for anybody by default.
    measurements : DataFrame, optional
        ``scan, level`` and columns of numbers, to be looked at instead of the variants.

    Attributes
    ----------
    widget : ipywidgets.Widget
        To display.
    kept : DataFrame
        The participants that the filters keep.
    rows : DataFrame
        What figure and table show.
    """

    def __init__(
        self,
        participants: pd.DataFrame,
        by: str = "vendor",
        variants: Sequence[str] | None = None,
        measurements: pd.DataFrame | None = None,
    ) -> None:
        import ipywidgets as widgets

        self.participants, self.by, self.measurements = participants, by, measurements
        recorded = [item.name for item in VARIANTS if participants[item.column].notna().any()]
        self.variants = list(variants) if variants is not None else recorded
        self.filters = self._filter_widgets()
        self.message = widgets.HTML()
        self._figure, self._table = widgets.HTML(), widgets.HTML()
        self._folder = widgets.Text("variants_subset", description="folder")
        button = widgets.Button(description="Export subset", tooltip="tables, figure and method text")
        button.on_click(lambda _: self.export(self._folder.value))
        for box in self.filters.values():
            box.observe(lambda _: self.update(), names="value")
        side = widgets.VBox([*self.filters.values(), self._folder, button], layout=widgets.Layout(min_width="310px"))
        main = widgets.VBox([self.message, self._figure, self._table])
        self.widget = widgets.HBox([side, main])
        self.update()

    def _filter_widgets(self) -> dict[str, Any]:
        import ipywidgets as widgets

        people = self.participants
        made: dict[str, Any] = {}
        for name, column in (("vendor", "vendor"), ("split", "split"), ("sex", "sex"), ("grade", "castellvi")):
            words = choices(people, column)
            made[name] = widgets.SelectMultiple(options=words, description=name, rows=min(len(words), 7))
        ages = people["age"].dropna()
        low, high = (int(ages.min()), int(ages.max()) + 1) if len(ages) else (0, 120)
        made["age"] = widgets.IntRangeSlider(value=(low, high), min=low, max=high, description="age")
        if self.measurements is not None:
            numbers = [n for n in self.measurements.select_dtypes("number").columns if n not in ("scan", "level")]
            made["show"] = widgets.Dropdown(options=[SHARES, *numbers], description="show")
            levels = sorted(set(self.measurements["level"]))
            made["level"] = widgets.SelectMultiple(options=levels, description="level", rows=min(len(levels), 6))
        return made

    def chosen(self) -> Filters:
        """The filters as they are set; nothing selected keeps everything."""
        value = {name: box.value for name, box in self.filters.items()}
        slider = self.filters["age"]
        whole = value["age"] == (slider.min, slider.max)
        return Filters(
            tuple(value["vendor"]),
            tuple(value["split"]),
            tuple(value["sex"]),
            tuple(value["grade"]),
            None if whole else (float(value["age"][0]), float(value["age"][1])),
        )

    def update(self) -> None:
        """Recount and redraw; called when a filter changes."""
        self.kept = subset(self.participants, self.chosen())
        number = f"{self.kept['subject'].nunique()} subjects, {len(self.kept)} scans"
        self.message.value = f"<b>{number}</b>: {self.chosen().sentence()}"
        if self.kept.empty:
            self.rows = self.kept
            self._figure.value, self._table.value = "<i>Nobody is left; take a filter away.</i>", ""
            return
        self.figure = self._shares() if self._shown() == SHARES else self._measured()
        self._figure.value = figure_html(svg_text(self.figure), self._shown())

    def _shown(self) -> str:
        return str(self.filters["show"].value) if "show" in self.filters else SHARES

    def _shares(self) -> Figure:
        self.rows = prevalence(self.kept, self.by, self.variants)
        self._table.value = shares_html(self.rows)
        return shares_figure(self.rows)

    def _measured(self) -> Figure:
        by = "castellvi_type" if self.by == "castellvi" else self.by
        values = self.measured()
        rows = compare(values, self.kept, self._shown(), by)
        self.rows = as_table(rows)
        self._table.value = sentences_html(self.rows["sentence"])
        data = gather(values, self.kept, self._shown(), by)
        return measurement_figure(data, self._shown(), enrichment_warning(self.kept))

    def measured(self) -> pd.DataFrame:
        """Measurements of the participants and levels that the filters keep."""
        if self.measurements is None:
            raise ValueError("no measurements were given")
        values = self.measurements[self.measurements["scan"].isin(self.kept["scan"])]
        levels = self.filters["level"].value
        return values[values["level"].isin(levels)] if levels else values

    def export(self, folder: Path | str) -> Path:
        """Write the subset, the rows shown, the figure (SVG) and a method text into a folder.

        Raises
        ------
        OutputError
            It cannot be written to.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        write_table(self.kept, target / "participants.csv", parquet=True)
        write_table(self.rows, target / "rows.csv", parquet=True)
        if not self.kept.empty:
            save_figure(self.figure, target / "figure.svg")
        (target / "methods.txt").write_text(method_text(self.participants, self.chosen()), encoding="utf-8")
        self.message.value = f"Exported {len(self.kept)} scans to {target.resolve()}"
        return target
