"""`variants`: what tables of participants say about variants, as tables, figures and one page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from verse_morph.cli.console import number, output, table
from verse_morph.cli.job import Job
from verse_morph.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.console import Console

    from verse_morph.io.participants import Participants
    from verse_morph.stats.study import Study

# What is compared where --measure is not given, as far as the table has it.
USUAL_MEASURES = ("height_middle_mm", "height_posterior_mm", "trabecular_hu_mean", "bmd_mg_cm3")


@dataclass(frozen=True)
class VariantsJob(Job):
    """What `variants` was asked for; see the options of the command."""

    tables: tuple[Path, ...]
    output: Path
    mapping: Path | None = None
    measurements: Path | None = None
    measures: tuple[str, ...] = ()
    margins: tuple[str, ...] = ()
    unit: str = "subject"
    seed: int = 0
    overwrite: bool = False

    def inputs(self) -> list[Path]:
        """The files and folders that are read."""
        return [*self.tables, *(path for path in (self.mapping, self.measurements) if path is not None)]


def run_variants(job: VariantsJob) -> None:
    """Read, join, count, test, draw, write and print.

    Raises
    ------
    VerseMorphError
        The tables have problems (all are reported at once) or the output cannot be written.
    """
    from verse_morph.io.participant_files import read_participants
    from verse_morph.io.results import results_folder
    from verse_morph.stats.study import study
    from verse_morph.stats.variants import UNITS

    started = datetime.now(UTC)
    job.require_inputs()
    if job.unit not in UNITS:
        raise InputError(f"--unit is {' or '.join(UNITS)}, got {job.unit!r}")
    participants = read_participants(*job.tables, mapping=job.mapping)
    compared = _compare(job, participants.table)
    found = study(participants.table, job.seed, job.unit)
    tables = {"participants": participants.table, "unmatched": participants.unmatched}
    tables |= {"conflicts": participants.conflicts, **found.tables}
    if compared is not None:
        tables["measurements_compared"] = compared
    target = job.output.absolute()
    with results_folder(target.parent, target.name, job.overwrite) as folder:
        _write(folder, job, tables, participants, started)
    _print(output(), participants, found, target)


def _compare(job: VariantsJob, participants: pd.DataFrame) -> pd.DataFrame | None:
    """Measurements by vendor and by Castellvi type, where a table of them was given."""
    import pandas as pd

    from verse_morph.io import read_table
    from verse_morph.stats.measurements import GRADE, compare
    from verse_morph.stats.multiplicity import adjusted
    from verse_morph.stats.rows import as_table

    if job.measurements is None:
        if job.measures or job.margins:
            raise InputError("--measure and --margin need --measurements TABLE")
        return None
    values, margins = read_table(job.measurements), _margins(job.margins)
    wanted = job.measures or tuple(name for name in USUAL_MEASURES if name in values.columns)
    if not wanted:
        raise InputError(f"{job.measurements} has none of {', '.join(USUAL_MEASURES)}; say which with --measure")
    families = []
    for by in ("vendor", GRADE):
        rows = [row for name in wanted for row in compare(values, participants, name, by, margins.get(name))]
        families.append(adjusted(as_table(rows)).assign(family=by))
    return pd.concat(families, ignore_index=True)


def _margins(given: tuple[str, ...]) -> dict[str, float]:
    made = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            made[name] = float(value)
        except ValueError:
            made[name] = 0.0
        if not made[name] > 0:
            raise InputError(f"--margin is COLUMN=NUMBER with a number above 0, got {text!r}")
    return made


# --- writing ----------------------------------------------------------------------------------------------------------


def _write(
    folder: Path, job: VariantsJob, tables: Mapping[str, pd.DataFrame], participants: Participants, started: datetime
) -> None:
    from verse_morph.io import write_table
    from verse_morph.io.results import MARK, write_json
    from verse_morph.plot.variants import save_figure
    from verse_morph.provenance import as_dict, provenance
    from verse_morph.stats.subset import method_text

    for name, frame in tables.items():
        write_table(frame, folder / f"{name}.csv", parquet=True)
    methods = method_text(participants.table, unit=job.unit)
    (folder / "methods.txt").write_text(methods, encoding="utf-8")
    (folder / "figures").mkdir()
    figures = _figures(job, tables, participants.table)
    for name, figure in figures.items():
        for ending in (".svg", ".png"):
            save_figure(figure, folder / "figures" / f"{name}{ending}")
    (folder / "summary.html").write_text(_page(tables, participants, figures, methods), encoding="utf-8")
    # A data set folder may hold terabytes of images: its name is recorded, its tables are hashed.
    files = [path for path in job.inputs() if path.is_file()]
    parameters = job.parameters() | {"tables": [str(path) for path in job.tables]}
    write_json(as_dict(provenance(files, parameters, started)), folder / MARK)


def _figures(job: VariantsJob, tables: Mapping[str, pd.DataFrame], participants: pd.DataFrame) -> dict[str, Figure]:
    from verse_morph.io import read_table
    from verse_morph.plot.variants import beside_paper_figure, effects_figure, measurement_figure, shares_figure
    from verse_morph.stats.measurements import GRADE, gather
    from verse_morph.stats.prevalence import enrichment_warning
    from verse_morph.stats.variants import VARIANTS

    labels = {item.name: item.label for item in VARIANTS}
    warning = enrichment_warning(participants)
    shares, grades, tests = tables["prevalence"], tables["castellvi"], tables["tests"]
    made = {}
    for by in [name for name in dict.fromkeys(shares["by"]) if name != "all"]:
        for name, rows in (("variants", shares), ("castellvi", grades)):
            shown = rows[rows["by"].isin(["all", by])]
            if len(shown):
                made[f"{name}_by_{by}"] = shares_figure(shown, f"{name.capitalize()} by {by}")
    made["beside_paper"] = beside_paper_figure(tables["beside_paper"], labels)
    axis = "bias-corrected Cramer's V (95 % bootstrap interval)"
    made["association_with_vendor"] = effects_figure(tests[tests["family"] == "by vendor"], axis, warning, labels)
    if "measurements_compared" in tables and job.measurements is not None:
        values = read_table(job.measurements)
        for name in dict.fromkeys(tables["measurements_compared"]["outcome"]):
            for by in ("vendor", GRADE):
                made[f"{name}_by_{by}"] = measurement_figure(gather(values, participants, name, by), name, warning)
    return made


def _page(
    tables: Mapping[str, pd.DataFrame], participants: Participants, figures: Mapping[str, Figure], methods: str
) -> str:
    from verse_morph.plot.variants import svg_text
    from verse_morph.plot.variants_page import (
        figure_html,
        page,
        paragraphs_html,
        sentences_html,
        shares_html,
        table_html,
    )
    from verse_morph.stats.prevalence import enrichment_warning

    shares = tables["prevalence"]
    whole = shares_html(shares[shares["by"] == "all"].drop(columns="group"))
    sections = [("Participants", sentences_html(_overview(participants)))]
    sections.append(("Shares in all", whole))
    for name, figure in figures.items():
        sections.append((name.replace("_", " ").capitalize(), figure_html(svg_text(figure), name)))
    sections.append(("Castellvi grade by vendor, counts", table_html(tables["vendor_by_castellvi"])))
    tests = tables["tests"]
    for family in dict.fromkeys(tests["family"]):
        part = tests[tests["family"] == family]
        sections.append((f"Tests {family} (Holm-adjusted p in the CSV)", sentences_html(part["sentence"])))
    if "measurements_compared" in tables:
        sections.append(("Measurements", sentences_html(tables["measurements_compared"]["sentence"])))
    sections.append(
        ("What the paper's own tables contradict", sentences_html(tables["paper_contradictions"]["sentence"]))
    )
    sections.append(("Methods", paragraphs_html(methods)))
    return page("Anatomical variants of the spine", enrichment_warning(participants.table), sections)


def _overview(participants: Participants) -> list[str]:
    frame = participants.table
    known = frame["vendor"].value_counts()
    vendors = ", ".join(f"{name} {count}" for name, count in known.items())
    lines = [f"{frame['subject'].nunique()} subjects, {len(frame)} scans from {', '.join(participants.sources)}."]
    lines.append(f"Scans by vendor: {vendors}.")
    lines.append(f"{len(participants.unmatched)} rows are not in all sources; unmatched.csv lists every one.")
    if len(participants.conflicts):
        lines.append(
            f"Cells contradicted by another source: {len(participants.conflicts)}; the source named first was kept, "
            "conflicts.csv lists every one."
        )
    return lines


# --- printing ---------------------------------------------------------------------------------------------------------


def _print(console: Console, participants: Participants, found: Study, target: Path) -> None:
    from verse_morph.stats.prevalence import enrichment_warning

    for line in _overview(participants):
        console.print(line, soft_wrap=True)
    shares = found.tables["prevalence"]
    names = ("variant", "positive", "n", "%", "95 % from", "to", "not recorded", "not in view")
    rows = []
    for row in shares[shares["by"] == "all"].to_dict("records"):
        percentages = [number(row[name]) for name in ("share_pct", "wilson_low_pct", "wilson_high_pct")]
        missing = [str(row[name]) for name in ("n_missing", "n_not_in_view")]
        rows.append([row["label"], str(row["positive"]), str(row["n"]), *percentages, *missing])
    console.print(table("shares in all", names, rows, words=names[:1]))
    warning = enrichment_warning(participants.table)
    if warning:
        console.print(f"warning: {warning}", soft_wrap=True)
    tests = found.tables["tests"]
    for sentence in tests.loc[tests["family"] == "by vendor", "sentence"]:
        console.print(sentence, soft_wrap=True)
    console.print(f"results in {target}: summary.html, tables (CSV, Parquet), figures (SVG, PNG)", soft_wrap=True)
