"""Heights that a vertebral body would have without a fracture: its neighbours', carried over by a level table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.errors import NotMeasurable
from verse_morph.measure.body import mid_section, per_subject
from verse_morph.measure.heights import body_height
from verse_morph.measure.reference_heights import PLACES, REFERENCE
from verse_morph.spine import Spine, Vertebra

REACH_LEVELS = 4
# A vertebra that lost this share of any height is no reference; nor is one that stands out above its neighbours by it.
REFERENCE_LOSS = 0.15
ROUNDS = 10
# Levels are first held against the one that comes first, second or third in scale (of up to 4, up to 9, more levels),
# so that a spine with many fractures does not take them for normal.
FIRST_OF = (4, 9)
# How far a patient's own shape (front and middle against the back) may differ from the table's, learnt from at least
# so many references.
SHAPE_RANGE = (0.9, 1.1)
SHAPE_REFERENCES = 3
# Highest share of voxels above this HU in a body without metal or cement.
FOREIGN_HU, FOREIGN_SHARE = 1500.0, 0.01

NEIGHBOURS, WHOLE_SPINE, ONE_NEIGHBOUR, HIGHEST, OWN = (
    "neighbours",
    "whole_spine",
    "one_neighbour",
    "highest_of_the_spine",
    "own_highest_edge",
)


@dataclass(frozen=True, eq=False)
class Expected:
    """What a vertebra's heights are held against.

    Parameters
    ----------
    heights_mm : array (3,)
        Anterior, middle, posterior.
    measured_mm : array (3,)
        The same as they are now.
    basis : str
        ``neighbours``: at least two unfractured levels within four; ``whole_spine``: at least two, further away;
        ``one_neighbour``; ``highest_of_the_spine``: no unfractured level, the best-kept height of all vertebrae;
        ``own_highest_edge``: no other vertebra.
    references : tuple of Level
        Head to foot.
    slenderness : float or None
        How high the references are for their width, 1 as in the level table.
    """

    heights_mm: NDArray
    measured_mm: NDArray
    basis: str
    references: tuple[Level, ...]
    slenderness: float | None = None

    @property
    def loss(self) -> NDArray:
        """Share of the expected height that is missing; negative where the vertebra is higher than expected."""
        return 1.0 - self.measured_mm / self.heights_mm


def expected_heights(vertebra: Vertebra, spine: Spine) -> Expected:
    """Expected heights of one vertebra.

    Parameters
    ----------
    vertebra : Vertebra
    spine : Spine
        The spine it belongs to.

    Raises
    ------
    NotMeasurable
        A cervical level, heights that cannot be measured, metal or cement in the body.

    Notes
    -----
    Iterative: every level is held against the levels within four that lost less than 15 % of any height, weighted by
    1 / (1 + distance), by their median scale against the level table; then again, until the references stay the same.
    Remembered per spine, which is frozen.
    """
    found = _expect_all(spine).get(vertebra.level)
    if found is None:
        raise NotMeasurable(f"{vertebra.level}: height loss is not assessed at cervical levels")
    if isinstance(found, str):
        raise NotMeasurable(found)
    return found


@per_subject
def _expect_all(spine: Spine) -> dict[Level, Expected | str]:
    """Expected heights, or the reason why there are none. A kept exception would keep the whole spine with it: its
    traceback holds every frame that it passed through.
    """
    out: dict[Level, Expected | str] = {}
    heights: dict[Level, NDArray] = {}
    widths: dict[Level, float] = {}
    for vertebra in spine:
        if vertebra.level not in REFERENCE:
            continue
        try:
            heights[vertebra.level] = _heights(vertebra)
            widths[vertebra.level] = mid_section(vertebra).width.length
        except NotMeasurable as reason:
            out[vertebra.level] = str(reason)
    return {**out, **expect(heights, widths)}


def _heights(vertebra: Vertebra) -> NDArray:
    if vertebra.hu is not None and vertebra.body is not None:
        share = float((vertebra.hu[vertebra.body] > FOREIGN_HU).mean())
        if share > FOREIGN_SHARE:
            raise NotMeasurable(f"{vertebra.level}: metal or cement in the body")
    return np.array([body_height(vertebra, place) for place in PLACES])


def expect(heights: Mapping[Level, NDArray], widths: Mapping[Level, float]) -> Mapping[Level, Expected]:
    """Expected heights of all levels of one spine, from their measured ones alone.

    Parameters
    ----------
    heights : Mapping of Level to array (3,)
        Anterior, middle and posterior height of the levels from T1 on that could be measured, mm.
    widths : Mapping of Level to float
        Width of the same bodies at mid-height, mm.
    """
    return _Comparison(heights, widths).settle() if heights else {}


class _Comparison:
    """The measurable levels of a spine, compared with each other through the level table."""

    def __init__(self, heights: Mapping[Level, NDArray], widths: Mapping[Level, float]) -> None:
        self.levels = list(heights)
        self.heights = np.array([heights[level] for level in self.levels])
        self.normal = np.array([REFERENCE[level].heights for level in self.levels])
        self.relative = self.heights / self.normal
        self.scale = np.median(self.relative, axis=1)
        width = np.array([widths[level] / REFERENCE[level].width for level in self.levels])
        self.slenderness = self.scale / width
        place = np.array([_place(level, self.levels) for level in self.levels])
        self.distance = np.abs(place[:, None] - place[None, :])

    def settle(self) -> dict[Level, Expected]:
        rank = sum(len(self.levels) > count for count in FIRST_OF)
        start = np.sort(self.scale)[-1 - rank]
        sound = 1 - self.scale / start < REFERENCE_LOSS
        for _ in range(ROUNDS):
            found = [self._expect(i, sound) for i in range(len(self.levels))]
            loss = np.array([one.loss for one in found])
            now = (loss.max(axis=1) < REFERENCE_LOSS) & (np.median(loss, axis=1) > -REFERENCE_LOSS)
            if (now == sound).all():
                break
            sound = now
        return dict(zip(self.levels, found, strict=True))

    def _expect(self, i: int, sound: NDArray) -> Expected:
        others = sound & (np.arange(len(sound)) != i)
        near = others & (self.distance[i] <= REACH_LEVELS)
        if near.sum() >= 2:
            return self._from(i, near, NEIGHBOURS)
        if others.any():
            return self._from(i, others, WHOLE_SPINE if others.sum() > 1 else ONE_NEIGHBOUR)
        if len(self.levels) == 1:
            return Expected(float(self.relative.max()) * self.normal[i], self.heights[i], OWN, ())
        # Back walls are kept best.
        highest = max(float(self.relative[:, PLACES.index("posterior")].max()), float(self.scale.max()))
        return Expected(highest * self.normal[i], self.heights[i], HIGHEST, ())

    def _from(self, i: int, use: NDArray, basis: str) -> Expected:
        weight = 1.0 / (1.0 + self.distance[i][use])
        scale = weighted_median(self.scale[use], weight)
        shape = np.ones(3)
        if use.sum() >= SHAPE_REFERENCES:
            own = self.relative[use] / self.scale[use][:, None]
            shape = np.clip([weighted_median(column, weight) for column in own.T], *SHAPE_RANGE)
        references = tuple(level for level, used in zip(self.levels, use, strict=True) if used)
        slender = float(np.median(self.slenderness[use]))
        return Expected(scale * shape * self.normal[i], self.heights[i], basis, references, slender)


def _place(level: Level, present: list[Level]) -> int:
    """Position of a level along the spine; T13 counts only where the spine has one."""
    return level.rank - int(level > Level.T13 and Level.T13 not in present)


def weighted_median(values: NDArray, weights: NDArray) -> float:
    """The value below and above which half of the weight lies; the mean of two where both qualify."""
    order = np.argsort(values)
    below = np.cumsum(weights[order]) / weights.sum()
    first = int(np.searchsorted(below, 0.5 - 1e-9))
    second = int(np.searchsorted(below, 0.5 + 1e-9))
    return float((values[order][first] + values[order][min(second, len(values) - 1)]) / 2)
