"""Batches of samples, made in this process or by workers, always the same and in the same order."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch
from numpy.typing import NDArray

from verse_morph.errors import InputError
from verse_morph.segment.train.stages import Batch, Samples

Sample = dict[str, NDArray[np.float32]]
AHEAD = 2  # batches per worker that are made before they are asked for


@dataclass(frozen=True)
class Course:
    """Which batches are wanted: of ``size`` samples, from batch ``first`` on, before batch ``last``."""

    size: int
    first: int
    last: int

    def starts(self) -> range:
        """Number of each batch's first sample."""
        return range(self.first * self.size, self.last * self.size, self.size)


@contextmanager
def fed(samples: Samples, course: Course, workers: int) -> Iterator[Iterator[Batch]]:
    """The batches of a course; with ``workers`` above 0 made by as many processes."""
    if not workers:
        yield (stacked([samples(start + k) for k in range(course.size)]) for start in course.starts())
        return
    # A forked copy of a process that runs torch may hang.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_receive, initargs=(samples,))
    try:
        yield _made_by(pool, course, AHEAD * workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def stacked(samples: Sequence[Sample]) -> Batch:
    """One batch of samples."""
    return {key: torch.from_numpy(np.stack([sample[key] for sample in samples])) for key in samples[0]}


def moved(batch: Batch, device: str) -> Batch:
    """The batch where the network is."""
    return {key: tensor.to(device, non_blocking=True) for key, tensor in batch.items()}


def _made_by(pool: ProcessPoolExecutor, course: Course, ahead: int) -> Iterator[Batch]:
    waiting: deque[Future[list[Sample]]] = deque()
    try:
        for start in course.starts():
            waiting.append(pool.submit(_make, start, course.size))
            if len(waiting) > ahead:
                yield stacked(waiting.popleft().result())
        while waiting:
            yield stacked(waiting.popleft().result())
    except BrokenProcessPool as error:
        raise InputError(
            "a process that makes samples ended unexpectedly, most often for want of memory; "
            "give fewer --workers and go on with --resume"
        ) from error


_WORKER: dict[str, Samples] = {}


def _receive(samples: Samples) -> None:
    # Ctrl-C reaches every process of a terminal; the training process decides what becomes of its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _WORKER["samples"] = samples


def _make(start: int, size: int) -> list[Sample]:
    return [_WORKER["samples"](start + k) for k in range(size)]
