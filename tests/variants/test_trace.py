"""The middle line of a bone against rods and arcs of known length."""

import numpy as np
import pytest

from verse_morph.space import Grid
from verse_morph.variants.trace import trace


def tube(line, radius, spacing=1.0):
    line = np.asarray(line, dtype=float)
    low, high = line.min(axis=0) - 10, line.max(axis=0) + 10
    shape = tuple(np.ceil((high - low) / spacing).astype(int))
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = low
    grid = Grid(shape, affine)
    from scipy.spatial import cKDTree

    points = grid.to_world(np.argwhere(np.ones(shape, dtype=bool)))
    away = cKDTree(line).query(points)[0].reshape(shape)
    return away <= radius, grid


def arc(radius, degrees):
    t = np.radians(np.linspace(0, degrees, 2000))
    return np.stack([radius * np.cos(t), radius * np.sin(t), 0.2 * radius * t], axis=1)


def length(line):
    return np.linalg.norm(np.diff(line, axis=0), axis=1).sum()


@pytest.mark.parametrize("spacing", [1.0, 1.6])
@pytest.mark.parametrize(("radius", "degrees"), [(60, 170), (100, 60), (35, 90)])
def test_arc_is_as_long_as_it_is(radius, degrees, spacing):
    line = arc(radius, degrees)
    mask, grid = tube(line, 4.0, spacing)
    found = trace(mask, grid, line[0])
    # The rounded ends reach 4 mm beyond the axis; the line starts in the middle of the first 10 mm.
    assert found.length_mm == pytest.approx(length(line) + 8.0 - 5.5, abs=2.0)
    assert np.linalg.norm(found.points_mm[-1] - line[-1]) < 6.0


def test_neither_end_matters_to_a_straight_rod():
    line = np.linspace([0, 0, 0], [30, 20, -40], 500)
    mask, grid = tube(line, 3.5)
    there, back = trace(mask, grid, line[0]), trace(mask, grid, line[-1])
    assert there.length_mm == pytest.approx(back.length_mm, abs=1.0)
    assert there.section_mm2 == pytest.approx(np.pi * 3.5**2, rel=0.35)


def test_what_touches_a_bone_does_not_lengthen_it():
    line = np.linspace([0, 0, 0], [90, 0, 20], 1000)
    alone, grid = tube(line, 4.0)
    x = grid.to_world(np.argwhere(np.ones(grid.shape, dtype=bool)))
    beside = (np.linalg.norm(x - [45, 9, 10], axis=1) < 7.0).reshape(grid.shape)
    assert (beside & ~alone).sum() > 500
    both, without = trace(alone | beside, grid, line[0]), trace(alone, grid, line[0])
    assert both.length_mm == pytest.approx(without.length_mm, abs=1.5)


def test_a_faint_end_is_not_bone():
    line = np.linspace([0, 0, 0], [50, 0, 0], 500)
    mask, grid = tube(line, 4.0)
    x = grid.to_world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1))[..., 0]
    hu = np.where(x < 49, 600.0, 210.0)
    assert trace(mask, grid, line[0], hu).length_mm < trace(mask, grid, line[0]).length_mm - 3.0


def test_a_single_voxel_has_no_length():
    mask = np.zeros((5, 5, 5), dtype=bool)
    mask[2, 2, 2] = True
    assert trace(mask, Grid((5, 5, 5), np.eye(4)), np.zeros(3)).length_mm == 0.0
