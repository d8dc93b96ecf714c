"""Identification rate of the sequence decoder on real detections.

    python benchmarks/keypoints.py --detections FILE --truth FILE                   the shipped prior
    python benchmarks/keypoints.py --detections FILE --truth FILE --cross-validate  five-fold by scan, refitted

A true body counts as identified when the predicted point of its own level lies within 20 mm; every true body is in
the denominator, also those of scans without any detection. Levels are read from the truth only to score.
The shipped prior was fitted on the training part of the VID key points: on those files only the cross-validated
figure is a result. The last line is ``identification_rate_percent NN.NN``.
"""

from __future__ import annotations

import argparse
import math
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.evaluate import wilson_interval
from verse_morph.io.keypoints import Keypoints, read_keypoints
from verse_morph.segment.chain_prior import ChainPrior, load_prior
from verse_morph.segment.decode import Decoding, decode
from verse_morph.segment.detections import Detections

HIT_MM = 20.0
FOLDS = 5
COVERAGE = 0.80
ACCURACY_PERCENT = 98.5
NOTHING = Detections(np.zeros((0, 3)), np.zeros((0, 3)))
COLUMN_TOP = frozenset({Level.C7, Level.T1})


@dataclass(frozen=True, eq=False)
class Scored:
    """A decoded scan against its truth: hits (n,) per true body, and how each failure came about."""

    scan: str
    truth: Keypoints
    decoding: Decoding
    hits: np.ndarray
    failures: tuple[str, ...]
    false_points: int


def score(scan: str, truth: Keypoints, decoding: Decoding) -> Scored:
    hits, failures = [], []
    for level, point in zip(truth.levels, truth.bodies_mm, strict=True):
        own = decoding.points_mm.get(level)
        hit = own is not None and float(np.linalg.norm(own - point)) <= HIT_MM
        hits.append(hit)
        if not hit:
            failures.append(failure(level, point, decoding))
    false = sum(np.linalg.norm(truth.bodies_mm - p, axis=1).min() > HIT_MM for p in decoding.points_mm.values())
    return Scored(scan, truth, decoding, np.array(hits, dtype=bool), tuple(failures), int(false))


def failure(level: Level, point: np.ndarray, decoding: Decoding) -> str:
    """``not found``, or the shift of the nearest predicted level (+1: named one level too low)."""
    apart = {name: float(np.linalg.norm(p - point)) for name, p in decoding.points_mm.items()}
    if not apart or min(apart.values()) > HIT_MM:
        return "not found"
    named = min(apart, key=lambda name: apart[name])
    between = [name for name in Level if name is not Level.T13]
    order = {name: k for k, name in enumerate(between)} | {Level.T13: between.index(Level.T12) + 0.5}
    return f"shift {order[named] - order[level]:+g}"


def line(name: str, scored: list[Scored]) -> str:
    hits = sum(int(s.hits.sum()) for s in scored)
    total = sum(len(s.hits) for s in scored)
    if not total:
        return f"{name:<38} no such scan"
    low, high = (100 * bound for bound in wilson_interval(hits, total))
    return f"{name:<38} {100 * hits / total:6.2f} %  [{low:5.2f}, {high:5.2f}]  n = {total} in {len(scored)} scans"


def report(scored: list[Scored]) -> None:
    groups = {
        "all scans": lambda s: True,
        "VerSe scans": lambda s: s.truth.source.startswith("verse"),
        "COLONOG scans": lambda s: s.truth.source.startswith("COLONOG"),
        "Pancreas-CT scans": lambda s: s.truth.source.startswith("Pancreas"),
        "VerSe and COLONOG scans": lambda s: not s.truth.source.startswith("Pancreas"),
        "without C7 and T1": lambda s: not COLUMN_TOP & set(s.truth.levels),
        "without L5": lambda s: Level.L5 not in s.truth.levels,
        "with neither": lambda s: not (COLUMN_TOP | {Level.L5}) & set(s.truth.levels),
        "not in doubt": lambda s: not s.decoding.in_doubt,
        "in doubt": lambda s: s.decoding.in_doubt,
    }
    print("identification rate, Wilson 95 % interval over bodies (scans cluster: the true interval is wider)")
    for name, chosen in groups.items():
        print(line(name, [s for s in scored if chosen(s)]))
    selective(scored)
    kinds = Counter(f for s in scored for f in s.failures)
    print("failures:", ", ".join(f"{kind} {n}" for kind, n in kinds.most_common()))
    shifted = sum(any(f.startswith("shift") for f in s.failures) for s in scored)
    print(f"scans with a shift: {shifted}; predicted points without a true body in reach: "
          f"{sum(s.false_points for s in scored)}")  # fmt: skip


def selective(scored: list[Scored]) -> None:
    """Accuracy when the least certain scans are left to a person, and how well the posterior is calibrated."""
    order = sorted(scored, key=lambda s: -(s.decoding.margin if s.decoding.margin is not None else -math.inf))
    total, kept = sum(len(s.hits) for s in order), 0
    hits, bodies = (np.cumsum([f(s) for s in order]) for f in (lambda s: s.hits.sum(), lambda s: len(s.hits)))
    enough = np.flatnonzero(100 * hits / bodies >= ACCURACY_PERCENT)
    if len(enough):
        name = f"{ACCURACY_PERCENT:g} % is kept up to {100 * bodies[enough[-1]] / total:.1f} %"
        print(line(name, order[: enough[-1] + 1]))
        print(f"  margin there: {order[enough[-1]].decoding.margin:.2f}")
    for k, item in enumerate(order):
        kept += len(item.hits)
        if kept >= COVERAGE * total:
            print(line(f"most certain {100 * kept / total:.1f} % of bodies", order[: k + 1]))
            print(f"  margin there: {order[k].decoding.margin:.2f}")
            break
    found = [s for s in scored if s.decoding.posterior is not None]
    for low, high in ((0, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, 0.95), (0.95, 0.98), (0.98, 1.01)):
        inside = [s for s in found if low <= (s.decoding.posterior or 0.0) < high]
        if inside:
            right = np.mean([not any(f.startswith("shift") for f in s.failures) for s in inside])
            mean = np.mean([s.decoding.posterior for s in inside])
            print(f"  posterior {low:.2f}-{min(high, 1):.2f}: mean {mean:.3f}, numbered without a shift {right:.3f}, "
                  f"{len(inside)} scans")  # fmt: skip


def worst(scored: list[Scored], count: int) -> None:
    for s in sorted(scored, key=lambda s: -len(s.failures))[:count]:
        names = " ".join(str(level) for level in s.decoding.points_mm) or "nothing"
        true = sorted(s.truth.levels)
        margin = "none" if s.decoding.margin is None else f"{s.decoding.margin:.1f}"
        print(f"{s.scan} {s.truth.source.split('/')[0]} true {true[0]}-{true[-1]} found {names} margin {margin}: "
              f"{dict(Counter(s.failures))}")  # fmt: skip


def evaluate(found: dict[str, Keypoints], truth: dict[str, Keypoints], prior: ChainPrior) -> list[Scored]:
    out = []
    for scan in sorted(truth):
        seen = found.get(scan)
        points = Detections(seen.bodies_mm, seen.scores, seen.left_mm, seen.right_mm) if seen else NOTHING
        out.append(score(scan, truth[scan], decode(points, prior)))
    return out


def subject_of(source: str) -> str:
    """The patient a scan belongs to, as far as its path tells: `sub-...`, or the folder of the study."""
    named = re.search(r"sub-[a-z]+\d+", source)
    return named.group(0) if named else "/".join(source.split("/")[:3])


def folds_of(truth: dict[str, Keypoints], by_subject: bool) -> np.ndarray:
    """The fold (n,) of each scan in alphabetical order."""
    scans = sorted(truth)
    groups = [subject_of(truth[scan].source) if by_subject else scan for scan in scans]
    names, member = np.unique(groups, return_inverse=True)
    return (np.random.default_rng(1).permutation(len(names)) % FOLDS)[member]


def cross_validate(found: dict[str, Keypoints], truth: dict[str, Keypoints], by_subject: bool) -> list[Scored]:
    from fit_decoder import fit, samples_of

    scans, fold = sorted(truth), folds_of(truth, by_subject)
    samples = samples_of(found, truth)
    out = []
    for k in range(FOLDS):
        prior = fit(samples, np.flatnonzero(fold != k), seed=k + 1)
        held_out = {scan: truth[scan] for scan, f in zip(scans, fold, strict=True) if f == k}
        out += evaluate(found, held_out, prior)
        print(line(f"fold {k + 1}", out[-len(held_out) :]), flush=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detections", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--cross-validate", action="store_true", help="refit in five folds by scan")
    parser.add_argument("--by-subject", action="store_true", help="keep the scans of a patient in one fold")
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="list the N scans with most failures")
    options = parser.parse_args()
    found, truth = read_keypoints(options.detections), read_keypoints(options.truth)
    if options.cross_validate:
        scored = cross_validate(found, truth, options.by_subject)
    else:
        start = time.perf_counter()
        scored = evaluate(found, truth, load_prior())
        print(f"{1e3 * (time.perf_counter() - start) / len(truth):.1f} ms per scan")
    report(scored)
    worst(scored, options.worst)
    rate = 100 * sum(int(s.hits.sum()) for s in scored) / sum(len(s.hits) for s in scored)
    print(f"identification_rate_percent {rate:.2f}")


if __name__ == "__main__":
    main()
