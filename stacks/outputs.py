"""The stack's outputs: where everything is, under the same names in every stack; what has no server is absent."""

from collections.abc import Mapping
from dataclasses import replace

import pulumi

from infra.exposure import Exposure, Server
from infra.platform import Platform
from stacks.base import Base
from workloads.lifecycle.component import Lifecycle
from workloads.lifecycle.operations.start_page.component import StartPage

TRACKING = "mlflow"
"""Name of the tracking server for people."""
MODEL = Server(name="model", path="model-server", model=True)
RETRAINING = Server(name="retraining", path="retraining")
SERVERS = {
    "prediction_url": MODEL,
    "model_url": MODEL,
    "retrain_url": RETRAINING,
    "drift_report_url": RETRAINING,
    "mlflow_url": Server(name=TRACKING, path="tracking"),
    "pipelines_url": Server(name="pipelines", path="pipelines", pod_port=3000),
    "feature_server_url": Server(name="features", path="feature-server"),
    "online_store_url": Server(name="online-store", path="online-store", http=False),
    "prometheus_url": Server(name="prometheus", path="monitoring"),
    "alertmanager_url": Server(name="alertmanager", path="monitoring"),
    "grafana_url": Server(name="grafana", path="monitoring", pod_port=3000),
    "policy_url": Server(name="policy", path="policy-server"),
}
"""Output -> its server."""
OF_A_WORKLOAD = ("prediction_url", "model_url", "retrain_url", "drift_report_url", "feature_server_url")
"""Outputs that each workload has of its own."""
SECRETS_OF_A_WORKLOAD = {
    "retrain_token": "retrain_tokens",
    "outcomes_token": "outcomes_tokens",
    "prediction_probe": "prediction_probes",
}
"""Output of the default workload -> the same by workload."""
START = Server(name="start", path="start-page-service")


def of_workload(workload: Lifecycle) -> dict[str, pulumi.Output[str]]:
    """Where one workload is, for the stack's own processes."""
    return {
        "prediction_url": workload.prediction_url,
        "model_url": workload.model_url,
        "retrain_url": workload.retrain_url,
        "drift_report_url": workload.drift_report_url,
        "feature_server_url": workload.feature_server_url,
    }


def endpoints(platform: Platform, workload: Lifecycle) -> dict[str, pulumi.Output[str]]:
    """Where everything is for the stack's own processes; no secret among it."""
    found: dict[str, pulumi.Output[str] | None] = {
        **of_workload(workload),
        "mlflow_url": platform.tracking.url,
        "pipelines_url": platform.pipelines.pages_url,
        "pipelines_engine": _engine(platform),
        "online_store_url": platform.online_store.url,
        "artifact_store_uri": platform.artifact_store.uri,
        "prometheus_url": platform.monitoring.prometheus_url,
        "alertmanager_url": platform.monitoring.alertmanager_url,
        "grafana_url": platform.monitoring.grafana_url,
        "policy_url": platform.policy_server.url,
    }
    return {name: url for name, url in found.items() if url is not None}


def _engine(platform: Platform) -> pulumi.Output[str] | None:
    """Whose pages they are; None for those of Kubeflow, and where there are none."""
    pipelines = platform.pipelines
    return pulumi.Output.from_input(pipelines.engine) if pipelines.login is not None else None


def logins(platform: Platform) -> dict[str, pulumi.Output[str]]:
    """`user:password` or bearer token of each server among the outputs that asks for one; secret."""
    own = {TRACKING: platform.tracking.login, "pipelines": platform.pipelines.login}
    found = {**platform.monitoring.logins, **{server: login for server, login in own.items() if login is not None}}
    token = platform.policy_server.token
    return {
        **{f"{server}_login": login for server, login in found.items() if f"{server}_url" in SERVERS},
        **({} if token is None else {"policy_token": token}),
    }


def named(ending: str) -> dict[str, Server]:
    """Output -> its server; `ending` tells a workload's own from those of the default one."""
    return {
        name: replace(server, name=f"{server.name}{ending}") if name in OF_A_WORKLOAD else server
        for name, server in SERVERS.items()
    }


def ending_of(workload: str, default: str) -> str:
    """Ending of the names of a workload's own servers; those of the default one have none."""
    return "" if workload == default else f"-{workload}"


def links(
    found: Mapping[str, pulumi.Output[str]], exposure: Exposure, ending: str = ""
) -> dict[str, pulumi.Output[str]]:
    """The same for people."""
    servers = named(ending)
    return {name: exposure.expose(servers[name], url) if name in servers else url for name, url in found.items()}


def export(found: Mapping[str, pulumi.Input[str]], base: Base, start_page: StartPage, workload: Lifecycle) -> None:
    """Export what people need: links, the page that shows them, credentials, the ports that `make forward` opens."""
    for name, value in found.items():
        pulumi.export(name, value)
    pulumi.export("start_url", base.exposure.expose(START, start_page.url))
    pulumi.export("retrain_token", workload.retrain_token)
    pulumi.export("outcomes_token", workload.outcomes_token)
    pulumi.export("prediction_probe", workload.prediction_probe)
    if start_page.token is not None:
        pulumi.export("start_token", start_page.token)
    for name, login in logins(base.platform).items():
        pulumi.export(name, login)
    if base.kubeconfig is not None:
        pulumi.export("kubeconfig", base.kubeconfig)
    forwards = base.exposure.forwards()
    if forwards:
        pulumi.export("forwards", {each.name: {"url": each.url, "local_port": each.local_port} for each in forwards})


def export_by_workload(workloads: Mapping[str, Lifecycle], default: str, exposure: Exposure) -> None:
    """Export `endpoints`, `workloads` (how a process finds each definition) and what is secret, by workload.

    `workload` finds the default one's definition.
    """
    reached = {name: links(of_workload(each), exposure, ending_of(name, default)) for name, each in workloads.items()}
    pulumi.export("endpoints", reached)
    pulumi.export("workload", workloads[default].reference)
    pulumi.export("workloads", {name: each.reference for name, each in workloads.items()})
    for output, plural in SECRETS_OF_A_WORKLOAD.items():
        found = pulumi.Output.all(**{name: getattr(each, output) for name, each in workloads.items()})
        pulumi.export(plural, pulumi.Output.secret(found))
