"""The patch of one vertebra: where its centre comes to lie, and the heatmap that points at it."""

import numpy as np
import pytest

from verse_morph.segment.intensity import to_input
from verse_morph.segment.patches import (
    BEHIND_MM,
    BELOW_MM,
    SHAPE,
    SIGMA_MM,
    SPACING_MM,
    centre_voxel,
    heatmap,
    patch_grid,
)


def test_the_body_lies_in_front_of_the_middle_and_above_it():
    grid = patch_grid(np.array([10.0, -20.0, 300.0]))
    assert grid.shape == SHAPE
    assert np.allclose(grid.spacing_mm, SPACING_MM)
    assert np.allclose(grid.to_world(centre_voxel()), [10, -20, 300])
    middle = grid.to_world((np.array(SHAPE) - 1) / 2)
    assert np.allclose(middle, [10, -20 - BEHIND_MM, 300 - BELOW_MM])


def test_a_vertebra_fits_behind_its_centre():
    low = patch_grid(np.zeros(3)).to_world(np.zeros(3))
    high = patch_grid(np.zeros(3)).to_world(np.array(SHAPE) - 1)
    assert low[1] < -70
    assert high[1] > 20


def test_the_heatmap_is_a_gaussian_of_height_one():
    made = heatmap((21, 23, 25), np.array([10.0, 11.0, 12.0]))
    assert made.dtype == np.float32
    assert made[10, 11, 12] == pytest.approx(1)
    assert made.argmax() == np.ravel_multi_index((10, 11, 12), made.shape)
    assert made[10 + int(SIGMA_MM), 11, 12] == pytest.approx(np.exp(-0.5), abs=1e-6)
    assert made[10, 11 - int(SIGMA_MM), 12] == pytest.approx(np.exp(-0.5), abs=1e-6)
    assert heatmap((21, 23, 25), np.array([10.5, 11.0, 12.0]))[10, 11, 12] < 1


def test_network_input_is_a_window_without_surprises():
    assert to_input(np.array([-3000, -500, 200, 1300, 3071])).tolist() == pytest.approx([-1.75, -1.75, 0, 2.75, 2.75])
    assert to_input(np.array([0], np.int16)).dtype == np.float32
