"""The widgets in a real JupyterLab: drawn, right in colour and place, answering to their controls."""

from pathlib import Path

import numpy as np
import pytest

from verse_morph.view.colours import colouring
from verse_morph.view.scene import scene_of
from verse_morph.view.surfaces import FIELD_OF_VIEW_DEG, camera

from ..view.blocks import block_spine, block_table
from .bench import Lab, hue_distance, open_notebook, project, run_all

BLOCKS = Path(__file__).parents[1] / "view"
LEVELS = ["L1", "L2", "L3", "L4", "L5"]
START = f"import sys\nsys.path.insert(0, {str(BLOCKS)!r})\nfrom blocks import *\nspine = block_spine()\n"
SPINE = "import verse_morph as vm\nviewer = vm.view(spine, block_table(spine))\nviewer.layer('names', False)\nviewer"
SLICES = "from verse_morph.view import SliceViewer\nSliceViewer(block_scan(spine), spine=spine)"
CT = SPINE.replace("block_table(spine))", "block_table(spine), scan=block_scan(spine))")

COUNTING = """
    window.draws = 0;
    const draw = WebGL2RenderingContext.prototype.drawElements;
    WebGL2RenderingContext.prototype.drawElements = function (...given) {
        window.draws += 1;
        draw.apply(this, given);
    };
"""


def spine_colours(page):
    """Colour at each vertebra's middle, seen from the front."""
    picture = page.picture(".vm-spine-viewer canvas")
    points = np.array([bone.centre_mm for bone in scene_of(block_spine()).bones])
    where = camera(scene_of(block_spine()).bounds_mm(), "anterior")
    pixels = project(where, FIELD_OF_VIEW_DEG, (picture.shape[1], picture.shape[0]), points)
    return {level: picture[round(y), round(x)] for level, (x, y) in zip(LEVELS, pixels, strict=True)}


def has(page, key):
    wanted = colouring(key, LEVELS, block_table(block_spine())).colours
    found = spine_colours(page)
    return all(level == "L3" or hue_distance(found[level], wanted[level]) < 12 for level in LEVELS)


def drawn(page, panel):
    return int(page.tab.locator(".vm-panel canvas").nth(panel).get_attribute("data-drawn") or 0)


@pytest.mark.slow
def test_the_spine_viewer_in_jupyterlab(lab, page):
    page.tab.add_init_script(COUNTING)
    open_notebook(page, lab.write("spine.ipynb", START, SPINE))
    run_all(page)
    page.wait_until(lambda: page.tab.locator(".vm-spine-viewer canvas").count() > 0)
    page.wait_until(lambda: has(page, "level"))
    assert page.tab.locator(".vm-broken").count() == 1
    assert not page.tab.locator(".vm-broken").is_visible()
    # The scene is drawn when it is there, not again for each surface that arrives.
    assert page.tab.evaluate("window.draws") < 75

    page.tab.get_by_label("colour by", exact=True).select_option(label="height anterior (mm)")
    page.wait_until(lambda: has(page, "height_anterior_mm"))
    page.tab.get_by_role("button", name="L2", exact=True).click()
    page.wait_until(lambda: spine_colours(page)["L2"].min() > 240)

    # A click on a name means the vertebra behind it.
    page.tab.get_by_text("names", exact=True).click()
    # In the middle of the picture lies the middle level, L3; without a position the middle is clicked.
    page.tab.locator(".vm-spine-viewer canvas").first.click(force=True)
    page.wait_until(lambda: "L3: cut" in page.tab.locator(".vm-numbers").inner_text())

    before = page.picture(".vm-spine-viewer canvas")
    page.tab.get_by_role("button", name="left", exact=True).click()
    page.wait_until(lambda: (page.picture(".vm-spine-viewer canvas") != before).mean() > 0.01)
    before = page.picture(".vm-spine-viewer canvas")
    page.tab.get_by_text("endplate planes", exact=True).click()
    page.wait_until(lambda: (page.picture(".vm-spine-viewer canvas") != before).mean() > 0.002)
    page.tab.get_by_label("angle from", exact=True).select_option(label="L1")
    page.wait_until(lambda: "-40.0°" in page.tab.locator(".vm-spine-viewer").inner_text())
    assert page.errors == []
    assert page.outside == []


@pytest.mark.slow
def test_a_ct_plane_in_jupyterlab(lab, page):
    open_notebook(page, lab.write("planes.ipynb", START, CT))
    run_all(page)
    page.wait_until(lambda: page.tab.locator(".vm-spine-viewer canvas").count() > 0)
    page.wait_until(lambda: has(page, "level"))
    page.tab.get_by_role("button", name="none", exact=True).click()
    page.wait_until(lambda: spine_colours(page)["L3"].min() > 240)

    # The blocks are seen in the CT where they were, in the bone window's grey of 500 HU.
    page.tab.get_by_text("CT coronal", exact=True).click()
    page.wait_until(lambda: all(abs(int(c) - 161) < 25 for c in spine_colours(page)["L3"]))
    assert np.ptp(spine_colours(page)["L1"].astype(int)) < 8
    # Far in front of them there is only -300 HU; the slider is read from its kernel's side by its picture.
    slider = page.tab.locator(".vm-spine-viewer .widget-slider [role=slider]").nth(3)
    for _ in range(25):
        slider.press("ArrowRight")
    page.wait_until(lambda: spine_colours(page)["L3"].max() < 60)
    page.tab.get_by_text("CT coronal", exact=True).click()
    page.wait_until(lambda: spine_colours(page)["L3"].min() > 240)
    assert page.errors == []
    assert page.outside == []


@pytest.mark.slow
def test_without_webgl_still_pictures_take_the_place(lab, page_without_webgl):
    page = page_without_webgl
    open_notebook(page, lab.write("plain.ipynb", START, SPINE))
    run_all(page)
    plain = page.tab.locator(".vm-plain-viewer")
    page.wait_until(lambda: plain.count() == 1 and plain.locator("img").count() == 1)
    assert "cannot draw in 3D (no WebGL 2)" in plain.inner_text()
    box = plain.locator("img").bounding_box()
    assert box["height"] / box["width"] == pytest.approx(7.4 / 5.6, rel=0.02)
    before = plain.locator("img").get_attribute("src")
    plain.get_by_label("colour by").select_option(label="height anterior (mm)")
    page.wait_until(lambda: plain.locator("img").get_attribute("src") != before)
    assert page.outside == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("disabled", "words"),
    [("anywidget", "has no anywidget"), ("@jupyter-widgets/jupyterlab-manager", "page that you are looking at has no")],
)
def test_a_jupyterlab_without_widgets_shows_a_sentence(page, tmp_path, disabled, words):
    lab = Lab(tmp_path, (disabled,))
    try:
        lab.start()
        open_notebook(page, lab.write("lacking.ipynb", START, SPINE, SLICES))
        run_all(page)
        for cell in (1, 2):
            output = page.tab.locator(".jp-OutputArea-output").nth(cell - 1)
            page.wait_until(lambda output=output: words in output.inner_text())
            assert output.get_by_text(words).is_visible()
    finally:
        lab.stop()


@pytest.mark.slow
def test_the_slice_viewer_in_jupyterlab(lab, page):
    open_notebook(page, lab.write("slices.ipynb", START, SLICES))
    run_all(page)
    page.wait_until(lambda: page.tab.locator(".vm-panel canvas").count() == 5)
    for panel in range(5):
        page.wait_until(lambda panel=panel: np.ptp(page.picture(".vm-panel canvas", panel).astype(int)) > 100)

    words = page.tab.locator(".vm-slice-viewer")
    assert "500 HU" in words.inner_text()
    axial, before = page.tab.locator(".vm-panel canvas").nth(0), drawn(page, 1)
    axial.click(position={"x": 5, "y": axial.bounding_box()["height"] / 2})
    page.wait_until(lambda: "-300 HU" in words.inner_text())
    assert "R 38" in words.inner_text() or "R 39" in words.inner_text()
    page.wait_until(lambda: drawn(page, 1) > before)

    at = words.inner_text()
    axial.focus()
    page.tab.keyboard.press("PageUp")
    page.wait_until(lambda: words.inner_text() != at)
    page.tab.get_by_label("level", exact=True).select_option(label="L1")
    page.wait_until(lambda: "500 HU" in words.inner_text())
    grey = page.picture(".vm-panel canvas", 1).astype(int)
    page.tab.get_by_label("window", exact=True).select_option(label="soft tissue")
    page.wait_until(lambda: np.abs(page.picture(".vm-panel canvas", 1) - grey).max() > 50)
    assert page.errors == []
    assert page.outside == []
