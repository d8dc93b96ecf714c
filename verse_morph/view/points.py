"""The points that name vertebrae, as a plain value, and what can be done to them: move, add, remove, relabel, shift.

Nothing here knows a widget. Every change gives a new value; a :class:`History` remembers the old ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.space import FloatArray

THORACIC, LUMBAR = (11, 12, 13), (4, 5, 6)
# Closer than this, two points lie in one vertebra.
SAME_VERTEBRA_MM = 8.0
# A point moved by less than this is the same point.
STILL_MM = 0.05


@dataclass(frozen=True)
class Numbering:
    """How many thoracic and lumbar vertebrae the labels count with.

    Parameters
    ----------
    thoracic : int
        11, 12 or 13.
    lumbar : int
        4, 5 or 6.
    """

    thoracic: int = 12
    lumbar: int = 5

    def __post_init__(self) -> None:
        if self.thoracic not in THORACIC or self.lumbar not in LUMBAR:
            raise InputError(
                f"{self.thoracic} thoracic and {self.lumbar} lumbar vertebrae: choose among 11 to 13 and 4 to 6"
            )

    @property
    def chain(self) -> tuple[Level, ...]:
        """All levels that a spine of this count has, head to foot.

        >>> [str(level) for level in Numbering(13, 4).chain[17:22]]
        ['T11', 'T12', 'T13', 'L1', 'L2']
        """
        names = [
            f"{letter}{n + 1}"
            for letter, count in zip("CTL", (7, self.thoracic, self.lumbar), strict=True)
            for n in range(count)
        ]
        return tuple(Level(name) for name in names)


@dataclass(frozen=True)
class Point:
    """One vertebra's point; ``key`` stays when it is moved or renamed.

    Parameters
    ----------
    key : int
    level : Level
    mm : 3 floats
        World RAS millimetres.
    """

    key: int
    level: Level
    mm: tuple[float, float, float]


@dataclass(frozen=True)
class Points:
    """All points of a scan, head to foot by level, and how they are counted.

    Parameters
    ----------
    points : tuple of Point
    numbering : Numbering
    next_key : int
        Key of the next point to be added.
    """

    points: tuple[Point, ...] = ()
    numbering: Numbering = Numbering()
    next_key: int = 0

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels, head to foot."""
        return tuple(point.level for point in self.points)

    def points_mm(self) -> dict[Level, FloatArray]:
        """Points by level, as :func:`verse_morph.io.write_centroids` and ``SegmentOptions`` take them."""
        return {point.level: np.array(point.mm) for point in self.points}

    def __getitem__(self, level: Level | str) -> Point:
        wanted = _level(level)
        for point in self.points:
            if point.level is wanted:
                return point
        raise InputError(f"there is no point for {wanted}; there are {' '.join(map(str, self.levels)) or 'none'}")


def points_from(points_mm: Mapping[Level, ArrayLike]) -> Points:
    """Points as read from a file or a mask; the count is told from the levels (12 and 5 where they do not tell).

    Raises
    ------
    InputError
        A point is no three finite numbers.
    """
    made = tuple(
        Point(key, level, _triple(points_mm[level], level))
        for key, level in enumerate(sorted(level for level in points_mm if level is not Level.S1))
    )
    return Points(made, numbering_of(tuple(point.level for point in made)), len(made))


def numbering_of(levels: Sequence[Level]) -> Numbering:
    """The count that a set of levels speaks for: T13 and L6 where they occur, no T12 where T11 is followed by L1.

    >>> numbering_of([Level.T11, Level.L1]).thoracic
    11
    """
    missing = Level.T12 not in levels and Level.T11 in levels and Level.L1 in levels
    thoracic = 13 if Level.T13 in levels else 11 if missing else 12
    return Numbering(thoracic, 6 if Level.L6 in levels else 5)


# --- changes ----------------------------------------------------------------------------------------------------------


def move(state: Points, level: Level | str, mm: ArrayLike) -> Points:
    """The same with one point elsewhere, world RAS mm.

    Raises
    ------
    InputError
        No such point, or no three finite numbers.
    """
    old = state[level]
    return _with(state, replace(old, mm=_triple(mm, old.level)))


def add(state: Points, level: Level | str, mm: ArrayLike) -> Points:
    """The same with one point more.

    Raises
    ------
    InputError
        The level has a point already, or is the sacrum.
    """
    wanted = _level(level)
    if wanted is Level.S1:
        raise InputError("the sacrum has no point of its own; the lowest level is L6")
    if wanted in state.levels:
        raise InputError(f"{wanted} has a point already; move that one, or add another level")
    made = Point(state.next_key, wanted, _triple(mm, wanted))
    return replace(_sorted(state, (*state.points, made)), next_key=state.next_key + 1)


def remove(state: Points, level: Level | str) -> Points:
    """The same without one point.

    Raises
    ------
    InputError
        No such point.
    """
    old = state[level]
    return replace(state, points=tuple(point for point in state.points if point is not old))


def relabel(state: Points, level: Level | str, to: Level | str) -> Points:
    """The same with another name for one point; where that name is taken, the two change names.

    Raises
    ------
    InputError
        No such point, or the new name is the sacrum's.
    """
    old, wanted = state[level], _level(to)
    if wanted is Level.S1:
        raise InputError("the sacrum has no point of its own; the lowest level is L6")
    swapped: dict[int, Level] = {old.key: wanted}
    if wanted in state.levels:
        swapped[state[wanted].key] = old.level
    return _sorted(state, tuple(replace(p, level=swapped.get(p.key, p.level)) for p in state.points))


def shift(state: Points, steps: int, numbering: Numbering | None = None) -> Points:
    """The same with all names moved along the spine, gaps kept.

    Parameters
    ----------
    state : Points
    steps : int
        +1 gives every point the next name towards the feet (T12 becomes L1), -1 towards the head, 0 only counts anew.
    numbering : Numbering, optional
        How to count from now on, with 13 thoracic vertebrae, say; the uppermost point is the one that is shifted by
        ``steps``, the others follow it. As before by default.

    Raises
    ------
    InputError
        A name would lie above C1 or below the last lumbar vertebra.
    """
    count = numbering or state.numbering
    if not state.points:
        return replace(state, numbering=count)
    old, new = state.numbering.chain, count.chain
    strange = [str(level) for level in state.levels if level not in old]
    if strange:
        raise InputError(
            f"{' '.join(strange)} is not among {state.numbering.thoracic} thoracic and {state.numbering.lumbar} lumbar "
            "vertebrae: relabel it first, or count with a number that has it"
        )
    places = [old.index(level) for level in state.levels]
    top = state.levels[0]
    # The uppermost name may not exist in the new count (T13 above, 12 thoracic now): then its place counts.
    start = (new.index(top) if top in new else places[0]) + steps
    moved = [start + place - places[0] for place in places]
    if moved[0] < 0 or moved[-1] >= len(new):
        end = "above C1" if moved[0] < 0 else f"below {new[-1]}"
        raise InputError(f"shifted by {steps:+d} a point would lie {end}; delete it first, or count otherwise")
    return Points(
        tuple(replace(p, level=new[k]) for p, k in zip(state.points, moved, strict=True)), count, state.next_key
    )


def problems(state: Points) -> tuple[str, ...]:
    """What looks wrong about the points, one sentence each; they stay as they are."""
    said = []
    for upper, lower in zip(state.points, state.points[1:], strict=False):
        if missing := [level for level in state.numbering.chain if upper.level < level < lower.level]:
            said.append(f"no point for {' '.join(map(str, missing))}")
        apart = np.subtract(upper.mm, lower.mm)
        if np.linalg.norm(apart) < SAME_VERTEBRA_MM:
            said.append(f"{upper.level} and {lower.level} lie {np.linalg.norm(apart):.0f} mm apart: one vertebra?")
        elif apart[2] < 0:
            said.append(f"{upper.level} lies below {lower.level}")
    return tuple(said)


# --- what became of them ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """What became of the points of a scan.

    Parameters
    ----------
    outline : tuple of Level
        New names of points that were moved or added: their vertebrae need a new outline.
    renamed : Mapping of Level to Level
        New name by old name, of points that stayed where they were.
    gone : tuple of Level
        Old names of points that were moved or removed: their old outline is wrong.
    """

    outline: tuple[Level, ...]
    renamed: Mapping[Level, Level]
    gone: tuple[Level, ...]

    @property
    def nothing(self) -> bool:
        """Whether all is as it was."""
        return not (self.outline or self.renamed or self.gone)


def difference(before: Points, after: Points) -> Difference:
    """What became of the points between two states of one editor."""
    old, new = ({point.key: point for point in state.points} for state in (before, after))
    still = {key for key in set(old) & set(new) if np.linalg.norm(np.subtract(old[key].mm, new[key].mm)) < STILL_MM}
    renamed = {old[key].level: new[key].level for key in still if old[key].level is not new[key].level}
    return Difference(
        tuple(sorted(point.level for key, point in new.items() if key not in still)),
        dict(sorted(renamed.items())),
        tuple(sorted(point.level for key, point in old.items() if key not in still)),
    )


@dataclass(frozen=True)
class History:
    """A state and those before and after it."""

    now: Points
    past: tuple[Points, ...] = ()
    future: tuple[Points, ...] = ()

    def done(self, state: Points) -> History:
        """With a new state; the same history where nothing changed."""
        return self if state == self.now else History(state, (*self.past, self.now))

    def undone(self) -> History:
        """One step back; the same where there is none."""
        if not self.past:
            return self
        return History(self.past[-1], self.past[:-1], (self.now, *self.future))

    def redone(self) -> History:
        """One step forward again; the same where there is none."""
        if not self.future:
            return self
        return History(self.future[0], (*self.past, self.now), self.future[1:])


def _with(state: Points, point: Point) -> Points:
    return replace(state, points=tuple(point if p.key == point.key else p for p in state.points))


def _sorted(state: Points, points: tuple[Point, ...]) -> Points:
    levels = {point.level for point in points}
    count = state.numbering
    grown = Numbering(
        13 if Level.T13 in levels else max(count.thoracic, 12 if Level.T12 in levels else 11),
        6 if Level.L6 in levels else max(count.lumbar, 5 if Level.L5 in levels else 4),
    )
    return replace(state, points=tuple(sorted(points, key=lambda p: p.level)), numbering=grown)


def _level(level: Level | str) -> Level:
    try:
        return Level(str(level))
    except ValueError as error:
        raise InputError(f"no level {str(level)!r}; they are C1 to C7, T1 to T13, L1 to L6") from error


def _triple(mm: ArrayLike, level: Level) -> tuple[float, float, float]:
    values = np.asarray(mm, dtype=float)
    if values.shape != (3,) or not np.isfinite(values).all():
        raise InputError(f"the point of {level} needs three numbers in mm, got {values.tolist()}")
    return float(values[0]), float(values[1]), float(values[2])
