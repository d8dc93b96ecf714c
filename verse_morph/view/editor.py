"""The centroid editor: the points that name the vertebrae, dragged, added, removed and renamed on two projections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.errors import InputError, VerseMorphError
from verse_morph.io.itksnap import Correction, corrected
from verse_morph.space import FloatArray, canonical
from verse_morph.view import needs, points
from verse_morph.view.colours import REGIONS
from verse_morph.view.panel import png
from verse_morph.view.picture import fitting, listened, picture_class, script
from verse_morph.view.points import History, Numbering, Point, Points
from verse_morph.view.projection import KINDS, PLANES, Projection, projected
from verse_morph.view.redo import Outliner, outlined, redone
from verse_morph.view.slices import CUTS
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

TALLEST_PX, WIDEST_PX = 560, 420
LEVELS = [str(level) for level in Level if level is not Level.S1]
HELP = (
    "Drag a dot to move it. Double-click an empty place to add the level chosen beside “add”. With a picture in focus: "
    "arrow keys move the chosen dot by 1 mm (with Shift 5 mm), Page up and Page down choose the next one, Delete "
    "removes it, Ctrl+Z undoes. A star marks what was changed since the outlines were made. Research use, not "
    "diagnosis."
)


class CentroidEditor:
    """Points of the vertebrae over sagittal and coronal projections of a CT, to be corrected by hand.

    Parameters
    ----------
    scan : Scan
    points_mm : Mapping[Level, array (3,)], optional
        Where the vertebrae are, world RAS mm: ``read_centroids(...).points_mm`` or a segmentation's ``points_mm``. By
        default the bodies of the mask.
    labels : LabelMap, optional
        The mask on the scan's grid; needed to outline changed vertebrae again.
    outliner : callable, optional
        From a scan and points to a label map; the package's own network by default.

    Raises
    ------
    ViewerUnavailable
        A package of the viewers is missing or of another major version.
    """

    def __init__(
        self,
        scan: Scan,
        points_mm: Mapping[Level, ArrayLike] | None = None,
        labels: LabelMap | None = None,
        outliner: Outliner = outlined,
    ) -> None:
        needs.require(needs.WIDGETS)
        self.scan, self.labels, self.outliner = scan, labels, outliner
        self._hu, grid = canonical(scan.hu, scan.grid)
        self.projections = {plane: Projection(plane, grid) for plane in PLANES}
        self.start = points.points_from(_starting(points_mm, labels))
        self.history = History(self.start)
        self.chosen: int | None = self.start.points[0].key if self.start.points else None
        self.report: Correction | None = None
        self._quiet = False
        self.panels = {plane: _panel(plane, partial(self._heard, plane)) for plane in PLANES}
        self.controls = _controls(scan.name)
        self.widget = _arranged(self.panels, self.controls)
        self._observe()
        if self.start.points:
            # The level below the last one is the first that somebody will want to add.
            below = [level for level in self.start.numbering.chain if level > self.start.levels[-1]]
            self.controls["add_level"].value = str(below[0]) if below else LEVELS[-1]
        self._project()
        self._show("")

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, object]:
        return needs.mime_bundle(self.widget, **kwargs)

    # --- what can be done, from Python as from the pictures -----------------------------------------------------------

    @property
    def state(self) -> Points:
        """The points as they are now."""
        return self.history.now

    @property
    def points_mm(self) -> dict[Level, FloatArray]:
        """The points as they are now, by level, world RAS mm."""
        return self.state.points_mm()

    def choose(self, level: Level | str) -> None:
        """Make a level the one that keys and buttons act on."""
        self.chosen = self.state[level].key
        self._show("")

    def move(self, level: Level | str, mm: ArrayLike) -> None:
        """Move a level's point, world RAS mm."""
        self._done(points.move(self.state, level, mm), f"{level} moved")

    def add(self, level: Level | str, mm: ArrayLike | None = None) -> None:
        """Add a level; without a place, where its neighbours let it be expected."""
        place = self._expected(Level(str(level))) if mm is None else mm
        after = points.add(self.state, level, place)
        self.chosen = after[level].key
        self._done(after, f"{level} added")

    def remove(self, level: Level | str) -> None:
        """Remove a level's point."""
        self._done(points.remove(self.state, level), f"{level} removed")

    def relabel(self, level: Level | str, to: Level | str) -> None:
        """Give a point another name; a name that is taken is swapped."""
        self._done(points.relabel(self.state, level, to), f"{level} is now {to}")

    def shift(self, steps: int, numbering: Numbering | None = None) -> None:
        """Shift all names along the spine; see :func:`verse_morph.view.points.shift`."""
        after = points.shift(self.state, steps, numbering)
        self._done(
            after, f"counted with {after.numbering.thoracic} thoracic, {after.numbering.lumbar} lumbar vertebrae"
        )

    def undo(self) -> None:
        """Take the last change back."""
        self.history = self.history.undone()
        self._show("undone")

    def redo(self) -> None:
        """Make the change that was taken back again."""
        self.history = self.history.redone()
        self._show("done again")

    def save(self, path: Path | str) -> Path:
        """Write the points as a VerSe centroid file.

        Raises
        ------
        OutputError
            The folder is missing or cannot be written to.
        """
        from verse_morph.io import write_centroids

        write_centroids(self.points_mm, path, self.scan.grid)
        self._show(f"{len(self.state.points)} points written to {path}")
        return Path(path)

    def redo_outlines(self) -> Correction:
        """Outline the vertebrae whose points were changed again, renumber the renamed ones, leave the others.

        Returns
        -------
        Correction
            The new mask and what was changed in it; :attr:`labels` is the new mask from here on.

        Raises
        ------
        InputError
            No mask was given to this editor, or a point lies outside the scan.
        """
        if self.labels is None:
            raise InputError("this editor has no mask to correct; give it labels=..., or segment with these points")
        what = points.difference(self.start, self.state)
        made = redone(self.scan, self.labels, what, self.points_mm, self.outliner)
        self.report = corrected(self.labels, made)
        self.labels, self.start = made, self.state
        self._show(f"outlines: {self.report.summary}")
        return self.report

    # --- pictures and words -------------------------------------------------------------------------------------------

    def _done(self, state: Points, words: str) -> None:
        self.history = self.history.done(state)
        self._show(words)

    def _expected(self, level: Level) -> FloatArray:
        """Where a level would lie: between its neighbours, beyond an end as far as the last two are apart."""
        known = self.points_mm
        above, below = ([lv for lv in known if lv < level], [lv for lv in known if lv > level])
        if above and below:
            return (known[above[-1]] + known[below[0]]) / 2
        near = (above[::-1] or below)[:2]
        if len(near) == 2:
            return 2 * known[near[0]] - known[near[1]]
        grid = self.projections["sagittal"].grid
        return grid.to_world((np.array(grid.shape) - 1) / 2)

    def _project(self) -> None:
        kind = self.controls["kind"].value
        places = [point.mm for point in self.state.points]
        for plane, on in self.projections.items():
            panel = self.panels[plane]
            panel.png = png(projected(self._hu, on, places, kind))
            panel.size_px = fitting(*on.size_mm, WIDEST_PX, TALLEST_PX)
            panel.title = f"{plane}, {kind}"

    def _show(self, words: str, wrong: bool = False) -> None:
        """Bring pictures and controls up to date with the state."""
        state, keys = self.state, [point.key for point in self.state.points]
        if self.chosen not in keys:
            self.chosen = keys[0] if keys else None
        old = {point.key: point for point in self.start.points}
        for plane, on in self.projections.items():
            panel = self.panels[plane]
            panel.dots = [_dot(point, on, old.get(point.key) != point) for point in state.points]
            panel.chosen = -1 if self.chosen is None else self.chosen
            panel.spoken = self._spoken(plane)
        self._quiet = True
        _updated(self.controls, state, self.chosen, self.history)
        self._quiet = False
        c = self.controls
        warnings = "".join(f"<li>{sentence}</li>" for sentence in points.problems(state))
        mark = "⚠ " if wrong else ""
        c["said"].value = f'<div role="status">{mark}{words}</div>' if words else ""
        c["problems"].value = f"<ul style='margin:0;padding-left:1.2em'>{warnings}</ul>" if warnings else ""

    def _spoken(self, plane: str) -> str:
        names = " ".join(str(level) for level in self.state.levels) or "none"
        chosen = next((point for point in self.state.points if point.key == self.chosen), None)
        where = "" if chosen is None else f"; {chosen.level} is chosen, at R, A, S {_millimetres(chosen.mm)} mm"
        return f"{plane} projection of {self.scan.name} with the points {names}{where}"

    # --- listening ----------------------------------------------------------------------------------------------------

    def _heard(self, plane: str, message: Mapping[str, Any]) -> None:
        """What happened on a picture."""
        on, chosen = self.projections[plane], self._chosen()
        if "pick" in message:
            self.chosen = int(message["pick"])
            self._show("")
        elif "drop" in message:
            dropped = next(point for point in self.state.points if point.key == message["drop"])
            self.move(dropped.level, on.moved(dropped.mm, message["at"]))
        elif "add" in message:
            level = self.controls["add_level"].value
            self.add(level, on.moved(tuple(self._expected(Level(level))), message["add"]))
        elif "undo" in message or "redo" in message:
            (self.undo if "undo" in message else self.redo)()
        elif chosen is not None:
            self._on_chosen(on, chosen, message)

    def _on_chosen(self, on: Projection, chosen: Point, message: Mapping[str, Any]) -> None:
        if "nudge" in message:
            self.move(chosen.level, on.nudged(chosen.mm, message["nudge"]))
        elif "remove" in message:
            self.remove(chosen.level)
        elif "next" in message:
            place = self.state.points.index(chosen) + int(message["next"])
            self.choose(self.state.points[min(max(place, 0), len(self.state.points) - 1)].level)

    def _chosen(self) -> Point | None:
        return next((point for point in self.state.points if point.key == self.chosen), None)

    def _observe(self) -> None:
        c = self.controls
        c["level"].observe(self._unless_quiet(lambda: self.choose(c["level"].value)), "value")
        for name in ("x", "y", "z"):
            c[name].observe(self._unless_quiet(self._typed), "value")
        c["kind"].observe(lambda _: self._project(), "value")
        for name, act in {
            "rename": lambda: self.relabel(c["level"].value, c["to"].value),
            "remove": lambda: self.remove(c["level"].value),
            "add": lambda: self.add(c["add_level"].value),
            "up": lambda: self.shift(-1),
            "down": lambda: self.shift(1),
            "count": lambda: self.shift(0, Numbering(c["thoracic"].value, c["lumbar"].value)),
            "undo": self.undo,
            "redo": self.redo,
            "save": lambda: self.save(c["path"].value),
            "outline": self.redo_outlines,
        }.items():
            c[name].on_click(partial(self._pressed, act))

    def _typed(self) -> None:
        self.move(self.controls["level"].value, [self.controls[name].value for name in ("x", "y", "z")])

    def _unless_quiet(self, act: Callable[[], object]) -> Callable[[object], None]:
        return lambda _: None if self._quiet else self._pressed(act, None)

    def _pressed(self, act: Callable[[], object], _button: object) -> None:
        try:
            act()
        except VerseMorphError as error:
            self._show(str(error), wrong=True)


@cache
def _panel_class() -> type:
    """The widget's class, made when the first editor is: importing this module loads no widgets."""
    import traitlets as t

    picture: Any = picture_class()

    class PointsPanel(picture):
        """A projection with dots that can be dragged."""

        _esm = script("points.js")
        dots: Any = t.List([]).tag(sync=True)
        chosen = t.Int(-1).tag(sync=True)

    return PointsPanel


def _panel(plane: str, heard: Callable[[Mapping[str, Any]], None]) -> Any:
    return listened(_panel_class()(title=plane, letters=list(CUTS[plane].letters)), heard)


def _starting(points_mm: Mapping[Level, ArrayLike] | None, labels: LabelMap | None) -> Mapping[Level, ArrayLike]:
    if points_mm is not None or labels is None:
        return points_mm or {}
    from verse_morph.segment.engines import measured_bodies

    return measured_bodies(labels)[0]


def _dot(point: Point, on: Projection, changed: bool) -> dict[str, Any]:
    colour = REGIONS[point.level.region]
    name = str(point.level)
    return {"key": point.key, "name": name, "at": on.shares(point.mm), "colour": colour, "changed": changed}


def _millimetres(mm: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in mm)


def _controls(name: str) -> dict[str, Any]:
    import ipywidgets as w

    def narrow(px: int = 90) -> Any:
        return w.Layout(width=f"{px}px")

    def button(text: str, tip: str, px: int = 130) -> Any:
        return w.Button(description=text, tooltip=tip, layout=narrow(px))

    style, wide = {"description_width": "62px"}, {"description_width": "95px"}

    def count(word: str, options: tuple[int, ...]) -> Any:
        return w.Dropdown(options=options, value=options[1], description=word, style=style, layout=narrow(130))

    made = {
        "level": w.Dropdown(description="vertebra", style=style, layout=narrow(150)),
        "to": w.Dropdown(options=LEVELS, layout=narrow(70)),
        "rename": button("rename to", "give the chosen point this name; a taken name is swapped", 100),
        "remove": button("remove", "remove the chosen point", 100),
        "add_level": w.Dropdown(options=LEVELS, layout=narrow(70)),
        "add": button("add", "add this level between its neighbours", 100),
        "up": button("all one up", "every name one towards the head: L1 becomes T12", 100),
        "down": button("all one down", "every name one towards the feet: T12 becomes L1", 110),
        "thoracic": w.Dropdown(
            options=points.THORACIC, value=12, description="thoracic", style=style, layout=narrow(130)
        ),
        "lumbar": count("lumbar", points.LUMBAR),
        "count": button("count anew", "keep the uppermost name and count with these numbers", 110),
        "undo": button("undo", "Ctrl+Z", 80),
        "redo": button("redo", "Ctrl+Y", 80),
        "kind": w.Dropdown(options=list(KINDS), description="picture", style=style, layout=narrow(180)),
        "path": w.Text(f"{name}_seg-subreg_ctd.json", description="file", style=style, layout=narrow(330)),
        "save": button("save", "write the points as a VerSe centroid file", 80),
        "outline": button("redo changed outlines", "outline only the vertebrae whose points changed", 170),
        "said": w.HTML(),
        "problems": w.HTML(),
    }
    for axis, word in zip("xyz", ("right", "anterior", "superior"), strict=True):
        made[axis] = w.FloatText(description=f"{word} mm", step=1, style=wide, layout=narrow(190))
    return made


def _arranged(panels: Mapping[str, Any], c: Mapping[str, Any]) -> Any:
    import ipywidgets as w

    def row(*names: str) -> Any:
        return w.HBox([c[name] for name in names], layout=w.Layout(flex_flow="row wrap"))

    side = w.VBox(
        [
            row("level", "remove"),
            row("x"),
            row("y"),
            row("z"),
            row("rename", "to"),
            row("add", "add_level"),
            w.HTML("<b>all names</b>"),
            row("up", "down"),
            row("thoracic"),
            row("lumbar"),
            row("count"),
            row("undo", "redo"),
            row("kind"),
            row("path"),
            row("save", "outline"),
            c["said"],
            c["problems"],
        ],
        layout=w.Layout(width="360px"),
    )
    pictures = w.Box(
        [*(panels[plane] for plane in PLANES), side], layout=w.Layout(flex_flow="row wrap", align_items="flex-start")
    )
    made = w.VBox([pictures, w.HTML(f"<small>{HELP}</small>")])
    made.add_class("vm-centroid-editor")
    return made


def _updated(c: Mapping[str, Any], state: Points, chosen: int | None, history: History) -> None:
    names = [str(level) for level in state.levels]
    point = next((p for p in state.points if p.key == chosen), None)
    c["level"].options = names
    c["level"].value = None if point is None else str(point.level)
    if point is not None:
        c["to"].value = str(point.level)
        for axis, value in zip("xyz", point.mm, strict=True):
            c[axis].value = round(value, 2)
    c["thoracic"].value, c["lumbar"].value = state.numbering.thoracic, state.numbering.lumbar
    free = [name for name in LEVELS if name not in names]
    if c["add_level"].value in names and free:
        # The level below the chosen one is the likeliest to be missing.
        after = [name for name in free if point is None or Level(name) > point.level]
        c["add_level"].value = (after or free)[0]
    for name, possible in (("undo", history.past), ("redo", history.future), ("remove", names), ("rename", names)):
        c[name].disabled = not possible
