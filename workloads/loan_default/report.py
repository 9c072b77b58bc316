"""What a person looks at after a training: the model card and four plots."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.loan_default import FEATURES
from workloads.loan_default.ingestion import Ingested
from workloads.loan_default.settings import TrainingSettings

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

DECISION_THRESHOLD = 0.5
GENERATED = "generator("
"""Begins the source of data that ingestion generated."""
_BINS = 10


def model_card(data: Ingested, metrics: dict[str, float], settings: TrainingSettings) -> str:
    """Markdown: what the model is for, what it was trained on, how good it is, and where it must not be used."""
    rows = "\n".join(f"| {name} | {value:.4f} |" for name, value in sorted(metrics.items()))
    return f"""# loan-default-model

Predicts the probability that a credit card customer defaults in the month after the last statement.

- Inputs: {", ".join(FEATURES)} (derived, see `workloads/loan_default/derivation.py`).
- Model: gradient boosting ({settings.estimator.kind}), {settings.trees} trees, rate {settings.learning_rate},
  depth {settings.depth}.
- Seed: {settings.seed}, for the split and the trees.
- Data: {data.source}, {data.rows} rows, content hash `{data.data_hash}`.
- Protected attributes (SEX, EDUCATION, MARRIAGE) are no inputs; bias is checked by SEX, AGE band and EDUCATION.

| metric on held-out rows | value |
|---|---|
{rows}

{_limits(data)}
"""


def _limits(data: Ingested) -> str:
    if data.source.startswith(GENERATED):
        return (
            "Limits: the rows are generated and describe no real person. The model shows that the platform works; its\n"
            "metrics say nothing about real customers. Not for any decision about people."
        )
    return (
        "Limits: the original data describes Taiwanese card holders of 2005; `Income`, `CreditScore` and\n"
        "`NumOpenAccounts` are estimates from statements, not observations. Not for decisions without a person, not\n"
        "for other populations, not for pricing."
    )


def plots(
    folder: Path, labels: "npt.NDArray[Any]", probabilities: "npt.NDArray[Any]", importances: "npt.NDArray[Any]"
) -> None:
    """Write `roc.png`, `calibration.png`, `confusion.png` and `importance.png`."""
    from matplotlib.figure import Figure  # noqa: PLC0415  one second of imports
    from sklearn.calibration import calibration_curve  # noqa: PLC0415
    from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)

    def figure(name: str, title: str, x_label: str, y_label: str) -> tuple[Figure, "Axes"]:
        made = Figure(figsize=(5, 4), layout="constrained")
        axes = made.add_subplot(title=title, xlabel=x_label, ylabel=y_label)
        made.set_label(name)
        return made, axes

    false_rate, true_rate, _ = roc_curve(labels, probabilities)
    roc, axes = figure("roc", "ROC on held-out rows", "false positive rate", "true positive rate")
    axes.plot(false_rate, true_rate, label=f"AUC {roc_auc_score(labels, probabilities):.4f}")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.legend(loc="lower right")

    observed, predicted = calibration_curve(labels, probabilities, n_bins=_BINS, strategy="quantile")
    calibration, axes = figure(
        "calibration", "Calibration by decile", "predicted default rate", "observed default rate"
    )
    axes.plot(predicted, observed, marker="o")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")

    counts = confusion_matrix(labels, probabilities >= DECISION_THRESHOLD)
    confusion, axes = figure("confusion", f"Confusion at {DECISION_THRESHOLD}", "predicted", "observed")
    axes.imshow(counts, cmap="Blues")
    axes.set_xticks([0, 1], ["pays", "defaults"])
    axes.set_yticks([0, 1], ["pays", "defaults"])
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            axes.text(column, row, f"{count}", ha="center", color="white" if count > counts.max() / 2 else "black")

    importance, axes = figure("importance", "Importance (impurity)", "share", "")
    axes.barh(list(FEATURES), importances)

    for made in (roc, calibration, confusion, importance):
        made.savefig(folder / f"{made.get_label()}.png", dpi=110)
