"""A results folder read back, and the notebook that `view` makes for it."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request

import pandas as pd
import pytest

from verse_morph.cli.view import address, command, free_port, notebook_of, write_notebook
from verse_morph.errors import InputError
from verse_morph.io import write_labels, write_scan
from verse_morph.phantom.solids import solid_case
from verse_morph.spine import Flag
from verse_morph.view import SliceViewer, SpineViewer, open_results
from verse_morph.view.page import page_html
from verse_morph.view.results import results_of


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A measured solid with its mask and CT."""
    folder = tmp_path_factory.mktemp("results")
    labels, scan, _ = solid_case(spacing_mm=2.0)
    write_labels(labels, folder / "solid_seg-vert_msk.nii.gz")
    write_scan(scan, folder / "solid_ct.nii.gz")
    call = ["measure", folder / "solid_seg-vert_msk.nii.gz", "--ct", folder / "solid_ct.nii.gz", "-o", folder / "out"]
    code = "from verse_morph.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, *map(str, call)], check=True, capture_output=True)
    return folder


def test_the_page_lies_beside_the_tables_and_asks_for_nothing_outside(case):
    page = case / "out" / "solid" / "viewer.html"
    assert 1e6 < page.stat().st_size < 15e6
    text = page.read_text(encoding="utf-8")
    assert "<title>solid</title>" in text
    assert "<legend>CT planes</legend>" in text
    assert not any(f'{word}="http' in text for word in ("src", "href"))


def test_results_come_back_with_spine_and_scan(case):
    opened = open_results(case / "out")
    assert opened.notes == ()
    assert opened.scene.levels() == list(opened.table["level"])
    assert opened.scene.bones[0].planes
    assert isinstance(opened.view(), SpineViewer)
    assert isinstance(opened.slices(), SliceViewer)


def test_what_segmentation_knew_is_known_again(case, tmp_path):
    out = tmp_path / "solid"
    shutil.copytree(case / "out" / "solid", out)
    table = pd.read_csv(out / "vertebrae.csv")
    table["flags"] = "numbering_in_doubt"
    table.to_csv(out / "vertebrae.csv", index=False)
    opened = open_results(out)
    assert all(Flag.NUMBERING_IN_DOUBT in vertebra.flags for vertebra in opened.scene.spine)
    assert "in doubt" in opened.view().widget.children[0].value
    assert "in doubt" in page_html(opened.scene, opened.table)


def test_a_run_without_a_ct_shows_its_mask_in_slices(case, tmp_path):
    out = tmp_path / "solid"
    shutil.copytree(case / "out" / "solid", out)
    record = json.loads((out / "provenance.json").read_text())
    record["parameters"]["ct"] = None
    (out / "provenance.json").write_text(json.dumps(record))
    opened = open_results(out)
    assert opened.scan is None
    assert "no CT was given" in opened.slices().widget.children[0].value
    assert "CT planes" not in page_html(opened.scene, opened.table, opened.scan)


def test_a_mask_that_changed_is_not_shown(case, tmp_path):
    out = tmp_path / "solid"
    record = json.loads((case / "out" / "solid" / "provenance.json").read_text())
    record["inputs"][0]["sha256"] = "0" * 64
    record["parameters"]["ct"] = "/nowhere/ct.nii.gz"
    out.mkdir()
    for name in ("vertebrae.csv", "curves.csv", "meshes"):
        os.symlink(case / "out" / "solid" / name, out / name)
    (out / "provenance.json").write_text(json.dumps(record))
    opened = open_results(tmp_path)
    assert any("has changed since" in note for note in opened.notes)
    assert any("/nowhere/ct.nii.gz is not where it was" in note for note in opened.notes)
    assert opened.scene.levels() == list(opened.table["level"])
    assert not opened.scene.bones[0].planes
    assert len(opened.view().drawn.surfaces) == len(opened.table)
    with pytest.raises(InputError, match="neither CT nor mask to show"):
        opened.slices()


def test_what_is_no_results_folder_is_said(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        results_of(tmp_path / "missing")
    with pytest.raises(InputError, match="no finished results"):
        results_of(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "provenance.json").write_text("{}")
    with pytest.raises(InputError, match="2 scans; give one of them: a, b"):
        results_of(tmp_path)
    assert results_of(tmp_path / "a") == tmp_path / "a"


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_notebook_is_written_once_and_kept(case):
    made = write_notebook(case / "out" / "solid")
    assert made == case / "out" / "view_solid.ipynb"
    cells = json.loads(made.read_text())["cells"]
    assert "open_results('solid')" in "".join(cells[1]["source"])
    made.write_text("mine")
    assert write_notebook(case / "out" / "solid").read_text() == "mine"
    made.unlink()


def test_the_code_of_the_notebook_runs(case, monkeypatch):
    monkeypatch.chdir(case / "out")
    names = {}
    for cell in notebook_of("solid")["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "cell", "exec"), names)
    assert names["results"].scan is not None


def test_the_call_keeps_the_token_to_itself(tmp_path):
    notebook = tmp_path / "view_a b.ipynb"
    call = command(notebook, 8901, browser=False)
    assert "--no-browser" in call
    assert "--ServerApp.ip=127.0.0.1" in call
    assert not any("token=" in word for word in call)
    assert address(notebook, 8901, "secret").endswith("127.0.0.1:8901/lab/tree/view_a%20b.ipynb?token=secret")


def test_a_port_in_use_is_refused():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} cannot be used"):
            free_port(port)


def test_view_says_what_is_missing(command_line, tmp_path):
    code, _, error = command_line("view", tmp_path)
    assert code == 2
    assert "no finished results" in error


@pytest.mark.slow
def test_view_starts_jupyterlab_on_the_notebook(case):
    call = [sys.executable, "-c", "from verse_morph.cli import main; main()", "view", str(case / "out"), "--no-browser"]
    running = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        lines = [running.stdout.readline() for _ in range(2)]
        where = lines[1].split()[1]
        base, token = where.split("/lab/")[0], where.split("token=")[1]
        for _ in range(600):
            try:
                answer = urllib.request.urlopen(f"{base}/api/contents/view_solid.ipynb?token={token}", timeout=5).read()
                break
            except OSError:
                assert running.poll() is None
                time.sleep(0.3)
        assert b"open_results" in answer
    finally:
        running.send_signal(2)
        running.wait(60)
        running.stdout.close()
