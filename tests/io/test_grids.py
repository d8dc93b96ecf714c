"""Bringing a CT onto a mask's grid."""

import itertools

import nibabel as nib
import numpy as np
import pytest

from verse_morph.errors import GridMismatch
from verse_morph.io import read_labels, read_scan, scan_on_grid
from verse_morph.space import Grid, direction_grid
from verse_morph.volume import Scan

HU = np.random.default_rng(0).integers(-1000, 1500, (7, 8, 9)).astype(np.int16)


def on_axes(codes, affine):
    """The random image with its axes turned to ``codes``."""
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(codes))
    image = nib.Nifti1Image(HU, affine).as_reoriented(turn)
    return Scan(np.asanyarray(image.dataobj), Grid(image.shape, image.affine), meta={"KVP": "120"})


def linear(world):
    return 5 * world[..., 0] - 3 * world[..., 1] + 2 * world[..., 2]


def ramp(grid):
    """A CT whose value is a linear function of the world: linear interpolation must reproduce it exactly."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    return Scan(linear(grid.to_world(index)).astype(np.float32), grid)


def test_same_grid_gives_the_same_object(oblique):
    scan = Scan(HU, Grid(HU.shape, oblique))
    assert scan_on_grid(scan, Grid(HU.shape, oblique)) is scan


@pytest.mark.parametrize(
    "codes", ["".join(c) for p in itertools.permutations(("RL", "AP", "SI")) for c in itertools.product(*p)]
)
def test_axis_orders_are_turned_exactly(oblique, codes):
    turned = on_axes(codes, oblique)
    for box in (None, (slice(1, 5), slice(2, 8), slice(3, 7))):
        wanted = Grid(HU.shape, oblique) if box is None else Grid(HU.shape, oblique).crop(box)
        out = scan_on_grid(turned, wanted)
        np.testing.assert_array_equal(out.hu, HU if box is None else HU[box])
        assert out.hu.dtype == np.int16
        assert out.grid.matches(wanted)
        assert out.notes == ()
        assert out.meta["KVP"] == "120"


@pytest.mark.parametrize("codes", ["RAS", "PIR", "LSA"])
def test_outside_the_scan_there_is_no_number(oblique, codes):
    wanted = Grid((9, 10, 6), oblique @ nib.affines.from_matvec(np.eye(3), [-1, -2, 4]))
    out = scan_on_grid(on_axes(codes, oblique), wanted)
    truth = np.full(wanted.shape, np.nan, dtype=np.float32)
    truth[1:8, 2:10, 0:5] = HU[:, :, 4:]
    np.testing.assert_array_equal(out.hu, truth)
    assert "lies outside the CT" in out.notes[0]


def test_other_sampling_is_interpolated_linearly(oblique):
    source = ramp(Grid((20, 22, 24), oblique))
    fine = Grid((30, 25, 20), np.diag([1.1, 0.9, 1.3, 1.0]) @ nib.affines.from_matvec(np.eye(3), [-28, 30, -20]))
    out = scan_on_grid(source, fine)
    index = source.grid.to_index(
        fine.to_world(np.stack(np.meshgrid(*[np.arange(n) for n in fine.shape], indexing="ij"), axis=-1))
    )
    well_inside = ((index >= 0) & (index <= np.array(source.grid.shape) - 1)).all(axis=-1)
    outside = ((index < -0.5) | (index > np.array(source.grid.shape) - 0.5)).any(axis=-1)
    assert well_inside.sum() > 1000
    np.testing.assert_allclose(out.hu[well_inside], ramp(fine).hu[well_inside], atol=1e-3)
    assert np.isnan(out.hu[outside]).all()
    assert not np.isnan(out.hu[~outside]).any()
    assert "resampled linearly from 20x22x24 voxels" in out.notes[0]


def test_half_a_voxel_apart_is_not_one_lattice(oblique):
    source = ramp(Grid((20, 22, 24), oblique))
    shifted = Grid((10, 10, 10), oblique @ nib.affines.from_matvec(np.eye(3), [3.5, 4, 5]))
    out = scan_on_grid(source, shifted)
    assert "resampled" in out.notes[0]
    np.testing.assert_allclose(out.hu, ramp(shifted).hu, atol=1e-3)


def test_grids_without_overlap(oblique):
    far = np.array(oblique)
    far[0, 3] += 500
    with pytest.raises(GridMismatch, match=r"do not overlap in the world: 7x8x9 .*; 7x8x9 .*same scan"):
        scan_on_grid(Scan(HU, Grid(HU.shape, oblique)), Grid(HU.shape, far))


def test_real_scan_and_mask_share_a_grid(real_data):
    scan = read_scan(next(real_data.glob("verse/**/sub-verse014_ct.nii.gz")))
    labels = read_labels(next(real_data.glob("verse/**/sub-verse014*_msk.nii.gz")))
    assert scan_on_grid(scan, labels.grid) is scan


def test_real_scan_through_other_axes_and_back(real_data):
    scan = read_scan(next(real_data.glob("verse/**/sub-verse014_ct.nii.gz")))
    there = scan_on_grid(scan, direction_grid(scan.grid, "LAS"))
    np.testing.assert_array_equal(scan_on_grid(there, scan.grid).hu, scan.hu)
