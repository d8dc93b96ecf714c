"""What real spines look like, learnt once: small networks that weigh each vertebra, each step and each numbering."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.space import FloatArray, frozen

PRIOR_DIR = Path(__file__).parent / "prior"
VERTEBRA, STEP, ROW = "vertebra", "step", "row"
T13_LOG_HALF = np.log(0.5)


@dataclass(frozen=True, eq=False)
class ChainPrior:
    """An ensemble of small networks, averaged in log space.

    Parameters
    ----------
    members : tuple of mappings
        Arrays of each member, named ``<network>.<layer>.weight`` (in, out) and ``.bias`` (out,); the networks are
        ``vertebra`` (features of a vertebra to level logits), ``step`` (features of a step to the logits of 1, 2, 3
        or 4 levels apart) and ``row`` (features of a whole numbering to its logit).
    temperature : float
        Divides every logit so that posteriors are calibrated; above 1 where the networks are too sure.
    doubt_margin : float
        Log-odds of the best numbering below which it is reported as doubtful.
    """

    members: tuple[Mapping[str, FloatArray], ...]
    temperature: float = 1.0
    doubt_margin: float = 0.0

    def level_logits(self, features: FloatArray) -> FloatArray:
        """Logits (n, 27) of each level (rank in columns, S1 last) for vertebra features (n, F)."""
        logits = np.mean([_forward(member, VERTEBRA, features) for member in self.members], axis=0)
        return with_t13(logits)

    def step_log_probabilities(self, features: FloatArray) -> FloatArray:
        """Log-probabilities (n - 1, 4) that neighbours are 1, 2, 3 or 4 levels apart."""
        if not len(features):
            return np.zeros((0, 4))
        logits = np.mean([_forward(member, STEP, features) for member in self.members], axis=0)
        return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)

    def row_logits(self, features: FloatArray) -> FloatArray:
        """Logit (c,) of each numbering as a whole."""
        return np.mean([_forward(member, ROW, features)[:, 0] for member in self.members], axis=0)


def with_t13(logits: FloatArray) -> FloatArray:
    """Logits whose T13 is half a T12 and half an L1: too few T13 were labelled to learn what it looks like."""
    out = logits.copy()
    between = np.logaddexp(logits[:, Level.T12.rank], logits[:, Level.L1.rank])
    out[:, Level.T13.rank] = between + T13_LOG_HALF
    return out


def _forward(member: Mapping[str, FloatArray], network: str, features: FloatArray) -> FloatArray:
    """A multilayer perceptron with rectified hidden layers."""
    values, layer = features, 0
    while f"{network}.{layer}.weight" in member:
        if layer:
            values = np.maximum(values, 0.0)
        values = values @ member[f"{network}.{layer}.weight"] + member[f"{network}.{layer}.bias"]
        layer += 1
    return np.asarray(values)


def load_prior(folder: Path = PRIOR_DIR) -> ChainPrior:
    """The fitted prior that ships with the package, or one fitted by yourself.

    Raises
    ------
    InputError
        When the files are missing or the arrays are not those the manifest was written for.
    """
    manifest_path, arrays_path = folder / "manifest.json", folder / "chain_prior.npz"
    for path in (manifest_path, arrays_path):
        if not path.is_file():
            raise InputError(f"the chain prior needs {path.name} in {folder}; fit one with benchmarks/fit_decoder.py")
    manifest = json.loads(manifest_path.read_text())
    found = hashlib.sha256(arrays_path.read_bytes()).hexdigest()
    if found != manifest["sha256"]:
        raise InputError(
            f"{arrays_path} has checksum {found[:12]}, its manifest says {manifest['sha256'][:12]}: "
            "reinstall the package or fit the prior again"
        )
    with np.load(arrays_path, allow_pickle=False) as stored:
        arrays = {name: frozen(stored[name], np.float64) for name in stored.files}
    members = []
    for k in range(manifest["members"]):
        head = f"{k}."
        members.append({name[len(head) :]: array for name, array in arrays.items() if name.startswith(head)})
    return ChainPrior(tuple(members), manifest["temperature"], manifest["doubt_margin"])
