"""Trained networks on disk: what comes back, and one clear error for each thing that can be wrong."""

import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import verse_morph.segment
from verse_morph.errors import InputError, WeightsMissing
from verse_morph.segment.networks import BtrflyShape, UNetShape, build, describe
from verse_morph.segment.weights import (
    Card,
    load_network,
    read_card,
    save_weights,
    to_device,
    weights_path,
)

SHAPE = UNetShape(1, 1, (8, 8))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build(SHAPE).eval()


@pytest.fixture
def stored(model, tmp_path):
    return save_weights(model, Card("outline", describe(SHAPE), "", "cubes", "CC0-1.0", {"steps": 3}), tmp_path)


def change(folder, **values):
    path = weights_path("outline", folder).with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def with_sum_of(folder):
    """The card is made to fit whatever the weights file holds now."""
    import hashlib

    change(folder, sha256=hashlib.sha256(weights_path("outline", folder).read_bytes()).hexdigest())


def test_what_was_saved_comes_back_in_half_precision(model, stored, tmp_path):
    loaded, card = load_network("outline", tmp_path)
    assert card == stored
    assert len(card.sha256) == 64
    assert describe(loaded.shape) == dict(card.network)
    assert describe(replace(SHAPE, widths=(8, 16))) != dict(card.network)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().float())
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outline.json", "outline.safetensors"]


def test_missing_weights_say_how_to_get_them(tmp_path):
    with pytest.raises(WeightsMissing, match=r"no weights for the stage 'locate' in .*verse-morph train locate --help"):
        load_network("locate", tmp_path)


def test_a_card_without_its_weights_is_missing_too(stored, tmp_path):
    weights_path("outline", tmp_path).unlink()
    with pytest.raises(WeightsMissing, match="no weights for the stage 'outline'"):
        load_network("outline", tmp_path)


def test_one_flipped_bit_is_found(stored, tmp_path):
    path = weights_path("outline", tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"its card says {stored.sha256[:12]}: the file is damaged or was exchanged"):
        load_network("outline", tmp_path)


def test_the_weights_of_another_stage(stored, tmp_path):
    change(tmp_path, stage="locate")
    with pytest.raises(InputError, match="is the card of the stage 'locate', not of 'outline'"):
        load_network("outline", tmp_path)


@pytest.mark.parametrize("shape", [UNetShape(1, 1, (8, 16)), UNetShape(2, 1, (8, 8)), BtrflyShape(1, 2, (8, 8))])
def test_a_card_of_another_network(stored, tmp_path, shape):
    change(tmp_path, network=describe(shape))
    with pytest.raises(InputError, match="does not hold a network as its card describes it"):
        load_network("outline", tmp_path)


def test_missing_tensors(stored, tmp_path):
    path = weights_path("outline", tmp_path)
    tensors = load_file(path)
    tensors.pop("head.bias")
    save_file(tensors, path)
    with_sum_of(tmp_path)
    with pytest.raises(InputError, match="does not hold a network as its card describes it"):
        load_network("outline", tmp_path)


def test_a_network_this_version_does_not_have(stored, tmp_path):
    change(tmp_path, network={"kind": "transformer", "layers": 96})
    with pytest.raises(InputError, match="of kind 'transformer'; this version has unet3d, btrfly"):
        load_network("outline", tmp_path)


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"stage": "outline", "colour": "red"}', '"outline"'])
def test_a_file_that_is_no_card(stored, tmp_path, text):
    weights_path("outline", tmp_path).with_suffix(".json").write_text(text)
    with pytest.raises(InputError, match="is not a model card of this version"):
        read_card("outline", tmp_path)


class Trap:
    """Unpickling this leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_in_place_of_weights_is_refused_and_never_run(stored, tmp_path):
    sprung = tmp_path / "sprung"
    weights_path("outline", tmp_path).write_bytes(pickle.dumps(Trap(sprung)))
    with_sum_of(tmp_path)
    with pytest.raises(InputError, match="does not hold a network"):
        load_network("outline", tmp_path)
    assert not sprung.exists()


def test_nothing_in_the_room_unpickles():
    room = Path(verse_morph.segment.__file__).parent
    for path in room.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for word in ("import pickle", "torch.load(", "allow_pickle=True", "joblib"):
            assert word not in text, f"{path.name} has {word}"


def test_a_card_is_plain_values(stored):
    assert json.loads(json.dumps(asdict(stored)))["training"] == {"steps": 3}


def test_networks_are_laid_out_for_3d_convolutions(model):
    weight = to_device(model, "cpu").stem.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)
