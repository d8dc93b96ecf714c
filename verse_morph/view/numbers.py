"""One vertebra's row of a table as HTML: every number with its unit, every missing one with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING

from verse_morph.spine import Flag
from verse_morph.tables import WHY, why_column
from verse_morph.view.colours import dictionary, title_of

if TYPE_CHECKING:
    import pandas as pd

HEAD = ("scan", "level", "label", "status", "flags")
# Shorter lists of columns without a value are written out, longer ones open on a click.
FEW = 3
# What a reader who has never met a flag or a status is told where the pointer rests on it.
SAID: Mapping[str, str] = {
    "measured": "Every number that can be measured at this level was.",
    "partial": "Some numbers are missing, each with its reason below.",
    "not_measurable": "No number of the body is trustworthy here.",
    str(Flag.BODY_CUT): "The border of the image or of the mask cuts the body: it is not measured.",
    str(Flag.PROCESSES_CUT): "The border of the image cuts the processes, not the body: no whole volume, no ribs.",
    str(
        Flag.CANAL_FALLBACK
    ): "The ring about the canal is not closed: the body was told from the arch by less sure means.",
    str(Flag.DIRECTION_SMOOTHED): "Its own endplates gave no trustworthy direction: that of its neighbours is used.",
    str(Flag.ENDPLATE_COLLAPSED): "One endplate is so far out of line that the spine's course decides what is up.",
    str(Flag.BODY_FRACTION_UNUSUAL): "Body and arch share the vertebra in an unusual way: look at the mask.",
    str(
        Flag.HIGHER_THAN_NEIGHBOURS
    ): "A quarter higher than the bodies near it: the mask may hold a disc, or those bodies lost height.",
    str(Flag.SPECKS_REMOVED): "Small loose pieces of the mask were left out.",
    str(Flag.SEPARATED_PIECES): "The mask of this vertebra is in several large pieces.",
    str(
        Flag.NEIGHBOUR_OVERLAP
    ): "The mask runs into the neighbour's without a gap: fused bodies, or a mask that leaks.",
    str(Flag.NUMBERING_ASSUMED): "The level rests on the assumption of twelve thoracic vertebrae; not all can be seen.",
    str(
        Flag.NUMBERING_IN_DOUBT
    ): "Another numbering is nearly as probable, or a vertebra may have been missed: the name may be off by a level.",
    str(Flag.THICK_SLICES): "Slices thicker than 2 mm: endplates, and all that rests on them, are less exact.",
    str(Flag.NO_BODY): "C1 is a ring without a body.",
    str(Flag.BODY_ONLY_MASK): "The mask holds the body alone, without the arch.",
}
IN_DOUBT = "The numbering is in doubt: all names may be off by a level."
ROUNDED = "Numbers are rounded here, not in the table."


def first_with_numbers(levels: list[str], table: pd.DataFrame | None) -> str:
    """The first level whose row is full, else the first with numbers: C1, or one that the border cuts, says little."""
    if table is None or "status" not in table:
        return levels[0]
    rows = table.drop_duplicates("level").set_index("level")["status"].astype(str)
    for wanted in ("measured", "partial"):
        for level in levels:
            if rows.get(level) == wanted:
                return level
    return levels[0]


def flags_of(table: pd.DataFrame | None) -> list[str]:
    """The ``flags`` of every row, each joined by ``;``."""
    return [] if table is None or "flags" not in table else [_text(one) for one in table["flags"]]


def doubt_html(flags: Iterable[str]) -> str:
    """A warning where the names of the levels are in doubt, else nothing: a name in a picture is believed.

    Parameters
    ----------
    flags : iterable of str
        Of each vertebra, joined by ``;``.
    """
    if not any(str(Flag.NUMBERING_IN_DOUBT) in one.split(";") for one in flags):
        return ""
    style = "background:#fff2cc;color:#111;padding:4px 6px;margin:2px 0;line-height:1.4"
    return f"<div role='note' style='{style}'>⚠ {IN_DOUBT}</div>"


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
    The definition of a column appears where the pointer rests on its name. Numbers are rounded as
    :func:`spoken_number` does.
    """
    lines = [f"<div class='vm-numbers' style='line-height:1.4'><b style='font-size:1.2em'>{escape(level)}</b>"]
    if note:
        lines.append(f"<p>{escape(note)}</p>")
    rows = None if table is None else table[table["level"].astype(str) == level]
    if rows is None or table is None or rows.empty:
        return "".join([*lines, "<p>no row of a table was given for this level</p></div>"])
    row = rows.iloc[0]
    if "status" in row:
        lines.append(f" &nbsp;{_explained(str(row['status']))}")
    if "flags" in row and _text(row["flags"]):
        lines.append(f"<br>flags: {', '.join(map(_explained, _text(row['flags']).split(';')))}")
    names = [name for name in table.columns if name not in HEAD and not name.endswith(WHY)]
    lines.append("<table style='border-collapse:collapse'>")
    lines += [_line(name, _shown(row[name])) for name in names if _shown(row[name])]
    lines.append(f"</table><small>{ROUNDED}</small>")
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
        named = ", ".join(map(_named, columns))
        if len(columns) <= FEW:
            lines.append(f"<p><i>{escape(reason)}</i>: {named}</p>")
            continue
        head = f"<summary style='cursor:pointer'><i>{escape(reason)}</i>: {len(columns)} columns</summary>"
        lines.append(f"<details>{head}{named}</details>")
    return lines


def spoken_number(value: float) -> str:
    """A number as people read it: three digits, all of them where it is large, two decimals where it is small.

    >>> spoken_number(193.672), spoken_number(24.2719), spoken_number(-0.0937), spoken_number(7.0)
    ('194', '24.3', '-0.09', '7')
    """
    if value.is_integer():
        return f"{value:.0f}"
    size = abs(value)
    if size < 0.01:
        return f"{value:.1g}"
    return f"{value:.{0 if size >= 99.95 else 1 if size >= 9.995 else 2}f}"


def _explained(word: str) -> str:
    """A flag or a status; what it means appears where the pointer rests on it."""
    meaning = escape(SAID.get(word, ""), quote=True)
    return f"<span title='{meaning}'>{escape(word.replace('_', ' '))}</span>"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else spoken_number(float(value))
    return _text(value)


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)
