"""Many tests: family-wise error for what was declared beforehand, false discovery rate for what is explored."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

METHODS = {"p_holm": "holm", "p_bh": "fdr_bh"}


def adjusted(tests: pd.DataFrame) -> pd.DataFrame:
    """A table of tests with Holm's (``p_holm``) and Benjamini and Hochberg's (``p_bh``) adjusted p-values added.

    Parameters
    ----------
    tests : DataFrame
        With a column ``p``; all its tests are one family. Missing values were not tested, and do not count.

    Notes
    -----
    Holm holds the probability of any false finding, for a family that was declared before looking. Benjamini-Hochberg
    holds the expected share of false ones among the findings, for exploration.

    References
    ----------
    Holm S. Scand J Stat 1979;6:65. Benjamini Y, Hochberg Y. J R Stat Soc B 1995;57:289.
    """
    import numpy as np
    from statsmodels.stats.multitest import multipletests

    made = tests.copy()
    p = made["p"].to_numpy(dtype=float)
    known = ~np.isnan(p)
    for column, method in METHODS.items():
        values = np.full(len(p), np.nan)
        if known.any():
            values[known] = multipletests(p[known], method=method)[1]
        made[column] = values
    return made
