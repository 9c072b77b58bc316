"""Controllers by their official charts: cert-manager, Envoy Gateway, KServe, and the operator of Spark applications.

A chart's contents come from upstream: they are judged at admission, and were not rendered when this was written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, meta
from pulumi_kubernetes.helm.v3 import Release

from infra.base.resources import Resources
from infra.controllers.namespace import ControllerNamespace, ControllerNamespaceArgs
from infra.controllers.settings import OfficialChartsSettings
from infra.kube import charts, envoy_proxy
from infra.kube.charts import Chart, container
from infra.kube.network_policies import Egress, Ingress, network_policy, peer
from infra.kube.objects import OURS
from infra.kube.substrate import Kubernetes

SMALL = container(Resources(cpu_millicores=50, cpu_limit_millicores=500, memory_mib=256))
MIDDLE = container(Resources(cpu_millicores=100, cpu_limit_millicores=1000, memory_mib=512))
GATEWAY_CLASS = "envoy"
"""Gateways of this class have a load balancer, as exposure asks for."""
INTERNAL = "envoy-internal"
"""Gateways of this class are reached from inside of the cluster only."""
GATEWAY_CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
PROXIES = {"app.kubernetes.io/managed-by": "envoy-gateway"}
"""Label of the pods that Envoy Gateway makes for gateways."""
MODEL_GATEWAY = "models"


@dataclass(frozen=True, kw_only=True)
class OfficialChartsArgs:
    """The settings, and what other components hand over."""

    settings: OfficialChartsSettings

    substrate: Kubernetes
    """What is ready on it comes first; each controller gets a namespace of its own."""

    workloads: Sequence[str]
    """Namespaces of the stack's workloads."""


class OfficialCharts(pulumi.ComponentResource):
    """Each controller once what it needs is ready: certificates, then gateways, then KServe.

    Realizes `infra.controllers.Controllers`. KServe's pods are ready only once its webhook has started, which is
    what its runtimes and every model server wait for.
    Source: https://kserve.github.io/website/docs/admin-guide/kubernetes-deployment
    """

    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: OfficialChartsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:OfficialCharts", name, None, opts)
        self._name, self._args = name, args
        settings = args.settings

        certificates = self._install("cert-manager", charts.CERT_MANAGER, _cert_manager(settings), [10250])
        gateway = self._gateways()
        models = self._kserve(certificates, gateway)
        self.ready = [certificates, gateway, *models]
        of_spark = args.workloads if settings.spark_namespaces is None else settings.spark_namespaces
        if of_spark:
            spark = self._install("spark-operator", charts.SPARK_OPERATOR, _spark_operator(of_spark), [9443])
            self.ready = [*self.ready, spark]

        self.register_outputs({})

    def _namespace(self, part: str, ports: Sequence[int]) -> Kubernetes:
        args = ControllerNamespaceArgs(substrate=self._args.substrate, name=part, ports=ports)
        return ControllerNamespace(f"{self._name}-{part}", args, pulumi.ResourceOptions(parent=self)).substrate

    def _install(self, part: str, chart: Chart, values: Mapping[str, Any], ports: Sequence[int]) -> Release:
        """A controller in a namespace of its own."""
        return self._release(part, chart, values, self._namespace(part, ports))

    def _release(
        self, part: str, chart: Chart, values: Mapping[str, Any], substrate: Kubernetes, *needs: pulumi.Resource
    ) -> Release:
        return charts.release(f"{self._name}-{part}", chart, values, substrate, substrate.child(self, *needs))

    def _gateways(self) -> pulumi.Resource:
        """Envoy Gateway and its two classes; the last of them, which depends on the rest."""
        part = envoy_proxy.NAMESPACE
        substrate = self._namespace(part, [])
        self._open_proxies(f"{self._name}-{part}-proxies", substrate)
        envoy = self._release("gateway", charts.ENVOY_GATEWAY, _envoy_gateway(), substrate)
        self._gateway_class(GATEWAY_CLASS, "LoadBalancer", substrate, envoy)
        return self._gateway_class(INTERNAL, "ClusterIP", substrate, envoy)

    def _gateway_class(
        self, called: str, service: str, substrate: Kubernetes, envoy: pulumi.Resource
    ) -> pulumi.Resource:
        """A class, and how the proxies of its gateways are run that have no EnvoyProxy of their own."""
        proxy = self._custom(
            called,
            "gateway.envoyproxy.io/v1alpha1",
            "EnvoyProxy",
            {
                "provider": {
                    "type": "Kubernetes",
                    "kubernetes": {
                        "envoyDeployment": envoy_proxy.deployment(),
                        "envoyService": {"type": service},
                    },
                }
            },
            substrate,
            envoy,
        )
        reference = {
            "group": "gateway.envoyproxy.io",
            "kind": "EnvoyProxy",
            "name": called,
            "namespace": substrate.namespace,
        }
        return self._custom(
            f"{called}-class",
            "gateway.networking.k8s.io/v1",
            "GatewayClass",
            {"controllerName": GATEWAY_CONTROLLER, "parametersRef": reference},
            None,
            proxy,
            called=called,
            # Before 0.2 the class without parameters had the name of its proxy.
            alias=called,
        )

    def _kserve(self, certificates: pulumi.Resource, gateway: pulumi.Resource) -> list[pulumi.Resource]:
        settings, substrate = self._args.settings, self._namespace("kserve", [9443])
        models = self._custom(
            MODEL_GATEWAY,
            "gateway.networking.k8s.io/v1",
            "Gateway",
            {
                "gatewayClassName": INTERNAL,
                "listeners": [
                    {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
                ],
            },
            substrate,
            gateway,
        )
        kept = pulumi.ResourceOptions(retain_on_delete=settings.keep_crds or None)
        definitions = charts.release(
            f"{self._name}-kserve-crds",
            charts.KSERVE_CRDS,
            {},
            substrate,
            pulumi.ResourceOptions.merge(substrate.child(self), kept),
        )
        controller = self._release(
            "kserve", charts.KSERVE, _kserve(settings), substrate, certificates, definitions, models
        )
        if not settings.runtimes:
            return [controller]
        values = {"kserve.servingruntime.enabled": True}
        return [controller, self._release("kserve-runtimes", charts.KSERVE_RUNTIMES, values, substrate, controller)]

    def _custom(
        self,
        part: str,
        api_version: str,
        kind: str,
        spec: dict[str, Any],
        substrate: Kubernetes | None,
        *needs: pulumi.Resource,
        called: str | None = None,
        alias: str | None = None,
    ) -> apiextensions.CustomResource:
        """A custom resource; without a substrate it belongs to the whole cluster."""
        namespace = substrate.namespace if substrate else None
        before = pulumi.ResourceOptions(aliases=[pulumi.Alias(name=f"{self._name}-{alias}")] if alias else None)
        return apiextensions.CustomResource(
            f"{self._name}-{part}",
            api_version=api_version,
            kind=kind,
            metadata=meta.v1.ObjectMetaArgs(name=called or part, namespace=namespace),
            spec=spec,
            opts=pulumi.ResourceOptions.merge((substrate or self._args.substrate).child(self, *needs), before),
        )

    def _open_proxies(self, name: str, substrate: Kubernetes) -> None:
        """Gateways' proxies take connections from anybody and pass them on to the stack's pods."""
        network_policy(
            name,
            substrate.namespace,
            substrate.child(self),
            pods=PROXIES,
            ingress=[Ingress()],
            egress=[Egress(to=[peer(namespaces=OURS)])],
        )


def _cert_manager(settings: OfficialChartsSettings) -> dict[str, Any]:
    """Source: https://cert-manager.io/docs/installation/helm/."""
    return {
        "crds.enabled": True,
        "crds.keep": settings.keep_crds,
        "global.leaderElection.namespace": "cert-manager",
        "resources": SMALL,
        "webhook.resources": SMALL,
        "cainjector.resources": SMALL,
        "startupapicheck.resources": SMALL,
    }


def _envoy_gateway() -> dict[str, Any]:
    """Source: https://gateway.envoyproxy.io/docs/install/gateway-helm-api/."""
    return {"deployment.envoyGateway.resources": MIDDLE, "certgen.job.resources": SMALL}


def _kserve(settings: OfficialChartsSettings) -> dict[str, Any]:
    """Source: https://github.com/kserve/kserve/tree/v0.20.0/charts/kserve-resources."""
    gateway = "kserve.controller.gateway"
    return {
        "kserve.controller.deploymentMode": "Standard",
        "kserve.controller.imagePullPolicy": "IfNotPresent",
        "kserve.controller.resources": MIDDLE,
        f"{gateway}.domain": settings.model_domain,
        f"{gateway}.disableIstioVirtualHost": True,
        f"{gateway}.ingressGateway.enableGatewayApi": True,
        f"{gateway}.ingressGateway.createGateway": False,
        f"{gateway}.ingressGateway.kserveGateway": f"kserve/{MODEL_GATEWAY}",
        f"{gateway}.ingressGateway.className": INTERNAL,
        "kserve.security.autoMountServiceAccountToken": False,
    }


def _spark_operator(namespaces: Sequence[str]) -> dict[str, Any]:
    """Source: https://github.com/kubeflow/spark-operator/tree/v2.5.0/charts/spark-operator-chart."""
    return {
        "spark.jobNamespaces": list(namespaces),
        "controller.resources": MIDDLE,
        "webhook.resources": SMALL,
    }
