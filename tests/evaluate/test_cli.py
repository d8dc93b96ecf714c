"""`verse-morph evaluate`: what it writes, what it says, and what it refuses."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest

from verse_morph.anatomy import VERSE
from verse_morph.io import write_labels
from verse_morph.io.nifti import write_array
from verse_morph.space import Grid
from verse_morph.volume import LabelMap

GRID = Grid((12, 12, 70), np.diag([2.0, 2.0, 2.0, 1.0]))


def save(path, labels=(20, 21, 22), shift=0):
    array = np.zeros(GRID.shape, dtype=np.uint8)
    for place, label in enumerate(labels):
        low = 50 - 18 * place + shift
        array[2:10, 2:10, low : low + 14] = label
    path.parent.mkdir(parents=True, exist_ok=True)
    write_labels(LabelMap(array, GRID, VERSE), path)
    return path


@pytest.fixture
def call(command_line):
    return partial(command_line, "evaluate")


@pytest.fixture
def pair(tmp_path):
    return save(tmp_path / "in" / "p.nii.gz", (20, 21), shift=1), save(tmp_path / "in" / "sub-a_seg-vert_msk.nii.gz")


@pytest.fixture
def folders(tmp_path):
    for scan, labels in (("sub-a", (20, 21, 22)), ("sub-b", (21, 20, 22)), ("sub-d", (20, 21, 22))):
        save(tmp_path / "p" / f"{scan}_seg-vert_msk.nii.gz", labels)
    for scan in ("sub-a", "sub-b", "sub-c"):
        save(tmp_path / "t" / f"{scan}_seg-vert_msk.nii.gz")
    (tmp_path / "who.csv").write_text("subject,castellvi\na,0\nb,2a\n")
    return tmp_path / "p", tmp_path / "t"


def test_one_pair_on_the_screen(call, pair):
    code, text, _ = call(*pair)
    assert code == 0
    assert "sub-a" in text
    assert "missed" in text
    assert "rule: challenge:" in text
    assert "rule: strict:" in text
    assert "66.67" in text


@pytest.mark.parametrize("name", ["out.csv", "out.json", "out.parquet", "out"])
def test_all_tables_whatever_the_ending(call, pair, tmp_path, name):
    code, _, _ = call(*pair, "-o", tmp_path / name)
    assert code == 0
    written = {file.name for file in tmp_path.iterdir() if file.is_file()}
    tables = {f"out{part}.{ending}" for part in ("", "_scans", "_set") for ending in ("csv", "parquet")}
    assert written == tables | {"out.json"}
    for table in tables:
        path = tmp_path / table
        frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        assert {rule.split(":")[0] for rule in frame["rule"]} == {"challenge", "strict"}
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["rules"]["strict"].startswith("strict: ")
    assert content["provenance"]["parameters"]["limit_mm"] == 20.0
    missed = [row for row in content["vertebrae"] if row["level"] == "L3" and row["mode"] == "strict"]
    assert missed[0]["dice"] == 0
    assert missed[0]["hausdorff_mm"] is None
    assert missed[0]["hausdorff_mm_why"] == "missed: the predicted mask has no L3"
    assert "points for identification" in " ".join(content["notes"]["sub-a"])


def test_two_folders(call, folders, tmp_path):
    code, text, _ = call(
        *folders, "-o", tmp_path / "out.csv", "--participants", tmp_path / "who.csv", "--by", "castellvi"
    )
    assert code == 0
    assert "unmatched: no true mask for the prediction" in text
    assert "unmatched: no prediction for the true mask" in text
    assert text.count("note: points for identification") == 1
    frame = pd.read_csv(tmp_path / "out_set.csv", dtype={"group": str})
    strict = frame[frame["mode"] == "strict"].set_index(["group_by", "group"])
    assert strict.loc[("all", "all"), "n_true"] == 6
    assert strict.loc[("all", "all"), "n_hit"] == 4
    assert strict.loc[("castellvi", "0"), "id_rate_pct"] == 100
    assert strict.loc[("castellvi", "2a"), "n_hit"] == 1
    content = json.loads((tmp_path / "out.json").read_text())
    assert len(content["unmatched"]) == 2


def test_scans_without_a_prediction_can_count_as_missed(call, folders, tmp_path):
    code, _, _ = call(*folders, "-o", tmp_path / "out.csv", "--count-missing-scans")
    assert code == 0
    frame = pd.read_csv(tmp_path / "out_set.csv")
    strict = frame[(frame["mode"] == "strict") & (frame["group_by"] == "all")].iloc[0]
    assert (strict["n_true"], strict["n_missed"], strict["n_scans"]) == (9, 3, 3)


def test_an_empty_prediction_is_scored(call, pair, tmp_path):
    write_array(np.zeros(GRID.shape, dtype=np.uint8), GRID.affine, pair[0])
    code, _, _ = call(*pair, "-o", tmp_path / "out.csv")
    assert code == 0
    frame = pd.read_csv(tmp_path / "out_scans.csv").set_index("mode")
    assert (frame["id_rate_pct"] == 0).all()
    assert frame.loc["strict", "dice_mean"] == 0
    assert np.isnan(frame.loc["challenge", "dice_mean"])


def bad(case, here, pair):
    p, t = pair
    return {
        "nothing": ((here / "no.nii.gz", t), "no such file or folder"),
        "one of each": ((p, here), "two masks or two folders"),
        "ending": ((p, t, "-o", here / "out.xlsx"), "name a file ending in"),
        "folder": ((p, t, "-o", here), "name a file ending in"),
        "no folder": ((p, t, "-o", here / "no" / "out.csv"), "does not exist"),
        "limit": ((p, t, "--limit", -1), "limit_mm is a positive number"),
        "tolerance": ((p, t, "--tolerance", "nan"), "tolerance_mm is a positive number"),
        "column": ((p, t, "--by", "x"), "belong together"),
        "one centroid file": ((p, t, "--true-centroids", t), "give both"),
        "scheme": ((p, t, "--predicted-scheme", "x"), "no label scheme 'x'"),
    }[case]


@pytest.mark.parametrize(
    "case",
    [
        "nothing",
        "one of each",
        "ending",
        "folder",
        "no folder",
        "limit",
        "tolerance",
        "column",
        "one centroid file",
        "scheme",
    ],
)
def test_bad_input_is_one_line_and_exit_2(call, pair, tmp_path, case):
    arguments, message = bad(case, tmp_path, pair)
    before = sorted(tmp_path.rglob("*"))
    code, _, error = call(*arguments)
    assert code == 2
    assert message in error
    assert error.startswith("verse-morph: error: ")
    assert error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_masks_far_apart_are_refused(call, pair):
    far = np.array(GRID.affine)
    far[:3, 3] = 900
    write_array(np.ones(GRID.shape, dtype=np.uint8) * 20, far, pair[0])
    code, _, error = call(*pair)
    assert code == 2
    assert "do not overlap" in error
