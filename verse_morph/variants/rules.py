"""The numbers that decide about a variant; a study that uses others passes its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """Thresholds of variant features.

    Parameters
    ----------
    stump_mm : float
        A rib shorter than this is a stump rib: 38 mm in the dataset paper (Liebl et al. 2021), 40 mm in the
        challenge's text.
    stump_band_mm : 2 floats
        Lengths in this band are called borderline beside their class.
    bone_hu : float
        Lowest HU (slightly smoothed) of unlabelled bone.
    shortest_rib_mm : float
        Unlabelled bone beside a vertebra shorter than this is no rib: calcification, osteophytes.
    articulation_mm, near_mm : float
        A process nearer to the bone below than the first articulates, nearer than the second is near (Jenkins: 2 and
        10 mm).
    high_process_mm : float
        Craniocaudal height from which a free process makes Castellvi 1.
    half_share : float
        A body of which one side is lower than this share of the other is a half-vertebra.
    """

    stump_mm: float = 38.0
    stump_band_mm: tuple[float, float] = (35.0, 42.0)
    bone_hu: float = 200.0
    shortest_rib_mm: float = 8.0
    articulation_mm: float = 2.0
    near_mm: float = 10.0
    high_process_mm: float = 19.0
    half_share: float = 0.5
