"""How often a variant is seen, by vendor, split, sex or grade, among those in whom it could be seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from verse_morph.errors import InputError, NotMeasurable
from verse_morph.stats.proportions import proportion
from verse_morph.stats.variants import (
    GRADE_ORDER,
    SUBJECT_RULE,
    VARIANTS,
    VENDOR_ORDER,
    Variant,
    in_unit,
    ordered,
    pooled_grades,
    seen_only,
    variant,
)

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
METHOD = "Wilson score and exact (Clopper-Pearson) 95 % intervals"
VERSE_WARNING = (
    "VerSe was enriched for variants on purpose: these percentages describe the data set, they are not prevalences "
    "in a population."
)
PHANTOM_WARNING = (
    "Invented patients in the proportions of VerSe 2020, which was enriched for variants: these percentages are no "
    "prevalences, and the vendors are fictions."
)
COLUMNS = (
    "by",
    "group",
    "variant",
    "label",
    "unit",
    "n",
    "positive",
    "n_missing",
    "n_not_in_view",
    "share_pct",
    "wilson_low_pct",
    "wilson_high_pct",
    "exact_low_pct",
    "exact_high_pct",
    "share_pct_why",
    "method",
    "warning",
    "sentence",
)


def enrichment_warning(table: pd.DataFrame) -> str:
    """What must stand beside every percentage made from these participants; empty where nothing is known against it.

    Notes
    -----
    VerSe is recognised by the data set's name and by the names of its scans.
    """
    dataset = table["dataset"].fillna("").astype("str").str.lower()
    subject = table["subject"].fillna("").astype("str").str.lower()
    phantom = dataset.eq("phantom") | subject.str.startswith("phantom")
    verse = dataset.str.startswith("verse") | subject.str.match(r"(verse|gl)\d{3}")
    return " ".join(text for text, here in ((VERSE_WARNING, verse), (PHANTOM_WARNING, phantom)) if here.any())


def prevalence(
    participants: pd.DataFrame,
    by: str | None = None,
    variants: Sequence[str] | None = None,
    unit: str = "subject",
) -> pd.DataFrame:
    """Share of subjects with each variant, in all and by the groups of a column, with 95 % intervals.

    Parameters
    ----------
    participants : DataFrame
        As :func:`verse_morph.io.participants.check_participants` gives it.
    by : str, optional
        Column to group by, such as ``vendor``, ``split``, ``sex``.
    variants : sequence of str, optional
        Names in :data:`verse_morph.stats.variants.VARIANTS`; all by default.
    unit : str
        ``subject`` or ``scan`` (as the paper counts series).

    Returns
    -------
    DataFrame
        One row per group and variant. ``n`` counts those in whom the variant could be assessed, ``n_missing`` those
        with nothing recorded, ``n_not_in_view`` those whose scans do not show the region. Where ``n`` is 0 the share is
        missing, with the reason.

    Raises
    ------
    InputError
        Unknown variant, unit or column.
    """
    chosen = VARIANTS if variants is None else tuple(variant(name) for name in variants)
    return _shares(participants, by, chosen, unit)


def _shares(participants: pd.DataFrame, by: str | None, chosen: Sequence[Variant], unit: str) -> pd.DataFrame:
    import pandas as pd

    if by is not None and by not in participants.columns:
        raise InputError(f"no column {by!r} to group by; there are {', '.join(map(str, participants.columns))}")
    table, warning = in_unit(participants, unit), enrichment_warning(participants)
    rows = [_row(table, item, (ALL, ALL), unit, warning) for item in chosen]
    if by is not None:
        keys = table[by].astype("str").where(table[by].notna(), "unknown")
        keys = pooled_grades(keys) if by == "castellvi" else keys
        for group in ordered(list(keys), GRADE_ORDER if by == "castellvi" else VENDOR_ORDER):
            rows += [_row(table[keys == group], item, (by, group), unit, warning) for item in chosen]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def grade_shares(participants: pd.DataFrame, by: str | None = None, unit: str = "subject") -> pd.DataFrame:
    """Share of each Castellvi grade (0 and 1 pooled) among those graded, in all and by groups, with 95 % intervals.

    Parameters
    ----------
    participants, by, unit
        See :func:`prevalence`.

    Returns
    -------
    DataFrame
        As :func:`prevalence` gives it, ``variant`` being ``castellvi_0/1``, ``castellvi_2a``, ...; grades that nobody
        has are left out. Each interval is of its own grade, not of all together.
    """
    grades = pooled_grades(seen_only(participants)["castellvi"]).dropna()
    items = [
        Variant(f"castellvi_{grade}", f"Castellvi {grade}", "castellvi", _is_grade(grade), "lumbosacral_in_view")
        for grade in ordered(list(grades), GRADE_ORDER)
    ]
    return _shares(participants, by, items, unit)


def _is_grade(grade: str) -> Callable[[pd.Series], pd.Series]:
    return lambda values: pooled_grades(values) == grade


def _row(part: pd.DataFrame, item: Variant, group: tuple[str, str], unit: str, warning: str) -> dict[str, Any]:
    known = part[item.column].notna()
    positive = int(item.positive(part.loc[known, item.column]).sum()) if known.any() else 0
    hidden = 0
    if item.view is not None:
        hidden = int(((part[item.view] == False).fillna(False) & ~known).sum())  # noqa: E712
    n = int(known.sum())
    row: dict[str, Any] = {"by": group[0], "group": group[1], "variant": item.name, "label": item.label, "unit": unit}
    row |= {"n": n, "positive": positive, "n_missing": len(part) - n - hidden, "n_not_in_view": hidden}
    row |= {"share_pct_why": "", "method": f"{METHOD}; per {unit}", "warning": warning}
    place = "" if group[0] == ALL else f" ({group[0]} {group[1]})"
    try:
        found = proportion(positive, n)
    except NotMeasurable as error:
        why = f"{error}: {row['n_missing']} not recorded, {hidden} without the region in view"
        return row | {"share_pct_why": why, "sentence": f"{item.label}{place}: no share; {why}."}
    row |= {"share_pct": 100 * found.share}
    row |= {"wilson_low_pct": 100 * found.wilson[0], "wilson_high_pct": 100 * found.wilson[1]}
    row |= {"exact_low_pct": 100 * found.exact[0], "exact_high_pct": 100 * found.exact[1]}
    low, high = (100 * bound for bound in found.wilson)
    row["sentence"] = (
        f"{item.label}{place}: {positive} of {n} {unit}s, {100 * found.share:.1f} % (95 % interval {low:.1f} to "
        f"{high:.1f}); {row['n_missing']} not recorded, {hidden} without the region in view."
    )
    return row


def unit_rule(unit: str) -> str:
    """The rule of counting, in words."""
    return SUBJECT_RULE if unit == "subject" else "The unit is the scan: two series of one subject count twice."
