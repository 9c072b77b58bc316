"""Quality of predictions against known outcomes, chosen by the workload's problem.

`binary` predictions are probabilities that the outcome is 1; `regression` predictions are in the outcome's unit. Leaves
out groups, see `groups`, and limits, which are the release policy's.
"""

from typing import TYPE_CHECKING, Any

from workloads.lifecycle.thresholds import Problem

if TYPE_CHECKING:
    import numpy.typing as npt

CALIBRATION_BINS = 10

RANKING = {"binary": "auc", "regression": "concordance"}
"""Name of the measure of ranking; the two are equal for outcomes of 0 and 1."""

RANKING_TITLES = {"binary": "AUC", "regression": "concordance"}
"""The same for people."""


def measured(problem: Problem, labels: "npt.NDArray[Any]", predictions: "npt.NDArray[Any]") -> dict[str, float]:
    """Every measure of a problem, by name."""
    match problem:
        case "binary":
            return _binary(labels, predictions)
        case "regression":
            return _regression(labels, predictions)


def ranking(problem: Problem, labels: "npt.NDArray[Any]", predictions: "npt.NDArray[Any]") -> float:
    """Share of pairs with different outcomes that the predictions put in the right order; 0.5 is chance.

    Raises ValueError when all outcomes are the same.
    """
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415

    return float(roc_auc_score(labels, predictions)) if problem == "binary" else concordance(labels, predictions)


def concordance(labels: "npt.NDArray[Any]", predictions: "npt.NDArray[Any]") -> float:
    """Concordance index: a pair with equal predictions counts half. Raises ValueError when all outcomes are the same.

    Source: Harrell et al., "Evaluating the yield of medical tests", JAMA 247 (1982); without censoring it is an affine
    function of Kendall's tau, which SciPy computes in n log n.
    """
    import numpy as np  # noqa: PLC0415
    from scipy.stats import kendalltau  # noqa: PLC0415

    pairs, tied_labels, tied_predictions = _pairs(len(labels)), _tied_pairs(labels), _tied_pairs(predictions)
    untied = pairs - tied_labels
    if untied == 0:
        raise ValueError("all outcomes are the same: there is nothing to rank")
    if tied_predictions == pairs:
        return 0.5
    tau = float(kendalltau(labels, predictions, method="asymptotic").statistic)
    surplus = tau * float(np.sqrt(untied) * np.sqrt(pairs - tied_predictions))
    return (surplus / untied + 1) / 2


def calibration_error(labels: "npt.NDArray[Any]", predictions: "npt.NDArray[Any]") -> float:
    """Gap between mean prediction and mean outcome, averaged over bins of equally many rows; in the outcome's unit."""
    bins = calibration_bins(predictions)
    gaps = [abs(float(predictions[rows].mean() - labels[rows].mean())) * len(rows) for rows in bins]
    return sum(gaps) / len(labels)


def calibration_bins(predictions: "npt.NDArray[Any]") -> "list[npt.NDArray[Any]]":
    """Places of the rows of each bin, by ascending prediction."""
    import numpy as np  # noqa: PLC0415

    order = np.argsort(predictions, kind="stable")
    return [rows for rows in np.array_split(order, CALIBRATION_BINS) if len(rows)]


def _binary(labels: "npt.NDArray[Any]", probabilities: "npt.NDArray[Any]") -> dict[str, float]:
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss  # noqa: PLC0415

    return {
        "auc": ranking("binary", labels, probabilities),
        "brier": float(brier_score_loss(labels, probabilities)),
        "log_loss": float(log_loss(labels, probabilities)),
        "average_precision": float(average_precision_score(labels, probabilities)),
        "calibration_error": calibration_error(labels, probabilities),
        "base_rate": float(labels.mean()),
    }


def _regression(labels: "npt.NDArray[Any]", predictions: "npt.NDArray[Any]") -> dict[str, float]:
    """Errors in the outcome's unit; those that begin with `relative` as shares of the outcomes' standard deviation."""
    from sklearn.metrics import mean_absolute_error, root_mean_squared_error  # noqa: PLC0415

    deviation = float(labels.std())
    error = float(root_mean_squared_error(labels, predictions))
    mean_error = float(mean_absolute_error(labels, predictions))
    calibration = calibration_error(labels, predictions)
    return {
        "rmse": error,
        "mae": mean_error,
        "concordance": concordance(labels, predictions),
        "calibration_error": calibration,
        "mean_error": float(predictions.mean() - labels.mean()),
        "mean_outcome": float(labels.mean()),
        "relative_error": error / deviation,
        "relative_mean_error": mean_error / deviation,
        "relative_calibration_error": calibration / deviation,
    }


def _pairs(rows: int) -> int:
    return rows * (rows - 1) // 2


def _tied_pairs(values: "npt.NDArray[Any]") -> int:
    import numpy as np  # noqa: PLC0415

    return sum(_pairs(int(count)) for count in np.unique(values, return_counts=True)[1])
