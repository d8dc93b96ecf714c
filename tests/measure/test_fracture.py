"""Height losses and grades: known losses on the level table itself, on solids, and what must not be graded."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from verse_morph.anatomy import Level
from verse_morph.errors import NotMeasurable
from verse_morph.measure import CATALOGUE, fracture, measure
from verse_morph.measure.expected import HIGHEST, NEIGHBOURS, ONE_NEIGHBOUR, OWN, WHOLE_SPINE, expect, weighted_median
from verse_morph.measure.fracture import grade_of, spinal_deformity_index, type_of
from verse_morph.measure.measurement import Measurement
from verse_morph.measure.reference_heights import PLACES, REFERENCE
from verse_morph.phantom.solids import Body, Sampling, SolidVertebra, spine_labelmap, stack
from verse_morph.shape import build_spine
from verse_morph.spine import Spine

ENTRIES = tuple(entry for entry in vars(fracture).values() if isinstance(entry, Measurement))
T4_L5 = [level for level in Level if Level.T4 <= level <= Level.L5 and level is not Level.T13]


def normal(levels=T4_L5, size=1.1):
    return {level: size * np.array(REFERENCE[level].heights) for level in levels}


def losses(heights, widths=None):
    widths = widths or {level: 1.1 * REFERENCE[level].width for level in heights}
    return expect(heights, widths)


def lose(heights, level, anterior=0.0, middle=0.0, posterior=0.0):
    heights[level] = heights[level] * (1 - np.array([anterior, middle, posterior]))


# --- rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "grade"), [(-5, 0), (19.99, 0), (20, 1), (24.99, 1), (25, 2), (40, 2), (40.01, 3), (95, 3)]
)
def test_grade_boundaries(loss, grade):
    assert grade_of(loss) == grade


@pytest.mark.parametrize(
    ("anterior", "middle", "posterior", "kind"),
    [
        (45, 30, 5, "wedge"),
        (25, 29.9, 5, "wedge"),
        (25, 30, 5, "biconcave"),
        (10, 35, 19.9, "biconcave"),
        (35, 35, 20, "crush"),
        (60, 70, 25, "crush"),
    ],
)
def test_type_of_a_loss(anterior, middle, posterior, kind):
    assert type_of({"anterior": anterior, "middle": middle, "posterior": posterior}) == kind


def test_weighted_median():
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.ones(3)) == 2
    assert weighted_median(np.array([1.0, 2.0]), np.ones(2)) == 1.5
    assert weighted_median(np.array([1.0, 2.0, 9.0]), np.array([1.0, 1.0, 5.0])) == 9


# --- expected heights ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.55, 0.85, 1.0, 1.3])
def test_the_normal_shape_of_any_size_loses_nothing_at_any_level(size):
    """A child, a small woman, a tall man; and the normal wedge of T11 or L5 is no loss."""
    for level, found in losses(normal(size=size)).items():
        np.testing.assert_allclose(found.loss, 0, atol=1e-9, err_msg=str(level))
        assert found.basis == NEIGHBOURS
        assert level not in found.references


def test_a_loss_is_found_as_it_is_and_its_level_is_no_reference():
    heights = normal()
    lose(heights, Level.L1, anterior=0.33, middle=0.18)
    found = losses(heights)
    np.testing.assert_allclose(found[Level.L1].loss, [0.33, 0.18, 0], atol=1e-9)
    np.testing.assert_allclose(found[Level.T12].loss, 0, atol=1e-9)
    assert found[Level.L1].references == (
        Level.T9, Level.T10, Level.T11, Level.T12, Level.L2, Level.L3, Level.L4, Level.L5,
    )  # fmt: skip
    assert Level.L1 not in found[Level.T12].references


def test_most_levels_fractured_are_not_taken_for_normal():
    heights = normal()
    crushed = T4_L5[2:13]
    for level in crushed:
        lose(heights, level, 0.3, 0.3, 0.3)
    found = losses(heights)
    for level in T4_L5:
        np.testing.assert_allclose(found[level].loss, 0.3 if level in crushed else 0.0, atol=1e-9, err_msg=str(level))
    assert found[Level.T10].basis == WHOLE_SPINE
    assert found[Level.T10].references == tuple(level for level in T4_L5 if level not in crushed)


def test_a_person_s_own_flat_or_wedged_shape_is_learnt_from_the_references():
    heights = {level: values * [1.04, 0.93, 1.0] for level, values in normal().items()}
    assert max(np.abs(found.loss).max() for found in losses(heights).values()) < 0.02


def test_biconcave_everywhere_is_not_explained_away():
    heights = {level: values * [1.0, 0.7, 1.0] for level, values in normal().items()}
    assert all(found.loss[1] > 0.2 for found in losses(heights).values())


def test_two_vertebrae():
    both = normal([Level.L2, Level.L3])
    for found in losses(both).values():
        assert (found.basis, len(found.references)) == (ONE_NEIGHBOUR, 1)
        np.testing.assert_allclose(found.loss, 0, atol=1e-9)
    lose(both, Level.L2, 0.35, 0.35, 0.35)
    found = losses(both)
    np.testing.assert_allclose(found[Level.L2].loss, 0.35, atol=1e-9)
    assert found[Level.L3].basis == HIGHEST
    np.testing.assert_allclose(found[Level.L3].loss, 0, atol=1e-9)


@pytest.mark.parametrize("extra", [(Level.T13,), (Level.L6,), (Level.T13, Level.L6)])
def test_additional_vertebrae_are_held_against_the_last_regular_one(extra):
    heights = normal(sorted([*T4_L5, *extra]))
    for level in extra:
        lose(heights, level, anterior=0.45)
    found = losses(heights)
    for level in extra:
        np.testing.assert_allclose(found[level].loss, [0.45, 0, 0], atol=1e-9)
    # Counted by place: with T13, the fourth level above L2 is T11.
    near = Level.T11 if Level.T13 in extra else Level.T10
    assert near in found[Level.L2].references
    assert Level.T9 not in found[Level.L2].references


def test_eleven_thoracic_vertebrae():
    heights = normal([level for level in T4_L5 if level is not Level.T12])
    lose(heights, Level.L1, 0.28, 0.28, 0.28)
    np.testing.assert_allclose(losses(heights)[Level.L1].loss, 0.28, atol=1e-9)


def test_references_low_for_their_width_are_known():
    heights = normal(size=0.7)
    widths = {level: 1.1 * REFERENCE[level].width for level in heights}
    slenderness = losses(heights, widths)[Level.L1].slenderness
    assert slenderness == pytest.approx(0.7 / 1.1, rel=0.01)
    assert slenderness < fracture.LEAST_SLENDERNESS


def test_nothing_measurable_expects_nothing():
    assert expect({}, {}) == {}


# --- a spine of solids --------------------------------------------------------------------------------------------

# Front and back height (corners) of T12 to L3 with the table's wedge at 1.1 of its size; L1 lost half of its
# front edge.
SIZES = {"T12": (22.3, 25.0), "L1": (12.0, 26.2), "L2": (25.6, 26.7), "L3": (26.1, 26.2)}
DISH = 1.0


def spine_of(levels=tuple(SIZES)):
    shapes = {
        Level(name): SolidVertebra(
            Body(42, 34, *SIZES[name], concavity_superior=DISH, concavity_inferior=DISH),
            spinous_length=8.0,
            transverse_length=6.0,
        )
        for name in levels
    }
    places = stack(shapes, np.linspace(6, -6, len(levels)), [8.0] * (len(levels) - 1), (0.27, 0.1, 0.3))
    labels = spine_labelmap({level: (shapes[level], places[level]) for level in shapes}, Sampling(margin_mm=3))
    truth = {name: shapes[Level(name)].truth(places[Level(name)]) for name in levels}
    return build_spine(labels), truth


@pytest.fixture(scope="module")
def four():
    spine, truth = spine_of()
    return spine, truth, measure(spine, ENTRIES).set_index("level")


def test_a_wedge_is_graded_and_its_neighbours_are_not(four):
    _, truth, table = four
    expected = {"T12": 0, "L1": 3, "L2": 0, "L3": 0}
    assert table["genant_grade"].to_dict() == expected
    assert table["genant_type"].to_dict() == {"T12": "none", "L1": "wedge", "L2": "none", "L3": "none"}
    before = Body(42, 34, 24.2, 26.2, concavity_superior=DISH, concavity_inferior=DISH).heights_mm()
    for place in PLACES:
        true = 100 * (1 - truth["L1"][f"height_{place}_mm"] / before[place])
        assert table.loc["L1", f"height_loss_{place}_pct"] == pytest.approx(true, abs=4), place
    assert table.loc["L1", "genant_reference"] == "T12 L2 L3"
    assert table.loc["L1", "eastell_grade"] == 2
    assert table.loc["L1", "mccloskey_type"] == "wedge"
    assert table.loc["L2", "mccloskey_type"] == "none"


def test_expected_heights_and_losses_agree(four):
    spine, _, table = four
    heights = measure(spine).set_index("level")
    for place in PLACES:
        loss = 100 * (1 - heights[f"height_{place}_mm"] / table[f"height_expected_{place}_mm"])
        np.testing.assert_allclose(table[f"height_loss_{place}_pct"], loss)


def test_distance_to_the_next_threshold(four):
    _, _, table = four
    worst = table[[f"height_loss_{place}_pct" for place in PLACES]].max(axis=1)
    for level, most in worst.items():
        nearest = min(abs(most - threshold) for threshold in (20, 25, 40))
        assert table.loc[level, "genant_distance_pct"] == pytest.approx(nearest)


def test_every_grade_says_what_it_is_not():
    named = [entry for entry in ENTRIES if "expected" not in entry.name and "reference" not in entry.name]
    assert len(named) == 9
    for entry in named:
        assert fracture.NOT_A_DIAGNOSIS in entry.compute.__doc__.replace("\n", " ").lower(), entry.name


def test_catalogue_lists_all_of_them():
    assert set(ENTRIES) <= set(CATALOGUE)
    assert not any(entry.counts for entry in ENTRIES)


def test_a_cut_body_is_not_assessed_and_no_reference(four):
    parts = ("body", "body_field_mm", "frame", "superior", "inferior")
    why = dict.fromkeys((*parts, "body"), "the image border cuts the body")
    cut = replace(four[0]["T12"], **dict.fromkeys(parts), why=why)
    table = measure(Spine((cut, *four[0].vertebrae[1:])), ENTRIES).set_index("level")
    assert np.isnan(table.loc["T12", "genant_grade"])
    assert table.loc["T12", "genant_type"] == ""
    assert table.loc["T12", "genant_grade_why"] == "T12: the image border cuts the body"
    assert table.loc["L1", "genant_grade"] == 3
    assert table.loc["L1", "genant_reference"] == "L2 L3"
    assert table.loc["L1", "genant_confidence"] == "moderate"


def test_a_lone_vertebra_is_graded_only_where_its_own_edges_show_a_loss(four):
    """A crush of a lone vertebra cannot be seen: that must not read as grade 0."""
    spine = four[0]
    alone = measure(Spine((spine["L2"],)), ENTRIES).iloc[0]
    assert np.isnan(alone["genant_grade"])
    assert "no other vertebra" in alone["genant_grade_why"]
    wedge = measure(Spine((spine["L1"],)), ENTRIES).iloc[0]
    assert wedge["genant_grade"] >= 2
    assert wedge["genant_confidence"] == "low"
    assert wedge["genant_reference"] == OWN
    assert "no unfractured level" in wedge["eastell_grade_why"]


def relabelled(spine, names):
    """The same vertebrae under other names."""
    return Spine(tuple(replace(v, level=Level(name)) for v, name in zip(spine, names, strict=True)))


@pytest.mark.parametrize("names", [("C4", "C5", "C6", "C7"), ("T1", "T2", "T3", "T3")])
def test_cervical_and_upper_thoracic_levels_are_not_assessed(four, names):
    vertebrae = tuple(four[0])[: len(set(names))]
    table = measure(relabelled(Spine(vertebrae), sorted(set(names))), ENTRIES)
    assert table["genant_grade"].isna().all()
    assert (table["genant_grade_why"] != "").all()
    assert (table["genant_type"] == "").all()


def test_l5_is_graded_with_low_confidence(four):
    table = measure(relabelled(four[0], ("L2", "L3", "L4", "L5")), ENTRIES).set_index("level")
    assert table.loc["L5", "genant_grade"] == 0
    assert table.loc["L5", "genant_confidence"] == "low"


def test_metal_or_cement_is_not_assessed(four):
    spine = four[0]
    bright = np.where(spine["L2"].body, 2500, 40).astype(np.int16)
    changed = Spine(tuple(replace(v, hu=bright) if v.level is Level.L2 else v for v in spine))
    table = measure(changed, ENTRIES).set_index("level")
    assert table.loc["L2", "genant_grade_why"] == "L2: metal or cement in the body"
    assert table.loc["L1", "genant_reference"] == "T12 L3"


# --- spinal deformity index ---------------------------------------------------------------------------------------


def test_spinal_deformity_index_sums_what_was_assessed():
    table = pd.DataFrame(
        {"level": ["T3", "T4", "T12", "T13", "L4", "L5"], "genant_grade": [3.0, 1.0, np.nan, 2.0, 3.0, 3.0]}
    )
    found = spinal_deformity_index(table)
    assert (found.total, found.levels) == (6, ("T4", "T13", "L4"))
    assert found.per_vertebra == 2


def test_spinal_deformity_index_of_nothing_is_not_zero():
    with pytest.raises(NotMeasurable, match="T4 to L4"):
        spinal_deformity_index(pd.DataFrame({"level": ["C5", "L5"], "genant_grade": [np.nan, 0.0]}))
