"""Whether detections lie as a patient's do: neck above loin, pedicles behind the bodies, left on the left."""

from __future__ import annotations

import numpy as np

from verse_morph.segment.detections import Detections
from verse_morph.space import FloatArray

MOST = 0.5  # part of the points that has to lie the wrong way round
SEEN = 0.5  # region score from which a body counts as seen in that region


def misplaced(found: Detections) -> tuple[str, ...]:
    """What contradicts RAS axes: ``upside_down``, ``pedicles_in_front``, ``sides_swapped``; empty where nothing does.

    Notes
    -----
    Upside down is noticed only where two regions are in view; a few lumbar vertebrae alone do not tell.
    """
    checks = {
        "upside_down": _upside_down(found),
        "pedicles_in_front": _pedicles_in_front(found),
        "sides_swapped": _sides_swapped(found),
    }
    return tuple(name for name, wrong in checks.items() if wrong)


def _upside_down(found: Detections) -> bool:
    if not len(found):
        return False
    height, region = found.bodies_mm[:, 2], found.scores.argmax(axis=1)
    seen = found.scores.max(axis=1) >= SEEN
    middle = [np.median(height[seen & (region == k)]) for k in range(3) if (seen & (region == k)).any()]
    return len(middle) > 1 and bool(middle[0] < middle[-1])


def _pedicles_in_front(found: Detections) -> bool:
    pedicles = np.concatenate([found.left_mm, found.right_mm])
    if not len(pedicles) or not len(found):
        return False
    return float(np.mean(_from_nearest_body(found, pedicles)[:, 1] > 0)) > MOST


def _sides_swapped(found: Detections) -> bool:
    if not len(found) or not (len(found.left_mm) or len(found.right_mm)):
        return False
    left = _from_nearest_body(found, found.left_mm)[:, 0]
    right = _from_nearest_body(found, found.right_mm)[:, 0]
    return float(np.mean(np.concatenate([left > 0, right < 0]))) > MOST


def _from_nearest_body(found: Detections, points: FloatArray) -> FloatArray:
    """Vector to each point from the body nearest to it, array (n, 3)."""
    nearest = np.linalg.norm(points[:, None] - found.bodies_mm[None], axis=2).argmin(axis=1)
    return np.asarray(points - found.bodies_mm[nearest])
