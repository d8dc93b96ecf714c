"""Heights of outlines with bites, steps, holes and ragged edges; the map of heights."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.measure import height_map as maps
from verse_morph.measure import heights, measure
from verse_morph.measure.height_map import height_map
from verse_morph.phantom.solids import Body, Placement, Sampling, SolidVertebra, rotation, spine_labelmap
from verse_morph.shape import build_spine
from verse_morph.shape.field import smooth_field
from verse_morph.spine import Spine

HEIGHTS = tuple(getattr(heights, f"height_{place}") for place in ("anterior", "middle", "posterior", "left", "right"))
MAP = (maps.height_minimum, maps.height_mean, maps.body_area_midsagittal)


@functools.cache
def built(front=26.0, back=26.0, dish=0.0):
    place = Placement(rotation(3, 2, 2), np.array([0.5, 0.5, 0.5]))
    body = Body(44, 34, front, back, concavity_superior=dish, concavity_inferior=dish)
    solid = SolidVertebra(body, spinous_length=8.0, transverse_length=6.0)
    labels = spine_labelmap({Level.L2: (solid, place)}, Sampling(margin_mm=4))
    return build_spine(labels)["L2"], solid.truth(place)


def without(vertebra, removed):
    """The vertebra whose outline lacks the voxels where removed(x, y, z) in its frame holds; its planes stay."""
    index = np.stack(np.indices(vertebra.body.shape), axis=-1)
    x, y, z = np.moveaxis(vertebra.frame.to_local(vertebra.grid.to_world(index)), -1, 0)
    body = vertebra.body & ~removed(x, y, z)
    return replace(vertebra, body=body, body_field_mm=smooth_field(body, vertebra.grid))


def row_of(vertebra, catalogue=HEIGHTS):
    return measure(Spine((vertebra,)), catalogue).iloc[0]


def test_a_front_that_slopes_back_to_the_plate_is_not_a_height():
    """As in outlines whose upper front is missing: the line at 10 % of the depth ends on the slope."""
    bitten = without(built()[0], lambda x, y, z: z > 12 - 2.2 * (y - 8))
    row = row_of(bitten)
    assert np.isnan(row["height_anterior_mm"])
    assert "flank or step" in row["height_anterior_mm_why"]
    assert row["height_posterior_mm"] == pytest.approx(26, abs=0.4)
    assert row["height_middle_mm"] == pytest.approx(26, abs=0.4)


def test_a_square_bite_out_of_the_front_is_a_step():
    row = row_of(without(built()[0], lambda x, y, z: (y > 7) & (z > 3)))
    assert np.isnan(row["height_anterior_mm"])
    assert "step" in row["height_anterior_mm_why"]
    assert row["height_posterior_mm"] == pytest.approx(26, abs=0.4)


def test_a_hole_inside_the_body():
    row = row_of(without(built()[0], lambda x, y, z: np.hypot(x, y) ** 2 + z**2 < 8**2))
    assert np.isnan(row["height_middle_mm"])
    assert "hole" in row["height_middle_mm_why"]
    assert row["height_anterior_mm"] == pytest.approx(26, abs=0.4)


def test_a_ragged_end():
    def ragged(x, y, z):
        teeth = (np.floor(x / 3) + np.floor(y / 3)) % 2 == 0
        return (z > 6) & teeth

    row = row_of(without(built()[0], ragged))
    missing = [entry.name for entry in HEIGHTS if np.isnan(row[entry.name])]
    assert missing
    assert all("ragged" in row[f"{name}_why"] or "step" in row[f"{name}_why"] for name in missing)


@pytest.mark.parametrize(("front", "back", "dish"), [(10.0, 26.0, 1.0), (7.0, 24.0, 0.5), (24.0, 25.0, 7.0)])
def test_real_losses_stay_measured(front, back, dish):
    """Wedges of 60 and 70 % and a deep biconcave body are no defects of the outline."""
    vertebra, truth = built(front, back, dish)
    row = row_of(vertebra)
    for entry in HEIGHTS:
        assert row[entry.name] == pytest.approx(truth[entry.name], abs=0.6), row[f"{entry.name}_why"]


def test_a_cervical_side_height_does_not_take_the_root_of_a_transverse_process_for_the_body():
    """Beside the body there is bone of half its height, as where a transverse process begins."""
    vertebra, truth = built()
    rooted = replace(without(vertebra, lambda x, y, z: (x < -10) & (np.abs(z) > 6)), level=Level.C5)
    row = row_of(rooted)
    assert np.isnan(row["height_left_mm"])
    assert "root of the transverse process" in row["height_left_mm_why"]
    assert row["height_right_mm"] == pytest.approx(truth["height_right_mm"], abs=0.4)


# --- the map ------------------------------------------------------------------------------------------------------


def test_the_map_of_a_wedge_falls_evenly_to_the_front():
    vertebra, _ = built(18.0, 26.0)
    found = height_map(vertebra)
    assert found.height_mm.shape == (maps.COLUMNS, maps.ROWS)
    assert found.x_mm[0] < 0 < found.x_mm[-1]
    assert found.y_mm[0] > found.y_mm[-1], "from front to back"
    across = found.height_mm[6:-6]
    expected = 22 - 8 * (found.y_mm - found.y_mm.mean()) / 34
    np.testing.assert_allclose(np.median(across, axis=0)[2:-2], expected[2:-2], atol=0.5)


def test_sums_of_the_map():
    flat = row_of(built()[0], MAP)
    assert flat["height_mean_mm"] == pytest.approx(26, abs=0.2)
    assert flat["height_minimum_mm"] == pytest.approx(26, abs=0.4)
    assert flat["body_area_midsagittal_mm2"] == pytest.approx(26 * 34 * 29 / 33, rel=0.02)
    dished = row_of(built(24.0, 25.0, 7.0)[0], MAP)
    assert dished["height_minimum_mm"] == pytest.approx(24.5 - 14, abs=0.7)
    assert dished["height_minimum_mm"] < dished["height_mean_mm"] < 24


def test_a_map_needs_both_endplates():
    vertebra = replace(built()[0], superior=None)
    row = row_of(vertebra, MAP)
    assert row[[entry.name for entry in MAP]].isna().all()
    assert all(row[f"{entry.name}_why"] for entry in MAP)
