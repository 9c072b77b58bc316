"""Cluster: the Kubernetes that everything else stands on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, assert_never

import pulumi

from infra.aws.substrate import EksCluster, Network
from infra.cluster.settings import (
    EksClusterSettings,
    EksSettings,
    ExistingClusterSettings,
    ExistingEksSettings,
    KindClusterSettings,
    PlainClusterSettings,
)

if TYPE_CHECKING:
    from infra.aws.account import Account

__all__ = [
    "Cluster",
    "EksCluster",
    "EksClusterSettings",
    "PlainCluster",
    "PlainClusterSettings",
    "build",
    "build_on_aws",
]


class Cluster(Protocol):
    """What every realization gives; consumers accept this and nothing narrower."""

    kubeconfig: pulumi.Output[str]
    """How clients reach the API server, as JSON; secret."""

    ready: Sequence[pulumi.Resource]
    """What the cluster's provider depends on, so that it outlives what is in the cluster."""


class PlainCluster(Cluster, Protocol):
    """What every cluster gives that is reached by a kubeconfig, wherever it runs."""

    identifier: str
    """Differs between clusters and stays when credentials or addresses change."""


def build(name: str, settings: PlainClusterSettings, opts: pulumi.ResourceOptions | None = None) -> PlainCluster:
    """Make the realization that the stack file names.

    Raises: KubeconfigError when a cluster that is there already cannot be reached as the stack file says.
    """
    from infra.cluster.existing import ExistingCluster
    from infra.cluster.kind import KindCluster

    match settings:
        case KindClusterSettings():
            return KindCluster(name, settings, opts)
        case ExistingClusterSettings():
            return ExistingCluster(name, settings, opts)
        case _:
            assert_never(settings)


def build_on_aws(
    name: str,
    settings: EksClusterSettings,
    account: "Account",
    network: Network,
    opts: pulumi.ResourceOptions | None = None,
    *,
    resized: bool = False,
) -> EksCluster:
    """Make the realization that the stack file names; `resized`: the Cluster Autoscaler resizes its system nodes."""
    from infra.cluster.aws import Eks, EksArgs, ExistingEks, ExistingEksArgs

    match settings:
        case EksSettings():
            return Eks(name, EksArgs(settings=settings, account=account, network=network, resized=resized), opts)
        case ExistingEksSettings():
            return ExistingEks(name, ExistingEksArgs(settings=settings, account=account), opts)
        case _:
            assert_never(settings)
