"""Rim planes, height lines and names drawn on a straightened picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.measure.heights import height_lines
from verse_morph.spine import Endplate, Spine, Vertebra
from verse_morph.view.straighten import Straight

# Pixels of the picture per pixel of the sample, so that numbers can be read.
SCALE = 2
RIM, NAME = (255, 93, 93), (255, 255, 255)
HEIGHTS = {
    "sagittal": {"anterior": (125, 255, 138), "middle": (255, 255, 255), "posterior": (255, 159, 243)},
    "coronal": {"left": (125, 255, 138), "right": (255, 159, 243)},
}
LETTERS_PX = 12
# Beside the outer lines, away from the body: three numbers on a neck's body would hide each other.
BESIDE = {"anterior": -1, "posterior": 1}


def dressed(pixels: NDArray[np.uint8], on: Straight, spine: Spine) -> NDArray[np.uint8]:
    """The picture with what the heights rest on.

    Parameters
    ----------
    pixels : array (H, W, 3)
        One per point of ``on``.
    on : Straight
    spine : Spine
    """
    from PIL import Image, ImageDraw

    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels).resize((width * SCALE, height * SCALE), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(image)
    for vertebra in spine:
        for endplate in (vertebra.superior, vertebra.inferior):
            if endplate is not None:
                _rim(pen, on, endplate, vertebra)
        for place, line in height_lines(vertebra).items():
            if place in HEIGHTS[on.plane]:
                _height(pen, on, line, place)
        _name(pen, on, vertebra)
    return np.asarray(image)


def _rim(pen: Any, on: Straight, endplate: Endplate, vertebra: Vertebra) -> None:
    if vertebra.frame is None:
        return
    normal = endplate.rim.normal
    along = vertebra.frame.anterior if on.plane == "sagittal" else vertebra.frame.right
    along = along - (along @ normal) * normal
    along /= np.linalg.norm(along)
    middle = endplate.points_mm.mean(axis=0)
    middle = middle - ((middle - endplate.rim.point_mm) @ normal) * normal
    reach = np.percentile((endplate.points_mm - middle) @ along, (1, 99))
    _line(pen, on.pixel(middle + along * reach[:, None]), RIM)


def _height(pen: Any, on: Straight, line_mm: NDArray, place: str) -> None:
    ends, colour = on.pixel(line_mm), HEIGHTS[on.plane][place]
    _line(pen, ends, colour)
    if np.isfinite(ends).all():
        x, y = ends.mean(axis=0) * SCALE
        words = f"{np.linalg.norm(line_mm[1] - line_mm[0]):.1f}"
        half = 3.3 * len(words)
        x += BESIDE.get(place, 0) * (half + 3)
        pen.rectangle((x - half, y - 6, x + half, y + 6), fill=(0, 0, 0))
        pen.text((x, y), words, fill=colour, anchor="mm", font_size=LETTERS_PX)


def _name(pen: Any, on: Straight, vertebra: Vertebra) -> None:
    if vertebra.centre_mm is None:
        return
    (_, row), *_ = on.pixel(vertebra.centre_mm)
    if np.isfinite(row):
        pen.text((16, row * SCALE), str(vertebra.level), fill=NAME, anchor="lm", font_size=LETTERS_PX + 3)


def _line(pen: Any, ends: NDArray, colour: tuple[int, int, int]) -> None:
    if np.isfinite(ends).all():
        pen.line([tuple(float(v) for v in end * SCALE) for end in ends], fill=colour, width=2)
