"""VerSe centroids in three conventions, against points worked out by hand and against real masks."""

import json

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.errors import InputError, OutputError, UnknownLabel
from verse_morph.io import Centroids, detect_flip_slip, find_cases, read_centroids, read_labels, write_centroids
from verse_morph.io.labels import label_extents
from verse_morph.space import Grid

# 2 x 3 x 4 mm voxels, axes R, A, S, first voxel at (10, 20, 30), last at (28, 47, 66).
GRID = Grid((10, 10, 10), np.array([[2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1.0]]))


def write(path, *entries, direction=None):
    path.write_text(json.dumps(([{"direction": list(direction)}] if direction else []) + list(entries)))
    return path


def entry(label, x, y, z):
    return {"label": label, "X": x, "Y": y, "Z": z}


@pytest.mark.parametrize(
    ("name", "direction", "xyz", "world"),
    [
        ("a_seg-subreg_ctd.json", "RAS", (1, 2, 3), (12, 26, 42)),
        # P counts from the front (A = 47), I from the top (S = 66): 1 voxel of 3 mm back, 2 voxels of 4 mm down.
        ("a_seg-subreg_ctd.json", "PIR", (1, 2, 3), (16, 44, 58)),
        ("a_seg-subreg_ctd.json", "LPS", (0, 0, 0), (28, 47, 30)),
        # Origin superior-right-anterior; X down, Y back, Z to the left, in mm.
        ("verse000_ctd.json", None, (8, 6, 4), (24, 41, 58)),
        # Origin anterior-superior-left; X back, Y down, Z to the right, in mm.
        ("verse500_CT-ax_iso-ctd.json", None, (6, 8, 4), (14, 41, 58)),
    ],
)
def test_conventions(tmp_path, name, direction, xyz, world):
    read = read_centroids(write(tmp_path / name, entry(20, *xyz), direction=direction), GRID)
    np.testing.assert_allclose(read.points_mm[Level.L1], world)
    assert "centroids read as" in read.notes[0]


def test_convention_can_be_asked_for(tmp_path):
    path = write(tmp_path / "odd.json", entry(20, 6, 8, 4))
    np.testing.assert_allclose(read_centroids(path, GRID, "miccai2020").points_mm[Level.L1], (14, 41, 58))
    np.testing.assert_allclose(read_centroids(path, GRID, "subject").points_mm[Level.L1], (22, 44, 46))
    with pytest.raises(InputError, match="known are subject, miccai2019, miccai2020"):
        read_centroids(path, GRID, "lps")


def test_points_are_ordered_by_anatomy(tmp_path):
    path = write(tmp_path / "a_ctd.json", entry(20, 1, 1, 1), entry(28, 1, 1, 1), entry(19, 1, 1, 1), direction="RAS")
    assert [str(level) for level in read_centroids(path, GRID).points_mm] == ["T12", "T13", "L1"]


def test_missing_numbers_and_other_structures_are_left_out_with_a_note(tmp_path):
    path = tmp_path / "a_ctd.json"
    path.write_text(
        '[{"direction": ["R","A","S"]}, {"label": 20, "X": NaN, "Y": 1, "Z": 1}, {"label": 26, "X": 1, "Y": 1, "Z": 1}]'
    )
    read = read_centroids(path, GRID)
    assert not read.points_mm
    assert read.notes[1:] == (
        "the centroid of L1 is not a number and was left out",
        "the centroid of the sacrum was left out",
    )


def test_points_outside_the_image_are_noted(tmp_path):
    read = read_centroids(write(tmp_path / "a_ctd.json", entry(20, 50, 1, 1), direction="RAS"), GRID)
    assert "centroids of L1 lie outside the image" in read.notes[-1]


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ("{broken", InputError, "not valid JSON"),
        ('{"a": 1}', InputError, "expected a list"),
        ('[{"label": 20, "X": 1}]', InputError, "needs a label and numbers"),
        ('[{"direction": ["P", "A", "R"]}]', InputError, "three of R/L, A/P, S/I"),
        ('[{"direction": ["P", "Q", "R"]}]', InputError, "three of R/L, A/P, S/I"),
        ('[{"label": 77, "X": 1, "Y": 1, "Z": 1}]', UnknownLabel, "label 77"),
        (
            '[{"label": 20, "X": 1, "Y": 1, "Z": 1}, {"label": 20, "X": 2, "Y": 1, "Z": 1}]',
            InputError,
            "lists L1 twice",
        ),
    ],
)
def test_bad_files(tmp_path, content, error, words):
    path = tmp_path / "a_ctd.json"
    path.write_text(content)
    with pytest.raises(error, match=words):
        read_centroids(path, GRID)


@pytest.mark.parametrize("direction", [None, "PIR", "LAS", "PSR"])
def test_round_trip(tmp_path, oblique, direction):
    grid = Grid((10, 10, 10), oblique)
    points = {
        Level.T12: grid.to_world([1, 2, 3.5]),
        Level.T13: grid.to_world([2, 2, 2]),
        Level.L1: grid.to_world([3, 3, 0.25]),
    }
    write_centroids(points, tmp_path / "a_ctd.json", grid, direction)
    again = read_centroids(tmp_path / "a_ctd.json", grid)
    assert list(again.points_mm) == list(points)
    for level, point in points.items():
        np.testing.assert_allclose(again.points_mm[level], point, atol=0.01)


def test_writing_refuses_what_verse_has_no_number_for(tmp_path):
    with pytest.raises(UnknownLabel, match="no number for S1"):
        write_centroids({Level.S1: np.zeros(3)}, tmp_path / "a_ctd.json", GRID)
    with pytest.raises(OutputError, match="does not exist"):
        write_centroids({Level.L1: np.zeros(3)}, tmp_path / "none" / "a_ctd.json", GRID)
    assert not list(tmp_path.iterdir())


def centres_of(labels):
    extents = label_extents(labels.labels, labels.grid)
    return {labels.scheme.levels[v]: e.centre_mm for v, e in extents.items()}


@pytest.mark.parametrize(("slip", "axis"), [(0, None), (1, "L"), (1, "P"), (1, "I"), (-1, "I")])
def test_one_voxel_slip_is_reported_along_flipped_axes(block_spine, slip, axis):
    labels = block_spine()
    points = {level: np.array(p) for level, p in centres_of(labels).items()}
    if axis:
        # The block spine is RAS, 2 mm: one voxel towards L is -2 mm along x.
        for point in points.values():
            point["LPI".index(axis)] -= 2 * slip
    found = detect_flip_slip(Centroids(points, "subject", "LPI"), labels)
    assert len(found) == (1 if axis else 0)
    if axis:
        assert f"{slip:+.2f} voxels off the mask along the flipped axis {axis}" in found[0]
        assert not detect_flip_slip(Centroids(points, "subject", "RAS"), labels)


def test_body_points_are_not_taken_for_a_slip(block_spine):
    labels = block_spine()
    points = {level: p + np.array([0.3, 11, 2]) for level, p in centres_of(labels).items()}
    assert not detect_flip_slip(Centroids(points, "subject", "LPI"), labels)


@pytest.mark.parametrize("scan", ["sub-verse010", "sub-verse014", "sub-gl003_dir-ax"])
def test_real_centroids_lie_in_their_own_vertebra(real_data, scan):
    """Body points: 6 to 16 mm in front of the whole vertebra's centre, within 4 mm of its middle sideways."""
    case = next(c for c in find_cases(real_data / "verse") if c.scan == scan)
    labels = read_labels(case.mask)
    read = read_centroids(case.centroids, labels.grid)
    centres = centres_of(labels)
    assert set(read.points_mm) == set(centres)
    for level, point in read.points_mm.items():
        index = tuple(np.rint(labels.grid.to_index(point)).astype(int))
        here = labels.scheme.levels[int(labels.labels[index])]
        if level is Level.C1:
            # The atlas is a ring: its centre lies on the dens of C2.
            assert here is Level.C2
            continue
        assert here is level
        right, anterior, _ = point - centres[level]
        assert abs(right) < 4
        assert 6 < anterior < 16
    assert not detect_flip_slip(read, labels)


def test_a_real_file_moved_by_one_voxel_is_found_out(real_data):
    case = next(c for c in find_cases(real_data / "verse") if c.scan == "sub-verse014")
    labels = read_labels(case.mask)
    true = read_centroids(case.centroids, labels.grid)
    # The image runs to the right with 2 mm voxels; a file along L that was turned with size - c lies one voxel further
    # left.
    for shift_mm, words in ((0, 0), (-2, 1)):
        moved = {level: p + np.array([shift_mm, 0, 0]) for level, p in true.points_mm.items()}
        assert len(detect_flip_slip(Centroids(moved, "subject", "PIL"), labels)) == words
