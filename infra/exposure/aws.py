"""Exposure on AWS: a gateway behind a Network Load Balancer, with a certificate and DNS records.

Left out: the AWS Load Balancer Controller. The cluster's own cloud controller makes the load balancer; where the other
one is there, it understands the same annotations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import pulumi
from pulumi_kubernetes import apiextensions, meta

from infra.aws.substrate import Aws
from infra.base.ports import HTTPS
from infra.exposure.certificate import AcmCertificate, AcmCertificateArgs
from infra.exposure.dns import ExternalDns, ExternalDnsArgs
from infra.exposure.gateway import GatewayExposure, GatewayExposureArgs, Issuer
from infra.exposure.settings import AcmSettings, AwsGatewaySettings, ClusterIssuerSettings
from infra.exposure.spec import Forward, Login, Server
from infra.kube import envoy_proxy

ANNOTATION = "service.beta.kubernetes.io/aws-load-balancer-"
"""Source: https://cloud-provider-aws.sigs.k8s.io/service_controller/"""
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"
"""TLS 1.2 and 1.3 with forward secrecy.
Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/network/describe-ssl-policies.html"""


@dataclass(frozen=True, kw_only=True)
class AwsGatewayArgs:
    """The settings, and what other components hand over."""

    settings: AwsGatewaySettings

    substrate: Aws

    login: Login | None


class AwsGateway(pulumi.ComponentResource):
    """A load balancer, a gateway behind it, a certificate for the one or the other, and records that lead to it.

    With a certificate of ACM the load balancer ends TLS and opens its own TLS connections to the gateway, without SNI.
    Only the load balancer sees the gateway's own certificate.
    Realizes `infra.exposure.Exposure`.
    Source: https://docs.aws.amazon.com/eks/latest/userguide/network-load-balancing.html
    """

    def __init__(self, name: str, args: AwsGatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:AwsGateway", name, None, opts)
        self._name, self._args = name, args
        settings, gateway = args.settings, f"{name}-gateway"

        issuer, annotations = self._certificate()
        if settings.records is not None:
            ExternalDns(
                f"{name}-dns",
                ExternalDnsArgs(
                    settings=settings.records,
                    substrate=args.substrate,
                    zone_id=settings.zone_id,
                    domain=settings.domain,
                    gateway=gateway,
                ),
                pulumi.ResourceOptions(parent=self),
            )
        self._gateway = GatewayExposure(
            gateway,
            GatewayExposureArgs(
                substrate=args.substrate.kubernetes,
                domain=settings.domain,
                gateway_class=settings.gateway_class,
                issuer=issuer,
                proxy=self._proxy(annotations),
                server_name=not isinstance(settings.certificate, AcmSettings),
                login=args.login,
                model_access=settings.model_access,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})

    def expose(self, server: Server, url: pulumi.Output[str]) -> pulumi.Output[str]:
        """`https://<name>.<domain>`, with the path of `url`; a server that does not speak HTTP keeps its URL."""
        return self._gateway.expose(server, url)

    def hosts(self, name: str) -> Sequence[str]:
        """Its host, with and without the port."""
        return self._gateway.hosts(name)

    def forwards(self) -> list[Forward]:
        """Past the login, for programs of people who have the kubeconfig."""
        return self._gateway.forwards()

    def _certificate(self) -> tuple[Issuer, Mapping[str, pulumi.Input[str]]]:
        """Who signs the gateway's certificate, and what the load balancer is told of its own."""
        settings = self._args.settings
        match settings.certificate:
            case ClusterIssuerSettings():
                return Issuer(kind="ClusterIssuer", name=settings.certificate.name), {}
            case AcmSettings():
                return self._between(), {
                    f"{ANNOTATION}ssl-cert": settings.certificate.arn or self._requested(),
                    f"{ANNOTATION}ssl-ports": str(HTTPS),
                    f"{ANNOTATION}ssl-negotiation-policy": TLS_POLICY,
                    f"{ANNOTATION}backend-protocol": "ssl",
                }
            case _:
                assert_never(settings.certificate)

    def _requested(self) -> pulumi.Output[str]:
        settings = self._args.settings
        args = AcmCertificateArgs(domain=settings.domain, zone_id=settings.zone_id)
        return AcmCertificate(f"{self._name}-acm", args, pulumi.ResourceOptions(parent=self)).arn

    def _between(self) -> Issuer:
        """Signs what the load balancer sees; it asks for encryption and checks no name."""
        inside, name = self._args.substrate.kubernetes, f"{self._name}-self-signed"
        apiextensions.CustomResource(
            name,
            api_version="cert-manager.io/v1",
            kind="Issuer",
            metadata=meta.v1.ObjectMetaArgs(name=name, namespace=inside.namespace),
            spec={"selfSigned": {}},
            opts=inside.child(self),
        )
        return Issuer(kind="Issuer", name=name)

    def _proxy(self, certificate: Mapping[str, pulumi.Input[str]]) -> dict[str, Any]:
        settings, tags = self._args.settings, self._args.substrate.account.tags
        internal = settings.scheme == "internal"
        annotations = {
            f"{ANNOTATION}type": "nlb",
            f"{ANNOTATION}scheme": settings.scheme,
            **({f"{ANNOTATION}internal": "true"} if internal else {}),
            f"{ANNOTATION}cross-zone-load-balancing-enabled": "true",
            f"{ANNOTATION}additional-resource-tags": ",".join(f"{key}={value}" for key, value in tags.items()),
            **certificate,
        }
        return {
            "envoyDeployment": envoy_proxy.deployment(settings.replicas),
            **({"envoyPDB": {"maxUnavailable": 1}} if settings.replicas > 1 else {}),
            "envoyService": {
                "type": "LoadBalancer",
                "annotations": annotations,
                **({"loadBalancerSourceRanges": list(settings.sources)} if settings.sources else {}),
            },
        }
