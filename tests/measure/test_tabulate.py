"""The table: every missing number has a reason and no number has one; columns, status, a reader's own catalogue."""

import subprocess
import sys

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.errors import NotMeasurable
from verse_morph.measure import CATALOGUE, data_dictionary, measure, measurement
from verse_morph.phantom.solids import Body, Placement, Sampling, SolidVertebra, spine_labelmap
from verse_morph.shape import build_spine
from verse_morph.spine import Spine, Vertebra
from verse_morph.volume import LabelMap

# The stable part of the table, which other people's scripts read by name.
PROMISED = [
    "body_x_mm",
    "body_y_mm",
    "body_z_mm",
    "vertebra_volume_cm3",
    "body_volume_cm3",
    "height_anterior_mm",
    "height_middle_mm",
    "height_posterior_mm",
    "height_left_mm",
    "height_right_mm",
    "endplate_superior_tilt_sagittal_deg",
    "endplate_superior_tilt_coronal_deg",
    "endplate_inferior_tilt_sagittal_deg",
    "endplate_inferior_tilt_coronal_deg",
]


@measurement(unit="mm", length_power=1, source="this test")
def shortest_side(vertebra: Vertebra) -> float:
    """Shortest side of the box around the label."""
    extent = np.ptp(np.argwhere(vertebra.mask), axis=0)
    return float(((extent + 1) * vertebra.grid.spacing_mm).min())


@measurement(unit="mm", length_power=1, source="this test")
def never_there(vertebra: Vertebra) -> float:
    """A quantity that no vertebra has."""
    raise NotMeasurable(f"{vertebra.level}: there is no such thing")


@pytest.fixture(scope="module")
def spine() -> Spine:
    """L2 cut through its body by the upper border, L3 whole, L4 with a cut spinous process."""
    solid = SolidVertebra(Body(40, 30, 24, 24))
    places = {
        level: (solid, Placement(offset_mm=[0.2, 0, z]))
        for level, z in zip(("L2", "L3", "L4"), (35.3, 0.3, -34.7), strict=True)
    }
    labels = spine_labelmap({Level(name): value for name, value in places.items()}, Sampling(margin_mm=4))
    top = int(labels.grid.to_index([0, 0, 35])[2])
    box = (slice(0, labels.grid.shape[0]), slice(0, labels.grid.shape[1]), slice(0, top))
    array = np.array(labels.labels[box])
    behind = int(labels.grid.to_index([0, -45, 0])[1])
    array[:, :behind] = np.where(array[:, :behind] == 23, array[:, :behind], 0)
    box = (box[0], slice(behind - 5, labels.grid.shape[1]), box[2])
    return build_spine(LabelMap(array[:, behind - 5 :], labels.grid.crop(box), labels.scheme, "case-7"))


@pytest.fixture(scope="module")
def table(spine):
    return measure(spine)


def test_a_missing_number_has_a_reason_and_a_number_has_none(table):
    for entry in CATALOGUE:
        missing = table[entry.name] == "" if entry.word else table[entry.name].isna()
        reason = table[entry.name + "_why"]
        assert (missing == (reason != "")).all(), entry.name
        assert entry.word or table[entry.name].dtype == np.float64
    assert table.filter(like="_why").map(lambda text: isinstance(text, str)).all().all()


def test_columns_in_order(table):
    words = ["scan", "level", "label", "status", "flags"]
    names = [entry.name for entry in CATALOGUE]
    assert list(table.columns) == words + names + [name + "_why" for name in names]
    assert set(PROMISED) <= set(names)
    assert [column.name for column in data_dictionary()] == words + names


def test_one_row_per_vertebra_head_to_foot(table):
    assert list(table["level"]) == ["L2", "L3", "L4"]
    assert list(table["label"]) == [21, 22, 23]
    assert set(table["scan"]) == {"case-7"}


def test_status_and_reason_of_a_cut_body(table):
    row = table.set_index("level").loc["L2"]
    assert row["status"] == "not_measurable"
    assert "body_cut" in row["flags"].split(";")
    assert row["height_middle_mm_why"] == "L2: the image border cuts the body"


def test_processes_cut_leaves_body_values_and_takes_whole_ones(table):
    row = table.set_index("level").loc["L4"]
    assert row["status"] == "partial"
    assert "processes_cut" in row["flags"].split(";")
    assert row["height_middle_mm"] == pytest.approx(24, abs=0.5)
    assert np.isnan(row["vertebra_volume_cm3"])
    assert row["vertebra_volume_cm3_why"] == "L4: the image border cuts the vertebra"


def test_status_measured_only_without_a_gap(spine):
    assert measure(spine, (shortest_side,)).set_index("level").loc["L3", "status"] == "measured"
    assert list(measure(spine, (shortest_side, never_there))["status"]) == ["partial"] * 3
    assert list(measure(spine, (never_there,))["status"]) == ["not_measurable"] * 3


def test_a_reader_can_pass_their_own_catalogue(spine):
    table = measure(spine, (shortest_side, never_there))
    assert list(table.columns[5:]) == [
        "shortest_side_mm",
        "never_there_mm",
        "shortest_side_mm_why",
        "never_there_mm_why",
    ]
    assert table["shortest_side_mm"].notna().all()
    assert list(table["never_there_mm_why"]) == [f"{level}: there is no such thing" for level in ("L2", "L3", "L4")]
    assert data_dictionary((shortest_side,))[-1].definition == "Shortest side of the box around the label."


def test_an_error_that_is_not_about_the_input_is_not_swallowed(spine):
    @measurement(unit="mm", length_power=1, source="this test")
    def broken(vertebra: Vertebra) -> float:
        """A defect of ours."""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure(spine, (broken,))


def test_flags_are_sorted_words(table):
    for flags in table["flags"]:
        assert flags.split(";") == sorted(flags.split(";"))


def test_a_spine_without_vertebrae_makes_an_empty_table_with_all_columns():
    assert list(measure(Spine(())).columns[:2]) == ["scan", "level"]
    assert len(measure(Spine(()))) == 0


def test_a_measurement_needs_a_definition():
    def undocumented(vertebra):
        return 0.0

    with pytest.raises(ValueError, match="undocumented has no docstring"):
        measurement(unit="mm", length_power=1, source="x")(undocumented)


@pytest.mark.parametrize(("argument", "word"), [("frame", "patient"), ("mirror", "maybe")])
def test_a_measurement_refuses_unknown_words(argument, word):
    def documented(vertebra):
        """Something."""

    with pytest.raises(ValueError, match=word):
        measurement(unit="mm", length_power=1, source="x", **{argument: word})(documented)


@pytest.mark.parametrize("before", ["", "import verse_morph.measure;", "from verse_morph.measure import heights;"])
def test_vm_measure_can_be_called_before_and_after_the_room_was_imported(before):
    code = f"import verse_morph as vm; {before} from verse_morph.spine import Spine; print(len(vm.measure(Spine(()))))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "0"
