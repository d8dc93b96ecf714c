"""The slice viewer: three linked pictures with one crosshair in RAS mm, and two laid straight along the spine.

Where labels or a spine are given, the pictures show what lies about it; a box turns that off.

The scan stays in the kernel. What travels to the browser is the picture of each slice that changed, at full
resolution, a few hundred kilobytes: no volume, no WebGL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level
from verse_morph.errors import InputError, NotMeasurable
from verse_morph.space import FloatArray, Grid, canonical
from verse_morph.spine import Spine
from verse_morph.view import needs
from verse_morph.view.colours import MISSING, level_colour
from verse_morph.view.numbers import doubt_html
from verse_morph.view.panel import grey, make_panel, overlaid, png
from verse_morph.view.picture import fitting
from verse_morph.view.straight_picture import HEIGHTS, RIM, SCALE, dressed
from verse_morph.view.straighten import Straight, sample, straight
from verse_morph.volume import LabelMap, Scan

WINDOWS_HU: Mapping[str, tuple[float, float]] = {
    "bone": (-450.0, 1050.0),
    "soft tissue": (-160.0, 240.0),
    "wide": (-1000.0, 2000.0),
}
OVERLAY, OVERLAY_ALONE = 0.3, 0.7
# Kept around the spine where only its neighbourhood is shown.
MARGIN_MM = 40.0
TALLEST_PX, WIDEST_PX = 430, 330


@dataclass(frozen=True)
class Cut:
    """Which array axes (nearest R, A, S) a picture shows; both run against the screen's directions."""

    fixed: int
    across: int
    up: int
    letters: tuple[str, str, str, str]


# As on a light box: the patient's right, and anterior, on the reader's left.
CUTS: Mapping[str, Cut] = {
    "axial": Cut(2, 0, 1, ("R", "L", "A", "P")),
    "sagittal": Cut(0, 1, 2, ("A", "P", "S", "I")),
    "coronal": Cut(1, 0, 2, ("R", "L", "S", "I")),
}
ALONG = {"sagittal": ("A", "P", "S", "I"), "coronal": ("R", "L", "S", "I")}


def _coloured(words: str, colour: tuple[int, int, int]) -> str:
    return f"<span style='background:#000;color:rgb{colour};padding:0 3px'>{words}</span>"


LAID_STRAIGHT = (
    f"Laid straight: {_coloured('rim planes', RIM)}, heights in mm "
    f"{_coloured('anterior, left', HEIGHTS['sagittal']['anterior'])} "
    f"{_coloured('middle', HEIGHTS['sagittal']['middle'])} "
    f"{_coloured('posterior, right', HEIGHTS['sagittal']['posterior'])}. "
    "Heights are lengths in space, not on the picture."
)


class SliceViewer:
    """A CT with its labels, in three linked slices and, where a spine is given, laid straight along it.

    Parameters
    ----------
    scan : Scan or None
        A large one may be given whole: only pictures travel to the browser. Without one the labels are shown alone.
    labels : LabelMap, optional
        Drawn over the CT; where its grid is another one, the CT is resampled to it.
    spine : Spine, optional
        For the straightened pictures and for going to a level.

    Raises
    ------
    ViewerUnavailable
        A package of the viewers is missing or of another major version.
    GridMismatch
        Scan and labels do not overlap.
    InputError
        Neither a scan nor labels were given.

    Notes
    -----
    Slices run along the axes of the image, which need not be exactly the patient's; the crosshair's millimetres are
    RAS all the same.
    """

    def __init__(self, scan: Scan | None, labels: LabelMap | None = None, spine: Spine | None = None) -> None:
        needs.require(needs.WIDGETS)
        self.spine, self.has_ct = spine, scan is not None
        self.name, hu, grid = _values(scan, labels)
        self._hu, self.grid = canonical(hu, grid)
        self._labels = None if labels is None else canonical(labels.labels, labels.grid)[0]
        self._names = _names(labels)
        self._colours = _colours(labels)
        self._index = np.array(self.grid.shape) // 2
        self._whole = np.array([[0, 0, 0], self.grid.shape])
        self._about = _about(self.grid, self._labels, spine)
        self._straight = _straightened(spine)
        self._samples: dict[tuple[str, str], NDArray] = {}
        self.panels = self._make_panels()
        self.controls = self._make_controls()
        self.widget = self._arrange()
        self._observe()
        if spine is not None and len(spine):
            self.go_to_level(str(spine.levels()[len(spine) // 2]))
        self._draw(tuple(CUTS))
        self._draw_straight()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, object]:
        return needs.mime_bundle(self.widget, **kwargs)

    # --- what a reader can ask for ------------------------------------------------------------------------------------

    @property
    def position_mm(self) -> FloatArray:
        """Where the crosshair is, RAS mm."""
        return self.grid.to_world(self._index)

    def go_to(self, point_mm: NDArray) -> None:
        """Move the crosshair to the voxel nearest to a point, RAS mm; outside the scan to its border."""
        index = np.rint(self.grid.to_index(point_mm)).astype(int)
        before, self._index = self._index, np.clip(index, 0, np.array(self.grid.shape) - 1)
        if not self._seen(self._index):
            self.close_to_spine(False)
        changed = [name for name, cut in CUTS.items() if before[cut.fixed] != self._index[cut.fixed]]
        self._draw(tuple(changed))

    def go_to_level(self, level: str) -> None:
        """Move the crosshair to the middle of a vertebra's body."""
        if self.spine is None:
            raise InputError("no spine was given to this viewer; give it spine=... to go to a level")
        vertebra = self.spine[level]
        centre = vertebra.centre_mm
        if centre is None:
            centre = vertebra.grid.to_world(np.argwhere(vertebra.mask).mean(axis=0))
        self.go_to(centre)

    def window(self, name: str | tuple[float, float]) -> None:
        """``bone``, ``soft tissue``, ``wide``, or the lowest and highest HU to tell apart."""
        if isinstance(name, str) and name not in WINDOWS_HU:
            raise InputError(f"no window {name!r}; there are {', '.join(WINDOWS_HU)}, or give two values in HU")
        self.controls["range"].value = WINDOWS_HU[name] if isinstance(name, str) else name

    def close_to_spine(self, close: bool = True) -> None:
        """Show only what lies within 40 mm of the spine, or the whole scan."""
        self.controls["close"].value = close

    def overlay(self, share: float) -> None:
        """How strongly labels are drawn, 0 to 1."""
        self.controls["overlay"].value = share

    # --- pictures -----------------------------------------------------------------------------------------------------

    def picture(self, name: str) -> NDArray[np.uint8]:
        """Pixels (H, W, 3) of one of ``axial``, ``sagittal``, ``coronal`` through the crosshair, one per voxel."""
        pixels = grey(self._slice(self._hu, CUTS[name]), self.controls["range"].value)
        if self._labels is None:
            return pixels
        labels = self._slice(self._labels, CUTS[name])
        return overlaid(pixels, labels, self._colours, self.controls["overlay"].value)

    def _box(self) -> NDArray[np.int_]:
        """First and last but one voxel (2, 3) of what is shown."""
        return self._about if self.controls["close"].value else self._whole

    def _seen(self, index: NDArray) -> bool:
        low, high = self._box()
        return bool(((index >= low) & (index < high)).all())

    def _slice(self, volume: NDArray, cut: Cut) -> NDArray:
        """The voxels (H, W) of a picture, as the reader sees them."""
        low, high = self._box()
        part = np.take(volume, self._index[cut.fixed], axis=cut.fixed).T
        return part[low[cut.up] : high[cut.up], low[cut.across] : high[cut.across]][::-1, ::-1]

    def straight_picture(self, plane: str) -> NDArray[np.uint8]:
        """Pixels (H, W, 3) of the scan laid straight along the spine, with rim planes and height lines drawn.

        Raises
        ------
        NotMeasurable
            No spine, or one without two whole bodies.
        """
        if plane not in self._straight or self.spine is None:
            raise NotMeasurable(f"{self.name}: laying the spine straight needs a spine with two whole bodies")
        on = self._straight[plane]
        pixels = grey(self._sampled("hu", plane, self._hu, 1), self.controls["range"].value)
        if self._labels is not None:
            seen = np.nan_to_num(self._sampled("labels", plane, self._labels, 0)).astype(int)
            pixels = overlaid(pixels, seen, self._colours, self.controls["overlay"].value)
        return dressed(pixels, on, self.spine)

    def _sampled(self, what: str, plane: str, volume: NDArray, order: int) -> NDArray:
        if (what, plane) not in self._samples:
            self._samples[what, plane] = sample(volume, self.grid, self._straight[plane], order)
        return self._samples[what, plane]

    def _draw(self, names: tuple[str, ...]) -> None:
        for name in names:
            self.panels[name].png = png(self.picture(name))
        low, high = self._box()
        share = (high - self._index - 0.5) / (high - low)
        for name, cut in CUTS.items():
            self.panels[name].cross = [float(share[cut.across]), float(share[cut.up])]
            self.panels[name].title = f"{name}, {_sided(self.position_mm)[cut.fixed]} mm"
            self.panels[name].spoken = f"{name} slice of {self.name} at {self._words()}"
        self.controls["where"].value = f"<b>{self._words()}</b>"

    def _words(self) -> str:
        """Where the crosshair is and what lies there."""
        place = tuple(self._index)
        words = f"{', '.join(_sided(self.position_mm))} mm"
        hu = float(self._hu[place])
        if self.has_ct:
            words += f" · {hu:.0f} HU" if np.isfinite(hu) else " · outside the CT"
        if self._labels is None or not self._labels[place]:
            return words
        value = int(self._labels[place])
        return f"{words} · {self._names.get(value, f'label {value}')}"

    def _draw_straight(self) -> None:
        for plane in self._straight:
            self.panels[f"{plane} along the spine"].png = png(self.straight_picture(plane))

    # --- widgets ------------------------------------------------------------------------------------------------------

    def _make_panels(self) -> dict[str, Any]:
        made = {}
        for name, cut in CUTS.items():
            made[name] = make_panel(name, cut.letters, partial(self._heard, cut))
        for plane, on in self._straight.items():
            title = f"{plane} along the spine"
            panel = make_panel(title, ALONG[plane], partial(self._heard_straight, on))
            rows, columns = len(on.line_mm), len(on.columns_mm)
            panel.size_px = [columns * SCALE, rows * SCALE]
            panel.spoken = f"{self.name} laid straight along the spine, {plane}, with rim planes and heights in mm"
            made[title] = panel
        return made

    def _make_controls(self) -> dict[str, Any]:
        import ipywidgets as w

        wide = {"description_width": "60px"}
        levels = [] if self.spine is None else [str(level) for level in self.spine.levels()]
        return {
            "window": w.Dropdown(options=[*WINDOWS_HU, "other"], description="window", style=wide),
            "range": w.FloatRangeSlider(
                value=WINDOWS_HU["bone"],
                min=-1025,
                max=3075,
                step=5,
                description="HU",
                readout_format=".0f",
                style=wide,
                layout=w.Layout(width="360px"),
            ),
            "overlay": w.FloatSlider(
                OVERLAY if self.has_ct else OVERLAY_ALONE, min=0, max=1, step=0.05, description="labels", style=wide
            ),
            "level": w.Dropdown(options=["go to", *levels], description="level", style=wide),
            "close": w.Checkbox(
                not np.array_equal(self._about, self._whole), description="close to the spine", indent=False
            ),
            "where": w.HTML(),
        }

    def _arrange(self) -> Any:
        import ipywidgets as w

        c = self.controls
        shown = [c["window"], c["range"]] if self.has_ct else []
        shown += [c["overlay"]] if self._labels is not None else []
        shown += [c["level"]] if self.spine is not None else []
        shown += [] if np.array_equal(self._about, self._whole) else [c["close"]]
        hint = (
            "Click or drag moves the crosshair in all pictures; wheel, Page up and Page down turn slices, arrow keys "
            "step by a voxel. Research use, not diagnosis."
        )
        wrap = w.Layout(flex_flow="row wrap", align_items="flex-start")
        alone = "" if self.has_ct else " · no CT was given: the labels alone"
        rows = [w.HTML(f"<b>{self.name}</b>{alone}{_doubt(self.spine)}"), w.Box(shown, layout=wrap), c["where"]]
        rows.append(w.Box([self.panels[name] for name in CUTS], layout=wrap))
        if self._straight:
            rows += [
                w.HTML(LAID_STRAIGHT),
                w.Box([self.panels[f"{p} along the spine"] for p in self._straight], layout=wrap),
            ]
        made = w.VBox([*rows, w.HTML(f"<small>{hint}</small>")])
        made.add_class("vm-slice-viewer")
        return made

    def _observe(self) -> None:
        c = self.controls
        c["window"].observe(lambda change: self._preset(change.new), "value")
        c["range"].observe(lambda _: self._redraw(), "value")
        c["overlay"].observe(lambda _: self._redraw(), "value")
        c["level"].observe(lambda change: self._chosen(change.new), "value")
        c["close"].observe(lambda _: self._resized(), "value")
        self._resize()

    def _chosen(self, level: str) -> None:
        if level != "go to":
            self.go_to_level(level)

    def _resize(self) -> None:
        low, high = self._box()
        size = self.grid.spacing_mm * (high - low)
        for name, cut in CUTS.items():
            self.panels[name].size_px = fitting(size[cut.across], size[cut.up], WIDEST_PX, TALLEST_PX)
            self.panels[name].marks = self._marks(cut) if name != "axial" else []

    def _marks(self, cut: Cut) -> list[list[Any]]:
        """Names of the levels with their height in a picture, as shares from the top."""
        if self.spine is None:
            return []
        low, high = (int(ends[cut.up]) for ends in self._box())
        places = [
            (v.level, float(self.grid.to_index(v.centre_mm)[cut.up])) for v in self.spine if v.centre_mm is not None
        ]
        shares = [(str(level), (high - place - 0.5) / (high - low)) for level, place in places]
        return [[name, share] for name, share in shares if 0 < share < 1]

    def _resized(self) -> None:
        self._resize()
        self._draw(tuple(CUTS))

    def _preset(self, name: str) -> None:
        if name in WINDOWS_HU:
            self.controls["range"].value = WINDOWS_HU[name]

    def _redraw(self) -> None:
        now = tuple(self.controls["range"].value)
        self.controls["window"].value = next((name for name, ends in WINDOWS_HU.items() if ends == now), "other")
        self._draw(tuple(CUTS))
        self._draw_straight()

    def _heard(self, cut: Cut, message: Mapping[str, Any]) -> None:
        """A click at shares of a picture's width and height, or a step in its directions."""
        index = self._index.astype(float)
        low, high = self._box()
        if "at" in message:
            for axis, share in zip((cut.across, cut.up), message["at"], strict=True):
                index[axis] = high[axis] - share * (high[axis] - low[axis]) - 0.5
        else:
            right, down, through = message["step"]
            index[cut.across] -= right
            index[cut.up] -= down
            index[cut.fixed] += through
        # A pointer that leaves the picture, or a step beyond its end, stays in what is shown.
        self.go_to(self.grid.to_world(np.clip(index, low, high - 1)))

    def _heard_straight(self, on: Straight, message: Mapping[str, Any]) -> None:
        if "at" in message:
            points = on.points_mm()
            column, row = (min(max(share, 0.0), 0.999) for share in message["at"])
            self.go_to(points[int(row * points.shape[0]), int(column * points.shape[1])])


def _sided(point_mm: NDArray) -> list[str]:
    """The three coordinates, each with the side that it lies on: a sign would leave the reader to guess."""
    return [f"{sides[int(v < 0)]} {abs(v):.1f}" for sides, v in zip(("RL", "AP", "SI"), point_mm, strict=True)]


def _values(scan: Scan | None, labels: LabelMap | None) -> tuple[str, NDArray, Grid]:
    """Name, HU and grid of what is shown; without a scan no voxel of the labels' grid has a value."""
    if scan is not None and (labels is None or scan.grid.matches(labels.grid)):
        return scan.name, scan.hu, scan.grid
    if labels is None:
        raise InputError("there is nothing to show: give the slice viewer a scan, or labels, or both")
    if scan is None:
        return labels.name, np.broadcast_to(np.float32(np.nan), labels.grid.shape), labels.grid
    from verse_morph.io import scan_on_grid

    laid = scan_on_grid(scan, labels.grid)
    return laid.name, laid.hu, laid.grid


def _about(grid: Grid, labels: NDArray | None, spine: Spine | None) -> NDArray[np.int_]:
    """First and last but one voxel (2, 3) of what lies about the spine; the whole grid where nothing is known of it."""
    whole = np.array([[0, 0, 0], grid.shape])
    meshes = [] if spine is None else [v.mesh.vertices_mm for v in spine if v.mesh is not None]
    if meshes:
        inside = grid.to_index(np.concatenate(meshes))
    elif labels is not None and labels.any():
        seen = [np.flatnonzero(labels.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        inside = np.array([[one[0] for one in seen], [one[-1] for one in seen]])
    else:
        return whole
    margin = MARGIN_MM / grid.spacing_mm
    low = np.floor(inside.min(axis=0) - margin).astype(int)
    high = np.ceil(inside.max(axis=0) + margin).astype(int) + 1
    box = np.clip([low, high], 0, whole[1])
    return box if (box[1] - box[0] > 1).all() else whole


def _doubt(spine: Spine | None) -> str:
    flags = [] if spine is None else [";".join(map(str, v.flags)) for v in spine]
    return doubt_html(flags)


def _straightened(spine: Spine | None) -> dict[str, Straight]:
    if spine is None:
        return {}
    try:
        return {plane: straight(spine, plane) for plane in ALONG}
    except NotMeasurable:
        return {}


def _names(labels: LabelMap | None) -> dict[int, str]:
    if labels is None:
        return {}
    return {value: str(level) for value, level in labels.scheme.levels.items()} | dict(labels.scheme.others)


def _colours(labels: LabelMap | None) -> NDArray[np.uint8]:
    """Colour by label value; neighbouring levels differ, what is no vertebra is grey."""
    names = _names(labels)
    made = np.zeros((max(names, default=0) + 1, 3), dtype=np.uint8)
    known = set(map(str, Level))
    for value, name in names.items():
        colour = level_colour(name) if name in known else MISSING
        made[value] = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return made
