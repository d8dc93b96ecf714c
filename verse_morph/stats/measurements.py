"""Measurements by vendor and grade: vertebrae of one subject are not independent, so each subject has an intercept."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from verse_morph.errors import InputError, NotMeasurable
from verse_morph.stats.association import NOT_A_GROUP
from verse_morph.stats.equivalence import equivalence_of_means
from verse_morph.stats.rows import not_tested, p_text
from verse_morph.stats.variants import TYPE_ORDER, VENDOR_ORDER, castellvi_types, one_per_subject, ordered

if TYPE_CHECKING:
    import pandas as pd

LEAST_SUBJECTS = 3
GRADE = "castellvi_type"


@dataclass(frozen=True, eq=False)
class Measured:
    """Values of one measurement with what is needed to compare groups.

    Parameters
    ----------
    frame : DataFrame
        ``subject, level, value, group``; without missing values.
    name : str
    by : str
    groups : tuple of str
        In order, the first is the reference.
    n_missing : int
        Rows without a value or a known group.
    """

    frame: pd.DataFrame
    name: str
    by: str
    groups: tuple[str, ...]
    n_missing: int


def gather(measurements: pd.DataFrame, participants: pd.DataFrame, name: str, by: str = "vendor") -> Measured:
    """Values of a measurement beside the group of their subject.

    Parameters
    ----------
    measurements : DataFrame
        One row per vertebra (``scan, level`` and columns of numbers) or per scan (without ``level``).
    participants : DataFrame
        As :func:`verse_morph.io.participants.check_participants` gives it.
    name : str
        Column of the measurement.
    by : str
        Column of participants, or ``castellvi_type`` (0/1, 2, 3, 4).

    Notes
    -----
    A level that two series of a subject show enters with the mean of both. Groups with fewer than three subjects are
    left out of the comparison. The reference is the largest vendor, or grade 0/1.

    Raises
    ------
    InputError
        The measurement, the scans or the column of groups are not there.
    """
    if not {"scan", name} <= set(measurements.columns):
        raise InputError(
            f"the measurements need the columns scan and {name}; they have {', '.join(measurements.columns)}"
        )
    subjects = one_per_subject(participants).table.set_index("subject")
    subjects[GRADE] = castellvi_types(subjects["castellvi"])
    if by not in subjects.columns:
        raise InputError(f"no column {by!r} to group by; there are {', '.join(map(str, subjects.columns))}")
    frame = measurements.copy()
    frame["level"] = frame["level"].astype("str") if "level" in frame else "scan"
    frame["subject"] = frame["scan"].map(dict(zip(participants["scan"], participants["subject"], strict=True)))
    frame["group"] = frame["subject"].map(subjects[by])
    frame["value"] = frame[name].astype("float64")
    known = np.isfinite(frame["value"]) & frame["group"].notna() & ~frame["group"].isin(NOT_A_GROUP)
    missing = int((~known).sum())
    used = frame[known].groupby(["subject", "level", "group"], as_index=False)["value"].mean()
    sizes = used.groupby("group")["subject"].nunique()
    large = [str(group) for group in sizes.index if sizes[group] >= LEAST_SUBJECTS]
    groups = ordered(large, TYPE_ORDER if by == GRADE else VENDOR_ORDER)
    if by != GRADE and groups:
        largest = max(groups, key=lambda group: sizes[group])
        groups = [largest, *(group for group in groups if group != largest)]
    return Measured(used[used["group"].isin(groups)], name, by, tuple(groups), missing)


def compare(
    measurements: pd.DataFrame, participants: pd.DataFrame, name: str, by: str = "vendor", margin: float | None = None
) -> list[dict[str, Any]]:
    """A measurement in each group against the reference group: mixed model, effect size, and equivalence if asked for.

    Parameters
    ----------
    measurements, participants, name, by
        See :func:`gather`.
    margin : float, optional
        In the unit of the measurement: with it, "no difference" is tested too.

    Returns
    -------
    list of dict
        Rows of :data:`verse_morph.stats.rows.TEST_COLUMNS`: one for all groups together (Wald test), one per group
        against the reference (difference with 95 % interval; Hedges' g in the sentence), and of
        ordered grades one trend.

    Notes
    -----
    Fixed effects of group and level, a random intercept per subject, REML. With one value per subject the model is
    ordinary least squares.
    """
    data = gather(measurements, participants, name, by)
    subjects = data.frame["subject"].nunique()
    row: dict[str, Any] = {"analysis": "measurement", "outcome": name, "by": by, "n": int(subjects)}
    row["n_missing"] = data.n_missing
    if len(data.groups) < 2:
        return [not_tested(row, f"fewer than two groups of {LEAST_SUBJECTS} subjects")]
    try:
        fit = fit_groups(data)
    except NotMeasurable as error:
        return [not_tested(row, str(error))]
    means = subject_means(data)
    words = f"{name} by {by}: {p_text(fit.p)} for any difference among {', '.join(data.groups)}, n = {subjects}."
    rows = [row | {"statistic": fit.statistic, "df": fit.df, "p": fit.p, "method": fit.method, "sentence": words}]
    reference = means["value"][means["group"] == data.groups[0]]
    for group in data.groups[1:]:
        rows.append(row | _pair(fit, group, data, (means["value"][means["group"] == group], reference)))
        if margin is not None:
            rows.append(row | _equivalent(group, data, means, margin))
    if by == GRADE and len(data.groups) > 2:
        rows.append(row | _slope(data))
    return rows


def subject_means(data: Measured) -> pd.DataFrame:
    """Mean of each subject's deviations from the mean of their level: ``subject, group, value``.

    Without it a subject whose scan shows the lumbar spine would seem larger than one whose scan shows the neck.
    """
    own = data.frame.assign(value=data.frame["value"] - data.frame.groupby("level")["value"].transform("mean"))
    return own.groupby(["subject", "group"])["value"].mean().reset_index()


@dataclass(frozen=True)
class Fit:
    """What a model says about groups: the joint Wald test, and each difference with its standard error and p."""

    statistic: float
    df: int
    p: float
    differences: Mapping[str, tuple[float, float, float, float]]
    method: str


def fit_groups(data: Measured) -> Fit:
    """Differences of groups from the first one, adjusted for level, with a random intercept per subject.

    Raises
    ------
    NotMeasurable
        The model cannot be fitted to so few values.
    """
    import pandas as pd

    design = pd.get_dummies(pd.Categorical(data.frame["group"], data.groups), drop_first=True, dtype=float)
    result, method = _fit(data, design)
    names = list(data.groups[1:])
    constraint = np.zeros((len(names), len(result.params)))
    for i, name in enumerate(names):
        constraint[i, list(result.model.exog_names).index(f"group {name}")] = 1
    test = result.wald_test(constraint, use_f=False, scalar=True)
    interval = np.asarray(result.conf_int())
    found = {}
    for i, name in enumerate(names):
        at = int(np.argmax(constraint[i]))
        estimate, p = float(np.asarray(result.params)[at]), float(np.asarray(result.pvalues)[at])
        found[name] = (estimate, float(interval[at, 0]), float(interval[at, 1]), p)
    return Fit(float(test.statistic), len(names), float(test.pvalue), found, method)


def _fit(data: Measured, design: pd.DataFrame) -> tuple[Any, str]:
    """The fitted model; ``design`` has one column per term about the groups."""
    import pandas as pd
    import statsmodels.regression.linear_model as linear
    from statsmodels.regression.mixed_linear_model import MixedLM

    frame = data.frame
    terms = design.rename(columns=lambda name: f"group {name}").set_index(frame.index)
    levels = pd.get_dummies(frame["level"], drop_first=True, dtype=float)
    exog = pd.concat([pd.Series(1.0, frame.index, name="mean"), terms, levels], axis=1)
    if np.linalg.matrix_rank(exog.to_numpy()) < exog.shape[1]:
        raise NotMeasurable("groups and levels cannot be told apart")
    repeated = frame["subject"].duplicated().any()
    if len(frame) <= exog.shape[1] + 1 or np.ptp(frame["value"].to_numpy()) == 0:
        raise NotMeasurable("too few values, or none that differ")
    if not repeated:
        # Robust to unequal spread, as Welch's test is.
        return linear.OLS(frame["value"], exog).fit(cov_type="HC3"), "least squares, one value per subject, HC3 errors"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            result = MixedLM(frame["value"], exog, groups=frame["subject"]).fit(
                reml=True, method=["lbfgs", "bfgs", "cg"]
            )
        except (np.linalg.LinAlgError, ValueError) as error:
            raise NotMeasurable(f"the mixed model cannot be fitted ({error})") from error
    if (
        not result.converged
        or not np.isfinite(result.params).all()
        or not np.isfinite(np.diag(result.cov_params())).all()
    ):
        raise NotMeasurable("the mixed model did not converge")
    edge = any("boundary" in str(w.message).lower() for w in told)
    note = "; spread between subjects at its border, 0" if edge else ""
    return result, f"linear mixed model (REML), random intercept per subject, level as fixed effect{note}"


def hedges_g(first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """Hedges' g: a difference of means in pooled standard deviations, corrected for few subjects, with 95 % interval.

    Raises
    ------
    NotMeasurable
        Fewer than two values in a group, or none that differ.

    References
    ----------
    Hedges LV. J Educ Stat 1981;6:107. Interval: large-sample normal.
    """
    a, b = (values[np.isfinite(values)] for values in (np.asarray(first, float), np.asarray(second, float)))
    df = a.size + b.size - 2
    if min(a.size, b.size) < 2:
        raise NotMeasurable("an effect size needs two subjects in each group")
    pooled = np.sqrt(((a.size - 1) * a.var(ddof=1) + (b.size - 1) * b.var(ddof=1)) / df)
    if pooled == 0:
        raise NotMeasurable("no value differs from the others of its group")
    g = float((a.mean() - b.mean()) / pooled * (1 - 3 / (4 * df - 1)))
    error = np.sqrt((a.size + b.size) / (a.size * b.size) + g * g / (2 * (a.size + b.size)))
    return g, float(g - 1.959964 * error), float(g + 1.959964 * error)


def _pair(fit: Fit, group: str, data: Measured, values: tuple[ArrayLike, ArrayLike]) -> dict[str, Any]:
    estimate, low, high, p = fit.differences[group]
    contrast = f"{group} - {data.groups[0]}"
    try:
        g, g_low, g_high = hedges_g(*values)
        size = f"Hedges' g of level-adjusted subject means {g:.2f} ({g_low:.2f} to {g_high:.2f})"
    except NotMeasurable as error:
        size = f"no effect size: {error}"
    counts = tuple(int(np.isfinite(np.asarray(v, float)).sum()) for v in values)
    words = f"{data.name}, {contrast}: {estimate:.3g} (95 % interval {low:.3g} to {high:.3g}, {p_text(p)}); {size}; "
    words += f"{counts[0]} and {counts[1]} subjects."
    made: dict[str, Any] = {"contrast": contrast, "p": p, "effect": estimate, "effect_low": low, "effect_high": high}
    return made | {"effect_name": "difference, adjusted for level", "method": fit.method, "sentence": words}


def _equivalent(group: str, data: Measured, means: pd.DataFrame, margin: float) -> dict[str, Any]:
    contrast = f"{group} = {data.groups[0]} within {margin:g}"
    first, second = (means["value"][means["group"] == name] for name in (group, data.groups[0]))
    row: dict[str, Any] = {"outcome": data.name, "by": data.by, "contrast": contrast}
    try:
        found = equivalence_of_means(first, second, margin)
    except NotMeasurable as error:
        return not_tested(row, str(error))
    made = {"analysis": "equivalence", "p": found["p"], "effect": found["difference"], "n": found["n"]}
    made |= {
        "effect_low": found["low"],
        "effect_high": found["high"],
        "effect_name": "difference of level-adjusted subject means",
    }
    words = f"{data.name}, {group} and {data.groups[0]}: {found['sentence']}"
    return row | made | {"method": "two one-sided Welch tests, 90 % interval", "sentence": words}


def _slope(data: Measured) -> dict[str, Any]:
    """Change per Castellvi type: the same model with the type as one number."""
    score = data.frame["group"].map({grade: i for i, grade in enumerate(TYPE_ORDER)}).astype("float64")
    row: dict[str, Any] = {"outcome": data.name, "by": data.by, "contrast": "per type"}
    try:
        result, method = _fit(data, score.to_frame("score"))
    except NotMeasurable as error:
        return not_tested(row, str(error))
    at = list(result.model.exog_names).index("group score")
    low, high = np.asarray(result.conf_int())[at]
    estimate, p = float(np.asarray(result.params)[at]), float(np.asarray(result.pvalues)[at])
    words = f"{data.name} per Castellvi type: {estimate:.3g} (95 % interval {low:.3g} to {high:.3g}, {p_text(p)})."
    made = {"analysis": "trend", "p": p, "effect": estimate, "effect_low": float(low), "effect_high": float(high)}
    return row | made | {"effect_name": "change per type", "method": f"{method}, types as 0 to 3", "sentence": words}
