"""Listhesis: how far a vertebra has moved on the one below."""

from __future__ import annotations

import numpy as np

from verse_morph.measure.discs import Disc, facing_rims
from verse_morph.measure.measurement import measurement

SLIP = "posterior corners against the lower endplate, Taillard 1954; grades Meyerding 1932"
LEAST_MM, LEAST_PCT = 3.0, 5.0


@measurement(unit="mm", length_power=1, of="disc", source=SLIP)
def slip_mm(disc: Disc) -> float:
    """Distance of the upper vertebra's lower back corner in front of the lower one's upper back corner, along the
    lower one's upper rim plane, in the mid-sagittal plane.

    Positive forwards, negative for a retrolisthesis. Misleads with osteophytes at the back corners, and in a wedged
    disc: its posterior height times the sine of half its angle counts as slip.
    """
    above, below = facing_rims(disc)
    return float((above.depth_ends_mm[0] - below.depth_ends_mm[0]) @ below.front)


@measurement(unit="pct", length_power=0, of="disc", source=SLIP)
def slip_pct(disc: Disc) -> float:
    """Slip as a share of the depth of the lower vertebra's upper endplate, positive forwards."""
    return 100 * float(slip_mm(disc)) / facing_rims(disc)[1].depth.length


@measurement(unit="mm", length_power=1, of="disc", mirror="flip", source=SLIP)
def slip_lateral(disc: Disc) -> float:
    """Distance of the middle of the upper vertebra's lower endplate to the right of the middle of the lower one's upper
    endplate, along the latter's rim plane.
    """
    above, below = facing_rims(disc)
    return float((above.middle_mm - below.middle_mm) @ below.right)


@measurement(unit="", length_power=None, of="disc", source=SLIP)
def meyerding(disc: Disc) -> float:
    """Meyerding grade of a forward slip: 0 below the greater of 3 mm and 5 %, then one grade per quarter of the lower
    endplate's depth, 5 beyond the whole.

    Backward and sideways slips have no grade: they count as 0 here and are given in mm and percent.
    """
    percent = float(slip_pct(disc))
    if float(slip_mm(disc)) < LEAST_MM or percent < LEAST_PCT:
        return 0.0
    return float(min(np.ceil(percent / 25), 5))
