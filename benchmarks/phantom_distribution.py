"""How well drawn phantoms match real spines: distances, turning angles and pedicle positions per level.

    python benchmarks/phantom_distribution.py KEYPOINTS.csv.gz -o DIR [--n 200]

KEYPOINTS is the table of the VID vertebral keypoints (scan, keypoint, level, x_lps_mm, y_lps_mm, z_lps_mm; CC BY-SA
4.0). Both sides are reduced to points first and go through the same functions. Writes phantom_distribution.csv and
phantom_distribution.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from verse_morph.anatomy import VERSE, Level
from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.parameters import PhantomOptions, Variants
from verse_morph.phantom.truth import points_of
from verse_morph.space import lps_to_ras

QUANTITIES = {
    "distance": "distance to the next body point [mm]",
    "turn": "sagittal turning angle [deg, + lordotic]",
    "separation": "distance between pedicle points [mm]",
    "back": "pedicles behind the body point [mm]",
    "up": "pedicles above the body point [mm]",
}
MEAN_LIMIT, SD_FACTOR = 0.35, 1.5
LEAST_COUNT = 40
# In every sixth phantom the spine has six lumbar vertebrae, so that L5-L6 can be compared too.
EVERY_SIX = 6


def measures(
    levels: Sequence[Level], points: np.ndarray, left: np.ndarray, right: np.ndarray
) -> Iterator[dict[str, object]]:
    """Quantities of one spine from its body points (N, 3) and pedicle points (N, 3), head to foot, RAS mm."""
    for i, level in enumerate(levels):
        row: dict[str, object] = {"level": str(level)}
        above = points[i - 1] - points[i] if i and levels[i - 1].rank == previous(level) else None
        below = points[i] - points[i + 1] if i + 1 < len(levels) and previous(levels[i + 1]) == level.rank else None
        if below is not None:
            row["distance"] = float(np.linalg.norm(below))
        if above is not None and below is not None:
            row["turn"] = float(np.degrees(np.arctan2(below[1], below[2]) - np.arctan2(above[1], above[2])))
            up = above / np.linalg.norm(above) + below / np.linalg.norm(below)
            up /= np.linalg.norm(up)
            across = right[i] - left[i]
            row["separation"] = float(np.linalg.norm(across))
            across = across - up * (across @ up)
            across /= np.linalg.norm(across)
            middle = (left[i] + right[i]) / 2 - points[i]
            row["back"] = float(-middle @ np.cross(up, across))
            row["up"] = float(middle @ up)
        yield row


def previous(level: Level) -> int:
    """Rank of the level above in a spine without T13."""
    return Level.T12.rank if level is Level.L1 else level.rank - 1


def real_rows(path: Path) -> pd.DataFrame:
    """Quantities of all real scans in which bodies and pedicle points pair up one to one."""
    table = pd.read_csv(path)
    names = {str(level) for level in VERSE.levels.values()}
    rows = []
    for _, scan in table.groupby("scan"):
        sets = {}
        for kind in ("body", "left", "right"):
            part = scan[scan["keypoint"] == kind]
            sets[kind] = (part, lps_to_ras(part[["x_lps_mm", "y_lps_mm", "z_lps_mm"]].to_numpy()))
        part, points = sets["body"]
        if not (len(points) == len(sets["left"][1]) == len(sets["right"][1])) or not set(part["level"]) <= names:
            continue
        levels = [Level(name) for name in part["level"]]
        order = np.argsort([level.rank for level in levels])
        if len({*levels}) < len(levels):
            continue
        down = np.argsort(-points[:, 2])
        if not np.array_equal(order, down):
            continue
        left, right = (sets[side][1][np.argsort(-sets[side][1][:, 2])] for side in ("left", "right"))
        rows += list(measures([levels[i] for i in order], points[order], left, right))
    return pd.DataFrame(rows)


def phantom_rows(count: int) -> pd.DataFrame:
    """Quantities of ``count`` phantoms, seeds 0, 1, ..."""
    rows = []
    for seed in range(count):
        six = seed % EVERY_SIX == EVERY_SIX - 1
        drawn = draw_parameters(np.random.default_rng(seed), PhantomOptions(variants=Variants(lumbar=6 if six else 5)))
        points = [points_of(shape) for shape in drawn.vertebrae]
        sets = [
            np.array([[p[f"{name}_{a}_mm"] for a in "xyz"] for p in points])
            for name in ("point", "pedicle_left", "pedicle_right")
        ]
        rows += list(measures(drawn.levels, *sets))
    return pd.DataFrame(rows)


def summary(values: pd.Series) -> tuple[int, float, float]:
    """Count, mean without values beyond three robust deviations, and robust standard deviation (1.4826 MAD)."""
    clean = values.dropna()
    middle = clean.median()
    spread = 1.4826 * (clean - middle).abs().median()
    return len(clean), float(clean[(clean - middle).abs() < 3 * spread].mean()), float(spread)


def compare(real: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """One row per quantity and level with enough real scans."""
    rows = []
    for quantity in QUANTITIES:
        for level in VERSE.levels.values():
            n, mean, sd = summary(real.loc[real["level"] == str(level), quantity])
            m, mean_drawn, sd_drawn = summary(drawn.loc[drawn["level"] == str(level), quantity])
            if n < LEAST_COUNT or m < 20:
                continue
            shift, factor = (mean_drawn - mean) / sd, sd_drawn / sd
            passed = abs(shift) <= MEAN_LIMIT and 1 / SD_FACTOR <= factor <= SD_FACTOR
            row = {
                "quantity": quantity,
                "level": str(level),
                "n_real": n,
                "mean_real": mean,
                "sd_real": sd,
                "n_phantom": m,
            }
            rows.append(
                row
                | {
                    "mean_phantom": mean_drawn,
                    "sd_phantom": sd_drawn,
                    "shift_sd": shift,
                    "sd_factor": factor,
                    "passed": passed,
                }
            )
    return pd.DataFrame(rows)


def draw_figure(table: pd.DataFrame, path: Path) -> None:
    """Means with one standard deviation to both sides, real and phantom, per level."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(QUANTITIES), 1, figsize=(11, 16), constrained_layout=True)
    for axis, (quantity, title) in zip(axes, QUANTITIES.items(), strict=True):
        part = table[table["quantity"] == quantity].copy()
        part["rank"] = [Level(name).rank for name in part["level"]]
        part = part.sort_values("rank")
        at = np.arange(len(part))
        for kind, shift, colour in (("real", -0.12, "black"), ("phantom", 0.12, "tab:red")):
            axis.errorbar(at + shift, part[f"mean_{kind}"], part[f"sd_{kind}"], fmt="o", ms=4, color=colour, label=kind)
        axis.set_xticks(at, part["level"])
        axis.set_title(f"{title}: {int(part['passed'].sum())} of {len(part)} levels pass")
    axes[0].legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Compare and write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keypoints", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--n", type=int, default=200)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    table = compare(real_rows(arguments.keypoints), phantom_rows(arguments.n))
    table.round(3).to_csv(arguments.output / "phantom_distribution.csv", index=False)
    draw_figure(table, arguments.output / "phantom_distribution.png")
    print(table.round(2).to_string(index=False))
    print(table.groupby("quantity")["passed"].agg(["sum", "count"]))


if __name__ == "__main__":
    main()
