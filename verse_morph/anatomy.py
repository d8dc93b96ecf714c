"""Vertebral levels in head-to-foot order, and the numbers that masks use for them.

Levels are compared by anatomy, never by label number: T13 (label 28 in VerSe) lies between T12 and L1.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@functools.total_ordering
class Level(enum.Enum):
    """A vertebral level; members are declared in head-to-foot order and compare in that order.

    ``S1`` stands for the first sacral endplate only; it never becomes a row of the vertebra table.
    """

    C1 = "C1"
    C2 = "C2"
    C3 = "C3"
    C4 = "C4"
    C5 = "C5"
    C6 = "C6"
    C7 = "C7"
    T1 = "T1"
    T2 = "T2"
    T3 = "T3"
    T4 = "T4"
    T5 = "T5"
    T6 = "T6"
    T7 = "T7"
    T8 = "T8"
    T9 = "T9"
    T10 = "T10"
    T11 = "T11"
    T12 = "T12"
    T13 = "T13"
    L1 = "L1"
    L2 = "L2"
    L3 = "L3"
    L4 = "L4"
    L5 = "L5"
    L6 = "L6"
    S1 = "S1"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Level):
            return NotImplemented
        return self.rank < other.rank

    @property
    def rank(self) -> int:
        """Position from the head, 0 for C1."""
        return _RANK[self]

    @property
    def region(self) -> str:
        """``cervical``, ``thoracic``, ``lumbar`` or ``sacral``."""
        return _REGION[self.value[0]]

    def __str__(self) -> str:
        return self.value


_RANK: Mapping[Level, int] = {level: rank for rank, level in enumerate(Level)}
_REGION = {"C": "cervical", "T": "thoracic", "L": "lumbar", "S": "sacral"}

# Levels that a complete spine may lack: a step over them alone is a variant, not necessarily a gap.
OPTIONAL_LEVELS = frozenset({Level.T12, Level.T13, Level.L5, Level.L6})


def missing_between(upper: Level, lower: Level) -> tuple[Level, ...]:
    """Levels that every spine has between two levels (T12, T13, L5 and L6 may be absent).

    >>> [str(level) for level in missing_between(Level.T10, Level.L1)]
    ['T11']
    >>> missing_between(Level.T11, Level.L1)
    ()
    """
    between = [level for level in Level if upper < level < lower]
    return tuple(level for level in between if level not in OPTIONAL_LEVELS)


def rib_number(level: Level, last_thoracic: Level = Level.T12) -> int | None:
    """The number of the ribs that a vertebra bears or would bear: 0 on C7, on L1 one more than the last thoracic level.

    Parameters
    ----------
    level : Level
    last_thoracic : Level
        Last thoracic level of this spine.

    >>> rib_number(Level.T11), rib_number(Level.L1), rib_number(Level.L1, Level.T11), rib_number(Level.L2)
    (11, 13, 12, None)
    """
    if level is Level.C7:
        return 0
    if level.region == "thoracic":
        return int(level.value[1:])
    return int(last_thoracic.value[1:]) + 1 if level is Level.L1 else None


@dataclass(frozen=True)
class LabelScheme:
    """How a mask's integers translate to levels.

    Parameters
    ----------
    name : str
        The word accepted by ``--scheme``.
    levels : Mapping[int, Level]
        Label value of each vertebra.
    others : Mapping[int, str]
        Known values that are not vertebrae (sacrum, ribs, organs); they are kept and not measured.
    """

    name: str
    levels: Mapping[int, Level]
    others: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", MappingProxyType(dict(self.levels)))
        object.__setattr__(self, "others", MappingProxyType(dict(self.others)))

    def value_of(self, level: Level) -> int:
        """Label value of a level."""
        for value, candidate in self.levels.items():
            if candidate is level:
                return value
        raise KeyError(f"scheme {self.name!r} has no label for {level}")

    def unknown(self, values: Iterable[int]) -> tuple[int, ...]:
        """The values (0 apart) that this scheme does not know, in ascending order."""
        return tuple(sorted(v for v in values if v and v not in self.levels and v not in self.others))


def _numbered(first: int, levels: Iterable[Level], step: int = 1) -> dict[int, Level]:
    return {first + step * i: level for i, level in enumerate(levels)}


_WITHOUT_T13 = [level for level in Level if level not in (Level.T13, Level.S1)]

# VerSe 2020 (Liebl et al. 2021): 1-7 C1-C7, 8-19 T1-T12, 20-25 L1-L6, 26 sacrum, 27 coccyx, 28 T13.
VERSE = LabelScheme(
    name="verse",
    levels=_numbered(1, _WITHOUT_T13) | {28: Level.T13},
    others={26: "sacrum", 27: "coccyx"},
)
