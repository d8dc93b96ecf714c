"""Would heights of bodies become better if the CT moved the ends of each height from the mask's surface to the edge?

An experiment, not a part of the package. At each end of a height the HU about the mask's surface (a patch of 12 x 5 mm)
say how far the true edge lies from it, along the normal, at most one voxel away, in two ways:

half height   median over the patch of the place where the profile falls to half between bone and disc
model         a shell of 0.6 mm on spongy bone beside disc, blurred over the slice: least squares for the three HU at
              every shift, weighed against how far the surface of a mask can be off (a voxel over the root of 12)

Phantoms with truth from their parameters, edge kernel, noise of 50 HU at 1 mm that falls with the root of the slice.

Run: OMP_NUM_THREADS=1 .venv/bin/python benchmarks/edge_from_ct.py --seed 11 --seed 12 -o results/edge_from_ct
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from report_parts import markdown, write

SLICES_MM = (1.0, 2.0, 3.0, 5.0)
NOISE_HU = 50.0
PLACES = ("anterior", "middle", "posterior")
PATCH_MM = (6.0, 2.5)
SHELL_MM, SPONGY_SHARE, FADE_MM = 0.6, 0.2, 2.0
# Neighbouring voxels share noise and misfit: so many count as one. Chosen on the phantoms of seeds 11 and 12.
ALIKE = 16.0
LEAST_CONTRAST_HU, LEAST_VOXELS = 60.0, 30


@dataclass(frozen=True, eq=False)
class Patch:
    """What lies about one end of a height, in the vertebra's frame."""

    sign: int
    plane: NDArray  # height and two slopes of the mask's surface about the place
    at: NDArray  # voxel centres (N, 3) within the patch, less the place
    hu: NDArray
    spacing_mm: float  # of the slices
    width_mm: float  # of a slice, seen along the normal

    @property
    def upright(self) -> float:
        """Share of the superior axis in the surface's normal."""
        return float(1 / np.sqrt(1 + self.plane[1] ** 2 + self.plane[2] ** 2))

    @property
    def depth_mm(self) -> NDArray:
        """Depth of the voxels below the mask's surface, along its normal."""
        surface = self.plane[0] + self.at[:, :2] @ self.plane[1:]
        return self.sign * (surface - self.at[:, 2]) * self.upright


def patch(vertebra, others: NDArray, place: NDArray, upper: bool) -> Patch | None:
    """The patch about a place (x, y, z) of the vertebra's frame, or None where the surface is not there."""
    from verse_morph.measure.body import crossings, mid_section, require_frame

    frame, spacing = require_frame(vertebra), vertebra.grid.spacing_mm
    axis = int(np.argmax(spacing))
    steps = [np.arange(-half, half + 0.1, 1.25) for half in PATCH_MM]
    lines = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 2)
    middle = mid_section(vertebra).z
    starts = np.column_stack([lines + place[:2], np.full(len(lines), middle)])
    ends = crossings(vertebra, frame.to_world(starts), frame.superior, 40.0)[:, 1 if upper else 0] + middle - place[2]
    good = np.abs(ends) < 4
    if good.sum() < 8:
        return None
    plane = np.linalg.lstsq(np.column_stack([np.ones(good.sum()), lines[good]]), ends[good], rcond=None)[0]
    normal = np.array([-plane[1], -plane[2], 1.0]) @ frame.axes
    along = vertebra.grid.affine[:3, axis] / spacing[axis]
    width = np.hypot(spacing[axis] * (normal @ along) / np.linalg.norm(normal), 0.5)
    index = np.argwhere(~others)
    at = frame.to_local(vertebra.grid.to_world(index)) - place
    near = (np.abs(at[:, 0]) <= PATCH_MM[0]) & (np.abs(at[:, 1]) <= PATCH_MM[1])
    hu = vertebra.hu[tuple(index[near].T)].astype(float)
    return Patch(1 if upper else -1, plane, at[near], hu, float(spacing[axis]), float(width))


def by_model(part: Patch) -> float:
    """Shift of the edge outwards along the normal, mm; NaN where nothing fits."""
    depth, width = part.depth_mm, part.width_mm
    keep = (depth > -(width / 2 + 1.0)) & (depth < width / 2 + 4.5)
    depth, hu = depth[keep], part.hu[keep]
    if len(hu) < LEAST_VOXELS:
        return np.nan
    shifts = np.arange(-part.spacing_mm, part.spacing_mm + 0.01, 0.1)
    misfit = np.array([_misfit(depth + shift, hu, width) for shift in shifts])
    if not np.isfinite(misfit).any():
        return np.nan
    noise = misfit.min() / len(hu)
    likely = -0.5 * (misfit - misfit.min()) / (noise * ALIKE) - 0.5 * (shifts / (part.spacing_mm / np.sqrt(12))) ** 2
    weight = np.exp(likely - likely.max())
    return float(weight @ shifts / weight.sum())


def _misfit(depth: NDArray, hu: NDArray, width: float) -> float:
    low, high = depth - width / 2, depth + width / 2
    bone = np.clip(high, 0, None) - np.clip(low, 0, None)
    shell = np.clip(high, 0, SHELL_MM) - np.clip(low, 0, SHELL_MM)
    fading = FADE_MM * (np.exp(-np.clip(low, 0, None) / FADE_MM) - np.exp(-np.clip(high, 0, None) / FADE_MM))
    design = np.column_stack([np.full(len(hu), width), bone, shell + SPONGY_SHARE * fading]) / width
    found = np.linalg.lstsq(design, hu, rcond=None)[0]
    if found[2] < 0 or found[1] < -LEAST_CONTRAST_HU:
        return np.inf
    return float((np.minimum(np.abs(hu - design @ found), 150.0) ** 2).sum())


def by_half_height(part: Patch) -> float:
    """The same by the place of half height; NaN where the contrast is low or the edge more than a voxel away."""
    depth, reach = part.depth_mm, part.spacing_mm
    cells = np.round(part.at[:, :2] / 1.0).astype(int)
    found = []
    for cell in np.unique(cells, axis=0):
        line = np.flatnonzero((cells == cell).all(axis=1) & (np.abs(depth) < reach + 2.5))
        line = line[np.argsort(depth[line])]
        if len(line) < 3 or not (depth[line[0]] < 0 < depth[line[-1]]):
            continue
        fine = np.arange(depth[line[0]], depth[line[-1]], 0.05)
        profile = np.interp(fine, depth[line], part.hu[line])
        peak = int(profile[fine > -reach].argmax() + (fine <= -reach).sum())
        low = float(profile[: peak + 1].min())
        if profile[peak] - low >= LEAST_CONTRAST_HU:
            below = np.flatnonzero(profile[: peak + 1] < (profile[peak] + low) / 2)
            found.append(-fine[below[-1]])
    shift = float(np.median(found)) if len(found) >= 8 else np.nan
    return shift if abs(shift) <= reach else np.nan


def run_case(seed: int, slices_mm: tuple[float, ...]) -> pd.DataFrame:
    """Errors of every height of one phantom: from the mask, and with both ends moved."""
    from verse_morph.anatomy import VERSE
    from verse_morph.phantom.ct import simulate_ct
    from verse_morph.phantom.draw import draw_parameters
    from verse_morph.phantom.parameters import PhantomOptions, View
    from verse_morph.phantom.presets import preset
    from verse_morph.phantom.render import render
    from verse_morph.phantom.tissues import draw_tissue
    from verse_morph.volume import LabelMap, Scan

    view = View(upper="T4", half_width_mm=45.0, front_mm=12.0, back_mm=8.0)
    options = PhantomOptions(ribs=False, pelvis=False, view=view)
    case = render(draw_parameters(np.random.default_rng(seed), options), 1.0)
    tissue = replace(draw_tissue(np.random.default_rng([seed, 1])), sclerosis=(), cement=(), screws=())
    truth = case.truth.vertebrae.set_index("level")
    rows = []
    for thick in slices_mm:
        noise = NOISE_HU / np.sqrt(thick)
        scanner = replace(
            preset("standard"), slice_thickness_mm=thick, slice_distance_mm=thick, noise_sd_hu=float(noise)
        )
        rng = np.random.default_rng([seed, 2])
        ct = simulate_ct(case.structures, case.bone_depth_mm, case.grid, tissue, scanner, rng)
        labels = LabelMap(np.ascontiguousarray(case.verse_labels.labels[ct.slices]), ct.grid, VERSE, "phantom")
        for row in heights(labels, Scan(ct.hu, ct.grid), truth):
            rows.append({"seed": seed, "slices": f"{thick:g} mm"} | row)
    return pd.DataFrame(rows)


def heights(labels, scan, truth: pd.DataFrame) -> list[dict]:
    """One row per height of a scan."""
    from verse_morph.errors import NotMeasurable
    from verse_morph.measure.heights import height_lines
    from verse_morph.shape import build_spine
    from verse_morph.shape.crop import crop_levels

    rows, crops = [], crop_levels(labels)
    for vertebra in build_spine(labels, scan):
        try:
            lines = height_lines(vertebra)
        except NotMeasurable:
            continue
        others = crops[vertebra.level].others
        for place in PLACES:
            true = truth.at[str(vertebra.level), f"height_{place}_mm"]
            if place in lines and np.isfinite(true):
                rows.append(
                    {"level": str(vertebra.level), "place": place} | _moved(vertebra, others, lines, place, true)
                )
    return rows


def _moved(vertebra, others: NDArray, lines, place: str, true: float) -> dict[str, float]:
    """Errors of one height, mm."""
    ends = vertebra.frame.to_local(lines[place])
    # Near the wall a patch about the height itself would lie half outside the body.
    inwards = np.array([0.0, {"anterior": -1.0, "posterior": 1.0}.get(place, 0.0), 0.0])
    mask = float(ends[1, 2] - ends[0, 2])
    out = {"mask": mask - true}
    parts = [patch(vertebra, others, end + inwards, upper) for end, upper in zip(ends, (False, True), strict=True)]
    for name, shift in (("half height", by_half_height), ("model", by_model)):
        moved = [np.nan if part is None else shift(part) / part.upright for part in parts]
        out[name] = mask + sum(moved) - true
    return out


def summary(cases: pd.DataFrame) -> pd.DataFrame:
    """Errors by slice thickness and method, of the heights that the method did not refuse."""
    rows = []
    for slices, group in cases.groupby("slices"):
        for name in ("half height", "model"):
            both = group.dropna(subset=[name])
            row = {"axial slices": slices, "edge": name, "n": len(both), "refused": len(group) - len(both)}
            row |= {"MAE mask": both["mask"].abs().mean(), "MAE moved": both[name].abs().mean()}
            row |= {"p95 mask": both["mask"].abs().quantile(0.95), "p95 moved": both[name].abs().quantile(0.95)}
            rows.append(row | {"bias mask": both["mask"].mean(), "bias moved": both[name].mean()})
    return pd.DataFrame(rows)


def main() -> None:
    """Run all phantoms and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, action="append", required=True, help="a phantom; may be repeated")
    parser.add_argument("--slices", type=float, action="append", help="thickness in mm; may be repeated")
    parser.add_argument("-o", "--output", type=Path, help="write OUTPUT.md and OUTPUT.csv")
    options = parser.parse_args()
    cases = pd.concat([run_case(seed, tuple(options.slices or SLICES_MM)) for seed in options.seed], ignore_index=True)
    text = ["# Heights of bodies with their ends moved to the CT's edge, mm", "", *markdown(summary(cases))]
    write(options.output, "\n".join(text), cases)


if __name__ == "__main__":
    main()
