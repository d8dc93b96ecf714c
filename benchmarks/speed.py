"""Time and memory of `build_spine` + `measure` against a plain loop over labels on the full volume, both in one run.

The baseline does for each label what a first script does with scipy and scikit-image, every step on the whole image:
mask, connected components, centre of mass, distance transform, Gaussian smoothing, marching cubes. It gives volume,
centroid and mesh only: no body, frame, endplates, heights or canal. Each side runs in a process of its own, so that the
peak memory is its own.

Run: .venv/bin/python benchmarks/speed.py [MASK]      (without MASK: the built-in demo spine)
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from verse_morph.volume import LabelMap


def read(path: str) -> LabelMap:
    """The mask, or the built-in spine."""
    if path == "demo":
        from verse_morph.phantom.solids import solid_case

        return solid_case()[0]
    from verse_morph.io import read_labels

    return read_labels(Path(path))


def ours(labels: LabelMap) -> int:
    """Everything of the vertebra table, and the meshes."""
    from verse_morph.measure import measure
    from verse_morph.shape import build_spine

    return len(measure(build_spine(labels)))


def baseline(labels: LabelMap) -> int:
    """Volume, centroid, thickness and mesh of each label, each on the full volume."""
    from scipy import ndimage
    from skimage.measure import marching_cubes

    spacing = labels.grid.spacing_mm
    values = [v for v in labels.values() if v in labels.scheme.levels]
    for value in values:
        mask = np.asarray(labels.labels) == value
        parts, _ = ndimage.label(mask)
        largest = parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1
        ndimage.center_of_mass(largest)
        ndimage.distance_transform_edt(largest, sampling=spacing)
        smooth = ndimage.gaussian_filter(largest.astype(np.float32), 1.0)
        marching_cubes(smooth, 0.5, spacing=tuple(spacing))
    return len(values)


SIDES = {"ours": ours, "baseline": baseline}


def one(side: str, path: str) -> None:
    """Run one side and print its seconds and peak memory."""
    labels = read(path)
    start = time.perf_counter()
    count = SIDES[side](labels)
    seconds = time.perf_counter() - start
    print(count, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Run both sides and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mask", nargs="?", default="demo", help="a NIfTI mask; default: the built-in demo spine")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        one(options.side, options.mask)
        return
    found: dict[str, tuple[float, float]] = {}
    print("| | vertebrae | seconds | peak MB |\n|---|---|---|---|")
    for side in SIDES:
        command = [sys.executable, __file__, options.mask, "--side", side]
        words = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        found[side] = (float(words[1]), float(words[2]))
        print(f"| {side} | {words[0]} | {found[side][0]:.2f} | {found[side][1]:.0f} |")
    ratio = [found["baseline"][i] / found["ours"][i] for i in range(2)]
    print(f"\nbaseline / ours: time {ratio[0]:.1f}, memory {ratio[1]:.1f}")


if __name__ == "__main__":
    main()
