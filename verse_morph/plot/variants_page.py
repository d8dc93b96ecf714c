"""One self-contained HTML page of a study of variants: figures inside, no network needed."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 60
# What a table of shares shows of the columns of `stats.prevalence`, and under which words.
SHARE_COLUMNS: Mapping[str, str] = {
    "label": "variant",
    "group": "group",
    "positive": "positive",
    "n": "n",
    "share_pct": "%",
    "wilson_low_pct": "95 % from",
    "wilson_high_pct": "to",
    "exact_low_pct": "exact from",
    "exact_high_pct": "to ",
    "n_missing": "not recorded",
    "n_not_in_view": "not in view",
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1em; color: #1c1c1c; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; border-bottom: 1px solid #ccc; }
.warning { border-left: 5px solid #d55e00; background: #fdf1ea; padding: .6em 1em; }
img { max-width: 100%; } table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; }
td, th { padding: .2em .6em; border-bottom: 1px solid #e2e2e2; text-align: right; }
td:first-child, th:first-child { text-align: left; } .note { color: #555; font-size: 13px; }
"""


def page(title: str, warning: str, sections: Iterable[tuple[str, str]]) -> str:
    """The text of the page.

    Parameters
    ----------
    title, warning : str
        The warning stands above everything; empty where there is none.
    sections : iterable of (heading, html)
    """
    parts = [f"<h1>{escape(title)}</h1>"]
    if warning:
        parts.append(f'<p class="warning"><strong>Read this first.</strong> {escape(warning)}</p>')
    parts += [f"<h2>{escape(heading)}</h2>\n{html}" for heading, html in sections]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def figure_html(svg: str, words: str) -> str:
    """A figure inside the page; ``words`` for those who do not see it."""
    data = base64.b64encode(svg.encode("utf-8")).decode("ascii")
    return f'<img alt="{escape(words)}" src="data:image/svg+xml;base64,{data}">'


def table_html(frame: pd.DataFrame, names: Mapping[str, str] | None = None) -> str:
    """A table of the page, at most 60 rows; numbers with one digit, missing ones as a dash."""
    shown = frame.head(MOST_ROWS).rename(columns=dict(names or {}))
    text = str(shown.to_html(index=False, border=0, na_rep="-", float_format=lambda value: f"{value:.1f}"))
    more = len(frame) - len(shown)
    return text + (f'<p class="note">{more} more rows in the CSV.</p>' if more > 0 else "")


def shares_html(shares: pd.DataFrame) -> str:
    """Shares of variants as a table of the page, of the columns that there are."""
    kept = [name for name in SHARE_COLUMNS if name in shares.columns]
    return table_html(shares[kept], SHARE_COLUMNS)


def sentences_html(sentences: Iterable[str]) -> str:
    """Sentences as a list."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in sentences) + "</ul>"


def paragraphs_html(text: str) -> str:
    """Paragraphs, separated by empty lines in the text."""
    return "".join(f"<p>{escape(part)}</p>" for part in text.strip().split("\n\n"))
