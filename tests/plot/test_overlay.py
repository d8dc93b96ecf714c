import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from verse_morph.errors import NotMeasurable
from verse_morph.measure import measure
from verse_morph.measure.heights import height_lines
from verse_morph.measure.uncertainty import WHAT_IT_IS, with_spread
from verse_morph.phantom.solids import solid_case
from verse_morph.plot.overlay import FOOTER, figure_sheet
from verse_morph.plot.sheets import cut, sheet
from verse_morph.shape import build_spine
from verse_morph.spine import Flag, Spine


@pytest.fixture(scope="module")
def demo():
    labels, scan, _ = solid_case(spacing_mm=1.5)
    return build_spine(labels, scan), labels, scan


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_the_sheet_names_levels_sides_and_heights(demo):
    spine, labels, scan = demo
    figure = figure_sheet(spine, labels, scan)
    sagittal, coronal = figure.axes
    assert {"L1", "L2", "L3", "L4", "L5", "A", "P", "S", "I", "50 mm"} <= set(texts(sagittal))
    assert {"L1", "L5", "R", "L", "S", "I"} <= set(texts(coronal))
    assert FOOTER in [text.get_text() for text in figure.texts]
    for vertebra in spine:
        for place, line in height_lines(vertebra).items():
            axes = coronal if place in ("left", "right") else sagittal
            assert f"{np.linalg.norm(line[1] - line[0]):.1f}" in texts(axes)


def test_heights_with_a_spread_show_it_and_say_what_it_is(demo):
    spine, labels, _ = demo
    table = measure(spine)
    spread = pd.DataFrame({f"height_{place}_mm_sd": 0.31 for place in ("middle", "left")}, index=table.index)
    figure = figure_sheet(spine, labels, None, with_spread(table, spread))
    sagittal, coronal = figure.axes
    assert {f"{value:.1f} ± 0.3" for value in table["height_middle_mm"]} <= set(texts(sagittal))
    assert {f"{value:.1f} ± 0.3" for value in table["height_left_mm"]} <= set(texts(coronal))
    assert {f"{value:.1f}" for value in table["height_anterior_mm"]} <= set(texts(sagittal))
    assert any(WHAT_IT_IS in text.get_text() for text in figure.texts)
    without = figure_sheet(spine, labels, None, table)
    assert not any("±" in text.get_text() for part in (without, *without.axes) for text in part.texts)


def test_a_vertebra_that_was_not_assessed_never_looks_like_a_normal_one(demo):
    spine, labels, _ = demo
    table = measure(spine)
    gone = dict(body=None, frame=None, superior=None, inferior=None, body_field_mm=None, centre_mm=None)
    changed = {"L1": {"flags": frozenset({Flag.BODY_CUT}), **gone}, "L2": gone}
    odd = replace(spine, vertebrae=tuple(replace(v, **changed.get(str(v.level), {})) for v in spine))
    table.loc[table["level"].isin(["L1", "L2", "L3"]), "genant_grade"] = np.nan
    for axes in figure_sheet(odd, labels, None, table).axes:
        assert {"L1\n(cut)", "L2\n(not\nmeasured)", "L3\n(grade not\nassessed)", "L4", "L5"} <= set(texts(axes))
        assert not {"L1", "L2", "L3"} & set(texts(axes))


def test_anterior_and_the_patients_right_are_on_the_readers_left(demo):
    spine, labels, scan = demo
    for axes in figure_sheet(spine, labels, scan).axes:
        first, last = axes.get_xlim()
        # World y grows to the front and world x to the right: the larger value is on the left.
        assert first > last
        assert axes.get_ylim()[0] < axes.get_ylim()[1]


def test_a_mask_alone_can_be_drawn_and_saved(demo):
    spine, labels, _ = demo
    buffer = io.BytesIO()
    figure_sheet(spine, labels).savefig(buffer, format="png", dpi=40)
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_a_pixel_shows_the_voxel_at_its_world_point(demo):
    """The picture is read at world points: the label map cut by the sheet is the label map looked up there."""
    spine, labels, _ = demo
    on = sheet(spine, labels.grid, across=1, step_mm=4.0)
    shown = cut(labels.labels, labels.grid, on, order=0)
    index = np.rint(labels.grid.to_index(on.points_mm())).astype(int)
    assert np.array_equal(shown, labels.labels[tuple(np.moveaxis(index, -1, 0))])
    assert set(np.unique(shown)) >= {20, 21, 22, 23, 24}


@pytest.mark.parametrize("across", [0, 1])
def test_the_sheet_runs_through_the_middle_of_every_body(demo, across):
    spine, labels, _ = demo
    points = sheet(spine, labels.grid, across).points_mm().reshape(-1, 3)
    for vertebra in spine:
        assert np.linalg.norm(points - vertebra.frame.origin_mm, axis=1).min() < 0.5


def test_a_spine_without_vertebrae_cannot_be_drawn(demo):
    with pytest.raises(NotMeasurable, match="no vertebra to draw"):
        figure_sheet(Spine(()), demo[1])


def test_a_small_box_is_cut_where_it_lies_and_nowhere_else(demo):
    spine, labels, _ = demo
    for across in (0, 1):
        on = sheet(spine, labels.grid, across)
        for vertebra in spine:
            index = np.rint(vertebra.grid.to_index(on.points_mm())).astype(int)
            shape = np.array(vertebra.grid.shape)
            inside = ((index >= 0) & (index < shape)).all(axis=-1)
            expected = vertebra.mask[tuple(np.moveaxis(np.clip(index, 0, shape - 1), -1, 0))] & inside
            assert expected.any()
            assert np.array_equal(cut(vertebra.mask, vertebra.grid, on, order=0, outside=0.0) > 0, expected)
