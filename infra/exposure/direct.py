"""Exposure where there is nothing to do: the servers listen on the person's own machine."""

import pulumi

from infra.exposure.spec import Forward


class Direct:
    """Gives every URL as it is.

    Realizes `infra.exposure.Exposure`.
    """

    def expose(self, name: str, path: str, url: pulumi.Output[str]) -> pulumi.Output[str]:
        """The URL itself."""
        del name, path
        return url

    def forwards(self) -> list[Forward]:
        """None."""
        return []
