"""Pipelines without a server: `kfp.local` in the process that starts them."""

from collections.abc import Mapping, Sequence
from typing import Literal

import pulumi

from infra.identity import Need


class KfpInProcess(pulumi.ComponentResource):
    """Nothing to run: the retraining service starts the pipeline's steps as processes of its own.

    Realizes `infra.pipelines.Pipelines`.
    Source: https://www.kubeflow.org/docs/components/pipelines/user-guides/core-functions/execute-kfp-pipelines-locally/
    """

    engine: Literal["in-process"] = "in-process"

    url: pulumi.Output[str] | None

    pages_url: pulumi.Output[str] | None

    login: pulumi.Output[str] | None

    client_env: Mapping[str, pulumi.Output[str]]

    client_secrets: Mapping[str, pulumi.Output[str]]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:KfpInProcess", name, None, opts)
        self.url = self.pages_url = self.login = None
        self.client_env, self.client_secrets = {}, {}
        self.register_outputs({})

    def provide(
        self,
        name: str,
        environment: Mapping[str, pulumi.Input[str]],
        secrets: Mapping[str, pulumi.Input[str]],
        needs: Sequence[Need],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Nothing: stages have the variables of the process that starts them."""
