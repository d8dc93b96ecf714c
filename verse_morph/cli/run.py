"""`measure`: from a mask to a folder of results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from verse_morph.cli.console import Report, number, output, print_notes, progress, table
from verse_morph.cli.extras import SPREADS, Added, Extras, MeasuringJob, add, calibrated_catalogue, write_added
from verse_morph.cli.job import Job
from verse_morph.spine import Flag, Spine
from verse_morph.tables import Status
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    import pandas as pd

    from verse_morph.io import Centroids
    from verse_morph.variants import VariantFeatures

HEIGHTS = ("height_anterior_mm", "height_middle_mm", "height_posterior_mm")
VOLUMES = ("vertebra_volume_cm3", "body_volume_cm3")
CENTROID = ("body_x_mm", "body_y_mm", "body_z_mm")
RESEARCH_ONLY = "research use, not diagnosis; height loss alone is not a fracture"


@dataclass(frozen=True, kw_only=True)
class MeasureJob(MeasuringJob):
    """What `measure` was asked for; see the options of the command."""

    mask: Path
    output: Path
    ct: Path | None = None
    scheme: str | None = None
    centroids: Path | None = None
    series: str | None = None
    figures: bool = False
    meshes: bool = True
    overwrite: bool = False

    def inputs(self) -> list[Path]:
        """The files and folders that are read."""
        return [path for path in (self.mask, self.ct, self.centroids, self.bmd_table) if path is not None]


@dataclass(frozen=True, eq=False)
class Results:
    """Everything one run found, before it is written."""

    labels: LabelMap
    scan: Scan | None
    spine: Spine
    table: pd.DataFrame
    discs: pd.DataFrame
    curves: pd.DataFrame
    variants: VariantFeatures
    centroid_distance_mm: Mapping[str, float | None]
    notes: tuple[str, ...]
    added: Added = field(default_factory=Added)


def run_measure(job: MeasureJob) -> None:
    """Read, measure, write and print one scan.

    Raises
    ------
    VerseMorphError
        The input cannot be used or the output cannot be written; then nothing is written.
    """
    from verse_morph.io import read_labels
    from verse_morph.io.results import results_folder

    started = datetime.now(UTC)
    job.require_inputs()
    with progress() as report:
        report("reading the mask", 0, 1)
        labels = read_labels(job.mask, job.scheme)
        with results_folder(job.output, labels.name, job.overwrite) as folder:
            report("reading the CT", 0, 1)
            results = _measure(job, labels, report)
            report("writing", 0, 1)
            write_results(results, folder, job.meshes, job.figures)
            write_provenance(job, folder, started, job.inputs())
    show_results(results, job.output / labels.name)


def _measure(job: MeasureJob, labels: LabelMap, report: Report) -> Results:
    from verse_morph.io import detect_flip_slip, read_centroids, read_scan, scan_on_grid

    scan = None if job.ct is None else scan_on_grid(read_scan(job.ct, job.series), labels.grid)
    points = None if job.centroids is None else read_centroids(job.centroids, labels.grid)
    results = build_results(labels, scan, report, extras=job.extras)
    if points is None:
        return results
    notes = (*results.notes, *points.notes, *detect_flip_slip(points, labels))
    return replace(results, centroid_distance_mm=_distances(results.table, points), notes=notes)


def build_results(
    labels: LabelMap,
    scan: Scan | None,
    report: Report,
    flags: frozenset[Flag] = frozenset(),
    extras: Extras | None = None,
) -> Results:
    """Spine and table of one mask; ``flags`` are known beforehand and hold for every vertebra.

    Raises
    ------
    VerseMorphError
        The mask makes no spine, or an extra cannot be had from this scan.
    """
    from verse_morph.measure import measure, measure_curves, measure_discs
    from verse_morph.shape import build_spine
    from verse_morph.variants import scan_variants

    asked = extras or Extras()
    asked.require_ct(scan)
    calibration, said = asked.calibration(scan)
    spine = build_spine(labels, scan, report)
    if flags:
        spine = replace(spine, vertebrae=tuple(replace(v, flags=v.flags | flags) for v in spine))
    report("measuring", 0, 1)
    notes = (*labels.notes, *(scan.notes if scan is not None else ()), *spine.notes, *said)
    tables = (measure(spine, calibrated_catalogue(calibration)), measure_discs(spine), measure_curves(spine))
    report("variants", 0, 1)
    variants = scan_variants(spine, scan, labels)
    added = add(asked, calibration, (labels, scan), spine, tables[0], report)
    return Results(labels, scan, spine, *tables, variants, {}, notes, added)


def _distances(frame: pd.DataFrame, points: Centroids) -> dict[str, float | None]:
    """Distance of each body centroid from the file's point of the same level, mm; None where either is missing."""
    import numpy as np

    given = {str(level): point for level, point in points.points_mm.items()}
    out: dict[str, float | None] = {}
    for level, body in zip(frame["level"], frame[list(CENTROID)].to_numpy(float), strict=True):
        distance = float(np.linalg.norm(body - given[level])) if level in given else float("nan")
        out[level] = round(distance, 3) if np.isfinite(distance) else None
    return out


def write_results(results: Results, folder: Path, meshes: bool = True, figures: bool = False) -> None:
    """Tables, scan record, surfaces and figures of one scan; all but the provenance, which is written last."""
    from verse_morph.io import write_glb, write_ply, write_table
    from verse_morph.io.results import write_json

    write_table(results.table, folder / "vertebrae.csv", parquet=True)
    write_table(results.discs, folder / "discs.csv", parquet=True)
    write_table(results.curves, folder / "curves.csv", parquet=True)
    write_table(results.variants.row(), folder / "variants.csv", parquet=True)
    write_json(_scan_record(results), folder / "scan.json")
    write_added(results.added, folder)
    surfaces = {str(v.level): v.mesh for v in results.spine if v.mesh is not None} if meshes else {}
    if surfaces:
        (folder / "meshes").mkdir()
        for level, mesh in surfaces.items():
            write_ply(mesh, folder / "meshes" / f"{level}.ply")
        write_glb(surfaces, folder / "spine.glb")
        from verse_morph.view.page import write_page

        write_page(results.spine, results.table, folder / "viewer.html", results.scan)
    if figures:
        _write_figures(results, folder / "figures")


def write_provenance(job: Job, folder: Path, started: datetime, inputs: list[Path]) -> None:
    """The last file of a run, which marks it as finished."""
    from verse_morph.io.results import MARK, write_json
    from verse_morph.provenance import as_dict, provenance

    write_json(as_dict(provenance(inputs, job.parameters(), started)), folder / MARK)


def _write_figures(results: Results, folder: Path) -> None:
    from verse_morph.plot.overlay import figure_sheet
    from verse_morph.plot.report_sheet import report_sheet

    folder.mkdir(exist_ok=True)
    spine, labels, scan, tables = results.spine, results.labels, results.scan, _with_spreads(results)
    figure_sheet(spine, labels, scan, tables[0]).savefig(folder / "overlay.png", dpi=150)
    report_sheet(spine, labels, *tables, scan).savefig(folder / "sheet.png", dpi=200)


def _with_spreads(results: Results) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The three tables for people, each number's standard deviation beside it where it was asked for."""
    from verse_morph.measure.uncertainty import with_spread

    vertebrae, discs, curves = (
        with_spread(table, results.added.spreads.get(name))
        for table, name in zip((results.table, results.discs, results.curves), SPREADS, strict=True)
    )
    return vertebrae, discs, curves


def _scan_record(results: Results) -> dict[str, Any]:
    labels, scan = results.labels, results.scan
    grid = labels.grid
    status = results.table["status"].astype(str)
    return {
        "scan": labels.name,
        "scheme": labels.scheme.name,
        "grid": {
            "shape": list(grid.shape),
            "spacing_mm": [round(float(s), 6) for s in grid.spacing_mm],
            "axes": grid.axis_codes,
            "affine_ras_mm": grid.affine.tolist(),
        },
        "levels": [str(level) for level in results.spine.levels()],
        "rows": {str(word): int((status == str(word)).sum()) for word in Status},
        "ct": None if scan is None else {"name": scan.name, "meta": dict(scan.meta)},
        "body_centroid_distance_mm": dict(results.centroid_distance_mm),
        "variants": results.variants.record(),
        "density": dict(results.added.density) or None,
        "calibration": results.added.calibration,
        "spinal_deformity_index": _deformity_index(results.table),
        "notes": list(dict.fromkeys(results.notes)),
    }


def _deformity_index(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Sum of Genant grades from T4 to L4 with the levels behind it; None where no level was graded."""
    from verse_morph.errors import NotMeasurable
    from verse_morph.measure.fracture import NOT_A_DIAGNOSIS, spinal_deformity_index

    try:
        found = spinal_deformity_index(frame)
    except NotMeasurable:
        return None
    mean = round(found.per_vertebra, 3)
    return {"total": found.total, "levels": list(found.levels), "per_vertebra": mean, "note": NOT_A_DIAGNOSIS}


def show_results(results: Results, folder: Path) -> Console:
    """Print heights, volumes and notes of one scan."""
    console = output()
    distances, shown = results.centroid_distance_mm, _with_spreads(results)
    columns = ["level", "status", "anterior mm", "middle mm", "posterior mm", "vertebra cm3", "body cm3"]
    columns += ["to centroid mm"] if distances else []
    rows = []
    for row in shown[0].to_dict("records"):
        level = str(row["level"])
        numbers = [_with_sd(row, name) for name in (*HEIGHTS, *VOLUMES)]
        numbers += [number(distances.get(level))] if distances else []
        rows.append([level, str(row["status"]), *numbers, _words(row.get("flags"))])
    console.print(
        table(f"{results.labels.name}: heights and volumes", [*columns, "flags"], rows, ("level", "status", "flags"))
    )
    if results.added.spreads:
        from verse_morph.measure.uncertainty import WHAT_IT_IS

        console.print(WHAT_IT_IS, soft_wrap=True)
    print_notes(console, results.notes)
    console.print(RESEARCH_ONLY)
    console.print(f"results in {folder}", soft_wrap=True)
    return console


def _with_sd(row: Mapping[Any, Any], column: str) -> str:
    from verse_morph.measure.uncertainty import spoken

    said = number(row.get(column))
    return said if said == "-" else spoken(row, column)


def _words(flags: object) -> str:
    return flags.replace(";", " ") if isinstance(flags, str) else ""
