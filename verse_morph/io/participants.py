"""The participants table: one row per scan with patient, scanner, variants and gradings, checked whole and joined.

Every problem of a table is reported at once. What is not known stays missing: an empty cell is never zero nor normal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from verse_morph.errors import InputError
from verse_morph.io import participant_words as words
from verse_morph.io.verse import scan_name

if TYPE_CHECKING:
    import pandas as pd

# In one message; the error's ``problems`` table has all of them.
MOST_SHOWN = 12


@dataclass(frozen=True)
class Field:
    """One column of the participants table.

    Parameters
    ----------
    name : str
    kind : str
        ``text``, ``word``, ``count``, ``number`` or ``flag``.
    definition : str
    allowed : tuple of str
        The words of a ``word`` column; empty where any word may stand.
    low, high : float or None
        Limits of a ``count`` or ``number``.
    """

    name: str
    kind: str
    definition: str
    allowed: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


FIELDS: tuple[Field, ...] = (
    Field("scan", "text", "File stem of the scan without `_ct` and the like; the key."),
    Field("subject", "text", "Whom the scan shows; two series of one subject share it."),
    Field("dataset", "text", "Data set the scan belongs to, such as verse19; splits are judged within one."),
    Field("split", "word", "Part of the data set.", words.SPLITS),
    Field("vendor", "text", "Maker of the scanner, one name each; `unknown` is a category."),
    Field("model", "text", "Model of the scanner as its files state it."),
    Field("kvp", "number", "Tube voltage, kV.", low=40, high=200),
    Field("age", "number", "Age at the scan, years.", low=0, high=words.OLDEST),
    Field("sex", "word", "F or M.", ("F", "M")),
    Field("n_vertebrae", "count", "Vertebrae annotated as fully in view.", high=30),
    Field("spacing_cc_mm", "number", "Distance of voxels craniocaudally, mm.", low=0.01, high=50),
    Field("spacing_ap_mm", "number", "Distance of voxels from front to back, mm.", low=0.01, high=50),
    Field("spacing_lr_mm", "number", "Distance of voxels from left to right, mm.", low=0.01, high=50),
    Field("lower_neck_in_view", "flag", "Whether C7 is in view, where cervical ribs are looked for."),
    Field("thoracic_in_view", "flag", "Whether the thoracic spine is wholly in view."),
    Field("lumbosacral_in_view", "flag", "Whether the lumbar spine and the upper sacrum are wholly in view."),
    Field("thoracic", "count", "Number of thoracic vertebrae.", low=10, high=14),
    Field("lumbar_total", "count", "Lumbar-type vertebrae, fused ones included.", low=3, high=7),
    Field("lumbar_labelled", "count", "Number of lumbar vertebrae that the mask labels.", high=7),
    Field(
        "transitional_unlabelled",
        "count",
        "Lumbar-type vertebrae that the mask does not label.",
        high=2,
    ),
    Field("last_lumbar", "word", "Level of the last lumbar-type vertebra.", ("L3", "L4", "L5", "L6")),
    Field("castellvi", "word", "Castellvi grade of the last lumbar-type vertebra.", words.GRADES),
    Field("castellvi_side", "word", "Side of grades 2a and 3a, fused side of 4.", words.SIDES),
    Field("cervical_ribs", "count", "Number of ribs on C7.", high=2),
    Field("cervical_rib_sides", "text", "Their sides, `;` between them."),
    Field("stump_ribs", "count", "Number of ribs shorter than 38 mm.", high=10),
    Field("stump_rib_levels", "text", "Their levels, `;` between them."),
    Field("half_vertebrae", "count", "Number of half-vertebrae.", high=10),
    Field("fractures", "count", "Vertebrae with a Genant grade of 1 or more.", high=28),
    Field("genant_max", "count", "Highest Genant grade of the scan.", high=3),
    Field("graded_vertebrae", "count", "Vertebrae with a Genant grade, 0 included.", high=28),
    Field("bmd_mg_cm3", "number", "Lumbar trabecular density, calibrated, mg/cm3.", low=-100, high=600),
    Field("dxa_t_score", "number", "T-score of DXA.", low=-10, high=10),
)
COLUMNS = tuple(field.name for field in FIELDS)
_BY_NAME = {field.name: field for field in FIELDS}
_WORDS: Mapping[str, Callable[[object], str]] = {
    "split": words.split_word,
    "sex": words.sex_word,
    "castellvi": words.castellvi_grade,
    "castellvi_side": words.side_word,
}
_KINDS: Mapping[str, Callable[[object], Any]] = {
    "text": words.plain,
    "word": words.plain,
    "count": words.count,
    "number": words.measure,
    "flag": words.flag,
}
_DTYPES: Mapping[str, Any] = {"text": "str", "word": "str", "count": "Int64", "number": "float64", "flag": "boolean"}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, what was found, and why it cannot stay."""

    column: str
    row: int | None
    scan: str
    value: str
    what: str

    def __str__(self) -> str:
        place = f"row {self.row}" if self.row is not None else ""
        place = " ".join(part for part in (place, self.scan) if part)
        return f"{place}: {self.value!r} {self.what}" if self.value else f"{place}: {self.what}"


class ParticipantsError(InputError):
    """A participants table has problems; all of them are in :attr:`problems`."""

    def __init__(self, found: Sequence[Problem], source: str = "") -> None:
        import pandas as pd

        self.found = tuple(found)
        rows = [vars(problem) for problem in found]
        self.problems = pd.DataFrame(rows, columns=["column", "row", "scan", "value", "what"])
        super().__init__(_message(found, source))


def _message(found: Sequence[Problem], source: str) -> str:
    by_column: dict[str, list[Problem]] = {}
    for problem in found:
        by_column.setdefault(problem.column, []).append(problem)
    parts = []
    for column, listed in by_column.items():
        shown = ", ".join(map(str, listed[:MOST_SHOWN]))
        more = f" and {len(listed) - MOST_SHOWN} more" if len(listed) > MOST_SHOWN else ""
        parts.append(f"[{column}] {shown}{more}")
    number = f"{len(found)} problem{'s' if len(found) > 1 else ''}"
    return f"{number} in {source or 'the participants table'}, nothing was used: {'; '.join(parts)}"


def check_participants(frame: pd.DataFrame, source: str = "") -> pd.DataFrame:
    """A participants table in our own words and types, or one report of all that is wrong with it.

    Parameters
    ----------
    frame : DataFrame
        Any of :data:`COLUMNS`, ``scan`` or ``subject`` among them; further columns are kept as they are. Spellings are
        understood (``type 2a``, ``PHILIPS MEDICAL SYSTEMS``, ``063Y``).
    source : str
        Named in the report.

    Returns
    -------
    DataFrame
        All of :data:`COLUMNS`, then the further ones.

    Raises
    ------
    ParticipantsError
        Words or numbers not understood, dates as ages, negative counts, duplicate scans, a subject in two splits of one
        data set or of two sexes, fewer lumbar vertebrae than are labelled.
    """
    import pandas as pd

    if not {"scan", "subject"} & set(frame.columns):
        raise InputError(
            f"{source or 'the participants table'} has neither a column scan nor subject; it has "
            f"{', '.join(map(str, frame.columns)) or 'no column'}: rename one or give a mapping"
        )
    found: list[Problem] = []
    raw = frame.reset_index(drop=True)
    table = pd.DataFrame(index=raw.index)
    for field in FIELDS:
        table[field.name] = _column(raw, field, found)
    table["scan"] = table["scan"].map(scan_name, na_action="ignore").astype("str")
    table["subject"] = _subjects(table).astype("str")
    table["vendor"] = table["vendor"].map(words.vendor_name).astype("str")
    found += [*_schema_problems(table), *_row_problems(table), *_subject_problems(table)]
    if found:
        raise ParticipantsError(found, source)
    return pd.concat([table, raw[[name for name in raw.columns if name not in COLUMNS]]], axis=1)


def _column(raw: pd.DataFrame, field: Field, found: list[Problem]) -> pd.Series:
    """One column understood cell by cell; cells that are not go to the problems and stay empty."""
    import pandas as pd

    if field.name not in raw.columns:
        return pd.Series([None] * len(raw), index=raw.index, dtype=_DTYPES[field.kind])
    understand = words.age_years if field.name == "age" else _WORDS.get(field.name, _KINDS[field.kind])
    scans = raw["scan"] if "scan" in raw.columns else raw["subject"]
    values: list[Any] = []
    for row, (value, scan) in enumerate(zip(raw[field.name], scans, strict=True)):
        try:
            values.append(None if words.is_missing(value) else understand(value))
        except ValueError as error:
            values.append(None)
            found.append(Problem(field.name, row + 1, str(scan), words.plain(value), str(error)))
    column = pd.Series(values, index=raw.index, dtype="object")
    return column.astype(_DTYPES[field.kind]).mask(column.isna())


def _subjects(table: pd.DataFrame) -> pd.Series:
    """The subject of each row: as given, else the first part of the scan's name."""
    named = table["scan"].str.extract("^([^_]+)", expand=False).astype("str")
    return table["subject"].fillna(named).str.removeprefix("sub-")


def _schema_problems(table: pd.DataFrame) -> list[Problem]:
    """Types, allowed words and limits, by pandera."""
    import pandera.pandas as pa
    from pandera.errors import SchemaErrors

    def checks(field: Field) -> list[pa.Check]:
        made = []
        if field.allowed:
            made.append(pa.Check.isin(field.allowed, error=f"is none of {', '.join(field.allowed)}"))
        if field.low is not None:
            made.append(pa.Check.ge(field.low, error=f"is below {field.low:g}"))
        if field.high is not None:
            made.append(pa.Check.le(field.high, error=f"is above {field.high:g}"))
        return made

    columns = {field.name: pa.Column(checks=checks(field), nullable=True) for field in FIELDS}
    try:
        pa.DataFrameSchema(columns).validate(table, lazy=True)
    except SchemaErrors as error:
        failures = error.failure_cases
        return [
            Problem(str(column), int(row) + 1, _who(table, int(row)), words.plain(value), str(check))
            for column, row, value, check in zip(
                failures["column"], failures["index"], failures["failure_case"], failures["check"], strict=True
            )
        ]
    return []


def _who(table: pd.DataFrame, row: int) -> str:
    scan, subject = table.loc[row, "scan"], table.loc[row, "subject"]
    return str(subject) if words.is_missing(scan) else str(scan)


def _row_problems(table: pd.DataFrame) -> list[Problem]:
    """Rows without a key, duplicate scans, counts that exclude each other."""
    found = []
    for row in table.index[table["scan"].isna() & table["subject"].isna()]:
        found.append(Problem("scan", int(row) + 1, "", "", "neither scan nor subject is given"))
    named = table[table["scan"].notna()]
    keys = named["dataset"].fillna("") + "\n" + named["scan"]
    for _, rows in named.groupby(keys, sort=False):
        if len(rows) > 1:
            listed = ", ".join(str(int(row) + 1) for row in rows.index)
            found.append(Problem("scan", None, str(rows["scan"].iloc[0]), "", f"is listed in rows {listed}"))
    fewer = (table["lumbar_total"] < table["lumbar_labelled"]).fillna(False)
    for row in table.index[fewer.astype(bool)]:
        labelled = table.loc[row, "lumbar_labelled"]
        what = f"lumbar vertebrae in all, but {labelled} labelled"
        found.append(Problem("lumbar_total", int(row) + 1, _who(table, row), str(table.loc[row, "lumbar_total"]), what))
    return found


def _subject_problems(table: pd.DataFrame) -> list[Problem]:
    """Subjects in two splits of one data set, and subjects of two sexes."""
    found = []
    for column, keys in (("split", ["subject", "dataset"]), ("sex", ["subject"])):
        known = table[table[column].notna()]
        for key, rows in known.groupby(keys, dropna=False, sort=False):
            values = sorted(set(rows[column]))
            if len(values) > 1:
                what = f"the subject has {len(values)} values: {', '.join(values)} (rows " + ", ".join(
                    str(int(row) + 1) for row in rows.index
                )
                found.append(Problem(column, None, str(key[0]), "", f"{what})"))
    return found


# --- joining ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Participants:
    """A joined participants table.

    Parameters
    ----------
    table : DataFrame
        One row per scan, as :func:`check_participants` gives it.
    unmatched : DataFrame
        Every row that is not in all sources: ``scan, subject, found_in, not_in``.
    conflicts : DataFrame
        Every cell about which sources contradict each other: ``scan, column, kept, kept_from, dropped, dropped_from``.
    sources : tuple of str
    """

    table: pd.DataFrame
    unmatched: pd.DataFrame
    conflicts: pd.DataFrame
    sources: tuple[str, ...]


def join_participants(frames: Mapping[str, pd.DataFrame]) -> Participants:
    """Tables of several sources as one, matched by scan, else by subject; nothing is dropped.

    Parameters
    ----------
    frames : Mapping[str, DataFrame]
        Name of each source to its table. A row with a scan matches the row of that scan (of the same data set, where
        both say so); a row without one matches every scan of its subject.

    Returns
    -------
    Participants
        Rows that some source lacks are kept, with empty cells, and listed. Where sources contradict each other the one
        named first is kept and both are listed; an unknown vendor contradicts nobody, ages may differ by a year.

    Raises
    ------
    ParticipantsError
        A table has problems.
    """
    import pandas as pd

    checked: dict[str, pd.DataFrame] = {}
    found: list[Problem] = []
    for source, frame in frames.items():
        try:
            checked[source] = check_participants(frame, source)
        except ParticipantsError as error:
            found += [replace(problem, column=f"{source}: {problem.column}") for problem in error.found]
    # Tables that name scans first: a row about a subject is told to each of its scans.
    ordered = sorted(checked, key=lambda name: bool(checked[name]["scan"].isna().all()))
    if found:
        raise ParticipantsError(found, "the tables" if len(frames) > 1 else next(iter(frames)))
    rows: list[dict[str, Any]] = []
    conflicts: list[dict[str, Any]] = []
    for source in ordered:
        _merge(rows, checked[source], source, conflicts)
    extra = list(dict.fromkeys(name for frame in checked.values() for name in frame.columns if name not in COLUMNS))
    table = pd.DataFrame(rows, columns=[*COLUMNS, *extra, "_in"])
    unmatched = _unmatched(table, ordered)
    whole = check_participants(table.drop(columns="_in"), "the joined table")
    heads = ["scan", "column", "kept", "kept_from", "dropped", "dropped_from"]
    return Participants(whole, unmatched, pd.DataFrame(conflicts, columns=heads), tuple(frames))


def _merge(rows: list[dict[str, Any]], frame: pd.DataFrame, source: str, conflicts: list[dict[str, Any]]) -> None:
    """Add what one source says to the rows so far."""
    by_scan: dict[str, list[dict[str, Any]]] = {}
    by_subject: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_scan.setdefault(str(row.get("scan")), []).append(row)
        by_subject.setdefault(str(row.get("subject")), []).append(row)
    for new in frame.to_dict("records"):
        known = {str(name): value for name, value in new.items() if not _says_nothing(str(name), value)}
        of_subject = by_subject.get(str(known.get("subject")), [])
        if "scan" not in known:
            same = of_subject
        else:
            same = [row for row in by_scan.get(known["scan"], []) if _one_dataset(row, known)]
            same = same or _short_name(of_subject, known, int((frame["subject"] == known.get("subject")).sum()))
        if not same:
            rows.append({**known, "_in": (source,)})
        for row in same:
            conflicts += _conflicts(row, known, source)
            row |= {name: value for name, value in known.items() if name not in row}
            row["scan"] = max(str(row.get("scan", "")), str(known.get("scan", "")), key=len)
            row["_in"] = (*row["_in"], source)


def _short_name(rows: list[dict[str, Any]], known: Mapping[str, Any], listed: int) -> list[dict[str, Any]]:
    """The one scan of a subject that has one scan in either source, where one of them leaves out the name's entities:
    lists write ``sub-verse500`` for ``sub-verse500_dir-ax``.
    """
    bare = f"sub-{known.get('subject')}"
    if listed != 1 or len(rows) != 1 or not _one_dataset(rows[0], known):
        return []
    return rows if bare in (known["scan"], rows[0].get("scan")) else []


def _says_nothing(name: str, value: object) -> bool:
    import pandas as pd

    return value is pd.NA or words.is_missing(value) or (name == "vendor" and value == words.UNKNOWN_VENDOR)


def _one_dataset(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return "dataset" not in row or "dataset" not in other or row["dataset"] == other["dataset"]


def _conflicts(row: Mapping[str, Any], known: Mapping[str, Any], source: str) -> Iterable[dict[str, Any]]:
    for name, value in known.items():
        if name in ("scan", "dataset") or name not in row or name not in _BY_NAME or row[name] == value:
            continue
        if _BY_NAME[name].kind == "number":
            tolerance = 1.0 if name == "age" else 1e-3 * max(abs(row[name]), abs(value))
            if abs(row[name] - value) <= tolerance:
                continue
        yield {
            "scan": str(row.get("scan", row.get("subject"))),
            "column": name,
            "kept": words.plain(row[name]),
            "kept_from": "; ".join(row["_in"]),
            "dropped": words.plain(value),
            "dropped_from": source,
        }


def _unmatched(table: pd.DataFrame, sources: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for scan, subject, where in zip(table["scan"], table["subject"], table["_in"], strict=True):
        lacking = [source for source in sources if source not in where]
        if lacking:
            found_in = "; ".join(dict.fromkeys(where))
            rows.append({"scan": scan, "subject": subject, "found_in": found_in, "not_in": "; ".join(lacking)})
    return pd.DataFrame(rows, columns=["scan", "subject", "found_in", "not_in"])
