"""DICOM series: geometry, several series in one folder, missing slices."""

import datetime

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from verse_morph.errors import InputError
from verse_morph.io import read_scan

IMAGE = np.random.default_rng(3).integers(0, 2000, (4, 5, 6)).astype(np.int16)  # rows, columns, slices


def write_series(folder, uid="1.2.3.4", axes=((1, 0, 0), (0, 1, 0)), step=(0, 0, 2.5), **header):
    """Slices of ``IMAGE`` with values stored + 1024, in a file order that is not the slices' order."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(IMAGE.shape[2]):
        data = pydicom.Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
        data.SeriesInstanceUID, data.StudyInstanceUID, data.Modality = uid, "1.2", "CT"
        data.StudyDate = datetime.date(2020, 1, 1).strftime("%Y%m%d")
        data.Rows, data.Columns = IMAGE.shape[:2]
        data.PixelSpacing = [0.8, 0.7]
        data.ImageOrientationPatient = [*axes[0], *axes[1]]
        data.ImagePositionPatient = list(np.array([10.0, 20.0, -30.0]) + k * np.array(step))
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.KVP, data.Manufacturer, data.ConvolutionKernel = 120, "Philips", ["Br38f", "3"]
        for key, value in header.items():
            setattr(data, key, value[k] if isinstance(value, list) else value)
        data.PixelData = np.ascontiguousarray(IMAGE[:, :, k]).astype("<u2").tobytes()
        data.save_as(folder / f"{uid}_{(k * 5) % 7}.dcm", enforce_file_format=True)


def test_one_series(tmp_path):
    write_series(tmp_path / "case7_ct")
    (tmp_path / "case7_ct" / "notes.txt").write_text("not an image")
    scan = read_scan(tmp_path / "case7_ct")
    np.testing.assert_array_equal(scan.hu, IMAGE.transpose(1, 0, 2) - 1024)
    assert (scan.hu.dtype, scan.name, scan.notes) == (np.int16, "case7", ())
    assert scan.grid.axis_codes == "LPS"
    # Column 1 and row 2 of slice 3: LPS (10 + 0.7, 20 + 2 * 0.8, -30 + 3 * 2.5).
    np.testing.assert_allclose(scan.grid.to_world([1, 2, 3]), [-10.7, -21.6, -22.5])
    assert scan.meta["KVP"] == "120"
    assert scan.meta["Manufacturer"] == "Philips"
    assert scan.meta["ConvolutionKernel"] == "Br38f\\3"


def test_sagittal_slices(tmp_path):
    write_series(tmp_path / "s", axes=((0, 1, 0), (0, 0, -1)), step=(-2.0, 0, 0))
    scan = read_scan(tmp_path / "s")
    assert scan.grid.axis_codes == "PIR"
    np.testing.assert_array_equal(scan.hu, IMAGE.transpose(1, 0, 2) - 1024)
    np.testing.assert_allclose(scan.grid.to_world([1, 2, 3]), [-10 + 6, -20.7, -31.6])


def test_one_file_stands_for_its_folder(tmp_path):
    write_series(tmp_path / "s")
    assert read_scan(next((tmp_path / "s").iterdir())).grid.shape == (5, 4, 6)


def test_two_series_need_a_choice(tmp_path):
    write_series(tmp_path / "two" / "a", uid="1.2.3.11", SeriesDescription="soft", SeriesNumber=4)
    write_series(
        tmp_path / "two" / "b", uid="1.2.3.22", SeriesDescription="bone", SeriesNumber=5, Manufacturer="Siemens"
    )
    with pytest.raises(
        InputError, match=r"2 series: 1\.2\.3\.11 'soft' 6 slices; 1\.2\.3\.22 'bone' 6 slices; .* --series"
    ):
        read_scan(tmp_path / "two")
    assert read_scan(tmp_path / "two", series="1.2.3.22").meta["Manufacturer"] == "Siemens"
    assert read_scan(tmp_path / "two", series="4").meta["Manufacturer"] == "Philips"
    with pytest.raises(InputError, match="fits 0 of 2 series"):
        read_scan(tmp_path / "two", series="99")


def test_localizer_beside_the_series_is_ignored(tmp_path):
    write_series(tmp_path / "s", uid="1.2.3.1")
    write_series(tmp_path / "s", uid="1.2.3.2", ImageType=["ORIGINAL\\PRIMARY\\LOCALIZER"] * 6)
    assert read_scan(tmp_path / "s").grid.shape == (5, 4, 6)


def test_missing_slice(tmp_path):
    write_series(tmp_path / "s")
    (tmp_path / "s" / f"1.2.3.4_{(3 * 5) % 7}.dcm").unlink()
    with pytest.raises(
        InputError, match=r"missing or unevenly spaced: 5\.00 mm after slice 3 of 5, 2\.50 mm elsewhere"
    ):
        read_scan(tmp_path / "s")


def test_repeated_slices(tmp_path):
    write_series(tmp_path / "s", step=(0, 0, 0))
    with pytest.raises(InputError, match="5 slices lie where another one lies already"):
        read_scan(tmp_path / "s")


def test_single_slice(tmp_path):
    write_series(tmp_path / "s")
    for file in list((tmp_path / "s").iterdir())[1:]:
        file.unlink()
    with pytest.raises(InputError, match="one slice"):
        read_scan(tmp_path / "s")


def test_tilted_gantry_is_noted(tmp_path):
    write_series(tmp_path / "s", step=(0, 0.5, 2.5))
    scan = read_scan(tmp_path / "s")
    assert "11.3 degrees off their normal" in scan.notes[0]
    np.testing.assert_allclose(scan.grid.to_world([0, 0, 5]), [-10, -22.5, -17.5])


def test_other_modality(tmp_path):
    write_series(tmp_path / "s", Modality="MR")
    with pytest.raises(InputError, match="no CT slices: modality MR"):
        read_scan(tmp_path / "s")


def test_pixels_that_cannot_be_decoded(tmp_path):
    write_series(tmp_path / "s")
    for file in (tmp_path / "s").iterdir():
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be decoded"):
        read_scan(tmp_path / "s")


def test_empty_folder(tmp_path):
    with pytest.raises(InputError, match=r"nor does .* hold the slices of a DICOM CT"):
        read_scan(tmp_path)


def test_real_compressed_series(real_data):
    scan = read_scan(real_data / "dicom" / "totalsegmentator_example")
    assert scan.grid.shape == (512, 512, 20)
    np.testing.assert_allclose(scan.grid.spacing_mm, [0.9765625, 0.9765625, 2.0])
    np.testing.assert_allclose(scan.grid.to_world([0, 0, 0]), [249.51171875, 437.51171875, -804.5])
    assert scan.meta["ManufacturerModelName"] == "Biograph40_mCT 4R"
    # The same pixels through another decoder.
    file = min((real_data / "dicom" / "totalsegmentator_example").iterdir(), key=lambda f: _height(f))
    np.testing.assert_array_equal(scan.hu[:, :, 0], pydicom.dcmread(file).pixel_array.T.astype(int) - 1024)


def _height(file):
    return float(pydicom.dcmread(file, stop_before_pixels=True).ImagePositionPatient[2])
