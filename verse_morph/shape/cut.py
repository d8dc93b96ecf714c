"""Which vertebrae the image border cuts, and whether it cuts their bodies or only their processes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verse_morph.shape.field import Crop
from verse_morph.spine import Frame

CONTACT_MM2 = 10.0
# A label with less than this share of its neighbours' volume, at the border, is a sliver whose body lies mostly
# outside.
SLIVER_FRACTION = 0.5


def touches_border(crop: Crop) -> bool:
    """Whether any voxel of the vertebra lies on the border of the image."""
    return len(crop.on_border(crop.mask)) > 0


def border_contact_mm2(crop: Crop, what: NDArray[np.bool_]) -> float:
    """Area of a mask on the border of the image, mm2 (largest side counts)."""
    spacing = crop.grid.spacing_mm
    areas = [0.0]
    for axis in range(3):
        face = float(np.prod(np.delete(spacing, axis)))
        for side, index in enumerate((0, -1)):
            if crop.border[axis, side]:
                areas.append(face * float(np.take(what, index, axis=axis).sum()))
    return max(areas)


def is_sliver(crop: Crop, typical_mm3: float) -> bool:
    """Whether a label at the border has so little volume that its body must lie outside the image.

    Parameters
    ----------
    crop : Crop
    typical_mm3 : float
        Volume expected from the neighbours.
    """
    return touches_border(crop) and crop.volume_mm3 < SLIVER_FRACTION * typical_mm3


def body_may_be_cut(crop: Crop, distance: NDArray, frame: Frame) -> bool:
    """First look, before the body is known: does the border come near the label's thickest part?

    Parameters
    ----------
    crop : Crop
    distance : array (i, j, k)
        Signed distance to the label's surface, mm.
    frame : Frame
        Provisional frame at the thickest part of the label's front half.
    """
    if not touches_border(crop):
        return False
    radius = float(distance.max())
    local = frame.to_local(crop.on_border(crop.mask))
    near = (np.abs(local[:, 0]) < 1.5 * radius) & (local[:, 1] > -0.9 * radius)
    return near.sum() * np.prod(np.sort(crop.grid.spacing_mm)[:2]) > CONTACT_MM2
