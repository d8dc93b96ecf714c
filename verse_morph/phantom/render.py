"""Samples a patient on a voxel grid: labels of all structures, and the depth below the nearest bone surface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.phantom.body import BodyPart
from verse_morph.phantom.case import CANAL, SACRUM, PhantomCase, disc_label
from verse_morph.phantom.implicit import CLEFT_MM, FAR_MM, REACH_MM, Bone, Lattice
from verse_morph.phantom.parameters import SpineParameters, VertebraParameters
from verse_morph.phantom.primitives import corners
from verse_morph.phantom.skeleton import bones_of, discs_of, thecal_sac
from verse_morph.phantom.truth import truth_of
from verse_morph.space import FloatArray, Grid

DEEPEST_MM = 20.0


def render(
    parameters: SpineParameters, grid_or_spacing: Grid | float | Sequence[float] = 1.0, name: str = "phantom"
) -> PhantomCase:
    """The patient on a grid.

    Parameters
    ----------
    parameters : SpineParameters
    grid_or_spacing : Grid, float or 3 floats
        A grid whose axes run nearest to R, A, S (it may be oblique), or the voxel size in mm of the grid of the asked
        field of view.
    name : str
        The scan's key.

    Raises
    ------
    InputError
        The grid's axes are in another order, or the voxel size is not positive.
    """
    grid = grid_or_spacing if isinstance(grid_or_spacing, Grid) else field_of_view(parameters, grid_or_spacing)
    if grid.axis_codes != "RAS":
        raise InputError(
            f"a phantom is rendered on a grid with axes RAS, got {grid.axis_codes}; turn the result afterwards"
        )
    structures = np.zeros(grid.shape, dtype=np.uint8)
    depth = np.full(grid.shape, FAR_MM, dtype=np.float16)
    lattice = Lattice.of(grid)
    for bone in bones_of(parameters):
        fused = bone.label == SACRUM and bool(parameters.fused_levels)
        _add(bone, lattice, structures, depth, 0.0 if fused else CLEFT_MM)
    _add_soft(parameters, lattice, structures)
    return PhantomCase(structures, depth, grid, parameters, truth_of(parameters, grid), name)


def _add(bone: Bone, lattice: Lattice, structures: np.ndarray, depth: np.ndarray, cleft_mm: float) -> None:
    """Adds one bone; where two meet, a voxel belongs to the one it lies deeper in, with a cleft between them."""
    box = lattice.box(bone.world_bounds_mm(), REACH_MM)
    if box is None:
        return
    here = bone.depth(lattice.sub(box).seen_from(bone.placement))
    np.clip(here, FAR_MM, DEEPEST_MM, out=here)
    best, labels = depth[box], structures[box]
    lead = here - best
    labels[(here > 0) & (lead > 0)] = bone.label
    np.maximum(best, here, out=best, casting="same_kind")
    between = (best > 0) & (np.abs(lead) < cleft_mm)
    labels[between] = 0
    best[between] = (np.abs(lead[between]) - cleft_mm) / 2


def _add_soft(parameters: SpineParameters, lattice: Lattice, structures: np.ndarray) -> None:
    """Discs and thecal sac where no bone is."""
    for level, disc in discs_of(parameters).items():
        moved = disc.placement.to_world(corners(disc.bounds_mm()))
        box = lattice.box(np.stack([moved.min(axis=0), moved.max(axis=0)]), 0.0)
        if box is not None:
            here = structures[box]
            here[(disc.depth(lattice.sub(box)) > 0) & (here == 0)] = disc_label(level)
    sac = thecal_sac(parameters)
    for step in sac.steps:
        box = lattice.box(step.part.bounds_mm(), 0.0)
        if box is not None:
            here = structures[box]
            here[(step.part.depth(*lattice.points(box)) > 0) & (here == 0)] = CANAL


def field_of_view(parameters: SpineParameters, spacing_mm: float | Sequence[float]) -> Grid:
    """The grid of the asked field of view.

    Raises
    ------
    InputError
        A voxel size outside 0.2 to 10 mm.
    """
    spacing = np.broadcast_to(np.asarray(spacing_mm, dtype=np.float64), 3)
    if not ((spacing >= 0.2) & (spacing <= 10)).all():
        raise InputError(f"a voxel size of {spacing_mm} mm is not possible; allowed are 0.2 to 10 mm")
    low, high = _view_box(parameters)
    shape = np.maximum(np.ceil((high - low) / spacing), 2).astype(int)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = low + spacing / 2
    return Grid(tuple(shape), affine)


def _view_box(parameters: SpineParameters) -> tuple[FloatArray, FloatArray]:
    view, options = parameters.options.view, parameters.options
    names = [v.level for v in parameters.vertebrae]
    first = names.index(view.upper)
    last = len(names) - 1 if view.lower in ("S", "last") else names.index(view.lower)
    inside = parameters.vertebrae[first : last + 1]
    centres = np.array([v.centre_mm for v in inside])
    half = view.half_width_mm
    if half is None:
        half = 60.0
        if options.ribs and Level(view.upper) < Level.T11:
            half = parameters.thorax_width_mm / 2 + 18
        if options.pelvis and view.lower == "S":
            half = max(half, 160.0)
    top = _edge(inside[0], 1) - view.cut_mm[0]
    bottom = _edge(inside[-1], -1) + view.cut_mm[1]
    if view.lower == "S":
        sacrum = parameters.sacrum
        bottom = float(np.array(sacrum.centre_mm)[2] - 0.95 * sacrum.length) + view.cut_mm[1]
    back = min(v.centre_mm[1] - v.depth_middle / 2 - v.canal_depth - v.spinous_length for v in inside)
    front = max(v.centre_mm[1] + v.depth_middle / 2 for v in inside)
    middle = float(centres[:, 0].mean())
    low = np.array([middle - half, back - view.back_mm, bottom])
    high = np.array([middle + half, front + view.front_mm, top])
    return low, high


def _edge(shape: VertebraParameters, sign: int) -> float:
    """Highest (+1) or lowest (-1) world height of a vertebra's rims and processes (about)."""
    rims = shape.placement.to_world(corners(BodyPart(shape).bounds_mm()))[:, 2]
    drop = np.radians(shape.spinous_drop)
    start = -shape.depth_middle / 2 - shape.canal_depth
    tip = np.array(
        [
            0,
            start - shape.spinous_length * np.cos(drop),
            -shape.spinous_length * np.sin(drop) - 0.6 * shape.lamina_height,
        ]
    )
    return sign * float(max((sign * rims).max(), sign * shape.placement.to_world(tip)[2]))
