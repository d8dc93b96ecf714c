"""A small cohort made by hand, and a larger one of phantoms."""

import pandas as pd
import pytest

from verse_morph.io.participants import check_participants
from verse_morph.stats.cohorts import phantom_cohort


@pytest.fixture(scope="session")
def phantoms() -> pd.DataFrame:
    return phantom_cohort(120, seed=1)


@pytest.fixture
def people():
    """``people(column=[...])``: a checked table of as many scans."""

    def make(**columns):
        n = len(next(iter(columns.values()))) if columns else 0
        return check_participants(pd.DataFrame({"scan": [f"sub-p{i}" for i in range(n)], **columns}))

    return make
