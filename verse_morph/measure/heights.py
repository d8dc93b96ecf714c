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
# A surface steeper than this where a height ends is the body's flank or a bite out of the outline. Endplates of real
# thoracic and lumbar bodies, fractured ones among them, stay below 0.85, the walls of a biconcave loss of 57 % reach
# 1.1; in faulty outlines it was 1.35 to 2.8. The upper plates of cervical bodies are bevelled in front and rise to the
# uncinate processes.
STEEPEST, STEEPEST_CERVICAL = 1.3, 2.5
# 90 % of the lines of a height must end within this of their common plane (up to 1.1 in sound outlines).
SCATTER_MM = 2.5
# Share of lines that may pass through a hole.
HOLES = 0.25
# A rise by so much, over so little depth, on the way from a height to the middle: a bite out of the outline.
STEP_MM, STEP_DEPTH_MM = 4.0, 2.0
# The same on the way from the side of a cervical body, whose uncinate processes are its highest places: what rises
# from there to the middle is the root of a transverse process.
CERVICAL_SIDE_STEP_MM = 2.0


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
    _require_even(vertebra, place, starts[whole], ends[whole])
    middle = np.argsort(ends[whole, 1] - ends[whole, 0])[whole.sum() // 2]
    bottom, top = ends[whole][middle]
    height = float(np.median(ends[whole, 1] - ends[whole, 0]))
    centre = 0.5 * (bottom + top)
    return x, y, centre - height / 2, centre + height / 2


def _require_even(vertebra: Vertebra, place: str, starts: NDArray, ends: NDArray) -> None:
    """Refuse a height whose lines end on a flank, a step or a ragged edge of the outline, or pass through a hole in it.

    Parameters
    ----------
    vertebra : Vertebra
    place : str
    starts : array (N, 3)
        Points of the height's lines in the vertebra's frame.
    ends : array (N, 2)
        Where each line enters and leaves the body, along the superior axis.
    """
    cervical = vertebra.level.region == "cervical"
    limit = STEEPEST_CERVICAL if cervical else STEEPEST
    offset = starts[:, :2] - starts[:, :2].mean(axis=0)
    design = np.column_stack([np.ones(len(starts)), offset])
    fit = np.linalg.lstsq(design, ends, rcond=None)[0]
    if np.hypot(*fit[1:]).max() > limit:
        raise NotMeasurable(f"{vertebra.level}: the {place} height ends on a flank or step of the outline, not a plate")
    spread = np.ptp(np.percentile(ends - design @ fit, [5, 95], axis=0), axis=0).max()
    if spread > SCATTER_MM:
        raise NotMeasurable(f"{vertebra.level}: the outline is ragged at the {place} height ({spread:.1f} mm)")
    between = ends[:, :1] + np.linspace(0.1, 0.9, 15) * np.diff(ends, axis=1)
    points = np.concatenate([np.repeat(starts[:, None, :2], 15, axis=1), between[..., None]], axis=2)
    hollow = (vertebra.body_depth_at(require_frame(vertebra).to_world(points)) < 0).any(axis=1)
    if hollow.mean() > HOLES:
        raise NotMeasurable(f"{vertebra.level}: the outline has a hole at the {place} height")
    if place in ("anterior", "posterior") and _rises(vertebra, place):
        raise NotMeasurable(f"{vertebra.level}: the outline has a step beside the {place} height")
    if cervical and place in SIDE_SHARES and _rises_from_the_side(vertebra, place):
        raise NotMeasurable(f"{vertebra.level}: the {place} height meets the root of the transverse process")


def _rises(vertebra: Vertebra, place: str) -> bool:
    """Whether the height jumps up on the way from a place to the middle."""
    section = mid_section(vertebra)
    shares = np.arange(DEPTH_SHARES[place], 0.5, STEP_DEPTH_MM / section.depth.length)
    if place == "posterior":
        shares = np.arange(DEPTH_SHARES[place], 0.5, -STEP_DEPTH_MM / section.depth.length)
    ys = section.depth.high - shares * section.depth.length
    xs = section.width.middle + np.linspace(-1, 1, 5) * MIDSAGITTAL_SHARE * section.width.length
    return _largest_rise(vertebra, xs, ys, 0) > STEP_MM


def _rises_from_the_side(vertebra: Vertebra, place: str) -> bool:
    """Whether the height jumps up on the way from a side to the middle."""
    section = mid_section(vertebra)
    step = STEP_DEPTH_MM / section.width.length
    shares = np.arange(SIDE_SHARES[place], 0, -np.sign(SIDE_SHARES[place]) * step)
    xs = section.width.middle + shares * section.width.length
    ys = section.depth.middle + np.linspace(-1, 1, 5) * HALF_BAND_MM
    return _largest_rise(vertebra, xs, ys, 1) > CERVICAL_SIDE_STEP_MM


def _largest_rise(vertebra: Vertebra, xs: NDArray, ys: NDArray, across: int) -> float:
    """Largest rise of the height from one line to the next along one axis, median over the other one, mm."""
    section = mid_section(vertebra)
    starts = np.stack(np.meshgrid(xs, ys, [section.z], indexing="ij"), axis=-1)
    frame = require_frame(vertebra)
    ends = crossings(vertebra, frame.to_world(starts.reshape(-1, 3)), frame.superior, 40.0)
    heights = np.moveaxis(np.diff(ends, axis=1).reshape(len(xs), len(ys)), across, 0)
    profile = np.nanmedian(heights[:, np.isfinite(heights).any(axis=0)], axis=0)
    return float(np.diff(profile).max()) if len(profile) > 1 else 0.0


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
