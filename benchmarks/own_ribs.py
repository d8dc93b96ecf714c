"""Does the network of the stage ribs tell vertebrae that bear ribs from those that do not, and from which volume on?

    verse-morph phantom -o DIR --n 46 --seed 7777
    python benchmarks/own_ribs.py DIR [--weights DIR]

Asked is at the true middle of every body from T10 to L2, moved at random by 2 mm along each axis, as naming is off. The
truth is what the full label map holds of that vertebra's own rib in the same patch: none, or 0.3 cm3 and more (what
lies between is a stump or cut by the border and is not counted). The table gives the sides said to bear a rib above
each volume, and the mean log-odds that ``rib_log_odds`` gives both kinds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from verse_morph.anatomy import Level, rib_number
from verse_morph.io import Case, find_cases, read_centroids, read_labels, read_scan
from verse_morph.phantom.case import rib_label
from verse_morph.segment.compute import choose_compute
from verse_morph.segment.identify import RIB_LEVELS
from verse_morph.segment.own_ribs import rib_log_odds, rib_volumes
from verse_morph.segment.patches import SPACING_MM, patch_grid
from verse_morph.segment.resample import nearest, reduced
from verse_morph.segment.weights import load_network
from verse_morph.volume import LabelMap

OFF_MM, LEAST_CM3 = 2.0, 0.3
LIMITS_CM3 = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2)


def true_volumes(full: LabelMap, level: Level, last: Level, point: np.ndarray) -> list[float]:
    """Volume of the vertebra's own left and right rib in its patch, cm3."""
    number = rib_number(level, last)
    grid = patch_grid(point)
    every = grid.to_world(np.stack(np.indices(grid.shape), axis=-1).reshape(-1, 3))
    seen = nearest(np.asarray(full.labels), full.grid, every)
    codes = [-1 if number is None else rib_label(side, number) for side in ("left", "right")]
    return [float((seen == code).sum()) * grid.voxel_volume_mm3 / 1000 for code in codes]


def asked(case: Case, model: torch.nn.Module, rng: np.random.Generator) -> list[tuple[float, float, str]]:
    """(said, true, level) of every side in view."""
    scan = read_scan(case.ct)
    points = dict(read_centroids(case.centroids, scan.grid).points_mm)
    levels = [level for level in RIB_LEVELS if level in points]
    if not levels:
        return []
    full = read_labels(case.mask.with_name(case.mask.name.replace("seg-vert_msk", "seg-full_dseg")))
    last = max((level for level in points if level.region == "thoracic"), default=Level.T12)
    off = {level: points[level] + rng.normal(0, OFF_MM, 3) for level in levels}
    said = rib_volumes(reduced(scan, SPACING_MM), np.array(list(off.values())), model, choose_compute("cpu", 1))
    true = [true_volumes(full, level, last, point) for level, point in off.items()]
    pairs = zip(said, true, levels, strict=True)
    return [(float(s[k]), t[k], str(level)) for s, t, level in pairs for k in (0, 1) if np.isfinite(s[k])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model, rng = load_network("ribs", given.weights)[0], np.random.default_rng(0)
    rows = [row for case in find_cases(given.folder) for row in asked(case, model, rng)]
    said, true = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    level = np.array([row[2] for row in rows])
    bears, none = true >= LEAST_CM3, true == 0
    print(f"sides {len(rows)}: {bears.sum()} bear a rib, {none.sum()} none, {(~bears & ~none).sum()} between")
    for limit in LIMITS_CM3:
        print(f"above {limit:.1f} cm3: of ribs {100 * (said[bears] > limit).mean():5.1f} %, "
              f"of none {100 * (said[none] > limit).mean():5.1f} %")  # fmt: skip
    odds = rib_log_odds(said)
    for word in dict.fromkeys(level):
        here = level == word
        parts = [f"{name} n {int((here & kind).sum())} odds {odds[here & kind].mean():+.1f}"
                 for name, kind in (("rib", bears), ("none", none)) if (here & kind).any()]  # fmt: skip
        print(word, "; ".join(parts))


if __name__ == "__main__":
    main()
