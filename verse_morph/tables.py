"""What all tables share: key columns, status words, and the description of a column.

A table is tidy: one row per vertebra, one unit per column, the unit in the column's name. An empty number has its
reason in the column of the same name with ``_why`` behind it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

KEY = ("scan", "level")
WHY = "_why"

FRAMES = ("body", "world", "none")
MIRRORS = ("keep", "flip", "swap")


class Status(enum.Enum):
    """How much of a row could be measured."""

    MEASURED = "measured"
    PARTIAL = "partial"
    NOT_MEASURABLE = "not_measurable"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Column:
    """One column of a table: what it claims.

    Parameters
    ----------
    name : str
        As in the table, unit included: ``height_anterior_mm``.
    unit : str
        ``mm``, ``cm3``, ``deg``, ``pct``, ``HU``, ...; empty for words and counts.
    frame : str
        ``body``: unchanged when the patient is moved. ``world``: moves along. ``none``: neither, as for names and HU.
    length_power : int or None
        The value grows with this power of the anatomy's size; None where scaling has no meaning.
    mirror : str
        What becomes of it when left and right are exchanged: ``keep``, ``flip`` (the sign), ``swap`` (with the other
        side's column).
    definition : str
        One sentence.
    source : str
        Where the definition comes from.

    Raises
    ------
    ValueError
        An unknown frame or mirror word, or no definition.
    """

    name: str
    unit: str = ""
    frame: str = "none"
    length_power: int | None = None
    mirror: str = "keep"
    definition: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.frame not in FRAMES:
            raise ValueError(f"column {self.name}: frame is one of {', '.join(FRAMES)}, got {self.frame!r}")
        if self.mirror not in MIRRORS:
            raise ValueError(f"column {self.name}: mirror is one of {', '.join(MIRRORS)}, got {self.mirror!r}")
        if not self.definition.strip():
            raise ValueError(f"column {self.name} has no definition; say in one sentence what it is")


def why_column(name: str) -> str:
    """Name of the column that says why a value is missing.

    >>> why_column("height_anterior_mm")
    'height_anterior_mm_why'
    """
    return name + WHY


_HEADER = """# Data dictionary

Every column of every table, in order. Made from the catalogues of measurements by `make docs`; do not edit by hand.

- **Frame**: a `body` value stays the same when the patient is moved or turned, a `world` value (RAS millimetres, angles
  against the world's planes) moves along; `none`: neither applies.
- **Power**: scaling the anatomy by s multiplies the value by s to this power.
- **Mirror**: exchanging left and right keeps the value, flips its sign, or swaps it with the other side's column.
- Every number that is missing has its reason in the column of the same name with `_why` behind it.
"""


def data_dictionary_markdown(tables: Mapping[str, Iterable[Column]]) -> str:
    """The data dictionary as a Markdown page.

    Parameters
    ----------
    tables : Mapping of str to iterable of Column
        Columns of each table in their order, by the name of its file.

    Raises
    ------
    ValueError
        Two columns of a table have the same name.
    """
    return _HEADER + "".join(f"\n## `{name}`\n\n{_rows(name, columns)}\n" for name, columns in tables.items())


def _rows(table: str, columns: Iterable[Column]) -> str:
    rows = ["| Column | Unit | Frame | Power | Mirror | Definition | Source |", "|---|---|---|---|---|---|---|"]
    seen: set[str] = set()
    for column in columns:
        if column.name in seen:
            raise ValueError(f"two columns of {table} are called {column.name}")
        seen.add(column.name)
        power = "" if column.length_power is None else str(column.length_power)
        texts = (column.unit, column.frame, power, column.mirror, column.definition, column.source)
        rows.append(" | ".join(["| `" + column.name + "`", *(_cell(text) for text in texts)]) + " |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
