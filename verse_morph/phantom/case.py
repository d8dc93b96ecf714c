"""What one phantom is: its anatomy on a grid, the parameters it was made from, and every true number.

The numbers of :class:`Truth` come from the parameters (the functions that define the surfaces), never from voxels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import VERSE, LabelScheme, Level
from verse_morph.space import Grid, frozen
from verse_morph.volume import LabelMap

if TYPE_CHECKING:
    import pandas as pd

    from verse_morph.phantom.parameters import SpineParameters

SACRUM, COCCYX = 26, 27
HIP = {"left": 30, "right": 31}
FEMUR = {"left": 32, "right": 33}
SKULL = 34
FIRST_RIB = {"left": 41, "right": 61}
CERVICAL_RIB = {"left": 90, "right": 91}
DISC_OFFSET = 100
CANAL = 150
# Everything from here on is soft tissue, everything below is bone.
FIRST_SOFT = DISC_OFFSET


def rib_label(side: str, number: int) -> int:
    """Label of a rib, 1 to 14, of one side."""
    return FIRST_RIB[side] + number - 1


def disc_label(upper: Level) -> int:
    """Label of the disc below a level."""
    return DISC_OFFSET + VERSE.value_of(upper)


def _names() -> dict[int, str]:
    out = {value: str(level) for value, level in VERSE.levels.items()} | dict(VERSE.others)
    out[SKULL] = "skull_base"
    for side in ("left", "right"):
        out |= {HIP[side]: f"hip_{side}", FEMUR[side]: f"femur_{side}", CERVICAL_RIB[side]: f"cervical_rib_{side}"}
        out |= {rib_label(side, number): f"rib_{side}_{number}" for number in range(1, 15)}
    out |= {disc_label(level): f"disc_below_{level}" for level in VERSE.levels.values()}
    return out | {CANAL: "thecal_sac"}


# Every label a phantom can hold.
NAMES: Mapping[int, str] = _names()

# The full map as a label scheme: vertebrae are levels, everything else is named.
FULL = LabelScheme("phantom", VERSE.levels, {value: name for value, name in NAMES.items() if value not in VERSE.levels})


@dataclass(frozen=True, eq=False)
class Truth:
    """True values of a phantom under the names of the result tables.

    Parameters
    ----------
    vertebrae : DataFrame
        One row per vertebra at least partly in the field, labelled by VerSe's rules or not; ``in_view`` and
        ``body_in_view`` tell the share of its volume, ``flags`` what is cut. A row gives the patient's true values
        whether or not they could be measured.
    discs : DataFrame
        One row per disc between such vertebrae (and S1).
    curves : DataFrame
        One row per named curve whose end levels the patient has; ``in_view`` tells whether the image shows both.
    scan : Mapping
        Variants, counts, ribs, patient: what holds for the scan as a whole.
    """

    vertebrae: pd.DataFrame
    discs: pd.DataFrame
    curves: pd.DataFrame
    scan: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class PhantomCase:
    """One phantom on a grid.

    Parameters
    ----------
    structures : array (i, j, k) of uint8
        All anatomy, labels as in :data:`NAMES`; the axes run nearest to R, A, S.
    bone_depth_mm : array (i, j, k) of float16
        Signed distance to the nearest bone surface, positive inside bone, from the defining functions at the voxel
        centres (partial volume of a voxel of size h: about ``clip(0.5 + depth / h, 0, 1)``), clipped to [-10, 20].
    grid : Grid
        Where the voxels lie in the world.
    parameters : SpineParameters
        Everything that was drawn.
    truth : Truth
        Every true number.
    name : str
        The scan's key.
    """

    structures: NDArray[np.uint8]
    bone_depth_mm: NDArray[np.float16]
    grid: Grid
    parameters: SpineParameters
    truth: Truth
    name: str = "phantom"
    names: Mapping[int, str] = field(default_factory=lambda: NAMES)

    def __post_init__(self) -> None:
        for array in ("structures", "bone_depth_mm"):
            if getattr(self, array).shape != self.grid.shape:
                raise ValueError(f"{array} {getattr(self, array).shape} does not fit grid {self.grid.shape}")
            object.__setattr__(self, array, frozen(getattr(self, array)))

    @property
    def full_labels(self) -> LabelMap:
        """All anatomy as a label map."""
        return LabelMap(self.structures, self.grid, FULL, self.name)

    @property
    def verse_labels(self) -> LabelMap:
        """The mask under VerSe's rules: free vertebrae only; levels fused to the sacrum and the sacrum itself are not
        labelled.
        """
        table = np.zeros(256, dtype=np.uint8)
        for value, level in VERSE.levels.items():
            if level not in self.parameters.fused_levels:
                table[value] = value
        return LabelMap(table[self.structures], self.grid, VERSE, self.name)
