"""The table of a run: one row per validation, never half a row."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from verse_morph.io.files import replacing

LOG, CURVE = "log.csv", "curve.png"


def append_row(row: Mapping[str, object], path: Path) -> None:
    """Add a row; columns that the table did not have yet are added to it."""
    _write([*_rows(path), row], path)


def forget_after(step: int, path: Path) -> None:
    """Drop the rows of steps that were lost with an interrupted process and will be done again."""
    rows = _rows(path)
    kept = [row for row in rows if int(row["step"]) <= step]
    if len(kept) < len(rows):
        _write(kept, path)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _write(rows: Sequence[Mapping[str, object]], path: Path) -> None:
    if not rows:
        path.unlink(missing_ok=True)
        return
    columns = dict.fromkeys(name for row in rows for name in row)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(columns))
        writer.writeheader()
        writer.writerows(rows)
