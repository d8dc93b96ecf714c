"""`demo`: the built-in phantom measured from its true mask and, by the cascade, from its CT alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from verse_morph.cli.console import number, progress, table
from verse_morph.cli.run import (
    HEIGHTS,
    VOLUMES,
    MeasureJob,
    build_results,
    show_results,
    write_provenance,
    write_results,
)
from verse_morph.cli.segment import SegmentJob, segment_into
from verse_morph.errors import VerseMorphError
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    import pandas as pd


def run_demo(parent: Path) -> None:
    """Measure the built-in phantom from its mask and from its CT, and print how far from the truth both are."""
    from verse_morph.io import write_table
    from verse_morph.io.results import results_folder
    from verse_morph.phantom.demo import demo_case

    started = datetime.now(UTC)
    job = MeasureJob(mask=Path("built-in phantom"), output=parent, figures=True, overwrite=True)
    with progress() as report:
        report("making the phantom", 0, 1)
        labels, scan, truth = demo_case()
        with results_folder(parent, labels.name, overwrite=True) as folder:
            results = build_results(labels, scan, report)
            report("writing", 0, 1)
            write_table(truth, folder / "truth.csv")
            write_results(results, folder, figures=True)
            write_provenance(job, folder, started, inputs=[])
    console = show_results(results, parent / labels.name)
    _print_truth(console, results.table, truth)
    _from_ct(console, parent, labels, scan)


def _from_ct(console: Console, parent: Path, true: LabelMap, scan: Scan) -> None:
    """The same patient from nothing but the CT, with the networks that ship with the package."""
    from verse_morph.evaluate import evaluate_scan

    seen = replace(scan, name=f"{scan.name}-from-ct")
    job = SegmentJob(ct=Path("built-in phantom"), output=parent, overwrite=True, measure=True)
    try:
        with progress() as report:
            done = segment_into(job, seen, [], report)
    except VerseMorphError as error:
        console.print(f"from the CT alone: {error}", soft_wrap=True)
        return
    rows = evaluate_scan(done.labels, true).vertebrae
    rows = rows[(rows["mode"].astype(str) == "strict") & (rows["outcome"] != "false_positive")]
    right, dice = int((rows["outcome"] == "hit").sum()), rows["dice"].fillna(0).mean()
    doubt = "; the numbering is in doubt" if done.record["numbering"]["in_doubt"] else ""
    console.print(
        f"from the CT alone: {right} of {len(rows)} vertebrae named rightly, mean Dice {dice:.2f}{doubt}; "
        f"results in {done.folder}",
        soft_wrap=True,
    )


def _print_truth(console: Console, frame: pd.DataFrame, truth: pd.DataFrame) -> None:
    """Measured minus true for every column that both tables have."""
    shared = [name for name in (*HEIGHTS, *VOLUMES) if name in frame and name in truth]
    both = frame.merge(truth, on="level", suffixes=("", "_true"))
    rows = [
        [row["level"], *(number(row[name] - row[f"{name}_true"], 2) for name in shared)]
        for row in both.to_dict("records")
    ]
    console.print(table("measured minus true", ["level", *shared], rows, words=["level"]))
