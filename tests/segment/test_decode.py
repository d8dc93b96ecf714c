"""The sequence decoder on made-up rows of vertebrae, and on real detections where they are at hand."""

import dataclasses
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.io.keypoints import read_keypoints
from verse_morph.segment.chain_prior import PRIOR_DIR, load_prior
from verse_morph.segment.decode import DecodingFlag, _with_room, decode, weigh
from verse_morph.segment.detections import Detections
from verse_morph.segment.numbering import LEVELS, SACRUM, agree, numberings
from verse_morph.segment.orientation import misplaced
from verse_morph.segment.row import spine_row

# Step to the level below (mm), distance between the pedicles (mm) and sagittal slope of that step (degrees, + = the
# lower one lies further forward): mean values of adult spines, close enough to be recognised.
SHAPE = {
    "C1": (17, 26, 5), "C2": (18.5, 27, 5), "C3": (16, 28, 5), "C4": (16, 28, 0), "C5": (16, 28, -8),
    "C6": (17.7, 28, -15), "C7": (18.8, 29, -25), "T1": (20.9, 27, -28), "T2": (22.2, 24, -26), "T3": (22.3, 23, -20),
    "T4": (22.8, 22, -14), "T5": (23.5, 22, -8), "T6": (24, 22, -2), "T7": (24.3, 22, 3), "T8": (24.9, 23, 7),
    "T9": (25.2, 23.5, 10), "T10": (27.2, 24.7, 13), "T11": (29.6, 27.2, 15), "T12": (32.3, 29.7, 17),
    "T13": (33, 29.8, 17), "L1": (34.5, 30, 17), "L2": (35.8, 30.3, 14), "L3": (36.5, 33, 7), "L4": (36.3, 36.5, -6),
    "L5": (36, 47.5, -18), "L6": (34, 52, -25),
}  # fmt: skip


def spine(levels: list[str]) -> tuple[Detections, dict[Level, np.ndarray]]:
    """Perfect detections of a spine with these levels, and its true points."""
    point, points = np.zeros(3), {}
    bodies, scores, left, right = [], [], [], []
    for name in levels:
        step, across, slope = SHAPE[name]
        points[Level(name)] = point
        bodies.append(point)
        scores.append([0.99 if name[0] == region else 0.02 for region in "CTL"])
        drop = {"L4": 5.0, "L5": 9.5, "L6": 10.0, "L3": 2.0}.get(name, 1.0)
        middle = point + np.array([0, -24.5 + (1.5 if name in ("L5", "L6") else 0), drop])
        half = np.array([across / 2, 0, 0])
        left.append(middle - half)
        right.append(middle + half)
        angle = np.deg2rad(slope)
        point = point + step * np.array([0, np.sin(angle), -np.cos(angle)])
    return Detections(np.array(bodies), np.array(scores), np.array(left), np.array(right)), points


def levels(first: str, last: str, without: tuple[str, ...] = ("T13", "L6")) -> list[str]:
    names = [str(level) for level in Level]
    return [n for n in names[names.index(first) : names.index(last) + 1] if n not in without]


def without_points(found: Detections, gone: list[np.ndarray], pedicles: bool = True) -> Detections:
    """Detections without the given bodies and, if asked, everything within 40 mm behind them."""

    def far(points: np.ndarray, reach: float) -> np.ndarray:
        return np.all([np.linalg.norm(points - g, axis=1) > reach for g in gone], axis=0)

    keep = far(found.bodies_mm, 1.0)
    sides = [s[far(s, 33.0)] if pedicles else s for s in (found.left_mm, found.right_mm)]
    return Detections(found.bodies_mm[keep], found.scores[keep], *sides)


@pytest.fixture(scope="module")
def prior():
    return load_prior()


def assert_named(decoding, truth, reach_mm=8.0):
    assert list(decoding.points_mm) == sorted(truth)
    for level, point in truth.items():
        assert np.linalg.norm(decoding.points_mm[level] - point) < reach_mm, level


@pytest.mark.parametrize(("first", "last"), [("C2", "L5"), ("T1", "L5"), ("T8", "L5"), ("T10", "L4"), ("C3", "T4")])
def test_a_regular_spine_gets_its_levels(prior, first, last):
    found, truth = spine(levels(first, last))
    assert_named(decode(found, prior), truth)


def test_a_usual_view_is_not_in_doubt_and_its_runner_up_names_it_differently(prior):
    found, truth = spine(levels("T9", "L5"))
    result = decode(found, prior)
    assert not result.in_doubt
    assert result.margin > prior.doubt_margin
    assert result.posterior == pytest.approx(1 / (1 + np.exp(-result.margin)))
    nearest = [min(truth, key=lambda name: np.linalg.norm(truth[name] - point)) for point in result.runner_up.values()]
    assert any(a is not b for a, b in zip(nearest, result.runner_up, strict=True))


def test_eleven_thoracic_vertebrae_are_a_valid_chain(prior):
    found, truth = spine(levels("C2", "L5", without=("T12", "T13", "L6")))
    hypotheses = weigh(spine_row(found), prior)
    chain = np.array([level.rank for level in truth])
    assert (hypotheses.ranks == chain).all(axis=1).any()
    result = decode(found, prior)
    assert Level.T12 not in result.points_mm or result.in_doubt


def test_six_lumbar_vertebrae_below_a_whole_neck_and_chest(prior):
    found, truth = spine(levels("C2", "L6", without=("T13",)))
    assert_named(decode(found, prior), truth)


def test_a_missed_body_keeps_its_level_free_and_is_marked(prior):
    found, truth = spine(levels("T6", "L5"))
    result = decode(without_points(found, [truth[Level.T10]]), prior)
    assert_named(result, truth)
    assert result.interpolated == {Level.T10}
    assert DecodingFlag.INTERPOLATED in result.flags


def test_no_level_is_passed_over_where_there_is_no_room_for_one():
    """Of the steps of a row only the double one may hide a vertebra; beside few neighbours nothing is usual."""
    heights = -np.cumsum([0.0, 20, 21, 42, 22, 23, 24])
    points = np.column_stack([np.zeros((7, 2)), heights])
    row = spine_row(Detections(points, np.tile([0.05, 0.9, 0.05], (7, 1))))
    before = np.log(np.full((6, 3), [0.8, 0.15, 0.05]))
    after = _with_room(before, row)
    assert np.array_equal(after[:, 0], before[:, 0])
    lowered = (after[:, 1:] < before[:, 1:] - 3).all(axis=1)
    assert lowered.tolist() == [True, True, False, True, True, True]
    short = spine_row(Detections(points[:3], np.tile([0.05, 0.9, 0.05], (3, 1))))
    assert np.array_equal(_with_room(before[:2], short), before[:2])


def test_a_body_missed_above_its_pedicles_is_inferred_from_them(prior):
    found, truth = spine(levels("T8", "L5"))
    result = decode(without_points(found, [truth[Level.T8]], pedicles=False), prior)
    assert_named(result, truth)
    assert result.from_pedicles == {Level.T8}
    assert DecodingFlag.FROM_PEDICLES in result.flags


def test_points_on_the_pelvis_or_beside_the_spine_are_left_out(prior):
    found, truth = spine(levels("T8", "L5"))
    low = found.bodies_mm[-1]
    false = np.array([low, low, found.bodies_mm[3]]) + np.array([[120, 0, 20], [-130, 10, -40], [60, 20, 5]])
    bodies = np.concatenate([found.bodies_mm, false])
    scores = np.concatenate([found.scores, [[0.02, 0.02, 0.3]] * 3])
    assert_named(decode(Detections(bodies, scores, found.left_mm, found.right_mm), prior), truth)


def test_a_view_without_any_landmark_is_in_doubt(prior):
    found, _ = spine(levels("T4", "T8"))
    result = decode(found, prior)
    assert result.in_doubt
    assert DecodingFlag.IN_DOUBT in result.flags
    assert result.runner_up


def test_nothing_detected_is_said_and_not_invented(prior):
    result = decode(Detections(np.zeros((0, 3)), np.zeros((0, 3))), prior)
    assert not result.points_mm
    assert not result.runner_up
    assert result.margin is None
    assert result.posterior is None
    assert result.in_doubt
    assert DecodingFlag.NOT_FOUND in result.flags


def test_a_single_point_is_named_but_doubted(prior):
    found, _ = spine(["L3"])
    assert decode(found, prior).in_doubt


def test_the_order_of_the_detections_does_not_matter(prior):
    rng = np.random.default_rng(3)
    found, _ = spine(levels("C5", "L5"))
    body, left, right = (rng.permutation(len(p)) for p in (found.bodies_mm, found.left_mm, found.right_mm))
    mixed = Detections(found.bodies_mm[body], found.scores[body], found.left_mm[left], found.right_mm[right])
    one, two = decode(found, prior), decode(mixed, prior)
    assert list(one.points_mm) == list(two.points_mm)
    assert one.margin == pytest.approx(two.margin)
    for level in one.points_mm:
        np.testing.assert_array_equal(one.points_mm[level], two.points_mm[level])


@pytest.mark.parametrize(
    ("axes", "word"), [((1, 1, -1), "upside_down"), ((1, -1, 1), "pedicles_in_front"), ((-1, 1, 1), "sides_swapped")]
)
def test_flipped_detections_are_reported(prior, axes, word):
    found, _ = spine(levels("T6", "L5"))
    assert misplaced(found) == ()
    flipped = Detections(found.bodies_mm * axes, found.scores, found.left_mm * axes, found.right_mm * axes)
    assert word in misplaced(flipped)
    result = decode(flipped, prior)
    assert result.in_doubt
    assert DecodingFlag.ORIENTATION in result.flags


def test_detections_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        Detections(np.array([[0, 0, np.nan]]), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="1 body points came with 2"):
        Detections(np.zeros((1, 3)), np.zeros((2, 3)))


def with_evidence(found: Detections, **more) -> Detections:
    return Detections(found.bodies_mm, found.scores, found.left_mm, found.right_mm, **more)


def shifted_evidence(truth: dict[Level, np.ndarray], by: int, strength: float) -> np.ndarray:
    """Evidence (n, 27) that each vertebra is the one ``by`` levels further down."""
    out = np.zeros((len(truth), len(LEVELS)))
    for row, level in zip(out, truth, strict=True):
        row[level.rank + by] = strength
    return out


def test_evidence_about_levels_turns_a_numbering(prior):
    found, truth = spine(levels("T3", "T9"))
    for by in (-1, 1):
        result = decode(with_evidence(found, level_log=shifted_evidence(truth, by, 20.0)), prior)
        assert list(result.points_mm) == [LEVELS[level.rank + by] for level in truth]
        assert result.margin > prior.doubt_margin
    assert_named(decode(with_evidence(found, level_log=shifted_evidence(truth, 0, 20.0)), prior), truth)


def test_evidence_is_a_log_likelihood_ratio_whatever_the_temperature(prior):
    found, _ = spine(levels("T3", "T9"))
    warm = dataclasses.replace(prior, temperature=2.5)
    evidence = np.zeros((7, len(LEVELS)))
    evidence[2, Level.T6.rank] = 1.75
    plain, told = (weigh(spine_row(f), warm) for f in (found, with_evidence(found, level_log=evidence)))
    np.testing.assert_array_equal(plain.ranks, told.ranks)
    gained = told.log_probability - plain.log_probability
    favoured = told.ranks[:, 2] == Level.T6.rank
    assert 0 < favoured.sum() < len(favoured)
    np.testing.assert_allclose(gained[favoured] - gained[~favoured][0], 1.75)


def test_a_constant_or_absent_evidence_changes_nothing(prior):
    found, _ = spine(levels("C5", "L5"))
    plain = decode(found, prior)
    zeros = decode(with_evidence(found, level_log=np.zeros((len(found), len(LEVELS)))), prior)
    same = decode(with_evidence(found, confidence=found.scores.max(axis=1)), prior)
    constant = decode(with_evidence(found, level_log=np.full((len(found), len(LEVELS)), -3.0)), prior)
    assert zeros.margin == same.margin == plain.margin
    assert constant.margin == pytest.approx(plain.margin)
    for other in (zeros, same, constant):
        assert list(other.points_mm) == list(plain.points_mm)
        assert list(other.runner_up) == list(plain.runner_up)
        for level, point in plain.points_mm.items():
            np.testing.assert_array_equal(other.points_mm[level], point)


def test_evidence_follows_its_vertebra_through_the_row(prior):
    found, truth = spine(levels("T6", "L5"))
    gone = without_points(found, [truth[Level.T6]], pedicles=False)
    order = np.random.default_rng(5).permutation(len(gone))
    evidence = np.zeros((len(gone), len(LEVELS)))
    evidence[:, 0] = np.arange(len(gone)) + 1.0
    mixed = Detections(gone.bodies_mm[order], gone.scores[order], gone.left_mm, gone.right_mm, evidence[order])
    row = spine_row(mixed)
    assert row.from_pedicles.tolist() == [True] + [False] * len(gone)
    assert row.level_log[:, 0].tolist() == list(range(len(gone) + 1))


def test_a_row_ends_in_the_sacrum_where_it_is_detected_and_told(prior):
    found, truth = spine(levels("T12", "L5"))
    sacrum = found.bodies_mm[-1] + [0, -16.0, -29.0]
    evidence = np.zeros((len(found) + 1, len(LEVELS)))
    evidence[-1, SACRUM] = 12.0
    more = Detections(
        np.vstack([found.bodies_mm, sacrum]), np.vstack([found.scores, np.zeros(3)]), found.left_mm, found.right_mm,
        evidence, np.append(found.scores.max(axis=1), 0.9),
    )  # fmt: skip
    row = spine_row(more)
    assert len(row) == len(found) + 1
    weighed = weigh(row, prior)
    assert weighed.ranks[weighed.log_probability.argmax()].tolist() == [level.rank for level in truth] + [SACRUM]
    assert_named(decode(more, prior), truth)


def test_confidence_decides_which_points_make_the_row():
    found, _ = spine(levels("T6", "L5"))
    bare = Detections(found.bodies_mm, found.scores)
    sure = np.full(len(found), 0.9)
    sure[-1] = 0.05
    assert len(spine_row(bare)) == len(found)
    assert len(spine_row(Detections(found.bodies_mm, found.scores, confidence=sure))) == len(found) - 1


def test_bodies_of_a_small_neck_make_a_row_and_points_on_one_body_do_not():
    """Without pedicles a sure point is worth 2: a step of 12 mm must not cost that, one of 6 mm must."""
    for step, kept in ((12.0, 7), (6.0, 4)):
        points = np.column_stack([np.zeros(7), np.zeros(7), -step * np.arange(7)])
        found = Detections(points, np.tile([0.9, 0.05, 0.05], (7, 1)), confidence=np.ones(7))
        assert len(spine_row(found)) == kept


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("level_log", np.zeros((3, 26)), r"\(3, 26\)"),
        ("level_log", np.zeros((2, 27)), r"\(2, 27\)"),
        ("level_log", np.full((3, 27), -np.inf), "not finite"),
        ("confidence", np.zeros(4), r"\(4,\)"),
        ("confidence", np.array([0.2, 1.2, 0.5]), "between 0 and 1"),
        ("confidence", np.array([0.2, np.nan, 0.5]), "between 0 and 1"),
    ],
)
def test_evidence_of_the_wrong_shape_or_range_is_refused(field, value, word):
    found, _ = spine(levels("L1", "L3"))
    with pytest.raises(ValueError, match=word):
        with_evidence(found, **{field: value})


def test_numberings_are_anatomically_valid_and_different():
    ranks, variants = numberings(np.ones(8, dtype=int))
    assert len({tuple(row) for row in ranks}) == len(ranks)
    for row, (no_t12, thirteen, *_) in zip(ranks, variants, strict=True):
        names = [LEVELS[r] for r in row if r != SACRUM]
        assert names == sorted(set(names))
        steps = {(a, b) for a, b in itertools.pairwise(names) if b.rank - a.rank != 1}
        assert steps <= {(Level.T11, Level.L1), (Level.T12, Level.L1)}
        assert no_t12 == ((Level.T11, Level.L1) in steps)
        assert thirteen or Level.T13 not in names


def test_sacral_points_do_not_make_two_numberings_differ():
    ten = Level.L5.rank
    assert agree(np.array([[ten, SACRUM], [ten, Level.L6.rank], [ten - 1, ten]]), np.array([ten, SACRUM])).tolist() == [
        True, True, False,
    ]  # fmt: skip


def test_key_point_tables_are_turned_from_lps_to_ras(tmp_path):
    path = tmp_path / "found.csv"
    head = "scan,keypoint,x_lps_mm,y_lps_mm,z_lps_mm,score_cervical,score_thoracic,score_lumbar\n"
    path.write_text(head + "a,body,1,2,3,0.1,0.2,0.9\na,left,10,2,3,0,0,0\n")
    scan = read_keypoints(path)["a"]
    np.testing.assert_array_equal(scan.bodies_mm, [[-1, -2, 3]])
    np.testing.assert_array_equal(scan.left_mm, [[-10, -2, 3]])
    assert scan.right_mm.shape == (0, 3)
    path.write_text(head.replace("score_lumbar", "other") + "a,body,1,2,3,0.1,0.2,0.9\n")
    with pytest.raises(InputError, match="score_lumbar"):
        read_keypoints(path)
    path.write_text("scan,keypoint,level,x_lps_mm,y_lps_mm,z_lps_mm\na,body,T14,1,2,3\n")
    with pytest.raises(InputError, match="T14"):
        read_keypoints(path)


def test_the_shipped_prior_is_the_one_its_manifest_describes():
    manifest = json.loads((PRIOR_DIR / "manifest.json").read_text())
    assert hashlib.sha256((PRIOR_DIR / "chain_prior.npz").read_bytes()).hexdigest() == manifest["sha256"]
    assert manifest["licence"] == "CC-BY-SA-4.0"
    assert (PRIOR_DIR / "LICENSE").is_file()


def test_a_damaged_or_absent_prior_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"manifest\.json"):
        load_prior(tmp_path)
    (tmp_path / "manifest.json").write_bytes((PRIOR_DIR / "manifest.json").read_bytes())
    (tmp_path / "chain_prior.npz").write_bytes((PRIOR_DIR / "chain_prior.npz").read_bytes()[:-1])
    with pytest.raises(InputError, match="checksum"):
        load_prior(tmp_path)


def test_real_detections_are_mostly_named_right(prior, real_data: Path):
    """The prior has seen these scans: this guards against breakage, it is no measure of accuracy."""
    folder = real_data / "keypoints"
    if not folder.is_dir():
        pytest.skip(f"no key points in {folder}")
    found = read_keypoints(folder / "training_detections.csv.gz")
    truth = read_keypoints(folder / "training_truth.csv.gz")
    hits = []
    for scan in sorted(truth)[::40]:
        seen = found[scan]
        named = decode(Detections(seen.bodies_mm, seen.scores, seen.left_mm, seen.right_mm), prior).points_mm
        for level, point in zip(truth[scan].levels, truth[scan].bodies_mm, strict=True):
            hits.append(level in named and np.linalg.norm(named[level] - point) <= 20.0)
    assert np.mean(hits) > 0.93
