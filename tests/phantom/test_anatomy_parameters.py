"""Drawing a patient: reproducible, JSON and back, sizes within anatomy, impossible wishes refused with the allowed
range.
"""

import dataclasses
import itertools

import numpy as np
import pytest

from verse_morph.anatomy import Level
from verse_morph.errors import InputError
from verse_morph.phantom.align import narrowest, rim_gap
from verse_morph.phantom.draw import draw_parameters
from verse_morph.phantom.parameters import (
    Alignment,
    Fracture,
    Pathology,
    PhantomOptions,
    Schmorl,
    SpineParameters,
    StumpRib,
    Variants,
    View,
    WornDisc,
)
from verse_morph.phantom.pose import tilts
from verse_morph.phantom.reference import LAST
from verse_morph.phantom.sacrum import sacral_shape


def draw(seed=0, **options):
    return draw_parameters(np.random.default_rng(seed), PhantomOptions(**options))


def test_same_seed_same_patient():
    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_json_and_back():
    patient = draw(
        1,
        variants=Variants(
            lumbar=6, castellvi="2a", stump_ribs=(StumpRib("T12", "left", 22.0),), cervical_ribs=("right",)
        ),
        pathology=Pathology(fractures=(Fracture("L1", "wedge", 30.0),), schmorl_nodes=(Schmorl("L2"),)),
    )
    assert SpineParameters.from_json(patient.to_json()) == patient


@pytest.mark.parametrize("seed", range(8))
def test_bodies_never_meet(seed):
    patient = draw(seed)
    for upper, lower in zip(patient.vertebrae[1:-1], patient.vertebrae[2:], strict=True):
        assert narrowest(upper, lower) > 0.9, upper.level


def test_men_are_larger_than_women():
    sizes = {sex: np.mean([draw(seed, sex=sex)["L3"].width_middle for seed in range(40)]) for sex in "FM"}
    assert sizes["M"] > sizes["F"] * 1.03


def test_taller_is_longer():
    def length(height):
        centres = [v.centre_mm for v in draw(5, sex="F", height_cm=height).vertebrae]
        return centres[0][2] - centres[-1][2]

    assert length(180.0) > length(150.0) + 30


@pytest.mark.parametrize(
    ("thoracic", "lumbar", "last"),
    [(11, 5, [Level.T11, Level.L1]), (13, 5, [Level.T13, Level.L1]), (12, 4, [Level.L4]), (12, 6, [Level.L6])],
)
def test_counts(thoracic, lumbar, last):
    patient = draw(2, variants=Variants(thoracic=thoracic, lumbar=lumbar))
    assert len(patient.vertebrae) == 7 + thoracic + lumbar
    assert list(patient.levels) == sorted(patient.levels)
    assert set(last) <= set(patient.levels)
    assert len([rib for rib in patient.ribs if rib.number]) == 2 * thoracic


BAD = {
    "3 lumbar": (Variants(lumbar=3), Pathology(), "4, 5 and 6"),
    "10 thoracic": (Variants(thoracic=10), Pathology(), "11, 12 and 13"),
    "loss": (Variants(), Pathology(fractures=(Fracture("L1", "wedge", 95.0),)), "1 to 90 %"),
    "kind": (Variants(), Pathology(fractures=(Fracture("L1", "burst", 20.0),)), "wedge, biconcave, crush"),
    "absent level": (Variants(lumbar=4), Pathology(fractures=(Fracture("L5", "wedge", 20.0),)), "C3 to L4"),
    "castellvi": (Variants(castellvi="5"), Pathology(), "0, 1, 2a, 2b, 3a, 3b, 4"),
    "side": (Variants(cervical_ribs=("both",)), Pathology(), "left, right"),
    "rib": (Variants(stump_ribs=(StumpRib("T12", "left", 400.0),)), Pathology(), "5 to 150 mm"),
    "rib level": (Variants(stump_ribs=(StumpRib("T3", "left", 20.0),)), Pathology(), "T11, T12, L1"),
    "worn disc": (Variants(), Pathology(worn_discs=(WornDisc("L1", 95.0),)), "1 to 90 %"),
    "absent disc": (Variants(lumbar=4), Pathology(worn_discs=(WornDisc("L5", 50.0),)), "C3 to L4"),
    "node": (Variants(), Pathology(schmorl_nodes=(Schmorl("L1", depth_mm=30.0),)), "0.5 to 10 mm"),
}


@pytest.mark.parametrize("case", BAD)
def test_impossible_anatomy_names_the_allowed_range(case):
    variants, pathology, allowed = BAD[case]
    with pytest.raises(InputError, match=allowed) as caught:
        draw(variants=variants, pathology=pathology)
    assert "\n" not in str(caught.value)


def test_rib_longer_than_the_field():
    with pytest.raises(InputError, match="5 to 25 mm in this field"):
        draw(variants=Variants(stump_ribs=(StumpRib("L1", "left", 30.0),)), view=View(half_width_mm=50.0))


@pytest.mark.parametrize(("name", "value"), [("sex", "X"), ("age", 7.0), ("height_cm", 99.0)])
def test_impossible_patient(name, value):
    with pytest.raises(InputError, match=name):
        PhantomOptions(**{name: value})


def test_disc_too_thin_for_its_angle():
    with pytest.raises(InputError, match="allowed are"):
        draw(alignment=Alignment(lordosis_L1_L5_deg=70.0, disc_heights_mm={"L4": 2.0}))


def test_options_are_kept():
    options = PhantomOptions(sex="F", age=70.0)
    patient = draw_parameters(np.random.default_rng(0), options)
    assert patient.options == options
    assert (patient.sex, patient.age) == ("F", 70.0)
    assert all(dataclasses.is_dataclass(v) for v in patient.vertebrae)


def test_the_last_vertebra_leans_towards_the_sacrum():
    """A vertebra halves the angle between its links; below the last one the line goes on to the sacrum."""
    links = np.array([4.0, 8.0, 10.0])
    assert tilts(links) == pytest.approx([4.0, 6.0, 9.0, 10.0])
    assert tilts(links, 20.0) == pytest.approx([4.0, 6.0, 9.0, 20.0])


@pytest.mark.parametrize("lumbar", [4, 5, 6])
def test_the_last_vertebra_has_the_pedicles_of_one_on_the_sacrum(lumbar):
    options = PhantomOptions(variants=Variants(lumbar=lumbar))
    drawn = [draw_parameters(np.random.default_rng(k), options) for k in range(30)]
    last = np.array([d.vertebrae[-1].pedicle_separation for d in drawn])
    above = np.array([d.vertebrae[-2].pedicle_separation for d in drawn])
    assert last.mean() == pytest.approx(LAST.separation[0], abs=3.0)
    assert (last > above).mean() > 0.9


def discs(patient):
    chain = [*patient.vertebrae[2:], sacral_shape(patient)]
    return {a.level: (rim_gap(a, b), narrowest(a, b)) for a, b in itertools.pairwise(chain)}


@pytest.mark.parametrize("seed", range(6))
def test_a_worn_disc_loses_its_share_and_its_neighbours_nothing(seed):
    whole = discs(draw(seed))
    worn = discs(draw(seed, pathology=Pathology(worn_discs=(WornDisc("T12", 30.0), WornDisc("L3", 30.0)))))
    for level in ("T12", "L3"):
        assert worn[level][0] == pytest.approx(0.7 * whole[level][0], rel=0.02) or worn[level][1] < 1.1
    for level in ("T8", "L1", "L2", "L5"):
        assert worn[level][0] == pytest.approx(whole[level][0], abs=0.02)


@pytest.mark.parametrize("level", ["T8", "L2", "L4", "L5"])
def test_the_bodies_beside_a_worn_disc_never_meet(level):
    for seed in range(12):
        whole = discs(draw(seed))[level]
        worn = discs(draw(seed, pathology=Pathology(worn_discs=(WornDisc(level, 85.0),))))[level]
        # Some lumbosacral discs are drawn narrower than that as they are.
        assert worn[1] > min(0.9, whole[1])
        assert worn[0] < whole[0]
