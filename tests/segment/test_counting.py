"""Is the row whole, and does it end where the sacrum begins?"""

from __future__ import annotations

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.segment.cascade import ScanFlag, scan_flags
from verse_morph.segment.counting import (
    SACRUM_SHARE,
    SACRUM_SHARE_OF_L6,
    count_doubt,
    room_above_sacrum,
    seen_below,
)
from verse_morph.segment.identify import sacral_share
from verse_morph.segment.locate import Location
from verse_morph.space import Grid

STEP_MM = 34.0
SHAPE = (40, 40, 80)
GRID = Grid(SHAPE, np.diag([4.0, 4.0, 4.0, 1.0]))
LUMBAR = (Level.L1, Level.L2, Level.L3, Level.L4, Level.L5)


def row(levels=LUMBAR, lowest_mm=120.0):
    count = len(levels)
    return {level: np.array([80.0, 80.0, lowest_mm + STEP_MM * (count - 1 - k)]) for k, level in enumerate(levels)}


def location(top_mm=96.0, sacrum=True):
    """A sacrum from the scan's foot up to a height, somewhat behind the column."""
    sacral = np.zeros(SHAPE, np.float32)
    if sacrum:
        sacral[12:28, 10:22, 0 : int(top_mm / 4) + 1] = 1
    line = np.column_stack([np.full(80, 80.0), np.full(80, 80.0), np.arange(80) * 4.0])
    nothing = np.zeros(SHAPE, np.float32)
    return Location(True, "", GRID, nothing, nothing, sacral, np.array([[40.0, 40, 2], [120.0, 120, 310]]), line)


def test_a_row_that_ends_at_the_sacrum_is_beyond_doubt():
    assert count_doubt(row(), location()) == ""


def test_room_for_an_l6_is_told():
    said = count_doubt(row(lowest_mm=120.0 + STEP_MM), location())
    assert "between L5 and the sacrum" in said


def test_the_sacrum_that_naming_saw_counts_before_the_locating_stage():
    points = row()
    above, near, far = (points[Level.L5] - [0.0, 0.0, steps * STEP_MM] for steps in (0.0, 1.0, 1.8))
    assert count_doubt(points, None, near) == ""
    assert "between L5 and the sacrum" in count_doubt(points, None, far)
    # The outline of the locating stage would leave room, or none.
    assert count_doubt(row(lowest_mm=120.0 + STEP_MM), location(), above) == ""
    assert "between L5 and the sacrum" in count_doubt(points, location(), far)


def test_a_last_vertebra_in_the_sacrum_is_told():
    said = count_doubt(row((*LUMBAR, Level.L6), 84.0), location(top_mm=100.0))
    assert said == "L6 may be the first sacral vertebra"


def test_an_l6_is_told_sooner_than_an_l5():
    """The same place, a third of it sacrum: an L5 is often as near, an L6 is an S1 more often than not."""
    places = row((*LUMBAR, Level.L6), 100.0)
    there = location(top_mm=96.0)
    share = sacral_share(there, places[Level.L6][None])[0]
    assert SACRUM_SHARE_OF_L6 < share < SACRUM_SHARE
    assert count_doubt(places, there) == "L6 may be the first sacral vertebra"
    assert count_doubt(places, there, places[Level.L6] - [0.0, 0.0, STEP_MM]) == "", "naming saw S1 below it"
    renamed = dict(zip((Level.T12, *LUMBAR), places.values(), strict=True))
    assert count_doubt(renamed, there) == ""


@pytest.mark.parametrize("levels", [LUMBAR[:2], ()])
def test_nothing_is_said_of_too_short_a_row(levels):
    assert count_doubt(row(levels, 120.0 + 3 * STEP_MM), location()) == ""


def test_nothing_is_said_without_a_sacrum_in_view():
    assert count_doubt(row(lowest_mm=120.0 + STEP_MM), location(sacrum=False)) == ""


def test_the_usual_step_is_that_of_the_lowest_vertebrae():
    # Thoracic steps are shorter; their median would call any lumbar row too far from the sacrum.
    chest = [Level(f"T{n}") for n in range(12, 4, -1)]
    upper = {level: np.array([80.0, 80.0, 256.0 + 20 * (k + 1)]) for k, level in enumerate(chest)}
    assert count_doubt(row() | upper, location()) == ""


def test_room_within_the_row_is_told():
    points = row((*LUMBAR, Level.L6), 86.0)
    points = {level: points[level] for level in (Level.L1, Level.L2, Level.L4, Level.L5, Level.L6)}
    # The row as a network names it that has missed one: names without a gap over places with one.
    shifted = dict(zip(LUMBAR, points.values(), strict=True))
    assert count_doubt(shifted, None) == "between L2 and L3 there is room for another vertebra"
    # A level that was not found is no surprise.
    assert count_doubt(points, None) == ""


def test_the_axis_stands_high_above_the_third():
    levels = (Level.C1, Level.C2, Level.C3, Level.C4, Level.C5, Level.C6)
    places = row(levels) | {Level.C1: np.array([80.0, 80, 360]), Level.C2: np.array([80.0, 80.0, 300.0])}
    assert count_doubt(places, None) == ""


def test_doubt_about_the_number_is_doubt_about_the_numbering():
    assert ScanFlag.IN_DOUBT not in scan_flags(LUMBAR, None)
    assert ScanFlag.IN_DOUBT in scan_flags(LUMBAR, None, "there is room")


def candidates(*places_mm, confidence):
    return np.array(places_mm, dtype=float).reshape(-1, 3), np.array(confidence, dtype=float)


def test_what_naming_left_unnamed_one_step_below_is_seen():
    points = row()
    below, beyond, beside = points[Level.L5] - [0, 0, STEP_MM], points[Level.L5] - [0, 0, 2 * STEP_MM], points[Level.L4]
    bodies, sure = candidates(beside, beyond, below, confidence=[1.0, 0.9, 0.3])
    assert np.array_equal(seen_below(points, bodies, sure), below)
    assert seen_below(points, bodies[:2], sure[:2]) is None
    assert seen_below(points, bodies, np.array([1.0, 0.9, 0.1])) is None, "too unsure"
    assert seen_below({Level.L5: points[Level.L5]}, bodies, sure) is None, "no usual step to go by"
    assert seen_below(points, *candidates(confidence=[])) is None


@pytest.mark.parametrize(("steps", "without", "with_one"), [(1.1, False, False), (1.3, False, True), (1.5, True, True)])
def test_less_room_is_enough_where_naming_saw_something(steps, without, with_one):
    points = row()
    top = points[Level.L5] - [0, 0, steps * STEP_MM]
    assert room_above_sacrum(points, top) is without
    assert room_above_sacrum(points, top, points[Level.L5] - [0, 0, STEP_MM]) is with_one
