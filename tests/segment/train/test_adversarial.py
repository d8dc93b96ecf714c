"""The prior on the spine's shape: it tells true stacks of heatmaps from shuffled ones, and pulls the network."""

import numpy as np
import pytest
import torch

from verse_morph.segment.train.adversarial import MARGIN, VIEWS, Adversary, ShapeEnergy, predicted, true_heatmaps

LEVELS, ROWS, COLUMNS = 6, 64, 32


def stacks(rng, count=4):
    """Gaussians of all levels from head to foot; a batch of both views (count, LEVELS + 1, ROWS, COLUMNS)."""
    out = np.zeros((count, LEVELS + 1, ROWS, COLUMNS), np.float32)
    for sample in out:
        middle, step = rng.uniform(12, 20), rng.uniform(8.5, 9.5)
        for level in range(LEVELS):
            lines = (
                np.exp(-0.5 * ((np.arange(n) - c) / 3) ** 2) for n, c in ((ROWS, 56 - step * level), (COLUMNS, middle))
            )
            sample[level] = np.outer(*lines)
        sample[-1] = 1 - sample[:-1].max(axis=0)
    return torch.from_numpy(out)


def batch_of(heatmaps):
    return {f"{view}_target": heatmaps for view in VIEWS}


def shuffled(heatmaps, rng):
    """The same blobs with the levels' names exchanged."""
    return torch.stack([sample[[*rng.permutation(LEVELS), LEVELS]] for sample in heatmaps])


def logits_of(heatmaps):
    return torch.log((heatmaps / heatmaps.sum(dim=1, keepdim=True)).clamp(min=1e-4))


@pytest.fixture(scope="module")
def taught():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    adversary = Adversary(LEVELS, "cpu")
    adversary.optimiser.param_groups[0]["lr"] = 3e-3
    for _ in range(60):
        true = stacks(rng)
        adversary.learn([logits_of(shuffled(true, rng))] * 2, batch_of(true))
    return adversary


def test_it_tells_plausible_stacks_from_shuffled_ones(taught):
    rng = np.random.default_rng(99)
    true = stacks(rng, 8)
    wrong = predicted(logits_of(shuffled(true, rng)))
    with torch.no_grad():
        for energy in taught.model:
            assert float(energy(predicted(logits_of(true))).max()) < 0.75 * float(energy(wrong).min())


def test_an_untaught_prior_knows_no_difference():
    torch.manual_seed(0)
    rng = np.random.default_rng(99)
    true, adversary = stacks(rng), Adversary(LEVELS, "cpu")
    with torch.no_grad():
        energies = [float(adversary.energy([view] * 2)) for view in (true[:, :-1], shuffled(true, rng)[:, :-1])]
    assert energies[0] == pytest.approx(energies[1], rel=0.05)


def test_the_penalty_pulls_the_network_towards_true_stacks(taught):
    rng = np.random.default_rng(5)
    true = stacks(rng)
    logits = logits_of(shuffled(true, rng)).requires_grad_()
    before = taught.penalty([logits] * 2)
    before.backward()
    with torch.no_grad():
        after = taught.penalty([logits - 2.0 * logits.grad / logits.grad.abs().max()] * 2)
    assert float(after) < float(before.detach())


def test_wrong_heatmaps_beyond_the_margin_are_left_alone():
    """Where predicted heatmaps cost more than the margin, only the true ones teach the prior."""
    rng = np.random.default_rng(5)
    true = stacks(rng)
    torch.manual_seed(0)
    adversary, twin = Adversary(LEVELS, "cpu"), Adversary(LEVELS, "cpu")
    twin.model.load_state_dict(adversary.model.state_dict())
    wrong = logits_of(shuffled(true, rng))
    assert float(adversary.energy([predicted(wrong)] * 2).detach()) > MARGIN
    adversary.learn([wrong] * 2, batch_of(true))
    twin.energy(true_heatmaps(batch_of(true))).backward()
    twin.optimiser.step()
    pairs = zip(adversary.model.parameters(), twin.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_energy_of_any_size_and_of_an_empty_view():
    energy = ShapeEnergy(3)
    with torch.no_grad():
        assert energy(torch.rand(2, 3, 41, 26)).shape == (2,)
        assert float(energy(torch.zeros(1, 3, 40, 24))[0]) < 50
