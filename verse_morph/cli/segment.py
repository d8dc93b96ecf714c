"""`segment` and `run`: from a CT to a mask, and on to its measurements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from verse_morph.cli.console import Report, number, output, print_notes, progress, table
from verse_morph.cli.extras import MeasuringJob
from verse_morph.cli.run import RESEARCH_ONLY, Results, build_results, show_results, write_provenance, write_results
from verse_morph.spine import Flag
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    from verse_morph.segment.cascade import Segmentation


@dataclass(frozen=True, kw_only=True)
class SegmentJob(MeasuringJob):
    """What `segment` or `run` was asked for; see the options of the commands."""

    ct: Path
    output: Path
    centroids: Path | None = None
    weights: Path | None = None
    device: str | None = None
    threads: int | None = None
    deterministic: bool = False
    force: bool = False
    engine: str = "verse_morph"
    series: str | None = None
    overwrite: bool = False
    measure: bool = False

    def inputs(self) -> list[Path]:
        """The files and folders that are read."""
        return [path for path in (self.ct, self.centroids, self.bmd_table) if path is not None]


def run_segment(job: SegmentJob) -> None:
    """Read, segment, measure where asked, write and print one scan.

    Raises
    ------
    VerseMorphError
        The input cannot be used or the output cannot be written; then nothing is written.
    """
    from verse_morph.io import read_scan

    job.require_inputs()
    with progress() as report:
        report("reading the CT", 0, 1)
        done = segment_into(job, read_scan(job.ct, job.series), job.inputs(), report)
    console = _show(done.record)
    if done.results is None:
        console.print(RESEARCH_ONLY)
        console.print(f"results in {done.folder}", soft_wrap=True)
    else:
        show_results(replace(done.results, notes=_unseen(done.results.notes, done.record["notes"])), done.folder)


@dataclass(frozen=True, eq=False)
class Done:
    """What one run made: its folder, the mask, the record of the segmentation, the measurements where asked for."""

    folder: Path
    labels: LabelMap
    record: Mapping[str, Any]
    results: Results | None


def segment_into(job: SegmentJob, scan: Scan, inputs: list[Path], report: Report) -> Done:
    """Segment a scan, measure it where asked, and write its results folder; ``inputs`` are the files behind it.

    Raises
    ------
    VerseMorphError
        As :func:`run_segment`.
    """
    from verse_morph.io.results import results_folder

    started = datetime.now(UTC)
    results = None
    with results_folder(job.output, scan.name, job.overwrite) as folder:
        made, notes = _segment(job, scan, report)
        if job.measure:
            # The doubt about the numbering goes into every row.
            flags = frozenset({Flag.NUMBERING_IN_DOUBT} if made.in_doubt else ())
            results = build_results(made.labels, scan, report, flags, job.extras)
        report("writing", 0, 1)
        record = _record(made, notes)
        _write(made, record, folder)
        if results is not None:
            write_results(results, folder, figures=True)
        write_provenance(job, folder, started, inputs)
    return Done(job.output / scan.name, made.labels, record, results)


def _segment(job: SegmentJob, scan: Scan, report: Report) -> tuple[Segmentation, tuple[str, ...]]:
    """The segmentation, and all notes on how the files were understood and what was found."""
    from verse_morph.io import read_centroids
    from verse_morph.segment.cascade import SegmentOptions, segment

    points = None if job.centroids is None else read_centroids(job.centroids, scan.grid)
    options = SegmentOptions(
        weights=job.weights,
        points_mm=None if points is None else points.points_mm,
        device=job.device,
        threads=job.threads,
        deterministic=job.deterministic,
        force=job.force,
        engine=job.engine,
    )
    made = segment(scan, options, report)
    return made, (*scan.notes, *(() if points is None else points.notes), *made.notes)


def _write(made: Segmentation, record: Mapping[str, Any], folder: Path) -> None:
    from verse_morph.io import write_centroids, write_labels
    from verse_morph.io.results import write_json

    name, labels = made.labels.name, made.labels
    write_labels(labels, folder / f"{name}_seg-vert_msk.nii.gz")
    write_centroids(made.points_mm, folder / f"{name}_seg-subreg_ctd.json", labels.grid)
    write_json(record, folder / "segmentation.json")
    if made.identification is not None:
        from verse_morph.plot.cascade import stages_figure

        (folder / "figures").mkdir()
        stages_figure(made).savefig(folder / "figures" / "numbering.png", dpi=110)


def _record(made: Segmentation, notes: Iterable[str]) -> dict[str, Any]:
    labels, decoding, volumes = made.labels, made.decoding, made.volumes_cm3
    return {
        "scan": labels.name,
        "scheme": labels.scheme.name,
        "levels": [
            {
                "level": str(level),
                "label": labels.scheme.value_of(level),
                "point_mm": [round(float(v), 2) for v in made.points_mm[level]],
                "volume_cm3": round(volumes[level], 3),
                "flags": _words(made, level),
            }
            for level in sorted(volumes)
        ],
        "left_out": {str(level): _words(made, level) for level in made.level_flags if level not in volumes},
        "flags": [flag.value for flag in made.flags],
        "numbering": None
        if decoding is None
        else {
            "in_doubt": made.in_doubt,
            "posterior": None if decoding.posterior is None else round(decoding.posterior, 4),
            "margin": None if decoding.margin is None else round(decoding.margin, 3),
            "runner_up": [str(level) for level in made.runner_up],
        },
        "notes": list(dict.fromkeys(notes)),
        "seconds": dict(made.seconds),
        "compute": made.compute,
        "weights": dict(made.weights),
    }


def _words(made: Segmentation, level: object) -> list[str]:
    words = made.level_flags.get(level, frozenset())  # type: ignore[call-overload]
    return sorted(word.value for word in words)


def _show(record: Mapping[str, Any]) -> Console:
    console = output()
    rows = [
        [row["level"], str(row["label"]), number(row["volume_cm3"]), " ".join(row["flags"])] for row in record["levels"]
    ]
    title = f"{record['scan']}: {len(rows)} vertebrae"
    console.print(table(title, ["level", "label", "volume cm3", "flags"], rows, words=("level", "flags")))
    if record["flags"]:
        console.print(f"flags of the scan: {' '.join(record['flags'])}")
    print_notes(console, record["notes"])
    seconds = ", ".join(f"{stage} {value:.1f} s" for stage, value in record["seconds"].items())
    console.print(f"{seconds}; {record['compute']}", soft_wrap=True)
    return console


def _unseen(notes: Iterable[str], seen: Iterable[str]) -> tuple[str, ...]:
    known = set(seen)
    return tuple(note for note in notes if note not in known)
