"""KServe's InferenceService, as far as it is used here, typed: its custom resource has no SDK.

Source: https://kserve.github.io/website/docs/reference/crd-api
"""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apiextensions, core, meta

API_VERSION = "serving.kserve.io/v1beta1"
CONTAINER = "kserve-container"
"""Name that KServe knows a predictor's main container by."""


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """One component of an InferenceService, served by the platform's own containers."""

    pod: core.v1.PodSpecArgs
    """Its container is named `CONTAINER`."""

    labels: dict[str, str]
    """Labels of its pods."""

    min_replicas: int

    max_replicas: int

    cpu_target_percent: int
    """Share of the requested CPU, in percent, that its autoscaler keeps to."""

    timeout_seconds: int


def inference_service(
    name: str, metadata: meta.v1.ObjectMetaArgs, predictor: Predictor, opts: pulumi.ResourceOptions
) -> apiextensions.CustomResource:
    """Register it; `up` waits until KServe calls it ready."""
    metadata.annotations = {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "hpa",
        "pulumi.com/waitFor": "condition=Ready",
    }
    pod = predictor.pod
    return apiextensions.CustomResource(
        name,
        api_version=API_VERSION,
        kind="InferenceService",
        metadata=metadata,
        spec={
            "predictor": {
                "minReplicas": predictor.min_replicas,
                "maxReplicas": predictor.max_replicas,
                "scaleMetric": "cpu",
                "scaleTarget": predictor.cpu_target_percent,
                "timeout": predictor.timeout_seconds,
                "labels": predictor.labels,
                "deploymentStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "containers": pod.containers,
                "volumes": pod.volumes,
                "serviceAccountName": pod.service_account_name,
                "automountServiceAccountToken": pod.automount_service_account_token,
                "enableServiceLinks": pod.enable_service_links,
                "securityContext": pod.security_context,
                "topologySpreadConstraints": pod.topology_spread_constraints,
                **({"nodeSelector": pod.node_selector} if pod.node_selector else {}),
                **({"tolerations": pod.tolerations} if pod.tolerations else {}),
            }
        },
        opts=opts,
    )
