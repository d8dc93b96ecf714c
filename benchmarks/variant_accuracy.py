"""How right variant features of phantoms are: counts, ribs, cervical ribs, transverse processes, Castellvi suggestions.

Four parts, each on phantoms of its own, drawn with natural spread and one seed per phantom; results are appended to one
CSV per part, so that a run can be stopped and taken up again:

- ``counts``: whole spines with 11 to 13 thoracic and 4 to 6 lumbar vertebrae and fields of view that begin and end
  anywhere, from their parameters, without images: the counting alone;
- ``ribs``: T12 to L1 with ribs of 12 mm to natural length, and ribs on L1, VerSe mask and simulated CT;
- ``cervical``: C7 and T1 with and without ribs on C7, VerSe mask and simulated CT;
- ``castellvi``: the lumbosacral junction with every grade, as VerSe mask (fused vertebrae unlabelled) with CT, as full
  label map with CT, and as full label map alone; ``grades`` is the first of the three alone, in half the time.

Truth comes from the phantom's parameters and its defining functions, never from voxels.

Run: .venv/bin/python benchmarks/variant_accuracy.py castellvi -n 180 -o results/variants
     .venv/bin/python benchmarks/variant_accuracy.py summary -o results/variants
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

GRADES = ("0", "1", "2a", "2b", "3a", "3b", "4")
SIDES = ("left", "right")
VERSE_WAY = "VerSe mask and CT"
LATTICE_MM = 0.6
FREE_MM = 5.0


# --- phantoms ---------------------------------------------------------------------------------------------------------


def phantom(seed: int, options: Any, spacing: Any, with_ct: bool = True) -> tuple[Any, Any]:
    """Label maps and CT of one phantom, without the truth tables, which would take longer than all the rest."""
    from verse_morph.anatomy import VERSE
    from verse_morph.phantom.case import SACRUM, PhantomCase, Truth
    from verse_morph.phantom.ct import ScannerParameters, simulate_ct
    from verse_morph.phantom.draw import draw_parameters
    from verse_morph.phantom.implicit import CLEFT_MM, FAR_MM, Lattice
    from verse_morph.phantom.render import _add, _add_soft, field_of_view
    from verse_morph.phantom.skeleton import bones_of
    from verse_morph.phantom.tissues import draw_tissue
    from verse_morph.volume import Scan

    parameters = draw_parameters(np.random.default_rng(seed), options)
    grid = field_of_view(parameters, spacing)
    structures, depth = np.zeros(grid.shape, np.uint8), np.full(grid.shape, FAR_MM, np.float16)
    lattice = Lattice.of(grid)
    for bone in bones_of(parameters):
        fused = bone.label == SACRUM and bool(parameters.fused_levels)
        _add(bone, lattice, structures, depth, 0.0 if fused else CLEFT_MM)
    _add_soft(parameters, lattice, structures)
    nothing = pd.DataFrame()
    case = PhantomCase(structures, depth, grid, parameters, Truth(nothing, nothing, nothing, {}), f"phantom{seed}")
    if not with_ct:
        return case, None
    rng = np.random.default_rng(10_000 + seed)
    levels = tuple(VERSE.value_of(level) for level in case.full_labels.levels())
    tissue = draw_tissue(rng, parameters.age, parameters.sex, levels)
    scanner = ScannerParameters(noise_sd_hu=float(rng.uniform(20, 70)), edge_gain=float(rng.uniform(0, 0.8)))
    ct = simulate_ct(structures, depth, grid, tissue, scanner, rng)
    return case, Scan(ct.hu, grid, case.name)


def features_of(labels: Any, scan: Any) -> Any:
    """The features, as a user gets them."""
    import verse_morph as vm

    return vm.scan_variants(vm.build_spine(labels, scan), scan, labels)


# --- counts -----------------------------------------------------------------------------------------------------------


def counts(seed: int) -> list[dict[str, Any]]:
    """The counting alone, on the levels, centres and cut bodies that a field of view of this patient leaves.

    Whether the lower end is found in the image is what ``castellvi`` looks at.
    """
    from verse_morph.phantom.draw import draw_parameters
    from verse_morph.phantom.parameters import PhantomOptions, Variants
    from verse_morph.variants.enumeration import enumerate_vertebrae
    from verse_morph.variants.last_lumbar import LastLumbar

    rng = np.random.default_rng(50_000 + seed)
    thoracic, lumbar = int(rng.choice([11, 12, 12, 13])), int(rng.choice([4, 5, 5, 6]))
    fused = bool(rng.random() < 0.25)
    variants = Variants(thoracic=thoracic, lumbar=lumbar, castellvi="3b" if fused else "0")
    parameters = draw_parameters(np.random.default_rng(seed), PhantomOptions(variants=variants))
    high, low = _ends(parameters, rng)
    spine, inside = _spine_in(parameters, low, high)
    sacrum = parameters.sacrum.centre_mm[2] - 30.0 > low
    lumbar_levels = [v for v in spine if v.level.region == "lumbar"]
    last = LastLumbar(lumbar_levels[-1].level if lumbar_levels else None, sacrum, int(fused) if sacrum else None, "cut")
    found = enumerate_vertebrae(spine, last)
    row = {"seed": seed, "thoracic": thoracic, "lumbar": lumbar, "fused": fused}
    row["thoracic_in_view"] = inside["T1"] and inside["L1"]
    row["lumbar_in_view"] = inside["L1"] and inside[f"L{lumbar}"] and sacrum
    row |= {"thoracic_found": found.thoracic.value, "lumbar_found": found.lumbar_total.value}
    return [row | {"why": f"{found.thoracic.why} | {found.lumbar_total.why}"}]


def _ends(parameters: Any, rng: np.random.Generator) -> tuple[float, float]:
    """Upper and lower border of a field of view that ends anywhere about a named level."""
    names = [v.level for v in parameters.vertebrae]
    upper = names.index(str(rng.choice(["C6", "C7", "T1", "T1", "T2", "T10", "L1"])))
    lower = int(rng.choice([len(names), len(names), len(names) - 1, len(names) - 2, names.index("L1")]))
    sacrum = parameters.sacrum.centre_mm[2] - 60.0
    high = parameters.vertebrae[upper].centre_mm[2] + float(rng.uniform(-12, 25))
    low = sacrum if lower == len(names) else parameters.vertebrae[lower].centre_mm[2] - float(rng.uniform(-12, 25))
    return high, low


def _spine_in(parameters: Any, low: float, high: float) -> tuple[Any, dict[str, bool]]:
    """A spine of the labelled vertebrae at least partly in view, without masks."""
    from verse_morph.anatomy import VERSE, Level
    from verse_morph.space import Grid
    from verse_morph.spine import Flag, Spine, Vertebra

    grid, mask = Grid((2, 2, 2), np.eye(4)), np.ones((2, 2, 2), dtype=bool)
    inside = {v.level: _body_inside(v, low, high) for v in parameters.vertebrae}
    vertebrae = []
    for shape in parameters.vertebrae:
        level, height = Level(shape.level), shape.centre_mm[2]
        if level in parameters.fused_levels or not low - 15 < height < high + 15:
            continue
        whole = inside[shape.level]
        flags = frozenset() if whole else frozenset({Flag.BODY_CUT})
        centre = np.array(shape.centre_mm) if whole else None
        vertebrae.append(Vertebra(level, VERSE.value_of(level), grid, mask, 8.0, centre_mm=centre, flags=flags))
    return Spine(tuple(vertebrae)), inside


def _body_inside(shape: Any, low: float, high: float) -> bool:
    from verse_morph.phantom.body import BodyPart
    from verse_morph.phantom.primitives import corners

    heights = shape.placement.to_world(corners(BodyPart(shape).bounds_mm()))[:, 2]
    return bool(heights.min() > low and heights.max() < high)


# --- ribs -------------------------------------------------------------------------------------------------------------


def ribs(seed: int) -> list[dict[str, Any]]:
    """T12 and L1: one row per side and level."""
    from verse_morph.phantom.parameters import PhantomOptions, StumpRib, Variants, View

    rng = np.random.default_rng(60_000 + seed)
    wanted = []
    for side in SIDES:
        kind = rng.random()
        if kind < 0.7:
            wanted.append(StumpRib("T12", side, float(rng.uniform(12, 37) if kind < 0.4 else rng.uniform(38, 70))))
        if rng.random() < 0.25:
            wanted.append(StumpRib("L1", side, float(rng.uniform(12, 50))))
    view = View(upper="T12", lower="L1", cut_mm=(-6.0, -45.0), half_width_mm=105.0, front_mm=25.0, back_mm=15.0)
    options = PhantomOptions(pelvis=False, neck=False, variants=Variants(stump_ribs=tuple(wanted)), view=view)
    case, scan = phantom(seed, options, (1.0, 1.0, float(rng.uniform(1.0, 1.5))))
    truth = {(rib.level, rib.side): rib for rib in case.parameters.ribs}
    found = features_of(case.verse_labels, scan)
    rows = []
    for level in ("T12", "L1"):
        for side in SIDES:
            rib, true = found.rib(level, side), truth.get((level, side))
            row = {"seed": seed, "level": level, "side": side, "true_mm": true.length_mm if true else 0.0}
            row |= {"found_mm": rib.length_mm, "kind": rib.kind, "truncated": rib.truncated, "why": rib.why}
            rows.append(row | {"crossing": _crossing(case.parameters, truth, side), "whole": _whole(case, true)})
    return rows


def _crossing(parameters: Any, truth: dict[tuple[str, str], Any], side: str) -> bool:
    """Whether the phantom's twelfth rib runs into its lumbar rib, as no patient's does."""
    from scipy.spatial import cKDTree

    if ("L1", side) not in truth:
        return False
    upper, lower = (_fine_axis(parameters, truth[level, side]) for level in ("T12", "L1"))
    return bool(cKDTree(upper).query(lower)[0].min() < 12.0)


def _fine_axis(parameters: Any, rib: Any) -> np.ndarray:
    from verse_morph.phantom.ribs import axis_of

    line = axis_of(parameters, rib)
    at = np.linspace(0, len(line) - 1, 200)
    return np.stack([np.interp(at, np.arange(len(line)), line[:, k]) for k in range(3)], axis=1)


def _whole(case: Any, rib: Any) -> bool:
    if rib is None:
        return True
    index = case.grid.to_index(_fine_axis(case.parameters, rib))
    return bool(((index > 6) & (index < np.array(case.grid.shape) - 7)).all())


# --- cervical ribs ----------------------------------------------------------------------------------------------------


def cervical(seed: int) -> list[dict[str, Any]]:
    """C7 with no, one or two ribs: one row per side."""
    from verse_morph.phantom.parameters import PhantomOptions, Variants, View

    rng = np.random.default_rng(70_000 + seed)
    sides: tuple[str, ...] = ()
    if seed % 3 == 0:
        sides = SIDES if rng.random() < 0.6 else (str(rng.choice(SIDES)),)
    view = View(upper="C7", lower="T1", cut_mm=(-6.0, -14.0), half_width_mm=62.0, front_mm=30.0, back_mm=6.0)
    options = PhantomOptions(pelvis=False, variants=Variants(cervical_ribs=sides), view=view)
    case, scan = phantom(seed, options, (1.0, 1.0, float(rng.uniform(1.0, 1.5))))
    truth = {rib.side: rib.length_mm for rib in case.parameters.ribs if rib.number == 0}
    found = features_of(case.verse_labels, scan)
    rows = []
    for side in SIDES:
        rib = found.rib("C7", side)
        row = {"seed": seed, "side": side, "true_mm": truth.get(side, 0.0), "found_mm": rib.length_mm}
        rows.append(row | {"kind": rib.kind, "truncated": rib.truncated, "why": rib.why})
    return rows


# --- Castellvi --------------------------------------------------------------------------------------------------------


def grades(seed: int) -> list[dict[str, Any]]:
    """As ``castellvi``, from the VerSe mask and the CT alone."""
    return castellvi(seed, all_ways=False)


def castellvi(seed: int, all_ways: bool = True) -> list[dict[str, Any]]:
    """The lumbosacral junction: one row per way of looking at it."""
    import verse_morph as vm
    from verse_morph.phantom.parameters import PhantomOptions, Variants, View

    rng = np.random.default_rng(80_000 + seed)
    grade = GRADES[seed % len(GRADES)]
    side, lumbar = str(rng.choice(SIDES)), int(rng.choice([4, 5, 5, 6]))
    fused = grade[0] in "34"
    upper = f"L{lumbar - 1 if fused else lumbar}"
    view = View(upper=upper, lower="S", cut_mm=(-6.0, 50.0), half_width_mm=72.0, front_mm=14.0, back_mm=5.0)
    variants = Variants(lumbar=lumbar, castellvi=grade, castellvi_side=side)
    options = PhantomOptions(ribs=False, neck=False, pelvis=bool(rng.random() < 0.3), variants=variants, view=view)
    case, scan = phantom(seed, options, (1.0, 1.0, float(rng.uniform(1.0, 1.4))))
    spine = vm.build_spine(case.verse_labels, scan)
    found_by = {VERSE_WAY: vm.scan_variants(spine, scan, case.verse_labels)}
    if all_ways:
        # Without a fused vertebra both masks hold the same vertebrae.
        whole = vm.build_spine(case.full_labels, scan) if fused else spine
        found_by["full labels and CT"] = vm.scan_variants(whole, scan, case.full_labels)
        found_by["full labels"] = vm.scan_variants(whole, None, case.full_labels)
    # A VerSe mask has no outline of a fused vertebra: nothing to compare.
    truth = process_truth(case.parameters) if all_ways or not fused else dict.fromkeys(SIDES, (None, None))
    rows = []
    for way, found in found_by.items():
        row = {"seed": seed, "way": way, "grade": grade, "side": side if grade in ("2a", "3a", "4") else ""}
        row |= {"suggested": found.castellvi.grade, "suggested_side": found.castellvi.side}
        row |= {"confidence": found.castellvi.confidence, "evidence": found.castellvi.evidence}
        row |= {"unlabelled": found.enumeration.transitional_unlabelled.value, "why": found.castellvi.why}
        for process in found.processes:
            true = truth[process.side]
            row |= {f"height_{process.side}": process.height_mm, f"true_height_{process.side}": true[0]}
            row |= {f"gap_{process.side}": process.gap_mm, f"true_gap_{process.side}": true[1]}
            row |= {f"contact_{process.side}": process.contact}
        rows.append(row)
    return rows


def process_truth(parameters: Any) -> dict[str, tuple[float, float]]:
    """Height of each process of the last vertebra and its distance to the sacrum, mm, from the defining functions."""
    from verse_morph.anatomy import Level
    from verse_morph.phantom.implicit import Lattice
    from verse_morph.phantom.skeleton import bones_of, vertebra_bones

    last = parameters.vertebrae[-1]
    bone = vertebra_bones(parameters)[Level(last.level)]
    sacrum = next(b for b in bones_of(parameters) if b.label == 26)
    low, high = np.array([-80.0, -45.0, -55.0]), np.array([80.0, 20.0, 22.0])
    shape = tuple(((high - low) / LATTICE_MM).astype(int))
    own = Lattice(shape, low, np.eye(3) * LATTICE_MM)
    mine = bone.depth(own, 2.0)
    place = sacrum.placement
    theirs = sacrum.depth(
        Lattice(
            shape, place.to_own(last.placement.to_world(low)), own.steps @ last.placement.rotation.T @ place.rotation
        ),
        2.0,
    )
    x, _, z = (low[a] + LATTICE_MM * np.arange(shape[a]) for a in range(3))
    out = {}
    for side, sign in (("left", -1), ("right", 1)):
        # Bone above the upper endplate is the superior articular process: the free process begins beside it.
        above = (mine[:, :, z > last.rim_height / 2 + 1.0] > 0).any(axis=(1, 2)) & (x * sign > 0)
        joint = float((x[above] * sign).max()) + 1.5 if above.any() else 0.0
        part = x * sign > max(last.width_middle / 2 + FREE_MM, joint)
        vertebra = (mine[part] > 0) & (mine[part] > theirs[part])
        rows = vertebra.any(axis=1)
        heights = [np.ptp(z[row]) + LATTICE_MM for row in rows if row.any()]
        out[side] = (float(max(heights)), _distance(vertebra, theirs[x * sign > last.width_middle / 2] > 0, sign))
    return out


def _distance(upper: np.ndarray, lower: np.ndarray, sign: int) -> float:
    """Smallest distance of two solids on the lattice whose outer ends coincide, surface to surface, mm."""
    from scipy.ndimage import binary_erosion
    from scipy.spatial import cKDTree

    points = []
    for solid in (upper, lower):
        voxels = np.argwhere(solid & ~binary_erosion(solid)).astype(float)
        # Both are cut at their inner side: count from the outer one.
        voxels[:, 0] = voxels[:, 0] - (solid.shape[0] if sign > 0 else 0)
        points.append(voxels * LATTICE_MM)
    if not len(points[0]) or not len(points[1]):
        return float("nan")
    return max(float(cKDTree(points[1]).query(points[0])[0].min()) - LATTICE_MM, 0.0)


# --- summary ----------------------------------------------------------------------------------------------------------


def share(right: int, n: int) -> str:
    """A share with its Wilson interval."""
    from verse_morph.evaluate import wilson_interval

    if n == 0:
        return "0 of 0"
    low, high = wilson_interval(right, n)
    return f"{right} of {n} = {100 * right / n:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def summary(folder: Path) -> None:
    """Print what the finished parts show."""
    for name, say in (
        ("counts", say_counts),
        ("ribs", say_ribs),
        ("cervical", say_cervical),
        ("castellvi", say_grades),
        ("grades", say_grades),
    ):
        file = folder / f"{name}.csv"
        if file.is_file():
            table = pd.read_csv(file, keep_default_na=False, na_values=[""])
            print(f"\n== {name}: {table['seed'].nunique()} phantoms")
            say(table)


def say_counts(table: pd.DataFrame) -> None:
    for region in ("thoracic", "lumbar"):
        seen, found = table[f"{region}_in_view"], table[f"{region}_found"]
        given = found.notna()
        print(f"{region}: right where assessed", share(int((found == table[region])[given].sum()), int(given.sum())))
        print(f"{region}: fully in view and assessed", share(int((given & seen).sum()), int(seen.sum())))


def say_ribs(table: pd.DataFrame) -> None:
    crossing = table["crossing"]
    print("sides on which the phantom's twelfth rib runs into its lumbar rib, left out:", int(crossing.sum() / 2))
    table = table[~crossing]
    there = table[table["true_mm"] > 0]
    cut = there["truncated"] | ~there["whole"]
    whole = there[~cut]
    error = (whole["found_mm"] - whole["true_mm"]).dropna()
    print(f"ribs wholly in view: {len(whole)}, measured {len(error)}; cut or near the border: {int(cut.sum())}")
    print(
        f"length: mean error {error.mean():.2f}, MAE {error.abs().mean():.2f}, p95 {error.abs().quantile(0.95):.2f} mm"
    )
    clear = whole[(whole["true_mm"] < 36) | (whole["true_mm"] > 40)]
    known = clear[clear["kind"].isin(["rib", "stump"])]
    right = (known["kind"] == "stump") == (known["true_mm"] < 38)
    print("stump or normal, outside 36 to 40 mm:", share(int(right.sum()), len(clear)), "of all;")
    print("  of those classed:", share(int(right.sum()), len(known)))
    absent = table[table["true_mm"] == 0]
    print("absent ribs called absent:", share(int((absent["kind"] == "none").sum()), len(absent)))


def say_cervical(table: pd.DataFrame) -> None:
    found = table["kind"].isin(["rib", "stump"]) | (table["truncated"] & table["found_mm"].notna())
    true = table["true_mm"] > 0
    print("sensitivity, sides:", share(int((found & true).sum()), int(true.sum())))
    print("specificity, sides:", share(int((~found & ~true).sum()), int((~true).sum())))
    whole = table[true & ~table["truncated"] & table["found_mm"].notna()]
    error = whole["found_mm"] - whole["true_mm"]
    print(f"length of {len(whole)} untruncated: mean error {error.mean():.2f}, MAE {error.abs().mean():.2f} mm")


def say_grades(table: pd.DataFrame) -> None:
    for way, part in table.groupby("way", sort=False):
        true = part["grade"].replace({"0": "0/1", "1": "0/1"})
        found = part["suggested"].fillna("none")
        print(f"\n{way}:\n{pd.crosstab(true, found).to_string()}")
        main = true.str[0] == found.str[0]
        print("main grade {0/1, 2, 3, 4}:", share(int(main.sum()), len(part)))
        full = (true == found) & (part["side"].fillna("") == part["suggested_side"].fillna(""))
        print("grade, a or b, and side:", share(int(full.sum()), len(part)))
        fused = true.str[0].isin(["3", "4"])
        if way == VERSE_WAY:
            right = part["unlabelled"] == fused.astype(int)
            print("unlabelled vertebra found or rightly not found:", share(int(right.sum()), len(part)))
        for word in ("high", "moderate", "low"):
            here = part["confidence"] == word
            if here.any():
                print(f"  confidence {word}: main grade", share(int((main & here).sum()), int(here.sum())))
        for what in ("height", "gap"):
            pairs = [
                part[[f"{what}_{s}", f"true_{what}_{s}", f"contact_{s}"]].set_axis(list("abc"), axis=1) for s in SIDES
            ]
            # In a VerSe mask a process beside a fused vertebra is that of the one above.
            both = pd.concat(pairs)[~np.tile(fused & (way == VERSE_WAY), 2)]
            both = both[both["c"] != "fusion"].dropna(subset=["a", "b"])
            error = both["a"] - both["b"]
            if len(error):
                print(
                    f"{what}: n {len(error)}, mean error {error.mean():.2f}, MAE {error.abs().mean():.2f}, "
                    f"p95 {error.abs().quantile(0.95):.2f} mm"
                )


PARTS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "counts": counts,
    "ribs": ribs,
    "cervical": cervical,
    "castellvi": castellvi,
    "grades": grades,
}


def main() -> None:
    """Run one part, or print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "summary"])
    parser.add_argument("-n", type=int, default=20, help="number of phantoms")
    parser.add_argument("--first", type=int, default=0, help="seed of the first phantom")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this long")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/variants"))
    job = parser.parse_args()
    job.output.mkdir(parents=True, exist_ok=True)
    if job.part == "summary":
        summary(job.output)
        return
    file = job.output / f"{job.part}.csv"
    done = set(pd.read_csv(file)["seed"]) if file.is_file() else set()
    start = time.monotonic()
    for seed in range(job.first, job.first + job.n):
        if seed in done or time.monotonic() - start > 60 * job.minutes:
            continue
        rows = pd.DataFrame(PARTS[job.part](seed))
        rows.to_csv(file, mode="a", header=not file.is_file(), index=False)
        print(f"{job.part} {seed} after {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
