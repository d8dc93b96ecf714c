"""The centroid editor in a real JupyterLab: a dot is dragged, and the file changes."""

import json
from pathlib import Path

import numpy as np
import pytest

from .bench import open_notebook, run_all

START = f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[1] / 'view')!r})\n"
EDITOR = """
from blocks import *
import numpy as np
from verse_morph.space import Grid
from verse_morph.view.editor import CentroidEditor
from verse_morph.volume import Scan

spine = block_spine()
grid = Grid((80, 90, 120), np.array([[1, 0, 0, -40], [0, 1, 0, -45], [0, 0, 2, -190], [0, 0, 0, 1.0]]))
world = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
hu = np.full(grid.shape, -300, dtype=np.int16)
for vertebra in spine:
    hu[(np.abs(world - vertebra.centre_mm) <= HALF_MM).all(axis=-1)] = 500
editor = CentroidEditor(Scan(hu, grid, 'blocks'), {v.level: v.centre_mm for v in spine})
editor
"""


def read(file):
    return {entry["label"]: entry for entry in json.loads(file.read_text()) if "label" in entry}


@pytest.mark.slow
def test_a_dragged_dot_changes_the_file(lab, page):
    file = lab.folder / "work" / "blocks_seg-subreg_ctd.json"
    open_notebook(page, lab.write("editor.ipynb", START, EDITOR))
    run_all(page)
    page.wait_until(lambda: page.tab.locator(".vm-points canvas").count() == 2)
    sagittal, coronal = (page.tab.locator(".vm-points canvas").nth(k) for k in (0, 1))
    for k in (0, 1):
        page.wait_until(lambda k=k: np.ptp(page.picture(".vm-points canvas", k).astype(int)) > 100)
    save = page.tab.get_by_role("button", name="save", exact=True)
    save.click()
    page.wait_until(file.exists)
    before = read(file)

    # L3's dot by its place in the kernel's own words, which a screen reader gets too.
    page.tab.get_by_label("vertebra").select_option(label="L3")
    page.wait_until(lambda: "L3 is chosen" in sagittal.get_attribute("aria-label"))
    where = sagittal.get_attribute("aria-label").split("R, A, S ")[1].split(" mm")[0]
    _, a, s = (float(value) for value in where.split(", "))
    sagittal.evaluate("canvas => canvas.scrollIntoView({ block: 'center' })")
    box = sagittal.bounding_box()
    x = box["x"] + box["width"] * (1 - (a + 45.5) / 90)
    y = box["y"] + box["height"] * (1 - (s + 191) / 240)
    page.tab.mouse.move(x, y)
    page.tab.mouse.down()
    page.tab.mouse.move(x - 20, y + 9, steps=4)
    page.tab.mouse.up()
    page.wait_until(lambda: where not in sagittal.get_attribute("aria-label"))
    sagittal.focus()
    for level in ("L4", "L5"):
        page.tab.keyboard.press("PageDown")
        page.wait_until(lambda level=level: f"{level} is chosen" in coronal.get_attribute("aria-label"))
    page.tab.keyboard.press("Delete")
    page.wait_until(lambda: "points L1 L2 L3 L4;" in coronal.get_attribute("aria-label"))
    page.tab.get_by_role("button", name="all one down").click()
    page.wait_until(lambda: "points L2 L3 L4 L5;" in coronal.get_attribute("aria-label"))

    written = file.stat().st_mtime_ns
    save.click()
    page.wait_until(lambda: file.stat().st_mtime_ns != written)
    after = read(file)
    scale = 90 / box["width"]
    # L1 to L4 go on as L2 to L5; the third one, once L3, was dragged to the front and down.
    assert set(before) == {20, 21, 22, 23, 24}
    assert set(after) == {21, 22, 23, 24}
    assert after[23]["Y"] - before[22]["Y"] == pytest.approx(20 * scale, abs=0.2)
    assert (before[22]["Z"] - after[23]["Z"]) * 2 == pytest.approx(9 * scale, abs=0.4)
    assert after[23]["X"] == pytest.approx(before[22]["X"], abs=0.01)
    assert after[21]["Y"] == pytest.approx(before[20]["Y"], abs=0.01)
    assert page.errors == []
    assert page.outside == []
