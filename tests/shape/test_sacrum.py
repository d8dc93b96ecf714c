"""The first sacral endplate: found where S1 or the sacrum is labelled, never made up."""

import functools
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from verse_morph.anatomy import VERSE, LabelScheme, Level
from verse_morph.measure import measure_curves, measure_discs
from verse_morph.phantom.solids import Body, Placement, Sampling, SolidVertebra, rotation, spine_labelmap
from verse_morph.shape import build_spine
from verse_morph.volume import LabelMap

SOLID = SolidVertebra(Body(46, 34, 26, 26, footprint="box"), spinous_length=12.0, transverse_length=8.0)
GAP_MM, OPEN_DEG = 9.0, 16.0
# The lower solid stands for the sacrum: its label is read as L5, S1 or sacrum.
TURNS = (7.0, 19.0, 19.0 + OPEN_DEG)
LOWEST = 24
WITH_S1 = LabelScheme("with-s1", {22: Level.L4, 23: Level.L5, LOWEST: Level.S1})
WHOLE = LabelScheme("whole", {22: Level.L4, 23: Level.L5}, {LOWEST: "sacrum"})
WITHOUT = LabelScheme("without", {22: Level.L4, 23: Level.L5}, {LOWEST: "hip"})


@functools.cache
def column():
    turns = [rotation(-degrees, 0, 0) for degrees in TURNS]
    centres = [np.array([0.3, 0.1, 0.2])]
    for above, turn in pairwise(turns):
        up = above[:, 2] + turn[:, 2]
        centres.append(centres[-1] - above[:, 2] * 13 - GAP_MM * up / np.linalg.norm(up) - turn[:, 2] * 13)
    places = {
        VERSE.levels[22 + i]: (SOLID, Placement(turn, centre))
        for i, (turn, centre) in enumerate(zip(turns, centres, strict=True))
    }
    return spine_labelmap(places, Sampling(1.0, margin_mm=4))


def labels(scheme):
    made = column()
    return LabelMap(made.labels, made.grid, scheme, made.name)


@functools.cache
def spine(name):
    return build_spine(labels({"s1": WITH_S1, "whole": WHOLE, "without": WITHOUT}[name]))


@pytest.mark.parametrize("name", ["s1", "whole"])
def test_the_lumbosacral_disc_and_lordosis_have_their_true_values(name):
    disc = measure_discs(spine(name)).set_index("lower_level").loc["S1"]
    for place, share in (("anterior", 0.4), ("middle", 0.0), ("posterior", -0.4)):
        true = GAP_MM + 2 * share * 34 * np.tan(np.radians(OPEN_DEG / 2))
        assert disc[f"height_{place}_mm"] == pytest.approx(true, abs=0.6), place
    assert abs(disc["wedge_sagittal_deg"]) == pytest.approx(OPEN_DEG, abs=1.0)
    assert disc["wedge_coronal_deg"] == pytest.approx(0.0, abs=0.6)
    upper, lower = spine(name).vertebrae
    renamed = replace(spine(name), vertebrae=(replace(upper, level=Level.L1), lower))
    curve = measure_curves(renamed).set_index("name").loc["lordosis_L1_S1"]
    assert abs(curve["angle_deg"]) == pytest.approx(TURNS[-1] - TURNS[0], abs=1.0)
    assert curve["lower_level"] == "S1"


def test_s1_is_no_row_and_the_whole_sacrum_leaves_a_note():
    assert [str(level) for level in spine("s1").levels()] == ["L4", "L5"]
    assert not [note for note in spine("s1").notes if note.startswith("S1")]
    assert any("upper end of the sacrum's label" in note for note in spine("whole").notes)


def test_nothing_stands_in_for_an_s1_that_is_not_labelled():
    assert spine("without").sacrum_superior is None
    assert "S1" not in set(measure_discs(spine("without"))["lower_level"])
    upper, lower = spine("without").vertebrae
    renamed = replace(spine("without"), vertebrae=(replace(upper, level=Level.L1), lower))
    curve = measure_curves(renamed).set_index("name").loc["lordosis_L1_S1"]
    assert np.isnan(curve["angle_deg"])
    assert curve["angle_deg_why"] == "S1: its endplate is not in the mask"


def test_a_missing_level_above_s1_is_no_disc():
    made = column()
    gap = build_spine(LabelMap(np.where(made.labels == 23, 0, made.labels), made.grid, WITH_S1))
    assert gap.sacrum_superior is None
    assert any(note.startswith("S1: ") for note in gap.notes)


def test_an_endplate_that_the_border_cuts_is_none():
    made = column()
    above = made.labels == 23
    front = int(np.argwhere(above)[:, 1].mean())
    box = (slice(0, made.grid.shape[0]), slice(0, front + 8), slice(0, made.grid.shape[2]))
    part = LabelMap(made.labels[box], made.grid.crop(box), WITH_S1)
    cut = build_spine(part)
    assert cut.sacrum_superior is None
    assert any(note.startswith("S1: ") for note in cut.notes)
