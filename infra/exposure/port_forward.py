"""Exposure by `kubectl port-forward`: the outputs name loopback ports that `make forward` opens."""

import pulumi

from infra.exposure.settings import PortForwardSettings
from infra.exposure.spec import Forward, Forwards, Server, rebased
from infra.host.substrate import LOOPBACK


class PortForward(pulumi.ComponentResource):
    """Gives each server a loopback port, in the order in which they are named; makes nothing on the cluster.

    Realizes `infra.exposure.Exposure`.
    """

    def __init__(self, name: str, settings: PortForwardSettings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:PortForward", name, None, opts)
        self._forwards = Forwards(settings.first_port)
        self.register_outputs({})

    def expose(self, server: Server, url: pulumi.Output[str]) -> pulumi.Output[str]:
        """The URL with the server's loopback port in it; answers while `make forward` runs."""
        forward = self._forwards.of(server, url)
        return url.apply(lambda url: rebased(url, f"//{LOOPBACK}:{forward.local_port}"))

    def hosts(self, name: str) -> list[str]:
        """None: requests come from the person's own machine."""
        del name
        return []

    def forwards(self) -> list[Forward]:
        """One for each server that was named."""
        return self._forwards.all()
