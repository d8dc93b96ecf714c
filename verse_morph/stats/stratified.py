"""Association within strata: Cochran-Mantel-Haenszel tests over splits, and trends over ordered grades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verse_morph.errors import NotMeasurable
from verse_morph.stats.association import NOT_A_GROUP, outcome_column, outcome_values
from verse_morph.stats.rows import not_tested, p_text
from verse_morph.stats.variants import TYPE_ORDER, castellvi_types, in_unit, pooled_grades

if TYPE_CHECKING:
    import pandas as pd


def cmh_general(tables: ArrayLike) -> tuple[float, int, float]:
    """Generalised Cochran-Mantel-Haenszel statistic of general association in r x c tables of several strata.

    Parameters
    ----------
    tables : array (strata, rows, columns)
        Counts. Strata of fewer than two subjects say nothing and are left out.

    Returns
    -------
    statistic, df, p

    Raises
    ------
    NotMeasurable
        No stratum compares two groups in two categories.

    References
    ----------
    Landis JR, Heyman ER, Koch GG. Int Stat Rev 1978;46:237.
    """
    return _cmh(np.asarray(tables, dtype=np.float64), None, None)


def cmh_row_means(tables: ArrayLike, scores: Sequence[float] | None = None) -> tuple[float, int, float]:
    """Cochran-Mantel-Haenszel statistic of equal mean scores: do groups (rows) differ in an ordered grade (columns)?

    Parameters
    ----------
    tables : array (strata, rows, columns)
    scores : sequence of float, optional
        Of the columns; 0, 1, 2, ... by default.

    Raises
    ------
    NotMeasurable
        No stratum compares two groups in two categories.

    References
    ----------
    Landis JR, Heyman ER, Koch GG. Int Stat Rev 1978;46:237.
    """
    counts = np.asarray(tables, dtype=np.float64)
    given = np.arange(counts.shape[2], dtype=np.float64) if scores is None else np.asarray(scores, dtype=np.float64)
    return _cmh(counts, None, given[None, :])


def cmh_correlation(
    tables: ArrayLike, row_scores: Sequence[float], column_scores: Sequence[float]
) -> tuple[float, int, float]:
    """Mantel's statistic of correlation between ordered rows and ordered columns within strata, one degree of freedom.

    References
    ----------
    Mantel N. J Am Stat Assoc 1963;58:690.
    """
    rows, columns = (np.asarray(scores, dtype=np.float64)[None, :] for scores in (row_scores, column_scores))
    return _cmh(np.asarray(tables, dtype=np.float64), rows, columns)


def _cmh(
    tables: NDArray[np.float64], row_scores: NDArray[np.float64] | None, column_scores: NDArray[np.float64] | None
) -> tuple[float, int, float]:
    from scipy import stats

    used = tables[tables.sum(axis=(1, 2)) >= 2]
    # Categories that no stratum has would make the covariance singular.
    present = used.sum(axis=0)
    rows, columns = present.sum(axis=1) > 0, present.sum(axis=0) > 0
    used = used[:, rows][:, :, columns]
    if used.size == 0 or used.shape[1] < 2 or used.shape[2] < 2:
        raise NotMeasurable("no stratum compares two groups in two categories")
    left = np.eye(used.shape[1])[:-1] if row_scores is None else row_scores[:, rows]
    right = np.eye(used.shape[2])[:-1] if column_scores is None else column_scores[:, columns]
    # Rows of `weights` times the flattened table: the differences that the statistic is about.
    weights = np.kron(left, right)
    size = weights.shape[0]
    total, spread = np.zeros(size), np.zeros((size, size))
    for table in used:
        n, row, column = table.sum(), table.sum(axis=1), table.sum(axis=0)
        a, b = row / n, column / n
        total += weights @ (table - n * np.outer(a, b)).ravel()
        covariance = np.kron(np.diag(a) - np.outer(a, a), np.diag(b) - np.outer(b, b)) * n * n / (n - 1)
        spread += weights @ covariance @ weights.T
    df = int(np.linalg.matrix_rank(spread))
    if df == 0:
        raise NotMeasurable("no stratum compares two groups in two categories")
    statistic = float(total @ np.linalg.pinv(spread, hermitian=True) @ total)
    return statistic, df, float(stats.chi2.sf(statistic, df))


def over_strata(
    participants: pd.DataFrame, outcome: str, by: str = "vendor", strata: str = "split", unit: str = "subject"
) -> list[dict[str, Any]]:
    """Association of an outcome with groups within the strata of a third column.

    Returns
    -------
    list of dict
        Rows of :data:`verse_morph.stats.rows.TEST_COLUMNS`: the Cochran-Mantel-Haenszel test of general association; of
        two groups and a yes or no also the pooled odds ratio with the Breslow-Day test of equal odds; for Castellvi
        grades also the test of mean scores.
    """
    table = in_unit(participants, unit)
    values = outcome_values(table, outcome)
    groups = pooled_grades(table[by]) if by == "castellvi" else table[by]
    known = values.notna() & groups.notna() & table[strata].notna() & ~groups.isin(NOT_A_GROUP)
    known &= ~table[strata].isin(NOT_A_GROUP)
    row: dict[str, Any] = {"analysis": f"association within {strata}", "outcome": outcome, "by": by}
    row |= {"n": int(known.sum()), "n_missing": int(len(table) - known.sum())}
    if not known.any():
        return [not_tested(row, f"nobody has {outcome}, {by} and {strata} recorded")]
    tables, rows, columns = _strata_tables(groups[known], values[known], table.loc[known, strata])
    try:
        statistic, df, p = cmh_general(tables)
    except NotMeasurable as error:
        return [not_tested(row, str(error))]
    what = f"{outcome} by {by} within {strata}"
    found = [
        row
        | {"statistic": statistic, "df": df, "p": p, "method": "Cochran-Mantel-Haenszel, general association"}
        | {"sentence": f"{what}: {p_text(p)} (chi2 {statistic:.2f}, {df} df), n = {row['n']} in {len(tables)} strata."}
    ]
    if tables.shape[1:] == (2, 2):
        found += _odds(row, tables, f"{columns[1]}, {rows[0]} against {rows[1]}", what)
    if outcome == "castellvi":
        order = [TYPE_ORDER.index(grade[0] if grade[0] != "0" else "0/1") for grade in columns]
        statistic, df, p = cmh_row_means(tables, order)
        words = f"{what}, mean grade (0/1, 2, 3, 4 as 0 to 3): {p_text(p)} (chi2 {statistic:.2f}, {df} df)."
        found.append(
            row
            | {"contrast": "mean grade", "statistic": statistic, "df": df, "p": p}
            | {"method": "Cochran-Mantel-Haenszel, row mean scores", "sentence": words}
        )
    return found


def _strata_tables(
    groups: pd.Series, values: pd.Series, strata: pd.Series
) -> tuple[NDArray[np.float64], list[str], list[str]]:
    import pandas as pd

    rows, columns = sorted(set(groups.astype("str"))), sorted(set(values.astype("str")))
    made = [
        pd.crosstab(groups[strata == s].astype("str"), values[strata == s].astype("str"))
        .reindex(index=rows, columns=columns, fill_value=0)
        .to_numpy(dtype=np.float64)
        for s in sorted(set(strata))
    ]
    return np.array(made).reshape(-1, len(rows), len(columns)), rows, columns


def _odds(row: dict[str, Any], tables: NDArray[np.float64], contrast: str, what: str) -> list[dict[str, Any]]:
    """Pooled odds ratio and the test of equal odds, of 2 x 2 tables."""
    from statsmodels.stats.contingency_tables import StratifiedTable

    # The odds of the second category (yes) in the first group.
    turned = [table[:, ::-1] for table in tables if (table.sum(axis=0) > 0).all() and (table.sum(axis=1) > 0).all()]
    if not turned:
        return [not_tested(row | {"contrast": contrast}, "no stratum has both groups and both categories")]
    with np.errstate(all="ignore"):
        fit = StratifiedTable(turned)
        ratio, (low, high) = float(fit.oddsratio_pooled), fit.oddsratio_pooled_confint()
        equal = fit.test_equal_odds(adjust=True)
    if not np.isfinite([ratio, low, high]).all() or ratio == 0:
        return [not_tested(row | {"contrast": contrast}, "an odds ratio of 0 or infinity has no interval")]
    first = row | {"contrast": contrast, "effect": ratio, "effect_name": "odds ratio, Mantel-Haenszel"}
    first |= {"effect_low": float(low), "effect_high": float(high), "method": "Mantel-Haenszel, Robins interval"}
    first["sentence"] = f"{what}: pooled odds ratio {ratio:.2f} (95 % interval {low:.2f} to {high:.2f}) of {contrast}."
    p = float(equal.pvalue)
    if len(turned) < 2 or not np.isfinite(p):
        return [first]
    second = row | {"contrast": "equal odds in all strata", "statistic": float(equal.statistic), "df": len(turned) - 1}
    second |= {"p": p, "method": "Breslow-Day with Tarone's adjustment"}
    second["sentence"] = f"{what}: do the odds ratios differ between strata? {p_text(p)} (Breslow-Day)."
    return [first, second]


def cochran_armitage(
    positive: ArrayLike, total: ArrayLike, scores: Sequence[float] | None = None
) -> tuple[float, float]:
    """Cochran-Armitage test of a linear trend of proportions over ordered groups, two-sided.

    Parameters
    ----------
    positive, total : array (groups,)
    scores : sequence of float, optional
        0, 1, 2, ... by default.

    Returns
    -------
    z : float
        Above 0 where the proportion rises.
    p : float

    Raises
    ------
    NotMeasurable
        Fewer than two groups, or all or none positive.

    References
    ----------
    Armitage P. Biometrics 1955;11:375.
    """
    from scipy import stats

    hits, n = np.asarray(positive, dtype=np.float64), np.asarray(total, dtype=np.float64)
    x = np.arange(n.size, dtype=np.float64) if scores is None else np.asarray(scores, dtype=np.float64)
    share = hits.sum() / n.sum() if n.sum() else 0.0
    spread = (n * x * x).sum() - (n * x).sum() ** 2 / max(n.sum(), 1)
    if not 0 < share < 1 or spread <= 0:
        raise NotMeasurable("a trend needs two groups and both outcomes")
    z = float((x * (hits - n * share)).sum() / np.sqrt(share * (1 - share) * spread))
    return z, float(2 * stats.norm.sf(abs(z)))


def trend(participants: pd.DataFrame, outcome: str, unit: str = "subject") -> dict[str, Any]:
    """Trend of a variant over Castellvi types 0/1, 2, 3, 4.

    Returns
    -------
    dict
        One row of :data:`verse_morph.stats.rows.TEST_COLUMNS`; the effect is the change of the log odds per type.
    """
    table = in_unit(participants, unit)
    grades, values = castellvi_types(table["castellvi"]), outcome_values(table, outcome)
    known = grades.notna() & values.notna()
    yes = (values[known] == "yes").astype(int)
    groups = [grade for grade in TYPE_ORDER if (grades[known] == grade).any()]
    row: dict[str, Any] = {"analysis": "trend", "outcome": outcome, "by": "castellvi type", "n": int(known.sum())}
    row["n_missing"] = len(table) - row["n"]
    total = [int((grades[known] == grade).sum()) for grade in groups]
    hits = [int(yes[grades[known] == grade].sum()) for grade in groups]
    if outcome_column(outcome) == "castellvi":
        return not_tested(row, "it is defined by the grade itself")
    try:
        z, p = cochran_armitage(hits, total, [TYPE_ORDER.index(grade) for grade in groups])
    except NotMeasurable as error:
        return not_tested(row, str(error))
    shares = ", ".join(f"{grade}: {h} of {n}" for grade, h, n in zip(groups, hits, total, strict=True))
    words = f"{outcome} over Castellvi types ({shares}): {p_text(p)} (z {z:.2f})."
    return row | {"statistic": z, "p": p, "method": "Cochran-Armitage trend test, scores 0 to 3", "sentence": words}
