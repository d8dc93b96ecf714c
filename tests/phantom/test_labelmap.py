"""A whole label map becomes a scan: labels that fit, real shapes kept, unusable maps refused."""

from dataclasses import replace

import numpy as np
import pytest

from verse_morph.anatomy import VERSE, LabelScheme, Level
from verse_morph.errors import InputError
from verse_morph.io import read_labels
from verse_morph.phantom import solids
from verse_morph.phantom.paint import DeformationRange, MapOptions, from_labelmap
from verse_morph.phantom.presets import preset
from verse_morph.space import Grid
from verse_morph.volume import LabelMap

STILL = MapOptions(
    deformation=DeformationRange(rotation_deg=0, shear=0, scale=(1, 1), stretch=0, bend_mm=0, mirror=0),
    scanner=preset("standard"),
    outline_mm=0.0,
)


@pytest.fixture(scope="module")
def lumbar():
    placed = {
        level: (solids.SolidVertebra(), solids.Placement(offset_mm=np.array([0, 0, -36.0 * i])))
        for i, level in enumerate((Level.L2, Level.L3))
    }
    return solids.spine_labelmap(placed, solids.Sampling(1.0, axes="PIR", margin_mm=12))


@pytest.fixture(scope="module")
def painted(lumbar):
    return from_labelmap(lumbar, np.random.default_rng(0), STILL)


def centres(labels):
    return {v: labels.grid.to_world(np.argwhere(labels.labels == v)).mean(axis=0) for v in labels.values()}


def test_undeformed_labels_stay_in_the_world(lumbar, painted):
    scan, labels = painted
    assert scan.grid.matches(labels.grid)
    assert scan.grid.axis_codes == "RAS"
    assert labels.values() == (21, 22)
    for value, centre in centres(lumbar).items():
        np.testing.assert_allclose(centres(labels)[value], centre, atol=0.6)
    assert "fiction" in scan.meta["ManufacturerModelName"]


def test_bone_is_bright_where_the_labels_are(painted):
    scan, labels = painted
    assert np.median(scan.hu[labels.labels > 0]) > np.median(scan.hu[labels.labels == 0]) + 60


def test_the_column_goes_on_unlabelled(lumbar, painted):
    alone, _ = from_labelmap(lumbar, np.random.default_rng(0), replace(STILL, neighbours=False))
    scan, labels = painted
    outside = labels.labels == 0
    assert (scan.hu[outside] > 400).sum() > (alone.hu[outside] > 400).sum() + 1000


def test_same_seed_same_scan(lumbar):
    options = MapOptions(spacing_mm=2.0)
    first, again = (from_labelmap(lumbar, np.random.default_rng(5), options) for _ in range(2))
    np.testing.assert_array_equal(first[0].hu, again[0].hu)
    np.testing.assert_array_equal(first[1].labels, again[1].labels)


def test_numbers_of_another_scheme_are_kept():
    """A scheme with large numbers and a sacrum in two parts; the first part's number stands for both."""
    array = np.zeros((50, 50, 60), dtype=np.uint16)
    array[10:40, 15:40, 40:56], array[10:40, 10:35, 8:20], array[10:40, 10:35, 20:34] = 500, 700, 701
    scheme = LabelScheme("own", {500: Level.L5}, {700: "sacrum", 701: "S1_of_sacrum"})
    labels = LabelMap(array, Grid(array.shape, np.eye(4)), scheme, "own")
    _, out = from_labelmap(labels, np.random.default_rng(0), STILL)
    assert out.values() == (500, 700)
    assert out.scheme is scheme


def test_mirroring_swaps_sides_by_name():
    array = np.zeros((60, 50, 50), dtype=np.uint8)
    array[20:40, 15:35, 15:35], array[4:14, 20:30, 20:30] = 20, 91
    scheme = LabelScheme("own", {20: Level.L1}, {91: "rib_left_12", 92: "rib_right_12"})
    labels = LabelMap(array, Grid(array.shape, np.eye(4)), scheme, "own")
    _, out = from_labelmap(
        labels, np.random.default_rng(0), replace(STILL, deformation=replace(STILL.deformation, mirror=1))
    )
    assert out.values() == (20, 92)
    assert np.argwhere(out.labels == 92)[:, 0].mean() > 40


def test_maps_that_cannot_be_painted_are_refused():
    array = np.zeros((10, 10, 10), dtype=np.uint8)
    array[2:8] = 26
    with pytest.raises(InputError, match="holds no vertebra"):
        from_labelmap(LabelMap(array, Grid(array.shape, np.eye(4)), VERSE), np.random.default_rng(0))
    with pytest.raises(InputError, match=r"allowed are 0\.3 to 4 mm"):
        MapOptions(spacing_mm=0.1)


@pytest.mark.slow
def test_real_masks_become_scans(real_data):
    for file in (
        "totalsegmentator/s0328_bones.nii.gz",
        "verse/dataset-verse19training/derivatives/sub-verse014/sub-verse014_seg-vert_msk.nii.gz",
    ):
        labels = read_labels(real_data / file)
        scan, out = from_labelmap(labels, np.random.default_rng(0), MapOptions(spacing_mm=1.5))
        # A sliver at the border may leave the field, and S1 is part of the sacrum.
        assert set(labels.levels()) - set(out.levels()) <= {Level.T9, Level.S1}
        assert scan.hu.min() < -500
        assert 100 < np.median(scan.hu[out.labels > 0]) < 700
