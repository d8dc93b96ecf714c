"""Surfaces written and read back."""

import numpy as np
import pytest
import trimesh

from verse_morph.errors import OutputError
from verse_morph.io import write_glb, write_ply
from verse_morph.spine import Mesh


@pytest.fixture
def box() -> Mesh:
    """A 40 x 30 x 20 mm box (right, anterior, superior) about (10, -200, 800)."""
    shape = trimesh.creation.box((40, 30, 20))
    return Mesh(shape.vertices + np.array([10, -200, 800]), shape.faces)


def test_ply_keeps_vertices_faces_and_volume(tmp_path, box):
    write_ply(box, tmp_path / "L1.ply")
    again = trimesh.load_mesh(tmp_path / "L1.ply", process=False)
    np.testing.assert_allclose(again.vertices, box.vertices_mm, atol=1e-3)
    np.testing.assert_array_equal(again.faces, box.faces)
    assert again.volume == pytest.approx(24000, rel=1e-4)


def test_glb_has_named_nodes_in_metres_with_the_head_up(tmp_path, box):
    higher = Mesh(box.vertices_mm + np.array([0, 0, 35]), box.faces)
    write_glb({"L1": higher, "L2": box}, tmp_path / "spine.glb")
    scene = trimesh.load_scene(tmp_path / "spine.glb", process=False)
    assert {"L1", "L2"} <= set(scene.graph.nodes_geometry)
    matrix, geometry = scene.graph["L2"]
    mesh = scene.geometry[geometry]
    np.testing.assert_allclose(mesh.bounds, [[-10, -215, 790], [30, -185, 810]], atol=1e-3)
    in_viewer = trimesh.transform_points([[10, -200, 800], [11, -200, 800], [10, -199, 800], [10, -200, 801]], matrix)
    np.testing.assert_allclose(in_viewer[0], [-0.01, 0.8, -0.2], atol=1e-6)
    # Right goes to -x, anterior to +z, superior to +y.
    np.testing.assert_allclose(1000 * (in_viewer[1:] - in_viewer[0]), [[-1, 0, 0], [0, 0, 1], [0, 1, 0]], atol=1e-3)
    assert mesh.volume == pytest.approx(24000, rel=1e-4)
    assert np.linalg.det(matrix[:3, :3]) > 0


def test_nothing_half_written(tmp_path, box):
    with pytest.raises(OutputError, match="does not exist"):
        write_ply(box, tmp_path / "none" / "L1.ply")
    with pytest.raises(OutputError, match="no mesh to write"):
        write_glb({}, tmp_path / "spine.glb")
    assert not list(tmp_path.iterdir())
