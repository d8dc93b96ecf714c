"""Other programs in place of our own networks, their labels translated to VerSe's numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import VERSE, LabelScheme, Level
from verse_morph.errors import InputError
from verse_morph.io.schemes import TOTALSEGMENTATOR
from verse_morph.segment.thickest import thickest_part
from verse_morph.space import FloatArray
from verse_morph.volume import LabelMap, Scan

MISSING = (
    "the engine totalsegmentator needs a package of that name, which is not part of verse_morph; install it with "
    "`pip install TotalSegmentator`, mind its licence, or use --engine verse_morph"
)


def run_totalsegmentator(scan: Scan, device: str | None = None) -> LabelMap:
    """Vertebrae and sacrum as TotalSegmentator's task ``total`` outlines them, in VerSe's numbers.

    Parameters
    ----------
    scan : Scan
    device : str, optional
        ``cpu`` or ``cuda``; the program's own choice by default.

    Raises
    ------
    InputError
        The package is not installed, gave no image on the scan's grid, or found no vertebra.

    Notes
    -----
    That task knows twelve thoracic and five lumbar vertebrae. A T13 or L6 is never inferred from its labels, so a
    spine that has one comes out misnumbered.
    """
    import nibabel as nib

    try:
        from totalsegmentator.python_api import totalsegmentator
    except ImportError as error:
        raise InputError(MISSING) from error
    image = nib.Nifti1Image(np.asarray(scan.hu), np.array(scan.grid.affine))
    wanted = [f"vertebrae_{level}" for level in Level if level in TOTALSEGMENTATOR.levels.values()]
    given = {"device": "gpu" if device.startswith("cuda") else device} if device else {}
    made = totalsegmentator(image, None, task="total", ml=True, quiet=True, roi_subset=[*wanted, "sacrum"], **given)
    found = np.asarray(made.dataobj)
    if found.shape != scan.grid.shape or not np.allclose(made.affine, scan.grid.affine, atol=1e-3):
        raise InputError(
            f"totalsegmentator answered with an image of {found.shape} voxels on another grid than the scan"
        )
    labels = translated(found, TOTALSEGMENTATOR)
    note = "outlined by TotalSegmentator, which knows neither T13 nor L6: a spine with either comes out misnumbered"
    out = LabelMap(labels, scan.grid, VERSE, scan.name, (note,))
    if not out.levels():
        raise InputError(f"no spine found in {scan.name}: totalsegmentator outlined no vertebra")
    return out


def translated(labels: NDArray, scheme: LabelScheme) -> NDArray[np.uint8]:
    """Labels of another scheme in VerSe's numbers; all but vertebrae and sacrum becomes background.

    Parameters
    ----------
    labels : array (i, j, k)
        Whole numbers.
    scheme : LabelScheme
        What they mean.
    """
    sacrum = next(value for value, name in VERSE.others.items() if name == "sacrum")
    numbers = np.zeros(int(labels.max(initial=0)) + 1, dtype=np.uint8)
    for value in range(1, len(numbers)):
        level = scheme.levels.get(value)
        if level is Level.S1 or scheme.others.get(value) == "sacrum":
            numbers[value] = sacrum
        elif level is not None:
            numbers[value] = VERSE.value_of(level)
    return np.asarray(numbers[np.asarray(labels).astype(np.intp, copy=False)])


def measured_bodies(labels: LabelMap) -> tuple[dict[Level, FloatArray], dict[Level, float]]:
    """Where each vertebra's body is, and each vertebra's volume.

    Parameters
    ----------
    labels : LabelMap

    Returns
    -------
    points_mm : dict of Level to array (3,)
        Middle of the thickest part, which is the body; world RAS mm, head to foot.
    volumes_cm3 : dict of Level to float
    """
    from scipy.ndimage import find_objects

    boxes = {value: box[::-1] for value, box in enumerate(find_objects(labels.labels.T), start=1) if box is not None}
    found = sorted((labels.scheme.levels[value], value) for value in boxes if value in labels.scheme.levels)
    points, volumes = {}, {}
    for level, value in found:
        mask = np.ascontiguousarray(labels.labels[boxes[value]] == value)
        middle, _ = thickest_part(mask, labels.grid.spacing_mm)
        points[level] = labels.grid.crop(boxes[value]).to_world(middle)
        volumes[level] = float(mask.sum()) * labels.grid.voxel_volume_mm3 / 1000
    return points, volumes
