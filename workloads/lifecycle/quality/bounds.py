"""Confidence intervals of measures, and of differences between two models on the same rows.

Analytic, by influence functions: each row has a share in a measure's error, and the variance is that of their sums over
independent units. Rows of one entity are one unit, because they are not independent of each other. For an AUC this is
DeLong's method. Leaves out limits, which are the release policy's.
Sources: DeLong et al., "Comparing the areas under two or more correlated receiver operating characteristic curves",
Biometrics 44 (1988); Liang and Zeger, "Longitudinal data analysis using generalized linear models", Biometrika 73
(1986), for the sums over units.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from workloads.lifecycle.quality.measures import calibration_bins, calibration_error, ranking
from workloads.lifecycle.thresholds import Problem

if TYPE_CHECKING:
    import numpy.typing as npt

CONFIDENCE = 0.95
"""Share of samples whose bounds contain the true value."""

_COMPARED_ROWS = 2_000
"""Rows, drawn with a fixed seed, that each row is compared with for the bounds of a concordance."""

_FEWEST_UNITS = 2


@dataclass(frozen=True)
class Estimate:
    """A measure of one sample, and the share of each unit in its error."""

    value: float

    errors: "npt.NDArray[Any]"
    """One number a unit; their sum is the estimate's error, to first order."""

    @classmethod
    def of(cls, value: float, influence: "npt.NDArray[Any]", units: "npt.NDArray[Any]") -> Self:
        """`influence` has one number a row, whose mean is the error; `units` numbers the unit of each row from 0."""
        import numpy as np  # noqa: PLC0415

        return cls(value, np.bincount(units, weights=influence) / len(influence))

    def minus(self, other: "Estimate", *, paired: bool) -> "Estimate":
        """The difference; `paired` when both are of the same units, in the same order."""
        import numpy as np  # noqa: PLC0415

        value = self.value - other.value
        if paired:
            return Estimate(value, self.errors - other.errors)
        return Estimate(value, np.concatenate([self.errors, -other.errors]))

    @property
    def standard_error(self) -> float:
        """In the measure's unit; infinite for a single unit."""
        import numpy as np  # noqa: PLC0415

        count = len(self.errors)
        if count < _FEWEST_UNITS:
            return float("inf")
        centred = self.errors - self.errors.mean()
        return float(np.sqrt((centred**2).sum() * count / (count - 1)))

    def reach(self, comparisons: int = 1) -> float:
        """Half the width of the bounds; wider when the largest of several `comparisons` is looked at (Bonferroni)."""
        from scipy.stats import t  # noqa: PLC0415

        tail = (1 - CONFIDENCE) / 2 / comparisons
        return float(t.ppf(1 - tail, max(1, len(self.errors) - 1))) * self.standard_error

    def bounds(self) -> dict[str, float]:
        """Value, low and high as the release policy reads them."""
        reach = self.reach()
        return {"value": self.value, "low": self.value - reach, "high": self.value + reach}


def units_of(*keys: "npt.NDArray[Any]") -> "npt.NDArray[Any]":
    """The unit of each row, numbered from 0, where rows with equal keys are one unit."""
    import pandas as pd  # noqa: PLC0415

    frame = pd.DataFrame(dict(enumerate(keys)))
    found: npt.NDArray[Any] = frame.groupby(list(frame.columns), sort=False).ngroup().to_numpy()
    return found


def ranking_estimate(
    problem: Problem, labels: "npt.NDArray[Any]", predictions: "npt.NDArray[Any]", units: "npt.NDArray[Any]"
) -> Estimate:
    """AUC, or the concordance of a regression. Raises ValueError when all outcomes are the same."""
    value = ranking(problem, labels, predictions)
    if problem == "binary":
        return Estimate.of(value, _auc_influence(labels, predictions, value), units)
    return Estimate.of(value, _concordance_influence(labels, predictions, value), units)


def mean_estimate(values: "npt.NDArray[Any]", units: "npt.NDArray[Any]") -> Estimate:
    """The mean of one number a row, such as a squared error or a prediction's flag."""
    value = float(values.mean())
    return Estimate.of(value, values - value, units)


def relative_error_estimate(
    labels: "npt.NDArray[Any]", predictions: "npt.NDArray[Any]", units: "npt.NDArray[Any]"
) -> Estimate:
    """Root mean squared error as a share of the outcomes' standard deviation, by the delta method."""
    import numpy as np  # noqa: PLC0415

    squares, spread = (predictions - labels) ** 2, (labels - labels.mean()) ** 2
    error, variance = float(squares.mean()), float(spread.mean())
    value = float(np.sqrt(error / variance))
    if error == 0:
        return Estimate.of(0.0, np.zeros(len(labels)), units)
    return Estimate.of(value, value / 2 * (squares / error - spread / variance), units)


def relative_mean_error_estimate(
    labels: "npt.NDArray[Any]", predictions: "npt.NDArray[Any]", units: "npt.NDArray[Any]"
) -> Estimate:
    """Mean absolute error as a share of the outcomes' standard deviation, by the delta method."""
    import numpy as np  # noqa: PLC0415

    errors, spread = np.abs(predictions - labels), (labels - labels.mean()) ** 2
    deviation = float(np.sqrt(spread.mean()))
    value = float(errors.mean()) / deviation
    return Estimate.of(value, errors / deviation - value - value / 2 * (spread / deviation**2 - 1), units)


def calibration_bounds(
    labels: "npt.NDArray[Any]", predictions: "npt.NDArray[Any]", units: "npt.NDArray[Any]"
) -> dict[str, float]:
    """The calibration error, and between which errors the true one lies; in the outcome's unit.

    A perfectly calibrated model has an error above 0 in any sample, because each bin's gap counts without its sign: the
    mean of a folded normal distribution. Low and high are the true errors for which the measured one would be
    surprisingly high or low, if all bins were equally far off.
    """
    import numpy as np  # noqa: PLC0415

    bins = calibration_bins(predictions)
    spreads = [mean_estimate((predictions - labels)[rows], units_of(units[rows])).standard_error for rows in bins]
    if not np.isfinite(spreads).all():
        spreads = [float((predictions - labels).std())] * len(bins)
    weights = np.array([len(rows) for rows in bins]) / len(labels)
    noise = np.array(spreads)
    value = calibration_error(labels, predictions)
    wobble = float(np.sqrt((weights**2 * noise**2).sum())) * _normal_quantile()
    return {
        "value": value,
        "low": _true_error(max(0.0, value - wobble), weights, noise),
        "high": _true_error(value + wobble, weights, noise),
    }


def _true_error(measured: float, weights: "npt.NDArray[Any]", noise: "npt.NDArray[Any]") -> float:
    """The gap of every bin for which `measured` is the expected calibration error; 0 where noise alone explains it."""
    import numpy as np  # noqa: PLC0415
    from scipy.optimize import brentq  # noqa: PLC0415
    from scipy.special import erf  # noqa: PLC0415

    spread = noise.clip(min=1e-12) * np.sqrt(2)

    def expected(gap: float) -> float:
        share = gap / spread
        return float((weights * (spread / np.sqrt(np.pi) * np.exp(-(share**2)) + gap * erf(share))).sum())

    if expected(0.0) >= measured:
        return 0.0
    return float(brentq(lambda gap: expected(gap) - measured, 0.0, measured + 1e-9))


def _normal_quantile() -> float:
    from scipy.stats import norm  # noqa: PLC0415

    return float(norm.ppf((1 + CONFIDENCE) / 2))


def _auc_influence(labels: "npt.NDArray[Any]", scores: "npt.NDArray[Any]", value: float) -> "npt.NDArray[Any]":
    """Of each row, by midranks: the share of rows with the other outcome that it is on the right side of."""
    import numpy as np  # noqa: PLC0415
    from scipy.stats import rankdata  # noqa: PLC0415

    ones = labels == 1
    many, few = int(ones.sum()), int((~ones).sum())
    whole, influence = rankdata(scores), np.empty(len(labels))
    influence[ones] = ((whole[ones] - rankdata(scores[ones])) / few - value) * len(labels) / many
    influence[~ones] = (1 - (whole[~ones] - rankdata(scores[~ones])) / many - value) * len(labels) / few
    return influence


def _concordance_influence(
    labels: "npt.NDArray[Any]", predictions: "npt.NDArray[Any]", value: float
) -> "npt.NDArray[Any]":
    """Of each row, by the pairs that it makes with a sample of the others: right ones less the expected share."""
    import numpy as np  # noqa: PLC0415

    others = np.arange(len(labels))
    if len(others) > _COMPARED_ROWS:
        others = np.random.default_rng(0).choice(others, _COMPARED_ROWS, replace=False)
    surplus, pairs = np.empty(len(labels)), np.empty(len(labels))
    for start in range(0, len(labels), 1_000):
        rows = slice(start, start + 1_000)
        order = np.sign(labels[rows, None] - labels[None, others])
        guessed = np.sign(predictions[rows, None] - predictions[None, others])
        pairs[rows] = (order != 0).sum(axis=1)
        surplus[rows] = ((order * guessed + 1) / 2 * (order != 0)).sum(axis=1) - value * pairs[rows]
    influence: npt.NDArray[Any] = 2 * surplus / pairs.mean()
    return influence
