"""`info`: what a file is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from verse_morph.cli.console import number, output, print_notes, table
from verse_morph.errors import VerseMorphError
from verse_morph.space import Grid
from verse_morph.volume import LabelMap, Scan

# No label scheme in use goes further; a CT does.
LARGEST_LABEL = 300
MOST_LABELS = 150


@dataclass(frozen=True)
class LabelRow:
    """One label of a mask as `info` shows it."""

    value: int
    meaning: str
    voxels: int
    volume_cm3: float
    problems: tuple[str, ...]


def show(path: Path, scheme: str | None = None) -> None:
    """Print what a file holds.

    Raises
    ------
    InputError
        It cannot be read at all.
    """
    from verse_morph.io import read_labels, read_scan
    from verse_morph.io.files import existing

    existing(path, "a CT or a mask")
    console = output()
    if _holds_labels(path, console):
        try:
            _show_labels(read_labels(path, scheme), console)
        except VerseMorphError as error:
            if scheme is not None:
                raise
            print_notes(console, [f"looks like a mask, but cannot be used as one: {error}"])
    else:
        _show_scan(read_scan(path), console)


def _holds_labels(path: Path, console: Console) -> bool:
    """Whether the values look like labels; prints how a single NIfTI file stores them."""
    import fastremap

    from verse_morph.io.files import strip_nifti
    from verse_morph.io.nifti import read_stored

    if path.is_dir():
        return any(path.glob("*.nii*"))
    if strip_nifti(path.name) == path.name:
        return False
    stored = read_stored(path)
    scaling = "" if (stored.slope, stored.intercept) == (1, 0) else f", x {stored.slope:g} {stored.intercept:+g}"
    console.print(f"{path.name}: {stored.grid.describe()}; stored as {stored.raw.dtype}{scaling}", soft_wrap=True)
    values = fastremap.unique(stored.raw) * np.float64(stored.slope) + stored.intercept
    whole = bool(np.isfinite(values).all() and np.abs(values - np.rint(values)).max() < 1e-3)
    return whole and values.min() >= 0 and values.max() <= LARGEST_LABEL and len(values) <= MOST_LABELS


def _show_scan(scan: Scan, console: Console) -> None:
    console.print(f"kind: CT (by its values), scan {scan.name}, {scan.grid.describe()}", soft_wrap=True)
    shown = scan.hu[tuple(slice(None, None, max(1, n // 128)) for n in scan.hu.shape)]
    low, middle, high = (float(v) for v in np.percentile(shown, (1, 50, 99)))
    console.print(f"HU: {float(scan.hu.min()):g} to {float(scan.hu.max()):g}")
    console.print(f"HU at 1, 50, 99 % of the voxels (sampled): {low:g}, {middle:g}, {high:g}")
    for key, value in scan.meta.items():
        console.print(f"{key}: {value}", soft_wrap=True)
    print_notes(console, scan.notes)


def _show_labels(labels: LabelMap, console: Console) -> None:
    rows = list(label_rows(labels))
    console.print(
        f"kind: mask, scan {labels.name}, scheme {labels.scheme.name}, {labels.grid.describe()}", soft_wrap=True
    )
    console.print(f"levels: {' '.join(str(level) for level in labels.levels()) or 'none'}", soft_wrap=True)
    texts = [
        [str(row.value), row.meaning, str(row.voxels), number(row.volume_cm3, 2), ", ".join(row.problems)]
        for row in rows
    ]
    console.print(
        table("labels", ["label", "meaning", "voxels", "volume cm3", "problems"], texts, words=("meaning", "problems"))
    )
    print_notes(console, labels.notes)


def label_rows(labels: LabelMap) -> Iterator[LabelRow]:
    """Every label of a mask with its size and what is odd about it, vertebrae first, head to foot.

    Parameters
    ----------
    labels : LabelMap
    """
    from scipy.ndimage import find_objects

    scheme = labels.scheme
    # Files lie in Fortran order, find_objects walks in C order.
    boxes = {value: box[::-1] for value, box in enumerate(find_objects(labels.labels.T), start=1) if box is not None}
    order = sorted(boxes, key=lambda v: (v not in scheme.levels, scheme.levels[v].rank if v in scheme.levels else v))
    for value in order:
        box = boxes[value]
        mask = np.ascontiguousarray(labels.labels[box] == value)
        voxels = int(mask.sum())
        is_vertebra = value in scheme.levels
        meaning = str(scheme.levels[value]) if is_vertebra else scheme.others.get(value, "unknown")
        problems = (*_touching(box, labels.grid), *(_pieces(mask) if is_vertebra else ()))
        yield LabelRow(value, meaning, voxels, voxels * labels.grid.voxel_volume_mm3 / 1000, problems)


def _touching(box: tuple[slice, ...], grid: Grid) -> Iterator[str]:
    opposite = dict(zip("RLAPSI", "LRPAIS", strict=True))
    names = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "upper", "I": "lower"}
    sides = []
    for part, size, code in zip(box, grid.shape, grid.axis_codes, strict=True):
        sides += [opposite[code]] if part.start == 0 else []
        sides += [code] if part.stop == size else []
    if sides:
        yield f"touches the {', '.join(names[s] for s in sides)} border"


def _pieces(mask: NDArray[np.bool_]) -> Iterator[str]:
    import cc3d

    pieces, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    if count == 1:
        return
    sizes = np.sort(np.bincount(pieces.ravel())[1:])[::-1]
    large = int((sizes >= 0.05 * sizes.sum()).sum())
    if large > 1:
        yield f"{large} separate pieces"
    if count > large:
        yield f"{count - large} specks ({int(sizes[large:].sum())} voxels)"
