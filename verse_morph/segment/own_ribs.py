"""Which vertebrae bear ribs: one patch per vertebra about the last ribs, and the volume of its own ribs in it.

At the 4 mm of the locating stage a rib is thinner than a voxel, and the twelfth one passes beside L1. Here a network is
asked for the ribs of the one vertebra that a heatmap points at, at 1 mm.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from verse_morph.anatomy import Level
from verse_morph.segment.compute import Compute, running
from verse_morph.segment.outline import patch_logits
from verse_morph.segment.resample import Reduced
from verse_morph.segment.weights import to_device
from verse_morph.space import FloatArray, Grid

# Where the first part of a rib runs, about its vertebra's middle, mm: sideways, backwards, up and down; and the share
# of it that must lie in the scan, or nothing is said of that side.
BESIDE_MM, DEPTH_MM, HEIGHT_MM = (20.0, 40.0), (-40.0, -5.0), (-12.0, 10.0)
IN_VIEW = 0.85
# Odds of a rib grow with the logarithm of the volume seen; measured on phantoms with their own simulated CT
# (benchmarks/own_ribs.py). Of 56 sides of a T12, stumps of 14 to 34 mm among them, none showed less than 0.25 cm3, of
# 135 sides of L2 and L3 none more.
EVEN_CM3, SLOPE, LIMITS = 0.25, 2.5, (-4.0, 4.5)
SPECK_CM3 = 0.05
# Share of vertebrae that bear a rib on a side: of the last thoracic ones some lack it, of the first lumbar ones some
# have one.
USUAL = {Level.T12: 0.96, Level.T13: 0.96, Level.L1: 0.04}
THORACIC, OTHERS = 0.995, 0.003


def rib_volumes(source: Reduced, bodies_mm: FloatArray, model: nn.Module, compute: Compute) -> FloatArray:
    """Volume of each body's own ribs within its patch (n, 2), left and right, cm3; NaN where that side is not in view.

    Parameters
    ----------
    source : Reduced
        The CT, averaged for patches of 1 mm.
    bodies_mm : array (n, 3)
        Middles of bodies, world RAS mm.
    model : torch.nn.Module
        Of the stage ``ribs``: two channels in (CT, heatmap), one logit out.
    compute : Compute
    """
    model = to_device(model.eval(), compute.device)
    out = np.full((len(bodies_mm), 2), np.nan)
    with running(compute), torch.inference_mode():
        for n, body in enumerate(bodies_mm):
            seen = [in_view(source.grid, body, sign) for sign in (-1.0, 1.0)]
            if any(seen):
                out[n] = np.where(seen, _volumes(source, body, model, compute), np.nan)
    return out


def in_view(grid: Grid, body_mm: FloatArray, sign: float) -> bool:
    """Whether the place of a rib's first part, on the right (1) or left (-1) of a body, lies in the scan."""
    half = [np.arange(a, b + 1e-6, 4.0) for a, b in (BESIDE_MM, DEPTH_MM, HEIGHT_MM)]
    offsets = np.stack(np.meshgrid(*half, indexing="ij"), axis=-1).reshape(-1, 3)
    return float(grid.contains(body_mm + offsets * [sign, 1.0, 1.0]).mean()) >= IN_VIEW


def _volumes(source: Reduced, body_mm: FloatArray, model: nn.Module, compute: Compute) -> FloatArray:
    grid, logits = patch_logits(source, body_mm, model, compute)
    across = (logits > 0).sum(dim=(1, 2)).cpu().numpy()
    right = grid.to_world(np.array([[i, 0.0, 0.0] for i in range(grid.shape[0])]))[:, 0] > body_mm[0]
    return np.array([across[~right].sum(), across[right].sum()]) * grid.voxel_volume_mm3 / 1000


def rib_log_odds(volumes_cm3: FloatArray) -> FloatArray:
    """Log-odds that a vertebra bears a rib, from the volume seen of it; 0 where nothing was in view."""
    odds = SLOPE * np.log((volumes_cm3 + SPECK_CM3) / EVEN_CM3)
    return np.nan_to_num(np.clip(odds, *LIMITS), nan=0.0)


def level_log(volumes_cm3: FloatArray) -> FloatArray:
    """Log-likelihood of the volumes seen (n, 2) given each level (n, 27), up to a constant for each vertebra.

    Notes
    -----
    The two sides are seen in one image by one network and count as one and a half.
    """
    usual = np.array([USUAL.get(level, THORACIC if level.region == "thoracic" else OTHERS) for level in Level])
    odds = rib_log_odds(volumes_cm3)[..., None]
    return np.asarray(0.75 * np.log(usual * np.exp(odds) + 1 - usual).sum(axis=1))
