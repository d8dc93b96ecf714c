"""Lengths of ribs found in a CT against the ribs that somebody labelled, on a mask of a real patient without its CT.

The CT is simulated from the mask (shapes real, brightness invented, nothing deformed), the ribs are taken out of the
mask, and what is found beside the vertebrae is compared with each labelled rib. The labelled rib's length is that of
the shortest way through its own voxels between its two farthest ends, found by going there and back; it hugs the
inner side of the bend and runs from end to end, where the method's line runs through the middle, from the middle of the
head. A network's numbers change along a rib: connected ribs of one side are one rib, named as where it is nearest to a
vertebra.

Run: .venv/bin/python benchmarks/rib_lengths.py MASK.nii.gz -o results
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# The method's line begins in the middle of the first 10 mm.
HEAD_MM = 5.0


def geodesic_mm(mask: np.ndarray, spacing: np.ndarray) -> float:
    """Length of the shortest way within a mask's largest piece between its farthest ends, mm."""
    import cc3d
    from skimage.graph import MCP_Geometric

    mask = cc3d.largest_k(mask, k=1, connectivity=26) > 0
    costs = np.where(mask, 1.0, -1.0)
    end = tuple(np.argwhere(mask)[0])
    for _ in range(3):
        far, _ = MCP_Geometric(costs, sampling=tuple(spacing)).find_costs([end])
        reached = np.where(np.isfinite(far), far, -1.0)
        end = np.unravel_index(reached.argmax(), far.shape)
    return float(reached.max())


def labelled(labels: Any) -> dict[tuple[int, str], tuple[float, bool]]:
    """Length of every labelled rib by number and side, and whether the image's border cuts it."""
    import cc3d
    import edt
    from scipy.ndimage import find_objects

    array, spacing = np.asarray(labels.labels), labels.grid.spacing_mm
    away = edt.edt(~np.isin(array, list(labels.scheme.levels)), anisotropy=tuple(spacing), black_border=False)
    out: dict[tuple[int, str], tuple[float, bool]] = {}
    for side in ("left", "right"):
        names = {v: w for v, w in labels.scheme.others.items() if w.startswith(f"rib_{side}_")}
        pieces = cc3d.connected_components(np.isin(array, list(names)), connectivity=26)
        for number, box in enumerate(find_objects(pieces), start=1):
            mine = pieces[box] == number
            nearest = np.where(mine, away[box], np.inf).argmin()
            rib = int(names[int(array[box].ravel()[nearest])].rsplit("_", 1)[1])
            cut = any(part.start == 0 or part.stop == n for part, n in zip(box, array.shape, strict=True))
            length = geodesic_mm(np.pad(mine, 1), spacing)
            # Crumbs beside a rib bear its number too.
            out[rib, side] = max(out.get((rib, side), (0.0, False)), (length, cut))
    return out


def without_ribs(labels: Any) -> Any:
    """The mask as a segmentation of vertebrae gives it."""
    from verse_morph.volume import LabelMap

    ribs = [value for value, word in labels.scheme.others.items() if word.startswith("rib_")]
    return LabelMap(np.where(np.isin(labels.labels, ribs), 0, labels.labels), labels.grid, labels.scheme, labels.name)


def compare(path: Path, seed: int) -> pd.DataFrame:
    """One row per labelled rib."""
    import verse_morph as vm
    from verse_morph.io import read_labels
    from verse_morph.phantom.labelmap import MapOptions, from_labelmap
    from verse_morph.phantom.warp import DeformationRange

    labels = read_labels(path)
    still = DeformationRange(rotation_deg=0, shear=0, scale=(1, 1), stretch=0, bend_mm=0, mirror=0)
    options = MapOptions(spacing_mm=1.5, deformation=still, neighbours=False)
    scan, painted = from_labelmap(labels, np.random.default_rng(seed), options)
    mask = without_ribs(painted)
    ways = {"ct": vm.scan_variants(vm.build_spine(mask, scan), scan, mask)}
    ways["labels"] = vm.scan_variants(vm.build_spine(labels), None, labels)
    rows = []
    for (number, side), (length, cut) in sorted(labelled(labels).items()):
        row: dict[str, Any] = {"level": f"T{number}", "side": side, "labelled_mm": length, "cut": cut}
        for name, features in ways.items():
            rib = features.rib(f"T{number}", side)
            row |= {f"{name}_mm": rib.length_mm, f"{name}_kind": rib.kind, f"{name}_why": rib.why}
            row[f"{name}_truncated"] = rib.truncated
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Write the table and print it with its errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mask", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("results"))
    job = parser.parse_args()
    job.output.mkdir(parents=True, exist_ok=True)
    table = compare(job.mask, job.seed)
    table.to_csv(job.output / "rib_lengths.csv", index=False)
    print(table.round(1).to_string(index=False))
    for way in ("labels", "ct"):
        whole = table[~table["cut"] & ~table[f"{way}_truncated"]]
        error = (whole[f"{way}_mm"].astype(float) - (whole["labelled_mm"] - HEAD_MM)).dropna()
        print(
            f"{way}: {len(error)} of {len(table)} measured to the tip, mean difference {error.mean():.1f}, "
            f"MAE {error.abs().mean():.1f}, largest {error.abs().max():.1f} mm"
        )


if __name__ == "__main__":
    main()
