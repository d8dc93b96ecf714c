"""Genant grades on anatomical phantoms: with the true height before the fracture given, and with it estimated.

Each phantom has about one fracture in five levels from T4 to L4, of every kind, that took 12 to 60 % of a height. Two
sorts of phantoms: `own`, drawn as the package draws them (body heights after Panjabi et al., as in the method's own
level table); `other`, whose heights and wedging follow other sources (see `OTHER`) with the published spread of the
ratio of front to back height. `rendered` phantoms go through mask, `build_spine` and `measure`; `heights` ones only
through the estimate of the expected heights, their true heights taken with an error of 0.3 mm (SD), so that there can
be many of them.

Run: .venv/bin/python benchmarks/fracture_accuracy.py -n 200 --minutes 20 -o results/fracture_accuracy
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from report_parts import write

from verse_morph.anatomy import Level
from verse_morph.evaluate import wilson_interval
from verse_morph.measure.expected import expect
from verse_morph.measure.fracture import grade_of
from verse_morph.measure.reference_heights import PLACES
from verse_morph.phantom import reference
from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.parameters import FRACTURES, Fracture, Pathology, PhantomOptions, SpineParameters, View
from verse_morph.phantom.truth import body_of, heights, superior_axis, tangent_at

SAMPLINGS: dict[str, tuple[float, float, float]] = {  # right-left, front-back, up-down
    "1 mm": (1.0, 1.0, 1.0),
    "axial 3 mm": (1.0, 1.0, 3.0),
    "sagittal 3 mm": (3.0, 1.0, 1.0),
}
GRADED = [level for level in Level if Level.T4 <= level <= Level.L4 and level is not Level.T13]
RATE, LEAST_PCT, MOST_PCT = 0.2, 12.0, 60.0
HEIGHT_ERROR_MM = 0.3
CLEAR_POINTS = 4.0
THRESHOLDS = (20.0, 25.0, 40.0)
# Height at the back (mm): T9 to L1 rising by 1.5 mm a level (Palm et al. 2025, CT), T4 to T8 and L2 to L4 as the
# distances between body centres of VerSe20, L5 after 30.3 / 26.3 mm (CT, New Zealand). Front over back and its standard
# deviation: T10 to L2 MRI of adults without complaints (SRA 2011), L5 as above; T4 to T9, L3, L4 the usual values, for
# which no second source was found.
OTHER = """
T4 17.6 0.95 0.07
T5 18.0 0.95 0.07
T6 18.5 0.95 0.07
T7 18.8 0.95 0.07
T8 19.2 0.95 0.07
T9 19.7 0.95 0.07
T10 21.2 0.92 0.08
T11 22.7 0.92 0.08
T12 24.2 0.90 0.06
L1 25.7 0.89 0.06
L2 26.5 0.90 0.07
L3 26.7 0.98 0.07
L4 25.7 1.02 0.07
L5 26.3 1.15 0.07
"""
# The front share varies by so much in the phantoms themselves.
DRAWN_SD = 0.03
OWN_BODIES = reference.BODIES


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
        view=View(upper="T3", lower="last", half_width_mm=34.0, front_mm=6.0, back_mm=4.0),
    )
    reference.BODIES = OWN_BODIES if source == "own" else _other_bodies(rng)
    return draw_parameters(np.random.default_rng(seed), options)


def _other_bodies(rng: np.random.Generator) -> Mapping[Level, reference.BodyRow]:
    rows = dict(OWN_BODIES)
    scale = reference.PANJABI_SCALE * reference.HEIGHT_SCALE
    for line in OTHER.strip().splitlines():
        name, back, share, sd = line.split()
        front = float(share) + np.sqrt(float(sd) ** 2 - DRAWN_SD**2) * rng.normal()
        level = Level(name)
        rows[level] = replace(rows[level], height_back=float(back) / scale, front_share=float(front))
    return rows


def true_heights(parameters: SpineParameters) -> dict[Level, tuple[np.ndarray, np.ndarray, float]]:
    """Heights now and before, and width, of every level from T1 on."""
    out = {}
    for index, shape in enumerate(parameters.vertebrae):
        level = Level(shape.level)
        if level < Level.T1:
            continue
        axis = superior_axis(shape, tangent_at(parameters, index))
        now = heights(body_of(shape, parameters.options.pathology), axis)
        old = parameters.before.get(shape.level)
        before = now if old is None else heights(body_of(old, Pathology()), np.array([0.0, 0.0, 1.0]))
        out[level] = (
            np.array([now[p] for p in PLACES]),
            np.array([before[p] for p in PLACES]),
            shape.width_middle,
        )
    return out


def heights_case(seed: int, source: str) -> pd.DataFrame:
    """Expected heights from the true ones with a small error."""
    parameters = draw(seed, source)
    truth, rng = true_heights(parameters), np.random.default_rng([seed, 11])
    seen = {level: now + rng.normal(0, HEIGHT_ERROR_MM, 3) for level, (now, _, _) in truth.items()}
    found = expect(seen, {level: width for level, (_, _, width) in truth.items()})
    losses = {level: 100 * found[level].loss for level in seen}
    return _rows(parameters, truth, seen, losses, {"sort": "heights", "sampling": "none", "source": source})


def rendered_case(seed: int, sampling: str) -> pd.DataFrame:
    """The whole way from a mask."""
    from verse_morph.measure import measure
    from verse_morph.phantom.render import render
    from verse_morph.shape import build_spine

    parameters = draw(seed, "other")
    table = measure(build_spine(render(parameters, SAMPLINGS[sampling]).verse_labels)).set_index("level")
    seen, losses = {}, {}
    for name, row in table.iterrows():
        seen[Level(str(name))] = row[[f"height_{p}_mm" for p in PLACES]].to_numpy(float)
        losses[Level(str(name))] = row[[f"height_loss_{p}_pct" for p in PLACES]].to_numpy(float)
    words = {"sort": "rendered", "sampling": sampling, "source": "other"}
    return _rows(parameters, true_heights(parameters), seen, losses, words)


def _rows(parameters: SpineParameters, truth: Mapping, seen: Mapping, losses: Mapping, words: dict) -> pd.DataFrame:
    kinds = {fracture.level: fracture.kind for fracture in parameters.options.pathology.fractures}
    rows = []
    for level in GRADED:
        if level not in seen:
            continue
        now, before, _ = truth[level]
        true, given, life = (100 * (1 - now / before)).max(), (100 * (1 - seen[level] / before)).max(), losses[level]
        row = {"level": str(level), "kind": kinds.get(str(level), "none"), "true": true, "given": given}
        row |= {"life": life.max(), **{f"life_{p}": v for p, v in zip(PLACES, life, strict=True)}}
        for name in ("true", "given", "life"):
            row[f"grade_{name}"] = grade_of(row[name]) if np.isfinite(row[name]) else np.nan
        rows.append({**words, **row})
    return pd.DataFrame(rows)


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
    away = np.abs(known["true"].to_numpy()[:, None] - THRESHOLDS).min(axis=1) >= CLEAR_POINTS
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
    ill = true >= 2
    return {
        "weighted kappa": f"{weighted_kappa(true, found):.2f}" if len(set(true)) > 1 else "no case",
        "grade 2 or 3 found": wilson(int((found[ill] >= 2).sum()), int(ill.sum())),
        "below 2 found so": wilson(int((found[~ill] < 2).sum()), int((~ill).sum())),
        "unfractured, graded 1 or more": wilson(int((found[normal] >= 1).sum()), int(normal.sum())),
        "loss, mean absolute error": _points(np.abs(known["life"] - known["true"])[~normal]),
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


def report(cases: pd.DataFrame) -> str:
    """All tables."""
    rendered, plain = cases[cases["sort"] == "rendered"], cases[cases["sort"] == "heights"]
    lines = ["## Height before the fracture given", ""]
    if len(rendered):
        lines += [*markdown(rendered, ["sampling"], given_row), ""]
        lines += ["## As in life, from masks", "", *markdown(rendered, ["sampling"], life_row), ""]
    lines += ["## As in life, from heights alone", "", *markdown(plain, ["source"], life_row), ""]
    other = plain[plain["source"] == "other"]
    lines += ["## By level, phantoms of other sources", "", *markdown(other, ["level"], life_row), ""]
    ill = other[other["kind"] != "none"]
    confusion = pd.crosstab(other["grade_true"], other["grade_life"])
    lines += ["## By kind", "", *markdown(ill, ["kind"], life_row), "", "## True against found grades", ""]
    return "\n".join([*lines, "```", confusion.to_string(), "```", ""])


def main() -> None:
    """Run all phantoms and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=200, help="phantoms of each source, heights only")
    parser.add_argument("--minutes", type=float, default=20, help="time for rendered phantoms, samplings in turn")
    parser.add_argument("-o", "--output", type=Path, help="write OUTPUT.md and OUTPUT.csv")
    options = parser.parse_args()
    parts = [heights_case(seed, source) for source in ("own", "other") for seed in range(options.n)]
    end, seed = time.monotonic() + 60 * options.minutes, 0
    while time.monotonic() < end:
        parts += [rendered_case(seed, sampling) for sampling in SAMPLINGS if time.monotonic() < end]
        seed += 1
        if options.output:
            pd.concat(parts, ignore_index=True).to_csv(options.output.with_suffix(".csv"), index=False)
    cases = pd.concat(parts, ignore_index=True)
    text = report(cases)
    write(options.output, text, cases)


if __name__ == "__main__":
    main()
