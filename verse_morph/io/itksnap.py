"""Correcting a mask by hand in ITK-SNAP: what goes out, and what came back changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import LabelScheme, Level
from verse_morph.errors import GridMismatch, InputError, UnknownLabel
from verse_morph.io.files import existing, replacing
from verse_morph.io.labels import _whole_numbers, write_labels
from verse_morph.io.nifti import read_stored, write_array
from verse_morph.space import Grid
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    import pandas as pd

# Okabe and Ito 2008, "Color Universal Design": neighbours differ for colour-blind readers too.
COLOURS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0), (240, 228, 66))
OTHER_COLOUR = (150, 150, 150)
HEAD = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Fields:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    MSH:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
"""
_LINE = re.compile(r'^\s*(\d+)(?:\s+[\d.]+){4}\s+[01]\s+[01]\s+"(.*)"\s*$')


@dataclass(frozen=True)
class Exported:
    """Files to open in ITK-SNAP.

    Parameters
    ----------
    image, mask, descriptions : Path
    """

    image: Path
    mask: Path
    descriptions: Path

    @property
    def command(self) -> str:
        """What to type in a terminal to open all three."""
        return f'itksnap -g "{self.image}" -s "{self.mask}" -l "{self.descriptions}"'


@dataclass(frozen=True, eq=False)
class Correction:
    """A corrected mask and what was changed in it.

    Parameters
    ----------
    labels : LabelMap
        As it came back, under the scheme of the mask that went out.
    changes : DataFrame
        One row per label that is in either mask: ``label``, ``name``, ``change`` (``added``, ``removed``, ``changed``,
        ``same``), ``voxels_before``, ``voxels_after``, ``voxels_gained``, ``voxels_lost``, ``volume_before_cm3``,
        ``volume_after_cm3``, ``volume_change_cm3``.
    """

    labels: LabelMap
    changes: pd.DataFrame

    @property
    def summary(self) -> str:
        """What changed, in one sentence."""
        said = []
        for word in ("added", "removed", "changed"):
            names = self.changes.loc[self.changes["change"] == word, "name"]
            if len(names):
                said.append(f"{word}: {' '.join(map(str, names))}")
        return "; ".join(said) or "nothing was changed"


def write_label_descriptions(scheme: LabelScheme, path: Path | str) -> None:
    """Write an ITK-SNAP label description file: number, colour and name of every label of a scheme.

    Parameters
    ----------
    scheme : LabelScheme
        All its levels are listed, so that a missing vertebra can be painted.
    path : Path or str
        Usually ``*.txt`` or ``*.label``.

    Raises
    ------
    OutputError
        The folder is missing or cannot be written to.
    """
    rows = [(0, (0, 0, 0), 0, 0, "Clear Label")]
    for value, level in sorted(scheme.levels.items()):
        rows.append((value, COLOURS[level.rank % len(COLOURS)], 1, 1, str(level)))
    rows += [(value, OTHER_COLOUR, 1, 1, name) for value, name in scheme.others.items()]
    lines = [
        f'{value:5d} {rgb[0]:5d} {rgb[1]:4d} {rgb[2]:4d} {alpha:8d} {shown:2d} {shown:2d}    "{name}"'
        for value, rgb, alpha, shown, name in sorted(rows)
    ]
    with replacing(path) as temporary:
        temporary.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def read_label_descriptions(path: Path | str) -> dict[int, str]:
    """Names by number of an ITK-SNAP label description file, the clear label left out.

    Raises
    ------
    InputError
        Missing, or a line is not understood.
    """
    file = existing(path, "an ITK-SNAP label description file")
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise InputError(f"{file} is no ITK-SNAP label description file: it has the line {line.strip()!r}")
        if int(match[1]):
            found[int(match[1])] = match[2]
    return found


def export_for_itksnap(scan: Scan, labels: LabelMap, folder: Path | str) -> Exported:
    """Write a scan, its mask and the label descriptions for correction by hand.

    Parameters
    ----------
    scan : Scan
    labels : LabelMap
        On the scan's grid.
    folder : Path or str
        Made where it is missing.

    Raises
    ------
    GridMismatch
        Scan and mask lie on different grids.
    OutputError
        The folder cannot be written to.
    """
    if not scan.grid.matches(labels.grid):
        raise GridMismatch(
            f"ITK-SNAP needs scan and mask on one grid: {scan.grid.describe()}; {labels.grid.describe()}; bring the "
            "scan to the mask's with verse_morph.io.scan_on_grid first"
        )
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    made = Exported(
        place / f"{scan.name}_ct.nii.gz",
        place / f"{scan.name}_seg-vert_msk.nii.gz",
        place / f"{scan.name}_labels.txt",
    )
    write_array(scan.hu, scan.grid.affine, made.image)
    write_labels(labels, made.mask)
    write_label_descriptions(labels.scheme, made.descriptions)
    return made


def read_correction(path: Path | str, before: LabelMap) -> Correction:
    """Read a corrected mask back and report what was changed.

    Parameters
    ----------
    path : Path or str
        As saved by ITK-SNAP.
    before : LabelMap
        The mask that went out.

    Raises
    ------
    GridMismatch
        The corrected mask lies on another grid.
    UnknownLabel
        It holds a number that the scheme does not know.
    InputError
        It cannot be read, or is empty.
    """
    file = existing(path, "the corrected mask, .nii or .nii.gz")
    # Not read_labels: the numbers mean what they meant when the mask went out, whatever they look like now.
    stored = read_stored(file)
    after = LabelMap(_whole_numbers(stored, file), stored.grid, before.scheme, before.name, stored.notes)
    return corrected(before, after, str(path))


def corrected(before: LabelMap, after: LabelMap, source: str = "the corrected mask") -> Correction:
    """What was changed between two masks on one grid; raises as :func:`read_correction` does."""
    if not before.grid.matches(after.grid):
        raise GridMismatch(
            f"{source} lies on another grid than the mask that went out ({after.grid.describe()}; "
            f"{before.grid.describe()}): in ITK-SNAP, save the segmentation of the exported image, do not resample it"
        )
    if strange := before.scheme.unknown(np.unique(after.labels).tolist()):
        raise UnknownLabel(
            f"{source} holds {', '.join(map(str, strange))}, which the scheme {before.scheme.name!r} does not know: "
            "load the exported label descriptions in ITK-SNAP and paint with those"
        )
    return Correction(after, _changes(before.labels, after.labels, before.grid, before.scheme))


def _changes(old: NDArray, new: NDArray, grid: Grid, scheme: LabelScheme) -> pd.DataFrame:
    import pandas as pd

    size = int(max(old.max(initial=0), new.max(initial=0))) + 1
    # One pass: how often each label became each other one.
    coded = (old.astype(np.int64) * size + new).ravel(order="K")
    pairs = np.bincount(coded, minlength=size * size).reshape(size, size)
    ranks = {value: level.rank for value, level in scheme.levels.items()}
    rows = []
    # Head to foot, then what is no vertebra.
    for value in sorted(range(1, size), key=lambda label: (ranks.get(label, len(Level)), label)):
        before, after, same = int(pairs[value].sum()), int(pairs[:, value].sum()), int(pairs[value, value])
        if not before and not after:
            continue
        rows.append(_row(value, (before, after, same), grid, scheme))
    return pd.DataFrame(rows)


def _row(value: int, voxels: tuple[int, int, int], grid: Grid, scheme: LabelScheme) -> dict[str, object]:
    before, after, same = voxels
    change = "added" if not before else "removed" if not after else "same" if before == after == same else "changed"
    unit = grid.voxel_volume_mm3 / 1000
    return {
        "label": value,
        "name": str(scheme.levels.get(value, scheme.others.get(value, value))),
        "change": change,
        "voxels_before": before,
        "voxels_after": after,
        "voxels_gained": after - same,
        "voxels_lost": before - same,
        "volume_before_cm3": before * unit,
        "volume_after_cm3": after * unit,
        "volume_change_cm3": (after - before) * unit,
    }
