"""The commands and their options, and what becomes of an error."""

from __future__ import annotations

import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from verse_morph import __version__
from verse_morph.errors import VerseMorphError

app = typer.Typer(
    name="verse-morph",
    help="Measurements of the human spine on CT. For research, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Output = Annotated[Path, typer.Option("-o", "--output", help="Folder for the results; they go to a folder per scan.")]

BmdTable = Annotated[
    Path | None, typer.Option(help="Your own table from HU to mg/cm3: scanner, kvp, kernel, slope, intercept, source.")
]
Contrast = Annotated[str, typer.Option(help="Contrast medium: unknown, none, arterial, venous, or corrected.")]
Roi = Annotated[bool, typer.Option("--roi", help="Save the regions that density was read from as a mask.")]
Uncertainty = Annotated[
    bool,
    typer.Option("--uncertainty", help="Say how far every number moves with its outline; takes 20 times as long."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"verse-morph {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (also after a command).")
    ] = False,
) -> None:
    """Measurements of the human spine on CT. For research, not for diagnosis."""


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="A CT or a mask: .nii, .nii.gz, or a folder.")],
    scheme: Annotated[str | None, typer.Option(help="What the integers of a mask mean; found out by default.")] = None,
) -> None:
    """What is this file: grid, orientation, labels, levels, problems."""
    from verse_morph.cli.info import show

    show(file, scheme)


@app.command()
def fetch(
    data_set: Annotated[str, typer.Argument(help="verse19 or verse20.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder of the data set.")] = None,
    part: Annotated[
        list[str] | None, typer.Option(help="training, validation or test; may be repeated; all by default.")
    ] = None,
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="Keep the zip files after unpacking.")] = False,
    only_list: Annotated[bool, typer.Option("--list", help="Only show what would be fetched; no network.")] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(help="Your own table of archives, for a mirror; see docs/fetch.md."),
    ] = None,
) -> None:
    """The public VerSe data sets on disk: licence shown, resumed, verified, unpacked."""
    from verse_morph.cli.fetch import FetchJob, run_fetch

    run_fetch(FetchJob(data_set, output, tuple(part or ()), keep_archives, only_list, manifest))


@app.command()
def measure(  # noqa: PLR0913  one parameter per option
    mask: Annotated[Path, typer.Argument(help="Vertebra mask: .nii, .nii.gz, or a folder of single masks.")],
    output: Output,
    ct: Annotated[
        Path | None, typer.Option("--ct", help="The CT of this mask: .nii, .nii.gz or a DICOM folder.")
    ] = None,
    scheme: Annotated[
        str | None, typer.Option(help="What the integers of the mask mean; found out by default.")
    ] = None,
    centroids: Annotated[
        Path | None, typer.Option(help="VerSe centroid file to compare the body centroids with.")
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="Which series of the DICOM folder: UID, its end, or number.")
    ] = None,
    bmd_table: BmdTable = None,
    contrast: Contrast = "unknown",
    roi: Roi = False,
    uncertainty: Uncertainty = False,
    figures: Annotated[bool, typer.Option("--figures", help="Also draw overlays, and one sheet for print.")] = False,
    no_meshes: Annotated[bool, typer.Option("--no-meshes", help="Write no surfaces.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the results of a finished run.")] = False,
) -> None:
    """Tables and meshes from a mask."""
    from verse_morph.cli.run import MeasureJob, run_measure

    run_measure(
        MeasureJob(
            mask=mask,
            output=output,
            ct=ct,
            scheme=scheme,
            centroids=centroids,
            series=series,
            figures=figures,
            meshes=not no_meshes,
            overwrite=overwrite,
            bmd_table=bmd_table,
            contrast=contrast,
            roi=roi,
            uncertainty=uncertainty,
        )
    )


@app.command()
def evaluate(  # noqa: PLR0913  one parameter per option
    predicted: Annotated[Path, typer.Argument(help="Predicted mask, or a folder of them.")],
    true: Annotated[Path, typer.Argument(help="True mask, or a folder of them; matched by scan name.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File: rows per vertebra; scans, set and JSON go beside it.")
    ] = None,
    predicted_centroids: Annotated[
        Path | None, typer.Option(help="VerSe centroid file of the prediction; found by name in folders.")
    ] = None,
    true_centroids: Annotated[Path | None, typer.Option(help="VerSe centroid file of the truth.")] = None,
    scheme: Annotated[str | None, typer.Option(help="What the integers of the true mask mean.")] = None,
    predicted_scheme: Annotated[
        str | None, typer.Option(help="The same for the prediction; by default as in the true mask.")
    ] = None,
    limit: Annotated[float, typer.Option(help="Largest distance of a hit, mm.")] = 20.0,
    tolerance: Annotated[float, typer.Option(help="Tolerance of the normalised surface Dice, mm.")] = 1.0,
    participants: Annotated[
        Path | None, typer.Option(help="Table with a column scan, subject or participant_id.")
    ] = None,
    by: Annotated[list[str] | None, typer.Option(help="Column of that table to group by; may be repeated.")] = None,
    count_missing_scans: Annotated[
        bool, typer.Option("--count-missing-scans", help="True masks without a prediction count as all missed.")
    ] = False,
) -> None:
    """Identification rate, distances and overlap of predicted masks, by the challenge's rule and by a strict one."""
    from verse_morph.cli.evaluate import EvaluateJob, run_evaluate

    run_evaluate(
        EvaluateJob(
            predicted=predicted,
            true=true,
            output=output,
            predicted_centroids=predicted_centroids,
            true_centroids=true_centroids,
            scheme=scheme,
            predicted_scheme=predicted_scheme,
            limit_mm=limit,
            tolerance_mm=tolerance,
            participants=participants,
            by=tuple(by or ()),
            count_missing_scans=count_missing_scans,
        )
    )


@app.command()
def phantom(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the data set (VerSe layout).")],
    n: Annotated[int, typer.Option("--n", "-n", help="Number of cases.")] = 1,
    seed: Annotated[int, typer.Option(help="Case k of one seed is always the same.")] = 0,
    variant: Annotated[str, typer.Option(help="mixed (as in the paper), none, castellvi-3b, lumbar-6, ...")] = "mixed",
    preset: Annotated[str | None, typer.Option(help="Simulated scanner; vendors as in the paper by default.")] = None,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
) -> None:
    """Simulated scans of invented spines with every true number beside them."""
    from verse_morph.cli.phantom import run_phantom
    from verse_morph.phantom.dataset import DatasetJob

    run_phantom(DatasetJob(output=output, n=n, seed=seed, variant=variant, preset=preset, workers=workers))


Ct = Annotated[Path, typer.Argument(help="A CT: .nii, .nii.gz or a DICOM folder.")]
Given = Annotated[
    Path | None, typer.Option(help="VerSe centroid file that says which vertebra is where; then none is looked for.")
]
Weights = Annotated[Path | None, typer.Option(help="Folder of trained networks; the package's own by default.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:N or mps; the best one by default.")]
Threads = Annotated[int | None, typer.Option(help="Processor threads of the networks.")]
Deterministic = Annotated[bool, typer.Option("--deterministic", help="Same bits on every run on this machine.")]
Force = Annotated[bool, typer.Option("--force", help="Go on where the values do not look like Hounsfield units.")]
Engine = Annotated[str, typer.Option(help="verse_morph, or totalsegmentator where it is installed.")]
Series = Annotated[str | None, typer.Option(help="Which series of a DICOM folder: UID, its end, or number.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results of a finished run.")]


@app.command()
def segment(  # noqa: PLR0913  one parameter per option
    ct: Ct,
    output: Output,
    centroids: Given = None,
    weights: Weights = None,
    device: Device = None,
    threads: Threads = None,
    deterministic: Deterministic = False,
    force: Force = False,
    engine: Engine = "verse_morph",
    series: Series = None,
    overwrite: Overwrite = False,
) -> None:
    """A vertebra mask and centroids from a CT."""
    from verse_morph.cli.segment import SegmentJob, run_segment

    run_segment(
        SegmentJob(
            ct=ct,
            output=output,
            centroids=centroids,
            weights=weights,
            device=device,
            threads=threads,
            deterministic=deterministic,
            force=force,
            engine=engine,
            series=series,
            overwrite=overwrite,
        )
    )


@app.command()
def run(  # noqa: PLR0913  one parameter per option
    ct: Ct,
    output: Output,
    centroids: Given = None,
    weights: Weights = None,
    device: Device = None,
    threads: Threads = None,
    deterministic: Deterministic = False,
    force: Force = False,
    engine: Engine = "verse_morph",
    series: Series = None,
    bmd_table: BmdTable = None,
    contrast: Contrast = "unknown",
    roi: Roi = False,
    uncertainty: Uncertainty = False,
    overwrite: Overwrite = False,
) -> None:
    """From a CT to mask, tables, meshes and figures."""
    from verse_morph.cli.segment import SegmentJob, run_segment

    run_segment(
        SegmentJob(
            ct=ct,
            output=output,
            centroids=centroids,
            weights=weights,
            device=device,
            threads=threads,
            deterministic=deterministic,
            force=force,
            engine=engine,
            series=series,
            overwrite=overwrite,
            measure=True,
            bmd_table=bmd_table,
            contrast=contrast,
            roi=roi,
            uncertainty=uncertainty,
        )
    )


@app.command()
def train(  # noqa: PLR0913  one parameter per option
    stage: Annotated[str, typer.Argument(help="locate, identify, ribs or outline.")],
    data: Annotated[
        list[str],
        typer.Option(help="phantoms:N[@WEIGHT], a folder in VerSe's layout, a CSV table or a mask; may be repeated."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run: weights, log, curve.")],
    validate: Annotated[
        list[str] | None, typer.Option(help="What is held out, as in --data; by default the first four phantoms.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of prepared data; by default in the run's folder.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    steps: Annotated[int, typer.Option(help="Steps of the whole run.")] = 2000,
    batch: Annotated[int | None, typer.Option(help="Samples per step; the stage's own number by default.")] = None,
    rate: Annotated[float | None, typer.Option(help="Largest learning rate; the stage's own by default.")] = None,
    seed: Annotated[int, typer.Option(help="Sample k of one seed is always the same.")] = 0,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long, to be resumed.")] = None,
    device: Device = None,
    threads: Threads = None,
    workers: Annotated[int, typer.Option(help="Processes that make samples; 0: none of their own.")] = 0,
    adversarial: Annotated[
        bool, typer.Option("--adversarial", help="identify only: a learnt prior judges the spine's shape.")
    ] = False,
    init: Annotated[
        str | None, typer.Option(help="Folder of weights to go on from, or 'shipped'; random ones by default.")
    ] = None,
) -> None:
    """Train the network of one stage; see docs/training.md."""
    from verse_morph.cli.train import TrainJob, run_train

    run_train(
        TrainJob(
            stage=stage,
            data=tuple(data),
            output=output,
            validate=tuple(validate or ()),
            cache=cache,
            resume=resume,
            steps=steps,
            batch=batch,
            rate=rate,
            seed=seed,
            minutes=minutes,
            device=device,
            threads=threads,
            workers=workers,
            adversarial=adversarial,
            init=init,
        )
    )


@app.command()
def variants(  # noqa: PLR0913  one parameter per option
    tables: Annotated[
        list[Path], typer.Argument(help="Tables of participants (.csv, .tsv, .parquet) and data set folders; joined.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for tables, figures and summary.html.")],
    mapping: Annotated[Path | None, typer.Option(help="YAML or CSV: which column of yours is which of ours.")] = None,
    measurements: Annotated[
        Path | None, typer.Option(help="Table of vertebrae (scan, level, numbers) to compare by vendor and grade.")
    ] = None,
    measure: Annotated[list[str] | None, typer.Option(help="Column of it to compare; may be repeated.")] = None,
    margin: Annotated[
        list[str] | None, typer.Option(help="COLUMN=NUMBER: test that groups differ by less; may be repeated.")
    ] = None,
    unit: Annotated[str, typer.Option(help="subject, or scan as the paper counts series.")] = "subject",
    seed: Annotated[int, typer.Option(help="Of Monte Carlo tests and bootstraps.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Variants by vendor and Castellvi grade: shares with intervals, tests, figures, the VerSe paper beside them."""
    from verse_morph.cli.variants import VariantsJob, run_variants

    run_variants(
        VariantsJob(
            tables=tuple(tables),
            output=output,
            mapping=mapping,
            measurements=measurements,
            measures=tuple(measure or ()),
            margins=tuple(margin or ()),
            unit=unit,
            seed=seed,
            overwrite=overwrite,
        )
    )


@app.command()
def view(
    results: Annotated[Path, typer.Argument(help="Folder that measure, run or demo wrote.")],
    port: Annotated[int | None, typer.Option(help="Port of JupyterLab; any free one by default.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """JupyterLab on a ready notebook of these results; needs no notebook of yours."""
    from verse_morph.cli.view import ViewJob, run_view

    run_view(ViewJob(results=results, port=port, browser=not no_browser))


@app.command()
def demo(output: Output = Path("demo_output")) -> None:
    """Measure a built-in phantom from its mask and from its CT alone, and compare with its true numbers."""
    from verse_morph.cli.demo import run_demo

    run_demo(output)


def main() -> None:
    """Run the command line and end the process with its exit code.

    Errors about the input become one line on stderr and exit code 2; anything else is a defect: one line, exit code 1.
    """
    # Batch systems end a job with SIGTERM: leave by an exception, so that half-written results are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    warnings.showwarning = _warn
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments, prog_name="verse-morph")
    except VerseMorphError as error:
        if debug:
            raise
        _end(str(error), code=2)
    except Exception as error:
        if debug:
            raise
        _end(
            f"a defect of verse-morph, not of your input: {type(error).__name__}: {error}; "
            "repeat with --debug for the traceback and please report it",
            code=1,
        )


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    print(f"verse-morph: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _end(message: str, code: int) -> None:
    print(f"verse-morph: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
