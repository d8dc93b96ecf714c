"""A stage so small that a step takes milliseconds, and a label map of three block vertebrae."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from verse_morph.anatomy import Level
from verse_morph.phantom.solids import Body, Placement, Sampling, SolidVertebra, spine_labelmap
from verse_morph.segment.compute import Compute
from verse_morph.segment.networks import BtrflyShape, UNetShape
from verse_morph.segment.train.loop import Data
from verse_morph.segment.train.losses import hard_dice, heatmap_loss, overlap_loss
from verse_morph.segment.train.stages import Stage

SIDE, ROWS, LEVELS = 8, 32, 26
BODIES_MM = {"L1": (0.2, 0.0, 0.0), "L2": (0.2, 0.0, -31.0), "L3": (0.2, 0.0, -62.0)}


class Cubes:
    """A bright cube in noise, at another place in every sample."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self, index):
        rng = np.random.default_rng([self.seed, index])
        target = np.zeros((1, SIDE, SIDE, SIDE), np.float32)
        i, j, k = rng.integers(0, SIDE - 3, 3)
        target[0, i : i + 3, j : j + 3, k : k + 3] = 1
        return {"image": 2 * target + rng.normal(0, 0.3, target.shape).astype(np.float32), "target": target}


class Columns:
    """Views with a row of Gaussians from head to foot, one per level."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self, index):
        rng = np.random.default_rng([self.seed, index])
        target = np.zeros((LEVELS + 1, ROWS, ROWS), np.float32)
        first, column = int(rng.integers(0, LEVELS - 6)), rng.uniform(12, 20)
        for place in range(6):
            lines = [np.exp(-0.5 * ((np.arange(ROWS) - c) / 2) ** 2) for c in (28 - 5 * place, column)]
            target[first + place] = np.outer(*lines)
        target[-1] = 1 - target[:-1].max(axis=0)
        view = target[:-1].max(axis=0, keepdims=True) + rng.normal(0, 0.1, (1, ROWS, ROWS))
        views = {name: view.astype(np.float32) for name in ("sagittal", "coronal")}
        return views | {f"{name}_target": target for name in views}


@pytest.fixture
def small_stage():
    def loss(model, batch):
        return overlap_loss(model(batch["image"]), batch["target"])

    def score(model, batch):
        return {"dice": float(hard_dice(model(batch["image"]), batch["target"]).mean())}

    return Stage("outline", UNetShape(1, 1, (8, 8)), lambda _s, seed, _c: Cubes(seed), loss, score, batch=2, rate=1e-2)


@pytest.fixture
def small_naming_stage():
    def loss(model, batch):
        known = torch.ones_like(batch["sagittal"][:, :1])
        answers = zip(model(batch["sagittal"], batch["coronal"]), ("sagittal", "coronal"), strict=True)
        return sum(heatmap_loss(logits, batch[f"{view}_target"], known) for logits, view in answers)

    def score(model, batch):
        return {"known": 1.0}

    return Stage(
        "identify", BtrflyShape(1, LEVELS + 1, (8, 8)), lambda _s, seed, _c: Columns(seed), loss, score, 2, 1e-2
    )


@pytest.fixture
def data():
    return Data(Cubes(1), Cubes(2), "bright cubes", "CC0-1.0")


@pytest.fixture
def naming_data():
    return Data(Columns(1), Columns(2), "columns of Gaussians", "CC0-1.0")


@pytest.fixture
def cpu():
    return Compute("cpu", half=False, threads=1)


@pytest.fixture(scope="session")
def block_spine(tmp_path_factory) -> Path:
    """A mask of L1 to L3 with VerSe numbers; BODIES_MM are their centres."""
    solid = SolidVertebra(Body(40, 30, 22, 22), spinous_length=18, transverse_length=14)
    places = {Level(name): (solid, Placement(offset_mm=list(at))) for name, at in BODIES_MM.items()}
    labels = spine_labelmap(places, Sampling(2.0, margin_mm=5))
    path = tmp_path_factory.mktemp("blocks") / "sub-block_seg-vert_msk.nii.gz"
    nib.save(nib.Nifti1Image(np.asarray(labels.labels).astype(np.uint8), labels.grid.affine), path)
    return path
