"""Ready pictures of a phantom's bones, coloured by bone; ``docs/build_teaching_pictures.py`` draws them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError
from verse_morph.view.panel import png
from verse_morph.view.picture import ASSETS

BRIGHTEST = 247
BONE = "#ede6d6"
SPECIAL = "#e69f00"


@dataclass(frozen=True, eq=False)
class Plate:
    """Lit bones in grey (H, W) and the phantom's label of the bone at each pixel (H, W)."""

    name: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def has(self, label: int) -> bool:
        """Whether a bone is seen."""
        return bool((self.labels == label).any())

    def middle(self, label: int) -> tuple[float, float]:
        """Column and row in the middle of what is seen of a bone."""
        rows, columns = np.nonzero(self.labels == label)
        return float(columns.mean()), float(rows.mean())


@cache
def plate(name: str) -> Plate:
    """One of the pictures that come with the package.

    Raises
    ------
    InputError
        There is none of this name.
    """
    from PIL import Image

    file = ASSETS / f"teach_{name}.png"
    if not file.is_file():
        known = sorted(f.stem.removeprefix("teach_") for f in ASSETS.glob("teach_*.png") if "_labels" not in f.stem)
        raise InputError(f"no plate {name!r}; there are {', '.join(known)}")
    labels = np.asarray(Image.open(file.with_name(f"{file.stem}_labels.png")))
    return Plate(name, np.asarray(Image.open(file).convert("L")), labels)


def tinted(of: Plate, colours: Mapping[int, str]) -> NDArray[np.uint8]:
    """Pixels (H, W, 3): bones in their colours, all others in that of bone."""
    table = np.array([_rgb(colours.get(label, BONE)) for label in range(256)], dtype=float)
    made = of.pixels[..., np.newaxis] / BRIGHTEST * table[of.labels]
    return np.where((of.labels > 0)[..., np.newaxis], np.clip(made, 0, 255), 255).astype(np.uint8)


def picture(of: Plate, alt: str, colours: Mapping[int, str] | None = None, width: int | None = None) -> str:
    """HTML of a picture with the words that stand for it."""
    data = base64.b64encode(png(tinted(of, colours or {}))).decode()
    style = f"width:{width}px" if width else f"width:{of.pixels.shape[1]}px"
    return f'<img alt="{escape(alt, quote=True)}" style="{style};max-width:100%" src="data:image/png;base64,{data}">'


def named(of: Plate, alt: str, colours: Mapping[int, str], names: Mapping[int, str]) -> str:
    """HTML of a picture with names beside bones."""
    height, width = of.labels.shape
    data = base64.b64encode(png(tinted(of, colours))).decode()
    words = []
    for label, text in names.items():
        if of.has(label):
            _, y = of.middle(label)
            words.append(f'<text x="{width + 4}" y="{y + 4:.0f}">{escape(text)}</text>')
            x = int(np.nonzero((of.labels == label).any(axis=0))[0].max())
            words.append(f'<line x1="{x + 2}" x2="{width + 2}" y1="{y:.0f}" y2="{y:.0f}" stroke="#bbb"/>')
    return (
        f'<svg role="img" aria-label="{escape(alt, quote=True)}" width="{width + 34}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><image width="{width}" height="{height}" '
        f'href="data:image/png;base64,{data}"/>{"".join(words)}</svg>'
    )


def label_of(level: Level | str) -> int:
    """A level's label on the plates."""
    return VERSE.value_of(Level(str(level)))


def figure(inside: str, caption: str) -> str:
    """HTML of a picture with its caption below, to stand beside others."""
    return (
        '<figure style="display:inline-block;vertical-align:top;margin:6px 14px 6px 0;max-width:230px">'
        f'{inside}<figcaption style="font-size:13px;line-height:1.35">{caption}</figcaption></figure>'
    )


def _rgb(colour: str) -> list[int]:
    return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
