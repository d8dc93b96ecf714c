"""A part of the participants by vendor, split, sex, age and grade, and the words for a paper's methods section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from verse_morph.stats.prevalence import METHOD, enrichment_warning, unit_rule
from verse_morph.stats.variants import pooled_grades, seen_only

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Filters:
    """What is kept; an empty tuple keeps everything.

    Parameters
    ----------
    vendors, splits, sexes, grades : tuple of str
        ``unknown`` stands for missing ones. Grades have 0 and 1 pooled.
    age : (low, high) or None
        Years; None keeps unknown ages too.
    """

    vendors: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    sexes: tuple[str, ...] = ()
    grades: tuple[str, ...] = ()
    age: tuple[float, float] | None = None

    def sentence(self) -> str:
        """What is kept, in words.

        >>> Filters(vendors=("GE",), age=(50, 70)).sentence()
        'vendor GE; age 50 to 70 years'
        """
        named = (("vendor", self.vendors), ("split", self.splits), ("sex", self.sexes), ("Castellvi", self.grades))
        parts = [f"{name} {' or '.join(values)}" for name, values in named if values]
        if self.age is not None:
            parts.append(f"age {self.age[0]:g} to {self.age[1]:g} years")
        return "; ".join(parts) or "all participants"


def choices(participants: pd.DataFrame, column: str) -> list[str]:
    """The words of a column that a filter can ask for, ``unknown`` among them where some are missing."""
    return sorted(set(_words(participants, column)))


def subset(participants: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    """The rows that the filters keep, in their order."""
    keep = participants["scan"].notna() | participants["subject"].notna()
    columns = {"vendor": filters.vendors, "split": filters.splits, "sex": filters.sexes, "castellvi": filters.grades}
    for column, wanted in columns.items():
        if wanted:
            keep &= _words(participants, column).isin(wanted)
    if filters.age is not None:
        keep &= participants["age"].between(*filters.age)
    return participants[keep].reset_index(drop=True)


def _words(participants: pd.DataFrame, column: str) -> pd.Series:
    # A grade of a region that the scan does not show is no grade.
    values = seen_only(participants)[column]
    words = values.astype("str").where(values.notna(), "unknown")
    return pooled_grades(words) if column == "castellvi" else words


def method_text(participants: pd.DataFrame, filters: Filters | None = None, unit: str = "subject") -> str:
    """A paragraph for a methods section: who was counted, how, and what the numbers are not."""
    import verse_morph

    kept = participants if filters is None else subset(participants, filters)
    who = f"{kept['subject'].nunique()} subjects ({len(kept)} scans; {(filters or Filters()).sentence()})"
    warning = enrichment_warning(participants)
    parts = [
        f"We analysed {who}. {unit_rule(unit)}",
        "A variant was counted among those in whom the region was in view and the feature was recorded; all others are "
        f"listed as missing. We give {METHOD}.",
        "Associations were tested with Fisher's exact test in 2 x 2 tables, Pearson's chi2 where at least 80 % of the "
        "expected counts were 5 or more and none below 1, and the Freeman-Halton test by Monte Carlo otherwise; their "
        "strength is the bias-corrected Cramer's V with a bootstrap interval. Unknown vendors are shown, not tested. "
        "Within splits we used the Cochran-Mantel-Haenszel test, over ordered grades the Cochran-Armitage test. "
        "Measurements were compared in linear mixed models with a random intercept per subject. P-values were adjusted "
        "after Holm, and after Benjamini and Hochberg for exploration.",
        warning,
        "An association with a vendor is one with site, time and selection as well.",
        f"Computed with verse_morph {verse_morph.__version__}; for research, not for diagnosis.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
