"""What the cascade says about turned, thick, cropped or spineless scans: right, in doubt, refused, or wrong.

    python benchmarks/cascade_robustness.py CT MASK -o OUT [--weights DIR]      a scan and its true mask
    python benchmarks/cascade_robustness.py -o OUT                             a phantom from T9 to the sacrum

Every variant of the scan is segmented with nothing given. ``right``: every true vertebra is named rightly and found
(strict rule); ``in doubt``: it is not, and the numbering is flagged; ``refused``: one clear line; ``WRONG``: it is
not right and nothing says so. Only the last is a failure. The last line is ``silent errors N of M``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import affine_transform, gaussian_filter, uniform_filter1d

from verse_morph.anatomy import VERSE
from verse_morph.errors import VerseMorphError
from verse_morph.evaluate import evaluate_scan
from verse_morph.io import read_labels, read_scan
from verse_morph.phantom.solids import rotation
from verse_morph.segment.cascade import SegmentOptions, segment
from verse_morph.space import Grid
from verse_morph.volume import LabelMap, Scan

Pair = tuple[Scan, LabelMap]


def phantom() -> Pair:
    """A simulated CT and its mask under VerSe's rules."""
    from verse_morph.phantom.ct import simulate_ct
    from verse_morph.phantom.draw import draw_parameters
    from verse_morph.phantom.parameters import PhantomOptions, View
    from verse_morph.phantom.presets import preset
    from verse_morph.phantom.render import render
    from verse_morph.phantom.tissues import draw_tissue

    view = View("T9", "S", half_width_mm=110, front_mm=90, back_mm=40)
    case = render(draw_parameters(np.random.default_rng(91), PhantomOptions(view=view)), 1.0)
    tissue = draw_tissue(np.random.default_rng(92), 55, "M")
    scanner = replace(preset("siemens"), slice_thickness_mm=1.0, slice_distance_mm=1.0)
    ct = simulate_ct(case.structures, case.bone_depth_mm, case.grid, tissue, scanner, np.random.default_rng(93))
    return Scan(np.asarray(ct.hu), ct.grid, "phantom"), case.verse_labels


# --- variants -----------------------------------------------------------------------------------------------------


def stored(pair: Pair, order: tuple[int, int, int], flips: tuple[int, int, int]) -> Pair:
    """The same patient in another order of array axes."""
    scan, mask = pair
    steps = tuple(slice(None, None, f) for f in flips)
    affine = np.array(scan.grid.affine)
    affine[:, :3] = affine[:, list(order)]
    hu = np.asarray(scan.hu).transpose(order)[steps]
    for axis, flip in enumerate(flips):
        if flip < 0:
            affine[:3, 3] += affine[:3, axis] * (hu.shape[axis] - 1)
            affine[:3, axis] *= -1
    grid = Grid(hu.shape, affine)
    labels = np.asarray(mask.labels).transpose(order)[steps]
    return Scan(np.ascontiguousarray(hu), grid, scan.name), LabelMap(np.ascontiguousarray(labels), grid, VERSE)


def moved(pair: Pair, turn_deg: tuple[float, float, float]) -> Pair:
    """The patient turned in the world, the voxels as they are."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(*turn_deg)
    scan, mask = pair
    grid = Grid(scan.grid.shape, matrix @ scan.grid.affine)
    return Scan(scan.hu, grid, scan.name), LabelMap(mask.labels, grid, VERSE)


def oblique(pair: Pair, turn_deg: tuple[float, float, float]) -> Pair:
    """The patient as he lies, scanned on a grid whose axes are turned."""
    scan, mask = pair
    matrix = rotation(*turn_deg)
    affine = np.array(scan.grid.affine)
    affine[:3, :3] = matrix @ affine[:3, :3]
    middle = (np.array(scan.grid.shape) - 1) / 2
    affine[:3, 3] = scan.grid.to_world(middle) - affine[:3, :3] @ middle
    grid = Grid(scan.grid.shape, affine)
    to = np.linalg.inv(scan.grid.affine) @ affine
    hu = affine_transform(np.asarray(scan.hu, dtype=np.float32), to, order=1, cval=-1024.0)
    labels = affine_transform(np.asarray(mask.labels), to, order=0)
    return Scan(hu.astype(np.int16), grid, scan.name), LabelMap(labels, grid, VERSE)


def slices(pair: Pair, thickness_mm: float) -> Pair:
    """Thick slices along the patient."""
    scan, mask = pair
    axis = int(np.abs(np.array(scan.grid.affine)[2, :3]).argmax())
    every = max(1, round(thickness_mm / scan.grid.spacing_mm[axis]))
    hu = uniform_filter1d(np.asarray(scan.hu, dtype=np.float32), every, axis=axis, mode="nearest")
    cut = tuple(slice(every // 2, None, every) if a == axis else slice(None) for a in range(3))
    affine = np.array(scan.grid.affine)
    affine[:3, 3] += affine[:3, axis] * (every // 2)
    affine[:3, axis] *= every
    grid = Grid(hu[cut].shape, affine)
    labels = np.ascontiguousarray(np.asarray(mask.labels)[cut])
    return Scan(hu[cut].astype(np.int16), grid, scan.name), LabelMap(labels, grid, VERSE)


def upper_part(pair: Pair, share: float) -> Pair:
    """The upper share of the scan."""
    scan, mask = pair
    column = np.array(scan.grid.affine)[2, :3]
    axis = int(np.abs(column).argmax())
    count = round(scan.grid.shape[axis] * share)
    kept = slice(scan.grid.shape[axis] - count, None) if column[axis] > 0 else slice(0, count)
    box = tuple(kept if a == axis else slice(0, n) for a, n in enumerate(scan.grid.shape))
    grid = scan.grid.crop(box)
    labels = np.ascontiguousarray(np.asarray(mask.labels)[box])
    return Scan(np.ascontiguousarray(np.asarray(scan.hu)[box]), grid, scan.name), LabelMap(labels, grid, VERSE)


def upside_down(pair: Pair) -> Pair:
    """The patient's head where the header says feet: a wrong header."""
    scan, mask = pair
    axis = int(np.abs(np.array(scan.grid.affine)[2, :3]).argmax())
    turn = tuple(slice(None, None, -1) if a == axis else slice(None) for a in range(3))
    hu, labels = np.asarray(scan.hu)[turn], np.asarray(mask.labels)[turn]
    return Scan(np.ascontiguousarray(hu), scan.grid, scan.name), LabelMap(
        np.ascontiguousarray(labels), mask.grid, VERSE
    )


def without_bone(pair: Pair) -> Pair:
    """Soft tissue only: an abdomen whose bones are missing, with a bright vessel through its middle."""
    scan, mask = pair
    hu = np.minimum(np.asarray(scan.hu, dtype=np.float32), 60)
    i, j, _ = np.indices(hu.shape, sparse=True)
    vessel = (i - hu.shape[0] / 2) ** 2 + (j - hu.shape[1] / 2) ** 2 < (9 / scan.grid.spacing_mm[0]) ** 2
    hu = np.where(np.broadcast_to(vessel, hu.shape), 250, hu)
    return Scan(hu.astype(np.int16), scan.grid, "no_bone"), LabelMap(np.zeros_like(mask.labels), scan.grid, VERSE)


def head() -> Pair:
    """A skull with a brain and air around it, a jaw of teeth, no neck."""
    grid = Grid((100, 110, 100), np.diag([2.0, 2.0, 2.0, 1.0]))
    x, y, z = (a - n / 2 for a, n in zip(np.indices(grid.shape, sparse=True), grid.shape, strict=True))
    r = np.sqrt((x / 38) ** 2 + (y / 46) ** 2 + (z / 42) ** 2)
    hu = np.where(r < 1, 35.0, np.where(r < 1.08, 60.0, -1000.0))
    hu = np.where((r > 0.9) & (r < 0.99), 1100.0, hu)
    teeth = (np.abs(x) < 14) & (y > 30) & (np.abs(z + 22) < 5) & (np.sin(x * 1.2) > 0)
    hu = gaussian_filter(np.where(teeth & (r < 1), 1800.0, hu), 0.6)
    hu = hu + np.random.default_rng(5).normal(0, 20, grid.shape)
    return Scan(hu.astype(np.int16), grid, "head"), LabelMap(np.zeros(grid.shape, np.uint8), grid, VERSE)


def noise(sd: float) -> Pair:
    """Nothing but noise about water, air outside a cylinder."""
    grid = Grid((120, 120, 160), np.diag([2.0, 2.0, 2.0, 1.0]))
    x, y, _ = np.indices(grid.shape, sparse=True)
    inside = (x - 60) ** 2 + (y - 60) ** 2 < 55**2
    hu = np.where(inside, 0, -1000) + np.random.default_rng(6).normal(0, sd, grid.shape)
    return Scan(hu.astype(np.int16), grid, f"noise_{sd:g}"), LabelMap(np.zeros(grid.shape, np.uint8), grid, VERSE)


VARIANTS: dict[str, Callable[[Pair], Pair]] = {
    "as it is": lambda p: p,
    "stored feet first, axes permuted": lambda p: stored(p, (2, 0, 1), (-1, 1, -1)),
    "stored with left and right exchanged": lambda p: stored(p, (0, 1, 2), (-1, 1, 1)),
    "patient turned 20 degrees about his axis": lambda p: moved(p, (0, 0, 20)),
    "patient tilted 15 degrees sideways": lambda p: moved(p, (0, 15, 0)),
    "patient on his side": lambda p: moved(p, (0, 0, 90)),
    "grid oblique by 20 and 10 degrees": lambda p: oblique(p, (20, 10, 0)),
    "slices of 5 mm": lambda p: slices(p, 5.0),
    "upper half": lambda p: upper_part(p, 0.5),
    "upper quarter": lambda p: upper_part(p, 0.25),
    "upside down, header wrong": upside_down,
    "no bone, a bright vessel": without_bone,
    "a head without a neck": lambda p: head(),
    "noise of 30 HU": lambda p: noise(30),
    "noise of 300 HU": lambda p: noise(300),
}


# --- verdicts -----------------------------------------------------------------------------------------------------


def verdict(pair: Pair, options: SegmentOptions) -> dict[str, object]:
    """One row: what came of a scan."""
    scan, mask = pair
    try:
        found = segment(scan, options)
    except VerseMorphError as error:
        return {"verdict": "refused", "says": str(error), "identified": np.nan, "dice": np.nan}
    said = " ".join(str(level) for level in found.labels.levels())
    true = mask.levels()
    if not true:
        return {"verdict": "in doubt" if found.in_doubt else "WRONG", "says": said, "identified": 0.0, "dice": np.nan}
    rows = evaluate_scan(found.labels, mask).vertebrae
    rows = rows[rows["mode"].astype(str) == "strict"]
    real = rows[rows["outcome"] != "false_positive"]
    share = float((real["outcome"] == "hit").mean())
    word = "right" if share == 1 else "in doubt" if found.in_doubt else "WRONG"
    flags = " ".join(str(flag) for flag in found.flags)
    return {"verdict": word, "says": f"{said} {flags}", "identified": share, "dice": real["dice"].fillna(0).mean()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ct", type=Path, nargs="?")
    parser.add_argument("mask", type=Path, nargs="?")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    pair = phantom() if given.ct is None else (read_scan(given.ct), read_labels(given.mask, "verse"))
    options = SegmentOptions(weights=given.weights)
    rows = []
    for name, make in VARIANTS.items():
        rows.append({"input": name, **verdict(make(pair), options)})
        print(f"{name:<42} {rows[-1]['verdict']:<9} {rows[-1]['identified']:.2f} {rows[-1]['dice']:.3f}  "
              f"{rows[-1]['says']}", flush=True)  # fmt: skip
    table = pd.DataFrame(rows)
    given.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(given.output / "robustness.csv", index=False)
    print(f"silent errors {(table['verdict'] == 'WRONG').sum()} of {len(table)}")


if __name__ == "__main__":
    main()
