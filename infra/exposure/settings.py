"""What a stack file can say about the role exposure; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.core.names import DnsLabel
from infra.core.settings import Settings

Domain = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$")]
"""A DNS domain, e.g. `ml.example.org`; its sub-domains are the servers' hosts."""


class PortForwardSettings(Settings):
    """Nothing is exposed; `make forward` opens a loopback port of the person's machine for each server."""

    kind: Literal["port-forward"]

    first_port: Annotated[int, Field(ge=1024, le=65_000)] = 18_080
    """The first server's port on 127.0.0.1; the others follow."""


class GatewaySettings(Settings):
    """HTTPS through a Gateway with a load balancer, one host for each server."""

    kind: Literal["gateway"]

    domain: Domain
    """Its sub-domains must lead to the load balancer."""

    gateway_class: DnsLabel = "envoy"
    """GatewayClass whose controller runs the gateway."""

    issuer: str
    """Name of cert-manager's ClusterIssuer that signs the gateway's certificate."""


class NodePortSettings(Settings):
    """HTTPS through a Gateway on one port of every node, one host for each server; for clusters without balancers."""

    kind: Literal["node-port"]

    domain: Domain
    """Its sub-domains must lead to a node."""

    port: Annotated[int, Field(ge=30_000, le=32_767)] = 30_443
    """TCP port of the nodes.
    Source: https://kubernetes.io/docs/concepts/services-networking/service/#type-nodeport"""

    gateway_class: DnsLabel = "envoy"
    """GatewayClass whose controller runs the gateway."""

    issuer: str
    """Name of cert-manager's ClusterIssuer that signs the gateway's certificate."""


ExposureSettings = Annotated[PortForwardSettings | GatewaySettings | NodePortSettings, Field(discriminator="kind")]
