"""What the benchmarks of measurements share: tables as Markdown lines, and a page beside its cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd


def markdown(table: pd.DataFrame, digits: Callable[[str], int] = lambda column: 2) -> Iterator[str]:
    """Lines of a Markdown table; floats with as many digits as ``digits`` says for their column."""
    yield "| " + " | ".join(table.columns) + " |"
    yield "|" + "---|" * len(table.columns)
    for row in table.to_dict("records"):
        cells = [f"{v:.{digits(k)}f}" if isinstance(v, float) else str(v) for k, v in row.items()]
        yield "| " + " | ".join(cells) + " |"


def write(output: Path | None, text: str, cases: pd.DataFrame) -> None:
    """Print the page and, where asked, write OUTPUT.md and OUTPUT.csv."""
    print(text)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.with_suffix(".md").write_text(text, encoding="utf-8")
        cases.to_csv(output.with_suffix(".csv"), index=False)
