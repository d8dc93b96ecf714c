"""What parts of the outline stage's recipe are worth: the same short training from scratch with one thing changed.

    python benchmarks/ablation.py --painted painted.csv --pairs pairs.csv --check check.csv -o results/ablation

``painted.csv`` names masks alone, ``pairs.csv`` masks with their CT, ``check.csv`` pairs that no arm learns from
(tables as in docs/training.md). Every arm sees the same number of samples from the same seed and is judged on the same
held-out phantoms and, with true points given, on the pairs to check. Every arm has a folder of its own: a run that was
stopped goes on. A few hundred steps tell what helps at the beginning, not what would be left after thousands.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from report_parts import markdown, write

from verse_morph.anatomy import VERSE, Level
from verse_morph.segment.compute import Compute, choose_compute
from verse_morph.segment.merge import merge
from verse_morph.segment.networks import UNetShape
from verse_morph.segment.outline import outline
from verse_morph.segment.train.loop import VALIDATION_SEED, Data, TrainSettings, train
from verse_morph.segment.train.outline_samples import PAINT, OutlineOptions, OutlineSamples
from verse_morph.segment.train.sources import Source, hold_out, load_sources
from verse_morph.segment.train.stages import stage_named
from verse_morph.segment.weights import load_network
from verse_morph.space import Grid
from verse_morph.volume import Scan

SEED, BATCH, HELD_OUT = 11, 4, 48
SHAPE, TWO_THIRDS = UNetShape(2, 1), UNetShape(2, 1, (16, 32, 64, 80))
OPTIONS = OutlineOptions()


@dataclass(frozen=True)
class Arm:
    """One training: its sources, its samples, its network, its arithmetic."""

    sources: tuple[str, ...] = ("phantoms", "painted")
    options: OutlineOptions = OPTIONS
    shape: UNetShape = SHAPE
    half: bool = True


ARMS = {
    "phantoms only": Arm(("phantoms",)),
    "and painted maps": Arm(),
    "and real pairs": Arm(("phantoms", "painted", "pairs")),
    "painted maps only": Arm(("painted",)),
    "without spurs": Arm(options=OutlineOptions(paint=replace(PAINT, overgrowth=0.0))),
    "without unlabelled bone": Arm(options=OutlineOptions(paint=replace(PAINT, extra_bone=0.0))),
    "noise to 60 HU": Arm(options=OutlineOptions(paint=replace(PAINT, noise_sd_hu=(8.0, 60.0)))),
    "patch 64 x 80 x 48": Arm(options=OutlineOptions(patch=(64, 80, 48))),
    "two thirds as wide": Arm(shape=TWO_THIRDS),
    "single precision": Arm(half=False),
}


def train_arm(arm: Arm, sources: dict[str, tuple[Source, ...]], steps: int, folder: Path, compute: Compute) -> None:
    """Train an arm, or go on with it."""
    split = hold_out(tuple(source for name in arm.sources for source in sources[name]), sources["held out"])
    learnt, held_out = OutlineSamples(split.train, SEED, arm.options), OutlineSamples(split.held_out, VALIDATION_SEED)
    data = Data(learnt, held_out, split.words(), "none")
    settings = TrainSettings("outline", steps, BATCH, seed=SEED, validation=HELD_OUT)
    stage = replace(stage_named("outline"), shape=arm.shape)
    resume = (folder / "checkpoint.safetensors").exists()
    train(settings, data, replace(compute, half=compute.half and arm.half), folder, resume, stage=stage)


def dice_of(source: Source, folder: Path, compute: Compute) -> list[float]:
    """Dice of every vertebra of a pair, true points given, outlined and merged as in use."""
    network, _ = load_network("outline", folder)
    grid = Grid(source.labels.shape, np.diag([*source.spacing_mm, 1.0]))
    points = {VERSE.levels[value]: grid.to_world(centre) for value, centre in source.centres.items()}
    found = merge(outline(Scan(source.hu, grid), points, network, compute), grid).labels.labels
    pairs = [(found == VERSE.value_of(Level(k)), source.labels == VERSE.value_of(Level(k))) for k in points]
    return [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs]


def result_of(name: str, arm: Arm, folder: Path, checks: tuple[Source, ...], compute: Compute) -> dict:
    """One line of the table."""
    card_log = pd.read_csv(folder / "log.csv").iloc[-1]
    line = {"arm": name, "s per step": card_log["seconds"] / card_log["step"]}
    line |= {"held-out Dice": card_log["held_out_dice"], "behind": card_log["held_out_dice_posterior"]}
    exact = replace(compute, half=compute.half and arm.half)
    for source in checks:
        line[source.name] = float(np.mean(dice_of(source, folder, exact)))
    return line


def main() -> None:
    """Train what has not been trained and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=60)
    for name in ("painted", "pairs", "check"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--arm", action="append", choices=list(ARMS), help="only these; may be repeated")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--cache", type=Path, help="prepared sources; OUTPUT/cache by default")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    compute, cache = choose_compute("cpu", 1), given.cache or given.output / "cache"
    phantoms = load_sources([f"phantoms:{given.phantoms}@4"], cache)
    split = hold_out(phantoms, ())
    sources = {"phantoms": split.train, "held out": split.held_out}
    sources |= {name: load_sources([getattr(given, name)], cache) for name in ("painted", "pairs")}
    checks, lines = load_sources([given.check], cache), []
    for name in given.arm or ARMS:
        folder = given.output / name.replace(" ", "_")
        began = time.monotonic()
        if not (folder / "log.csv").exists() or pd.read_csv(folder / "log.csv")["step"].max() < given.steps:
            train_arm(ARMS[name], sources, given.steps, folder, compute)
        lines.append(result_of(name, ARMS[name], folder, checks, compute))
        print(*lines[-1].values(), f"{time.monotonic() - began:.0f} s", flush=True)
    table = pd.DataFrame(lines)
    text = ["# Ablations of the outline stage", "", f"{given.steps} steps of {BATCH} samples from scratch.", ""]
    write(given.output / "table", "\n".join([*text, *markdown(table, lambda column: 3), ""]), table)


if __name__ == "__main__":
    main()
