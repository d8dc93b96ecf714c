"""One scan: a predicted and a true label map to one table row per level and mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from verse_morph.anatomy import Level
from verse_morph.evaluate.identify import Identification, identify
from verse_morph.evaluate.overlap import Overlap, Pairing, Side, overlap, pair, side, steps_mm
from verse_morph.evaluate.rules import Mode, Rules
from verse_morph.evaluate.surface import SurfaceDistances, mask_surface, surface_distances
from verse_morph.space import FloatArray
from verse_morph.tables import why_column
from verse_morph.volume import LabelMap

if TYPE_CHECKING:
    import pandas as pd

WORDS = ("scan", "level", "region", "mode", "outcome", "mask_outcome", "nearest_true_level", "covered_by")
SURFACE_VALUES = ("hausdorff_mm", "hausdorff95_mm", "assd_mm", "nsd")
VALUES = ("centroid_distance_mm", "dice", *SURFACE_VALUES, "true_volume_cm3", "predicted_volume_cm3")
COLUMNS = (*WORDS, *VALUES, *(why_column(name) for name in VALUES), "rule")

NO_POINT = "no_point"
Points = tuple[Mapping[Level, ArrayLike], Mapping[Level, ArrayLike]]


@dataclass(frozen=True, eq=False)
class ScanEvaluation:
    """What was found for one scan.

    Parameters
    ----------
    vertebrae : DataFrame
        One row per level and mode, columns :data:`COLUMNS`.
    dice_binary : float
        Dice of all vertebrae together, names ignored, as in the challenge's notebook; NaN where neither mask has any.
    notes : tuple of str
        How the two masks were brought together and where the points come from.
    """

    vertebrae: pd.DataFrame
    dice_binary: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Everything about one level that does not depend on the mode."""

    counts: Overlap | None
    surfaces: SurfaceDistances | None
    in_true_mask: bool
    in_predicted_mask: bool
    no_surface_why: str
    voxel_cm3: float

    @property
    def outcome(self) -> str:
        words = {(True, True): "both", (True, False): "missed", (False, True): "false_positive"}
        return words.get((self.in_true_mask, self.in_predicted_mask), "none")


def evaluate_scan(
    predicted: LabelMap, true: LabelMap, rules: Rules | None = None, points: Points | None = None
) -> ScanEvaluation:
    """Identification, overlap and surface distances of every level, in both modes.

    Parameters
    ----------
    predicted, true : LabelMap
        Levels are compared by anatomy, so their schemes may differ. Their grids may differ too: overlap and surfaces
        are taken on the true mask's grid, where each voxel gets the predicted label nearest to its centre.
    rules : Rules, optional
        The distance limit and the surface tolerance.
    points : pair of Mapping[Level, array (3,)], optional
        Predicted and true points, world RAS mm. By default the centre of mass of each label, whole vertebra with its
        posterior part, each on its own mask's grid.

    Returns
    -------
    ScanEvaluation

    Raises
    ------
    GridMismatch
        The masks share no space in the world.

    Notes
    -----
    Centres of mass of whole vertebrae are not VerSe's centroids, which lie in the vertebral body; both sides shift
    alike, so identification hardly changes, but distances are not comparable with those of published points.
    """
    rules = rules or Rules()
    pairing = pair(predicted, true)
    chosen: Points = points or (_centres(pairing.predicted), _centres(pairing.true))
    levels = sorted({*pairing.predicted.values, *pairing.true.values, *chosen[0], *chosen[1]})
    compared = {level: _compare(pairing, level, predicted.scheme.others, rules) for level in levels}
    rows = []
    for mode in Mode:
        found = identify(chosen[0], chosen[1], mode, rules)
        rows += [_row(true.name, level, mode, found.get(level), compared[level]) for level in levels]
    table = _frame(rows, rules)
    source = "the given centroid files" if points else "the centres of mass of the whole labels"
    return ScanEvaluation(
        table, _dice_binary(compared), (*_grid_notes(pairing), f"points for identification: {source}")
    )


def all_missed(true: LabelMap, rules: Rules | None = None) -> ScanEvaluation:
    """A true scan for which there is no prediction at all: every level is missed, in both modes.

    Parameters
    ----------
    true : LabelMap
    rules : Rules, optional
    """
    rules = rules or Rules()
    own = side(true)
    rows = []
    for mode in Mode:
        for level in own.values:
            voxels = int(np.count_nonzero(own.mask(level)))
            nothing = _Comparison(Overlap(voxels, 0, 0, 0, ""), None, True, False, "", own.grid.voxel_volume_mm3 / 1000)
            rows.append(_row(true.name, level, mode, Identification("missed", None, None), nothing))
    return ScanEvaluation(_frame(rows, rules), 0.0, ("no prediction for this scan: every level counts as missed",))


def _centres(one: Side) -> dict[Level, FloatArray]:
    return {level: one.centre_mm(level) for level in one.values}


def _compare(pairing: Pairing, level: Level, others: Mapping[int, str], rules: Rules) -> _Comparison:
    in_true, in_predicted = level in pairing.true.values, level in pairing.predicted.values
    voxel_cm3 = pairing.true.grid.voxel_volume_mm3 / 1000
    if not in_true and not in_predicted:
        return _Comparison(None, None, False, False, "", voxel_cm3)
    counts = overlap(pairing, level, others)
    if not in_true or not in_predicted:
        return _Comparison(counts, None, in_true, in_predicted, "", voxel_cm3)
    if counts.predicted == 0:
        why = f"no voxel of the predicted {level} lies on the true mask's grid"
        return _Comparison(counts, None, True, True, why, voxel_cm3)
    return _Comparison(counts, _surfaces(pairing, level, rules), True, True, "", voxel_cm3)


def _surfaces(pairing: Pairing, level: Level, rules: Rules) -> SurfaceDistances:
    steps = steps_mm(pairing.true.grid)
    box = pairing.predicted_box(level)
    if box is None:
        raise ValueError(f"{level} has no place on the true lattice; its voxels must be counted first")
    predicted = pairing.predicted_labels(box) == pairing.predicted.values[level]
    true_box = pairing.true.boxes[level]
    return surface_distances(
        mask_surface(predicted, steps, np.array([part.start for part in box])),
        mask_surface(pairing.true.mask(level), steps, np.array([part.start for part in true_box])),
        rules.tolerance_mm,
    )


def _row(scan: str, level: Level, mode: Mode, found: Identification | None, compared: _Comparison) -> dict[str, Any]:
    outcome = found.outcome if found else NO_POINT
    words = {
        "scan": scan,
        "level": str(level),
        "region": level.region,
        "mode": str(mode),
        "outcome": outcome,
        "mask_outcome": compared.outcome,
        "nearest_true_level": str(found.nearest) if found and found.nearest else "",
        "covered_by": compared.counts.covered_by if compared.counts else "",
    }
    values: dict[str, Any] = dict.fromkeys(VALUES, np.nan)
    whys = dict.fromkeys((why_column(name) for name in VALUES), "")
    if found and found.distance_mm is not None:
        values["centroid_distance_mm"] = found.distance_mm
    else:
        whys["centroid_distance_mm_why"] = _point_why(level, outcome)
    _fill_overlap(values, whys, compared, level, mode)
    return words | values | whys


def _fill_overlap(
    values: dict[str, Any], whys: dict[str, str], compared: _Comparison, level: Level, mode: Mode
) -> None:
    counts, outcome = compared.counts, compared.outcome
    absent = {
        "missed": f"missed: the predicted mask has no {level}",
        "false_positive": f"false positive: the true mask has no {level}",
        "none": f"neither mask has {level}",
    }.get(outcome, "")
    for name, present, voxels in (
        ("true_volume_cm3", compared.in_true_mask, counts.true if counts else 0),
        ("predicted_volume_cm3", compared.in_predicted_mask, counts.predicted if counts else 0),
    ):
        if present:
            values[name] = voxels * compared.voxel_cm3
        else:
            whys[why_column(name)] = absent
    for name in ("dice", *SURFACE_VALUES):
        if outcome == "both" and name == "dice" and counts:
            values[name] = counts.dice
        elif compared.surfaces is not None:
            values[name] = getattr(compared.surfaces, name)
        elif name in ("dice", "nsd") and mode is Mode.STRICT and outcome != "none":
            # No overlap, no surface within the tolerance: 0 is the value here, not a stand-in for a missing one.
            values[name] = 0.0
        elif name == "nsd" and outcome == "both":
            values[name] = 0.0
        else:
            whys[why_column(name)] = absent or compared.no_surface_why


def _point_why(level: Level, outcome: str) -> str:
    return {
        "missed": f"missed: no predicted point for {level}",
        "false_positive": f"false positive: no true point for {level}",
    }.get(outcome, f"neither side has a point for {level}")


def _frame(rows: list[dict[str, Any]], rules: Rules) -> pd.DataFrame:
    import pandas as pd

    sentences = {str(mode): rules.sentence(mode) for mode in Mode}
    return pd.DataFrame([row | {"rule": sentences[row["mode"]]} for row in rows], columns=list(COLUMNS))


def _dice_binary(compared: Mapping[Level, _Comparison]) -> float:
    counts = [c.counts for c in compared.values() if c.counts is not None]
    total = sum(c.true + c.predicted for c in counts)
    return 2.0 * sum(c.true_in_prediction for c in counts) / total if total else float("nan")


def _grid_notes(pairing: Pairing) -> tuple[str, ...]:
    notes = []
    if not pairing.same_lattice:
        notes.append(
            f"the masks lie on different lattices (predicted {pairing.predicted.grid.describe()}; true "
            f"{pairing.true.grid.describe()}): each true voxel got the predicted label nearest to its centre"
        )
    beyond = [str(level) for level in pairing.predicted.values if pairing.reaches_beyond(level)]
    if beyond:
        notes.append(
            f"the predicted {', '.join(beyond)} reach beyond the true mask's image; what lies there was not counted"
        )
    return tuple(notes)
