"""To ITK-SNAP and back: files it understands, and an exact report of what was changed."""

from dataclasses import replace

import numpy as np
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import GridMismatch, InputError, UnknownLabel
from verse_morph.io import read_labels, read_scan, write_labels
from verse_morph.io.itksnap import (
    corrected,
    export_for_itksnap,
    read_correction,
    read_label_descriptions,
    write_label_descriptions,
)
from verse_morph.space import Grid
from verse_morph.volume import LabelMap, Scan

L1, L2, L3 = (VERSE.value_of(level) for level in (Level.L1, Level.L2, Level.L3))


@pytest.fixture
def mask():
    affine = np.array([[0, 0, 2.0, -10], [-1.0, 0, 0, 20], [0, 0.5, 0, -5], [0, 0, 0, 1]])
    labels = np.zeros((20, 22, 24), dtype=np.uint8, order="F")
    labels[5:15, 2:8, 5:15] = L1
    labels[5:15, 12:18, 5:15] = L2
    return LabelMap(labels, Grid(labels.shape, affine), VERSE, "case")


def changed(mask, edit):
    labels = mask.labels.copy(order="F")
    edit(labels)
    return replace(mask, labels=labels)


def test_the_three_files_open_again(mask, tmp_path):
    scan = Scan(np.arange(mask.labels.size, dtype=np.int16).reshape(mask.labels.shape), mask.grid, "case")
    made = export_for_itksnap(scan, mask, tmp_path / "new" / "folder")
    assert (read_scan(made.image).hu == scan.hu).all()
    assert (read_labels(made.mask, "verse").labels == mask.labels).all()
    names = read_label_descriptions(made.descriptions)
    assert names[L1] == "L1"
    assert names[28] == "T13"
    assert len(names) == len(VERSE.levels) + len(VERSE.others)
    assert str(made.image) in made.command


def test_the_descriptions_are_what_itksnap_reads(tmp_path):
    write_label_descriptions(VERSE, tmp_path / "labels.txt")
    lines = [line for line in (tmp_path / "labels.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines[0].split() == ["0", "0", "0", "0", "0", "0", "0", '"Clear', 'Label"']
    fields = lines[1].split()
    assert len(fields) == 8
    assert all(0 <= int(value) <= 255 for value in fields[1:4])
    # Neighbours in the spine differ, T12, T13 and L1 too.
    colour = {line.split()[7]: line.split()[1:4] for line in lines[1:]}
    assert len({tuple(colour[f'"{name}"']) for name in ("T12", "T13", "L1")}) == 3


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("hello\n")
    with pytest.raises(InputError, match="hello"):
        read_label_descriptions(tmp_path / "x.txt")


def test_every_voxel_that_changed_is_counted(mask, tmp_path):
    def edit(labels):
        labels[5:15, 7, 5:15] = 0  # L1 loses 100
        labels[5:15, 12, 5:15] = L1  # which gains 100 from L2
        labels[0, 0, 0:3] = L3

    write_labels(changed(mask, edit), tmp_path / "back.nii.gz")
    report = read_correction(tmp_path / "back.nii.gz", mask)
    rows = report.changes.set_index("name")
    assert list(rows.index) == ["L1", "L2", "L3"]
    assert tuple(rows.loc["L1", ["voxels_before", "voxels_after", "voxels_gained", "voxels_lost"]]) == (
        600,
        600,
        100,
        100,
    )
    assert rows.loc["L1", "change"] == "changed"
    assert rows.loc["L2", "volume_change_cm3"] == pytest.approx(-0.1)
    assert rows.loc["L3", "change"] == "added"
    assert report.summary == "added: L3; changed: L1 L2"


def test_nothing_changed_and_a_level_removed(mask):
    assert corrected(mask, mask).summary == "nothing was changed"
    gone = corrected(mask, changed(mask, lambda labels: np.copyto(labels, 0, where=labels == L2)))
    assert gone.summary == "removed: L2"
    assert gone.changes.set_index("name").loc["L2", "voxels_after"] == 0


def test_another_grid_and_unknown_numbers_are_refused(mask):
    moved = replace(mask, grid=Grid(mask.grid.shape, mask.grid.affine + np.eye(4, k=3)))
    with pytest.raises(GridMismatch, match="another grid"):
        corrected(mask, moved)
    with pytest.raises(UnknownLabel, match="99"):
        corrected(mask, changed(mask, lambda labels: labels.__setitem__((0, 0, 0), 99)))


def test_scan_and_mask_must_share_a_grid(mask, tmp_path):
    other = Grid((3, 3, 3), np.eye(4))
    with pytest.raises(GridMismatch, match="scan_on_grid"):
        export_for_itksnap(Scan(np.zeros((3, 3, 3), dtype=np.int16), other), mask, tmp_path)
