"""Intervals of a proportion."""

from __future__ import annotations

from dataclasses import dataclass

from verse_morph.errors import NotMeasurable

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Proportion:
    """A share of counted things with its intervals, as fractions.

    Parameters
    ----------
    positive, n : int
    share : float
    wilson, exact : 2 floats
        Lower and upper bound; ``exact`` after Clopper and Pearson.
    """

    positive: int
    n: int
    share: float
    wilson: tuple[float, float]
    exact: tuple[float, float]


def proportion(positive: int, n: int, confidence: float = CONFIDENCE) -> Proportion:
    """A proportion with its Wilson score and its exact (Clopper-Pearson) interval.

    Parameters
    ----------
    positive, n : int
        How many of how many.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    NotMeasurable
        Nobody was assessed: 0 of 0 is not 0.
    ValueError
        More positive than assessed, or a negative count.

    References
    ----------
    Wilson EB. J Am Stat Assoc 1927;22:209. Clopper CJ, Pearson ES. Biometrika 1934;26:404.
    """
    from statsmodels.stats.proportion import proportion_confint

    if not 0 <= positive <= n:
        raise ValueError(f"no proportion: {positive} of {n}")
    if n == 0:
        raise NotMeasurable("nobody was assessed")
    wilson, exact = (
        tuple(float(bound) for bound in proportion_confint(positive, n, alpha=1 - confidence, method=method))
        for method in ("wilson", "beta")
    )
    # Rounding leaves 1e-17 in place of 0 and 1 at the ends.
    low = (0.0, 0.0) if positive == 0 else (wilson[0], exact[0])
    high = (1.0, 1.0) if positive == n else (wilson[1], exact[1])
    return Proportion(positive, n, positive / n, (low[0], high[0]), (low[1], high[1]))
