"""A cluster that is there already, reached through one named context of a kubeconfig file."""

from collections.abc import Sequence
from pathlib import Path

import pulumi
import yaml

from infra.cluster import kubeconfig
from infra.cluster.settings import ExistingClusterSettings


class ExistingCluster(pulumi.ComponentResource):
    """The context that the stack file names, and no other, whatever is current.

    Realizes `infra.cluster.Cluster`.
    Raises: KubeconfigError when the file or the context in it is not there.
    """

    kubeconfig: pulumi.Output[str]

    ready: Sequence[pulumi.Resource]

    identifier: str
    """URL of the API server."""

    def __init__(
        self, name: str, settings: ExistingClusterSettings, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        chosen = kubeconfig.only(Path(settings.kubeconfig).expanduser(), settings.context)
        super().__init__("mlplatform:index:ExistingCluster", name, None, opts)

        self.kubeconfig = pulumi.Output.secret(yaml.safe_dump(chosen))
        self.identifier = kubeconfig.server(chosen)
        self.ready = []
        self.register_outputs({"kubeconfig": self.kubeconfig})
