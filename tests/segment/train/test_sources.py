"""Where samples come from: what words name, what is held out, and what samples of a block spine look like."""

import os
import pickle
import shutil
import time
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from verse_morph.anatomy import VERSE, Level
from verse_morph.errors import InputError
from verse_morph.phantom.case import rib_label
from verse_morph.segment.intensity import AIR_HU, to_input
from verse_morph.segment.patches import BEHIND_MM
from verse_morph.segment.train import sources as module
from verse_morph.segment.train import spine_samples
from verse_morph.segment.train.outline_samples import PATCH, OutlineOptions, OutlineSamples, RibSamples
from verse_morph.segment.train.sources import Source, fingerprint, hold_out, load_sources
from verse_morph.segment.train.spine_samples import IdentifySamples, LocateSamples, ScanPool

from .conftest import BODIES_MM


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def blocks(block_spine, cache):
    return load_sources([str(block_spine)], cache)[0]


@pytest.fixture(scope="session")
def pair(block_spine, blocks, cache):
    """The same blocks with a CT: bone of 600 HU in air, so that a sample shows at once whether both fit."""
    mask = nib.load(block_spine)
    hu = np.where(np.asarray(mask.dataobj) > 0, 600, -1000).astype(np.int16)
    nib.save(nib.Nifti1Image(hu, mask.affine), block_spine.parent / "ct.nii.gz")
    table = block_spine.parent / "table.csv"
    table.write_text(f"# a comment\nmask,ct,weight,levels\n{block_spine.name},ct.nii.gz,2.5,L2\n")
    with pytest.MonkeyPatch.context() as patch:  # the same blocks were measured once
        patch.setattr(module, "_centres", lambda _labels, _grid: dict(blocks.centres))
        return load_sources([str(table)], cache)[0]


def source(name, kind="map", weight=1.0):
    return Source(name, np.ones((2, 2, 2), np.uint8), np.ones(3), {20: np.ones(3)}, None, weight, kind)


# --- words --------------------------------------------------------------------------------------------------------


def test_a_mask_becomes_a_source_with_body_centres(blocks, block_spine):
    assert (blocks.name, blocks.kind, blocks.weight, blocks.hu) == ("sub-block", "map", 1.0, None)
    affine = nib.load(block_spine).affine
    assert sorted(blocks.centres) == [VERSE.value_of(Level(name)) for name in BODIES_MM]
    for name, centre in BODIES_MM.items():
        found = affine[:3, :3] @ blocks.centres[VERSE.value_of(Level(name))] + affine[:3, 3]
        # The body's back is hollow: its centroid lies in front of or behind the origin of its outline.
        assert np.abs(found - centre)[[0, 2]].max() < 0.8
        assert abs(found[1] - centre[1]) < 3


def test_a_table_names_ct_weight_and_target_levels(pair, blocks):
    assert (pair.kind, pair.weight) == ("pair", 2.5)
    assert list(pair.centres) == [VERSE.value_of(Level.L2)]
    assert pair.hu.shape == pair.labels.shape == blocks.labels.shape
    assert set(np.unique(pair.hu[pair.labels > 0])) == {600}


def test_prepared_sources_are_used_again_until_the_file_changes(block_spine, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "_prepared", lambda *parts: calls.append(parts) or source("made"))
    for _ in range(2):
        load_sources([str(block_spine)], tmp_path)
    assert len(calls) == 1
    later = time.time() + 60
    old = block_spine.stat()
    os.utime(block_spine, (later, later))
    load_sources([str(block_spine)], tmp_path)
    os.utime(block_spine, (old.st_atime, old.st_mtime))
    assert len(calls) == 2


def test_phantoms_share_their_weight(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_phantom", lambda index: source(f"phantom{index}", "phantom"))
    found = load_sources(["phantoms:5@4"], tmp_path)
    assert [s.name for s in found] == [f"phantom{k}" for k in range(5)]
    assert sum(s.weight for s in found) == pytest.approx(4)


@pytest.mark.parametrize(
    ("said", "kind"),
    [(None, "map"), ('{"DatasetType": "raw"}', "map"), ('{"DatasetType": "simulated"}', "phantom")],
)
def test_a_folder_shares_its_weight_and_says_whether_it_is_invented(block_spine, tmp_path, monkeypatch, said, kind):
    for name in ("sub-a", "sub-b"):
        case = tmp_path / "data" / "derivatives" / name
        case.mkdir(parents=True)
        shutil.copy(block_spine, case / f"{name}_seg-vert_msk.nii.gz")
    if said:
        (tmp_path / "data" / "dataset_description.json").write_text(said)
    monkeypatch.setattr(module, "_prepared", lambda mask, *_: source(mask.name))
    found = load_sources([f"{tmp_path / 'data'}@3"], tmp_path / "cache")
    assert [(s.weight, s.kind) for s in found] == [(1.5, kind)] * 2
    assert [s.weight for s in load_sources([str(tmp_path / "data")], tmp_path / "cache")] == [1, 1]
    # Said one by one, the same masks are no more and no less invented.
    (tmp_path / "one.csv").write_text("mask\ndata/derivatives/sub-a/sub-a_seg-vert_msk.nii.gz\n")
    alone = tmp_path / "data" / "derivatives" / "sub-b" / "sub-b_seg-vert_msk.nii.gz"
    found = load_sources([str(tmp_path / "one.csv"), str(alone)], tmp_path / "cache")
    assert [s.kind for s in found] == [kind, kind]


def test_a_description_that_cannot_be_read(block_spine, tmp_path):
    case = tmp_path / "derivatives" / "sub-a"
    case.mkdir(parents=True)
    shutil.copy(block_spine, case / "sub-a_seg-vert_msk.nii.gz")
    (tmp_path / "dataset_description.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as a BIDS description"):
        load_sources([str(tmp_path)], tmp_path / "cache")
    (tmp_path / "dataset_description.json").write_text("{}")
    with pytest.raises(InputError, match="weight is 'much'; a number above 0"):
        load_sources([f"{tmp_path}@much"], tmp_path / "cache")


@pytest.mark.slow
def test_a_phantom_has_a_centre_inside_every_vertebra(tmp_path):
    (found,) = load_sources(["phantoms:1"], tmp_path)
    assert sorted(found.centres) == list(range(10, 25))  # T3 to L5
    shape = np.array(found.labels.shape)
    outside = {v for v, c in found.centres.items() if (np.rint(c) < 0).any() or (np.rint(c) >= shape).any()}
    assert outside <= {10}  # the uppermost one is cut through its middle
    for value in found.centres.keys() - outside:
        assert VERSE.levels[value] is not Level.C1  # the middle of a ring would be empty
        assert found.labels[tuple(np.rint(found.centres[value]).astype(int))] == value


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("phantoms:many", "write phantoms:N or phantoms:N@WEIGHT"),
        ("phantoms:0", "write phantoms:N"),
        ("phantoms:3@-1", "the weight is '-1'; a number above 0"),
        ("/nowhere/at/all", "no such file or folder"),
    ],
)
def test_words_that_name_nothing(tmp_path, word, words):
    with pytest.raises(InputError, match=words):
        load_sources([word], tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file\nx.nii.gz\n", r"columns are mask, ct, weight, levels; found \['file'\]"),
        ("mask,weight\nnone.nii.gz,1\n", "no such mask: .*none"),
        ("mask,weight\n{mask},heavy\n", "is 'heavy'; a number above 0"),
        ("mask,ct\n{mask},none.nii.gz\n", "no such CT: .*none"),
        ("mask,levels\n{mask},L1 L9\n", "write for example L1 L2 L3"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, block_spine, text, words):
    table = tmp_path / "table.csv"
    table.write_text(text.format(mask=block_spine))
    with pytest.raises(InputError, match=words):
        load_sources([str(table)], tmp_path)


def test_a_folder_without_masks(tmp_path):
    with pytest.raises(InputError, match="no masks in VerSe's layout"):
        load_sources([str(tmp_path)], tmp_path / "cache")


# --- held out -----------------------------------------------------------------------------------------------------


def test_the_first_four_phantoms_are_held_out():
    phantoms = [source(f"phantom{k}", "phantom") for k in range(6)]
    split = hold_out([source("a"), *phantoms, phantoms[0]])
    assert [s.name for s in split.held_out] == ["phantom0", "phantom1", "phantom2", "phantom3"]
    assert [s.name for s in split.train] == ["a", "phantom4", "phantom5"]
    assert not split.only_phantoms
    assert split.words() == (
        "learnt from label maps with painted CT: 1 (a), phantoms, that is invented spines: 2; "
        "held out phantoms, that is invented spines: 4"
    )


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("rib_left_12", rib_label("left", 12)),
        ("sacrum", 26),
        ("clavicula_left", module.OTHER_BONE),
        ("", module.OTHER_BONE),
        ("disc_below_L4", 0),
        ("thecal_sac", 0),
        ("liver", 0),
        ("intervertebral_discs", 0),
        ("hippocampus", 0),
    ],
)
def test_discs_and_organs_are_not_painted_as_bone(name, number):
    assert module._bone_number(name) == number


def test_nobody_is_learnt_from_and_validated_on():
    everyone = [source("sub-1_split-a"), source("sub-1_split-b", "pair"), source("sub-2"), source("other")]
    split = hold_out(everyone, [source("sub-1_split-a")])
    assert [s.name for s in split.train] == ["sub-2", "other"]


def test_nothing_to_hold_out_and_nothing_left():
    with pytest.raises(InputError, match="nothing is held out to validate on: give --validate WORD"):
        hold_out([source("a")])
    with pytest.raises(InputError, match=r"nothing is left to learn from.*of phantoms more than 4"):
        hold_out([source(f"phantom{k}", "phantom") for k in range(4)])


def test_a_fingerprint_tells_sources_apart():
    words = {fingerprint([s]) for s in (source("a"), source("b"), source("a", weight=2), source("a", "pair"))}
    assert len(words) == 4
    assert fingerprint([source("a")]) in words


# --- outline samples ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def painted(blocks):
    return OutlineSamples([blocks], 1)


def test_a_sample_shows_the_vertebra_that_the_heatmap_points_at(painted):
    sample = painted(0)
    assert sample["image"].shape == (2, *PATCH)
    assert sample["target"].shape == sample["weight"].shape == (1, *PATCH)
    assert {array.dtype for array in sample.values()} == {np.dtype(np.float32)}
    inside = sample["target"][0] > 0
    assert inside.sum() > 5000
    peak = np.array(np.unravel_index(sample["image"][1].argmax(), PATCH))
    body = np.argwhere(inside)
    body = body[np.abs(body[:, 1] - peak[1]) < 10]
    assert np.linalg.norm(body.mean(axis=0) - peak) < 12
    weighted = np.flatnonzero((sample["weight"][0] > 1).any(axis=(0, 2)))
    assert 0 < weighted.max() < peak[1]
    assert peak[1] > PATCH[1] / 2 + BEHIND_MM - 20


def test_sample_k_of_a_seed_is_always_the_same_here_and_in_workers(blocks, painted):
    travelled = pickle.loads(pickle.dumps(OutlineSamples([blocks], 1)))
    for name, array in painted(0).items():
        assert np.array_equal(array, travelled(0)[name])
    assert not np.array_equal(painted(2)["image"], painted(0)["image"])


def test_a_block_without_a_neighbour_in_view_serves_its_own_vertebra_twice(pair):
    samples = OutlineSamples([pair], 3)
    assert samples(2)["target"].sum() > 5000


def test_a_real_pair_is_deformed_as_one(pair):
    samples = OutlineSamples([pair], 3, OutlineOptions(patch=(64, 80, 48)))
    sample = samples(0)
    assert sample["image"].shape == (2, 64, 80, 48)
    # Bone is bright and air dark after gain, offset, blur and noise.
    bone, rest = sample["image"][0][sample["target"][0] > 0], sample["image"][0][sample["target"][0] == 0]
    assert np.median(bone) > float(to_input(np.array(150.0)))
    assert np.percentile(rest, 25) < float(to_input(np.array(AIR_HU))) + 0.3


# --- rib samples --------------------------------------------------------------------------------------------------


def ribbed(blocks, levels, numbers):
    """The block vertebrae under other names, with bars for ribs beside each: {place from the head: number}."""
    labels = np.array(blocks.labels)
    old = list(blocks.centres)
    values = [VERSE.value_of(Level(word)) for word in levels]
    renamed = np.zeros_like(labels)
    for before, after in zip(old, values, strict=True):
        renamed[labels == before] = after
    centres = {after: blocks.centres[before] for before, after in zip(old, values, strict=True)}
    for place, number in numbers.items():
        i, j, k = (round(c) for c in centres[values[place]])
        reach = round(18 / blocks.spacing_mm[0])
        for side, start in (("left", max(i - 2 * reach, 0)), ("right", i + reach)):
            renamed[start : start + reach, j - 6 : j, k - 3 : k + 3] = rib_label(side, number)
    return replace(blocks, labels=renamed, centres=centres)


@pytest.mark.parametrize(
    ("levels", "numbers", "bearing"),
    [
        (("T12", "L1", "L2"), {0: 12}, {"T12"}),
        (("T11", "L1", "L2"), {0: 11}, {"T11"}),  # eleven thoracic vertebrae ...
        (("T11", "L1", "L2"), {0: 11, 1: 12}, {"T11", "L1"}),  # ... and a rib of the first lumbar one
        (("T13", "L1", "L2"), {0: 13, 1: 14}, {"T13", "L1"}),
        (("T12", "L1", "L2"), {0: 12, 1: 13}, {"T12", "L1"}),
    ],
)
def test_each_vertebra_is_asked_for_its_own_ribs(blocks, levels, numbers, bearing):
    one = ribbed(blocks, levels, numbers)
    targets = RibSamples([one], 2)._targets(one)
    assert set(targets) == set(one.centres)
    shown = {str(VERSE.levels[v]) for v, asked in targets.items() if np.isin(one.labels, asked).any()}
    assert shown == bearing


def test_a_rib_sample_shows_the_ribs_of_the_vertebra_that_the_heatmap_points_at(blocks):
    samples = RibSamples([ribbed(blocks, ("T12", "L1", "L2"), {0: 12})], 2)
    for index in (0, 1):  # the vertebra that a block was made for; two neighbours follow
        asked = VERSE.levels[samples._block(index).first]
        assert bool(samples(index)["target"].any()) is (asked is Level.T12)


def test_masks_without_ribs_do_not_say_that_there_are_none(blocks):
    with pytest.raises(InputError, match="no label map shows a rib"):
        RibSamples([blocks], 2)
    with_ribs = ribbed(blocks, ("T12", "L1", "L2"), {0: 12})
    assert [s.name for s in RibSamples([blocks, with_ribs], 2).sources] == [with_ribs.name]


@pytest.mark.parametrize("kind", [LocateSamples, IdentifySamples])
def test_samples_of_whole_scans_travel_to_workers(blocks, kind, monkeypatch):
    monkeypatch.setattr(spine_samples, "FEWEST_LEVELS", 3)
    samples = kind(ScanPool([blocks], 5, 2), 5)
    travelled = pickle.loads(pickle.dumps(samples))
    here, there = samples(0), travelled(0)
    assert here.keys() == there.keys()
    assert all(np.array_equal(here[name], there[name]) for name in here)


# --- worker processes ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_worker_processes_give_the_samples_of_none(blocks, data):
    import torch

    from verse_morph.segment.train.feed import Course, fed

    course = Course(4, 1, 3)
    samples = OutlineSamples([blocks], 1)
    with fed(samples, course, 0) as here, fed(samples, course, 2) as elsewhere:
        for one, other in zip(here, elsewhere, strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[name], other[name]) for name in one)


class Deadly:
    """Samples that end their process."""

    def __call__(self, index):
        os._exit(1)


@pytest.mark.slow
def test_a_dead_worker_is_told_in_words():
    from verse_morph.segment.train.feed import Course, fed

    with pytest.raises(InputError, match="fewer --workers"), fed(Deadly(), Course(1, 0, 3), 1) as batches:
        next(batches)
