"""Pictures of the viewers for the documents, of the demo phantom, in JupyterLab and a headless browser.

Run from the repository root, with Chromium installed (`make browser`): .venv/bin/python docs/build_viewer_pictures.py
"""

from __future__ import annotations

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
    "points = {vertebra.level: vertebra.centre_mm for vertebra in spine if vertebra.centre_mm is not None}\n"
    "vm.CentroidEditor(scan, points, labels)",
)
PICTURES = {1: "viewer_spine.jpg", 2: "viewer_slices.jpg", 3: "correcting_editor.jpg"}


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
            for k, name in zip(shown, PICTURES.values(), strict=False):
                outputs.nth(k).scroll_into_view_if_needed()
                page.tab.wait_for_timeout(1500)
                raw = Path(folder) / f"{k}.png"
                outputs.nth(k).screenshot(path=str(raw))
                with Image.open(raw) as picture:
                    picture.convert("RGB").resize((1100, round(picture.height * 1100 / picture.width))).save(
                        DOCS / name, quality=72
                    )
                print(f"wrote {DOCS / name}")
        finally:
            lab.stop()


if __name__ == "__main__":
    main()
