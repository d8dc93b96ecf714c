"""Every anatomically valid way to number a row of vertebrae, and what speaks for each as a whole.

A spine may lack T12, have T13, and end in L4, L5 or L6; below the last lumbar vertebra the row may run on into
the sacrum, whose points are numbered ``S1`` and never become vertebrae.
"""

from __future__ import annotations

import functools

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.segment.chain_features import SCORE_LOGIT, likeliest_region, score_logits
from verse_morph.segment.row import Row
from verse_morph.space import FloatArray

LEVELS = tuple(Level)
SACRUM = Level.S1.rank
_REGION_OF = np.array([("cervical", "thoracic", "lumbar", "sacral").index(level.region) for level in LEVELS])
_SACRAL_POINTS = 2  # a row may hold this many points of the sacrum


@functools.cache
def spines() -> tuple[tuple[int, int, tuple[int, ...]], ...]:
    """The nine spines considered: change in thoracic count (0, -1, +1), lumbar count, ranks from head to foot."""
    out = []
    for extra, last_thoracic in ((0, Level.T12), (-1, Level.T11), (+1, Level.T13)):
        upper = [level.rank for level in LEVELS if level <= last_thoracic]
        for lumbar in (4, 5, 6):
            lower = [Level.L1.rank + k for k in range(lumbar)]
            out.append((extra, lumbar, tuple(upper + lower + [SACRUM] * _SACRAL_POINTS)))
    return tuple(out)


def numberings(jumps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All ways to number a row whose neighbours are ``jumps`` (n - 1,) levels apart.

    Returns
    -------
    ranks : array (c, n) of int
        Rank of each vertebra's level, ``S1`` for points of the sacrum.
    variants : array (c, 5) of bool
        T12 missing; T13 present; sacrum seen below L4; below L5; below L6.
    """
    place = np.concatenate([[0], np.cumsum(jumps)]).astype(int)
    found: dict[tuple[int, ...], list[bool]] = {}
    for extra, lumbar, spine in spines():
        thoracic_end = Level.T12.rank + extra
        for start in range(len(spine) - place[-1]):
            ranks = tuple(spine[start + k] for k in place)
            if ranks[0] == SACRUM or ranks in found:
                continue
            crosses = start <= thoracic_end < start + place[-1]
            below = [ranks[-1] == SACRUM and lumbar == count for count in (4, 5, 6)]
            thirteen = extra == 1 and (crosses or Level.T13.rank in ranks)
            found[ranks] = [extra == -1 and crosses, thirteen, *below]
    shape = (len(found), len(place))
    return np.array(list(found), dtype=int).reshape(shape), np.array(list(found.values()), dtype=bool).reshape(-1, 5)


def whole_row_features(row: Row, ranks: np.ndarray, variants: np.ndarray) -> FloatArray:
    """Features of each numbering of the row that no single vertebra shows, array (c, 34)."""
    seen, named = likeliest_region(row), _REGION_OF[ranks]
    columns = []
    for name, score in ((1, 2), (2, 1), (0, 1), (1, 0)):  # named thoracic but seen as lumbar, ...
        count = ((named == name) & (seen == score)).sum(axis=1)
        columns += [count == 1, count == 2, count >= 3]
    columns += _region_evidence(row, named, seen)
    last = np.where(ranks == SACRUM, -1, ranks).max(axis=1)
    columns += [last == Level.L1.rank + k for k in range(6)]
    columns += [last < Level.L1.rank, (ranks == SACRUM).any(axis=1), (ranks == Level.L1.rank).any(axis=1)]
    whole = (named == 0).any(axis=1) & (named == 2).any(axis=1)
    columns += list(variants.T)
    columns += [whole & (last == Level.L6.rank), whole & (last == Level.L4.rank), whole & variants[:, 0]]
    columns += [whole & variants[:, 1], (named == 2).sum(axis=1) / 5]
    return np.column_stack(columns).astype(np.float64)


def _region_evidence(row: Row, named: np.ndarray, seen: np.ndarray) -> list[FloatArray]:
    """How strongly the scores speak for or against the regions of each numbering, three arrays (c,).

    Scores are not normalised: a true T12 taken for lumbar often has a high thoracic score as well, and the difference
    of the two tells it from an L1.
    """
    logits = np.column_stack([score_logits(row.scores), np.zeros(len(row))])
    each = np.take_along_axis(logits[None].repeat(len(named), axis=0), named[..., None], axis=2)[..., 0]
    told = (seen >= 0)[None] & (named < 3)
    strongest = np.logaddexp.reduce(SCORE_LOGIT * logits[:, :3], axis=1) / SCORE_LOGIT
    deficit = np.where(told, strongest - each, 0.0)
    low = np.where((named == 1) & (seen == 2), deficit, 0.0).sum(axis=1)
    high = np.where((named == 2) & (seen == 1), deficit, 0.0).sum(axis=1)
    return [deficit.sum(axis=1), low, high]


def agree(ranks: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Whether each numbering (c, n) gives every vertebra the level that ``reference`` (n,) gives it.

    A point that either of them takes for the sacrum is no vertebra and decides nothing.
    """
    same = (ranks == reference) | (ranks == SACRUM) | (reference == SACRUM)
    return np.asarray(same.all(axis=1))
