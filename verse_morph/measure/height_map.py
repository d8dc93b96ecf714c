"""The body's height at every place: a map over the body's width and depth, and what sums it up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.measure.body import MIDSAGITTAL_SHARE, crossings, mid_section, per_vertebra, require_frame
from verse_morph.measure.measurement import measurement
from verse_morph.spine import Vertebra

ROWS, COLUMNS = 33, 21
WIDTH_SHARE = 0.45
# The outermost rows, which end on the rims' rounding, belong to neither the area nor the minimum.
INNER = slice(2, -2)
CENTRE_SHARE = 0.3
MAP = "33 columns from front to back as in automatic six-point morphometry (AVERT); map defined in this dictionary"


@dataclass(frozen=True, eq=False)
class HeightMap:
    """Heights of a body on a regular grid in the vertebra's frame.

    Parameters
    ----------
    x_mm : array (21,)
        Places across, from left to right, over 45 % of the mid-height width to both sides of its middle.
    y_mm : array (33,)
        Places along, from front to back, in the middle of 33 equal parts of the mid-height depth.
    bottom_mm, top_mm : array (21, 33)
        Where the body begins and ends along the superior axis; NaN beside the body.
    """

    x_mm: NDArray
    y_mm: NDArray
    bottom_mm: NDArray
    top_mm: NDArray

    @property
    def height_mm(self) -> NDArray:
        """Distance between both ends (21, 33); NaN beside the body."""
        return self.top_mm - self.bottom_mm


@per_vertebra
def height_map(vertebra: Vertebra) -> HeightMap:
    """Height of the body over its mid-height width and depth.

    Parameters
    ----------
    vertebra : Vertebra

    Raises
    ------
    NotMeasurable
        Without a body or an endplate.
    """
    section, frame = mid_section(vertebra), require_frame(vertebra)
    x = section.width.middle + np.linspace(-WIDTH_SHARE, WIDTH_SHARE, COLUMNS) * section.width.length
    y = section.depth.high - (np.arange(ROWS) + 0.5) / ROWS * section.depth.length
    starts = np.stack(np.meshgrid(x, y, [section.z], indexing="ij"), axis=-1).reshape(-1, 3)
    ends = crossings(vertebra, frame.to_world(starts), frame.superior, 40.0) + section.z
    bottom, top = ends.T.reshape(2, COLUMNS, ROWS)
    return HeightMap(x, y, bottom, top)


def _profile(vertebra: Vertebra) -> tuple[NDArray, float]:
    """Median height over the middle fifth of the width in each inner row, and the rows' distance, mm."""
    found = height_map(vertebra)
    band = np.abs(found.x_mm - found.x_mm.mean()) <= MIDSAGITTAL_SHARE * np.ptp(found.x_mm) / (2 * WIDTH_SHARE)
    heights = found.height_mm[band][:, INNER]
    if not np.isfinite(heights).any(axis=0).all():
        raise NotMeasurable(f"{vertebra.level}: no two endplates over the whole depth")
    return np.nanmedian(heights, axis=0), float(found.y_mm[0] - found.y_mm[1])


@measurement(unit="mm", length_power=1, counts=False, source=MAP)
def height_minimum(vertebra: Vertebra) -> float:
    """Smallest height of the body on its mid-sagittal plane: least of 29 columns between 6 and 94 % of the depth, each
    the median over the middle fifth of the width.

    Misleads at Schmorl nodes and where the outline has a bite.
    """
    return float(_profile(vertebra)[0].min())


@measurement(unit="mm", length_power=1, counts=False, source=MAP)
def height_mean(vertebra: Vertebra) -> float:
    """Mean height of the body over its central part: within 30 % of the mid-height width and depth of its middle."""
    found = height_map(vertebra)
    across = np.abs(found.x_mm - found.x_mm.mean()) <= CENTRE_SHARE * np.ptp(found.x_mm) / (2 * WIDTH_SHARE)
    along = np.abs(np.linspace(-0.5, 0.5, ROWS)) <= CENTRE_SHARE
    heights = found.height_mm[np.ix_(across, along)]
    if not np.isfinite(heights).all():
        raise NotMeasurable(f"{vertebra.level}: no two endplates over the central part")
    return float(heights.mean())


@measurement(unit="mm2", length_power=2, counts=False, source=MAP)
def body_area_midsagittal(vertebra: Vertebra) -> float:
    """Area between the endplates on the mid-sagittal plane, from 6 to 94 % of the mid-height depth."""
    heights, step = _profile(vertebra)
    return float(heights.sum() * step)
