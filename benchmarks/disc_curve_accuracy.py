"""How far discs, slips and angles lie from the truth on anatomical phantoms, by slice thickness and by level.

Each phantom is drawn with its own seed: natural spread, and, mixed at random, fractures, Schmorl nodes, osteophytes,
coronal curves, slips, and one thoracic or lumbar vertebra more or less. It is rendered without noise on each sampling,
and its mask alone goes through `build_spine`, `measure_discs`, `measure_curves` and `measure`. The truth comes from the
phantom's parameters; refused values are counted.

Run: .venv/bin/python benchmarks/disc_curve_accuracy.py -n 42 -o results/disc_curve_accuracy
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from report_parts import markdown, write

from verse_morph.anatomy import Level

SAMPLINGS: dict[str, tuple[float, float, float]] = {  # right-left, front-back, up-down
    "1 mm": (1.0, 1.0, 1.0),
    "sagittal 3 mm": (3.0, 1.0, 1.0),
    "axial 2 mm": (1.0, 1.0, 2.0),
    "axial 3 mm": (1.0, 1.0, 3.0),
}
FRACTURES = ("wedge", "biconcave", "crush")
# First and last level in view, and the end vertebrae of a coronal curve if there is one; a phantom shows one of them.
VIEWS = (("C2", "T5", ("C4", "T4")), ("T3", "L1", ("T5", "T11")), ("T10", "last", ("T11", "L3")))
FIRST_OPTION_SEED = 1000


def draw_options(rng: np.random.Generator, view: int) -> Any:
    """What is asked of one phantom."""
    from verse_morph.phantom.parameters import Alignment, PhantomOptions, Variants, View

    upper, lower, ends = VIEWS[view]
    thoracic, lumbar = int(rng.choice([12] * 6 + [11, 13])), int(rng.choice([5] * 6 + [4, 6]))
    names = [f"T{i}" for i in range(1, thoracic + 1)] + [f"L{i}" for i in range(1, lumbar + 1)]
    shown = names[names.index(upper) if upper in names else 0 : len(names) if lower == "last" else names.index(lower)]
    curve = float(rng.uniform(-45, 45)) if view and rng.random() < 0.5 else None
    slips = {}
    if rng.random() < 0.5:
        slips[f"L{lumbar - int(rng.integers(1, 3))}" if lower == "last" else "C4"] = float(rng.uniform(-3, 8))
    return PhantomOptions(
        ribs=False,
        pelvis=False,
        variants=Variants(thoracic=thoracic, lumbar=lumbar),
        pathology=draw_pathology(rng, shown),
        alignment=Alignment(coronal_curve_deg=curve, coronal_ends=ends, slips_mm=slips),
        view=View(upper=upper, lower=lower, half_width_mm=50.0),
    )


def draw_pathology(rng: np.random.Generator, levels: list[str]) -> Any:
    """Up to two fractures, two Schmorl nodes and four osteophytes."""
    from verse_morph.phantom.parameters import Fracture, Osteophyte, Pathology, Schmorl

    def some(most: int) -> list[str]:
        return [str(level) for level in rng.choice(levels, int(rng.integers(0, most + 1)), replace=False)]

    return Pathology(
        tuple(Fracture(level, str(rng.choice(FRACTURES)), float(rng.uniform(15, 55))) for level in some(2)),
        tuple(Schmorl(level, bool(rng.random() < 0.5), float(rng.uniform(3, 6))) for level in some(2)),
        tuple(
            Osteophyte(level, bool(rng.random() < 0.5), float(rng.uniform(2, 7)), float(rng.uniform(-100, 100)))
            for level in some(4)
        ),
    )


def spine_and_truth(seed: int, sampling: str, keep: Path | None) -> tuple[Any, Any]:
    """Spine and truth of one phantom; read from ``keep`` where it was made before."""
    from verse_morph.phantom.draw import draw_parameters
    from verse_morph.phantom.render import render
    from verse_morph.shape import build_spine

    file = None if keep is None else keep / f"{sampling.replace(' ', '_')}_{seed:03d}.pkl"
    if file is not None and file.exists():
        return pickle.loads(file.read_bytes())
    options = draw_options(np.random.default_rng(FIRST_OPTION_SEED + seed), seed % len(VIEWS))
    parameters = draw_parameters(np.random.default_rng(seed), options)
    case = render(parameters, SAMPLINGS[sampling])
    made = build_spine(case.verse_labels), case.truth
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".part").write_bytes(pickle.dumps(made))
        file.with_suffix(".part").rename(file)
    return made


def run_case(job: tuple[int, str, Path | None]) -> pd.DataFrame:
    """Truth and measurement of one phantom on one sampling, one row per quantity and place."""
    from verse_morph.errors import VerseMorphError
    from verse_morph.measure import CATALOGUE, measure, measure_curves, measure_discs

    seed, sampling, keep = job
    try:
        spine, truth = spine_and_truth(seed, sampling, keep)
    except VerseMorphError:  # this draw asks for what no patient can have
        return pd.DataFrame()
    key = ["upper_level", "lower_level"]
    names = [name for name in truth.discs.columns if name not in key]
    rows = list(_compared(measure_discs(spine), truth.discs, key, names, "upper_level"))
    # Wherever more than one curve is found, the largest comes first.
    curves = measure_curves(spine).drop_duplicates("name")
    rows += _compared(curves, truth.curves[truth.curves["in_view"]], ["name"], ["angle_deg"], "name")
    turned = "axial_rotation_deg"
    vertebrae = measure(spine, tuple(entry for entry in CATALOGUE if entry.name == turned))
    rows += _compared(vertebrae, _with_rotation(truth.vertebrae), ["level"], [turned], "level")
    out = pd.DataFrame(rows, columns=["place", "quantity", "true", "measured", "why"])
    return out.assign(seed=seed, sampling=sampling)


def _compared(
    found: pd.DataFrame, true: pd.DataFrame, key: list[str], names: list[str], place: str
) -> Iterator[tuple[str, str, float, float, str]]:
    """Rows that both tables have, one per quantity."""
    both = found.merge(true, on=key, suffixes=("", "_true"))
    for row in both.to_dict("records"):
        for name in names:
            if pd.notna(row[f"{name}_true"]):
                yield row[place], name, float(row[f"{name}_true"]), float(row[name]), row[f"{name}_why"]


def _with_rotation(vertebrae: pd.DataFrame) -> pd.DataFrame:
    """The truth with the turn of each vertebra about its own superior axis, positive to the right."""
    known = vertebrae.dropna(subset=["frame_right_y"])
    turn = np.degrees(np.arctan2(-known["frame_right_y"], known["frame_anterior_y"]))
    return known[["level"]].assign(axial_rotation_deg=turn)


def summarise(cases: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Bias, mean absolute error, 95th percentile and largest of the absolute error, in mm, percent or degrees."""
    out = cases.assign(error=cases["measured"] - cases["true"], refused=cases["measured"].isna())
    rows = []
    for keys, group in out.groupby(by, sort=False):
        known = group["error"].dropna()
        if known.empty:
            continue
        row = dict(zip(by, keys, strict=True)) | {"n": len(known), "refused": int(group["refused"].sum())}
        size = known.abs()
        rows.append(row | {"bias": known.mean(), "mae": size.mean(), "p95": size.quantile(0.95), "max": size.max()})
    return pd.DataFrame(rows)


def report(cases: pd.DataFrame) -> str:
    """The page of all tables."""
    level = cases["quantity"] != "angle_deg"
    count = cases.groupby("sampling", sort=False)["seed"].nunique()
    parts = ["Phantoms: " + ", ".join(f"{name} {n}" for name, n in count.items()) + "."]
    parts += ["", "## Discs, slip and rotation, by sampling", ""]
    parts += markdown(summarise(cases[level], ["sampling", "quantity"]))
    parts += ["", "## Angles, by sampling", "", *markdown(summarise(cases[~level], ["sampling", "place"]))]
    parts += ["", "## By region (of the upper level) and sampling", ""]
    named = cases[level].assign(region=[Level(place).region for place in cases.loc[level, "place"]])
    parts += markdown(summarise(named, ["sampling", "region", "quantity"]))
    parts += ["", "## By level (the upper one of a disc), 1 mm", ""]
    parts += markdown(summarise(cases[level & (cases["sampling"] == "1 mm")], ["place", "quantity"]))
    return "\n".join(parts) + "\n"


def main() -> None:
    """Run all phantoms and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=42, help="phantoms, a third of them in each view")
    parser.add_argument("--sampling", action="append", choices=list(SAMPLINGS), help="only these; may be repeated")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder in which built spines are kept and looked for")
    parser.add_argument("-o", "--output", type=Path, help="write OUTPUT.md and OUTPUT.csv")
    options = parser.parse_args()
    jobs = [(seed, sampling, options.keep) for sampling in options.sampling or SAMPLINGS for seed in range(options.n)]
    with ProcessPoolExecutor(options.workers) as pool:
        cases = pd.concat(list(pool.map(run_case, jobs)), ignore_index=True)
    text = report(cases)
    write(options.output, text, cases)


if __name__ == "__main__":
    main()
