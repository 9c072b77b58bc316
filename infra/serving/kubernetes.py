"""Serving on a cluster: a KServe InferenceService in Standard mode, its predictor our own model server."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import meta

from infra.compute.kubernetes import PORT, service, url
from infra.compute.pod import Server, TaskOnKubernetesArgs, pod
from infra.kube import network_policies, objects
from infra.kube.server import disruption_budget
from infra.serving.inference_service import CONTAINER, Predictor, inference_service
from infra.serving.settings import KserveOnKubernetesSettings
from infra.serving.spec import ModelServerSpec

LIVE_PATH = "/v2/health/live"
ROLE = "model-server"
"""Name of the open path that ends at model servers."""


@dataclass(frozen=True, kw_only=True)
class KserveOnKubernetesArgs(TaskOnKubernetesArgs):
    """The settings, and what other components hand over."""

    settings: KserveOnKubernetesSettings


class ModelServerOnKubernetes(pulumi.ComponentResource):
    """An InferenceService, and a Service before its pods, whose address is known before KServe has seen it.

    Realizes `infra.serving.ModelServer`. Pods count as ready once they are live: before the first release there is no
    model to serve, and the release asks the server.
    """

    model_url: pulumi.Output[str]

    prediction_url: pulumi.Output[str]

    metrics_target: pulumi.Output[str]

    ready: pulumi.Resource
    """The InferenceService, once KServe calls it ready."""

    def __init__(
        self, name: str, spec: ModelServerSpec, args: KserveOnKubernetesArgs, opts: pulumi.ResourceOptions | None
    ) -> None:
        super().__init__("mlplatform:index:ModelServerOnKubernetes", name, None, opts)
        substrate, settings = args.substrate, args.settings

        server = Server(path=ROLE, port=PORT, health=LIVE_PATH)
        made = pod(name, spec, args, self, server=server, container=CONTAINER)
        made.spec.topology_spread_constraints = [objects.spread(name)]
        service(name, made.labels, PORT, substrate, self)
        network_policies.open_to_callers(name, ROLE, [PORT], substrate, self)
        if settings.max_replicas > 1:
            disruption_budget(name, meta.v1.ObjectMetaArgs(namespace=substrate.namespace), substrate, self)
        self.ready = inference_service(
            f"{name}-predictor",
            meta.v1.ObjectMetaArgs(name=name, namespace=substrate.namespace, labels=objects.labels(name)),
            Predictor(
                pod=made.spec,
                labels=made.labels,
                min_replicas=settings.min_replicas,
                max_replicas=settings.max_replicas,
                cpu_target_percent=settings.cpu_target_percent,
                timeout_seconds=settings.timeout_seconds,
            ),
            substrate.child(self),
        )

        base = url(name, PORT, substrate)
        self.model_url = pulumi.Output.concat(base, "/v1/models/", spec.model_name)
        self.prediction_url = pulumi.Output.concat(self.model_url, ":predict")
        self.metrics_target = base.apply(lambda base: base.removeprefix("http://"))
        self.register_outputs(
            {
                "model_url": self.model_url,
                "prediction_url": self.prediction_url,
                "metrics_target": self.metrics_target,
            }
        )


class KserveOnKubernetes(pulumi.ComponentResource):
    """Deploys model servers through KServe's controller.

    Realizes `infra.serving.Serving`.
    Source: https://kserve.github.io/website/docs/admin-guide/kubernetes-deployment
    """

    def __init__(self, name: str, args: KserveOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:KserveOnKubernetes", name, None, opts)
        self._args = args
        self.register_outputs({})

    def deploy(
        self, name: str, spec: ModelServerSpec, opts: pulumi.ResourceOptions | None = None
    ) -> ModelServerOnKubernetes:
        """Keep a model server running."""
        return ModelServerOnKubernetes(name, spec, self._args, opts)
