"""Prometheus and Alertmanager as pods, configured from the custom resources that the platform makes for their operator.

A stand-in for the chart kube-prometheus-stack, with Debian's servers: it reads ScrapeConfig, PrometheusRule and
AlertmanagerConfig once, when `start` is called, and scrapes Services in place of their pods. Grafana is absent.
"""

import base64
import re
from pathlib import Path
from typing import Any

import yaml
from pytest_pulumi_kubernetes.client import Object
from pytest_pulumi_kubernetes.real_node import RealNode
from pytest_pulumi_kubernetes.stand_ins import Image

from infra.base.names import MONITORING
from infra.kube.objects import LABEL_PREFIX
from tests.node import pods

PROMETHEUS, ALERTMANAGER = "docker.io/prom/prometheus:stand-in", "docker.io/prom/alertmanager:stand-in"
SECONDS = "2s"
_CONFIGURATION = "/etc/watching"
_TEMPLATES = Path("/usr/share/prometheus/alertmanager")
_OPERATOR = "monitoring.coreos.com"
_WEB = Path("/usr/share/prometheus/web")
"""Debian's Prometheus fails at a start without its pages."""


def images(find: Any) -> list[Image]:
    """Stand-ins for both servers' images."""
    return [
        Image(
            reference=PROMETHEUS,
            stands_for="Debian's Prometheus",
            files={"/bin/prometheus": find("prometheus"), **({str(_WEB): _WEB} if _WEB.is_dir() else {})},
        ),
        Image(
            reference=ALERTMANAGER,
            stands_for="Debian's Alertmanager",
            files={"/bin/alertmanager": find("prometheus-alertmanager"), str(_TEMPLATES): _TEMPLATES},
        ),
    ]


def start(node: RealNode) -> None:
    """Start both servers behind the Services by which the platform knows them, and wait until they are ready."""
    client = node.cluster.client
    prometheus = {"prometheus.yml": yaml.safe_dump(_prometheus(node)), "rules.yml": yaml.safe_dump(_rules(node))}
    alertmanager = {"alertmanager.yml": yaml.safe_dump(_alertmanager(node))}
    commands = {
        "prometheus": (
            PROMETHEUS,
            9090,
            [
                *("/bin/prometheus", f"--config.file={_CONFIGURATION}/prometheus.yml", "--storage.tsdb.path=/tmp"),
                "--web.listen-address=:9090",
            ],
            prometheus,
        ),
        "alertmanager": (
            ALERTMANAGER,
            9093,
            [
                *("/bin/alertmanager", f"--config.file={_CONFIGURATION}/alertmanager.yml", "--storage.path=/tmp"),
                *("--cluster.listen-address=", "--web.listen-address=:9093"),
            ],
            alertmanager,
        ),
    }
    for part, (image, port, command, files) in commands.items():
        for item in _server(
            f"monitoring-{part}", f"{image.partition(':')[0]}@{node.digests[image]}", port, command, files
        ):
            client.apply(item)
    for part in commands:
        pods.await_(lambda part=part: _is_ready(node, f"monitoring-{part}"), f"{part} is not ready", str, 120)


def _is_ready(node: RealNode, name: str) -> bool:
    found = node.cluster.client.find("apps/v1", "Deployment", name, MONITORING)
    return bool(found and found.get("status", {}).get("readyReplicas"))


def _prometheus(node: RealNode) -> Object:
    return {
        "global": {"scrape_interval": SECONDS, "evaluation_interval": SECONDS},
        "rule_files": [f"{_CONFIGURATION}/rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["monitoring-alertmanager:9093"]}]}]},
        "scrape_configs": [
            _scraped(each["spec"])
            for each in node.cluster.client.list(f"{_OPERATOR}/v1alpha1", "ScrapeConfig", MONITORING)
        ],
    }


def _scraped(spec: Object) -> Object:
    """A ScrapeConfig as Prometheus writes it, by the name of the Service: Debian's has no discovery by Kubernetes."""
    (space,) = spec["kubernetesSDConfigs"][0]["namespaces"]["names"]
    service, _, port = spec["relabelings"][0]["regex"].partition(":")
    target = f"{service}.{space}.svc.cluster.local:{port}"
    return {
        "job_name": spec["jobName"],
        "honor_labels": spec["honorLabels"],
        "static_configs": [{"targets": [target]}],
    }


def _rules(node: RealNode) -> Object:
    found = node.cluster.client.list(f"{_OPERATOR}/v1", "PrometheusRule", MONITORING)
    return {"groups": [group for each in found for group in each["spec"]["groups"]]}


def _alertmanager(node: RealNode) -> Object:
    routes, receivers = [], [{"name": "nobody"}]
    for each in node.cluster.client.list(f"{_OPERATOR}/v1alpha1", "AlertmanagerConfig", MONITORING):
        route = dict(each["spec"]["route"])
        route["matchers"] = [f'{one["name"]}{one["matchType"]}"{one["value"]}"' for one in route["matchers"]]
        routes.append(_snake({**route, "continue": True}))
        receivers += [
            {
                "name": receiver["name"],
                "webhook_configs": [_webhook(node, hook) for hook in receiver["webhookConfigs"]],
            }
            for receiver in each["spec"]["receivers"]
        ]
    return {"route": {"receiver": "nobody", "routes": routes}, "receivers": receivers}


def _webhook(node: RealNode, hook: Object) -> Object:
    given = hook["httpConfig"]["authorization"]
    secret = node.cluster.client.find("v1", "Secret", given["credentials"]["name"], MONITORING)
    assert secret is not None
    token = base64.b64decode(secret["data"][given["credentials"]["key"]]).decode()
    authorization = {"type": given["type"], "credentials": token}
    return {"url": hook["url"], "send_resolved": hook["sendResolved"], "http_config": {"authorization": authorization}}


def _snake(value: Any) -> Any:
    """The same with every key in the form of the servers' own files."""
    if isinstance(value, dict):
        return {
            re.sub(r"([A-Z])", lambda found: f"_{found[1].lower()}", key): _snake(one) for key, one in value.items()
        }
    return [_snake(one) for one in value] if isinstance(value, list) else value


def _server(name: str, image: str, port: int, command: list[str], files: dict[str, str]) -> list[Object]:
    labels = {
        "app.kubernetes.io/name": name,
        f"{LABEL_PREFIX}/serves": "monitoring",
        f"{LABEL_PREFIX}/calls-monitoring": "true",
    }
    about = {"name": name, "namespace": MONITORING}
    selector = {"app.kubernetes.io/name": name}
    container = {
        "name": "main",
        "image": image,
        "command": command,
        "ports": [{"containerPort": port}],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": port}, "periodSeconds": 2},
        "resources": {"requests": {"cpu": "10m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "configuration", "mountPath": _CONFIGURATION},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "configuration", "secret": {"secretName": name}}, {"name": "tmp", "emptyDir": {}}],
    }
    template = {"metadata": {"labels": labels}, "spec": spec}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": about, "stringData": files},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": about,
            "spec": {"selector": {"matchLabels": selector}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": about,
            "spec": {"selector": selector, "ports": [{"port": port, "targetPort": port}]},
        },
    ]
