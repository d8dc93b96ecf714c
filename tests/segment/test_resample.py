"""Sampling a scan on another grid: against scipy, for every orientation, and half voxels where they must be exact."""

import itertools

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from verse_morph.segment import resample
from verse_morph.segment.resample import Reduced, covering_grid, reduced, sample, world_box
from verse_morph.space import Grid
from verse_morph.volume import Scan

OBLIQUE = np.array([[0.1, 0.6, -0.3], [0.9, -0.1, 0.2], [0.15, 0.25, 1.8]])


def grid_of(matrix, shape=(9, 11, 7), origin=(3.0, -4.0, 5.0)):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, origin
    return Grid(shape, affine)


def turned(permutation, signs, spacing=(0.7, 1.1, 2.0)):
    matrix = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(zip(permutation, signs, strict=True)):
        matrix[world, axis] = sign * spacing[axis]
    return matrix


def ramp(grid, coefficients=(2.0, -3.0, 5.0), constant=100.0):
    """A function that is linear in the world: interpolated exactly wherever it is sampled."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return (grid.to_world(index) @ coefficients + constant).astype(np.float32)


def expected(source, grid, outside):
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    where = np.moveaxis(source.grid.to_index(grid.to_world(index)), -1, 0)
    values = map_coordinates(source.values.astype(float), where, order=1, mode="nearest")
    shape = np.array(source.grid.shape).reshape(3, 1, 1, 1)
    return np.where(((where >= -0.5) & (where <= shape - 0.5)).all(axis=0), values, outside)


@pytest.mark.parametrize("slab", [50, 4_000_000])
@pytest.mark.parametrize("matrix", [OBLIQUE, turned((1, 2, 0), (-1, -1, 1))], ids=["oblique", "PIR"])
def test_sampling_agrees_with_scipy(matrix, slab, monkeypatch):
    monkeypatch.setattr(resample, "SLAB_VOXELS", slab)
    grid = grid_of(matrix)
    source = Reduced(np.random.default_rng(1).normal(0, 300, grid.shape).astype(np.float32), grid)
    wanted = covering_grid(grid, 0.9, margin_mm=3.0)
    got = sample(source, wanted)
    # Voxels on the very border may fall to either side of it.
    wrong = np.abs(got - expected(source, wanted, -1024)) > 0.05
    assert wrong.mean() < 0.002
    assert got.dtype == np.float32
    assert (got == -1024).any()


@pytest.mark.parametrize("permutation", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
def test_every_orientation_gives_the_same_world(permutation, signs):
    grid = grid_of(turned(permutation, signs))
    source = Reduced(ramp(grid), grid)
    centre = world_box(grid).mean(axis=0)
    small = covering_grid(grid, 0.5, box_mm=np.stack([centre - 2, centre + 2]))
    assert np.abs(sample(source, small) - ramp(small)).max() < 1e-2


def test_averaging_moves_nothing():
    """Means of blocks lie in the blocks' middles: a linear function keeps its values in the world."""
    grid = grid_of(turned((2, 0, 1), (1, -1, -1), (0.4, 0.25, 1.0)), (12, 16, 5))
    thin = reduced(Scan(ramp(grid), grid), 1.0)
    assert thin.grid.shape == (6, 4, 5)
    assert np.allclose(thin.grid.spacing_mm, (0.8, 1.0, 1.0))
    assert np.allclose(thin.values, ramp(thin.grid), atol=1e-3)


def test_averaging_keeps_integers_and_uses_the_last_incomplete_block(monkeypatch):
    monkeypatch.setattr(resample, "SLAB_VOXELS", 40)
    hu = np.arange(5 * 4 * 3).reshape(5, 4, 3).astype(np.int16)
    thin = reduced(Scan(hu, Grid((5, 4, 3), np.diag([0.5, 0.5, 0.5, 1]))), 1.0)
    assert thin.values.dtype == np.int16
    assert thin.grid.shape == (3, 2, 2)
    assert abs(thin.values[0, 0, 0] - hu[:2, :2, :2].mean()) <= 0.5
    assert abs(thin.values[2, 1, 1] - hu[4:, 2:, 2:].mean()) <= 0.5


def test_coarse_scans_are_not_copied():
    hu = np.zeros((4, 4, 4), np.int16)
    thin = reduced(Scan(hu, Grid((4, 4, 4), np.eye(4))), 1.0)
    assert np.shares_memory(thin.values, hu)


def test_the_outermost_half_voxel_belongs_to_the_scan():
    source = Reduced(np.full((4, 4, 4), 7.0, np.float32), Grid((4, 4, 4), np.eye(4)))
    affine = np.eye(4)
    affine[:3, 3] = (-0.45, 1, 1)
    assert sample(source, Grid((1, 1, 1), affine)).item() == 7
    affine[0, 3] = -0.55
    assert sample(source, Grid((1, 1, 1), affine)).item() == -1024
    affine[0, 3] = 40
    assert sample(source, Grid((2, 2, 2), affine), outside=5).tolist() == np.full((2, 2, 2), 5).tolist()


def test_a_covering_grid_covers_is_centred_and_divisible():
    grid = grid_of(OBLIQUE)
    cover = covering_grid(grid, 4.0, margin_mm=2.0, divisor=8)
    (low, high), (low_cover, high_cover) = world_box(grid), world_box(cover)
    assert all(n % 8 == 0 for n in cover.shape)
    assert (low_cover <= low - 2).all()
    assert (high_cover >= high + 2).all()
    assert np.allclose(low + high, low_cover + high_cover)
    assert np.array_equal(cover.affine[:3, :3], 4 * np.eye(3))
    exact = covering_grid(Grid((10, 10, 10), np.eye(4)), 1.0)
    assert exact.shape == (10, 10, 10)
