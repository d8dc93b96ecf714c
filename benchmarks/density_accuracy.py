"""How far trabecular HU lie from those of the true region, by slice thickness, region and level.

The phantoms are those of `phantom_cases.py`, fractures and other changes included, without sclerosis, cement and
screws; each is rendered once and scanned with several slices. The true region comes from the functions that define the
body: deeper than 3 mm, along the slice axis with slice thickness + 2 mm of body to both sides, without the
basivertebral prism in the vertebra's own coordinates. Its mean in the noise-free image is what the measurement is held
against, once on that image and once on the noisy one. Blur bias is the noise-free image minus the tissue before the
scanner, both in the true region: no region can undo it.

Every phantom is a file of its own, so a run that was stopped goes on.

Run: .venv/bin/python benchmarks/density_accuracy.py -n 30 -o results/density
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from phantom_cases import SAMPLINGS as CASE_SAMPLINGS
from phantom_cases import asked, draw, jobs_of, read_cases, run_all
from report_parts import markdown, write

from verse_morph.anatomy import VERSE, Level

SAMPLINGS = CASE_SAMPLINGS | {"axial 5 mm": (2, 5.0)}
NOISE_HU = 60.0
MARGIN_MM, BEYOND_SLICE_MM, VEIN_MM = 3.0, 2.0, 4.0
AIM_CLEAN, AIM_NOISY = 3.0, 6.0
LEVEL_CELLS = (
    f"Mean absolute error and how many lie within {AIM_CLEAN:g} HU without noise; within {AIM_NOISY:g} HU with noise. "
    "**Bold**: not all do."
)


def true_region(part, shape, points: NDArray, axis: NDArray, thickness_mm: float) -> NDArray[np.bool_]:
    """Which world points (N, 3) lie in the true region of a body."""
    own = shape.placement.to_own(points)
    along = axis @ shape.placement.rotation
    inside = part.depth(*own.T) >= MARGIN_MM
    reach = max(MARGIN_MM, thickness_mm + BEYOND_SLICE_MM)
    for step in np.arange(0.5, reach + 0.25, 0.5):
        for sign in (-1, 1):
            inside &= part.depth(*(own + sign * min(step, reach) * along).T) > 0
    x, y, z = own.T
    vein = np.abs(x) <= VEIN_MM
    vein &= y <= shape.depth_middle * (1 / 3 - 1 / 2)
    vein &= np.abs(z) <= shape.rim_height / 6
    return inside & ~vein


def near(part, shape, grid) -> tuple[tuple[slice, ...], NDArray]:
    """A box of the grid about a body, and the world points of its voxels (N, 3)."""
    from verse_morph.phantom.primitives import corners

    index = grid.to_index(shape.placement.to_world(corners(part.bounds_mm())))
    low = np.clip(np.floor(index.min(axis=0)), 0, grid.shape).astype(int)
    high = np.clip(np.ceil(index.max(axis=0)) + 1, 0, grid.shape).astype(int)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    at = np.stack(np.meshgrid(*[np.arange(s.start, s.stop) for s in box], indexing="ij"), axis=-1)
    return box, grid.to_world(at.reshape(-1, 3))


def run_case(seed: int, view: str) -> pd.DataFrame:
    """True and measured HU of one phantom, one row per sampling and vertebra."""
    from verse_morph.measure.density import trabecular_hu_mean
    from verse_morph.phantom.ct import simulate_ct
    from verse_morph.phantom.presets import preset
    from verse_morph.phantom.render import render
    from verse_morph.phantom.tissues import draw_tissue
    from verse_morph.shape import build_spine
    from verse_morph.shape.crop import hu_on
    from verse_morph.volume import LabelMap, Scan

    case = render(draw(seed, view), 1.0)
    tissue = replace(draw_tissue(np.random.default_rng([seed, 1])), sclerosis=(), cement=(), screws=())
    rows = []
    for name in SAMPLINGS:
        axis, thickness = SAMPLINGS[name]
        scanner = replace(
            preset("standard"),
            slice_axis=axis,
            slice_thickness_mm=thickness,
            slice_distance_mm=thickness,
            noise_sd_hu=NOISE_HU,
        )
        rng = np.random.default_rng([seed, 2])
        ct = simulate_ct(case.structures, case.bone_depth_mm, case.grid, tissue, scanner, rng, keep_noise_free=True)
        labels = LabelMap(np.ascontiguousarray(case.verse_labels.labels[ct.slices]), ct.grid, VERSE, "phantom")
        clean, noisy = Scan(ct.noise_free, ct.grid), Scan(ct.hu, ct.grid)
        for vertebra in build_spine(labels):
            row = {"sampling": name, "level": str(vertebra.level)}
            row |= truth_of(case, vertebra.level, ct, np.eye(3)[axis], thickness)
            for word, scan in (("clean", clean), ("noisy", noisy)):
                seen = replace(vertebra, hu=hu_on(vertebra.grid, scan))
                row |= measured(trabecular_hu_mean, seen, word)
            rows.append(row)
    return pd.DataFrame(rows)


def measured(entry, vertebra, word: str) -> dict:
    """Value, or the reason of its absence."""
    from verse_morph.errors import NotMeasurable

    try:
        return {word: entry(vertebra), f"{word}_why": ""}
    except NotMeasurable as reason:
        return {word: np.nan, f"{word}_why": str(reason)}


def truth_of(case, level: Level, ct, axis: NDArray, thickness: float) -> dict[str, float]:
    """Means of the true region in the noise-free image and in the tissue, and its volume."""
    from verse_morph.phantom.truth import body_of

    shape = case.parameters[level]
    part = body_of(shape, case.parameters.options.pathology)
    box, points = near(part, shape, ct.grid)
    region = true_region(part, shape, points, axis, thickness)
    if not region.any():
        return {"true": np.nan, "tissue": np.nan, "true_cm3": 0.0}
    image, tissue = (float(v[box].reshape(-1)[region].mean()) for v in (ct.noise_free, ct.tissue_hu))
    return {"true": image, "tissue": tissue, "true_cm3": float(region.sum()) * ct.grid.voxel_volume_mm3 / 1e3}


def summarise(cases: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Bias, mean and largest absolute error without and with noise, share within the aims, blur bias."""
    rows = []
    for keys, group in cases.groupby(by, sort=False):
        row = dict(zip(by, keys, strict=True)) | {"n": int(group["clean"].notna().sum())}
        row["refused"] = int(group["clean"].isna().sum())
        for word, aim in (("clean", AIM_CLEAN), ("noisy", AIM_NOISY)):
            error = (group[word] - group["true"]).dropna()
            row |= {f"bias {word}": error.mean(), f"MAE {word}": error.abs().mean()}
            row |= {f"worst {word}": error.abs().max(), f"within {aim:g} HU, %": 100 * (error.abs() <= aim).mean()}
        row["blur bias"] = (group["true"] - group["tissue"]).mean()
        rows.append(row)
    return pd.DataFrame(rows)


def by_level(cases: pd.DataFrame) -> pd.DataFrame:
    """Levels against samplings: mean absolute error and how many lie within the aim, without and with noise."""
    rows = []
    for level in Level:
        row = {"level": str(level)}
        for name in SAMPLINGS:
            group = cases[(cases["level"] == str(level)) & (cases["sampling"] == name)]
            row[name] = "; ".join(
                _within(group[w] - group["true"], a) for w, a in (("clean", AIM_CLEAN), ("noisy", AIM_NOISY))
            )
        rows.append(row)
    table = pd.DataFrame(rows)
    return table[(table[list(SAMPLINGS)] != "-; -").any(axis=1)]


def _within(error: pd.Series, aim: float) -> str:
    known = error.dropna().abs()
    if known.empty:
        return "-"
    met = int((known <= aim).sum())
    said = f"{known.mean():.1f} ({met}/{len(known)})"
    return said if met == len(known) else f"**{said}**"


def one_digit(column: str) -> int:
    return 1


def main() -> None:
    """Run all phantoms and write the tables."""
    options = asked(__doc__, 30).parse_args()
    run_all(jobs_of(options), options.output, options.minutes, run_case)
    cases = read_cases(options.output)
    cases["region"] = [Level(level).region for level in cases["level"]]
    text = ["# Trabecular HU on phantoms", "", f"{cases['seed'].nunique()} phantoms, errors in HU against the true"]
    text += [f"region's mean in the noise-free image; noise SD {NOISE_HU:g} HU per voxel about the spine.", ""]
    text += ["## By sampling and region", "", *markdown(summarise(cases, ["sampling", "region"]), one_digit), ""]
    text += ["## By sampling and level", "", LEVEL_CELLS, "", *markdown(by_level(cases)), ""]
    write(options.output, "\n".join(text), cases)


if __name__ == "__main__":
    main()
