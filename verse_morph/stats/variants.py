"""What counts as a variant, of whom it can be said, and one row per subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verse_morph.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

SUBJECT_RULE = (
    "The unit is the subject: series of one subject count once. A value is what the series in which it could be "
    "assessed agree on; where they contradict each other it is missing. Fractures and the highest grade are the most "
    "of any series, densities and ages the mean; a vendor or split that differs between series becomes 'several'."
)
UNITS = ("subject", "scan")
SEVERAL = "several"
# Grade of Castellvi by the paper: 0 and 1 are pooled, type 1 is unreliable and of no clinical weight.
POOLED: Mapping[str, str] = {"0": "0/1", "1": "0/1"}
GRADE_ORDER = ("0/1", "2", "2a", "2b", "3", "3a", "3b", "4")
TYPE_ORDER = ("0/1", "2", "3", "4")
VENDOR_ORDER = ("Philips", "Siemens", "GE", "Toshiba", "Canon", "Hitachi")
_MOST = ("fractures", "genant_max", "graded_vertebrae", "n_vertebrae")
_MEAN = ("age", "bmd_mg_cm3", "dxa_t_score", "kvp", "spacing_cc_mm", "spacing_ap_mm", "spacing_lr_mm")
_SEVERAL = ("vendor", "model", "split", "dataset")
_SEEN_BY: Mapping[str, tuple[str, ...]] = {
    "lower_neck_in_view": ("cervical_ribs",),
    "thoracic_in_view": ("thoracic",),
    "lumbosacral_in_view": ("lumbar_total", "castellvi", "castellvi_side", "last_lumbar"),
}


@dataclass(frozen=True)
class Variant:
    """A variant as a yes or no.

    Parameters
    ----------
    name : str
        Short name in tables.
    label : str
        For figures and sentences.
    column : str
        Column of the participants table that decides.
    positive : callable
        From that column's known values to yes or no.
    view : str or None
        Column that says whether the region is in view; a scan that does not show it is not counted.
    """

    name: str
    label: str
    column: str
    positive: Callable[[pd.Series], pd.Series]
    view: str | None = None


def _equals(number: int) -> Callable[[pd.Series], pd.Series]:
    return lambda values: values == number


def _any(values: pd.Series) -> pd.Series:
    return values > 0


def _grade_from(lowest: str) -> Callable[[pd.Series], pd.Series]:
    return lambda values: values.str[0] >= lowest


# In the order of the paper's Table 2; it divides stump ribs by all series, whatever they show.
VARIANTS: tuple[Variant, ...] = (
    Variant("cervical_rib", "cervical rib", "cervical_ribs", _any, "lower_neck_in_view"),
    Variant("thoracic_11", "11 thoracic vertebrae", "thoracic", _equals(11), "thoracic_in_view"),
    Variant("thoracic_13", "13 thoracic vertebrae", "thoracic", _equals(13), "thoracic_in_view"),
    Variant("lumbar_4", "4 lumbar vertebrae", "lumbar_total", _equals(4), "lumbosacral_in_view"),
    Variant("lumbar_6", "6 lumbar vertebrae", "lumbar_total", _equals(6), "lumbosacral_in_view"),
    Variant("stump_rib", "stump rib (< 38 mm)", "stump_ribs", _any),
    Variant("castellvi_2_to_4", "Castellvi 2 to 4", "castellvi", _grade_from("2"), "lumbosacral_in_view"),
    Variant("castellvi_3_4", "Castellvi 3 or 4 (fused)", "castellvi", _grade_from("3"), "lumbosacral_in_view"),
    Variant("half_vertebra", "half-vertebra", "half_vertebrae", _any),
    Variant("fracture", "vertebral fracture (Genant >= 1)", "fractures", _any),
)


def variant(name: str) -> Variant:
    """One variant by name.

    Raises
    ------
    InputError
        There is none of this name.
    """
    for known in VARIANTS:
        if known.name == name:
            return known
    raise InputError(f"no variant {name!r}; known are {', '.join(v.name for v in VARIANTS)}")


def pooled_grades(grades: pd.Series) -> pd.Series:
    """Castellvi grades with 0 and 1 pooled, as in the paper."""
    return grades.replace(dict(POOLED))


def castellvi_types(grades: pd.Series) -> pd.Series:
    """``0/1``, ``2``, ``3`` or ``4``: grades without their letters."""
    return pooled_grades(grades).replace({g: g[0] for g in GRADE_ORDER if g[-1] in "ab"})


def seen_only(table: pd.DataFrame) -> pd.DataFrame:
    """The participants table without values of regions that a scan is known not to show."""
    made = table.copy()
    for view, columns in _SEEN_BY.items():
        hidden = (made[view] == False).fillna(False).astype(bool)  # noqa: E712  three values: yes, no, unknown
        for column in columns:
            made[column] = made[column].mask(hidden)
    return made


@dataclass(frozen=True, eq=False)
class Subjects:
    """One row per subject.

    Parameters
    ----------
    table : DataFrame
        Columns of the participants table, without ``scan``, with ``n_scans``.
    contradictions : DataFrame
        ``subject, column, values``: what a subject's series disagree about, and is therefore missing.
    """

    table: pd.DataFrame
    contradictions: pd.DataFrame


def one_per_subject(table: pd.DataFrame) -> Subjects:
    """Participants by subject; the rule is :data:`SUBJECT_RULE`.

    Parameters
    ----------
    table : DataFrame
        As :func:`verse_morph.io.participants.check_participants` gives it.
    """
    import pandas as pd

    seen = seen_only(table)
    groups = seen.groupby("subject", sort=False)
    made = pd.DataFrame({"n_scans": groups.size()})
    found = []
    for column in seen.columns.drop(["scan", "subject"]):
        if column in _MOST:
            made[column] = groups[column].max()
        elif column in _MEAN:
            made[column] = groups[column].mean()
        elif column in _SEEN_BY:
            made[column] = groups[column].max()
        else:
            made[column] = groups[column].first()
            for subject in made.index[groups[column].nunique() > 1]:
                values = ", ".join(sorted(map(str, seen.loc[seen["subject"] == subject, column].dropna().unique())))
                if column in _SEVERAL:
                    made.loc[subject, column] = SEVERAL
                elif column in table.columns:
                    made.loc[subject, column] = None
                    found.append((subject, column, values))
    listed = pd.DataFrame(found, columns=["subject", "column", "values"])
    return Subjects(made.rename_axis("subject").reset_index(), listed)


def in_unit(table: pd.DataFrame, unit: str = "subject") -> pd.DataFrame:
    """The participants table by ``subject`` or by ``scan``, values of unseen regions removed.

    Raises
    ------
    InputError
        Another unit.
    """
    if unit not in UNITS:
        raise InputError(f"the unit is {' or '.join(UNITS)}, got {unit!r}")
    return one_per_subject(table).table if unit == "subject" else seen_only(table)


def ordered(values: Sequence[str], order: Sequence[str]) -> list[str]:
    """Words in a known order, others after them by name, ``unknown`` and ``several`` last.

    >>> ordered(["unknown", "GE", "Acme", "Philips"], VENDOR_ORDER)
    ['Philips', 'GE', 'Acme', 'unknown']
    """
    rank = {word: i for i, word in enumerate(order)}
    last = {"unknown": 2, SEVERAL: 1}
    return sorted(set(values), key=lambda word: (last.get(word, 0), rank.get(word, len(rank)), word))
