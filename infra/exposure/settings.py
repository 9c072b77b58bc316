"""What a stack file can say about the role exposure; without any provider's SDK, which `local` does not have."""

import ipaddress
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from infra.base.aws_types import Cidr
from infra.base.names import DnsLabel
from infra.base.settings import HttpsUrl, Settings

Domain = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$")]
"""A DNS domain, e.g. `ml.example.org`; its sub-domains are the servers' hosts."""

IssuerName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
"""Name of a ClusterIssuer, which Kubernetes takes as a DNS name."""

Scope = Annotated[str, Field(pattern=r"^[!#-\[\]-~]+$")]
"""Source: https://www.rfc-editor.org/rfc/rfc6749#section-3.3"""

FIRST_PORT = 18_080
"""Of the ports on 127.0.0.1 that `make forward` opens."""
PRIVATE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")))
"""Networks that the internet does not route to.
Source: https://www.iana.org/assignments/iana-ipv4-special-registry/"""


class PortForwardSettings(Settings):
    """Nothing is exposed; `make forward` opens a loopback port of the person's machine for each server."""

    kind: Literal["port-forward"]

    first_port: Annotated[int, Field(ge=1024, le=65_000)] = FIRST_PORT
    """The first server's port on 127.0.0.1; the others follow."""


class OidcSettings(Settings):
    """Nobody reaches a server who did not log in with an OpenID Connect provider; which accounts may, it decides.

    The client's secret is the stack's secret `mlplatform:login_client_secret`; its one redirect URI is
    `https://start.<domain>/oauth2/callback`.
    """

    kind: Literal["oidc"]

    issuer: HttpsUrl
    """The provider's issuer, e.g. `https://login.example.org/realms/ml`."""

    client_id: Annotated[str, Field(pattern=r"^\S+$", max_length=256)]
    """The platform's client at the provider. Let it admit your people only: a provider of the whole world's accounts
    admits the whole world."""

    scopes: Sequence[Scope] = ("openid", "email")
    """What the provider is asked for."""


class NoLoginSettings(Settings):
    """Everybody who reaches the gateway reaches every server."""

    kind: Literal["none"]


LoginSettings = Annotated[OidcSettings | NoLoginSettings, Field(discriminator="kind")]


class NetworkAccessSettings(Settings):
    """Programs reach the model from some networks, without a token."""

    kind: Literal["network"]

    cidrs: Annotated[Sequence[Cidr], Field(min_length=1)]
    """Networks of the clients, e.g. `10.0.0.0/8`."""


class TokenAccessSettings(Settings):
    """Programs reach the model with a bearer token (JWT) that the login's issuer signed for one audience."""

    kind: Literal["token"]

    audience: Annotated[str, Field(pattern=r"^\S+$", max_length=256)]
    """The token's `aud`."""

    keys_url: HttpsUrl
    """Where the issuer's keys are: `jwks_uri` in its `/.well-known/openid-configuration`."""


ModelAccessSettings = Annotated[NetworkAccessSettings | TokenAccessSettings, Field(discriminator="kind")]


class _Gateway(Settings):
    """What every gateway asks."""

    domain: Domain
    """Its sub-domains are the servers' hosts."""

    gateway_class: DnsLabel = "envoy"
    """GatewayClass whose controller runs the gateway; login and access to the model are Envoy Gateway's."""

    login: LoginSettings
    """How people log in before they reach a server."""

    model_access: ModelAccessSettings | None = None
    """How programs reach the model server, which no login fits; None: it is behind the login as all others are."""

    @model_validator(mode="after")
    def _tokens_have_an_issuer(self) -> "_Gateway":
        if self.model_access is not None and self.model_access.kind == "token" and self.login.kind != "oidc":
            raise ValueError(
                "model_access.kind token needs an issuer, but login.kind is none: give login.kind oidc, "
                "or model_access.kind network"
            )
        return self


class GatewaySettings(_Gateway):
    """HTTPS through a Gateway with a load balancer, one host for each server."""

    kind: Literal["gateway"]

    issuer: IssuerName
    """Name of cert-manager's ClusterIssuer that signs the gateway's certificate."""

    sources: Sequence[Cidr] = ()
    """Networks that the load balancer takes connections from; none: it takes them from everywhere."""

    @model_validator(mode="after")
    def _not_open_to_everybody(self) -> "GatewaySettings":
        refuse_open(self, self.sources)
        return self


class NodePortSettings(_Gateway):
    """HTTPS through a Gateway on one port of every node, one host for each server; for clusters without balancers.

    Who reaches a node's port is the network's matter, so that `login` must be said, `none` included.
    """

    kind: Literal["node-port"]

    port: Annotated[int, Field(ge=30_000, le=32_767)] = 30_443
    """TCP port of the nodes.
    Source: https://kubernetes.io/docs/concepts/services-networking/service/#type-nodeport"""

    issuer: IssuerName
    """Name of cert-manager's ClusterIssuer that signs the gateway's certificate."""


class AcmSettings(Settings):
    """A certificate of AWS Certificate Manager on the load balancer, which AWS renews."""

    kind: Literal["acm"]

    arn: (
        Annotated[str, Field(pattern=r"^arn:aws(-cn|-us-gov)?:acm:[a-z0-9-]+:[0-9]{12}:certificate/[a-z0-9-]+$")] | None
    ) = None
    """Of one for `*.<domain>` that is there; None requests it, and proves the domain in the hosted zone."""


class ClusterIssuerSettings(Settings):
    """A certificate by cert-manager on the gateway; the load balancer passes TLS on."""

    kind: Literal["cluster-issuer"]

    name: IssuerName
    """Of a ClusterIssuer that is there, and can prove a wildcard's domain (DNS-01)."""


class RecordsSettings(Settings):
    """DNS records of the servers' hosts, kept by external-dns."""

    policy: Literal["upsert-only", "sync"] = "sync"
    """Whether records of hosts that are gone are deleted (`sync`), or left to point at what may be another's by then.
    Records that the stack did not make are never touched."""


class AwsGatewaySettings(_Gateway):
    """HTTPS through a Network Load Balancer and a Gateway, with certificate and DNS records for each server's host."""

    kind: Literal["aws-gateway"]

    zone_id: Annotated[str, Field(pattern=r"^Z[A-Z0-9]{5,31}$")]
    """Hosted zone of Route 53 that has the domain in it."""

    scheme: Literal["internal", "internet-facing"] = "internal"
    """Whether the load balancer has addresses of the VPC only, reached by VPN or peering, or public ones."""

    sources: Sequence[Cidr] = ()
    """Networks that the load balancer takes connections from; none: from everywhere that reaches it."""

    certificate: Annotated[AcmSettings | ClusterIssuerSettings, Field(discriminator="kind")] = AcmSettings(kind="acm")
    """Whose certificate people see."""

    records: RecordsSettings | None = RecordsSettings()
    """None: point `*.<domain>` at the load balancer yourself."""

    replicas: Annotated[int, Field(ge=1, le=20)] = 2
    """Proxies behind the load balancer."""

    @model_validator(mode="after")
    def _not_open_to_everybody(self) -> "AwsGatewaySettings":
        if self.scheme == "internet-facing":
            refuse_open(self, self.sources)
        return self


def _is_private(cidr: str) -> bool:
    network = ipaddress.IPv4Network(cidr)
    return any(network.subnet_of(each) for each in PRIVATE)


def refuse_open(settings: _Gateway, sources: Sequence[str]) -> None:
    """Raise ValueError for servers, or a model, that anybody on the internet could use."""
    private = bool(sources) and all(_is_private(each) for each in sources)
    if isinstance(settings.login, NoLoginSettings) and not private:
        raise ValueError(
            f"login.kind is none, and sources {list(sources)} let the internet in: give login.kind oidc, "
            "or private networks as sources, e.g. [10.0.0.0/8]"
        )
    access = settings.model_access
    if isinstance(access, NetworkAccessSettings) and "0.0.0.0/0" in access.cidrs:
        raise ValueError("model_access.cidrs 0.0.0.0/0 lets everybody use the model: give the clients' networks")


ExposureSettings = Annotated[PortForwardSettings | GatewaySettings | NodePortSettings, Field(discriminator="kind")]
"""On any cluster."""

AwsExposureSettings = Annotated[PortForwardSettings | AwsGatewaySettings, Field(discriminator="kind")]
"""On AWS."""
