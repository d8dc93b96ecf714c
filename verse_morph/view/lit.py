"""Lit pictures of a phantom's bones, seen along an axis of the world: for teaching, not for measuring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import InputError
from verse_morph.space import FloatArray, Grid

if TYPE_CHECKING:
    from verse_morph.phantom.implicit import Bone

# World axis along which one looks, its direction away from the eye, and the axes to the right and down on the picture
# with their directions. As on a light box: the patient's right, and anterior, on the reader's left.
VIEWS = {
    "anterior": ((1, -1), (0, -1), (2, -1)),
    "posterior": ((1, 1), (0, 1), (2, -1)),
    "left": ((0, 1), (1, -1), (2, -1)),
    "superior": ((2, -1), (0, -1), (1, -1)),
}
LIGHT = np.array([-0.35, -0.55, -0.76])
BACKGROUND = 255
BRIGHTEST = 245


@dataclass(frozen=True, eq=False)
class Lit:
    """A picture, the label of the bone at each pixel, and where points of the world are on it."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    low_mm: FloatArray
    high_mm: FloatArray
    view: str
    step_mm: float

    def pixel(self, point_mm: FloatArray) -> tuple[float, float]:
        """Column and row of a point, world RAS mm."""
        _, across, down = VIEWS[self.view]
        x, y = (
            (point_mm[axis] - self.low_mm[axis] if sign > 0 else self.high_mm[axis] - point_mm[axis]) / self.step_mm
            for axis, sign in (across, down)
        )
        return float(x), float(y)


def lit(bones: Sequence[Bone], view: str, box_mm: FloatArray, step_mm: float = 0.8) -> Lit:
    """A picture of grey bones on white.

    Parameters
    ----------
    bones : sequence of Bone
    view : str
        Where the eye is: ``anterior``, ``posterior``, ``left`` or ``superior``.
    box_mm : array (2, 3)
        Lowest and highest corner of what is seen, world RAS mm.
    step_mm : float
        One pixel.

    Raises
    ------
    InputError
        No such view.
    """
    if view not in VIEWS:
        raise InputError(f"no view from {view!r}; there are {', '.join(VIEWS)}")
    shape = tuple(np.ceil((box_mm[1] - box_mm[0]) / step_mm).astype(int))
    _, across, down = VIEWS[view]
    pixels = np.full((shape[down[0]], shape[across[0]]), BACKGROUND, dtype=np.uint8)
    labels, nearest = np.zeros(pixels.shape, dtype=np.uint8), np.full(pixels.shape, np.inf)
    for bone in bones:
        _paint(bone, (pixels, labels, nearest), view, (box_mm[0], shape, step_mm))
    return Lit(pixels, labels, box_mm[0], box_mm[0] + np.array(shape) * step_mm, view, step_mm)


def _paint(
    bone: Bone,
    canvas: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray],
    view: str,
    raster: tuple[FloatArray, tuple[int, ...], float],
) -> None:
    from verse_morph.phantom.implicit import Lattice

    low, shape, step = raster
    bounds = bone.world_bounds_mm()
    first = np.clip(np.floor((bounds[0] - low) / step).astype(int) - 2, 0, shape)
    last = np.clip(np.ceil((bounds[1] - low) / step).astype(int) + 2, 0, shape)
    if (last - first < 2).any():
        return
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = low + (first + 0.5) * step
    grid = Grid(tuple(last - first), affine)
    depth = np.asarray(bone.depth(Lattice.of(grid).seen_from(bone.placement)), dtype=np.float32)
    axes = VIEWS[view]
    seen = np.transpose(depth, [axis for axis, _ in (axes[0], axes[2], axes[1])])
    seen = np.flip(seen, tuple(k for k, (_, sign) in enumerate((axes[0], axes[2], axes[1])) if sign < 0))
    away, row, column = (_start(axis, sign, first, last, shape) for axis, sign in (axes[0], axes[2], axes[1]))
    inside = seen > 0
    hit = inside.any(axis=0)
    index = inside.argmax(axis=0)
    here = np.take_along_axis(seen, index[None], 0)[0]
    before = np.take_along_axis(seen, np.maximum(index - 1, 0)[None], 0)[0]
    share = np.clip(here / np.maximum(here - before, 1e-6), 0, 1)
    distance = np.where(hit, away + index - np.where(index > 0, share, 0), np.inf)
    shade = _shade(seen, index)
    rows, columns = slice(row, row + hit.shape[0]), slice(column, column + hit.shape[1])
    pixels, labels, nearest = canvas
    front = distance < nearest[rows, columns]
    nearest[rows, columns][front] = distance[front]
    labels[rows, columns][front] = bone.label
    pixels[rows, columns][front] = np.clip(BRIGHTEST * shade[front], 0, BRIGHTEST).astype(np.uint8)


def _start(axis: int, sign: int, first: NDArray, last: NDArray, shape: tuple[int, ...]) -> int:
    return int(first[axis] if sign > 0 else shape[axis] - last[axis])


def _shade(seen: NDArray, index: NDArray) -> NDArray:
    """Brightness from the surface's direction where the eye meets it."""
    slopes = np.stack([np.take_along_axis(slope, index[None], 0)[0] for slope in np.gradient(seen)])
    normal = -slopes / np.maximum(np.linalg.norm(slopes, axis=0), 1e-6)
    # The picture's axes are away, down, right; the light comes from the upper left behind the eye.
    facing = np.tensordot(np.array([LIGHT[2], LIGHT[1], LIGHT[0]]), normal, 1)
    return 0.35 + 0.7 * np.clip(facing, 0, 1)
