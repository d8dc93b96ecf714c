"""Heights of the vertebral body: distances between its two endplates along its own axis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.measure.body import MIDSAGITTAL_SHARE, crossings, mid_section, per_vertebra, require_frame
from verse_morph.measure.measurement import measurement
from verse_morph.spine import Vertebra

GENANT = "six-point morphometry on the true mid-sagittal plane; Genant et al. 1993; Brett et al. 2009"
# Share of the mid-height depth, counted from the front.
DEPTH_SHARES = {"anterior": 0.1, "middle": 0.5, "posterior": 0.9}
SIDE_SHARES = {"left": -0.3, "right": 0.3}
HALF_BAND_MM = 1.0


@per_vertebra
def _ends(vertebra: Vertebra, place: str) -> tuple[float, float, float, float]:
    """(x, y, bottom, top) of a height in the vertebra's frame, mm."""
    section = mid_section(vertebra)
    width, depth = section.width, section.depth
    if place in DEPTH_SHARES:
        y = depth.high - DEPTH_SHARES[place] * depth.length
        x = width.middle
        xs = x + np.linspace(-1, 1, 9) * MIDSAGITTAL_SHARE * width.length
        ys = y + np.linspace(-1, 1, 5) * HALF_BAND_MM
    else:
        x = width.middle + SIDE_SHARES[place] * width.length
        y = depth.middle
        xs = x + np.linspace(-1, 1, 5) * HALF_BAND_MM
        ys = y + np.linspace(-1, 1, 9) * HALF_BAND_MM
    frame = require_frame(vertebra)
    starts = np.stack(np.meshgrid(xs, ys, [section.z], indexing="ij"), axis=-1).reshape(-1, 3)
    ends = crossings(vertebra, frame.to_world(starts), frame.superior, 40.0) + section.z
    whole = np.isfinite(ends).all(axis=1)
    if whole.mean() < 0.5:
        raise NotMeasurable(f"{vertebra.level}: no two endplates at the {place} height")
    middle = np.argsort(ends[whole, 1] - ends[whole, 0])[whole.sum() // 2]
    bottom, top = ends[whole][middle]
    height = float(np.median(ends[whole, 1] - ends[whole, 0]))
    centre = 0.5 * (bottom + top)
    return x, y, centre - height / 2, centre + height / 2


def body_height(vertebra: Vertebra, place: str) -> float:
    """One height of the body, mm: ``anterior``, ``middle``, ``posterior``, ``left`` or ``right``."""
    _, _, bottom, top = _ends(vertebra, place)
    return top - bottom


@measurement(unit="mm", length_power=1, source=GENANT)
def height_anterior(vertebra: Vertebra) -> float:
    """Distance between the endplates along the body's axis at 10 % of the mid-height depth from the front, median
    over the middle fifth of the width.

    Misleads where an osteophyte reaches back over the rim, and in slices thicker than 2 mm along the spine.
    """
    return body_height(vertebra, "anterior")


@measurement(unit="mm", length_power=1, source=GENANT)
def height_middle(vertebra: Vertebra) -> float:
    """Distance between the endplates along the body's axis at mid-depth, endplate concavity included, median over the
    middle fifth of the width.

    Misleads at Schmorl nodes, which it takes for height loss when they lie in the middle.
    """
    return body_height(vertebra, "middle")


@measurement(unit="mm", length_power=1, source=GENANT)
def height_posterior(vertebra: Vertebra) -> float:
    """Distance between the endplates along the body's axis at 90 % of the mid-height depth from the front, median
    over the middle fifth of the width.
    """
    return body_height(vertebra, "posterior")


@measurement(unit="mm", length_power=1, mirror="swap", partner="height_right_mm", source=GENANT)
def height_left(vertebra: Vertebra) -> float:
    """Distance between the endplates along the body's axis at mid-depth, 30 % of the width to the patient's left."""
    return body_height(vertebra, "left")


@measurement(unit="mm", length_power=1, mirror="swap", partner="height_left_mm", source=GENANT)
def height_right(vertebra: Vertebra) -> float:
    """Distance between the endplates along the body's axis at mid-depth, 30 % of the width to the patient's right."""
    return body_height(vertebra, "right")


def height_lines(vertebra: Vertebra) -> Mapping[str, NDArray]:
    """Where each height was measured, for drawing.

    Parameters
    ----------
    vertebra : Vertebra

    Returns
    -------
    Mapping of str to array (2, 3)
        Lower and upper end, world RAS mm, of ``anterior``, ``middle``, ``posterior``, ``left`` and ``right``; heights
        that cannot be measured are absent.
    """
    lines: dict[str, NDArray] = {}
    for place in (*DEPTH_SHARES, *SIDE_SHARES):
        try:
            x, y, bottom, top = _ends(vertebra, place)
        except NotMeasurable:
            continue
        lines[place] = require_frame(vertebra).to_world(np.array([[x, y, bottom], [x, y, top]]))
    return lines
