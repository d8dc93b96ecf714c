import numpy as np
import pytest

from verse_morph.phantom.solids import Capsule, Ellipsoid, rotation, voxelise
from verse_morph.shape.field import UNBOUNDED_MM, sample, signed_distance, smooth_field
from verse_morph.shape.mesh import surface
from verse_morph.space import Grid

# --- field --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 3.0), (2.0, 0.5, 1.0)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_surface_lies_at_the_faces_of_voxels(spacing, axis):
    """Voxels 10 to 29 along an axis end at 9.5 and 29.5, whatever the voxel size."""
    mask = np.zeros((40, 40, 40), bool)
    mask[10:30, 10:30, 10:30] = True
    grid = Grid(mask.shape, np.diag([*spacing, 1.0]))
    for field in (signed_distance(mask, grid.spacing_mm), smooth_field(mask, grid)):
        for face, outwards in ((9.5, -1), (29.5, 1)):
            at = np.full(3, 19.5)
            at[axis] = face
            here = sample(field, grid, grid.to_world(at[None]))[0]
            assert here == pytest.approx(0, abs=0.05 * spacing[axis])
            at[axis] = face + 0.5 * outwards
            assert sample(field, grid, grid.to_world(at[None]))[0] < -0.1


def test_depth_grows_by_a_millimetre_per_millimetre():
    mask = np.zeros((40, 40, 40), bool)
    mask[10:30] = True
    distance = signed_distance(mask, np.ones(3))
    np.testing.assert_allclose(distance[10:15, 20, 20], [0.5, 1.5, 2.5, 3.5, 4.5], atol=1e-5)
    np.testing.assert_allclose(distance[5:10, 20, 20], [-4.5, -3.5, -2.5, -1.5, -0.5], atol=1e-5)


def test_far_outside_the_crop_is_far_outside_the_label():
    mask = np.ones((4, 4, 4), bool)
    grid = Grid(mask.shape, np.eye(4))
    assert sample(smooth_field(mask, grid), grid, np.array([[50.0, 0, 0]]))[0] < -10


def test_a_label_without_surface_has_finite_depth():
    assert signed_distance(np.ones((4, 4, 4), bool), np.ones(3)).max() == UNBOUNDED_MM


def test_an_empty_mask_is_outside_everywhere():
    assert (smooth_field(np.zeros((4, 4, 4), bool), Grid((4, 4, 4), np.eye(4))) < 0).all()


# --- mesh ---------------------------------------------------------------------------------------------------------


def as_trimesh(mesh):
    trimesh = pytest.importorskip("trimesh")
    return trimesh.Trimesh(mesh.vertices_mm, mesh.faces, process=False)


@pytest.mark.parametrize("spacing", [1.0, (0.8, 0.8, 2.0)])
@pytest.mark.parametrize("axes", ["RAS", "PIR", "LAS"])
def test_closed_outward_and_true_to_volume(spacing, axes):
    solid = Ellipsoid(23, 17, 13)
    mask, grid = voxelise(solid, spacing, rotation(20, 10, 5), [0.3, 0.1, 0.2], axes=axes)
    mesh = as_trimesh(surface(mask, grid))
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(mask.sum() * grid.voxel_volume_mm3, rel=0.01)
    np.testing.assert_allclose(mesh.center_mass, [0.3, 0.1, 0.2], atol=0.1)


def test_a_cube_along_the_voxel_axes_keeps_its_volume():
    mask = np.zeros((20, 20, 20), bool)
    mask[5:15, 5:15, 5:15] = True
    assert as_trimesh(surface(mask, Grid(mask.shape, np.eye(4)))).volume == pytest.approx(1000, rel=0.006)


def test_area_of_an_ellipsoid():
    solid = Ellipsoid(23, 17, 13)
    mask, grid = voxelise(solid, 1.0, rotation(20, 10, 5))
    assert as_trimesh(surface(mask, grid)).area == pytest.approx(solid.area_mm2, rel=0.02)


def test_a_thin_rod_keeps_its_volume():
    rod = Capsule((-15, 0, 0), (15, 0, 0), 2.5)
    mask, grid = voxelise(rod, 1.0, rotation(0, 20, 30))
    mesh = as_trimesh(surface(mask, grid))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(mask.sum(), rel=0.03)
    np.testing.assert_allclose(np.ptp(mesh.vertices @ (rotation(0, 20, 30) @ [1, 0, 0])), 35, atol=1.5)


def test_a_label_at_the_border_of_the_image_is_closed_flat():
    mask, grid = voxelise(Ellipsoid(23, 17, 13), 1.0, rotation(20, 10, 5))
    mask = np.ascontiguousarray(mask[30:])
    mesh = as_trimesh(surface(mask, grid))
    assert mask[0].sum() > 100
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(mask.sum(), rel=0.015)


@pytest.mark.parametrize("size", [(1, 1, 1), (10, 10, 1), (1, 1, 10)])
def test_the_thinnest_labels_still_have_a_closed_surface(size):
    mask = np.zeros((20, 20, 20), bool)
    mask[tuple(slice(5, 5 + n) for n in size)] = True
    mesh = as_trimesh(surface(mask, Grid(mask.shape, np.eye(4))))
    assert mesh.is_watertight
    assert mesh.volume > 0
