import io

import numpy as np
import pandas as pd
import pytest

from verse_morph.errors import NotMeasurable
from verse_morph.measure import measure, measure_curves, measure_discs
from verse_morph.measure.uncertainty import WHAT_IT_IS, with_spread
from verse_morph.phantom.solids import solid_case
from verse_morph.plot.overlay import FOOTER
from verse_morph.plot.report_sheet import report_sheet
from verse_morph.shape import build_spine
from verse_morph.spine import Spine
from verse_morph.volume import LabelMap


@pytest.fixture(scope="module")
def case():
    labels, scan, _ = solid_case(spacing_mm=1.5)
    spine = build_spine(labels, scan)
    return spine, labels, scan, (measure(spine), measure_discs(spine), measure_curves(spine))


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_every_number_on_the_sheet_is_the_tables(case):
    spine, labels, scan, tables = case
    figure = report_sheet(spine, labels, *tables, scan)
    sagittal, coronal, regions, bars = figure.axes
    vertebrae, discs, curves = tables
    assert {f"{value:.1f}" for value in vertebrae["height_middle_mm"].dropna()} <= set(texts(sagittal))
    assert {f"{value:.1f}" for value in discs["height_middle_mm"].dropna()} <= set(texts(sagittal))
    for _, row in curves[(curves["plane"] == "sagittal") & curves["angle_deg"].notna()].iterrows():
        assert f"{row['angle_deg']:+.1f}°" in sagittal.get_xlabel()
    largest = curves[curves["name"] == "coronal_curve"].iloc[0]
    assert f"{largest['angle_deg']:+.1f}°" in coronal.get_xlabel()
    assert {f"{value:.0f}" for value in vertebrae["trabecular_hu_mean"].dropna()} <= set(texts(regions))
    assert "height loss, not a diagnosis" in bars.get_title()
    assert any(FOOTER in text.get_text() for text in figure.texts)


def test_an_image_that_ends_near_the_bodies_hides_none_of_them(case):
    spine, labels, _, tables = case
    front = max(float(v.superior.points_mm[:, 1].max()) for v in spine)
    stop = int(labels.grid.to_index(np.array([0.0, front + 8.0, 0.0]))[1])
    grid = labels.grid.crop((slice(0, labels.grid.shape[0]), slice(0, stop), slice(0, labels.grid.shape[2])))
    sagittal = report_sheet(spine, LabelMap(labels.labels[:, :stop], grid, labels.scheme), *tables).axes[0]
    assert max(sagittal.get_xlim()) > front


def test_grades_that_are_missing_are_not_called_zero(case):
    spine, labels, _, (vertebrae, discs, curves) = case
    unknown = vertebrae.assign(genant_grade=np.nan)
    *pictures, bars = report_sheet(spine, labels, unknown, discs, curves).axes
    assert len(pictures) == 2  # no CT, no trabecular region
    assert texts(bars) == ["not assessed"] * len(spine)
    for picture in pictures:
        assert {f"{vertebra.level}*" for vertebra in spine} <= set(texts(picture))
        assert not {str(vertebra.level) for vertebra in spine} & set(texts(picture))
    normal = report_sheet(spine, labels, vertebrae, discs, curves).axes[-1]
    assert not {bar.get_facecolor() for bar in bars.patches} & {bar.get_facecolor() for bar in normal.patches}


def test_no_number_at_all_still_makes_a_sheet_and_no_vertebra_does_not(case):
    spine, labels, _, (vertebrae, discs, curves) = case
    heights = [name for name in vertebrae if name.startswith("height_") and name.endswith("_mm")]
    none = vertebrae.assign(**dict.fromkeys([*heights, "genant_grade"], np.nan))
    report_sheet(spine, labels, none, discs, curves.assign(angle_deg=np.nan)).savefig(io.BytesIO())
    with pytest.raises(NotMeasurable):
        report_sheet(Spine(()), labels, vertebrae, discs, curves)


def test_numbers_with_a_spread_show_it_and_say_what_it_is(case):
    spine, labels, scan, (vertebrae, discs, curves) = case
    level = vertebrae["level"].iloc[1]
    spread = pd.DataFrame({"height_middle_mm_sd": 0.31, "trabecular_hu_mean_sd": 4.2}, index=vertebrae.index)
    spread.loc[vertebrae["level"] != level, "height_middle_mm_sd"] = np.nan
    shown = (
        with_spread(vertebrae, spread),
        discs,
        with_spread(curves, pd.DataFrame({"angle_deg_sd": 0.5 + 0 * curves["angle_deg"]})),
    )
    figure = report_sheet(spine, labels, *shown, scan)
    sagittal, coronal, regions, bars = figure.axes
    heights = vertebrae.set_index("level")["height_middle_mm"]
    assert f"{heights[level]:.1f} ± 0.3" in texts(sagittal)
    assert {f"{height:.1f}" for other, height in heights.items() if other != level} <= set(texts(sagittal))
    assert {f"{value:.0f} ± 4" for value in vertebrae["trabecular_hu_mean"].dropna()} <= set(texts(regions))
    assert " ± 0.5°" in sagittal.get_xlabel()
    assert " ± 0.5°" in coronal.get_xlabel()
    assert (
        len(bars.containers) == len(report_sheet(spine, labels, vertebrae, discs, curves, scan).axes[-1].containers) + 1
    )
    assert WHAT_IT_IS in figure.texts[-1].get_text()
