"""How often the naming stage names a row of vertebrae rightly, and whether its margin tells when it does not.

    python benchmarks/naming.py --phantoms 70 --skip 40 --cache CACHE [--weights DIR] [-n 90]

Phantoms that training did not see (their first ``--skip`` are left out) are painted and simulated with random fields of
view at 2 mm; the column's course is that of the true vertebrae, so that only naming is judged. A vertebra is identified
when the nearest named point within 20 mm of it bears its level. Rows for several tempers of the heatmaps' evidence: a
network that is wrong is wrong about neighbours alike, so its votes are not independent. The last line is
``identified NN.N % wrong and not in doubt N of M``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment

from verse_morph.segment.chain_prior import load_prior
from verse_morph.segment.compute import choose_compute, running
from verse_morph.segment.decode import Decoding, decode
from verse_morph.segment.identify import TEMPER, candidates, detections_of
from verse_morph.segment.train.sources import load_sources
from verse_morph.segment.train.spine_samples import VERTEBRA, PaintedScan, ScanPool
from verse_morph.segment.views import SPACING_MM, Views, course, project
from verse_morph.segment.weights import load_network
from verse_morph.space import Grid

SEED = 4242
TEMPERS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15)
FAR_MM = 20.0
MARGINS = (1, 2, 3, 5, 8)
Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def views_of(scan: PaintedScan, divisor: int) -> tuple[Views, np.ndarray] | None:
    line = course(scan.classes == VERTEBRA)
    if line is None or not len(scan.ranks):
        return None
    return project(scan.hu, line, divisor * -(-scan.hu.shape[2] // divisor)), line


def found_in(scan: PaintedScan, model: torch.nn.Module) -> Found | None:
    """Bodies (world mm), level evidence and confidence of one scan."""
    seen = views_of(scan, model.shape.divisor)
    if seen is None:
        return None
    views, line = seen
    compute = choose_compute("cpu", 1)
    with torch.no_grad(), running(compute):
        inputs = [torch.from_numpy(view)[None] for view in (views.sagittal, views.coronal)]
        maps = [torch.softmax(logits.float(), dim=1)[0].numpy() for logits in model(*inputs)]
    grid = Grid(scan.hu.shape, np.diag([SPACING_MM] * 3 + [1.0]))
    return candidates(maps[0], maps[1], views, line, grid)


def judged(decoding: Decoding, scan: PaintedScan) -> dict[str, float]:
    """Counts of one scan: true vertebrae, detected, identified; extra ones."""
    true = scan.points * SPACING_MM
    said = np.array([level.rank for level in decoding.points_mm])
    points = np.array(list(decoding.points_mm.values())).reshape(-1, 3)
    if not len(points):
        return {"n": len(true), "found": 0, "right": 0, "extra": 0}
    apart = np.linalg.norm(true[:, None] - points[None], axis=-1)
    rows, columns = linear_sum_assignment(np.minimum(apart, 1000))
    near = apart[rows, columns] <= FAR_MM
    right = near & (said[columns] == scan.ranks[rows])
    return {"n": len(true), "found": near.sum(), "right": right.sum(), "extra": len(points) - near.sum()}


def in_words(table: pd.DataFrame) -> str:
    """Figures of all scans."""
    n, wrong = table["n"].sum(), table["right"] < table["found"]
    share = {name: 100 * table[name].sum() / n for name in ("found", "right")}
    beyond = {m: table["margin"] >= m for m in MARGINS}
    silent = ", ".join(f"{(wrong & sure).sum()}/{sure.sum()} beyond {m}" for m, sure in beyond.items())
    return (
        f"found {share['found']:.1f} %, extra {table['extra'].sum()}, identified {share['right']:.1f} %, rows named "
        f"rightly {(~wrong).sum()} of {len(table)}; wrong by margin: {silent}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=70)
    parser.add_argument("--skip", type=int, default=40)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("-n", type=int, default=90)
    given = parser.parse_args()
    sources = load_sources([f"phantoms:{given.phantoms}@7"], given.cache)
    unseen = list(dict.fromkeys(source.name for source in sources))[given.skip :]
    pool = ScanPool([source for source in sources if source.name in unseen], SEED, given.n, given.cache)
    model, prior = load_network("identify", given.weights)[0].eval(), load_prior()
    torch.set_num_threads(1)
    scans = [(scan, found) for k in range(given.n) if (found := found_in(scan := pool(k), model)) is not None]
    scans = [(scan, found) for scan, found in scans if len(scan.ranks) >= 3]
    for temper in (*TEMPERS, TEMPER):
        rows = []
        for scan, (bodies, level_log, confidence) in scans:
            decoding = decode(detections_of(bodies, level_log * temper, confidence), prior)
            rows.append(judged(decoding, scan) | {"margin": decoding.margin if decoding.margin is not None else -30.0})
        table = pd.DataFrame(rows)
        print(f"temper {temper:4.2f}: {in_words(table)}", flush=True)
    wrong = (table["right"] < table["found"]) & (table["margin"] >= prior.doubt_margin)
    share = 100 * table["right"].sum() / table["n"].sum()
    print(f"identified {share:.1f} % wrong and not in doubt {wrong.sum()} of {len(table)}")


if __name__ == "__main__":
    main()
