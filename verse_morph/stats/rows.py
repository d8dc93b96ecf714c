"""What every row about a test says, whatever the test: n, what is missing, the method, and a plain sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

TEST_COLUMNS = (
    "analysis",
    "outcome",
    "by",
    "contrast",
    "n",
    "n_missing",
    "statistic",
    "df",
    "p",
    "effect",
    "effect_name",
    "effect_low",
    "effect_high",
    "why",
    "method",
    "sentence",
)


def as_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of tests as a table; numbers that a test does not have stay empty."""
    import pandas as pd

    text = dict.fromkeys(("contrast", "effect_name", "why"), "")
    made = pd.DataFrame([text | dict(row) for row in rows], columns=list(TEST_COLUMNS))
    numbers = ["statistic", "df", "p", "effect", "effect_low", "effect_high"]
    return made.astype(dict.fromkeys(numbers, "float64"))


def p_text(p: float) -> str:
    """A p-value for a sentence.

    >>> p_text(0.0421), p_text(0.00001)
    ('p = 0.042', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def not_tested(row: Mapping[str, Any], why: str) -> dict[str, Any]:
    """A row that says why nothing was tested; it is kept, so that nobody takes silence for no difference."""
    name = f"{row['outcome']} by {row['by']}" + (f" ({row['contrast']})" if row.get("contrast") else "")
    return dict(row) | {"why": why, "method": "not tested", "sentence": f"{name}: not tested, {why}."}
