"""The page without a server, opened from a file in a real browser that can reach nothing else."""

import numpy as np
import pandas as pd
import pytest

from verse_morph.cli.run import MeasureJob, run_measure
from verse_morph.io import write_labels, write_scan
from verse_morph.phantom.solids import solid_case
from verse_morph.view.colours import MISSING, colouring
from verse_morph.view.page import write_page
from verse_morph.view.scene import scene_of
from verse_morph.view.surfaces import FIELD_OF_VIEW_DEG

from ..view.blocks import block_scan, block_spine, block_table
from .bench import hue_distance, project

LEVELS = ["L1", "L2", "L3", "L4", "L5"]


@pytest.fixture(scope="module")
def spine():
    return block_spine()


@pytest.fixture(scope="module")
def written(spine, tmp_path_factory):
    return write_page(spine, block_table(spine), tmp_path_factory.mktemp("page") / "viewer.html", block_scan(spine))


@pytest.fixture
def shown(page, written):
    """The page, when its controls are ready."""
    page.tab.goto(written.as_uri())
    page.wait_until(lambda: page.tab.evaluate("window.page?.ready === true"))
    # Names lie over the middles of the bodies, where colours are read.
    page.tab.uncheck("input.layer[value=names]")
    return page


def places(page, spine, preset="anterior"):
    """Pixel of each vertebra's middle in the canvas."""
    box = page.tab.locator("#canvasTarget canvas").first.bounding_box()
    camera = page.tab.evaluate(f"SPINE.cameras.{preset}")
    points = np.array([bone.centre_mm for bone in scene_of(spine).bones])
    return box, project(camera, FIELD_OF_VIEW_DEG, (box["width"], box["height"]), points)


def seen(page, spine, preset="anterior"):
    """Colour at each vertebra's middle."""
    _, pixels = places(page, spine, preset)
    picture = page.picture("#canvasTarget canvas")
    return {level: picture[round(y), round(x)] for level, (x, y) in zip(LEVELS, pixels, strict=True)}


def fits(colours, wanted):
    return all(hue_distance(colours[level], colour) < 12 for level, colour in wanted.items())


def test_the_page_works_from_a_file(shown, spine):
    table = block_table(spine)
    shown.wait_until(lambda: fits(seen(shown, spine), colouring("level", LEVELS).colours))
    shown.tab.select_option("#colour-by", "height_anterior_mm")
    wanted = dict(colouring("height_anterior_mm", LEVELS, table).colours)
    assert wanted.pop("L3") == MISSING
    shown.wait_until(lambda: fits(seen(shown, spine), wanted))
    assert np.ptp(seen(shown, spine)["L3"].astype(int)) < 12, "what is missing is grey"
    assert "height anterior (mm)" in shown.tab.inner_text("#key")

    shown.tab.uncheck("input.level[value=L2]")
    shown.wait_until(lambda: seen(shown, spine)["L2"].min() > 240)
    assert seen(shown, spine)["L1"].min() < 240
    shown.tab.click("#all")
    shown.wait_until(lambda: seen(shown, spine)["L2"].min() < 240)

    # A click on a name means the vertebra behind it.
    shown.tab.check("input.layer[value=names]")
    box, pixels = places(shown, spine)
    x, y = pixels[2]
    shown.tab.mouse.click(box["x"] + x, box["y"] + y)
    shown.wait_until(lambda: shown.tab.input_value("#vertebra") == "L3")
    assert "L3: cut" in shown.tab.inner_text("#numbers")

    shown.tab.select_option("#upper", "L1")
    shown.tab.select_option("#lower", "L4")
    assert "-30.0° (kyphotic" in shown.tab.inner_text("#angle")
    assert shown.errors == []
    assert shown.outside == []


def test_ct_planes_of_the_page_show_the_scan_in_its_place(shown, spine):
    shown.tab.click("#none")
    shown.wait_until(lambda: seen(shown, spine)["L3"].min() > 240)
    shown.tab.check("input.ct[value=coronal]")
    # 500 HU in the blocks, -300 in front of them, in the bone window.
    shown.wait_until(lambda: all(abs(int(c) - 161) < 25 for c in seen(shown, spine)["L3"]))
    assert abs(int(seen(shown, spine)["L5"][0]) - 161) < 25
    slider = shown.tab.locator("input.ct-at[name=coronal]")
    slider.fill(slider.get_attribute("max"))
    shown.wait_until(lambda: seen(shown, spine)["L3"].max() < 60)
    shown.tab.select_option("#vertebra", "L4")
    shown.tab.click("#ct-through")
    shown.wait_until(lambda: abs(int(seen(shown, spine)["L4"][0]) - 161) < 25)
    # Vertebrae that are drawn apart are not where the CT shows them.
    shown.tab.locator("#apart").fill("0.5")
    shown.wait_until(lambda: seen(shown, spine)["L3"].min() > 240)
    assert shown.errors == []
    assert shown.outside == []


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What `measure --ct` leaves, and its scan."""
    folder = tmp_path_factory.mktemp("measured")
    labels, scan, _ = solid_case(spacing_mm=2.0)
    write_labels(labels, folder / "solid_seg-vert_msk.nii.gz")
    write_scan(scan, folder / "solid_ct.nii.gz")
    run_measure(
        MeasureJob(mask=folder / "solid_seg-vert_msk.nii.gz", ct=folder / "solid_ct.nii.gz", output=folder / "out")
    )
    return folder / "out" / "solid", scan


def test_the_page_that_measure_writes_shows_the_ct_it_was_given(page, measured):
    folder, scan = measured
    table = pd.read_csv(folder / "vertebrae.csv").set_index("level")
    centres = table[["body_x_mm", "body_y_mm", "body_z_mm"]].dropna()
    page.tab.goto((folder / "viewer.html").as_uri())
    page.wait_until(lambda: page.tab.evaluate("window.page?.ready === true"))
    page.tab.uncheck("input.layer[value=names]")
    page.tab.click("#none")
    page.tab.click("button.camera[value=left]")
    page.tab.check("input.ct[value=sagittal]")
    level, centre = centres.index[0], centres.iloc[0].to_numpy()
    page.tab.select_option("#vertebra", level)
    page.tab.click("#ct-through")
    side = page.tab.locator("input.ct-at[name=sagittal] + output").inner_text()
    assert side == f"{'R' if centre[0] >= 0 else 'L'} {abs(centre[0]):.0f} mm" or abs(centre[0]) < 2
    box = page.tab.locator("#canvasTarget canvas").first.bounding_box()
    camera = page.tab.evaluate("SPINE.cameras.left")
    # The middle of the body, and the muscle before the spine.
    points = np.array([centre, centre + np.array([0, 40.0, 0])])
    columns, rows = np.rint(project(camera, FIELD_OF_VIEW_DEG, (box["width"], box["height"]), points)).astype(int).T
    index = np.rint(scan.grid.to_index(points)).astype(int)
    around = [scan.hu[tuple(slice(k - 2, k + 3) for k in one)].mean() for one in index]
    wanted = np.clip((np.array(around) + 450) / 1500, 0, 1) * 255
    assert wanted[0] > wanted[1] + 15

    def shows():
        picture = page.picture("#canvasTarget canvas").astype(float)
        found = [picture[r - 4 : r + 5, c - 4 : c + 5].mean() for r, c in zip(rows, columns, strict=True)]
        return np.abs(found - wanted).max() < 12

    page.wait_until(shows)
    assert page.errors == []
    assert page.outside == []


def test_a_browser_without_webgl_reads_a_sentence_and_the_numbers(page_without_webgl, written):
    tab = page_without_webgl.tab
    tab.goto(written.as_uri())
    page_without_webgl.wait_until(lambda: tab.locator("#no-webgl").is_visible())
    assert "has no WebGL 2" in tab.inner_text("#no-webgl")
    tab.select_option("#vertebra", "L3")
    assert "L3: cut" in tab.inner_text("#numbers")
    assert tab.is_disabled("#colour-by")
    assert page_without_webgl.outside == []


@pytest.mark.slow
def test_every_other_control_changes_the_picture(shown, spine):
    before = shown.picture("#canvasTarget canvas")

    def changed():
        nonlocal before
        now = shown.picture("#canvasTarget canvas")
        # A few pixels on the way do not count.
        different = now.shape == before.shape and (np.abs(now.astype(int) - before).max(axis=2) > 25).sum() > 150
        before = now if different else before
        return different

    for layer in ("endplate planes", "centre line", "canal"):
        shown.tab.check(f"input.layer[value='{layer}']")
        shown.tab.click("button.camera[value=left]")
        shown.wait_until(changed)
    shown.tab.locator("#opacity").fill("0.4")
    shown.wait_until(changed)
    shown.tab.locator("#apart").fill("0.5")
    shown.wait_until(changed)
    for preset in ("posterior", "right", "oblique"):
        shown.tab.click(f"button.camera[value={preset}]")
        shown.wait_until(changed)
    assert shown.errors == []
    assert shown.outside == []
