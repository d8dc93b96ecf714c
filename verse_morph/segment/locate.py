"""First stage: where in a scan the spine is, from a 3D network at low resolution; ribs and sacrum come with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from verse_morph.segment.compute import Compute, running
from verse_morph.segment.intensity import to_input
from verse_morph.segment.networks import side_multiple
from verse_morph.segment.resample import Reduced, covering_grid, reduced, sample
from verse_morph.segment.views import course
from verse_morph.space import FloatArray, Grid, frozen
from verse_morph.volume import Scan

SPACING_MM = 4.0
CHANNELS = ("spine", "ribs", "sacrum")
# Less than this of anything spine-like is noise: three cervical vertebrae have some 25 cm3.
LEAST_CM3 = 8.0
MARGIN_MM = 20.0
GAP_MM = 24.0
# How far the column's middle may move from one slice to the next, and how far from it vertebral bone may lie.
SIDESTEP_MM, COLUMN_REACH_MM = 8.0, 48.0
BLOCK = 160  # longest side, in voxels, that the network reads at once


@dataclass(frozen=True, eq=False)
class Location:
    """Where the spine is.

    Parameters
    ----------
    found : bool
    reason : str
        Why nothing was found; empty otherwise.
    grid : Grid
        4 mm, along the world's axes.
    spine, ribs, sacrum : array (i, j, k) of float32
        Probabilities on ``grid``; ``spine`` is 0 outside the column that was accepted.
    box_mm : array (2, 3)
        Lower and upper corner of the box about the column, RAS mm, margin included.
    line_mm : array (n, 3)
        Course of the column, one point per slice of ``grid``, foot to head.
    """

    found: bool
    reason: str
    grid: Grid
    spine: NDArray[np.float32]
    ribs: NDArray[np.float32]
    sacrum: NDArray[np.float32]
    box_mm: FloatArray
    line_mm: FloatArray

    def __post_init__(self) -> None:
        for name in ("spine", "ribs", "sacrum", "box_mm", "line_mm"):
            object.__setattr__(self, name, frozen(getattr(self, name)))


def locate(scan: Scan, model: nn.Module, compute: Compute) -> Location:
    """Find the spine in a scan of any size and orientation.

    Parameters
    ----------
    scan : Scan
    model : Module
        Of the stage ``locate``.
    compute : Compute

    Returns
    -------
    Location
        ``found`` is False where less than 8 cm3 of anything looks like vertebrae: a spine is never invented.
    """
    grid = covering_grid(scan.grid, SPACING_MM, divisor=side_multiple(model))
    spine, ribs, sacrum = _probabilities(reduced(scan, SPACING_MM), grid, model, compute)
    column = _column(spine)
    volume = float(column.sum()) * SPACING_MM**3 / 1000
    if volume < LEAST_CM3:
        nothing = np.zeros((0, 3))
        reason = f"{volume:.1f} cm3 look like vertebrae, at least {LEAST_CM3:g} are needed"
        return Location(False, reason, grid, spine, ribs, sacrum, np.zeros((2, 3)), nothing)
    spine = np.where(column, spine, np.float32(0))
    index = np.argwhere(column)
    corners = grid.to_world(np.stack([index.min(axis=0), index.max(axis=0)]))
    box = corners + MARGIN_MM * np.array([[-1.0], [1.0]])
    line = course(spine)
    rows = np.arange(grid.shape[2])
    places = np.column_stack([line, rows]) if line is not None else np.zeros((0, 3))
    return Location(True, "", grid, spine, ribs, sacrum, box, grid.to_world(places))


def _probabilities(
    source: Reduced, grid: Grid, model: nn.Module, compute: Compute
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The network's answer, slab by slab along the column where the scan is too long for one go."""
    out = np.zeros((len(CHANNELS), *grid.shape), dtype=np.float32)
    overlap = 32
    starts = list(range(0, max(grid.shape[2] - overlap, 1), BLOCK - overlap))
    model = model.to(compute.device)
    with torch.no_grad(), running(compute):
        for start in starts:
            stop = min(start + BLOCK, grid.shape[2])
            part = grid.crop((slice(0, grid.shape[0]), slice(0, grid.shape[1]), slice(start, stop)))
            image = torch.from_numpy(to_input(sample(source, part)))[None, None].to(compute.device)
            answer = torch.sigmoid(model(image).float())[0].cpu().numpy()
            trim = overlap // 2 if start else 0
            out[:, :, :, start + trim : stop] = answer[:, :, :, trim:]
    return out[0], out[1], out[2]


def _column(spine: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The voxels of the vertebral column: the largest group of parts that follow each other closely."""
    import cc3d
    from scipy.ndimage import binary_dilation

    inside = spine > 0.5
    if not inside.any():
        return inside
    # Vertebrae do not touch where discs are thick: parts within a disc's height of each other are one column.
    reach = round(GAP_MM / SPACING_MM / 2)
    grown = binary_dilation(inside, iterations=reach)
    parts = cc3d.connected_components(grown.astype(np.uint8), connectivity=26)
    sizes = np.bincount(parts[inside], minlength=parts.max() + 1)
    return _along(np.asarray(inside & (parts == sizes[1:].argmax() + 1)))


def _along(column: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The column without what hangs on it sideways, such as arms and hips.

    It is followed up and down from the slice in which it is most compact among those that show enough of it: its place
    in the next slice is the densest one near by.
    """
    from scipy.ndimage import gaussian_filter1d

    dense = [gaussian_filter1d(column.sum(axis=1 - axis, dtype=np.float32), 2.0, axis=0) for axis in (0, 1)]
    counts = column.sum(axis=(0, 1))
    compact = dense[0].max(axis=0) * dense[1].max(axis=0) / np.maximum(counts, 1) ** 2
    start = int(np.where(counts >= np.median(counts[counts > 0]), compact, 0).argmax())
    first = [int(line[:, start].argmax()) for line in dense]
    step, reach = round(SIDESTEP_MM / SPACING_MM), COLUMN_REACH_MM / SPACING_MM
    out = np.zeros_like(column)
    for slices in (range(start, column.shape[2]), range(start - 1, -1, -1)):
        place = list(first)
        for k in slices:
            near = []
            for axis, line in enumerate(dense):
                away = np.abs(np.arange(column.shape[axis]) - place[axis])
                likely = np.where(away <= step, line[:, k] / (1 + away / step), 0)
                place[axis] = int(likely.argmax()) if likely.any() else place[axis]
                near.append(np.abs(np.arange(column.shape[axis]) - place[axis]) <= reach)
            out[:, :, k] = column[:, :, k] & near[0][:, None] & near[1][None, :]
    return out
