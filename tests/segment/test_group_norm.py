"""Group norm's own gradient against PyTorch's."""

import pytest
import torch
from torch import Tensor, nn

from verse_morph.segment.group_norm import FastGroupNorm
from verse_morph.segment.networks import UNetShape, build

Case = tuple[tuple[int, ...], torch.memory_format]
CASES: list[Case] = [
    ((2, 24, 8, 6, 10), torch.channels_last_3d),
    ((1, 16, 5, 3, 7), torch.channels_last_3d),
    ((3, 16, 6, 10), torch.channels_last),
    ((2, 16, 6, 10), torch.contiguous_format),
    ((2, 8, 64, 80), torch.channels_last),
]


def _answers(norm: nn.Module, x: Tensor, slope: Tensor) -> list[Tensor]:
    """Answer, and gradients of input, weight and bias."""
    seen = x.clone().requires_grad_(True)
    norm.zero_grad()
    answer = norm(seen)
    answer.backward(slope)
    return [answer.detach(), *(t.grad for t in (seen, *norm.parameters()) if t.grad is not None)]


def _both(case: Case, kind: torch.dtype, weights: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    shape, order = case
    rng = torch.Generator().manual_seed(3)
    x = (3 * torch.randn(shape, generator=rng, dtype=torch.float64) + 2).to(kind).contiguous(memory_format=order)
    slope = torch.randn(shape, generator=rng, dtype=torch.float64).to(kind).contiguous(memory_format=order)
    theirs, ours = nn.GroupNorm(8, shape[1]), FastGroupNorm(8, shape[1])
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    ours.load_state_dict(theirs.state_dict())
    return _answers(ours.to(weights), x, slope), _answers(theirs.to(weights), x, slope)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("kind", "weights", "tolerance"),
    [
        (torch.float64, torch.float64, 1e-6),
        (torch.float32, torch.float32, 1e-5),
        # Both round to eight bits; each is up to half a last place off.
        (torch.bfloat16, torch.float32, 1e-2),
    ],
)
def test_gradient_is_the_one_of_pytorch(case: Case, kind: torch.dtype, weights: torch.dtype, tolerance: float) -> None:
    for ours, theirs in zip(*_both(case, kind, weights), strict=True):
        assert ours.dtype == theirs.dtype
        assert (ours.double() - theirs.double()).abs().max() <= tolerance * theirs.double().abs().max()


def test_gradient_is_the_slope_of_the_answer() -> None:
    norm = FastGroupNorm(2, 4).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, -1.0, 2.0, 1.5]))
    x = torch.randn(2, 4, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: norm(t) ** 2, (x,))


def test_networks_learn_through_it_and_read_the_same_weights() -> None:
    model = build(UNetShape(1, 1, (8, 16)))
    norms = [m for m in model.modules() if isinstance(m, nn.GroupNorm)]
    assert norms
    assert all(isinstance(m, FastGroupNorm) for m in norms)
    x = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        quiet = model(x)
    loud = model(x)
    loud.square().mean().backward()
    assert torch.equal(quiet, loud.detach())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
