"""The training loop, the same for every stage, on two CPU cores as on a GPU.

Sample n of a seed is always the same, so a run that is stopped and resumed sees exactly what an uninterrupted one sees.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from verse_morph.errors import InputError
from verse_morph.segment.compute import Compute, running
from verse_morph.segment.networks import build, describe
from verse_morph.segment.train.adversarial import Adversary, predicted, true_heatmaps
from verse_morph.segment.train.checkpoint import FILE, RunState, load_state, save_state
from verse_morph.segment.train.feed import Course, fed, moved, stacked
from verse_morph.segment.train.log import CURVE, LOG, append_row, forget_after
from verse_morph.segment.train.plots import draw_curve
from verse_morph.segment.train.stages import Batch, Samples, Stage, stage_named
from verse_morph.segment.weights import Card, load_network, read_card, save_weights, to_device

Report = Callable[[str, int, int], None]
WARM_UP, DECAY_SHARE = 100, 0.35
AVERAGE_DECAY = 0.99
CLIP = 2.0
VALIDATION_SEED = 777_000_000


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
    adversarial : bool
        Whether a learnt prior on the spine's shape judges the answers; for naming only.
    begin_with : Path, optional
        Folder of trained weights to go on from; random ones by default. The optimiser begins anew.
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
    adversarial: bool = False
    begin_with: Path | None = None

    def __post_init__(self) -> None:
        for name, low in (("steps", 1), ("batch", 1), ("seed", 0), ("every", 1), ("validation", 1), ("workers", 0)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"--{name} {value}: at least {low} is needed")
        for name, number in (("rate", self.rate), ("minutes", self.minutes)):
            if number is not None and not 0 < number < float("inf"):
                raise InputError(f"--{name} {number:g}: a number above 0 is needed")
        if self.adversarial and self.stage != "identify":
            raise InputError(
                f"--adversarial: the prior judges the order of named levels, which {self.stage} does not answer; "
                "give it to the stage identify only"
            )

    def fixed(self) -> dict[str, Any]:
        """What must not change when a run is resumed."""
        kept = {key: value for key, value in asdict(self).items() if key in ("stage", "batch", "rate", "seed")}
        return kept | ({"adversarial": True} if self.adversarial else {})


@dataclass(frozen=True, eq=False)
class Data:
    """Samples to learn from, samples to validate on, and what they are in words."""

    train: Samples
    held_out: Samples
    words: str
    licence: str


@dataclass(frozen=True, eq=False)
class _Run:
    settings: TrainSettings
    stage: Stage
    data: Data
    folder: Path
    begun_with: Card | None = None

    @property
    def fixed(self) -> dict[str, Any]:
        begun_with = {} if self.begun_with is None else {"begin_with": self.begun_with.sha256}
        return self.settings.fixed() | begun_with

    @property
    def batch(self) -> int:
        return self.settings.batch or self.stage.batch

    def rate(self, step: int) -> float:
        return (self.settings.rate or self.stage.rate) * rate_share(step, self.settings.steps)


def train(
    settings: TrainSettings,
    data: Data,
    compute: Compute,
    folder: Path,
    resume: bool = False,
    report: Report | None = None,
    stage: Stage | None = None,
) -> Card:
    """Train one stage and leave weights, card, checkpoint, log and learning curve in a folder.

    Parameters
    ----------
    settings : TrainSettings
    data : Data
    compute : Compute
    folder : Path
    resume : bool
        Go on from the folder's checkpoint.
    report : callable, optional
        Called with a text, the number done and the number of all, after every step. It may end the run by raising:
        the checkpoint is written first.
    stage : Stage, optional
        The stage of the settings' name by default; its network and samples may be others.

    Returns
    -------
    Card
        Of the averaged weights; held-out results in ``metrics``.

    Raises
    ------
    InputError
        The folder holds another run, there is nothing to resume, or the loss is no longer a number.
    """
    # Read once: the weights that ship may change while a run goes on.
    before = None if settings.begin_with is None else read_card(settings.stage, settings.begin_with)
    run = _Run(settings, stage or stage_named(settings.stage), data, folder, before)
    check_folder(folder, resume)
    folder.mkdir(parents=True, exist_ok=True)
    state = _begin(run, compute)
    if resume:
        load_state(state, run.fixed, folder)
        forget_after(state.step, folder / LOG)
    if state.step >= settings.steps:
        raise InputError(f"--resume: {folder} has done its {state.step} steps; give more --steps to go on")
    with running(compute):
        return _trained(run, state, compute.device, report or _silent)


def check_folder(folder: Path, resume: bool) -> None:
    """Refuse to begin where a run lies, or to go on where none does.

    Raises
    ------
    InputError
        It is one of both.
    """
    if resume and not (folder / FILE).is_file():
        raise InputError(f"--resume: no {FILE} in {folder}; leave --resume out to begin")
    if not resume and any((folder / name).exists() for name in (FILE, LOG)):
        raise InputError(f"{folder} holds a training run; give --resume to go on, or another folder")


def _silent(stage: str, done: int, total: int) -> None:
    pass


def _trained(run: _Run, state: RunState, device: str, report: Report) -> Card:
    settings = run.settings
    limit = float("inf") if settings.minutes is None else time.monotonic() + 60 * settings.minutes
    held_out = []
    for k in range(settings.validation):
        report("making held-out samples", k, settings.validation)
        held_out.append(moved(stacked([run.data.held_out(k)]), device))
    began = time.monotonic() - state.seconds
    losses: list[Tensor] = []
    with fed(run.data.train, Course(run.batch, state.step, settings.steps), settings.workers) as batches:
        for batch in batches:
            losses.append(_step(run, state, moved(batch, device)))
            state.seconds = time.monotonic() - began
            done = state.step >= settings.steps or time.monotonic() > limit
            if done or state.step % settings.every == 0:
                card = _validated(run, state, losses, held_out)
                losses = []
            if done:
                break
            _reported(run, state, report)
    return card


def _reported(run: _Run, state: RunState, report: Report) -> None:
    """Tell how far the run is; between two steps it may be ended without losing one."""
    try:
        report(f"training {run.stage.name}", state.step, run.settings.steps)
    except BaseException:
        save_state(state, run.fixed, run.folder)
        raise


def _begin(run: _Run, compute: Compute) -> RunState:
    torch.manual_seed(run.settings.seed)
    model = to_device(_first_weights(run), compute.device)
    optimiser = torch.optim.AdamW(model.parameters(), run.rate(0), weight_decay=1e-2)
    average = {name: t.detach().clone() for name, t in model.state_dict().items()}
    adversary = Adversary(run.stage.shape.outputs - 1, compute.device) if run.settings.adversarial else None
    return RunState(model, average, optimiser, adversary=adversary)


def _first_weights(run: _Run) -> nn.Module:
    if run.settings.begin_with is None:
        return build(run.stage.shape)
    model, card = load_network(run.stage.name, run.settings.begin_with)
    if card.network != describe(run.stage.shape):
        raise InputError(
            f"--init: the {run.stage.name} weights in {run.settings.begin_with} are of another network "
            f"({dict(card.network)}) than this version trains ({describe(run.stage.shape)}); leave --init out"
        )
    return model.requires_grad_(True)


def _step(run: _Run, state: RunState, batch: Batch) -> Tensor:
    for group in state.optimiser.param_groups:
        group["lr"] = run.rate(state.step)
    state.model.train()
    loss, answers = _loss_and_answers(run.stage, state.model, batch)
    total = loss if state.adversary is None else loss + state.adversary.penalty(answers)
    state.optimiser.zero_grad()
    with torch.autocast(loss.device.type, enabled=False):
        total.backward()
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), CLIP)
    state.optimiser.step()
    if state.adversary is not None:
        state.adversary.learn(answers, batch)
    state.step += 1
    decay = min(AVERAGE_DECAY, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for name, tensor in state.model.state_dict().items():
            state.average[name].lerp_(tensor, 1 - decay)
    return loss.detach()


def _loss_and_answers(stage: Stage, model: nn.Module, batch: Batch) -> tuple[Tensor, Sequence[Tensor]]:
    """The stage's loss, and what the network answered on the way."""
    answers: list[Any] = []
    hook = model.register_forward_hook(lambda _model, _inputs, answer: answers.append(answer))
    try:
        loss = stage.loss(model, batch)
    finally:
        hook.remove()
    return loss, answers[-1]


def rate_share(step: int, steps: int) -> float:
    """Share of the largest learning rate at a step: a short rise, a plateau, a fall to zero over the last third."""
    rise = min(1.0, (step + 1) / WARM_UP)
    left = (steps - step) / (DECAY_SHARE * steps)
    return rise * float(np.clip(left, 0.01, 1.0))


# --- results ------------------------------------------------------------------------------------------------------


def averaged(state: RunState, shape_of: nn.Module) -> nn.Module:
    """A network with the averaged weights, on the CPU."""
    model = build(shape_of.shape)  # type: ignore[arg-type]
    model.load_state_dict(state.average)
    return model.eval()


def _validated(run: _Run, state: RunState, losses: Sequence[Tensor], held_out: Sequence[Batch]) -> Card:
    """Score the averaged network and write everything that a run leaves."""
    train_loss = float(np.mean([float(loss) for loss in losses]))
    if not np.isfinite(train_loss):
        raise InputError(
            f"the loss is {train_loss} before step {state.step}; begin again in another folder with a smaller --rate "
            f"than {run.settings.rate or run.stage.rate:g} (the last good weights stay in {run.folder})"
        )
    model = averaged(state, state.model)
    metrics = _scores(run.stage, to_device(model, _device(held_out)), state, held_out)
    samples = state.step * run.batch
    row: dict[str, object] = {"step": state.step, "samples": samples, "seconds": round(state.seconds, 1)}
    row |= {"rate": f"{run.rate(state.step):.2e}", "train_loss": f"{train_loss:.4f}"}
    row |= {f"held_out_{key}": f"{value:.4f}" for key, value in metrics.items()}
    append_row(row, run.folder / LOG)
    draw_curve(run.folder / LOG, run.folder / CURVE)
    save_state(state, run.fixed, run.folder)
    training: dict[str, object] = {
        "steps": state.step,
        "samples": samples,
        "seed": run.settings.seed,
        "hours": round(state.seconds / 3600, 2),
        "rate": run.settings.rate or run.stage.rate,
    }
    if run.settings.adversarial:
        training["adversarial"] = True
    if run.begun_with is not None:
        before = run.begun_with
        training["begun_with"] = {"sha256": before.sha256, "data": before.data, **before.training}
    said = {f"held_out_{key}": round(value, 4) for key, value in metrics.items()}
    card = Card(run.stage.name, describe(run.stage.shape), "", run.data.words, run.data.licence, training, said)
    return save_weights(model, card, run.folder)


def _scores(stage: Stage, model: nn.Module, state: RunState, held_out: Sequence[Batch]) -> dict[str, float]:
    """Means over held-out samples; a score that one of them has no answer to is a mean over the others."""
    found: dict[str, list[float]] = {}
    with torch.no_grad():
        for batch in held_out:
            values = dict(stage.score(model, batch))
            loss, answers = _loss_and_answers(stage, model, batch)
            values["loss"] = float(loss)
            if state.adversary is not None:
                values["energy_true"] = float(state.adversary.energy(true_heatmaps(batch)))
                values["energy_predicted"] = float(state.adversary.energy([predicted(view) for view in answers]))
            for key, value in values.items():
                found.setdefault(key, []).append(value)
    return {key: _mean(values) for key, values in found.items()}


def _device(batches: Sequence[Batch]) -> str:
    return str(next(iter(batches[0].values())).device)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
