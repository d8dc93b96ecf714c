"""One picture in a notebook with a crosshair that can be clicked; the kernel sends what is to be seen, as PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.view.picture import listened, picture_class, script


@cache
def panel_class() -> type:
    """The widget's class, made when the first picture is needed: importing this module loads no widgets."""
    import traitlets as t

    picture: Any = picture_class()

    class Panel(picture):
        """A picture with a crosshair; messages ``at`` (shares of width and height) and ``step`` come back.

        ``marks`` are names to write at its left side, each with its share of the height.
        """

        _esm = script("panel.js")
        cross: Any = t.List([]).tag(sync=True)
        marks: Any = t.List([]).tag(sync=True)

    return Panel


def make_panel(title: str, letters: tuple[str, ...], heard: Callable[[Mapping[str, Any]], None]) -> Any:
    """A picture that tells ``heard`` of every click, drag, wheel and arrow key, and then that it was answered."""
    return listened(panel_class()(title=title, letters=list(letters)), heard)


def png(pixels: NDArray[np.uint8], compress_level: int = 1) -> bytes:
    """PNG of RGB (H, W, 3) or grey pixels (H, W); little compressed where it travels no further than to the browser."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=compress_level)
    return out.getvalue()


def grey(values: NDArray, window_hu: tuple[float, float]) -> NDArray[np.uint8]:
    """Grey pixels (H, W, 3) of HU in a window; what is not finite is dark blue-grey."""
    low, high = window_hu
    seen = np.nan_to_num((values.astype(np.float32) - low) / max(high - low, 1e-6), nan=0.0)
    shades = (np.clip(seen, 0, 1) * 255).astype(np.uint8)
    pixels = np.repeat(shades[..., np.newaxis], 3, axis=2)
    if np.issubdtype(values.dtype, np.floating):
        pixels[~np.isfinite(values)] = (32, 32, 40)
    return pixels


def overlaid(pixels: NDArray[np.uint8], labels: NDArray, colours: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """Pixels with labels mixed in; their borders are drawn at full strength.

    Parameters
    ----------
    pixels : array (H, W, 3)
    labels : array (H, W)
    colours : array (N, 3)
        By label value; values beyond the last are not drawn.
    share : float
        0 shows nothing of the labels, 1 nothing below them.
    """
    if share <= 0:
        return pixels
    known = np.where(labels < len(colours), labels, 0)
    inside = known > 0
    border = np.zeros_like(inside)
    for axis in (0, 1):
        differs = np.diff(known, axis=axis) != 0
        border |= np.concatenate([differs, np.zeros_like(np.take(differs, [0], axis))], axis)
    weight = np.where(border & inside, 1.0, np.where(inside, share, 0.0))[..., np.newaxis]
    return (pixels * (1 - weight) + colours[known] * weight).astype(np.uint8)
