"""Exposure by the Gateway API: one gateway, HTTPS only, one host and one route for each server, a login before all.

Servers that do not speak HTTP keep the URL that pods use.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, meta

from infra.base.names import dns_label
from infra.base.ports import HTTPS
from infra.exposure.login import open_to_programs, require_login
from infra.exposure.settings import FIRST_PORT, GatewaySettings, ModelAccessSettings, NodePortSettings
from infra.exposure.spec import Address, Forward, Forwards, Login, Server, rebased
from infra.kube import envoy_proxy
from infra.kube.network_policies import Ingress, namespace_named, network_policy, peer, tcp
from infra.kube.objects import LABEL_PREFIX, OURS
from infra.kube.substrate import Kubernetes

OWNER_LABEL = "gateway.envoyproxy.io/owning-gateway-name"
"""Label that Envoy Gateway gives a gateway's pods.
Source: https://gateway.envoyproxy.io/docs/tasks/operations/customize-envoyproxy/"""


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Who signs the gateway's certificate, to cert-manager."""

    kind: str
    """`ClusterIssuer`, or `Issuer` of the gateway's namespace."""

    name: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class GatewayExposureArgs:
    """What is exposed where, and to whom."""

    substrate: Kubernetes

    domain: str

    gateway_class: str

    issuer: Issuer

    proxy: Mapping[str, Any]
    """Deployment and Service of the gateway's proxies, as in an EnvoyProxy under `provider.kubernetes`."""

    port: int | None = None
    """TCP port that people reach it by; None: that of HTTPS."""

    server_name: bool = True
    """Whether connections name their host in TLS (SNI). A load balancer that encrypts again sends none, and at a
    listener with a hostname Envoy resets such a connection."""

    login: Login | None = None
    """None: everybody who reaches the gateway reaches every server."""

    model_access: ModelAccessSettings | None = None

    @classmethod
    def of(
        cls, settings: GatewaySettings | NodePortSettings, substrate: Kubernetes, login: Login | None
    ) -> "GatewayExposureArgs":
        """A gateway on any cluster."""
        port = settings.port if isinstance(settings, NodePortSettings) else None
        return cls(
            substrate=substrate,
            domain=settings.domain,
            gateway_class=settings.gateway_class,
            issuer=Issuer(kind="ClusterIssuer", name=settings.issuer),
            proxy={"envoyDeployment": envoy_proxy.deployment(), "envoyService": _service(settings)},
            port=port,
            login=login,
            model_access=settings.model_access,
        )


class GatewayExposure(pulumi.ComponentResource):
    """A Gateway with a certificate for every host of its domain.

    Realizes `infra.exposure.Exposure`.
    Source: https://gateway-api.sigs.k8s.io/reference/spec/
    """

    def __init__(self, name: str, args: GatewayExposureArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:GatewayExposure", name, None, opts)
        self._name, self._args = name, args
        self._forwards = Forwards(FIRST_PORT)

        certificate = f"{name}-certificate"
        self._custom(
            certificate,
            "cert-manager.io/v1",
            "Certificate",
            certificate,
            {
                "secretName": certificate,
                "dnsNames": [f"*.{args.domain}"],
                "issuerRef": {"kind": args.issuer.kind, "name": args.issuer.name},
            },
        )
        proxy = self._proxy(args.proxy)
        self._gateway = self._custom(
            f"{name}-gateway",
            "gateway.networking.k8s.io/v1",
            "Gateway",
            name,
            {
                "gatewayClassName": args.gateway_class,
                "infrastructure": {"parametersRef": proxy},
                "listeners": [
                    {
                        "name": "https",
                        "protocol": "HTTPS",
                        "port": HTTPS,
                        # Without it the requests' Host header alone chooses the route.
                        **({"hostname": f"*.{args.domain}"} if args.server_name else {}),
                        "tls": {"mode": "Terminate", "certificateRefs": [{"name": certificate}]},
                        "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": OURS}}},
                    }
                ],
            },
        )
        # A route is there only once the login before it is.
        self._ready: list[pulumi.Resource] = [self._gateway]
        if args.login is not None:
            login = require_login(
                f"{name}-login",
                args.login,
                gateway=name,
                domain=args.domain,
                substrate=args.substrate,
                parent=self,
            )
            self._ready.append(login)
        self.register_outputs({})

    def expose(self, server: Server, url: pulumi.Output[str]) -> pulumi.Output[str]:
        """`https://<name>.<domain>`, with the path of `url`; a server that does not speak HTTP keeps its URL."""
        if not server.http:
            return url
        host = self._host(server.name)
        if server not in self._forwards:
            self._forwards.of(server, url)
            self._open(server, host, url.apply(Address.of))
        port = "" if self._args.port is None else f":{self._args.port}"
        return url.apply(lambda url: rebased(url, f"https://{host}{port}"))

    def hosts(self, name: str) -> list[str]:
        """Its host, with and without a port: clients differ in what they send."""
        host = self._host(name)
        return [host, f"{host}:{self._args.port or HTTPS}"]

    def forwards(self) -> list[Forward]:
        """Past a login, which programs of people who have the kubeconfig do not meet; none where there is none."""
        return [] if self._args.login is None else self._forwards.all()

    def _host(self, name: str) -> str:
        return f"{dns_label(name)}.{self._args.domain}"

    def _open(self, server: Server, host: str, address: pulumi.Output[Address]) -> None:
        name, args = server.name, self._args
        namespace, port = (address.apply(lambda found: found.namespace), address.apply(lambda found: found.port))
        route = f"{self._name}-{name}"
        apiextensions.CustomResource(
            f"{route}-route",
            api_version="gateway.networking.k8s.io/v1",
            kind="HTTPRoute",
            # The policy of a route names it.
            metadata=meta.v1.ObjectMetaArgs(name=route, namespace=namespace),
            spec={
                "hostnames": [host],
                "parentRefs": [{"name": self._name, "namespace": args.substrate.namespace}],
                "rules": [
                    {"backendRefs": [{"name": address.apply(lambda found: found.service), "port": port}]},
                ],
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._ready),
        )
        self._let_in(server, namespace, server.pod_port or port)
        if server.model and args.model_access is not None:
            issuer = args.login.settings.issuer if args.login else None
            open_to_programs(
                f"{route}-access",
                route=route,
                namespace=namespace,
                access=args.model_access,
                issuer=issuer,
                parent=self,
            )

    def _let_in(self, server: Server, namespace: pulumi.Output[str], port: pulumi.Input[int]) -> None:
        proxies = peer({OWNER_LABEL: self._name}, namespace_named(envoy_proxy.NAMESPACE))
        network_policy(
            f"{self._name}-{server.name}",
            namespace,
            pulumi.ResourceOptions(parent=self),
            pods={f"{LABEL_PREFIX}/serves": server.path},
            ingress=[Ingress(from_=[proxies], ports=tcp(port))],
        )

    def _proxy(self, kubernetes: Mapping[str, Any]) -> dict[str, str]:
        """How this gateway's proxies are run; returns its reference."""
        self._custom(
            f"{self._name}-proxy",
            "gateway.envoyproxy.io/v1alpha1",
            "EnvoyProxy",
            self._name,
            {"provider": {"type": "Kubernetes", "kubernetes": dict(kubernetes)}},
        )
        return {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": self._name}

    def _custom(
        self, name: str, api_version: str, kind: str, called: str, spec: dict[str, Any]
    ) -> apiextensions.CustomResource:
        """A custom resource by a fixed name in the gateway's namespace."""
        substrate = self._args.substrate
        return apiextensions.CustomResource(
            name,
            api_version=api_version,
            kind=kind,
            metadata=meta.v1.ObjectMetaArgs(name=called, namespace=substrate.namespace),
            spec=spec,
            opts=substrate.child(self),
        )


def _service(settings: GatewaySettings | NodePortSettings) -> dict[str, Any]:
    """The Service in front of the proxies: a load balancer, or a port of every node."""
    if isinstance(settings, GatewaySettings):
        return {
            "type": "LoadBalancer",
            **({"loadBalancerSourceRanges": list(settings.sources)} if settings.sources else {}),
        }
    ports = [{"name": f"https-{HTTPS}", "port": HTTPS, "nodePort": settings.port}]
    return {"type": "NodePort", "patch": {"type": "StrategicMerge", "value": {"spec": {"ports": ports}}}}
