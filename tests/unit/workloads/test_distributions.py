"""Distributions of features for people: bins, categories, and values that are missing."""

import numpy as np
import pandas as pd
import pytest

from workloads.lifecycle.monitoring.distributions import BINS, CATEGORIES, measure
from workloads.loan_default.definition import LOAN_DEFAULT

from .pumps import PUMPS

TEXTS = [feature.name for feature in PUMPS.inputs if feature.type == "string"]


def frame(**columns):
    """Rows of loans; features that are not given are 1."""
    rows = len(next(iter(columns.values())))
    return pd.DataFrame({name: columns.get(name, np.ones(rows)) for name in LOAN_DEFAULT.features})


def income(current, expected):
    return measure(LOAN_DEFAULT, frame(Income=current), frame(Income=expected)).features["Income"]


def test_same_rows_have_the_same_distribution():
    rows = np.linspace(0, 100, 500)
    found = income(rows, rows)
    assert found.reference == found.current
    assert len(found.bins) == BINS


def test_outlier_does_not_hide_the_shape():
    rows = np.append(np.linspace(0, 100, 2000), 1e9)
    assert sum(share > 0.01 for share in income(rows, rows).reference) > BINS / 2


def test_constant_column_has_one_bin():
    assert max(income(np.ones(10), np.ones(10)).reference) == 1


@pytest.mark.parametrize("empty", [[np.nan, np.nan], []])
def test_column_without_a_value_has_no_mean_and_no_share(empty):
    found = income(np.array(empty, dtype=float), np.array([1.0, 2.0]))
    assert (found.current_mean, sum(found.current)) == (None, 0)


def test_rare_categories_share_the_last_bin():
    rows = 2 * CATEGORIES
    then = pd.DataFrame({name: np.ones(rows) for name in PUMPS.features})
    then[TEXTS[0]] = [f"kind {index}" for index in range(rows)]
    now = then.assign(**{TEXTS[0]: "new"})
    found = measure(PUMPS, now, then).features[TEXTS[0]]
    assert found.bins[-1] == "others"
    assert (found.reference[-1], found.current[-1]) == (0.5, 1.0)
    assert found.reference_mean is None
