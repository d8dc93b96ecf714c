"""Surfaces to files that every 3D program opens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from verse_morph.errors import OutputError
from verse_morph.io.files import replacing
from verse_morph.spine import Mesh

# glTF is in metres with +Y up and the model's front towards +Z: (right, anterior, superior) becomes (-x, z, y). Kept in
# one node, so that the vertices themselves stay millimetres RAS.
RAS_MM_TO_GLTF = np.array([[-1e-3, 0, 0, 0], [0, 0, 1e-3, 0], [0, 1e-3, 0, 0], [0, 0, 0, 1]])
ROOT_NODE = "ras_mm"


def write_ply(mesh: Mesh, path: Path | str) -> None:
    """Write one surface as binary PLY.

    Parameters
    ----------
    mesh : Mesh
        Vertices in world RAS mm, written as they are, in this order.
    path : Path or str
        ``.ply``; replaced only when complete.

    Raises
    ------
    OutputError
        The folder is missing or cannot be written to.
    """
    import trimesh

    surface = trimesh.Trimesh(mesh.vertices_mm, mesh.faces, process=False)
    with replacing(path) as temporary:
        temporary.write_bytes(cast(bytes, surface.export(file_type="ply")))


def write_glb(meshes: Mapping[str, Mesh], path: Path | str) -> None:
    """Write several surfaces as one glTF scene with a named node each.

    Parameters
    ----------
    meshes : Mapping[str, Mesh]
        Surface by node name, usually the level. Vertices in world RAS mm.
    path : Path or str
        ``.glb``; replaced only when complete.

    Raises
    ------
    OutputError
        Nothing to write, the folder is missing or cannot be written to.

    Notes
    -----
    Vertex coordinates stay RAS millimetres (in single precision); the parent node ``ras_mm`` scales them to metres and
    turns the head up and the front towards the viewer, as the format wants. Who reads vertices without nodes gets
    millimetres.
    """
    import trimesh

    if not meshes:
        raise OutputError(f"cannot write {path}: there is no mesh to write")
    scene = trimesh.Scene()
    scene.graph.update(frame_from=scene.graph.base_frame, frame_to=ROOT_NODE, matrix=RAS_MM_TO_GLTF)
    for name, mesh in meshes.items():
        surface = trimesh.Trimesh(mesh.vertices_mm, mesh.faces, process=False)
        scene.add_geometry(surface, node_name=name, geom_name=name, parent_node_name=ROOT_NODE)
    with replacing(path) as temporary:
        temporary.write_bytes(cast(bytes, scene.export(file_type="glb")))
