"""Disc heights, wedges and slips of solids whose values are known, and what is said where there is no disc."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.measure import measure_discs
from verse_morph.measure.discs import disc_lines, discs_of
from verse_morph.measure.slip import meyerding
from verse_morph.phantom.solids import Body, Placement, Sampling, SolidVertebra, rotation, spine_labelmap
from verse_morph.shape import build_spine
from verse_morph.spine import Endplate, Plane, Spine

DEPTH, WIDTH, TALL = 34.0, 44.0, 26.0
SOLID = SolidVertebra(Body(WIDTH, DEPTH, TALL, TALL, footprint="box"), spinous_length=12.0, transverse_length=8.0)
# Turned as a whole, so that flat endplates do not lie along the voxels.
WHOLE = Placement(rotation(7, 4, 3), np.array([0.3, 0.1, 0.2]))
# Below each disc: turn of the vertebra (about the right, then the anterior axis), its gap, and where it lies off.
BELOW = (
    ((0, 0, 0), 8.0, (0, 0)),
    ((10, 0, 0), 9.0, (0, 0)),
    ((10, 0, 0), 9.0, (-3, -6)),
    ((10, 6, 0), 9.0, (0, 0)),
)


def column(below):
    """Placements of L1 and the vertebrae below it, each put under the middle of the one above."""
    turn, centre = np.eye(3), np.zeros(3)
    places = [Placement(turn, centre)]
    for angles, gap, (right, front) in below:
        foot, above, turn = centre - turn[:, 2] * TALL / 2, turn, rotation(*angles)
        up = above[:, 2] + turn[:, 2]
        centre = foot - gap * up / np.linalg.norm(up) - turn @ np.array([-right, -front, TALL / 2])
        places.append(Placement(turn, centre))
    levels = [Level(f"L{i + 1}") for i in range(len(places))]
    return {
        level: (SOLID, Placement(WHOLE.rotation @ p.rotation, WHOLE.to_world(p.offset_mm)))
        for level, p in zip(levels, places, strict=True)
    }


@functools.cache
def spine():
    return build_spine(spine_labelmap(column(BELOW), Sampling(1.0, margin_mm=4)))


@functools.cache
def table():
    return measure_discs(spine()).set_index("upper_level")


def rows_of(vertebrae, **more):
    return measure_discs(Spine(tuple(vertebrae), **more)).set_index("upper_level")


# --- known values -------------------------------------------------------------------------------------------------


def test_a_gap_between_parallel_planes():
    row = table().loc["L1"]
    for place in ("anterior", "middle", "posterior", "left", "right"):
        assert row[f"height_{place}_mm"] == pytest.approx(8.0, abs=0.25), place
    assert row["height_dabbs_mm"] == pytest.approx(8.0, abs=0.2)
    assert row["height_volumetric_mm"] == pytest.approx(8.0, abs=0.2)
    assert row["farfan_index_pct"] == pytest.approx(100 * 16 / (2 * DEPTH), abs=0.8)
    for name in ("wedge_sagittal_deg", "wedge_coronal_deg"):
        assert row[name] == pytest.approx(0, abs=0.4)
    for name in ("slip_mm", "slip_lateral_mm"):
        assert row[name] == pytest.approx(0, abs=0.3)


def test_a_disc_that_is_lower_in_front():
    row = table().loc["L2"]
    grows = 2 * np.tan(np.radians(5)) * 0.4 * DEPTH * np.cos(np.radians(5))
    assert row["height_anterior_mm"] == pytest.approx(9 - grows, abs=0.3)
    assert row["height_middle_mm"] == pytest.approx(9, abs=0.3)
    assert row["height_posterior_mm"] == pytest.approx(9 + grows, abs=0.3)
    assert row["wedge_sagittal_deg"] == pytest.approx(-10, abs=0.5)
    behind = 9 + 2 * np.tan(np.radians(5)) * DEPTH / 2 * np.cos(np.radians(5))
    assert row["slip_mm"] == pytest.approx(behind * np.sin(np.radians(5)), abs=0.3), "as the definition has it"


def test_a_disc_that_opens_to_the_right():
    row = table().loc["L4"]
    side = 2 * np.tan(np.radians(3)) * 0.3 * WIDTH
    assert row["wedge_coronal_deg"] == pytest.approx(6, abs=0.5)
    assert row["height_right_mm"] == pytest.approx(9 + side, abs=0.35)
    assert row["height_left_mm"] == pytest.approx(9 - side, abs=0.35)


def test_a_slip_forwards_and_to_the_right():
    row = table().loc["L3"]
    assert row["slip_mm"] == pytest.approx(6, abs=0.3)
    assert row["slip_lateral_mm"] == pytest.approx(3, abs=0.4)
    assert row["slip_pct"] == pytest.approx(100 * 6 / DEPTH, abs=1.0)
    assert row["meyerding"] == 1
    assert row["height_middle_mm"] == pytest.approx(9, abs=0.3)


def test_the_common_depth_of_a_slipped_pair_ends_where_one_body_ends():
    """Ten percent of a common depth of 28, not 34 mm."""
    lines = disc_lines(discs_of(spine())[2])
    apart = lines["anterior"].mean(axis=0) - lines["posterior"].mean(axis=0)
    assert np.linalg.norm(apart) == pytest.approx(0.8 * (DEPTH - 6), abs=0.5)


@pytest.mark.parametrize(("shift", "grade"), [(-9, 0), (2.5, 0), (6, 1), (12, 2), (20, 3), (30, 4)])
def test_meyerding_grades(shift, grade):
    """The built vertebra is moved as a whole, so its slip is what it was moved by."""
    upper, lower = spine()["L1"], spine()["L2"]
    moved = moved_by(upper, shift * lower.frame.anterior)
    assert meyerding(discs_of(Spine((moved, lower)))[0]) == grade


def moved_by(vertebra, shift_mm):
    """A vertebra elsewhere, with all that belongs to it."""
    matrix = np.array(vertebra.grid.affine)
    matrix[:3, 3] += shift_mm

    def plate(old):
        planes = [Plane(p.point_mm + shift_mm, p.normal) for p in (old.rim, old.whole)]
        return Endplate(old.points_mm + shift_mm, old.edge_mm, *planes, old.rim_residual_mm)

    return replace(
        vertebra,
        grid=type(vertebra.grid)(vertebra.grid.shape, matrix),
        centre_mm=vertebra.centre_mm + shift_mm,
        frame=replace(vertebra.frame, origin_mm=vertebra.frame.origin_mm + shift_mm),
        superior=plate(vertebra.superior),
        inferior=plate(vertebra.inferior),
    )


def test_lines_are_as_long_as_the_heights():
    disc = discs_of(spine())[1]
    for place, line in disc_lines(disc).items():
        assert np.linalg.norm(line[1] - line[0]) == pytest.approx(table().loc["L2", f"height_{place}_mm"])


def test_the_disc_above_a_labelled_sacrum():
    """The upper endplate of L5 stands in for that of S1."""
    five = spine()["L5"]
    row = rows_of([spine()["L4"]], sacrum_superior=five.superior).loc["L4"]
    assert row["lower_level"] == "S1"
    assert row["status"] == "measured"
    for name in ("height_anterior_mm", "height_middle_mm", "height_posterior_mm", "height_volumetric_mm"):
        assert row[name] == pytest.approx(table().loc["L4", name], abs=0.4), name
    assert row["slip_mm"] == pytest.approx(table().loc["L4", "slip_mm"], abs=1.0)


# --- what is no disc ----------------------------------------------------------------------------------------------


def numbers(row):
    return [value for name, value in row.items() if name.endswith(("_mm", "_pct", "_deg")) or name == "meyerding"]


def test_a_missing_level_leaves_two_rows_and_no_number():
    rows = rows_of([spine()[level] for level in ("L1", "L3", "L4")])
    assert list(rows["lower_level"]) == ["L2", "L3", "L4"]
    for level in ("L1", "L2"):
        assert rows.loc[level, "status"] == "not_measurable"
        assert np.isnan(np.array(numbers(rows.loc[level]), float)).all()
        assert "L2 is not in the mask" in rows.loc[level, "slip_mm_why"]
    assert rows.loc["L3", "status"] == "measured"


def test_an_unlabelled_vertebra_that_need_not_be_there_leaves_a_gap_too_high_for_a_disc():
    """T11 above L1 is a spine with eleven thoracic vertebrae, or T12 was left out: the gap tells."""
    upper, lower = replace(spine()["L1"], level=Level.T11), replace(spine()["L3"], level=Level.L1)
    row = rows_of([upper, lower]).loc["T11"]
    assert np.isnan(row["height_middle_mm"])
    assert "a level may be missing" in row["height_middle_mm_why"]
    close = rows_of([upper, replace(spine()["L2"], level=Level.L1)]).loc["T11"]
    assert close["height_middle_mm"] == pytest.approx(8, abs=0.3)


def test_four_and_six_lumbar_vertebrae_and_thirteen_thoracic_ones():
    names = [Level.T12, Level.T13, Level.L1]
    rows = rows_of([replace(v, level=level) for v, level in zip(spine(), names, strict=False)])
    assert list(rows["lower_level"]) == ["T13", "L1"]
    assert (rows["status"] == "measured").all()


def test_a_cut_vertebra_gives_its_reason_to_both_discs():
    cut = replace(
        spine()["L2"],
        body=None,
        body_field_mm=None,
        frame=None,
        superior=None,
        inferior=None,
        why=dict.fromkeys(("body", "frame", "superior", "inferior"), "the image border cuts the body"),
    )
    rows = rows_of([cut if v.level is Level.L2 else v for v in spine()])
    for level in ("L1", "L2"):
        assert rows.loc[level, "status"] == "not_measurable"
        assert rows.loc[level, "height_middle_mm_why"] == "L2: the image border cuts the body"
    assert rows.loc["L3", "status"] == "measured"


def test_touching_bodies_have_a_reason_and_a_flag_and_no_zero():
    upper, lower = spine()["L1"], spine()["L2"]
    row = rows_of([moved_by(upper, -8.0 * lower.frame.superior), lower]).loc["L1"]
    assert np.isnan(row["height_middle_mm"])
    assert row["height_middle_mm_why"] == "L1-L2: the bodies touch at the middle height"
    assert "bodies_touch" in row["flags"].split(";")
    assert np.isnan(row["height_volumetric_mm"])
    assert row["slip_mm"] == pytest.approx(0, abs=0.4)


@pytest.mark.parametrize("levels", [(), ("L3",)])
def test_fewer_than_two_vertebrae_make_an_empty_table(levels):
    rows = measure_discs(Spine(tuple(spine()[level] for level in levels)))
    assert len(rows) == 0
    assert list(rows.columns[:5]) == ["scan", "upper_level", "lower_level", "status", "flags"]


def test_c1_has_no_disc():
    ring = replace(spine()["L1"], level=Level.C1, body=None, frame=None, superior=None, inferior=None)
    rows = measure_discs(Spine((ring, replace(spine()["L2"], level=Level.C2), replace(spine()["L3"], level=Level.C3))))
    assert list(rows["upper_level"]) == ["C2"]


def test_a_missing_number_has_a_reason_and_a_number_has_none():
    for name in [column for column in table() if column + "_why" in table()]:
        assert (table()[name].isna() == (table()[name + "_why"] != "")).all(), name
