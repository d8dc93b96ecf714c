"""Trained networks on disk: safetensors with a model card beside them, checked before use, never unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from verse_morph import __version__
from verse_morph.errors import InputError, WeightsMissing
from verse_morph.io.files import replacing
from verse_morph.segment.networks import build, shape_from

WEIGHTS_DIR = Path(__file__).parent / "trained"


@dataclass(frozen=True)
class Card:
    """What a set of weights is.

    Parameters
    ----------
    stage : str
        ``locate``, ``identify``, ``ribs`` or ``outline``.
    network : Mapping
        Size of the network, see :func:`verse_morph.segment.networks.describe`.
    sha256 : str
        Of the weights file.
    data, licence : str
        What it was trained on, and under which terms the weights may be used.
    training, metrics : Mapping
        Steps, seed, samples; results on held-out data.
    version : str
        Of the program that trained it.
    """

    stage: str
    network: Mapping[str, Any]
    sha256: str
    data: str
    licence: str
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__


def weights_path(stage: str, folder: Path | None = None) -> Path:
    """The weights file of a stage."""
    return (folder or WEIGHTS_DIR) / f"{stage}.safetensors"


def has_weights(stage: str, folder: Path | None = None) -> bool:
    """Whether a stage's weights are there; the stage ``ribs`` may be left out of a folder of one's own."""
    return weights_path(stage, folder).is_file()


def save_weights(model: nn.Module, card: Card, folder: Path) -> Card:
    """Write half-precision weights and their card, each complete or not at all; the card returns with its checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().cpu().half().contiguous() for name, t in model.state_dict().items()}
    path = weights_path(card.stage, folder)
    with replacing(path) as temporary:
        save_file(tensors, temporary)
    values = asdict(card) | {"sha256": _sha256(path)}
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return Card(**values)


def read_card(stage: str, folder: Path | None = None) -> Card:
    """The model card of a stage.

    Raises
    ------
    WeightsMissing
        There is none.
    InputError
        It cannot be read, or belongs to another stage.
    """
    path = weights_path(stage, folder).with_suffix(".json")
    if not path.is_file() or not weights_path(stage, folder).is_file():
        raise WeightsMissing(
            f"no weights for the stage {stage!r} in {path.parent}; "
            f"reinstall the package, give --weights DIR, or train them: verse-morph train {stage} --help"
        )
    try:
        card = Card(**json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, TypeError) as error:
        raise InputError(f"{path} is not a model card of this version: {error}") from error
    if card.stage != stage:
        raise InputError(f"{path} is the card of the stage {card.stage!r}, not of {stage!r}")
    return card


def load_network(stage: str, folder: Path | None = None) -> tuple[nn.Module, Card]:
    """The trained network of a stage, ready to use.

    Parameters
    ----------
    stage : str
    folder : Path, optional
        The weights that ship with the package by default.

    Raises
    ------
    WeightsMissing
        There are none.
    InputError
        The file is not the one the card was written for, or holds another network.
    """
    card = read_card(stage, folder)
    path = weights_path(stage, folder)
    found = _sha256(path)
    if found != card.sha256:
        raise InputError(
            f"{path} has checksum {found[:12]}, its card says {card.sha256[:12]}: "
            "the file is damaged or was exchanged; reinstall the package or copy both files again"
        )
    model = build(shape_from(card.network))
    try:
        tensors = {name: t.float() for name, t in load_file(path).items()}
        model.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path} does not hold a network as its card describes it ({first})") from error
    return model.eval().requires_grad_(False), card


def to_device(model: nn.Module, device: str) -> nn.Module:
    """The network where it shall run, its memory laid out for 3D convolutions."""
    model = model.to(device)
    if any(isinstance(module, nn.Conv3d) for module in model.modules()):
        model = model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return model


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
