"""What a realization stands on: made once per stack in `stacks/composition.py`, handed to every `build()`."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pulumi

from infra.core import images
from infra.core.supply import Supply
from infra.host import Supervisor

if TYPE_CHECKING:
    from infra.cluster import EksCluster
    from infra.core.aws import Account
    from infra.identity import AwsIdentity
    from infra.network import Network

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Local:
    """This machine: processes below one supervisor, files below one folder."""

    supervisor: Supervisor

    checkout: Path
    """Root of the checkout; the processes' code is read from there."""

    python: str
    """Interpreter of the environment that this program and its provider run in."""

    search_path: str
    """PATH of the processes: the tools of the platform first."""

    keep_data: bool
    """Whether the stores' folders outlive the stack."""

    def program(self, *names: str) -> str:
        """The first of a program's names (distributions differ) that is on the search path; else the first."""
        return next((name for name in names if shutil.which(name, path=self.search_path)), names[0])

    def child(self, parent: pulumi.Resource, *needs: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options of a process of `parent`: it depends on the supervisor and on `needs`."""
        return pulumi.ResourceOptions(parent=parent, depends_on=[self.supervisor, *needs])


@dataclass(frozen=True, kw_only=True)
class Kubernetes:
    """One namespace of one cluster; which namespace, the composition says."""

    provider: pulumi.ProviderResource
    """Provider of the cluster, given to components by `opts`; here for what must name it, such as an invoke."""

    namespace: pulumi.Output[str]
    """Where a realization puts what it makes; it exists, with its quota, limits and default-deny network policies."""

    checkout: Path
    """Root of the checkout; policies and charts are read from there."""

    image: Callable[[images.Target], str] = images.reference
    """The image of a target, pinned by its digest; raises ImageError for one that was not made."""

    supply: Supply = field(default_factory=Supply)
    """Where others' images, charts and manifests come from."""

    authority: str | None = None
    """Certificates, in PEM, by which pods that call the database know it; None where they do not check."""

    ready: Sequence[pulumi.Resource] = ()
    """What everything in the namespace depends on: the namespace, its guards, its admission policies."""

    of_workload: bool = False
    """Whether the namespace is a workload's, closed to the pods of other workloads."""

    def child(self, parent: pulumi.Resource, *needs: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options of an object of `parent`: it depends on the namespace's guards and on `needs`."""
        return pulumi.ResourceOptions(parent=parent, depends_on=[*self.ready, *needs])

    def within(self, namespace: pulumi.Output[str], *ready: pulumi.Resource, of_workload: bool = False) -> "Kubernetes":
        """The same cluster, another namespace."""
        return replace(self, namespace=namespace, ready=ready, of_workload=of_workload)


@dataclass(frozen=True, kw_only=True)
class Aws:
    """An AWS account's region, with the network and the cluster in it."""

    provider: pulumi.ProviderResource
    """Provider of the region, given to components by `opts`; here for what must name it, such as an invoke."""

    account: "Account"
    """The account and region that everything is in."""

    network: "Network"

    cluster: "EksCluster"

    kubernetes: Kubernetes
    """The cluster's inside, in the namespace that a realization is to use."""

    identity: "AwsIdentity"
    """How its pods come to their roles."""

    def within(self, namespace: pulumi.Output[str], *ready: pulumi.Resource, of_workload: bool = False) -> "Aws":
        """The same region and cluster, another namespace."""
        return replace(self, kubernetes=self.kubernetes.within(namespace, *ready, of_workload=of_workload))


Substrate = Local | Kubernetes | Aws
"""Every substrate that a realization can be asked to stand on."""

_Wanted = TypeVar("_Wanted", Local, Kubernetes, Aws)


def narrow(substrate: Substrate, wanted: type[_Wanted]) -> _Wanted:
    """The substrate as the one that a realization stands on; what stands on a cluster also stands on AWS' cluster.

    Raises: TypeError for a realization that the stack's settings model should not have offered on this substrate.
    """
    if isinstance(substrate, Aws) and wanted is Kubernetes:
        return substrate.kubernetes  # type: ignore[return-value]  # `wanted` is Kubernetes here
    if not isinstance(substrate, wanted):
        raise TypeError(f"a realization on {wanted.__name__} was asked to stand on {type(substrate).__name__}")
    return substrate
