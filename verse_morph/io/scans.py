"""CT scans: a NIfTI file or a DICOM folder to a :class:`Scan`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import InputError
from verse_morph.io.files import existing, json_beside, strip_nifti
from verse_morph.io.nifti import Stored, read_stored, write_array
from verse_morph.io.verse import scan_name
from verse_morph.volume import Scan

# A CT with air or lung in it has voxels below this; one cropped inside the trunk may have none.
AIR_HU = -300


def read_scan(path: Path | str, series: str | None = None) -> Scan:
    """Read a CT.

    Parameters
    ----------
    path : Path or str
        ``.nii``, ``.nii.gz``, a DICOM file, or a folder with one DICOM series.
    series : str, optional
        Series instance UID (or the end of it, or the series number) where a folder holds several.

    Returns
    -------
    Scan
        In the file's own axis order, int16 where the file stores integers with unit slope, else float32. ``meta`` holds
        what a ``_ct.json`` beside the file, or the DICOM header, says.

    Raises
    ------
    InputError
        Not readable, not one three-dimensional image, values that are not numbers, or several series and none chosen.

    Notes
    -----
    Whether the numbers are Hounsfield units cannot be proved from them: an image without air gets a note, not an error.
    """
    file = existing(path, "a CT: .nii, .nii.gz or a DICOM folder")
    if file.is_dir() or not _looks_like_nifti(file):
        from verse_morph.io.dicom import read_dicom

        scan = read_dicom(file, series)
    else:
        stored = read_stored(file)
        scan = Scan(_hounsfield(stored, file), stored.grid, scan_name(file), _sidecar(file), stored.notes)
    return Scan(scan.hu, scan.grid, scan.name, scan.meta, scan.notes + _doubts(scan.hu))


def write_scan(scan: Scan, path: Path | str) -> None:
    """Write a CT as NIfTI with its exact values, axis order and affine.

    Parameters
    ----------
    scan : Scan
        Stored as int16 or float32, as it is held.
    path : Path or str
        ``.nii`` or ``.nii.gz``; an existing file is replaced only when the new one is complete.

    Raises
    ------
    OutputError
        The folder is missing or cannot be written to.
    """
    write_array(scan.hu, scan.grid.affine, path)


def _looks_like_nifti(file: Path) -> bool:
    return strip_nifti(file.name) != file.name


def _hounsfield(stored: Stored, file: Path) -> NDArray:
    if stored.is_integer:
        low, high = int(stored.raw.min()) + stored.intercept, int(stored.raw.max()) + stored.intercept
        limits = np.iinfo(np.int16)
        if low >= limits.min and high <= limits.max:
            if stored.intercept == 0:
                return stored.raw.astype(np.int16, copy=False)
            return (stored.raw + np.int32(stored.intercept)).astype(np.int16)
    out = np.empty(stored.raw.shape, dtype=np.float32, order="F")
    bad = 0
    for part, slab in stored.slabs():
        out[:, :, part] = slab * np.float64(stored.slope) + stored.intercept
        bad += int(np.count_nonzero(~np.isfinite(out[:, :, part])))
    if bad:
        raise InputError(
            f"{file}: {bad} of {out.size} voxels are not numbers (NaN or infinite); "
            "fill them, with -1024 where there is no image, and save again"
        )
    return out


def _sidecar(file: Path) -> dict[str, str]:
    content = json_beside(file)
    if not isinstance(content, dict):
        return {}
    return {str(key): str(value) for key, value in content.items() if isinstance(value, str | int | float)}


def _doubts(hu: NDArray) -> tuple[str, ...]:
    low, high = float(hu.min()), float(hu.max())
    if low == high:
        raise InputError(f"every voxel of the scan is {low:g}; there is no image in it")
    if low >= AIR_HU:
        return (f"no air near -1000 HU (lowest value {low:g}): intensities may not be Hounsfield units",)
    return ()
