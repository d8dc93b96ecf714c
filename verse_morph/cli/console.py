"""What the commands print: a progress bar to stderr, tables and notes to stdout."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

Report = Callable[[str, int, int], None]

# A file or a pipe has no width; wide enough for every column of ours.
WIDTH_WITHOUT_TERMINAL = 160


def output() -> Console:
    """Standard output, without markup: file names hold brackets."""
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(markup=False, highlight=False, width=width)


@contextmanager
def progress() -> Iterator[Report]:
    """A bar that names the stage; call ``report(stage, done, total)``. Nothing is shown where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=1)

        def report(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=max(total, 1))

        yield report


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[str]) -> Table:
    """A table whose columns named in ``words`` are aligned left, the others, numbers, right."""
    made = Table(title=title, title_justify="left")
    for name in columns:
        made.add_column(name, justify="left" if name in words else "right", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def number(value: object, digits: int = 1) -> str:
    """A number for people; a missing one is a dash, never 0.

    >>> number(12.345), number(float("nan")), number(None)
    ('12.3', '-', '-')
    """
    if value is None or not isinstance(value, int | float) or math.isnan(value):
        return "-"
    return f"{value:.{digits}f}"


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """One line per note, each once."""
    for note in dict.fromkeys(notes):
        console.print(f"note: {' '.join(note.split())}", soft_wrap=True)
