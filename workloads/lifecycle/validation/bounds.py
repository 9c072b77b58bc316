"""Bounds of a run's measures on held-out rows: of the model itself, and against the champion on the same rows."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from workloads.lifecycle.quality.bounds import (
    Estimate,
    calibration_bounds,
    mean_estimate,
    ranking_estimate,
    relative_error_estimate,
    relative_mean_error_estimate,
    units_of,
)
from workloads.lifecycle.quality.groups import group_bounds
from workloads.lifecycle.quality.measures import RANKING
from workloads.lifecycle.thresholds import Problem
from workloads.lifecycle.training.bundle import Scorer
from workloads.lifecycle.training.train import Split
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

_FEWEST_SETTLED = 100
"""Rows below which bounds of a ranking say nothing."""

Bounds = dict[str, float]
"""Value, low and high."""


@dataclass(frozen=True)
class Judged:
    """One model on some rows: what the bounds of its measures come from."""

    problem: Problem
    labels: "npt.NDArray[Any]"
    predictions: "npt.NDArray[Any]"
    units: "npt.NDArray[Any]"

    @classmethod
    def of(cls, workload: Workload, frame: "pd.DataFrame", predictions: "npt.NDArray[Any]") -> Self:
        """Rows of one entity are one unit."""
        labels = frame[workload.outcome.label].to_numpy(dtype=float)
        return cls(workload.problem, labels, predictions, units_of(*(frame[key].to_numpy() for key in workload.keys)))

    def ranking(self) -> Estimate:
        """AUC, or concordance."""
        return ranking_estimate(self.problem, self.labels, self.predictions, self.units)

    def compared(self) -> dict[str, Estimate]:
        """What is compared with the champion, by fact."""
        found = {f"test_{RANKING[self.problem]}": self.ranking()}
        if self.problem == "regression":
            rows = self.labels, self.predictions, self.units
            found |= {
                "test_relative_error": relative_error_estimate(*rows),
                "test_relative_mean_error": relative_mean_error_estimate(*rows),
            }
        return found

    def bounds(self) -> dict[str, Bounds]:
        """Bounds of everything that has a limit of its own, by fact."""
        found = {fact: estimate.bounds() for fact, estimate in self.compared().items()}
        calibration = calibration_bounds(self.labels, self.predictions, self.units)
        if self.problem == "regression":
            deviation = float(self.labels.std())
            relative = {end: value / deviation for end, value in calibration.items()}
            return found | {"test_relative_calibration_error": relative}
        brier = mean_estimate((self.predictions - self.labels) ** 2, self.units)
        return found | {"test_calibration_error": calibration, "test_brier": brier.bounds()}


def measured_bounds(
    workload: Workload,
    parts: Split,
    *,
    learnt: "npt.NDArray[Any]",
    candidate: "npt.NDArray[Any]",
    champion: "npt.NDArray[Any] | None",
    champion_rows: int | None,
) -> dict[str, Any]:
    """The bounds of a run, but for those on known rows.

    `learnt` are the candidate's predictions of the rows that it learnt from; `candidate` and `champion` of the held-out
    rows. `champion_rows`: rows that the champion learnt from, None where nobody knows.
    """
    held_out = Judged.of(workload, parts.test, candidate)
    gap = Judged.of(workload, parts.train, learnt).ranking().minus(held_out.ranking(), paired=False)
    return {
        "rows": len(parts.train) + len(parts.test),
        "learnt_rows": len(parts.train),
        "judged_rows": len(parts.test),
        "judged_units": len(set(held_out.units.tolist())),
        "champion_learnt_rows": champion_rows,
        "candidate": held_out.bounds(),
        "train_gap": gap.bounds(),
        "champion": None if champion is None else losses(workload, parts.test, candidate, champion),
        "groups": group_bounds(workload, parts.test, candidate, held_out.units),
    }


@dataclass(frozen=True)
class Former:
    """A version that became the champion while the outcomes of a window arrived."""

    version: str

    since: datetime
    """When it was promoted."""

    scorer: Scorer


def settled_losses(
    workload: Workload, frame: "pd.DataFrame", delivered: "pd.Series[Any]", candidate: "npt.NDArray[Any]", than: Former
) -> dict[str, Any] | None:
    """How much worse the candidate is than a former champion on the rows whose outcomes were known at its promotion.

    And on all rows, which say whether the world has changed. `delivered` has the day of each row's outcome, null where
    nobody delivered it. None where too few rows were known.
    """
    known = (delivered.loc[frame.index] + timedelta(days=1) <= than.since).to_numpy()
    label = frame[workload.outcome.label]
    if known.sum() < _FEWEST_SETTLED or label[known].nunique() < len((0, 1)):
        return None
    theirs = than.scorer.score(than.scorer.inputs(frame)).astype(float)
    return {
        "version": than.version,
        "rows": int(known.sum()),
        "settled": losses(workload, frame[known], candidate[known], theirs[known]),
        "window": losses(workload, frame, candidate, theirs),
    }


def losses(
    workload: Workload, frame: "pd.DataFrame", candidate: "npt.NDArray[Any]", champion: "npt.NDArray[Any]"
) -> dict[str, Bounds]:
    """How much worse the candidate is than the champion on the same rows, by fact; below 0 where it is better."""
    mine = Judged.of(workload, frame, candidate).compared()
    theirs = Judged.of(workload, frame, champion).compared()
    ranked = f"test_{RANKING[workload.problem]}"
    found = {fact: mine[fact].minus(theirs[fact], paired=True) for fact in mine}
    found[ranked] = theirs[ranked].minus(mine[ranked], paired=True)  # of a ranking, more is better
    return {fact: loss.bounds() for fact, loss in found.items()}
