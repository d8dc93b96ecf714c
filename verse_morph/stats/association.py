"""Two sets of categories against each other: which test is valid, how strong the association is, how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verse_morph.errors import InputError, NotMeasurable
from verse_morph.stats.rows import not_tested, p_text
from verse_morph.stats.variants import (
    GRADE_ORDER,
    SEVERAL,
    VARIANTS,
    VENDOR_ORDER,
    in_unit,
    ordered,
    pooled_grades,
    variant,
)

if TYPE_CHECKING:
    import pandas as pd

# Random tables of the Monte Carlo test; the standard error of a p of 0.05 is 0.0007.
RESAMPLES = 99_999
REPLICATES = 2000
LEAST_FOR_BOOTSTRAP = 5
# Cochran's rule: chi2 is used where at least 80 % of the expected counts are 5 or more and none is below 1.
LEAST_EXPECTED, SHARE_EXPECTED, NEVER_BELOW = 5.0, 0.8, 1.0
CONFOUNDED = " An association with a vendor is one with site, time and selection as well."
NOT_A_GROUP = ("unknown", SEVERAL)


def cross_table(
    participants: pd.DataFrame, outcome: str, by: str = "vendor", unit: str = "subject"
) -> tuple[pd.DataFrame, int]:
    """Counts of an outcome's categories (columns) in the groups of ``by`` (rows).

    Parameters
    ----------
    participants : DataFrame
        As :func:`verse_morph.io.participants.check_participants` gives it.
    outcome : str
        ``castellvi`` (0 and 1 pooled), another column, or the name of a variant (then ``no`` and ``yes``).
    by : str
        Column of groups; ``unknown`` stays a row.
    unit : str

    Returns
    -------
    counts : DataFrame
        Rows and columns that nobody falls into are left out.
    n_missing : int
        Those without the outcome.

    Raises
    ------
    InputError
        Unknown column or unit.
    """
    import pandas as pd

    table = in_unit(participants, unit)
    values = outcome_values(table, outcome)
    if by not in table.columns:
        raise InputError(f"no column {by!r} to group by; there are {', '.join(map(str, table.columns))}")
    groups = table[by].astype("str").where(table[by].notna(), "unknown")
    groups = pooled_grades(groups) if by == "castellvi" else groups
    known = values.notna()
    counts = pd.crosstab(groups[known], values[known].astype("str"))
    order = GRADE_ORDER if "castellvi" in (outcome, by) else ()
    rows = ordered(list(counts.index), order if by == "castellvi" else VENDOR_ORDER)
    columns = ordered(list(counts.columns), order if outcome == "castellvi" else ("no", "yes"))
    return counts.loc[rows, columns].rename_axis(index=by, columns=outcome), int((~known).sum())


def outcome_values(table: pd.DataFrame, outcome: str) -> pd.Series:
    """The categories of an outcome: a grade, a column, or yes and no of a variant; missing where not assessed.

    Raises
    ------
    InputError
        Neither a column nor a variant.
    """
    if outcome == "castellvi":
        return pooled_grades(table["castellvi"])
    if outcome in table.columns:
        return table[outcome]
    item = variant(outcome)
    known = table[item.column].notna()
    words = item.positive(table.loc[known, item.column]).astype(bool).map({True: "yes", False: "no"})
    return words.astype("str").reindex(table.index)


def outcome_column(outcome: str) -> str:
    """The column of the participants table that an outcome rests on."""
    known = {item.name: item.column for item in VARIANTS}
    return known.get(outcome, outcome)


def association(
    participants: pd.DataFrame,
    outcome: str,
    by: str = "vendor",
    rng: np.random.Generator | int = 0,
    unit: str = "subject",
) -> dict[str, Any]:
    """Test of independence between an outcome's categories and groups, with the bias-corrected Cramer's V.

    Parameters
    ----------
    participants, outcome, by, unit
        See :func:`cross_table`.
    rng : Generator or int
        Of the Monte Carlo test and the bootstrap.

    Returns
    -------
    dict
        One row of :data:`verse_morph.stats.rows.TEST_COLUMNS`. Unknown vendors are shown in the cross table but are no
        group to test; where fewer than two groups or two categories remain nothing is tested, with the reason.
    """
    counts, missing = cross_table(participants, outcome, by, unit)
    tested = counts.drop(index=[name for name in NOT_A_GROUP if name in counts.index])
    tested = tested.loc[:, tested.sum(axis=0) > 0]
    left_out = int(counts.to_numpy().sum() - tested.to_numpy().sum())
    row: dict[str, Any] = {"analysis": "association", "outcome": outcome, "by": by, "n": int(tested.to_numpy().sum())}
    row["n_missing"] = missing + left_out
    if tested.shape[0] < 2:
        number = "only one group" if len(tested) else "no known group"
        return not_tested(row, f"{number} of {by} has the outcome recorded")
    if tested.shape[1] < 2:
        return not_tested(row, f"everybody has the same category ({', '.join(map(str, tested.columns))})")
    generator = np.random.default_rng(rng)
    found = independence(tested.to_numpy(), generator)
    try:
        low, high = bootstrap_cramers_v(tested.to_numpy(), generator)
        interval = f"95 % bootstrap interval {low:.2f} to {high:.2f}"
    except NotMeasurable as error:
        low, high, interval = np.nan, np.nan, str(error)
    row |= found | {"effect": cramers_v(tested.to_numpy()), "effect_name": "Cramer's V, bias-corrected"}
    row |= {"effect_low": low, "effect_high": high}
    row["sentence"] = (
        f"{outcome} by {by} ({', '.join(map(str, tested.index))}): {p_text(row['p'])}, bias-corrected Cramer's V "
        f"{row['effect']:.2f} ({interval}), n = {row['n']}, {missing} without the outcome and {left_out} without a "
        f"known group.{CONFOUNDED if by == 'vendor' else ''}"
    )
    return row


def independence(counts: ArrayLike, rng: np.random.Generator | int = 0) -> dict[str, Any]:
    """The test of independence that is valid for a table of counts: Fisher's, chi2, or Freeman-Halton by Monte Carlo.

    Parameters
    ----------
    counts : array (rows, columns)
        No empty row or column.
    rng : Generator or int

    Returns
    -------
    dict
        ``statistic`` (chi2, or the odds ratio of a 2 x 2 table), ``df``, ``p``, ``method``.

    References
    ----------
    Fisher RA 1935. Freeman GH, Halton JH. Biometrika 1951;38:141. Cochran WG. Biometrics 1954;10:417.
    """
    from scipy import stats

    table = np.asarray(counts, dtype=np.int64)
    if table.shape == (2, 2):
        found = stats.fisher_exact(table)
        return {
            "statistic": float(found.statistic),
            "p": float(found.pvalue),
            "method": "Fisher's exact test, two-sided",
        }
    chi2 = stats.chi2_contingency(table, correction=False)
    if chi2_is_valid(chi2.expected_freq):
        return {
            "statistic": float(chi2.statistic),
            "df": float(chi2.dof),
            "p": float(chi2.pvalue),
            "method": "Pearson's chi2",
        }
    p = _freeman_halton(table, np.random.default_rng(rng))
    error = np.sqrt(p * (1 - p) / RESAMPLES)
    words = f"Freeman-Halton exact test by Monte Carlo ({RESAMPLES + 1} tables, standard error of p {error:.1g})"
    return {"statistic": float(chi2.statistic), "p": p, "method": words}


def _freeman_halton(table: NDArray[np.int64], rng: np.random.Generator) -> float:
    """Share of random tables of the same margins that are no likelier than this one, itself counted in."""
    from scipy.special import gammaln
    from scipy.stats import random_table

    drawn = random_table(table.sum(axis=1), table.sum(axis=0)).rvs(RESAMPLES, random_state=rng)
    log_factorial = gammaln(np.arange(table.sum() + 1) + 1.0)
    # A table's probability falls with the product of its cells' factorials; the rest is the same for all.
    rarity = log_factorial[drawn.astype(np.int64)].sum(axis=(1, 2))
    return float((1 + (rarity >= log_factorial[table].sum() - 1e-9).sum()) / (RESAMPLES + 1))


def chi2_is_valid(expected: ArrayLike) -> bool:
    """Cochran's rule: at least 80 % of the expected counts are 5 or more, none is below 1."""
    cells = np.asarray(expected)
    return bool((cells >= LEAST_EXPECTED).mean() >= SHARE_EXPECTED and cells.min() >= NEVER_BELOW)


def cramers_v(counts: ArrayLike) -> float:
    """Cramer's V with Bergsma's correction for bias: 0 for independence, 1 for a perfect association.

    References
    ----------
    Bergsma W. J Korean Stat Soc 2013;42:323.
    """
    return float(_corrected_v(np.asarray(counts, dtype=np.float64)[None])[0])


def _corrected_v(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of many tables (N, rows, columns) at once; rows and columns that are empty in one do not count there."""
    n = tables.sum(axis=(1, 2))
    row, column = tables.sum(axis=2), tables.sum(axis=1)
    expected = row[:, :, None] * column[:, None, :] / n[:, None, None]
    share = np.where(expected > 0, (tables - expected) ** 2 / np.where(expected > 0, expected, 1), 0)
    phi2 = share.sum(axis=(1, 2)) / n
    r, k = (row > 0).sum(axis=1), (column > 0).sum(axis=1)
    corrected = np.maximum(0, phi2 - (r - 1) * (k - 1) / (n - 1))
    least = np.minimum(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    return np.where(least > 0, np.sqrt(corrected / np.where(least > 0, least, 1)), 0.0)


def bootstrap_cramers_v(
    counts: ArrayLike, rng: np.random.Generator | int = 0, replicates: int = REPLICATES
) -> tuple[float, float]:
    """The 95 % percentile interval of the bias-corrected V when subjects are drawn with replacement.

    Notes
    -----
    Subjects are exchangeable within a cell, so drawing them is one multinomial draw. Percentiles of V lie too high
    where V is near 0 (V cannot be negative): read an interval that starts above 0 together with the p-value.

    Raises
    ------
    NotMeasurable
        A row or column of fewer than 5: draws that miss it would make the interval look certain.
    """
    table = np.asarray(counts, dtype=np.int64)
    if min(table.sum(axis=0).min(), table.sum(axis=1).min()) < LEAST_FOR_BOOTSTRAP:
        raise NotMeasurable(f"no interval: fewer than {LEAST_FOR_BOOTSTRAP} in the rarest category or group")
    n = int(table.sum())
    draws = np.random.default_rng(rng).multinomial(n, table.ravel() / n, size=replicates)
    values = _corrected_v(draws.reshape(-1, *table.shape).astype(np.float64))
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
