"""Where the first sacral body lies in a label map that knows the sacrum as one bone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verse_morph.space import FloatArray

# About the midline, and from the sacrum's highest point downwards: the joint processes, the first body and some of the
# second.
BESIDE_MM, HEIGHT_MM, MIDLINE_MM = 34.0, 70.0, 12.0
# A body is the deepest part of the bone; where its depth is less, it is cut or not in view.
DEEP, LEAST_DEPTH_MM = 0.75, 7.5
# S1 and S2 are one ridge of depth: the ridge's upper end of this height lies about the middle of S1.
RIDGE_END_MM = 6.0


def first_sacral_body(sacrum: NDArray[np.bool_], spacing_mm: FloatArray, midline: float) -> FloatArray | None:
    """Voxel (3,) of the middle of the sacrum's first body; None where it is cut or there is none.

    Parameters
    ----------
    sacrum : array (i, j, k) of bool
        Axes to the right, front and top; a vertebra that is fused to it belongs to it, and is then the first body.
    spacing_mm : array (3,)
    midline : float
        Column about which the body is looked for: where the last vertebra stands.

    Notes
    -----
    From the depth below the surface. On phantoms within 3.5 mm of the body's known middle.
    """
    import edt

    index = np.argwhere(sacrum)
    index = index[np.abs(index[:, 0] - midline) * spacing_mm[0] <= BESIDE_MM]
    if not len(index):
        return None
    low, high = index.min(axis=0), index.max(axis=0) + 1
    low[2] = max(low[2], high[2] - int(HEIGHT_MM / spacing_mm[2]))
    part = sacrum[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    spacing = (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2]))
    depth = edt.edt(part.astype(np.uint8), anisotropy=spacing, black_border=True, parallel=1)
    beside = np.abs(np.arange(low[0], high[0]) - midline) * spacing_mm[0] > MIDLINE_MM
    depth[beside] = 0
    if depth.max() < LEAST_DEPTH_MM:
        return None
    deep = np.argwhere(depth > DEEP * depth.max())
    top = np.percentile(deep[:, 2], 99)
    return np.asarray(deep[deep[:, 2] >= top - RIDGE_END_MM / spacing_mm[2]].mean(axis=0) + low)
