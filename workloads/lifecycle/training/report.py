"""What a person looks at after a training: the model card and the plots."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.lifecycle.base.settings import TrainingSettings
from workloads.lifecycle.ingestion.ingest import Ingested
from workloads.lifecycle.quality.measures import calibration_bins
from workloads.lifecycle.training.estimators import chosen
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECISION_THRESHOLD = 0.5
GENERATED = "generator("
"""Stands in the source of data that ingestion generated."""


def model_card(workload: Workload, data: Ingested, metrics: dict[str, float], settings: TrainingSettings) -> str:
    """Markdown: what the model is for, what it was trained on, how good it is, and where it must not be used."""
    rows = "\n".join(f"| {name} | {value:.4f} |" for name, value in sorted(metrics.items()))
    derived = workload.derive.partition(":")[0].replace(".", "/")
    return f"""# {workload.model_name}

Predicts {workload.description[0].lower()}{workload.description[1:]}

- Inputs: {", ".join(workload.features)} (derived, see `{derived}.py`).
- Model: gradient boosting ({chosen(workload, settings).kind}), {settings.trees} trees, rate {settings.learning_rate},
  depth {settings.depth}.
- Seed: {settings.seed}, for the split and the trees.
- Data: {data.source}, {data.rows} rows, content hash `{data.data_hash}`.
{_groups(workload)}
| metric on held-out rows | value |
|---|---|
{rows}

{_limits(workload, data)}
"""


def _groups(workload: Workload) -> str:
    if not workload.groups:
        return "- No groups are compared.\n"
    hidden = f"Protected attributes ({', '.join(workload.attributes)}) are no inputs; " if workload.attributes else ""
    names = [f"{group.attribute} band" if group.edges else group.attribute for group in workload.groups]
    text = f"{hidden}bias is checked by {' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))}.\n"
    return f"- {text[0].upper()}{text[1:]}"


def _limits(workload: Workload, data: Ingested) -> str:
    if GENERATED in data.source:
        return (
            "Limits: the rows are generated and describe nothing real. The model shows that the platform works; its\n"
            "metrics say nothing about the real world. Not for any decision."
        )
    return f"Limits: {workload.limits}" if workload.limits else "Limits: the definition names none."


def plots(
    folder: Path,
    workload: Workload,
    labels: "npt.NDArray[Any]",
    predictions: "npt.NDArray[Any]",
    importances: "npt.NDArray[Any]",
) -> None:
    """Write `calibration.png`, `importance.png`, and what fits the problem.

    `roc.png` and `confusion.png` for a binary one, `residuals.png` for a regression.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = [_importance(workload, importances)]
    if workload.problem == "binary":
        made += [_roc(labels, predictions), _calibration(workload, labels, predictions)]
        made += [_confusion(workload, labels, predictions)]
    else:
        made += [_calibration(workload, labels, predictions), _residuals(workload, labels, predictions)]
    for each in made:
        each.savefig(folder / f"{each.get_label()}.png", dpi=110)


def _figure(name: str, title: str, x_label: str, y_label: str) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure  # noqa: PLC0415  one second of imports

    made = Figure(figsize=(5, 4), layout="constrained")
    axes = made.add_subplot(title=title, xlabel=x_label, ylabel=y_label)
    made.set_label(name)
    return made, axes


def _roc(labels: "npt.NDArray[Any]", probabilities: "npt.NDArray[Any]") -> "Figure":
    from sklearn.metrics import roc_auc_score, roc_curve  # noqa: PLC0415

    false_rate, true_rate, _ = roc_curve(labels, probabilities)
    roc, axes = _figure("roc", "ROC on held-out rows", "false positive rate", "true positive rate")
    axes.plot(false_rate, true_rate, label=f"AUC {roc_auc_score(labels, probabilities):.4f}")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.legend(loc="lower right")
    return roc


def _calibration(workload: Workload, labels: "npt.NDArray[Any]", predictions: "npt.NDArray[Any]") -> "Figure":
    bins = calibration_bins(predictions)
    predicted, observed = ([float(values[rows].mean()) for rows in bins] for values in (predictions, labels))
    what = f"rate of {workload.outcome.classes[1]}" if workload.problem == "binary" else workload.outcome.unit
    calibration, axes = _figure("calibration", "Calibration by decile", f"predicted: {what}", f"observed: {what}")
    axes.plot(predicted, observed, marker="o")
    ends = [min(predicted + observed), max(predicted + observed)]
    axes.plot(ends, ends, color="grey", linestyle=":")
    return calibration


def _confusion(workload: Workload, labels: "npt.NDArray[Any]", probabilities: "npt.NDArray[Any]") -> "Figure":
    from sklearn.metrics import confusion_matrix  # noqa: PLC0415

    counts = confusion_matrix(labels, probabilities >= DECISION_THRESHOLD)
    confusion, axes = _figure("confusion", f"Confusion at {DECISION_THRESHOLD}", "predicted", "observed")
    axes.imshow(counts, cmap="Blues")
    axes.set_xticks([0, 1], list(workload.outcome.classes))
    axes.set_yticks([0, 1], list(workload.outcome.classes))
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            axes.text(column, row, f"{count}", ha="center", color="white" if count > counts.max() / 2 else "black")
    return confusion


def _residuals(workload: Workload, labels: "npt.NDArray[Any]", predictions: "npt.NDArray[Any]") -> "Figure":
    unit = workload.outcome.unit
    residuals, axes = _figure("residuals", "Residuals on held-out rows", f"predicted, {unit}", f"too high by, {unit}")
    axes.scatter(predictions, predictions - labels, s=3, alpha=0.3)
    axes.axhline(0, color="grey", linestyle=":")
    return residuals


def _importance(workload: Workload, importances: "npt.NDArray[Any]") -> "Figure":
    importance, axes = _figure("importance", "Importance (impurity)", "share", "")
    axes.barh(list(workload.features), importances)
    return importance
