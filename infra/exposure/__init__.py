"""Exposure: how people outside reach the servers that are named in the stack's outputs."""

from typing import Protocol, assert_never

import pulumi

from infra.core.substrate import Kubernetes, Substrate, narrow
from infra.exposure.settings import ExposureSettings, GatewaySettings, NodePortSettings, PortForwardSettings
from infra.exposure.spec import Forward

__all__ = ["Exposure", "ExposureSettings", "Forward", "build"]


class Exposure(Protocol):
    """What every realization gives."""

    def expose(self, name: str, path: str, url: pulumi.Output[str]) -> pulumi.Output[str]:
        """The URL by which people reach what pods reach by `url`.

        `name`: of the server, the same for all its URLs; `path`: the open path that ends at its pods, see
        `infra.core.kubernetes.open_to_callers`.
        """

    def forwards(self) -> list[Forward]:
        """Ports that `make forward` opens; none where servers are exposed for good."""


def build(
    name: str, settings: ExposureSettings, substrate: Substrate, opts: pulumi.ResourceOptions | None = None
) -> Exposure:
    """Make the realization that the stack file names."""
    cluster = narrow(substrate, Kubernetes)
    match settings:
        case PortForwardSettings():
            from infra.exposure.port_forward import PortForward

            return PortForward(name, settings, opts)
        case GatewaySettings() | NodePortSettings():
            from infra.exposure.gateway import GatewayExposure, GatewayExposureArgs

            return GatewayExposure(name, GatewayExposureArgs(settings=settings, substrate=cluster), opts)
        case _:
            assert_never(settings)
