"""How far measured values lie from the truth: closed-form solids at random rotations and sub-voxel offsets.

Every case is one solid alone in its image, turned by up to 25 degrees about each axis, moved by up to half a voxel,
voxelised, and sent through `build_spine` and `measure`. Only `verse_morph.phantom` knows the truth.

Run: .venv/bin/python benchmarks/accuracy.py -o results/accuracy     (see benchmarks/README.md)
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from verse_morph.anatomy import Level
from verse_morph.errors import VerseMorphError
from verse_morph.phantom.solids import (
    Body,
    Ellipsoid,
    Placement,
    Sampling,
    Solid,
    SolidVertebra,
    numeric_volume_mm3,
    rotation,
    spine_labelmap,
)

MAX_TURN_DEG = 25.0
SOLIDS: dict[str, Solid] = {
    "plain": SolidVertebra(Body(46, 35, 27, 26)),
    "concave": SolidVertebra(Body(44, 34, 27, 27.5, concavity_superior=1.5, concavity_inferior=2.5)),
    "wedge": SolidVertebra(Body(43, 34, 16, 25, concavity_superior=1.0)),
    "lateral wedge": SolidVertebra(Body(45, 34, 26, 26, right_minus_left=5.0)),
    "box": SolidVertebra(Body(46, 34, 27, 25, footprint="box")),
    "ellipse": SolidVertebra(Body(47, 35, 26, 26, footprint="ellipse")),
    "ellipsoid": Ellipsoid(23, 18, 14),
}
SAMPLINGS: dict[str, tuple[float, float, float]] = {  # right-left, front-back, up-down
    "0.5 mm": (0.5, 0.5, 0.5),
    "1 mm": (1.0, 1.0, 1.0),
    "sagittal 2 mm": (2.0, 1.0, 1.0),
    "sagittal 3 mm": (3.0, 1.0, 1.0),
    "axial 2 mm": (1.0, 1.0, 2.0),
    "axial 3 mm": (1.0, 1.0, 3.0),
}
# What each length is measured along, in the vertebra's own axes: its voxel size is that of the grid in this direction.
DIRECTIONS = {"width": (1, 0, 0), "depth": (0, 1, 0), "height": (0, 0, 1), "concavity": (0, 0, 1)}
# Aims: largest absolute mean error and largest 95th percentile of the absolute error; lengths in voxels, the rest
# in the unit shown.
AIMS = {"voxel": (0.1, 0.7), "deg": (np.inf, 1.0), "volume": (np.inf, 1.5), "area": (np.inf, 2.0)}

EXPLANATION = f"""Errors are measured minus true; volumes and areas in percent of the truth. A voxel is the grid's
size along the direction measured. `missing` counts values that were refused with a reason.
Rotations up to {MAX_TURN_DEG:g} degrees about each axis. Aims: heights, widths and depths |bias| <=
0.1 voxel and p95 <= 0.7 voxel; tilts p95 <= 1 degree; volumes p95 <= 1.5 %; surface p95 <= 2 %. The
true volume of a whole vertebra is counted on a fine lattice (within 0.1 %), everything else is
closed form. With the solid `ellipse` the bone between the body's curved back and the plane of the
canal's front belongs to the pedicles in the truth, while a cut at that plane counts it as body."""


@dataclass(frozen=True)
class Case:
    """One solid in one image."""

    solid: str
    sampling: str
    number: int


@functools.cache
def fixed_truth(name: str) -> dict[str, float]:
    """True values that do not depend on where the solid lies; a vertebra's whole volume is counted, not closed form."""
    solid = SOLIDS[name]
    if isinstance(solid, Ellipsoid):
        return {"vertebra_volume_cm3": solid.volume_mm3 / 1e3, "surface_area_cm2": solid.area_mm2 / 1e2}
    return {"vertebra_volume_cm3": numeric_volume_mm3(solid) / 1e3}


def placement(case: Case) -> Placement:
    """Random rotation and offset, the same for a case on every machine."""
    generator = np.random.default_rng(
        [list(SAMPLINGS).index(case.sampling), list(SOLIDS).index(case.solid), case.number]
    )
    turn = rotation(*generator.uniform(-MAX_TURN_DEG, MAX_TURN_DEG, 3))
    return Placement(turn, generator.uniform(-0.5, 0.5, 3) * SAMPLINGS[case.sampling])


def voxel_mm(column: str, place: Placement, spacing: np.ndarray) -> float:
    """Extent of a voxel along the direction in which a length is measured, mm; 1 for what is not a length."""
    for word, direction in DIRECTIONS.items():
        if word in column and column.endswith("_mm"):
            return float(np.linalg.norm(spacing * (place.rotation @ np.array(direction))))
    if column in ("body_x_mm", "body_y_mm", "body_z_mm"):
        return float(spacing["xyz".index(column[5])])
    return 1.0


def run_case(case: Case) -> list[dict]:
    """Rows of truth and measurement of one case, one per quantity; a refused case is a row with its reason."""
    from verse_morph.measure import measure
    from verse_morph.measure.size import surface_area, vertebra_volume
    from verse_morph.shape import build_spine

    solid, place = SOLIDS[case.solid], placement(case)
    spacing = np.array(SAMPLINGS[case.sampling])
    truth = dict(fixed_truth(case.solid))
    if isinstance(solid, SolidVertebra):
        truth |= solid.truth(place)
    labels = spine_labelmap({Level.L3: (solid, place)}, Sampling(tuple(spacing), margin_mm=10))
    start = time.perf_counter()
    try:
        spine = build_spine(labels)
        row = measure(spine).iloc[0].to_dict()
        if isinstance(solid, Ellipsoid):
            # An ellipsoid has no arch: the table calls it a body alone, and its label is measured here directly.
            whole = replace(spine.vertebrae[0], why={})
            row |= {size.name: size(whole) for size in (vertebra_volume, surface_area)}
        refused = ""
    except VerseMorphError as error:
        row, refused = {}, f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - start
    base = {"solid": case.solid, "sampling": case.sampling, "number": case.number, "seconds": seconds}
    rows = []
    for column, true in truth.items():
        why = refused or row.get(f"{column}_why", "" if column in row else "no such column")
        entry = {"quantity": column, "true": true, "measured": row.get(column, np.nan), "why": why}
        rows.append(base | entry | {"voxel_mm": voxel_mm(column, place, spacing)})
    return rows


def error_of(cases: pd.DataFrame) -> pd.DataFrame:
    """Add each row's error in its unit (percent for volumes and areas), and its kind for the aims."""
    out = cases.copy()
    difference = out["measured"] - out["true"]
    relative = out["quantity"].str.contains("volume|area")
    out["error"] = difference.where(~relative, 100 * difference / out["true"])
    out["unit"] = np.select([relative, out["quantity"].str.endswith("_deg")], ["%", "deg"], "mm")
    return out


def summarise(cases: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Bias, mean absolute error, scatter and 95th percentile of the absolute error per group."""
    keys = [*by, "quantity", "unit"]
    rows = []
    for values, group in cases.groupby(keys, sort=False):
        known = group.dropna(subset="error")
        error, voxels = known["error"], known["error"] / known["voxel_mm"]
        row = dict(zip(keys, values, strict=True)) | {"n": len(known), "missing": len(group) - len(known)}
        row |= {"bias": error.mean(), "mae": error.abs().mean(), "sd": error.std(), "p95": error.abs().quantile(0.95)}
        is_length = row["unit"] == "mm"
        row["bias_voxel"] = voxels.mean() if is_length else np.nan
        row["p95_voxel"] = voxels.abs().quantile(0.95) if is_length else np.nan
        rows.append(row | {"aim": verdict(row)})
    return pd.DataFrame(rows)


def verdict(row: dict) -> str:
    """Whether a line of the summary meets its aim; empty where none is set."""
    name = row["quantity"]
    kind = (
        "deg"
        if row["unit"] == "deg"
        else "volume"
        if "volume" in name
        else "area"
        if name == "surface_area_cm2"
        else ""
    )
    if row["unit"] == "mm" and any(word in name for word in ("height", "width", "depth")):
        kind = "voxel"
    if not kind or row["n"] == 0:
        return ""
    bias, p95 = (row["bias_voxel"], row["p95_voxel"]) if kind == "voxel" else (row["bias"], row["p95"])
    most_bias, most_p95 = AIMS[kind]
    return "met" if abs(bias) <= most_bias and p95 <= most_p95 else "missed"


def markdown(table: pd.DataFrame) -> str:
    """A summary as a Markdown table with sensible digits."""
    shown = table.copy()
    for column in ("bias", "mae", "sd", "p95", "bias_voxel", "p95_voxel"):
        shown[column] = [("" if pd.isna(v) else f"{v:.2f}") for v in shown[column]]
    for column in ("n", "missing"):
        shown[column] = shown[column].astype(int).astype(str)
    shown.columns = [c.replace("_voxel", " (voxel)") for c in shown.columns]
    lines = ["| " + " | ".join(shown.columns) + " |", "|" + "|".join("---" for _ in shown.columns) + "|"]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in shown.itertuples(index=False)]
    return "\n".join(lines)


def report(cases: pd.DataFrame) -> str:
    """The whole report: per sampling, then per solid at 1 mm, then why values are missing."""
    per_solid = cases[
        cases["sampling"] == ("1 mm" if (cases["sampling"] == "1 mm").any() else cases["sampling"].iloc[0])
    ]
    seconds = cases.groupby(["sampling", "solid", "number"])["seconds"].first().groupby("sampling", sort=False).median()
    reasons = cases[cases["measured"].isna()].groupby(["sampling", "quantity", "why"]).size()
    parts = [
        "# Accuracy on closed-form solids",
        f"verse_morph {version()}, numpy {np.__version__}, Python {platform.python_version()}.",
        EXPLANATION,
        "## Per sampling (all solids together)",
        markdown(summarise(cases, ["sampling"])),
        f"## Per solid, {per_solid['sampling'].iloc[0]}",
        markdown(summarise(per_solid, ["solid"])),
        "## Seconds per vertebra (median)",
        "\n".join(f"- {name}: {value:.2f}" for name, value in seconds.items()),
    ]
    if len(reasons):
        parts += [
            "## Missing values",
            "\n".join(f"- {' / '.join(map(str, key))}: {count}" for key, count in reasons.items()),
        ]
    return "\n\n".join(parts) + "\n"


def version() -> str:
    import verse_morph

    return verse_morph.__version__


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(text)
    os.replace(partial, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "-n", type=int, default=9, help="cases per solid and sampling (9 makes 54 vertebrae per sampling)"
    )
    parser.add_argument("--sampling", action="append", choices=list(SAMPLINGS), help="only these; may be repeated")
    parser.add_argument("--solid", action="append", choices=list(SOLIDS), help="only these; may be repeated")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "-o", "--output", type=Path, help="write OUTPUT.md and OUTPUT.csv (one row per case and quantity)"
    )
    options = parser.parse_args()
    samplings, solids = options.sampling or list(SAMPLINGS), options.solid or list(SOLIDS)
    cases = [Case(solid, sampling, i) for sampling in samplings for solid in solids for i in range(options.n)]
    if options.workers > 1:
        with ProcessPoolExecutor(options.workers) as pool:
            results = list(pool.map(run_case, cases, chunksize=4))
    else:
        results = [run_case(case) for case in cases]
    table = error_of(pd.DataFrame([row for rows in results for row in rows]))
    text = report(table)
    print(text)
    if options.output:
        write(options.output.with_suffix(".md"), text)
        write(options.output.with_suffix(".csv"), table.to_csv(index=False))


if __name__ == "__main__":
    main()
