"""Fit the chain prior of the sequence decoder on labelled key points.

    python benchmarks/fit_decoder.py --detections FILE --truth FILE [--out DIR]

Deterministic for a given PyTorch version. Every scan is seen as it is and in jittered, tilted, mirrored, thinned
and (one in four) cropped copies. The loss is the log-loss of the true numbering among all valid numberings.
The threshold of doubt was chosen on the five-fold predictions of `keypoints.py --cross-validate`; the temperature is 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.io.keypoints import Keypoints, read_keypoints
from verse_morph.segment.chain_features import node_features, step_features
from verse_morph.segment.chain_prior import PRIOR_DIR, ROW, STEP, VERTEBRA, ChainPrior
from verse_morph.segment.detections import Detections
from verse_morph.segment.numbering import LEVELS, SACRUM, numberings, whole_row_features
from verse_morph.segment.row import Row, spine_row

MATCH_MM = 14.0  # a detection this close to a true body is that body
SINGLE_STEP_MM = 48.0  # T11 and L1 this close are neighbours of a spine without T12
T13_APART_MM = 25.0  # a point this far from T12 and L1, between them, is an unlabelled T13
COPIES, EPOCHS, BATCH, RATE, DECAY, MEMBERS = 8, 36, 64, 3e-3, 1e-2, 3
DOUBT_MARGIN = 3.0  # log-odds; the README of the prior says what coverage and accuracy it gives
TEMPERATURE = 1.0
THINNED = 0.12  # part of the vertebrae taken out to show the network what a missed one looks like ...
MISSED_WEIGHT = 0.05  # ... and the weight that brings such steps back to how often they occur


@dataclass(frozen=True, eq=False)
class Sample:
    """One row with all its numberings; ``good`` marks those that agree with the truth.

    ``jumps`` are classes: 0 where neighbours are one level apart. ``steps`` belong to a thinned copy of the row.
    """

    nodes: np.ndarray
    steps: np.ndarray
    jumps: np.ndarray
    ranks: np.ndarray
    whole: np.ndarray
    good: np.ndarray


def detections_of(found: Keypoints) -> Detections:
    return Detections(found.bodies_mm, found.scores, found.left_mm, found.right_mm)


NOTHING = Detections(np.zeros((0, 3)), np.zeros((0, 3)))


def allowed_levels(row: Row, truth: Keypoints) -> tuple[np.ndarray, np.ndarray]:
    """Levels (n, 27) that the truth allows each point of a row, and which points to keep (n,)."""
    n = len(row)
    allowed, keep = np.ones((n, len(LEVELS)), dtype=bool), np.ones(n, dtype=bool)
    apart = np.linalg.norm(truth.bodies_mm[:, None] - row.points_mm[None], axis=2)
    named: dict[int, int] = {}
    for i, level in enumerate(truth.levels):
        j = int(apart[i].argmin())
        if apart[i, j] <= MATCH_MM and apart[:, j].argmin() == i:
            named[j] = level.rank
    if not named:
        return allowed, np.zeros(n, dtype=bool)
    first, last = min(named), max(named)
    for j in range(n):
        if j in named:
            allowed[j] = np.arange(len(LEVELS)) == named[j]
        elif first < j < last:
            upper, lower = max(k for k in named if k < j), min(k for k in named if k > j)
            thirteen = (named[upper], named[lower]) == (Level.T12.rank, Level.L1.rank)
            if thirteen and apart[:, j].min() > T13_APART_MM:
                allowed[j] = np.arange(len(LEVELS)) == Level.T13.rank
            elif named[lower] - named[upper] <= 1 or apart[:, j].min() < 20:
                keep[j] = False
        else:
            allowed[j, Level.T13.rank] = False
            if j > last and named[last] >= Level.L5.rank:
                # An unlabelled point below L5 is the sacrum or an L6 that was not labelled.
                six = named[last] == Level.L5.rank and j == last + 1 and not row.from_pedicles[j]
                allowed[j] = (np.arange(len(LEVELS)) == SACRUM) | (six & (np.arange(len(LEVELS)) == Level.L6.rank))
    return allowed, keep


def true_jumps(row: Row, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels between neighbours (n - 1,), and where the truth tells them; T13 counts only where it is present."""
    jumps, known = np.ones(len(row) - 1, dtype=int), np.zeros(len(row) - 1, dtype=bool)
    single = allowed.sum(axis=1) == 1
    rank = allowed.argmax(axis=1)
    gap = np.linalg.norm(np.diff(row.points_mm, axis=0), axis=1)
    for k in range(len(row) - 1):
        upper, lower = rank[k], rank[k + 1]
        if not (single[k] and single[k + 1]) or SACRUM in (upper, lower):
            continue
        known[k] = True
        jumps[k] = lower - upper - (upper < Level.T13.rank < lower)
        if (upper, lower) == (Level.T11.rank, Level.L1.rank) and gap[k] < SINGLE_STEP_MM:
            jumps[k] = 1
    return np.clip(jumps, 1, 4), known


def thinned_steps(
    row: Row, jumps: np.ndarray, known: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Features (m, G) and sizes (m,) of the known steps of a row from which one vertebra in eight was taken."""
    keep = np.flatnonzero((rng.random(len(row)) >= THINNED) | (len(row) < 4))
    if len(keep) < 2:
        return np.zeros((0, 12), np.float32), np.zeros(0, dtype=int)
    place, unknown = np.concatenate([[0], np.cumsum(jumps)]), np.concatenate([[0], np.cumsum(~known)])
    sizes = np.diff(place[keep])
    sure = (np.diff(unknown[keep]) == 0) & (sizes <= 4)
    return step_features(part_of(row, keep)).astype(np.float32)[sure], sizes[sure] - 1


def part_of(row: Row, chosen: np.ndarray) -> Row:
    return Row(*(getattr(row, field.name)[chosen] for field in dataclasses.fields(Row)))


def sample_of(detections: Detections, truth: Keypoints, rng: np.random.Generator) -> Sample | None:
    """The training sample of a scan, None where no row or no valid numbering agrees with the truth."""
    row = spine_row(detections)
    if not len(row) or not truth.levels:
        return None
    allowed, keep = allowed_levels(row, truth)
    if not keep.any():
        return None
    row = part_of(row, keep)
    allowed = allowed[keep]
    jumps, known = true_jumps(row, allowed)
    ranks, variants = numberings(jumps)
    good = allowed[np.arange(len(row)), ranks].all(axis=1) if len(ranks) else np.zeros(0, dtype=bool)
    if not good.any():
        return None
    whole = whole_row_features(row, ranks, variants).astype(np.float32)
    nodes = node_features(row).astype(np.float32)
    return Sample(nodes, *thinned_steps(row, jumps, known, rng), ranks, whole, good)


def vary(detections: Detections, truth: Keypoints, rng: np.random.Generator) -> tuple[Detections, Keypoints]:
    """A jittered, tilted, rescaled, thinned, sometimes mirrored and cropped copy of a scan."""
    low, high = crop_range(truth, rng) if rng.random() < 0.25 else (-np.inf, np.inf)
    tilt, lean, scale = rng.normal(0, np.deg2rad(5)), rng.normal(0, np.deg2rad(2)), np.exp(rng.normal(0, 0.05))
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    about_y = np.array([[np.cos(lean), 0, np.sin(lean)], [0, 1, 0], [-np.sin(lean), 0, np.cos(lean)]])
    mirror = rng.random() < 0.5
    turn = scale * about_x @ about_y
    turn = np.diag([-1.0, 1.0, 1.0]) @ turn if mirror else turn
    centre = truth.bodies_mm.mean(axis=0)

    def moved(points: np.ndarray, drop: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
        keep = (points[:, 2] >= low) & (points[:, 2] <= high) & (rng.random(len(points)) >= drop)
        return (points[keep] - centre) @ turn.T + noise * rng.normal(size=(keep.sum(), 3)), keep

    bodies, kept = moved(detections.bodies_mm, 0.015 if rng.random() < 0.6 else 0.08, 0.8)
    pedicle_drop = 0.03 if rng.random() < 0.7 else 0.2
    left, right = (moved(side, pedicle_drop, 0.8)[0] for side in (detections.left_mm, detections.right_mm))
    clipped = np.clip(detections.scores[kept], 0.003, 0.997)
    logit = np.log(clipped / (1 - clipped)) * rng.uniform(0.9, 1.1) + rng.normal(0, 0.15, clipped.shape)
    left, right = (right, left) if mirror else (left, right)
    true, seen = moved(truth.bodies_mm, 0.0, 0.0)
    levels = tuple(level for level, inside in zip(truth.levels, seen, strict=True) if inside)
    copy = dataclasses.replace(truth, bodies_mm=true, levels=levels)
    return Detections(bodies, 1 / (1 + np.exp(-logit)), left, right), copy


def crop_range(truth: Keypoints, rng: np.random.Generator) -> tuple[float, float]:
    """Lower and upper z of a view that keeps at least three vertebrae and is cut at one end or both."""
    z = np.sort(truth.bodies_mm[:, 2])[::-1]
    if len(z) < 5:
        return -np.inf, np.inf
    kept = int(rng.integers(3, len(z)))
    top = int(rng.integers(0, len(z) - kept + 1))
    high = np.inf if top == 0 else z[top] + rng.uniform(3, 25)
    low = -np.inf if top + kept == len(z) else z[top + kept - 1] - rng.uniform(3, 25)
    side = rng.random()
    return (-np.inf if side < 0.4 else low), (np.inf if 0.4 <= side < 0.7 else high)


def samples_of(found: dict[str, Keypoints], truth: dict[str, Keypoints]) -> list[list[Sample | None]]:
    """Samples of every scan (rows: plain, then varied copies; columns: scans in alphabetical order)."""
    pairs = [(detections_of(found[s]) if s in found else NOTHING, truth[s]) for s in sorted(truth)]
    rng = np.random.default_rng(0)
    plain = [sample_of(*pair, rng) for pair in pairs]
    return [plain] + [[sample_of(*vary(*pair, rng), rng) for pair in pairs] for _ in range(COPIES)]


def batches(samples: list[Sample], rng: np.random.Generator):
    """Batches of rows of similar length, in random order."""
    order = np.argsort([len(s.nodes) + rng.normal(0, 1.5) for s in samples])
    groups = np.array_split(order, len(samples) // BATCH + 1)
    for k in rng.permutation(len(groups)):
        yield collate([samples[i] for i in groups[k]])


def collate(batch: list[Sample]):
    import torch

    size, points, options = len(batch), max(len(s.nodes) for s in batch), max(len(s.ranks) for s in batch)
    nodes = np.zeros((size, points, batch[0].nodes.shape[1]), np.float32)
    ranks = np.full((size, points, options), len(LEVELS))
    whole = np.zeros((size, options, batch[0].whole.shape[1]), np.float32)
    valid, good = np.zeros((size, options), dtype=bool), np.zeros((size, options), dtype=bool)
    for b, s in enumerate(batch):
        n, c = len(s.nodes), len(s.ranks)
        nodes[b, :n], ranks[b, :n, :c], whole[b, :c] = s.nodes, s.ranks.T, s.whole
        valid[b, :c], good[b, :c] = True, s.good
    steps = np.concatenate([s.steps for s in batch])
    jumps = np.concatenate([s.jumps for s in batch])
    return [torch.tensor(a) for a in (nodes, ranks, whole, valid, good, steps, jumps)]


def network(sizes: tuple[int, ...], drop: tuple[float, ...] = ()):
    from torch import nn

    layers: list = []
    for k, (into, out) in enumerate(itertools.pairwise(sizes)):
        layers += [nn.ReLU()] if k else []
        layers += [nn.Dropout(drop[k])] if k < len(drop) else []
        layers.append(nn.Linear(into, out))
    return nn.Sequential(*layers)


def fit_member(copies: list[list[Sample]], seed: int) -> dict[str, np.ndarray]:
    """One member of the ensemble, as named arrays."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    one = copies[0][0]
    nets = torch.nn.ModuleDict({
        VERTEBRA: network((one.nodes.shape[1], 64, 32, len(LEVELS)), (0.1, 0.2)),
        STEP: network((one.steps.shape[1], 12, 4)),
        ROW: network((one.whole.shape[1], 24, 1)),
    })  # fmt: skip
    optimiser = torch.optim.AdamW(nets.parameters(), RATE, weight_decay=DECAY)
    # Every second pass sees the scans as they are.
    order = [0 if e % 2 else 1 + (e // 2) % (len(copies) - 1) for e in range(EPOCHS)]
    total = sum(len(copies[copy]) // BATCH + 1 for copy in order)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=total)
    for copy in order:
        for batch in batches(copies[copy], rng):
            loss = log_loss(nets, batch)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(nets.parameters(), 2.0)
            optimiser.step()
            schedule.step()
    return arrays_of(nets)


def log_loss(nets, batch):
    """Mean log-loss of the true numbering plus that of the steps."""
    import torch

    nodes, ranks, whole, valid, good, steps, jumps = batch
    raw = nets[VERTEBRA](nodes)
    middle = torch.logaddexp(raw[..., Level.T12.rank], raw[..., Level.L1.rank]) + np.log(0.5)
    t13 = Level.T13.rank
    logits = [raw[..., :t13], middle[..., None], raw[..., t13 + 1 :], torch.zeros_like(raw[..., :1])]
    score = torch.gather(torch.cat(logits, -1), 2, ranks).sum(1) + nets[ROW](whole)[..., 0]
    everything = torch.logsumexp(score.masked_fill(~valid, -1e4), 1)
    true = torch.logsumexp(score.masked_fill(~good, -1e4), 1)
    rarity = torch.tensor([1.0, MISSED_WEIGHT, MISSED_WEIGHT, MISSED_WEIGHT])
    step_loss = torch.nn.functional.cross_entropy(nets[STEP](steps), jumps, weight=rarity)
    return (everything - true).mean() + step_loss


def arrays_of(nets) -> dict[str, np.ndarray]:
    """Weights as half-precision arrays: the shipped and the cross-validated networks are rounded alike."""
    from torch import nn

    out = {}
    for name, net in nets.items():
        for k, layer in enumerate(layer for layer in net if isinstance(layer, nn.Linear)):
            out[f"{name}.{k}.weight"] = layer.weight.detach().numpy().T.astype(np.float16)
            out[f"{name}.{k}.bias"] = layer.bias.detach().numpy().astype(np.float16)
    return out


def fit(samples: list[list[Sample | None]], chosen: np.ndarray, seed: int = 0) -> ChainPrior:
    """The prior fitted on the chosen scans (indices into the alphabetical order)."""
    copies = [[s for s in (row[i] for i in chosen) if s is not None] for row in samples]
    members = [fit_member(copies, seed * 100 + k) for k in range(MEMBERS)]
    wide = [{name: array.astype(np.float64) for name, array in member.items()} for member in members]
    return ChainPrior(tuple(wide), TEMPERATURE, DOUBT_MARGIN)


def save(prior: ChainPrior, folder: Path, scans: int) -> None:
    """Write the arrays and their manifest, each under a temporary name first."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"{k}.{n}": a.astype(np.float16) for k, member in enumerate(prior.members) for n, a in member.items()}
    temporary = folder / "chain_prior.tmp.npz"
    np.savez_compressed(temporary, **arrays)
    manifest = {
        "members": len(prior.members),
        "temperature": prior.temperature,
        "doubt_margin": prior.doubt_margin,
        "scans": scans,
        "sha256": hashlib.sha256(temporary.read_bytes()).hexdigest(),
        "licence": "CC-BY-SA-4.0",
        "data": "VID keypoints, training part (ImFusion, MICCAI 2023)",
    }
    os.replace(temporary, folder / "chain_prior.npz")
    text = folder / "manifest.tmp.json"
    text.write_text(json.dumps(manifest, indent=2) + "\n")
    os.replace(text, folder / "manifest.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detections", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=PRIOR_DIR)
    options = parser.parse_args()
    truth = read_keypoints(options.truth)
    samples = samples_of(read_keypoints(options.detections), truth)
    save(fit(samples, np.arange(len(truth))), options.out, len(truth))
    print(f"chain prior of {len(truth)} scans written to {options.out}")


if __name__ == "__main__":
    main()
