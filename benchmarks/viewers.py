"""How long the viewers take in a real JupyterLab with software WebGL; needs a browser (`make browser`).

    .venv/bin/python benchmarks/viewers.py [-o FOLDER]

A spine of 24 vertebrae with 6,000 triangles each and a scan of 512 x 512 x 600 voxels. Wall times with the load of the
machine, and the processor time of browser, server and kernel, which a busy machine changes less. Pictures are timed by
the page's own clock: asking for a picture of the screen costs more than what is measured. With -o, pictures are kept.
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

from browser.bench import CHROMIUM, DONE, FLAGS, Lab, Page, open_notebook, why_unavailable  # noqa: E402

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
# Notes when anything was last drawn, in 3D or flat: reading a pixel back waits for the software renderer.
DRAWING = """
    window.lastDrawn = 0;
    window.draws = 0;
    for (const name of ["drawElements", "drawArrays"]) {
        const draw = WebGL2RenderingContext.prototype[name];
        WebGL2RenderingContext.prototype[name] = function (...given) {
            draw.apply(this, given);
            window.draws += 1;
            if (this.asked) return;
            this.asked = true;
            setTimeout(() => {
                this.asked = false;
                this.readPixels(0, 0, 1, 1, this.RGBA, this.UNSIGNED_BYTE, new Uint8Array(4));
                window.lastDrawn = performance.now();
            });
        };
    }
    const image = CanvasRenderingContext2D.prototype.drawImage;
    CanvasRenderingContext2D.prototype.drawImage = function (...given) {
        image.apply(this, given);
        window.lastDrawn = performance.now();
    };
"""
# Runs all cells and waits, within the page, until nothing was drawn for two seconds after the kernel was done.
RUN_ALL = f"""() => new Promise((done) => {{
    const start = performance.now();
    let idle = 0;
    window.jupyterapp.commands.execute("notebook:run-all-cells");
    const look = () => {{
        const now = performance.now();
        if (!idle && {DONE}) idle = now;
        const shown = document.querySelectorAll(".vm-panel canvas[data-drawn]").length && window.draws;
        if (idle && shown && now - Math.max(window.lastDrawn, idle) > 2000)
            done([idle - start, Math.max(window.lastDrawn, idle) - start, window.draws]);
        else setTimeout(look, 100);
    }};
    look();
}})"""
# The same for the 3D picture alone.
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


def shares() -> dict[str, float]:
    """Processor seconds so far of the kernel, the server, the page and what draws it."""
    import psutil

    names = {"ipykernel": "kernel", "jupyterlab": "server", "--type=renderer": "page", "--type=gpu": "drawing"}
    found: dict[str, float] = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            name = next((name for word, name in names.items() if word in line), "rest")
            found[name] = found.get(name, 0.0) + sum(process.cpu_times()[:2])
    return found


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
    page.tab.add_init_script(DRAWING)
    open_notebook(page, lab.write("viewers.ipynb", MAKE, SCAN, SPINE, SLICES, MEMORY))
    page.tab.wait_for_timeout(3000)
    before = shares()
    idle, drawn_ms, calls = page.tab.evaluate(RUN_ALL)
    after = shares()
    print(f"run all, kernel idle: {idle / 1000:.2f} s ({load()})")
    spent = ", ".join(f"{name} {after[name] - before.get(name, 0):.1f}" for name in sorted(after))
    total = sum(after.values()) - sum(before.values())
    print(f"run all, 24 surfaces, two CT planes and CT slices drawn: {drawn_ms / 1000:.2f} s, {calls} draw calls")
    print(f"    {total:.1f} of processor: {spent} ({load()})", flush=True)
    plot = ".vm-spine-viewer canvas"
    assert np.ptp(page.picture(plot).astype(int)) > 100, "the surfaces are not drawn"
    assert np.ptp(page.picture(".vm-panel canvas").astype(int)) > 50, "the slices are not drawn"
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
