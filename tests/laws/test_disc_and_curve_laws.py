"""What discs, angles and everything that a vertebra's neighbours decide claim about themselves: how a value behaves
when the patient is moved, scaled or mirrored. One spine is built and then moved as a whole, voxels, axes and endplates,
so that only the measurements are on trial and values agree closely.
"""

import functools
import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.measure import CATALOGUE, DISC_CATALOGUE, measure, measure_curves, measure_discs
from verse_morph.measure.tabulate import curve_dictionary
from verse_morph.phantom.solids import Body, Placement, Sampling, SolidVertebra, rotation, spine_labelmap
from verse_morph.shape import build_spine
from verse_morph.space import Grid
from verse_morph.spine import Endplate, Frame, Plane, Spine

# World entries of whole spines are tested against formulas below.
LINE = tuple(entry for entry in CATALOGUE if entry.of == "spine")
every_disc_entry = pytest.mark.parametrize("entry", DISC_CATALOGUE, ids=lambda entry: entry.name)
every_line_entry = pytest.mark.parametrize("entry", LINE, ids=lambda entry: entry.name)
TOLERANCE = {"mm": 0.05, "deg": 0.05, "pct": 0.2, "per_m": 0.02, "": 0.0}

SOLID = SolidVertebra(Body(40, 32, 24, 25, concavity_superior=1.0), spinous_length=10.0, transverse_length=8.0)
# A wedge that lost over a third of its front.
FRACTURED = SolidVertebra(Body(40, 32, 13.5, 24.5, concavity_superior=1.0), spinous_length=10.0, transverse_length=8.0)
SHAPES = {Level.L1: FRACTURED}
LEVELS = (Level.T12, Level.L1, Level.L2, Level.L3, Level.L4, Level.L5)
# Lopsided: tilts to the front and to the side, turns and shifts, so that nothing is its own mirror image.
TURNS = ((8, -6, 4), (4, -2, 1), (-2, 3, -4), (-9, 8, -7), (-16, 4, -3), (-24, -3, 2))
SHIFTS = ((0, 0), (1, 1), (-2, 0), (1, 5), (0, 0))


@functools.cache
def at_rest():
    turn, centre = rotation(*TURNS[0]), np.array([0.3, 0.1, 0.2])
    places = {LEVELS[0]: (SOLID, Placement(turn, centre))}
    for level, angles, (right, front) in zip(LEVELS[1:], TURNS[1:], SHIFTS, strict=True):
        foot, above, turn = centre - 12.25 * turn[:, 2], turn, rotation(*angles)
        up = above[:, 2] + turn[:, 2]
        centre = foot - 9 * up / np.linalg.norm(up) - turn @ np.array([right, front, 12.25])
        places[level] = (SHAPES.get(level, SOLID), Placement(turn, centre))
    return build_spine(spine_labelmap(places, Sampling(1.5, margin_mm=4)))


def mapped(spine, linear, shift=(0.0, 0.0, 0.0), scale=1.0):
    """The spine under a motion, a mirror or a scaling of the world."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = scale * np.asarray(linear), shift
    handed = np.sign(np.linalg.det(matrix[:3, :3]))

    def point(p):
        return p @ matrix[:3, :3].T + matrix[:3, 3]

    def plane(p):
        return Plane(point(p.point_mm), linear @ p.normal)

    def plate(e):
        return Endplate(point(e.points_mm), scale * e.edge_mm, plane(e.rim), plane(e.whole), scale * e.rim_residual_mm)

    def one(v):
        right, front, up = v.frame.axes @ np.asarray(linear).T
        grid = Grid(v.grid.shape, matrix @ v.grid.affine)
        return replace(
            v,
            grid=grid,
            body_field_mm=scale * v.body_field_mm,
            centre_mm=point(v.centre_mm),
            frame=Frame(point(v.frame.origin_mm), handed * right, front, up),
            superior=plate(v.superior),
            inferior=plate(v.inferior),
            canal=None,
            mesh=None,
        )

    whole = Grid(spine.grid.shape, matrix @ spine.grid.affine)
    return Spine(tuple(one(v) for v in spine), spine.name, grid=whole)


MOVES = {"turned": (rotation(12, -8, 20), (40.0, -25.0, 300.0)), "lying": (rotation(-25, 5, -10), (0.0, 9.0, -70.0))}
MIRROR = np.diag([-1.0, 1.0, 1.0])


@functools.cache
def tables(how="rest"):
    """Discs by upper level, vertebrae by level, curves in order."""
    spine = at_rest()
    if how in MOVES:
        spine = mapped(spine, *MOVES[how])
    elif how == "mirrored":
        spine = mapped(spine, MIRROR)
    elif how != "rest":
        spine = mapped(spine, np.eye(3), scale=float(how))
    return spine, measure_discs(spine).set_index("upper_level"), measure(spine, LINE).set_index("level")


@functools.cache
def curves(how="rest"):
    return measure_curves(tables(how)[0])


def agree(entry, found, expected, slack=1.0):
    for level, value in expected.items():
        if isinstance(value, str):
            assert found[level] == value, (entry.name, level)
            continue
        assert np.isnan(found[level]) == np.isnan(value), (entry.name, level)
        allowed = slack * max(TOLERANCE.get(entry.column.unit, 0.0), 0.01 * abs(value))
        assert np.isnan(value) or found[level] == pytest.approx(value, abs=allowed), (entry.name, level)


# --- claims -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [*DISC_CATALOGUE, *LINE], ids=lambda entry: entry.name)
def test_documented(entry):
    column = entry.column
    assert column.definition.endswith(".")
    assert column.source
    assert not column.unit or column.name.endswith("_" + column.unit)
    assert 20 < len(column.definition.split(". ")[0]) < 250


def test_every_entry_of_the_catalogue_stands_under_some_law():
    spec = importlib.util.spec_from_file_location("alone", Path(__file__).with_name("test_measurement_laws.py"))
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    assert {entry.name for entry in (*other.ALONE, *LINE)} == {entry.name for entry in CATALOGUE}
    for name in ("genant_grade", "height_loss_anterior_pct", "axial_rotation_deg"):
        assert name in {entry.name for entry in LINE}
    assert {entry.of for entry in DISC_CATALOGUE} == {"disc"}


def test_words_of_the_line_are_said_somewhere():
    line = tables()[2]
    for entry in LINE:
        if entry.word:
            assert any(isinstance(value, str) and value for value in line[entry.name]), entry.name


def test_every_disc_of_these_laws_is_measured_and_so_is_every_number_of_the_line():
    _, discs, line = tables()
    assert (discs["status"] == "measured").all()
    assert len(discs) == len(LEVELS) - 1
    for entry in LINE:
        if entry.column.unit in TOLERANCE and not entry.word:
            assert line[entry.name].notna().any(), entry.name


def test_the_fractured_vertebra_of_these_laws_is_graded_as_one_and_no_other_is():
    grades = tables()[2]["genant_grade"]
    assert grades["L1"] == 2
    assert tables()[2]["genant_type"]["L1"] == "wedge"
    assert (grades.drop(["L1", "L5"]) == 0).all()


@every_disc_entry
def test_discs_differ_from_their_mirror_image_enough_to_be_told_apart(entry):
    discs = tables()[1]
    if entry.column.mirror == "flip":
        assert discs[entry.name].abs().max() > 1
    if entry.column.mirror == "swap":
        assert (discs[entry.name] - discs[entry.mirror_partner]).abs().max() > 1


# --- moved, scaled, mirrored ------------------------------------------------------------------------------------------


@every_disc_entry
@pytest.mark.parametrize("how", list(MOVES))
def test_discs_do_not_change_with_the_patients_place(entry, how):
    assert entry.column.frame == "body"
    agree(entry, tables(how)[1][entry.name], tables()[1][entry.name])


@every_disc_entry
@pytest.mark.parametrize("percent", [90, 115])
def test_discs_scale(entry, percent):
    """Bands and margins of the definitions are millimetres, so a wedged or concave disc scales to a few percent."""
    if entry.column.length_power is None:
        pytest.skip("a grade does not scale")
    s = percent / 100
    agree(entry, tables(str(s))[1][entry.name], s**entry.column.length_power * tables()[1][entry.name], slack=4.0)


def mirror_image(entry, table):
    if entry.column.mirror == "swap":
        return table[entry.mirror_partner]
    return -table[entry.name] if entry.column.mirror == "flip" else table[entry.name]


@every_disc_entry
def test_discs_mirror(entry):
    agree(entry, tables("mirrored")[1][entry.name], mirror_image(entry, tables()[1]))


@every_line_entry
@pytest.mark.parametrize("how", list(MOVES))
def test_what_neighbours_decide_moves_as_it_claims(entry, how):
    spine, _, line = tables(how)
    expected = tables()[2][entry.name]
    if entry.column.frame == "world":
        expected = expected_in_the_world(entry, spine)
    agree(entry, line[entry.name], expected)


def expected_in_the_world(entry, spine):
    """Where a world value should come to lie, from the moved frames and centres alone."""
    lowest = spine.vertebrae[-1]
    out = {}
    for v in spine:
        sideways, forwards, _ = v.centre_mm - lowest.centre_mm
        right, front, _ = v.frame.axes
        out[str(v.level)] = {
            "axial_rotation_deg": np.degrees(np.arctan2(-right[1], front[1])),
            "offset_right_of_lowest_mm": sideways if v is not lowest else np.nan,
            "offset_front_of_lowest_mm": forwards if v is not lowest else np.nan,
        }[entry.name]
    return out


@every_line_entry
@pytest.mark.parametrize("percent", [90, 115])
def test_what_neighbours_decide_scales(entry, percent):
    if entry.column.length_power is None:
        pytest.skip("scaling has no meaning for this entry")
    s = percent / 100
    agree(entry, tables(str(s))[2][entry.name], s**entry.column.length_power * tables()[2][entry.name], slack=3.0)


@every_line_entry
def test_what_neighbours_decide_mirrors(entry):
    agree(entry, tables("mirrored")[2][entry.name], mirror_image(entry, tables()[2]))


# --- curves -----------------------------------------------------------------------------------------------------------


def test_curve_columns_are_described_in_order():
    assert list(curves().columns) == [column.name for column in curve_dictionary()]


@pytest.mark.parametrize("how", list(MOVES))
def test_own_and_spatial_angles_do_not_change_with_the_patients_place(how):
    known = curves()["name"] == "lordosis_L1_L5"
    for name in ("angle_own_deg", "angle_3d_deg"):
        assert curves(how).loc[known, name].item() == pytest.approx(curves().loc[known, name].item(), abs=1e-6)
    assert abs(curves(how).loc[known, "angle_deg"].item() - curves().loc[known, "angle_deg"].item()) > 0.1


@pytest.mark.parametrize("how", ["0.9", "1.15"])
def test_angles_do_not_scale_and_offsets_do(how):
    before, after = curves(), curves(how)
    for name in ("angle_deg", "angle_own_deg", "angle_3d_deg"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)
    np.testing.assert_allclose(after["apex_offset_mm"], float(how) * before["apex_offset_mm"], atol=1e-6)
    assert list(after["apex_level"]) == list(before["apex_level"])


def test_coronal_angles_flip_in_the_mirror_and_sagittal_ones_stay():
    before, after = curves(), curves("mirrored")
    assert list(after["name"]) == list(before["name"])
    assert list(after["lower_level"]) == list(before["lower_level"])
    sign = np.where(before["plane"] == "coronal", -1.0, 1.0)
    for name in ("angle_deg", "angle_own_deg"):
        np.testing.assert_allclose(after[name], sign * before[name], atol=1e-6)
    np.testing.assert_allclose(after["angle_3d_deg"], before["angle_3d_deg"], atol=1e-6)
    np.testing.assert_allclose(after["apex_offset_mm"], -before["apex_offset_mm"], atol=1e-6)
    assert (before["plane"] == "coronal").any()
