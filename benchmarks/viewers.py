"""How long the viewers take in a real JupyterLab with software WebGL; needs a browser (`make browser`).

    .venv/bin/python benchmarks/viewers.py [-o FOLDER]

A spine of 24 vertebrae with 6,000 triangles each and a scan of 512 x 512 x 600 voxels. Wall times with the load of the
machine, and the processor time of browser, server and kernel together, which a busy machine changes less. Answers of
the 3D picture are timed by the page's own clock; the time to the first picture holds the pictures of the screen by
which it is recognised. With -o, pictures are kept.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser.bench import CHROMIUM, FLAGS, Lab, Page, open_notebook, run_all, why_unavailable  # noqa: E402

MAKE = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests" / "view")!r})
import numpy as np, trimesh
from dataclasses import replace
from blocks import block_spine, block_table
from verse_morph.spine import Mesh, Spine
ball = trimesh.creation.icosphere(5, 14.0)
spine = block_spine("C1", 25)
bones = [replace(v, mesh=Mesh(ball.vertices * (1.5, 1.1, 0.9) + v.centre_mm, ball.faces)) for v in spine][:24]
spine = Spine(tuple(bones), "24 surfaces")
"""
SCAN = """
import psutil
from verse_morph.space import Grid
from verse_morph.volume import Scan
noise = np.random.default_rng(0).normal(0, 40, (512, 512, 1)).astype(np.int16)
hu = np.empty((512, 512, 600), np.int16)
hu[:] = noise
affine = np.diag([0.7, 0.7, 1.5, 1.0])
affine[:3, 3] = (-180, -180, -850)
scan = Scan(hu, Grid(hu.shape, affine), "512 x 512 x 600")
"""
SPINE = """
from verse_morph.view import view
viewer = view(spine, block_table(spine), scan=scan)
viewer.layer("names", False)
viewer.ct_plane("sagittal")
viewer.ct_plane("axial")
viewer
"""
SLICES = """
from verse_morph.view import SliceViewer
SliceViewer(scan)
"""
# Notes when the 3D picture was finished: reading a pixel back waits for the software renderer.
LISTEN = """() => {
    const plot = [...globalThis.__k3dWidgets.plots][0].K3DInstance;
    window.finished = [];
    plot.on(plot.events.RENDERED, () => {
        const gl = plot.getWorld().renderer.getContext();
        gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
        window.finished.push(performance.now());
    });
}"""
# The page waits for itself: questions from outside would cost more than the answer.
QUIET = """() => new Promise((done) => {
    const look = () => {
        const last = window.finished.at(-1);
        if (last && performance.now() - last > 600) done(); else setTimeout(look, 100);
    };
    look();
})"""
MEMORY = "print('kernel', round(psutil.Process().memory_info().rss / 1e9, 2), 'GB')"


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def processor_s() -> float:
    """Processor seconds of everything that this process started, so far."""
    import psutil

    spent = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            spent += sum(process.cpu_times()[:2])
    return spent


def timed(words: str, page: Page, act, happened) -> None:
    started, spent = time.monotonic(), processor_s()
    act()
    page.wait_until(happened)
    print(
        f"{words}: {time.monotonic() - started:.2f} s, {processor_s() - spent:.2f} of processor ({load()})", flush=True
    )


def drawn(words: str, page: Page, act) -> None:
    """Time from an act until the last picture that it caused, by the page's own clock: no picture is taken of it."""
    started, spent = page.tab.evaluate("() => { window.finished = []; return performance.now(); }"), processor_s()
    act()
    page.tab.evaluate(QUIET)
    ends = page.tab.evaluate("window.finished")
    print(
        f"{words}: {(ends[-1] - started) / 1000:.2f} s, {len(ends)} pictures, "
        f"{processor_s() - spent:.2f} of processor ({load()})",
        flush=True,
    )


def measure(page: Page, lab: Lab, out: Path | None) -> None:
    open_notebook(page, lab.write("viewers.ipynb", MAKE, SCAN, SPINE, SLICES, MEMORY))
    started, spent = time.monotonic(), processor_s()
    run_all(page)
    print(f"run all, kernel idle: {time.monotonic() - started:.2f} s ({load()})")
    plot = ".vm-spine-viewer canvas"
    page.wait_until(lambda: page.tab.locator(plot).count() > 0 and np.ptp(page.picture(plot).astype(int)) > 100)
    page.wait_until(lambda: np.ptp(page.picture(".vm-panel canvas").astype(int)) > 50)
    took = f"{time.monotonic() - started:.2f} s, {processor_s() - spent:.2f} of processor ({load()})"
    print(f"run all, 24 surfaces, two CT planes and CT slices drawn: {took}", flush=True)
    page.tab.evaluate(LISTEN)
    for key in ("region", "height anterior (mm)", "level"):
        choose = page.tab.get_by_label("colour by", exact=True)
        drawn(f"colour by {key}", page, lambda choose=choose, key=key: choose.select_option(label=key))
    slider = page.tab.locator(".vm-spine-viewer .widget-slider [role=slider]").nth(2)
    for _ in range(3):
        drawn("next CT plane", page, lambda: slider.press("ArrowRight"))
    numbers = page.tab.locator(".vm-numbers")
    before = numbers.inner_text()
    canvas = page.tab.locator(plot).first
    place = {"x": canvas.bounding_box()["width"] / 2, "y": canvas.bounding_box()["height"] * 0.515}
    timed("pick", page, lambda: canvas.click(position=place, force=True), lambda: numbers.inner_text() != before)
    words = page.tab.locator(".vm-slice-viewer")
    for _ in range(3):
        at = words.inner_text()
        panel = page.tab.locator(".vm-panel canvas").nth(0)
        panel.focus()
        timed("next slice", page, lambda: page.tab.keyboard.press("PageUp"), lambda at=at: words.inner_text() != at)
    print(page.tab.locator(".jp-OutputArea-output pre").last.inner_text().strip())
    print("errors", page.errors, "outside", page.outside)
    if out is not None:
        out.mkdir(exist_ok=True, parents=True)
        page.tab.locator(".vm-spine-viewer").screenshot(path=out / "spine.png")
        page.tab.locator(".vm-slice-viewer").screenshot(path=out / "slices.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path)
    out = parser.parse_args().output
    if why_unavailable():
        sys.exit(why_unavailable())
    lab = Lab(Path(tempfile.mkdtemp()))
    try:
        lab.start()
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            tab = browser.new_context(viewport={"width": 1500, "height": 1000}).new_page()
            measure(Page(tab).watch(), lab, out)
            browser.close()
    finally:
        lab.stop()


if __name__ == "__main__":
    main()
