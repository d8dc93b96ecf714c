"""DICOM CT series: geometry from the headers (pydicom), pixels from SimpleITK (it knows every compression)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import InputError
from verse_morph.io.verse import scan_name
from verse_morph.space import FloatArray, Grid, lps_to_ras
from verse_morph.volume import Scan

_META = [
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "KVP",
    "ConvolutionKernel",
    "SliceThickness",
    "XRayTubeCurrent",
    "SeriesDescription",
    "SeriesNumber",
    "BodyPartExamined",
    "ContrastBolusAgent",
    "PatientPosition",
    "GantryDetectorTilt",
]
_GEOMETRY = [
    "SeriesInstanceUID",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
]
# Distances between neighbouring slices may differ by rounding of the headers, not by more.
UNEVEN_FRACTION = 0.02
TILT_NOTE_DEG = 0.5


@dataclass(frozen=True, eq=False)
class _Slice:
    """One file: LPS position of its first pixel, axes, spacing (between rows, between columns), header."""

    file: Path
    uid: str
    rows: int
    columns: int
    position_mm: FloatArray
    axes: FloatArray
    spacing_mm: tuple[float, float]
    meta: Mapping[str, str] = field(default_factory=dict)

    @property
    def normal(self) -> FloatArray:
        return np.cross(self.axes[0], self.axes[1])

    @property
    def stack(self) -> tuple[object, ...]:
        """Slices that agree in this can be one volume."""
        return (self.uid, self.rows, self.columns, *np.round(self.axes.ravel(), 3), *np.round(self.spacing_mm, 4))


def read_dicom(path: Path, series: str | None = None) -> Scan:
    """Read one CT series.

    Parameters
    ----------
    path : Path
        A folder (searched with its subfolders) or one file, for the series of its folder.
    series : str, optional
        Series instance UID, its end, or the series number; needed where the folder holds several.

    Raises
    ------
    InputError
        No CT slices, several series and none chosen, slices missing or repeated, or a compression that cannot be
        decoded.
    """
    folder = path if path.is_dir() else path.parent
    if path.is_file() and _header(path) is None:
        raise InputError(f"{path} is neither NIfTI (.nii, .nii.gz) nor a DICOM file")
    stacks = _stacks(sorted(folder.rglob("*") if path.is_dir() else folder.iterdir()), folder)
    if not stacks:
        raise InputError(f"{path} is neither NIfTI (.nii, .nii.gz) nor does {folder} hold the slices of a DICOM CT")
    slices = _ordered(_chosen(stacks, series, folder), folder)
    grid, notes = _grid(slices, folder)
    hu = _pixels(slices, grid, folder)
    meta = {key: value for key, value in slices[0].meta.items() if value}
    return Scan(hu, grid, scan_name(folder.resolve()), meta, notes)


def _stacks(files: list[Path], folder: Path) -> list[list[_Slice]]:
    groups: dict[tuple[object, ...], list[_Slice]] = {}
    other = set()
    for file in files:
        if file.is_file() and not file.name.startswith("."):
            found = _header(file)
            if isinstance(found, _Slice):
                groups.setdefault(found.stack, []).append(found)
            elif found:
                other.add(found)
    if not groups and other:
        raise InputError(f"{folder} holds DICOM, but no CT slices: {', '.join(sorted(other))}")
    return sorted(groups.values(), key=len, reverse=True)


def _header(file: Path) -> _Slice | str | None:
    """A CT slice; or, for other DICOM, what it is; or None for other files."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[*_META, *_GEOMETRY])
    except (InvalidDicomError, OSError):
        return None
    if header.get("Modality", "CT") != "CT":
        return f"modality {header.Modality}"
    if int(header.get("NumberOfFrames") or 1) > 1:
        return "a multi-frame file (convert it with dcm2niix)"
    if "LOCALIZER" in (header.get("ImageType") or ()):
        return "a localizer"
    position, axes, spacing = (
        header.get(k) for k in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    )
    if not (position and axes and spacing):
        return "an image without position"
    return _Slice(
        file=file,
        uid=str(header.get("SeriesInstanceUID") or ""),
        rows=int(header.Rows),
        columns=int(header.Columns),
        position_mm=np.array(position, dtype=float),
        axes=np.array(axes, dtype=float).reshape(2, 3),
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        meta={key: _text(header.get(key)) for key in _META},
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    many = isinstance(value, Sequence) and not isinstance(value, str)
    return "\\".join(map(str, value)) if many else str(value)  # type: ignore[call-overload]


def _chosen(stacks: list[list[_Slice]], series: str | None, folder: Path) -> list[_Slice]:
    fitting = stacks
    if series is not None:
        fitting = [s for s in stacks if s[0].uid.endswith(series) or s[0].meta["SeriesNumber"] == series]
    if len(fitting) == 1:
        return fitting[0]
    listing = "; ".join(f"{s[0].uid or '(no UID)'} '{s[0].meta['SeriesDescription']}' {len(s)} slices" for s in stacks)
    if series is None:
        raise InputError(f"{folder} holds {len(stacks)} series: {listing}; choose one with --series UID")
    raise InputError(
        f"--series {series} fits {len(fitting)} of {len(stacks)} series in {folder}: {listing}; give the whole UID"
    )


def _ordered(slices: list[_Slice], folder: Path) -> list[_Slice]:
    if len(slices) < 2:
        raise InputError(f"{folder} holds one slice of a DICOM CT; a volume needs all slices of the series")
    along = np.array([s.position_mm @ slices[0].normal for s in slices])
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    typical = float(np.median(steps))
    if steps.min() < 1e-3:
        raise InputError(
            f"{folder}: {int((steps < 1e-3).sum())} slices lie where another one lies already; "
            "the series holds several phases or copies, keep one of them"
        )
    uneven = np.abs(steps - typical) > UNEVEN_FRACTION * typical
    if uneven.any():
        where = int(np.argmax(np.abs(steps - typical)))
        raise InputError(
            f"{folder}: slices are missing or unevenly spaced: {steps[where]:.2f} mm after slice {where + 1} of "
            f"{len(slices)}, {typical:.2f} mm elsewhere; complete the series or resample it first"
        )
    return [slices[i] for i in order]


def _grid(slices: list[_Slice], folder: Path) -> tuple[Grid, tuple[str, ...]]:
    first, last = slices[0], slices[-1]
    step = (last.position_mm - first.position_mm) / (len(slices) - 1)
    between_rows, between_columns = first.spacing_mm
    # The first array axis walks along a row, from column to column.
    columns = [first.axes[0] * between_columns, first.axes[1] * between_rows, step, first.position_mm]
    affine = np.eye(4)
    affine[:3, :] = lps_to_ras(np.array(columns)).T
    tilt = np.degrees(np.arccos(np.clip(step @ first.normal / np.linalg.norm(step), -1, 1)))
    notes: tuple[str, ...] = ()
    if tilt > TILT_NOTE_DEG:
        notes = (f"the slices are stacked {tilt:.1f} degrees off their normal (tilted gantry); the grid is sheared",)
    try:
        return Grid((first.columns, first.rows, len(slices)), affine), notes
    except ValueError as error:
        raise InputError(f"{folder}: {error}; the headers give no usable position") from error


def _pixels(slices: list[_Slice], grid: Grid, folder: Path) -> NDArray:
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(s.file) for s in slices])
    try:
        image = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(
            f"{folder}: the pixels cannot be decoded ({reason}); convert the series with dcm2niix"
        ) from error
    # A view, so that the series is held twice at most; the image outlives it.
    view = sitk.GetArrayViewFromImage(image)
    limits = np.iinfo(np.int16)
    small = view.dtype.kind in "iu" and view.min() >= limits.min and view.max() <= limits.max
    hu = np.array(view.T, dtype=np.int16 if small else np.float32, order="F")
    if hu.shape != grid.shape:
        raise InputError(f"{folder}: decoded pixels {hu.shape} do not fit the headers {grid.shape}")
    return hu
