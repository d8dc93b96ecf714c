"""What the networks cost the variants: the same scans judged from predicted and from true masks, beside the truth.

    python benchmarks/cascade.py DATA -o PREDICTED
    python benchmarks/variants_through_cascade.py DATA PREDICTED -o OUT

DATA is a folder of `verse-morph phantom`. A question counts where the true VerSe mask and the CT answer it (a rib that
the field of view cuts has no class, a lumbar spine cut below has no grade); what the predicted mask then says is right,
wrong or refused. A level is "named right" where the body that the networks give its name lies within 12 mm of its own.
Results are appended to one table, so that a run can be stopped and taken up again. The last line is
``castellvi N of N, counts N of N``, both from predicted masks, of the questions that count.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from verse_morph.anatomy import Level
from verse_morph.evaluate import wilson_interval
from verse_morph.io import Case, find_cases, read_labels, read_scan, scan_on_grid
from verse_morph.shape import build_spine
from verse_morph.spine import Spine
from verse_morph.variants import VariantFeatures, scan_variants
from verse_morph.variants.features import RIB_LEVELS
from verse_morph.variants.ribs import SIDES
from verse_morph.variants.rules import Rules

NEAR_MM = 12.0
CERVICAL, SHORT = "rib of C7", "rib of T11 to L1: rib, stump or none"
COUNTS = ("thoracic", "lumbar_total")
CASTELLVI = ("Castellvi 0/1, 2, 3, 4", "Castellvi with a or b", "Castellvi side")
NO_SIDE = "none or both"


def judged(mask: Path, case: Case) -> tuple[Spine, VariantFeatures]:
    """Spine and features from one mask and the case's CT."""
    labels = read_labels(mask, "verse")
    scan = scan_on_grid(read_scan(case.ct), labels.grid)
    spine = build_spine(labels, scan)
    return spine, scan_variants(spine, scan, labels)


def place_of(spine: Spine, level: Level) -> np.ndarray | None:
    """Middle of a vertebra's body, or of its mask where the border cuts it."""
    if level not in spine.levels():
        return None
    vertebra = spine[level]
    if vertebra.centre_mm is not None:
        return vertebra.centre_mm
    return np.asarray(vertebra.grid.to_world(np.argwhere(vertebra.mask)).mean(axis=0))


def named_right(true: Spine, predicted: Spine, level: Level) -> bool:
    """Whether the networks give this name to the vertebra that has it, or to none where there is none."""
    places = [place_of(spine, level) for spine in (true, predicted)]
    if places[0] is None or places[1] is None:
        return places[0] is None and places[1] is None
    return float(np.linalg.norm(places[0] - places[1])) < NEAR_MM


def answers(features: VariantFeatures, truth: dict[str, Any]) -> Iterator[tuple[str, str, Any, Any, str]]:
    """Question, level or side, the truth, what was found (None: refused), why refused."""
    for name in COUNTS:
        count = getattr(features.enumeration, name)
        yield f"{name.split('_')[0]} count", "", truth[name], count.value, count.why
    grade, side = features.castellvi.grade, features.castellvi.side
    wanted = "0/1" if truth["castellvi"] in ("0", "1") else truth["castellvi"]
    where = truth["castellvi_side"] if wanted in ("2a", "3a", "4") else NO_SIDE
    found = (grade and grade[0], grade, None if grade is None else side or NO_SIDE)
    for question, right, value in zip(CASTELLVI, (wanted[0], wanted, where), found, strict=True):
        yield question, "", right, value, features.castellvi.why
    for level in RIB_LEVELS:
        for which in SIDES:
            rib = features.rib(level, which)
            length = truth["rib_lengths_mm"].get(f"{level}_{which}", 0.0)
            if level is Level.C7:
                kind = "yes" if rib.kind in ("rib", "stump") else rib.kind.replace("none", "no")
                right = "yes" if which in truth["cervical_ribs"] else "no"
            else:
                kind = rib.kind
                right = "none" if not length else "stump" if length < Rules().stump_mm else "rib"
            value = None if rib.kind == "not_assessable" else kind
            yield CERVICAL if level is Level.C7 else SHORT, f"{level} {which}", right, value, rib.why


def compared(case: Case, predicted: Path, truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of one scan: every question with its answers from both masks."""
    (true_spine, true), (spine, found) = judged(case.mask, case), judged(predicted, case)
    rows = []
    for first, second in zip(answers(true, truth), answers(found, truth), strict=True):
        question, at, right, value, _ = first
        row = {"scan": case.scan, "question": question, "at": at, "truth": right, "true_mask": value}
        row |= {"predicted_mask": second[3], "why": second[4]}
        named = named_right(true_spine, spine, Level(at.split(" ")[0])) if at else _all_right(true_spine, spine)
        rows.append(row | {"named_right": named})
    for one, other in zip(true.processes, found.processes, strict=True):
        row = {"scan": case.scan, "question": "process height, mm", "at": one.side, "true_mask": one.height_mm}
        row |= {"predicted_mask": other.height_mm, "why": other.why_shape}
        rows.append(row | {"named_right": _all_right(true_spine, spine)})
    return rows


def _all_right(true: Spine, predicted: Spine) -> bool:
    """Whether all vertebrae with a body in view bear their own names, and no others have any."""
    levels = {v.level for spine in (true, predicted) for v in spine if v.centre_mm is not None}
    return all(named_right(true, predicted, level) for level in levels)


def share(part: pd.DataFrame, way: str) -> str:
    """Right answers of one way, with the Wilson interval."""
    right, n = int((part[way].astype(str) == part["truth"].astype(str)).sum()), len(part)
    if n == 0:
        return "0 of 0"
    low, high = wilson_interval(right, n)
    return f"{right} of {n} ({100 * low:.0f} to {100 * high:.0f})"


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per question, those that the true mask answers."""
    out = []
    asked = table[table["true_mask"].notna() & (table["question"] != "process height, mm")]
    for question, part in asked.groupby("question", sort=False):
        refused = part["predicted_mask"].isna()
        wrong = ~refused & (part["predicted_mask"].astype(str) != part["truth"].astype(str))
        row = {"question": question, "true mask right": share(part, "true_mask")}
        row |= {"predicted right": share(part, "predicted_mask"), "wrong": int(wrong.sum())}
        row |= {"refused": int(refused.sum()), "named right": share(part[part["named_right"]], "predicted_mask")}
        out.append(row | {"wrong and named right": int((wrong & part["named_right"]).sum())})
    return pd.DataFrame(out)


def say(table: pd.DataFrame) -> None:
    """Print the summary, the cross tables and the last line."""
    whole = table[table["question"] == CASTELLVI[0]]
    print(f"{len(whole)} scans, {whole['named_right'].sum()} with all names right")
    print(summary(table).to_string(index=False))
    asked = table[table["true_mask"].notna()]
    for question in (CASTELLVI[0], CERVICAL, SHORT):
        part = asked[asked["question"] == question]
        print(f"\n{question}: rows truth, columns from predicted masks")
        print(pd.crosstab(part["truth"], part["predicted_mask"].fillna("refused")).to_string())
    heights = asked[asked["question"] == "process height, mm"]
    error = (heights["predicted_mask"].astype(float) - heights["true_mask"].astype(float)).dropna()
    print(f"\nprocess height, predicted minus true mask: n {len(error)}, refused {len(heights) - len(error)}, ", end="")
    print(f"mean {error.mean():.1f}, mean absolute {error.abs().mean():.1f}, p95 {error.abs().quantile(0.95):.1f} mm")
    grades, counts = asked[asked["question"] == CASTELLVI[0]], asked[asked["question"].str.endswith(" count")]
    words = [share(part, "predicted_mask").split(" (")[0] for part in (grades, counts)]
    print(f"castellvi {words[0]}, counts {words[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("predicted", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    file = given.output / "variants_through_cascade.csv"
    done = set(pd.read_csv(file)["scan"]) if file.is_file() else set()
    for case in find_cases(given.data):
        mask = given.predicted / f"{case.scan}_seg-vert_msk.nii.gz"
        name = f"{given.data.name}/{case.scan}"
        if name in done or case.ct is None or case.mask is None or not mask.is_file():
            continue
        truth = json.loads((case.mask.parent / f"{case.scan}_truth.json").read_text())["scan"]
        rows = pd.DataFrame(compared(case, mask, truth)).assign(scan=name)
        rows.to_csv(file, mode="a", header=not file.is_file(), index=False)
        print(name, flush=True)
    say(
        pd.read_csv(
            file, keep_default_na=False, na_values=[""], dtype={"truth": str, "true_mask": str, "predicted_mask": str}
        )
    )


if __name__ == "__main__":
    main()
