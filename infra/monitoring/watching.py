"""What a workload asks monitoring to watch, as custom resources of the Prometheus operator, and the paths it needs.

Source: https://prometheus-operator.dev/docs/api-reference/api/
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import yaml
from pulumi_kubernetes import networking

from infra.exposure.spec import Address
from infra.kube.network_policies import Egress, Ingress, network_policy, of_the_platform, peer, tcp
from infra.kube.objects import LABEL_PREFIX, OURS
from infra.kube.substrate import Kubernetes
from infra.monitoring import receivers
from infra.monitoring.spec import Webhook

MONITORING = {f"{LABEL_PREFIX}/serves": "monitoring"}
KUBELET_PORT = 10250
_MATCHER = re.compile(r'\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*')


class MatcherError(ValueError):
    """A matcher of alerts cannot be read; the text is one line that names the fix."""


def scrape_config(job: str, target: pulumi.Output[str], *, honor_labels: bool = False) -> dict[str, Any]:
    """Scrape every pod behind a Service's `host:port`, under the job's name."""
    address = target.apply(lambda known: Address.of(f"http://{known}"))
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "ScrapeConfig",
        "spec": {
            "jobName": job,
            "honorLabels": honor_labels,
            "kubernetesSDConfigs": [
                {"role": "EndpointSlice", "namespaces": {"names": [address.apply(lambda known: known.namespace)]}}
            ],
            "relabelings": [
                {
                    "action": "keep",
                    "sourceLabels": ["__meta_kubernetes_service_name", "__meta_kubernetes_endpointslice_port"],
                    "separator": ":",
                    "regex": address.apply(lambda known: f"{known.service}:{known.port}"),
                },
                {"action": "replace", "sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "pod"},
            ],
        },
    }


def prometheus_rule(rules: str) -> dict[str, Any]:
    """A rule file as an object."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "spec": {"groups": yaml.safe_load(rules)["groups"]},
    }


def alertmanager_config(name: str, webhook: Webhook, secret: pulumi.Output[str]) -> dict[str, Any]:
    """Send a workload's alerts to its webhook with the token in a Secret, under its key `token`."""
    authorization = {"type": "Bearer", "credentials": {"name": secret, "key": "token"}}
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "spec": {
            "route": {
                "receiver": name,
                "matchers": [matcher(each) for each in webhook.matchers],
                "groupBy": ["alertname"],
                "groupWait": f"{webhook.group_wait_seconds}s",
                "groupInterval": f"{webhook.group_wait_seconds}s",
                "repeatInterval": f"{webhook.repeat_seconds}s",
            },
            "receivers": [
                {
                    "name": name,
                    "webhookConfigs": [
                        {"url": webhook.url, "sendResolved": True, "httpConfig": {"authorization": authorization}}
                    ],
                }
            ],
        },
    }


def receivers_config(people: Sequence[receivers.Receiver], secret: pulumi.Output[str]) -> dict[str, Any]:
    """Tell people of alerts; each one's secret is in a Secret, under the receiver's name."""
    routes = [
        {
            "receiver": f"to-{each.name}",
            "matchers": [matcher(text) for text in receivers.alerts_of(each)],
            "groupBy": ["alertname", "workload"],
            **receivers.camel_timing(each),
            "continue": True,
        }
        for each in people
    ]
    made = [
        {"name": f"to-{each.name}", **receivers.operators(each, {"name": secret, "key": each.name})} for each in people
    ]
    inhibited = [
        {"sourceMatch": each["source"], "targetMatch": each["target"], "equal": each["equal"]}
        for each in receivers.inhibitions(matcher)
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "spec": {
            "route": {"receiver": "page", "routes": routes},
            "receivers": [{"name": "page"}, *made],
            "inhibitRules": inhibited,
        },
    }


def matcher(text: str) -> Mapping[str, str]:
    """Alertmanager's `name="value"` as the operator writes it; raises MatcherError."""
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise MatcherError(f'{text!r} is no matcher of alerts: give e.g. alertname="DataDriftDetected"')
    name, operator, value = found.groups()
    return {"name": name, "matchType": operator, "value": re.sub(r"\\(.)", r"\1", value)}


def reach(name: str, substrate: Kubernetes, parent: pulumi.Resource) -> networking.v1.NetworkPolicy:
    """Let monitoring's pods connect to every pod of the stack that lets them in, and to kubelets."""
    return network_policy(
        name,
        substrate.namespace,
        substrate.child(parent),
        pods=MONITORING,
        egress=[Egress(to=[peer(namespaces=OURS)]), Egress(ports=tcp(KUBELET_PORT))],
    )


def open_to_monitoring(
    name: str, url: pulumi.Output[str], substrate: Kubernetes, parent: pulumi.Resource
) -> networking.v1.NetworkPolicy:
    """Let monitoring's pods in on the port of a URL, or of `host:port`, in that Service's namespace."""
    address = url.apply(lambda known: Address.of(known if "://" in known else f"http://{known}"))
    return network_policy(
        name,
        address.apply(lambda known: known.namespace),
        substrate.child(parent),
        pods={"app.kubernetes.io/name": address.apply(lambda known: known.service)},
        ingress=[
            Ingress(from_=[peer(MONITORING, of_the_platform())], ports=tcp(address.apply(lambda known: known.port)))
        ],
    )
