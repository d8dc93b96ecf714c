"""Detections of one scan to the most probable, anatomically valid chain of levels, with the doubt about it.

Every numbering of the row of vertebrae is weighed, so the posterior is exact over the numberings that the most
probable steps allow; the runner-up is the best one that names at least one vertebra differently.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.segment.chain_features import near_gaps, node_features, step_features
from verse_morph.segment.chain_prior import ChainPrior
from verse_morph.segment.detections import Detections, level_log_of
from verse_morph.segment.numbering import LEVELS, SACRUM, agree, numberings, whole_row_features
from verse_morph.segment.orientation import misplaced
from verse_morph.segment.row import Row, spine_row
from verse_morph.space import FloatArray, frozen

HYPOTHESES = 12  # joint hypotheses about missed neighbours that are followed
RARE_STEP = -7.0  # log-probability below which a step is not considered
LARGEST_MARGIN = 30.0
LONG_STEP = 1.5
# A step shorter than this many usual ones has no room for a vertebra between its ends: so much less likely, in
# logarithms, is a level passed over there than the prior thinks, which has seen few spines without a T12.
ROOM_STEP, NO_ROOM, FEWEST_NEAR = 1.3, -4.0, 2


class DecodingFlag(enum.StrEnum):
    """What a user should know about a decoding."""

    NOT_FOUND = "no_vertebra_found"
    IN_DOUBT = "numbering_in_doubt"
    INTERPOLATED = "level_interpolated"
    FROM_PEDICLES = "body_from_pedicles"
    ORIENTATION = "orientation_implausible"


@dataclass(frozen=True, eq=False)
class Decoding:
    """The named vertebrae of one scan.

    Parameters
    ----------
    points_mm : Mapping[Level, array (3,)]
        Body centre of each level, RAS mm, from head to foot; empty where no vertebra was found.
    runner_up : Mapping[Level, array (3,)]
        The most probable chain that names some vertebra differently; empty where there is none.
    margin : float or None
        Log-odds of this numbering against all others, at most 30 in size; None where nothing was found.
    in_doubt : bool
        Whether the margin is below the prior's threshold, the detections do not lie as in a patient, or nothing was
        found.
    interpolated, from_pedicles : frozenset of Level
        Levels whose centre was set between its neighbours, or inferred from its pedicles alone.
    flags : tuple of DecodingFlag
        The above in words.
    """

    points_mm: Mapping[Level, FloatArray]
    runner_up: Mapping[Level, FloatArray] = field(default_factory=dict)
    margin: float | None = None
    in_doubt: bool = True
    interpolated: frozenset[Level] = frozenset()
    from_pedicles: frozenset[Level] = frozenset()
    flags: tuple[DecodingFlag, ...] = ()

    def __post_init__(self) -> None:
        for name in ("points_mm", "runner_up"):
            points = {level: frozen(point) for level, point in getattr(self, name).items()}
            object.__setattr__(self, name, MappingProxyType(points))

    @property
    def posterior(self) -> float | None:
        """Probability of this numbering, 0 to 1; None where nothing was found."""
        return None if self.margin is None else 1 / (1 + math.exp(-self.margin))


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Numberings of a row, array (c, n) of ranks, and the log-probability of each, array (c,)."""

    ranks: np.ndarray
    log_probability: FloatArray


def decode(detections: Detections, prior: ChainPrior) -> Decoding:
    """Name the vertebrae among unlabelled detections.

    Parameters
    ----------
    detections : Detections
        Body and pedicle points of one scan; their order does not matter.
    prior : ChainPrior
        See :func:`verse_morph.segment.chain_prior.load_prior`.

    Notes
    -----
    The numbering rests on region scores and geometry, not on ribs. Where a view shows neither the neck nor the
    sacrum, or where the scores and the shape of the lowest vertebrae contradict each other, the margin is small:
    read ``runner_up`` before using the levels. Five-fold figures are in the prior's README.
    """
    row = spine_row(detections)
    if not len(row):
        return Decoding({}, flags=(DecodingFlag.NOT_FOUND, DecodingFlag.IN_DOUBT))
    weighed = weigh(row, prior)
    best = weighed.ranks[weighed.log_probability.argmax()]
    same = agree(weighed.ranks, best)
    margin = _log_odds(weighed.log_probability, same)
    runner_up: dict[Level, FloatArray] = {}
    if not same.all():
        other = np.where(same, -np.inf, weighed.log_probability).argmax()
        runner_up = _name(row, weighed.ranks[other])[0]
    points, interpolated = _name(row, best)
    inferred = {LEVELS[rank] for rank, flag in zip(best, row.from_pedicles, strict=True) if flag and rank != SACRUM}
    wrong_way = misplaced(detections)
    raised = {
        DecodingFlag.IN_DOUBT: margin < prior.doubt_margin or bool(wrong_way),
        DecodingFlag.ORIENTATION: bool(wrong_way),
        DecodingFlag.INTERPOLATED: bool(interpolated),
        DecodingFlag.FROM_PEDICLES: bool(inferred),
    }
    flags = tuple(flag for flag, on in raised.items() if on)
    doubt = raised[DecodingFlag.IN_DOUBT]
    return Decoding(points, runner_up, margin, doubt, frozenset(interpolated), frozenset(inferred), flags)


def weigh(row: Row, prior: ChainPrior) -> Hypotheses:
    """All numberings of a row with their posterior log-probabilities.

    Notes
    -----
    ``row.level_log`` is added after the temperature: it is a log-likelihood ratio in its own right, and the temperature
    corrects the prior's networks, not the source of that evidence. Give it tempered if its source is too sure.
    """
    level_logits = prior.level_logits(node_features(row))
    evidence = level_log_of(row.level_log, len(row))
    found, weights, elsewhere = [], [], []
    steps = _with_room(prior.step_log_probabilities(step_features(row)), row)
    for weight, jumps in _step_hypotheses(steps):
        ranks, variants = numberings(jumps)
        if not len(ranks):
            continue
        vertebrae = level_logits[np.arange(len(row)), ranks].sum(axis=1)
        found.append(ranks)
        elsewhere.append(evidence[np.arange(len(row)), ranks].sum(axis=1))
        weights.append(weight + vertebrae + prior.row_logits(whole_row_features(row, ranks, variants)))
    ranks = np.concatenate(found)
    logits = np.concatenate(weights) / prior.temperature + np.concatenate(elsewhere)
    return Hypotheses(ranks, logits - np.logaddexp.reduce(logits))


def _with_room(log_probabilities: FloatArray, row: Row) -> FloatArray:
    """Log-probabilities (n - 1, k) of 1, 2, ... levels from one vertebra to the next, where there is room for them."""
    gap = np.linalg.norm(np.diff(row.points_mm, axis=0), axis=1)
    out = np.array(log_probabilities)
    for k in range(len(gap)):
        near = near_gaps(gap, k)
        if len(near) >= FEWEST_NEAR and gap[k] < ROOM_STEP * np.median(near):
            out[k, 1:] += NO_ROOM
    return out


def _step_hypotheses(log_probabilities: FloatArray) -> list[tuple[float, np.ndarray]]:
    """The most probable joint hypotheses of how many levels lie between neighbours, best first."""
    beam: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for options in log_probabilities:
        likely = [k for k in range(len(options)) if options[k] > RARE_STEP]
        longer = [(total + options[k], (*jumps, k + 1)) for total, jumps in beam for k in likely]
        beam = sorted(longer, reverse=True)[:HYPOTHESES]
    # The plain reading stays in, so that a long row of detections always has a numbering.
    plain = (1,) * len(log_probabilities)
    if all(jumps != plain for _, jumps in beam):
        beam.append((float(log_probabilities[:, 0].sum()), plain))
    return [(total, np.array(jumps, dtype=int)) for total, jumps in beam]


def _log_odds(log_probability: FloatArray, chosen: np.ndarray) -> float:
    if chosen.all():
        return LARGEST_MARGIN
    odds = np.logaddexp.reduce(log_probability[chosen]) - np.logaddexp.reduce(log_probability[~chosen])
    return float(np.clip(odds, -LARGEST_MARGIN, LARGEST_MARGIN))


def _name(row: Row, ranks: np.ndarray) -> tuple[dict[Level, FloatArray], set[Level]]:
    """Points by level, and the levels that were set between two found neighbours."""
    points: dict[Level, FloatArray] = {}
    between: set[Level] = set()
    above: int | None = None
    for k in np.flatnonzero(ranks != SACRUM):
        if above is not None:
            missing = _skipped(ranks[above], ranks[k], _long_step(row, above, int(k)))
            for number, level in enumerate(missing, start=1):
                part = number / (len(missing) + 1)
                points[level] = (1 - part) * row.points_mm[above] + part * row.points_mm[k]
                between.add(level)
        points[LEVELS[ranks[k]]] = row.points_mm[k]
        above = int(k)
    return points, between


def _skipped(upper: int, lower: int, long_step: bool) -> list[Level]:
    """Levels passed over between two ranks; T13 is never invented, nor T12 where there is no room for it."""
    between = [LEVELS[rank] for rank in range(upper + 1, lower) if LEVELS[rank] is not Level.T13]
    return [] if between == [Level.T12] and not long_step else between


def _long_step(row: Row, above: int, below: int) -> bool:
    """Whether a step is longer than its neighbours by half or more: room for a vertebra that was not detected."""
    step = np.linalg.norm(np.diff(row.points_mm, axis=0), axis=1)
    near = np.delete(step[max(0, above - 2) : below + 2], min(above, 2))
    return bool(len(near)) and float(step[above]) > LONG_STEP * float(np.median(near))
