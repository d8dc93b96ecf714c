"""How good a prediction is: identification rate, distances and overlap against a true mask, rules for misses stated.

Every number exists in two modes, ``challenge`` and ``strict`` (see :class:`Mode`), and every table says in words how
its mode treats a vertebra that was missed or invented. Only :mod:`verse_morph.evaluate.files` opens files.
"""

from verse_morph.evaluate.files import Matching, Pair, match, read_pair
from verse_morph.evaluate.identify import Identification, identify
from verse_morph.evaluate.rules import Mode, Rules
from verse_morph.evaluate.scan import ScanEvaluation, all_missed, evaluate_scan
from verse_morph.evaluate.summary import set_summary, wilson_interval
from verse_morph.evaluate.surface import Surface, SurfaceDistances, mask_surface, surface_distances

__all__ = [
    "Identification",
    "Matching",
    "Mode",
    "Pair",
    "Rules",
    "ScanEvaluation",
    "Surface",
    "SurfaceDistances",
    "all_missed",
    "evaluate_scan",
    "identify",
    "mask_surface",
    "match",
    "read_pair",
    "set_summary",
    "surface_distances",
    "wilson_interval",
]
