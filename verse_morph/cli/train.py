"""`train`: the network of one stage, from label maps and phantoms to weights."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from verse_morph.cli.console import Report, number, output, progress, table
from verse_morph.errors import InputError

if TYPE_CHECKING:
    from verse_morph.segment.train.loop import Data, TrainSettings
    from verse_morph.segment.train.sources import Split
    from verse_morph.segment.train.stages import Stage
    from verse_morph.segment.weights import Card

LICENCE_OF_MASKS = "CC-BY-SA-4.0"
LICENCE_OF_PHANTOMS = "Apache-2.0 (learnt from invented spines only; no data of people in it)"
CACHE = "cache"
SHIPPED = "shipped"


@dataclass(frozen=True)
class TrainJob:
    """What `train` was asked for; see the options of the command."""

    stage: str
    data: tuple[str, ...]
    output: Path
    validate: tuple[str, ...] = ()
    cache: Path | None = None
    resume: bool = False
    steps: int = 2000
    batch: int | None = None
    rate: float | None = None
    seed: int = 0
    minutes: float | None = None
    device: str | None = None
    threads: int | None = None
    workers: int = 0
    adversarial: bool = False
    init: str | None = None

    def settings(self) -> TrainSettings:
        """The part of the request that the training loop knows."""
        from verse_morph.segment.train.loop import TrainSettings
        from verse_morph.segment.weights import WEIGHTS_DIR

        begin_with = WEIGHTS_DIR if self.init == SHIPPED else Path(self.init) if self.init else None
        return TrainSettings(
            self.stage,
            self.steps,
            batch=self.batch,
            rate=self.rate,
            seed=self.seed,
            minutes=self.minutes,
            workers=self.workers,
            adversarial=self.adversarial,
            begin_with=begin_with,
        )


class Stopped(Exception):
    """The user or a batch system asked for an end."""


def run_train(job: TrainJob) -> None:
    """Prepare the sources, train with a progress bar, and print what was reached and where it lies.

    Raises
    ------
    VerseMorphError
        The request or the data cannot be used.
    typer.Exit
        Ended from outside: with 130 (Ctrl-C) or 143 (SIGTERM), as shells do.
    """
    from verse_morph.segment.compute import choose_compute
    from verse_morph.segment.train.loop import check_folder, train
    from verse_morph.segment.train.stages import stage_named

    # Before minutes go into the data.
    settings, stage = job.settings(), stage_named(job.stage)
    compute = choose_compute(job.device, job.threads)
    check_folder(job.output, job.resume)
    console = output()
    console.print(f"training {stage.name} on {compute.describe()}", soft_wrap=True)
    with _stoppable() as asked:
        try:
            with progress() as bar:
                report = _ending(bar, asked)
                data = _data(job, stage, settings.begin_with, report)
                card = train(settings, data, compute, job.output, job.resume, report)
        except Stopped:
            console.print(_how_to_go_on(job), soft_wrap=True)
            raise typer.Exit(128 + asked[0]) from None
    _show(card, job)


def _data(job: TrainJob, stage: Stage, begin_with: Path | None, report: Report) -> Data:
    from verse_morph.segment.train.loop import VALIDATION_SEED, Data
    from verse_morph.segment.train.sources import fingerprint, hold_out, load_sources
    from verse_morph.segment.weights import read_card

    cache = job.cache or job.output / CACHE
    sources = load_sources(job.data, cache, report)
    held_out = load_sources(job.validate, cache, report) if job.validate else ()
    split = hold_out(sources, held_out)
    _check_levels(stage, split)
    samples = []
    for part, seed in ((split.train, job.seed), (split.held_out, VALIDATION_SEED)):
        scans = cache / f"scans-{fingerprint(part)}"
        scans.mkdir(exist_ok=True)
        samples.append(stage.samples(part, seed, scans))
    licence = LICENCE_OF_PHANTOMS if split.only_phantoms else LICENCE_OF_MASKS
    if split.only_phantoms and begin_with is not None:
        licence = read_card(stage.name, begin_with).licence
    return Data(samples[0], samples[1], split.words(), licence)


def _check_levels(stage: Stage, split: Split) -> None:
    """Refuse sources that show too little of the spine, before anything is made of them."""
    from verse_morph.segment.train.spine_samples import FEWEST_LEVELS

    if stage.name in ("outline", "ribs"):
        return
    for part, option in ((split.train, "--data"), (split.held_out, "--validate")):
        most = max(len(source.centres) for source in part)
        if most < FEWEST_LEVELS:
            raise InputError(
                f"{stage.name} needs sources with {FEWEST_LEVELS} vertebrae or more; of those in {option} none has "
                f"more than {most}: add longer ones, or phantoms:N"
            )


# --- ended from outside -------------------------------------------------------------------------------------------


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM are noted in the list, to be heeded between two steps; a second one ends at once."""
    asked: list[int] = []
    before: dict[int, Any] = {}

    def note(signum: int, _frame: object) -> None:
        asked.append(signum)
        for known, handler in before.items():
            signal.signal(known, handler)

    for wanted in (signal.SIGINT, signal.SIGTERM):
        before[wanted] = signal.getsignal(wanted)
        signal.signal(wanted, note)
    try:
        yield asked
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _ending(report: Report, asked: list[int]) -> Report:
    """The report, which raises where an end was asked for."""

    def told(stage: str, done: int, total: int) -> None:
        report(stage, done, total)
        if asked:
            raise Stopped

    return told


def _how_to_go_on(job: TrainJob) -> str:
    from verse_morph.segment.train.checkpoint import FILE

    words = [word for word in sys.argv[1:] if word != "--resume"]
    if not (job.output / FILE).is_file():
        return f"stopped before the first step; begin again with: {shlex.join(['verse-morph', *words])}"
    again = shlex.join(["verse-morph", *words, "--resume"])
    return f"stopped; the checkpoint is in {job.output}; go on with: {again}"


# --- results ------------------------------------------------------------------------------------------------------


def _show(card: Card, job: TrainJob) -> None:
    from verse_morph.segment.train.log import CURVE, LOG
    from verse_morph.segment.weights import weights_path

    console = output()
    done = int(card.training["steps"])
    rows = [[name.removeprefix("held_out_").replace("_", " "), number(v, 3)] for name, v in _known(card.metrics)]
    columns = ("held out", "value")
    console.print(f"{job.stage} after {done} of {job.steps} steps", soft_wrap=True)
    console.print(table("", columns, rows, words=columns[:1]))
    if done < job.steps:
        console.print(f"the {job.minutes:g} minutes are over; add --resume to go on", soft_wrap=True)
    console.print(f"learning curve {job.output / CURVE}, numbers in {LOG} beside it", soft_wrap=True)
    console.print(f"weights {weights_path(job.stage, job.output)}, licence {card.licence}", soft_wrap=True)
    console.print(
        f"use them: copy {job.stage}.safetensors and {job.stage}.json into a folder with those of the other stages, "
        "then verse-morph segment CT -o DIR --weights FOLDER",
        soft_wrap=True,
    )


def _known(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [(name, float(value)) for name, value in metrics.items()]
