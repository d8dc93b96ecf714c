"""The thickest part of a vertebra's mask, which is its body; free of torch, so that every engine can use it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verse_morph.space import FloatArray

# The body is what lies at least this part of the largest depth deep.
DEEP = 0.6


def thickest_part(mask: NDArray[np.bool_], spacing_mm: FloatArray) -> tuple[FloatArray, float]:
    """Middle of the thickest part, voxels, and the largest depth below the surface, mm.

    Parameters
    ----------
    mask : array (i, j, k) of bool
        With at least one voxel.
    spacing_mm : array (3,)

    Notes
    -----
    C1 has no body: its thickest part is one of its lateral masses.
    """
    import edt

    depth = edt.edt(np.ascontiguousarray(mask), anisotropy=tuple(spacing_mm), black_border=False)
    # The median ignores what else is thick, such as the root of a process.
    return np.median(np.argwhere(depth >= DEEP * depth.max()), axis=0), float(depth.max())
