"""Differences between the groups of protected attributes, and the grouping itself."""

from itertools import combinations
from typing import TYPE_CHECKING, Any

from workloads.lifecycle.quality.bounds import Estimate, mean_estimate, ranking_estimate, units_of
from workloads.lifecycle.quality.measures import ranking
from workloads.lifecycle.schema import Group
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

MIN_GROUP_ROWS = 100
"""Groups with fewer rows are not compared: their rates are noise."""

MIN_RANKING_ROWS = 250
"""The same for the ranking within a group: the standard error of an AUC is 0.04 at this size."""


def groups(workload: Workload, frame: "pd.DataFrame") -> "dict[str, pd.Series[str]]":
    """The group of every row, per protected attribute."""
    return {group.attribute: _grouped(frame[group.column], group) for group in workload.groups}


def bias_gaps(
    workload: Workload, frame: "pd.DataFrame", scores: "npt.NDArray[Any]"
) -> dict[str, dict[str, float | None]]:
    """Largest difference between groups with enough rows, per attribute; `frame` holds labels and attributes.

    For a binary problem, `demographic_parity` compares the share predicted to be 1, and `equal_opportunity` the share
    of those with outcome 0 that is predicted to be 0. Both use the threshold that predicts as many ones as there are,
    so that the base rate cancels out. For a regression, `demographic_parity` compares the mean prediction and
    `equal_opportunity` the mean error, both as shares of the range of outcomes. `ranking` compares AUC or concordance
    within groups; a feature that is broken for one group shows here. None where fewer than two groups can be compared.
    """
    import numpy as np  # noqa: PLC0415

    labels = frame[workload.outcome.label].to_numpy()
    treatment, error = _flags(labels, scores) if workload.problem == "binary" else _levels(workload, labels, scores)

    def gaps(group: "npt.NDArray[Any]") -> dict[str, float | None]:
        names, counts = np.unique(group, return_counts=True)
        kept = [group == name for name, count in zip(names, counts, strict=True) if count >= MIN_GROUP_ROWS]
        large = [rows for rows in kept if rows.sum() >= MIN_RANKING_ROWS and len(set(labels[rows])) > 1]
        judged = [error[rows & ~np.isnan(error)] for rows in kept]
        return {
            "demographic_parity": _spread([float(treatment[rows].mean()) for rows in kept]),
            "equal_opportunity": _spread([float(values.mean()) for values in judged if len(values)]),
            "ranking": _spread([ranking(workload.problem, labels[rows], scores[rows]) for rows in large]),
            "groups": len(kept),
        }

    return {name: gaps(group.to_numpy()) for name, group in groups(workload, frame).items()}


def group_bounds(
    workload: Workload, frame: "pd.DataFrame", scores: "npt.NDArray[Any]", units: "npt.NDArray[Any]"
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Every pair of groups with enough rows, per attribute and kind of gap; the bounds hold for all pairs at once.

    A pair names its groups with their rows; `share` is the smaller group's share of all rows. A list is empty where
    fewer than two groups have enough rows. See `bias_gaps` for the kinds.
    """
    import numpy as np  # noqa: PLC0415

    labels = frame[workload.outcome.label].to_numpy()
    treatment, error = _flags(labels, scores) if workload.problem == "binary" else _levels(workload, labels, scores)

    def rate(values: "npt.NDArray[Any]", rows: "npt.NDArray[Any]") -> Estimate | None:
        judged = rows & ~np.isnan(values)
        return mean_estimate(values[judged], units_of(units[judged])) if judged.any() else None

    def ranked(rows: "npt.NDArray[Any]") -> Estimate | None:
        if rows.sum() < MIN_RANKING_ROWS or len(set(labels[rows])) == 1:
            return None
        return ranking_estimate(workload.problem, labels[rows], scores[rows], units_of(units[rows]))

    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for attribute, series in groups(workload, frame).items():
        group = series.to_numpy()
        names, counts = np.unique(group, return_counts=True)
        kept = {
            f"{name} ({count} rows)": group == name
            for name, count in zip(names, counts, strict=True)
            if count >= MIN_GROUP_ROWS
        }
        found[attribute] = {
            "demographic_parity": _pairs({name: rate(treatment, rows) for name, rows in kept.items()}, kept),
            "equal_opportunity": _pairs({name: rate(error, rows) for name, rows in kept.items()}, kept),
            "ranking": _pairs({name: ranked(rows) for name, rows in kept.items()}, kept),
        }
    return found


def _pairs(estimates: dict[str, Estimate | None], rows: "dict[str, npt.NDArray[Any]]") -> list[dict[str, Any]]:
    """The gaps of all pairs; their bounds are wider the more pairs there are, because the largest is looked for."""
    known = {name: estimate for name, estimate in estimates.items() if estimate is not None}
    pairs = list(combinations(known, 2))
    found = []
    for one, other in pairs:
        difference = known[one].minus(known[other], paired=False)
        gap, reach = abs(difference.value), difference.reach(len(pairs))
        share = min(float(rows[one].mean()), float(rows[other].mean()))
        found.append(
            {"groups": f"{one} and {other}", "share": share, "value": gap, "low": gap - reach, "high": gap + reach}
        )
    return found


def _flags(labels: "npt.NDArray[Any]", scores: "npt.NDArray[Any]") -> "tuple[npt.NDArray[Any], npt.NDArray[Any]]":
    """Rows predicted to be 1, and rows with outcome 0 predicted to be 0; NaN in the second where the outcome is 1."""
    import numpy as np  # noqa: PLC0415

    flagged = scores > np.quantile(scores, 1 - labels.mean())
    return flagged, np.where(labels == 0, 1.0 - flagged, np.nan)


def _levels(
    workload: Workload, labels: "npt.NDArray[Any]", scores: "npt.NDArray[Any]"
) -> "tuple[npt.NDArray[Any], npt.NDArray[Any]]":
    """Predictions and their errors, as shares of the range of outcomes."""
    span = workload.outcome.highest - workload.outcome.lowest
    return scores / span, (scores - labels) / span


def _grouped(values: "pd.Series[Any]", group: Group) -> "pd.Series[str]":
    import pandas as pd  # noqa: PLC0415

    if group.edges:
        return pd.cut(values, list(group.edges)).astype(str)
    if group.other_value is not None:
        values = values.where(values.isin(group.kept_values), group.other_value)
    return values.astype(str)


def _spread(values: list[float]) -> float | None:
    """The largest difference; None of fewer than two values, which is no difference of 0."""
    return max(values) - min(values) if len(values) > 1 else None
