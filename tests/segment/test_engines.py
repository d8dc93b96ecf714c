"""TotalSegmentator in place of our networks: how it is called, its numbers translated, its absence explained."""

import sys
import types

import nibabel as nib
import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.io.schemes import TOTALSEGMENTATOR
from verse_morph.segment.cascade import SegmentOptions, segment
from verse_morph.segment.engines import run_totalsegmentator

from .stand_in import ball_scan, balls, centres, scan_grid

GRID = scan_grid("PIR", (1.0, 1.0, 2.0))


@pytest.fixture
def scan():
    return ball_scan(GRID, centres().values())


@pytest.fixture
def install(monkeypatch):
    """Put a function in the place of TotalSegmentator's; gives the list of its calls."""

    def put(answer):
        calls = []

        def totalsegmentator(image, output=None, **options):
            calls.append((image, output, options))
            return answer(image)

        api = types.ModuleType("totalsegmentator.python_api")
        api.totalsegmentator = totalsegmentator
        package = types.ModuleType("totalsegmentator")
        package.python_api = api
        monkeypatch.setitem(sys.modules, "totalsegmentator", package)
        monkeypatch.setitem(sys.modules, "totalsegmentator.python_api", api)
        return calls

    return put


def with_labels(values):
    """An answer with a ball of each value in turn."""
    numbers = np.array([0, *values], dtype=np.uint8)
    return lambda image: nib.Nifti1Image(numbers[balls(GRID, centres(len(values)).values())], image.affine)


def test_levels_come_out_in_verse_numbers(scan, install):
    sacrum = next(v for v, name in TOTALSEGMENTATOR.others.items() if name == "sacrum")
    spleen = next(v for v, name in TOTALSEGMENTATOR.others.items() if name == "spleen")
    values = [TOTALSEGMENTATOR.value_of(Level.L5), TOTALSEGMENTATOR.value_of(Level.S1), sacrum, spleen]
    calls = install(with_labels(values))
    labels = run_totalsegmentator(scan, "cuda")
    assert labels.values() == (24, 26)
    assert labels.levels() == (Level.L5,)
    assert labels.labels.dtype == np.uint8
    assert labels.name == "balls"
    (image, output, options) = calls[0]
    assert output is None
    assert image.shape == scan.hu.shape
    assert options["device"] == "gpu"
    assert {"vertebrae_C1", "vertebrae_L5", "sacrum"} <= set(options["roi_subset"])
    assert not {"vertebrae_T13", "vertebrae_L6"} & set(options["roi_subset"])


def test_the_cascade_uses_it_when_asked(scan, install):
    install(with_labels([TOTALSEGMENTATOR.value_of(level) for level in centres()]))
    made = segment(scan, SegmentOptions(engine="totalsegmentator"))
    assert made.labels.levels() == tuple(centres())
    assert [flag.value for flag in made.flags] == ["numbering_assumed"]
    assert "T13" in made.notes[0]
    for level, point in centres().items():
        assert np.linalg.norm(made.points_mm[level] - point) < 1.5
        assert made.volumes_cm3[level] == pytest.approx(5.58, rel=0.05)


def test_without_the_package_one_sentence_says_what_to_do(scan, monkeypatch):
    monkeypatch.setitem(sys.modules, "totalsegmentator", None)
    with pytest.raises(InputError, match="pip install"):
        run_totalsegmentator(scan)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda image: nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), image.affine), "another grid"),
        (lambda image: nib.Nifti1Image(np.zeros(image.shape, np.uint8), 2 * image.affine), "another grid"),
        (lambda image: nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), "no spine"),
    ],
)
def test_answers_that_cannot_be_used_are_refused(scan, install, answer, word):
    install(answer)
    with pytest.raises(InputError, match=word):
        run_totalsegmentator(scan)


def test_it_takes_no_centroids():
    with pytest.raises(InputError, match="takes no centroids"):
        SegmentOptions(engine="totalsegmentator", points_mm=centres())
