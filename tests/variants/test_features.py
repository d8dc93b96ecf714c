"""All features of a scan: the row's contract, bad input, and one anatomical phantom."""

import json

import numpy as np
import pytest

import verse_morph as vm
from verse_morph.errors import InputError
from verse_morph.phantom.solids import solid_case
from verse_morph.spine import Spine
from verse_morph.tables import why_column
from verse_morph.variants import COLUMNS, Rules, scan_variants


@pytest.fixture(scope="module")
def solid():
    labels, scan, _ = solid_case(spacing_mm=2.0)
    return labels, scan, vm.build_spine(labels, scan)


@pytest.fixture(scope="module")
def features(solid):
    labels, scan, spine = solid
    return scan_variants(spine, scan, labels)


def test_every_column_is_described_and_in_order(features):
    names = [name for name in features.row().columns if name != "scan" and not name.endswith("_why")]
    assert names == [column.name for column in COLUMNS]


def test_every_empty_cell_has_its_reason(features):
    row = features.row().iloc[0]
    for column in COLUMNS:
        value, why = row[column.name], row[why_column(column.name)]
        assert (value is None or value != value) == bool(why), column.name


def test_the_record_is_plain_json(features):
    record = features.record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert {rib["level"] for rib in record["ribs"]} <= {"C7", "L1", *(f"T{i}" for i in range(1, 14))}


def test_no_thoracic_count_of_a_lumbar_scan(features):
    assert features.enumeration.numbering_assumed
    assert features.enumeration.thoracic.value is None
    assert features.half_vertebrae.levels == ()


def test_labels_are_not_needed_where_they_hold_vertebrae_only(solid, features):
    _, scan, spine = solid
    again = scan_variants(spine, scan)
    assert again.row().equals(features.row())


def test_less_is_said_without_a_ct(solid):
    labels, _, spine = solid
    found = scan_variants(spine, None, labels)
    assert found.sources == ("mask",)
    assert found.castellvi.grade is None
    assert found.enumeration.lumbar_total.value is None


def test_one_vertebra_alone(solid):
    _, scan, spine = solid
    found = scan_variants(Spine((spine["L3"],), "one", grid=spine.grid), scan)
    assert found.row()["lumbar_labelled"].isna().all()


def test_a_scan_on_another_grid_is_refused(solid):
    labels, scan, spine = solid
    other = vm.volume.Scan(
        np.asarray(scan.hu)[:-1], scan.grid.crop([slice(0, n - (a == 0)) for a, n in enumerate(scan.grid.shape)])
    )
    with pytest.raises(InputError, match="another grid"):
        scan_variants(spine, other, labels)
    with pytest.raises(InputError, match="does not know the grid"):
        scan_variants(Spine(spine.vertebrae), scan)


def test_the_threshold_is_a_parameter():
    assert Rules(stump_mm=40.0).stump_mm == 40.0


@pytest.mark.slow
@pytest.mark.parametrize(("grade", "unlabelled"), [("4", 1), ("2a", 0)])
def test_castellvi_of_a_phantom(grade, unlabelled):
    from verse_morph.phantom.ct import ScannerParameters, simulate_ct
    from verse_morph.phantom.draw import draw_parameters
    from verse_morph.phantom.parameters import PhantomOptions, Variants, View
    from verse_morph.phantom.render import render
    from verse_morph.phantom.tissues import draw_tissue
    from verse_morph.volume import Scan

    view = View(upper="L4", lower="S", cut_mm=(-6.0, 50.0), half_width_mm=66.0, front_mm=14.0, back_mm=5.0)
    options = PhantomOptions(ribs=False, pelvis=False, neck=False, view=view, variants=Variants(castellvi=grade))
    case = render(draw_parameters(np.random.default_rng(3), options), 1.0)
    levels = tuple(case.verse_labels.values())
    tissue = draw_tissue(np.random.default_rng(1), 55, "F", levels)
    ct = simulate_ct(
        case.structures, case.bone_depth_mm, case.grid, tissue, ScannerParameters(), np.random.default_rng(2)
    )
    labels, scan = case.verse_labels, Scan(ct.hu, case.grid)
    found = scan_variants(vm.build_spine(labels, scan), scan, labels)
    assert (found.castellvi.grade, found.castellvi.side) == (grade, "left")
    assert found.enumeration.transitional_unlabelled.value == unlabelled
