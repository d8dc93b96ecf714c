"""Small images made by hand."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from verse_morph.anatomy import VERSE
from verse_morph.space import Grid
from verse_morph.volume import LabelMap

# Heights of the blocks' centres in mm, head to foot: L1 to L5 at the distances of a spine.
LUMBAR_Z_MM = (150, 116, 80, 44, 8)


@pytest.fixture
def oblique() -> np.ndarray:
    """A 3 x 2 x 4 mm affine turned by 20 degrees about two axes: nearest RAS, no axis along the world's."""
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([3.0, 2.0, 4.0])
    affine[:3, 3] = [-40, 25, -60.5]
    return affine


@pytest.fixture
def block_spine():
    """``make(values, z_mm)``: one 20 mm block per value on a 2 mm grid, centred at the heights given."""

    def make(values=(20, 21, 22, 23, 24), z_mm=LUMBAR_Z_MM, dtype=np.uint8, scheme=VERSE) -> LabelMap:
        low = min(z_mm) - 20
        grid = Grid(
            (20, 24, (max(z_mm) - low) // 2 + 10),
            np.array([[2, 0, 0, -20], [0, 2, 0, -30], [0, 0, 2, low], [0, 0, 0, 1.0]]),
        )
        array = np.zeros(grid.shape, dtype=dtype, order="F")
        for value, z in zip(values, z_mm, strict=True):
            k = (z - low) // 2
            array[5:15, 6:18, k - 5 : k + 6] = value
        return LabelMap(array, grid, scheme) if np.issubdtype(dtype, np.integer) else (array, grid)

    return make


@pytest.fixture
def save(tmp_path):
    """``save(array, affine, name, edit)``: a NIfTI file; ``edit(header)`` changes the header behind nibabel's back."""

    def write(array, affine=None, name="case.nii.gz", edit=None):
        image = nib.Nifti1Image(array, np.eye(4) if affine is None else affine, dtype=array.dtype)
        image.set_sform(image.affine, code=1)
        image.set_qform(image.affine, code=1)
        content = image.to_bytes()
        if edit is not None:
            header = nib.Nifti1Header(content[:348], check=False)
            edit(header)
            content = header.binaryblock + content[348:]
        path = tmp_path / name
        path.write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
        return path

    return write
