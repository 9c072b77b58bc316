"""The probes: each asks one question of a running stack, by its outputs, and gives an answer with cause and fix."""

import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

from workloads.lifecycle.base import metrics
from workloads.lifecycle.monitoring import alerts
from workloads.lifecycle.operations.doctor.http import NoAnswerError, json_of, text
from workloads.lifecycle.schema import View
from workloads.lifecycle.workload import Workload

TOLERANCE = 1e-9
"""Greatest difference between two scores that count as the same."""

_AT_ONCE = 8
Status = Literal["ok", "warning", "unknown", "failed"]
"""`unknown`: the question could not be asked."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a probe found."""

    status: Status

    detail: str
    """What was seen, with its figures."""

    fix: str = ""
    """What to do; empty where nothing is wrong."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One question."""

    name: str

    needs: tuple[str, ...]
    """Outputs without which the question does not arise: what a stack has no server for is no failure."""

    ask: Callable[[Mapping[str, str]], Finding]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A question and what came of it."""

    probe: str

    finding: Finding

    seconds: float


def examine(outputs: Mapping[str, str], probes: tuple[Probe, ...]) -> list[Answer]:
    """Ask every probe whose outputs the stack has, side by side; in the order of `probes`."""
    asked = [probe for probe in probes if not missing(probe, outputs)]
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return list(pool.map(lambda probe: _ask(probe, outputs), asked))


def missing(probe: Probe, outputs: Mapping[str, str]) -> list[str]:
    """The outputs for want of which a probe is not asked."""
    return [name for name in probe.needs if not outputs.get(name)]


def _ask(probe: Probe, outputs: Mapping[str, str]) -> Answer:
    begun = time.monotonic()
    try:
        finding = probe.ask(outputs)
    except NoAnswerError as error:
        finding = Finding(status="failed", detail=str(error), fix=f"see the log of the server behind {probe.needs[0]}")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        finding = Finding(
            status="failed",
            detail=f"the server behind {probe.needs[0]} answered something else than expected: {error!r}",
            fix="compare its version with the one that the stack pins",
        )
    return Answer(probe=probe.name, finding=finding, seconds=time.monotonic() - begun)


def _prediction(workload: Workload, outputs: Mapping[str, str]) -> Finding:
    score = _score(outputs, workload.example)
    if not workload.is_answer(score):
        return Finding(status="failed", detail=f"the example scores {score}", fix="make rollback")
    return Finding(status="ok", detail=f"the example scores {score:.4f}")


def _entity(workload: Workload, outputs: Mapping[str, str]) -> Finding:
    by_keys = _score(outputs, _keys(workload))
    return Finding(status="ok", detail=f"{_named(workload)} scores {by_keys:.4f}")


def _v2(workload: Workload, outputs: Mapping[str, str]) -> Finding:
    vector = workload.example
    tensor = {"name": "features", "shape": [1, len(vector)], "datatype": "FP64", "data": [vector]}
    url = outputs["model_url"].replace("/v1/", "/v2/")
    answer = json_of(f"{url}/infer", {"inputs": [tensor]}, probe=outputs.get("prediction_probe", ""))
    v1, v2 = _score(outputs, vector), float(answer["outputs"][0]["data"][0])
    if abs(v1 - v2) > TOLERANCE:
        return Finding(status="failed", detail=f"v1 scores {v1}, v2 {v2}", fix="see the model server's log")
    return Finding(status="ok", detail="v1 and v2 agree")


def _features(workload: Workload, outputs: Mapping[str, str]) -> Finding:
    """The feature server's values give the score that the model server gives when it looks the entity up itself."""
    keys, named = _keys(workload), _named(workload)
    found: dict[str, Any] = {}
    for view in workload.views:
        found |= _online(workload, view, outputs["feature_server_url"])
    values = [found[name] for name in workload.features]
    if any(found[feature.name] is None for feature in workload.inputs if not feature.nullable):
        return Finding(
            status="failed",
            detail=f"{named} has no features in the online store",
            fix="`make up` fills an emptied online store (docs/runbooks/online-store.md)",
        )
    by_vector, by_keys = _score(outputs, values), _score(outputs, keys)
    if abs(by_vector - by_keys) > TOLERANCE:
        return Finding(
            status="failed",
            detail=f"features of {named} score {by_vector}, the server's own look-up {by_keys}",
            fix="run the nightly job, which writes all features again (docs/runbooks/data-quality.md)",
        )
    return Finding(status="ok", detail=f"online features of {named}: {values}")


def _online(workload: Workload, view: View, url: str) -> dict[str, Any]:
    """Values of a view's features for the example's entity, as the feature server has them."""
    keys, names = workload.keys_of(view), [feature.name for feature in view.features]
    example = _keys(workload)
    body = {"features": [f"{view.name}:{name}" for name in names], "entities": {key: [example[key]] for key in keys}}
    answer = json_of(f"{url.rstrip('/')}/get-online-features", body)
    columns = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
    return {name: columns[name]["values"][0] for name in names}


def _keys(workload: Workload) -> dict[str, int | str]:
    return dict(zip(workload.keys, workload.example_keys, strict=True))


def _named(workload: Workload) -> str:
    return ", ".join(f"{key} {value}" for key, value in _keys(workload).items())


def _registry(workload: Workload, outputs: Mapping[str, str]) -> Finding:
    """The model server serves the version that is pinned or, without a pin, the registry's champion."""
    server = served(outputs)
    if server.pinned is not None:
        return _pinned(workload, outputs, server, server.pinned)
    version = champion(workload, outputs)["version"]
    if server.version != version:
        return Finding(
            status="failed",
            detail=f"the registry's champion is version {version}, the model server serves {server.version or 'none'}",
            fix="see the model server's log: it says why it does not load that version",
        )
    return Finding(status="ok", detail=f"champion is version {version}, and it serves")


def _pinned(workload: Workload, outputs: Mapping[str, str], server: "Served", pinned: str) -> Finding:
    if server.version != pinned:
        return Finding(
            status="failed",
            detail=f"version {pinned} is pinned (serving.model_version), the model server serves "
            f"{server.version or 'none'}",
            fix=f"does the registry have version {pinned}? the model server's log says why it does not load it",
        )
    try:
        beside = f"the registry's champion is version {champion(workload, outputs)['version']}"
    except NoAnswerError as error:
        if not any(f": {status}: " in str(error) for status in (400, 404)):  # MLflow's two ways to say "no alias"
            raise
        beside = "the registry has no champion"
    return Finding(status="ok", detail=f"version {pinned} is pinned (serving.model_version) and serves; {beside}")


def champion(workload: Workload, outputs: Mapping[str, str]) -> dict[str, Any]:
    """MLflow's model version behind the alias `champion`; raises NoAnswerError when there is none."""
    query = f"name={quote(workload.model_name)}&alias=champion"
    return dict(mlflow(outputs, f"registered-models/alias?{query}")["model_version"])


def mlflow(outputs: Mapping[str, str], what: str) -> dict[str, Any]:
    """The answer of MLflow's API to a question, `path?query`."""
    url = f"{outputs['mlflow_url'].rstrip('/')}/api/2.0/mlflow/{what}"
    return dict(json_of(url, login=outputs.get("mlflow_login", "")))


@dataclass(frozen=True, kw_only=True)
class Served:
    """What the model server reports about itself."""

    version: str | None
    """Version that answers requests; None while no version is loaded."""

    pinned: str | None
    """Version of `serving.model_version`; None where the registry's champion serves."""


def served(outputs: Mapping[str, str]) -> Served:
    """Asks the model server's metrics; raises NoAnswerError."""
    address = urlsplit(outputs["model_url"])
    lines = text(f"{address.scheme}://{address.netloc}/metrics").splitlines()
    return Served(
        version=_version(lines, metrics.MODEL_INFO, f'{metrics.LABEL_ALIAS}="champion"'),
        pinned=_version(lines, metrics.MODEL_PINNED),
    )


def _version(lines: list[str], metric: str, label: str = "") -> str | None:
    """The label `version` of a metric's sample whose value is 1."""
    found = [line for line in lines if line.startswith(metric + "{") and line.endswith(" 1.0") and label in line]
    return found[0].partition(f'{metrics.LABEL_VERSION}="')[2].partition('"')[0] if found else None


def _tracking(outputs: Mapping[str, str]) -> Finding:
    text(f"{outputs['mlflow_url'].rstrip('/')}/health")
    return Finding(status="ok", detail="healthy")


def _online_store(outputs: Mapping[str, str]) -> Finding:
    address = urlsplit(outputs["online_store_url"])
    try:
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=5):
            return Finding(status="ok", detail="takes connections")
    except OSError as error:
        raise NoAnswerError(f"{outputs['online_store_url']}: {error}") from None


def _policy(outputs: Mapping[str, str]) -> Finding:
    """The release policy is loaded: it refuses an empty candidate."""
    url = f"{outputs['policy_url'].rstrip('/')}/v1/data/release"
    answer = json_of(url, {"input": {}}, token=outputs.get("policy_token", ""))
    if answer.get("result", {}).get("allow") is not False:
        return Finding(
            status="failed",
            detail=f"an empty candidate is not refused: {str(answer)[:120]}",
            fix="policies/release is not loaded; see the policy server's log",
        )
    return Finding(status="ok", detail="the release policy is loaded and refuses an empty candidate")


def _targets(outputs: Mapping[str, str]) -> Finding:
    targets = prometheus(outputs, "targets?state=active")["activeTargets"]
    down = [
        f"{each['labels']['job']} ({each.get('lastError') or each['health']})" for each in targets if _is_down(each)
    ]
    if down:
        return Finding(status="failed", detail=f"not scraped: {', '.join(down)}", fix="is the target up? see its log")
    return Finding(status="ok", detail=f"{len(targets)} targets are scraped")


def _is_down(target: Mapping[str, Any]) -> bool:
    return bool(target["health"] == "down")


def _rules(outputs: Mapping[str, str]) -> Finding:
    rules = loaded_rules(outputs)
    names = {rule["name"] for rule in rules}
    if metrics.ALERT_DATA_DRIFT not in names:
        return Finding(
            status="failed",
            detail=f"Prometheus has no rule {metrics.ALERT_DATA_DRIFT}",
            fix="make up: the workload's rule file is not loaded",
        )
    broken = sorted(rule["name"] for rule in rules if rule.get("health") == "err")
    if broken:
        return Finding(
            status="failed", detail=f"rules that fail: {', '.join(broken)}", fix="see Prometheus' rules page"
        )
    firing = sorted({rule["name"] for rule in rules if rule.get("state") == "firing"})
    if firing:
        runbooks = ", ".join(f"docs/runbooks/{name}.md" for name in firing)
        return Finding(status="warning", detail=f"alerts that fire: {', '.join(firing)}", fix=f"see {runbooks}")
    return Finding(status="ok", detail=f"{len(names)} alerts, none fires")


def loaded_rules(outputs: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every rule of Prometheus with its state and alerts; raises NoAnswerError."""
    return [rule for group in prometheus(outputs, "rules")["groups"] for rule in group["rules"]]


def thresholds(outputs: Mapping[str, str]) -> dict[str, float]:
    """The threshold of every number that an alert rule of Prometheus watches, by the number's PromQL."""
    notes = [rule.get("annotations", {}) for rule in loaded_rules(outputs)]
    return {note[alerts.MEASURE]: float(note[alerts.THRESHOLD]) for note in notes if alerts.MEASURE in note}


def _route(outputs: Mapping[str, str]) -> Finding:
    """Drift alerts have a way to the retraining service."""
    url = f"{outputs['alertmanager_url'].rstrip('/')}/api/v2/status"
    status = json_of(url, login=outputs.get("alertmanager_login", ""))
    configuration = status["config"]["original"]
    if metrics.ALERT_DATA_DRIFT not in configuration or "webhook_configs" not in configuration:
        return Finding(
            status="failed",
            detail=f"Alertmanager has no route for {metrics.ALERT_DATA_DRIFT} to a webhook",
            fix="make up: Alertmanager's configuration was changed",
        )
    return Finding(status="ok", detail=f"{metrics.ALERT_DATA_DRIFT} is routed to the retraining service")


def _retraining(outputs: Mapping[str, str]) -> Finding:
    text(outputs["retrain_url"].removesuffix("/retrain") + "/readyz")
    return Finding(status="ok", detail="healthy")


def _drift_report(workload: Workload, outputs: Mapping[str, str]) -> Finding:
    try:
        report = text(outputs["drift_report_url"])
    except NoAnswerError as error:
        if ": 404: " in str(error):
            return Finding(
                status="warning",
                detail="no drift was measured yet",
                fix="the monitoring job measures it nightly; "
                '`make stage RUN="python -m workloads.lifecycle.monitoring.check"` measures it now',
            )
        raise
    latest = f"the latest report has {len(report) // 1024} KiB"
    if not outputs.get("prometheus_url"):
        return Finding(status="ok", detail=latest)
    measure = metrics.selected(metrics.DATA_DRIFT_SCORE, workload.name)
    found = prometheus(outputs, f"query?{urlencode({'query': measure})}")["result"]
    threshold = thresholds(outputs).get(measure)
    if not found or threshold is None:
        return Finding(status="ok", detail=f"{latest}; the last check had too few rows to measure drift")
    share = float(found[0]["value"][1])
    measured = f"{latest}; share of drifted columns {share:g}, threshold {threshold:g}"
    if share >= threshold:
        return Finding(status="warning", detail=measured, fix="see docs/runbooks/drift.md")
    return Finding(status="ok", detail=measured)


def _pipelines(outputs: Mapping[str, str]) -> Finding:
    if outputs.get("pipelines_engine") == "airflow":
        return _airflow(outputs)
    health = json_of(f"{outputs['pipelines_url'].rstrip('/')}/apis/v2beta1/healthz")
    return Finding(status="ok", detail=f"healthy{', multi-user' if health.get('multi_user') else ''}")


def _airflow(outputs: Mapping[str, str]) -> Finding:
    url = outputs["pipelines_url"].rstrip("/")
    parts = {name: part["status"] for name, part in json_of(f"{url}/api/v2/monitor/health").items() if part["status"]}
    sick = [name for name in ("metadatabase", "scheduler", "dag_processor") if parts.get(name) != "healthy"]
    if sick:
        fix = f"see the log of pipelines-{sick[0].replace('_', '-')}; `make up` starts what does not run"
        return Finding(status="failed", detail=f"Airflow reports as not healthy: {', '.join(sick)}", fix=fix)
    return Finding(status="ok", detail="Airflow's scheduler and DAG processor are healthy")


def prometheus(outputs: Mapping[str, str], what: str) -> dict[str, Any]:
    """The answer of Prometheus' API to a question, `path?query`."""
    url = f"{outputs['prometheus_url'].rstrip('/')}/api/v1/{what}"
    return dict(json_of(url, login=outputs.get("prometheus_login", ""))["data"])


def _score(outputs: Mapping[str, str], instance: object) -> float:
    probe = outputs.get("prediction_probe", "")
    return float(json_of(outputs["prediction_url"], {"instances": [instance]}, probe=probe)["predictions"][0])


def probes(workload: Workload) -> tuple[Probe, ...]:
    """What can be asked of the servers about one workload."""
    look_up, v2 = bool(workload.example_keys), workload.is_numeric
    asked = (
        Probe(name="prediction", needs=("prediction_url",), ask=partial(_prediction, workload)),
        Probe(
            name=f"prediction by {workload.entities[0].name}",
            needs=("prediction_url", "online_store_url"),
            ask=partial(_entity, workload),
        )
        if look_up
        else None,
        Probe(name="v2 protocol", needs=("model_url", "prediction_url"), ask=partial(_v2, workload)) if v2 else None,
        Probe(name="online features", needs=("feature_server_url", "prediction_url"), ask=partial(_features, workload))
        if look_up
        else None,
        Probe(name="registry", needs=("mlflow_url", "model_url"), ask=partial(_registry, workload)),
        Probe(name="tracking", needs=("mlflow_url",), ask=_tracking),
        Probe(name="online store", needs=("online_store_url",), ask=_online_store),
        Probe(name="release policy", needs=("policy_url",), ask=_policy),
        Probe(name="scrape targets", needs=("prometheus_url",), ask=_targets),
        Probe(name="alert rules", needs=("prometheus_url",), ask=_rules),
        Probe(name="alert route", needs=("alertmanager_url",), ask=_route),
        Probe(name="retraining", needs=("retrain_url",), ask=_retraining),
        Probe(name="drift report", needs=("drift_report_url",), ask=partial(_drift_report, workload)),
        Probe(name="pipelines", needs=("pipelines_url",), ask=_pipelines),
    )
    return tuple(probe for probe in asked if probe is not None)
