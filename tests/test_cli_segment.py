"""`segment` and `run` on the command line: what they write, what they say, and that nothing half-written stays."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from verse_morph.anatomy import Level
from verse_morph.io import read_centroids, read_labels, write_centroids, write_scan
from verse_morph.phantom.solids import solid_case
from verse_morph.segment.cascade import Segmentation
from verse_morph.segment.decode import Decoding
from verse_morph.segment.flags import MaskFlag, ScanFlag
from verse_morph.volume import Scan

from .segment.stand_in import ball_scan, centres, load_stand_in, scan_grid

GRID = scan_grid("PIR", (1.0, 1.0, 1.5))
MASK, POINTS = "balls_seg-vert_msk.nii.gz", "balls_seg-subreg_ctd.json"


@pytest.fixture
def ct(tmp_path):
    path = tmp_path / "in" / "balls_ct.nii.gz"
    path.parent.mkdir()
    write_scan(ball_scan(GRID, centres().values()), path)
    return path


@pytest.fixture
def given(ct):
    path = ct.parent / "balls_ctd.json"
    write_centroids(centres(), path, GRID)
    return path


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    monkeypatch.setattr("verse_morph.segment.weights.load_network", load_stand_in)


def names_below(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# --- segment -------------------------------------------------------------------------------------------------------


def test_segment_writes_mask_points_record_and_provenance(command_line, ct, given, tmp_path):
    out = tmp_path / "out"
    code, text, _ = command_line("segment", ct, "-o", out, "--centroids", given, "--threads", 1, "--device", "cpu")
    assert code == 0
    assert names_below(out) == sorted(f"balls/{n}" for n in (MASK, POINTS, "segmentation.json", "provenance.json"))
    labels = read_labels(out / "balls" / MASK)
    assert labels.levels() == (Level.L1, Level.L2, Level.L3)
    assert labels.grid.matches(GRID)
    points = read_centroids(out / "balls" / POINTS, labels.grid).points_mm
    for level, point in centres().items():
        assert np.linalg.norm(points[level] - point) < 0.01
    record = json.loads((out / "balls" / "segmentation.json").read_text())
    assert [row["level"] for row in record["levels"]] == ["L1", "L2", "L3"]
    assert [row["label"] for row in record["levels"]] == [20, 21, 22]
    assert record["levels"][0]["volume_cm3"] == pytest.approx(5.58, rel=0.05)
    assert record["flags"] == ["numbering_assumed"]
    assert record["numbering"] is None
    assert set(record["seconds"]) == {"load", "outline", "merge"}
    assert re.match(r"cpu, (fp32|bf16), 1 threads", record["compute"])
    made_from = json.loads((out / "balls" / "provenance.json").read_text())
    assert [i["name"] for i in made_from["inputs"]] == ["balls_ct.nii.gz", "balls_ctd.json"]
    assert made_from["parameters"]["threads"] == 1
    assert "flags of the scan: numbering_assumed" in text
    assert "note: the levels are those of the given centroids" in text
    assert "research use" in text


def test_a_finished_segmentation_is_replaced_only_when_asked(command_line, ct, given, tmp_path):
    arguments = ("segment", ct, "-o", tmp_path / "out", "--centroids", given)
    assert command_line(*arguments)[0] == 0
    code, _, error = command_line(*arguments)
    assert (code, error.count("\n")) == (2, 1)
    assert "--overwrite" in error
    assert command_line(*arguments, "--overwrite")[0] == 0


def test_masks_that_no_run_of_ours_wrote_are_never_replaced(command_line, ct, given, tmp_path):
    theirs = tmp_path / "derivatives" / "balls" / MASK
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"precious")
    code, _, error = command_line("segment", ct, "-o", tmp_path / "derivatives", "--centroids", given, "--overwrite")
    assert code == 2
    assert "choose another output folder" in error
    assert theirs.read_bytes() == b"precious"


def test_no_spine_is_one_line_and_leaves_nothing(command_line, ct, tmp_path, monkeypatch):
    nothing = SimpleNamespace(found=False, reason="0.3 cm3 look like vertebrae")
    monkeypatch.setattr("verse_morph.segment.locate.locate", lambda *_: nothing)
    code, text, error = command_line("segment", ct, "-o", tmp_path / "out")
    assert (code, text, error.count("\n")) == (2, "", 1)
    assert "no spine found in balls: 0.3 cm3" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["{folder}/nothing_ct.nii.gz"], "no such file"),
        (["{ct}", "--centroids", "{folder}/nothing.json"], "no such file"),
        (["{ct}", "--centroids", "{ctd}", "--engine", "magic"], "magic"),
        (["{ct}", "--centroids", "{ctd}", "--engine", "totalsegmentator"], "takes no centroids"),
        (["{ct}", "--centroids", "{ctd}", "--device", "abacus"], "abacus"),
        (["{ct}", "--centroids", "{ctd}", "--threads", "0"], "at least one"),
        (["{mr}", "--centroids", "{ctd}"], "--force"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(command_line, ct, given, tmp_path, arguments, word):
    values = np.random.default_rng(0).integers(0, 900, GRID.shape).astype(np.int16)
    write_scan(Scan(values, GRID), ct.parent / "mr_ct.nii.gz")
    places = {"folder": ct.parent, "ct": ct, "ctd": given, "mr": ct.parent / "mr_ct.nii.gz"}
    code, _, error = command_line("segment", *(a.format(**places) for a in arguments), "-o", tmp_path / "out")
    assert code == 2
    assert error.count("\n") == 1
    assert word in error
    assert not (tmp_path / "out").exists()


# --- run -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def doubtful(monkeypatch, tmp_path):
    """A cascade that gives the phantom's own mask, unsure of its numbering; the phantom's CT as a file."""
    labels, scan, truth = solid_case(spacing_mm=1.5)
    assert scan is not None
    names = ("body_x_mm", "body_y_mm", "body_z_mm")
    points = {labels.scheme.levels[row["label"]]: [row[n] for n in names] for row in truth.to_dict("records")}
    decoding = Decoding(
        {level: np.array(p) for level, p in points.items()}, {Level.T12: np.zeros(3)}, margin=0.2, in_doubt=True
    )
    level_flags = {Level.L2: frozenset({MaskFlag.ADDED}), Level.L6: frozenset({MaskFlag.TOO_SMALL})}
    labels = replace(labels, name="solid")
    made = Segmentation(
        labels,
        decoding.points_mm,
        dict.fromkeys(points, 30.0),
        decoding,
        flags=(ScanFlag.IN_DOUBT,),
        level_flags=level_flags,
        notes=("a doubt",),
    )
    monkeypatch.setattr("verse_morph.segment.cascade.segment", lambda *_: made)
    path = tmp_path / "solid_ct.nii.gz"
    write_scan(scan, path)
    return path


def test_run_measures_what_it_segmented_and_carries_the_doubt(command_line, doubtful, tmp_path):
    out = tmp_path / "out"
    code, text, error = command_line("run", doubtful, "-o", out)
    assert (code, error) == (0, "")
    (folder,) = out.iterdir()
    written = set(names_below(folder))
    assert {f"{folder.name}_seg-vert_msk.nii.gz", f"{folder.name}_seg-subreg_ctd.json", "segmentation.json"} <= written
    assert {"vertebrae.csv", "scan.json", "figures/overlay.png", "meshes/L3.ply", "provenance.json"} <= written
    table = pd.read_csv(folder / "vertebrae.csv")
    assert list(table["level"]) == ["L1", "L2", "L3", "L4", "L5"]
    assert table["flags"].str.split(";").map(lambda words: "numbering_in_doubt" in words).all()
    assert table["height_middle_mm"].notna().all()
    record = json.loads((folder / "segmentation.json").read_text())
    assert record["numbering"] == {
        "in_doubt": True,
        "posterior": pytest.approx(0.5498, abs=1e-4),
        "margin": 0.2,
        "runner_up": ["T12"],
    }
    assert record["levels"][1]["flags"] == ["added_by_outline"]
    assert record["left_out"] == {"L6": ["left_out_too_small"]}
    assert text.count("note: a doubt") == 1
    assert "heights and volumes" in text


def test_a_measurement_that_fails_leaves_nothing(command_line, doubtful, tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("verse_morph.cli.segment.build_results", broken)
    code, _, error = command_line("run", doubtful, "-o", tmp_path / "out")
    assert code == 1
    assert "defect" in error
    assert not (tmp_path / "out").exists()
