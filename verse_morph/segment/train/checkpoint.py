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

FILE = "checkpoint.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(eq=False)
class RunState:
    """Everything that training changes: network, its running average, optimiser, counters."""

    model: nn.Module
    average: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0


def save_state(state: RunState, settings: dict[str, Any], folder: Path) -> None:
    """Write the state; an older one stays until the new one is complete."""
    tensors = {f"model.{name}": t for name, t in state.model.state_dict().items()}
    tensors |= {f"average.{name}": t for name, t in state.average.items()}
    for index, values in state.optimiser.state_dict()["state"].items():
        tensors |= {f"{moment}.{index}": values[moment] for moment in _MOMENTS}
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    said = {"step": state.step, "seconds": state.seconds, "settings": settings}
    with replacing(folder / FILE) as temporary:
        save_file(tensors, temporary, metadata={"run": json.dumps(said)})


def load_state(state: RunState, settings: dict[str, Any], folder: Path) -> RunState:
    """Fill ``state`` from a folder's checkpoint.

    Raises
    ------
    InputError
        There is none, it is damaged, or it was made with other settings.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"--resume: no {FILE} in {folder}; leave --resume out to begin")
    try:
        with safe_open(path, framework="pt") as stored:
            said = json.loads(stored.metadata()["run"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  not a mapping
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged: {error}; begin again without --resume") from error
    changed = [key for key, value in settings.items() if said["settings"].get(key) != value]
    if changed:
        was = ", ".join(f"{key} {said['settings'].get(key)!r}, now {settings[key]!r}" for key in changed)
        raise InputError(f"--resume: {folder} was begun with other settings: {was}")
    state.model.load_state_dict(_part(tensors, "model."))
    state.average = _part(tensors, "average.")
    _restore_optimiser(state.optimiser, tensors, said["step"])
    state.step, state.seconds = int(said["step"]), float(said["seconds"])
    return state


def _part(tensors: dict[str, Tensor], head: str) -> dict[str, Tensor]:
    return {name[len(head) :]: t for name, t in tensors.items() if name.startswith(head)}


def _restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], step: int) -> None:
    content = optimiser.state_dict()
    indices = {int(name.rsplit(".", 1)[1]) for name in tensors if name.startswith("exp_avg.")}
    content["state"] = {
        index: {"step": torch.tensor(float(step)), **{moment: tensors[f"{moment}.{index}"] for moment in _MOMENTS}}
        for index in sorted(indices)
    }
    optimiser.load_state_dict(content)
