"""Height loss of the vertebral body and the published rules that grade it. Height loss is not a diagnosis.

Scheuermann's disease, a Cupid's bow, a limbus vertebra and a body that is small by nature lose height too; a fracture
without height loss is not seen here at all. Grades are given from T4 to L4, at L5 and L6 with low confidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.errors import NotMeasurable
from verse_morph.measure.endplates import nodes
from verse_morph.measure.expected import HIGHEST, NEIGHBOURS, OWN, Expected, expected_heights
from verse_morph.measure.measurement import measurement
from verse_morph.measure.reference_heights import PLACES, RATIO_SD, REFERENCE
from verse_morph.spine import Flag, Spine, Vertebra

if TYPE_CHECKING:
    import pandas as pd

NOT_A_DIAGNOSIS = "height loss, not a diagnosis"
FIRST, LAST = Level.T4, Level.L4
# Lower bounds of grades 1 and 2, upper bound of grade 2, per cent of a height.
THRESHOLDS_PCT = (20.0, 25.0, 40.0)
BICONCAVE_POINTS = 5.0
CLEAR_POINTS = 4.0
# References this low for their width may be fractured themselves.
LEAST_SLENDERNESS = 0.8
FEW_REFERENCES = 3

EXPECTED = "unfractured neighbours scaled by a level table (Panjabi et al. 1991, 1992; wedge angles PMC2899959)"
GENANT = "Genant et al. 1993, semiquantitative grade from measured heights; expected heights from neighbours"
EASTELL = "Eastell et al. 1991; level means from the level table, SD 0.07"
MCCLOSKEY = "McCloskey et al. 1993; predicted heights from neighbours, SD 0.07"


@dataclass(frozen=True)
class Assessment:
    """Height losses of one vertebra, per cent of the expected height."""

    expected: Expected
    anterior: float
    middle: float
    posterior: float

    @property
    def most(self) -> float:
        """Largest of the three losses."""
        return max(self.anterior, self.middle, self.posterior)


def assess(vertebra: Vertebra, spine: Spine) -> Assessment:
    """Height losses of a vertebra, or the reason why they are not assessed.

    Parameters
    ----------
    vertebra : Vertebra
    spine : Spine
        The spine it belongs to.

    Raises
    ------
    NotMeasurable
        Above T4, no measurable heights, metal or cement, or a lone vertebra whose own edges show no loss (nothing
        tells then whether all of it is too low).
    """
    expected = expected_heights(vertebra, spine)
    if vertebra.level < FIRST:
        raise NotMeasurable(f"{vertebra.level}: height loss is assessed from T4 downwards")
    loss = Assessment(expected, *(float(100 * share) for share in expected.loss))
    if expected.basis == OWN and loss.most < THRESHOLDS_PCT[0]:
        raise NotMeasurable(
            f"{vertebra.level}: no other vertebra to compare with; against its own highest edge less than "
            f"{THRESHOLDS_PCT[0]:.0f} % is missing"
        )
    return loss


def _expected_height(vertebra: Vertebra, spine: Spine, place: str) -> float:
    return float(assess(vertebra, spine).expected.heights_mm[PLACES.index(place)])


@measurement(unit="mm", length_power=1, of="spine", counts=False, source=EXPECTED)
def height_expected_anterior(vertebra: Vertebra, spine: Spine) -> float:
    """Anterior height that the body would have without a fracture, from its unfractured neighbours."""
    return _expected_height(vertebra, spine, "anterior")


@measurement(unit="mm", length_power=1, of="spine", counts=False, source=EXPECTED)
def height_expected_middle(vertebra: Vertebra, spine: Spine) -> float:
    """Middle height that the body would have without a fracture, from its unfractured neighbours."""
    return _expected_height(vertebra, spine, "middle")


@measurement(unit="mm", length_power=1, of="spine", counts=False, source=EXPECTED)
def height_expected_posterior(vertebra: Vertebra, spine: Spine) -> float:
    """Posterior height that the body would have without a fracture, from its unfractured neighbours."""
    return _expected_height(vertebra, spine, "posterior")


@measurement(unit="pct", length_power=0, of="spine", counts=False, source=GENANT)
def height_loss_anterior(vertebra: Vertebra, spine: Spine) -> float:
    """Share of the expected anterior height that is missing, negative where the body is higher than expected.

    Height loss, not a diagnosis. Misleads where the whole spine is fractured or a level is small by nature.
    """
    return assess(vertebra, spine).anterior


@measurement(unit="pct", length_power=0, of="spine", counts=False, source=GENANT)
def height_loss_middle(vertebra: Vertebra, spine: Spine) -> float:
    """Share of the expected middle height that is missing, negative where the body is higher than expected.

    Height loss, not a diagnosis. Misleads at Schmorl nodes and a Cupid's bow, whose depth it takes for loss.
    """
    return assess(vertebra, spine).middle


@measurement(unit="pct", length_power=0, of="spine", counts=False, source=GENANT)
def height_loss_posterior(vertebra: Vertebra, spine: Spine) -> float:
    """Share of the expected posterior height that is missing, negative where the body is higher than expected.

    Height loss, not a diagnosis. Misleads where the whole spine is fractured or a level is small by nature.
    """
    return assess(vertebra, spine).posterior


def grade_of(most_pct: float) -> int:
    """Genant grade of the largest height loss: 1 from 20 % to below 25, 2 from 25 to 40, 3 above 40.

    >>> [grade_of(loss) for loss in (19.9, 20, 24.9, 25, 40, 40.1)]
    [0, 1, 1, 2, 2, 3]
    """
    first, second, third = THRESHOLDS_PCT
    return 0 if most_pct < first else 1 if most_pct < second else 2 if most_pct <= third else 3


def type_of(loss: Mapping[str, float]) -> str:
    """Shape of a height loss of at least grade 1, from the loss at each place, per cent: ``crush`` where the back lost
    20 %, else ``biconcave`` where the middle lost at least 5 points more than the front, else ``wedge``.
    """
    if loss["posterior"] >= THRESHOLDS_PCT[0]:
        return "crush"
    return "biconcave" if loss["middle"] - loss["anterior"] >= BICONCAVE_POINTS else "wedge"


@measurement(unit="", length_power=0, of="spine", counts=False, source=GENANT)
def genant_grade(vertebra: Vertebra, spine: Spine) -> float:
    """Genant grade from the largest of three height losses: 0 below 20 %, 1 below 25, 2 up to 40, 3 above.

    Height loss, not a diagnosis: an empty cell is not assessed, which is not 0. Misleads at Scheuermann's disease,
    a Cupid's bow and limbus vertebrae; human readers agree on grade 1 poorly.
    """
    return float(grade_of(assess(vertebra, spine).most))


@measurement(unit="", length_power=None, of="spine", word=True, counts=False, source=GENANT)
def genant_type(vertebra: Vertebra, spine: Spine) -> str:
    """Where height was lost: `none` (grade 0), `wedge`, `biconcave` or `crush`.

    Height loss, not a diagnosis: `crush` where the posterior loss is at least 20 %, else `biconcave` where the middle
    lost at least 5 points more than the front, else `wedge`.
    """
    loss = assess(vertebra, spine)
    return type_of({place: getattr(loss, place) for place in PLACES}) if grade_of(loss.most) else "none"


def _distance(most_pct: float) -> float:
    return min(abs(most_pct - threshold) for threshold in THRESHOLDS_PCT)


@measurement(unit="pct", length_power=0, of="spine", counts=False, source=GENANT)
def genant_distance(vertebra: Vertebra, spine: Spine) -> float:
    """Percentage points between the largest height loss and the nearest threshold of the grade (20, 25 or 40 %).

    Height loss, not a diagnosis: within 4 points a grade may be the next one.
    """
    return _distance(assess(vertebra, spine).most)


@measurement(unit="", length_power=None, of="spine", word=True, counts=False, source=GENANT)
def genant_confidence(vertebra: Vertebra, spine: Spine) -> str:
    """How far to trust the grade: `high`, `moderate` or `low`.

    Height loss, not a diagnosis. `low`: fewer than two unfractured levels within four, references low for their
    width (perhaps fractured themselves), L5 and L6, or slices above 2 mm; `moderate`: two references only, a candidate
    for a Schmorl node where the middle decides, or within 4 points of a threshold.
    """
    loss = assess(vertebra, spine)
    found = loss.expected
    low = found.slenderness is not None and found.slenderness < LEAST_SLENDERNESS
    if found.basis != NEIGHBOURS or low or vertebra.level > LAST or Flag.THICK_SLICES in vertebra.flags:
        return "low"
    pitted = loss.middle == loss.most and any(nodes(vertebra, upper) for upper in (True, False))
    if len(found.references) < FEW_REFERENCES or _distance(loss.most) < CLEAR_POINTS or pitted:
        return "moderate"
    return "high"


@measurement(unit="", length_power=None, of="spine", word=True, counts=False, source=EXPECTED)
def genant_reference(vertebra: Vertebra, spine: Spine) -> str:
    """Levels that the expected heights come from, head to foot; `highest_of_the_spine` or `own_highest_edge` where no
    unfractured level is in view.
    """
    found = assess(vertebra, spine).expected
    return " ".join(str(level) for level in found.references) or found.basis


def _deviations(vertebra: Vertebra, spine: Spine) -> dict[str, float]:
    """Standard deviations of three ratios from the level's mean, and of three heights from those predicted."""
    loss = assess(vertebra, spine)
    if loss.expected.basis in (HIGHEST, OWN):
        raise NotMeasurable(f"{vertebra.level}: no unfractured level to predict heights from")
    now = dict(zip(PLACES, loss.expected.measured_mm, strict=True))
    normal = dict(zip(PLACES, REFERENCE[vertebra.level].heights, strict=True))
    out = {f"{place}_height": -getattr(loss, place) / 100 / RATIO_SD for place in PLACES}
    for place in ("anterior", "middle"):
        share = now[place] / now["posterior"] - normal[place] / normal["posterior"]
        out[f"{place}_ratio"] = float(share) / RATIO_SD
    return out


@measurement(unit="", length_power=0, of="spine", counts=False, source=EASTELL)
def eastell_grade(vertebra: Vertebra, spine: Spine) -> float:
    """Eastell's deformity grade: 1 where the wedge, biconcave or compression ratio lies 3 standard deviations below the
    level's mean, 2 where it lies 4 below, else 0.

    Height loss, not a diagnosis. Misleads by its standard deviation, 0.07 for every level and ratio, which is
    published for front to back heights of T10 to L2 only.
    """
    z = _deviations(vertebra, spine)
    least = min(z["anterior_ratio"], z["middle_ratio"], z["posterior_height"])
    return float(2 if least < -4 else 1 if least < -3 else 0)


@measurement(unit="", length_power=None, of="spine", word=True, counts=False, source=MCCLOSKEY)
def mccloskey_type(vertebra: Vertebra, spine: Spine) -> str:
    """McCloskey's deformity, which needs two criteria at once: `none`, `wedge`, `biconcave` or `crush`.

    Height loss, not a diagnosis. `wedge` and `biconcave`: the ratio to the posterior height and to the height
    predicted from the neighbours both lie 3 standard deviations low; `crush`: posterior and anterior height both lie
    so below those predicted. Misleads by its standard deviation as Eastell's grade does.
    """
    z = _deviations(vertebra, spine)
    if z["posterior_height"] < -3 and z["anterior_height"] < -3:
        return "crush"
    low = {place: max(z[f"{place}_ratio"], z[f"{place}_height"]) for place in ("anterior", "middle")}
    deepest = min(low, key=lambda place: low[place])
    return ("wedge" if deepest == "anterior" else "biconcave") if low[deepest] < -3 else "none"


@dataclass(frozen=True)
class SpinalDeformityIndex:
    """Sum of Genant grades from T4 to L4, with the levels that were assessed; only 13 of 13 make it comparable between
    scans.
    """

    total: int
    levels: tuple[str, ...]

    @property
    def per_vertebra(self) -> float:
        """Sum of grades over the number of vertebrae assessed (spinal fracture index)."""
        return self.total / len(self.levels)


def spinal_deformity_index(table: pd.DataFrame) -> SpinalDeformityIndex:
    """Spinal deformity index: sum of Genant grades over T4 to L4 (0 to 39). Height loss, not a diagnosis.

    Parameters
    ----------
    table : DataFrame
        One scan's vertebra table, with ``level`` and ``genant_grade``.

    Raises
    ------
    NotMeasurable
        No level from T4 to L4 was graded.

    Notes
    -----
    Levels that were not assessed count as nothing, not as unfractured: compare scans by the same levels or by the mean
    grade. T13 is included where a spine has it. Source: Minne et al. 1988 (idea), Genant grades summed as in Crans et
    al. 2005.
    """
    grades = {
        str(level): grade
        for level, grade in zip(table["level"], table["genant_grade"], strict=True)
        if FIRST <= Level(str(level)) <= LAST and np.isfinite(grade)
    }
    if not grades:
        raise NotMeasurable("no level from T4 to L4 has a Genant grade")
    return SpinalDeformityIndex(int(sum(grades.values())), tuple(grades))
