"""Everything that one participants table can answer about variants, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verse_morph.stats.association import association, cross_table
from verse_morph.stats.multiplicity import adjusted
from verse_morph.stats.paper import contradictions, side_by_side
from verse_morph.stats.prevalence import grade_shares, prevalence
from verse_morph.stats.rows import as_table
from verse_morph.stats.selection import check_inclusion
from verse_morph.stats.stratified import over_strata, trend
from verse_morph.stats.variants import VARIANTS, one_per_subject

if TYPE_CHECKING:
    import pandas as pd

GRADES = "castellvi"
# Outcomes whose grade is the question already are not compared with it.
_NOT_BY_GRADE = ("castellvi_2_to_4", "castellvi_3_4", GRADES)


@dataclass(frozen=True, eq=False)
class Study:
    """The answers, as tables by name.

    Parameters
    ----------
    tables : Mapping[str, DataFrame]
        ``prevalence``, ``castellvi``, ``tests``, ``vendor_by_castellvi``, ``beside_paper``, ``paper_contradictions``,
        ``inclusion``, ``series_contradictions``.
    outcomes : tuple of str
        Variants that are recorded for anybody, and ``castellvi`` where graded.
    """

    tables: Mapping[str, pd.DataFrame]
    outcomes: tuple[str, ...]


def study(participants: pd.DataFrame, seed: int = 0, unit: str = "subject") -> Study:
    """Shares by vendor, split and sex, tests by vendor and Castellvi grade, and the paper beside them.

    Parameters
    ----------
    participants : DataFrame
        As :func:`verse_morph.io.participants.check_participants` gives it.
    seed : int
        Of Monte Carlo tests and bootstraps.
    unit : str

    Notes
    -----
    The tests against vendor are one family and those against grade another; p-values are adjusted within each.
    """
    import pandas as pd

    recorded = [item.name for item in VARIANTS if participants[item.column].notna().any()]
    graded = participants["castellvi"].notna().any()
    outcomes = (*recorded, GRADES) if graded else tuple(recorded)
    known = [by for by in ("vendor", "split", "sex") if participants[by].notna().any()]
    groups: list[str | None] = [*known] or [None]
    shares = [prevalence(participants, by, recorded, unit) for by in groups]
    grades = [grade_shares(participants, by, unit) for by in groups]
    tables = {
        "prevalence": pd.concat(shares).drop_duplicates(["by", "group", "variant"], ignore_index=True),
        "castellvi": pd.concat(grades).drop_duplicates(["by", "group", "variant"], ignore_index=True),
        "tests": pd.concat(_tests(participants, outcomes, seed, unit), ignore_index=True),
        "vendor_by_castellvi": cross_table(participants, GRADES, "vendor", unit)[0].reset_index(),
        "beside_paper": side_by_side({"this cohort": participants}),
        "paper_contradictions": contradictions(),
        "inclusion": check_inclusion(participants),
        "series_contradictions": one_per_subject(participants).contradictions,
    }
    return Study(tables, outcomes)


def _tests(participants: pd.DataFrame, outcomes: tuple[str, ...], seed: int, unit: str) -> list[pd.DataFrame]:
    by_vendor = [association(participants, outcome, "vendor", seed, unit) for outcome in outcomes]
    by_grade = [
        association(participants, outcome, GRADES, seed, unit) for outcome in outcomes if outcome not in _NOT_BY_GRADE
    ]
    within = [row for outcome in outcomes for row in over_strata(participants, outcome, "vendor", "split", unit)]
    trends = [trend(participants, outcome, unit) for outcome in outcomes if outcome not in _NOT_BY_GRADE]
    families = {"by vendor": by_vendor, "by grade": by_grade, "by vendor within split": within, "over grades": trends}
    return [adjusted(as_table(rows)).assign(family=name) for name, rows in families.items()]
