"""Directions along the spine: the tangent of its centre line, and the anterior directions smoothed over neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Reach of the local fit along the spine (mm), about one and a half levels.
TANGENT_SIGMA_MM = 40.0
NEIGHBOUR_SIGMA_LEVELS = 1.5
OUTLIER_DEG = 8.0
OWN_WEIGHT, OWN_WEIGHT_OUTLIER = 0.6, 0.25
WORLD_SUPERIOR = np.array([0.0, 0.0, 1.0])
WORLD_ANTERIOR = np.array([0.0, 1.0, 0.0])


def tangents(points_mm: NDArray, use: NDArray[np.bool_]) -> NDArray:
    """Unit tangents towards the head at each point of a centre line.

    Parameters
    ----------
    points_mm : array (N, 3)
        Body centres head to foot, world mm.
    use : array (N,) of bool
        Points that may shape the line; the others only receive a tangent.

    Notes
    -----
    A locally weighted quadratic in arc length (linear for fewer than four points); one point alone gets the world's
    superior axis.
    """
    count = int(use.sum())
    if count < 2:
        return np.tile(WORLD_SUPERIOR, (len(points_mm), 1))
    steps = np.linalg.norm(np.diff(points_mm, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    degree = 1 if count < 4 else 2
    out = np.empty_like(points_mm)
    for i, here in enumerate(along):
        offset = along[use] - here
        weight = np.exp(-0.5 * (offset / TANGENT_SIGMA_MM) ** 2) + 1e-6
        design = np.vander(offset, degree + 1, increasing=True) * np.sqrt(weight)[:, None]
        fit = np.linalg.lstsq(design, points_mm[use] * np.sqrt(weight)[:, None], rcond=None)[0]
        out[i] = -fit[1] / np.linalg.norm(fit[1])
    return out


def perpendicular(vector: NDArray, axis: NDArray) -> NDArray:
    """Unit part of a vector perpendicular to a unit axis."""
    flat = vector - (vector @ axis) * axis
    return flat / np.linalg.norm(flat)


def smooth_anterior(own: list[NDArray | None], superior: NDArray) -> tuple[NDArray, list[bool]]:
    """Anterior directions smoothed over neighbours, and where a vertebra's own direction was an outlier.

    Parameters
    ----------
    own : list of array (3,) or None
        Each vertebra's own direction from canal to body; None where no canal was found.
    superior : array (N, 3)
        Superior axis of each vertebra.

    Notes
    -----
    In a collapsed vertebra the direction from canal to body is off by up to 15 degrees; its neighbours' are not.
    """
    known = [i for i, vector in enumerate(own) if vector is not None]
    if not known:
        return np.array([perpendicular(WORLD_ANTERIOR, up) for up in superior]), [False] * len(own)
    smoothed, outlier = [], []
    for i, up in enumerate(superior):
        mine = own[i]
        others = [j for j in known if j != i]
        if mine is not None and not others:
            smoothed.append(perpendicular(mine, up))
            outlier.append(False)
            continue
        weights = np.exp(-0.5 * ((np.array(others) - i) / NEIGHBOUR_SIGMA_LEVELS) ** 2)
        around = perpendicular(weights @ np.array([own[j] for j in others]), up)
        if mine is None:
            smoothed.append(around)
            outlier.append(False)
            continue
        mine = perpendicular(mine, up)
        far = bool(mine @ around < np.cos(np.radians(OUTLIER_DEG)))
        share = OWN_WEIGHT_OUTLIER if far else OWN_WEIGHT
        smoothed.append(perpendicular(share * mine + (1 - share) * around, up))
        outlier.append(far)
    return np.array(smoothed), outlier
