"""The spine as still pictures, for where the 3D viewer cannot be used: the same surfaces, colours and numbers."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import InputError
from verse_morph.spine import Mesh
from verse_morph.view import needs
from verse_morph.view.colours import key_html, shared_choices, shared_colouring, title_of
from verse_morph.view.numbers import doubt_html, first_with_numbers, flags_of, numbers_html
from verse_morph.view.scene import Scene, simplified
from verse_morph.view.surfaces import CAMERAS, name_place

if TYPE_CHECKING:
    import pandas as pd

# Enough for a picture that cannot be turned; a whole spine is drawn in about a second.
FACES = 3000
SIZE_IN, DPI = (5.6, 7.4), 75
# From the reader's upper left, in the picture's right, up and towards the reader.
LIGHT = np.array([-0.4, 0.5, 0.77])
DARKEST = 0.4


def still(scenes: Sequence[Scene], colours: Mapping[tuple[int, str], str], preset: str) -> bytes:
    """PNG of surfaces seen from one side, without perspective.

    Parameters
    ----------
    scenes : sequence of Scene
        Two are drawn beside each other.
    colours : Mapping of (int, str) to str
        ``#rrggbb`` by number of the scene and level.
    preset : str
        One of ``CAMERAS``: the side of the patient on which the reader stands.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_IN, dpi=DPI)
    FigureCanvasAgg(figure)
    for k, axes in enumerate(np.ravel(figure.subplots(1, len(scenes)))):
        scene = scenes[k]
        _draw(axes, scene, {level: colours[k, level] for level in scene.levels()}, _directions(preset))
        axes.set_title(scene.name, fontsize=10)
    figure.tight_layout()
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _directions(preset: str) -> NDArray:
    """Unit vectors to the right, up and towards the reader, as rows (3, 3)."""
    towards = np.array(CAMERAS[preset]) / np.linalg.norm(CAMERAS[preset])
    right = np.cross([0.0, 0.0, 1.0], towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])


def _draw(axes: Any, scene: Scene, colours: Mapping[str, str], directions: NDArray) -> None:
    from matplotlib.collections import PolyCollection

    drawn = [(bone, bone.surface) for bone in scene.bones if bone.surface is not None]
    found = [_triangles(surface, colours[str(bone.level)], directions) for bone, surface in drawn]
    corners, shades = (np.concatenate([one[k] for one in found]) for k in (0, 1))
    # The painter's order: what is nearer covers what is farther.
    order = np.argsort(corners[..., 2].mean(axis=1))
    faces = PolyCollection(list(corners[order][..., :2]), facecolors=shades[order], edgecolors="face", linewidths=0.3)
    axes.add_collection(faces)
    for bone, _ in drawn:
        x, y, _ = directions @ name_place(bone)
        axes.text(x, y, str(bone.level), fontsize=7, ha="center", va="center", bbox={"fc": "white", "pad": 1.5})
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.axis("off")


def _triangles(surface: Mesh, colour: str, directions: NDArray) -> tuple[NDArray, NDArray]:
    """Corners (F, 3, 3) in the picture's axes and colours (F, 3) of the triangles that face the reader."""
    mesh = simplified(surface, FACES)
    corners = (mesh.vertices_mm @ directions.T)[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = normals[:, 2] > 0
    # Each triangle is lit by the mean of its corners' normals, so that few triangles look round.
    smooth = np.zeros_like(mesh.vertices_mm)
    for corner in range(3):
        np.add.at(smooth, mesh.faces[:, corner], normals)
    smooth /= np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-9)
    normals = smooth[mesh.faces[facing]].mean(axis=1)
    light = DARKEST + (1 - DARKEST) * np.clip(normals @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
    rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return corners[facing], light[:, None] * rgb


class PlainViewer:
    """Still pictures of one or two spines with their numbers; :func:`verse_morph.view.view` makes it where it must.

    Parameters
    ----------
    scenes : sequence of Scene
    tables : sequence of DataFrame or None
    reason : str
        Why it is not the 3D viewer, one sentence.

    Notes
    -----
    Without ipywidgets the cell shows one picture and the numbers of one vertebra, as :meth:`colour_by`,
    :meth:`camera` and :meth:`select` set them; with it there are controls.
    """

    def __init__(self, scenes: Sequence[Scene], tables: Sequence[pd.DataFrame | None], reason: str) -> None:
        self.scenes, self.tables, self.reason = tuple(scenes), tuple(tables), reason
        self.preset, self.key = "anterior", "level"
        self.level = first_with_numbers(self.scenes[0].levels(), self.tables[0])
        self._places = [(k, level) for k, scene in enumerate(self.scenes) for level in scene.levels()]
        self._pictures: dict[tuple[str, str], bytes] = {}
        self.widget = self._made() if self._has_widgets() else None

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, object]:
        if self.widget is None:
            return {"text/plain": self.reason, "text/html": self.html()}
        return needs.mime_bundle(self.widget, **kwargs)

    def colour_by(self, key: str) -> None:
        """Colour by ``level``, ``region``, ``flags``, or any column of the table."""
        self._set("key", key, shared_choices(self.tables), "colour by")

    def camera(self, preset: str) -> None:
        """Look from ``anterior``, ``posterior``, ``left``, ``right`` or ``oblique`` (sides of the patient)."""
        self._set("preset", preset, list(CAMERAS), "seen from")

    def select(self, level: str) -> None:
        """Show the numbers of a vertebra of the first spine."""
        self._set("level", str(level), self.scenes[0].levels(), "vertebra")

    def picture(self) -> bytes:
        """PNG of what is shown now."""
        if (self.key, self.preset) not in self._pictures:
            colours = shared_colouring(self.key, self._places, self.tables)[1]
            self._pictures[self.key, self.preset] = still(self.scenes, colours, self.preset)
        return self._pictures[self.key, self.preset]

    def html(self) -> str:
        """Reason, picture, key and numbers without any widget."""
        image = base64.b64encode(self.picture()).decode("ascii")
        return (
            f"{self._sentence()}<div style='display:flex;gap:1em'><img alt='{self._spoken()}' "
            f"src='data:image/png;base64,{image}'><div>{self._key()}{self._numbers()}</div></div>"
        )

    # --- inside -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _has_widgets() -> bool:
        try:
            needs.require({"ipywidgets": needs.WIDGETS["ipywidgets"]})
        except needs.ViewerUnavailable:
            return False
        return True

    def _set(self, name: str, value: str, known: Sequence[str], words: str) -> None:
        if value not in known:
            raise InputError(f"no {value!r} for {words!r}; choose from {', '.join(known)}")
        setattr(self, name, value)
        if self.widget is not None:
            self.controls[name].value = value
            self._show()

    def _sentence(self) -> str:
        from html import escape

        doubts = doubt_html(flag for table in self.tables for flag in flags_of(table))
        return f"<p role='status'><b>Still pictures in place of the 3D viewer:</b> {escape(self.reason)}</p>{doubts}"

    def _spoken(self) -> str:
        return f"spine seen from the patient's {self.preset}, coloured by {title_of(self.key)}"

    def _key(self) -> str:
        return key_html(shared_colouring(self.key, self._places, self.tables)[0])

    def _numbers(self) -> str:
        return numbers_html(self.level, self.tables[0], self.scenes[0][self.level].why)

    def _show(self) -> None:
        self._image.value = self.picture()
        self._image.alt = self._spoken()
        self._words.value = self._key() + self._numbers()

    def _made(self) -> Any:
        import ipywidgets as w

        style = {"description_width": "75px"}
        keys = [(title_of(key), key) for key in shared_choices(self.tables)]
        self.controls = {
            "key": w.Dropdown(options=keys, value=self.key, description="colour by", style=style),
            "preset": w.Dropdown(options=list(CAMERAS), value=self.preset, description="seen from", style=style),
            "level": w.Dropdown(options=self.scenes[0].levels(), value=self.level, description="vertebra", style=style),
        }
        self._image, self._words = w.Image(format="png"), w.HTML()
        for name, box in self.controls.items():
            box.observe(lambda change, name=name: self._changed(name, change.new), "value")
        self._show()
        numbers = w.Box([self._words], layout=w.Layout(height=f"{SIZE_IN[1] * DPI - 110:.0f}px", overflow="auto"))
        side = w.VBox([*self.controls.values(), numbers])
        # Else the row stretches the picture to the height of the numbers.
        start = w.Layout(align_items="flex-start")
        made = w.VBox([w.HTML(self._sentence()), w.HBox([self._image, side], layout=start)])
        made.add_class("vm-plain-viewer")
        return made

    def _changed(self, name: str, value: str) -> None:
        setattr(self, name, value)
        self._show()
