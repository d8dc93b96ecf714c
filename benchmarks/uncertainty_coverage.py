"""How often the truth lies within two standard deviations of redrawn outlines, by quantity.

Each phantom is drawn with its own seed and its mask rendered without error. `within, %` counts measurements of that
perfect mask; `within when redrawn, %` counts measurements of every redrawn one, whose outlines are off by half a voxel
as a reader's may be. About 95 % is what two standard deviations promise; less says that a bias is not in them, more
that they are larger than needed. Bias is the mean error in standard deviations.

Every phantom is a file of its own, so a run that was stopped goes on.

Run: .venv/bin/python benchmarks/uncertainty_coverage.py -n 4 -o results/uncertainty_coverage
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from phantom_cases import read_cases, run_all
from report_parts import markdown, write

SAMPLINGS = {"1 mm": (1.0, 1.0, 1.0), "sagittal 2 mm": (2.0, 1.0, 1.0), "axial 2 mm": (1.0, 1.0, 2.0)}
KEYS = {"vertebrae": ["level"], "discs": ["upper_level"], "curves": ["name"]}


def run_case(seed: int, sampling: str, draws: int) -> pd.DataFrame:
    """Truth, measurement, spread and redrawn measurements of one phantom, one row per number."""
    from verse_morph.measure import measure, measure_curves, measure_discs
    from verse_morph.measure.uncertainty import redrawn, spread
    from verse_morph.phantom.draw import draw_parameters
    from verse_morph.phantom.parameters import PhantomOptions, View
    from verse_morph.phantom.render import render
    from verse_morph.shape import build_spine

    view = View(upper="T11", half_width_mm=48.0, front_mm=10.0, back_mm=8.0)
    options = PhantomOptions(ribs=False, pelvis=False, view=view)
    case = render(draw_parameters(np.random.default_rng(seed), options), SAMPLINGS[sampling])
    makers = {"vertebrae": measure, "discs": measure_discs, "curves": measure_curves}
    here, drawn = build_spine(case.verse_labels), list(redrawn(case.verse_labels, None, draws, seed))
    rows = []
    for table, make in makers.items():
        truth = getattr(case.truth, table)
        if table == "curves":
            truth = truth[truth["in_view"]]
        found, others = make(here), [make(spine) for spine in drawn]
        spreads = spread(found, others)
        numbers = [c for c in found if f"{c}_sd" in spreads and c in truth]
        index = KEYS[table]
        found, spreads, truth = (t.drop_duplicates(index).set_index(index) for t in (found, spreads, truth))
        others = [t.drop_duplicates(index).set_index(index).reindex(found.index) for t in others]
        for key in found.index.intersection(truth.index):
            for name in numbers:
                row = {"seed": seed, "sampling": sampling, "table": table, "row": key, "quantity": name}
                row |= {"true": truth.at[key, name], "measured": found.at[key, name]}
                row |= {
                    "sd": spreads.at[key, f"{name}_sd"],
                    "redrawn": json.dumps([float(t.at[key, name]) for t in others]),
                }
                rows.append(row)
    return pd.DataFrame(rows)


def summarise(cases: pd.DataFrame) -> pd.DataFrame:
    """Coverage by sampling and quantity."""
    rows = []
    for (sampling, table, name), group in cases.groupby(["sampling", "table", "quantity"], sort=False):
        known = group[group["sd"].notna() & group["true"].notna() & (group["sd"] > 0)]
        if known.empty:
            continue
        error = (known["measured"] - known["true"]) / known["sd"]
        again = np.array([json.loads(drawn) for drawn in known["redrawn"]]) - known[["true"]].to_numpy(float)
        again = again / known[["sd"]].to_numpy(float)
        rows.append(
            {
                "sampling": sampling,
                "table": table,
                "quantity": f"`{name}`",
                "n": len(known),
                "without SD": len(group) - len(known),
                "median SD": float(known["sd"].median()),
                "bias in SD": float(error.mean()),
                "within, %": 100 * float((error.abs() <= 2).mean()),
                "within when redrawn, %": 100 * float((np.abs(again[np.isfinite(again)]) <= 2).mean()),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Run all phantoms and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=4, help="phantoms")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--sampling", action="append", choices=list(SAMPLINGS), help="only these; may be repeated")
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin no phantom after this time")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder with one CSV per phantom, and the table"
    )
    options = parser.parse_args()
    names = {sampling.replace(" ", "-"): sampling for sampling in options.sampling or SAMPLINGS}
    jobs = [(seed, name) for seed in range(options.n) for name in names]
    run_all(jobs, options.output, options.minutes, lambda seed, name: run_case(seed, names[name], options.draws))
    cases = read_cases(options.output)
    text = ["# Coverage of two standard deviations", ""]
    text += [f"{cases['seed'].nunique()} phantoms, T11 to L5, {options.draws} draws.", ""]
    text += [*markdown(summarise(cases), lambda column: 0 if "%" in column else 2), ""]
    write(options.output, "\n".join(text), cases)


if __name__ == "__main__":
    main()
