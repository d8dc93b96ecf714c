"""`phantom`: a data set of invented patients whose every number is known."""

from __future__ import annotations

from verse_morph.cli.console import output, progress, table
from verse_morph.phantom.dataset import DatasetJob, write_dataset

SHOWN = ("scan", "preset", "sex", "age", "thoracic", "lumbar_total", "castellvi", "stump_ribs", "fractures")
MOST_ROWS = 20


def run_phantom(job: DatasetJob) -> None:
    """Write the data set with a progress bar and print what was made.

    Raises
    ------
    VerseMorphError
        The request is out of range or the folder cannot be written to.
    """
    with progress() as report:
        made = write_dataset(job, report)
    console = output()
    rows = [
        [f"{value:.0f}" if isinstance(value, float) else str(value) for value in row]
        for row in made[list(SHOWN)].head(MOST_ROWS).itertuples(index=False)
    ]
    console.print(table(f"{len(made)} phantoms in {job.output}", SHOWN, rows, words=SHOWN[:3]))
    if len(made) > MOST_ROWS:
        console.print(f"... {len(made) - MOST_ROWS} more in {job.output / 'participants.csv'}", soft_wrap=True)
    console.print("invented patients; vendor names are fictions: no scanner was measured for them", soft_wrap=True)
