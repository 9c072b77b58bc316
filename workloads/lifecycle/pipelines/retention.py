"""Deletes rows about entities once they are older than the settings `retention` allow; the nightly run's part.

Leaves out ingestion runs, scores, reports and outcomes of stages, of which a number is kept, and what a bucket itself
expires (`artifact_store.expire_days`, `noncurrent_days`).
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.mlflow_api import MlflowApi, RegistryDownError
from workloads.lifecycle.base.names import CAPTURES, SHADOWED, TALLIES
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.windows import WINDOWS
from workloads.lifecycle.monitoring.outcomes import OUTCOMES
from workloads.lifecycle.training import reference

_DAY = "dt="


def expire(environment: Environment, now: datetime | None = None) -> dict[str, int]:
    """Delete what is too old; returns how many days, windows and references went.

    Raises WorkloadError when the store or the registry is away; what was deleted stays deleted.
    """
    settings, store = environment.settings.retention, Store.open(environment)
    moment = now or datetime.now(UTC)
    oldest = (moment - timedelta(days=settings.requests_days)).date()
    removed: Counter[str] = Counter()
    for prefix, what in (
        (CAPTURES, "days of captured requests"),
        (SHADOWED, "days of requests that a shadow scored"),
        (OUTCOMES, "days of outcomes"),
    ):
        for name in list(_before(store, prefix, oldest)):
            store.remove_tree(f"{prefix}/{name}")
            removed[what] += 1
    for path in _older(store, TALLIES, moment - timedelta(days=settings.requests_days)):
        store.remove(path)
        removed["tallies of challenges"] += 1
    old = moment - timedelta(days=settings.training_rows_days)
    for path in _older(store, WINDOWS, old):
        store.remove(path)
        removed["files of labelled windows"] += 1
    references = _older(store, reference.PREFIX, old)
    kept = {reference.key(run) for run in _named_runs(environment)} if references else set()
    for path in references:
        if path not in kept:
            store.remove(path)
            removed["training rows of versions"] += 1
    return dict(removed)


def _before(store: Store, prefix: str, oldest: date) -> Iterator[str]:
    """Folders `dt=<day>` of days before `oldest`; a name of another form stays."""
    for name in store.names(prefix):
        try:
            day = date.fromisoformat(name.removeprefix(_DAY))
        except ValueError:
            continue
        if name.startswith(_DAY) and day < oldest:
            yield name


def _older(store: Store, prefix: str, than: datetime) -> list[str]:
    """Objects that were written before a time."""
    fresh = set(store.paths(prefix, than))
    return [path for path in store.paths(prefix) if path not in fresh]


def _named_runs(environment: Environment) -> set[str]:
    """MLflow runs of the versions that aliases name; raises WorkloadError when the registry does not answer."""
    mlflow, model = MlflowApi.of(environment), environment.definition.model_name
    try:
        versions = {alias["version"] for alias in (mlflow.model(model) or {}).get("aliases", ())}
        found = [mlflow.version(model, each) for each in versions]
    except RegistryDownError as error:
        raise WorkloadError(f"{error}; no training rows were deleted") from error
    return {str(each["run_id"]) for each in found if each is not None}
