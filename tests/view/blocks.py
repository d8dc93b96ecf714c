"""A spine of block-shaped vertebrae whose colours, places and planes are known, and a table for it."""

import numpy as np
import pandas as pd

from verse_morph.anatomy import Level
from verse_morph.space import Grid
from verse_morph.spine import Canal, Endplate, Flag, Frame, Mesh, Plane, Spine, Vertebra
from verse_morph.volume import Scan

STEP_MM, HALF_MM = 34.0, np.array([22.0, 16.0, 12.0])
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
FACES = np.array([face for a, b, c, d in QUADS for face in ((a, b, c), (a, c, d))])


def box(centre):
    return Mesh(np.asarray(centre) + CORNERS * HALF_MM, FACES)


def endplate(frame, sign, tilt_deg=0.0):
    normal = sign * (np.cos(np.radians(tilt_deg)) * frame.superior - np.sin(np.radians(tilt_deg)) * frame.anterior)
    point = frame.origin_mm + sign * HALF_MM[2] * frame.superior
    side = np.stack(np.meshgrid([-20.0, 0, 20.0], [-14.0, 0, 14.0]), axis=-1).reshape(-1, 2)
    points = point + side @ np.stack([frame.right, frame.anterior])
    plane = Plane(point, normal)
    return Endplate(points, np.full(len(points), 5.0), plane, plane, 0.1)


def block(level, centre, flags=frozenset(), tilt_deg=0.0):
    centre = np.asarray(centre, dtype=float)
    frame = Frame(centre, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]))
    return Vertebra(
        level,
        level.rank + 1,
        Grid((2, 2, 2), np.eye(4)),
        np.ones((2, 2, 2), dtype=bool),
        1000.0,
        centre_mm=centre,
        frame=frame,
        canal=Canal(centre - np.array([0, 30.0, 0]), 22.0, 16.0, 300.0),
        superior=endplate(frame, 1, tilt_deg),
        inferior=endplate(frame, -1, tilt_deg),
        mesh=box(centre),
        flags=flags,
    )


def block_spine(first="L1", count=5, name="blocks"):
    """Blocks one above the other; each tilts by 10 degrees more to the front than the next lower one."""
    levels = list(Level)[Level(first).rank :][:count]
    made = [
        block(level, (0.0, 2.0 * k, -STEP_MM * k), frozenset({Flag.PROCESSES_CUT} if k == 1 else ()), 10.0 * k)
        for k, level in enumerate(levels)
    ]
    return Spine(tuple(made), name)


def block_scan(spine):
    """500 HU in the blocks, -300 around them, on a grid of its own."""
    grid = Grid((80, 90, 120), np.array([[1, 0, 0, -40], [0, 1, 0, -45], [0, 0, 2, -190], [0, 0, 0, 1.0]]))
    world = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    hu = np.full(grid.shape, -300, dtype=np.int16)
    for vertebra in spine:
        hu[(np.abs(world - vertebra.centre_mm) <= HALF_MM).all(axis=-1)] = 500
    return Scan(hu, grid, "blocks")


def block_table(spine):
    """Heights 20, 21, ...; the third one is missing, with its reason."""
    n = len(spine)
    heights = 20.0 + np.arange(n)
    heights[2] = np.nan
    levels = [str(level) for level in spine.levels()]
    return pd.DataFrame(
        {
            "scan": spine.name,
            "level": levels,
            "label": np.arange(n),
            "status": ["measured"] * n,
            "flags": [";".join(map(str, v.flags)) for v in spine],
            "height_anterior_mm": heights,
            "genant_grade": [0.0, 1.0, np.nan, *([3.0] * (n - 3))],
            "height_anterior_mm_why": [
                "" if h == h else f"{name}: cut" for h, name in zip(heights, levels, strict=True)
            ],
        }
    )
