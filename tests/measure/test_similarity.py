"""Distances between surfaces after alignment: the same shape moved, scaled, and changed by a known amount."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from verse_morph.anatomy import Level
from verse_morph.measure.similarity import Alignment, Target, align, fit, sample_surface, similarity
from verse_morph.phantom.solids import rotation
from verse_morph.space import Grid
from verse_morph.spine import Mesh, Spine, Vertebra

BLANK = np.zeros((2, 2, 2), bool)
LUMP = trimesh.creation.icosphere(subdivisions=4, radius=1.0)
# Three different half-axes and a bump: no rotation but the right one fits.
SHAPE = LUMP.vertices * np.array([22.0, 16.0, 12.0])
SHAPE = SHAPE + 6 * np.exp(-((SHAPE - [15, 8, 4]) ** 2).sum(1, keepdims=True) / 50) * LUMP.vertices


def vertebra(vertices, level=Level.L2, **kwargs):
    grid = Grid(BLANK.shape, np.eye(4))
    return Vertebra(level, 21, grid, BLANK, 0.0, mesh=Mesh(vertices, LUMP.faces), **kwargs)


def spine(vertices, name, level=Level.L2, **kwargs):
    return Spine((vertebra(vertices, level, **kwargs),), name)


TURN, SHIFT = rotation(12, -9, 7), np.array([30.0, -12.0, 400.0])


def moved(scale=1.0):
    return scale * SHAPE @ TURN.T + SHIFT


def test_a_shape_is_at_no_distance_from_itself_moved():
    row = similarity(spine(SHAPE, "a"), spine(moved(), "b")).iloc[0]
    for name in ("chamfer_rigid_mm", "assd_rigid_mm", "hd95_rigid_mm", "assd_similarity_mm"):
        assert row[name] == pytest.approx(0, abs=0.05), name
    assert row["scale"] == pytest.approx(1, abs=0.003)
    assert (row["scan"], row["other_scan"], row["level"]) == ("a", "b", "L2")


def test_size_is_left_in_the_rigid_distance_and_taken_out_of_the_other():
    row = similarity(spine(SHAPE, "a"), spine(moved(1.15), "b")).iloc[0]
    assert row["assd_rigid_mm"] > 1.2
    assert row["assd_similarity_mm"] < 0.1
    assert row["scale"] == pytest.approx(1 / 1.15, abs=0.01)
    assert row["chamfer_rigid_mm"] == pytest.approx(2 * row["assd_rigid_mm"], rel=0.1)


def test_concentric_spheres_are_as_far_apart_as_their_radii():
    row = similarity(spine(20 * LUMP.vertices, "a"), spine(22 * LUMP.vertices, "b")).iloc[0]
    assert row["assd_rigid_mm"] == pytest.approx(2, abs=0.03)
    assert row["hd95_rigid_mm"] == pytest.approx(2, abs=0.12)
    assert row["chamfer_rigid_mm"] == pytest.approx(4, abs=0.06)
    assert row["scale"] == pytest.approx(20 / 22, abs=0.003)


def test_the_seed_decides():
    first, second = spine(SHAPE, "a"), spine(moved(1.1), "b")
    one, same, other = similarity(first, second), similarity(first, second), similarity(first, second, seed=1)
    assert one.equals(same)
    assert one["assd_rigid_mm"][0] == pytest.approx(other["assd_rigid_mm"][0], rel=0.05)


def test_levels_that_cannot_be_compared_have_a_reason():
    first = Spine(
        (vertebra(SHAPE), vertebra(SHAPE, Level.L3, why={"whole": "the image border cuts the vertebra"})), "a"
    )
    second = Spine((vertebra(SHAPE, Level.L3), replace(vertebra(SHAPE, Level.L4), mesh=None)), "b")
    table = similarity(first, second)
    assert list(table["level"]) == ["L2", "L3", "L4"]
    assert table["assd_rigid_mm"].isna().all()
    assert list(table["assd_rigid_mm_why"]) == [
        "L2: not in b",
        "L3: the image border cuts the vertebra",
        "L4: not in a",
    ]


def test_points_are_drawn_by_area():
    box = trimesh.creation.box((10, 10, 40))
    points = sample_surface(Mesh(box.vertices, box.faces), 20_000, np.random.default_rng(0))
    caps = (np.abs(np.abs(points[:, 2]) - 20) < 1e-9).mean()
    assert caps == pytest.approx(200 / 1800, abs=0.01)


def test_distance_to_a_surface_is_not_that_to_its_corners():
    target = Target(Mesh(20 * LUMP.vertices, LUMP.faces))
    _, away, normals = target.nearest(np.array([[0, 0, 25.0], [19.0, 0, 0], [0, 20.0, 0]]))
    np.testing.assert_allclose(away, [5, 1, 0], atol=0.05)
    np.testing.assert_allclose(normals, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=0.05)


def test_fit_and_align_find_a_known_motion():
    found = fit(SHAPE, moved(1.2), sized=True)
    np.testing.assert_allclose(found.rotation, TURN, atol=1e-9)
    assert found.scale == pytest.approx(1.2)
    assert fit(SHAPE, moved(1.2), sized=False).scale == 1
    start = Alignment(np.eye(3), SHIFT)
    settled = align(SHAPE, Mesh(moved(), LUMP.faces), start, sized=False)
    np.testing.assert_allclose(settled.rotation, TURN, atol=0.005)
