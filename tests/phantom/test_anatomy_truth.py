"""Truth against answers derived by hand, and against what was asked for."""

from dataclasses import replace

import numpy as np
import pytest

from verse_morph.phantom.body import BodyPart
from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.implicit import Bar, Blob, Bone, Step
from verse_morph.phantom.parameters import Alignment, Fracture, Pathology, PhantomOptions, Schmorl, Variants
from verse_morph.phantom.pose import rim_tilts
from verse_morph.phantom.primitives import Placement, rotation
from verse_morph.phantom.truth import (
    concavity,
    curve_rows,
    disc_rows,
    heights,
    moments,
    superior_axis,
    tangent_at,
    vertebra_rows,
)

UP = np.array([0.0, 0.0, 1.0])


def draw(seed=0, **options):
    return draw_parameters(np.random.default_rng(seed), PhantomOptions(**options))


def plain(**changes):
    """L3 of a phantom with plane, parallel endplates 25 mm apart unless changed."""
    shape = draw(0)["L3"]
    flat = {
        "height_front": 25.0,
        "height_back": 25.0,
        "right_minus_left": 0.0,
        "concavity_superior": 0.0,
        "concavity_inferior": 0.0,
    }
    return replace(shape, **(flat | changes))


def test_heights_of_parallel_plates():
    assert heights(BodyPart(plain()), UP) == pytest.approx(
        dict.fromkeys(("anterior", "middle", "posterior", "left", "right"), 25.0)
    )


def test_heights_of_a_wedge():
    # 10 % of the depth from the front is 0.4 depths before the middle: 25 + 0.4 * 5 = 27 in front, 23 behind.
    found = heights(BodyPart(plain(height_front=27.5, height_back=22.5)), UP)
    assert (found["anterior"], found["middle"], found["posterior"]) == pytest.approx((27.0, 25.0, 23.0))


def test_heights_of_a_lateral_wedge():
    # 30 % of the width to the right: 25 + 0.3 * 10 = 28.
    found = heights(BodyPart(plain(right_minus_left=10.0)), UP)
    assert (found["left"], found["right"], found["middle"]) == pytest.approx((22.0, 28.0, 25.0))


def test_heights_along_a_tilted_axis():
    # Parallel plates 25 mm apart, crossed at 20 degrees.
    axis = np.array([0.0, np.sin(np.radians(20)), np.cos(np.radians(20))])
    assert heights(BodyPart(plain()), axis)["middle"] == pytest.approx(25 / np.cos(np.radians(20)))


def test_concavity_is_the_depth_of_the_dish_and_counts_in_the_middle_height():
    body = BodyPart(plain(concavity_superior=1.5, concavity_inferior=2.5))
    assert concavity(body, True) == pytest.approx(1.5, abs=0.01)
    assert concavity(body, False) == pytest.approx(2.5, abs=0.01)
    found = heights(body, UP)
    assert found["anterior"] == pytest.approx(25.0, abs=0.05)
    assert 21.0 <= found["middle"] < 21.3


def test_schmorl_node_deepens_its_endplate():
    body = BodyPart(plain(), (Schmorl("L3", superior=True, depth_mm=6.0, radius_mm=6.0),))
    assert concavity(body, True) == pytest.approx(6.0, abs=0.05)
    assert concavity(body, False) == pytest.approx(0.0, abs=0.01)


def test_quadrature_of_a_sphere_and_a_rod():
    sphere = Bone(1, Placement(), (Step(Blob(np.zeros(3), (10.0, 10.0, 10.0)), 0.0),))
    volume, centre, _ = moments(sphere, None)
    assert volume == pytest.approx(4 / 3 * np.pi * 1000, rel=0.002)
    assert centre == pytest.approx(np.zeros(3), abs=0.01)
    rod = Bar(np.zeros(3), np.array([30.0, 0, 0]), (5.0, 5.0), (5.0, 5.0), np.array([0, 1.0, 0]), 1.0, 1.0)
    assert Bone(1, Placement(), (Step(rod, 0.0),)).volume_mm3() == pytest.approx(
        np.pi * 25 * 30 + 4 / 3 * np.pi * 125, rel=0.003
    )


def test_quadrature_gives_shared_space_to_the_deeper_one():
    # Two equal spheres of radius 10 with middles 12 apart: each ends at the plane halfway between.
    one = Bone(1, Placement(), (Step(Blob(np.zeros(3), (10.0, 10.0, 10.0)), 0.0),))
    two = replace(one, placement=Placement(rotation(20.0), np.array([12.0, 0, 0])))
    cap = np.pi * 4**2 * (3 * 10 - 4) / 3
    assert moments(one, None, [two], 0.0)[0] == pytest.approx(4 / 3 * np.pi * 1000 - cap, rel=0.005)


@pytest.mark.parametrize(("kind", "place"), [("wedge", "anterior"), ("biconcave", "middle"), ("crush", "posterior")])
@pytest.mark.parametrize("loss", [22.0, 35.0, 60.0])
def test_fracture_loses_what_was_asked(kind, place, loss):
    patient = draw(2, pathology=Pathology(fractures=(Fracture("L1", kind, loss),)))
    body = BodyPart(patient["L1"])
    axis = superior_axis(
        body.shape, tangent_at(patient, patient.levels.index(next(v for v in patient.levels if str(v) == "L1")))
    )
    before = heights(BodyPart(patient.before["L1"]), UP)
    now = heights(body, axis)
    assert 100 * (1 - now[place] / before[place]) == pytest.approx(loss, abs=1.0)
    if kind != "crush":
        assert now["posterior"] == pytest.approx(before["posterior"], rel=0.03)


def test_grade_and_type_of_fractures():
    lost = (Fracture("T8", "wedge", 22.0), Fracture("L1", "biconcave", 30.0), Fracture("L3", "crush", 45.0))
    patient = draw(3, pathology=Pathology(fractures=lost))
    rows = {row["level"]: row for row in vertebra_rows(patient, None)}
    assert [(rows[v]["genant_grade"], rows[v]["genant_type"]) for v in ("T8", "L1", "L3")] == [
        (1, "wedge"),
        (2, "biconcave"),
        (3, "crush"),
    ]
    assert rows["L2"]["genant_grade"] == 0
    assert rows["L3"]["height_before_posterior_mm"] > rows["L3"]["height_posterior_mm"] * 1.7


def test_a_half_vertebra_is_no_fracture():
    rows = {row["level"]: row for row in vertebra_rows(draw(3, variants=Variants(half_vertebra="T9")), None)}
    assert rows["T9"]["height_right_mm"] > rows["T9"]["height_left_mm"] * 2
    assert rows["T9"]["genant_grade"] == 0
    assert rows["T9"]["height_loss_middle_pct"] == 0


@pytest.mark.parametrize(
    ("wish", "name", "value"),
    [
        ("lordosis_L1_L5_deg", "lordosis_L1_L5", 45.0),
        ("kyphosis_T4_T12_deg", "kyphosis_T4_T12", -50.0),
        ("lordosis_C2_C7_deg", "lordosis_C2_C7", 20.0),
    ],
)
def test_cobb_angle_as_asked(wish, name, value):
    rows = {row["name"]: row for row in curve_rows(draw(4, alignment=Alignment(**{wish: value})), set())}
    assert rows[name]["angle_deg"] == pytest.approx(value, abs=0.1)


def test_coronal_curve_as_asked_and_convex_to_the_right():
    patient = draw(4, alignment=Alignment(coronal_curve_deg=30.0, coronal_ends=("T6", "L2")))
    found = rim_tilts(patient["T6"])["superior_coronal"] - rim_tilts(patient["L2"])["inferior_coronal"]
    assert found == pytest.approx(30.0, abs=0.1)
    x = {v.level: v.centre_mm[0] for v in patient.vertebrae}
    assert x["T10"] > (x["T6"] + x["L2"]) / 2 + 5


def test_disc_height_and_slip_as_asked():
    patient = draw(4, alignment=Alignment(disc_heights_mm={"L2": 12.0}, slips_mm={"L4": 9.0}))
    rows = {row["upper_level"]: row for row in disc_rows(patient, ["L2", "L4"])}
    assert rows["L4"]["slip_mm"] == pytest.approx(9.0, abs=0.05)
    assert rows["L4"]["meyerding"] == 1
    # Rim planes 12 mm apart; the gap also holds both concavities.
    shapes = patient["L2"], patient["L3"]
    dish = shapes[0].concavity_inferior + shapes[1].concavity_superior
    assert rows["L2"]["height_middle_mm"] == pytest.approx(12.0 + dish, abs=0.5)


def test_last_level_is_named_when_substituted():
    rows = {row["name"]: row for row in curve_rows(draw(1, variants=Variants(thoracic=11, lumbar=6)), set())}
    assert (rows["kyphosis_T4_T12"]["lower_level"], rows["lordosis_L1_L5"]["lower_level"]) == ("T11", "L6")
    assert rows["lordosis_L1_L5"]["flags"] == "last_level_substituted"
    assert rows["lordosis_C2_C7"]["flags"] == ""


def test_tilts_turn_with_the_vertebra():
    shape = plain()
    turned = replace(shape, rotation=tuple(tuple(row) for row in rotation(10.0)))
    assert rim_tilts(turned)["superior_sagittal"] == pytest.approx(10.0)
    turned = replace(shape, rotation=tuple(tuple(row) for row in rotation(0.0, -7.0)))
    assert rim_tilts(turned)["inferior_coronal"] == pytest.approx(7.0)


def test_rib_and_variant_facts():
    from verse_morph.phantom.truth import scan_facts

    facts = scan_facts(draw(0, variants=Variants(castellvi="3b", lumbar=6, cervical_ribs=("left",))))
    assert (facts["lumbar_total"], facts["lumbar_labelled"], facts["transitional_unlabelled"]) == (6, 5, 1)
    assert facts["cervical_ribs"] == ["left"]
