"""Every statistic against numbers that others published, or against a computation by another way."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from verse_morph.stats.association import bootstrap_cramers_v, cramers_v, independence
from verse_morph.stats.equivalence import equivalence_of_means, equivalence_of_proportions
from verse_morph.stats.measurements import Measured, fit_groups, hedges_g
from verse_morph.stats.multiplicity import adjusted
from verse_morph.stats.proportions import proportion
from verse_morph.stats.stratified import cmh_correlation, cmh_general, cmh_row_means, cochran_armitage

# --- proportions ------------------------------------------------------------------------------------------------------
# Newcombe RG. Stat Med 1998;17:857, Table I: score method (3) and Clopper-Pearson (5).
NEWCOMBE = [
    (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20, (0.0000, 0.1611), (0.0000, 0.1684)),
    (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
]


@pytest.mark.parametrize(("positive", "n", "wilson", "exact"), NEWCOMBE)
def test_intervals_of_newcombes_examples(positive, n, wilson, exact):
    found = proportion(positive, n)
    assert found.wilson == pytest.approx(wilson, abs=5e-5)
    assert found.exact == pytest.approx(exact, abs=5e-5)


@pytest.mark.parametrize(("positive", "n"), [(0, 7), (3, 11), (18, 135), (85, 252), (9, 9)])
def test_intervals_by_their_definitions(positive, n):
    """Wilson: where the score test just does not reject. Clopper-Pearson: where each tail is 2.5 %."""
    found = proportion(positive, n)
    for bound in found.wilson:
        if 0 < bound < 1:
            assert abs(positive / n - bound) / math.sqrt(bound * (1 - bound) / n) == pytest.approx(1.959964, abs=1e-5)
    low, high = found.exact
    if low > 0:
        assert stats.binom.sf(positive - 1, n, low) == pytest.approx(0.025, abs=1e-9)
    if high < 1:
        assert stats.binom.cdf(positive, n, high) == pytest.approx(0.025, abs=1e-9)


@pytest.mark.parametrize("n", [10, 40, 150])
def test_coverage_of_the_intervals(n):
    """Summed over all outcomes: exact never below 95 %, Wilson about 95 % on average."""
    intervals = [proportion(k, n) for k in range(n + 1)]
    shares = np.linspace(0.02, 0.98, 97)
    cover = {"wilson": [], "exact": []}
    for share in shares:
        weight = stats.binom.pmf(np.arange(n + 1), n, share)
        for name in cover:
            inside = [getattr(i, name)[0] <= share <= getattr(i, name)[1] for i in intervals]
            cover[name].append(weight[inside].sum())
    assert min(cover["exact"]) >= 0.95
    assert np.mean(cover["wilson"]) == pytest.approx(0.95, abs=0.012)
    assert min(cover["wilson"]) > 0.83


# --- association ------------------------------------------------------------------------------------------------------


def test_fisher_of_the_tea_tasting():
    """Fisher 1935: four of four cups; Agresti 2002, section 3.5: three right of each, one-sided 0.243."""
    assert independence([[3, 1], [1, 3]])["p"] == pytest.approx(34 / 70)
    assert independence([[4, 0], [0, 4]])["p"] == pytest.approx(2 / 70)


def test_fisher_of_the_convicted_twins():
    """Fisher 1970: convictions of like-sex twins, 10 of 13 and 2 of 17; R, fisher.test, gives p = 0.0005367."""
    assert independence([[2, 15], [10, 3]])["p"] == pytest.approx(0.0005367, abs=5e-8)


JOB = [[1, 3, 10, 6], [2, 3, 10, 7], [1, 6, 14, 12], [0, 1, 9, 11]]


def test_freeman_halton_of_job_satisfaction():
    """Agresti 2002, p. 57: income and job satisfaction; exact p = 0.7827 (R, fisher.test)."""
    found = independence(JOB, 0)
    assert "Freeman-Halton" in found["method"]
    assert found["p"] == pytest.approx(0.7827, abs=4 * math.sqrt(0.78 * 0.22 / 1e5))


def enumerated(table):
    """The exact p by listing every table with the same margins: the sum of all that are no likelier."""
    table = np.asarray(table)
    row, column = table.sum(axis=1), table.sum(axis=0)

    def rows_of(total, limits):
        if len(limits) == 1:
            yield from ([(total,)] if total <= limits[0] else [])
            return
        for first in range(min(total, limits[0]) + 1):
            yield from ((first, *rest) for rest in rows_of(total - first, limits[1:]))

    def logs(left, limits):
        if len(left) == 1:
            yield -sum(math.lgamma(v + 1) for v in limits)
            return
        for filled in rows_of(left[0], limits):
            rest = tuple(a - b for a, b in zip(limits, filled, strict=True))
            own = -sum(math.lgamma(v + 1) for v in filled)
            yield from (own + more for more in logs(left[1:], rest))

    every = np.array(list(logs(tuple(row), tuple(column))))
    weight = np.exp(every - every.max())
    mine = -sum(math.lgamma(v + 1) for v in table.ravel())
    return weight[every <= mine + 1e-9].sum() / weight.sum()


@pytest.mark.parametrize("table", [[[5, 1, 0], [1, 2, 3]], [[4, 0], [1, 3], [0, 5]], [[3, 1, 1], [0, 4, 1], [1, 0, 3]]])
def test_freeman_halton_against_all_tables(table):
    assert independence(table, 1)["p"] == pytest.approx(enumerated(table), abs=0.006)


@pytest.mark.parametrize("table", [[[3, 1], [1, 3]], [[7, 2], [3, 9]]])
def test_fisher_against_all_tables(table):
    assert independence(table)["p"] == pytest.approx(enumerated(table), abs=1e-9)


def test_chi2_where_it_is_valid():
    """Agresti 2007, p. 39, party by gender: X2 = 30.07, 2 degrees of freedom; and by the formula itself."""
    table = np.array([[762, 327, 468], [484, 239, 477]])
    found = independence(table)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    assert found["method"] == "Pearson's chi2"
    assert found["statistic"] == pytest.approx(((table - expected) ** 2 / expected).sum())
    assert found["statistic"] == pytest.approx(30.07, abs=0.01)
    assert found["df"] == 2


def test_corrected_v_by_bergsmas_formula_and_at_its_ends():
    """Bergsma 2013, written out for one table with plain numbers."""
    table = np.array([[20, 5, 3], [4, 16, 6]])
    n, r, k = 54, 2, 3
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi2 = ((table - expected) ** 2 / expected).sum() / n
    phi2 = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
    least = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    assert cramers_v(table) == pytest.approx(math.sqrt(phi2 / least))
    assert cramers_v([[30, 0], [0, 30]]) == pytest.approx(1.0)
    assert cramers_v([[15, 15], [15, 15]]) == 0


def test_corrected_v_is_nearly_unbiased_without_association():
    """Of 400 tables of independent categories the plain V averages far above 0, the corrected one near it."""
    rng = np.random.default_rng(5)
    tables = rng.multinomial(80, np.full(12, 1 / 12), size=400).reshape(-1, 3, 4)
    plain = [math.sqrt(stats.chi2_contingency(t + 1e-12, correction=False).statistic / (80 * 2)) for t in tables]
    assert np.mean(plain) > 0.17
    assert np.mean([cramers_v(t) for t in tables]) < 0.08


def test_coverage_of_the_bootstrap_interval_of_v():
    """A moderate association (V = 0.4) in 120 subjects: 200 samples, 300 replicates each."""
    cells = np.array([[0.35, 0.15], [0.15, 0.35]])
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        table = rng.multinomial(120, cells.ravel()).reshape(2, 2)
        low, high = bootstrap_cramers_v(table, rng, replicates=300)
        hits += low <= 0.4 <= high
    assert 0.90 <= hits / 200 <= 0.99


# --- strata, trends ---------------------------------------------------------------------------------------------------
# Agresti 2002, Table 7.8: job satisfaction (columns) by income (rows) of women and men.
SATISFACTION = np.array(
    [
        *(1, 2, 0, 0, 3, 3, 1, 2, 11, 17, 8, 4, 2, 3, 5, 2),
        *(1, 0, 0, 0, 1, 3, 0, 1, 2, 5, 7, 9, 1, 1, 3, 6),
    ],
    dtype=float,
).reshape(2, 4, 4)
SATISFACTION = SATISFACTION.transpose(0, 2, 1)


def test_generalised_cmh_of_job_satisfaction():
    """R, mantelhaen.test on the same data: M2 = 10.2001, 9 degrees of freedom, p = 0.3345."""
    statistic, df, p = cmh_general(SATISFACTION)
    assert (round(statistic, 4), df, round(p, 4)) == (10.2001, 9, 0.3345)


def test_cmh_of_the_berkeley_admissions():
    """R, mantelhaen.test on UCBAdmissions, without correction: X2 = 1.5246 (p = 0.2169)."""
    men = [(512, 313), (353, 207), (120, 205), (138, 279), (53, 138), (22, 351)]
    women = [(89, 19), (17, 8), (202, 391), (131, 244), (94, 299), (24, 317)]
    statistic, df, p = cmh_general(np.array([[a, b] for a, b in zip(men, women, strict=True)]))
    assert (round(statistic, 3), df, round(p, 3)) == (1.525, 1, 0.217)


def test_cmh_of_one_stratum_is_chi2_with_n_minus_1():
    table = np.array([[12, 5, 3], [7, 9, 8]], dtype=float)
    n = table.sum()
    expected = stats.chi2_contingency(table, correction=False).statistic * (n - 1) / n
    assert cmh_general(table[None])[0] == pytest.approx(expected)


def test_row_means_of_one_stratum_is_kruskal_wallis():
    """With midranks as scores the row-mean statistic is that of Kruskal and Wallis, ties corrected."""
    table = np.array([[6, 4, 2], [3, 5, 6], [1, 4, 9]], dtype=float)
    column = table.sum(axis=0)
    ranks = np.cumsum(column) - (column - 1) / 2
    groups = [np.repeat(np.arange(3), row.astype(int)) for row in table]
    statistic, df, _ = cmh_row_means(table[None], ranks)
    assert statistic == pytest.approx(stats.kruskal(*groups).statistic)
    assert df == 2


def test_correlation_of_one_stratum_is_pearsons():
    """Mantel 1963: (n - 1) times the squared correlation of the scores."""
    table = np.array([[6, 4, 2], [3, 5, 6]], dtype=int)
    pairs = [(i, j) for i, j in itertools.product(range(2), range(3)) for _ in range(table[i, j])]
    r = np.corrcoef(np.array(pairs).T)[0, 1]
    assert cmh_correlation(table[None], [0, 1], [0, 1, 2])[0] == pytest.approx((table.sum() - 1) * r * r)


def test_trend_of_malformations_with_alcohol():
    """Agresti 2002, section 3.4: drinking of 32,574 mothers and malformations; M2 = 6.57, P = 0.010."""
    positive, total = [48, 38, 5, 1, 1], [17114, 14502, 793, 127, 38]
    z, p = cochran_armitage(positive, total, [0, 0.5, 1.5, 4, 7])
    assert z * z == pytest.approx(6.57, abs=0.005)
    assert p == pytest.approx(0.010, abs=0.0005)


def test_trend_of_two_groups_is_chi2():
    z, p = cochran_armitage([10, 18], [40, 42])
    chi2 = stats.chi2_contingency([[10, 30], [18, 24]], correction=False)
    assert (z * z, p) == (pytest.approx(chi2.statistic), pytest.approx(chi2.pvalue))


# --- many tests -------------------------------------------------------------------------------------------------------


def test_benjamini_and_hochbergs_own_example():
    """Benjamini and Hochberg 1995, section 3.2: of 15 p-values the procedure rejects 4 at 5 %, Bonferroni 3."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    p += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    found = adjusted(pd.DataFrame({"p": p}))
    assert (found["p_bh"] <= 0.05).sum() == 4
    assert (found["p_holm"] <= 0.05).sum() == 3


def test_adjusted_p_by_their_definitions():
    p = np.array([0.03, np.nan, 0.004, 0.2, 0.011])
    known = np.sort(p[~np.isnan(p)])
    holm = np.maximum.accumulate(known * np.arange(4, 0, -1)).clip(max=1)
    bh = np.minimum.accumulate((known * 4 / np.arange(1, 5))[::-1])[::-1]
    found = adjusted(pd.DataFrame({"p": p})).dropna().sort_values("p")
    np.testing.assert_allclose(found["p_holm"], holm)
    np.testing.assert_allclose(found["p_bh"], bh)


# --- equivalence, effect sizes, mixed models --------------------------------------------------------------------------


def test_equivalence_of_means_by_its_formula():
    """Two one-sided Welch tests, written out; the 90 % interval lies within the margin exactly where they reject."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(10, 2, 30), rng.normal(10.3, 3, 40)
    va, vb = a.var(ddof=1) / 30, b.var(ddof=1) / 40
    df = (va + vb) ** 2 / (va**2 / 29 + vb**2 / 39)
    difference, error = a.mean() - b.mean(), math.sqrt(va + vb)
    for margin in (0.8, 1.5, 3.0):
        found = equivalence_of_means(a, b, margin)
        lower = stats.t.sf((difference + margin) / error, df)
        upper = stats.t.cdf((difference - margin) / error, df)
        assert found["p"] == pytest.approx(max(lower, upper))
        assert found["equivalent"] == (-margin < found["low"] and found["high"] < margin)


def test_equivalence_of_proportions_rejects_where_its_interval_is_inside():
    for margin in (0.1, 0.2, 0.25, 0.3, 0.35):
        found = equivalence_of_proportions((56, 70), (48, 80), margin)
        assert found["difference"] == pytest.approx(0.2)
        assert found["equivalent"] == (-margin < found["low"] and found["high"] < margin), margin


def test_equivalence_at_the_margin_is_claimed_in_5_percent():
    """Two groups that truly differ by the margin are called equivalent in at most 5 % of samples."""
    rng = np.random.default_rng(8)
    claimed = [
        equivalence_of_means(rng.normal(1.0, 1, 40), rng.normal(0, 1, 40), 1.0)["equivalent"] for _ in range(400)
    ]
    assert np.mean(claimed) < 0.085


def test_hedges_g_by_its_exact_correction():
    """Hedges 1981: the exact factor is gamma(m / 2) / (sqrt(m / 2) gamma((m - 1) / 2)); ours is its approximation."""
    a, b = np.array([4.0, 5, 7, 9, 10]), np.array([1.0, 2, 3, 5])
    m = 7
    pooled = math.sqrt((4 * a.var(ddof=1) + 3 * b.var(ddof=1)) / m)
    exact = math.exp(math.lgamma(m / 2) - math.lgamma((m - 1) / 2)) / math.sqrt(m / 2)
    assert hedges_g(a, b)[0] == pytest.approx((a.mean() - b.mean()) / pooled * exact, rel=0.003)


@pytest.mark.parametrize("true", [0.0, 0.8])
def test_coverage_of_the_interval_of_hedges_g(true):
    """Of 1500 samples of 18 and 25 subjects the 95 % interval holds the true effect in 93.5 to 96.5 %."""
    rng, held = np.random.default_rng(12), 0
    for _ in range(1500):
        _, low, high = hedges_g(rng.normal(true, 1, 18), rng.normal(0, 1, 25))
        held += low < true < high
    assert 0.935 < held / 1500 < 0.965


def balanced(seed=1, subjects=12, levels=4):
    rng = np.random.default_rng(seed)
    rows = []
    for s in range(2 * subjects):
        own = rng.normal(0, 2) + (3 if s >= subjects else 0)
        rows += [(f"s{s}", f"L{k}", 20 + k + own + rng.normal(), "B" if s >= subjects else "A") for k in range(levels)]
    return Measured(pd.DataFrame(rows, columns=["subject", "level", "value", "group"]), "h", "vendor", ("A", "B"), 0)


def test_mixed_model_of_a_balanced_design_is_the_comparison_of_subject_means():
    """With all levels in all subjects the group effect is the difference of subject means, its error that of a t-test
    of them.
    """
    data = balanced()
    means = data.frame.groupby(["group", "subject"])["value"].mean()
    a, b = means["A"].to_numpy(), means["B"].to_numpy()
    estimate, low, high, _ = fit_groups(data).differences["B"]
    assert estimate == pytest.approx(b.mean() - a.mean(), rel=1e-6)
    error = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2 * 2 / len(a))
    assert (high - low) / (2 * 1.959964) == pytest.approx(error, rel=1e-3)


def test_mixed_model_is_not_fooled_by_many_vertebrae_per_subject():
    """Without a difference about 5 % of comparisons find one; taking vertebrae as independent finds far more."""
    found, naive = [], []
    for seed in range(30):
        data = balanced(seed, subjects=15, levels=4)
        frame = data.frame.assign(value=data.frame["value"] - 3 * (data.frame["group"] == "B"))
        data = Measured(frame, "h", "vendor", ("A", "B"), 0)
        found.append(fit_groups(data).p < 0.05)
        groups = [frame["value"][frame["group"] == g] for g in ("A", "B")]
        naive.append(stats.ttest_ind(*groups).pvalue < 0.05)
    assert np.mean(found) <= 0.17
    assert np.mean(naive) > 0.2
