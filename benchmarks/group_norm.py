"""How much of a training step of the outline network PyTorch's gradient of group norm costs, and ours.

    python benchmarks/group_norm.py [--threads N]

One step of four samples on random numbers, with :class:`torch.nn.GroupNorm` (the baseline) and with the package's own,
in turns; seconds and their ratio.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import nn

from verse_morph.segment.compute import choose_compute, running
from verse_morph.segment.group_norm import FastGroupNorm
from verse_morph.segment.networks import build
from verse_morph.segment.train.outline_samples import PATCH
from verse_morph.segment.train.stages import stage_named
from verse_morph.segment.weights import to_device

ROUNDS, BATCH = 6, 4


def network(fast: bool) -> nn.Module:
    """The outline network with our group norm or with PyTorch's."""
    torch.manual_seed(0)
    model = build(stage_named("outline").shape)
    if not fast:
        for part in model.modules():
            for name, norm in list(part.named_children()):
                if isinstance(norm, FastGroupNorm):
                    setattr(part, name, nn.GroupNorm(norm.num_groups, norm.num_channels))
    return to_device(model, "cpu").train()


def step_s(model: nn.Module, batch: dict[str, torch.Tensor]) -> float:
    """Seconds of one forward and backward pass."""
    began = time.perf_counter()
    loss = stage_named("outline").loss(model, batch)
    with torch.autocast("cpu", enabled=False):
        loss.backward()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int)
    compute = choose_compute("cpu", threads=parser.parse_args().threads)
    shape = (BATCH, 1, *PATCH)
    batch = {"image": torch.randn(BATCH, 2, *PATCH), "target": (torch.rand(shape) > 0.9).float()}
    batch["weight"] = torch.ones(shape)
    models = {"torch.nn.GroupNorm": network(fast=False), "FastGroupNorm": network(fast=True)}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    with running(compute):
        for _ in range(ROUNDS):
            for name, model in models.items():
                seconds[name].append(step_s(model, batch))
    best = {name: min(times) for name, times in seconds.items()}
    print(compute.describe())
    for name, value in best.items():
        print(f"{name:<20} {value:.2f} s a step, {value / best['torch.nn.GroupNorm']:.2f} of the baseline")


if __name__ == "__main__":
    main()
