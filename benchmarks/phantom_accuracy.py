"""How far measurements lie from the truth on the phantoms of `phantom_cases.py`, by slice thickness and by level.

Every aim stands in a table of its own, one row per level and one column per slice thickness, and is met or missed in
each of them: nothing is pooled into one pass. Of several quantities under one aim (five heights, four tilts) the worst
one counts.

Run: .venv/bin/python benchmarks/phantom_cases.py -n 200 -o results/phantom_cases
then: .venv/bin/python benchmarks/phantom_accuracy.py results/phantom_cases -o results/phantom_accuracy
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from phantom_cases import SAMPLINGS, read_cases
from report_parts import markdown, write

from verse_morph.anatomy import Level

RELATIVE = ("cm3", "cm2", "mm2")
HEIGHTS = tuple(f"height_{place}_mm" for place in ("anterior", "middle", "posterior", "left", "right"))
TILTS = tuple(
    f"endplate_{end}_tilt_{plane}_deg" for end in ("superior", "inferior") for plane in ("sagittal", "coronal")
)
# Slice thickness along the spine and across it, mm.
ALONG = {name: distance if axis == 2 else 1.0 for name, (axis, distance) in SAMPLINGS.items()}


@dataclass(frozen=True)
class Aim:
    """What is asked of a group of quantities.

    Parameters
    ----------
    title : str
    table : str
        Table of the cases.
    quantities : tuple of str
        The worst of these counts; none: all that the table has.
    mae, p95 : Mapping of str to float
        Largest allowed mean absolute error and 95th percentile, by sampling; absent: no aim.
    """

    title: str
    table: str
    quantities: tuple[str, ...]
    mae: Mapping[str, float]
    p95: Mapping[str, float]


EVERYWHERE = tuple(SAMPLINGS)
AIMS = {
    "bodies": (
        Aim(
            "Body heights (worst of anterior, middle, posterior, left, right), mm",
            "vertebrae",
            HEIGHTS,
            {s: 0.4 if s == "1 mm" else 0.5 if s.startswith("sag") else max(0.4, 0.35 * ALONG[s]) for s in EVERYWHERE},
            {"1 mm": 1.0},
        ),
        Aim("Endplate tilts (worst of four), degrees", "vertebrae", TILTS, {"1 mm": 1.0}, {}),
    ),
    "discs": (
        Aim(
            "Disc heights (worst of anterior, middle, posterior), mm, by the level above",
            "discs",
            HEIGHTS[:3],
            dict.fromkeys(EVERYWHERE, 0.7),
            {},
        ),
        Aim("Slip, mm, by the level above", "discs", ("slip_mm",), dict.fromkeys(EVERYWHERE, 0.7), {}),
        Aim(
            "Angles, degrees",
            "curves",
            ("angle_deg",),
            dict.fromkeys(EVERYWHERE, 1.5),
            dict.fromkeys(EVERYWHERE, 3.0),
        ),
    ),
}


def with_errors(cases: pd.DataFrame) -> pd.DataFrame:
    """Cases with measured minus true, in percent for areas and volumes, and what was refused."""
    relative = cases["quantity"].str.endswith(RELATIVE)
    error = cases["measured"] - cases["true"]
    return cases.assign(error=error.where(~relative, 100 * error / cases["true"]), refused=cases["measured"].isna())


def summarise(cases: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Bias, mean absolute error, 95th percentile and largest of the absolute error."""
    rows = []
    for keys, group in cases.groupby(by, sort=False):
        known = group["error"].dropna()
        row = dict(zip(by, keys, strict=True)) | {"n": len(known), "refused": int(group["refused"].sum())}
        size = known.abs()
        row |= {"bias": known.mean(), "mae": size.mean(), "p95": size.quantile(0.95), "max": size.max()}
        rows.append(row)
    return pd.DataFrame(rows)


def _places(table: str, found: pd.Series) -> list[str]:
    names = list(found.unique())
    return names if table == "curves" else [str(level) for level in Level if str(level) in names]


def aim_table(cases: pd.DataFrame, aim: Aim) -> Iterator[str]:
    """Markdown of one aim: a row per level that was measured, a column per sampling, what is missed in bold."""
    own = cases[(cases["table"] == aim.table) & cases["quantity"].isin(aim.quantities)]
    yield from (f"### {aim.title}", "")
    yield "| | " + " | ".join(f"{name}: {_asked(aim, name)}" for name in EVERYWHERE) + " |"
    yield "|---" * (len(EVERYWHERE) + 1) + "|"
    met = dict.fromkeys(EVERYWHERE, 0)
    seen = dict.fromkeys(EVERYWHERE, 0)
    for place in _places(aim.table, own[~own["refused"]]["place"]):
        cells = []
        for name in EVERYWHERE:
            here = own[(own["place"] == place) & (own["sampling"] == name)]
            text, good = _cell(here, aim, name)
            cells.append(text)
            seen[name] += good is not None
            met[name] += bool(good)
        yield f"| {place} | " + " | ".join(cells) + " |"
    said = [f"{met[name]} of {seen[name]}" if name in aim.mae else "" for name in EVERYWHERE]
    yield "| **met at** | " + " | ".join(said) + " |"
    yield ""


def _asked(aim: Aim, sampling: str) -> str:
    if sampling not in aim.mae:
        return "no aim"
    p95 = f", p95 {aim.p95[sampling]:g}" if sampling in aim.p95 else ""
    return f"MAE {aim.mae[sampling]:g}{p95}"


def _cell(cases: pd.DataFrame, aim: Aim, sampling: str) -> tuple[str, bool | None]:
    """``MAE / p95 (n)`` of the worst quantity, and whether the aim is met; None where nothing was measured."""
    rows = [group["error"].dropna().abs() for _, group in cases.groupby("quantity")]
    rows = [row for row in rows if len(row)]
    if not rows:
        return (f"refused ({len(cases)})" if len(cases) else "-"), None
    mae, p95 = max(row.mean() for row in rows), max(row.quantile(0.95) for row in rows)
    asked = aim.mae.get(sampling, np.inf), aim.p95.get(sampling, np.inf)
    words = [f"{v:.2f}" if v <= most else f"**{v:.2f}**" for v, most in zip((mae, p95), asked, strict=True)]
    return f"{words[0]} / {words[1]} ({min(map(len, rows))})", bool(mae <= asked[0] and p95 <= asked[1])


def page(cases: pd.DataFrame, part: str) -> str:
    """Aims of one part, then every quantity by region and sampling."""
    tables = [aim.table for aim in AIMS[part]]
    own = cases[cases["table"].isin(tables)]
    # The largest coronal curve of the neck is another thing than that of the chest.
    curve = own["place"] == "coronal_curve"
    own = own.assign(place=own["place"].where(~curve, own["place"] + ", " + own["view"]))
    count = own.groupby(["view", "sampling"], sort=False)["seed"].nunique().unstack("view")
    count = count.reindex(list(EVERYWHERE)).reset_index()
    lines = ["## Phantoms", "", *markdown(count), ""]
    lines += ["## Aims by level and slices", "", "MAE / p95 (n); **bold**: aim missed; `-`: none in view.", ""]
    for aim in AIMS[part]:
        lines += aim_table(own, aim)
    region = {str(level): level.region for level in Level}
    named = own[own["place"].isin(region)].assign(region=own["place"].map(region))
    lines += ["## Every quantity by slices and region", ""]
    for name in EVERYWHERE:
        rest = named[named["sampling"] == name]
        lines += [f"### {name}", "", *markdown(summarise(rest, ["region", "quantity"])), ""]
    return "\n".join(lines)


def main() -> None:
    """Write the tables of a folder of phantoms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, help="folder of phantom_cases.py")
    parser.add_argument("-o", "--output", type=Path, help="write OUTPUT_bodies.md, OUTPUT_discs.md and their cases")
    options = parser.parse_args()
    cases = with_errors(read_cases(options.cases))
    for part in AIMS:
        output = options.output and options.output.with_name(f"{options.output.name}_{part}")
        write(output, page(cases, part), cases)


if __name__ == "__main__":
    main()
