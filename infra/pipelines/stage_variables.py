"""The variables of stages that a pipelines' server on this machine starts: one file for each workload."""

from collections.abc import Mapping, Sequence

import pulumi

from infra.host import File, Folder
from infra.host.substrate import Local
from infra.identity import Identity, Need


class StageVariables:
    """Files in one folder, which only the stack's owner reads: they hold the stores' credentials."""

    folder: pulumi.Output[str]
    """Absolute path."""

    def __init__(self, name: str, substrate: Local, identity: Identity, opts: pulumi.ResourceOptions) -> None:
        self._name, self._substrate, self._identity = name, substrate, identity
        self._path = f"config/{name}"
        self.folder = Folder(name, path=self._path, opts=opts).absolute_path

    def provide(
        self,
        workload: str,
        environment: Mapping[str, pulumi.Input[str]],
        secrets: Mapping[str, pulumi.Input[str]],
        needs: Sequence[Need],
        opts: pulumi.ResourceOptions | None,
    ) -> None:
        """Write what the stages of a workload have: its variables, access to `needs`, and a scratch folder."""
        name = f"{workload}-{self._name}"
        grant = self._identity.grant(name, needs, None)
        scratch = Folder(f"{name}-scratch", path=f"data/{name}", opts=opts)
        variables = {
            "PATH": self._substrate.search_path,
            **grant.environment,
            **grant.secrets,
            **environment,
            **secrets,
            "WORK_DIR": scratch.absolute_path,
        }
        File(
            f"{name}-variables",
            path=f"{self._path}/{workload}.json",
            content=pulumi.Output.secret(pulumi.Output.json_dumps(variables, sort_keys=True)),
            opts=opts,
        )
