"""The command line: what it writes, what it says, and what it leaves behind when something is wrong."""

import importlib
import json
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from verse_morph import cli
from verse_morph.io import read_labels, write_centroids, write_labels, write_scan
from verse_morph.phantom.solids import solid_case
from verse_morph.space import Grid, canonical
from verse_morph.volume import LabelMap

CALL = [sys.executable, "-c", "from verse_morph.cli import main; main()"]


@pytest.fixture(scope="session")
def case(tmp_path_factory):
    """The demo phantom as files: mask, CT, and centroids one millimetre above the true ones."""
    folder = tmp_path_factory.mktemp("case")
    labels, scan, truth = solid_case(spacing_mm=1.5)
    write_labels(labels, folder / "solid_seg-vert_msk.nii.gz")
    write_scan(scan, folder / "solid_ct.nii.gz")
    points = {
        labels.scheme.levels[row["label"]]: np.array([row["body_x_mm"], row["body_y_mm"], row["body_z_mm"] + 1.0])
        for row in truth.to_dict("records")
    }
    write_centroids(points, folder / "solid_ctd.json", labels.grid)
    return folder


@pytest.fixture
def mask(case):
    return case / "solid_seg-vert_msk.nii.gz"


@pytest.fixture
def call(command_line):
    return command_line


def everything_below(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


# --- what is written -----------------------------------------------------------------------------------------------


def test_measure_writes_the_whole_folder_and_nothing_else(call, case, mask, tmp_path):
    out = tmp_path / "deep" / "out"
    code, text, _ = call(
        "measure",
        mask,
        "--ct",
        case / "solid_ct.nii.gz",
        "--centroids",
        case / "solid_ctd.json",
        "--figures",
        "-o",
        out,
    )
    assert code == 0
    levels = ["L1", "L2", "L3", "L4", "L5"]
    assert everything_below(out) == sorted(
        [
            "solid",
            *(f"solid/{n}.{end}" for n in ("vertebrae", "discs", "curves", "variants") for end in ("csv", "parquet")),
            *(f"solid/{name}" for name in ("scan.json", "provenance.json")),
            *("solid/spine.glb", "solid/viewer.html", "solid/meshes", "solid/figures"),
            *("solid/figures/overlay.png", "solid/figures/sheet.png"),
            *(f"solid/meshes/{level}.ply" for level in levels),
        ]
    )
    table = pd.read_csv(out / "solid" / "vertebrae.csv")
    assert list(table["level"]) == levels
    assert set(table["scan"]) == {"solid"}
    record = json.loads((out / "solid" / "scan.json").read_text())
    assert record["levels"] == levels
    assert record["scheme"] == "verse"
    assert record["ct"]["name"] == "solid"
    assert record["variants"]["sources"] == ["mask", "CT"]
    assert record["variants"]["lumbar_labelled"] is None or record["variants"]["lumbar_labelled"] == 5
    assert record["spinal_deformity_index"]["note"] == "height loss, not a diagnosis"
    assert record["spinal_deformity_index"]["levels"] == [level for level in levels if level != "L5"]
    distances = record["body_centroid_distance_mm"]
    assert list(distances) == levels
    # The file's points lie 1 mm above the true centroids; the measured ones are within half a voxel of the truth.
    assert all(0.2 < d < 1.8 for d in distances.values())
    made_from = json.loads((out / "solid" / "provenance.json").read_text())
    assert [i["name"] for i in made_from["inputs"]] == [
        "solid_seg-vert_msk.nii.gz",
        "solid_ct.nii.gz",
        "solid_ctd.json",
    ]
    assert made_from["parameters"]["figures"] is True
    assert "L3" in text
    assert "note: label scheme 'verse' detected" in text
    assert "research use" in text


@pytest.mark.slow
def test_uncertainty_stands_beside_the_printed_numbers(call, mask, tmp_path, monkeypatch):
    # By its name the module would be looked for in the function `verse_morph.measure`.
    monkeypatch.setattr(importlib.import_module("verse_morph.measure.uncertainty"), "DRAWS", 5)
    code, text, _ = call("measure", mask, "-o", tmp_path, "--uncertainty", "--no-meshes", "--figures")
    assert code == 0
    table, spread = (pd.read_csv(tmp_path / "solid" / f"{name}.csv") for name in ("vertebrae", "uncertainty"))
    for column in ("height_middle_mm", "height_posterior_mm"):
        for value, sd in zip(table[column], spread[f"{column}_sd"], strict=True):
            assert f"{value:.1f} ± {sd:.1f}" in text
    assert "no confidence interval" in text


def test_no_meshes(call, mask, tmp_path):
    code, _, _ = call("measure", mask, "-o", tmp_path, "--no-meshes")
    assert code == 0
    assert everything_below(tmp_path / "solid") == [
        *("curves.csv", "curves.parquet", "discs.csv", "discs.parquet", "provenance.json", "scan.json"),
        *("variants.csv", "variants.parquet", "vertebrae.csv", "vertebrae.parquet"),
    ]


def test_a_finished_run_is_replaced_only_when_asked(call, mask, tmp_path):
    assert call("measure", mask, "-o", tmp_path)[0] == 0
    before = (tmp_path / "solid" / "provenance.json").read_bytes()
    code, _, error = call("measure", mask, "-o", tmp_path, "--no-meshes")
    assert (code, error.count("\n")) == (2, 1)
    assert "--overwrite" in error
    assert (tmp_path / "solid" / "provenance.json").read_bytes() == before
    assert call("measure", mask, "-o", tmp_path, "--no-meshes", "--overwrite")[0] == 0
    assert not (tmp_path / "solid" / "meshes").exists(), "nothing of the old run may stay"
    assert everything_below(tmp_path)[0] == "solid"


def test_other_peoples_files_are_never_replaced(call, mask, tmp_path):
    """A data set's own folder may have the scan's name: `-o derivatives` must not wipe the masks in it."""
    (tmp_path / "solid").mkdir()
    (tmp_path / "solid" / "solid_seg-vert_msk.nii.gz").write_bytes(b"precious")
    code, _, error = call("measure", mask, "-o", tmp_path, "--overwrite")
    assert code == 2
    assert "choose another output folder" in error
    assert (tmp_path / "solid" / "solid_seg-vert_msk.nii.gz").read_bytes() == b"precious"
    assert everything_below(tmp_path) == ["solid", "solid/solid_seg-vert_msk.nii.gz"]


def test_demo_tells_the_whole_story(call, tmp_path):
    code, text, _ = call("demo", "-o", tmp_path)
    assert code == 0
    assert "measured minus true" in text
    assert "from the CT alone:" in text
    told = {"vertebrae.csv", "truth.csv", "spine.glb", "provenance.json", "figures/overlay.png"}
    assert told <= set(everything_below(tmp_path / "phantom-demo"))
    from_ct = set(everything_below(tmp_path / "phantom-demo-from-ct"))
    assert {"vertebrae.csv", "segmentation.json", "figures/numbering.png"} <= from_ct


# --- what is refused -----------------------------------------------------------------------------------------------


def bad_inputs(folder):
    """Arguments after `measure`, and a word that the message must hold."""
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    ct = np.random.default_rng(0).normal(0, 300, (20, 20, 20)).astype(np.int16)
    empty = np.zeros((20, 20, 20), np.uint8)
    unknown = empty.copy()
    unknown[5:15, 5:15, 5:15] = 250
    for name, array in {"ct": ct, "empty": empty, "unknown": unknown, "four": np.zeros((4, 4, 4, 2), np.uint8)}.items():
        nib.save(nib.Nifti1Image(array, affine), folder / f"{name}.nii.gz")
    whole = (folder / "ct.nii.gz").read_bytes()
    (folder / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "text.nii.gz").write_text("this is not an image")
    far = nib.Nifti1Image(ct, np.array([[1, 0, 0, 5000], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    nib.save(far, folder / "far_ct.nii.gz")
    (folder / "bad_ctd.json").write_text("{not json")


REFUSED = {
    "missing mask": (["{bad}/nothing.nii.gz"], "no such file"),
    "missing ct": (["{mask}", "--ct", "{bad}/nothing.nii.gz"], "no such file"),
    "a CT as mask": (["{bad}/ct.nii.gz"], "negative"),
    "empty mask": (["{bad}/empty.nii.gz"], "empty"),
    "unknown labels": (["{bad}/unknown.nii.gz"], "250"),
    "four dimensions": (["{bad}/four.nii.gz"], "four.nii.gz"),
    "truncated": (["{bad}/cut.nii.gz"], "cut.nii.gz"),
    "not an image": (["{bad}/text.nii.gz"], "text.nii.gz"),
    "unknown scheme": (["{mask}", "--scheme", "klingon"], "klingon"),
    "ct elsewhere": (["{mask}", "--ct", "{bad}/far_ct.nii.gz"], "overlap"),
    "broken centroids": (["{mask}", "--centroids", "{bad}/bad_ctd.json"], "JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line_and_leaves_nothing(name, call, mask, tmp_path):
    bad, out = tmp_path / "bad", tmp_path / "out"
    bad.mkdir()
    bad_inputs(bad)
    arguments, word = REFUSED[name]
    code, text, error = call("measure", *(a.format(bad=bad, mask=mask) for a in arguments), "-o", out)
    assert code == 2
    assert error.startswith("verse-morph: error: ")
    assert error.count("\n") == 1
    assert word in error
    assert text == ""
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments", [["measure"], ["measure", "x.nii.gz"], ["fly"], ["measure", "x", "-o", "y", "--wings"]]
)
def test_wrong_usage_exits_2(arguments, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = call(*arguments)
    assert code == 2
    assert "Traceback" not in error
    assert everything_below(tmp_path) == []


def test_an_output_that_is_a_file_is_refused(call, mask, tmp_path):
    (tmp_path / "out").write_text("a file")
    code, _, error = call("measure", mask, "-o", tmp_path / "out")
    assert (code, error.count("\n")) == (2, 1)
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user that permissions hold for")
def test_an_output_without_permission_is_refused_before_computing(call, mask, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "verse_morph.cli.run.build_results", lambda *_: pytest.fail("computed before looking at the output")
    )
    tmp_path.chmod(0o500)
    code, _, error = call("measure", mask, "-o", tmp_path / "out")
    tmp_path.chmod(0o700)
    assert (code, error.count("\n")) == (2, 1)


# --- what goes wrong on our side -----------------------------------------------------------------------------------


def test_a_defect_is_one_line_says_so_and_leaves_nothing(call, mask, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("verse_morph.cli.run.build_results", broken)
    code, _, error = call("measure", mask, "-o", tmp_path / "out")
    assert (code, error.count("\n")) == (1, 1)
    assert "defect" in error
    assert "--debug" in error
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(sys, "argv", ["verse-morph", "measure", str(mask), "-o", str(tmp_path / "out"), "--debug"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize("stage", ["build_results", "write_results"])
def test_an_interrupted_run_cleans_up(stage, call, mask, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"verse_morph.cli.run.{stage}", interrupted)
    code, _, _ = call("measure", mask, "-o", tmp_path / "out")
    assert code == 130
    assert not (tmp_path / "out").exists()


def test_a_failed_overwrite_keeps_the_old_results(call, mask, tmp_path, monkeypatch):
    assert call("measure", mask, "-o", tmp_path, "--no-meshes")[0] == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "solid").iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("verse_morph.cli.run.write_results", full)
    code, _, error = call("measure", mask, "-o", tmp_path, "--overwrite")
    assert code == 2
    assert "No space left on device" in error
    assert {p.name: p.read_bytes() for p in (tmp_path / "solid").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["solid"]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_terminated_run_cleans_up(mask, tmp_path):
    code = (
        "import os, signal, verse_morph.cli.run as run\n"
        "run.build_results = lambda *a, **k: os.kill(os.getpid(), signal.SIGTERM)\n"
        "from verse_morph.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "measure", str(mask), "-o", str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True).returncode == 143
    assert not (tmp_path / "out").exists()


# --- info and the program itself -----------------------------------------------------------------------------------


def test_info_on_a_mask_lists_labels_and_problems(call, case, tmp_path):
    labels = read_labels(case / "solid_seg-vert_msk.nii.gz")
    array, grid = canonical(labels.labels, labels.grid)
    top = int(np.argwhere(array == 20)[:, 2].max())
    odd = np.array(array[:, :, : top - 8])
    odd[0, 0, 0] = 22
    write_labels(LabelMap(odd, Grid(odd.shape, grid.affine), labels.scheme), tmp_path / "odd_seg.nii.gz")
    code, text, _ = call("info", tmp_path / "odd_seg.nii.gz")
    assert code == 0
    assert "kind: mask, scan odd, scheme verse" in text
    assert "stored as uint8" in text
    (l1,) = [line for line in text.splitlines() if " L1 " in line and " 20 " in line]
    assert "touches the upper border" in l1
    (l3,) = [line for line in text.splitlines() if " 22 " in line]
    assert "1 specks (1 voxels)" in l3


def test_info_on_a_ct_says_its_range(call, case):
    code, text, _ = call("info", case / "solid_ct.nii.gz")
    assert code == 0
    assert "kind: CT" in text
    assert "HU: -1" in text


def test_info_on_an_unusable_mask_says_why(call, tmp_path):
    bad_inputs(tmp_path)
    code, text, _ = call("info", tmp_path / "unknown.nii.gz")
    assert code == 0
    assert "looks like a mask, but cannot be used" in text


def test_version_and_help_from_a_fresh_process():
    version = subprocess.run([*CALL, "--version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("verse-morph 0.")
    help_text = subprocess.run([*CALL, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(command in help_text for command in ("info", "measure", "demo"))
