"""`evaluate`: predicted masks against true ones, printed and written as tables with their rules in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from verse_morph.cli.console import Report, number, output, print_notes, progress, table
from verse_morph.cli.job import Job
from verse_morph.errors import InputError, OutputError

if TYPE_CHECKING:
    import pandas as pd

    from verse_morph.evaluate import Matching, Pair, Rules, ScanEvaluation

ENDINGS = (".csv", ".json", ".parquet")
# More scans than this are not listed one by one on the screen; the files have them all.
MOST_SCANS_SHOWN = 40


@dataclass(frozen=True)
class EvaluateJob(Job):
    """What `evaluate` was asked for; see the options of the command."""

    predicted: Path
    true: Path
    output: Path | None = None
    predicted_centroids: Path | None = None
    true_centroids: Path | None = None
    scheme: str | None = None
    predicted_scheme: str | None = None
    limit_mm: float = 20.0
    tolerance_mm: float = 1.0
    participants: Path | None = None
    by: tuple[str, ...] = ()
    count_missing_scans: bool = False

    def inputs(self) -> list[Path]:
        """The files and folders that are read."""
        given = (self.predicted, self.true, self.predicted_centroids, self.true_centroids, self.participants)
        return [path for path in given if path is not None]


@dataclass(frozen=True, eq=False)
class Tables:
    """Everything one evaluation found, before it is written."""

    vertebrae: pd.DataFrame
    scans: pd.DataFrame
    groups: pd.DataFrame
    rules: Mapping[str, str]
    notes: Mapping[str, tuple[str, ...]]
    unmatched: tuple[str, ...]


def run_evaluate(job: EvaluateJob) -> None:
    """Match, compare, write and print.

    Raises
    ------
    VerseMorphError
        The input cannot be used or the output cannot be written.
    """
    started = datetime.now(UTC)
    rules, stem = _check(job)
    table_of_participants = _participants(job)
    matching = _matching(job)
    with progress() as report:
        results = _evaluate(job, matching, rules, report)
    tables = _tables(results, matching, rules, table_of_participants, job)
    if stem is not None:
        _write(tables, job, stem, started)
    _print(tables, stem)


def _check(job: EvaluateJob) -> tuple[Rules, Path | None]:
    """The rules, and where to write, without ending; what can be refused before work begins is refused here."""
    from verse_morph.evaluate import Rules

    job.require_inputs()
    if bool(job.by) != (job.participants is not None):
        raise InputError("--participants TABLE and --by COLUMN belong together; give both or neither")
    try:
        rules = Rules(job.limit_mm, job.tolerance_mm)
    except ValueError as error:
        raise InputError(str(error)) from error
    if job.output is None:
        return rules, None
    stem = job.output.with_suffix("") if job.output.suffix in ENDINGS else job.output
    if job.output.suffix not in (*ENDINGS, "") or stem.is_dir():
        raise OutputError(f"cannot write {job.output}: name a file ending in .csv, .json or .parquet, or in nothing")
    if not stem.parent.is_dir():
        raise OutputError(f"cannot write {job.output}: the folder {stem.parent} does not exist; create it first")
    return rules, stem


def _participants(job: EvaluateJob) -> pd.DataFrame | None:
    from verse_morph.io import read_table

    return None if job.participants is None else read_table(job.participants)


def _matching(job: EvaluateJob) -> Matching:
    from verse_morph.evaluate import Matching, Pair, match
    from verse_morph.evaluate.files import is_set
    from verse_morph.io import scan_name

    centroids = (job.predicted_centroids, job.true_centroids)
    sets = (is_set(job.predicted), is_set(job.true))
    if sets == (True, True):
        if any(centroids):
            raise InputError(
                "centroid files of two folders are found by name; leave --predicted-centroids and --true-centroids out"
            )
        return match(job.predicted, job.true)
    if any(sets):
        raise InputError(f"{job.predicted} and {job.true}: give two masks or two folders of masks, not one of each")
    if (centroids[0] is None) != (centroids[1] is None):
        raise InputError(
            "give both --predicted-centroids and --true-centroids, or neither: points of two kinds cannot be compared"
        )
    return Matching((Pair(scan_name(job.true), job.predicted, job.true, *centroids),), (), ())


def _evaluate(job: EvaluateJob, matching: Matching, rules: Rules, report: Report) -> dict[str, ScanEvaluation]:
    from verse_morph.evaluate import all_missed
    from verse_morph.io import read_labels, scan_name

    results: dict[str, ScanEvaluation] = {}
    for done, pair in enumerate(matching.pairs):
        report(f"comparing {pair.scan}", done, len(matching.pairs))
        results[pair.scan] = _one(job, pair, rules)
    for file in matching.without_prediction if job.count_missing_scans else ():
        true = replace(read_labels(file, job.scheme), name=scan_name(file))
        results[true.name] = all_missed(true, rules)
    return results


def _one(job: EvaluateJob, pair: Pair, rules: Rules) -> ScanEvaluation:
    from verse_morph.evaluate import evaluate_scan, read_pair

    predicted, true, points, notes = read_pair(pair, job.scheme, job.predicted_scheme)
    found = evaluate_scan(predicted, true, rules, points)
    return replace(found, notes=(*notes, *found.notes))


def _tables(
    results: Mapping[str, ScanEvaluation],
    matching: Matching,
    rules: Rules,
    participants: pd.DataFrame | None,
    job: EvaluateJob,
) -> Tables:
    import pandas as pd

    from verse_morph.evaluate import Mode, set_summary
    from verse_morph.evaluate.summary import participants_groups, scan_summary

    groups = participants_groups(participants, job.by, results) if participants is not None else {}
    vertebrae = pd.concat([result.vertebrae for result in results.values()], ignore_index=True)
    return Tables(
        vertebrae=vertebrae,
        scans=scan_summary(vertebrae, {scan: result.dice_binary for scan, result in results.items()}),
        groups=set_summary(vertebrae, groups),
        rules={str(mode): rules.sentence(mode) for mode in Mode},
        notes={scan: result.notes for scan, result in results.items()},
        unmatched=matching.unmatched,
    )


def _write(tables: Tables, job: EvaluateJob, stem: Path, started: datetime) -> None:
    from verse_morph.io import write_table
    from verse_morph.io.results import write_json
    from verse_morph.provenance import as_dict, provenance

    frames = {"vertebrae": tables.vertebrae, "scans": tables.scans, "set": tables.groups}
    for name, frame in frames.items():
        write_table(frame, _beside(stem, name, ".csv"), parquet=True)
    content: dict[str, Any] = {"rules": dict(tables.rules)}
    content |= {name: _records(frame.drop(columns="rule")) for name, frame in frames.items()}
    content |= {
        "notes": {scan: list(notes) for scan, notes in tables.notes.items()},
        "unmatched": list(tables.unmatched),
    }
    content["provenance"] = as_dict(provenance(job.inputs(), job.parameters(), started))
    write_json(content, stem.with_name(f"{stem.name}.json"))


def _beside(stem: Path, name: str, ending: str) -> Path:
    return stem.with_name(f"{stem.name}{'' if name == 'vertebrae' else f'_{name}'}{ending}")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values: a missing number is null, its reason stands beside it."""
    return [
        {str(key): None if isinstance(value, float) and value != value else value for key, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _print(tables: Tables, stem: Path | None) -> None:
    console = output()
    scans = tables.scans["scan"].unique()
    if len(scans) == 1:
        _print_vertebrae(console, tables.vertebrae)
    if len(scans) <= MOST_SCANS_SHOWN:
        _print_summary(console, tables.scans, ["scan", "mode"], "scans")
    if len(scans) > 1:
        shown = tables.groups[tables.groups["group_by"] != "level"]
        _print_summary(console, shown, ["group_by", "group", "mode"], f"{len(scans)} scans together")
    for rule in tables.rules.values():
        console.print(f"rule: {rule}", soft_wrap=True)
    print_notes(console, _shared_notes(tables.notes))
    for line in tables.unmatched:
        console.print(f"unmatched: {line}", soft_wrap=True)
    if stem is not None:
        console.print(
            f"results in {stem}.csv, {stem}_scans.csv, {stem}_set.csv, the same as .parquet, and {stem}.json",
            soft_wrap=True,
        )


def _shared_notes(notes: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Each note once, with the scans it is about where these are not all."""
    scans: dict[str, list[str]] = {}
    for scan, texts in notes.items():
        for text in dict.fromkeys(texts):
            scans.setdefault(text, []).append(scan)
    return [
        text if len(about) == len(notes) else f"{', '.join(about[:3])}{', ...' if len(about) > 3 else ''}: {text}"
        for text, about in scans.items()
    ]


def _print_vertebrae(console: Console, frame: pd.DataFrame) -> None:
    strict = frame[frame["mode"] == "strict"]
    challenge = dict(
        zip(frame["level"][frame["mode"] == "challenge"], frame["outcome"][frame["mode"] == "challenge"], strict=True)
    )
    names = [
        "level",
        "strict",
        "challenge",
        "nearest",
        "covered by",
        "distance mm",
        "Dice",
        "HD mm",
        "HD95 mm",
        "ASSD mm",
        "NSD",
    ]
    rows = []
    for row in strict.to_dict("records"):
        words = [row["level"], row["outcome"], challenge[row["level"]], row["nearest_true_level"], row["covered_by"]]
        lengths = [number(row[name], 2) for name in ("hausdorff_mm", "hausdorff95_mm", "assd_mm")]
        numbers = [number(row["centroid_distance_mm"], 2), number(row["dice"], 4), *lengths, number(row["nsd"], 4)]
        rows.append([*words, *numbers])
    console.print(table(f"{frame['scan'].iloc[0]}: vertebrae (numbers by the strict rule)", names, rows, names[:5]))


# Heading, column and digits of the numbers in the summaries; a column that a table does not have is left out.
_SUMMARY = (
    ("true", "n_true", 0),
    ("hit", "n_hit", 0),
    ("missed", "n_missed", 0),
    ("false pos.", "n_false_positive", 0),
    ("id. rate %", "id_rate_pct", 2),
    ("Wilson low", "id_rate_wilson_low_pct", 1),
    ("high", "id_rate_wilson_high_pct", 1),
    ("d_mean mm", "d_mean_mm", 2),
    ("Dice", "dice_mean", 4),
    ("HD mm", "hausdorff_mean_mm", 2),
    ("HD95 mm", "hausdorff95_mean_mm", 2),
    ("ASSD mm", "assd_mean_mm", 2),
    ("NSD", "nsd_mean", 4),
    ("binary Dice", "dice_binary", 4),
)


def _print_summary(console: Console, frame: pd.DataFrame, keys: list[str], title: str) -> None:
    shown = [entry for entry in _SUMMARY if entry[1] in frame]
    rows = [
        [*(str(row[key]) for key in keys), *(number(row[name], digits) for _, name, digits in shown)]
        for row in frame.to_dict("records")
    ]
    console.print(table(title, [*keys, *(heading for heading, _, _ in shown)], rows, keys))
