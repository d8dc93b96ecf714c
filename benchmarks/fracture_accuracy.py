"""Genant grades on anatomical phantoms: with the true height before the fracture given, and with it estimated.

From masks: the phantoms of `phantom_cases.py`, fractures, Schmorl nodes, osteophytes, slips and curves mixed, through
`build_spine` and `measure`. From heights alone, so that there can be many: phantoms with about one fracture in five
levels from T4 to L4, of every kind, that took 12 to 60 % of a height; only the estimate of the expected heights is on
trial, their true heights taken with an error of 0.3 mm (SD). Two sorts of these: `own`, drawn as the package draws them
(body heights after Panjabi et al., as in the method's own level table); `other`, whose heights and wedging follow other
sources with the published spread of the ratio of front to back height, as do the phantoms seen by their masks.

Run: .venv/bin/python benchmarks/fracture_accuracy.py -n 200 --cases results/phantom_cases -o results/fracture_accuracy
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from phantom_cases import (
    GRADED,
    LEAST_PCT,
    MOST_PCT,
    OWN_BODIES,
    RATE,
    SAMPLINGS,
    other_bodies,
    read_cases,
    true_heights,
)
from report_parts import write

from verse_morph.anatomy import Level
from verse_morph.evaluate import wilson_interval
from verse_morph.measure.expected import expect
from verse_morph.measure.fracture import THRESHOLDS_PCT, grade_of
from verse_morph.measure.reference_heights import PLACES
from verse_morph.phantom import reference
from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.parameters import FRACTURES, Fracture, Pathology, PhantomOptions, SpineParameters, View

HEIGHT_ERROR_MM = 0.3
CLEAR_POINTS = 4.0
NODE = "schmorl"


def draw(seed: int, source: str) -> SpineParameters:
    """One phantom with its fractures."""
    rng = np.random.default_rng([seed, 7])
    fractures = tuple(
        Fracture(str(level), str(rng.choice(FRACTURES)), float(rng.uniform(LEAST_PCT, MOST_PCT)))
        for level in GRADED
        if rng.random() < RATE
    )
    options = PhantomOptions(
        ribs=False,
        pelvis=False,
        neck=False,
        pathology=Pathology(fractures=fractures),
        view=View(upper="T3", lower="last"),
    )
    reference.BODIES = OWN_BODIES if source == "own" else other_bodies(rng)
    return draw_parameters(np.random.default_rng(seed), options)


def heights_case(seed: int, source: str) -> pd.DataFrame:
    """Expected heights from the true ones with a small error."""
    parameters = draw(seed, source)
    truth, rng = true_heights(parameters), np.random.default_rng([seed, 11])
    seen = {level: now + rng.normal(0, HEIGHT_ERROR_MM, 3) for level, (now, _, _) in truth.items()}
    found = expect(seen, {level: width for level, (_, _, width) in truth.items()})
    losses = {level: 100 * found[level].loss for level in seen}
    return _rows(parameters, truth, seen, losses, {"sort": "heights", "sampling": "none", "source": source})


def rendered_cases(cases: pd.DataFrame) -> pd.DataFrame:
    """Grades of phantoms that were measured from their masks, of bodies wholly in view."""
    cut = cases["why"].fillna("").str.contains("the image border cuts the body")
    own = cases[(cases["table"] == "losses") & ~cut]
    keys = ["seed", "sampling", "place", "finding"]
    found = own.pivot_table(index=keys, columns="quantity", values="measured", dropna=False, observed=True)
    true = own[own["quantity"].str.startswith("loss_life")].groupby(keys)["true"].max()
    found = found.loc[true.index]
    rows = []
    for (seed, sampling, level, finding), values in found.iterrows():
        lost = {sort: values[[f"loss_{sort}_{p}" for p in PLACES]].to_numpy(float) for sort in ("given", "life")}
        most = {"true": float(true[seed, sampling, level, finding]), **{k: float(v.max()) for k, v in lost.items()}}
        rows.append({"sort": "rendered", "sampling": sampling, "level": level, "kind": finding, **_graded(most)})
    return pd.DataFrame(rows)


def _rows(parameters: SpineParameters, truth: Mapping, seen: Mapping, losses: Mapping, words: dict) -> pd.DataFrame:
    kinds = {fracture.level: fracture.kind for fracture in parameters.options.pathology.fractures}
    rows = []
    for level in GRADED:
        if level not in seen:
            continue
        now, before, _ = truth[level]
        most = {"true": (100 * (1 - now / before)).max(), "given": (100 * (1 - seen[level] / before)).max()}
        most["life"] = losses[level].max()
        rows.append({**words, "level": str(level), "kind": kinds.get(str(level), "none"), **_graded(most)})
    return pd.DataFrame(rows)


def _graded(most: Mapping[str, float]) -> dict[str, float]:
    """The largest losses, each with its grade; NaN where one could not be measured."""
    grades = {f"grade_{name}": grade_of(loss) if np.isfinite(loss) else np.nan for name, loss in most.items()}
    return {**most, **grades}


# --- figures ----------------------------------------------------------------------------------------------------------


def wilson(hits: int, n: int) -> str:
    """Share in percent with its 95 % Wilson interval."""
    if n == 0:
        return "no case"
    low, high = wilson_interval(hits, n)
    return f"{100 * hits / n:.1f} % ({100 * low:.1f} to {100 * high:.1f}), {hits}/{n}"


def weighted_kappa(true: np.ndarray, found: np.ndarray) -> float:
    """Cohen's kappa with linear weights over grades 0 to 3."""
    counts = np.zeros((4, 4))
    np.add.at(counts, (true.astype(int), found.astype(int)), 1)
    weight = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    expected = (weight * chance).sum()
    return float(1 - (weight * counts).sum() / expected) if expected else float("nan")


def given_row(cases: pd.DataFrame) -> dict[str, str]:
    """Grades from measured heights against the true heights before."""
    known = cases.dropna(subset=["grade_given"])
    away = np.abs(known["true"].to_numpy()[:, None] - THRESHOLDS_PCT).min(axis=1) >= CLEAR_POINTS
    same = (known["grade_given"] == known["grade_true"]).to_numpy()
    return {
        "exact, 4 points or more from a threshold": wilson(int(same[away].sum()), int(away.sum())),
        "exact, nearer": wilson(int(same[~away].sum()), int((~away).sum())),
        "not assessed": str(len(cases) - len(known)),
    }


def life_row(cases: pd.DataFrame) -> dict[str, str]:
    """Grades as in life."""
    known = cases.dropna(subset=["grade_life"])
    true, found = known["grade_true"].to_numpy(), known["grade_life"].to_numpy()
    normal = (known["kind"] == "none").to_numpy()
    node = (known["kind"] == NODE).to_numpy()
    ill = true >= 2
    return {
        "weighted kappa": f"{weighted_kappa(true, found):.2f}" if len(set(true)) > 1 else "no case",
        "grade 2 or 3 found": wilson(int((found[ill] >= 2).sum()), int(ill.sum())),
        "below 2 found so": wilson(int((found[~ill] < 2).sum()), int((~ill).sum())),
        "unfractured, graded 1 or more": wilson(int((found[normal] >= 1).sum()), int(normal.sum())),
        "only a Schmorl node, graded 1 or more": wilson(int((found[node] >= 1).sum()), int(node.sum())),
        "loss, mean absolute error": _points(np.abs(known["life"] - known["true"])[~normal & ~node]),
        "not assessed": str(len(cases) - len(known)),
    }


def _points(errors: pd.Series) -> str:
    return f"{errors.mean():.1f} points" if len(errors) else "no case"


def markdown(cases: pd.DataFrame, by: list[str], row: object) -> Iterator[str]:
    """Lines of a Markdown table with one line per group."""
    rows = [
        [*map(str, keys if isinstance(keys, tuple) else (keys,)), *row(group).values()]  # type: ignore[operator]
        for keys, group in cases.groupby(by, sort=False)
    ]
    heads = [*by, *row(cases).keys()]  # type: ignore[operator]
    for cells in (heads, ["---"] * len(heads), *rows):
        yield "| " + " | ".join(cells) + " |"


def report(rendered: pd.DataFrame, plain: pd.DataFrame) -> str:
    """All tables."""
    lines = []
    if len(rendered):
        lines += ["## Height before the fracture given", "", *markdown(rendered, ["sampling"], given_row), ""]
        lines += ["### By level", "", *markdown(rendered, ["sampling", "level"], given_row), ""]
        lines += ["## As in life, from masks", "", *markdown(rendered, ["sampling"], life_row), ""]
        lines += ["### By level", "", *markdown(rendered, ["sampling", "level"], life_row), ""]
    lines += ["## As in life, from heights alone", "", *markdown(plain, ["source"], life_row), ""]
    other = plain[plain["source"] == "other"]
    lines += ["## By level, phantoms of other sources", "", *markdown(other, ["level"], life_row), ""]
    ill = other[other["kind"] != "none"]
    confusion = pd.crosstab(other["grade_true"], other["grade_life"])
    lines += ["## By kind", "", *markdown(ill, ["kind"], life_row), "", "## True against found grades", ""]
    return "\n".join([*lines, "```", confusion.to_string(), "```", ""])


def in_order(cases: pd.DataFrame) -> pd.DataFrame:
    """Thin slices first, head to foot."""
    levels = {str(level): level.rank for level in Level}
    at = cases["sampling"].map(list(SAMPLINGS).index), cases["level"].map(levels)
    return cases.assign(first=at[0], then=at[1]).sort_values(["first", "then"]).drop(columns=["first", "then"])


def main() -> None:
    """Run all phantoms and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=200, help="phantoms of each source, heights only")
    parser.add_argument("--cases", type=Path, help="folder of phantom_cases.py: grades from masks too")
    parser.add_argument("-o", "--output", type=Path, help="write OUTPUT.md and OUTPUT.csv")
    options = parser.parse_args()
    plain = pd.concat([heights_case(seed, source) for source in ("own", "other") for seed in range(options.n)])
    rendered = in_order(rendered_cases(read_cases(options.cases))) if options.cases else pd.DataFrame()
    write(options.output, report(rendered, plain), pd.concat([rendered, plain], ignore_index=True))


if __name__ == "__main__":
    main()
