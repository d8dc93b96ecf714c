"""The state of a training run on disk, from which it goes on as if it had never stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from verse_morph.errors import InputError
from verse_morph.io.files import replacing
from verse_morph.segment.train.adversarial import Adversary

FILE = "checkpoint.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")
_PRIOR = "adversary."


@dataclass(eq=False)
class RunState:
    """Everything that training changes: network, its running average, optimiser, counters, and a shape prior if any."""

    model: nn.Module
    average: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    adversary: Adversary | None = None


def save_state(state: RunState, settings: dict[str, Any], folder: Path) -> None:
    """Write the state; an older one stays until the new one is complete."""
    tensors = _tensors_of(state.model, state.optimiser)
    tensors |= {f"average.{name}": t for name, t in state.average.items()}
    if state.adversary is not None:
        prior = _tensors_of(state.adversary.model, state.adversary.optimiser)
        tensors |= {f"{_PRIOR}{name}": t for name, t in prior.items()}
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    said = {"step": state.step, "seconds": state.seconds, "settings": settings}
    with replacing(folder / FILE) as temporary:
        save_file(tensors, temporary, metadata={"run": json.dumps(said)})


def load_state(state: RunState, settings: dict[str, Any], folder: Path) -> RunState:
    """Fill ``state`` from a folder's checkpoint.

    Raises
    ------
    InputError
        It is damaged, or was made with other settings or for another network.
    """
    path = folder / FILE
    said, tensors = _read(path)
    was, now = said["settings"], settings
    changed = [key for key in dict.fromkeys([*now, *was]) if was.get(key) != now.get(key)]
    if changed:
        words = ", ".join(f"{key} {was.get(key)!r}, now {now.get(key)!r}" for key in changed)
        raise InputError(f"--resume: {folder} was begun with other settings: {words}; repeat those it was begun with")
    try:
        _fill(state.model, state.optimiser, tensors, said["step"])
        for name, value in state.average.items():
            value.copy_(tensors[f"average.{name}"])
        if state.adversary is not None:
            _fill(state.adversary.model, state.adversary.optimiser, _part(tensors, _PRIOR), said["step"])
    except (RuntimeError, KeyError) as error:
        raise InputError(
            f"--resume: {path} is of another network than this version trains ({str(error).splitlines()[0]}); "
            "go on with the version that began it, or begin in another folder"
        ) from error
    state.step, state.seconds = said["step"], said["seconds"]
    return state


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as stored:
            said = json.loads(stored.metadata()["run"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  not a mapping
        run = {"step": int(said["step"]), "seconds": float(said["seconds"]), "settings": dict(said["settings"])}
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged: {error}; begin again in another folder, without --resume") from error
    return run, tensors


def _part(tensors: dict[str, Tensor], head: str) -> dict[str, Tensor]:
    return {name[len(head) :]: t for name, t in tensors.items() if name.startswith(head)}


def _tensors_of(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    for index, values in optimiser.state_dict()["state"].items():
        tensors |= {f"{moment}.{index}": values[moment] for moment in _MOMENTS}
    return tensors


def _fill(model: nn.Module, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], step: int) -> None:
    model.load_state_dict(_part(tensors, "model."))
    content = optimiser.state_dict()
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    if step:
        # Laid out in memory as the parameters: sums in another order would differ in their last bits.
        content["state"] = {
            index: {
                "step": torch.tensor(float(step)),
                **{moment: torch.empty_like(p).copy_(tensors[f"{moment}.{index}"]) for moment in _MOMENTS},
            }
            for index, p in enumerate(parameters)
            if f"{_MOMENTS[0]}.{index}" in tensors
        }
    optimiser.load_state_dict(content)
