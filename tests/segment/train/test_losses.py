"""What training punishes, and how much."""

import pytest
import torch

from verse_morph.segment.train.losses import heatmap_loss, overlap_loss
from verse_morph.segment.views import SIGMA_MM, SPACING_MM

ROWS, COLUMNS, LEVEL, BODY_ROW, COLUMN = 160, 48, 3, 100, 24
STEP = 17  # samples from one lumbar body to the next, or from L5 to S1


def bump(row):
    down = torch.exp(-0.5 * ((torch.arange(ROWS) - row) * SPACING_MM / SIGMA_MM) ** 2)
    across = torch.exp(-0.5 * ((torch.arange(COLUMNS) - COLUMN) * SPACING_MM / SIGMA_MM) ** 2)
    return down[:, None] * across


def naming_loss(*peaks):
    """Loss of an answer with these peaks, all claimed as one level, where the truth has one body at BODY_ROW."""
    target = torch.zeros(1, 5, ROWS, COLUMNS)
    target[0, LEVEL] = bump(BODY_ROW)
    target[0, -1] = 1 - target[0, LEVEL]
    said = torch.stack([bump(row) for row in peaks]).amax(dim=0).clamp(0.01, 0.99)
    logits = torch.full((1, 5, ROWS, COLUMNS), -12.0)
    logits[0, LEVEL], logits[0, -1] = said.log(), (1 - said).log()
    return float(heatmap_loss(logits, target, torch.ones(1, 1, ROWS, COLUMNS)))


def test_what_looks_like_the_next_vertebra_costs_as_much_as_a_peak_on_a_disc():
    right = naming_loss(BODY_ROW)
    disc, next_body, far = (naming_loss(BODY_ROW, BODY_ROW - rows) - right for rows in (STEP // 2, STEP, 4 * STEP))
    assert next_body > 0.6 * disc > 0
    assert 0 < far < 0.2 * next_body


@pytest.mark.parametrize(("least", "told_apart"), [(1.0, False), (300.0, True)])
def test_more_claimed_of_an_absent_structure_costs_more_where_it_is_asked_for(least, told_apart):
    target = torch.zeros(1, 1, 12, 12, 12)

    def dice_part(claimed):
        logits = torch.full(target.shape, -20.0)
        logits.flatten()[:claimed] = 0.5
        cross = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
        return float(overlap_loss(logits, target, least=least) - 2 * cross)

    few, many = dice_part(20), dice_part(200)
    assert (many - few > 0.1) is told_apart
