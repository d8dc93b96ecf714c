"""The tables of the VerSe 2020 paper as printed, what contradicts itself in them, and other cohorts beside them.

Liebl H, Schinz D, et al. A computed tomography vertebral segmentation dataset with anatomical variations and
multi-vendor scanner data. Sci Data 2021;8:284.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verse_morph.errors import InputError
from verse_morph.stats.prevalence import VERSE_WARNING, prevalence
from verse_morph.stats.proportions import proportion

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("test", "validation", "training")
PAPER = "VerSe 2020 paper"
# Denominators in the paper's text: series that show the lower neck, the whole thoracic spine, the lumbosacral region,
# and all series.
IN_VIEW: Mapping[str, int] = {"lower neck": 135, "thoracic": 145, "lumbosacral": 252, "all": 319}
# Our variant: rows of Table 2 that are added up, region of the denominator.
_VARIANTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "cervical_rib": (("cervical_ribs",), "lower neck"),
    "thoracic_11": (("thoracic_11",), "thoracic"),
    "thoracic_13": (("thoracic_13",), "thoracic"),
    "lumbar_4": (("lumbar_4",), "lumbosacral"),
    "lumbar_6": (("lumbar_6",), "lumbosacral"),
    "stump_rib": (("stump_rib",), "all"),
    "castellvi_2_to_4": (("castellvi_2a", "castellvi_2b", "castellvi_3a", "castellvi_3b", "castellvi_4"), "graded"),
    "castellvi_3_4": (("castellvi_3a", "castellvi_3b", "castellvi_4"), "graded"),
}
_CASTELLVI = tuple(f"castellvi_{grade}" for grade in ("0_1", "2a", "2b", "3a", "3b", "4"))
# (table, total, parts): the parts must add up to the total in every column.
_PARTS: tuple[tuple[int, str, tuple[str, ...]], ...] = (
    (1, "patients", ("female", "male")),
    (1, "vertebrae", ("cervical", "thoracic", "lumbar")),
    (
        1,
        "series",
        (
            "in_house_philips",
            "in_house_siemens",
            "external_ge",
            "external_siemens",
            "external_toshiba",
            "unknown_glocker",
        ),
    ),
    (2, "cervical_ribs", ("cervical_ribs_one", "cervical_ribs_two")),
    (2, "stump_rib", ("stump_rib_t12", "stump_rib_t13", "stump_rib_l1")),
)
SUM, COMPARISON = "sum", "comparison"
# Counts that the paper's text states, and the rows of Table 2 that should add up to them.
_TEXT: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("series with the whole thoracic spine", 145, ("thoracic_12", "thoracic_11", "thoracic_13")),
    ("series with the lumbosacral region", 252, ("lumbar_5", "lumbar_4", "lumbar_6")),
    ("series with stump ribs", 90, ("stump_rib",)),
    ("series with cervical ribs", 18, ("cervical_ribs",)),
)
_COMPARED: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("series with the lumbosacral region, and with a Castellvi grade", 252, _CASTELLVI),
    ("subjects with transitional vertebrae, and series of Castellvi 2 to 4", 161, _CASTELLVI[1:]),
    (
        "subjects with enumeration abnormalities, and series with them",
        77,
        ("thoracic_11", "thoracic_13", "lumbar_4", "lumbar_6"),
    ),
)


def load_paper_table(number: int, folder: Path | str | None = None) -> pd.DataFrame:
    """Table 1 or 2 of the paper as printed: ``test, validation, training, all`` by row.

    Parameters
    ----------
    number : int
        1 (patients, series, vendors) or 2 (variants; counts of series).
    folder : Path or str, optional
        Where ``verse2020_table1.csv`` and ``verse2020_table2.csv`` lie; the project's ``data`` by default.

    Raises
    ------
    InputError
        Another number, or the file is not there.
    """
    import pandas as pd

    if number not in (1, 2):
        raise InputError(f"the paper's tables are 1 and 2, got {number}")
    name = f"verse2020_table{number}.csv"
    homes = [Path(folder)] if folder is not None else _homes()
    file = next((home / name for home in homes if (home / name).is_file()), None)
    if file is None:
        raise InputError(f"no {name} in {', '.join(map(str, homes))}; it comes with the project, in its folder data")
    return pd.read_csv(file, index_col="row")


def _homes() -> list[Path]:
    """The checkout's data folder, or where an installed package puts it."""
    return [Path(__file__).resolve().parents[2] / "data", Path(sys.prefix) / "share" / "verse_morph"]


def check_paper(tables: Mapping[int, pd.DataFrame] | None = None) -> pd.DataFrame:
    """Every sum in the paper's tables and text, and counts of one thing given twice: do they agree?

    Parameters
    ----------
    tables : Mapping[int, DataFrame], optional
        Tables by number; the printed ones by default.

    Returns
    -------
    DataFrame
        ``table, check, kind, stated, added_up, agrees, sentence``. A ``sum`` must come out; a ``comparison`` is of
        counts that a reader would expect to agree, such as subjects of the text and series of the table.
        Contradictions are reported, never repaired.
    """
    import pandas as pd

    given = {1: load_paper_table(1), 2: load_paper_table(2)} if tables is None else tables
    rows = []
    for number, table in given.items():
        for name in table.index:
            if not name.startswith("age_"):
                parts = [_cell(table, name, split) for split in SPLITS]
                rows.append(_check(f"Table {number}", f"row {name}, all = sum of splits", _cell(table, name), parts))
    for number, total, names in _PARTS:
        for column in given[number].columns if number in given else ():
            parts = [_cell(given[number], name, column) for name in names]
            what = f"column {column}, {total} = sum of {len(names)} rows"
            rows.append(_check(f"Table {number}", what, _cell(given[number], total, column), parts))
    return pd.DataFrame(rows + (_second_table(given[2]) if 2 in given else []))


def _second_table(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Table 2 against the text, and its lumbar counts against its grades."""
    rows = []
    for kind, listed in ((SUM, _TEXT), (COMPARISON, _COMPARED)):
        for what, stated, names in listed:
            rows.append(_check("text and Table 2", what, stated, [_cell(table, name) for name in names], kind))
    for column in table.columns:
        counted = [_cell(table, name, column) for name in ("lumbar_5", "lumbar_4", "lumbar_6")]
        graded = [_cell(table, name, column) for name in _CASTELLVI]
        what = f"column {column}, series with lumbar counts = series with a Castellvi grade"
        rows.append(_check("Table 2", what, sum(counted), graded, COMPARISON))
    return rows


def _cell(table: pd.DataFrame, name: str, column: str = "all") -> int:
    return int(float(str(table.loc[name, column])))


def _check(table: str, what: str, stated: int, parts: Sequence[int], kind: str = SUM) -> dict[str, Any]:
    added, shown = sum(parts), " + ".join(map(str, parts))
    sentence = f"{table}, {what}: {stated} is stated, {shown} = {added}"
    ends = "." if added == stated else f": they differ by {abs(added - stated)}."
    row = {"table": table, "check": what, "kind": kind, "stated": stated, "added_up": added, "agrees": added == stated}
    return row | {"sentence": sentence + ends}


def contradictions(tables: Mapping[int, pd.DataFrame] | None = None) -> pd.DataFrame:
    """The checks of :func:`check_paper` that fail."""
    checks = check_paper(tables)
    return checks[~checks["agrees"]].reset_index(drop=True)


def paper_prevalence() -> pd.DataFrame:
    """Share of each variant by the paper's Table 2 and the denominators of its text, per series.

    Returns
    -------
    DataFrame
        Columns of :func:`verse_morph.stats.prevalence.prevalence` that the paper can fill; Castellvi grades are
        divided by the graded series, which the text does not state.
    """
    import pandas as pd

    table = load_paper_table(2)["all"]
    graded = int(table[list(_CASTELLVI)].sum())
    rows = []
    for name, (parts, region) in _VARIANTS.items():
        n = graded if region == "graded" else IN_VIEW[region]
        found = proportion(int(table[list(parts)].sum()), n)
        low, high = (100 * bound for bound in found.wilson)
        row: dict[str, Any] = {"variant": name, "unit": "scan", "n": n, "positive": found.positive}
        row |= {"share_pct": 100 * found.share, "wilson_low_pct": low, "wilson_high_pct": high}
        rows.append(row | {"warning": VERSE_WARNING})
    return pd.DataFrame(rows)


def side_by_side(cohorts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The paper's shares and those of other cohorts, variant by variant, all per series as in the paper.

    Parameters
    ----------
    cohorts : Mapping[str, DataFrame]
        Name to participants table.

    Returns
    -------
    DataFrame
        ``variant, cohort, n, positive, share_pct, wilson_low_pct, wilson_high_pct, difference_pct, warning``; the
        difference is to the paper's share, in percentage points. ``outside_paper`` says whether the intervals of
        cohort and paper do not overlap.
    """
    import pandas as pd

    paper = paper_prevalence()
    frames = [paper.assign(cohort=PAPER)]
    for name, table in cohorts.items():
        found = prevalence(table, variants=list(paper["variant"]), unit="scan")
        frames.append(found.assign(cohort=name))
    columns = ["variant", "cohort", "n", "positive", "share_pct", "wilson_low_pct", "wilson_high_pct", "warning"]
    made = pd.concat([frame[columns] for frame in frames], ignore_index=True)
    stated = paper.set_index("variant")
    made["difference_pct"] = made["share_pct"] - made["variant"].map(stated["share_pct"])
    above = made["wilson_low_pct"] > made["variant"].map(stated["wilson_high_pct"])
    made["outside_paper"] = above | (made["wilson_high_pct"] < made["variant"].map(stated["wilson_low_pct"]))
    place = {name: i for i, name in enumerate(paper["variant"])}
    return made.sort_values("variant", key=lambda names: names.map(place), kind="stable").reset_index(drop=True)


def castellvi_beside_paper(participants: pd.DataFrame) -> pd.DataFrame:
    """Series per Castellvi grade: the paper's count, this cohort's, and the difference."""
    import pandas as pd

    from verse_morph.stats.variants import pooled_grades, seen_only

    table = load_paper_table(2)["all"]
    grades = pooled_grades(seen_only(participants)["castellvi"]).value_counts()
    rows = []
    for name in _CASTELLVI:
        grade = name.removeprefix("castellvi_").replace("_", "/")
        here, paper = int(grades.get(grade, 0)), int(table[name])
        rows.append({"castellvi": grade, "paper": paper, "here": here, "difference": here - paper})
    return pd.DataFrame(rows)
