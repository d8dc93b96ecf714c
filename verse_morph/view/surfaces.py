"""The objects of a scene in a k3d plot, shared by the widget and by the page without a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.space import FloatArray
from verse_morph.spine import Vertebra
from verse_morph.view.scene import Bone, Scene, smooth_line, stretches

BACKGROUND = 0xFFFFFF
PLATE_COLOUR, LINE_COLOUR, CANAL_COLOUR, ANGLE_COLOUR, ROI_COLOUR = 0xD55E00, 0x111111, 0x0072B2, 0xB00060, 0xCC79A7
NAME_COLOUR = 0x222222
# A narrow field of view: little perspective, so that vertebrae of one size look alike.
FIELD_OF_VIEW_DEG = 25.0
NAME_BESIDE_MM = 32.0
AXES_PX = 110
LAYERS = ("names", "endplate planes", "centre line", "canal", "trabecular region")
CAMERAS: Mapping[str, tuple[float, float, float]] = {
    "anterior": (0.0, 1.0, 0.0),
    "posterior": (0.0, -1.0, 0.0),
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "oblique": (-0.7, 0.7, 0.25),
}
BESIDE_MM = 40.0
Key = tuple[int, str]
# k3d tests names against a frustum that it renews only while the reader drags: a camera set from outside hid them all.
# And it would draw everything again for each surface that arrives; here the picture waits for the last one, or for a
# quarter of a second in which none comes.
WHEN_SHOWN = """
K3DInstance.getWorld().camera.frustum.containsPoint = () => true;
K3DInstance.setRenderOnChange(false);
let arriving = setTimeout(arrived, 2000);
const listener = K3DInstance.on(K3DInstance.events.OBJECT_LOADED, () => {
  clearTimeout(arriving);
  arriving = setTimeout(arrived, 250);
});
function arrived() {
  K3DInstance.off(K3DInstance.events.OBJECT_LOADED, listener);
  K3DInstance.setRenderOnChange(true);
  K3DInstance.rebuildSceneData().then(() => K3DInstance.render(true));
}
"""


@dataclass(eq=False)
class Drawn:
    """A plot and its objects; changes as the reader changes what is shown.

    Parameters
    ----------
    plot : k3d.Plot
    scenes : tuple of Scene
    surfaces : dict
        Mesh object by number of the scene and level.
    layers : dict
        Objects of each layer by its name and the same key; made when first shown. The level is empty for lines that
        belong to the whole spine.
    """

    plot: Any
    scenes: tuple[Scene, ...]
    surfaces: dict[Key, Any] = field(default_factory=dict)
    layers: dict[str, dict[Key, Any]] = field(default_factory=dict)

    def bone(self, key: Key) -> Bone:
        """The vertebra that an object shows."""
        return self.scenes[key[0]][key[1]]

    def objects(self) -> Iterable[tuple[Key, Any]]:
        """Every object with the vertebra it belongs to."""
        yield from self.surfaces.items()
        for layer in self.layers.values():
            yield from layer.items()


def draw(scenes: Sequence[Scene], height: int = 560) -> Drawn:
    """A plot with the surfaces of some scenes, grey until coloured."""
    import k3d

    plot = k3d.plot(
        height=height,
        background_color=BACKGROUND,
        grid_visible=False,
        # An invisible grid that fits itself is built anew, with hundreds of labels, for each surface that arrives.
        grid_auto_fit=False,
        grid=[float(v) for v in _box(scenes).ravel()],
        camera_auto_fit=False,
        camera_fov=FIELD_OF_VIEW_DEG,
        menu_visibility=False,
        # Else a CT plane brings a bar of colours with it.
        colorbar_object_id=0,
        # Which way the patient lies: arrows to the right, to the front and to the head in the corner.
        axes=["R", "A", "S"],
        axes_helper=AXES_PX,
        axes_helper_colors=[NAME_COLOUR] * 3,
        antialias=1,
        mode="callback",
        additional_js_code=WHEN_SHOWN,
    )
    made = Drawn(plot, tuple(scenes))
    for k, scene in enumerate(scenes):
        for bone in scene.bones:
            if bone.surface is not None:
                made.surfaces[k, str(bone.level)] = k3d.mesh(
                    bone.surface.vertices_mm.astype(np.float32),
                    bone.surface.faces.astype(np.uint32),
                    color=0x9A9A9A,
                    flat_shading=False,
                    roughness=0.8,
                    name=str(bone.level),
                )
    for thing in made.surfaces.values():
        plot += thing
    return made


def _box(scenes: Sequence[Scene]) -> FloatArray:
    """Lowest and highest corner (2, 3) of all scenes; the camera's reach depends on it."""
    boxes = np.array([scene.bounds_mm() for scene in scenes])
    return np.array([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])


@contextmanager
def together(plot: Any) -> Iterator[None]:
    """Many changes, one picture: software rendering takes its time."""
    if not plot.render_on_change:
        yield
        return
    plot.render_on_change = False
    try:
        yield
    finally:
        plot.render_on_change = True
        plot.render()


def draw_layer(made: Drawn, layer: str) -> dict[Key, Any]:
    """The objects of a layer, made when first asked for; empty where the scene does not have it.

    Parameters
    ----------
    made : Drawn
    layer : str
        One of ``LAYERS``.
    """
    if layer not in made.layers:
        found: dict[Key, Any] = {}
        for k, scene in enumerate(made.scenes):
            if layer == "centre line":
                line = _centre_line(scene)
                if line is not None:
                    found[k, ""] = line
                continue
            for bone in scene.bones:
                thing = _MAKERS[layer](bone, scene)
                if thing is not None:
                    found[k, str(bone.level)] = thing
        for thing in found.values():
            made.plot += thing
        made.layers[layer] = found
    return made.layers[layer]


def _name(bone: Bone, _scene: Scene) -> Any:
    import k3d

    if bone.surface is None:
        return None
    return k3d.text(
        str(bone.level),
        position=name_place(bone),
        color=NAME_COLOUR,
        reference_point="cc",
        size=0.8,
        label_box=True,
        is_html=True,
        name=f"name {bone.level}",
    )


def name_place(bone: Bone) -> NDArray[np.float32]:
    """In front of the body at its own height, where it hides nothing when seen from a side."""
    level = bone.front * (1.0, 1.0, 0.0)
    return np.asarray(bone.centre_mm + NAME_BESIDE_MM * level / np.linalg.norm(level), dtype=np.float32)


def _plates(bone: Bone, _scene: Scene) -> Any:
    import k3d

    if not bone.plates:
        return None
    corners, faces, start = [], [], 0
    for outline in bone.plates.values():
        n = len(outline)
        corners.append(np.vstack([outline, outline.mean(axis=0)]))
        ring = np.arange(n)
        faces.append(start + np.stack([ring, (ring + 1) % n, np.full(n, n)], axis=1))
        start += n + 1
    return k3d.mesh(
        np.concatenate(corners).astype(np.float32),
        np.concatenate(faces).astype(np.uint32),
        color=PLATE_COLOUR,
        opacity=0.6,
        side="double",
        name=f"endplate planes {bone.level}",
    )


def _canal(bone: Bone, _scene: Scene) -> Any:
    if bone.ring_mm is None:
        return None
    return tube(bone.ring_mm, CANAL_COLOUR, 1.6, f"canal {bone.level}")


def _region(bone: Bone, scene: Scene) -> Any:
    """Surface of the region that the HU columns were read from."""
    import k3d

    if scene.spine is None:
        return None
    found = _region_surface(scene.spine[str(bone.level)])
    if found is None:
        return None
    return k3d.mesh(*found, color=ROI_COLOUR, side="double", name=f"trabecular region {bone.level}")


def _region_surface(vertebra: Vertebra) -> tuple[NDArray[np.float32], NDArray[np.uint32]] | None:
    from skimage.measure import marching_cubes

    from verse_morph.measure.roi import trabecular_roi

    try:
        mask = trabecular_roi(vertebra).mask
    except NotMeasurable:
        return None
    corners, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, step_size=2)
    return vertebra.grid.to_world(corners - 1).astype(np.float32), faces.astype(np.uint32)


def _centre_line(scene: Scene) -> Any:
    """One object for all runs of neighbouring levels: a gap in the levels is a gap in the line."""
    import k3d

    runs = [smooth_line(np.array([bone.centre_mm for bone in run])) for run in stretches(scene.bones) if len(run) > 1]
    if not runs:
        return None
    starts = np.cumsum([0, *(len(run) for run in runs[:-1])])
    steps = [np.arange(len(run) - 1) for run in runs]
    pairs = [start + np.stack([step, step + 1], axis=1) for start, step in zip(starts, steps, strict=True)]
    return k3d.lines(
        np.concatenate(runs).astype(np.float32),
        np.concatenate(pairs).astype(np.uint32),
        indices_type="segment",
        color=LINE_COLOUR,
        width=2.0,
        shader="simple",
        name="centre line",
    )


def tube(points_mm: NDArray, colour: int, width_mm: float, name: str) -> Any:
    """A line as thick as a tube."""
    import k3d

    return k3d.line(np.asarray(points_mm, dtype=np.float32), color=colour, width=width_mm, shader="mesh", name=name)


_MAKERS = {"names": _name, "endplate planes": _plates, "canal": _canal, "trabecular region": _region}


# --- places -----------------------------------------------------------------------------------------------------------


def matrix_of(scenes: Sequence[Scene], key: Key, explode: float, beside: NDArray) -> FloatArray:
    """Where a vertebra is drawn against its own place: away from the spine's middle, and beside the other spine.

    Parameters
    ----------
    scenes : sequence of Scene
    key : (int, str)
        Number of the scene and level; an empty level stands for a line through all bodies, which is stretched.
    explode : float
        0: in place; 1: gaps as large as the distance between bodies.
    beside : array (3,)
        Shift of the second scene against the first.

    Returns
    -------
    array (4, 4)
    """
    middle = middle_mm(scenes[key[0]])
    matrix = np.eye(4)
    matrix[:3, 3] = np.asarray(beside) * key[0]
    if key[1]:
        matrix[:3, 3] += explode * (scenes[key[0]][key[1]].centre_mm - middle)
    else:
        matrix[:3, :3] *= 1 + explode
        matrix[:3, 3] -= explode * middle
    return matrix


def middle_mm(scene: Scene) -> FloatArray:
    """The point from which vertebrae are drawn apart."""
    return np.asarray(np.mean([bone.centre_mm for bone in scene.bones], axis=0))


def beside_mm(scenes: Sequence[Scene], preset: str) -> FloatArray:
    """Shift of the second scene that puts it to the right of the first one, as seen from a camera."""
    first, second = (scene.bounds_mm() for scene in scenes[:2])
    towards = np.array(CAMERAS[preset])
    right = np.cross([0.0, 0.0, 1.0], towards)
    right /= np.linalg.norm(right)
    reach = float(np.abs(right) @ (np.ptp(first, axis=0) + np.ptp(second, axis=0))) / 2
    apart = first.mean(axis=0) - second.mean(axis=0)
    return np.asarray(apart + right * (reach + BESIDE_MM))


def camera(bounds_mm: NDArray, preset: str, explode: float = 0.0) -> list[float]:
    """Position, target and up of a camera that sees a box from one side.

    Parameters
    ----------
    bounds_mm : array (2, 3)
    preset : str
        One of ``CAMERAS``: the side of the patient on which the reader stands.
    explode : float
        How far apart the vertebrae are drawn.
    """
    middle, half = bounds_mm.mean(axis=0), (1 + explode) * np.ptp(bounds_mm, axis=0) / 2
    towards = np.array(CAMERAS[preset]) / np.linalg.norm(CAMERAS[preset])
    across = np.cross([0.0, 0.0, 1.0], towards)
    across /= np.linalg.norm(across)
    seen = max(float(np.abs(across) @ half), half[2]) * 1.12
    distance = seen / np.tan(np.radians(FIELD_OF_VIEW_DEG / 2)) + float(np.abs(towards) @ half)
    return [float(v) for v in (*(middle + towards * distance), *middle, 0.0, 0.0, 1.0)]
