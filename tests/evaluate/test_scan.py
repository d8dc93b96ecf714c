"""One scan: grids, axis orders, missing sides, reasons."""

import itertools

import nibabel as nib
import numpy as np
import pytest

from verse_morph.anatomy import VERSE, LabelScheme, Level
from verse_morph.errors import GridMismatch
from verse_morph.evaluate import Mode, Rules, all_missed, evaluate_scan
from verse_morph.evaluate.scan import COLUMNS, VALUES
from verse_morph.space import Grid
from verse_morph.volume import LabelMap

SPACING = np.array([1.0, 1.5, 2.0])
CODES = ["".join(c) for p in itertools.permutations(("RL", "AP", "SI")) for c in itertools.product(*p)]


def column(labels=(20, 21, 22), shift=(0, 0, 0), shape=(30, 24, 40)):
    """Blocks of 12 x 10 x 8 voxels above each other, the first uppermost, each with a notch, so none is symmetric."""
    array = np.zeros(shape, dtype=np.uint8)
    for place, label in enumerate(labels):
        a, b, c = np.add((8, 6, 28 - 11 * place), shift)
        array[a : a + 12, b : b + 10, c : c + 8] = label
        array[a : a + 3, b : b + 4, c + 5 : c + 8] = 0
    return array


def rigid(angle_deg=0.0):
    turn = np.eye(3)
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    turn[1:, 1:] = [[cos, -sin], [sin, cos]]
    return nib.affines.from_matvec(turn @ np.diag(SPACING), [-20.0, 10.0, 300.0])


def made(array, affine=None, codes=None, scheme=VERSE):
    affine = rigid() if affine is None else affine
    if codes:
        turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(codes))
        image = nib.Nifti1Image(array, affine).as_reoriented(turn)
        array, affine = np.asanyarray(image.dataobj), image.affine
    return LabelMap(array, Grid(array.shape, affine), scheme, "case")


def numbers(found):
    return found.vertebrae[[*VALUES]].to_numpy(float)


def words(found):
    return found.vertebrae[["level", "mode", "outcome", "mask_outcome", "nearest_true_level", "covered_by"]]


def row(found, level, mode=Mode.STRICT):
    table = found.vertebrae
    return table[(table["level"] == str(level)) & (table["mode"] == str(mode))].iloc[0]


def test_identical_masks():
    found = evaluate_scan(made(column()), made(column()))
    assert list(found.vertebrae.columns) == list(COLUMNS)
    assert list(found.vertebrae["level"]) == ["L1", "L2", "L3"] * 2
    for name, value in (("dice", 1), ("nsd", 1), ("hausdorff_mm", 0), ("hausdorff95_mm", 0), ("assd_mm", 0)):
        assert (found.vertebrae[name] == value).all()
    assert (found.vertebrae["centroid_distance_mm"] == 0).all()
    assert set(found.vertebrae["outcome"]) == {"hit"}
    assert found.dice_binary == 1
    assert not found.vertebrae[[name for name in COLUMNS if name.endswith("_why")]].any(axis=None)


def test_a_known_shift():
    """One voxel along the second axis: Dice from the voxel counts, distances the spacing."""
    predicted, true = column(shift=(0, 1, 0)), column()
    found = evaluate_scan(made(predicted), made(true))
    for label, level in ((20, Level.L1), (21, Level.L2), (22, Level.L3)):
        a, b = predicted == label, true == label
        one = row(found, level)
        assert one["dice"] == 2 * (a & b).sum() / (a.sum() + b.sum())
        assert one["hausdorff_mm"] == pytest.approx(1.5)
        assert one["centroid_distance_mm"] == pytest.approx(1.5)
        assert one["true_volume_cm3"] == pytest.approx(b.sum() * 3 / 1000)


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize("angle", [0.0, 17.0])
def test_axis_order_changes_nothing(codes, angle):
    predicted, true = column(shift=(1, -1, 1)), column()
    predicted[15:20, 10:14, 30:34] = 22
    plain = evaluate_scan(made(predicted, rigid(angle)), made(true, rigid(angle)))
    for one, other in ((codes, codes), (codes, None), (None, codes)):
        found = evaluate_scan(made(predicted, rigid(angle), one), made(true, rigid(angle), other))
        np.testing.assert_allclose(numbers(found), numbers(plain), rtol=1e-9, atol=1e-9)
        assert words(found).equals(words(plain))
        assert found.dice_binary == plain.dice_binary
        assert not any("lattice" in note for note in found.notes)


def test_exchanging_the_sides_exchanges_misses_and_false_positives_only():
    predicted, true = column((20, 21, 22), (1, 0, 1)), column((19, 21, 22))
    there = evaluate_scan(made(predicted), made(true))
    back = evaluate_scan(made(true), made(predicted))
    symmetric = ["dice", "hausdorff_mm", "hausdorff95_mm", "assd_mm", "nsd", "centroid_distance_mm"]
    np.testing.assert_allclose(
        there.vertebrae[symmetric].to_numpy(float), back.vertebrae[symmetric].to_numpy(float), rtol=1e-12
    )
    assert row(there, Level.T12)["outcome"] == row(back, Level.L1)["outcome"] == "missed"
    assert row(there, Level.L1)["outcome"] == row(back, Level.T12)["outcome"] == "false_positive"
    assert there.dice_binary == back.dice_binary


def test_swapped_labels_go_unseen_by_the_binary_dice_alone():
    found = evaluate_scan(made(column((21, 20, 22))), made(column((20, 21, 22))))
    assert found.dice_binary == 1
    one = row(found, Level.L1)
    assert (one["outcome"], one["dice"], one["covered_by"], one["nearest_true_level"]) == ("misplaced", 0, "L2", "L2")
    assert one["hausdorff_mm"] == pytest.approx(22)
    assert row(found, Level.L3)["outcome"] == "hit"


def test_missed_and_invented_levels_have_their_reasons():
    found = evaluate_scan(made(column((20, 28))), made(column((20, 0, 22))))
    missed, invented = row(found, Level.L3), row(found, Level.T13)
    assert (missed["outcome"], missed["mask_outcome"], missed["dice"], missed["nsd"]) == ("missed", "missed", 0, 0)
    assert missed["covered_by"] == "background"
    assert np.isnan(missed["hausdorff_mm"])
    assert missed["hausdorff_mm_why"] == "missed: the predicted mask has no L3"
    assert missed["centroid_distance_mm_why"] == "missed: no predicted point for L3"
    assert invented["outcome"] == invented["mask_outcome"] == "false_positive"
    assert invented["dice"] == 0
    assert invented["assd_mm_why"] == "false positive: the true mask has no T13"
    assert np.isnan(invented["true_volume_cm3"])
    challenge = row(found, Level.L3, Mode.CHALLENGE)
    assert np.isnan(challenge["dice"])
    assert challenge["dice_why"] == "missed: the predicted mask has no L3"


def test_every_missing_number_has_a_reason_and_no_other():
    found = evaluate_scan(made(column((20, 28))), made(column((20, 0, 22)))).vertebrae
    for name in VALUES:
        assert (found[name].isna() == (found[f"{name}_why"] != "")).all()


def test_an_empty_prediction_misses_everything():
    empty = evaluate_scan(made(np.zeros((30, 24, 40), dtype=np.uint8)), made(column()))
    assert set(empty.vertebrae["outcome"]) == {"missed"}
    assert empty.dice_binary == 0
    nothing = all_missed(made(column()))
    strict = empty.vertebrae["mode"] == "strict"
    assert (empty.vertebrae["dice"][strict] == 0).all()
    assert empty.vertebrae.drop(columns="covered_by").equals(nothing.vertebrae.drop(columns="covered_by"))


def test_no_common_level():
    found = evaluate_scan(made(column((1, 2, 3))), made(column()))
    assert set(found.vertebrae["outcome"]) == {"missed", "false_positive"}
    assert found.dice_binary == 1


def test_schemes_are_compared_by_level():
    other = LabelScheme("other", {101: Level.L1, 102: Level.L2, 103: Level.L3}, {7: "rib"})
    predicted = column((101, 102, 103))
    predicted[0, 0, 0] = 7
    found = evaluate_scan(made(predicted, scheme=other), made(column()))
    assert (found.vertebrae["dice"] == 1).all()
    assert found.dice_binary == 1


def test_a_larger_or_smaller_image_on_the_same_lattice_changes_nothing():
    predicted, true = column(shift=(1, 0, 0)), column()
    plain = evaluate_scan(made(predicted), made(true))
    padded = made(
        np.pad(predicted, ((2, 3), (4, 1), (5, 6))), rigid() @ nib.affines.from_matvec(np.eye(3), [-2, -4, -5])
    )
    box = tuple(slice(a, b) for a, b in ((5, 29), (4, 22), (2, 39)))
    cropped = made(predicted[box], rigid() @ nib.affines.from_matvec(np.eye(3), [5, 4, 2]))
    for other in (padded, cropped):
        found = evaluate_scan(other, made(true))
        np.testing.assert_allclose(numbers(found), numbers(plain), rtol=1e-9, atol=1e-9)
        assert found.dice_binary == plain.dice_binary
        assert found.notes == plain.notes


def test_a_finer_prediction_gets_the_nearest_label_and_a_note():
    fine = made(column().repeat(3, 0).repeat(3, 1).repeat(3, 2), rigid() @ np.diag([1 / 3, 1 / 3, 1 / 3, 1]))
    shifted = Grid(fine.grid.shape, rigid() @ nib.affines.from_matvec(np.eye(3) / 3, [-1 / 3] * 3))
    found = evaluate_scan(LabelMap(fine.labels, shifted, VERSE, "case"), made(column()))
    assert (found.vertebrae["dice"] == 1).all()
    np.testing.assert_allclose(found.vertebrae["centroid_distance_mm"], 0, atol=1e-9)
    assert any("label nearest to its centre" in note for note in found.notes)


@pytest.mark.parametrize("codes", ["LPI", "SAR", "IPL"])
def test_centres_halfway_between_two_voxels_go_the_same_way_in_every_axis_order(codes):
    """A prediction of twice the voxel size whose faces run through the true centres: rounding noise must not decide."""
    shift = np.array([0.1, 0.2, 0.3])
    coarse = column()[::2, ::2, ::2].copy()
    affine = nib.affines.from_matvec(np.diag(2 * SPACING), rigid()[:3, 3] + shift)
    true = rigid()
    true[:3, 3] += shift
    plain = evaluate_scan(made(coarse, affine), made(column(), true))
    assert 0.5 < row(plain, Level.L2)["dice"] < 1
    found = evaluate_scan(made(coarse, affine, codes), made(column(), true))
    np.testing.assert_allclose(numbers(found), numbers(plain), rtol=1e-9, atol=1e-9)


def test_a_prediction_turned_by_a_few_degrees_is_sampled_voxel_by_voxel():
    array = column()
    predicted = made(array, rigid(4.0))
    found = evaluate_scan(predicted, made(array))
    step = np.linalg.inv(rigid(4.0)) @ rigid()
    sampled = np.zeros_like(array)
    for index in np.ndindex(*array.shape):
        i, j, k = np.floor(step[:3, :3] @ index + step[:3, 3] + 0.5 + 1e-6).astype(int)
        if 0 <= i < array.shape[0] and 0 <= j < array.shape[1] and 0 <= k < array.shape[2]:
            sampled[index] = array[i, j, k]
    for label, level in ((20, Level.L1), (21, Level.L2), (22, Level.L3)):
        a, b = sampled == label, array == label
        assert row(found, level)["dice"] == 2 * (a & b).sum() / (a.sum() + b.sum())
    assert any("different lattices" in note for note in found.notes)


def test_a_prediction_beyond_the_true_image_is_told():
    small = column()[:, :, :22]
    found = evaluate_scan(made(column()), made(small))
    one = row(found, Level.L1)
    assert one["mask_outcome"] == "false_positive"
    assert any("predicted L1, L2 reach beyond the true mask's image" in note for note in found.notes)


def test_a_level_true_here_and_predicted_outside_the_image():
    true = column((20, 21, 22))[:, :, :36]
    predicted = np.zeros((30, 24, 60), dtype=np.uint8)
    predicted[8:20, 6:16, 45:53] = 20
    one = row(evaluate_scan(made(predicted), made(true)), Level.L1)
    assert one["dice"] == 0
    assert np.isnan(one["hausdorff_mm"])
    assert one["hausdorff_mm_why"] == "no voxel of the predicted L1 lies on the true mask's grid"


def test_masks_that_share_no_space_are_refused():
    far = rigid()
    far[:3, 3] += 500
    with pytest.raises(GridMismatch, match="predicted and the true mask of case do not overlap"):
        evaluate_scan(made(column(), far), made(column()))


def test_given_points_are_used_for_identification_only():
    points = {Level.L1: (0, 0, 0), Level.L2: (0, 0, -30)}
    found = evaluate_scan(made(column()), made(column()), points=(points, points | {Level.L4: (0, 0, -90)}))
    assert row(found, Level.L1)["outcome"] == "hit"
    assert (row(found, Level.L3)["outcome"], row(found, Level.L3)["dice"]) == ("no_point", 1)
    four = row(found, Level.L4)
    assert (four["outcome"], four["mask_outcome"]) == ("missed", "none")
    assert np.isnan(four["dice"])
    assert four["dice_why"] == "neither mask has L4"


def test_each_row_states_its_rule():
    rules = Rules(limit_mm=15, tolerance_mm=2)
    table = evaluate_scan(made(column()), made(column()), rules).vertebrae
    assert set(table["rule"]) == {rules.sentence(mode) for mode in Mode}
    assert all(rule.startswith(f"{mode}: ") for mode, rule in zip(table["mode"], table["rule"], strict=True))


def test_a_sheared_grid_measures_in_the_world():
    """A tilted gantry: the surface of a box is that of its parallelepiped."""
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[1, 2] = 0.5
    found = evaluate_scan(made(column(shift=(0, 0, 2)), affine), made(column(), affine))
    # The nearest way between two parallel planes of normal (0, 0, 1) is along it, not along the sheared axis.
    one = row(found, Level.L2)
    assert one["hausdorff_mm"] <= 2 * np.sqrt(1.25) + 1e-9
    assert one["hausdorff_mm"] >= 2 - 1e-9
    assert one["centroid_distance_mm"] == pytest.approx(2 * np.sqrt(1.25))
