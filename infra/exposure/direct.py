"""Exposure where there is nothing to do: the servers listen on the person's own machine."""

import pulumi

from infra.exposure.spec import Forward, Server


class Direct:
    """Gives every URL as it is.

    Realizes `infra.exposure.Exposure`.
    """

    def expose(self, server: Server, url: pulumi.Output[str]) -> pulumi.Output[str]:
        """The URL itself."""
        del server
        return url

    def hosts(self, name: str) -> list[str]:
        """None: requests come from this machine."""
        del name
        return []

    def forwards(self) -> list[Forward]:
        """None."""
        return []
