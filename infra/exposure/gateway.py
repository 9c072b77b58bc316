"""Exposure by the Gateway API: one gateway, HTTPS only, one host and one route for each server.

Servers that do not speak HTTP keep the URL that pods use.
"""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apiextensions, meta, networking

from infra.core.kubernetes import LABEL_PREFIX, OURS
from infra.core.names import dns_label
from infra.core.substrate import Kubernetes
from infra.exposure.settings import GatewaySettings, NodePortSettings
from infra.exposure.spec import Address, Forward, rebased

HTTPS = 443
OWNER_LABEL = "gateway.envoyproxy.io/owning-gateway-name"
"""Label that Envoy Gateway gives a gateway's pods.
Source: https://gateway.envoyproxy.io/docs/tasks/operations/customize-envoyproxy/"""


@dataclass(frozen=True, kw_only=True)
class GatewayExposureArgs:
    """The settings, and what other components hand over."""

    settings: GatewaySettings | NodePortSettings

    substrate: Kubernetes


class GatewayExposure(pulumi.ComponentResource):
    """A Gateway with a certificate for every host of its domain.

    Realizes `infra.exposure.Exposure`.
    Source: https://gateway-api.sigs.k8s.io/reference/spec/
    """

    def __init__(self, name: str, args: GatewayExposureArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:GatewayExposure", name, None, opts)
        self._name, self._args = name, args
        self._exposed: set[str] = set()
        child = args.substrate.child(self)

        certificate = f"{name}-certificate"
        metadata = meta.v1.ObjectMetaArgs(name=certificate, namespace=args.substrate.namespace)
        apiextensions.CustomResource(
            certificate,
            api_version="cert-manager.io/v1",
            kind="Certificate",
            metadata=metadata,
            spec={
                "secretName": certificate,
                "dnsNames": [f"*.{args.settings.domain}"],
                "issuerRef": {"kind": "ClusterIssuer", "name": args.settings.issuer},
            },
            opts=child,
        )
        proxy = self._node_port(args.settings) if isinstance(args.settings, NodePortSettings) else None
        self._gateway = apiextensions.CustomResource(
            f"{name}-gateway",
            api_version="gateway.networking.k8s.io/v1",
            kind="Gateway",
            metadata=meta.v1.ObjectMetaArgs(name=name, namespace=args.substrate.namespace),
            spec={
                "gatewayClassName": args.settings.gateway_class,
                **({"infrastructure": {"parametersRef": proxy}} if proxy else {}),
                "listeners": [
                    {
                        "name": "https",
                        "protocol": "HTTPS",
                        "port": HTTPS,
                        "hostname": f"*.{args.settings.domain}",
                        "tls": {"mode": "Terminate", "certificateRefs": [{"name": certificate}]},
                        "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": OURS}}},
                    }
                ],
            },
            opts=child,
        )
        self.register_outputs({})

    def expose(self, name: str, path: str, url: pulumi.Output[str]) -> pulumi.Output[str]:
        """`https://<name>.<domain>`, with the path of `url`."""
        settings = self._args.settings
        host = f"{dns_label(name)}.{settings.domain}"
        if name not in self._exposed:
            self._exposed.add(name)
            self._route(name, path, host, url.apply(Address.of))
        port = f":{settings.port}" if isinstance(settings, NodePortSettings) else ""
        return url.apply(lambda url: rebased(url, f"https://{host}{port}"))

    def forwards(self) -> list[Forward]:
        """None: the gateway is there for good."""
        return []

    def _route(self, name: str, path: str, host: str, address: pulumi.Output[Address]) -> None:
        metadata = meta.v1.ObjectMetaArgs(namespace=address.apply(lambda found: found.namespace))
        child = pulumi.ResourceOptions(parent=self)
        apiextensions.CustomResource(
            f"{self._name}-{name}-route",
            api_version="gateway.networking.k8s.io/v1",
            kind="HTTPRoute",
            metadata=metadata,
            spec={
                "hostnames": [host],
                "parentRefs": [{"name": self._name, "namespace": self._args.substrate.namespace}],
                "rules": [
                    {
                        "backendRefs": [
                            {
                                "name": address.apply(lambda found: found.service),
                                "port": address.apply(lambda found: found.port),
                            }
                        ]
                    }
                ],
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self._gateway]),
        )
        networking.v1.NetworkPolicy(
            f"{self._name}-{name}",
            metadata=metadata,
            spec=networking.v1.NetworkPolicySpecArgs(
                pod_selector=meta.v1.LabelSelectorArgs(match_labels={f"{LABEL_PREFIX}/serves": path}),
                policy_types=["Ingress"],
                ingress=[
                    networking.v1.NetworkPolicyIngressRuleArgs(
                        from_=[
                            networking.v1.NetworkPolicyPeerArgs(
                                namespace_selector=meta.v1.LabelSelectorArgs(),
                                pod_selector=meta.v1.LabelSelectorArgs(match_labels={OWNER_LABEL: self._name}),
                            )
                        ],
                        ports=[
                            networking.v1.NetworkPolicyPortArgs(
                                port=address.apply(lambda found: found.port), protocol="TCP"
                            )
                        ],
                    )
                ],
            ),
            opts=child,
        )

    def _node_port(self, settings: NodePortSettings) -> dict[str, str]:
        """Let the gateway's Service take a port of the nodes instead of a load balancer; returns its reference."""
        ports = [{"name": f"https-{HTTPS}", "port": HTTPS, "nodePort": settings.port}]
        apiextensions.CustomResource(
            f"{self._name}-proxy",
            api_version="gateway.envoyproxy.io/v1alpha1",
            kind="EnvoyProxy",
            metadata=meta.v1.ObjectMetaArgs(name=self._name, namespace=self._args.substrate.namespace),
            spec={
                "provider": {
                    "type": "Kubernetes",
                    "kubernetes": {
                        "envoyService": {
                            "type": "NodePort",
                            "patch": {"type": "StrategicMerge", "value": {"spec": {"ports": ports}}},
                        }
                    },
                }
            },
            opts=self._args.substrate.child(self),
        )
        return {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": self._name}
