"""Curvature of a surface at every vertex: mean and Gaussian curvature, shape index, curvedness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.space import FloatArray
from verse_morph.spine import Mesh, Vertebra

RADIUS_MM = 5.0
# Neighbours whose normals differ by more than this lie on the other side of a lamina or process.
SAME_SIDE = 0.0
LEAST_NEIGHBOURS = 8
BATCH = 4000


@dataclass(frozen=True, eq=False)
class Curvature:
    """Curvature at the vertices of a mesh; convex bone is positive.

    Parameters
    ----------
    largest_per_mm, smallest_per_mm : array (V,)
        Principal curvatures, ``largest >= smallest``; NaN where too few neighbours lie on the same side.
    """

    largest_per_mm: FloatArray
    smallest_per_mm: FloatArray

    @property
    def mean_per_mm(self) -> FloatArray:
        """Mean of the principal curvatures (V,): 1/R on a sphere of radius R."""
        return 0.5 * (self.largest_per_mm + self.smallest_per_mm)

    @property
    def gaussian_per_mm2(self) -> FloatArray:
        """Product of the principal curvatures (V,): positive on domes and pits, negative on saddles."""
        return self.largest_per_mm * self.smallest_per_mm

    @property
    def shape_index(self) -> FloatArray:
        """Koenderink's shape index (V,), -1 to 1: pit -1, rut -0.5, saddle 0, ridge 0.5, dome 1; NaN on planes."""
        total, difference = self.largest_per_mm + self.smallest_per_mm, self.largest_per_mm - self.smallest_per_mm
        flat = self.curvedness_per_mm < 1e-9
        return np.where(flat, np.nan, 2 / np.pi * np.arctan2(total, difference))

    @property
    def curvedness_per_mm(self) -> FloatArray:
        """Koenderink's curvedness (V,): how strongly the surface bends, whatever its shape."""
        return np.sqrt(0.5 * (self.largest_per_mm**2 + self.smallest_per_mm**2))


def curvature(mesh: Mesh, radius_mm: float = RADIUS_MM) -> Curvature:
    """Principal curvatures by a quadric fitted to each vertex's neighbourhood.

    Parameters
    ----------
    mesh : Mesh
        Outward oriented.
    radius_mm : float
        Neighbours within this distance count, near ones more; 4 to 6 mm for vertebrae.

    Raises
    ------
    ValueError
        The radius is not positive.

    Notes
    -----
    Features smaller than the radius are smoothed away: a rim of 1.6 mm radius reads as flatter. The neighbourhood is
    a ball without what faces the other way, not a geodesic disc: in narrow concave folds the two can differ.
    """
    from scipy.spatial import KDTree

    if radius_mm <= 0:
        raise ValueError(f"the radius of a neighbourhood is positive, got {radius_mm}")
    points = mesh.vertices_mm
    normals = vertex_normals(mesh)
    tree = KDTree(points)
    largest, smallest = np.full(len(points), np.nan), np.full(len(points), np.nan)
    for start in range(0, len(points), BATCH):
        part = slice(start, min(start + BATCH, len(points)))
        near = tree.query_ball_point(points[part], radius_mm)
        owner = np.repeat(np.arange(len(near)), [len(n) for n in near])
        other = np.concatenate(near).astype(int)
        keep = np.einsum("ij,ij->i", normals[part][owner], normals[other]) > SAME_SIDE
        largest[part], smallest[part] = _quadrics(
            points, points[part], normals[part], owner[keep], other[keep], radius_mm
        )
    return Curvature(largest, smallest)


def vertex_normals(mesh: Mesh) -> FloatArray:
    """Outward unit normals (V, 3), area-weighted over the adjoining faces."""
    corners = mesh.vertices_mm[mesh.faces]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    out = np.zeros_like(mesh.vertices_mm)
    for corner in range(3):
        np.add.at(out, mesh.faces[:, corner], face)
    length = np.linalg.norm(out, axis=1, keepdims=True)
    return out / np.where(length > 0, length, 1)


def _quadrics(
    points: NDArray, centres: NDArray, normals: NDArray, owner: NDArray, other: NDArray, radius_mm: float
) -> tuple[NDArray, NDArray]:
    """Principal curvatures of weighted fits ``z = a + bx + cy + dxx + exy + fyy`` in each centre's tangent frame."""
    first, second = _tangents(normals)
    offset = points[other] - centres[owner]
    x, y, z = (np.einsum("ij,ij->i", offset, axis[owner]) for axis in (first, second, normals))
    weight = (1 - np.einsum("ij,ij->i", offset, offset) / radius_mm**2).clip(0) + 1e-3
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    count = len(centres)
    normal_matrix, right = np.zeros((count, 6, 6)), np.zeros((count, 6))
    for i in range(6):
        right[:, i] = np.bincount(owner, weight * terms[:, i] * z, count)
        for j in range(i, 6):
            normal_matrix[:, i, j] = normal_matrix[:, j, i] = np.bincount(
                owner, weight * terms[:, i] * terms[:, j], count
            )
    enough = np.bincount(owner, minlength=count) >= LEAST_NEIGHBOURS
    normal_matrix[~enough] = np.eye(6)
    normal_matrix += 1e-9 * np.trace(normal_matrix, axis1=1, axis2=2)[:, None, None] * np.eye(6)
    _, b, c, d, e, f = np.linalg.solve(normal_matrix, right[:, :, None])[:, :, 0].T
    # Fundamental forms of the graph; outward normals make a dome's z fall off, so bending down is positive.
    big_e, big_f, big_g = 1 + b * b, b * c, 1 + c * c
    root = np.sqrt(1 + b * b + c * c)
    big_l, big_m, big_n = -2 * d / root, -e / root, -2 * f / root
    area = big_e * big_g - big_f**2
    gaussian = (big_l * big_n - big_m**2) / area
    mean = (big_e * big_n - 2 * big_f * big_m + big_g * big_l) / (2 * area)
    spread = np.sqrt(np.maximum(mean**2 - gaussian, 0))
    largest, smallest = mean + spread, mean - spread
    largest[~enough] = smallest[~enough] = np.nan
    return largest, smallest


def _tangents(normals: NDArray) -> tuple[NDArray, NDArray]:
    """Two unit vectors (N, 3) each, at right angles to each other and to the normals."""
    axis = np.eye(3)[np.abs(normals).argmin(axis=1)]
    first = np.cross(normals, axis)
    length = np.linalg.norm(first, axis=1, keepdims=True)
    first = first / np.where(length > 0, length, 1)
    return first, np.cross(normals, first)


def surface_curvature(vertebra: Vertebra, radius_mm: float = RADIUS_MM) -> Curvature:
    """Curvature at the vertices of a vertebra's surface.

    Raises
    ------
    NotMeasurable
        It has no surface, or the border of the image cuts it: the cut would be read as a flat face with sharp edges.
    """
    if "whole" in vertebra.why:
        raise vertebra.missing("whole")
    if vertebra.mesh is None or not len(vertebra.mesh.faces):
        raise NotMeasurable(f"{vertebra.level}: no surface")
    return curvature(vertebra.mesh, radius_mm)
