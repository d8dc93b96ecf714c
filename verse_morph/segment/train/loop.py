"""The training loop, the same for every stage, on two CPU cores as on a GPU.

Sample n of a seed is always the same, so a run that is stopped and resumed sees exactly what an uninterrupted one sees.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from verse_morph.errors import InputError
from verse_morph.segment.compute import Compute, running
from verse_morph.segment.networks import build, describe
from verse_morph.segment.train.checkpoint import RunState, load_state, save_state
from verse_morph.segment.train.plots import draw_curve
from verse_morph.segment.train.stages import Batch, Samples, Stage, stage_named
from verse_morph.segment.weights import Card, save_weights, to_device

Report = Callable[[str, int, int], None]
Sample = dict[str, NDArray[np.float32]]
WARM_UP, DECAY_SHARE = 100, 0.35
AVERAGE_DECAY = 0.997
CLIP = 2.0
VALIDATION_SEED = 777_000_000
LOG, CURVE = "log.csv", "curve.png"


@dataclass(frozen=True)
class TrainSettings:
    """How one stage is trained.

    Parameters
    ----------
    stage : str
    steps : int
        Optimiser steps of the whole run; the rate falls to zero over the last third.
    batch, rate : int, float
        Samples per step, largest learning rate; the stage's own by default.
    seed : int
    minutes : float, optional
        Stop (with a checkpoint) after this long; the schedule still counts ``steps``.
    every : int
        Steps between validations.
    validation : int
        Held-out samples.
    workers : int
        Processes that make samples; 0 makes them in the training process.
    """

    stage: str
    steps: int
    batch: int | None = None
    rate: float | None = None
    seed: int = 0
    minutes: float | None = None
    every: int = 100
    validation: int = 16
    workers: int = 0

    def __post_init__(self) -> None:
        for name, value, low in (("steps", self.steps, 1), ("every", self.every, 1), ("workers", self.workers, 0)):
            if value < low:
                raise InputError(f"--{name} {value}: at least {low} is needed")
        if self.batch is not None and self.batch < 1:
            raise InputError(f"--batch {self.batch}: at least 1 is needed")

    def fixed(self) -> dict[str, Any]:
        """What must not change when a run is resumed."""
        return {key: value for key, value in asdict(self).items() if key in ("stage", "batch", "rate", "seed")}


@dataclass(frozen=True, eq=False)
class Data:
    """Samples to learn from, samples to validate on, and what they are in words."""

    train: Samples
    held_out: Samples
    words: str
    licence: str


def train(
    settings: TrainSettings,
    data: Data,
    compute: Compute,
    folder: Path,
    resume: bool = False,
    report: Report | None = None,
) -> Card:
    """Train one stage and leave weights, card, checkpoint, log and learning curve in a folder.

    Returns
    -------
    Card
        Of the averaged weights; held-out results in ``metrics``.
    """
    stage = stage_named(settings.stage)
    folder.mkdir(parents=True, exist_ok=True)
    state = _begin(settings, stage, compute)
    if resume:
        load_state(state, settings.fixed(), folder)
    elif (folder / LOG).exists():
        raise InputError(f"{folder} holds a training run; give --resume to go on, or another folder")
    held_out = [_tensors([data.held_out(k)]) for k in range(settings.validation)]
    began = time.monotonic() - state.seconds
    limit = float("inf") if settings.minutes is None else time.monotonic() + 60 * settings.minutes
    metrics: dict[str, float] = {}
    losses: list[float] = []
    with running(compute), _made(data.train, settings, stage, state.step) as batches:
        for batch in batches:
            losses.append(_step(state, stage, settings, _moved(batch, compute.device)))
            state.seconds = time.monotonic() - began
            done = state.step >= settings.steps or time.monotonic() > limit
            if report is not None:
                report(f"training {stage.name}", state.step, settings.steps)
            if done or state.step % settings.every == 0:
                metrics = _validated(state, stage, held_out, compute.device)
                _log(folder, state, settings, stage, losses, metrics)
                losses = []
                save_state(state, settings.fixed(), folder)
                card = _exported(state, stage, settings, data, metrics, folder)
            if done:
                break
    return card


def _begin(settings: TrainSettings, stage: Stage, compute: Compute) -> RunState:
    torch.manual_seed(settings.seed)
    model = to_device(build(stage.shape), compute.device)
    rate = settings.rate or stage.rate
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=1e-2)
    average = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
    return RunState(model, average, optimiser)


def _step(state: RunState, stage: Stage, settings: TrainSettings, batch: Batch) -> float:
    for group in state.optimiser.param_groups:
        group["lr"] = (settings.rate or stage.rate) * rate_share(state.step, settings.steps)
    state.model.train()
    loss = stage.loss(state.model, batch)
    state.optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), CLIP)
    state.optimiser.step()
    state.step += 1
    decay = min(AVERAGE_DECAY, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for name, tensor in state.model.state_dict().items():
            state.average[name].lerp_(tensor.cpu().to(state.average[name].dtype), 1 - decay)
    return float(loss.detach())


def rate_share(step: int, steps: int) -> float:
    """Share of the largest learning rate at a step: a short rise, a plateau, a fall to zero over the last third."""
    rise = min(1.0, (step + 1) / WARM_UP)
    left = (steps - step) / (DECAY_SHARE * steps)
    return rise * float(np.clip(left, 0.01, 1.0))


# --- samples ------------------------------------------------------------------------------------------------------


class _made:
    """Batches from a step on, made here or by worker processes, always in the same order."""

    def __init__(self, samples: Samples, settings: TrainSettings, stage: Stage, step: int) -> None:
        self.samples, self.size = samples, settings.batch or stage.batch
        self.first, self.last = step * self.size, settings.steps * self.size
        self.workers = settings.workers

    def __enter__(self) -> Iterator[Batch]:
        import multiprocessing

        if not self.workers:
            self.pool = nullcontext()
            return self._here()
        self.pool = ProcessPoolExecutor(
            self.workers, multiprocessing.get_context("spawn"), initializer=_use, initargs=(self.samples,)
        )
        return self._elsewhere(self.pool)

    def __exit__(self, *_: object) -> None:
        if isinstance(self.pool, ProcessPoolExecutor):
            self.pool.shutdown(wait=False, cancel_futures=True)

    def _here(self) -> Iterator[Batch]:
        for start in range(self.first, self.last, self.size):
            yield _tensors([self.samples(start + k) for k in range(self.size)])

    def _elsewhere(self, pool: ProcessPoolExecutor) -> Iterator[Batch]:
        starts = iter(range(self.first, self.last, self.size))
        waiting: list[Future[list[Sample]]] = []
        for start in starts:
            waiting.append(pool.submit(_make, start, self.size))
            if len(waiting) > 2 * self.workers:
                yield _tensors(waiting.pop(0).result())
        for rest in waiting:
            yield _tensors(rest.result())


_WORKER: dict[str, Samples] = {}


def _use(samples: Samples) -> None:
    torch.set_num_threads(1)
    _WORKER["samples"] = samples


def _make(start: int, size: int) -> list[Sample]:
    return [_WORKER["samples"](start + k) for k in range(size)]


def _tensors(samples: list[Sample]) -> Batch:
    return {key: torch.from_numpy(np.stack([sample[key] for sample in samples])) for key in samples[0]}


def _moved(batch: Batch, device: str) -> Batch:
    return {key: tensor.to(device, non_blocking=True) for key, tensor in batch.items()}


# --- results ------------------------------------------------------------------------------------------------------


def averaged(state: RunState, shape_of: nn.Module) -> nn.Module:
    """A network with the averaged weights."""
    model = build(shape_of.shape)  # type: ignore[arg-type]
    model.load_state_dict(state.average)
    return model.eval()


def _validated(state: RunState, stage: Stage, held_out: list[Batch], device: str) -> dict[str, float]:
    model = to_device(averaged(state, state.model), device)
    with torch.no_grad():
        scores = [stage.score(model, _moved(batch, device)) for batch in held_out]
        losses = [float(stage.loss(model, _moved(batch, device))) for batch in held_out]
    out = {key: float(np.nanmean([score[key] for score in scores])) for key in scores[0]}
    return {**out, "loss": float(np.mean(losses))}


def _log(  # noqa: PLR0913  one row of the log
    folder: Path, state: RunState, settings: TrainSettings, stage: Stage, losses: list[float], metrics: dict[str, float]
) -> None:
    path = folder / LOG
    row = {
        "step": state.step,
        "samples": state.step * (settings.batch or stage.batch),
        "seconds": round(state.seconds, 1),
        "rate": f"{(settings.rate or stage.rate) * rate_share(state.step, settings.steps):.2e}",
        "train_loss": f"{np.mean(losses):.4f}",
        **{f"held_out_{key}": f"{value:.4f}" for key, value in metrics.items()},
    }
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, row.keys())
        if new:
            writer.writeheader()
        writer.writerow(row)
    draw_curve(path, folder / CURVE)


def _exported(  # noqa: PLR0913  what a card says
    state: RunState, stage: Stage, settings: TrainSettings, data: Data, metrics: dict[str, float], folder: Path
) -> Card:
    model = averaged(state, state.model)
    training = {
        "steps": state.step,
        "samples": state.step * (settings.batch or stage.batch),
        "seed": settings.seed,
        "hours": round(state.seconds / 3600, 2),
        "rate": settings.rate or stage.rate,
    }
    held_out = {f"held_out_{key}": round(value, 4) for key, value in metrics.items()}
    card = Card(stage.name, describe(stage.shape), "", data.words, data.licence, training, held_out)
    return save_weights(model, card, folder)
