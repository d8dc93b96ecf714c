"""What is drawn of a spine: simplified surfaces, planes, lines, each with the place it belongs to.

A scene is made from a spine, or from the files of a results folder where there is no mask to make a spine of; then it
has surfaces only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from verse_morph.anatomy import Level, missing_between
from verse_morph.errors import InputError, NotMeasurable
from verse_morph.space import FloatArray, frozen
from verse_morph.spine import Endplate, Mesh, Plane, Spine, Vertebra

# Of one vertebra: finer than the eye sees at this size; 24 of them are drawn in software in tens of milliseconds.
FACES = 6000
PLATE_CORNERS = 40
PLATE_MARGIN_MM = 3.0
LINE_STEP_MM = 2.0


@dataclass(frozen=True, eq=False)
class Bone:
    """One vertebra of a scene.

    Parameters
    ----------
    level : Level
    surface : Mesh or None
        Simplified for drawing; never measured.
    centre_mm : array (3,)
        Where its name stands: the body's centre, or the surface's middle.
    front : array (3,)
        Unit direction to the front, for placing the name beside the body.
    plates : Mapping of str to array (P, 3)
        Outline of the rim planes, by ``superior`` and ``inferior``.
    planes : Mapping of str to Plane
        The rim planes themselves.
    ring_mm : array (P, 3) or None
        Outline of the canal's opening as measured.
    canal_mm : array (3,) or None
        Middle of the canal.
    why : str
        Why there is no surface.
    """

    level: Level
    surface: Mesh | None
    centre_mm: FloatArray
    front: FloatArray
    plates: Mapping[str, FloatArray] = field(default_factory=dict)
    planes: Mapping[str, Plane] = field(default_factory=dict)
    ring_mm: FloatArray | None = None
    canal_mm: FloatArray | None = None
    why: str = ""

    def __post_init__(self) -> None:
        for name in ("centre_mm", "front"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that is drawn of one spine.

    Parameters
    ----------
    name : str
    bones : tuple of Bone
        Head to foot; those without a surface are there too, and say why.
    spine : Spine or None
        What it was made from.
    """

    name: str
    bones: tuple[Bone, ...]
    spine: Spine | None = None

    def levels(self) -> list[str]:
        """Names of all levels, head to foot."""
        return [str(bone.level) for bone in self.bones]

    def __getitem__(self, level: str) -> Bone:
        return next(bone for bone in self.bones if str(bone.level) == level)

    def bounds_mm(self) -> FloatArray:
        """Lowest and highest corner (2, 3) of all surfaces."""
        surfaces = [bone.surface.vertices_mm for bone in self.bones if bone.surface is not None]
        points = np.concatenate(surfaces) if surfaces else np.array([bone.centre_mm for bone in self.bones])
        return np.array([points.min(axis=0), points.max(axis=0)])

    def moved(self, rotation: NDArray, shift_mm: NDArray) -> Scene:
        """The scene turned about the origin, then shifted."""
        return Scene(self.name, tuple(_moved(bone, np.asarray(rotation), shift_mm) for bone in self.bones), self.spine)


def scene_of(spine: Spine, faces: int = FACES) -> Scene:
    """The scene of a spine.

    Parameters
    ----------
    spine : Spine
    faces : int
        Triangles per vertebra at most.

    Raises
    ------
    NotMeasurable
        The spine has no vertebra.
    """
    if len(spine) == 0:
        raise NotMeasurable(f"{spine.name}: no vertebra to show")
    return Scene(spine.name, tuple(_bone(vertebra, faces) for vertebra in spine), spine)


def scene_of_surfaces(name: str, surfaces: Mapping[Level, Mesh], centres_mm: Mapping[Level, NDArray]) -> Scene:
    """A scene of surfaces alone, as a results folder holds them.

    Parameters
    ----------
    name : str
    surfaces : Mapping of Level to Mesh
    centres_mm : Mapping of Level to array (3,)
        Body centroids as far as they are known.

    Raises
    ------
    InputError
        There is nothing to show.
    """
    if not surfaces:
        raise InputError(f"{name}: there is no surface to show; measure the mask again without --no-meshes")
    bones = []
    for level in sorted(surfaces):
        surface = simplified(surfaces[level])
        centre = centres_mm.get(level, surface.vertices_mm.mean(axis=0))
        bones.append(Bone(level, surface, np.asarray(centre), np.array([0.0, 1.0, 0.0])))
    return Scene(name, tuple(bones))


def simplified(mesh: Mesh, faces: int = FACES) -> Mesh:
    """The surface with at most about so many triangles, for drawing."""
    if len(mesh.faces) <= faces:
        return mesh
    import fast_simplification

    vertices, triangles = fast_simplification.simplify(
        mesh.vertices_mm.astype(np.float32), mesh.faces.astype(np.int32), target_count=faces
    )
    return Mesh(vertices, triangles)


def _bone(vertebra: Vertebra, faces: int) -> Bone:
    surface = None if vertebra.mesh is None else simplified(vertebra.mesh, faces)
    frame = vertebra.frame
    plates, planes = {}, {}
    for name, endplate in (("superior", vertebra.superior), ("inferior", vertebra.inferior)):
        if endplate is not None and frame is not None:
            plates[name], planes[name] = _outline(endplate, frame.right), endplate.rim
    canal = vertebra.canal
    ring = None
    if canal is not None and frame is not None and canal.width_mm is not None and canal.depth_mm is not None:
        turn = np.linspace(0, 2 * np.pi, PLATE_CORNERS + 1)[:, None]
        across, ahead = frame.right * canal.width_mm / 2, frame.anterior * canal.depth_mm / 2
        ring = canal.centre_mm + np.cos(turn) * across + np.sin(turn) * ahead
    return Bone(
        vertebra.level,
        surface,
        _middle(vertebra),
        np.array([0.0, 1.0, 0.0]) if frame is None else frame.anterior,
        plates,
        planes,
        ring,
        None if canal is None else canal.centre_mm,
        "" if surface is not None else vertebra.why.get("mesh", "no surface"),
    )


def _middle(vertebra: Vertebra) -> FloatArray:
    if vertebra.centre_mm is not None:
        return vertebra.centre_mm
    if vertebra.mesh is not None:
        return np.asarray(vertebra.mesh.vertices_mm.mean(axis=0))
    return np.asarray(vertebra.grid.to_world(np.argwhere(vertebra.mask).mean(axis=0)))


def _outline(endplate: Endplate, right: NDArray) -> FloatArray:
    """Ellipse in the rim plane, a little larger than the endplate."""
    plane = endplate.rim
    across = right - (right @ plane.normal) * plane.normal
    across /= np.linalg.norm(across)
    ahead = np.cross(plane.normal, across)
    from_point = endplate.points_mm - plane.point_mm
    u, v = from_point @ across, from_point @ ahead
    lows, highs = np.percentile([u, v], (1, 99), axis=1).T.reshape(2, 2).T
    middle = plane.point_mm + across * (lows[0] + highs[0]) / 2 + ahead * (lows[1] + highs[1]) / 2
    half = (highs - lows) / 2 + PLATE_MARGIN_MM
    turn = np.linspace(0, 2 * np.pi, PLATE_CORNERS, endpoint=False)[:, None]
    return np.asarray(middle + np.cos(turn) * across * half[0] + np.sin(turn) * ahead * half[1])


def _moved(bone: Bone, rotation: NDArray, shift_mm: NDArray) -> Bone:
    def there(points: NDArray) -> FloatArray:
        return np.asarray(points @ rotation.T + shift_mm)

    return Bone(
        bone.level,
        None if bone.surface is None else Mesh(there(bone.surface.vertices_mm), bone.surface.faces),
        there(bone.centre_mm),
        bone.front @ rotation.T,
        {name: there(points) for name, points in bone.plates.items()},
        {name: Plane(there(plane.point_mm), plane.normal @ rotation.T) for name, plane in bone.planes.items()},
        None if bone.ring_mm is None else there(bone.ring_mm),
        None if bone.canal_mm is None else there(bone.canal_mm),
        bone.why,
    )


def aligned(scene: Scene, to: Scene) -> Scene:
    """The scene laid over another one by a rigid motion: least squares over the centres of shared levels.

    Raises
    ------
    NotMeasurable
        Fewer than three levels are in both.
    """
    shared = [level for level in scene.levels() if level in to.levels()]
    if len(shared) < 3:
        found = f"{scene.name} and {to.name} share {', '.join(shared) or 'no level'}"
        raise NotMeasurable(f"{found}; laying one over the other needs three levels that are in both")
    points, goals = (np.array([s[level].centre_mm for level in shared]) for s in (scene, to))
    here, goal = points.mean(axis=0), goals.mean(axis=0)
    # The centres lie nearly on a line, which leaves the turn about it open: the fronts decide it.
    arms = np.array([s[level].front * 40.0 for s in (scene, to) for level in shared]).reshape(2, len(shared), 3)
    first = np.concatenate([points - here, points + arms[0] - here])
    second = np.concatenate([goals - goal, goals + arms[1] - goal])
    u, _, v = np.linalg.svd(second.T @ first)
    rotation = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v
    return scene.moved(rotation, goal - rotation @ here)


def stretches(bones: Sequence[Bone]) -> list[list[Bone]]:
    """Runs of neighbouring levels, head to foot."""
    runs = [[bones[0]]] if bones else []
    for upper, lower in pairwise(bones):
        if missing_between(upper.level, lower.level):
            runs.append([])
        runs[-1].append(lower)
    return runs


def smooth_line(points_mm: NDArray) -> FloatArray:
    """A curve through points for drawing, one point about every 2 mm."""
    from scipy.interpolate import PchipInterpolator

    points = np.asarray(points_mm, dtype=np.float64)
    if len(points) < 2:
        return points
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    steps = np.linspace(0, along[-1], max(2, round(along[-1] / LINE_STEP_MM)))
    return np.asarray(PchipInterpolator(along, points, axis=0)(steps))
