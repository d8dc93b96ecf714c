"""What lies in a grid: everything up to the outer faces of its voxels, in any orientation."""

import numpy as np
import pytest

from verse_morph.space import Grid, paint

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


@pytest.mark.parametrize("times", [1, 2])
def test_a_region_is_painted_where_it_lies_in_the_world(times):
    affine = np.diag([0.5, 0.5, 2.0, 1.0])
    affine[:3, 3] = (3, -4, 5)
    grid, part = Grid((12, 13, 4), affine), np.diag([0.5 * times, 0.5 * times, 2.0, 1.0])
    # The first voxel's corner lies at voxel (4, 7, 1) of the grid; pairs of voxels reach beyond its end.
    corner = grid.to_world([3.5, 6.5, 0.5])
    part[:3, 3] = corner + 0.5 * np.diag(part)[:3]
    region = np.zeros((3, 4, 2), bool)
    region[0, 0, 1] = region[2, 3, 0] = True
    array = np.full(grid.shape, 9)
    paint(array, grid, region, Grid(region.shape, part), 7)
    wanted = np.full(grid.shape, 9)
    wanted[4 : 4 + times, 7 : 7 + times, 2] = 7
    wanted[4 + 2 * times : 4 + 3 * times, 7 + 3 * times : 7 + 4 * times, 1] = 7
    assert (array == wanted).all()
