"""Curvature on surfaces whose curvature is known: sphere, cylinder, torus, plane."""

import numpy as np
import pytest
import trimesh

from verse_morph.anatomy import Level
from verse_morph.errors import NotMeasurable
from verse_morph.measure.surface import curvature, surface_curvature, vertex_normals
from verse_morph.space import Grid
from verse_morph.spine import Mesh, Vertebra


def mesh(made):
    return Mesh(made.vertices, made.faces)


def test_sphere():
    found = curvature(mesh(trimesh.creation.icosphere(subdivisions=4, radius=20)))
    np.testing.assert_allclose(found.mean_per_mm, 1 / 20, rtol=0.03)
    np.testing.assert_allclose(found.gaussian_per_mm2, 1 / 400, rtol=0.06)
    np.testing.assert_allclose(found.curvedness_per_mm, 1 / 20, rtol=0.03)
    assert found.shape_index.min() > 0.97  # a dome


def test_the_inside_of_a_sphere_is_a_pit():
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=20)
    found = curvature(Mesh(sphere.vertices, sphere.faces[:, ::-1]))
    np.testing.assert_allclose(found.mean_per_mm, -1 / 20, rtol=0.03)
    assert found.shape_index.max() < -0.97


def tube(radius, length=40.0, around=72, rings=54):
    angle, z = np.meshgrid(np.linspace(0, 2 * np.pi, around, endpoint=False), np.linspace(0, length, rings))
    vertices = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1).reshape(-1, 3)
    k = np.arange((rings - 1) * around)
    right = (k // around) * around + (k + 1) % around
    faces = np.concatenate(
        [np.stack([k, right, k + around], axis=1), np.stack([right, right + around, k + around], axis=1)]
    )
    return Mesh(vertices, faces)


def test_cylinder():
    made = tube(10.0)
    found = curvature(made)
    inner = (made.vertices_mm[:, 2] > 6) & (made.vertices_mm[:, 2] < 34)
    np.testing.assert_allclose(found.largest_per_mm[inner], 1 / 10, rtol=0.06)
    np.testing.assert_allclose(found.smallest_per_mm[inner], 0, atol=0.002)
    np.testing.assert_allclose(found.shape_index[inner], 0.5, atol=0.03)  # a ridge
    np.testing.assert_allclose(found.mean_per_mm[inner], 1 / 20, rtol=0.06)


def test_torus():
    made = trimesh.creation.torus(major_radius=20, minor_radius=8, major_sections=120, minor_sections=50)
    found = curvature(mesh(made))
    rho = np.hypot(made.vertices[:, 0], made.vertices[:, 1])
    across = (rho - 20) / 8 / rho
    np.testing.assert_allclose(found.largest_per_mm, 1 / 8, rtol=0.09)
    np.testing.assert_allclose(found.smallest_per_mm, across, atol=0.004)
    assert (found.gaussian_per_mm2[rho < 18] < 0).all()
    assert (found.gaussian_per_mm2[rho > 22] > 0).all()


def test_a_plane_has_no_shape():
    x, y = np.meshgrid(np.arange(20.0), np.arange(20.0))
    flat = np.stack([x.ravel(), y.ravel(), np.zeros(400)], axis=1)
    k = np.arange(380)[np.arange(380) % 20 != 19]
    faces = np.concatenate([np.stack([k, k + 1, k + 20], 1), np.stack([k + 1, k + 21, k + 20], 1)])
    found = curvature(Mesh(flat, faces))
    np.testing.assert_allclose(found.curvedness_per_mm, 0, atol=1e-9)
    assert np.isnan(found.shape_index).all()


def test_a_finer_neighbourhood_sees_smaller_bends():
    made = mesh(trimesh.creation.icosphere(subdivisions=4, radius=8))
    wide, narrow = (np.abs(curvature(made, r).mean_per_mm - 1 / 8).mean() for r in (6.0, 3.0))
    assert narrow < 0.5 * wide


def test_the_two_sides_of_a_thin_plate_do_not_mix():
    box = trimesh.creation.box((40, 40, 2)).subdivide_to_size(1.5)
    found = curvature(mesh(box))
    inner = (np.abs(box.vertices[:, :2]) < 13).all(axis=1)
    np.testing.assert_allclose(found.curvedness_per_mm[inner], 0, atol=1e-6)


def test_too_few_neighbours_have_no_curvature():
    found = curvature(mesh(trimesh.creation.box((40, 40, 40))))
    assert np.isnan(found.mean_per_mm).all()


def test_normals_point_outwards():
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=5)
    np.testing.assert_allclose(vertex_normals(mesh(sphere)), sphere.vertices / 5, atol=0.03)


def test_bad_input():
    sphere = mesh(trimesh.creation.icosphere(subdivisions=2, radius=5))
    with pytest.raises(ValueError, match="positive"):
        curvature(sphere, 0.0)
    blank = np.zeros((2, 2, 2), bool)
    bare = Vertebra(Level.L1, 20, Grid(blank.shape, np.eye(4)), blank, 0.0)
    with pytest.raises(NotMeasurable, match="L1: no surface"):
        surface_curvature(bare)
    cut = Vertebra(
        Level.L1, 20, bare.grid, blank, 0.0, mesh=sphere, why={"whole": "the image border cuts the vertebra"}
    )
    with pytest.raises(NotMeasurable, match="L1: the image border cuts the vertebra"):
        surface_curvature(cut)
