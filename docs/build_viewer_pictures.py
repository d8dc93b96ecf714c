"""Pictures of the viewers for the documents, of the demo phantom, in JupyterLab and a headless browser.

Run from the repository root, with Chromium installed (`make browser`): .venv/bin/python docs/build_viewer_pictures.py
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, "tests")

from browser.bench import CHROMIUM, FLAGS, Lab, Page, open_notebook, run_all
from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
CELLS = (
    "import verse_morph as vm\n"
    "from verse_morph.phantom.demo import demo_case\n"
    "from verse_morph.view import SliceViewer, view\n"
    "labels, scan, truth = demo_case()\n"
    "spine = vm.build_spine(labels, scan)\n"
    "table = vm.measure(spine)",
    "v = view(spine, table); v.colour_by('trabecular_hu_mean'); v.layer('endplate planes'); v.camera('left')\n"
    "v.angle('L1', 'L5'); v.select('L1'); v",
    "SliceViewer(scan, labels, spine)",
    "from pathlib import Path\n"
    "from tempfile import mkdtemp\n"
    "import numpy as np, pandas as pd\n"
    "rng, place = np.random.default_rng(4), Path(mkdtemp())\n"
    "for k in range(32):\n"
    "    folder = place / 'invented' / f'sub-{k:03d}'\n"
    "    folder.mkdir(parents=True)\n"
    "    heights = 22.5 + np.arange(5) + rng.normal(0, 1.2) + rng.normal(0, 0.5, 5)\n"
    "    heights[0] -= 9 if k == 17 else 0\n"
    "    rows = {'scan': folder.name, 'level': ['L1', 'L2', 'L3', 'L4', 'L5'], 'label': range(20, 25),\n"
    "            'status': 'measured', 'flags': '', 'height_anterior_mm': heights}\n"
    "    pd.DataFrame(rows).to_csv(folder / 'vertebrae.csv', index=False)\n"
    "    (folder / 'provenance.json').write_text('{}')\n"
    "explorer = vm.CohortExplorer(place / 'invented'); explorer.choose_outliers(); explorer",
    "points = {vertebra.level: vertebra.centre_mm for vertebra in spine if vertebra.centre_mm is not None}\n"
    "vm.CentroidEditor(scan, points, labels)",
)
PICTURES = ("viewer_spine.jpg", "viewer_slices.jpg", "cohort_explorer.jpg", "correcting_editor.jpg")


def saved(shot: bytes, name: str) -> None:
    """A picture of the screen as a small JPEG in the documents."""
    with Image.open(io.BytesIO(shot)) as picture:
        small = picture.convert("RGB").resize((1100, round(picture.height * 1100 / picture.width)))
        small.save(DOCS / name, quality=72)
    print(f"wrote {DOCS / name}")


def page_of_the_demo(folder: Path) -> Path:
    """What `measure --ct` writes for the demo patient."""
    from verse_morph import build_spine, measure
    from verse_morph.phantom.demo import demo_case
    from verse_morph.view import write_page

    labels, scan, _ = demo_case()
    spine = build_spine(labels, scan)
    return write_page(spine, measure(spine), folder / "viewer.html", scan)


def picture_of_the_page(page: Page, file: Path) -> None:
    page.tab.set_viewport_size({"width": 1400, "height": 860})
    page.tab.goto(file.as_uri())
    page.wait_until(lambda: page.tab.evaluate("window.page?.ready === true"))
    page.tab.select_option("#colour-by", "genant_grade")
    page.tab.select_option("#vertebra", "L1")
    page.tab.click("#ct-through")
    page.tab.check("input.ct[value=sagittal]")
    page.tab.locator("#opacity").fill("0.5")
    page.tab.click("button.camera[value=left]")
    page.tab.wait_for_timeout(4000)
    saved(page.tab.screenshot(), "viewer_page.jpg")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        lab = Lab(Path(folder)).start()
        try:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            context = browser.new_context(viewport={"width": 1450, "height": 1900})
            context.set_default_timeout(180_000)
            page = Page(context.new_page()).watch()
            open_notebook(page, lab.write("pictures.ipynb", *CELLS))
            run_all(page)
            page.tab.wait_for_timeout(8000)
            outputs = page.tab.locator(".jp-OutputArea-output")
            shown = [k for k in range(outputs.count()) if outputs.nth(k).bounding_box()]
            for k, name in zip(shown, PICTURES, strict=True):
                outputs.nth(k).scroll_into_view_if_needed()
                page.tab.wait_for_timeout(1500)
                saved(outputs.nth(k).screenshot(), name)
            picture_of_the_page(page, page_of_the_demo(Path(folder)))
        finally:
            lab.stop()


if __name__ == "__main__":
    main()
