"""Masks: storage types, label schemes, folders, and every way a mask can be wrong."""

import json

import nibabel as nib
import numpy as np
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError, OutputError, UnknownLabel
from verse_morph.io import SCHEMES, read_labels, write_labels
from verse_morph.io.labels import label_extents
from verse_morph.space import Grid
from verse_morph.volume import LabelMap

LUMBAR = (Level.L1, Level.L2, Level.L3, Level.L4, Level.L5)
# Heights in mm of T10 ... S1 at the distances of a spine, head to foot.
LONG_Z_MM = (230, 202, 172, 140, 106, 70, 34, -2, -30)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64", ">f8"])
def test_storage_types(save, block_spine, dtype):
    truth = block_spine()
    path = save(truth.labels.astype(dtype), truth.grid.affine, "sub-a_seg-vert_msk.nii.gz")
    labels = read_labels(path)
    np.testing.assert_array_equal(labels.labels, truth.labels)
    assert labels.labels.dtype == np.uint8
    assert labels.levels() == LUMBAR
    assert labels.name == "sub-a"


def test_scaled_storage(save, block_spine):
    truth = block_spine()

    def scale(header):
        header["scl_slope"], header["scl_inter"] = 0.1, 0

    path = save(truth.labels.astype(np.int16) * 10, truth.grid.affine, edit=scale)
    np.testing.assert_array_equal(read_labels(path).labels, truth.labels)


@pytest.mark.parametrize("top", [28, 300])
@pytest.mark.parametrize("name", ["a_seg.nii", "a_seg.nii.gz"])
def test_round_trip_is_identical(tmp_path, oblique, top, name):
    array = np.zeros((5, 6, 7), dtype=np.uint32)
    array[1, 2, 3], array[4, 5, 6] = 1, top
    write_labels(LabelMap(array, Grid(array.shape, oblique), VERSE), tmp_path / name)
    stored = nib.load(tmp_path / name)
    np.testing.assert_array_equal(np.asanyarray(stored.dataobj), array)
    assert stored.get_data_dtype() == (np.uint8 if top < 256 else np.uint16)
    assert Grid(array.shape, stored.affine).matches(Grid(array.shape, oblique), tolerance_mm=1e-3)
    assert (int(stored.header["sform_code"]), int(stored.header["qform_code"])) == (1, 1)


def test_written_mask_is_read_back(tmp_path, block_spine):
    truth = block_spine()
    write_labels(truth, tmp_path / "b_seg.nii.gz")
    again = read_labels(tmp_path / "b_seg.nii.gz")
    np.testing.assert_array_equal(again.labels, truth.labels)
    assert again.grid.matches(truth.grid)


def test_unwritable_folder(tmp_path, block_spine):
    with pytest.raises(OutputError, match="does not exist"):
        write_labels(block_spine(), tmp_path / "none" / "a_seg.nii.gz")


def test_empty_mask(save):
    with pytest.raises(InputError, match="is empty: every voxel is 0"):
        read_labels(save(np.zeros((4, 5, 6), dtype=np.uint8)))


def test_negative_values(save, block_spine):
    array = block_spine(dtype=np.int16).labels.copy()
    array[0, 0, 0] = -3
    with pytest.raises(InputError, match="down to -3"):
        read_labels(save(array))


@pytest.mark.parametrize("bad", [20.5, np.nan, np.inf])
def test_values_that_are_not_whole(save, block_spine, bad):
    array = block_spine().labels.astype(np.float32)
    array[0, 0, 0] = bad
    with pytest.raises(InputError, match=r"not whole numbers \((20.5|nan|inf)\)"):
        read_labels(save(array))


def test_ct_given_as_mask(save):
    with pytest.raises(InputError, match="Is it a CT"):
        read_labels(save(np.arange(4000, dtype=np.int16).reshape(10, 20, 20)))


def test_labels_outside_every_scheme(save, block_spine):
    truth = block_spine(values=(20, 21, 22, 23, 200))
    with pytest.raises(UnknownLabel, match=r"no label scheme knows all of 20-23, 200"):
        read_labels(save(truth.labels, truth.grid.affine))


def test_labels_outside_the_scheme_asked_for(save, block_spine):
    truth = block_spine(values=(20, 21, 22, 23, 31))
    with pytest.raises(
        UnknownLabel, match=r"'verse' does not know label 31; known in totalsegmentator, totalsegmentator-v1"
    ):
        read_labels(save(truth.labels, truth.grid.affine), scheme="verse")


def test_unknown_scheme(save, block_spine):
    truth = block_spine()
    with pytest.raises(
        InputError, match="no label scheme 'mine'; known are verse, totalsegmentator, totalsegmentator-v1"
    ):
        read_labels(save(truth.labels), scheme="mine")


def test_class_maps_have_the_published_numbers():
    new, old = SCHEMES["totalsegmentator"], SCHEMES["totalsegmentator-v1"]
    assert (len(new.levels) + len(new.others), len(old.levels) + len(old.others)) == (117, 104)
    assert [new.levels[v] for v in (26, 27, 31, 32, 43, 44, 50)] == [
        Level(x) for x in ["S1", "L5", "L1", "T12", "T1", "C7", "C1"]
    ]
    assert [old.levels[v] for v in (18, 22, 23, 34, 35, 41)] == [
        Level(x) for x in ["L5", "L1", "T12", "T1", "C7", "C1"]
    ]
    assert [new.others[v] for v in (25, 51, 90, 92, 103, 115, 117)] == (
        ["sacrum", "heart", "brain", "rib_left_1", "rib_left_12", "rib_right_12", "costal_cartilages"]
    )
    assert [old.others[v] for v in (17, 42, 58, 81, 92, 104)] == (
        ["lung_lower_lobe_right", "esophagus", "rib_left_1", "rib_right_12", "sacrum", "urinary_bladder"]
    )


@pytest.mark.parametrize(
    ("scheme", "levels"),
    [
        ("verse", "T10 T11 T12 L1 L2 L3 L4 L5"),
        ("totalsegmentator", "T10 T11 T12 L1 L2 L3 L4 L5 S1"),
        ("totalsegmentator-v1", "T10 T11 T12 L1 L2 L3 L4 L5"),
        ("verse", "L2 L3"),
        ("totalsegmentator", "L4 L5"),
        ("verse", "C7 T1"),
    ],
)
def test_scheme_is_told_by_direction_and_distance(save, block_spine, scheme, levels):
    wanted = [Level(x) for x in levels.split()]
    heights = {
        Level(x): z for x, z in zip(["T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1"], LONG_Z_MM, strict=True)
    }
    heights |= {Level.C7: 60, Level.T1: 40}
    truth = block_spine([SCHEMES[scheme].value_of(lv) for lv in wanted], [heights[lv] for lv in wanted])
    labels = read_labels(save(truth.labels, truth.grid.affine))
    assert labels.scheme.name == scheme
    assert labels.levels() == tuple(wanted)
    assert f"label scheme '{scheme}' detected: {len(wanted)} vertebrae" in labels.notes[-1]


def test_thirteenth_thoracic_vertebra_is_not_taken_for_another_scheme(save, block_spine):
    truth = block_spine((18, 19, 28, 20, 21), (140, 110, 78, 45, 11))
    labels = read_labels(save(truth.labels, truth.grid.affine))
    assert [str(level) for level in labels.levels()] == ["T11", "T12", "T13", "L1", "L2"]


def test_one_vertebra_alone_prefers_verse_and_says_so(save, block_spine):
    truth = block_spine((22,), (0,))
    labels = read_labels(save(truth.labels, truth.grid.affine))
    assert labels.levels() == (Level.L3,)
    assert "also fits totalsegmentator-v1, verse was preferred" in labels.notes[-1]


def test_binary_column_is_not_read_as_the_atlas(save, block_spine):
    truth = block_spine((1,) * 5)
    path = save(truth.labels, truth.grid.affine)
    with pytest.raises(InputError, match=r"label 1 would be C1 but reaches over about .* like several vertebrae"):
        read_labels(path)
    assert "although label 1 would be C1" in read_labels(path, scheme="verse").notes[-1]


def test_binary_lumbar_vertebra_is_not_read_as_the_atlas(save):
    array = np.zeros((50, 60, 40), dtype=np.uint8)
    array[5:45, 5:55, 5:35] = 1
    with pytest.raises(InputError, match="60 cm3, more than any cervical vertebra"):
        read_labels(save(array))


def test_labels_in_wrong_order_are_refused(save, block_spine):
    truth = block_spine((5, 4, 3, 2, 1))
    with pytest.raises(InputError, match="4 of 4 steps would run from foot to head"):
        read_labels(save(truth.labels, truth.grid.affine))


def test_organs_alone_are_no_spine(save, block_spine):
    truth = block_spine((92, 93, 94, 95, 96))
    with pytest.raises(InputError, match="holds no vertebrae"):
        read_labels(save(truth.labels, truth.grid.affine))


def test_names_beside_the_mask_decide(save, block_spine):
    truth = block_spine((7, 8, 9, 10, 11))
    path = save(truth.labels, truth.grid.affine, "own.nii.gz")
    names = {
        "7": "vertebrae_L1",
        "8": "L2",
        "9": "vertebra_L3",
        "10": "vertebrae_L4",
        "11": "vertebrae_L5",
        "12": "rib_left_1",
    }
    for table in (names, {"labels": {name: int(value) for value, name in names.items()}}):
        path.with_name("own.json").write_text(json.dumps(table))
        labels = read_labels(path)
        assert labels.scheme.name == "sidecar"
        assert labels.levels() == LUMBAR
        assert labels.scheme.others[12] == "rib_left_1"
    path.with_name("own.json").write_text(json.dumps({"7": "vertebrae_L1"}))
    with pytest.raises(UnknownLabel, match="'sidecar' does not know label 8-11"):
        read_labels(path)
    path.with_name("own.json").write_text(json.dumps({"KVP": "120"}))
    assert read_labels(path).scheme.name == "verse"


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_folder_with_one_file_per_vertebra(tmp_path, block_spine, ending):
    truth = block_spine()
    folder = tmp_path / "s0001" / "segmentations"
    folder.mkdir(parents=True)
    for value, level in zip((20, 21, 22, 23, 24), LUMBAR, strict=True):
        nib.save(
            nib.Nifti1Image((truth.labels == value).astype(np.uint8), truth.grid.affine),
            folder / f"vertebrae_{level}{ending}",
        )
    nib.save(
        nib.Nifti1Image(np.zeros(truth.grid.shape, np.uint8), truth.grid.affine), folder / f"vertebrae_T12{ending}"
    )
    nib.save(nib.Nifti1Image(np.ones(truth.grid.shape, np.uint8), truth.grid.affine), folder / f"liver{ending}")
    labels = read_labels(folder)
    assert labels.levels() == LUMBAR
    assert labels.name == "s0001"
    np.testing.assert_array_equal(labels.labels > 0, truth.labels > 0)
    assert "5 files joined" in labels.notes[0]


def test_folder_problems(tmp_path, block_spine):
    with pytest.raises(InputError, match="no masks named vertebrae_L1"):
        read_labels(tmp_path)
    truth = block_spine()
    nib.save(
        nib.Nifti1Image((truth.labels == 20).astype(np.uint8), truth.grid.affine), tmp_path / "vertebrae_L1.nii.gz"
    )
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3), np.uint8), truth.grid.affine), tmp_path / "vertebrae_L2.nii.gz")
    with pytest.raises(InputError, match="another grid than its neighbours"):
        read_labels(tmp_path)


def test_extents_are_in_world_millimetres(oblique):
    array = np.zeros((6, 6, 6), dtype=np.uint8, order="F")
    array[1:3, 2, 3:5] = 7
    grid = Grid(array.shape, oblique)
    extent = label_extents(array, grid)[7]
    assert extent.volume_cm3 == pytest.approx(4 * 24 / 1000)
    np.testing.assert_allclose(extent.centre_mm, grid.to_world([1.5, 2, 3.5]))


@pytest.mark.parametrize(
    ("file", "scheme", "first", "last"),
    [
        ("totalsegmentator/example_totalseg.nii.gz", "totalsegmentator", "T11", "S1"),
        ("totalsegmentator/example_totalseg_vertebrae_pp_refined.nii.gz", "verse", "T12", "L5"),
        ("totalsegmentator/s0327_bones.nii.gz", "sidecar", "C7", "S1"),
        ("totalsegmentator/s0328_bones.nii.gz", "sidecar", "T9", "S1"),
        ("verse/**/sub-verse014*_msk.nii.gz", "verse", "L1", "L5"),
        ("verse/**/sub-verse010*_msk.nii.gz", "verse", "L1", "L5"),
        ("verse/**/sub-gl003*_msk.nii.gz", "verse", "C1", "T5"),
        ("tptbox/sub-ct_seg-vert_label-22_msk.nii.gz", "verse", "L2", "L4"),
    ],
)
def test_real_masks(real_data, file, scheme, first, last):
    labels = read_labels(next(real_data.glob(file)))
    assert labels.scheme.name == scheme
    assert (str(labels.levels()[0]), str(labels.levels()[-1])) == (first, last)
    assert labels.labels.dtype == np.uint8


@pytest.mark.parametrize(
    "file", ["totalsegmentator/example_totalseg_vertebrae_body.nii.gz", "tptbox/sub-ct_seg-subreg_label-22_msk.nii.gz"]
)
def test_real_masks_of_other_structures_are_refused(real_data, file):
    with pytest.raises(InputError, match="make no spine in any known scheme"):
        read_labels(real_data / file)


def test_a_real_mask_keeps_its_levels_when_renumbered(real_data, tmp_path):
    """The same anatomy under TotalSegmentator's old and new numbers is recognised as such."""
    truth = read_labels(real_data / "totalsegmentator" / "s0327_bones.nii.gz")
    for name in ("verse", "totalsegmentator", "totalsegmentator-v1"):
        wanted = [lv for lv in truth.levels() if lv is not Level.S1]
        array = np.zeros_like(truth.labels)
        for level in wanted:
            array[truth.labels == truth.scheme.value_of(level)] = SCHEMES[name].value_of(level)
        write_labels(LabelMap(array, truth.grid, SCHEMES[name]), tmp_path / f"{name}_seg.nii.gz")
        again = read_labels(tmp_path / f"{name}_seg.nii.gz")
        assert again.scheme.name == name
        assert again.levels() == tuple(wanted)
