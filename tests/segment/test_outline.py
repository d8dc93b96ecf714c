"""One vertebra per heatmap, and a second look where the first point was off."""

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.segment.outline import Outlined, core, outline
from verse_morph.segment.patches import patch_grid

from .stand_in import CPU, RADIUS_MM, NearAndBright, ball_scan, centres, scan_grid

BALL_MM3 = 4 / 3 * np.pi * RADIUS_MM**3


@pytest.fixture(scope="module")
def scan():
    return ball_scan(scan_grid("PIR", (1.0, 1.0, 2.0)), centres().values())


def test_each_point_gets_its_own_vertebra_head_to_foot(scan):
    points = centres()
    told = []
    found = outline(scan, dict(reversed(points.items())), NearAndBright(), CPU, lambda *a: told.append(a))
    assert [each.level for each in found] == [Level.L1, Level.L2, Level.L3]
    assert told == [("outlining", k, 3) for k in range(3)]
    for each in found:
        assert each.probability.dtype == np.uint8
        assert each.volume_mm3 == pytest.approx(BALL_MM3, rel=0.1)
        assert np.linalg.norm(core(each).centre_mm - points[each.level]) < 1
        assert core(each).depth_mm == pytest.approx(RADIUS_MM, abs=1.5)
        assert each.certainty > 0.9
        assert each.moved_mm == 0


def test_a_body_far_from_its_point_is_outlined_again(scan):
    points = centres()
    off = points[Level.L2] + [0, 9.0, 0]
    (once,) = outline(scan, {Level.L2: off}, NearAndBright(reach_mm=18.0), CPU, recentre=False)
    assert once.volume_mm3 < 0.95 * BALL_MM3
    (twice,) = outline(scan, {Level.L2: off}, NearAndBright(reach_mm=18.0), CPU)
    assert twice.moved_mm == pytest.approx(9, abs=1.5)
    assert np.linalg.norm(twice.point_mm - points[Level.L2]) < 1.5
    assert twice.volume_mm3 > once.volume_mm3
    assert np.array_equal(twice.grid.affine, patch_grid(twice.point_mm).affine)


def test_no_point_moves_to_where_another_one_is(scan):
    points = centres()
    between = points[Level.L2] + [0, 0, 9.0]
    found = outline(scan, {Level.L1: between, Level.L2: points[Level.L2]}, NearAndBright(), CPU)
    assert [each.moved_mm for each in found] == [0, 0]


@pytest.mark.parametrize("end", ["upper", "lower"])
def test_a_point_between_two_does_not_jump_over_one(end):
    places = [np.array([4.0, -6.0, z]) for z in (56.0, 28.0, 0.0, -28.0, -56.0)]
    scan = ball_scan(scan_grid(size_mm=(70, 70, 160)), places)
    between = 0.4 * np.array(places[1]) + 0.6 * np.array(places[0])
    named = dict(zip([Level.L1, Level.L2, Level.L3, Level.L4], [between, *places[2:]], strict=True))
    level, sign = Level.L1, np.ones(3)
    if end == "lower":
        sign, level = np.array([1.0, 1.0, -1.0]), Level.L4
        named = dict(zip(named, reversed([point * sign for point in named.values()]), strict=True))
    found = {each.level: each for each in outline(scan, named, NearAndBright(reach_mm=24.0), CPU)}
    assert np.linalg.norm(core(found[level]).centre_mm - places[1] * sign) < 2
    assert found[level].moved_mm > 6
    # Where no third vertebra tells the usual step, a body may lie anywhere.
    two = {each: named[each] for each in ((Level.L1, Level.L2) if end == "upper" else (Level.L3, Level.L4))}
    found = {each.level: each for each in outline(scan, two, NearAndBright(reach_mm=24.0), CPU)}
    assert np.linalg.norm(core(found[level]).centre_mm - places[0] * sign) < 2


def test_the_long_last_step_of_a_long_row_is_no_jump():
    """Steps grow from chest to sacrum: the usual one at the lower end is that of the loin."""
    heights = 75 - np.cumsum([0, 20, 20, 20, 22, 27, 31, 34])
    places = [np.array([4.0, -6.0, z]) for z in heights]
    scan = ball_scan(scan_grid(size_mm=(70, 70, 220)), places)
    levels = [Level.T10, Level.T11, Level.T12, Level.L1, Level.L2, Level.L3, Level.L4, Level.L5]
    last = outline(scan, dict(zip(levels, places, strict=True)), NearAndBright(reach_mm=24.0), CPU)[-1]
    assert last.moved_mm == 0
    assert np.linalg.norm(core(last).centre_mm - places[-1]) < 1


def test_nothing_there_is_nothing_outlined(scan):
    (found,) = outline(scan, {Level.T5: np.array([-25.0, 25.0, 60.0])}, NearAndBright(), CPU)
    assert found.volume_mm3 == 0
    assert found.certainty == 0
    assert core(found) is None


def test_what_was_outlined_is_read_only():
    made = Outlined(Level.L1, np.zeros(3), patch_grid(np.zeros(3)), np.zeros((96, 96, 80), np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        made.probability[0] = 1
