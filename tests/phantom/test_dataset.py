"""Phantom data sets: recipes in the paper's proportions, layout, reproducibility, resumption, refusals."""

import json
from collections import Counter

import numpy as np
import pytest

from verse_morph.errors import InputError, OutputError
from verse_morph.io import find_cases, read_centroids, read_labels, read_scan, read_table
from verse_morph.phantom.check import check_options
from verse_morph.phantom.dataset import DatasetJob, make_case, participants, write_dataset
from verse_morph.phantom.presets import preset
from verse_morph.phantom.recipe import VARIANTS, draw_recipe

SMALL = {"seed": 3, "variant": "cervical-rib", "preset": "thick"}


def recipe(index, variant="mixed", seed=7):
    return draw_recipe(index, seed, variant, None, np.random.default_rng([seed, index]))


@pytest.mark.parametrize("seed", [0, 7])
def test_variants_come_in_the_proportions_of_the_paper(seed):
    """Shares of each block of Table 2, met within one and a half per cent by 300 cases."""
    drawn = [recipe(i, seed=seed).options.variants for i in range(300)]
    castellvi = Counter(v.castellvi for v in drawn)
    for grade, count in (("0", 146), ("2a", 35), ("2b", 25), ("3a", 14), ("3b", 28), ("4", 7)):
        assert castellvi[grade] / 300 == pytest.approx(count / 255, abs=0.015)
    assert Counter(v.thoracic for v in drawn)[11] / 300 == pytest.approx(8 / 145, abs=0.015)
    assert Counter(v.lumbar for v in drawn)[6] / 300 == pytest.approx(85 / 253, abs=0.015)
    assert sum(bool(v.stump_ribs) for v in drawn) / 300 == pytest.approx(90 / 319, abs=0.015)
    assert sum(bool(v.cervical_ribs) for v in drawn) / 300 == pytest.approx(18 / 135, abs=0.015)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_recipe_is_possible_anatomy(variant):
    for index in range(40):
        made = recipe(index, variant)
        check_options(made.options)
        preset(made.preset)
        assert sorted(made.orientation.translate(str.maketrans("LPI", "RAS"))) == ["A", "R", "S"]


def test_worn_discs_and_slips_come_with_age():
    """Shares of people without complaints: Brinjikji et al. 2015, AJNR 36:811, table 2. A slip's disc is worn too."""
    options = [recipe(index).options for index in range(600)]
    for low, high, worn, slipped in ((18, 40, (0.20, 0.40), (0.0, 0.08)), (70, 93, (0.70, 0.95), (0.3, 0.55))):
        group = [o for o in options if low <= o.age < high]
        assert worn[0] < np.mean([bool(o.pathology.worn_discs) for o in group]) < worn[1]
        assert slipped[0] <= np.mean([bool(o.alignment.slips_mm) for o in group]) < slipped[1]
    for o in options:
        assert set(o.alignment.slips_mm) <= {disc.level for disc in o.pathology.worn_discs}


def test_a_phantom_with_nothing_has_no_worn_discs():
    assert not any(recipe(k, "none").options.pathology.worn_discs for k in range(100))


def test_a_recipe_does_not_depend_on_how_many_there_are():
    assert recipe(12) == recipe(12)
    assert recipe(12) != recipe(13)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n": 0}, "allowed are 1 to 100000"),
        ({"workers": 0}, "allowed are 1 to 64"),
        ({"seed": -1}, "from 0 on"),
        ({"preset": "acme"}, "allowed are philips"),
        ({"variant": "lumbar-3"}, "allowed are mixed, none"),
    ],
)
def test_bad_requests_name_what_is_allowed(tmp_path, kwargs, message):
    with pytest.raises(InputError, match=message):
        DatasetJob(tmp_path, **kwargs)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose a writable folder"):
        write_dataset(DatasetJob(tmp_path / "file" / "data"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two small cases made in two processes."""
    folder = tmp_path_factory.mktemp("phantoms")
    seen = []
    table = write_dataset(DatasetJob(folder, n=2, workers=2, **SMALL), lambda *step: seen.append(step))
    return folder, table, seen


def test_the_layout_is_verse(dataset):
    folder, table, seen = dataset
    assert seen[0] == ("phantoms", 0, 2)
    assert seen[-1] == ("phantoms", 2, 2)
    assert not list(folder.glob(".making-*"))
    cases = find_cases(folder)
    assert [case.scan for case in cases] == ["sub-phantom000", "sub-phantom001"]
    assert list(table["scan"]) == [case.scan for case in cases]
    for case in cases:
        scan, labels = read_scan(case.ct), read_labels(case.mask)
        assert scan.grid.matches(labels.grid)
        assert "simulated" in scan.meta["Manufacturer"]
        centroids = read_centroids(case.centroids, scan.grid)
        assert set(centroids.points_mm) <= set(labels.levels())
        assert len(centroids.points_mm) >= 4
        for level, point in centroids.points_mm.items():
            index = np.rint(labels.grid.to_index(point)).astype(int)
            assert labels.labels[tuple(index)] == labels.scheme.value_of(level)


def test_truth_lies_beside_each_case(dataset):
    folder, _, _ = dataset
    derived = folder / "derivatives" / "sub-phantom000"
    truth = read_table(derived / "sub-phantom000_truth-vertebrae.csv")
    assert {"scan", "level", "height_anterior_mm", "body_x_mm"} <= set(truth.columns)
    names = json.loads((derived / "sub-phantom000_seg-full_dseg.json").read_text())
    full = read_labels(derived / "sub-phantom000_seg-full_dseg.nii.gz")
    assert {int(value) for value in names} == set(full.values())
    hu = read_table(derived / "sub-phantom000_truth-hu.csv")
    np.testing.assert_allclose(hu["noise_free_hu_mean"] - hu["tissue_hu_mean"], hu["blur_bias_hu"], atol=0.01)
    whole = json.loads((derived / "sub-phantom000_truth.json").read_text())
    assert whole["scan"]["cervical_ribs"]
    assert whole["preset"] == "thick"


def test_one_process_gives_the_same_bits_and_a_lost_case_comes_back(dataset, tmp_path):
    folder, _, _ = dataset
    write_dataset(DatasetJob(tmp_path, n=2, workers=1, **SMALL))
    for case, other in zip(find_cases(folder), find_cases(tmp_path), strict=True):
        np.testing.assert_array_equal(read_scan(case.ct).hu, read_scan(other.ct).hu)
        np.testing.assert_array_equal(read_labels(case.mask).labels, read_labels(other.mask).labels)
        for file in (case.ct, *sorted(case.mask.parent.iterdir())):
            twin = tmp_path / file.relative_to(folder)
            assert file.read_bytes() == twin.read_bytes()
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*/sub-phantom001/*")}
    for file in (tmp_path / "derivatives" / "sub-phantom000").iterdir():
        file.unlink()
    (tmp_path / "derivatives" / "sub-phantom000").rmdir()
    (tmp_path / ".making-interrupted").mkdir()
    table = write_dataset(DatasetJob(tmp_path, n=2, **SMALL))
    assert len(table) == 2
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert not list(tmp_path.glob(".making-*"))


def test_two_data_sets_are_not_mixed(dataset):
    folder, _, _ = dataset
    with pytest.raises(OutputError, match="choose another folder"):
        write_dataset(DatasetJob(folder, n=2, seed=4))


def test_a_failed_case_leaves_nothing(dataset, tmp_path, monkeypatch):
    import verse_morph.phantom.dataset as module

    def fail(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / "rawdata").mkdir()
    (tmp_path / "derivatives").mkdir()
    monkeypatch.setattr(module, "_write_truth", fail)
    with pytest.raises(OutputError, match="No space left"):
        make_case(DatasetJob(tmp_path, n=1, **SMALL), 0)
    assert not [p for p in tmp_path.rglob("*") if p.name not in ("rawdata", "derivatives")]
    assert participants(tmp_path).empty
