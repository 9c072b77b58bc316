"""Distribution of each feature in the reference and in the captured rows, over the same bins, for people who look."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

BINS = 16
TAIL = 0.005
"""Share of the rows at each end that falls into the outermost bins: one outlier must not hide the shape."""

CATEGORIES = 12
"""Most common categories of the reference that have a bin of their own; the others share the last bin."""


class Distribution(BaseModel):
    """One feature, by bins."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    bins: tuple[str, ...]
    """What each bin holds, for people: `18 to 22` or a category."""

    reference: tuple[float, ...]
    """Share of the training rows by bin; they sum up to 1, or are all 0 where no row has a value."""

    current: tuple[float, ...]
    """Share of the captured rows by bin."""

    reference_mean: float | None
    """Mean of the training rows' numbers; None for a category or without a value."""

    current_mean: float | None


class Distributions(BaseModel):
    """Every feature of a workload."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    features: dict[str, Distribution]


def measure(workload: Workload, current: "pd.DataFrame", expected: "pd.DataFrame") -> Distributions:
    """The distributions of both frames, which have a column per feature."""
    categories = {feature.name for feature in workload.inputs if feature.type == "string"}
    return Distributions(
        features={
            name: (_categories if name in categories else _numbers)(expected[name], current[name])
            for name in workload.features
        }
    )


def _numbers(expected: "pd.Series[Any]", current: "pd.Series[Any]") -> Distribution:
    import numpy as np  # noqa: PLC0415

    then, now = (values.astype("float64").dropna().to_numpy() for values in (expected, current))
    both = np.concatenate([then, now])
    low, high = np.quantile(both, [TAIL, 1 - TAIL]) if len(both) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    counts = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for values in (then, now)]
    return Distribution(
        bins=tuple(f"{left:.4g} to {right:.4g}" for left, right in pairwise(edges)),
        reference=_shares(counts[0]),
        current=_shares(counts[1]),
        reference_mean=_mean(then),
        current_mean=_mean(now),
    )


def _categories(expected: "pd.Series[Any]", current: "pd.Series[Any]") -> Distribution:
    then, now = (values.dropna().astype(str) for values in (expected, current))
    common = list(then.value_counts().index[:CATEGORIES])
    bins = [*common, "others"]
    counts = []
    for values in (then, now):
        named = [int((values == name).sum()) for name in common]
        counts.append([*named, len(values) - sum(named)])
    return Distribution(
        bins=tuple(bins),
        reference=_shares(counts[0]),
        current=_shares(counts[1]),
        reference_mean=None,
        current_mean=None,
    )


def _shares(counts: Any) -> tuple[float, ...]:
    total = float(sum(counts))
    return tuple(round(float(count) / total, 4) if total else 0.0 for count in counts)


def _mean(values: Any) -> float | None:
    mean = float(values.mean()) if len(values) else math.nan
    return mean if math.isfinite(mean) else None
