"""How alike two spines are, level by level: distances between surfaces once position, and size, are set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.space import FloatArray
from verse_morph.spine import Mesh, Spine, Vertebra
from verse_morph.tables import WHY

if TYPE_CHECKING:
    import pandas as pd

POINTS = 3000
# Triangles whose middles are nearest to a point are looked at; the nearest point of a surface lies on one of them as
# long as triangles are of a size.
CANDIDATES = 8
FIRST_STEPS, STEPS, SETTLED_MM = 5, 40, 1e-4
COLUMNS = ("chamfer_rigid_mm", "assd_rigid_mm", "hd95_rigid_mm", "assd_similarity_mm", "hd95_similarity_mm", "scale")


@dataclass(frozen=True, eq=False)
class Alignment:
    """A similarity motion: ``scale * rotation @ point + shift_mm``."""

    rotation: FloatArray
    shift_mm: FloatArray
    scale: float = 1.0

    def __call__(self, points_mm: NDArray) -> FloatArray:
        """Moved points (N, 3)."""
        return self.scale * points_mm @ self.rotation.T + self.shift_mm


class Target:
    """A surface to measure distances to."""

    def __init__(self, mesh: Mesh) -> None:
        from scipy.spatial import KDTree

        self._triangles = mesh.vertices_mm[mesh.faces]
        normal = np.cross(self._triangles[:, 1] - self._triangles[:, 0], self._triangles[:, 2] - self._triangles[:, 0])
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        self._normals = normal / np.where(length > 0, length, 1)
        self._tree = KDTree(self._triangles.mean(axis=1))

    def nearest(self, points_mm: NDArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Nearest surface points (N, 3), distances (N,), and the surface's normals there (N, 3)."""
        import trimesh

        wanted = min(CANDIDATES, len(self._triangles))
        found = self._tree.query(points_mm, k=np.arange(1, wanted + 1))[1]
        at = trimesh.triangles.closest_point(self._triangles[found.ravel()], np.repeat(points_mm, wanted, axis=0))
        at = at.reshape(len(points_mm), wanted, 3)
        away = np.linalg.norm(at - points_mm[:, None], axis=2)
        best, rows = away.argmin(axis=1), np.arange(len(points_mm))
        return at[rows, best], away[rows, best], self._normals[found[rows, best]]


def similarity(first: Spine, second: Spine, seed: int = 0) -> pd.DataFrame:
    """Distances between the surfaces of two spines' vertebrae of the same level.

    Parameters
    ----------
    first, second : Spine
        Two patients, two dates, or two masks of one scan.
    seed : int
        Of the points drawn on the surfaces.

    Returns
    -------
    DataFrame
        One row per level that either spine has: ``scan, other_scan, level``; after rigid alignment ``chamfer_rigid_mm``
        (sum of both mean distances), ``assd_rigid_mm`` (their mean over all points), ``hd95_rigid_mm``; after alignment
        with a change of size ``assd_similarity_mm``, ``hd95_similarity_mm`` and the ``scale`` that the second needs;
        each with its reason in ``<column>_why`` where it is missing.

    Notes
    -----
    Every vertebra is aligned for itself, from its own frame and then by iterated closest points: the shape of the spine
    plays no part. Points are drawn by area; distances are taken in millimetres of the first spine.
    """
    import pandas as pd

    levels = sorted({*first.levels(), *second.levels()})
    rows = []
    for level in levels:
        row: dict[str, object] = {"scan": first.name, "other_scan": second.name, "level": str(level)}
        try:
            values = compare(_whole(first, level), _whole(second, level), seed)
            row |= dict(zip(COLUMNS, values, strict=True)) | dict.fromkeys([c + WHY for c in COLUMNS], "")
        except NotMeasurable as reason:
            row |= dict.fromkeys(COLUMNS, np.nan) | dict.fromkeys([c + WHY for c in COLUMNS], str(reason))
        rows.append(row)
    columns = ["scan", "other_scan", "level", *COLUMNS, *[c + WHY for c in COLUMNS]]
    return pd.DataFrame(rows, columns=columns)


def _whole(spine: Spine, level: object) -> Vertebra:
    found = [vertebra for vertebra in spine if vertebra.level is level]
    if not found:
        raise NotMeasurable(f"{level}: not in {spine.name}")
    if "whole" in found[0].why:
        raise found[0].missing("whole")
    if found[0].mesh is None:
        raise NotMeasurable(f"{level}: no surface in {spine.name}")
    return found[0]


def compare(first: Vertebra, second: Vertebra, seed: int = 0) -> tuple[float, ...]:
    """Values of :data:`COLUMNS` for two vertebrae."""
    target, moving = first.mesh, second.mesh
    if target is None or moving is None:
        raise NotMeasurable(f"{first.level}: no surface")
    generator = np.random.default_rng(seed)
    points, back = sample_surface(moving, POINTS, generator), sample_surface(target, POINTS, generator)
    rigid = align(points, target, _by_frames(second, first), sized=False)
    similar = align(points, target, rigid, sized=True)
    chamfer, assd, hd95 = distances(points, back, moving, target, rigid)
    _, assd_similar, hd95_similar = distances(points, back, moving, target, similar)
    return chamfer, assd, hd95, assd_similar, hd95_similar, similar.scale


def _by_frames(moving: Vertebra, target: Vertebra) -> Alignment:
    """Frame on frame where both vertebrae have one, else middle on middle in the world's axes."""
    if moving.frame is not None and target.frame is not None:
        turn = target.frame.axes.T @ moving.frame.axes
        return Alignment(turn, target.frame.origin_mm - turn @ moving.frame.origin_mm)
    middles = [v.mesh.vertices_mm.mean(axis=0) for v in (target, moving) if v.mesh is not None]
    return Alignment(np.eye(3), middles[0] - middles[1])


def sample_surface(mesh: Mesh, count: int, rng: np.random.Generator) -> FloatArray:
    """Points (count, 3) drawn on a surface by area."""
    corners = mesh.vertices_mm[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    face = corners[rng.choice(len(area), count, p=area / area.sum())]
    u, v = rng.random((2, count, 1))
    fold = u + v > 1
    u, v = np.where(fold, 1 - u, u), np.where(fold, 1 - v, v)
    return face[:, 0] + u * (face[:, 1] - face[:, 0]) + v * (face[:, 2] - face[:, 0])


def align(points: NDArray, target: Mesh, start: Alignment, sized: bool) -> Alignment:
    """Iterated closest points from a start; ``sized`` also lets the size change.

    Parameters
    ----------
    points : array (N, 3)
        On the moving surface.
    target : Mesh
    start : Alignment
    sized : bool
    """
    surface, found = Target(target), start
    best, least = start, np.inf
    for step in range(STEPS):
        moved = found(points)
        nearest, away, normals = surface.nearest(moved)
        gain, mean = least - float(away.mean()), float(away.mean())
        if gain > 0:
            best, least = found, mean
        if step > FIRST_STEPS and gain < SETTLED_MM:
            break
        # Points onto points pull in from afar but creep along smooth surfaces; onto planes they then settle quickly.
        found = fit(points, nearest, sized) if step < FIRST_STEPS else _slide(found, moved, nearest, normals, sized)
    return best


def _slide(found: Alignment, moved: NDArray, nearest: NDArray, normals: NDArray, sized: bool) -> Alignment:
    """A small further motion that brings points onto the tangent planes of a surface (Chen & Medioni 1992)."""
    from scipy.spatial.transform import Rotation

    middle = moved.mean(axis=0)
    arm = moved - middle
    columns = [np.cross(arm, normals), normals]
    if sized:
        columns.append(np.einsum("ij,ij->i", arm, normals)[:, None])
    missing = np.einsum("ij,ij->i", nearest - moved, normals)
    step = np.linalg.lstsq(np.hstack(columns), missing, rcond=1e-4)[0]
    turn, scale = Rotation.from_rotvec(step[:3]).as_matrix(), 1 + float(step[6]) if sized else 1.0
    shift = scale * turn @ (found.shift_mm - middle) + middle + step[3:6]
    return Alignment(turn @ found.rotation, shift, scale * found.scale)


def fit(points: NDArray, onto: NDArray, sized: bool) -> Alignment:
    """Least-squares rotation, shift and, where ``sized``, scale that bring points (N, 3) onto others (Umeyama 1991)."""
    here, there = points.mean(axis=0), onto.mean(axis=0)
    a, b = points - here, onto - there
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = (u * sign) @ vt
    scale = float((s * sign).sum() / (a * a).sum()) if sized else 1.0
    return Alignment(turn, there - scale * turn @ here, scale)


def distances(
    points: NDArray, back: NDArray, moving: Mesh, target: Mesh, alignment: Alignment
) -> tuple[float, float, float]:
    """Chamfer distance, mean and 95th percentile of all distances between two aligned surfaces, mm.

    Parameters
    ----------
    points, back : array (N, 3), (M, 3)
        On the moving and on the target surface.
    moving, target : Mesh
    alignment : Alignment
    """
    _, there, _ = Target(target).nearest(alignment(points))
    _, here, _ = Target(Mesh(alignment(moving.vertices_mm), moving.faces)).nearest(back)
    every = np.concatenate([there, here])
    return float(there.mean() + here.mean()), float(every.mean()), float(np.percentile(every, 95))
