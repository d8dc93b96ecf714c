"""Phantom and real scans side by side, to be looked at: what a radiologist would see first.

Writes `ct.png` (mid-sagittal, coronal and axial cuts through a pedicle), `surface.png` (bones from behind and from
the left) and `neck.png`. Real cases stand beside the phantom where the folder of real data (see data/README.md) is
given; without it only the phantom is drawn.

Run: .venv/bin/python benchmarks/phantom_pictures.py -o results/pictures [--data DATA]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from verse_morph.phantom.demo import demo_case
from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.parameters import PhantomOptions, View
from verse_morph.phantom.render import render
from verse_morph.space import canonical
from verse_morph.volume import LabelMap, Scan

VERSE14 = "verse/dataset-verse19training/{}/sub-verse014/sub-verse014_{}.nii.gz"
GL003 = "verse/dataset-verse20training/01_training/derivatives/sub-gl003/sub-gl003_dir-ax_seg-vert_msk.nii.gz"
S0327 = "totalsegmentator/s0327_bones.nii.gz"
LIDC = "ct_only/lidc-idri-0314_thorax_ct.nii.gz"


@dataclass(frozen=True, eq=False)
class View3:
    """One scan in nearest-RAS order, its voxel size (mm), and the voxel through which it is cut."""

    title: str
    image: NDArray
    spacing: NDArray
    at: tuple[int, int, int]


def scan_view(title: str, scan: Scan, labels: LabelMap | None = None, value: int = 22) -> View3:
    """A CT cut through the pedicles of one label, or through its middle."""
    image, grid = canonical(scan.hu, scan.grid)
    at = np.array(image.shape) // 2
    if labels is not None:
        where = np.argwhere(canonical(labels.labels, labels.grid)[0] == value)
        at = np.median(where, axis=0).astype(int)
        at[2] = np.percentile(where[:, 2], 65)
    return View3(title, image, grid.spacing_mm, (int(at[0]), int(at[1]), int(at[2])))


def cuts(axes: NDArray, view: View3) -> None:
    """Mid-sagittal, coronal and axial cut."""
    i, j, k = view.at
    planes = (view.image[i], view.image[:, j + round(8 / view.spacing[1])], view.image[:, :, k])
    for axis, plane, (a, b) in zip(axes, planes, ((1, 2), (0, 2), (0, 1)), strict=True):
        aspect = view.spacing[b] / view.spacing[a]
        axis.imshow(plane.T, origin="lower", cmap="gray", vmin=-200, vmax=700, aspect=aspect)
        axis.axis("off")
    axes[0].set_title(view.title, loc="left")


def shade(axis: Axes, mask: NDArray, spacing: NDArray, along: int, title: str) -> None:
    """Surface seen along an axis from its low end, lit from the eye."""
    depth = np.where(mask.any(axis=along), mask.argmax(axis=along) * spacing[along], np.nan)
    rest = [spacing[i] for i in range(3) if i != along]
    slope = np.hypot(*np.gradient(depth, *rest))
    axis.imshow(np.nan_to_num(1 / np.sqrt(1 + slope**2)).T, origin="lower", cmap="gray", aspect=rest[1] / rest[0])
    axis.set_title(title)
    axis.axis("off")


def surfaces(maps: list[tuple[str, NDArray, NDArray]], path: Path) -> None:
    """Each bone mask from behind and from the left."""
    figure = Figure(figsize=(8 * len(maps), 10), layout="constrained")
    axes = figure.subplots(1, 2 * len(maps))
    for n, (title, mask, spacing) in enumerate(maps):
        shade(axes[2 * n], mask, spacing, 1, f"{title}, from behind")
        shade(axes[2 * n + 1], mask, spacing, 0, f"{title}, from the left")
    figure.savefig(path, dpi=70)


def of_labels(labels: LabelMap, keep: range) -> tuple[NDArray, NDArray]:
    """Mask of a range of labels in nearest-RAS order, and its voxel size."""
    array, grid = canonical(labels.labels, labels.grid)
    return np.isin(array, list(keep)), grid.spacing_mm


def main() -> None:
    """Draw everything."""
    from verse_morph.io import read_labels, read_scan

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder of real cases")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    labels, scan, _ = demo_case()
    views = [scan_view("phantom", scan, labels)]
    whole = render(draw_parameters(np.random.default_rng(11), PhantomOptions(view=View(lower="S"))), 1.0)
    neck = render(draw_parameters(np.random.default_rng(5), PhantomOptions(view=View("C1", "T5"), ribs=False)), 0.7)
    spines = [("phantom", np.asarray((whole.structures > 0) & (whole.structures < 100)), whole.grid.spacing_mm)]
    necks = [("phantom", *of_labels(neck.verse_labels, range(1, 13)))]
    if options.data:
        real = read_labels(options.data / VERSE14.format("derivatives", "seg-vert_msk"))
        views.append(scan_view("real", read_scan(options.data / VERSE14.format("rawdata", "ct")), real))
        views.append(scan_view("real, thorax", read_scan(options.data / LIDC)))
        bones = read_labels(options.data / S0327)
        spines.append(("real", *of_labels(bones, range(1, 120))))
        necks.append(("real", *of_labels(read_labels(options.data / GL003), range(1, 13))))
    figure = Figure(figsize=(15, 6 * len(views)), layout="constrained")
    for axes, view in zip(np.atleast_2d(figure.subplots(len(views), 3)), views, strict=True):
        cuts(axes, view)
    figure.savefig(options.output / "ct.png", dpi=70)
    surfaces(spines, options.output / "surface.png")
    surfaces(necks, options.output / "neck.png")


if __name__ == "__main__":
    main()
