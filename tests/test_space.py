"""What lies in a grid: everything up to the outer faces of its voxels, in any orientation."""

import numpy as np
import pytest

from verse_morph.space import Grid

AXES = [np.diag([2.0, 3.0, 4.0]), np.array([[0.0, 0, -4], [-2, 0, 0], [0, 3, 0]])]


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("index", "inside"), [(-0.51, False), (-0.49, True), (0, True), (4.49, True), (4.51, False)])
def test_a_grid_ends_at_the_faces_of_its_voxels(axes, axis, index, inside):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, (10, -20, 30)
    grid = Grid((5, 5, 5), affine)
    place = np.full(3, 2.0)
    place[axis] = index
    assert bool(grid.contains(grid.to_world(place))) is inside
    assert grid.contains(grid.to_world([place, [2, 2, 2]])).tolist() == [inside, True]
