"""Artifact store: the S3 API for models, data, reports and evidence."""

from collections.abc import Mapping, Sequence
from typing import Protocol, assert_never

import pulumi

from infra.artifact_store.local import VersitygwOnHost, VersitygwOnHostArgs
from infra.artifact_store.settings import (
    ArtifactStoreSettings,
    S3Settings,
    VersitygwOnHostSettings,
    VersitygwOnKubernetesSettings,
)
from infra.aws.substrate import Aws
from infra.host.substrate import Local
from infra.kube.substrate import Kubernetes
from infra.substrate import Substrate, narrow


class ArtifactStore(Protocol):
    """What every realization gives; consumers accept this and nothing narrower."""

    uri: pulumi.Output[str]
    """Root for artifacts, no trailing slash: `s3://bucket`."""

    client_env: Mapping[str, pulumi.Output[str]]
    """Environment variables a client process needs to reach `uri`: endpoint, region."""

    @property
    def ready(self) -> pulumi.Input[pulumi.Resource]:
        """What a consumer that needs the store at once depends on."""

    def keys(self, prefix: str) -> Mapping[str, pulumi.Output[str]]:
        """Environment variables with keys that open what is below a prefix; none where access is by identities.

        On a cluster they open the prefix's first folder, on a host everything. Raises: KeyError for a folder that
        `build` was not told of.
        """

    def close(self) -> None:
        """Build what holds every right on the store, once the program has declared all that has one."""


def build(
    name: str,
    settings: ArtifactStoreSettings,
    substrate: Substrate,
    workloads: Sequence[str],
    opts: pulumi.ResourceOptions | None = None,
) -> ArtifactStore:
    """Make the realization that the stack file names, for these workloads."""
    match settings:
        case VersitygwOnHostSettings():
            host = VersitygwOnHostArgs(settings=settings, substrate=narrow(substrate, Local))
            return VersitygwOnHost(name, host, opts)
        case VersitygwOnKubernetesSettings():
            from infra.artifact_store.kubernetes import VersitygwOnKubernetes, VersitygwOnKubernetesArgs

            args = VersitygwOnKubernetesArgs(
                settings=settings, substrate=narrow(substrate, Kubernetes), workloads=workloads
            )
            return VersitygwOnKubernetes(name, args, opts)
        case S3Settings():
            from infra.artifact_store.aws import S3ArtifactStore, S3ArtifactStoreArgs

            aws = narrow(substrate, Aws)
            return S3ArtifactStore(name, S3ArtifactStoreArgs(settings=settings, account=aws.account), opts)
        case _:
            assert_never(settings)
