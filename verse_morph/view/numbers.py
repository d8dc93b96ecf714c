"""One vertebra's row of a table as HTML: every number with its unit, every missing one with its reason."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from verse_morph.tables import WHY, why_column
from verse_morph.view.colours import dictionary, title_of

if TYPE_CHECKING:
    import pandas as pd

HEAD = ("scan", "level", "label", "status", "flags")


def first_with_numbers(levels: list[str], table: pd.DataFrame | None) -> str:
    """The first level whose row has numbers: one that the border cuts says little to begin with."""
    if table is None or "status" not in table:
        return levels[0]
    rows = table.set_index("level")["status"].astype(str)
    return next((level for level in levels if rows.get(level, "not_measurable") != "not_measurable"), levels[0])


def numbers_html(level: str, table: pd.DataFrame | None, note: str = "") -> str:
    """The numbers of one vertebra.

    Parameters
    ----------
    level : str
    table : DataFrame or None
        One row per vertebra; of several rows for a level the first is shown.
    note : str
        A sentence to put above, for instance why there is no surface.

    Notes
    -----
    The definition of a column appears where the pointer rests on its name.
    """
    lines = [f"<div class='vm-numbers'><b style='font-size:1.2em'>{escape(level)}</b>"]
    if note:
        lines.append(f"<p>{escape(note)}</p>")
    rows = None if table is None else table[table["level"].astype(str) == level]
    if rows is None or table is None or rows.empty:
        return "".join([*lines, "<p>no row of a table was given for this level</p></div>"])
    row = rows.iloc[0]
    if "status" in row:
        lines.append(f" &nbsp;{escape(str(row['status']).replace('_', ' '))}")
    if "flags" in row and _text(row["flags"]):
        lines.append(f"<br>flags: {escape(_text(row['flags']).replace(';', ', ').replace('_', ' '))}")
    names = [name for name in table.columns if name not in HEAD and not name.endswith(WHY)]
    lines.append("<table style='border-collapse:collapse'>")
    lines += [_line(name, _shown(row[name])) for name in names if _shown(row[name])]
    lines.append("</table>")
    lines += _missing(row, [name for name in names if not _shown(row[name])])
    return "".join([*lines, "</div>"])


def _line(name: str, value: str) -> str:
    style = "padding:0 8px 0 0;vertical-align:top;text-align:left"
    return (
        f"<tr><td style='{style}'>{_named(name)}</td>"
        f"<td style='padding:0;text-align:left;vertical-align:top'>{escape(value)}</td></tr>"
    )


def _named(name: str) -> str:
    """The column's title; its definition appears where the pointer rests on it."""
    definition = dictionary()[name].definition if name in dictionary() else ""
    return f"<span title='{escape(' '.join(definition.split()), quote=True)}'>{escape(title_of(name))}</span>"


def _missing(row: pd.Series, names: list[str]) -> list[str]:
    """What has no value, by its reason: one cut body explains dozens of columns."""
    reasons: dict[str, list[str]] = {}
    for name in names:
        reasons.setdefault(_text(row.get(why_column(name), "")) or "no reason given", []).append(name)
    lines = [f"<p><b>Not measured: {len(names)}</b></p>"] if names else []
    for reason, columns in reasons.items():
        lines.append(f"<p><i>{escape(reason)}</i>: {', '.join(map(_named, columns))}</p>")
    return lines


def _shown(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.5g}"
    return _text(value)


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)
