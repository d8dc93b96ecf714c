"""How far the core measurements lie from the truth on anatomical phantoms, by region and by slice thickness.

Each phantom is drawn with its own seed, rendered without noise on each sampling, and its mask alone goes through
`build_spine` and `measure`. The truth comes from the phantom's parameters. Only values that the truth has and the table
measured are compared; refused ones are counted.

Run: .venv/bin/python benchmarks/phantom_accuracy.py -n 50 -o results/phantom_accuracy
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from report_parts import markdown, write

from verse_morph.anatomy import Level

SAMPLINGS: dict[str, tuple[float, float, float]] = {  # right-left, front-back, up-down
    "1 mm": (1.0, 1.0, 1.0),
    "sagittal 2 mm": (2.0, 1.0, 1.0),
    "sagittal 3 mm": (3.0, 1.0, 1.0),
    "axial 2 mm": (1.0, 1.0, 2.0),
    "axial 3 mm": (1.0, 1.0, 3.0),
}
RELATIVE = ("cm3", "cm2", "mm2")


def run_case(job: tuple[int, str]) -> pd.DataFrame:
    """Truth and measurement of one phantom on one sampling, one row per vertebra and quantity."""
    from verse_morph.measure import CATALOGUE, measure
    from verse_morph.phantom.draw import draw_parameters
    from verse_morph.phantom.parameters import PhantomOptions
    from verse_morph.phantom.render import render
    from verse_morph.shape import build_spine

    seed, sampling = job
    parameters = draw_parameters(np.random.default_rng(seed), PhantomOptions(ribs=False, pelvis=False))
    case = render(parameters, SAMPLINGS[sampling])
    table = measure(build_spine(case.verse_labels)).set_index("level")
    truth = case.truth.vertebrae.set_index("level")
    names = [entry.name for entry in CATALOGUE if entry.name in truth.columns and not entry.word]
    rows = []
    for level in table.index.intersection(truth.index):
        for name in names:
            true, measured = truth.at[level, name], table.at[level, name]
            if pd.notna(true):
                rows.append((seed, sampling, level, name, float(true), float(measured), table.at[level, f"{name}_why"]))
    columns = ["seed", "sampling", "level", "quantity", "true", "measured", "why"]
    return pd.DataFrame(rows, columns=columns)


def summarise(cases: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Bias, mean absolute error and 95th percentile of the absolute error; percent for areas and volumes."""
    relative = cases["quantity"].str.endswith(RELATIVE)
    error = cases["measured"] - cases["true"]
    out = cases.assign(error=error.where(~relative, 100 * error / cases["true"]), refused=cases["measured"].isna())
    rows = []
    for keys, group in out.groupby(by, sort=False):
        known = group["error"].dropna()
        if known.empty:
            continue
        row = dict(zip(by, keys, strict=True))
        row |= {
            "n": len(known),
            "refused": int(group["refused"].sum()),
            "bias": known.mean(),
            "mae": known.abs().mean(),
        }
        rows.append(row | {"p95": known.abs().quantile(0.95)})
    return pd.DataFrame(rows)


def main() -> None:
    """Run all phantoms and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=50, help="phantoms")
    parser.add_argument("--sampling", action="append", choices=list(SAMPLINGS), help="only these; may be repeated")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, help="write OUTPUT.md and OUTPUT.csv")
    options = parser.parse_args()
    jobs = [(seed, sampling) for sampling in options.sampling or SAMPLINGS for seed in range(options.n)]
    with ProcessPoolExecutor(options.workers) as pool:
        cases = pd.concat(list(pool.map(run_case, jobs)), ignore_index=True)
    cases["region"] = [Level(level).region for level in cases["level"]]
    text = ["# Core measurements on anatomical phantoms", "", f"{options.n} phantoms, masks without noise. Errors are"]
    text += [
        "measured minus true, in mm or degrees, in percent for areas and volumes. `refused`: given with a reason.",
        "",
    ]
    text += ["## By sampling", "", *markdown(summarise(cases, ["sampling", "quantity"])), ""]
    text += ["## By region and sampling", "", *markdown(summarise(cases, ["sampling", "region", "quantity"])), ""]
    text += ["## By level, 1 mm", ""]
    text += [*markdown(summarise(cases[cases["sampling"] == "1 mm"], ["level", "quantity"])), ""]
    write(options.output, "\n".join(text), cases)


if __name__ == "__main__":
    main()
