"""A cluster's namespace, as what realizations stand on; made once per stack in `stacks/cluster.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pulumi

from infra.base import images
from infra.base.supply import Supply


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

    @property
    def kubernetes(self) -> "Kubernetes":
        """Where what runs in the cluster stands."""
        return self

    @property
    def aws(self) -> None:
        """The cluster may be anywhere: what stands on it uses no service of a cloud."""

    def child(self, parent: pulumi.Resource, *needs: pulumi.Input[pulumi.Resource]) -> pulumi.ResourceOptions:
        """Options of an object of `parent`: it depends on the namespace's guards and on `needs`."""
        return pulumi.ResourceOptions(parent=parent, depends_on=[*self.ready, *needs])

    def within(self, namespace: pulumi.Output[str], *ready: pulumi.Resource, of_workload: bool = False) -> "Kubernetes":
        """The same cluster, another namespace."""
        return replace(self, namespace=namespace, ready=ready, of_workload=of_workload)
