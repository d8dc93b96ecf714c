"""Time and memory of making a phantom: anatomy, simulated CT, and painted training patches as a share of that.

Run: OMP_NUM_THREADS=1 .venv/bin/python benchmarks/phantom_speed.py
"""

from __future__ import annotations

import resource
import time
from dataclasses import replace

import numpy as np

from verse_morph.phantom.case import PhantomCase
from verse_morph.phantom.ct import simulate_ct
from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.paint import paint_patch
from verse_morph.phantom.parameters import PhantomOptions, View
from verse_morph.phantom.presets import preset
from verse_morph.phantom.render import render
from verse_morph.phantom.tissues import draw_tissue

VIEWS = {
    "five lumbar vertebrae": View("L1", "last", half_width_mm=60),
    "C1 to sacrum with chest and pelvis": View("C1", "S", half_width_mm=125, front_mm=110, back_mm=40),
}


def one(view: View) -> tuple[PhantomCase, float, float]:
    """A phantom at 1 mm, and the seconds for its anatomy and its CT."""
    scanner = replace(preset("siemens"), slice_thickness_mm=1.0, slice_distance_mm=1.0)
    parameters = draw_parameters(np.random.default_rng(1), PhantomOptions(view=view))
    tissue = draw_tissue(np.random.default_rng(2), 60, "F")
    start = time.perf_counter()
    case = render(parameters, 1.0)
    middle = time.perf_counter()
    simulate_ct(case.structures, case.bone_depth_mm, case.grid, tissue, scanner, np.random.default_rng(3))
    return case, middle - start, time.perf_counter() - middle


def main() -> None:
    """Print a table; the first small phantom only warms up."""
    one(VIEWS["five lumbar vertebrae"])
    print("| phantom at 1 mm | voxels | anatomy s | CT s | peak MB |\n|---|---|---|---|---|")
    case = None
    for name, view in VIEWS.items():
        case, anatomy, ct = one(view)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {name} | {'x'.join(map(str, case.grid.shape))} | {anatomy:.1f} | {ct:.1f} | {peak:.0f} |")
    if case is not None:
        bones = np.where(case.structures < 100, case.structures, 0).astype(np.uint8)
        rng, taken = np.random.default_rng(0), []
        for _ in range(12):
            start = time.perf_counter()
            paint_patch(bones, 1.0, rng)
            taken.append(time.perf_counter() - start)
        print(f"\npainted 96^3 patch: median {np.median(taken):.2f} s")


if __name__ == "__main__":
    main()
