"""Looks for trees, learning rate and depth that rank rows best which no trial has learnt.

The rows to learn from are divided once more by the definition's own split. The held-out rows, by which the release
policy judges, take no part: the gate judges the winner once, trained on all rows to learn from.
Source: https://optuna.readthedocs.io/en/stable/reference/samplers/generated/optuna.samplers.TPESampler.html
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from workloads.lifecycle.base.errors import DataError
from workloads.lifecycle.base.settings import SearchSettings, TrainingSettings

if TYPE_CHECKING:
    import optuna

NUMBER_TAG = "trial"
"""Tag of a nested run: the trial's number, from 0."""

PARENT_TAG = "mlflow.parentRunId"
SCORE = "validation_ranking"
"""Metric of a trial: AUC or concordance on the rows kept from all trials."""


class Trial(BaseModel):
    """One fitted and judged model of a search."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    number: int

    trees: int

    learning_rate: float

    depth: int

    score: float
    """Ranking of the rows kept from all trials, from 0 to 1."""

    seconds: float
    """Time of fitting and judging."""

    @property
    def chosen(self) -> dict[str, Any]:
        """What it changes in the settings."""
        return {"trees": self.trees, "learning_rate": self.learning_rate, "depth": self.depth}


def search(
    settings: TrainingSettings, wanted: SearchSettings, score: Callable[[TrainingSettings], float]
) -> tuple[TrainingSettings, Sequence[Trial]]:
    """The settings with the best trial's values, and all trials; the first trial is the settings as they are.

    `score` fits and ranks. Of equal trials the earlier one wins. Raises DataError when a score is no number.
    """
    import optuna  # noqa: PLC0415  half a second that no other training needs

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=settings.seed))
    own = {"trees": settings.trees, "learning_rate": settings.learning_rate, "depth": settings.depth}
    study.enqueue_trial(own, skip_if_exists=False)
    study.optimize(
        lambda trial: score(settings.model_copy(update=_suggested(trial, wanted, own))),
        n_trials=wanted.trials,
        timeout=wanted.seconds,
    )
    trials = [_trial(each) for each in study.trials if each.value is not None]
    if not trials:
        raise DataError("no trial of training.search gave a number: look at the rows, or remove `search`")
    best = max(trials, key=lambda each: (each.score, -each.number))
    return settings.model_copy(update=best.chosen), trials


def _suggested(trial: "optuna.Trial", wanted: SearchSettings, own: dict[str, Any]) -> dict[str, Any]:
    """A trial's values; the range of each is widened to the settings' own value, which is the first trial."""
    trees, rate, depth = wanted.trees, wanted.learning_rate, wanted.depth
    return {
        "trees": trial.suggest_int("trees", min(trees.low, own["trees"]), max(trees.high, own["trees"])),
        "learning_rate": trial.suggest_float(
            "learning_rate", min(rate.low, own["learning_rate"]), max(rate.high, own["learning_rate"]), log=True
        ),
        "depth": trial.suggest_int("depth", min(depth.low, own["depth"]), max(depth.high, own["depth"])),
    }


def _trial(found: "optuna.trial.FrozenTrial") -> Trial:
    seconds = found.duration.total_seconds() if found.duration else 0.0
    return Trial(number=found.number, score=float(found.value or 0.0), seconds=seconds, **found.params)


def log(run_id: str, trials: Sequence[Trial]) -> None:
    """Write each trial as a run nested below `run_id`; those that an earlier call wrote stay as they are."""
    import mlflow  # noqa: PLC0415  three seconds of imports

    client = mlflow.MlflowClient()
    experiment = client.get_run(run_id).info.experiment_id
    below = f"tags.`{PARENT_TAG}` = '{run_id}' and attributes.status = 'FINISHED'"
    written = {run.data.tags.get(NUMBER_TAG) for run in client.search_runs([experiment], below, max_results=1_000)}
    for trial in trials:
        if str(trial.number) in written:
            continue
        name = f"trial {trial.number}"
        made = client.create_run(
            experiment, run_name=name, tags={PARENT_TAG: run_id, NUMBER_TAG: str(trial.number)}
        ).info.run_id
        metrics = [
            mlflow.entities.Metric(SCORE, trial.score, 0, 0),
            mlflow.entities.Metric("seconds", trial.seconds, 0, 0),
        ]
        params = [mlflow.entities.Param(key, str(value)) for key, value in trial.chosen.items()]
        client.log_batch(made, metrics=metrics, params=params)
        client.set_terminated(made)
