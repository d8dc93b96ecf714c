"""Random phantoms with mixed pathologies, measured at several slice thicknesses: the numbers behind the accuracy pages.

Each phantom is drawn with its own seed and shows the neck, the chest or the loins. Mixed at random: fractures at about
a fifth of the levels below T3, Schmorl nodes, osteophytes, coronal curves, slips, and one thoracic or lumbar vertebra
more or less. Heights and wedging of the bodies follow other sources (see `OTHER`) than the method's own level table.

It is rendered once at 1 mm without noise and measured so; then on sagittal slices of 2 and axial ones of 3 mm or, every
other phantom, of 3 and 2 mm: thicker slices are every second or third one, as a mask drawn on such slices would be.
Each mask alone goes through `build_spine`, `measure`, `measure_discs` and `measure_curves`. The truth comes from the
phantom's parameters. Every phantom is a file of its own, so a run that was stopped goes on.

Run: .venv/bin/python benchmarks/phantom_cases.py -n 200 -o results/phantom_cases
then: .venv/bin/python benchmarks/phantom_accuracy.py results/phantom_cases -o results/phantom_accuracy
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError
from verse_morph.measure import CATALOGUE, measure, measure_curves, measure_discs
from verse_morph.measure.reference_heights import PLACES
from verse_morph.phantom import reference
from verse_morph.phantom.case import PhantomCase
from verse_morph.phantom.ct import ScannerParameters, slice_grid
from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.parameters import (
    FRACTURES,
    Alignment,
    Fracture,
    Osteophyte,
    Pathology,
    PhantomOptions,
    Schmorl,
    SpineParameters,
    Variants,
    View,
)
from verse_morph.phantom.render import render
from verse_morph.phantom.truth import body_of, heights, superior_axis, tangent_at
from verse_morph.shape import build_spine
from verse_morph.volume import LabelMap

# Slice axis (0 sagittal, 2 axial) and slice distance in mm; 1 mm within the slice.
SAMPLINGS = {
    "1 mm": (2, 1.0),
    "sagittal 2 mm": (0, 2.0),
    "sagittal 3 mm": (0, 3.0),
    "axial 2 mm": (2, 2.0),
    "axial 3 mm": (2, 3.0),
}
# Thick slices take turns: so twice as many phantoms are seen in the same time.
THICKNESSES = (("1 mm", "sagittal 2 mm", "axial 3 mm"), ("1 mm", "sagittal 3 mm", "axial 2 mm"))
# First and last level in view, and the end vertebrae of a coronal curve if there is one.
VIEWS = {
    "neck": ("C2", "T5", ("C4", "T4")),
    "chest": ("T3", "L1", ("T5", "T11")),
    "loins": ("T10", "last", ("T11", "L3")),
}
GRADED = [level for level in Level if Level.T4 <= level <= Level.L4 and level is not Level.T13]
RATE, LEAST_PCT, MOST_PCT = 0.2, 12.0, 60.0
FIRST_SEED = 20000
COLUMNS = ["sampling", "table", "place", "quantity", "true", "measured", "why", "finding"]

# Height at the back (mm): T9 to L1 rising by 1.5 mm a level (Palm et al. 2025, CT), T4 to T8 and L2 to L4 as the
# distances between body centres of VerSe20, L5 after 30.3 / 26.3 mm (CT, New Zealand). Front over back and its standard
# deviation: T10 to L2 MRI of adults without complaints (SRA 2011), L5 as above; T4 to T9, L3, L4 the usual values, for
# which no second source was found.
OTHER = """
T4 17.6 0.95 0.07
T5 18.0 0.95 0.07
T6 18.5 0.95 0.07
T7 18.8 0.95 0.07
T8 19.2 0.95 0.07
T9 19.7 0.95 0.07
T10 21.2 0.92 0.08
T11 22.7 0.92 0.08
T12 24.2 0.90 0.06
L1 25.7 0.89 0.06
L2 26.5 0.90 0.07
L3 26.7 0.98 0.07
L4 25.7 1.02 0.07
L5 26.3 1.15 0.07
"""
# The front share varies by so much in the phantoms themselves.
DRAWN_SD = 0.03
OWN_BODIES = reference.BODIES


def other_bodies(rng: np.random.Generator) -> Mapping[Level, reference.BodyRow]:
    """Body heights of other sources, the ratio of front to back drawn anew for every level."""
    rows = dict(OWN_BODIES)
    scale = reference.PANJABI_SCALE * reference.HEIGHT_SCALE
    for line in OTHER.strip().splitlines():
        name, back, share, sd = line.split()
        front = float(share) + np.sqrt(float(sd) ** 2 - DRAWN_SD**2) * rng.normal()
        level = Level(name)
        rows[level] = replace(rows[level], height_back=float(back) / scale, front_share=float(front))
    return rows


def draw(seed: int, name: str) -> SpineParameters:
    """One phantom that shows the neck, the chest or the loins."""
    rng = np.random.default_rng([seed, 7])
    upper, lower, ends = VIEWS[name]
    thoracic, lumbar = int(rng.choice([12] * 6 + [11, 13])), int(rng.choice([5] * 6 + [4, 6]))
    levels = [f"T{i}" for i in range(1, thoracic + 1)] + [f"L{i}" for i in range(1, lumbar + 1)]
    shown = levels[levels.index(upper) if upper in levels else 0 : None if lower == "last" else levels.index(lower)]
    curve = float(rng.uniform(-45, 45)) if name != "neck" and rng.random() < 0.5 else None
    slips = {}
    if rng.random() < 0.5:
        slips[f"L{lumbar - int(rng.integers(1, 3))}" if lower == "last" else "C4"] = float(rng.uniform(-3, 8))
    options = PhantomOptions(
        ribs=False,
        pelvis=False,
        variants=Variants(thoracic=thoracic, lumbar=lumbar),
        pathology=draw_pathology(rng, shown),
        alignment=Alignment(coronal_curve_deg=curve, coronal_ends=ends, slips_mm=slips),
        view=View(upper=upper, lower=lower, half_width_mm=50.0, front_mm=15.0, back_mm=12.0),
    )
    reference.BODIES = other_bodies(rng)
    return draw_parameters(np.random.default_rng([seed, 8]), options)


def draw_pathology(rng: np.random.Generator, levels: list[str]) -> Pathology:
    """Fractures where grades are given, up to two Schmorl nodes and four osteophytes."""

    def some(most: int) -> list[str]:
        return [str(level) for level in rng.choice(levels, int(rng.integers(0, most + 1)), replace=False)]

    broken = [level for level in levels if Level(level) in GRADED and rng.random() < RATE]
    return Pathology(
        tuple(Fracture(level, str(rng.choice(FRACTURES)), float(rng.uniform(LEAST_PCT, MOST_PCT))) for level in broken),
        tuple(Schmorl(level, bool(rng.random() < 0.5), float(rng.uniform(3, 6))) for level in some(2)),
        tuple(
            Osteophyte(level, bool(rng.random() < 0.5), float(rng.uniform(2, 7)), float(rng.uniform(-100, 100)))
            for level in some(4)
        ),
    )


def true_heights(parameters: SpineParameters) -> dict[Level, tuple[np.ndarray, np.ndarray, float]]:
    """Heights now and before a fracture, and width, of every level from T1 on."""
    out = {}
    for index, shape in enumerate(parameters.vertebrae):
        level = Level(shape.level)
        if level < Level.T1:
            continue
        axis = superior_axis(shape, tangent_at(parameters, index))
        now = heights(body_of(shape, parameters.options.pathology), axis)
        old = parameters.before.get(shape.level)
        before = now if old is None else heights(body_of(old, Pathology()), np.array([0.0, 0.0, 1.0]))
        out[level] = (
            np.array([now[p] for p in PLACES]),
            np.array([before[p] for p in PLACES]),
            shape.width_middle,
        )
    return out


def findings(parameters: SpineParameters) -> dict[str, str]:
    """What was put into each level: the kind of its fracture, else ``schmorl``, else nothing."""
    pathology = parameters.options.pathology
    nodes = {node.level: "schmorl" for node in pathology.schmorl_nodes}
    return nodes | {fracture.level: fracture.kind for fracture in pathology.fractures}


def run_case(seed: int, name: str) -> pd.DataFrame:
    """All numbers of one phantom at its thicknesses."""
    parameters = draw(seed, name)
    case = render(parameters, 1.0)
    parts = [_measured(case, sampling) for sampling in THICKNESSES[seed % len(THICKNESSES)]]
    table = pd.DataFrame([row for part in parts for row in part], columns=COLUMNS[:-1])
    found = findings(parameters)
    return table.assign(finding=[found.get(place, "none") for place in table["place"]])


def _measured(case: PhantomCase, sampling: str) -> list[tuple]:
    axis, distance = SAMPLINGS[sampling]
    scanner = ScannerParameters(slice_axis=axis, slice_thickness_mm=distance, slice_distance_mm=distance)
    pick, grid = slice_grid(case.grid, scanner)
    labels = np.ascontiguousarray(case.verse_labels.labels[pick])
    spine, truth = build_spine(LabelMap(labels, grid, VERSE, case.name)), case.truth
    true = with_rotation(truth.vertebrae)
    names = [entry.name for entry in CATALOGUE if entry.name in true.columns and not entry.word]
    table = measure(spine, tuple(e for e in CATALOGUE if e.name in names or e.name.startswith("height_loss")))
    rows = [("vertebrae", *row) for row in _compared(table, true, ["level"], names)]
    key = ["upper_level", "lower_level"]
    names = [name for name in truth.discs.columns if name not in key]
    rows += [("discs", *row) for row in _compared(measure_discs(spine), truth.discs, key, names)]
    # Wherever more than one curve is found, the largest comes first.
    curves, seen = measure_curves(spine).drop_duplicates("name"), truth.curves[truth.curves["in_view"]]
    rows += [("curves", *row) for row in _compared(curves, seen, ["name"], ["angle_deg"])]
    return [(sampling, *row) for row in [*rows, *_losses(table, case.parameters)]]


def _compared(found: pd.DataFrame, true: pd.DataFrame, key: list[str], names: list[str]) -> Iterator[tuple]:
    """Rows that both tables have, one per quantity: place, quantity, true, measured, why."""
    for row in found.merge(true, on=key, suffixes=("", "_true")).to_dict("records"):
        for name in names:
            if pd.notna(row[f"{name}_true"]):
                yield row[key[0]], name, float(row[f"{name}_true"]), float(row[name]), row[f"{name}_why"]


def with_rotation(vertebrae: pd.DataFrame) -> pd.DataFrame:
    """The truth with the turn of each vertebra about its own superior axis, positive to the right."""
    turn = np.degrees(np.arctan2(-vertebrae["frame_right_y"], vertebrae["frame_anterior_y"]))
    return vertebrae.assign(axial_rotation_deg=turn)


def _losses(table: pd.DataFrame, parameters: SpineParameters) -> Iterator[tuple]:
    """Height losses in per cent of the height before the fracture: with that height given, and as in life."""
    truth = true_heights(parameters)
    for row in table.to_dict("records"):
        level = Level(row["level"])
        if level not in GRADED:
            continue
        now, before, _ = truth[level]
        for place, high, old in zip(PLACES, now, before, strict=True):
            loss, seen = 100 * (1 - high / old), 100 * (1 - row[f"height_{place}_mm"] / old)
            why, name = row[f"height_{place}_mm_why"], f"height_loss_{place}_pct"
            yield "losses", row["level"], f"loss_given_{place}", loss, seen, why
            yield "losses", row["level"], f"loss_life_{place}", loss, row[name], row[f"{name}_why"]


def read_cases(folder: Path) -> pd.DataFrame:
    """All phantoms of a folder, with their seed and view."""
    parts = []
    for file in sorted(folder.glob("*.csv")):
        name, seed = file.stem.split("_")
        parts.append(pd.read_csv(file, keep_default_na=False, na_values=[""]).assign(seed=int(seed), view=name))
    return pd.concat(parts, ignore_index=True)


def run_all(
    jobs: list[tuple[int, str]], folder: Path, minutes: float, make: Callable[[int, str], pd.DataFrame]
) -> None:
    """Table of each phantom that has no file yet, until the time is up."""
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * minutes
    for seed, name in jobs:
        file = folder / f"{name}_{seed}.csv"
        if file.exists() or time.monotonic() > end:
            continue
        try:
            table = make(seed, name)
        except InputError as reason:  # this draw asks for what no patient can have
            print(f"{file.stem}: {reason}", flush=True)
            table = pd.DataFrame(columns=["sampling"])
        table.to_csv(file.with_suffix(".part"), index=False)
        file.with_suffix(".part").rename(file)


def asked(description: str, phantoms: int) -> argparse.ArgumentParser:
    """What every run over these phantoms can be told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=phantoms, help="phantoms, a third of them of each view")
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="seed of the first one")
    parser.add_argument("--view", action="append", choices=list(VIEWS), help="only these; may be repeated")
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin no phantom after this time")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder with one CSV per phantom")
    return parser


def jobs_of(options: argparse.Namespace) -> list[tuple[int, str]]:
    """Seed and view of every phantom."""
    names = list(VIEWS)
    jobs = [(options.first + i, names[i % len(names)]) for i in range(options.n)]
    return [job for job in jobs if job[1] in (options.view or names)]


def main() -> None:
    """Run all phantoms."""
    options = asked(__doc__, 200).parse_args()
    run_all(jobs_of(options), options.output, options.minutes, run_case)


if __name__ == "__main__":
    main()
