"""A folder of many results: read as one table, outliers by level, plot and list that choose each other."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from verse_morph.errors import InputError
from verse_morph.io import write_table
from verse_morph.io.results import MARK
from verse_morph.view import cohort as module
from verse_morph.view.cohort import CohortExplorer, outliers, read_cohort


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("results")
    for k in range(8):
        scan = f"sub-{k:03d}"
        (place / scan / "figures").mkdir(parents=True)
        heights = np.array([25.0, 26.0, 27.0]) + 0.3 * (k % 4)
        if k == 5:
            heights[1] = 14.0
        if k == 6:
            heights[2] = np.nan
        table = pd.DataFrame(
            {
                "scan": scan,
                "level": ["T12", "L1", "L2"],
                "label": [19, 20, 21],
                "status": "measured",
                "flags": ["", "", "processes_cut"],
                "height_anterior_mm": heights,
                "height_anterior_mm_why": ["" if np.isfinite(h) else "cut" for h in heights],
                "body_volume_cm3": heights * 1.2,
            }
        )
        write_table(table, place / scan / "vertebrae.csv")
        (place / scan / MARK).write_text(json.dumps({}))
    Image.new("RGB", (300, 400), "white").save(place / "sub-005" / "figures" / "overlay.png")
    (place / "broken").mkdir()
    (place / "broken" / MARK).write_text("{}")
    return place


@pytest.fixture
def explorer(folder):
    return CohortExplorer(folder)


def test_all_scans_become_one_table_and_a_broken_one_is_said(folder):
    read = read_cohort(folder)
    assert len(read.table) == 24
    assert list(read.folders) == [f"sub-{k:03d}" for k in range(8)]
    assert "broken" in read.skipped[0]
    assert read.pictures("sub-005")[0].name == "overlay.png"
    with pytest.raises(InputError, match="no scan"):
        read.open("nobody")


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(InputError, match="no finished results"):
        read_cohort(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_cohort(tmp_path / "nowhere")


def test_outliers_are_told_within_a_level():
    levels = np.array(["L1"] * 6 + ["C3"] * 6 + ["L5"])
    values = np.array([25, 26, 25.5, 24.8, 26.2, 12, 12, 12.5, 11.8, 12.2, np.nan, 12.1, 99.0])
    assert outliers(values, levels).tolist() == [False] * 5 + [True] + [False] * 7
    assert not outliers(np.full(13, 3.0), levels).any()


def test_the_plot_draws_what_has_values_and_says_how_many_have_none(explorer):
    assert len(explorer.plot.dots) == 23
    assert "1 vertebrae without both values" in explorer.controls["key"].value
    assert [text for _, text in explorer.plot.ticks_x] == ["T12", "L1", "L2"]
    explorer.controls["region"].value = "lumbar"
    assert len(explorer.plot.dots) == 15
    explorer.controls["x"].value = "body_volume_cm3"
    first, last = explorer.plot.dots[0], explorer.plot.dots[-1]
    assert first["at"][0] == pytest.approx(first["at"][1], abs=1e-4)
    assert first["at"] != last["at"]


def test_outliers_plot_list_and_thumbnails_choose_each_other(explorer, monkeypatch):
    explorer.controls["outliers"].click()
    assert explorer.chosen == [16]
    assert explorer.plot.chosen == [16]
    assert explorer.controls["rows"].options[0][0].startswith("sub-005 L1: height anterior (mm) 14")
    assert explorer.controls["pictures"].value.count("<img") == 1
    opened = []
    monkeypatch.setattr(
        module, "open_results", lambda place: opened.append(place) or (_ for _ in ()).throw(InputError("x"))
    )
    explorer.controls["view"].click()
    assert opened == [explorer.cohort.folders["sub-005"]]
    assert "⚠ x" in explorer.controls["said"].value
    explorer.choose([0, 3, 999])
    assert [value for _, value in explorer.controls["rows"].options] == [0, 3]
    assert "no figure" in explorer.controls["pictures"].value


def test_the_marked_row_is_said_in_full_and_ringed(explorer):
    explorer.choose([2, 19])
    assert explorer.plot.marked == 2
    assert "sub-000 L2: height anterior (mm) 27 · processes cut" in explorer.controls["row"].value
    explorer.controls["rows"].value = 19
    assert explorer.plot.marked == 19
    explorer.choose([20])
    assert "height anterior (mm) not measured" in explorer.controls["row"].value
    explorer.choose([])
    assert explorer.plot.marked == -1
    assert explorer.controls["row"].value == ""


def test_no_outlier_is_said(explorer):
    explorer.controls["region"].value = "thoracic"
    explorer.controls["outliers"].click()
    assert "no vertebra lies that far" in explorer.controls["said"].value


def test_nothing_chosen_opens_nothing(explorer):
    explorer.choose([])
    explorer.controls["slices"].click()
    assert "choose a vertebra first" in explorer.controls["said"].value


def test_two_results_of_one_scan_are_refused(folder, tmp_path):
    import shutil

    for name in ("a", "b"):
        shutil.copytree(folder / "sub-001", tmp_path / name / "sub-001")
    with pytest.raises(InputError, match="both hold"):
        read_cohort(tmp_path)
