"""The spine that `verse-morph demo` and the notebooks measure: an invented patient whose every number is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from verse_morph.anatomy import VERSE, Level
from verse_morph.phantom.ct import simulate_ct
from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.parameters import Fracture, Pathology, PhantomOptions, View
from verse_morph.phantom.presets import draw_scanner
from verse_morph.phantom.render import render
from verse_morph.phantom.tissues import draw_tissue
from verse_morph.volume import LabelMap, Scan

if TYPE_CHECKING:
    import pandas as pd


def demo_case(seed: int = 7, spacing_mm: float = 1.0) -> tuple[LabelMap, Scan, pd.DataFrame]:
    """An invented woman of 68: lower thoracic and lumbar spine with a wedge fracture of L1, mask, CT and truth.

    Parameters
    ----------
    seed : int
        The same seed gives the same patient, bit for bit.
    spacing_mm : float
        Voxel size along every axis.

    Returns
    -------
    labels : LabelMap
        Under VerSe's rules and numbers.
    scan : Scan
        Simulated CT on the same grid.
    truth : DataFrame
        One row per vertebra with its true numbers, from the parameters.
    """
    anatomy_rng, tissue_rng, image_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
    options = PhantomOptions(
        sex="F",
        age=68,
        height_cm=163,
        pathology=Pathology(fractures=(Fracture("L1", "wedge", 32.0),)),
        view=View(upper="T10", half_width_mm=75.0),
    )
    case = render(draw_parameters(anatomy_rng, options), spacing_mm, "phantom-demo")
    levels = tuple(VERSE.value_of(Level(str(level))) for level in case.truth.vertebrae["level"])
    tissue = draw_tissue(tissue_rng, options.age, options.sex, levels)
    scanner = draw_scanner(image_rng, "philips")
    ct = simulate_ct(case.structures, case.bone_depth_mm, case.grid, tissue, scanner, image_rng)
    labels = case.verse_labels
    seen = LabelMap(labels.labels[ct.slices], ct.grid, VERSE, "phantom-demo")
    return seen, Scan(ct.hu, ct.grid, "phantom-demo"), case.truth.vertebrae
