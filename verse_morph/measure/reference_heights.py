"""Level table of body heights: the shape of a normal spine, to be scaled to the patient.

Heights at the back after Panjabi et al. 1991 and 1992 (12 cadavers); the front from the sagittal wedge angles of 240
adults on CT (PMC2899959, mean of women and men, T9 to L5) over Panjabi's endplate depths; above T9 a front of 0.95 of
the back (midpoint of the range 0.93 to 0.97 in use, not traced to one source); the middle 0.93 of the mean of the two
(in use: 0.92 to 0.95 of the lower one, likewise untraced; the depth of an endplate does not depend on how wedged the
body is, so the mean is taken here). Only ratios between levels and places matter: the table is scaled to each patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from verse_morph.anatomy import Level

PLACES = ("anterior", "middle", "posterior")
UPPER_FRONT_SHARE = 0.95
MIDDLE_SHARE = 0.93
# Heights are taken at 10 and 90 % of the depth, the table's at the corners.
INSET_SHARE = 0.1
# Standard deviation of the ratio of front to back height: 0.06 to 0.08 at T10 to L2 in 100 adults without complaints
# (MRI, SRA 2011). No published value was found for the other levels and ratios; it is used for them too.
RATIO_SD = 0.07

# Level, mean depth of both endplates and height at the back (mm), wedge angle (degrees, + = lower in front) or - for
# the share above.
_ROWS = """
T1 19.1 14.1 -
T2 20.6 15.6 -
T3 23.0 15.7 -
T4 23.9 16.2 -
T5 25.1 16.2 -
T6 26.5 17.4 -
T7 28.0 18.2 -
T8 28.7 18.7 -
T9 30.2 19.3 3.80
T10 31.1 20.2 3.20
T11 31.9 21.3 5.00
T12 33.1 22.7 4.20
L1 34.7 23.8 3.35
L2 34.8 24.3 1.65
L3 35.0 23.8 0.10
L4 34.7 24.1 -1.90
L5 34.0 22.9 -6.20
"""
# Mean width of both endplates (Panjabi), of which the waist has about 0.88.
_WIDTHS = {
    "T1": 26.2, "T2": 26.2, "T3": 25.3, "T4": 25.3, "T5": 26.0, "T6": 27.2, "T7": 28.5, "T8": 30.0, "T9": 31.8,
    "T10": 33.7, "T11": 37.0, "T12": 40.6, "L1": 42.3, "L2": 44.1, "L3": 46.1, "L4": 48.1, "L5": 48.4,
}  # fmt: skip
WAIST_SHARE = 0.88


@dataclass(frozen=True)
class ReferenceRow:
    """Normal body of a level before scaling, mm: heights at 10, 50 and 90 % of the depth from the front, width at the
    waist.
    """

    anterior: float
    middle: float
    posterior: float
    width: float

    @property
    def heights(self) -> tuple[float, float, float]:
        """Anterior, middle and posterior height, mm."""
        return self.anterior, self.middle, self.posterior


def _row(depth: float, back: float, wedge: str, width: float) -> ReferenceRow:
    front = UPPER_FRONT_SHARE * back if wedge == "-" else back - depth * float(np.tan(np.radians(float(wedge))))
    anterior = front + INSET_SHARE * (back - front)
    posterior = back - INSET_SHARE * (back - front)
    return ReferenceRow(anterior, MIDDLE_SHARE * (anterior + posterior) / 2, posterior, WAIST_SHARE * width)


def _table() -> dict[Level, ReferenceRow]:
    rows = {}
    for line in _ROWS.strip().splitlines():
        name, depth, back, wedge = line.split()
        rows[Level(name)] = _row(float(depth), float(back), wedge, _WIDTHS[name])
    # An additional vertebra takes after the last regular one of its region.
    return rows | {Level.T13: rows[Level.T12], Level.L6: rows[Level.L5]}


REFERENCE: Mapping[Level, ReferenceRow] = MappingProxyType(_table())
