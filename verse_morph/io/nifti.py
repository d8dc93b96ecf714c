"""NIfTI files of any storage type, axis order and obliqueness: stored numbers, scaling and grid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import nibabel as nib
import numpy as np
from isal.igzip_lib import IsalError
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from verse_morph.errors import InputError
from verse_morph.io.files import existing, replacing
from verse_morph.space import FloatArray, Grid

GZIP_MAGIC = b"\x1f\x8b"
# A sform and a qform that put some corner of the image further apart than this are a conflict worth a note.
AFFINE_TOLERANCE_MM = 0.01
# Level 1 already halves a CT; higher levels cost seconds per scan for a few percent.
COMPRESSION_LEVEL = 1
# Slabs of about this many voxels are scaled at a time.
SLAB_VOXELS = 4_000_000
PIECE_BYTES = 1 << 24
# Everything that nibabel and the gzip reader raise on files that are cut off, damaged or something else.
_DAMAGED: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    ImageFileError,
    HeaderDataError,
    cast(type[Exception], IsalError),
)


@dataclass(frozen=True, eq=False)
class Stored:
    """A NIfTI image as it lies in its file: ``values = raw * slope + intercept``."""

    raw: NDArray
    slope: float
    intercept: float
    grid: Grid
    notes: tuple[str, ...] = ()

    @property
    def is_integer(self) -> bool:
        """Whether the values are integers by storage type and scaling, whatever they hold."""
        return bool(self.raw.dtype.kind in "iu" and self.slope == 1 and self.intercept == round(self.intercept))

    def slabs(self) -> Iterator[tuple[slice, NDArray]]:
        """Unscaled slabs along the slowest axis, so that nothing of full size is made in floating point."""
        thick = max(1, SLAB_VOXELS // (self.raw.shape[0] * self.raw.shape[1]))
        for start in range(0, self.raw.shape[2], thick):
            part = slice(start, min(start + thick, self.raw.shape[2]))
            yield part, self.raw[:, :, part]


def read_stored(path: Path | str) -> Stored:
    """Read one three-dimensional NIfTI file without scaling it.

    Parameters
    ----------
    path : Path or str
        ``.nii`` or ``.nii.gz`` (recognised by content, so a wrong ending does no harm).

    Raises
    ------
    InputError
        Missing, truncated, no NIfTI, not three-dimensional, colour or complex values, or an affine that is singular or
        not finite.
    """
    file = existing(path, "a NIfTI file, .nii or .nii.gz")
    if file.is_dir():
        raise InputError(f"{file} is a folder, not a NIfTI file")
    try:
        with ExitStack() as stack:
            stream = _open(file, stack)
            header = _header(stream, file)
            shape = _shape_3d(header.get_data_shape(), file)
            grid, notes = _grid(header, shape, file)
            slope, intercept = header.get_slope_inter()
            raw = _voxels(stream, header, shape)
    except _DAMAGED as error:
        raise InputError(f"{file} cannot be read as NIfTI: {_first_line(error)}; is the file complete?") from error
    return Stored(raw, 1.0 if slope is None else float(slope), float(intercept or 0), grid, notes)


def write_array(array: NDArray, affine: FloatArray, path: Path | str) -> None:
    """Write an array with its affine as both sform and qform, gzip-compressed when the name ends in ``.gz``.

    Parameters
    ----------
    array : array (i, j, k)
        Stored with its own type, unscaled.
    affine : array (4, 4)
        Voxel index to RAS millimetres; a sheared affine is kept exactly in the sform only.

    Raises
    ------
    OutputError
        The folder is missing or cannot be written to.
    """
    image = nib.Nifti1Image(array, np.asarray(affine))
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    # A qform cannot hold shear (a tilted gantry); written all the same it would contradict the sform.
    image.set_qform(affine, code=1 if _is_rigid_with_zooms(np.asarray(affine)) else 0)
    with replacing(path) as temporary:
        if temporary.name.endswith(".gz"):
            from isal import igzip

            # No time and no name in the header: the same image gives the same bytes.
            with (
                temporary.open("wb") as file,
                igzip.IGzipFile("", "wb", COMPRESSION_LEVEL, file, mtime=0) as stream,
            ):
                image.to_stream(stream)
        else:
            with temporary.open("wb") as plain:
                image.to_stream(plain)


def _open(file: Path, stack: ExitStack) -> BinaryIO:
    stream: BinaryIO = stack.enter_context(file.open("rb"))
    if stream.read(2) == GZIP_MAGIC:
        from isal import igzip

        stream = stack.enter_context(cast(BinaryIO, igzip.open(file, "rb")))
    stream.seek(0)
    return stream


def _header(stream: BinaryIO, file: Path) -> nib.Nifti1Header:
    size = stream.read(4)
    stream.seek(0)
    kinds = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
    kind = kinds.get(int.from_bytes(size, "little")) or kinds.get(int.from_bytes(size, "big"))
    if kind is None:
        raise InputError(f"{file} is not a NIfTI file (it does not begin like one); convert it to .nii.gz first")
    header = kind.from_fileobj(stream)
    if header.get_data_dtype().kind not in "iuf":
        raise InputError(f"{file} stores {header.get_data_dtype()} values; a CT or a mask holds one number per voxel")
    return header


def _voxels(stream: BinaryIO, header: nib.Nifti1Header, shape: tuple[int, int, int]) -> NDArray:
    """The stored numbers, read in pieces: the gzip reader holds a copy of whatever it is asked for at once."""
    stream.seek(max(header.get_data_offset(), header.single_vox_offset))
    raw = np.empty(shape, dtype=header.get_data_dtype(), order="F")
    target = raw.reshape(-1, order="F").view(np.uint8).data
    done = 0
    while done < len(target):
        piece = stream.read(min(PIECE_BYTES, len(target) - done))
        if not piece:
            raise EOFError(f"it ends after {done} of {len(target)} bytes of image data")
        target[done : done + len(piece)] = piece
        done += len(piece)
    return raw if raw.dtype.isnative else raw.astype(raw.dtype.newbyteorder("="))


def _shape_3d(shape: tuple[int, ...], file: Path) -> tuple[int, int, int]:
    if 0 in shape:
        raise InputError(f"{file} holds no voxels: its shape is {shape}")
    # Trailing axes of length one are common (a single frame); a third axis is not optional.
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        kind = "one slice" if len(shape) < 3 else f"{np.prod(shape[3:])} frames"
        raise InputError(f"{file} has shape {shape}: {kind}, not one three-dimensional image; extract one volume first")
    return cast(tuple[int, int, int], tuple(int(n) for n in shape[:3]))


def _grid(header: nib.Nifti1Header, shape: tuple[int, int, int], file: Path) -> tuple[Grid, tuple[str, ...]]:
    affine, notes = _affine(header, shape)
    unit = header.get_xyzt_units()[0]
    if unit in ("meter", "micron"):
        notes = (*notes, f"the header gives lengths in {unit}; they were read as millimetres")
    try:
        return Grid(shape, affine), notes
    except ValueError as error:
        raise InputError(
            f"{file}: {error}; its position in the world is unknown, so repair the header first"
        ) from error


def _affine(header: nib.Nifti1Header, shape: tuple[int, int, int]) -> tuple[FloatArray, tuple[str, ...]]:
    sform, qform = (header.get_sform(coded=True)[0], header.get_qform(coded=True)[0])
    if sform is None and qform is None:
        note = "neither sform nor qform is set: position and left-right are guesses from the voxel size alone"
        return header.get_base_affine(), (note,)
    if sform is None or qform is None:
        return cast(FloatArray, qform if sform is None else sform), ()
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1])).reshape(4, -1)
    apart = float(np.abs((sform - qform) @ corners).max())
    if apart > AFFINE_TOLERANCE_MM:
        return sform, (f"sform and qform disagree by {apart:.3g} mm; the sform was used",)
    return sform, ()


def _is_rigid_with_zooms(affine: FloatArray) -> bool:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() < 1e-5)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
