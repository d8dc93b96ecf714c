"""A picture in a notebook: what the crosshair's panel and the editor's projections share of their widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from verse_morph.errors import VerseMorphError

ASSETS = Path(__file__).parent / "assets"


@cache
def picture_class() -> Any:
    """The widgets' common class, made when the first one is: importing this module loads no widgets."""
    import anywidget
    import traitlets as t

    class Picture(anywidget.AnyWidget):
        """A PNG with letters at its sides; ``answers`` counts the messages that the kernel has dealt with."""

        png = t.Bytes(b"").tag(sync=True)
        size_px = t.List([200, 200]).tag(sync=True)
        letters = t.List(["", "", "", ""]).tag(sync=True)
        title = t.Unicode("").tag(sync=True)
        spoken = t.Unicode("").tag(sync=True)
        answers = t.Int(0).tag(sync=True)

    return Picture


def script(name: str) -> str:
    """The browser's side of a picture: the common part and its own."""
    return "".join((ASSETS / file).read_text(encoding="utf-8") for file in ("picture.js", name))


def listened(made: Any, heard: Callable[[Mapping[str, Any]], None]) -> Any:
    """The picture, telling ``heard`` of every message and the reader, in its title, what cannot be done."""

    def told(widget: Any, content: Mapping[str, Any], _buffers: object) -> None:
        try:
            heard(content)
        except VerseMorphError as error:
            widget.title = str(error)
        finally:
            widget.answers += 1

    made.on_msg(told)
    return made


def fitting(width_mm: float, height_mm: float, widest_px: int, tallest_px: int) -> list[int]:
    """Width and height in pixels of a picture that keeps its proportions."""
    scale = min(widest_px / width_mm, tallest_px / height_mm)
    return [max(1, round(width_mm * scale)), max(1, round(height_mm * scale))]
