"""Colours of vertebrae: by level, region, a column of a table, or flags, always with a key that says what they mean.

Words get the colours of Okabe and Ito, which colour-blind readers tell apart; numbers get viridis, or, where both signs
occur, a scale from brown over white to blue-green that is symmetrical about zero. What is missing is grey.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.tables import WHY, Column

if TYPE_CHECKING:
    import pandas as pd

MISSING = "#9a9a9a"
# Okabe and Ito 2008, "Color Universal Design"; black left out, it would hide the shading.
WORDS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
REGIONS = {"cervical": "#56b4e9", "thoracic": "#e69f00", "lumbar": "#009e73"}
GRADES = {0: "#0072b2", 1: "#f0e442", 2: "#e69f00", 3: "#d55e00"}
GRADE_COLUMNS = ("genant_grade", "eastell_grade", "meyerding")
FLAGS = {"no flag": "#56b4e9", "flags": "#e69f00", "body cut": "#d55e00"}
KEYS = ("level", "region", "flags")
# How units are written for people.
UNITS = {
    "hu": "HU",
    "pct": "%",
    "deg": "degrees",
    "mm2": "mm²",
    "cm2": "cm²",
    "cm3": "cm³",
    "mg_cm3": "mg/cm³",
    "per_m": "1/m",
}
NOT_NUMBERS = ("scan", "level", "label")
ONE_SIGN, BOTH_SIGNS = "viridis", "BrBG"


@dataclass(frozen=True)
class Colouring:
    """A colour per level, and what it means.

    Parameters
    ----------
    key : str
        What was asked for: ``level``, ``region``, ``flags`` or a column.
    title : str
        With its unit.
    colours : Mapping of str to str
        ``#rrggbb`` by level.
    entries : tuple of (str, str)
        Word and colour, where the key is a list.
    scale : tuple of (float, float) or None
        Ends of the colour bar, where it is one.
    stops : tuple of str
        Colours along the bar.
    missing : tuple of str
        Levels without a value.
    """

    key: str
    title: str
    colours: Mapping[str, str]
    entries: tuple[tuple[str, str], ...] = ()
    scale: tuple[float, float] | None = None
    stops: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def choices(table: pd.DataFrame | None) -> list[str]:
    """What vertebrae can be coloured by: level, region, flags, then every column with a value in it."""
    if table is None:
        return ["level", "region"]
    return [*KEYS, *(name for name in table.columns if name not in KEYS and _is_choice(name, table))]


def _is_choice(key: str, table: pd.DataFrame) -> bool:
    if key in KEYS:
        return True
    return key in table and not key.endswith(WHY) and key not in NOT_NUMBERS and _has_values(table[key])


def level_colour(level: Level | str) -> str:
    """Colour of a level, the same in every viewer; neighbours differ."""
    return WORDS[Level(level).rank % len(WORDS)]


def colouring(key: str, levels: Iterable[str], table: pd.DataFrame | None = None) -> Colouring:
    """Colours by one of :func:`choices`.

    Parameters
    ----------
    key : str
    levels : iterable of str
        Names of the levels to colour, head to foot.
    table : DataFrame, optional
        One row per vertebra; needed for everything but ``level`` and ``region``.

    Raises
    ------
    InputError
        There is no such column.
    """
    names = list(levels)
    if key == "level":
        return Colouring(key, "level (neighbours differ)", {name: level_colour(name) for name in names})
    if key == "region":
        found = {name: Level(name).region for name in names}
        entries = [(word, colour) for word, colour in REGIONS.items() if word in found.values()]
        return Colouring(key, "region", {name: REGIONS[region] for name, region in found.items()}, tuple(entries))
    if table is None or not _is_choice(key, table):
        known = ", ".join(choices(table))
        raise InputError(f"cannot colour by {key!r}: it is no column with values; choose from {known}")
    rows = table.drop_duplicates("level").set_index("level")[key].reindex(names)
    if key == "flags":
        return _by_flags(rows)
    if key in GRADE_COLUMNS:
        return _by_grade(key, rows)
    return _by_number(key, rows) if _numeric(rows) else _by_word(key, rows)


def unit_of(column: str) -> str:
    """Unit of a column, from the data dictionary, else from the end of its name.

    >>> unit_of("height_anterior_mm"), unit_of("genant_grade")
    ('mm', '')
    """
    known = dictionary()
    if column in known:
        return known[column].unit
    ends = sorted({entry.unit for entry in known.values() if entry.unit}, key=len, reverse=True)
    return next((unit for unit in ends if column.lower().endswith(f"_{unit.lower()}")), "")


@cache
def dictionary() -> Mapping[str, Column]:
    """The data dictionary of vertebrae by column."""
    from verse_morph.measure import data_dictionary

    return {entry.name: entry for entry in data_dictionary()}


def title_of(column: str) -> str:
    """A column's name for people, its unit in brackets.

    >>> title_of("height_anterior_mm")
    'height anterior (mm)'
    """
    unit = unit_of(column)
    stem = column[: -len(unit) - 1] if unit and column.lower().endswith(f"_{unit.lower()}") else column
    words = stem.replace("_", " ")
    return f"{words} ({UNITS.get(unit, unit)})" if unit else words


def _by_flags(rows: pd.Series) -> Colouring:
    words = {name: set(str(flags).split(";")) if _given(flags) else set() for name, flags in rows.items()}
    kinds = {
        str(name): "body cut" if "body_cut" in found else "flags" if found else "no flag"
        for name, found in words.items()
    }
    entries = tuple((word, colour) for word, colour in FLAGS.items() if word in kinds.values())
    return Colouring("flags", "flags", {name: FLAGS[kind] for name, kind in kinds.items()}, entries)


def _by_grade(key: str, rows: pd.Series) -> Colouring:
    grades = {str(name): int(value) for name, value in rows.items() if _given(value)}
    entries = [(f"grade {grade}", GRADES[grade]) for grade in GRADES]
    return _complete(key, rows, {name: GRADES[min(grade, 3)] for name, grade in grades.items()}, tuple(entries))


def _by_word(key: str, rows: pd.Series) -> Colouring:
    values = {str(name): str(value) for name, value in rows.items() if _given(value)}
    order = list(dict.fromkeys(values.values()))
    colours = {word: WORDS[k % len(WORDS)] for k, word in enumerate(order)}
    return _complete(key, rows, {name: colours[word] for name, word in values.items()}, tuple(colours.items()))


def _complete(key: str, rows: pd.Series, known: dict[str, str], entries: tuple[tuple[str, str], ...]) -> Colouring:
    missing = tuple(str(name) for name in rows.index if name not in known)
    colours = {str(name): known.get(str(name), MISSING) for name in rows.index}
    ends = (("not measured", MISSING),) if missing else ()
    return Colouring(key, title_of(key), colours, (*entries, *ends), missing=missing)


def _by_number(key: str, rows: pd.Series) -> Colouring:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    values = rows.to_numpy(float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low < 0 < high:
        low, high = -max(-low, high), max(-low, high)
    cmap = colormaps[BOTH_SIGNS if low < 0 < high else ONE_SIGN]
    span = high - low
    # The ends of both maps are darker or paler than shading allows to tell: leave them out.
    shares = 0.05 + 0.9 * (values - low) / span if span > 0 else np.where(np.isnan(values), np.nan, 0.5)
    found = {str(n): to_hex(cmap(float(s))) for n, s in zip(rows.index, shares, strict=True) if not np.isnan(s)}
    missing = tuple(str(name) for name in rows.index if name not in found)
    colours = {str(name): found.get(str(name), MISSING) for name in rows.index}
    stops = tuple(to_hex(cmap(float(share))) for share in np.linspace(0.05, 0.95, 11))
    entries = (("not measured", MISSING),) if missing else ()
    return Colouring(key, title_of(key), colours, entries, (low, high), stops, missing)


def _given(value: object) -> bool:
    return value is not None and value != "" and value == value  # NaN differs from itself


def _numeric(rows: pd.Series) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return bool(is_numeric_dtype(rows) and not is_bool_dtype(rows))


def _has_values(rows: pd.Series) -> bool:
    return any(_given(value) for value in rows)


def ordered(names: Iterable[str]) -> list[str]:
    """Names of levels, each once, head to foot."""
    return [str(level) for level in sorted({Level(name) for name in names})]


def shared_choices(tables: Sequence[pd.DataFrame | None]) -> list[str]:
    """What several spines can all be coloured by."""
    return [key for key in choices(tables[0]) if all(key in choices(table) for table in tables)]


def shared_colouring(
    key: str, places: Sequence[tuple[int, str]], tables: Sequence[pd.DataFrame | None]
) -> tuple[Colouring, dict[tuple[int, str], str]]:
    """One scale for several spines: their rows are coloured as one table.

    Parameters
    ----------
    key : str
        One of :func:`shared_choices`.
    places : sequence of (int, str)
        Number of the spine and level.
    tables : sequence of DataFrame or None

    Returns
    -------
    Colouring
        For its key; its own colours are those of the first spine where there is only one.
    dict
        Colour by place.
    """
    import pandas as pd

    if key in ("level", "region") or len(tables) == 1:
        shown = colouring(key, ordered(level for _, level in places), tables[0])
        return shown, {place: shown.colours[place[1]] for place in places}
    rows = [
        table.drop_duplicates("level").assign(level=f"{k}/" + table["level"].astype(str))
        for k, table in enumerate(tables)
        if table is not None
    ]
    names = [f"{k}/{level}" for k, level in places]
    shown = colouring(key, names, pd.concat(rows, ignore_index=True))
    return shown, {place: shown.colours[name] for place, name in zip(places, names, strict=True)}


def key_html(shown: Colouring) -> str:
    """The key of a colouring as HTML: words with their colours, or a bar with its ends; spoken as words."""
    from html import escape

    parts = [f"<div class='vm-key' role='img' aria-label='{escape(_spoken(shown), quote=True)}'>"]
    parts.append(f"<b>{escape(shown.title)}</b><br>")
    if shown.scale is not None:
        bar = ", ".join(shown.stops)
        low, high = (f"{end:.4g}" for end in shown.scale)
        middle = f"{sum(shown.scale) / 2:.3g}"
        parts.append(f"<div style='width:210px;height:14px;background:linear-gradient(to right, {bar})'></div>")
        parts.append("<div style='width:210px;display:flex;justify-content:space-between'>")
        parts.append(f"<span>{low}</span><span>{middle}</span><span>{high}</span></div>")
    for word, colour in shown.entries:
        parts.append(
            "<span style='white-space:nowrap'>"
            f"<span style='display:inline-block;width:12px;height:12px;background:{colour};border:1px solid #444'>"
            f"</span> {escape(word)}</span> &nbsp; "
        )
    return "".join(parts) + "</div>"


def _spoken(shown: Colouring) -> str:
    if shown.scale is not None:
        return f"Colour key: {shown.title} from {shown.scale[0]:.4g} to {shown.scale[1]:.4g}"
    words = ", ".join(word for word, _ in shown.entries)
    return f"Colour key: {shown.title}" + (f": {words}" if words else "")
