"""Stage 7: captured requests against the training rows of the served version: drift, bias, live quality.

Writes a report and pushes metrics. With too little data nothing is scored, and the result names the reason. A missing
model, reference or capture is an error: the job reports it to the gateway, which alerts, and exits with 1. Leaves out
deciding: the alert rules do, on the metrics pushed here.
"""

import argparse
import tempfile
import warnings
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import DataError, WorkloadError, run_command
from workloads.lifecycle.base.exposition import shown
from workloads.lifecycle.base.identifiers import ReportPath, RunId
from workloads.lifecycle.base.metrics import KIND_OPPORTUNITY, KIND_PARITY
from workloads.lifecycle.base.prometheus import total
from workloads.lifecycle.base.servers import wait_for_mlflow, wait_for_model_server
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.ingestion.ingest import published
from workloads.lifecycle.monitoring import distributions, drift_limits, outcomes
from workloads.lifecycle.quality.groups import bias_gaps
from workloads.lifecycle.training import reference
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

REPORTS = "reports"
LATEST = f"{REPORTS}/latest.json"
HTML = "drift_report.html"
RESULT = "result.json"
DISTRIBUTIONS = "distributions.json"
_PUSH_SECONDS = 10.0


class Drift(BaseModel):
    """How far captured requests are from the reference."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    share: float
    """Share of drifted columns."""

    features: dict[str, float]
    """Distance of each column."""

    limits: dict[str, float] = {}
    """Distance from which on each column counts as drifted, by the sizes of both samples; empty of an older check."""


class Checked(BaseModel):
    """What one check found; the content of `reports/latest.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    at: datetime
    """End of the check, UTC."""

    version: str
    """Version that the model server answered with at that time."""

    run_id: RunId
    """Its MLflow run: whose training rows the reference is."""

    rows: int
    """Captured rows looked at."""

    drift: Drift | None
    """None when there were too few rows to say."""

    in_a_row: int
    """Checks in a row, this one included, that showed drift from the same reference."""

    bias: dict[str, dict[str, float]]
    """Gap by attribute and kind; absent where too few rows allow it."""

    live: outcomes.Quality
    """That version on requests with known outcome."""

    unmatched_outcomes: int = 0
    """Outcomes of the last deliveries that belong to no captured request: unknown, struck, or known before it."""

    report: ReportPath | None
    """The report's path below the workload's root; None when nothing was measured."""


def check(environment: Environment) -> Checked:
    """Compare, store the report, push the metrics.

    Raises DataError when no version is served or there is no reference or capture, WorkloadError when a server is down;
    in both cases the gateway is told.
    """
    try:
        wait_for_mlflow(environment)
        wait_for_model_server(environment)
        checked = _check(environment)
    except WorkloadError:
        _push_failure(environment)
        raise
    _push(environment, checked)
    return checked


def _check(environment: Environment) -> Checked:
    settings = environment.settings.monitoring
    served = reference.served(environment)
    expected = reference.read(environment, served.run_id)
    found = outcomes.captured(environment, timedelta(hours=settings.window_hours))
    if found.empty:
        _expect_capture(environment)
    known = outcomes.known_lately(environment, timedelta(hours=settings.window_hours))
    recent = found.sample(min(len(found), settings.max_rows), random_state=environment.settings.training.seed)
    before = latest(environment)
    at = datetime.now(UTC)
    prefix = f"{REPORTS}/{at:%Y%m%dT%H%M%S%fZ}"
    enough = len(recent) >= settings.min_rows
    drift = _drift(environment, recent, expected, prefix) if enough else None
    checked = Checked(
        at=at,
        version=served.version,
        run_id=served.run_id,
        rows=len(recent),
        drift=drift,
        in_a_row=_in_a_row(environment, drift, served.run_id, before),
        bias=bias(environment, recent, known, expected),
        live=outcomes.quality(environment, known, served.version),
        unmatched_outcomes=outcomes.unmatched(environment, timedelta(hours=settings.window_hours), known),
        report=f"{prefix}/{HTML}" if enough else before.report if before else None,
    )
    _store(environment, checked, prefix)
    return checked


def _expect_capture(environment: Environment) -> None:
    """Raise DataError when no replica of the model server has stored any of the rows that they scored."""
    name, stored = environment.definition.name, {metrics.LABEL_OUTCOME: "stored"}
    scored = total(environment, metrics.selected(metrics.PREDICTIONS, name))
    if scored and not total(environment, metrics.selected(metrics.CAPTURE_ROWS, name, **stored)):
        raise DataError(
            f"the model server scored {scored:.0f} rows and none was captured below {environment.artifact_store_uri}: "
            "is capture on (serving.capture), and does the model server reach the store?"
        )


def latest(environment: Environment) -> Checked | None:
    """The last check that ended well; None when there was none."""
    return Store.open(environment).read_model(LATEST, Checked)


def latest_distributions(environment: Environment, checked: Checked) -> distributions.Distributions | None:
    """What lies beside the report of a check; None where a check of an older release wrote none."""
    if checked.report is None:
        return None
    name = f"{checked.report.rpartition('/')[0]}/{DISTRIBUTIONS}"
    return Store.open(environment).read_model(name, distributions.Distributions)


def _in_a_row(environment: Environment, drift: Drift | None, run_id: str, before: Checked | None) -> int:
    """The count goes on through a check with too little data, and begins anew with a new reference."""
    counted = before.in_a_row if before is not None and before.run_id == run_id else 0
    if drift is None:
        return counted
    return counted + 1 if drift.share >= environment.settings.alerts.drift_share else 0


def measure(
    workload: Workload, current: "pd.DataFrame", expected: "pd.DataFrame", html: Path, drift_share: float
) -> Drift:
    """Run Evidently over the features and write its report; a column drifts from its limit on (`drift_limits`).

    The report speaks of drift from `drift_share` on, as the alert does.
    """
    categories = [feature.name for feature in workload.inputs if feature.type == "string"]
    numbers = [name for name in workload.features if name not in categories]
    types = {**dict.fromkeys(numbers, "float64"), **dict.fromkeys(categories, "object")}
    limits = drift_limits.limits(expected, current, numbers, categories, drift_share)
    preset: dict[str, Any] = {
        "drift_share": drift_share,
        "num_method": drift_limits.NUMBERS,
        "cat_method": drift_limits.CATEGORIES,
        "per_column_threshold": limits,
    }
    with warnings.catch_warnings(action="ignore"):
        from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415  fifteen seconds of imports
        from evidently.presets import DataDriftPreset  # noqa: PLC0415

        definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
        now, then = (
            Dataset.from_pandas(
                frame[list(workload.features)].astype(types).reset_index(drop=True), data_definition=definition
            )
            for frame in (current, expected)
        )
        snapshot = Report([DataDriftPreset(**preset)]).run(now, then)
        snapshot.save_html(str(html))
    found = snapshot.dict()["metrics"]
    share = [metric["value"]["share"] for metric in found if _kind(metric) == "DriftedColumnsCount"]
    distances = {metric["config"]["column"]: metric["value"] for metric in found if _kind(metric) == "ValueDrift"}
    if len(share) != 1 or set(distances) != set(workload.features):
        raise DataError(
            f"Evidently reported {sorted(distances)} and {len(share)} shares, expected {list(workload.features)}"
        )
    return Drift(
        share=float(share[0]), features={name: float(value) for name, value in distances.items()}, limits=limits
    )


def _kind(metric: dict[str, Any]) -> str:
    return str(metric["config"]["type"]).rpartition(":")[2]


def _drift(environment: Environment, current: "pd.DataFrame", expected: "pd.DataFrame", prefix: str) -> Drift:
    with tempfile.TemporaryDirectory(dir=environment.work) as folder:
        html = Path(folder) / HTML
        drift = measure(environment.definition, current, expected, html, environment.settings.alerts.drift_share)
        store = Store.open(environment)
        store.write(f"{prefix}/{HTML}", html.read_bytes())
    found = distributions.measure(environment.definition, current, expected)
    store.write_json(f"{prefix}/{DISTRIBUTIONS}", found.model_dump(mode="json"))
    return drift


def bias(
    environment: Environment, current: "pd.DataFrame", known: "pd.DataFrame", expected: "pd.DataFrame"
) -> dict[str, dict[str, float]]:
    """Gaps between groups of the captured rows whose attributes the reference knows; none without groups.

    `demographic_parity` needs requests only: where the problem is binary, flagged are as many as the reference has.
    `equal_opportunity` needs outcomes. Empty with fewer than `min_rows` (`min_labelled_rows`) such rows.
    """
    settings, workload = environment.settings.monitoring, environment.definition
    keys, label = list(workload.keys), workload.outcome.label
    if not workload.groups:
        return {}
    attributes = expected[[*keys, *workload.attributes]].drop_duplicates(keys, keep="last")
    gaps: dict[str, dict[str, float]] = {}
    seen = current.dropna(subset=keys).merge(attributes, on=keys)
    if len(seen) >= settings.min_rows:
        found = bias_gaps(
            workload, seen.assign(**{label: _standing(workload, seen, expected)}), seen["score"].to_numpy()
        )
        gaps = {attribute: _compared(values, KIND_PARITY) for attribute, values in found.items()}
    judged = known.dropna(subset=keys).merge(attributes, on=keys)
    if len(judged) >= settings.min_labelled_rows and len(set(judged[label])) > 1:
        found = bias_gaps(workload, judged, judged["score"].to_numpy())
        for attribute, values in found.items():
            gaps[attribute] = _compared(values, KIND_PARITY, KIND_OPPORTUNITY) | gaps.get(attribute, {})
    return gaps


def _compared(values: dict[str, float | None], *kinds: str) -> dict[str, float]:
    """The gaps for which groups were large enough to compare."""
    return {kind: value for kind in kinds if (value := values[kind]) is not None}


def _standing(workload: Workload, seen: "pd.DataFrame", expected: "pd.DataFrame") -> Any:
    """Labels in place of outcomes that are not known, for the gap in which they do not matter row by row.

    Of a binary problem, as many ones as the reference has; which rows carry them makes no difference.
    """
    if workload.problem == "regression":
        return seen["score"]
    ones = round(float(expected[workload.outcome.label].mean()) * len(seen))
    return [1] * ones + [0] * (len(seen) - ones)


def _store(environment: Environment, checked: Checked, prefix: str) -> None:
    store = Store.open(environment)
    content = checked.model_dump(mode="json")
    store.write_json(f"{prefix}/{RESULT}", content)
    store.write_json(LATEST, content)
    folders = [name for name in store.names(REPORTS) if not name.endswith(".json")]
    kept = {checked.report.split("/")[1]} if checked.report else set()
    for folder in folders[: -environment.settings.monitoring.kept_reports]:
        if folder not in kept:
            store.remove_tree(f"{REPORTS}/{folder}")


def _push(environment: Environment, checked: Checked) -> None:
    """Replace everything this job pushed before, so that what was not measured now is absent."""
    from prometheus_client import CollectorRegistry, push_to_gateway  # noqa: PLC0415

    registry = CollectorRegistry()
    _gauge(registry, metrics.DRIFT_JOB_OK, 1)
    _gauge(registry, metrics.DRIFT_JOB_TIMESTAMP, checked.at.timestamp())
    if (features := published(Store.open(environment))) is not None:
        _gauge(registry, metrics.FEATURES_TIMESTAMP, features.newest_observation.timestamp())
    _gauge(registry, metrics.DRIFT_ROWS, checked.rows)
    _gauge(registry, metrics.DRIFT_MEASURED, int(checked.drift is not None))
    _gauge(registry, metrics.DRIFT_CHECKS_IN_A_ROW, checked.in_a_row)
    if checked.drift is not None:
        _gauge(registry, metrics.DATA_DRIFT_SCORE, checked.drift.share)
        _series(registry, metrics.FEATURE_DRIFT_SCORE, {metrics.LABEL_FEATURE: checked.drift.features})
    _bias_series(registry, checked.bias)
    version = {metrics.LABEL_VERSION: checked.version}
    _labelled(registry, metrics.LIVE_LABELLED_ROWS, version, checked.live.rows)
    if checked.live.auc is not None and checked.live.calibration_error is not None:
        _labelled(registry, metrics.LIVE_RANKING[environment.definition.problem], version, checked.live.auc)
        _labelled(registry, metrics.LIVE_CALIBRATION_ERROR, version, checked.live.calibration_error)
    if checked.live.rmse is not None:
        _labelled(registry, metrics.LIVE_RMSE, version, checked.live.rmse)
    _to_gateway(environment, push_to_gateway, registry)


def _push_failure(environment: Environment) -> None:
    """Say that the job failed and leave the last scores: drift that was there has not gone away."""
    from prometheus_client import CollectorRegistry, pushadd_to_gateway  # noqa: PLC0415

    registry = CollectorRegistry()
    _gauge(registry, metrics.DRIFT_JOB_OK, 0)
    _to_gateway(environment, pushadd_to_gateway, registry)


def _to_gateway(environment: Environment, push: Any, registry: Any) -> None:
    url, workload = environment.need("pushgateway_url"), environment.definition
    job = metrics.monitoring_job(workload.name)
    try:
        push(url, job=job, registry=shown(registry, workload), timeout=_PUSH_SECONDS, handler=_handler(environment))
    except OSError as error:
        raise WorkloadError(f"Pushgateway at {url} took no metrics: {error}; run the job again") from error


def _handler(environment: Environment) -> Any:
    """How metrics are sent: with the login that the Pushgateway asks for, where it asks for one."""
    from prometheus_client.exposition import basic_auth_handler, default_handler  # noqa: PLC0415

    if not environment.pushgateway_login:
        return default_handler
    user, _, password = environment.pushgateway_login.partition(":")
    return partial(basic_auth_handler, username=user, password=password)


def _gauge(registry: Any, name: str, value: float) -> None:
    from prometheus_client import Gauge  # noqa: PLC0415

    Gauge(name, _help(name), registry=registry).set(value)


def _labelled(registry: Any, name: str, label: dict[str, str], value: float) -> None:
    (key, text), *_ = label.items()
    _series(registry, name, {key: {text: value}})


def _series(registry: Any, name: str, values: dict[str, dict[str, float]]) -> None:
    from prometheus_client import Gauge  # noqa: PLC0415

    ((label, series),) = values.items()
    gauge = Gauge(name, _help(name), [label], registry=registry)
    for text, value in series.items():
        gauge.labels(text).set(value)


def _bias_series(registry: Any, gaps: dict[str, dict[str, float]]) -> None:
    from prometheus_client import Gauge  # noqa: PLC0415

    gauge = Gauge(
        metrics.BIAS_GAP, _help(metrics.BIAS_GAP), [metrics.LABEL_ATTRIBUTE, metrics.LABEL_KIND], registry=registry
    )
    for attribute, kinds in gaps.items():
        for kind, value in kinds.items():
            gauge.labels(attribute, kind).set(value)


def _help(name: str) -> str:
    return f"See workloads.lifecycle.base.metrics: {name}"


def main() -> None:
    """Command: one check; prints what it found as JSON."""
    argparse.ArgumentParser(prog="python -m workloads.lifecycle.monitoring.check", description=__doc__).parse_args()
    checked = check(load())
    print(checked.model_dump_json(indent=1))
    if checked.drift is None:
        needed = load().settings.monitoring.min_rows
        print(f"too little data: {checked.rows} rows, {needed} needed; drift was not measured")


if __name__ == "__main__":
    run_command(main)
