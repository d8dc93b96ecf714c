"""Whether vertebrae were missed within a row or below it, or the sacrum's first one counted with them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.segment.identify import sacral_share, sacrum_top
from verse_morph.segment.locate import Location
from verse_morph.segment.outline import steps_mm
from verse_morph.space import FloatArray
from verse_morph.spine import usual_steps_mm

# From one body's middle to the next, and from the last one's to that of the sacrum's upper front: this many usual
# steps leave room for a vertebra.
ROOM_STEPS, ROOM_ABOVE_SACRUM = 1.6, 1.4
# Where naming saw something there with this confidence, although too little to name it, less room is enough to look for
# another vertebra. With a step of 1.25 and more it was an L6 in nine phantoms of 188 and S1, often a transitional one,
# in five; a patient whose L5 was passed over had 1.2.
ROOM_WITH_CANDIDATE, SEEN = 1.15, 0.25
# Such a candidate lies so many usual steps below the last vertebra.
ONE_STEP = (0.6, 1.4)
# A last vertebra whose surroundings are sacrum to this share may be S1. Few spines have an L6, and of what is named so
# on phantoms one in four is an S1: there a little sacrum is enough.
SACRUM_SHARE, SACRUM_SHARE_OF_L6 = 0.65, 0.2
FEWEST = 3


def count_doubt(
    points_mm: Mapping[Level, FloatArray], location: Location | None, sacral_mm: FloatArray | None = None
) -> str:
    """Why the number of vertebrae is in doubt, in words; empty where it is not.

    Parameters
    ----------
    points_mm : Mapping[Level, array (3,)]
        Middle of every body that was outlined, world RAS mm.
    location : Location, optional
        With the sacrum; None where it is not known well. Where none is in view nothing can be said of the lower end.
    sacral_mm : array (3,), optional
        Middle of the first sacral body where naming saw it, world RAS mm.

    Notes
    -----
    The sacrum is that of the locating network, at 4 mm. A transitional vertebra that is fused to it on one side looks
    like either; then doubt is the right answer. C1 and C2 have no bodies at the usual distance and are not judged.
    """
    if len(points_mm) < FEWEST:
        return ""
    return _room_within(points_mm) or _lower_end(points_mm, location, sacral_mm)


def _room_within(points_mm: Mapping[Level, FloatArray]) -> str:
    steps = steps_mm(points_mm)
    for ((upper, lower), step), usual in zip(steps.items(), usual_steps_mm(list(steps.values())), strict=True):
        if upper > Level.C2 and step > ROOM_STEPS * usual:
            return f"between {upper} and {lower} there is room for another vertebra"
    return ""


def _lower_end(points_mm: Mapping[Level, FloatArray], location: Location | None, sacral_mm: FloatArray | None) -> str:
    top = upper_sacrum(location, sacral_mm)
    if top is None:
        return ""
    last = max(points_mm)
    if room_above_sacrum(points_mm, top):
        return f"between {last} and the sacrum there is room for another vertebra"
    # At the locating stage's 4 mm an L6 looks sacral as often as not; naming has seen S1 below it.
    if location is None or sacral_mm is not None:
        return ""
    most = SACRUM_SHARE_OF_L6 if last is Level.L6 else SACRUM_SHARE
    if sacral_share(location, points_mm[last][None])[0] > most:
        return f"{last} may be the first sacral vertebra"
    return ""


def upper_sacrum(location: Location | None, sacral_mm: FloatArray | None) -> FloatArray | None:
    """Upper front (3,) of the sacrum: where naming saw its first body, else as the locating stage outlined it.

    Parameters
    ----------
    location : Location, optional
        None where its sacrum is not known well.
    sacral_mm : array (3,), optional
        World RAS mm.
    """
    if sacral_mm is not None:
        return sacral_mm
    return None if location is None else sacrum_top(location)


def room_above_sacrum(
    points_mm: Mapping[Level, FloatArray], top_mm: FloatArray, seen_mm: FloatArray | None = None
) -> bool:
    """Whether between the last vertebra and the sacrum there is room for another one.

    Parameters
    ----------
    points_mm : Mapping[Level, array (3,)]
        Middles of two bodies or more, world RAS mm.
    top_mm : array (3,)
        Upper front of the sacrum.
    seen_mm : array (3,), optional
        What naming saw below the last vertebra: then less room is enough.
    """
    usual = last_step_mm(points_mm)
    least = ROOM_ABOVE_SACRUM if seen_mm is None else ROOM_WITH_CANDIDATE
    return bool(np.linalg.norm(top_mm - points_mm[max(points_mm)]) > least * usual)


def last_step_mm(points_mm: Mapping[Level, FloatArray]) -> float:
    """The usual step from one body to the next at the lower end of a row of two or more."""
    return float(usual_steps_mm(list(steps_mm(points_mm).values()))[-1])


def seen_below(
    points_mm: Mapping[Level, FloatArray], bodies_mm: FloatArray, confidence: FloatArray
) -> FloatArray | None:
    """The likeliest candidate (3,) that naming left unnamed one step below the last vertebra; None where there is none.

    Parameters
    ----------
    points_mm : Mapping[Level, array (3,)]
        Middles of bodies, world RAS mm.
    bodies_mm, confidence : array (n, 3), (n,)
        All candidates of naming.
    """
    if len(points_mm) < FEWEST:
        return None
    last = points_mm[max(points_mm)]
    usual = last_step_mm(points_mm)
    away = np.linalg.norm(bodies_mm - last, axis=1) / usual
    below = (bodies_mm[:, 2] < last[2]) & (away > ONE_STEP[0]) & (away < ONE_STEP[1]) & (confidence >= SEEN)
    return bodies_mm[np.where(below, confidence, -1.0).argmax()] if below.any() else None
