"""The two kinds of volume: a CT scan and a label map, each an array on a grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import LabelScheme, Level
from verse_morph.errors import GridMismatch
from verse_morph.space import Grid, frozen


@dataclass(frozen=True, eq=False)
class Scan:
    """A CT scan.

    Parameters
    ----------
    hu : array (i, j, k)
        Hounsfield units, int16 or float32, in the file's own axis order.
    grid : Grid
        Where the voxels lie in the world.
    name : str
        The scan's key in every table: file stem without ``_ct`` and extension.
    meta : Mapping[str, str]
        Vendor, model, kVp and whatever else a sidecar or header said.
    notes : tuple of str
        What a reader should know about how the file was understood.
    """

    hu: NDArray
    grid: Grid
    name: str = "scan"
    meta: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.hu.shape != self.grid.shape:
            raise ValueError(f"array {self.hu.shape} does not fit grid {self.grid.shape}")
        object.__setattr__(self, "hu", frozen(self.hu))


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A mask with one integer per structure.

    Parameters
    ----------
    labels : array (i, j, k)
        Unsigned integers, in the file's own axis order; 0 is background.
    grid : Grid
        Where the voxels lie in the world.
    scheme : LabelScheme
        What the integers mean.
    name : str
        The scan's key in every table: file stem without ``_seg-vert_msk``, ``_seg`` and extension.
    notes : tuple of str
        What a reader should know about how the file was understood.
    """

    labels: NDArray
    grid: Grid
    scheme: LabelScheme
    name: str = "scan"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels.shape != self.grid.shape:
            raise ValueError(f"array {self.labels.shape} does not fit grid {self.grid.shape}")
        if not np.issubdtype(self.labels.dtype, np.integer):
            raise ValueError(f"labels are integers, got {self.labels.dtype}")
        object.__setattr__(self, "labels", frozen(self.labels))

    def values(self) -> tuple[int, ...]:
        """Label values present, 0 apart, ascending."""
        import fastremap

        return tuple(int(v) for v in fastremap.unique(self.labels) if v)

    def levels(self) -> tuple[Level, ...]:
        """Levels present, head to foot."""
        found = (self.scheme.levels[v] for v in self.values() if v in self.scheme.levels)
        return tuple(sorted(set(found)))


def require_overlap(first: Grid, second: Grid, what: str) -> None:
    """Raise :class:`GridMismatch` naming both grids when their bounding boxes share no space."""
    boxes = []
    for grid in (first, second):
        edges = [(-0.5, n - 0.5) for n in grid.shape]
        corners = grid.to_world(np.array(np.meshgrid(*edges)).reshape(3, -1).T)
        boxes.append((corners.min(axis=0), corners.max(axis=0)))
    (low_a, high_a), (low_b, high_b) = boxes
    if (np.minimum(high_a, high_b) <= np.maximum(low_a, low_b)).any():
        raise GridMismatch(
            f"{what} do not overlap in the world: {first.describe()}; {second.describe()}; "
            "check that both files belong to the same scan"
        )
