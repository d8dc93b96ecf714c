"""Samples for the stages outline and ribs: a patch, a heatmap on one vertebra, and its mask or that of its ribs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import VERSE, Level, rib_number
from verse_morph.errors import InputError
from verse_morph.phantom.case import rib_label
from verse_morph.phantom.fields import FloatVolume, apply_axes, coloured_noise, gauss_matrix, slice_matrices
from verse_morph.phantom.paint import PatchOptions, paint_points
from verse_morph.phantom.warp import DeformationRange, draw_deformation, other_side
from verse_morph.segment.intensity import AIR_HU, to_input
from verse_morph.segment.patches import SPACING_MM, centre_voxel, heatmap
from verse_morph.segment.train.kept import Kept
from verse_morph.segment.train.sources import Source
from verse_morph.space import FloatArray

# Two neighbours are cut from every painted block: painting costs a third of a training step.
PER_BLOCK = 2
KEPT_BLOCKS = 8
PATCH = (80, 96, 64)
BLOCK = (96, 104, 96)
JITTER_MM = 6.0
# A wrongly named point lies where the neighbour is; the network must believe the heatmap, within this error of it.
POINT_ERROR_MM = 3.5
POSTERIOR_WEIGHT, POSTERIOR_FROM_MM = 2.0, 14.0
PAINT = PatchOptions(
    shape=BLOCK,
    spacing_mm=SPACING_MM,
    extra_bone=0.6,
    foreign=0.04,
    overgrowth=0.4,
    deformation=DeformationRange(rotation_deg=18, scale=(0.82, 1.2)),
)
_OTHER_SIDE = other_side()
# About the last rib: where it has to be told from none, and from the one above that comes down.
RIB_LEVELS = tuple(Level(word) for word in ["T9", "T10", "T11", "T12", "T13", "L1", "L2", "L3"])
SIDES = ("left", "right")


@dataclass(frozen=True)
class OutlineOptions:
    """What outline samples are made of.

    Parameters
    ----------
    patch : 3 int
        Shape of a sample; smaller than the patch in use, since convolutions do not care.
    paint : PatchOptions
        How far painted blocks stray from their label map.
    """

    patch: tuple[int, int, int] = PATCH
    paint: PatchOptions = PAINT


@dataclass(frozen=True, eq=False)
class _Block:
    hu: FloatVolume
    labels: NDArray[np.uint8]
    points: dict[int, FloatArray]
    first: int
    targets: Mapping[int, tuple[int, ...]]


class OutlineSamples:
    """Sample n of a seed is always the same; blocks are shared by the samples that follow each other in a batch."""

    def __init__(self, sources: Sequence[Source], seed: int, options: OutlineOptions | None = None) -> None:
        self.sources = self._usable(sources)
        self.seed = seed
        self.options = options or OutlineOptions()
        weights = np.array([source.weight for source in self.sources])
        self._share = weights / weights.sum()
        self._block = Kept(self._make_block, KEPT_BLOCKS)

    def __call__(self, index: int) -> dict[str, NDArray[np.float32]]:
        """Arrays ``image`` (2, i, j, k), ``target`` and ``weight`` (1, i, j, k)."""
        batch, place = divmod(index, 2 * PER_BLOCK)
        block = self._block(2 * batch + place % 2)
        rng = np.random.default_rng([self.seed, 1, index])
        value = _pick(block, place // 2, rng)
        return _sample(block, value, self.options.patch, rng)

    def _usable(self, sources: Sequence[Source]) -> tuple[Source, ...]:
        return tuple(sources)

    def _targets(self, source: Source) -> dict[int, tuple[int, ...]]:
        """Labels of what is asked for at each vertebra."""
        return {value: (value,) for value in source.centres}

    def _make_block(self, number: int) -> _Block:
        rng = np.random.default_rng([self.seed, 0, number])
        source = self.sources[rng.choice(len(self.sources), p=self._share)]
        # Every vertebra of a source alike: regions that masks show best must not crowd out the others.
        values = list(source.centres)
        value = int(values[rng.integers(len(values))])
        if source.hu is not None:
            block = _real_block(source, source.hu, value, rng)
        else:
            block = _painted_block(source, value, rng, self.options.paint)
        return replace(block, targets=self._targets(source))


class RibSamples(OutlineSamples):
    """As for outlines, about the last ribs, with the vertebra's own two ribs as the target: none, where it bears none.

    Raises
    ------
    InputError
        No source has ribs labelled.
    """

    def _usable(self, sources: Sequence[Source]) -> tuple[Source, ...]:
        wanted = [VERSE.value_of(level) for level in RIB_LEVELS]
        found = []
        for source in sources:
            centres = {value: source.centres[value] for value in source.centres if value in wanted}
            # What is no vertebra lies above their numbers; without any rib a mask says nothing about ribs.
            ribs = [rib_label(side, number) for side in SIDES for number in range(1, 15)]
            if centres and np.isin(source.labels, ribs).any():
                found.append(replace(source, centres=centres))
        if not found:
            raise InputError("no label map shows a rib beside T9 to L3; add phantoms:N, or masks with labelled ribs")
        return tuple(found)

    def _targets(self, source: Source) -> dict[int, tuple[int, ...]]:
        present = [VERSE.value_of(level) in source.centres for level in (Level.T11, Level.T12, Level.T13, Level.L1)]
        without_t12 = present[0] and present[3] and not present[1]
        last = Level.T13 if present[2] else Level.T11 if without_t12 else Level.T12
        out = {}
        for value in source.centres:
            number = rib_number(VERSE.levels[value], last)
            out[value] = () if number is None else tuple(rib_label(side, number) for side in SIDES)
        return out


def _painted_block(source: Source, value: int, rng: np.random.Generator, paint: PatchOptions) -> _Block:
    across, deep, high = (float(s) for s in source.spacing_mm)
    values = list(source.centres)
    points = np.array([source.centres[v] for v in values])
    i, j, k = (float(c) for c in _behind(source, value, rng))
    hu, labels, moved = paint_points(source.labels, (across, deep, high), rng, points, paint, (i, j, k))
    return _Block(hu, labels, dict(zip(values, moved, strict=True)), value, {})


def _behind(source: Source, value: int, rng: np.random.Generator) -> FloatArray:
    """The source voxel that a block is centred on: behind the body, with the neighbour above or below in view."""
    shift = np.array([0.0, -22.0, rng.uniform(-14, 14)])
    return source.centres[value] + shift / source.spacing_mm


def _real_block(source: Source, ct: NDArray[np.int16], value: int, rng: np.random.Generator) -> _Block:
    """A block of a real CT, deformed with its mask, with noise, blur, slices and contrast of other scanners."""
    from scipy.ndimage import map_coordinates

    limits = DeformationRange(rotation_deg=18, scale=(0.85, 1.18), bend_mm=1.0)
    deformation = draw_deformation(BLOCK, (SPACING_MM,) * 3, rng, limits)
    centre = _behind(source, value, rng)
    places = deformation.places(source.spacing_mm, centre)
    labels, seen = deformation.sample(source.labels, places, _OTHER_SIDE)
    low = np.maximum(np.floor(places.reshape(3, -1).min(axis=1)).astype(int) - 1, 0)
    high = np.maximum(np.ceil(places.reshape(3, -1).max(axis=1)).astype(int) + 2, low + 2)
    crop = ct[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    shifted = places - low.reshape(3, 1, 1, 1).astype(np.float32)
    hu = map_coordinates(crop.astype(np.float32), shifted, order=1, mode="nearest")
    hu = np.where(seen, _rescanned(hu, rng), np.float32(AIR_HU))
    values = list(source.centres)
    moved = deformation.moved(np.array([source.centres[v] for v in values]), source.spacing_mm, centre)
    return _Block(hu, np.where(seen, labels, np.uint8(0)), dict(zip(values, moved, strict=True)), value, {})


def _rescanned(hu: FloatVolume, rng: np.random.Generator) -> FloatVolume:
    out = hu * np.float32(rng.uniform(0.85, 1.2)) + np.float32(rng.normal(0, 25))
    if rng.random() < 0.3:
        sigma = rng.uniform(0.4, 1.2)
        out = apply_axes(out, [gauss_matrix(n, sigma) for n in out.shape])
    if rng.random() < 0.3:
        axis = int(rng.choice(3, p=(0.4, 0.1, 0.5)))
        down, up = slice_matrices(out.shape[axis], rng.uniform(1, 4), rng.random())
        out = apply_axes(out, [down if a == axis else None for a in range(3)])
        out = apply_axes(out, [up if a == axis else None for a in range(3)])
    if rng.random() < 0.7:
        grain = rng.uniform(0, 1.0)
        sd = np.float32(np.exp(rng.uniform(np.log(8), np.log(150))))
        out = out + sd * coloured_noise(out.shape, [grain] * 3, rng)
    return out


def _pick(block: _Block, which: int, rng: np.random.Generator) -> int:
    """The block's own vertebra, or a neighbour of it that is in view."""
    if which == 0:
        return block.first
    order = sorted(block.points, key=lambda v: VERSE.levels[v])
    here = order.index(block.first)
    near = [order[k] for k in (here - 1, here + 1) if 0 <= k < len(order)]
    inside = [v for v in near if ((block.points[v] > 4) & (block.points[v] < np.array(block.labels.shape) - 5)).all()]
    return int(inside[rng.integers(len(inside))]) if inside else block.first


def _sample(
    block: _Block, value: int, shape: tuple[int, int, int], rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    jitter = rng.uniform(-JITTER_MM, JITTER_MM, 3) / SPACING_MM
    # The sample is smaller than the patch in use: move it about, so that every part of the vertebra is seen.
    middle = block.points[value] - centre_voxel(shape) + (np.array(shape) - 1) / 2 + jitter
    start = np.rint(middle - (np.array(shape) - 1) / 2).astype(int)
    start = np.clip(start, 0, np.array(block.labels.shape) - shape)
    box = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
    truth = block.points[value] - start
    point = truth + rng.normal(0, POINT_ERROR_MM, 3) * rng.choice([0.3, 1.0])
    target = np.isin(block.labels[box], block.targets[value]).astype(np.float32)
    image = np.stack([to_input(block.hu[box]), heatmap(shape, point)])
    behind = np.arange(shape[1]) < truth[1] - POSTERIOR_FROM_MM
    weight = np.where(behind[None, :, None], np.float32(POSTERIOR_WEIGHT), np.float32(1.0))
    return {"image": image, "target": target[None], "weight": np.broadcast_to(weight, (1, *shape)).copy()}
