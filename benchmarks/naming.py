"""How often scans are named rightly, nothing given, and from which margin on a numbering can be believed.

    verse-morph phantom -o unseen --n 60 --seed 4242
    python benchmarks/naming.py unseen [more folders ...] [--weights DIR] [-o naming.csv]

Folders in VerSe's layout with centroids. Only locating and naming run, no outlines. A true vertebra with less than 8 mm
of scan above or below its centre is a sliver and is not counted. ``identified``: the nearest named point within 20 mm
bears its level. A scan is wrong when a named point within 10 mm of a true one bears another level: further away it may
be a vertebra cut by the border, of which the truth has no point. The table gives, for every margin, how many scans
reach it and how many of those are wrong, with Wilson's 95 % interval; the last line is ``identified NN.N % of N, scans
wrong N of M``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from statsmodels.stats.proportion import proportion_confint

from verse_morph.anatomy import Level
from verse_morph.io import find_cases, read_centroids, read_scan
from verse_morph.io.verse import Case
from verse_morph.segment.chain_prior import load_prior
from verse_morph.segment.compute import choose_compute
from verse_morph.segment.identify import identify, reliance
from verse_morph.segment.locate import locate
from verse_morph.segment.weights import has_weights, load_network
from verse_morph.space import Grid

FAR_MM, NEAR_MM = 20.0, 10.0
SLIVER_MM = 8.0
MARGINS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
Points = dict[Level, np.ndarray]


def whole(points: Points, grid: Grid) -> Points:
    """The vertebrae whose body is in view."""
    up = np.array([0.0, 0.0, SLIVER_MM])
    return {
        level: point
        for level, point in points.items()
        if level is not Level.S1 and grid.contains(point + up) and grid.contains(point - up)
    }


def judged(said: Points, true: Points, counted: Points) -> dict[str, float]:
    """Counts of one scan."""
    names, places = list(said), np.array(list(said.values())).reshape(-1, 3)
    right = wrong = 0
    for level, point in counted.items():
        apart = np.linalg.norm(places - point, axis=1)
        right += bool(len(apart)) and apart.min() <= FAR_MM and names[int(apart.argmin())] is level
    levels, points = list(true), np.array(list(true.values()))
    for level, point in said.items():
        apart = np.linalg.norm(points - point, axis=1)
        wrong += apart.min() <= NEAR_MM and levels[int(apart.argmin())] is not level
    return {"n": len(counted), "right": right, "wrong": wrong}


def rows_of(cases: list[Case], weights: Path | None) -> pd.DataFrame:
    """One row per scan."""
    compute = choose_compute("cpu", 1)
    (locating, where), (naming, what) = (load_network(stage, weights) for stage in ("locate", "identify"))
    asking, how = load_network("ribs", weights) if has_weights("ribs", weights) else (None, None)
    rely = reliance(where.metrics, what.metrics, None if how is None else how.metrics)
    prior, rows = load_prior(), []
    for case in cases:
        scan = read_scan(case.ct)
        true = {v: p for v, p in read_centroids(case.centroids, scan.grid).points_mm.items() if v is not Level.S1}
        counted, location = whole(true, scan.grid), locate(scan, locating, compute)
        if location.found:
            decoding = identify(scan, location, naming, prior, compute, rely, asking).decoding
            row = judged(dict(decoding.points_mm), true, counted) | {"margin": decoding.margin}
        else:
            row = judged({}, true, counted) | {"margin": None}
        rows.append({"scan": case.scan} | row)
        print(*rows[-1].values(), flush=True)
    return pd.DataFrame(rows)


def by_margin(table: pd.DataFrame) -> pd.DataFrame:
    """For every margin: scans that reach it, those of them that are wrong, and the interval of that share."""
    out = []
    for margin in MARGINS:
        sure = table[table["margin"] >= margin]
        wrong = int((sure["wrong"] > 0).sum())
        low, high = proportion_confint(wrong, len(sure), method="wilson") if len(sure) else (np.nan, np.nan)
        out.append((margin, len(sure), wrong, round(100 * low, 1), round(100 * high, 1)))
    return pd.DataFrame(out, columns=["margin of at least", "scans", "wrong", "low %", "high %"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cases = [case for folder in given.folders for case in find_cases(folder)]
    table = rows_of(cases, given.weights)
    if given.output:
        table.to_csv(given.output, index=False)
    print(by_margin(table).to_string(index=False))
    share = 100 * table["right"].sum() / table["n"].sum()
    print(f"identified {share:.1f} % of {table['n'].sum()}, scans wrong {(table['wrong'] > 0).sum()} of {len(table)}")


if __name__ == "__main__":
    main()
