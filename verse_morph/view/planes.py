"""CT planes in the 3D scene: single slices of the scan about the spine, each standing where it was taken.

The scan stays in the kernel. What travels to the browser is one slice at a time, cut to the neighbourhood of the spine
and of :data:`MOST_PX` pixels along its longer side at most.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verse_morph.errors import GridMismatch, InputError
from verse_morph.space import FloatArray, Grid, canonical
from verse_morph.view.panel import png
from verse_morph.view.slices import CUTS, WINDOWS_HU
from verse_morph.view.surfaces import together
from verse_morph.volume import Scan

PLANES = ("sagittal", "coronal", "axial")
# What is shown around the surfaces: enough to know the neighbours by, and nothing else travels.
MARGIN_MM = 40.0
MOST_PX = 384
# Of the part that a page carries with it: 5.3 MB of text at the very most.
PAGE_VOXELS = 4_000_000
WINDOW = "bone"
GREYS = np.array([[0.0, 0, 0, 0], [1.0, 1, 1, 1]], dtype=np.float32)
SIDES = {"sagittal": "R", "coronal": "A", "axial": "S"}


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The part of a scan about a spine.

    Parameters
    ----------
    hu : array (i, j, k)
        A view of the scan with its axes nearest to R, A, S.
    grid : Grid
        Of ``hu``.
    """

    hu: NDArray
    grid: Grid

    def positions_mm(self, plane: str) -> FloatArray:
        """Where the slices of a plane lie: R, A or S of their middles, ascending, RAS mm."""
        axis = CUTS[plane].fixed
        index = np.repeat((np.array([self.grid.shape]) - 1) / 2, self.grid.shape[axis], axis=0)
        index[:, axis] = np.arange(self.grid.shape[axis])
        return np.asarray(self.grid.to_world(index)[:, axis])

    def index_at(self, point_mm: ArrayLike) -> NDArray[np.int_]:
        """The voxel nearest to a point, RAS mm; outside of it the nearest one at its border."""
        return np.clip(np.rint(self.grid.to_index(point_mm)).astype(int), 0, np.array(self.grid.shape) - 1)

    def shades(self, plane: str, index: int, window_hu: tuple[float, float]) -> NDArray[np.uint8]:
        """Grey values (H, W) of a slice, at most :data:`MOST_PX` a side; the first row is the lowest one."""
        cut = CUTS[plane]
        values = np.take(self.hu, index, axis=cut.fixed).T
        return _fewer(_grey(values, window_hu), MOST_PX)

    def matrix(self, plane: str, index: int) -> FloatArray:
        """What lays a unit square about the origin, x across and y up, over the faces of a slice: (4, 4)."""
        cut, made = CUTS[plane], np.eye(4)
        middle = (np.array(self.grid.shape) - 1) / 2
        middle[cut.fixed] = index
        for column, axis in enumerate((cut.across, cut.up)):
            made[:3, column] = self.grid.affine[:3, axis] * self.grid.shape[axis]
        normal = np.cross(made[:3, 0], made[:3, 1])
        made[:3, 2] = normal / np.linalg.norm(normal)
        made[:3, 3] = self.grid.to_world(middle)
        return made


def surroundings(scan: Scan, bounds_mm: NDArray, margin_mm: float = MARGIN_MM) -> Surroundings:
    """The part of a scan about a box.

    Parameters
    ----------
    scan : Scan
    bounds_mm : array (2, 3)
        Lowest and highest corner, RAS mm.
    margin_mm : float
        How much is shown around it.

    Raises
    ------
    GridMismatch
        The scan does not reach into the box.
    """
    hu, grid = canonical(scan.hu, scan.grid)
    low, high = np.asarray(bounds_mm) + np.array([[-margin_mm], [margin_mm]])
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
    index = grid.to_index(corners)
    shape = np.array(grid.shape)
    first = np.clip(np.floor(index.min(axis=0)).astype(int), 0, shape)
    last = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, 0, shape)
    inner = grid.to_index(np.asarray(bounds_mm, dtype=float))
    if (last - first < 2).any() or (inner.max(axis=0) < 0).any() or (inner.min(axis=0) > shape - 1).any():
        raise GridMismatch(f"{scan.name}: the scan ({grid.describe()}) does not show where the surfaces are")
    box = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return Surroundings(hu[box], grid.crop(box))


def _grey(values: NDArray, window_hu: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window_hu
    shares = (np.nan_to_num(values.astype(np.float32), nan=low) - low) / max(high - low, 1e-6)
    return (np.clip(shares, 0, 1) * 255).astype(np.uint8)


def _fewer(shades: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    if max(shades.shape) <= most:
        return np.ascontiguousarray(shades)
    from PIL import Image

    height, width = (max(1, round(n * most / max(shades.shape))) for n in shades.shape)
    return np.asarray(Image.fromarray(shades).resize((width, height), Image.Resampling.BOX))


def thinned(around: Surroundings, most_voxels: int = PAGE_VOXELS) -> Surroundings:
    """The same with whole voxels averaged into blocks, about as long as wide, until there are few enough."""
    spacing = around.grid.spacing_mm
    shape = np.array(around.grid.shape)
    wanted = float(spacing.min())
    while True:
        block = np.clip(np.rint(wanted / spacing).astype(int), 1, shape)
        counts = shape // block
        if counts.prod() <= most_voxels:
            break
        wanted *= 1.05
    i, j, k = counts * block
    split = around.hu[:i, :j, :k].reshape(*(int(n) for pair in zip(counts, block, strict=True) for n in pair))
    hu = split.mean(axis=(1, 3, 5), dtype=np.float32)
    affine = np.array(around.grid.affine)
    affine[:3, :3] *= block
    affine[:3, 3] = around.grid.to_world((block - 1) / 2)
    return Surroundings(hu, Grid(hu.shape, affine))


def packed(small: Surroundings) -> dict[str, Any]:
    """What a page without a kernel cuts its slices from: a mosaic of axial slices as PNG, with its place.

    Parameters
    ----------
    small : Surroundings
        All of it goes into the page: see :func:`thinned`.

    Returns
    -------
    dict
        ``png`` (base64), ``columns`` of the mosaic, ``shape`` (i, j, k), ``affine`` (4, 4), ``places`` by plane, mm.
    """
    nx, ny, nz = small.grid.shape
    columns = int(np.ceil(np.sqrt(nz * ny / nx)))
    mosaic = np.zeros((-(-nz // columns) * ny, columns * nx), dtype=np.uint8)
    for z in range(nz):
        row, column = divmod(z, columns)
        tile = np.s_[row * ny : (row + 1) * ny, column * nx : (column + 1) * nx]
        mosaic[tile] = _grey(small.hu[:, :, z].T, WINDOWS_HU[WINDOW])
    return {
        "png": base64.b64encode(png(mosaic, compress_level=9)).decode("ascii"),
        "columns": columns,
        "shape": [nx, ny, nz],
        "affine": [[round(float(v), 4) for v in row] for row in small.grid.affine],
        "places": {plane: [round(float(v), 2) for v in small.positions_mm(plane)] for plane in PLANES},
    }


def texture(shades: NDArray[np.uint8], matrix: NDArray, name: str) -> Any:
    """A slice in a k3d plot."""
    import k3d

    made = k3d.texture(color_map=GREYS, color_range=[0.0, 1.0], name=name, model_matrix=matrix, compression_level=1)
    # Given to k3d.texture they would become floats, four times as large; as bytes they are shares of 255.
    made.attribute = shades
    return made


class CtPlanes:
    """The CT planes of a 3D viewer with their controls.

    Parameters
    ----------
    plot : k3d.Plot
    around : Surroundings
    start_mm : array (3,)
        The point through which all planes go at first, RAS mm.
    """

    def __init__(self, plot: Any, around: Surroundings, start_mm: ArrayLike) -> None:
        self.around, self._plot = around, plot
        self.drawn: dict[str, Any] = {}
        self._places = {plane: around.positions_mm(plane) for plane in PLANES}
        self._apart = False
        self.controls = self._made(around.index_at(start_mm))
        for plane in PLANES:
            self.controls["shown"][plane].observe(lambda _, plane=plane: self._draw(plane), "value")
            self.controls["at"][plane].observe(lambda _, plane=plane: self._draw(plane), "value")
        self.controls["window"].observe(lambda _: self._draw_all(), "value")

    def show(self, plane: str, shown: bool = True) -> None:
        """Show or hide a plane.

        Raises
        ------
        InputError
            No such plane.
        """
        if plane not in PLANES:
            raise InputError(f"no CT plane {plane!r}; there are {', '.join(PLANES)}")
        self.controls["shown"][plane].value = shown

    def through(self, point_mm: ArrayLike) -> None:
        """Move all planes to a point, RAS mm."""
        for plane, slider in self.controls["at"].items():
            slider.value = self._value(plane, self.around.index_at(point_mm))

    def apart(self, apart: bool) -> None:
        """Hide the planes while vertebrae are not drawn in their places."""
        self._apart = apart
        self._draw_all()

    def box(self, through_vertebra: Callable[[], None]) -> Any:
        """The controls below each other; the button asks for the planes through the vertebra that is read."""
        import ipywidgets as w

        c = self.controls
        c["through"].on_click(lambda _: through_vertebra())
        rows = [w.HBox([c["shown"][plane], c["at"][plane]]) for plane in PLANES]
        return w.VBox([*rows, w.HBox([c["window"], c["through"]])])

    # --- inside -------------------------------------------------------------------------------------------------------

    def _value(self, plane: str, index: NDArray[np.int_]) -> float:
        return round(float(self._places[plane][index[CUTS[plane].fixed]]), 1)

    def _made(self, index: NDArray[np.int_]) -> dict[str, Any]:
        import ipywidgets as w

        def slider(plane: str) -> Any:
            places = self._places[plane]
            return w.FloatSlider(
                self._value(plane, index),
                min=float(places[0]),
                max=float(places[-1]),
                step=max(round(float(places[1] - places[0]), 2), 0.1),
                description=f"{SIDES[plane]} mm",
                readout_format=".1f",
                style={"description_width": "40px"},
                layout=w.Layout(width="215px"),
            )

        narrow = w.Layout(width="95px")
        return {
            "shown": {p: w.Checkbox(False, description=f"CT {p}", indent=False, layout=narrow) for p in PLANES},
            "at": {plane: slider(plane) for plane in PLANES},
            "window": w.Dropdown(
                options=list(WINDOWS_HU),
                value=WINDOW,
                description="CT window",
                style={"description_width": "75px"},
                layout=w.Layout(width="180px"),
            ),
            "through": w.Button(
                description="to vertebra",
                tooltip="move the CT planes to the middle of the vertebra whose numbers are shown",
                layout=w.Layout(width="105px"),
            ),
        }

    def _draw_all(self) -> None:
        for plane in PLANES:
            self._draw(plane)

    def _draw(self, plane: str) -> None:
        wanted = self.controls["shown"][plane].value and not self._apart
        if not wanted:
            if plane in self.drawn:
                self.drawn[plane].visible = False
            return
        places = self._places[plane]
        index = int(np.abs(places - self.controls["at"][plane].value).argmin())
        window: Mapping[str, tuple[float, float]] = WINDOWS_HU
        shades = self.around.shades(plane, index, window[self.controls["window"].value])
        matrix = self.around.matrix(plane, index).astype(np.float32)
        if plane not in self.drawn:
            self.drawn[plane] = texture(shades, matrix, f"CT {plane}")
            self._plot += self.drawn[plane]
            return
        made = self.drawn[plane]
        with together(self._plot), made.hold_sync():
            made.attribute, made.model_matrix, made.visible = shades, matrix, True
