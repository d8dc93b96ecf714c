"""A real JupyterLab in Debian's Chromium with software WebGL, and no host but this machine.

``Lab`` runs the server, ``Page`` a tab of the browser; both are made by the fixtures in ``conftest.py``.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

CHROMIUM = os.environ.get("VERSE_MORPH_CHROMIUM", "/usr/bin/chromium")
# Software WebGL; and no name resolves, so that nothing outside can be reached even where a request slips through.
FLAGS = [
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-sandbox",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
LOCAL = (
    "http://127.0.0.1",
    "http://localhost",
    "ws://127.0.0.1",
    "ws://localhost",
    "file:",
    "data:",
    "blob:",
    "about:",
)
# A busy machine is slow, not broken.
PATIENCE_S = 180
# The browser's own remarks on software rendering, and JupyterLab's on itself; none is about a viewer.
KNOWN = (
    "GPU stall",
    "swiftshader",
    "WebGL: ",
    "GL Driver Message",
    "favicon",
    "sourcemap",
    "Slow network",
    "[Violation]",
)


def why_unavailable() -> str:
    """Why browser tests cannot run here; empty where they can."""
    if not Path(CHROMIUM).is_file():
        return f"no browser at {CHROMIUM}: `make browser` installs Debian's chromium, or set VERSE_MORPH_CHROMIUM"
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "playwright is not installed: pip install -e '.[dev]'"
    return ""


@dataclass
class Page:
    """A tab, with what it said and asked for."""

    tab: Any
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def watch(self) -> Page:
        self.tab.on("console", lambda message: self._said(message))
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("request", lambda request: self._asked(request.url))
        return self

    def _said(self, message: Any) -> None:
        if message.type == "error" and not any(word in message.text for word in KNOWN):
            self.errors.append(message.text)

    def _asked(self, url: str) -> None:
        if not url.startswith(LOCAL):
            self.outside.append(url)

    def picture(self, selector: str = "canvas", which: int = 0) -> np.ndarray:
        """Pixels (H, W, 3) of the nth element that fits a selector, as the reader sees them."""
        from PIL import Image

        shot = self.tab.locator(selector).nth(which).screenshot(timeout=PATIENCE_S * 1000)
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))

    def wait_until(self, question: Any, patience_s: float = PATIENCE_S) -> float:
        """Seconds until a function says yes; fails when it never does."""
        started = time.monotonic()
        while not question():
            assert time.monotonic() - started < patience_s, f"waited {patience_s} s in vain; errors: {self.errors}"
            self.tab.wait_for_timeout(40)
        return time.monotonic() - started


@dataclass
class Lab:
    """A JupyterLab server on a free port, with settings of its own and some extensions ``disabled``."""

    folder: Path
    disabled: tuple[str, ...] = ()
    port: int = 0
    token: str = "bench"
    process: subprocess.Popen | None = None

    def start(self) -> Lab:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        home = self.folder / "home"
        settings = home / "lab" / "user-settings" / "@jupyterlab"
        # Cells outside the window are drawn too, and nobody asks about news.
        _write(settings / "notebook-extension" / "tracker.jupyterlab-settings", {"windowingMode": "none"})
        _write(settings / "apputils-extension" / "notification.jupyterlab-settings", {"fetchNews": "false"})
        _write(home / "labconfig" / "page_config.json", {"disabledExtensions": dict.fromkeys(self.disabled, True)})
        places = {"JUPYTER_CONFIG_DIR": home, "JUPYTER_RUNTIME_DIR": home / "run", "JUPYTER_DATA_DIR": home / "data"}
        environment = os.environ | {name: str(place) for name, place in places.items()}
        environment |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "lab" / "user-settings"), "IPYTHONDIR": str(home / "ipy")}
        (self.folder / "work").mkdir()
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"),
            *(f"--ServerApp.port={self.port}", "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0"),
            *(f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.folder / 'work'}"),
            *("--LabApp.extension_manager=readonly", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
        ]
        with (self.folder / "lab.log").open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self._wait()
        return self

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api", timeout=5).read()
                return
            except OSError:
                time.sleep(0.2)
        raise AssertionError((self.folder / "lab.log").read_text()[-2000:])

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    def write(self, name: str, *cells: str) -> str:
        """A notebook of these code cells in the server's folder; returns its address."""
        made = [
            {
                "cell_type": "code",
                "id": f"cell{k}",
                "metadata": {},
                "source": text,
                "outputs": [],
                "execution_count": None,
            }
            for k, text in enumerate(cells)
        ]
        kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
        notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": made}
        _write(self.folder / "work" / name, notebook)
        return self.address(name)

    def copy(self, notebook: Path) -> str:
        """An existing notebook in the server's folder; returns its address."""
        shutil.copy(notebook, self.folder / "work" / notebook.name)
        return self.address(notebook.name)

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/doc/tree/{name}?token={self.token}&reset"


def open_notebook(page: Page, address: str) -> None:
    """Open a notebook and wait until its kernel is there."""
    page.tab.goto(address, timeout=PATIENCE_S * 1000)
    page.wait_until(lambda: page.tab.evaluate(_KERNEL) == "idle")


def run_all(page: Page) -> float:
    """Run all cells; seconds until the kernel is idle again. Fails when a cell did."""
    started = time.monotonic()
    page.tab.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_until(lambda: page.tab.evaluate(DONE))
    failed = page.tab.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']")
    assert failed.count() == 0, failed.first.inner_text()
    return time.monotonic() - started


_KERNEL = "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status"
DONE = f"""(() => {{
    const cells = window.jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === 'code');
    const ran = c => !c.model.sharedModel.source || c.model.executionCount;
    const done = cells.every(c => c.model.executionState !== 'running' && ran(c));
    const failed = cells.some(c => JSON.stringify(c.model.outputs.toJSON()).includes('"output_type":"error"'));
    return (done || failed) && {_KERNEL} === 'idle';
}})()"""


def _write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


# --- where a point of the world is seen ---------------------------------------------------------------------------


def project(camera: list[float], fov_deg: float, size: tuple[int, int], points_mm: np.ndarray) -> np.ndarray:
    """Pixels (N, 2), column then row, of world points in a picture of ``size`` (width, height)."""
    place, target, up = (np.array(camera[k : k + 3]) for k in (0, 3, 6))
    ahead = (target - place) / np.linalg.norm(target - place)
    right = np.cross(ahead, up)
    right /= np.linalg.norm(right)
    above = np.cross(right, ahead)
    away = np.atleast_2d(points_mm) - place
    depth = away @ ahead
    focal = size[1] / 2 / np.tan(np.radians(fov_deg) / 2)
    return np.stack(
        [size[0] / 2 + focal * (away @ right) / depth, size[1] / 2 - focal * (away @ above) / depth], axis=1
    )


def hue_distance(seen: np.ndarray, wanted: str) -> float:
    """Angle between two colours as directions from grey, degrees: light and shade do not count."""
    target = np.array([int(wanted[k : k + 2], 16) for k in (1, 3, 5)], dtype=float)
    a, b = (colour - colour.mean() for colour in (np.asarray(seen, dtype=float), target))
    return float(np.degrees(np.arccos(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9), -1, 1))))
