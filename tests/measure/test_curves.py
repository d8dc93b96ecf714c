"""Angles, coronal curves and the centre line on rows of vertebrae whose endplates are placed at known angles."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.errors import NotMeasurable
from verse_morph.measure import measure_curves
from verse_morph.measure.centre_line import (
    axial_rotation,
    axial_rotation_on_next,
    centre_line,
    centre_line_curvature,
    centre_line_torsion,
    offset_front_of_lowest,
    offset_right_of_lowest,
)
from verse_morph.measure.curves import coronal_curves
from verse_morph.phantom.primitives import rotation
from verse_morph.space import Grid
from verse_morph.spine import Endplate, Flag, Frame, Plane, Spine, Vertebra

TALL, STEP = 20.0, 25.0
DOWN = np.array([0.0, 0.0, -STEP])


def plate(point, normal):
    plane = Plane(point, normal)
    return Endplate(np.array([point]), np.array([1.0]), plane, plane, 0.0)


def vertebra(level, sagittal=0.0, coronal=0.0, turn=0.0, centre=(0.0, 0.0, 0.0), wedge=0.0):
    """A body without voxels: sagittal + = front up, coronal + = right up, turn + = front to the right; its endplates
    open to the front by the wedge.
    """
    axes = (rotation(sagittal, -coronal, 0) @ rotation(0, 0, -turn)).T
    right, front, up = axes
    tip = np.tan(np.radians(wedge / 2))
    upper, lower = up - tip * front, -up - tip * front
    centre = np.asarray(centre, float)
    return Vertebra(
        level=Level(level),
        label=1,
        grid=Grid((1, 1, 1), np.eye(4)),
        mask=np.ones((1, 1, 1), bool),
        volume_mm3=1.0,
        centre_mm=centre,
        frame=Frame(centre, right, front, up),
        superior=plate(centre + TALL / 2 * up, upper),
        inferior=plate(centre - TALL / 2 * up, lower),
    )


def row(angles, plane="sagittal"):
    """Vertebrae below each other, by level: the tilt of each in one plane."""
    return [vertebra(level, **{plane: angle}, centre=i * DOWN) for i, (level, angle) in enumerate(angles.items())]


def curves(vertebrae, **more):
    return measure_curves(Spine(tuple(vertebrae), **more)).set_index("name")


ALL = [f"C{i}" for i in range(2, 8)] + [f"T{i}" for i in range(1, 13)] + [f"L{i}" for i in range(1, 6)]


def natural(levels=ALL):
    """Tilts that fall by 2 degrees a level through the neck, rise by 3 through the chest and fall by 8 below L1."""
    step = {"C": -2.0, "T": 3.0, "L": -8.0}
    tilts, tilt = {}, 0.0
    for level in levels:
        tilts[level] = tilt
        tilt += step[level[0]]
    return tilts


# --- sagittal angles ----------------------------------------------------------------------------------------------


def test_named_angles_are_lordotic_when_positive():
    found = curves(row(natural()))
    expected = {
        "lordosis_C2_C7": 10.0,
        "kyphosis_T4_T12": -24.0,
        "kyphosis_T5_T12": -21.0,
        "thoracolumbar_T10_L2": -3 * 3.0 + 8.0,
        "lordosis_L1_L5": 32.0,
    }
    for name, angle in expected.items():
        for column in ("angle_deg", "angle_own_deg"):
            assert found.loc[name, column] == pytest.approx(angle, abs=1e-6), (name, column)
        assert found.loc[name, "angle_3d_deg"] == pytest.approx(abs(angle), abs=1e-6)
        assert found.loc[name, "plane"] == "sagittal"
        assert (found.loc[name, "flags"], found.loc[name, "angle_deg_why"]) == ("", "")


def test_the_ends_are_the_upper_endplate_above_and_the_lower_one_below():
    """The neck counts between lower endplates: C2 has no upper one."""
    spine = [vertebra(level, wedge=4.0, centre=(0, 0, -STEP * i)) for i, level in enumerate(ALL)]
    found = curves(spine)["angle_deg"]
    assert found["lordosis_L1_L5"] == pytest.approx(4.0)
    assert found["lordosis_C2_C7"] == pytest.approx(0.0, abs=1e-9)


def test_the_angle_to_the_sacrum_needs_the_sacrum():
    vertebrae = row(natural())
    assert "S1" in curves(vertebrae).loc["lordosis_L1_S1", "angle_deg_why"]
    sacrum = vertebra("L6", sagittal=-20.0).superior
    found = curves(vertebrae, sacrum_superior=sacrum).loc["lordosis_L1_S1"]
    assert found["angle_deg"] == pytest.approx(natural()["L1"] + 20.0)
    assert found["lower_level"] == "S1"


def test_a_patient_who_lies_turned_keeps_the_angle_in_the_own_plane():
    turned = rotation(0, 0, 30)
    found = curves([with_rotation(v, turned) for v in row(natural())]).loc["lordosis_L1_L5"]
    assert found["angle_own_deg"] == pytest.approx(32.0, abs=1e-6)
    assert found["angle_3d_deg"] == pytest.approx(32.0, abs=1e-6)
    assert found["angle_deg"] < 30


def with_rotation(v, matrix):
    """A vertebra turned about the world's origin."""

    def turned(old):
        return plate(matrix @ old.rim.point_mm, matrix @ old.rim.normal)

    frame = Frame(matrix @ v.centre_mm, *(matrix @ axis for axis in v.frame.axes))
    return replace(v, centre_mm=frame.origin_mm, frame=frame, superior=turned(v.superior), inferior=turned(v.inferior))


@pytest.mark.parametrize(("last", "flag"), [("T11", True), ("T12", False), ("T13", True)])
def test_the_last_thoracic_vertebra_is_the_lower_end(last, flag):
    levels = [f"T{i}" for i in range(3, int(last[1:]) + 1)] + ["L1", "L2"]
    found = curves(row(natural(levels))).loc["kyphosis_T4_T12"]
    assert found["lower_level"] == last
    assert found["angle_deg"] == pytest.approx(-3.0 * (int(last[1:]) - 4))
    assert ("last_level_substituted" in found["flags"].split(";")) == flag


def test_t11_is_not_the_last_where_the_view_ends_or_t12_was_left_out():
    levels = [f"T{i}" for i in range(3, 12)]
    assert "cannot be seen" in curves(row(natural(levels))).loc["kyphosis_T4_T12", "angle_deg_why"]
    vertebrae = row(natural([*levels, "T12", "L1", "L2"]))
    without = [v for v in vertebrae if v.level is not Level.T12]
    assert "not followed" in curves(without).loc["kyphosis_T4_T12", "angle_deg_why"]


@pytest.mark.parametrize(("depth_mm", "seen"), [(40, True), (5, False)])
def test_l4_is_the_last_only_where_the_image_reaches_farther_down(depth_mm, seen):
    vertebrae = row(natural([f"L{i}" for i in range(1, 5)]))
    bottom = float(vertebrae[-1].inferior.rim.point_mm[2]) - depth_mm
    affine = np.eye(4)
    affine[:3, 3] = (-50, -50, bottom)
    found = curves(vertebrae, grid=Grid((100, 100, 200), affine)).loc["lordosis_L1_L5"]
    assert np.isfinite(found["angle_deg"]) == seen
    assert ("last_level_substituted" in found["flags"]) == seen
    assert (found["angle_deg_why"] == "") == seen


def test_l6_is_the_lower_end_where_there_is_one():
    found = curves(row(natural([f"L{i}" for i in range(1, 7)]))).loc["lordosis_L1_L5"]
    assert (found["lower_level"], found["flags"]) == ("L6", "last_level_substituted")
    assert found["angle_deg"] == pytest.approx(40.0)


def test_ends_out_of_view_leave_a_row_with_the_reason():
    found = curves(row(natural(["L2", "L3", "L4", "L5"])))
    assert np.isnan(found.loc["lordosis_L1_L5", "angle_deg"])
    assert found.loc["lordosis_L1_L5", "angle_deg_why"] == "L1: not in the mask"
    assert found.loc["kyphosis_T4_T12", "angle_deg_why"]


def test_a_cut_end_leaves_a_row_with_the_reason():
    vertebrae = row(natural())
    cut = replace(vertebrae[-1], superior=None, inferior=None, why={"inferior": "the image border cuts the body"})
    found = curves([*vertebrae[:-1], cut]).loc["lordosis_L1_L5"]
    assert found["angle_deg_why"] == "L5: the image border cuts the body"
    assert np.isnan([found["angle_deg"], found["angle_own_deg"], found["angle_3d_deg"]]).all()


@pytest.mark.parametrize("levels", [[], ["L3"], ["C1"], ["L3", "L4"]])
def test_small_spines_have_all_rows_and_no_angle(levels):
    found = curves(row(natural(levels)))
    assert list(found.index) == [
        *("lordosis_C2_C7", "kyphosis_T4_T12", "kyphosis_T5_T12", "thoracolumbar_T10_L2"),
        *("lordosis_L1_L5", "lordosis_L1_S1", "coronal_curve"),
    ]
    assert found["angle_deg"].isna().all()
    assert (found["angle_deg_why"] != "").all()


# --- coronal curves -----------------------------------------------------------------------------------------------


def test_a_curve_convex_to_the_right_is_positive_and_has_its_apex_in_the_middle():
    tilts = {f"T{i}": 5.0 * (8 - i) for i in range(4, 13)}
    x = np.cumsum([0, *(STEP * np.tan(np.radians(t)) for t in list(tilts.values())[:-1])])
    vertebrae = [vertebra(n, coronal=t, centre=(x[i], 0, -STEP * i)) for i, (n, t) in enumerate(tilts.items())]
    best, *rest = coronal_curves(Spine(tuple(vertebrae)))
    assert rest == []
    assert best.angle_deg == pytest.approx(40.0)
    assert (best.upper_level, best.lower_level, best.apex) == (Level.T4, Level.T12, "T8")
    assert best.apex_offset_mm > 5, "to the patient's right"


def test_two_opposite_curves_are_both_found_and_the_larger_comes_first():
    tilts = [0, -8, -16, -10, 0, 10, 16, 12, 8, 4, 4]
    names = [f"T{i}" for i in range(5, 13)] + ["L1", "L2", "L3"]
    found = coronal_curves(Spine(tuple(row(dict(zip(names, tilts, strict=True)), "coronal"))))
    assert [(str(c.upper_level), str(c.lower_level)) for c in found] == [("T7", "T11"), ("T5", "T7"), ("T11", "L2")]
    assert [round(c.angle_deg) for c in found] == [-32, 16, 12]


def test_a_straight_spine_has_one_row_flagged_as_no_curve():
    rng = np.random.default_rng(1)
    tilts = dict(zip(ALL[1:], rng.normal(0, 1, len(ALL) - 1), strict=True))
    (only,) = coronal_curves(Spine(tuple(row(tilts, "coronal"))))
    assert 0 < abs(only.angle_deg) < 10
    assert Flag.BELOW_10_DEG in only.flags


def test_a_curve_over_a_missing_level_is_flagged():
    tilts = {f"T{i}": 5.0 * (8 - i) for i in range(4, 13) if i != 7}
    best = coronal_curves(Spine(tuple(row(tilts, "coronal"))))[0]
    assert best.angle_deg == pytest.approx(40.0)
    assert Flag.LEVELS_MISSING in best.flags


# --- centre line, rotation, balance -------------------------------------------------------------------------------


def along(points):
    names = ALL[-len(points) :]
    return Spine(tuple(vertebra(n, centre=p) for n, p in zip(names, points[::-1], strict=True)))


@functools.cache
def helix(turn=1.0):
    """Radius 60 mm, 400 mm up per turn; a right-handed screw for turn = 1, ten bodies 25 mm apart."""
    radius, pitch = 60.0, 400 / (2 * np.pi)
    phase = np.arange(10) * 25.0 / np.hypot(radius, pitch)
    x, y, z = radius * np.cos(phase), turn * radius * np.sin(phase), pitch * phase
    return (
        along(np.column_stack([x, y, z])),
        1000 * radius / (radius**2 + pitch**2),
        1000 * pitch / (radius**2 + pitch**2),
    )


def test_curvature_of_a_circle():
    angles = np.arange(9) * 25.0 / 300.0
    spine = along(300.0 * np.column_stack([np.zeros(9), np.cos(angles), np.sin(angles)]))
    inner = [centre_line_curvature(v, spine) for v in spine.vertebrae[2:-2]]
    np.testing.assert_allclose(inner, 1000 / 300, rtol=0.03)


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_curvature_and_torsion_of_a_screw(turn):
    spine, curvature, torsion = helix(turn)
    inner = spine.vertebrae[3:-3]
    np.testing.assert_allclose([centre_line_curvature(v, spine) for v in inner], curvature, rtol=0.05)
    np.testing.assert_allclose([centre_line_torsion(v, spine) for v in inner], turn * torsion, rtol=0.1)


def test_the_tangent_points_up():
    spine, *_ = helix()
    assert all(point.tangent[2] > 0.5 for point in centre_line(spine).values())


def test_the_line_says_nothing_at_its_ends_in_short_rows_and_beyond_gaps():
    spine, *_ = helix()
    for vertebra_ in (spine.vertebrae[0], spine.vertebrae[-1]):
        with pytest.raises(NotMeasurable, match="at the end"):
            centre_line_curvature(vertebra_, spine)
    short = Spine(spine.vertebrae[:4])
    with pytest.raises(NotMeasurable, match="fewer than 5"):
        centre_line_curvature(short.vertebrae[1], short)
    gap = Spine(spine.vertebrae[:5] + spine.vertebrae[6:])
    assert set(centre_line(gap)) == {v.level for v in spine.vertebrae[1:4]}, "five above the gap, four below"


def test_a_cut_body_stays_out_of_the_line():
    spine, *_ = helix()
    last = replace(spine.vertebrae[-1], flags=frozenset({Flag.BODY_CUT}), centre_mm=np.array([500.0, 0, 0]))
    without = Spine(spine.vertebrae[:-1])
    with_cut = Spine((*spine.vertebrae[:-1], last))
    assert centre_line(with_cut).keys() == centre_line(without).keys()
    level = next(iter(centre_line(without)))
    assert centre_line(with_cut)[level].curvature_per_m == centre_line(without)[level].curvature_per_m


def test_a_straight_line_has_no_torsion():
    spine = along(np.column_stack([np.zeros(7), np.zeros(7), 25.0 * np.arange(7)]))
    assert centre_line_curvature(spine.vertebrae[3], spine) == pytest.approx(0, abs=1e-6)
    with pytest.raises(NotMeasurable, match="nearly straight"):
        centre_line_torsion(spine.vertebrae[3], spine)


def test_rotation_is_positive_when_the_front_faces_right():
    spine = Spine((vertebra("L1", turn=12.0), vertebra("L2", sagittal=20.0, turn=5.0), vertebra("L4")))
    assert axial_rotation(spine["L1"], spine) == pytest.approx(12.0)
    assert spine["L1"].frame.anterior[0] > 0, "to the patient's right"
    assert axial_rotation(spine["L2"], spine) == pytest.approx(5.0)
    assert axial_rotation_on_next(spine["L1"], spine) == pytest.approx(7.0, abs=0.5)
    with pytest.raises(NotMeasurable, match="not in the mask"):
        axial_rotation_on_next(spine["L2"], spine)
    with pytest.raises(NotMeasurable, match="no vertebra below"):
        axial_rotation_on_next(spine["L4"], spine)


def test_offsets_are_counted_from_the_lowest_whole_body():
    cut = replace(vertebra("L3", centre=(50.0, 50.0, -50.0)), flags=frozenset({Flag.BODY_CUT}))
    spine = Spine((vertebra("L1", centre=(3.0, -8.0, 50.0)), vertebra("L2", centre=(1.0, 2.0, 0.0)), cut))
    assert offset_right_of_lowest(spine["L1"], spine) == pytest.approx(2.0)
    assert offset_front_of_lowest(spine["L1"], spine) == pytest.approx(-10.0)
    for level in ("L2", "L3"):
        with pytest.raises(NotMeasurable):
            offset_right_of_lowest(spine[level], spine)
