"""Figures show every n and every warning, and keep standing where nothing can be drawn."""

import warnings

import pandas as pd
import pytest

from verse_morph.io.participants import check_participants
from verse_morph.plot.variant_explorer import VariantExplorer
from verse_morph.plot.variants import (
    beside_paper_figure,
    effects_figure,
    measurement_figure,
    save_figure,
    shares_figure,
    svg_text,
)
from verse_morph.plot.variants_page import figure_html, page, table_html
from verse_morph.stats.association import association
from verse_morph.stats.cohorts import phantom_cohort, phantom_measurements
from verse_morph.stats.measurements import gather
from verse_morph.stats.paper import side_by_side
from verse_morph.stats.prevalence import PHANTOM_WARNING, prevalence
from verse_morph.stats.rows import as_table


@pytest.fixture(scope="module")
def cohort():
    return phantom_cohort(60, seed=2)


@pytest.fixture(scope="module")
def values():
    return phantom_measurements(60, seed=2)


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda thing: hasattr(thing, "get_text")))


def test_every_bar_carries_its_n_and_the_figure_its_warning(cohort):
    rows = prevalence(cohort, "vendor", ["lumbar_6", "cervical_rib"])
    figure = shares_figure(rows, "Title")
    text = words(figure)
    for row in rows.to_dict("records"):
        assert (f"{row['positive']}/{row['n']}" if row["n"] else "not assessed") in text
    assert " ".join(text.split()).count("no prevalences") == 1
    assert PHANTOM_WARNING[:40] in text
    assert "Title" in text


def test_bars_are_as_long_as_the_shares(cohort):
    rows = prevalence(cohort, "sex", ["stump_rib"])
    (axes,) = [a for a in shares_figure(rows).axes if a.patches]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(list(rows["share_pct"]))


def test_nobody_assessed_is_written_not_drawn(cohort):
    nobody = cohort.assign(thoracic=pd.array([None] * len(cohort), dtype="Int64"))
    figure = shares_figure(prevalence(nobody, None, ["thoracic_11"]))
    assert "not assessed" in words(figure)
    assert not [bar for axes in figure.axes for bar in axes.patches]
    assert shares_figure(prevalence(nobody, None, [])) is not None


def test_same_figure_same_svg(cohort, values):
    rows = prevalence(cohort, "sex", ["stump_rib"])
    assert svg_text(shares_figure(rows)) == svg_text(shares_figure(rows))
    data = gather(values, cohort, "trabecular_hu_mean", "sex")
    assert svg_text(measurement_figure(data, "HU")) == svg_text(measurement_figure(data, "HU"))


def test_effects_and_cohorts(cohort, tmp_path):
    tests = as_table([association(cohort, name) for name in ("stump_rib", "thoracic_13", "half_vertebra")])
    text = words(effects_figure(tests, "V", "mind this", {"stump_rib": "stump rib (< 38 mm)"}))
    assert "mind this" in text
    assert "everybody has the same category" in text
    assert "stump rib (< 38 mm)" in text
    figure = beside_paper_figure(side_by_side({"phantoms": cohort}), {})
    assert "18/135" in words(figure)
    for name in ("a.svg", "a.png"):
        save_figure(figure, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 5000


def test_a_measurement_with_too_few_subjects(cohort, values):
    data = gather(values[values["scan"].isin(cohort["scan"][:2])], cohort, "trabecular_hu_mean")
    assert "not enough subjects" in words(measurement_figure(data, "HU"))


def test_a_page_escapes_and_needs_no_network(cohort):
    table = pd.DataFrame({"vendor": ["<script>x</script>"], "share": [1.25]})
    text = page("A & B", "mind", [("T", table_html(table)), ("F", figure_html("<svg/>", 'a "word"'))])
    assert "<script>" not in text
    assert "A &amp; B" in text
    assert "http" not in text


# --- the explorer -----------------------------------------------------------------------------------------------------


@pytest.fixture
def explorer(cohort, values):
    with warnings.catch_warnings():
        # Widgets without a kernel.
        warnings.simplefilter("ignore", DeprecationWarning)
        return VariantExplorer(cohort, "vendor", ["lumbar_6", "stump_rib"], values)


def test_filters_move_figure_and_table_together(explorer, cohort):
    before = (explorer._figure.value, explorer._table.value)
    explorer.filters["sex"].value = ("F",)
    assert len(explorer.kept) == (cohort["sex"] == "F").sum()
    assert explorer.rows["n"].max() <= len(explorer.kept)
    assert explorer._figure.value != before[0]
    assert explorer._table.value != before[1]
    assert "sex F" in explorer.message.value
    explorer.filters["age"].value = (18, 19)
    explorer.filters["split"].value = ("test",)
    assert explorer.kept.empty
    assert "Nobody is left" in explorer._figure.value


def test_measurements_follow_the_filters_too(explorer):
    explorer.filters["show"].value = "trabecular_hu_mean"
    explorer.filters["level"].value = ("L1", "L2")
    assert set(explorer.measured()["level"]) == {"L1", "L2"}
    assert "sentence" in explorer.rows
    explorer.filters["sex"].value = ("M",)
    assert set(explorer.measured()["scan"]) <= set(explorer.kept["scan"])


def test_the_subset_is_exported_with_its_method(explorer, tmp_path):
    explorer.filters["sex"].value = ("F",)
    folder = explorer.export(tmp_path / "subset")
    assert {file.name for file in folder.iterdir()} >= {"participants.csv", "rows.csv", "figure.svg", "methods.txt"}
    assert "sex F" in (folder / "methods.txt").read_text()
    from verse_morph.io import read_table

    assert check_participants(read_table(folder / "participants.csv"))["sex"].eq("F").all()
