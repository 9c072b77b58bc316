"""Artifact store: the S3 API for models, data, reports and evidence."""

from collections.abc import Mapping
from typing import Protocol, assert_never

import pulumi

from infra.artifact_store.local import VersitygwOnHost, VersitygwOnHostArgs
from infra.artifact_store.settings import (
    ArtifactStoreSettings,
    S3Settings,
    VersitygwOnHostSettings,
    VersitygwOnKubernetesSettings,
)
from infra.core.substrate import Aws, Kubernetes, Local, Substrate, narrow


class ArtifactStore(Protocol):
    """What every realization gives; consumers accept this and nothing narrower."""

    uri: pulumi.Output[str]
    """Root for artifacts, no trailing slash: `s3://bucket`."""

    client_env: Mapping[str, pulumi.Output[str]]
    """Environment variables a client process needs to reach `uri`: endpoint, region."""

    client_secrets: Mapping[str, pulumi.Output[str]]
    """Environment variables with the store's keys; empty where access is a matter of identities."""

    ready: pulumi.Resource
    """What a consumer that needs the store at once depends on."""


def build(
    name: str, settings: ArtifactStoreSettings, substrate: Substrate, opts: pulumi.ResourceOptions | None = None
) -> ArtifactStore:
    """Make the realization that the stack file names."""
    match settings:
        case VersitygwOnHostSettings():
            host = VersitygwOnHostArgs(settings=settings, substrate=narrow(substrate, Local))
            return VersitygwOnHost(name, host, opts)
        case VersitygwOnKubernetesSettings():
            from infra.artifact_store.kubernetes import VersitygwOnKubernetes, VersitygwOnKubernetesArgs

            args = VersitygwOnKubernetesArgs(settings=settings, substrate=narrow(substrate, Kubernetes))
            return VersitygwOnKubernetes(name, args, opts)
        case S3Settings():
            from infra.artifact_store.aws import S3ArtifactStore, S3ArtifactStoreArgs

            aws = narrow(substrate, Aws)
            return S3ArtifactStore(name, S3ArtifactStoreArgs(settings=settings, account=aws.account), opts)
        case _:
            assert_never(settings)
