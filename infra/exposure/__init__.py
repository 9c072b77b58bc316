"""Exposure: how people outside reach the servers that are named in the stack's outputs."""

from collections.abc import Sequence
from typing import Protocol, assert_never

import pulumi

from infra.aws.substrate import Aws
from infra.exposure.settings import (
    AwsExposureSettings,
    AwsGatewaySettings,
    ExposureSettings,
    GatewaySettings,
    LoginSettings,
    NodePortSettings,
    OidcSettings,
    PortForwardSettings,
)
from infra.exposure.spec import Forward, Login, LoginError, Server
from infra.kube.substrate import Kubernetes
from infra.substrate import Substrate, narrow

__all__ = [
    "AwsExposureSettings",
    "Exposure",
    "ExposureSettings",
    "Forward",
    "LoginError",
    "Server",
    "build",
    "login_of",
]


class Exposure(Protocol):
    """What every realization gives."""

    def expose(self, server: Server, url: pulumi.Output[str]) -> pulumi.Output[str]:
        """The URL by which people reach what pods reach by `url`."""

    def hosts(self, name: str) -> Sequence[str]:
        """Values of the header `Host` with which requests from outside reach the server `name`; none on loopback."""

    def forwards(self) -> list[Forward]:
        """Ports that `make forward` opens; none where every server is reached without them."""


def login_of(settings: ExposureSettings | AwsExposureSettings) -> LoginSettings | None:
    """How people log in, where the stack file says it."""
    return None if isinstance(settings, PortForwardSettings) else settings.login


def build(
    name: str,
    settings: ExposureSettings | AwsExposureSettings,
    substrate: Substrate,
    login_client_secret: str | None,
    opts: pulumi.ResourceOptions | None = None,
) -> Exposure:
    """Make the realization that the stack file names.

    Raises: LoginError where there is a login without `login_client_secret`.
    """
    if isinstance(settings, PortForwardSettings):
        from infra.exposure.port_forward import PortForward

        return PortForward(name, settings, opts)

    from infra.exposure.gateway import GatewayExposure, GatewayExposureArgs

    login = Login.of(settings.login, login_client_secret) if isinstance(settings.login, OidcSettings) else None
    match settings:
        case GatewaySettings() | NodePortSettings():
            return GatewayExposure(name, GatewayExposureArgs.of(settings, narrow(substrate, Kubernetes), login), opts)
        case AwsGatewaySettings():
            from infra.exposure.aws import AwsGateway, AwsGatewayArgs

            args = AwsGatewayArgs(settings=settings, substrate=narrow(substrate, Aws), login=login)
            return AwsGateway(name, args, opts)
        case _:
            assert_never(settings)
