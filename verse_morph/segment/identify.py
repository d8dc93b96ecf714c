"""Second stage: which vertebra is which. Btrfly Net heatmaps, ribs and sacrum to detections, detections to a chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.segment.candidates import RANKS, find_candidates, level_shares, sacral, with_one_of_each_end
from verse_morph.segment.chain_prior import ChainPrior
from verse_morph.segment.compute import Compute, running
from verse_morph.segment.decode import Decoding, DecodingFlag, decode
from verse_morph.segment.detections import Detections
from verse_morph.segment.locate import Location
from verse_morph.segment.networks import Btrfly, side_multiple
from verse_morph.segment.numbering import LEVELS, SACRUM
from verse_morph.segment.own_ribs import level_log as rib_level_log
from verse_morph.segment.own_ribs import rib_volumes
from verse_morph.segment.patches import SPACING_MM as PATCH_MM
from verse_morph.segment.resample import nearest, reduced, sample, world_box
from verse_morph.segment.views import SPACING_MM, WIDTH, Views, project
from verse_morph.space import FloatArray, Grid
from verse_morph.volume import Scan

_REGION = np.array([("cervical", "thoracic", "lumbar", "sacral").index(level.region) for level in LEVELS])
MARGIN_MM = 30.0
# A network that is wrong is wrong about neighbours alike: its votes for a row are worth less than so many independent
# ones.
TEMPER = 0.7
SACRUM_CM3 = 6.0
# Without pedicles and region scores a point needs more than 0.77 to join the row at all.
SACRUM_CONFIDENCE = 0.9
# A candidate that is sacrum to this share within this distance is no vertebra: on 108 phantoms 34 of 36 such ones were
# no labelled one.
SACRAL, SACRAL_REACH_MM = 0.9, 12.0
# The sacrum counts only where the locating network found it on held-out scans at least this well (Dice), ribs where
# their network told sides with a rib from those without in this share of held-out patches.
RELIABLE_DICE, RELIABLE_SIDES = 0.5, 0.8
# Ribs are looked for beside vertebrae that may be one of these levels with this share.
RIB_LEVELS = tuple(Level(word) for word in ["T10", "T11", "T12", "T13", "L1", "L2"])
MAY_BE = 0.05
# Where a card does not say from which margin on its network's numberings held on whole scans, the network must get this
# share of held-out levels right before the decoder's own threshold can take a numbering out of doubt.
LEAST_LEVELS_RIGHT = 0.8


@dataclass(frozen=True, eq=False)
class Identification:
    """Named vertebrae and what they were named by.

    Parameters
    ----------
    decoding : Decoding
    detections : Detections
        Candidates in the order of ``rib_cm3``.
    rib_cm3 : array (n, 2)
        Volume of each candidate's own rib within its patch, left and right; NaN where that region is not in view, or
        the candidate lies far from the last ribs and nothing was looked for.
    views : Views
    sagittal, coronal : array (28, rows, WIDTH) of float32
        Heatmaps of all levels and S1; the last is background.
    grid : Grid
        2 mm; ``views`` and heatmaps are projections of it.
    """

    decoding: Decoding
    detections: Detections
    rib_cm3: FloatArray
    views: Views
    sagittal: NDArray[np.float32]
    coronal: NDArray[np.float32]
    grid: Grid

    def named_from(self) -> tuple[FloatArray, FloatArray]:
        """Naming's candidates (n, 3), world RAS mm, and their confidence (n,), without those of the sacrum."""
        vertebrae = ~sacral(np.asarray(self.detections.level_log))
        return self.detections.bodies_mm[vertebrae], self._confidence()[vertebrae]

    def sacral_body(self) -> FloatArray | None:
        """Middle (3,) of the sacrum's first body, world RAS mm, where naming saw it; None where it did not."""
        count = len(self.rib_cm3)
        (found,) = np.nonzero(sacral(np.asarray(self.detections.level_log))[:count])
        return self.detections.bodies_mm[found[0]] if len(found) else None

    def _confidence(self) -> FloatArray:
        confidence = self.detections.confidence
        return np.ones(len(self.detections)) if confidence is None else confidence


@dataclass(frozen=True)
class Reliance:
    """What may decide about a numbering, and when it is beyond doubt.

    Parameters
    ----------
    ribs, sacrum : bool
        Whether the locating network is known to find them.
    least_margin : float
        Log-odds below which a numbering is in doubt, whatever the decoder's own threshold; infinite where the naming
        network is wrong too often for any of its numberings to be beyond doubt.
    """

    ribs: bool = True
    sacrum: bool = True
    least_margin: float = 0.0


def reliance(
    locating: Mapping[str, Any], naming: Mapping[str, Any], asking_ribs: Mapping[str, Any] | None = None
) -> Reliance:
    """What the metrics of the networks' cards allow.

    Parameters
    ----------
    locating, naming, asking_ribs : Mapping
        ``doubt_margin`` of the naming network, where its card has one, was found on whole scans
        (``benchmarks/naming.py``).
    """
    sacrum = float(locating.get("held_out_dice_sacrum") or 0.0) >= RELIABLE_DICE
    ribs = float((asking_ribs or {}).get("held_out_sides_right") or 0.0) >= RELIABLE_SIDES
    rates = [float(value) for name, value in naming.items() if name.startswith("held_out_level_right")]
    weak = bool(rates) and min(rates) < LEAST_LEVELS_RIGHT
    return Reliance(ribs, sacrum, float(naming.get("doubt_margin", np.inf if weak else 0.0)))


def identify(
    scan: Scan,
    location: Location,
    model: nn.Module,
    prior: ChainPrior,
    compute: Compute,
    rely: Reliance = Reliance(),
    asking_ribs: nn.Module | None = None,
) -> Identification:
    """Name the vertebrae of a scan whose spine was located.

    Parameters
    ----------
    scan : Scan
    location : Location
        With ``found``.
    model : Module
        Of the stage ``identify``.
    prior : ChainPrior
    compute : Compute
    rely : Reliance
        What may decide, see :func:`reliance`.
    asking_ribs : Module, optional
        Of the stage ``ribs``.

    Raises
    ------
    InputError
        The network does not know the levels of this version.

    Notes
    -----
    The heatmaps say which level a vertebra looks like, its own ribs whether it is thoracic, the sacrum where the column
    ends; the decoder weighs all of it with what chains of vertebrae look like. Its margin is the doubt.
    """
    _require_levels(model)
    grid = _grid(scan, location)
    hu = sample(reduced(scan, SPACING_MM), grid)
    divisor = side_multiple(model)
    line = _line(location, grid)
    views = project(hu, line, divisor * -(-grid.shape[2] // divisor))
    sagittal, coronal = _heatmaps(views, model, compute)
    seen = find_candidates(sagittal, coronal, views, line, grid)
    if rely.sacrum:
        seen = seen.only(sacral(seen.level_log) | (sacral_share(location, seen.bodies_mm) < SACRAL))
    seen = with_one_of_each_end(seen)
    evidence = TEMPER * seen.level_log
    ribs = np.full((len(seen), 2), np.nan)
    if rely.ribs and asking_ribs is not None:
        near = _may_bear_last_rib(seen.level_log)
        ribs[near] = rib_volumes(reduced(scan, PATCH_MM), seen.bodies_mm[near], asking_ribs, compute)
        evidence = evidence + rib_level_log(ribs)
    # The locating stage sees the sacrum more coarsely than naming does.
    top = sacrum_top(location) if rely.sacrum and not sacral(seen.level_log).any() else None
    detections = detections_of(seen.bodies_mm, evidence, seen.confidence, top)
    decoding = decode(detections, prior)
    if decoding.margin is not None and decoding.margin < rely.least_margin and not decoding.in_doubt:
        decoding = replace(decoding, in_doubt=True, flags=(*decoding.flags, DecodingFlag.IN_DOUBT))
    return Identification(decoding, detections, ribs, views, sagittal, coronal, grid)


def _require_levels(model: nn.Module) -> None:
    outputs = model.shape.outputs if isinstance(model, Btrfly) else 0
    if outputs != RANKS + 1:
        raise InputError(
            f"the weights for naming have {outputs} outputs; this version needs {RANKS + 1} outputs (26 levels, S1, "
            "background): train the stage identify anew, or leave out --weights"
        )


def _grid(scan: Scan, location: Location) -> Grid:
    """The scan's full depth and the views' width about the column's middle, at 2 mm."""
    limits = world_box(scan.grid)
    low, high = location.box_mm + MARGIN_MM * np.array([[-1.0], [1.0]])
    inside = (location.line_mm[:, 2] >= location.box_mm[0, 2]) & (location.line_mm[:, 2] <= location.box_mm[1, 2])
    middle = np.median(location.line_mm[inside], axis=0)
    half = SPACING_MM * WIDTH / 2
    low[0], high[0] = middle[0] - half, middle[0] + half
    low[1], high[1] = limits[0, 1], limits[1, 1]
    low, high = np.maximum(low, limits[0]), np.minimum(high, limits[1])
    shape = np.maximum(np.ceil((high - low) / SPACING_MM).astype(int), 1)
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = low + SPACING_MM / 2
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _line(location: Location, grid: Grid) -> FloatArray:
    """The column's place (k, 2) in x and y at every height of a grid, voxels."""
    index = grid.to_index(location.line_mm)
    rows = np.arange(grid.shape[2])
    return np.column_stack([np.interp(rows, index[:, 2], index[:, axis]) for axis in (0, 1)])


def _heatmaps(views: Views, model: nn.Module, compute: Compute) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    model = model.to(compute.device)
    with torch.no_grad(), running(compute):
        inputs = [torch.from_numpy(view)[None].to(compute.device) for view in (views.sagittal, views.coronal)]
        answers = [torch.softmax(logits.float(), dim=1)[0].cpu().numpy() for logits in model(*inputs)]
    return answers[0], answers[1]


# --- ribs and sacrum ----------------------------------------------------------------------------------------------


def _may_bear_last_rib(level_log: FloatArray) -> NDArray[np.bool_]:
    """Which candidates (n,) may be one of the vertebrae about the last rib."""
    asked = [level.rank for level in RIB_LEVELS]
    return np.asarray(level_shares(level_log)[:, asked].sum(axis=1) > MAY_BE)


def detections_of(
    bodies: FloatArray, level_log: FloatArray, confidence: FloatArray, top: FloatArray | None = None
) -> Detections:
    """Candidates as the decoder takes them, with a point for the sacrum where one is in view.

    Parameters
    ----------
    bodies : array (n, 3)
        World RAS mm.
    level_log : array (n, 27)
        Evidence for each level, S1 the last.
    confidence : array (n,)
    top : array (3,), optional
        Upper part of the sacrum.
    """
    likely = level_shares(level_log)
    scores = np.stack([likely[:, region == _REGION].sum(axis=1) for region in range(3)], axis=1)
    scores = scores * confidence[:, None]
    if top is not None and len(bodies):
        level = np.full(RANKS, -6.0)
        level[SACRUM] = 0.0
        bodies, level_log = np.vstack([bodies, top]), np.vstack([level_log, level])
        scores, confidence = np.vstack([scores, np.full(3, 0.05)]), np.append(confidence, SACRUM_CONFIDENCE)
    return Detections(bodies, scores, level_log=level_log, confidence=confidence)


def sacral_share(location: Location, bodies_mm: FloatArray) -> FloatArray:
    """How much of what surrounds a body's centre (n,) the locating network takes for sacrum, 0 to 1."""
    reach = np.arange(-SACRAL_REACH_MM, SACRAL_REACH_MM + 1e-6, location.grid.spacing_mm[0])
    offsets = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1).reshape(-1, 3)
    offsets = offsets[np.linalg.norm(offsets, axis=1) <= SACRAL_REACH_MM]
    shares = [nearest(location.sacrum, location.grid, body + offsets).mean() for body in bodies_mm]
    return np.array(shares, dtype=np.float64)


def sacrum_top(location: Location) -> FloatArray | None:
    """Centre of the uppermost part of the sacrum, RAS mm; None where too little of it is in view."""
    inside = location.sacrum > 0.5
    if inside.sum() * float(np.prod(location.grid.spacing_mm)) / 1000 < SACRUM_CM3:
        return None
    index = np.argwhere(inside)
    # A few stray voxels must not pass for its top.
    highest = np.percentile(index[:, 2], 98)
    upper = index[(index[:, 2] > highest - 24 / location.grid.spacing_mm[2]) & (index[:, 2] <= highest)]
    front = upper[upper[:, 1] >= np.percentile(upper[:, 1], 50)]
    return location.grid.to_world(front.mean(axis=0))
