"""Heights, widths, tilts, concavity and canal against solids whose values are known in closed form."""

import functools

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.errors import NotMeasurable
from verse_morph.measure import measure
from verse_morph.measure.heights import height_lines
from verse_morph.phantom.solids import Body, Placement, Sampling, SolidVertebra, rotation, spine_labelmap, wedge
from verse_morph.shape import build_spine

# Sides at whole numbers of voxels and voxel faces on them: what is left is the method's own error, not the rounding of
# the solid to voxels.
FACES = (0.5, 0.5, 0.5)
# A slope of a few degrees along the grid becomes wide steps; a small turn spreads them.
ASKEW = (7, 4, 3)
HEIGHTS = tuple(f"height_{place}_mm" for place in ("anterior", "middle", "posterior", "left", "right"))


@functools.cache
def built(body, turn_deg=(0, 0, 0), offset_mm=FACES, spacing_mm=1.0):
    solid, place = SolidVertebra(body), Placement(rotation(*turn_deg), np.array(offset_mm))
    labels = spine_labelmap({Level.L3: (solid, place)}, Sampling(spacing_mm, margin_mm=5))
    spine = build_spine(labels)
    return spine["L3"], measure(spine).iloc[0], solid.truth(place)


BOX = Body(44, 34, 26, 26, footprint="box")


@pytest.mark.parametrize("name", HEIGHTS)
def test_box_heights_within_a_tenth_of_a_voxel(name):
    assert built(BOX)[1][name] == pytest.approx(26, abs=0.1)


def test_box_width_depth_and_volume():
    _, row, truth = built(BOX)
    assert row["body_width_middle_mm"] == pytest.approx(44, abs=0.15)
    assert row["body_depth_middle_mm"] == pytest.approx(34, abs=0.3)
    assert row["endplate_superior_width_mm"] == pytest.approx(44, abs=0.15)
    assert row["endplate_inferior_depth_mm"] == pytest.approx(34, abs=0.3)
    assert row["body_volume_cm3"] == pytest.approx(truth["body_volume_cm3"], rel=0.015)


def test_box_centre():
    _, row, _ = built(BOX)
    np.testing.assert_allclose([row[f"body_{axis}_mm"] for axis in "xyz"], FACES, atol=0.2)


@pytest.mark.parametrize("front", [14, 20, 24])
def test_wedge_heights(front):
    _, row, truth = built(wedge(44, 34, front, 26), ASKEW)
    for name in HEIGHTS:
        assert row[name] == pytest.approx(truth[name], abs=0.5), name
    assert row["height_anterior_mm"] < row["height_middle_mm"] < row["height_posterior_mm"]


def test_lateral_wedge_tells_right_from_left():
    _, row, truth = built(Body(44, 34, 26, 26, right_minus_left=6))
    assert row["height_right_mm"] == pytest.approx(truth["height_right_mm"], abs=0.4)
    assert row["height_left_mm"] == pytest.approx(truth["height_left_mm"], abs=0.4)
    assert truth["height_right_mm"] - truth["height_left_mm"] == pytest.approx(3.6)


def test_concave_plates_lower_the_middle_and_give_their_depth():
    _, row, truth = built(Body(44, 34, 26, 26, concavity_superior=1.5, concavity_inferior=3.0), ASKEW)
    for name in (*HEIGHTS, "endplate_superior_concavity_mm", "endplate_inferior_concavity_mm"):
        assert row[name] == pytest.approx(truth[name], abs=0.4), name
    assert row["height_middle_mm"] < row["height_anterior_mm"] - 3


def test_plane_plates_have_almost_no_concavity():
    _, row, _ = built(BOX)
    assert abs(row["endplate_superior_concavity_mm"]) < 0.2
    assert abs(row["endplate_inferior_concavity_mm"]) < 0.2


@pytest.mark.parametrize(
    ("turn_deg", "sagittal", "coronal"),
    [((12, 0, 0), 12, 0), ((-20, 0, 0), -20, 0), ((0, -8, 0), 0, 8), ((0, 8, 0), 0, -8)],
)
def test_tilt_is_positive_when_the_front_or_the_right_edge_is_higher(turn_deg, sagittal, coronal):
    """A positive turn about the right axis lifts the front, about the front axis it lowers the right."""
    _, row, _ = built(BOX, turn_deg)
    for side in ("superior", "inferior"):
        assert row[f"endplate_{side}_tilt_sagittal_deg"] == pytest.approx(sagittal, abs=0.7)
        assert row[f"endplate_{side}_tilt_coronal_deg"] == pytest.approx(coronal, abs=0.7)


def test_tilts_of_a_wedge_open_to_the_back():
    _, row, truth = built(wedge(44, 34, 20, 26), (1, 4, 3))
    assert truth["endplate_superior_tilt_sagittal_deg"] < 0 < truth["endplate_inferior_tilt_sagittal_deg"]
    for side in ("superior", "inferior"):
        name = f"endplate_{side}_tilt_sagittal_deg"
        assert row[name] == pytest.approx(truth[name], abs=0.7)


def test_heights_of_a_turned_vertebra_are_its_own():
    body = Body(44, 34, 24, 27, concavity_superior=1)
    _, row, truth = built(body, (22, 8, -10))
    for name in (*HEIGHTS, "body_width_middle_mm", "body_depth_middle_mm"):
        assert row[name] == pytest.approx(truth[name], abs=0.5), name


@pytest.mark.parametrize("turn_deg", [(0, 0, 0), (15, 5, 5)])
def test_canal(turn_deg):
    _, row, truth = built(BOX, turn_deg)
    assert row["canal_width_mm"] == pytest.approx(24, abs=0.4)
    assert row["canal_depth_mm"] == pytest.approx(18, abs=0.4)
    assert row["canal_area_mm2"] == pytest.approx(truth["canal_area_mm2"], rel=0.025)


def test_height_lines_are_as_long_as_the_heights_and_lie_where_they_say():
    vertebra, row, _ = built(Body(44, 34, 24, 27, right_minus_left=3), (10, 5, 0))
    lines = height_lines(vertebra)
    assert set(lines) == {"anterior", "middle", "posterior", "left", "right"}
    for place, ends in lines.items():
        assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(row[f"height_{place}_mm"], abs=1e-6)
        assert (ends[1] - ends[0]) @ vertebra.frame.superior > 0
    local = {place: vertebra.frame.to_local(ends.mean(axis=0)) for place, ends in lines.items()}
    assert local["anterior"][1] > local["middle"][1] > local["posterior"][1]
    assert local["anterior"][1] - local["posterior"][1] == pytest.approx(0.8 * row["body_depth_middle_mm"], abs=0.01)
    assert local["right"][0] - local["left"][0] == pytest.approx(0.6 * row["body_width_middle_mm"], abs=0.01)


def test_height_lines_of_a_vertebra_without_body_are_absent():
    solid = SolidVertebra(BOX)
    labels = spine_labelmap({Level.C1: (solid, Placement(offset_mm=FACES))}, Sampling(2.0))
    atlas = build_spine(labels)["C1"]
    assert height_lines(atlas) == {}
    with pytest.raises(NotMeasurable, match="C1 has no body"):
        atlas.body_depth_at(np.zeros((1, 3)))
