"""`verse-morph train`: what it leaves and says, how it ends and goes on, and one line for what cannot be."""

import json
import shlex
import sys
from dataclasses import replace

import pytest

from verse_morph.cli import train as command
from verse_morph.errors import InputError
from verse_morph.segment import compute
from verse_morph.segment.train import loop, sources, stages
from verse_morph.segment.train.sources import Source
from verse_morph.segment.weights import load_network


@pytest.fixture
def small(monkeypatch, small_stage):
    """Training of bright cubes in place of any stage; sources that cost nothing."""
    import numpy as np

    def stage_named(name):
        return replace(small_stage, name=name)

    def made(index):
        labels = np.ones((2, 2, 2), np.uint8)
        return Source(f"phantom{index}", labels, np.ones(3), {20: np.ones(3)}, None, 1.0, "phantom")

    # In volumes of 2 x 2 x 2 voxels gradients of oneDNN in bfloat16 are now and then no numbers; ours are larger.
    monkeypatch.setattr(compute, "_has_bf16", lambda device: False)
    for module in (stages, loop):
        monkeypatch.setattr(module, "stage_named", stage_named)
    monkeypatch.setattr(sources, "_phantom", made)
    monkeypatch.setattr(
        sources, "_prepared", lambda mask, ct, levels: replace(made(99), name=mask.name[:6], kind="map")
    )


@pytest.fixture
def call(small, command_line, tmp_path):
    def run(*more, out=tmp_path / "run", data="phantoms:6"):
        given = ["--data", data] if data else []
        return command_line("train", "outline", *given, "-o", out, "--device", "cpu", "--threads", 1, *more)

    return run


def test_a_run_leaves_weights_and_tells_where(call, tmp_path):
    code, out, err = call("--steps", 4, "--seed", 7)
    assert (code, err) == (0, "")
    run = tmp_path / "run"
    assert "outline after 4 of 4 steps" in out
    assert "dice" in out
    for name in ("curve.png", "log.csv", "outline.safetensors"):
        assert (run / name).is_file()
        assert name in out
    assert f"weights {run / 'outline.safetensors'}" in out
    _, card = load_network("outline", run)
    assert card.training["seed"] == 7
    assert card.data == (
        "learnt from phantoms, that is invented spines: 2; held out phantoms, that is invented spines: 4"
    )
    assert card.licence.startswith("Apache-2.0 (learnt from invented spines only")


def test_masks_of_people_bring_their_licence_and_no_paths(call, tmp_path):
    mask = tmp_path / "secret" / "p00001.nii.gz"
    mask.parent.mkdir()
    mask.touch()
    assert call("--data", mask, "--steps", 1)[0] == 0
    card = json.loads((tmp_path / "run" / "outline.json").read_text())
    assert card["licence"] == "CC-BY-SA-4.0"
    assert "label maps with painted CT: 1 (p00001)" in card["data"]
    assert "secret" not in json.dumps(card)


def test_held_out_words(call, tmp_path):
    assert call("--validate", "phantoms:1", "--steps", 1)[0] == 0
    card = json.loads((tmp_path / "run" / "outline.json").read_text())
    assert card["data"].startswith("learnt from phantoms, that is invented spines: 5; held out phantoms")


def test_a_cache_may_lie_elsewhere(call, tmp_path):
    assert call("--cache", tmp_path / "shared", "--steps", 1)[0] == 0
    assert len(list((tmp_path / "shared").glob("phantom-*.npz"))) == 6
    assert not (tmp_path / "run" / "cache").exists()


def test_minutes_that_are_over_say_how_to_go_on(call, tmp_path):
    code, out, _ = call("--steps", 5, "--minutes", 1e-9)
    assert code == 0
    assert "outline after 1 of 5 steps" in out
    assert "the 1e-09 minutes are over; add --resume to go on" in out
    code, out, err = call("--steps", 5, "--resume")
    assert (code, err) == (0, "")
    assert "outline after 5 of 5 steps" in out


# --- ended from outside -------------------------------------------------------------------------------------------


@pytest.fixture
def ended(monkeypatch):
    """The request to end comes with the second step, as a signal's number."""

    def after(text, number):
        from contextlib import contextmanager

        @contextmanager
        def stoppable():
            asked = []
            original = command._ending

            def ending(report, heeded):
                told = original(report, heeded)

                def both(stage, done, total):
                    if stage.startswith(text) and done >= 2:
                        asked.append(number)
                    told(stage, done, total)

                return both

            monkeypatch.setattr(command, "_ending", ending)
            yield asked
            monkeypatch.setattr(command, "_ending", original)

        monkeypatch.setattr(command, "_stoppable", stoppable)

    return after


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_an_end_between_two_steps_keeps_everything(call, ended, monkeypatch, tmp_path, number, code):
    with monkeypatch.context() as patch:
        ended("training", number)
        found, out, err = call("--steps", 6)
        patch.undo()
    assert (found, err) == (code, "")
    line = next(line for line in out.splitlines() if line.startswith("stopped"))
    assert f"the checkpoint is in {tmp_path / 'run'}; go on with: verse-morph train outline" in line
    assert line.endswith("--steps 6 --resume")


def test_the_line_it_prints_goes_on(call, command_line, ended, tmp_path):
    whole = tmp_path / "whole"
    call("--steps", 6, out=whole)
    ended("training", 2)
    _, out, _ = call("--steps", 6)
    again = shlex.split(out.split("go on with: verse-morph ")[1])
    ended("never", 2)
    assert command_line(*again)[0] == 0
    assert (tmp_path / "run" / "outline.safetensors").read_bytes() == (whole / "outline.safetensors").read_bytes()


def test_an_end_before_the_first_step(call, ended, tmp_path):
    ended("making held-out", 2)
    code, out, _ = call("--steps", 6)
    assert code == 130
    assert "stopped before the first step; begin again with: verse-morph train outline" in out
    assert "--resume" not in out
    ended("never", 2)
    assert call("--steps", 1)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_real_signals(tmp_path, name, code):
    import signal
    import subprocess

    words = ["train", "outline", "--data", "phantoms:5", "-o", tmp_path / "run", "--threads", "1", "--device", "cpu"]
    start = "from verse_morph.cli import main; import sys; sys.argv[0] = 'verse-morph'; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", start, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert "training outline" in process.stdout.readline()  # from here on signals are heeded, soon
    import time

    time.sleep(5)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    assert "stopped" in out


def test_a_second_signal_ends_at_once():
    import os
    import signal

    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        with pytest.raises(SystemExit) as ended, command._stoppable() as asked:  # noqa: PT012
            os.kill(os.getpid(), signal.SIGTERM)
            assert asked == [signal.SIGTERM]
            os.kill(os.getpid(), signal.SIGTERM)
        assert ended.value.code == 143
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_handlers_are_put_back():
    import signal

    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with command._stoppable():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--steps", 0), "--steps 0: at least 1 is needed"),
        (("--rate", -1), "--rate -1: a number above 0 is needed"),
        (
            ("--adversarial",),
            "--adversarial: the prior judges the order of named levels, which outline does not answer",
        ),
        (("--resume",), "--resume: no checkpoint.safetensors in"),
        (("--data", "/nowhere/x"), "/nowhere/x: no such file or folder (and not phantoms:N)"),
        (("--validate", "phantoms:none"), "phantoms:none: write phantoms:N"),
        (("--workers", -1), "--workers -1: at least 0 is needed"),
    ],
)
def test_bad_requests_end_with_one_line(call, more, message):
    code, _, err = call(*more)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_four_phantoms_are_too_few(call):
    code, _, err = call(data="phantoms:4")
    assert code == 2
    assert "nothing is left to learn from" in err


def test_short_spines_cannot_teach_levels(small, command_line, tmp_path):
    code, _, err = command_line("train", "identify", "--data", "phantoms:6", "-o", tmp_path / "run", "--device", "cpu")
    assert code == 2
    assert "identify needs sources with 6 vertebrae or more; of those in --data none has more than 1" in err


def test_a_run_is_not_begun_over_another(call):
    assert call("--steps", 1)[0] == 0
    code, out, err = call("--steps", 1)
    assert (code, out) == (2, "")
    assert "holds a training run; give --resume to go on, or another folder" in err


def test_an_unknown_stage(command_line, tmp_path):
    code, out, err = command_line("train", "paint", "--data", "phantoms:5", "-o", tmp_path / "run")
    assert (code, out) == (2, "")
    assert "no stage 'paint'; there are locate, identify, outline" in err
    assert not (tmp_path / "run").exists()


def test_settings_of_the_request_reach_the_loop():
    job = command.TrainJob("identify", ("x",), None, steps=9, batch=3, rate=0.1, seed=2, minutes=5, workers=1)
    settings = replace(job, adversarial=True).settings()
    found = (settings.steps, settings.batch, settings.rate, settings.seed, settings.minutes, settings.workers)
    assert found == (9, 3, 0.1, 2, 5, 1)
    assert settings.adversarial
    with pytest.raises(InputError):
        replace(job, stage="locate", adversarial=True).settings()
