"""Ribs as rods beside box vertebrae."""

import numpy as np
import pytest

from verse_morph.anatomy import VERSE, LabelScheme
from verse_morph.variants.neighbourhood import surroundings
from verse_morph.variants.ribs import find_ribs
from verse_morph.variants.rules import Rules

from .scene import Scene

ALL = LabelScheme("all", VERSE.levels, {60: "rib_left_12", 61: "rib_right_12", 26: "sacrum"})


def scene_with(length, side=-1, **more):
    scene = Scene()
    scene.vertebra("T12", (0, 0, 25), **more)
    scene.vertebra("L1", (0, 0, -10))
    # The head's middle lies 6 mm beside the block; the rod is rounded by 4 mm at both ends.
    start = np.array([side * 21.5, -6.0, 25.0])
    scene.rod([start, start + np.array([side * 0.8, -0.3, -0.52]) * (length - 2.0)])
    return scene


def found(scene, scheme=VERSE, ct=True):
    around = surroundings(scene.spine(), scene.scan() if ct else None, scene.mask(scheme))
    return {(str(rib.level), rib.side): rib for rib in find_ribs(around, Rules())}


@pytest.mark.parametrize(("length", "kind"), [(20, "stump"), (32, "stump"), (46, "rib")])
@pytest.mark.parametrize(("side", "name"), [(-1, "left"), (1, "right")])
def test_length_class_and_side(length, kind, side, name):
    ribs = found(scene_with(length, side))
    rib, other = ribs["T12", name], ribs["T12", "right" if name == "left" else "left"]
    assert rib.kind == kind
    assert rib.length_mm == pytest.approx(length, abs=3.0)
    assert other.kind == "none"
    assert other.length_mm is None
    assert ribs["L1", name].kind == "none"


def test_borderline_is_said():
    assert found(scene_with(38))["T12", "left"].borderline
    assert not found(scene_with(25))["T12", "left"].borderline


def test_a_rib_that_meets_the_border_is_no_stump():
    scene = Scene(shape=(96, 90, 120))
    scene.vertebra("T12", (0, 0, 10))
    scene.rod([(-21.5, -6, 10), (-60, -20, 0)])
    rib = found(scene)["T12", "left"]
    assert rib.kind == "not_assessable"
    assert rib.truncated
    assert "border" in rib.why


@pytest.mark.parametrize(("gap_mm", "kind"), [(6.0, "not_assessable"), (26.0, "stump")])
def test_a_rib_with_a_gap_in_its_neck_is_no_stump(gap_mm, kind):
    """A thin neck falls below the threshold of bone; what lies far away is another thing."""
    scene = scene_with(14)
    way = np.array([-0.8, -0.3, -0.52])
    start = np.array([-21.5, -6.0, 25.0]) + way * (12.0 + 8.0 + gap_mm)
    scene.rod([start, start + way * 60.0])
    rib = found(scene)["T12", "left"]
    assert rib.kind == kind
    assert ("larger bone" in rib.why) == (kind == "not_assessable")


def test_without_view_beside_the_vertebra_absence_says_nothing():
    scene = Scene(shape=(46, 90, 120))
    scene.vertebra("T12", (0, 0, 10))
    rib = found(scene)["T12", "left"]
    assert rib.kind == "not_assessable"
    assert "ends beside" in rib.why


def test_an_organ_as_bright_as_bone_is_no_rib():
    scene = scene_with(30)
    scene.rod([(45, -5, -10), (47, -5, -12)], radius=22.0, hu=260)
    ribs = found(scene)
    assert ribs["L1", "right"].kind == "none"
    assert ribs["T12", "left"].kind == "stump"


def test_a_rib_that_passes_the_next_vertebra_is_not_its_own():
    scene = Scene()
    scene.vertebra("T12", (0, 0, 25))
    scene.vertebra("L1", (0, 0, -10), half=(34, 22, 12))
    scene.rod([(-21.5, -6, 25), (-34, -10, 12), (-42, -14, -10), (-46, -14, -40)])
    ribs = found(scene)
    assert ribs["T12", "left"].kind == "rib"
    assert ribs["L1", "left"].kind == "none"


def test_a_rib_that_the_next_outline_cuts_in_two_is_no_stump():
    scene = Scene()
    scene.vertebra("T12", (0, 0, 25))
    scene.vertebra("L1", (0, 0, -10), half=(36, 22, 12))
    scene.rod([(-21.5, -6, 25), (-29, -6, 4), (-40, -10, -40)])
    rib = found(scene)["T12", "left"]
    assert rib.kind == "not_assessable"
    assert rib.truncated
    assert "ends at the outline" in rib.why


def test_labelled_ribs_need_no_ct():
    scene = scene_with(30)
    rod = (scene.hu > 100) & (scene.labels == 0)
    scene.labels[rod] = 60
    rib = found(scene, ALL, ct=False)["T12", "left"]
    assert (rib.kind, rib.source) == ("stump", "mask")
    assert rib.length_mm == pytest.approx(30, abs=3.0)


def test_neither_ct_nor_labels():
    rib = found(scene_with(30), ct=False)["T12", "left"]
    assert rib.kind == "not_assessable"
    assert "CT" in rib.why


def test_a_short_floating_rib_runs_backwards():
    scene = Scene()
    scene.vertebra("T12", (0, 0, 25), half=(16, 10, 12))
    scene.vertebra("L1", (0, 0, -10), half=(16, 10, 12))
    scene.rod([(-22, -6, 25), (-21, -24, 18)])
    ribs = found(scene)
    assert ribs["T12", "left"].kind == "stump"
    assert ribs["T12", "left"].length_mm == pytest.approx(19, abs=4.0)
    # The same behind a lumbar vertebra is part of a joint, not a rib.
    scene.rod([(22, -6, -10), (21, -24, -17)])
    assert found(scene)["L1", "right"].kind == "none"


@pytest.mark.parametrize(("own", "kind"), [(True, "stump"), (False, "none")])
def test_the_eleventh_rib_that_passes_behind_is_not_that_of_the_twelfth_vertebra(own, kind):
    scene = Scene()
    scene.vertebra("T11", (0, 0, 42), half=(16, 22, 12))
    scene.vertebra("T12", (0, 0, 10), half=(16, 22, 12))
    scene.rod([(-22, -6, 42), (-23, -26, 34), (-23, -30, 14), (-50, -34, -10)])
    if own:
        scene.rod([(-22, -4, 10), (-30, -10, 2)])
    ribs = found(scene)
    # Were contact behind the process counted, the rib would be torn in two and T12 get 43 mm of it.
    assert ribs["T11", "left"].kind == "rib"
    assert ribs["T11", "left"].length_mm > 70
    assert ribs["T12", "left"].kind == kind
    assert ribs["T12", "right"].kind == "none"


def touching_ribs(low, high):
    scene = Scene()
    scene.vertebra("C7", (0, 0, 22), half=(16, 18, 8))
    scene.vertebra("T1", (0, 0, 0), half=(16, 18, 9))
    scene.rod([(-20.5, -4, 24), (-34, 2, 18), (-60, 18, 4)], radius=3.0)
    scene.rod([(-21, -4, 0), (-44, 6, 0), (-60, 24, -14)], radius=3.5)
    # What the blur of a scanner leaves of the gap between them.
    scene.block(low, high, hu=300)
    return found(scene)


def test_a_rib_of_c7_that_touches_the_first_rib_is_parted_where_the_bone_is_darkest():
    ribs = touching_ribs((-42, 2, 0), (-36, 10, 13))
    cervical, first = ribs["C7", "left"], ribs["T1", "left"]
    assert cervical.kind == "rib"
    assert not cervical.truncated
    assert "touches another" in cervical.why
    assert cervical.length_mm == pytest.approx(48, abs=5.0)
    assert first.length_mm == pytest.approx(54, abs=8.0)
    assert ribs["C7", "right"].kind == "none"


def test_a_rib_of_c7_that_ends_at_the_first_rib_is_at_least_so_long():
    rib = touching_ribs((-62, 12, -12), (-54, 24, 4))["C7", "left"]
    assert rib.kind == "rib"
    assert rib.truncated
    assert 30 < rib.length_mm < 52
    assert "joins another" in rib.why


def test_rib_of_c7_and_the_first_rib_keep_apart():
    scene = Scene()
    scene.vertebra("C7", (0, 0, 22), half=(16, 18, 8))
    scene.vertebra("T1", (0, 0, 0), half=(16, 18, 9))
    scene.rod([(-20.5, -4, 22), (-34, 4, 14), (-44, 14, 4)], radius=3.0)
    scene.rod([(21, -4, 0), (44, 4, -6), (60, 20, -14)], radius=3.5)
    ribs = found(scene)
    assert ribs["C7", "left"].kind in ("rib", "stump")
    assert ribs["C7", "right"].kind == "none"
    assert ribs["T1", "right"].kind == "rib"


def test_noise_does_not_tie_ribs_together():
    scene = Scene()
    scene.vertebra("T11", (0, 0, 42))
    scene.vertebra("T12", (0, 0, 10))
    scene.rod([(-21, -6, 44), (-50, -14, 40), (-66, -10, 34)])
    scene.rod([(-21, -6, 12), (-50, -14, 8)])
    quiet = found(scene)
    noise = np.random.default_rng(5).normal(0, 420, scene.hu.shape)
    scene.hu = (scene.hu + noise).astype(np.int16)
    ribs = found(scene)
    for level in ("T11", "T12"):
        assert ribs[level, "left"].kind == quiet[level, "left"].kind
        assert ribs[level, "left"].length_mm == pytest.approx(quiet[level, "left"].length_mm, abs=4.0)
        assert ribs[level, "left"].why == ""
        assert ribs[level, "right"].kind == "none"


def test_a_long_rib_may_end_no_farther_out_than_it_began():
    scene = Scene(shape=(160, 150, 60))
    scene.vertebra("T3", (0, -30, 0), half=(16, 22, 12))
    scene.rod([(-21, -36, 0), (-60, -36, 0), (-66, 20, -4), (-20, 60, -8)])
    rib = found(scene)["T3", "left"]
    assert rib.kind == "rib"
    assert rib.length_mm > 140


def test_bone_longer_than_any_rib_is_not_measured_as_one():
    scene = Scene(shape=(160, 150, 60))
    scene.vertebra("T3", (0, -30, 0), half=(16, 22, 12))
    scene.rod([(-21, -36, 0), (-68, -36, 0), (-68, 64, -4), (68, 64, -6), (68, -68, -8)])
    rib = found(scene)["T3", "left"]
    assert rib.kind == "not_assessable"
    assert rib.length_mm is None
    assert "longer than any rib" in rib.why
