"""Masks: a file or a folder of files to a :class:`LabelMap`, with its label scheme recognised and stated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import LabelScheme
from verse_morph.errors import InputError, UnknownLabel
from verse_morph.io.files import existing, json_beside, strip_nifti
from verse_morph.io.nifti import Stored, read_stored, write_array
from verse_morph.io.schemes import TOTALSEGMENTATOR, Extent, detect, level_of, named, scheme_from_names
from verse_morph.io.verse import scan_name
from verse_morph.space import Grid
from verse_morph.volume import LabelMap

# More structures than any label scheme has: such a file is a CT or a map of something else.
MAX_STRUCTURES = 255
# Files that were scaled on storage give 19.9999 for 20.
INTEGER_TOLERANCE = 1e-3
_FOLDERS_WITHOUT_A_NAME = {"segmentations", "segmentation", "masks", "labels", "derivatives"}


def read_labels(path: Path | str, scheme: str | None = None) -> LabelMap:
    """Read a mask and say what its integers mean.

    Parameters
    ----------
    path : Path or str
        ``.nii`` or ``.nii.gz`` of any storage type, or a folder with one binary file per vertebra
        (``vertebrae_L1.nii.gz``).
    scheme : str, optional
        Name of a label scheme (``verse``, ``totalsegmentator``, ``totalsegmentator-v1``, ``sidecar``). By default a
        JSON file of the same stem (``{"7": "vertebrae_C7", ...}``) decides, and without one the labels' positions do.

    Returns
    -------
    LabelMap
        In the file's own axis order; ``notes`` says which scheme was taken and why.

    Raises
    ------
    InputError
        Not readable, empty, negative or fractional values, or labels that make no spine.
    UnknownLabel
        Values that the scheme does not know.
    """
    file = existing(path, "a mask")
    if file.is_dir():
        return _read_folder(file)
    stored = read_stored(file)
    array = _whole_numbers(stored, file)
    sidecar = _sidecar(file)
    extents = label_extents(array, stored.grid)
    if len(extents) > MAX_STRUCTURES:
        raise InputError(f"{file} holds {len(extents)} different values; a mask has one per structure. Is it a CT?")
    try:
        if scheme is not None:
            chosen, reason = named(scheme, extents, sidecar)
        elif sidecar is not None:
            chosen, reason = named(sidecar.name, extents, sidecar)
            reason = reason.replace(
                "as asked", f"from the {len(sidecar.levels) + len(sidecar.others)} names beside the mask"
            )
        else:
            chosen, reason = detect(extents)
    except (InputError, UnknownLabel) as error:
        raise type(error)(f"{file.name}: {error}") from error
    return LabelMap(array, stored.grid, chosen, scan_name(file), (*stored.notes, reason))


def write_labels(labels: LabelMap, path: Path | str) -> None:
    """Write a mask with its exact label values, axis order and affine.

    Parameters
    ----------
    labels : LabelMap
        Stored in the smallest unsigned type that holds its largest value.
    path : Path or str
        ``.nii`` or ``.nii.gz``; an existing file is replaced only when the new one is complete.

    Raises
    ------
    OutputError
        The folder is missing or cannot be written to.
    """
    write_array(_smallest_unsigned(labels.labels), labels.grid.affine, path)


def label_extents(labels: NDArray, grid: Grid) -> dict[int, Extent]:
    """Where each label of an integer array lies in the world.

    Parameters
    ----------
    labels : array (i, j, k)
        Unsigned integers, 0 is background.
    grid : Grid
        The grid of the array.
    """
    from scipy import ndimage

    extents = {}
    # find_objects walks in C order, files lie in Fortran order: transposed it is several times faster.
    for value, box in enumerate(ndimage.find_objects(labels.T), start=1):
        if box is not None:
            index = np.argwhere(labels[box[::-1]] == value) + [part.start for part in box[::-1]]
            centre = grid.to_world(index.mean(axis=0))
            height_mm = index @ grid.affine[2, :3]
            extents[value] = Extent(len(index) * grid.voxel_volume_mm3 / 1000, centre, float(height_mm.std()))
    return extents


def _whole_numbers(stored: Stored, file: Path) -> NDArray:
    """Unsigned label values of a stored image; slab by slab, because a scaled mask would need eight bytes per voxel."""
    exact = stored.is_integer and stored.intercept == 0
    low, high = 0, 0
    for _, slab in stored.slabs():
        rounded = slab if exact else _rounded(slab, stored, file)
        low, high = min(low, int(rounded.min())), max(high, int(rounded.max()))
    if low < 0:
        raise InputError(f"{file} holds negative values (down to {low}); a mask has none. Is it a CT?")
    if high == 0:
        raise InputError(f"{file} is empty: every voxel is 0")
    if high > np.iinfo(np.uint16).max:
        raise InputError(f"{file} holds values up to {high}; a vertebra mask has small numbers. Is it the right file?")
    wanted = np.min_scalar_type(high)
    if exact:
        return stored.raw.astype(wanted, copy=False)
    out = np.zeros(stored.raw.shape, dtype=wanted, order="F")
    for part, slab in stored.slabs():
        out[:, :, part] = _rounded(slab, stored, file)
    return out


def _rounded(slab: NDArray, stored: Stored, file: Path) -> NDArray:
    values = slab * np.float64(stored.slope) + stored.intercept
    rounded = np.rint(values)
    with np.errstate(invalid="ignore"):
        # Written so that NaN and infinite values count as not whole.
        wrong = ~(np.abs(values - rounded) <= INTEGER_TOLERANCE)
    if wrong.any():
        some = ", ".join(f"{v:g}" for v in np.unique(values[wrong])[:5])
        raise InputError(
            f"{file} holds values that are not whole numbers ({some}); "
            "it is a CT, a probability map or was resampled with interpolation"
        )
    return rounded


def _smallest_unsigned(array: NDArray) -> NDArray:
    return array.astype(np.min_scalar_type(int(array.max(initial=0))), copy=False)


def _sidecar(file: Path) -> LabelScheme | None:
    names = _names_by_value(json_beside(file))
    return scheme_from_names("sidecar", names) if names else None


def _names_by_value(content: Any) -> Mapping[int, str]:
    # Other JSON files may share the stem (acquisition data); only a table of numbers and names is one of labels.
    table = content.get("labels", content) if isinstance(content, dict) else None
    if not isinstance(table, dict) or not table:
        return {}
    if all(isinstance(v, int) and not isinstance(v, bool) for v in table.values()):
        return {value: name for name, value in table.items()}
    if all(isinstance(v, str) and re.fullmatch(r"\d+", k) for k, v in table.items()):
        return {int(key): name for key, name in table.items()}
    return {}


def _read_folder(folder: Path) -> LabelMap:
    """One binary file per structure; vertebrae, S1 and the sacrum are joined under TotalSegmentator's numbers."""
    wanted = {str(level): value for value, level in TOTALSEGMENTATOR.levels.items()}
    values = {v: k for k, v in TOTALSEGMENTATOR.others.items() if v == "sacrum"}
    files = {}
    for file in sorted(folder.glob("*.nii*")):
        level = level_of(strip_nifti(file.name))
        value = wanted.get(str(level)) if level else values.get(strip_nifti(file.name))
        if value is not None:
            files[value] = file
    if not set(files) & set(TOTALSEGMENTATOR.levels):
        raise InputError(f"{folder} holds no masks named vertebrae_L1.nii.gz and so on; give the mask file itself")
    return _joined(folder, files)


def _joined(folder: Path, files: Mapping[int, Path]) -> LabelMap:
    grid: Grid | None = None
    out = np.zeros((0, 0, 0), dtype=np.uint8)
    shared, empty = 0, []
    for value, file in sorted(files.items()):
        stored = read_stored(file)
        if grid is None:
            grid, out = stored.grid, np.zeros(stored.grid.shape, dtype=np.uint8, order="F")
        if not grid.matches(stored.grid):
            raise InputError(
                f"{file} lies on another grid than its neighbours: {stored.grid.describe()}; {grid.describe()}"
            )
        inside = stored.raw * stored.slope + stored.intercept > 0.5
        shared += int((out[inside] > 0).sum())
        if not inside.any():
            empty.append(file.name)
        out[inside] = value
    if grid is None or not out.any():
        raise InputError(f"every vertebra mask in {folder} is empty")
    chosen, reason = named(TOTALSEGMENTATOR.name, label_extents(out, grid))
    notes = [reason.replace("as asked", f"for the {len(files) - len(empty)} files joined from {folder.name}")]
    if shared:
        notes.append(f"{shared} voxels lay in two of the joined masks; the upper level's mask was used")
    named_folder = folder.parent if folder.name.lower() in _FOLDERS_WITHOUT_A_NAME else folder
    return LabelMap(out, grid, chosen, scan_name(named_folder), tuple(notes))
