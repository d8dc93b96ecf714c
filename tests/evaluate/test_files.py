"""Matching folders by scan name, and reading a pair."""

import json

import numpy as np
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError, UnknownLabel
from verse_morph.evaluate import Pair, match, read_pair
from verse_morph.io import write_centroids, write_labels
from verse_morph.io.nifti import write_array
from verse_morph.space import Grid
from verse_morph.volume import LabelMap

GRID = Grid((12, 12, 70), np.diag([2.0, 2.0, 2.0, 1.0]))


def spine(labels=(20, 21, 22)):
    array = np.zeros(GRID.shape, dtype=np.uint8)
    for place, label in enumerate(labels):
        low = 52 - 18 * place
        array[2:10, 2:10, low : low + 14] = label
    return array


def save(path, labels=(20, 21, 22)):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_labels(LabelMap(spine(labels), GRID, VERSE), path)
    return path


def test_folders_are_matched_by_scan_name_and_leftovers_told(tmp_path):
    here, there = tmp_path / "predicted", tmp_path / "true"
    for scan in ("sub-a", "sub-b", "sub-extra"):
        save(here / scan / f"{scan}_seg-vert_msk.nii.gz")
    save(here / "sub-plain.nii.gz")
    for scan in ("sub-b", "sub-a", "sub-alone"):
        save(there / "derivatives" / scan / f"{scan}_seg-vert_msk.nii.gz")
        save(there / "rawdata" / scan / f"{scan}_ct.nii.gz")
    (there / "derivatives" / "sub-a" / "sub-a_seg-subreg_ctd.json").write_text("[]")
    found = match(here, there)
    assert [pair.scan for pair in found.pairs] == ["sub-a", "sub-b"]
    assert found.pairs[0].true_centroids.name == "sub-a_seg-subreg_ctd.json"
    assert found.pairs[0].predicted_centroids is None
    assert [file.name for file in found.without_prediction] == ["sub-alone_seg-vert_msk.nii.gz"]
    text = "\n".join(found.unmatched)
    assert "no true mask for the prediction" in text
    assert "sub-extra" in text
    assert "no prediction for the true mask" in text
    assert "sub-plain.nii.gz was not taken as a mask" in text
    assert len(found.unmatched) == 3


def test_plain_names_count_where_nothing_is_named_a_mask(tmp_path):
    save(tmp_path / "p" / "sub-a.nii.gz")
    save(tmp_path / "p" / "sub-a_ct.nii.gz")
    save(tmp_path / "t" / "sub-a_seg.nii.gz")
    found = match(tmp_path / "p", tmp_path / "t")
    assert [(pair.predicted.name, pair.true.name) for pair in found.pairs] == [("sub-a.nii.gz", "sub-a_seg.nii.gz")]


def test_a_scan_that_occurs_twice_is_left_out_and_told(tmp_path):
    for split in ("01_training", "03_test"):
        save(tmp_path / "t" / split / "sub-a_seg-vert_msk.nii.gz")
    save(tmp_path / "t" / "01_training" / "sub-b_seg-vert_msk.nii.gz")
    for scan in ("sub-a", "sub-b"):
        save(tmp_path / "p" / f"{scan}_seg-vert_msk.nii.gz")
    found = match(tmp_path / "p", tmp_path / "t")
    assert [pair.scan for pair in found.pairs] == ["sub-b"]
    assert any("sub-a occurs 2 times" in line for line in found.unmatched)


def test_folders_without_a_common_scan_are_refused(tmp_path):
    save(tmp_path / "p" / "sub-a_seg.nii.gz")
    save(tmp_path / "t" / "sub-b_seg.nii.gz")
    with pytest.raises(InputError, match="no scan in common"):
        match(tmp_path / "p", tmp_path / "t")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no mask"):
        match(tmp_path / "empty", tmp_path / "t")
    with pytest.raises(InputError, match="no such file or folder"):
        match(tmp_path / "nowhere", tmp_path / "t")


def test_the_prediction_is_read_in_the_true_masks_scheme(tmp_path):
    """Labels upside down look like another scheme; a wrong prediction must stay wrong."""
    pair = Pair("s", save(tmp_path / "p.nii.gz", (22, 21, 20)), save(tmp_path / "t.nii.gz"))
    predicted, true, points, notes = read_pair(pair)
    assert predicted.scheme.name == true.scheme.name == "verse"
    assert predicted.levels() == (Level.L1, Level.L2, Level.L3)
    assert points is None
    assert any("label scheme 'verse' as in the true mask" in note for note in notes)


def test_a_prediction_in_another_scheme_names_it_or_is_refused(tmp_path):
    pair = Pair("s", save(tmp_path / "p.nii.gz", (31, 30, 29)), save(tmp_path / "t.nii.gz"))
    with pytest.raises(UnknownLabel, match="--predicted-scheme"):
        read_pair(pair)
    predicted, *_ = read_pair(pair, predicted_scheme="totalsegmentator")
    assert predicted.levels() == (Level.L1, Level.L2, Level.L3)
    (tmp_path / "p.json").write_text(json.dumps({"31": "L1", "30": "L2", "29": "L3"}))
    predicted, *_ = read_pair(pair)
    assert predicted.levels() == (Level.L1, Level.L2, Level.L3)


def test_a_true_mask_with_names_of_its_own(tmp_path):
    true = save(tmp_path / "t.nii.gz", (101, 102, 103))
    (tmp_path / "t.json").write_text(json.dumps({"101": "L1", "102": "L2", "103": "L3"}))
    pair = Pair("s", save(tmp_path / "p.nii.gz"), true)
    with pytest.raises(InputError, match="--predicted-scheme"):
        read_pair(pair)
    predicted, true_labels, *_ = read_pair(pair, predicted_scheme="verse")
    assert predicted.levels() == true_labels.levels()


def test_an_empty_prediction_is_bad_but_no_bad_file(tmp_path):
    write_array(np.zeros(GRID.shape, dtype=np.uint8), GRID.affine, tmp_path / "p.nii.gz")
    predicted, _, _, notes = read_pair(Pair("s", tmp_path / "p.nii.gz", save(tmp_path / "t.nii.gz")))
    assert predicted.levels() == ()
    assert any("the mask is empty" in note for note in notes)
    with pytest.raises(InputError, match="empty"):
        read_pair(Pair("s", tmp_path / "t.nii.gz", tmp_path / "p.nii.gz"))


def test_a_damaged_prediction_is_a_bad_file(tmp_path):
    good = save(tmp_path / "t.nii.gz")
    (tmp_path / "p.nii.gz").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    with pytest.raises(InputError, match="cannot be read as NIfTI"):
        read_pair(Pair("s", tmp_path / "p.nii.gz", good))


def test_centroids_of_both_sides_or_none(tmp_path):
    points = {Level.L1: np.array([10.0, 10.0, 118.0]), Level.L2: np.array([10.0, 10.0, 82.0])}
    write_centroids(points, tmp_path / "ctd.json", GRID)
    masks = save(tmp_path / "p.nii.gz"), save(tmp_path / "t.nii.gz")
    *_, both, _ = read_pair(Pair("s", *masks, tmp_path / "ctd.json", tmp_path / "ctd.json"))
    assert both is not None
    np.testing.assert_allclose(both[0][Level.L1], points[Level.L1])
    *_, none, notes = read_pair(Pair("s", *masks, None, tmp_path / "ctd.json"))
    assert none is None
    assert "there is no centroid file of the predicted side, so the other one was not used" in notes
