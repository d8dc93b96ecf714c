"""The 3D viewer: all vertebrae as surfaces, coloured by what a table says, with each one's numbers beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from verse_morph.errors import InputError, NotMeasurable
from verse_morph.spine import Spine
from verse_morph.view import needs
from verse_morph.view.angle import PLANES, construction
from verse_morph.view.colours import Colouring, key_html, ordered, shared_choices, shared_colouring, title_of
from verse_morph.view.numbers import doubt_html, first_with_numbers, flags_of, numbers_html
from verse_morph.view.plain import PlainViewer
from verse_morph.view.planes import CtPlanes, surroundings
from verse_morph.view.scene import Scene, aligned, scene_of
from verse_morph.view.surfaces import (
    ANGLE_COLOUR,
    CAMERAS,
    LAYERS,
    Drawn,
    Key,
    beside_mm,
    camera,
    draw,
    draw_layer,
    matrix_of,
    name_place,
    together,
    tube,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from verse_morph.volume import Scan

BESIDE, OVER = "beside", "over"
SCANS = "scan"
SCAN_COLOURS = ("#0072b2", "#e69f00")
HINT = (
    "Drag turns, wheel zooms, right button shifts. Click a vertebra, or choose it on the right, to read its numbers. "
    "The arrows in the corner point to the patient's right (R), front (A) and head (S)."
)
PLANES_HINT = " Surfaces in front of a CT plane hide it: lower the opacity."
# k3d's names catch clicks; here a click on a name means the vertebra behind it.
STYLE = "<style>.vm-spine-viewer div[style*='pointer-events: all'] { pointer-events: none !important; }</style>"
FOOTER = "Surfaces are simplified for drawing; numbers come from the table. Research use, not diagnosis."


def view(
    spine: Spine | Scene,
    table: pd.DataFrame | None = None,
    other: Spine | Scene | None = None,
    other_table: pd.DataFrame | None = None,
    arrange: str = BESIDE,
    scan: Scan | None = None,
) -> SpineViewer | PlainViewer:
    """A widget to turn a spine, colour it by any column of its table, and read each vertebra's numbers.

    Parameters
    ----------
    spine : Spine or Scene
    table : DataFrame, optional
        One row per vertebra, as :func:`verse_morph.measure` makes it; it is made where none is given.
    other, other_table : optional
        A second spine and its table.
    arrange : str
        ``beside``, or ``over``: the second spine is laid over the first by a rigid motion.
    scan : Scan, optional
        The CT of the first spine, for planes through it; a large one may be given whole.

    Raises
    ------
    NotMeasurable
        No vertebra to show, or fewer than three shared levels to lay one spine over the other.
    InputError
        ``arrange`` is another word.
    GridMismatch
        The scan does not show where the surfaces are.

    Notes
    -----
    Where a package of the 3D viewer is missing or of another major version, and where the browser has no WebGL, still
    pictures with the same colours and numbers are shown, with a sentence that says why.
    """
    if arrange not in (BESIDE, OVER):
        raise InputError(f"two spines are arranged {BESIDE!r} or {OVER!r}, got {arrange!r}")
    scenes, tables = [], []
    for subject, rows in ((spine, table), (other, other_table)):
        if subject is None:
            continue
        scenes.append(subject if isinstance(subject, Scene) else scene_of(subject))
        tables.append(_measured(subject) if rows is None and isinstance(subject, Spine) else rows)
    if len(scenes) == 2 and arrange == OVER:
        scenes[1] = aligned(scenes[1], scenes[0])
    return shown(scenes, tables, arrange, scan)


def shown(
    scenes: Sequence[Scene],
    tables: Sequence[pd.DataFrame | None],
    arrange: str = BESIDE,
    scan: Scan | None = None,
) -> SpineViewer | PlainViewer:
    """The 3D viewer of some scenes, or still pictures of them where it cannot be used."""
    try:
        needs.require(needs.SURFACES)
    except needs.ViewerUnavailable as reason:
        return PlainViewer(scenes, tables, str(reason))
    return SpineViewer(scenes, tables, arrange, scan=scan)


def _measured(spine: Spine) -> pd.DataFrame:
    from verse_morph.measure import measure

    return measure(spine)


class SpineViewer:
    """One or two spines with their controls. Make it with :func:`view`.

    Every control has a method of the same meaning, so that a notebook can set what a reader would click.

    Parameters
    ----------
    scenes : sequence of Scene
        One or two.
    tables : sequence of DataFrame or None
        One per scene.
    arrange : str
        ``beside`` or ``over``.
    height : int
        Of the picture, pixels.
    scan : Scan, optional
        The CT of the first scene.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        tables: Sequence[pd.DataFrame | None],
        arrange: str = BESIDE,
        height: int = 560,
        scan: Scan | None = None,
    ) -> None:
        needs.require(needs.SURFACES)
        self.scenes, self.tables, self.arrange = tuple(scenes), tuple(tables), arrange
        self._scan = scan
        around = None if scan is None else surroundings(scan, self.scenes[0].bounds_mm())
        self.drawn: Drawn = draw(self.scenes, height)
        first_level = first_with_numbers(self.scenes[0].levels(), self.tables[0])
        start = self.scenes[0][first_level].centre_mm
        self.planes = None if around is None else CtPlanes(self.drawn.plot, around, start)
        self._preset = "anterior"
        self._hidden: set[str] = set()
        self._lines: list[Any] = []
        self._keys = [(k, level) for k, scene in enumerate(self.scenes) for level in scene.levels()]
        self.controls = self._make_controls()
        self.widget = self._arrange()
        self._observe()
        first = SCANS if len(self.scenes) == 2 and arrange == OVER else "level"
        self.controls["colour by"].value = first
        self._colour(first)
        self._toggle_layer("names", True)
        self.camera("anterior")
        self._numbers(self._keys[0])
        self.select(first_level)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, object]:
        return needs.mime_bundle(self.widget, **kwargs)

    # --- what a reader can ask for ------------------------------------------------------------------------------------

    def colour_by(self, key: str) -> None:
        """Colour by ``level``, ``region``, ``flags``, or any column of the table."""
        if key not in self._choices():
            raise InputError(f"cannot colour by {key!r}; choose from {', '.join(self._choices())}")
        self.controls["colour by"].value = key

    def show(self, levels: Iterable[str] | None = None) -> None:
        """Show these levels only; all of them by default."""
        wanted = set(self._levels() if levels is None else map(str, levels))
        unknown = wanted - set(self._levels())
        if unknown:
            raise InputError(f"no {', '.join(sorted(unknown))} here; there are {' '.join(self._levels())}")
        with together(self.drawn.plot):
            for level, button in self.controls["levels"].items():
                button.value = level in wanted

    def opacity(self, share: float) -> None:
        """Opacity of all surfaces, 0.05 to 1."""
        self.controls["opacity"].value = share

    def explode(self, share: float) -> None:
        """Draw the vertebrae apart: 0 in place, 1 with gaps as large as the distance between bodies."""
        self.controls["explode"].value = share

    def layer(self, name: str, shown: bool = True) -> None:
        """Show or hide ``names``, ``endplate planes``, ``centre line``, ``canal`` or ``trabecular region``."""
        if name not in LAYERS:
            raise InputError(f"no layer {name!r}; there are {', '.join(LAYERS)}")
        self.controls["layers"][name].value = shown

    def ct_plane(self, plane: str, shown: bool = True, point_mm: ArrayLike | None = None) -> None:
        """Show or hide the ``sagittal``, ``coronal`` or ``axial`` CT plane, moved to a point where one is given.

        Parameters
        ----------
        plane : str
        shown : bool
        point_mm : array (3,), optional
            RAS mm; all planes go through it.

        Raises
        ------
        InputError
            No such plane, or no scan was given to this viewer.
        """
        if self.planes is None:
            raise InputError("this viewer has no CT; give it one with view(spine, table, scan=...)")
        self.planes.show(plane, shown)
        if point_mm is not None:
            self.planes.through(point_mm)

    def angle(self, upper: str, lower: str, plane: str = "sagittal") -> str:
        """Draw the Cobb construction between two levels of the first spine, and return its angle in words."""
        boxes = self.controls["angle"]
        boxes["plane"].value, boxes["upper"].value, boxes["lower"].value = plane, str(upper), str(lower)
        return str(boxes["words"].value)

    def select(self, level: str, spine: int = 0) -> None:
        """Show the numbers of a vertebra."""
        self.controls["vertebra"].value = (spine, str(level))

    def camera(self, preset: str) -> None:
        """Look from ``anterior``, ``posterior``, ``left``, ``right`` or ``oblique`` (sides of the patient)."""
        if preset not in CAMERAS:
            raise InputError(f"no camera {preset!r}; there are {', '.join(CAMERAS)}")
        self._preset = preset
        self._place()
        self.drawn.plot.camera = camera(self._bounds(), preset, self.controls["explode"].value)

    def save_html(self, path: Path | str) -> Path:
        """Write one page that needs neither a server nor a network: the first spine with all of its controls.

        Raises
        ------
        OutputError
            It cannot be written there.
        """
        from verse_morph.view.page import write_page

        return write_page(self.scenes[0], self.tables[0], path, self._scan)

    # --- controls -----------------------------------------------------------------------------------------------------

    def _levels(self) -> list[str]:
        """Levels of all spines, in the order in which they are met."""
        return ordered(level for _, level in self._keys)

    def _choices(self) -> list[str]:
        return ([SCANS] if len(self.scenes) == 2 else []) + shared_choices(self.tables)

    def _make_controls(self) -> dict[str, Any]:
        import ipywidgets as w

        wide = {"description_width": "80px"}
        flat, half = w.Layout(width="auto", padding="0 6px"), w.Layout(width="150px")
        names = [(f"{level}" if k == 0 else f"{level} ({self.scenes[k].name})", (k, level)) for k, level in self._keys]
        own = self.scenes[0].levels()
        return {
            "vertebra": w.Dropdown(options=names, description="vertebra", style=wide),
            "colour by": w.Dropdown(
                options=[(title_of(key), key) for key in self._choices()], description="colour by", style=wide
            ),
            "levels": {name: w.ToggleButton(True, description=name, layout=flat) for name in self._levels()},
            "all": w.Button(description="all", layout=flat, tooltip="show all levels"),
            "none": w.Button(description="none", layout=flat, tooltip="hide all levels"),
            "opacity": w.FloatSlider(1.0, min=0.05, max=1.0, step=0.05, description="opacity", style=wide),
            "explode": w.FloatSlider(0.0, min=0.0, max=1.0, step=0.05, description="apart", style=wide),
            "layers": {n: w.Checkbox(n == "names", description=n, indent=False, layout=half) for n in LAYERS},
            "cameras": {name: w.Button(description=name, layout=flat) for name in CAMERAS},
            "angle": {
                "upper": w.Dropdown(options=["none", *own], description="angle from", style=wide),
                "lower": w.Dropdown(options=["none", *own], value=own[-1], description="to", style=wide),
                "plane": w.Dropdown(options=list(PLANES), description="in plane", style=wide),
                "words": w.HTML(),
            },
            "key": w.HTML(),
            "numbers": w.HTML(),
        }

    def _arrange(self) -> Any:
        import ipywidgets as w

        c = self.controls
        wrap = w.Layout(flex_flow="row wrap")
        left = w.VBox(
            [
                c["colour by"],
                c["key"],
                w.Box([*c["levels"].values(), c["all"], c["none"]], layout=wrap),
                c["opacity"],
                c["explode"],
                w.Box(list(c["layers"].values()), layout=wrap),
                w.Box([w.HTML("seen from the patient's&nbsp;"), *c["cameras"].values()], layout=wrap),
                *([] if self.planes is None else [self.planes.box(self._planes_through_vertebra)]),
                *(c["angle"][name] for name in ("upper", "lower", "plane", "words")),
            ],
            layout=w.Layout(width="320px", flex="0 0 auto"),
        )
        height = f"{self.drawn.plot.height}px"
        hint = HINT if self.planes is None else HINT + PLANES_HINT
        words = w.HTML(f"<div style='line-height:1.3;font-size:smaller'>{hint}<br>{FOOTER}</div>")
        middle = w.VBox([self.drawn.plot, words], layout=w.Layout(flex="1 1 0", min_width="300px"))
        numbers = w.Box([c["numbers"]], layout=w.Layout(height=height, overflow="auto"))
        right = w.VBox([c["vertebra"], numbers], layout=w.Layout(width="330px", flex="0 0 auto"))
        title = " and ".join(scene.name for scene in self.scenes)
        probe = needs.probe(self._without_webgl)
        doubts = doubt_html(flag for table in self.tables for flag in flags_of(table))
        made = w.VBox([w.HTML(f"{STYLE}<b>{title}</b>{doubts}"), w.HBox([left, middle, right]), probe])
        made.add_class("vm-spine-viewer")
        return made

    def _without_webgl(self) -> None:
        """Still pictures in place of everything, as far as it was set."""
        plain = PlainViewer(self.scenes, self.tables, needs.NO_WEBGL)
        k, level = self.controls["vertebra"].value
        plain.camera(self._preset)
        if self.controls["colour by"].value != SCANS:
            plain.colour_by(self.controls["colour by"].value)
        if k == 0:
            plain.select(level)
        self.widget.children = (plain.widget,)

    def _observe(self) -> None:
        c = self.controls
        c["colour by"].observe(lambda change: self._colour(change.new), "value")
        c["opacity"].observe(lambda change: self._set_opacity(change.new), "value")
        c["explode"].observe(lambda change: self._explode(change.old, change.new), "value")
        c["vertebra"].observe(lambda change: self._numbers(change.new), "value")
        for button in c["levels"].values():
            button.observe(lambda _: self._set_shown(), "value")
        for name, box in c["layers"].items():
            box.observe(partial(self._layer_changed, name), "value")
        for name, button in c["cameras"].items():
            button.on_click(partial(self._camera_clicked, name))
        for name in ("upper", "lower", "plane"):
            c["angle"][name].observe(lambda _: self._draw_angle(), "value")
        c["all"].on_click(lambda _: self.show())
        c["none"].on_click(lambda _: self.show([]))
        for key, surface in self.drawn.surfaces.items():
            surface.click_callback = partial(self._clicked, key)

    def _layer_changed(self, name: str, change: Any) -> None:
        self._toggle_layer(name, change.new)

    def _camera_clicked(self, name: str, _button: object) -> None:
        self.camera(name)

    def _planes_through_vertebra(self) -> None:
        k, level = self.controls["vertebra"].value
        if self.planes is not None and k == 0:
            self.planes.through(self.scenes[0][level].centre_mm)

    def _clicked(self, key: Key, _hit: object) -> None:
        self.select(key[1], key[0])

    # --- what the controls do -----------------------------------------------------------------------------------------

    def _colour(self, key: str) -> None:
        if key == SCANS:
            entries = tuple((scene.name, SCAN_COLOURS[k]) for k, scene in enumerate(self.scenes))
            shown = Colouring(SCANS, "scan", {}, entries)
            found = {place: SCAN_COLOURS[place[0]] for place in self._keys}
        else:
            shown, found = shared_colouring(key, self._keys, self.tables)
        with together(self.drawn.plot):
            for place, surface in self.drawn.surfaces.items():
                _set(surface, "color", int(found[place][1:], 16))
        self.controls["key"].value = key_html(shown)

    def _set_opacity(self, share: float) -> None:
        with together(self.drawn.plot):
            for surface in self.drawn.surfaces.values():
                surface.opacity = share

    def _set_shown(self) -> None:
        buttons = self.controls["levels"]
        self._hidden = {level for level, button in buttons.items() if not button.value}
        layers = self.controls["layers"]
        with together(self.drawn.plot):
            for (_, level), surface in self.drawn.surfaces.items():
                _set(surface, "visible", level not in self._hidden)
            for name, things in self.drawn.layers.items():
                for (_, level), thing in things.items():
                    _set(thing, "visible", layers[name].value and level not in self._hidden)

    def _toggle_layer(self, name: str, shown: bool) -> None:
        if not shown and name not in self.drawn.layers:
            return
        draw_layer(self.drawn, name)
        self._set_shown()
        self._place()

    def _explode(self, before: float, now: float) -> None:
        """Draw apart, and step back by as much, looking the same way."""
        self._place()
        if self.planes is not None and (before > 0) != (now > 0):
            self.planes.apart(now > 0)
        place, target, up = np.array(self.drawn.plot.camera).reshape(3, 3)
        place = target + (place - target) * (1 + now) / (1 + before)
        self.drawn.plot.camera = [float(v) for v in (*place, *target, *up)]

    def _place(self) -> None:
        """Put every object where the sliders and the camera want it."""
        explode = self.controls["explode"].value
        beside = self._beside()
        with together(self.drawn.plot):
            for key, thing in self.drawn.objects():
                matrix = matrix_of(self.scenes, key, explode, beside).astype(np.float32)
                if thing.type == "Text":
                    place = name_place(self.drawn.bone(key)) + matrix[:3, 3]
                    if not np.allclose(place, thing.position):
                        thing.position = place
                elif not np.allclose(matrix, thing.model_matrix):
                    thing.model_matrix = matrix

    def _beside(self) -> np.ndarray:
        if len(self.scenes) == 2 and self.arrange == BESIDE:
            return beside_mm(self.scenes, self._preset)
        return np.zeros(3)

    def _bounds(self) -> np.ndarray:
        boxes = [scene.bounds_mm() + k * self._beside() for k, scene in enumerate(self.scenes)]
        corners = np.concatenate(boxes)
        return np.array([corners.min(axis=0), corners.max(axis=0)])

    def _numbers(self, key: Key) -> None:
        k, level = key
        self.controls["numbers"].value = numbers_html(level, self.tables[k], self.drawn.bone(key).why)

    def _draw_angle(self) -> None:
        boxes = self.controls["angle"]
        for line in self._lines:
            self.drawn.plot -= line
        self._lines = []
        upper, lower = boxes["upper"].value, boxes["lower"].value
        if "none" in (upper, lower):
            boxes["words"].value = ""
            return
        try:
            made = construction(self.scenes[0], upper, lower, boxes["plane"].value)
        except NotMeasurable as reason:
            boxes["words"].value = f"<i>{reason}</i>"
            return
        boxes["words"].value = f"<b>{made.words}</b>"
        self._lines = [tube(points, ANGLE_COLOUR, 0.7, "angle") for points in made.lines_mm]
        for line in self._lines:
            self.drawn.plot += line


def _set(thing: Any, name: str, value: Any) -> None:
    """Only what changes travels to the browser."""
    if getattr(thing, name) != value:
        setattr(thing, name, value)
