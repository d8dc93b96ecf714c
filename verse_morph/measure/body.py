"""Lines through the body that heights, widths and depths share: where they enter and leave bone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.spine import Endplate, Frame, Vertebra

STEP_MM = 0.25
# Share of the body's width on either side of the mid-plane over which mid-sagittal values are pooled.
MIDSAGITTAL_SHARE = 0.10
INSET_MM = 2.0
# Extents are medians over a few lines beside each other: wider for depths, whose back end often falls into the
# basivertebral opening.
WIDTH_LINES = np.linspace(-1.0, 1.0, 5)
DEPTH_LINES = np.linspace(-2.0, 2.0, 9)


@dataclass(frozen=True)
class Extent:
    """Where a line family enters and leaves the body: positions along the line's direction in the vertebra's frame,
    mm.
    """

    low: float
    high: float

    @property
    def length(self) -> float:
        """Distance between the two ends, mm."""
        return self.high - self.low

    @property
    def middle(self) -> float:
        """Half way between the two ends."""
        return 0.5 * (self.low + self.high)


@dataclass(frozen=True)
class MidSection:
    """The cross-section half way between the endplates: its level, and its extents in the vertebra's frame, mm."""

    z: float
    width: Extent
    depth: Extent


P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


def per_subject(function: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Remember a function's value for each subject (a vertebra, disc or spine, which is frozen) for as long as the
    subject itself is kept.
    """
    known: WeakKeyDictionary[S, dict[object, T]] = WeakKeyDictionary()

    @wraps(function)
    def remembered(subject: S, *args: P.args, **kwargs: P.kwargs) -> T:
        values = known.setdefault(subject, {})
        key = (args, tuple(kwargs.items()))
        if key not in values:
            values[key] = function(subject, *args, **kwargs)
        return values[key]

    return remembered


per_vertebra = per_subject


def crossings(vertebra: Vertebra, starts_mm: NDArray, direction: NDArray, reach_mm: float) -> NDArray:
    """Outermost surface positions along parallel lines.

    Parameters
    ----------
    vertebra : Vertebra
    starts_mm : array (N, 3)
        One point of each line, world RAS mm.
    direction : array (3,)
        Unit direction of all lines, world.
    reach_mm : float
        Search from -reach to +reach about the start.

    Returns
    -------
    array (N, 2)
        Signed distance from the start at which each line first enters and last leaves the body; NaN where it misses.
    """
    along = np.arange(-reach_mm, reach_mm + STEP_MM, STEP_MM)
    depth = vertebra.body_depth_at(starts_mm[:, None, :] + along[None, :, None] * direction)
    inside = depth > 0
    hit = inside.any(axis=1) & ~inside[:, 0] & ~inside[:, -1]
    first = np.maximum(inside.argmax(axis=1), 1)
    last = np.minimum(inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1), inside.shape[1] - 2)
    rows = np.arange(len(depth))

    def zero(a: NDArray, b: NDArray) -> NDArray:
        """Position of the zero between two samples, the first one on line index a."""
        va, vb = depth[rows, a], depth[rows, b]
        share = np.divide(va, va - vb, out=np.zeros_like(va), where=va != vb)
        return along[a] + np.clip(share, 0, 1) * STEP_MM

    ends = np.column_stack([zero(first - 1, first), zero(last, last + 1)])
    ends[~hit] = np.nan
    return ends


def _median_extent(vertebra: Vertebra, starts: NDArray, direction: NDArray, reach_mm: float, what: str) -> Extent:
    ends = crossings(vertebra, starts, direction, reach_mm)
    if np.isfinite(ends).all(axis=1).mean() < 0.5:
        raise NotMeasurable(f"{vertebra.level}: no closed outline along the {what}")
    low, high = np.nanmedian(ends, axis=0)
    return Extent(float(low), float(high))


def _reach(vertebra: Vertebra, frame: Frame) -> float:
    size = np.array(vertebra.grid.shape) * vertebra.grid.spacing_mm
    return float(np.linalg.norm(size)) / 2 + float(
        np.abs(frame.to_local(vertebra.grid.to_world(np.array(vertebra.grid.shape) / 2))).max()
    )


@per_vertebra
def mid_section(vertebra: Vertebra) -> MidSection:
    """Mid-height section of the body.

    Parameters
    ----------
    vertebra : Vertebra

    Raises
    ------
    NotMeasurable
        Without a body, or with an endplate missing (no mid-height then).

    Notes
    -----
    Remembered per vertebra, which is frozen: many measurements start from it.
    """
    frame = require_frame(vertebra)
    upper, lower = require_endplate(vertebra, True), require_endplate(vertebra, False)
    z = 0.5 * (_height_at_origin(frame, upper) + _height_at_origin(frame, lower))
    reach = _reach(vertebra, frame)
    start = frame.to_world(np.array([[x, 0.0, z] for x in DEPTH_LINES]))
    rough = _median_extent(vertebra, start, frame.anterior, reach, "mid-height depth")
    across = frame.to_world(np.array([[0.0, rough.middle + y, z] for y in WIDTH_LINES]))
    width = _median_extent(vertebra, across, frame.right, reach, "mid-height width")
    start = frame.to_world(np.array([[width.middle + x, 0.0, z] for x in DEPTH_LINES]))
    depth = _median_extent(vertebra, start, frame.anterior, reach, "mid-height depth")
    return MidSection(z, width, depth)


def _height_at_origin(frame: Frame, plate: Endplate) -> float:
    """Position along the superior axis at which the axis through the body centroid meets an endplate's whole plane."""
    offset = plate.whole.point_mm - frame.origin_mm
    return float(offset @ plate.whole.normal / (frame.superior @ plate.whole.normal))


@per_vertebra
def endplate_extents(vertebra: Vertebra, upper: bool) -> tuple[Extent, Extent]:
    """Width and depth of the body in a section parallel to an endplate's rim plane, 2 mm inside it.

    Parameters
    ----------
    vertebra : Vertebra
    upper : bool
        Superior or inferior endplate.

    Raises
    ------
    NotMeasurable
        Without that endplate.
    """
    frame, plate = require_frame(vertebra), require_endplate(vertebra, upper)
    normal, reach = plate.rim.normal, _reach(vertebra, frame)
    right = frame.right - (frame.right @ normal) * normal
    right = right / np.linalg.norm(right)
    front = np.cross(normal, right) * (1 if upper else -1)
    centre = plate.rim.point_mm - INSET_MM * normal
    rough = _median_extent(vertebra, centre + DEPTH_LINES[:, None] * right, front, reach, "endplate depth")
    at = centre + rough.middle * front
    width = _median_extent(vertebra, at + WIDTH_LINES[:, None] * front, right, reach, "endplate width")
    along = centre + width.middle * right
    depth = _median_extent(vertebra, along + DEPTH_LINES[:, None] * right, front, reach, "endplate depth")
    return width, depth


def require_frame(vertebra: Vertebra) -> Frame:
    """The vertebra's frame, or NotMeasurable with the reason it has none."""
    if vertebra.frame is None:
        raise vertebra.missing("frame")
    return vertebra.frame


def require_endplate(vertebra: Vertebra, upper: bool) -> Endplate:
    """One endplate, or NotMeasurable with the reason it is missing or not anatomical."""
    plate = vertebra.superior if upper else vertebra.inferior
    if plate is None:
        raise vertebra.missing("superior" if upper else "inferior")
    if "endplates" in vertebra.why:
        raise vertebra.missing("endplates")
    return plate
