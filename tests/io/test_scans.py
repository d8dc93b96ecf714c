"""Reading CTs: every storage type and axis order, and every way a file can be wrong."""

import itertools
import json
import os

import nibabel as nib
import numpy as np
import pytest

from verse_morph.errors import InputError, OutputError
from verse_morph.io import read_scan, write_scan
from verse_morph.space import Grid, canonical
from verse_morph.volume import Scan

HU = np.random.default_rng(0).integers(-1000, 1500, (4, 5, 6)).astype(np.int16)


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint16", "int8", "float32", "float64", ">i2", ">f4"])
def test_storage_types_give_the_same_numbers(save, dtype):
    values = np.clip(HU, -100, 100) if dtype == "int8" else HU - HU.min() if dtype == "uint16" else HU
    scan = read_scan(save(values.astype(dtype), name="s_ct.nii.gz"))
    np.testing.assert_array_equal(scan.hu, values)
    assert scan.hu.dtype == (np.float32 if np.dtype(dtype).kind == "f" else np.int16)
    assert scan.name == "s"


def test_integers_beyond_int16_become_float32(save):
    values = HU.astype(np.int32) * 100
    scan = read_scan(save(values))
    assert scan.hu.dtype == np.float32
    np.testing.assert_array_equal(scan.hu, values)


@pytest.mark.parametrize(("slope", "intercept", "dtype"), [(1, -1024, np.int16), (0.5, 10, np.float32)])
def test_stored_scaling_is_applied(save, slope, intercept, dtype):
    raw = np.arange(120, dtype=np.int16).reshape(4, 5, 6)

    def scale(header):
        header["scl_slope"], header["scl_inter"] = slope, intercept

    path = save(raw, edit=scale)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.hu, raw * slope + intercept)
    assert scan.hu.dtype == dtype


@pytest.mark.parametrize(
    "codes", ["".join(c) for p in itertools.permutations(("RL", "AP", "SI")) for c in itertools.product(*p)]
)
def test_all_axis_orders_hold_the_same_image_and_survive_a_round_trip(tmp_path, oblique, codes):
    world = Scan(HU, Grid(HU.shape, oblique))
    turn = nib.orientations.ornt_transform(nib.io_orientation(oblique), nib.orientations.axcodes2ornt(codes))
    turned = nib.Nifti1Image(HU, oblique).as_reoriented(turn)
    nib.save(turned, tmp_path / "t_ct.nii")
    scan = read_scan(tmp_path / "t_ct.nii")
    assert scan.grid.axis_codes == codes
    array, grid = canonical(scan.hu, scan.grid)
    np.testing.assert_array_equal(array, world.hu)
    assert grid.matches(world.grid, tolerance_mm=1e-3)
    write_scan(scan, tmp_path / "again_ct.nii.gz")
    again = read_scan(tmp_path / "again_ct.nii.gz")
    np.testing.assert_array_equal(again.hu, scan.hu)
    assert again.grid.matches(scan.grid, tolerance_mm=1e-3)
    assert again.hu.dtype == scan.hu.dtype
    assert again.notes == scan.notes


def test_nifti2_and_single_frames_are_read(tmp_path, save):
    nib.save(nib.Nifti2Image(HU, np.eye(4)), tmp_path / "two.nii.gz")
    np.testing.assert_array_equal(read_scan(tmp_path / "two.nii.gz").hu, HU)
    np.testing.assert_array_equal(read_scan(save(HU[..., None])).hu, HU)


def test_gzip_is_recognised_by_content(tmp_path, save):
    path = save(HU, name="plain.nii")
    path.rename(tmp_path / "plain.nii.gz")
    np.testing.assert_array_equal(read_scan(tmp_path / "plain.nii.gz").hu, HU)


def test_reading_leaves_nibabel_as_it_was(save):
    before = dict(nib.openers.Opener.compress_ext_map)
    read_scan(save(HU))
    assert nib.openers.Opener.compress_ext_map == before


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"no such file or folder: .*gone_ct\.nii\.gz"):
        read_scan(tmp_path / "gone_ct.nii.gz")


@pytest.mark.parametrize("name", ["cut_ct.nii.gz", "cut_ct.nii"])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.7, 0.99])
def test_truncated_file(save, name, keep):
    path = save(np.random.default_rng(1).integers(-1000, 1000, (20, 20, 20)).astype(np.int16), name=name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(InputError, match="cut_ct"):
        read_scan(path)


def test_damaged_gzip_body_and_checksum(save):
    path = save(HU)
    whole = bytearray(path.read_bytes())
    whole[-6] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(InputError, match="cannot be read as NIfTI"):
        read_scan(path)
    whole[30:60] = b"\xff" * 30
    path.write_bytes(whole)
    with pytest.raises(InputError):
        read_scan(path)


def test_checksum_is_compared_even_when_the_data_end_with_a_piece(save, monkeypatch):
    monkeypatch.setattr("verse_morph.io.nifti.PIECE_BYTES", HU.nbytes)
    path = save(HU)
    whole = bytearray(path.read_bytes())
    whole[-6] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(InputError, match="CRC check failed"):
        read_scan(path)


def test_header_extensions_are_skipped(tmp_path):
    image = nib.Nifti1Image(HU, np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"made by a scanner " * 20))
    nib.save(image, tmp_path / "e_ct.nii.gz")
    np.testing.assert_array_equal(read_scan(tmp_path / "e_ct.nii.gz").hu, HU)


def test_not_a_nifti(tmp_path):
    path = tmp_path / "text_ct.nii.gz"
    path.write_text("no image at all, only some words that are longer than a header field")
    with pytest.raises(InputError, match="not a NIfTI file"):
        read_scan(path)


def test_neither_nifti_nor_dicom(tmp_path):
    (tmp_path / "scan.mha").write_text("ObjectType = Image")
    with pytest.raises(InputError, match="neither NIfTI"):
        read_scan(tmp_path / "scan.mha")


@pytest.mark.parametrize(
    ("shape", "words"), [((5, 6), "one slice"), ((4, 5, 6, 3), "3 frames"), ((4, 5, 6, 1, 2), "2 frames")]
)
def test_other_than_three_dimensions(save, shape, words):
    with pytest.raises(InputError, match=words):
        read_scan(save(np.zeros(shape, dtype=np.int16)))


def test_colour_image(save):
    colour = np.zeros((4, 5, 6), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(InputError, match="one number per voxel"):
        read_scan(save(colour))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_numbers(save, bad):
    values = HU.astype(np.float32)
    values[1, 2, 3:5] = bad
    with pytest.raises(InputError, match="2 of 120 voxels are not numbers"):
        read_scan(save(values))


@pytest.mark.parametrize("bad", [np.nan, 0.0])
def test_affine_that_is_no_position(save, bad):
    def spoil(header):
        header["srow_x"] = bad

    with pytest.raises(InputError, match="singular or not finite"):
        read_scan(save(HU, edit=spoil))


def test_conflict_of_sform_and_qform_is_noted(save):
    def shift(header):
        header["qoffset_x"] += 7.5

    scan = read_scan(save(HU, edit=shift))
    assert scan.notes[0] == "sform and qform disagree by 7.5 mm; the sform was used"
    np.testing.assert_array_equal(scan.grid.affine, np.eye(4))


def test_qform_alone_is_used(save, oblique):
    def no_sform(header):
        header["sform_code"] = 0

    scan = read_scan(save(HU, oblique, edit=no_sform))
    assert scan.grid.matches(Grid(HU.shape, oblique), tolerance_mm=1e-3)
    assert not scan.notes


def test_file_without_position_is_noted(save):
    def strip(header):
        header["qform_code"] = header["sform_code"] = 0

    assert "neither sform nor qform" in read_scan(save(HU, edit=strip)).notes[0]


def test_sheared_grid_survives_without_a_false_conflict(tmp_path, oblique):
    sheared = oblique @ np.array([[1, 0, 0, 0], [0, 1, 0.3, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    write_scan(Scan(HU, Grid(HU.shape, sheared)), tmp_path / "tilt_ct.nii.gz")
    again = read_scan(tmp_path / "tilt_ct.nii.gz")
    assert again.grid.matches(Grid(HU.shape, sheared), tolerance_mm=1e-3)
    assert not again.notes


def test_intensities_without_air_are_noted(save):
    scan = read_scan(save(HU - HU.min()))
    assert "may not be Hounsfield units" in scan.notes[0]
    assert not read_scan(save(HU)).notes


def test_constant_image(save):
    with pytest.raises(InputError, match="no image in it"):
        read_scan(save(np.zeros((4, 5, 6), dtype=np.int16)))


def test_sidecar_goes_into_meta(save):
    path = save(HU, name="sub-a_ct.nii.gz")
    path.with_name("sub-a_ct.json").write_text(json.dumps({"KVP": 120, "Manufacturer": "Philips", "nested": {"a": 1}}))
    assert dict(read_scan(path).meta) == {"KVP": "120", "Manufacturer": "Philips"}
    path.with_name("sub-a_ct.json").write_text("{broken")
    with pytest.raises(InputError, match="not valid JSON"):
        read_scan(path)


def test_output_that_cannot_be_written(tmp_path):
    scan = Scan(HU, Grid(HU.shape, np.eye(4)))
    with pytest.raises(OutputError, match="does not exist"):
        write_scan(scan, tmp_path / "missing" / "a_ct.nii.gz")
    (tmp_path / "taken_ct.nii.gz").mkdir()
    with pytest.raises(OutputError, match="a folder of this name exists"):
        write_scan(scan, tmp_path / "taken_ct.nii.gz")


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "a_ct.nii.gz"
    target.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_scan(Scan(HU, Grid(HU.shape, np.eye(4))), target)
    assert [p.name for p in tmp_path.iterdir()] == ["a_ct.nii.gz"]
    assert target.read_text() == "old"


@pytest.mark.parametrize(
    ("file", "codes", "dtype"),
    [
        ("verse/**/sub-verse014_ct.nii.gz", "PIR", "int16"),
        ("totalsegmentator/example_ct.nii.gz", "RAS", "int16"),
        ("ct_only/acrin*_ct.nii.gz", "LPS", "int16"),
    ],
)
def test_real_scans(real_data, file, codes, dtype):
    path = next(real_data.glob(file))
    scan = read_scan(path)
    assert (scan.grid.axis_codes, scan.hu.dtype) == (codes, dtype)
    assert not scan.notes
    image = nib.load(path)
    np.testing.assert_array_equal(scan.hu[::7, ::7, ::7], np.asanyarray(image.dataobj)[::7, ::7, ::7])
    np.testing.assert_allclose(scan.grid.affine, image.affine)


def test_real_scan_of_bright_bone_only_is_noted(real_data):
    scan = read_scan(real_data / "totalsegmentator" / "s0328_bone_thresholded_ct.nii.gz")
    assert any("may not be Hounsfield units" in note for note in scan.notes)
