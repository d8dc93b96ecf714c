"""Where networks run: named devices that are not there, and settings that are put back."""

import pytest
import torch

from verse_morph.errors import InputError
from verse_morph.segment import compute as module
from verse_morph.segment.compute import Compute, choose_compute, running


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_without_a_gpu_it_is_the_cpu(no_gpu):
    chosen = choose_compute(threads=3)
    assert (chosen.device, chosen.threads, chosen.deterministic) == ("cpu", 3, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cuda:1",), "--device cuda:1: PyTorch .* finds no CUDA device; use --device cpu"),
        (("mps",), "--device mps: PyTorch finds no Apple GPU"),
        (("abacus",), "--device abacus: allowed are cpu, cuda, cuda:N and mps"),
        (("cpu", 0), "--threads 0: at least one"),
    ],
)
def test_what_cannot_be_had(no_gpu, arguments, words):
    with pytest.raises(InputError, match=words):
        choose_compute(*arguments)


@pytest.mark.parametrize("able", [True, False])
def test_half_precision_only_where_the_processor_has_it(monkeypatch, able):
    monkeypatch.setattr(module, "_has_bf16", lambda device: able)
    assert choose_compute("cpu").half is able
    assert choose_compute("cpu", half=True).half is able
    assert choose_compute("cpu", half=False).half is False
    assert choose_compute("cpu", deterministic=True).half is False


def test_threads_are_put_back_even_after_an_error():
    before = torch.get_num_threads()

    def fail():
        with running(Compute("cpu", False, before + 1)):
            assert torch.get_num_threads() == before + 1
            assert not torch.is_autocast_enabled("cpu")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("already", [True, False])
def test_determinism_is_asked_for_and_put_back(monkeypatch, already):
    now = [already]
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: now[-1])
    monkeypatch.setattr(torch, "use_deterministic_algorithms", now.append)
    with running(Compute("cpu", False, 1, deterministic=True)):
        assert now[-1] is True
    assert now[-1] is already


def test_nothing_slow_is_loaded_without_need(monkeypatch):
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda _: pytest.fail("loads the compiler"))
    with running(Compute("cpu", False, 1)):
        pass


def test_autocast_keeps_no_copies_of_weights():
    """A cache would outlive the steps that change the weights, since the whole training runs inside."""
    with running(Compute("cpu", half=True, threads=1)):
        assert torch.is_autocast_enabled("cpu")
        assert not torch.is_autocast_cache_enabled()
    assert torch.is_autocast_cache_enabled()


def test_it_is_described_in_a_few_words():
    assert Compute("cuda:1", True, 4).describe() == "cuda:1, bf16, 4 threads"
    assert Compute("cpu", False, 1, True).describe() == "cpu, fp32, 1 threads, deterministic"
