"""The viewers on two real scans: a lumbar spine with its CT, and a neck whose mask has none."""

import numpy as np
import pytest

from verse_morph.io import read_labels, read_scan
from verse_morph.measure import measure
from verse_morph.shape import build_spine
from verse_morph.view import SliceViewer, view, write_page
from verse_morph.view.slices import CUTS

LUMBAR = "verse/dataset-verse19training"
NECK = "verse/dataset-verse20training/01_training/derivatives/sub-gl003/sub-gl003_dir-ax_seg-vert_msk.nii.gz"


@pytest.fixture(scope="module")
def lumbar(real_data):
    labels = read_labels(
        real_data / LUMBAR / "derivatives" / "sub-verse014" / "sub-verse014_seg-vert_msk.nii.gz", "verse"
    )
    scan = read_scan(real_data / LUMBAR / "rawdata" / "sub-verse014" / "sub-verse014_ct.nii.gz")
    return labels, scan, build_spine(labels, scan)


@pytest.fixture(scope="module")
def neck(real_data):
    labels = read_labels(real_data / NECK, "verse")
    return labels, build_spine(labels)


@pytest.mark.slow
def test_the_lumbar_spine_lies_on_the_bone_of_its_ct(lumbar, tmp_path):
    labels, scan, spine = lumbar
    table = measure(spine)
    viewer = view(spine, table, scan=scan)
    around = viewer.planes.around
    bone = labels.grid.to_world(np.argwhere(labels.labels > 0)[::50])

    def brightness(shift_mm):
        return np.mean([around.hu[tuple(around.index_at(point))] for point in bone + shift_mm])

    # The planes, as they are drawn, are bright where the mask has bone, and darker a centimetre away to any side.
    away = [brightness(sign * side) for side in np.eye(3) for sign in (-10.0, 10.0)]
    assert brightness(np.zeros(3)) > max(away) + 50
    slices = SliceViewer(scan, labels, spine)
    for level in ("L1", "L5"):
        slices.go_to_level(level)
        assert slices.controls["where"].value.endswith(f"{level}</b>")
    assert [name for name, _ in slices.panels["sagittal"].marks] == ["L1", "L2", "L3", "L4", "L5"]
    assert write_page(spine, table, tmp_path / "viewer.html", scan).stat().st_size < 5e6


@pytest.mark.slow
def test_the_neck_is_shown_without_a_ct(neck):
    labels, spine = neck
    viewer = view(spine, measure(spine))
    assert viewer.planes is None
    assert viewer.controls["vertebra"].value != (0, "C1"), "C1 has no body and says little"
    slices = SliceViewer(None, labels, spine)
    slices.go_to_level("C5")
    assert slices.controls["where"].value.endswith("C5</b>")
    for name in CUTS:
        assert (np.ptp(slices.picture(name).astype(int), axis=2) > 40).any()
    assert "HU" not in slices.controls["where"].value
