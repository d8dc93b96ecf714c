"""A cohort of invented patients to try everything on: the recipes of phantoms, without their images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from verse_morph.io.participants import COLUMNS, check_participants
from verse_morph.phantom.dataset import case_name
from verse_morph.phantom.presets import draw_scanner
from verse_morph.phantom.recipe import Recipe, draw_recipe
from verse_morph.phantom.reference import BODIES, PANJABI_SCALE
from verse_morph.phantom.tissues import draw_tissue
from verse_morph.stats.selection import stratified_split

if TYPE_CHECKING:
    import pandas as pd

    from verse_morph.anatomy import Level
    from verse_morph.phantom.ct import ScannerParameters

FUSED = ("3a", "3b", "4")
# Spread of body heights between people and between the levels of one person, as shares.
PERSON_CV, LEVEL_CV, SEX_SHARE = 0.06, 0.02, 0.045


def phantom_cohort(n: int = 300, seed: int = 0) -> pd.DataFrame:
    """Participants table of ``n`` invented patients: variants and vendors in the proportions of the VerSe 2020 paper.

    Parameters
    ----------
    n : int
    seed : int
        Patient k of one seed is the same as case k of ``verse-morph phantom`` of that seed, but for natural short
        ribs, which only the full anatomy has.

    Returns
    -------
    DataFrame
        As :func:`verse_morph.io.participants.check_participants` gives it; a split is drawn by
        :func:`verse_morph.stats.selection.stratified_split`. Vendors are fictions.
    """
    import pandas as pd

    rows = [_participant(i, *_draw(i, seed)) for i in range(n)]
    table = check_participants(pd.DataFrame(rows, columns=list(COLUMNS)))
    split = stratified_split(table, seed).set_index("subject")["split"]
    return table.assign(split=table["subject"].map(split).astype("str"))


def phantom_measurements(n: int = 300, seed: int = 0) -> pd.DataFrame:
    """Heights and densities of the lumbar vertebrae of the same patients, invented too.

    Returns
    -------
    DataFrame
        ``scan, level, height_posterior_mm, trabecular_hu_mean``. Heights are mean heights of cadavers (Panjabi et al.
        1992) times 1.05, with the spread of people; they know neither vendor nor grade. HU fall with age (Jang et al.
        2019) and are shifted as the simulated scanner's scale is: there is a true difference between vendors.
    """
    import pandas as pd

    rows = []
    for index in range(n):
        recipe, scanner, rng = _draw(index, seed)
        tissue = draw_tissue(rng, recipe.options.age, recipe.options.sex)
        person = np.exp(PERSON_CV * rng.normal()) * (1 + (SEX_SHARE if recipe.options.sex == "M" else -SEX_SHARE))
        for level in _lumbar_in_view(recipe):
            height = BODIES[level].height_back * PANJABI_SCALE * person * np.exp(LEVEL_CV * rng.normal())
            bone = tissue.trabecular_hu + tissue.vertebra_sd_hu * rng.normal()
            hu = scanner.hu_scale * bone + scanner.hu_offset
            rows.append((case_name(index), str(level), float(height), float(hu)))
    return pd.DataFrame(rows, columns=["scan", "level", "height_posterior_mm", "trabecular_hu_mean"])


def _draw(index: int, seed: int) -> tuple[Recipe, ScannerParameters, np.random.Generator]:
    """Recipe and scanner of a case, drawn as a data set of phantoms draws them, and a generator for the rest."""
    sequence = np.random.SeedSequence(seed, spawn_key=(index,))
    recipe_rng, _, tissue_rng, _ = (np.random.default_rng(s) for s in sequence.spawn(4))
    recipe = draw_recipe(index, seed, "mixed", None, recipe_rng)
    return recipe, draw_scanner(recipe_rng, recipe.preset), tissue_rng


def _lumbar_in_view(recipe: Recipe) -> list[Level]:
    from verse_morph.anatomy import Level

    variants, view = recipe.options.variants, recipe.options.view
    levels = [Level(f"L{i}") for i in range(1, variants.lumbar + 1)]
    first = Level(view.upper)
    last = Level(view.lower) if view.lower not in ("S", "last") else levels[-1]
    whole = [level for level in levels if first <= level <= last]
    if whole and whole[0] is first and view.cut_mm[0] > 0:
        whole = whole[1:]
    if view.lower != "S" and whole and whole[-1] is last and view.cut_mm[1] > 0:
        whole = whole[:-1]
    return [level for level in whole if not (level is levels[-1] and variants.castellvi in FUSED)]


def _participant(index: int, recipe: Recipe, scanner: ScannerParameters, _: np.random.Generator) -> dict[str, Any]:
    from verse_morph.anatomy import Level

    options, variants, view = recipe.options, recipe.options.variants, recipe.options.view
    fused = int(variants.castellvi in FUSED)
    first = Level(view.upper)
    # The upper border may cut the first level of the field.
    whole_from = first.rank + (1 if view.cut_mm[0] > 0 else 0)
    sacrum = view.lower == "S"
    name = case_name(index)
    row: dict[str, Any] = {"scan": name, "subject": name.removeprefix("sub-"), "dataset": "phantom"}
    row |= {"vendor": scanner.manufacturer, "model": scanner.model, "kvp": scanner.kvp}
    row |= {"age": round(float(options.age or 0), 1), "sex": options.sex}
    spans_neck = whole_from <= Level.C7.rank and not (view.lower.startswith("C"))
    row |= {"lower_neck_in_view": spans_neck, "lumbosacral_in_view": sacrum and whole_from <= Level.L1.rank}
    row["thoracic_in_view"] = whole_from <= Level.T1.rank and (sacrum or view.lower.startswith("L"))
    row |= {"thoracic": variants.thoracic, "lumbar_total": variants.lumbar}
    row |= {"lumbar_labelled": variants.lumbar - fused, "transitional_unlabelled": fused}
    row |= {"last_lumbar": f"L{variants.lumbar}", "castellvi": variants.castellvi}
    row["castellvi_side"] = variants.castellvi_side if variants.castellvi in ("2a", "3a", "4") else None
    row |= {"cervical_ribs": len(variants.cervical_ribs), "stump_ribs": len(variants.stump_ribs)}
    row["cervical_rib_sides"] = ";".join(variants.cervical_ribs)
    row["stump_rib_levels"] = ";".join(dict.fromkeys(rib.level for rib in variants.stump_ribs))
    row |= {"half_vertebrae": int(variants.half_vertebra is not None), "fractures": len(options.pathology.fractures)}
    return row
