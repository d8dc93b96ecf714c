"""The training loop: it learns, resumes bit for bit, and says what it cannot do."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from verse_morph.errors import InputError
from verse_morph.segment.train.checkpoint import FILE
from verse_morph.segment.train.feed import Course, fed
from verse_morph.segment.train.loop import TrainSettings, rate_share, train
from verse_morph.segment.train.stages import stage_named
from verse_morph.segment.weights import load_network

SETTINGS = TrainSettings("outline", 8, seed=3, every=4, validation=2)
NAMING = TrainSettings("identify", 6, seed=3, every=3, validation=1, adversarial=True)


class Enough(Exception):
    """The run is ended from outside."""


def stopping_after(step):
    def report(text, done, total):
        if text.startswith("training") and done == step:
            raise Enough

    return report


def log_of(folder):
    with (folder / "log.csv").open() as stream:
        return list(csv.DictReader(stream))


def without_clock(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_it_learns_and_leaves_weights_card_log_and_curve(tmp_path, small_stage, data, cpu):
    settings = replace(SETTINGS, steps=60, every=30)
    card = train(settings, data, cpu, tmp_path, stage=small_stage)
    rows = log_of(tmp_path)
    assert [int(row["step"]) for row in rows] == [30, 60]
    assert [int(row["samples"]) for row in rows] == [60, 120]
    assert float(rows[1]["held_out_loss"]) < 0.8 * float(rows[0]["held_out_loss"])
    assert card.metrics["held_out_dice"] == pytest.approx(float(rows[1]["held_out_dice"]), abs=1e-4)
    assert (card.data, card.licence, card.training["steps"]) == ("bright cubes", "CC0-1.0", 60)
    assert (tmp_path / "curve.png").stat().st_size > 5000
    loaded, again = load_network("outline", tmp_path)
    assert again == card
    with torch.no_grad():
        assert loaded(torch.zeros(1, 1, 8, 8, 8)).shape == (1, 1, 8, 8, 8)


@pytest.mark.parametrize("stop", [4, 5], ids=["at a validation", "between validations"])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path, small_stage, data, cpu, stop):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(SETTINGS, data, cpu, whole, stage=small_stage)
    with pytest.raises(Enough):
        train(SETTINGS, data, cpu, parts, report=stopping_after(stop), stage=small_stage)
    half = load_file(parts / FILE)
    train(SETTINGS, data, cpu, parts, resume=True, stage=small_stage)
    expected, found = load_file(whole / FILE), load_file(parts / FILE)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not all(torch.equal(half[name], found[name]) for name in expected)
    assert (whole / "outline.safetensors").read_bytes() == (parts / "outline.safetensors").read_bytes()
    columns = ("step", "samples", "rate", "held_out_dice", "held_out_loss")
    assert [[row[c] for c in columns] for row in log_of(whole)] == [[row[c] for c in columns] for row in log_of(parts)]


def test_a_naming_run_with_a_prior_resumes_bit_for_bit(tmp_path, small_naming_stage, naming_data, cpu):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(NAMING, naming_data, cpu, whole, stage=small_naming_stage)
    with pytest.raises(Enough):
        train(NAMING, naming_data, cpu, parts, report=stopping_after(3), stage=small_naming_stage)
    train(NAMING, naming_data, cpu, parts, resume=True, stage=small_naming_stage)
    expected, found = load_file(whole / FILE), load_file(parts / FILE)
    assert any(name.startswith("adversary.exp_avg.") for name in expected)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert without_clock(log_of(whole)) == without_clock(log_of(parts))


def test_the_prior_changes_what_is_learnt_and_is_logged(tmp_path, small_naming_stage, naming_data, cpu):
    with_prior, plain = tmp_path / "with", tmp_path / "plain"
    card = train(NAMING, naming_data, cpu, with_prior, stage=small_naming_stage)
    train(replace(NAMING, adversarial=False), naming_data, cpu, plain, stage=small_naming_stage)
    assert card.training["adversarial"] is True
    assert "held_out_energy_predicted" in log_of(with_prior)[0]
    assert "held_out_energy_predicted" not in log_of(plain)[0]
    assert (with_prior / "identify.safetensors").read_bytes() != (plain / "identify.safetensors").read_bytes()
    with pytest.raises(InputError, match="adversarial True, now None"):
        train(replace(NAMING, adversarial=False, steps=9), naming_data, cpu, with_prior, resume=True)


def test_other_stages_refuse_the_prior():
    with pytest.raises(InputError, match=r"--adversarial: .* which locate does not answer; give it to .* identify"):
        TrainSettings("locate", 5, adversarial=True)


def test_rows_of_lost_steps_are_dropped(tmp_path, small_stage, data, cpu):
    train(SETTINGS, data, cpu, tmp_path, stage=small_stage)
    # A process that died between the log and the checkpoint has written one row too many.
    log = tmp_path / "log.csv"
    log.write_text(log.read_text() + log.read_text().splitlines()[-1].replace("8,16", "12,24") + "\n")
    assert [row["step"] for row in log_of(tmp_path)] == ["4", "8", "12"]
    train(replace(SETTINGS, steps=12), data, cpu, tmp_path, resume=True, stage=small_stage)
    assert [row["step"] for row in log_of(tmp_path)] == ["4", "8", "12"]


def test_minutes_end_a_run_with_everything_written(tmp_path, small_stage, data, cpu):
    card = train(replace(SETTINGS, steps=10_000, minutes=1e-9), data, cpu, tmp_path, stage=small_stage)
    assert card.training["steps"] == 1
    assert len(log_of(tmp_path)) == 1
    with safe_open(tmp_path / FILE, "pt") as stored:
        assert json.loads(stored.metadata()["run"])["step"] == 1


# --- refusals -----------------------------------------------------------------------------------------------------


def test_a_folder_with_a_run_is_not_begun_anew(tmp_path, small_stage, data, cpu):
    with pytest.raises(Enough):  # before the first row of the log
        train(SETTINGS, data, cpu, tmp_path, report=stopping_after(1), stage=small_stage)
    assert not (tmp_path / "log.csv").exists()
    with pytest.raises(InputError, match="holds a training run; give --resume to go on"):
        train(SETTINGS, data, cpu, tmp_path, stage=small_stage)


def test_a_finished_run_says_how_to_go_on(tmp_path, small_stage, data, cpu):
    train(SETTINGS, data, cpu, tmp_path, stage=small_stage)
    with pytest.raises(InputError, match="has done its 8 steps; give more --steps"):
        train(SETTINGS, data, cpu, tmp_path, resume=True, stage=small_stage)


def test_nothing_to_resume(tmp_path, small_stage, data, cpu):
    with pytest.raises(InputError, match=r"no checkpoint\.safetensors in .*; leave --resume out"):
        train(SETTINGS, data, cpu, tmp_path / "new", resume=True, stage=small_stage)


@pytest.mark.parametrize(("change", "words"), [({"seed": 4}, "seed 3, now 4"), ({"batch": 3}, "batch None, now 3")])
def test_other_settings_do_not_resume(tmp_path, small_stage, data, cpu, change, words):
    train(SETTINGS, data, cpu, tmp_path, stage=small_stage)
    with pytest.raises(InputError, match=f"begun with other settings: {words}"):
        train(replace(SETTINGS, steps=12, **change), data, cpu, tmp_path, resume=True, stage=small_stage)


def test_another_network_does_not_resume(tmp_path, small_stage, data, cpu):
    train(SETTINGS, data, cpu, tmp_path, stage=small_stage)
    wider = replace(small_stage, shape=replace(small_stage.shape, widths=(8, 16)))
    with pytest.raises(InputError, match="is of another network than this version trains"):
        train(replace(SETTINGS, steps=12), data, cpu, tmp_path, resume=True, stage=wider)


def test_a_run_begins_with_weights_that_are_given_and_says_so(tmp_path, small_stage, data, cpu):
    first = train(replace(SETTINGS, steps=30), data, cpu, tmp_path / "first", stage=small_stage)
    going_on = replace(SETTINGS, steps=1, every=1, rate=1e-9, begin_with=tmp_path / "first")
    card = train(going_on, data, cpu, tmp_path / "second", stage=small_stage)
    assert card.metrics["held_out_dice"] == pytest.approx(first.metrics["held_out_dice"], abs=2e-3)
    assert card.training["begun_with"] == {"sha256": first.sha256, "data": "bright cubes", **first.training}
    with pytest.raises(InputError, match=r"begun with other settings: .*begin_with"):
        train(replace(SETTINGS, steps=2), data, cpu, tmp_path / "second", resume=True, stage=small_stage)


def test_weights_of_another_network_are_no_beginning(tmp_path, small_stage, data, cpu):
    train(SETTINGS, data, cpu, tmp_path / "first", stage=small_stage)
    wider = replace(small_stage, shape=replace(small_stage.shape, widths=(8, 16)))
    with pytest.raises(InputError, match=r"--init: the outline weights in .* are of another network"):
        train(replace(SETTINGS, begin_with=tmp_path / "first"), data, cpu, tmp_path / "second", stage=wider)


def test_a_damaged_checkpoint(tmp_path, small_stage, data, cpu):
    (tmp_path / FILE).write_bytes(b"\x80\x04not safetensors")
    with pytest.raises(InputError, match="is damaged"):
        train(SETTINGS, data, cpu, tmp_path, resume=True, stage=small_stage)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path, small_stage, data, cpu):
    broken = replace(small_stage, loss=lambda model, batch: small_stage.loss(model, batch) * float("nan"))
    with pytest.raises(InputError, match=r"the loss is nan before step 4; .* smaller --rate than 0\.01"):
        train(SETTINGS, data, cpu, tmp_path, stage=broken)
    assert not (tmp_path / "outline.safetensors").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "--steps 0: at least 1"),
        ({"batch": 0}, "--batch 0: at least 1"),
        ({"workers": -1}, "--workers -1: at least 0"),
        ({"seed": -1}, "--seed -1: at least 0"),
        ({"rate": 0.0}, "--rate 0: a number above 0"),
        ({"minutes": float("nan")}, "--minutes nan: a number above 0"),
    ],
)
def test_impossible_settings(change, words):
    with pytest.raises(InputError, match=words):
        replace(SETTINGS, **change)


def test_an_unknown_stage_names_the_known_ones():
    with pytest.raises(InputError, match="no stage 'paint'; there are locate, identify, outline"):
        stage_named("paint")


# --- parts --------------------------------------------------------------------------------------------------------


def test_the_rate_rises_stays_and_falls():
    shares = np.array([rate_share(step, 1000) for step in range(1000)])
    assert shares[0] == pytest.approx(0.01)
    assert (shares[99:650] == 1).all()
    assert (np.diff(shares[651:980]) < 0).all()
    assert shares[-1] == pytest.approx(0.01)


def test_batches_go_on_where_they_were_left(data):
    with fed(data.train, Course(2, 0, 4), 0) as all_of_them, fed(data.train, Course(2, 2, 4), 0) as later:
        batches, rest = list(all_of_them), list(later)
    assert (len(batches), len(rest)) == (4, 2)
    assert torch.equal(batches[2]["image"], rest[0]["image"])
    assert not torch.equal(batches[0]["image"], rest[0]["image"])


def test_energies_and_scores_of_held_out_data_are_means_over_known_ones(tmp_path, small_stage, data, cpu):
    scores = iter([0.2, float("nan"), 0.6, float("nan")])
    stage = replace(small_stage, score=lambda _model, _batch: {"half": next(scores)})
    card = train(replace(SETTINGS, steps=1, every=9, validation=4), data, cpu, tmp_path, stage=stage)
    assert card.metrics["held_out_half"] == pytest.approx(0.4)
