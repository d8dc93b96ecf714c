"""How well the tilt of a small flat endplate can be known at all from a mask of thick axial slices.

A flat plate of a given depth and width, tilted by up to 12 degrees, is cut into slices; a mask tells of each column
only between which two slices the plate lies. All tilts that give the very same mask lie in a range, found exactly by
linear programming; the middle of that range is the best guess that any method can make without knowing more than the
mask.

Run: .venv/bin/python benchmarks/plate_limit.py
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from report_parts import markdown

PLATES = {"neck": (15.0, 10.0), "loins": (32.0, 45.0)}  # depth and width, mm
SLICES_MM = (1.0, 2.0, 3.0)
LARGEST_TILT_DEG, SIDE_TILT_SD_DEG = 12.0, 2.0


def possible_tilts(depth_mm: float, width_mm: float, slice_mm: float, rng: np.random.Generator) -> tuple[float, ...]:
    """True tilt of one random plate, and the smallest and largest that give its mask, degrees."""
    from scipy.optimize import linprog

    x, y = np.arange(-width_mm / 2 + 0.5, width_mm / 2), np.arange(-depth_mm / 2 + 0.5, depth_mm / 2)
    design = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    design = np.column_stack([np.ones(len(design)), design])
    tilt = rng.uniform(-LARGEST_TILT_DEG, LARGEST_TILT_DEG)
    side = np.tan(np.radians(rng.normal(0, SIDE_TILT_SD_DEG)))
    height = design @ [rng.uniform(0, slice_mm), side, np.tan(np.radians(tilt))]
    low = np.floor(height / slice_mm) * slice_mm
    limits, ends = np.concatenate([low + slice_mm, -low]), []
    for sign in (1, -1):
        best = linprog([0, 0, sign], np.vstack([design, -design]), limits, bounds=[(None, None)] * 3, method="highs")
        ends.append(float(np.degrees(np.arctan(best.x[2]))))
    return tilt, *ends


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=200, help="plates of each kind")
    options = parser.parse_args()
    rows = []
    for name, (depth, width) in PLATES.items():
        for slice_mm in SLICES_MM:
            rng = np.random.default_rng(1)
            found = np.array([possible_tilts(depth, width, slice_mm, rng) for _ in range(options.n)])
            error = np.abs(found[:, 0] - found[:, 1:].mean(axis=1))
            row = {"plate": f"{name}, {depth:g} x {width:g} mm", "slices": f"{slice_mm:g} mm", "MAE": error.mean()}
            row |= {"p95": np.percentile(error, 95), "half range": (found[:, 2] - found[:, 1]).mean() / 2}
            rows.append(row)
    print("\n".join(markdown(pd.DataFrame(rows))))


if __name__ == "__main__":
    main()
