"""No difference is a claim of its own: it needs a margin that was stated, and two one-sided tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from verse_morph.errors import NotMeasurable
from verse_morph.stats.rows import p_text

ALPHA = 0.05


def equivalence_of_means(first: ArrayLike, second: ArrayLike, margin: float) -> dict[str, Any]:
    """Two one-sided Welch tests that two means differ by less than a margin.

    Parameters
    ----------
    first, second : array
        One value per subject; missing ones are left out.
    margin : float
        Above 0, in the unit of the values, stated before looking.

    Returns
    -------
    dict
        ``n, difference, low, high, p, equivalent``; the interval has 90 % confidence: it lies within the margin exactly
        where the test rejects at 5 %.

    Raises
    ------
    NotMeasurable
        Fewer than two values in a group, or none that differ.
    ValueError
        The margin is not above 0.

    References
    ----------
    Schuirmann DJ. J Pharmacokinet Biopharm 1987;15:657.
    """
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    _check_margin(margin)
    a, b = (values[np.isfinite(values)] for values in (np.asarray(first, float), np.asarray(second, float)))
    if min(a.size, b.size) < 2 or a.var() + b.var() == 0:
        raise NotMeasurable("equivalence needs two groups of at least two subjects whose values differ")
    compared = CompareMeans(DescrStatsW(a), DescrStatsW(b))
    p = float(compared.ttost_ind(-margin, margin, usevar="unequal")[0])
    low, high = compared.tconfint_diff(alpha=2 * ALPHA, usevar="unequal")
    return _verdict(a.size + b.size, float(a.mean() - b.mean()), (float(low), float(high)), p, margin)


def equivalence_of_proportions(first: tuple[int, int], second: tuple[int, int], margin: float) -> dict[str, Any]:
    """Two one-sided tests that two proportions differ by less than a margin.

    Parameters
    ----------
    first, second : (positive, n)
    margin : float
        Above 0, as a fraction, stated before looking.

    Returns
    -------
    dict
        As of :func:`equivalence_of_means`.

    Raises
    ------
    NotMeasurable
        A group is empty.

    Notes
    -----
    Score tests of Miettinen and Nurminen; the interval is their 90 % score interval.

    References
    ----------
    Miettinen O, Nurminen M. Stat Med 1985;4:213.
    """
    from statsmodels.stats.proportion import confint_proportions_2indep, tost_proportions_2indep

    _check_margin(margin)
    if min(first[1], second[1]) == 0:
        raise NotMeasurable("a group is empty")
    with np.errstate(all="ignore"):
        test = tost_proportions_2indep(*first, *second, -margin, margin, method="score", compare="diff")
        low, high = confint_proportions_2indep(*first, *second, method="score", compare="diff", alpha=2 * ALPHA)
    if not np.isfinite([test.pvalue, low, high]).all():
        raise NotMeasurable("the score test has no solution for so few")
    difference = first[0] / first[1] - second[0] / second[1]
    return _verdict(first[1] + second[1], difference, (float(low), float(high)), float(test.pvalue), margin)


def _check_margin(margin: float) -> None:
    if not margin > 0:
        raise ValueError(f"the margin of equivalence is above 0, got {margin}")


def _verdict(n: int, difference: float, interval: tuple[float, float], p: float, margin: float) -> dict[str, Any]:
    equivalent = p < ALPHA
    words = "differ by less than" if equivalent else "were not shown to differ by less than"
    return {
        "n": int(n),
        "difference": difference,
        "low": interval[0],
        "high": interval[1],
        "p": p,
        "equivalent": equivalent,
        "sentence": f"The groups {words} {margin:g} (difference {difference:.3g}, 90 % interval {interval[0]:.3g} to "
        f"{interval[1]:.3g}, {p_text(p)}).",
    }
