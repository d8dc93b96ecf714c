"""Whether the row of vertebrae ends where the sacrum begins: a last one missed, or the sacrum's first one too many."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.segment.identify import sacral_share, sacrum_top
from verse_morph.segment.locate import Location
from verse_morph.segment.outline import steps_mm
from verse_morph.space import FloatArray

# From the last body's middle to that of the sacrum's upper front: this many usual steps leave room for a vertebra.
ROOM_STEPS = 1.4
# A last vertebra whose surroundings are sacrum to this share may be S1.
SACRUM_SHARE = 0.65
USUAL_OF_LAST = 4
FEWEST = 3


def lower_end_doubt(points_mm: Mapping[Level, FloatArray], location: Location) -> str:
    """Why the number of vertebrae above the sacrum is in doubt, in words; empty where it is not.

    Parameters
    ----------
    points_mm : Mapping[Level, array (3,)]
        Middle of every body that was outlined, world RAS mm.
    location : Location
        With the sacrum; where none is in view nothing can be said.

    Notes
    -----
    The sacrum is that of the locating network, at 4 mm. A transitional vertebra that is fused to it on one side looks
    like either; then doubt is the right answer.
    """
    top = sacrum_top(location)
    levels = sorted(points_mm)
    if top is None or len(levels) < FEWEST:
        return ""
    last = levels[-1]
    usual = float(np.median(list(steps_mm({v: points_mm[v] for v in levels[-USUAL_OF_LAST:]}).values())))
    if np.linalg.norm(top - points_mm[last]) > ROOM_STEPS * usual:
        return f"between {last} and the sacrum there is room for another vertebra"
    if sacral_share(location, points_mm[last][None])[0] > SACRUM_SHARE:
        return f"{last} may be the first sacral vertebra"
    return ""
