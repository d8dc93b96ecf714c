"""On what the networks run: device, number type, threads. Chosen once, said in the output, never guessed per layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from verse_morph.errors import InputError


@dataclass(frozen=True)
class Compute:
    """Where and how networks run.

    Parameters
    ----------
    device : str
        ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    half : bool
        Whether convolutions run in bfloat16.
    threads : int
    deterministic : bool
        Same bits on every run on the same machine; single precision throughout.
    """

    device: str
    half: bool
    threads: int
    deterministic: bool = False

    def describe(self) -> str:
        """A few words for logs and provenance."""
        kind = "bf16" if self.half else "fp32"
        return f"{self.device}, {kind}, {self.threads} threads" + (", deterministic" if self.deterministic else "")


def choose_compute(
    device: str | None = None, threads: int | None = None, deterministic: bool = False, half: bool | None = None
) -> Compute:
    """The best available device unless one is named; bfloat16 only where the processor computes in it.

    Raises
    ------
    InputError
        The named device is not there.

    Notes
    -----
    A CPU without bfloat16 instructions emulates them some hundred times slower, so they are never used there.
    """
    wanted = device or _best_device()
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {wanted}: PyTorch {torch.__version__} finds no CUDA device; use --device cpu")
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise InputError("--device mps: PyTorch finds no Apple GPU here; use --device cpu")
    if wanted.split(":")[0] not in ("cpu", "cuda", "mps"):
        raise InputError(f"--device {wanted}: allowed are cpu, cuda, cuda:N and mps")
    if threads is not None and threads < 1:
        raise InputError(f"--threads {threads}: at least one is needed")
    able = not deterministic and _has_bf16(wanted)
    return Compute(wanted, able if half is None else half and able, threads or torch.get_num_threads(), deterministic)


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _has_bf16(device: str) -> bool:
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    if device != "cpu":
        return False
    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(bool(test()) for test in tests if test is not None)


@contextmanager
def running(compute: Compute) -> Iterator[None]:
    """Networks called inside run as ``compute`` says; global settings are put back afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(compute.threads)
    # Only where something changes: the call loads PyTorch's compiler, which takes seconds.
    change = compute.deterministic and not torch.are_deterministic_algorithms_enabled()
    if change:
        torch.use_deterministic_algorithms(True)
    try:
        kind = compute.device.split(":")[0]
        # Without a cache: it would keep half-precision copies of weights that training goes on to change.
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=compute.half, cache_enabled=False):
            yield
    finally:
        torch.set_num_threads(threads)
        if change:
            torch.use_deterministic_algorithms(False)
