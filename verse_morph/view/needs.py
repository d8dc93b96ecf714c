"""What the viewers need, said in one sentence where it is not there."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from functools import cache
from typing import Any

from verse_morph.errors import VerseMorphError
from verse_morph.view.picture import ASSETS

# Package, the major version that the viewers were made for.
WIDGETS = {"ipywidgets": 8, "anywidget": 0}
SURFACES = WIDGETS | {"k3d": 3}
NOT_SHOWN = (
    "This is an interactive viewer of verse_morph. If you read this sentence, the page that you are looking at has no "
    "widgets: open the notebook in JupyterLab 4 with ipywidgets 8 installed in the environment that runs JupyterLab, "
    "and run the cell again; or write a page that needs neither with save_html(...)."
)
NO_ANYWIDGET = (
    "The pictures of this viewer cannot be shown: the JupyterLab that you are looking at has no anywidget, or an old "
    "one: install it with pip install 'anywidget>=0.9,<1' in the environment that runs JupyterLab, restart JupyterLab "
    "and reload the page; or write a page that needs none with save_html(...)."
)
NO_WEBGL = (
    "this browser cannot draw in 3D (no WebGL 2): switch hardware or software WebGL on in its settings, or use another "
    "browser, then run the cell again."
)


class ViewerUnavailable(VerseMorphError):
    """A viewer needs a package, or a version of it, that is not installed."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it: the sentence, no lines of code."""
        return [f"{type(self).__name__}: {self}"]


def require(wanted: dict[str, int]) -> None:
    """Refuse where a package of the viewers is missing or of another major version.

    Parameters
    ----------
    wanted : dict of str to int
        Major version by the package's name.

    Raises
    ------
    ViewerUnavailable
        Says which one, what was found, and how to mend it.
    """
    for name, major in wanted.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = ""
        if found.split(".")[0] != str(major):
            there = f"version {found} is installed" if found else "it is not installed"
            raise ViewerUnavailable(
                f"this viewer needs {name} {major}.x and {there}: pip install '{name}>={major},<{major + 1}', then "
                "restart the kernel and reload the page"
            )


@cache
def _probe_class() -> Any:
    import anywidget
    import traitlets as t

    class Probe(anywidget.AnyWidget):
        """Nothing to see: it tells whether the page that shows it can draw in 3D."""

        _esm = (ASSETS / "webgl.js").read_text(encoding="utf-8")
        missing = t.Bool(False).tag(sync=True)

    return Probe


def probe(without: Callable[[], None]) -> Any:
    """A widget that calls ``without`` where the page that shows it has no WebGL."""
    made = _probe_class()()
    made.observe(lambda _: without(), "missing")
    return made


def mime_bundle(widget: Any, **kwargs: object) -> dict[str, object]:
    """What a notebook shows of a viewer, with a sentence in place of an empty cell or of broken pictures.

    Parameters
    ----------
    widget : ipywidgets.Box
        The viewer; it gets a line that only a page without anywidget shows.
    """
    if not any("vm-broken" in getattr(child, "_dom_classes", ()) for child in widget.children):
        widget.children = (_broken(), *widget.children)
        widget.add_class("vm-viewer")
    made = widget._repr_mimebundle_(**kwargs)
    data = made[0] if isinstance(made, tuple) else made
    return {**data, "text/html": f"<p>{NOT_SHOWN}</p>"}


def _broken() -> Any:
    """A line that is seen only where a widget beside it could not be made: the kernel is not told of that."""
    import ipywidgets as w

    made = w.HTML(
        "<style>.vm-broken { display: none; } "
        ".vm-viewer:has(.jupyter-widgets-error-widget) > .vm-broken { display: block; height: auto; }</style>"
        f"<p role='alert' style='line-height:1.4'><b>{NO_ANYWIDGET}</b></p>"
    )
    made.add_class("vm-broken")
    return made
