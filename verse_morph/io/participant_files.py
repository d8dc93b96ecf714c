"""Files that hold facts about participants: VerSe's tables, sidecars and folders, phantom data sets, and any CSV by a
mapping file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError
from verse_morph.io.files import existing, read_json
from verse_morph.io.participants import COLUMNS, Participants, join_participants
from verse_morph.io.verse import Case, find_cases

if TYPE_CHECKING:
    import pandas as pd

TABLE_ENDINGS = (".csv", ".tsv", ".parquet")
# Loeffler et al. 2020, supplement: the scanners of VerSe 2019 by number.
VERSE19_DEVICES: Mapping[int, tuple[str, str]] = {
    1: ("Philips", "Brilliance 64"),
    2: ("Philips", "iCT"),
    3: ("Philips", "IQon"),
    4: ("Siemens", "Somatom Definition AS+"),
    5: ("Siemens", "Somatom Definition AS"),
}
FOREIGN = "x"


@dataclass(frozen=True)
class ColumnMapping:
    """How the columns and words of a foreign table become ours.

    Parameters
    ----------
    columns : Mapping[str, str]
        Our column to theirs.
    values : Mapping[str, Mapping[str, str]]
        Of one of our columns: their word to ours.
    constants : Mapping[str, str]
        Our column to one value for all rows.
    """

    columns: Mapping[str, str]
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)


def read_participants(*paths: Path | str, mapping: Path | str | None = None) -> Participants:
    """Everything that files and folders say about participants, as one table.

    Parameters
    ----------
    *paths : Path or str
        Tables (.csv, .tsv, .parquet) and data set folders. Recognised are VerSe 2019's patient table, lists of
        Castellvi grades, the participants table of a phantom data set, and any table with our column names; of a
        folder, sidecars (``_ct.json``), headers of CTs, centroid files and a participants table in it.
    mapping : Path or str, optional
        Mapping file, YAML or CSV (see :func:`read_mapping`), for tables that are none of these.

    Returns
    -------
    Participants

    Raises
    ------
    InputError
        A file is missing or none of the known kinds.
    ParticipantsError
        The tables have problems; all are reported at once.
    """
    if not paths:
        raise InputError("no table of participants was given")
    rule = None if mapping is None else read_mapping(mapping)
    frames: dict[str, pd.DataFrame] = {}
    for path in paths:
        found = existing(path, "a table of participants or a data set folder")
        for name, frame in (_read_folder(found) if found.is_dir() else {found.name: _read_file(found, rule)}).items():
            frames[name if name not in frames else f"{name} ({found.parent})"] = frame
    return join_participants(frames)


def read_mapping(path: Path | str) -> ColumnMapping:
    """A mapping file.

    Parameters
    ----------
    path : Path or str
        YAML with ``columns`` (ours: theirs), optionally ``values`` (our column: {their word: our word}) and
        ``constants`` (our column: value); or CSV with the columns ``column, source`` and optionally ``value, means``:
        a row with a source names their column, a row with a value translates a word, a row with ``means`` alone is a
        constant.

    Raises
    ------
    InputError
        Not readable, no column named, or a column that we do not have.
    """
    file = existing(path, "a mapping file, .yaml or .csv")
    content = _mapping_from_csv(file) if file.suffix.lower() == ".csv" else _mapping_from_yaml(file)
    unknown = sorted({*content.columns, *content.values, *content.constants} - set(COLUMNS))
    if unknown:
        raise InputError(f"{file} maps to {', '.join(unknown)}, which we do not have; known are {', '.join(COLUMNS)}")
    if not content.columns:
        raise InputError(f"{file} names no column: write 'columns:' with lines such as 'scan: SeriesID'")
    return content


def _mapping_from_yaml(file: Path) -> ColumnMapping:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    parts: dict[str, Any] = content if isinstance(content, dict) else {"": None}
    if not set(parts) <= {"columns", "values", "constants"} or not all(isinstance(v, dict) for v in parts.values()):
        raise InputError(f"{file} is no mapping: at its top stand columns, values, constants, below each lines 'a: b'")
    columns = {str(ours): str(theirs) for ours, theirs in parts.get("columns", {}).items()}
    values = {str(name): {str(k): v for k, v in pairs.items()} for name, pairs in parts.get("values", {}).items()}
    return ColumnMapping(columns, values, parts.get("constants", {}))


def _mapping_from_csv(file: Path) -> ColumnMapping:
    frame = _csv(file)
    if not {"column", "source"} <= set(frame.columns):
        raise InputError(f"{file} is no mapping: it needs the columns column and source, and may have value and means")
    columns: dict[str, str] = {}
    values: dict[str, dict[str, Any]] = {}
    constants: dict[str, Any] = {}
    for row in frame.fillna("").to_dict("records"):
        name = str(row["column"])
        if row.get("value", "") != "":
            values.setdefault(name, {})[str(row["value"])] = row.get("means", "")
        elif row["source"] != "":
            columns[name] = str(row["source"])
        else:
            constants[name] = row.get("means", "")
    return ColumnMapping(columns, values, constants)


def apply_mapping(frame: pd.DataFrame, rule: ColumnMapping, source: str = "the table") -> pd.DataFrame:
    """A foreign table with our column names and words; columns that nobody mapped are left out.

    Raises
    ------
    InputError
        A column of theirs does not exist.
    """
    import pandas as pd

    missing = sorted(set(rule.columns.values()) - set(map(str, frame.columns)))
    if missing:
        has = ", ".join(map(str, frame.columns))
        raise InputError(f"the mapping asks for {', '.join(missing)}, which {source} lacks; it has {has}")
    made = pd.DataFrame({ours: frame[theirs] for ours, theirs in rule.columns.items()})
    for ours, pairs in rule.values.items():
        if ours in made:
            made[ours] = [pairs.get(_key(value), value) for value in made[ours]]
    return made.assign(**rule.constants)


def _key(value: object) -> str:
    from verse_morph.io.participant_words import plain

    return plain(value)


# --- tables -----------------------------------------------------------------------------------------------------------


def _csv(file: Path) -> pd.DataFrame:
    """A table with every cell as text, so that nothing is guessed at."""
    import pandas as pd

    try:
        if file.suffix.lower() == ".parquet":
            return pd.read_parquet(file)
        text = {"dtype": "str", "keep_default_na": False, "na_values": [""], "encoding": "utf-8-sig"}
        return pd.read_csv(file, sep=_separator(file), **text)  # type: ignore[call-overload]
    except (ValueError, OSError) as error:
        raise InputError(f"{file} cannot be read as a table: {str(error).splitlines()[0]}") from error


def _separator(file: Path) -> str:
    """What stands between the names of the first line: spreadsheets of many countries write semicolons."""
    with file.open(encoding="utf-8-sig", errors="replace") as stream:
        first = stream.readline()
    return max(",;\t", key=first.count)


def _read_file(file: Path, rule: ColumnMapping | None) -> pd.DataFrame:
    if file.suffix.lower() == ".json":
        return _sidecar_frame(file)
    if file.suffix.lower() not in TABLE_ENDINGS:
        raise InputError(f"{file} is no table: give .csv, .tsv or .parquet, a _ct.json sidecar or a folder")
    frame = _csv(file)
    for heads, understand in _KINDS:
        if heads <= set(frame.columns):
            return understand(frame)
    if rule is not None:
        return apply_mapping(frame, rule, file.name)
    if "participant_id" in frame.columns and "subject" not in frame.columns:
        frame = frame.rename(columns={"participant_id": "subject"})
    if not {"scan", "subject"} & set(frame.columns):
        raise InputError(
            f"{file} is no table that we know (columns {', '.join(map(str, frame.columns))}); give a mapping file "
            "that says which column is scan or subject"
        )
    return frame


def verse19_table(frame: pd.DataFrame) -> pd.DataFrame:
    """VerSe 2019's patient table (supplement of Loeffler et al. 2020) in our columns.

    Parameters
    ----------
    frame : DataFrame
        As it is in the file: ``verse_ID, subject_ID, dataset, age_ct, CT_device, Res, BMD, CT_image_series`` and a
        Genant grade per level.

    Notes
    -----
    A BMD of 0 means missing there. ``fractures`` counts grades of 1 and more; levels that are out of view or hold
    foreign material (``x``) are not graded and not counted as unfractured. Sex, variants and cervical grades are not in
    it. ``Res`` is the largest voxel size, in no stated direction, so no spacing is taken from it.
    """
    import pandas as pd

    device = frame["CT_device"].map(lambda text: VERSE19_DEVICES.get(int(float(text)), ("", "")), na_action="ignore")
    grades = pd.DataFrame({name: _grade(frame[name]) for name in frame.columns if name.endswith("_fx-g")})
    bmd = pd.to_numeric(frame["BMD"])
    return pd.DataFrame(
        {
            "scan": _verse19_scans(frame),
            "subject": "verse" + frame["subject_ID"].map(_three_digits),
            "dataset": "verse19",
            "split": frame["dataset"],
            "vendor": [maker for maker, _ in device],
            "model": [model for _, model in device],
            "age": frame["age_ct"],
            "fractures": (grades >= 1).sum(axis=1).where(grades.notna().any(axis=1)),
            "genant_max": grades.max(axis=1),
            "graded_vertebrae": grades.notna().sum(axis=1),
            "bmd_mg_cm3": bmd.where(bmd != 0),
            "dxa_t_score": frame.get("DXA T-value"),
        }
    )


def verse19_gradings(path: Path | str) -> pd.DataFrame:
    """The Genant grade of each level in VerSe 2019's patient table.

    Returns
    -------
    DataFrame
        ``scan, subject, level, genant_grade, genant_shape, why``: one row per level in view. A level with foreign
        material has no grade and says so.
    """
    import pandas as pd

    frame = _csv(existing(path, "VerSe 2019's patient table"))
    shapes = {"0": "", "1": "wedge", "2": "biconcave", "3": "crush"}
    rows = []
    for scan, record in zip(_verse19_scans(frame), frame.to_dict("records"), strict=True):
        subject = f"verse{_three_digits(record['subject_ID'])}"
        for column in frame.columns:
            if column.endswith("_fx-g") and not pd.isna(record[column]):
                level, text = column.removesuffix("_fx-g"), _key(record[column])
                grade = pd.NA if text == FOREIGN else int(float(text))
                shape = shapes.get(_key(record[f"{level}_fx-s"]), "")
                why = "foreign material" if text == FOREIGN else ""
                rows.append((scan, subject, level, grade, shape, why))
    made = pd.DataFrame(rows, columns=["scan", "subject", "level", "genant_grade", "genant_shape", "why"])
    return made.astype({"genant_grade": "Int64"})


def _three_digits(text: object) -> str:
    return f"{int(float(str(text))):03d}"


def _verse19_scans(frame: pd.DataFrame) -> list[str]:
    """VerSe's own names: series of subjects that have several carry a ``split`` entity."""
    names = []
    for subject, own, of in zip(frame["subject_ID"], frame["verse_ID"], frame["CT_image_series"], strict=True):
        series = "" if str(of).strip() == "1 of 1" else f"_split-verse{_three_digits(own)}"
        names.append(f"sub-verse{_three_digits(subject)}{series}")
    return names


def _grade(column: pd.Series) -> pd.Series:
    import pandas as pd

    return pd.to_numeric(column.where(column.astype("str") != FOREIGN))


def castellvi_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A list of Castellvi grades (``scan, castellvi, side_2a_3a, last_lumbar``) in our columns.

    Notes
    -----
    ``lumbar_total`` follows from the last lumbar-type level. A comment is kept as ``castellvi_comment``.
    """
    names = {"side_2a_3a": "castellvi_side", "comment": "castellvi_comment"}
    kept = [c for c in ("scan", "castellvi", "side_2a_3a", "last_lumbar", "comment") if c in frame.columns]
    made = frame[kept].rename(columns=names)
    if "last_lumbar" in made:
        made["lumbar_total"] = made["last_lumbar"].str.extract(r"^L(\d)$", expand=False)
        made["lumbosacral_in_view"] = made["last_lumbar"].notna()
    return made


def phantom_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The participants table of a phantom data set in our columns.

    Notes
    -----
    Vendors are those whose proportions the phantoms imitate, none was measured. A ``T12 left 23`` of the file is a
    stump rib of 23 mm; an empty list there means none, not unknown.
    """
    listed = {name: frame[name].fillna("").str.split(";") for name in ("cervical_ribs", "stump_ribs", "fractures")}
    count = {name: cells.map(lambda items: sum(bool(item) for item in items)) for name, cells in listed.items()}
    levels = listed["stump_ribs"].map(lambda items: ";".join(dict.fromkeys(i.split()[0] for i in items if i)))
    made = frame.drop(columns=["manufacturer", "half_vertebra", *listed], errors="ignore").assign(
        dataset="phantom",
        vendor=frame["manufacturer"],
        cervical_ribs=count["cervical_ribs"],
        cervical_rib_sides=frame["cervical_ribs"],
        stump_ribs=count["stump_ribs"],
        stump_rib_levels=levels,
        fractures=count["fractures"],
    )
    if "half_vertebra" in frame:
        made["half_vertebrae"] = frame["half_vertebra"].notna().astype(int)
    return made


_KINDS: tuple[tuple[frozenset[str], Callable[[pd.DataFrame], pd.DataFrame]], ...] = (
    (frozenset({"verse_ID", "subject_ID", "CT_device", "CT_image_series"}), verse19_table),
    (frozenset({"scan", "castellvi", "side_2a_3a"}), castellvi_table),
    (frozenset({"scan", "preset", "manufacturer"}), phantom_table),
)


# --- folders ----------------------------------------------------------------------------------------------------------


def _read_folder(folder: Path) -> dict[str, pd.DataFrame]:
    """Cases of a data set, and the participants table beside them where there is one."""
    import pandas as pd

    cases = find_cases(folder)
    tables = [folder / f"participants{ending}" for ending in TABLE_ENDINGS]
    table = next((file for file in tables if file.is_file()), None)
    if not cases and table is None:
        raise InputError(f"{folder} holds no scan, mask or centroid file of a data set, and no participants table")
    frames = {}
    if cases:
        frames[folder.resolve().name] = pd.DataFrame([_case_row(case) for case in cases])
    if table is not None:
        frames[f"{folder.resolve().name}/{table.name}"] = _read_file(table, None)
    return frames


def _case_row(case: Case) -> dict[str, Any]:
    row: dict[str, Any] = {"scan": case.scan, "subject": case.subject, "dataset": case.dataset, "split": case.split}
    if case.scan.startswith("sub-phantom"):
        row["dataset"] = "phantom"
    if case.sidecar is not None:
        row |= sidecar_facts(case.sidecar)
    if case.ct is not None:
        row |= _spacing(case.ct)
    if case.centroids is not None:
        row |= _labelled(case.centroids)
    return row


def sidecar_facts(path: Path) -> dict[str, Any]:
    """Vendor, model, kVp, age and sex of a ``_ct.json`` sidecar, as far as it states them.

    Raises
    ------
    InputError
        Not JSON, or no object.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} is no sidecar: {json.dumps(content)[:40]} is not an object of names and values")
    names = {
        "vendor": "Manufacturer",
        "model": "ManufacturerModelName",
        "kvp": "KVP",
        "age": "PatientAge",
        "sex": "PatientSex",
    }
    return {ours: content[theirs] for ours, theirs in names.items() if content.get(theirs) not in (None, "")}


def _sidecar_frame(file: Path) -> pd.DataFrame:
    import pandas as pd

    if not file.name.endswith("_ct.json"):
        raise InputError(f"{file} is no sidecar: those end in _ct.json")
    return pd.DataFrame([{"scan": file.name.removesuffix(".json"), **sidecar_facts(file)}])


def _spacing(ct: Path) -> dict[str, float]:
    """Voxel distances along the anatomical directions, from the header alone."""
    import nibabel as nib
    import numpy as np
    from nibabel.filebasedimages import ImageFileError

    try:
        affine = nib.load(ct).affine  # type: ignore[attr-defined]
    except (OSError, EOFError, ValueError, ImageFileError) as error:
        raise InputError(f"{ct} cannot be read as NIfTI: {' '.join(str(error).split())}") from error
    size, place = np.linalg.norm(affine[:3, :3], axis=0), nib.io_orientation(affine)[:, 0].astype(int)
    by_axis = {int(world): float(mm) for world, mm in zip(place, size, strict=True)}
    return {"spacing_lr_mm": by_axis[0], "spacing_ap_mm": by_axis[1], "spacing_cc_mm": by_axis[2]}


def _labelled(centroids: Path) -> dict[str, Any]:
    """What a centroid file says about counts: vertebrae listed, and numbers of thoracic and lumbar ones.

    VerSe lists vertebrae that are fully in view. The thoracic count needs T1 and L1 in the list; the last lumbar
    level may be fused and unlabelled, so ``lumbar_labelled`` is no count of lumbar vertebrae.
    """
    content = read_json(centroids)
    entries = content if isinstance(content, list) else []
    numbers = [entry["label"] for entry in entries if isinstance(entry, dict) and "label" in entry]
    levels = {VERSE.levels[number] for number in numbers if number in VERSE.levels}
    row: dict[str, Any] = {"n_vertebrae": len(levels)}
    if {Level.T1, Level.L1} <= levels:
        row["thoracic"] = sum(level.region == "thoracic" for level in levels)
        row["thoracic_in_view"] = True
    if Level.L1 in levels:
        row["lumbar_labelled"] = sum(level.region == "lumbar" for level in levels)
    if levels:
        row["lower_neck_in_view"] = Level.C7 in levels
    return row
