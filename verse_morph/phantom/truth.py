"""True numbers of a patient, from the functions that define its surfaces."""

from __future__ import annotations

from verse_morph.phantom.case import Truth
from verse_morph.phantom.parameters import SpineParameters
from verse_morph.space import Grid


def truth_of(parameters: SpineParameters, grid: Grid | None = None) -> Truth:
    """Every true number."""
    import pandas as pd

    return Truth(pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), {})
