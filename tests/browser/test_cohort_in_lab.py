"""The cohort explorer in a real JupyterLab: points are drawn, chosen with the pointer, and a scan is opened."""

import json

import numpy as np
import pytest

from verse_morph.io import write_table
from verse_morph.io.meshes import write_ply
from verse_morph.io.results import MARK

from ..view.blocks import block_spine, block_table
from .bench import open_notebook, run_all

EXPLORER = "import verse_morph as vm\nexplorer = vm.CohortExplorer({folder!r})\nexplorer"
# As the plot draws itself: its frame within 620 x 380 pixels.
WIDTH, HEIGHT, LEFT, BOTTOM, MARGIN = 620, 380, 62, 46, 14


def write_results(folder):
    """Six scans of five vertebrae; L2 of the fifth is far lower than that of the others."""
    for k in range(6):
        spine = block_spine(name=f"sub-{k:03d}")
        table = block_table(spine).drop(columns="height_anterior_mm_why")
        table["height_anterior_mm"] = 20.0 + np.arange(5) + 0.2 * k
        table[["body_x_mm", "body_y_mm", "body_z_mm"]] = [v.centre_mm for v in spine]
        if k == 4:
            table.loc[1, "height_anterior_mm"] = 9.0
        place = folder / spine.name
        (place / "meshes").mkdir(parents=True)
        for vertebra in spine:
            write_ply(vertebra.mesh, place / "meshes" / f"{vertebra.level}.ply")
        write_table(table, place / "vertebrae.csv")
        (place / MARK).write_text(json.dumps({"parameters": {}}))


@pytest.mark.slow
def test_a_point_is_chosen_and_its_scan_opened(lab, page, tmp_path):
    write_results(tmp_path)
    open_notebook(page, lab.write("cohort.ipynb", EXPLORER.format(folder=str(tmp_path))))
    run_all(page)
    cohort, plot = page.tab.locator(".vm-cohort"), page.tab.locator(".vm-scatter canvas")
    page.wait_until(lambda: plot.count() == 1 and np.ptp(page.picture(".vm-scatter canvas").astype(int)) > 100)
    assert "6 scans, 30 vertebrae" in cohort.inner_text()
    assert "30 vertebrae" in plot.get_attribute("aria-label")

    # Nothing is chosen: the reader is told.
    cohort.get_by_role("button", name="open in 3D").click()
    page.wait_until(lambda: "choose a vertebra first" in cohort.inner_text())

    cohort.get_by_role("button", name="choose outliers").click()
    page.wait_until(lambda: "1 of 30 vertebrae chosen" in cohort.inner_text())
    rows = cohort.locator("select[size] option, select[multiple] option")
    page.wait_until(lambda: rows.count() == 1)
    assert rows.first.inner_text().replace("\xa0", " ").startswith("sub-004 L2: height anterior (mm) 9")

    # Nothing of the list is cut off.
    assert cohort.locator("select[size]").evaluate("box => box.scrollWidth <= box.clientWidth")

    # A box around nearly the whole plot.
    seen = page.picture(".vm-scatter canvas")
    box = plot.bounding_box()
    page.tab.mouse.move(box["x"] + LEFT + 3, box["y"] + MARGIN + 3)
    page.tab.mouse.down()
    page.tab.mouse.move(box["x"] + box["width"] - MARGIN - 3, box["y"] + HEIGHT - BOTTOM - 3, steps=3)
    page.tab.mouse.up()
    page.wait_until(lambda: "of 30 vertebrae chosen" in cohort.inner_text() and rows.count() > 1)
    page.wait_until(lambda: (page.picture(".vm-scatter canvas") != seen).mean() > 0.001)
    chosen = rows.count()
    plot.focus()
    page.tab.keyboard.press("ArrowRight")
    page.wait_until(lambda: rows.count() == 1)
    assert chosen > 20

    cohort.get_by_role("button", name="choose outliers").click()
    page.wait_until(lambda: "1 of 30 vertebrae chosen" in cohort.inner_text())
    cohort.get_by_role("button", name="open in 3D").click()
    page.wait_until(lambda: page.tab.locator(".vm-spine-viewer canvas").count() > 0)
    page.wait_until(lambda: np.ptp(page.picture(".vm-spine-viewer canvas").astype(int)) > 100)
    assert "sub-004" in page.tab.locator(".vm-spine-viewer").inner_text()
    # The vertebra that was chosen is the one that is read.
    assert page.tab.locator(".vm-numbers").inner_text().startswith("L2")
    page.wait_until(lambda: "sub-004, L2." in cohort.inner_text())
    assert page.errors == []
    assert page.outside == []
