"""Patches to a label map: no stair-steps, the larger claim wins, islands and crumbs go, what is cut is flagged."""

import numpy as np
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.segment.flags import MaskFlag
from verse_morph.segment.merge import merge, on_voxels, without_islands
from verse_morph.segment.outline import HALF, Outlined
from verse_morph.segment.patches import patch_grid

from .stand_in import balls, scan_grid

CENTRE = np.array([3.3, -5.6, 2.7])


def at(x, y, z):
    return CENTRE + np.array([x, y, z])


def softness(grid, parts):
    """From 1 inside balls (centre, radius) to 0 outside, falling linearly over 2 mm."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    world = grid.to_world(index)
    out = np.zeros(grid.shape)
    for middle, radius in parts:
        out = np.maximum(out, np.clip(0.5 + (radius - np.linalg.norm(world - middle, axis=-1)) / 2, 0, 1))
    return out


def soft_ball(level, centre, radius, peak=1.0, extra=()):
    """A patch about a soft ball, with further balls beside it."""
    grid = patch_grid(centre)
    probability = peak * softness(grid, ((centre, radius), *extra))
    return Outlined(level, centre, grid, np.rint(255 * probability).astype(np.uint8))


@pytest.mark.parametrize(
    ("codes", "spacing"), [("RAS", (0.5, 0.4, 0.6)), ("PIR", (0.5,) * 3), ("LSA", (0.4, 0.6, 0.5))]
)
def test_borders_follow_the_probability_and_not_the_patch(codes, spacing):
    grid = scan_grid(codes, spacing, (60, 60, 60))
    made = merge([soft_ball(Level.L2, CENTRE, 15.0)], grid, "x")
    assert made.labels.scheme is VERSE
    assert made.labels.name == "x"
    assert made.labels.labels.dtype == np.uint8
    assert made.labels.values() == (21,)
    true = balls(grid, [CENTRE], 15.0) > 0
    wrong = (made.labels.labels == 21) != true
    index = np.argwhere(wrong)
    away = np.abs(np.linalg.norm(grid.to_world(index) - CENTRE, axis=1) - 15.0)
    # A nearest-neighbour mask would be wrong up to half a patch voxel's diagonal, 0.87 mm, from the surface.
    assert away.max(initial=0) < 0.1
    assert made.flags[Level.L2] == frozenset()
    assert made.volumes_cm3[Level.L2] == pytest.approx(4 / 3 * np.pi * 1.5**3, rel=0.01)


def test_thick_slices_are_labelled_by_the_mean_over_the_slice():
    grid = scan_grid("RAS", (1.0, 1.0, 5.0), (60, 60, 60))
    ball = soft_ball(Level.L2, CENTRE, 15.0)
    fine = scan_grid("RAS", (1.0, 1.0, 0.25), (60, 60, 60))
    occupied = softness(fine, [(CENTRE, 15.0)]).reshape(60, 60, 12, 20).mean(axis=3)
    assert np.abs(on_voxels(ball, grid) / 255 - occupied).max() < 0.12
    # The value at the slice's middle alone would be off by more than that.
    assert np.abs(softness(grid, [(CENTRE, 15.0)]) - occupied).max() > 0.25
    got = merge([ball], grid).labels.labels > 0
    clear = np.abs(occupied - 0.5) > 0.12
    assert (got[clear] == (occupied[clear] > 0.5)).all()


def test_the_larger_probability_wins_whatever_the_order():
    grid = scan_grid("RAS", (1.0,) * 3, (80, 60, 100))
    low, high = at(0, 0, -8.0), at(0, 0, 8.0)
    strong, weak = soft_ball(Level.L1, high, 14.0, 1.0), soft_ball(Level.L2, low, 14.0, 0.8)
    made = merge([weak, strong], grid)
    again = merge([strong, weak], grid)
    assert np.array_equal(made.labels.labels, again.labels.labels)
    both = (balls(grid, [high], 13) > 0) & (balls(grid, [low], 13) > 0)
    assert both.any()
    assert set(np.unique(made.labels.labels[both])) == {20}
    assert made.labels.values() == (20, 21)


def test_islands_go_and_large_pieces_stay():
    speck, part = (at(0, -25.0, 25.0), 3.0), (at(0, -30.0, 0), 8.0)
    ball = soft_ball(Level.L2, CENTRE, 14.0, extra=(speck, part))
    clean = without_islands(ball).probability >= HALF
    removed = (ball.probability >= HALF) & ~clean
    assert removed.sum() == pytest.approx(4 / 3 * np.pi * 27, rel=0.3)
    grid = scan_grid("RAS", (1.0,) * 3, (80, 120, 100))
    labels = merge([ball], grid).labels.labels > 0
    assert not labels[tuple(np.rint(grid.to_index(speck[0])).astype(int))]
    assert labels[tuple(np.rint(grid.to_index(part[0])).astype(int))]


def test_what_the_neighbour_leaves_of_an_island_is_removed_and_said():
    """A bar between two places whose middle the neighbour takes: the far end is an island only after the merge."""
    far = (at(0, -34.0, 0), 3.0)
    bar = [(at(0, -d, 0), 3.0) for d in range(14, 34, 2)]
    first = soft_ball(Level.L2, CENTRE, 14.0, 0.8, extra=(*bar, far))
    second = soft_ball(Level.L3, at(0, -23.0, 0), 8.5)
    made = merge([first, second], scan_grid("RAS", (1.0,) * 3, (80, 120, 100)))
    assert MaskFlag.SPECKS_REMOVED in made.flags[Level.L2]
    there = tuple(np.rint(made.labels.grid.to_index(far[0])).astype(int))
    assert made.labels.labels[there] == 0


def test_a_crumb_is_left_out_and_said():
    grid = scan_grid("RAS", (1.0,) * 3, (80, 80, 120))
    good = soft_ball(Level.L1, at(0, 0, 20.0), 15.0)
    made = merge([good, soft_ball(Level.L2, at(0, 0, -20.0), 5.0)], grid)
    assert made.labels.levels() == (Level.L1,)
    assert made.flags[Level.L2] == {MaskFlag.TOO_SMALL}
    assert tuple(made.volumes_cm3) == (Level.L1,)
    nothing = Outlined(Level.L3, CENTRE, patch_grid(CENTRE), np.zeros((96, 96, 80), np.uint8))
    assert merge([good, nothing], grid).flags[Level.L3] == {MaskFlag.TOO_SMALL}


def test_what_has_no_adults_size_is_left_out_unless_a_person_pointed_at_it():
    grid = scan_grid("RAS", (1.0,) * 3, (120, 120, 160))
    sizes = {Level.T6: (at(0, 0, 40.0), 27.0), Level.T9: (at(0, 0, -30.0), 16.5), Level.L2: (at(0, 0, -63.0), 15.0)}
    balls = [soft_ball(level, *size) for level, size in sizes.items()]
    found = merge(balls, grid, found=True)
    assert found.labels.levels() == (Level.T9,)
    assert found.flags[Level.T6] == {MaskFlag.TOO_LARGE}
    assert found.flags[Level.L2] == {MaskFlag.TOO_SMALL}
    assert merge(balls, grid).labels.levels() == (Level.T6, Level.T9, Level.L2)


def test_what_touches_the_border_is_flagged():
    grid = scan_grid("RAS", (1.0,) * 3, (60, 80, 60))
    through_the_body = soft_ball(Level.L2, np.array([0.0, 0.0, 22.0]), 15.0)
    assert merge([through_the_body], grid).flags[Level.L2] == {MaskFlag.BODY_CUT}
    process = tuple((np.array([d, -18.0, 0.0]), 5.0) for d in range(0, 36, 3))
    sideways = soft_ball(Level.L2, np.zeros(3), 15.0, extra=process)
    assert merge([sideways], grid).flags[Level.L2] == {MaskFlag.PROCESSES_CUT}


def test_a_cut_vertebra_may_be_small():
    grid = scan_grid("RAS", (1.0,) * 3, (60, 80, 60))
    sliver = soft_ball(Level.L2, np.array([0.0, 0.0, 36.0]), 12.0)
    made = merge([sliver], grid)
    assert made.labels.levels() == (Level.L2,)
    outside = soft_ball(Level.L2, np.array([0.0, 0.0, 60.0]), 12.0)
    assert merge([outside], grid).labels.levels() == ()
