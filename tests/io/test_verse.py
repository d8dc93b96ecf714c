"""VerSe names and folder layouts, made of empty files."""

import pytest

from verse_morph.errors import InputError
from verse_morph.io import find_cases, scan_name


@pytest.fixture
def touch(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("sub-verse014_ct.nii.gz", "sub-verse014"),
        ("a/b/sub-verse014_seg-vert_msk.nii.gz", "sub-verse014"),
        ("sub-gl003_dir-ax_seg-vert_msk.nii", "sub-gl003_dir-ax"),
        ("sub-verse401_split-verse253_ct.nii.gz", "sub-verse401_split-verse253"),
        ("p1_seg-full_dseg.nii.gz", "p1"),
        ("verse000_CT-sag_seg.nii.gz", "verse000_CT-sag"),
        ("GL124_CT_iso.nii.gz", "GL124_CT-iso"),
        ("patient.01.nii.gz", "patient.01"),
        ("001.nii", "001"),
    ],
)
def test_scan_name(file, name):
    assert scan_name(file) == name


def test_subject_based_layout_with_nested_top_folder(touch):
    top = "dataset-verse19training/dataset-verse19training"
    root = touch(
        f"{top}/rawdata/sub-verse004/sub-verse004_ct.nii.gz",
        f"{top}/rawdata/sub-verse004/sub-verse004_ct.json",
        f"{top}/derivatives/sub-verse004/sub-verse004_seg-vert_msk.nii.gz",
        f"{top}/derivatives/sub-verse004/sub-verse004_seg-subreg_ctd.json",
        f"{top}/derivatives/sub-verse004/sub-verse004_seg-vert_snp.png",
        f"{top}/derivatives/sub-verse008/sub-verse008_seg-vb_ctd.json",
        f"{top}/README.txt",
        f"{top}/rawdata/._sub-verse004_ct.nii.gz",
    )
    first, second = find_cases(root)
    assert (first.scan, first.subject, first.dataset, first.split) == (
        "sub-verse004",
        "verse004",
        "verse19",
        "training",
    )
    for role, end in {"ct": "_ct.nii.gz", "sidecar": "_ct.json", "mask": "_msk.nii.gz", "snapshot": "_snp.png"}.items():
        assert getattr(first, role).name.endswith(end)
    assert first.centroids.name == "sub-verse004_seg-subreg_ctd.json"
    assert (second.ct, second.mask) == (None, None)
    assert second.centroids.name == "sub-verse008_seg-vb_ctd.json"


@pytest.mark.parametrize(
    ("folder", "split"), [("01_training", "training"), ("02_validation", "validation"), ("03_test", "test")]
)
def test_splits_and_optional_entities(touch, folder, split):
    root = touch(
        f"dataset-verse20/{folder}/rawdata/sub-verse500/sub-verse500_dir-ax_ct.nii.gz",
        f"dataset-verse20/{folder}/derivatives/sub-verse500/sub-verse500_dir-ax_seg-vert_msk.nii.gz",
        f"dataset-verse20/{folder}/rawdata/sub-verse401/sub-verse401_split-verse253_ct.nii.gz",
        f"dataset-verse20/{folder}/rawdata/sub-verse401/sub-verse401_split-verse254_ct.nii.gz",
        f"dataset-verse20/{folder}/rawdata/sub-gl016/sub-gl016_dir-sag_ct.nii.gz",
    )
    cases = {case.scan: case for case in find_cases(root)}
    assert set(cases) == {
        "sub-gl016_dir-sag",
        "sub-verse401_split-verse253",
        "sub-verse401_split-verse254",
        "sub-verse500_dir-ax",
    }
    assert {case.split for case in cases.values()} == {split}
    assert {case.dataset for case in cases.values()} == {"verse20"}
    assert cases["sub-verse500_dir-ax"].mask is not None
    assert cases["sub-verse401_split-verse253"].subject == "verse401"


def test_challenge_layout_with_its_misnomers(touch):
    root = touch(
        "verse000/verse000.nii.gz",
        "verse000/verse000_seg.nii.gz",
        "verse000/verse000_ctd.json",
        "verse000/verse000_snapshot.png",
        "verse512/verse512_CT-iso.nii.gz",
        "verse512/verse512_CT-iso_seg.nii.gz",
        "verse512/verse512_CT-iso_iso-ctd.json",
        "verse512/verse512_CT-iso.png",
        "verse512/verse512_CT-iso-w.png",
        "GL124/GL124_CT_iso.nii.gz",
        "GL124/GL124_CT-iso_seg.nii.gz",
        "GL124/GL124_CT_iso_iso_ctd.json",
        "GL018/GL018-GL016.nii.gz",
        "GL018/GL018-GL016_seg.nii.gz",
        "GL018/GL018-GL016_iso-ctd.json",
    )
    cases = {case.scan: case for case in find_cases(root)}
    assert set(cases) == {"verse000", "verse512_CT-iso", "GL124_CT-iso", "GL018-GL016"}
    for case in cases.values():
        assert case.ct is not None
        assert case.mask is not None
        assert case.centroids is not None
    assert cases["verse512_CT-iso"].snapshot.name == "verse512_CT-iso.png"
    assert cases["verse000"].snapshot.name == "verse000_snapshot.png"


def test_the_same_scan_in_both_releases_is_two_cases(touch):
    root = touch(
        "dataset-verse19test/rawdata/sub-verse012/sub-verse012_ct.nii.gz",
        "dataset-verse20training/rawdata/sub-verse012/sub-verse012_ct.nii.gz",
    )
    assert [(c.dataset, c.split) for c in find_cases(root)] == [("verse19", "test"), ("verse20", "training")]


def test_full_anatomy_mask_does_not_replace_the_vertebra_mask(touch):
    root = touch("d/p1_ct.nii.gz", "d/p1_seg-full_dseg.nii.gz", "d/p1_seg-vert_msk.nii.gz", "d/p1_seg-full_dseg.json")
    (case,) = find_cases(root)
    assert case.mask.name == "p1_seg-vert_msk.nii.gz"
    assert case.ct.name == "p1_ct.nii.gz"


def test_missing_root(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        find_cases(tmp_path / "none")


def test_real_layout(real_data):
    cases = {case.scan: case for case in find_cases(real_data / "verse")}
    assert set(cases) == {"sub-verse010", "sub-verse014", "sub-gl003_dir-ax"}
    assert cases["sub-verse014"].ct is not None
    assert cases["sub-verse010"].sidecar is not None
    assert cases["sub-gl003_dir-ax"].dataset == "verse20"
