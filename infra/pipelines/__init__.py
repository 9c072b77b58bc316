"""Pipelines: where Kubeflow pipelines run."""

from collections.abc import Mapping
from typing import Protocol

import pulumi

from infra.core.substrate import Substrate
from infra.pipelines.local import KfpInProcess
from infra.pipelines.settings import PipelinesSettings

__all__ = ["Pipelines", "PipelinesSettings", "build"]


class Pipelines(Protocol):
    """What every realization gives; workloads accept this and nothing narrower."""

    url: pulumi.Output[str] | None
    """Base URL of the server's API and pages; None where there is no server."""

    client_env: Mapping[str, pulumi.Output[str]]
    """`KFP_HOST` and the stages' images (`INGEST_IMAGE`, `WORKLOAD_IMAGE`) where there is a server; without it whoever
    starts a pipeline runs it by `kfp.local`."""

    def provide(
        self,
        name: str,
        environment: Mapping[str, pulumi.Input[str]],
        secrets: Mapping[str, pulumi.Input[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Let stages of the pipeline `name` find variables, in a ConfigMap and a Secret of that name.

        Does nothing where stages are processes of whoever starts them.
        """


def build(
    name: str, settings: PipelinesSettings, substrate: Substrate, opts: pulumi.ResourceOptions | None = None
) -> Pipelines:
    """Make the realization that the stack file names."""
    del settings, substrate
    return KfpInProcess(name, opts)
